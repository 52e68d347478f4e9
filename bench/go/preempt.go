// preempt.go - how late a goroutine runs that has become ready while every P computes: the median and
// the 99th percentile.
package main

import (
	"fmt"
	"runtime"
	"time"
)

func main() {
	late := make([]int64, benchCount(50))
	loops := make([]loop, runtime.GOMAXPROCS(0))

	loopsStart(loops)
	time.Sleep(30 * time.Millisecond) // all of them run
	for i := range late {
		start := time.Now()
		time.Sleep(time.Millisecond)
		late[i] = (time.Since(start) - time.Millisecond).Nanoseconds()
	}
	loopsEnd(loops)
	benchSort(late)
	fmt.Printf("BenchmarkPreemptLoop-%d\t%d\t%d late-p50-ns\t%d late-p99-ns\n",
		runtime.GOMAXPROCS(0), len(late), late[len(late)/2], late[len(late)*99/100])
}
