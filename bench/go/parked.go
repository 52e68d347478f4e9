// parked.go - a million goroutines that wait on one channel: what creating one takes, what it holds
// in memory while it waits, what waking it takes, and what is still held a second after all ended.
//
// Go gives memory back only when its collector runs, so it is told to, in that second.
package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

var started, ended int64

func waiter(gate, news chan int32, count int64) {
	if atomic.AddInt64(&started, 1) == count {
		news <- 1
	}
	<-gate
	if atomic.AddInt64(&ended, 1) == count {
		news <- 1
	}
}

func statusBytes(name string) int64 {
	return benchStatus(name) * 1024
}

func reportMemory(name string, count, rss, tables int64) {
	fmt.Printf("Benchmark%s-%d\t%d\t%.1f rss-B/goroutine\t%.1f pte-B/goroutine\n", name,
		runtime.GOMAXPROCS(0), count, float64(statusBytes("VmRSS:")-rss)/float64(count),
		float64(statusBytes("VmPTE:")-tables)/float64(count))
}

func main() {
	count := benchCount(1000000)
	gate := make(chan int32)
	news := make(chan int32, 1)
	rss := statusBytes("VmRSS:")
	tables := statusBytes("VmPTE:")

	start := time.Now()
	for i := int64(0); i < count; i++ {
		go waiter(gate, news, count)
	}
	<-news
	benchNS("ParkedCreate", count, time.Since(start))

	// The last ones may be on their way to the channel still.
	time.Sleep(50 * time.Millisecond)
	reportMemory("ParkedMemory", count, rss, tables)

	start = time.Now()
	close(gate)
	<-news
	benchNS("ParkedWake", count, time.Since(start))

	start = time.Now()
	debug.FreeOSMemory()
	time.Sleep(time.Second - time.Since(start))
	reportMemory("ParkedLeft", count, rss, tables)
}
