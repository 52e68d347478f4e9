/*
 * handoff.c - taking the P of a thread that is away, and coming back without one.
 *
 *   goro_syscall_enter, or any call that blocks -> sysmon, world_stop, who comes back
 *        -> [p_take] -> [handoff] -> another M
 *   goro_syscall_exit, or any call of the library -> [call_enter_slow] -> the old P, an idle one,
 *        one of another system call; else the G queues and the M sleeps
 *
 * HO1  Who owns a P is settled by an asymmetric handshake. Coming in: at = RUNTIME; AT-ENTER: light
 *      fence; read is_taken. Taking, under sched.lock: is_taken = 1; AT-TAKE: heavy fence; read at:
 *      RUNTIME, and it is not taken. One of the two sees the other.
 * HO2  Who comes in and sees is_taken waits for sched.lock, under which the P is there still, or is
 *      gone for good.
 * HO3  A P is taken only when somebody waits for it: a G in its ring or the global queue, a timer
 *      that is due, who stops the world, or a G in another P's ring while nobody is free to steal
 *      it. Else the thread finds it again when it comes back.
 * HO4  A thread is known to be blocked, although nobody announced it, when its CPU clock has not
 *      moved between two looks and the kernel says that it sleeps: one that only waits for a CPU
 *      keeps its P.
 *
 * HO5  A P whose last calls were long ones, as they turned out, is not kept when the next begins:
 *      sysmon would come round too late for a thousand goroutines that all call something long. If
 *      somebody waits for it, it is given away (HO6), else it is offered (HO7).
 *
 * HO6  A P that is handed on lies in the idle list until somebody comes for it: who comes back from
 *      a call, without any delay, or a thread that was woken to look. While it was on its way to a
 *      thread that had to wake up first, a thousand goroutines in short calls waited in a queue.
 *
 * HO7  A P with is_offered belongs to nobody, is P_RUNNING and has no M: who takes the flag off, in
 *      one atomic step, owns it. Who comes back from a call does so without a lock, its old P
 *      first, else any; unless somebody looks whether the thread has a P, and would see that one.
 *      To take a P from a thread that kept it costs a heavy fence under sched.lock, an interrupt of
 *      the other CPUs, for which all who come back wait. To the rest an offered P is like one whose
 *      thread kept it: sysmon takes it when somebody waits.
 *
 * HO8  Who comes back from such a call and finds no P lets another thread run and looks once more
 *      before its G queues: the calls of the library between two calls that block are short.
 *
 * HO9  Who comes back, and finds that a timer of its P is due, yields: hundreds in short calls pass
 *      the Ps to each other without the schedule loop, which alone looks at timers, and take an
 *      idle P faster than a thread that was woken to look. The first of what is due goes before
 *      those that came back and queue (FN8).
 *
 * Entering and leaving cost a store and a load; there is no read-modify-write and no lock, but for
 * HO5.
 *
 * Locking: sched.lock; is_offered without. Orders: AT-ENTER, AT-TAKE, P-OFFER. Go: entersyscall,
 * exitsyscall, retake, handoffp in runtime/proc.go; there a P has a state that both sides change by
 * compare-and-swap in every call, and a call without a mark is not seen.
 */
#include "event/timer.h"
#include "goro.h"
#include "os/os.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/sched.h"

#ifdef GORO_MODEL
#define COMING_BACK_YIELDS 0
#else
#define COMING_BACK_YIELDS 1           /* HO8 */
#endif
#define SYSCALL_HEAT 16u               /* HO5 */
#define SYSCALL_LONG_NS INT64_C(20000) /* worth a hand-over to another thread */
#define START_AHEAD 8u                 /* threads that are made at a time for such calls */
#define LOOK_AGAIN_NS INT64_C(50000) /* between two looks at a thread that may be blocked */

/* ---- taking ---- */

/* HO7. True: the P is the caller's. */
static bool offer_take(struct p *pp)
{
	if (!load_rlx(&pp->is_offered)) /* relaxed: a hint */
		return false;
	if (MODEL_KEEP("offer-take"))
		return xchg_acq(&pp->is_offered, 0); /* P-OFFER: what its last owner did with it */
	store_rlx(&pp->is_offered, 0); /* relaxed: never compiled but for the explorer */
	return true;
}

