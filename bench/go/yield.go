// yield.go - goroutines that only let the others run: one alone, then two. One operation is
// one yield.
package main

import (
	"runtime"
	"time"
)

func yielder(count int64, done chan int) {
	for i := int64(0); i < count; i++ {
		runtime.Gosched()
	}
	done <- 1
}

func yielders(name string, number int, count int64, done chan int) {
	start := time.Now()

	for i := 0; i < number; i++ {
		go yielder(count/int64(number), done)
	}
	for i := 0; i < number; i++ {
		<-done
	}
	benchNS(name, count, time.Since(start))
}

func main() {
	count := benchCount(4000000)
	done := make(chan int)

	yielders("YieldAlone", 1, count, done)
	yielders("YieldTwo", 2, count, done)
}
