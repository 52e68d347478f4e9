// bench.go - what the twins share; built together with each of the others:
//
//	go build -o spawn_burst spawn_burst.go bench.go
//
// Each file here takes the same steps as the C program of the same name in the folder above, and
// prints the same lines.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// benchCount is the program's only argument, how often, or else the usual number.
func benchCount(usual int64) int64 {
	if len(os.Args) == 1 {
		return usual
	}
	count, err := strconv.ParseInt(os.Args[1], 10, 64)
	if len(os.Args) > 2 || err != nil || count < 1 {
		fmt.Fprintf(os.Stderr, "usage: %s [COUNT]\n", os.Args[0])
		os.Exit(2)
	}
	return count
}

// benchNS prints what each of count operations took.
func benchNS(name string, count int64, elapsed time.Duration) {
	fmt.Printf("Benchmark%s-%d\t%d\t%.1f ns/op\n", name, runtime.GOMAXPROCS(0), count,
		float64(elapsed.Nanoseconds())/float64(count))
}

func benchSort(values []int64) {
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
}

// benchStatus is a line of /proc/self/status: a number, or KiB.
func benchStatus(name string) int64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			value, _ := strconv.ParseInt(fields[1], 10, 64)
			return value
		}
	}
	return 0
}

// loop is the twin of loop.h: a goroutine that computes without pause and without a call.
type loop struct {
	rounds uint64
	_      [56]byte
}

const loopSteps = 1000

var loopsOver, loopsEnded int32

func loopRun(l *loop) {
	x, rounds := uint64(1), uint64(0)
	for atomic.LoadInt32(&loopsOver) == 0 {
		for i := 0; i < loopSteps; i++ {
			x = x*6364136223846793005 + 1442695040888963407
		}
		rounds += 1 | x&1
		atomic.StoreUint64(&l.rounds, rounds)
	}
	atomic.AddInt32(&loopsEnded, 1)
}

func loopsStart(loops []loop) {
	atomic.StoreInt32(&loopsEnded, 0)
	atomic.StoreInt32(&loopsOver, 0)
	for i := range loops {
		go loopRun(&loops[i])
	}
}

func loopsEnd(loops []loop) {
	atomic.StoreInt32(&loopsOver, 1)
	for atomic.LoadInt32(&loopsEnded) != int32(len(loops)) {
		runtime.Gosched()
	}
}
