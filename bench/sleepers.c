/*
 * sleepers.c - 100 000 goroutines that sleep ten times each, for 1 to 1000 us. One operation is
 * one sleep; cpu-ns/op is the processor time of the whole process.
 */
#include <stdatomic.h>
#include <time.h>

#include "bench.h"

enum { SLEEPS = 10 };

static atomic_int_fast64_t left;

static void sleeper(uint32_t seed, goro_chan *done)
{
	for (int i = 0; i < SLEEPS; i++) {
		seed = seed * 1664525 + 1013904223;
		goro_sleep(GORO_US(1 + (seed >> 16) % 1000));
	}
	if (atomic_fetch_sub_explicit(&left, 1, memory_order_acq_rel) == 1)
		goro_put(done, 1);
}

static int64_t cpu_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return GORO_SEC(now.tv_sec) + now.tv_nsec;
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 100000);
	goro_chan *done = bench_chan(sizeof(int), 0);
	int64_t start = goro_now();
	int64_t cpu_start = cpu_now();

	atomic_store(&left, count);
	for (int64_t i = 0; i < count; i++)
		go(sleeper, (uint32_t)i, done);
	goro_get(done, int);

	double sleeps = (double)(count * SLEEPS);
	printf("BenchmarkSleepers-%d\t%" PRId64 "\t%.1f ns/op\t%.1f cpu-ns/op\n", goro_maxprocs(0),
	       count * SLEEPS, (double)(goro_now() - start) / sleeps,
	       (double)(cpu_now() - cpu_start) / sleeps);
	return 0;
}
