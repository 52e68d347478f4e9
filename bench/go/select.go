// select.go - select. One operation is one select and what makes it possible.
//
// SelectReady: one of 2 (or 8) buffered channels has a value; receive it, send it to the next one.
// SelectBlock: wait on 2 (or 8) unbuffered channels for a goroutine that sends to one after the
// other. SelectDefault: 1 (or 2) empty channels and a default. SelectSend: the same wait, sending.
package main

import "time"

const most = 8

func makeAll(n, capacity int) []chan int64 {
	c := make([]chan int64, n)

	for i := range c {
		c[i] = make(chan int64, capacity)
	}
	return c
}

func ready2(count int64) {
	c := makeAll(2, 1)
	c[0] <- 0
	start := time.Now()

	for i := int64(0); i < count; i++ {
		select {
		case value := <-c[0]:
			c[1] <- value
		case value := <-c[1]:
			c[0] <- value
		}
	}
	benchNS("SelectReady2", count, time.Since(start))
}

func ready8(count int64) {
	c := makeAll(most, 1)
	c[0] <- 0
	start := time.Now()

	for i := int64(0); i < count; i++ {
		select {
		case value := <-c[0]:
			c[1] <- value
		case value := <-c[1]:
			c[2] <- value
		case value := <-c[2]:
			c[3] <- value
		case value := <-c[3]:
			c[4] <- value
		case value := <-c[4]:
			c[5] <- value
		case value := <-c[5]:
			c[6] <- value
		case value := <-c[6]:
			c[7] <- value
		case value := <-c[7]:
			c[0] <- value
		}
	}
	benchNS("SelectReady8", count, time.Since(start))
}

func sendByTurns(c []chan int64, count int64) {
	for i := int64(0); i < count; i++ {
		c[i%int64(len(c))] <- i
	}
}

func receiveByTurns(c []chan int64, count int64) {
	for i := int64(0); i < count; i++ {
		<-c[i%int64(len(c))]
	}
}

func block2(count int64) {
	c := makeAll(2, 0)
	go sendByTurns(c, count)
	start := time.Now()

	for i := int64(0); i < count; i++ {
		select {
		case <-c[0]:
		case <-c[1]:
		}
	}
	benchNS("SelectBlock2", count, time.Since(start))
}

func block8(count int64) {
	c := makeAll(most, 0)
	go sendByTurns(c, count)
	start := time.Now()

	for i := int64(0); i < count; i++ {
		select {
		case <-c[0]:
		case <-c[1]:
		case <-c[2]:
		case <-c[3]:
		case <-c[4]:
		case <-c[5]:
		case <-c[6]:
		case <-c[7]:
		}
	}
	benchNS("SelectBlock8", count, time.Since(start))
}

func send2(count int64) {
	c := makeAll(2, 0)
	go receiveByTurns(c, count)
	start := time.Now()

	for i := int64(0); i < count; i++ {
		select {
		case c[0] <- 1:
		case c[1] <- 1:
		}
	}
	benchNS("SelectSend2", count, time.Since(start))
}

func default1(count int64) {
	c := makeAll(1, 1)
	start := time.Now()

	for i := int64(0); i < count; i++ {
		select {
		case <-c[0]:
		default:
		}
	}
	benchNS("SelectDefault1", count, time.Since(start))
}

func default2(count int64) {
	c := makeAll(2, 1)
	start := time.Now()

	for i := int64(0); i < count; i++ {
		select {
		case <-c[0]:
		case <-c[1]:
		default:
		}
	}
	benchNS("SelectDefault2", count, time.Since(start))
}

func main() {
	count := benchCount(2000000)

	ready2(count)
	ready8(count)
	block2(count / 2)
	block8(count / 2)
	send2(count / 2)
	default1(count)
	default2(count)
}
