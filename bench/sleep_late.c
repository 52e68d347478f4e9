/*
 * sleep_late.c - how late a goroutine wakes from a sleep of 100 us and of 1 ms while nothing else
 * runs: the median and the 99th percentile.
 */
#include "bench.h"

static void lateness(const char *name, int64_t sleep_ns, int64_t count)
{
	int64_t *late = calloc((size_t)count, sizeof(*late));

	if (late == NULL)
		goro_panic("out of memory");
	for (int64_t i = 0; i < count; i++) {
		int64_t start = goro_now();
		goro_sleep(sleep_ns);
		late[i] = goro_now() - start - sleep_ns;
		if (late[i] < 0)
			goro_panic("a sleep ended %" PRId64 " ns early", -late[i]);
	}
	bench_sort(late, count);
	printf("Benchmark%s-%d\t%" PRId64 "\t%" PRId64 " late-p50-ns\t%" PRId64 " late-p99-ns\n",
	       name, goro_maxprocs(0), count, late[count / 2], late[count * 99 / 100]);
	free(late);
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 300);

	lateness("Sleep100us", GORO_US(100), count);
	lateness("Sleep1ms", GORO_MS(1), count);
	return 0;
}
