// timer.go - timers of the program: made and stopped, reset, and the same among a million others.
package main

import (
	"fmt"
	"runtime"
	"time"
)

const many = 1000000

func nothing() {
}

func addAndStop(name string, count int64) {
	start := time.Now()

	for i := int64(0); i < count; i++ {
		t := time.AfterFunc(3600*time.Second, nothing)
		t.Stop()
	}
	benchNS(name, count, time.Since(start))
}

func addAndStopChan(count int64) {
	start := time.Now()

	for i := int64(0); i < count; i++ {
		t := time.NewTimer(3600 * time.Second)
		t.Stop()
	}
	benchNS("TimerChanAddStop", count, time.Since(start))
}

func reset(name string, count int64) {
	t := time.AfterFunc(3600*time.Second, nothing)
	start := time.Now()

	for i := int64(0); i < count; i++ {
		t.Reset(3600*time.Second + time.Duration(i%1000))
	}
	benchNS(name, count, time.Since(start))
	t.Stop()
}

// Times that are all over the hour, so that each goes to a place of its own in the heap.
func amongAMillion(count int64) {
	timers := make([]*time.Timer, many)
	seed := uint32(1)
	longest := time.Duration(0)
	start := time.Now()
	before := start

	for i := range timers {
		seed = seed*1664525 + 1013904223
		timers[i] = time.AfterFunc(3600*time.Second+time.Duration(seed), nothing)
		now := time.Now()
		if now.Sub(before) > longest {
			longest = now.Sub(before)
		}
		before = now
	}
	benchNS("TimerMillionAdd", many, before.Sub(start))
	fmt.Printf("BenchmarkTimerMillionAddLongest-%d\t1\t%.1f ns/op\n", runtime.GOMAXPROCS(0),
		float64(longest.Nanoseconds()))
	addAndStop("TimerAddStopAmongMillion", count)
	reset("TimerResetAmongMillion", count)
	start = time.Now()
	for i := range timers {
		timers[i].Stop()
	}
	benchNS("TimerMillionStop", many, time.Since(start))
}

func main() {
	count := benchCount(2000000)

	addAndStop("TimerAddStop", count)
	addAndStopChan(count)
	reset("TimerReset", count)
	amongAMillion(count)
}