bool p_take(struct p *pp)
{
	struct m *mp = load_acq(&pp->m); /* P-OWNER */

	if (offer_take(pp)) {
		preempt_clear(pp);
		return true;
	}
	if (!mp || load_rlx(&mp->at) == AT_RUNTIME) /* relaxed: a hint */
		return false;
	add_rlx(&mp->is_taken, TAKEN_BY_OTHER); /* relaxed: ordered by the fence */
	if (MODEL_KEEP("take-fence"))
		fence_heavy(); /* AT-TAKE: is_taken, then the look at where it is */
	uint32_t at = load_acq(&mp->at); /* AT-ENTER: what it did with the P */
	/* relaxed: it does not change while the M is away */
	if ((at == AT_RUNTIME && MODEL_KEEP("take-look")) || load_rlx(&mp->p) != pp) {
		add_rlx(&mp->is_taken, -TAKEN_BY_OTHER); /* relaxed: HO2 */
		return false;
	}
	store_rlx(&mp->p, NULL); /* relaxed: HO1 */
	mp->old_p = pp;
	store_rlx(&pp->m, NULL); /* relaxed: under the lock */
	preempt_clear(pp);
	return true;
}

bool somebody_waits(struct p *pp, int64_t now)
{
	return !runq_is_empty(&pp->runq) || globq_size() || timers_first(&pp->timers) <= now ||
	       load_rlx(&sched.stop_wanted); /* relaxed: under the lock */
}

/* Under sched.lock. HO3: something lies in a ring, and whoever could steal it has no P. */
static bool work_wants_a_thief(void)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */

	/* relaxed: hints; who looks already, or can be woken, finds it */
	if (load_rlx(&idle.n_p) || load_rlx(&idle.n_spinning))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!runq_is_empty(&sched.p[i]->runq))
			return true;
	return false;
}

/* HO4. What is seen is kept for the next look. */
static bool is_blocked(struct p *pp, const struct m *mp, int64_t now, bool *is_doubtful)
{
	struct p_watch *old = &pp->watch;
	struct p_watch seen = {.tid = mp->tid,
			       .tick = load_rlx(&pp->sched_calls) + /* relaxed: compared */
				       load_rlx(&pp->syscall_tick), /* relaxed: likewise */
			       .cpu_ns = os_thread_cpu_ns(mp->tid),
			       .at_ns = now};
	bool is_same = old->tid == seen.tid;
	int64_t ran_ns = seen.cpu_ns - old->cpu_ns, passed_ns = now - old->at_ns;

	/* Away for half of the time: another look soon, but not one after the other. */
	*is_doubtful = is_same && passed_ns > 2 * LOOK_AGAIN_NS && ran_ns < passed_ns / 2;
	is_same = is_same && old->tick == seen.tick && ran_ns == 0;
	*old = seen;
	return is_same && os_thread_is_asleep(seen.tid, true); /* else the clock alone must do */
}

/* An announced call that goes on since the last look, so for 20 us at least. */
static bool is_in_syscall(struct p *pp)
{
	uint32_t tick = load_rlx(&pp->syscall_tick); /* relaxed: only compared */
	bool is_same = pp->watch.tid == -1 && pp->watch.tick == tick;

	pp->watch = (struct p_watch){.tid = -1, .tick = tick};
	return is_same;
}

/* Under sched.lock. True: the P is the caller's. *soon: look again in LOOK_AGAIN_NS. */
static bool retake_one(struct p *pp, int64_t now, bool others_wait, bool *soon)
{
	struct m *mp = load_acq(&pp->m); /* P-OWNER */
	uint32_t at = mp ? load_rlx(&mp->at) : AT_RUNTIME; /* relaxed: a hint */
	bool is_offered = load_rlx(&pp->is_offered);       /* relaxed: likewise */
	bool is_away, is_doubtful = false;

	if ((at == AT_RUNTIME && !is_offered) || !(others_wait || somebody_waits(pp, now))) {
		pp->watch.tid = 0;
		return false;
	}
	if (is_offered)
		return p_take(pp);
	if (at == AT_SYSCALL) {
		is_away = is_in_syscall(pp);
		is_doubtful = !is_away;
	} else {
		is_away = is_blocked(pp, mp, now, &is_doubtful);
	}
	*soon |= is_doubtful;
	if (!is_away || !p_take(pp))
		return false;
	if (at == AT_SYSCALL) {
		pp->syscall_heat = SYSCALL_HEAT; /* HO5 */
	} else {
		pp->slow_heat = SLOW_HEAT; /* FN8 */
		store_rlx(&mp->away_since, now); /* relaxed: for reports */
	}
	return true;
}

/* What waits for the P may take as long: one thread after the other would be too late. */
static void handoff_from_long(struct p *pp)
{
	uint32_t n_waiting = globq_size() + runq_length(&pp->runq);

	handoff(pp);
	if (load_rlx(&sched.is_start_wanted)) /* relaxed: a hint */
		starter_ask_more(n_waiting < START_AHEAD ? n_waiting : START_AHEAD);
}

