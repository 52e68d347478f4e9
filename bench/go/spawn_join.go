// spawn_join.go - spawn one goroutine, wait for its message, and again.
package main

import "time"

func child(done chan int) {
	done <- 1
}

func main() {
	count := benchCount(2000000)
	done := make(chan int)
	start := time.Now()

	for i := int64(0); i < count; i++ {
		go child(done)
		<-done
	}
	benchNS("SpawnJoin", count, time.Since(start))
}
