/*
 * preempt.c - how late a goroutine runs that has become ready while every P computes: the median
 * and the 99th percentile.
 *
 * It sleeps for a millisecond, again and again, so that it becomes ready when the loop that took
 * its place has most of its slice before it. PreemptLoop: the loops make no call;
 * PreemptCheckpoint: they call goro_checkpoint() every microsecond. Go's loops have no checkpoint.
 */
#include "loop.h"

enum { LOOPS_MAX = 64 };

static void lateness(const char *name, enum loop_kind kind, int64_t count)
{
	static struct loop loops[LOOPS_MAX];
	int64_t *late = calloc((size_t)count, sizeof(*late));
	int procs = goro_maxprocs(0);

	if (late == NULL || procs > LOOPS_MAX)
		goro_panic("out of memory, or too many Ps");
	loops_start(loops, procs, kind);
	goro_sleep(GORO_MS(30)); /* all of them run */
	for (int64_t i = 0; i < count; i++) {
		int64_t start = goro_now();
		goro_sleep(GORO_MS(1));
		late[i] = goro_now() - start - GORO_MS(1);
	}
	loops_end();
	bench_sort(late, count);
	printf("Benchmark%s-%d\t%" PRId64 "\t%" PRId64 " late-p50-ns\t%" PRId64 " late-p99-ns\n",
	       name, procs, count, late[count / 2], late[count * 99 / 100]);
	fflush(stdout);
	free(late);
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 50);

	lateness("PreemptLoop", LOOP_BARE, count);
	lateness("PreemptCheckpoint", LOOP_CHECKPOINT, count);
	return 0;
}
