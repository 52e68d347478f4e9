/*
 * preempt.c - a G that has run long enough yields at its next call of the library, or is stopped
 * where it is.
 *
 *   sysmon (10 ms), world_stop -> [preempt_ask] -> P's request word
 *                              -> [preempt_check] in every call -> yield
 *   sysmon (1 ms later)        -> SIGURG -> [on_signal] -> [stop_here]: the P goes to another M,
 *                                 the thread waits in the handler for its turn
 *
 * PR1  The low half of attention is the number of Ps with preempt != 0; each change of one goes
 *      with a change of the other, so that the fast paths read one word that is nearly always 0.
 * PR2  The high half counts the cancelled contexts that still exist: while there are any, every
 *      call that may wait looks whether its goroutine uses one of them.
 * PR3  A thread is stopped only while it is AT_PROGRAM: it holds no lock of ours, and whatever else
 *      it holds keeps its owner, since the goroutine goes on on the same thread.
 * PR4  A stopped G is RUNNABLE and is_stopped, lies in a run queue like any other, and is bound to
 *      its M as one that is locked: who picks it hands its own P over (locked.c).
 * PR5  Somebody else must be there for the P: an idle M, or the thread of another stopped G. Else
 *      the starter is asked for one first, and the G runs on until then.
 * PR6  A thread that sleeps in the kernel is not signalled: its P will be taken (handoff.c). The
 *      signal would end the call, and a sleep that is repeated begins anew each time.
 * PR7  When the run ends, a goroutine that makes no call within END_AFTER_NS, and whose calls so
 *      far are all in the program's own code, ends where it stands, so that goro_run() returns:
 *      nothing of libc is locked by it then. It is left as one that is parked. Whoever forbids to
 *      be stopped is waited for.
 * PR8  A G that was stopped when the run ended goes on although it lies in a queue still. It stays
 *      its thread's for whoever picks it there, having looked at stop_wanted before: locked.c sends
 *      that one away. What we have of its context is where it began, or on a stack that is gone.
 *
 * PR9  At the thread limit, with no M free, those that have a thread of their own take turns: the
 *      stopped, the locked and the pinned (wake.c). A goroutine without one waits until one of
 *      them ends or parks; if it has waited for LIMIT_AFTER_NS, that is the fatal error of the
 *      limit: nobody knows whether a loop ever ends. Only time in which sysmon looked again and
 *      again counts: while the process was stopped no loop could end. Who is stopped then makes
 *      ready first what is due, since no schedule loop may come to look at the timers.
 * PR10 Who is asked has STOP_AFTER_NS to answer by a call, however short sysmon's rounds are.
 * PR11 ThreadSanitizer puts a signal off until the thread calls a function that it intercepts, or
 *      makes an atomic operation, which a loop need not do. In a program that is under it, while we
 *      are not, the kernel calls us first: a thread that was interrupted outside of it (TS1) is
 *      stopped at once. Inside it may hold a lock that all need: there the signal is put off, and
 *      sent again a millisecond later. Who calls the handler that the kernel calls may be a handler
 *      of the program's that ThreadSanitizer has given the signal to: it is not put off again.
 * PR12 A handler of the program's that stands behind ours may call ours as the one from before:
 *      the signal is not given to it twice.
 *
 * We do not move the goroutine to another thread, nor change its registers: it may be inside
 * malloc, hold a pthread mutex, or have the address of a thread-local in a register.
 *
 * Locking: sched.lock. Order: PREEMPT-ASK, STOP-ASK, AT-ENTER, SIGNAL-UNDER. Go: preemptone, which
 * is checked in every function prologue, and preemptM, asyncPreempt, which change the registers.
 */
#include "base/fatal.h"
#include "base/sanitize.h"
#include "base/valgrind.h"
#include "event/timer.h"
#include "goro.h"
#include "os/os.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/held.h"
#include "sched/sched.h"

#define END_AFTER_NS INT64_C(50000000)  /* PR7 */
#define RED_ZONE 128 /* bytes below the stack pointer that a leaf uses; on amd64 */
#define END_REPEAT_NS INT64_C(5000000)
#define STOP_AFTER_NS SYSMON_MIN_NS /* what a request is given to be answered by a call */
#define STOP_LOST_NS INT64_C(100000000) /* a signal that has not come by then */
#define LIMIT_AFTER_NS INT64_C(1000000000) /* PR9 */
#define LIMIT_GAP_NS INT64_C(100000000)    /* PR9: rounds of sysmon are a millisecond apart */

