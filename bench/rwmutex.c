/*
 * rwmutex.c - a reader's lock and unlock: alone, four readers, and four readers with a writer in
 * each hundredth round.
 */
#include "bench.h"

static goro_rwmutex rwmutex;
static uint64_t guarded;

static void reads(int64_t rounds, goro_waitgroup *wg)
{
	for (int64_t i = 0; i < rounds; i++) {
		goro_rwmutex_rdlock(&rwmutex);
		goro_rwmutex_rdunlock(&rwmutex);
	}
	goro_waitgroup_done(wg);
}

static void reads_and_writes(int64_t rounds, goro_waitgroup *wg)
{
	for (int64_t i = 0; i < rounds; i++) {
		if (i % 100 == 0) {
			goro_rwmutex_wrlock(&rwmutex);
			guarded++;
			goro_rwmutex_wrunlock(&rwmutex);
		} else {
			goro_rwmutex_rdlock(&rwmutex);
			goro_rwmutex_rdunlock(&rwmutex);
		}
	}
	goro_waitgroup_done(wg);
}

static void four(const char *name, void (*fn)(int64_t, goro_waitgroup *), int64_t count)
{
	goro_waitgroup wg = {0};

	int64_t start = goro_now();
	goro_waitgroup_add(&wg, 4);
	for (int i = 0; i < 4; i++)
		go(fn, count / 4, &wg);
	goro_waitgroup_wait(&wg);
	bench_ns(name, count / 4 * 4, start, goro_now());
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 8000000);

	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++) {
		goro_rwmutex_rdlock(&rwmutex);
		goro_rwmutex_rdunlock(&rwmutex);
	}
	bench_ns("RWMutexRead", count, start, goro_now());
	four("RWMutexRead4", reads, count);
	four("RWMutexMixed4", reads_and_writes, count);
	return 0;
}
