/*
 * model_ctx.h - contexts under the explorer: their sources, and what these need of panic.c, spawn.c
 * and boot.c.
 *
 * spawn() refuses, as when no runtime runs: functions of goro_ctx_after() are called by the thread
 * that cancels.
 */
#ifndef TESTS_MODEL_MODEL_CTX_H
#define TESTS_MODEL_MODEL_CTX_H

#include "model_sched.h"

#include "sync/chan.c"
#include "sync/ctx.c"
#include "sync/expiry.c"
#include "sync/waitq.c"

void (*g_run_begins)(void);

int spawn(const struct spawn_request *request)
{
	(void)request;
	return -EPERM;
}

/* As a plain thread's: into the first heap, while a run is on. */
bool timer_arm(struct timer *t, bool *is_first)
{
	bool is_the_first;

	*is_first = false; /* nobody sleeps until a timer here */
	return load_acq(&sched.run_state) == RUN_ON &&
	       timer_start_if_open(&ps[0].timers, t, &is_the_first);
}

/* Every cancelled context has been freed, and counted back: PR2. */
__attribute__((unused)) static void nothing_is_cancelled(void)
{
	explore_check(load_rlx(&attention) < ATTENTION_CANCELED);
}

/* What a constructor does in the library; globals are put back before each execution. */
static void model_ctx_setup(uint32_t n_m, uint32_t n_p)
{
	model_sched_setup(n_m, n_p);
	explore_name(&attention, sizeof(attention), "attention");
	g_ctx_free = ctx_free;
}

/* Plain threads only. */
__attribute__((unused)) static void model_ctx_setup_threads(void)
{
	model_ctx_setup(0, 1);
	for (int i = 0; i < EXPLORE_THREADS; i++)
		ms[i].id = 0;
}

#endif