atomic_of(uint64_t) attention;
void (*preempt_capture_hook)(const void *context);
bool (*preempt_end_hook)(const struct g *gp, const void *context);
bool (*preempt_urgent_hook)(void);
bool (*preempt_direct_hook)(const struct g *gp, const void *context);

/* Why a signal stopped nobody: GORODEBUG=preempt=1 prints them. */
#define STOP_OUTCOMES(X)                                    \
	X(DONE, "stopped")                                  \
	X(INSIDE, "was in a call of the library")           \
	X(FORBIDDEN, "goro_nopreempt_begin")                \
	X(LOST, "had lost its P")                           \
	X(NO_THREAD, "no thread for the others")            \
	X(TOO_MANY, "GORO_MAXSTOPPED")

enum stop_outcome {
#define STOP_OUTCOME_ENUM(name, text) STOP_##name,
	STOP_OUTCOMES(STOP_OUTCOME_ENUM)
#undef STOP_OUTCOME_ENUM
	STOP_OUTCOME_COUNT
};

static struct {
	struct sigaction old;   /* the program's handler of SIGURG */
	atomic_of(os_signal_handler *) under; /* PR11: ThreadSanitizer's, or NULL */
	uint32_t max_stopped;
	bool is_on;
	bool is_traced;
	bool was_blocked;       /* SIGURG, by who called goro_run: SG3 */
	int64_t ending_since;   /* sysmon: or 0 */
	struct globq_first first; /* sysmon, under sched.lock: who waits for a thread, PR9 */
	int64_t first_since;      /* likewise: so long at least */
	int64_t watched_since, watched_at; /* likewise: without a gap; and the last round */
	bool would_stop;          /* sched.lock: a loop, if there were a thread for the others */
	atomic_of(int) capture_tid; /* the signal on its way to this thread is for a report */
	atomic_of(uint64_t) n_sent;
	atomic_of(uint64_t) n[STOP_OUTCOME_COUNT];
} preempt;

/* ---- asking ---- */

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
	CALL_SCOPE;
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
	struct m *mp = m_self();

	/* relaxed: our own thread's, or seen next time; without a P nobody asks us to yield */
	if (unlikely(load_rlx(&attention)) || (mp && unlikely(load_rlx(&mp->is_taken))))
		(void)attention_slow();
}

