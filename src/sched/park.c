/*
 * park.c - stopping a G until somebody makes it ready, and making it ready.
 *
 *   chan, sleep, ... -> [park] -> g0: WAITING, commit -> schedule
 *   the other side   -> [ready] -> RUNNABLE, next slot of this P (or the global queue) -> wake
 *
 * PK1  The commit function, which lets others see the G, runs on g0 after the G's registers lie on
 *      its stack and its state is WAITING: nobody can run a G that is not at rest.
 * PK2  After the commit the parking M does not touch the G again: it may run elsewhere already.
 * PK3  Exactly one waker calls ready() for one park. A thread without an M passes outside.c's gate.
 *
 * Locking: the caller's lock is released by its commit function. Order: what the waker wrote before
 * ready() reaches the G through its queue (RQ-PUB, RQ-NEXT) or the queue's lock. Go: gopark,
 * goready, Gosched.
 */
#include "base/sanitize.h"
#include "event/timer.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/sched.h"

/*
 * After a yield that found others, so many yields go through the queue even when it looks empty:
 * see goro_yield.
 */
#define YIELD_HEAT 64u

static void canary_check(struct g *gp)
{
	if (unlikely(gp->has_canary) && !stack_canary_is_intact(gp->stack))
		stack_overflow_found(gp);
}

static void *park_on_g0(void *arg)
{
	struct g *gp = arg;
	struct m *mp = gp->m;

	canary_check(gp);
	mp->curg = NULL;
	gp->m = NULL;
	store_rlx(&gp->wait_reason, mp->park_reason); /* relaxed: for reports, like the next */
	store_rlx(&gp->wait_since, load_rlx(&sched.coarse_now)); /* relaxed: for reports */
	g_transition(gp, G_RUNNING, G_WAITING);
	if (mp->park_commit && !mp->park_commit(gp, mp->park_arg)) {
		g_transition(gp, G_WAITING, G_RUNNABLE);
		return execute(mp, gp);
	}
	return schedule(mp); /* PK2 */
}

void park(bool (*commit)(struct g *, void *), void *arg, enum wait_reason reason)
{
	struct m *mp = m_self();
	int saved_errno = self_errno();

	GORO_ASSERT(mp && mp->curg);
	mp->park_commit = commit;
	mp->park_arg = arg;
	mp->park_reason = (uint8_t)reason;
	switch_to_g0(mp, mp->curg, park_on_g0);
	self_errno_set(saved_errno); /* perhaps on another thread */
}

/* By a thread without an M. The run of gp is not over, by OU2, but it may be about to end. */
static void ready_outside(struct g *gp)
{
	if (!outside_enter()) {
		outside_ready_late(gp);
		return;
	}
	g_transition(gp, G_WAITING, G_RUNNABLE);
	globq_put(gp);
	wake_outside();
	outside_leave();
}

void ready(struct g *gp)
{
	struct m *mp = m_self();

	if (unlikely(!mp)) {
		ready_outside(gp);
		return;
	}
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
	g_transition(gp, G_WAITING, G_RUNNABLE);
	if (likely(pp != NULL)) {
		put_runnable(pp, gp, true);
		wake();
	} else {
		globq_put(gp);
		wake_outside();
	}
}

static void list_runnable(struct p *pp, struct glist *list)
{
	uint32_t n = 0;

	for (struct g *gp = list->head; gp; gp = gp->link) {
		g_transition(gp, G_WAITING, G_RUNNABLE);
		if (n++ < COLD_BATCH) /* its turn comes soon */
			g_prefetch(gp);
	}
	if (pp)
		put_runnable_list(pp, list);
	else
		globq_put_list(list);
}

void ready_list_owed(struct p *pp, struct glist *list)
{
	list_runnable(pp, list);
	wake_later(pp);
}

void ready_list(struct glist *list)
{
	struct m *mp = m_self();

	if (!list->head)
		return;
	if (unlikely(!mp)) {
		for (struct g *gp; (gp = glist_pop(list));)
			ready_outside(gp);
		return;
	}
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
	list_runnable(pp, list);
	if (pp)
		wake();
	else
		wake_outside();
}

static void *yield_on_g0(void *arg)
{
	struct g *gp = arg, *picked = NULL;
	struct m *mp = gp->m;

	canary_check(gp);
	mp->curg = NULL;
	gp->m = NULL;
	g_transition(gp, G_RUNNING, G_RUNNABLE);
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
	bool has_local = !runq_is_empty(&pp->runq);
	if (has_local || globq_size())
		pp->yield_heat = YIELD_HEAT;
	else if (pp->yield_heat)
		pp->yield_heat--;
	/*
	 * What the schedule loop would do after the put, under one lock, if nothing
	 * else has a claim.
	 */
	if (!has_local && timers_first(&pp->timers) == TIMER_NEVER && !mp->locked_g &&
	    !load_rlx(&sched.poll_turns) && /* relaxed: a hint; NW5 */
	    !load_acq(&sched.stop_wanted)) { /* STOP-OVER */
		pp->ticks_without_globq = 0;
		pp->turn++; /* FN6 */
		picked = globq_rotate(gp);
	} else {
		globq_put(gp);
	}
	if (unlikely(load_rlx(&idle.n_p))) /* relaxed: a hint; an idle P may take it */
		wake();
	return schedule_picked(mp, picked);
}

void yield_global(struct m *mp)
{
	int saved_errno = self_errno();

	switch_to_g0(mp, mp->curg, yield_on_g0);
	self_errno_set(saved_errno);
}
