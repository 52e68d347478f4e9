/*
 * sieve.c - prime numbers from a chain of goroutines, one filter for each prime found.
 *
 *   usage: sieve [COUNT]        finds the first COUNT primes, 2000 if not told
 *
 *   count_up -> 2 3 4 5 ... -> filter 2 -> 3 5 7 9 ... -> filter 3 -> 5 7 11 13 ... -> main
 */
#include <stdio.h>
#include <stdlib.h>

#include "goro.h"

static void count_up(goro_chan *out)
{
	for (int number = 2;; number++)
		goro_put(out, number);
}

/* Hands on what `prime` does not divide. */
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
	char *end = "";
	long count = argc > 1 ? strtol(argv[1], &end, 10) : 2000;
	if (argc > 2 || *end != '\0' || count < 1 || count > 100000) {
		fprintf(stderr, "usage: sieve [COUNT]    COUNT is 1 to 100000\n");
		return 2;
	}

	goro_chan *numbers = goro_chan_of(int, 0);
	go(count_up, numbers);

	/* The first number that comes through all the filters so far is the next prime. */
	int prime = 0;
	for (long found = 0; found < count; found++) {
		prime = goro_get(numbers, int);
		goro_chan *rest = goro_chan_of(int, 0);
		go(filter, numbers, rest, prime);
		numbers = rest;
	}
	printf("%ld primes, the last is %d\n", count, prime);

	/* The filters run for ever; returning from goro_main ends them with the program. */
	return 0;
}
