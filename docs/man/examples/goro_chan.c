/*
 * goro_chan.c - a producer, two workers and a collector: closing a channel ends a loop.
 */
#include <errno.h>
#include <stdio.h>
#include <goro.h>

static void worker(goro_chan *jobs, goro_chan *results)
{
	int n;

	while (goro_chan_recv(jobs, &n)) /* false: closed, and nothing is left */
		goro_put(results, n * n);
	goro_put(results, -1);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *jobs = goro_chan_of(int, 4);    /* room for four */
	goro_chan *results = goro_chan_of(int, 0); /* sender and receiver meet */
	int sum = 0, workers = 2, n;

	for (int i = 0; i < workers; i++)
		go(worker, jobs, results);
	for (n = 1; n <= 4; n++)
		goro_put(jobs, n);
	goro_chan_close(jobs);
	while (workers > 0) {
		n = goro_get(results, int);
		if (n < 0)
			workers--;
		else
			sum += n;
	}
	printf("sum: %d\n", sum);

	/* Without waiting. */
	if (goro_chan_tryrecv(results, &n) == -EAGAIN)
		printf("results: nobody sends\n");
	if (goro_chan_tryrecv(jobs, &n) == -EPIPE)
		printf("jobs: closed\n");
	goro_chan_unref(jobs);
	goro_chan_unref(results);
	return 0;
}

/*
 * Prints:
 *   sum: 30
 *   results: nobody sends
 *   jobs: closed
 */