void goro_yield(void)
{
	CALL_SCOPE;
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

/* ---- stopping: the thread that is stopped ---- */

static void count(enum stop_outcome outcome)
{
	add_rlx(&preempt.n[outcome], 1); /* relaxed: a statistic */
}

/* Under sched.lock: PR5, PR9. */
static bool somebody_can_take_over(void)
{
	return idle.n_m || load_rlx(&sched.n_stopped) || /* relaxed: under the lock */
	       load_rlx(&sched.stop_wanted) ||           /* relaxed: likewise */
	       (limit_is_reached() && sched.n_m_waiting_locked && MODEL_KEEP("limit-turns"));
}

/* Counted as stopped, or why not. */
static enum stop_outcome stop_begin(const struct m *mp, const struct g *gp, bool *is_crowded)
{
	enum stop_outcome outcome = STOP_DONE;

	if (load_rlx(&mp->is_taken)) /* relaxed: ordered by AT-ENTER */
		return STOP_LOST;
	if (gp->nopreempt_depth)
		return STOP_FORBIDDEN;
	lock_acquire(&sched.lock);
	if (load_rlx(&sched.run_state) != RUN_ON || /* relaxed: under the lock, like the next */
	    load_rlx(&sched.n_stopped) >= preempt.max_stopped)
		outcome = STOP_TOO_MANY;
	else if (!somebody_can_take_over())
		outcome = STOP_NO_THREAD;
	if (outcome == STOP_DONE)
		store_rlx(&sched.n_stopped, load_rlx(&sched.n_stopped) + 1); /* relaxed: as above */
	*is_crowded = !idle.n_m && limit_is_reached();
	preempt.would_stop |= *is_crowded;
	lock_release(&sched.lock);
	return outcome;
}

static void stop_end(struct m *mp, struct g *gp)
{
	lock_acquire(&sched.lock);
	store_rlx(&sched.n_stopped, load_rlx(&sched.n_stopped) - 1); /* relaxed: under the lock */
	lock_release(&sched.lock);
	mp->stop_context = NULL;
	if (!mp->next_p && MODEL_KEEP("stop-end-queued")) {
		if (gp->lock_depth == 0) /* PR8 */
			mp->locked_g = mp->is_host ? &pinned_mark : NULL;
	} else {
		gp->is_stopped = false;
		if (gp->lock_depth == 0)
			locked_release(mp, gp);
	}
	g_transition(gp, G_RUNNABLE, G_RUNNING);
}

/* PR9. What is due becomes ready as on g0, where no goroutine is the current one. */
static void look_at_timers(struct m *mp, struct g *gp)
{
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */

	mp->curg = NULL;
	check_timers(pp, os_now());
	mp->curg = gp;
}

/* VG3. Unless the program is on a stack of its own. */
static void forget_below(const struct g *gp, uintptr_t sp)
{
	if (sp > gp->stack.lo + RED_ZONE && sp <= gp->stack.hi)
		valgrind_forget(gp->stack.lo, sp - RED_ZONE);
}

/* PR4. On the alternate stack, in the handler. */
static void stop_here(struct m *mp, struct g *gp, const void *context, bool is_crowded)
{
	mp->stop_context = context;
	gp->is_stopped = true;
	gp->locked_m = mp;
	mp->locked_g = gp;
	g_transition(gp, G_RUNNING, G_RUNNABLE);
	if (unlikely(is_crowded))
		look_at_timers(mp, gp);
	struct p *pp = release_p(mp);
	/* At once: this M works until its G is queued, or it looks like a deadlock (DL1). */
	lock_acquire(&sched.lock);
	globq_put(gp);
	sched.n_m_waiting_locked++; /* who picks the G takes it off */
	lock_release(&sched.lock);
	start_m(pp, false);
	note_sleep(&mp->note);
	note_clear(&mp->note);
	if (unlikely(valgrind_is_here()))
		forget_below(gp, os_context_sp(context));
	stop_end(mp, gp);
	if (mp->next_p) {
		acquire_p(mp, mp->next_p);
		mp->next_p = NULL;
		slice_begin(load_rlx(&mp->p)); /* relaxed: our own */
	} else if (MODEL_KEEP("stop-end-taken")) {
		store_rlx(&mp->is_taken, 1); /* relaxed: the run ends; on to its next call */
	}
}

static void *leave_on_g0(void *arg)
{
	struct g *gp = arg;
	struct m *mp = gp->m;

	mp->curg = NULL;
	gp->m = NULL;
	g_transition(gp, G_RUNNING, G_RUNNABLE);
	return mp->g0_sp; /* it is buried where it stands */
}

/* PR7. In the handler. Returns if it must go on. */
static void leave_at_end(struct m *mp, struct g *gp, const void *context)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	/* On its own stack: ThreadSanitizer calls us, out of a function that must be finished. */
	if (here >= gp->stack.lo && here < gp->stack.hi)
		return;
	if (!mp->altstack || gp->nopreempt_depth || !preempt_end_hook ||
	    !preempt_end_hook(gp, context))
		return;
	lock_acquire(&sched.lock);
	store_rlx(&mp->is_taken, 0); /* relaxed: HO2 */
	if (load_rlx(&mp->p))        /* relaxed: under the lock */
		world_put_away(release_p(mp));
	lock_release(&sched.lock);
	os_signals_set_as_after(context);
	held_forget(mp);
	switch_to_g0(mp, gp, leave_on_g0); /* does not return */
}

static enum stop_outcome stop(struct m *mp, const void *context)
{
	struct g *gp = mp->curg;

	/* relaxed: our own; PR3 */
	if ((load_rlx(&mp->at) != AT_PROGRAM && MODEL_KEEP("stop-inside")) || !gp)
		return STOP_INSIDE;
	store_rlx(&mp->at, AT_RUNTIME); /* relaxed: ordered by the fence */
	fence_light();                  /* AT-ENTER */
	if (load_acq(&sched.run_state) == RUN_ENDING) /* RUN-STATE */
		leave_at_end(mp, gp, context);
	bool is_crowded;
	enum stop_outcome outcome = stop_begin(mp, gp, &is_crowded);
	if (outcome == STOP_DONE)
		stop_here(mp, gp, context, is_crowded);
	store_rel(&mp->at, AT_PROGRAM); /* AT-ENTER */
	return outcome;
}

