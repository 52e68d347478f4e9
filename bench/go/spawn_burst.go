// spawn_burst.go - a million goroutines spawned without a pause, until the last of them has run.
package main

import (
	"sync/atomic"
	"time"
)

var left int64

func leaf(done chan int) {
	if atomic.AddInt64(&left, -1) == 0 {
		done <- 1
	}
}

func burst(name string, count int64, done chan int) {
	start := time.Now()

	atomic.StoreInt64(&left, count)
	for i := int64(0); i < count; i++ {
		go leaf(done)
	}
	<-done
	benchNS(name, count, time.Since(start))
}

func main() {
	count := benchCount(1000000)
	done := make(chan int)

	burst("SpawnBurst", count, done)
	burst("SpawnBurstWarm", count, done)
}
