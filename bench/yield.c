/*
 * yield.c - goroutines that only let the others run: one alone, then two. One operation is
 * one yield.
 */
#include "bench.h"

static void yielder(int64_t count, goro_chan *done)
{
	for (int64_t i = 0; i < count; i++)
		goro_yield();
	goro_put(done, 1);
}

static void yielders(const char *name, int number, int64_t count, goro_chan *done)
{
	int64_t start = goro_now();

	for (int i = 0; i < number; i++)
		go(yielder, count / number, done);
	for (int i = 0; i < number; i++)
		goro_get(done, int);
	bench_ns(name, count, start, goro_now());
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 4000000);
	goro_chan *done = bench_chan(sizeof(int), 0);

	yielders("YieldAlone", 1, count, done);
	yielders("YieldTwo", 2, count, done);
	return 0;
}