bool retake(int64_t now)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */
	struct p *taken = NULL;
	bool soon = false;

	if (!lock_acquire_within(&sched.lock, 0))
		return true; /* sysmon serves SIGQUIT even if somebody keeps it: DU2 */
	bool others_wait = work_wants_a_thief();
	for (uint32_t i = 0; i < n; i++) {
		struct p *pp = sched.p[i];
		if (load_rlx(&pp->state) != P_RUNNING) /* relaxed: under the lock */
			continue;
		if (retake_one(pp, now, others_wait, &soon)) {
			pp->idle_link = taken;
			taken = pp;
			others_wait = false; /* the first of them steals, and wakes others */
		} else {
			preempt_watch(pp, now);
		}
	}
	lock_release(&sched.lock);
	soon |= taken != NULL; /* others may wait for the next */
	while (taken) {
		struct p *next = taken->idle_link;
		handoff_from_long(taken);
		taken = next;
	}
	return soon;
}

/* Under sched.lock: pp, which is idle now, must not stay so. */
static bool has_work(struct p *pp)
{
	return !runq_is_empty(&pp->runq) || globq_size() ||
	       ((timers_first(&pp->timers) != TIMER_NEVER || poll_has_waits()) &&
		!load_rlx(&sched.keeper_taken)); /* relaxed: FN3 */
}

void handoff(struct p *pp)
{
	int64_t first;

	lock_acquire(&sched.lock);
	/* relaxed: under the lock. SR2: to the thread of a stopped goroutine, if to nobody else */
	if (load_rlx(&sched.n_stopped) && !idle.n_m && has_work(pp)) {
		start_m_locked(pp, false);
		return;
	}
	world_put_away(pp); /* who comes back from a call finds it there */
	if (load_rlx(&sched.stop_wanted)) { /* relaxed: under the lock */
		lock_release(&sched.lock);
	} else if (has_work(pp)) {
		start_looking();
	} else {
		lock_release(&sched.lock);
		fence_heavy(); /* WAKE-SLEEP: the idle P is visible, then the look at all work */
		if (work_is_visible(&first) || first != TIMER_NEVER || poll_has_waits())
			wake();
	}
}

/* ---- coming back ---- */

static struct p *p_of_another(void)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */

	for (uint32_t i = 0; i < n; i++) {
		struct p *pp = sched.p[i];
		const struct m *mp = load_acq(&pp->m); /* P-OWNER */
		/* relaxed, both: a hint */
		bool is_in_call = mp ? load_rlx(&mp->at) == AT_SYSCALL : load_rlx(&pp->is_offered);
		if (is_in_call && p_take(pp)) {
			pp->syscall_heat = SYSCALL_HEAT; /* HO5: the next is offered */
			return pp;
		}
	}
	return NULL;
}

/* Under sched.lock. */
static struct p *p_for(struct m *mp)
{
	if (load_rlx(&sched.stop_wanted)) /* relaxed: under the lock */
		return NULL;
	struct p *pp = mp->old_p ? idle_get_this_p(mp->old_p) : NULL;
	if (!pp)
		pp = idle_get_p();
	return pp ? pp : p_of_another();
}

static void *queue_on_g0(void *arg)
{
	struct g *gp = arg;
	struct m *mp = gp->m;

	mp->curg = NULL;
	gp->m = NULL;
	g_transition(gp, G_RUNNING, G_RUNNABLE);
	lock_acquire(&sched.lock);
	bool is_over = load_rlx(&sched.run_state) == RUN_ENDING; /* relaxed: under the lock */
	lock_release(&sched.lock);
	if (is_over)
		return mp->g0_sp; /* the G is buried where it stands: it may be in the queue */
	globq_put(gp);
	wake_outside();
	if (!mp->locked_g && !stop_m(mp))
		return mp->g0_sp;
	return schedule(mp);
}

/* HO7. The old P has what our G has just worked on in its caches. */
static struct p *offer_find(struct p *old)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */

	if (offer_take(old))
		return old;
	for (uint32_t i = 0; i < n; i++)
		if (offer_take(sched.p[i]))
			return sched.p[i];
	return NULL;
}

/* HO7, HO8 */
static bool came_back(struct m *mp)
{
	for (int i = 0;; i++) {
		struct p *pp = offer_find(mp->old_p);
		if (pp) {
			add_rlx(&mp->is_taken, -TAKEN_BY_SELF); /* relaxed: our own part of it */
			acquire_p(mp, pp);
			return true;
		}
		if (i == COMING_BACK_YIELDS || load_rlx(&idle.n_p)) /* relaxed: a hint */
			return false;
		os_thread_yield();
	}
}

