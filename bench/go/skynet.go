// skynet.go - a tree of goroutines, ten below each, with a million leaves that are summed up over
// unbuffered channels. One operation is all of it.
package main

import "time"

const children = 10

func skynet(first, leaves int64, parent chan int64) {
	if leaves == 1 {
		parent <- first
		return
	}

	sums := make(chan int64)
	share := leaves / children
	total := int64(0)

	for child := int64(0); child < children; child++ {
		go skynet(first+child*share, share, sums)
	}
	for child := 0; child < children; child++ {
		total += <-sums
	}
	parent <- total
}

func main() {
	leaves := benchCount(1000000) // A power of ten.
	result := make(chan int64)
	start := time.Now()

	go skynet(0, leaves, result)
	sum := <-result
	elapsed := time.Since(start)
	if sum != leaves*(leaves-1)/2 {
		panic("the sum is wrong")
	}
	benchNS("Skynet", 1, elapsed)
}
