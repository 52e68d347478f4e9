/*
 * skynet.c - a tree of goroutines, ten below each, with a million leaves that are summed up over
 * unbuffered channels. One operation is all of it.
 */
#include "bench.h"

enum { CHILDREN = 10 };

static void skynet(int64_t first, int64_t leaves, goro_chan *parent)
{
	if (leaves == 1) {
		goro_put(parent, first);
		return;
	}

	goro_chan *sums = bench_chan(sizeof(int64_t), 0);
	int64_t share = leaves / CHILDREN;
	int64_t total = 0;

	for (int child = 0; child < CHILDREN; child++)
		go(skynet, first + child * share, share, sums);
	for (int child = 0; child < CHILDREN; child++)
		total += goro_get(sums, int64_t);
	goro_chan_unref(sums);
	goro_put(parent, total);
}

int goro_main(int argc, char **argv)
{
	int64_t leaves = bench_count(argc, argv, 1000000); /* A power of ten. */
	goro_chan *result = bench_chan(sizeof(int64_t), 0);
	int64_t start = goro_now();

	go(skynet, 0, leaves, result);
	int64_t sum = goro_get(result, int64_t);
	int64_t end = goro_now();
	if (sum != leaves * (leaves - 1) / 2)
		goro_panic("the sum is %" PRId64 ", not %" PRId64, sum, leaves * (leaves - 1) / 2);
	bench_ns("Skynet", 1, start, end);
	return 0;
}
