// once.go - the calls after the first.
package main

import (
	"os"
	"sync"
	"time"
)

var n int

func body() {
	n++
}

func main() {
	count := benchCount(200000000)
	var once sync.Once

	start := time.Now()
	for i := int64(0); i < count; i++ {
		once.Do(body)
	}
	benchNS("Once", count, time.Since(start))
	if n != 1 {
		os.Exit(1)
	}
}
