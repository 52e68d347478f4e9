/*
 * idle.c - where idle Ms and Ps wait; src/queue/idle.c.
 */
#include "tap.h"

#include "core/p.h"
#include "queue/idle.h"

static struct p ps[2];

TAP_CASE(the_last_idle_P_is_taken_first_and_runs_at_once)
{
	idle_put_p(&ps[0]);
	idle_put_p(&ps[1]);
	expect_eq(load_rlx(&idle.n_p), 2);
	expect_eq(load_rlx(&ps[1].state), P_IDLE);
	expect(idle_get_p() == &ps[1]);
	expect_eq(load_rlx(&ps[1].state), P_RUNNING);
	expect(idle_get_p() == &ps[0]);
	expect(idle_get_p() == NULL);
	expect_eq(load_rlx(&idle.n_p), 0);
}

/* OW1: who made it idle has looked at everything. Paid later it would count as late: OW4. */
TAP_CASE(an_idle_P_owes_nothing)
{
	store_rlx(&ps[0].wake_at, 1);
	idle_put_p(&ps[0]);
	expect_eq(load_rlx(&ps[0].wake_at), 0);
	expect(idle_get_p() == &ps[0]);
}

TAP_MAIN
