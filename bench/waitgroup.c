/*
 * waitgroup.c - add and done with nobody waiting; and add 4, start four goroutines that are done,
 * wait.
 */
#include "bench.h"

static void is_done(goro_waitgroup *wg)
{
	goro_waitgroup_done(wg);
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 10000000);
	goro_waitgroup wg = {0};

	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++) {
		goro_waitgroup_add(&wg, 1);
		goro_waitgroup_done(&wg);
	}
	bench_ns("WaitGroupAddDone", count, start, goro_now());

	int64_t rounds = count / 20;
	start = goro_now();
	for (int64_t i = 0; i < rounds; i++) {
		goro_waitgroup_add(&wg, 4);
		for (int k = 0; k < 4; k++)
			go(is_done, &wg);
		goro_waitgroup_wait(&wg);
	}
	bench_ns("WaitGroup4", rounds, start, goro_now());
	return 0;
}
