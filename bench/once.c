/*
 * once.c - the calls after the first.
 */
#include "bench.h"

static void body(void *arg)
{
	++*(int *)arg;
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 200000000);
	goro_once once = {0};
	int n = 0;

	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++)
		goro_once_do(&once, body, &n);
	bench_ns("Once", count, start, goro_now());
	return n == 1 ? 0 : 1;
}
