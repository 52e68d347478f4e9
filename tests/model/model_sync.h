/*
 * model_sync.h - what the clients for the synchronisation objects share: plain threads that count
 * themselves in and out, and an object in memory whose every late touch is found.
 *
 * Plain threads, since they wait on a note and need no M; the queues, the flags and the races of a
 * deadline are the same as for goroutines, whose parking is tried by park.c of this folder.
 */
#ifndef TESTS_MODEL_MODEL_SYNC_H
#define TESTS_MODEL_MODEL_SYNC_H

#include "model_sched.h"

#include "sync/waitq.c"

#define DEADLINE 1000

void (*sysmon_calm_hook)(void);

static uint32_t n_inside, n_done; /* the object under test guards them */
__attribute__((unused)) static uint32_t n_left; /* users of the object */

static void model_sync_setup(void)
{
	model_sched_setup(0, 1);
	for (int i = 0; i < EXPLORE_THREADS; i++)
		ms[i].id = 0; /* plain threads */
	explore_name(&n_inside, sizeof(n_inside), "n_inside");
	explore_name(&n_done, sizeof(n_done), "n_done");
}

static inline void be_inside(void)
{
	explore_check(n_inside++ == 0);
	n_done++;
	explore_check(--n_inside == 0);
}

#endif
