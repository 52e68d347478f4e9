/*
 * skynet.c - a tree of 1 111 111 goroutines with a million leaves adds up the leaves' numbers.
 *
 *   usage: skynet
 *
 * Each goroutine starts ten more, down to a single leaf, which sends its number to the one above;
 * every inner one sends on the sum of its ten.
 */
#include <inttypes.h>
#include <stdio.h>

#include "goro.h"

#define CHILDREN 10
#define LEAVES	 1000000

static void skynet(int64_t first, int64_t leaves, goro_chan *parent)
{
	if (leaves == 1) {
		goro_put(parent, first);
		return;
	}

	goro_chan *sums = goro_chan_of(int64_t, 0);
	if (sums == NULL)
		goro_panic("out of memory");

	int64_t share = leaves / CHILDREN;
	for (int child = 0; child < CHILDREN; child++)
		go(skynet, first + child * share, share, sums);

	int64_t total = 0;
	for (int child = 0; child < CHILDREN; child++)
		total += goro_get(sums, int64_t);
	goro_chan_unref(sums);
	goro_put(parent, total);
}

int goro_main(int argc, char **argv)
{
	(void)argv;
	if (argc != 1) {
		fprintf(stderr, "usage: skynet\n");
		return 2;
	}
	goro_chan *result = goro_chan_of(int64_t, 0);
	go(skynet, 0, LEAVES, result);
	printf("%" PRId64 "\n", goro_get(result, int64_t));
	goro_chan_unref(result);
	return 0;
}
