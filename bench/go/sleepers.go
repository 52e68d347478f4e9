// sleepers.go - 100 000 goroutines that sleep ten times each, for 1 to 1000 us. One operation is
// one sleep; cpu-ns/op is the processor time of the whole process.
package main

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const sleeps = 10

var left int64

func sleeper(seed uint32, done chan int) {
	for i := 0; i < sleeps; i++ {
		seed = seed*1664525 + 1013904223
		time.Sleep(time.Duration(1+(seed>>16)%1000) * time.Microsecond)
	}
	if atomic.AddInt64(&left, -1) == 0 {
		done <- 1
	}
}

func cpuNow() int64 {
	var usage syscall.Rusage

	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func main() {
	count := benchCount(100000)
	done := make(chan int)
	start := time.Now()
	cpuStart := cpuNow()

	atomic.StoreInt64(&left, count)
	for i := int64(0); i < count; i++ {
		go sleeper(uint32(i), done)
	}
	<-done

	total := float64(count * sleeps)
	fmt.Printf("BenchmarkSleepers-%d\t%d\t%.1f ns/op\t%.1f cpu-ns/op\n", runtime.GOMAXPROCS(0),
		count*sleeps, float64(time.Since(start).Nanoseconds())/total,
		float64(cpuNow()-cpuStart)/total)
}