static void come_back_by_lock(struct m *mp)
{
	lock_acquire(&sched.lock);
	store_rlx(&mp->is_taken, 0); /* relaxed: HO2 */
	if (load_rlx(&mp->p)) {      /* relaxed: under the lock */
		lock_release(&sched.lock);
		return; /* it was only looked at */
	}
	struct p *pp = p_for(mp);
	if (!pp && !mp->locked_g)
		on_way_begin(mp);
	lock_release(&sched.lock);
	if (pp) {
		acquire_p(mp, pp);
		sysmon_wake_if_asleep();
	} else {
		switch_to_g0(mp, mp->curg, queue_on_g0);
	}
}

/* HO9 */
static void yield_to_timers(void)
{
	struct m *mp = m_self();
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
	int64_t first = timers_first(&pp->timers);

	if (first == TIMER_NEVER || mp->locked_g || first > os_now())
		return;
	pp->slow_heat += !pp->slow_heat; /* FN8: not behind all that came back before us */
	yield_global(mp);
}

__attribute__((noinline)) void call_enter_slow(void)
{
	struct m *mp = m_self();
	int saved_errno = self_errno();
	int64_t gave_at = mp->gave_at;

	if (unlikely(fork_is_child))
		fork_fatal();
	int64_t away_ns = gave_at ? os_now() - gave_at : 0;
	mp->gave_at = 0;
	store_rlx(&mp->away_since, 0); /* relaxed: for reports */
	/* relaxed: ordered by the fence. Else somebody looks, and would take what we find */
	bool is_ours = load_rlx(&mp->is_taken) == TAKEN_BY_SELF || !MODEL_KEEP("offer-look");
	if (!is_ours || !came_back(mp))
		come_back_by_lock(mp);
	struct p *pp = load_rlx(&m_self()->p); /* relaxed: our own */
	if (away_ns >= SYSCALL_LONG_NS)
		pp->syscall_heat = SYSCALL_HEAT; /* HO5 */
	else if (gave_at && pp->syscall_heat)
		pp->syscall_heat--;
	yield_to_timers();
	self_errno_set(saved_errno);
}

/* ---- the calls ---- */

/* HO5, HO7 */
static void give_away(struct m *mp, struct p *pp)
{
	int saved_errno = self_errno();

	mp->gave_at = os_now();
	mp->old_p = pp;
	(void)release_p(mp);
	/*
	 * Added, since who took the P for ours until now may be about to take back what it has
	 * written there. Relaxed: only we read our part.
	 */
	add_rlx(&mp->is_taken, TAKEN_BY_SELF);
	if (somebody_waits(pp, mp->gave_at)) /* a due timer is somebody: HO3 */
		handoff_from_long(pp);
	else
		store_rel(&pp->is_offered, 1); /* P-OFFER: what we did with it */
	self_errno_set(saved_errno);
}

void goro_syscall_enter(void)
{
	struct g *gp = g_self();

	if (!gp || gp->syscall_depth++)
		return;
	(void)call_enter();
	struct m *mp = m_self();
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
	store_rlx(&pp->syscall_tick, load_rlx(&pp->syscall_tick) + 1); /* relaxed: only we write */
	/* relaxed, both: for reports */
	store_rlx(&mp->away_since, load_rlx(&sched.coarse_now));
	if (unlikely(pp->syscall_heat))
		give_away(mp, pp);
	store_rel(&mp->at, AT_SYSCALL); /* AT-ENTER: what we did with the P */
}

void goro_syscall_exit(void)
{
	struct g *gp = g_self();

	if (!gp)
		return;
	if (unlikely(gp->syscall_depth == 0))
		panic_at("goro_syscall_exit without goro_syscall_enter");
	if (--gp->syscall_depth)
		return;
	(void)call_enter();
	preempt_check();
	struct m *mp = m_self();
	store_rlx(&mp->away_since, 0);   /* relaxed: for reports */
	store_rel(&mp->at, AT_PROGRAM); /* AT-ENTER: what we did with the P */
}

void goro_blocking(void (*fn)(void *), void *arg)
{
	if (!fn)
		panic_at("goro_blocking of nil func value");
	goro_syscall_enter();
	ctx_call(fn, arg); /* no C++ exception may pass */
	goro_syscall_exit();
}

void call_abandon(void)
{
	struct g *gp = g_self();

	if (!gp)
		return;
	(void)call_enter();
	store_rel(&m_self()->at, AT_PROGRAM); /* AT-ENTER: what we did with the P */
}

void call_resume(struct g *gp, uint16_t syscall_depth)
{
	gp->syscall_depth = 0;
	if (syscall_depth == 0)
		return;
	goro_syscall_enter();
	gp->syscall_depth = syscall_depth;
}
