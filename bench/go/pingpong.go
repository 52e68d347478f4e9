// pingpong.go - a value to another goroutine and back over two unbuffered channels. One operation is
// a round trip.
package main

import "time"

func echo(ping, pong chan int32) {
	for {
		pong <- <-ping
	}
}

func main() {
	count := benchCount(2000000)
	ping := make(chan int32)
	pong := make(chan int32)

	go echo(ping, pong)
	start := time.Now()
	for i := int64(0); i < count; i++ {
		ping <- 1
		<-pong
	}
	benchNS("PingPong", count, time.Since(start))
}
