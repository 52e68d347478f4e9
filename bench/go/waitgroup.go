// waitgroup.go - add and done with nobody waiting; and add 4, start four goroutines that are done,
// wait.
package main

import (
	"sync"
	"time"
)

func isDone(wg *sync.WaitGroup) {
	wg.Done()
}

func main() {
	count := benchCount(10000000)
	var wg sync.WaitGroup

	start := time.Now()
	for i := int64(0); i < count; i++ {
		wg.Add(1)
		wg.Done()
	}
	benchNS("WaitGroupAddDone", count, time.Since(start))

	rounds := count / 20
	start = time.Now()
	for i := int64(0); i < rounds; i++ {
		wg.Add(4)
		for k := 0; k < 4; k++ {
			go isDone(&wg)
		}
		wg.Wait()
	}
	benchNS("WaitGroup4", rounds, time.Since(start))
}
