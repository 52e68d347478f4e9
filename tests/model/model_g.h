/*
 * model_g.h - goroutines under the explorer: how one runs its entry and ends.
 *
 *   ctx_make(top, g_main, gp) -> execute -> [g_main] -> gp->entry(NULL) -> DEAD -> schedule
 *
 * For clients in which a G really runs on its own stack; after model_sched.h.
 */
#ifndef TESTS_MODEL_MODEL_G_H
#define TESTS_MODEL_MODEL_G_H

#include "model_sched.h"

#include "arch/arch.h"

static uint32_t n_ended;

static void *ended_on_g0(void *arg)
{
	struct g *gp = arg;
	struct m *mp = gp->m;

	mp->curg = NULL;
	gp->m = NULL;
	g_transition(gp, G_RUNNING, G_DEAD);
	ctx_drop(gp->ctx);
	return schedule(mp);
}

static struct ctx_leaving *g_main(void *arg)
{
	struct g *gp = arg;

	gp->entry(NULL);
	add_rlx((atomic_of(uint32_t) *)&n_ended, 1);
	switch_to_g0(m_self(), gp, ended_on_g0);
	explore_fail(EXPLORE_HERE, "a G that had ended ran again");
	return NULL;
}

#endif
