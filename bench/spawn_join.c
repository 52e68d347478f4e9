/*
 * spawn_join.c - spawn one goroutine, wait for its message, and again.
 */
#include "bench.h"

static void child(goro_chan *done)
{
	goro_put(done, 1);
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 2000000);
	goro_chan *done = bench_chan(sizeof(int), 0);
	int64_t start = goro_now();

	for (int64_t i = 0; i < count; i++) {
		go(child, done);
		goro_get(done, int);
	}
	bench_ns("SpawnJoin", count, start, goro_now());
	return 0;
}
