/*
 * spawn_burst.c - a million goroutines spawned without a pause, until the last of them has run.
 *
 * SpawnBurst is the first burst of a new process, SpawnBurstWarm the second.
 */
#include <stdatomic.h>

#include "bench.h"

static atomic_int_fast64_t left;

static void leaf(goro_chan *done)
{
	if (atomic_fetch_sub_explicit(&left, 1, memory_order_acq_rel) == 1)
		goro_put(done, 1);
}

static void burst(const char *name, int64_t count, goro_chan *done)
{
	int64_t start = goro_now();

	atomic_store(&left, count);
	for (int64_t i = 0; i < count; i++)
		go(leaf, done);
	goro_get(done, int);
	bench_ns(name, count, start, goro_now());
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 1000000);
	goro_chan *done = bench_chan(sizeof(int), 0);

	burst("SpawnBurst", count, done);
	burst("SpawnBurstWarm", count, done);
	return 0;
}
