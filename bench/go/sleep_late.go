// sleep_late.go - how late a goroutine wakes from a sleep of 100 us and of 1 ms while nothing else
// runs: the median and the 99th percentile.
package main

import (
	"fmt"
	"runtime"
	"time"
)

func lateness(name string, sleep time.Duration, count int64) {
	late := make([]int64, count)

	for i := range late {
		start := time.Now()
		time.Sleep(sleep)
		late[i] = (time.Since(start) - sleep).Nanoseconds()
	}
	benchSort(late)
	fmt.Printf("Benchmark%s-%d\t%d\t%d late-p50-ns\t%d late-p99-ns\n", name,
		runtime.GOMAXPROCS(0), count, late[count/2], late[count*99/100])
}

func main() {
	count := benchCount(300)

	lateness("Sleep100us", 100*time.Microsecond, count)
	lateness("Sleep1ms", time.Millisecond, count)
}
