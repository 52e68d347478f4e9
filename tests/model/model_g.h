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

#ifdef MODEL_CALLS
	call_leave(AT_PROGRAM);
	gp->entry(NULL);
	(void)call_enter();
#else
	gp->entry(NULL);
#endif
	add_rlx((atomic_of(uint32_t) *)&n_ended, 1);
	switch_to_g0(m_self(), gp, ended_on_g0);
	explore_fail(EXPLORE_HERE, "a G that had ended ran again");
	return NULL;
}

#ifdef MODEL_CALLS
static uint32_t n_gs;

/* The next G, at the end of the ring, or NULL: of the global queue. */
static void model_spawn(struct p *pp, void (*entry)(void *), const char *name)
{
	struct g *gp = &gs[n_gs];
	char *stack = explore_stack(MODEL_STACK);

	gp->id = ++n_gs;
	gp->entry = entry;
	gp->sp = ctx_make(stack + MODEL_STACK, g_main, gp);
	store_rlx(&gp->state, G_RUNNABLE);
	explore_name(stack, MODEL_STACK, name);
	if (pp)
		put_runnable(pp, gp, false);
	else
		globq_put(gp);
}
#endif

#endif
