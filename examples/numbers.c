/*
 * numbers.c - two goroutines print numbers at the same time; main waits for both.
 *
 *   usage: numbers
 *
 * The numbers 1 to 3 come in order and so do 4 to 6; how the two rows mix is up to the scheduler.
 */
#include <stdio.h>

#include "goro.h"

static void print_numbers(int first, int last, goro_chan *done)
{
	for (int number = first; number <= last; number++) {
		printf("%d\n", number);
		goro_sleep(GORO_MS(1));
	}
	goro_put(done, last);
}

int goro_main(int argc, char **argv)
{
	(void)argv;
	if (argc != 1) {
		fprintf(stderr, "usage: numbers\n");
		return 2;
	}

	/* There is room for three values: neither goroutine waits for main to take its own. */
	goro_chan *done = goro_chan_of(int, 3);
	go(print_numbers, 1, 3, done);
	go(print_numbers, 4, 6, done);

	/* When goro_main returns the program ends, whatever else still runs: wait for both. */
	goro_get(done, int);
	goro_get(done, int);
	goro_chan_unref(done);
	return 0;
}