/* False: it takes no notice, so that a call must not end by it, either. */
static bool give_to_program(int signo, siginfo_t *info, void *context)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (here < *self_giving()) /* PR12. Else the program has jumped out of its handler. */
		return true;
	if (preempt_urgent_hook && preempt_urgent_hook())
		return true;
	if (preempt.old.sa_handler == SIG_DFL || preempt.old.sa_handler == SIG_IGN)
		return false;
	*self_giving() = here;
	os_signal_forward(signo, info, context, &preempt.old);
	*self_giving() = 0;
	return true;
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
	struct m *mp = m_self();
	int saved_errno = self_errno();

	/*
	 * Whoever sent this one: two that wait for a thread are one for the kernel, so that ours
	 * may be in it. One that comes when we have been served already is still known for ours.
	 */
	if (mp && load_acq(&preempt.capture_tid) == mp->tid) { /* STOP-ASK */
		store_rlx(&preempt.capture_tid, 0); /* relaxed: one dump at a time */
		preempt_capture_hook(context);
	}
	if (mp && xchg_acq_rel(&mp->stop_asked, 0)) /* STOP-ASK */
		count(stop(mp, context));
	if (os_signal_is_own(info) || !give_to_program(signo, info, context))
		os_context_repeat_call(context);
	self_errno_set(saved_errno);
}

/* Is the signal meant for this thread, and may it be served where it was interrupted? PR11 */
SANITIZE_NOTHING static bool is_direct(const void *context)
{
	struct m *mp = m_self();
	struct g *gp = mp ? mp->curg : NULL;

	/* relaxed, all: our own, or a hint, since on_signal looks again */
	return gp && load_rlx(&mp->at) == AT_PROGRAM &&
	       (load_rlx(&mp->stop_asked) || load_rlx(&preempt.capture_tid) == mp->tid) &&
	       preempt_direct_hook(gp, context);
}

/* In front of ThreadSanitizer's handler, or behind one of the program's: PR11. */
SANITIZE_NOTHING static void on_signal_first(int signo, siginfo_t *info, void *context)
{
	if (!os_signal_is_from_kernel(info, context) || is_direct(context))
		on_signal(signo, info, context);
	else
		load_acq(&preempt.under)(signo, info, context); /* SIGNAL-UNDER */
}

static void put_before(void)
{
	if (preempt_direct_hook)
		os_signal_put_before(SIGURG, on_signal, on_signal_first, &preempt.under);
}

/* ---- stopping: sysmon ---- */

static void insist(void)
{
	os_signal_insist(SIGURG, on_signal, &preempt.old);
	put_before();
}

/* Under sched.lock. */
static void stop_signal(struct m *mp, int64_t now)
{
	insist();
	mp->stop_asked_at = now;
	add_rlx(&preempt.n_sent, 1);  /* relaxed: a statistic */
	store_rel(&mp->stop_asked, 1); /* STOP-ASK */
	os_thread_signal(mp->tid, SIGURG);
}

/*
 * Under sched.lock: pp is to be taken from a loop; no thread is free, nor may there be one more.
 * True: somebody has waited too long, which is fatal when the handler finds that the loop would
 * stop (PR9). What lies in the ring of a P whose tick stands still was there before.
 */
static bool limit_watch(struct p *pp, int64_t now)
{
	struct globq_first first = globq_first_unbound();
	int64_t long_ago = now - LIMIT_AFTER_NS;

	if (first.id != preempt.first.id || first.n_taken != preempt.first.n_taken) {
		preempt.first = first;
		preempt.first_since = now;
		preempt.would_stop = false;
	}
	bool starves = preempt.watched_since <= long_ago &&
		       ((first.id && preempt.first_since <= long_ago) ||
			timers_first(&pp->timers) <= long_ago ||
			(pp->seen_since <= long_ago && !runq_is_empty(&pp->runq)));
	if (sched.n_on_way) { /* SC4: it may sleep until a timer */
		keeper_break();
		return false;
	}
	if (starves && preempt.would_stop)
		limit_fatal();
	preempt.would_stop = false;
	return starves;
}

/* Under sched.lock. */
static void stop_ask(struct p *pp, int64_t now)
{
	struct m *mp = load_acq(&pp->m); /* P-OWNER */

	if (!preempt.is_on || !mp || load_rlx(&mp->at) != AT_PROGRAM || /* relaxed: a hint */
	    load_rlx(&sched.run_state) != RUN_ON || /* relaxed: under the lock, like the next */
	    load_rlx(&sched.n_stopped) >= preempt.max_stopped || /* it would only go on */
	    os_thread_is_asleep(mp->tid, false)) /* PR6 */
		return;
	bool starves = !idle.n_m && limit_is_reached() && limit_watch(pp, now);
	if (!starves && !somebody_can_take_over()) {
		if (sched.n_m + sched.n_to_start < sched.max_m && starter_ask())
			starter_wake();
		return;
	}
	/* One at a time. Unless it has been lost to a handler that the program has put up. */
	int64_t lost_after = load_rlx(&preempt.under) ? STOP_AFTER_NS : STOP_LOST_NS; /* PR11 */
	/* relaxed, both: a look */
	if (load_rlx(&mp->stop_asked) && now - mp->stop_asked_at < lost_after)
		return;
	stop_signal(mp, now);
}

