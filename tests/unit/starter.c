/*
 * starter.c - threads that have been asked for, and not been started; src/sched/starter.c and
 * goro_maxthreads() in boot.c.
 */
#include "goro_tap.h"

#include "sched/sched.h"

/* The starter sleeps: nobody wakes it. */
static void expect_to_start(uint32_t asked, uint32_t more_than_there_are, uint32_t wanted)
{
	uint32_t n_m, n_to_start;
	{
		CALL_SCOPE;
		lock_acquire(&sched.lock);
		sched.n_to_start = asked;
		n_m = sched.n_m;
		lock_release(&sched.lock);
	}
	int old = goro_maxthreads((int)(n_m + more_than_there_are));
	{
		CALL_SCOPE;
		lock_acquire(&sched.lock);
		n_to_start = sched.n_to_start;
		sched.n_to_start = 0;
		lock_release(&sched.lock);
	}
	expect_eq(n_to_start, wanted);
	expect_eq(goro_maxthreads(old), (int)(n_m + more_than_there_are));
}

GORO_CASE(lower_limit_takes_back_what_was_asked_for_beyond_it, .procs = "1")
{
	expect_to_start(5, 7, 5);
	expect_to_start(5, 5, 5);
	expect_to_start(5, 2, 2);
	expect_to_start(5, 0, 0);
}

TAP_MAIN
