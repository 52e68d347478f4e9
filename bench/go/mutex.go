// mutex.go - lock and unlock: nobody else there, and four that want it all the time. One operation
// is a lock and an unlock.
package main

import (
	"os"
	"sync"
	"time"
)

var mutex sync.Mutex
var guarded int64

func contend(rounds int64, wg *sync.WaitGroup) {
	for i := int64(0); i < rounds; i++ {
		mutex.Lock()
		guarded++
		mutex.Unlock()
	}
	wg.Done()
}

func main() {
	count := benchCount(20000000)
	var wg sync.WaitGroup

	start := time.Now()
	for i := int64(0); i < count; i++ {
		mutex.Lock()
		mutex.Unlock()
	}
	benchNS("MutexFree", count, time.Since(start))

	start = time.Now()
	wg.Add(4)
	for i := 0; i < 4; i++ {
		go contend(count/8, &wg)
	}
	wg.Wait()
	benchNS("Mutex4", count/8*4, time.Since(start))
	if guarded != count/8*4 {
		os.Exit(1)
	}
}