/* PR7 */
void preempt_end_loops(int64_t now)
{
	if (!preempt.ending_since)
		preempt.ending_since = now;
	if (!preempt.is_on || now - preempt.ending_since < END_AFTER_NS ||
	    !lock_acquire_within(&sched.lock, 0))
		return;
	for (struct m *mp = sched.all_m; mp; mp = mp->all_link)
		if (load_rlx(&mp->at) == AT_PROGRAM && /* relaxed: a hint */
		    now - mp->stop_asked_at >= END_REPEAT_NS &&
		    !os_thread_is_asleep(mp->tid, false)) /* PR6 */
			stop_signal(mp, now);
	lock_release(&sched.lock);
}

void preempt_watch(struct p *pp, int64_t now)
{
	uint32_t tick = load_rlx(&pp->sched_tick); /* relaxed: compared over ms */
	bool is_stopping = load_rlx(&sched.stop_wanted); /* relaxed: under the lock */

	if (now - preempt.watched_at > LIMIT_GAP_NS)
		preempt.watched_since = now; /* the process stood still, or all of it was idle */
	preempt.watched_at = now;
	if (tick != pp->seen_tick) {
		pp->seen_tick = tick;
		pp->seen_since = now;
	}
	if (!is_stopping && now - pp->seen_since < SLICE_NS)
		return;
	bool others_wait = somebody_waits(pp, now);
	/* A request that nobody needs would only make every call look: PR1. */
	if (!others_wait && !pinned_wait(pp))
		return;
	if (!load_rlx(&pp->preempt)) /* relaxed: a look */
		pp->asked_at = now;
	preempt_ask(pp);
	bool is_late = is_stopping || now - pp->asked_at >= STOP_AFTER_NS; /* PR10 */
	if (is_late && others_wait) /* those that are pinned here could not run then, either */
		stop_ask(pp, now);
}

/* ---- the run ---- */

void preempt_install(void)
{
	long mode = os_debug(OS_DEBUG_PREEMPT);
	bool is_good;

	preempt.max_stopped = os_maxstopped(&is_good); /* boot.c complains */
	preempt.is_on = mode != 0;
	preempt.ending_since = 0;
	preempt.first = (struct globq_first){0};
	preempt.is_traced = mode == 1;
	os_signal_install(SIGURG, on_signal, &preempt.old);
	put_before();
	preempt.was_blocked = !os_signal_let(SIGURG, true);
}

static void trace(void)
{
	static const char *const names[] = {
#define STOP_OUTCOME_NAME(name, text) text,
		STOP_OUTCOMES(STOP_OUTCOME_NAME)
#undef STOP_OUTCOME_NAME
	};

	print_to(2, "goro: preempt: %lu signals",
		 (unsigned long)load_rlx(&preempt.n_sent)); /* relaxed: a statistic */
	for (int i = 0; i < STOP_OUTCOME_COUNT; i++)
		print_to(2, "%s%s: %lu", i ? ", " : "; ", names[i],
			 (unsigned long)load_rlx(&preempt.n[i])); /* relaxed: a statistic */
	print_to(2, "\n");
}

void preempt_remove(void)
{
	if (preempt.was_blocked)
		(void)os_signal_let(SIGURG, false);
	preempt.was_blocked = false; /* the next remove may be without an install */
	os_signal_restore_if(SIGURG, on_signal, &preempt.old);
}

void preempt_capture(int tid)
{
	insist();
	store_rel(&preempt.capture_tid, tid); /* STOP-ASK */
	os_thread_signal(tid, SIGURG);
}

__attribute__((destructor)) static void preempt_at_exit(void)
{
	if (preempt.is_traced)
		trace();
}

void goro_nopreempt_begin(void)
{
	struct m *mp = m_self();

	if (mp && mp->curg)
		mp->curg->nopreempt_depth++;
}

void goro_nopreempt_end(void)
{
	struct m *mp = m_self();

	if (!mp || !mp->curg)
		return;
	if (unlikely(mp->curg->nopreempt_depth == 0))
		panic_at("goro_nopreempt_end without goro_nopreempt_begin");
	mp->curg->nopreempt_depth--;
	preempt_check();
}
