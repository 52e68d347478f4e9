// sieve.go - the first 2000 primes from a chain of filters on unbuffered channels. One operation is
// all of it.
package main

import "time"

func countUp(out chan int32) {
	for number := int32(2); ; number++ {
		out <- number
	}
}

func filter(in, out chan int32, prime int32) {
	for {
		number := <-in

		if number%prime != 0 {
			out <- number
		}
	}
}

func main() {
	count := benchCount(2000)
	numbers := make(chan int32)
	start := time.Now()
	prime := int32(0)

	go countUp(numbers)
	for found := int64(0); found < count; found++ {
		prime = <-numbers
		rest := make(chan int32)
		go filter(numbers, rest, prime)
		numbers = rest
	}
	elapsed := time.Since(start)
	if count == 2000 && prime != 17389 {
		panic("prime number 2000 is 17389")
	}
	benchNS("Sieve", 1, elapsed)
}
