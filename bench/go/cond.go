// cond.go - two goroutines pass a turn to and fro by one cond and its mutex. One operation is a round
// trip.
package main

import (
	"sync"
	"time"
)

var mutex sync.Mutex
var cond = sync.NewCond(&mutex)
var turn int

func takeTurn(mine int) {
	mutex.Lock()
	for turn != mine {
		cond.Wait()
	}
	turn = 1 - mine
	cond.Signal()
	mutex.Unlock()
}

func echo(count int64) {
	for i := int64(0); i < count; i++ {
		takeTurn(1)
	}
}

func main() {
	count := benchCount(1000000)

	go echo(count)
	start := time.Now()
	for i := int64(0); i < count; i++ {
		takeTurn(0)
	}
	benchNS("CondPingPong", count, time.Since(start))
}
