// chan_buffered.go - a buffered channel. One operation is one value sent and received.
//
// ChanFree: one goroutine sends and receives, nobody ever waits. Chan4x4: four goroutines send and
// four receive over one channel with room for 128.
package main

import "time"

const (
	sides = 4
	room  = 128
)

func sendMany(c chan int64, count int64) {
	for i := int64(0); i < count; i++ {
		c <- i
	}
}

func receiveMany(c chan int64, count int64, done chan int) {
	for i := int64(0); i < count; i++ {
		<-c
	}
	done <- 1
}

func freeChannel(count int64) {
	c := make(chan int64, room)
	start := time.Now()

	for i := int64(0); i < count; i++ {
		c <- i
		<-c
	}
	benchNS("ChanFree", count, time.Since(start))
}

func fourByFour(count int64) {
	c := make(chan int64, room)
	done := make(chan int)
	start := time.Now()

	for i := 0; i < sides; i++ {
		go sendMany(c, count/sides)
		go receiveMany(c, count/sides, done)
	}
	for i := 0; i < sides; i++ {
		<-done
	}
	benchNS("Chan4x4", count, time.Since(start))
}

func main() {
	count := benchCount(4000000)

	freeChannel(count)
	fourByFour(count)
}
