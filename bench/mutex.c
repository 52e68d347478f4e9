/*
 * mutex.c - lock and unlock: nobody else there, and four that want it all the time. One operation
 * is a lock and an unlock.
 */
#include "bench.h"

static goro_mutex mutex;
static uint64_t guarded;

static void contend(int64_t rounds, goro_waitgroup *wg)
{
	for (int64_t i = 0; i < rounds; i++) {
		goro_mutex_lock(&mutex);
		guarded++;
		goro_mutex_unlock(&mutex);
	}
	goro_waitgroup_done(wg);
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 20000000);
	goro_waitgroup wg = {0};

	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++) {
		goro_mutex_lock(&mutex);
		goro_mutex_unlock(&mutex);
	}
	bench_ns("MutexFree", count, start, goro_now());

	start = goro_now();
	goro_waitgroup_add(&wg, 4);
	for (int i = 0; i < 4; i++)
		go(contend, count / 8, &wg);
	goro_waitgroup_wait(&wg);
	bench_ns("Mutex4", count / 8 * 4, start, goro_now());
	return guarded == (uint64_t)(count / 8 * 4) ? 0 : 1;
}
