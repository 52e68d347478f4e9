/*
 * slices.c - four goroutines that compute without pause, for a second: how much the least and the
 * most favoured of them got done, in percent of an equal share.
 *
 * SlicesLoop: they make no call; SlicesCheckpoint: they call goro_checkpoint() every microsecond.
 * Go's loops have no checkpoint. The count is the length in milliseconds.
 */
#include "loop.h"

enum { LOOPS = 4 };

static void shares(const char *name, enum loop_kind kind, int64_t length_ms)
{
	static struct loop loops[LOOPS];
	uint64_t done[LOOPS], total = 0, least = UINT64_MAX, most = 0;

	loops_start(loops, LOOPS, kind);
	goro_sleep(GORO_MS(100)); /* all of them had a turn */
	for (int i = 0; i < LOOPS; i++)
		done[i] = atomic_load(&loops[i].rounds);
	goro_sleep(GORO_MS(length_ms));
	for (int i = 0; i < LOOPS; i++) {
		done[i] = atomic_load(&loops[i].rounds) - done[i];
		total += done[i];
		least = done[i] < least ? done[i] : least;
		most = done[i] > most ? done[i] : most;
	}
	loops_end();
	printf("Benchmark%s-%d\t%" PRId64 "\t%.1f share-min-%%\t%.1f share-max-%%\n", name,
	       goro_maxprocs(0), length_ms, 100.0 * LOOPS * (double)least / (double)total,
	       100.0 * LOOPS * (double)most / (double)total);
	fflush(stdout);
}

int goro_main(int argc, char **argv)
{
	int64_t length_ms = bench_count(argc, argv, 1000);

	shares("SlicesLoop", LOOP_BARE, length_ms);
	shares("SlicesCheckpoint", LOOP_CHECKPOINT, length_ms);
	return 0;
}
