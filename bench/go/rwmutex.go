// rwmutex.go - a reader's lock and unlock: alone, four readers, and four readers with a writer in
// each hundredth round.
package main

import (
	"sync"
	"time"
)

var rwmutex sync.RWMutex
var guarded int64

func reads(rounds int64, wg *sync.WaitGroup) {
	for i := int64(0); i < rounds; i++ {
		rwmutex.RLock()
		rwmutex.RUnlock()
	}
	wg.Done()
}

func readsAndWrites(rounds int64, wg *sync.WaitGroup) {
	for i := int64(0); i < rounds; i++ {
		if i%100 == 0 {
			rwmutex.Lock()
			guarded++
			rwmutex.Unlock()
		} else {
			rwmutex.RLock()
			rwmutex.RUnlock()
		}
	}
	wg.Done()
}

func four(name string, fn func(int64, *sync.WaitGroup), count int64) {
	var wg sync.WaitGroup

	start := time.Now()
	wg.Add(4)
	for i := 0; i < 4; i++ {
		go fn(count/4, &wg)
	}
	wg.Wait()
	benchNS(name, count/4*4, time.Since(start))
}

func main() {
	count := benchCount(8000000)

	start := time.Now()
	for i := int64(0); i < count; i++ {
		rwmutex.RLock()
		rwmutex.RUnlock()
	}
	benchNS("RWMutexRead", count, time.Since(start))
	four("RWMutexRead4", reads, count)
	four("RWMutexMixed4", readsAndWrites, count)
}
