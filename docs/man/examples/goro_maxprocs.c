/*
 * goro_maxprocs.c - a sum, computed by as many goroutines as may run at the same time.
 */
#include <stdio.h>
#include <goro.h>

static void sum(int64_t from, int64_t to, goro_chan *out)
{
	int64_t total = 0;

	for (int64_t n = from; n < to; n++)
		total += n;
	goro_put(out, total);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	int before = goro_maxprocs(2); /* usually as many as there are CPUs */
	int parts = goro_maxprocs(0);  /* only asks */
	goro_chan *out = goro_chan_of(int64_t, 0);
	int64_t total = 0, last = 1000000;

	printf("parts: %d\n", parts);
	for (int i = 0; i < parts; i++)
		go(sum, last * i / parts, last * (i + 1) / parts, out);
	for (int i = 0; i < parts; i++)
		total += goro_get(out, int64_t);
	printf("sum: %lld\n", (long long)total);
	goro_maxprocs(before);
	printf("threads: at most %d\n", goro_maxthreads(0));
	goro_chan_unref(out);
	return 0;
}

/*
 * Prints:
 *   parts: 2
 *   sum: 499999500000
 *   threads: at most 10000
 */
