/*
 * preempt.c - asking a G that has run long enough to yield at its next call of the library.
 *
 *   sysmon (10 ms), world_stop -> [preempt_ask] -> P's request word
 *                              -> [preempt_check] in every call -> yield
 *
 * PR1  The low half of attention is the number of Ps with preempt != 0; each change of one goes
 *      with a change of the other, so that the fast paths read one word that is nearly always 0.
 * PR2  The high half counts the cancelled contexts that still exist: while there are any, every
 *      call that may wait looks whether its goroutine uses one of them.
 *
 * Locking: none. Order: PREEMPT-ASK. Go: preemptone, checked in every function prologue; ours
 * in every call of the library and in goro_checkpoint(). A loop that makes no call is not
 * stopped by this file.
 */
#include "event/timer.h"
#include "goro.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/sched.h"

atomic_of(uint64_t) attention;

void preempt_ask(struct p *pp)
{
	if (xchg_acq_rel(&pp->preempt, 1) == 0) /* PREEMPT-ASK */
		add_rlx(&attention, 1);         /* relaxed: seen soon enough */
}

void preempt_clear(struct p *pp)
{
	if (xchg_acq_rel(&pp->preempt, 0) != 0)          /* PREEMPT-ASK */
		add_rlx(&attention, (uint64_t)-1);       /* relaxed: likewise */
}

void preempt_ask_all(void)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */

	for (uint32_t i = 0; i < n; i++)
		if (load_rlx(&sched.p[i]->state) == P_RUNNING) /* relaxed: a hint */
			preempt_ask(sched.p[i]);
}

__attribute__((noinline)) bool attention_slow(void)
{
	struct m *mp = m_self();
	struct g *gp = mp ? mp->curg : NULL;

	if (!gp)
		return false;
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
	if (load_rlx(&pp->preempt)) {    /* relaxed: or another P is meant */
		preempt_clear(pp);
		yield_global(mp);
	}
	return ctx_is_canceled(gp->ctx);
}

void goro_checkpoint(void)
{
	preempt_check();
}

void goro_yield(void)
{
	struct m *mp = m_self();

	if (unlikely(!mp || !mp->curg))
		panic_at("goro_yield outside a goroutine");
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
	/*
	 * Nobody else to run: behind nobody is in front. Timers and requests are looked at all the
	 * same. Not while others have been seen lately: a yielder that skips the queue in the
	 * moment when it happens to be empty would get more than its share.
	 */
	if (!pp->yield_heat && runq_is_empty(&pp->runq) && !globq_size() &&
	    !mp->curg->has_canary && /* a yield is where a canary is looked at */
	    timers_first(&pp->timers) == TIMER_NEVER &&
	    !load_rlx(&attention) &&       /* relaxed: seen next time */
	    !load_rlx(&sched.stop_wanted)) /* relaxed: seen next time */
		return;
	yield_global(mp);
}
