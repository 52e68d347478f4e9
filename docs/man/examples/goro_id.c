/*
 * goro_id.c - goroutines have numbers and names, and can be counted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <goro.h>

static void worker(goro_chan *jobs, goro_chan *ids)
{
	int job;

	goro_set_name("worker"); /* dumps show it */
	goro_put(ids, goro_id());
	while (goro_chan_recv(jobs, &job))
		continue;
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *jobs = goro_chan_of(int, 0);
	goro_chan *ids = goro_chan_of(uint64_t, 0);

	printf("main is %" PRIu64 "\n", goro_id());
	go(worker, jobs, ids);
	go(worker, jobs, ids);
	uint64_t one = goro_get(ids, uint64_t);
	uint64_t other = goro_get(ids, uint64_t);
	printf("the workers are %s\n", one != other && one > 1 && other > 1 ? "others" : "the same");
	printf("there are %d\n", goro_count());
	goro_chan_close(jobs);
	while (goro_count() > 1)
		goro_yield();
	printf("there is %d\n", goro_count());
	goro_chan_unref(jobs);
	goro_chan_unref(ids);
	return 0;
}

/*
 * Prints:
 *   main is 1
 *   the workers are others
 *   there are 3
 *   there is 1
 */
