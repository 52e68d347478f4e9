/*
 * sieve.c - the first 2000 primes from a chain of filters on unbuffered channels. One operation is
 * all of it.
 */
#include "bench.h"

static void count_up(goro_chan *out)
{
	for (int number = 2;; number++)
		goro_put(out, number);
}

static void filter(goro_chan *in, goro_chan *out, int prime)
{
	for (;;) {
		int number = goro_get(in, int);

		if (number % prime != 0)
			goro_put(out, number);
	}
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 2000);
	goro_chan *numbers = bench_chan(sizeof(int), 0);
	int64_t start = goro_now();
	int prime = 0;

	go(count_up, numbers);
	for (int64_t found = 0; found < count; found++) {
		prime = goro_get(numbers, int);
		goro_chan *rest = bench_chan(sizeof(int), 0);
		go(filter, numbers, rest, prime);
		numbers = rest;
	}
	int64_t end = goro_now();
	if (count == 2000 && prime != 17389)
		goro_panic("prime number 2000 is 17389, not %d", prime);
	bench_ns("Sieve", 1, start, end);
	return 0;
}
