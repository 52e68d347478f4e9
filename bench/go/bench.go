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
	"strconv"
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
