// syscall.go - system calls: a short one, announced and not; and a thousand goroutines in long ones.
//
// Go's compiler announces every call; RawSyscall leaves that out.
package main

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	sleepers = 1000
	calls    = 10
	rounds   = 3
)

func shortCalls(count int64) {
	start := time.Now()
	for i := int64(0); i < count; i++ {
		syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0)
	}
	benchNS("Getppid", count, time.Since(start))

	start = time.Now()
	for i := int64(0); i < count; i++ {
		syscall.Syscall(syscall.SYS_GETPPID, 0, 0, 0)
	}
	benchNS("GetppidAnnounced", count, time.Since(start))
}

func callsLong(left *sync.WaitGroup) {
	for i := 0; i < calls; i++ {
		syscall.Nanosleep(&syscall.Timespec{Nsec: 1000000}, nil)
	}
	left.Done()
}

func longCalls() {
	start := time.Now()
	for i := 0; i < rounds; i++ {
		var left sync.WaitGroup
		left.Add(sleepers)
		for j := 0; j < sleepers; j++ {
			go callsLong(&left)
		}
		left.Wait()
	}
	fmt.Printf("BenchmarkBlockingCalls-%d\t%d\t%.1f wall-ms\t%d threads\n",
		runtime.GOMAXPROCS(0), rounds, float64(time.Since(start).Nanoseconds())/rounds/1e6,
		benchStatus("Threads:"))
}

func main() {
	shortCalls(benchCount(1000000))
	longCalls()
}
