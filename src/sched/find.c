/*
 * find.c - where the next G comes from, and going to sleep when there is none.
 *
 *   schedule -> [find_runnable]: timers, every 61st the global queue, next slot, ring, global
 *               queue, steal from the others; again for a moment (linger.c); then release the P,
 *               look at everything again, sleep
 *
 * FN1  Whoever releases its P passes WAKE-SLEEP (wake.c) before it sleeps.
 * FN2  A next slot is stolen only in the last round, and only from a P whose G has run for a few
 *      microseconds since: the pair that hands a value to and fro on one P is left alone.
 * FN4  No G waits in the global queue while a P takes more than GLOBQ_TICK slices from its own
 *      ring. The count starts anew whenever the ring runs empty, so that Gs which only yield keep
 *      their strict rotation.
 * FN3  While any heap holds a timer and an M is idle, one idle M (the keeper) sleeps no longer than
 *      until the first of them:
 *      keeper: KEEP-SLEEP: publish "until anything", heavy fence, read all heaps;
 *      arming: write the heap's first_when, light fence (KEEP-ADD), read keeper_until.
 * FN5  What a timer made runnable waits for no more slices than the ring was long: the next slot
 *      goes behind it.
 * FN6  The next slot shuts out neither the ring nor the global queue: when something was in it at
 *      each look for NEXT_TURN_NS, whatever else ran in between (what is urgent, the global queue's
 *      share, a locked G with slices of its own), it goes to the end of the global queue, as if it
 *      had yielded; after GLOBQ_TICK slices, if that queue is empty, it goes behind the ring.
 * FN7  Gs that were stopped because they run long come from the global queue one by one, so that
 *      what becomes ready meanwhile, and goes into the ring, waits for one of them, not for all.
 * FN8  After a G has kept the P for LONG_SLICE_NS, or the next slot for its turn (FN6), or the P
 *      was taken from a thread that blocks (HO4), what is due goes before the ring, one by one and
 *      for so many times: when each G of a long ring computes for a slice, or blocks for as long
 *      as it takes to see that, a ticker waits for one of them and not for all. Not always: who
 *      sleeps for a nanosecond again and again would shut out the ring. Nor after one that went
 *      first and then took long itself: between two such the ring has a turn.
 * FN9  A spinner that lately found little but pairs (FN2) rests for a moment before it no longer
 *      counts as one, if no timer and no descriptor is waited for: a pair gives a reason to wake an
 *      M with every value, and each wake takes it the time of fifty. Who submits work meanwhile
 *      relies on that spinner as on any other (WAKE-SLEEP), which then looks so much later.
 * FN10 Who gives up the last P needs no heavy fence: no light side has a P at that moment, and who
 *      gets one does so under sched.lock, and so sees this one idle, the count of spinners gone
 *      down and the keeper's role taken, since all of that was done under it. Light sides without a
 *      P make a full fence (wake_outside). An M that cannot find anything to steal does not spin.
 *
 * Locking: sched.lock to release and acquire Ps. Go: findRunnable, stealWork, pollWork in
 * runtime/proc.go.
 */
#include "base/rand.h"
#include "event/netpoll.h"
#include "event/timer.h"
#include "os/os.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/sched.h"

#define LONG_SLICE_NS INT64_C(100000) /* FN8 */
#define NEXT_TURN_NS INT64_C(1000000) /* FN6 */
#define NEXT_SLOW_NS INT64_C(10000)   /* a G that runs so long is worth a look at the clock */
#define NEXT_LOOK 64u                 /* else so many of them */
#define REST_NS INT64_C(50000)        /* FN9, like the next */
#define PAIRS_SEEN 4u                 /* so much for a pass that saw one; each other takes 1 off */
#define PAIRS_REST 8u                 /* from so much on it rests */
#define PAIRS_MOST 16u

#ifdef GORO_MODEL
#define NEXT_SLOT_AGE_NS 0
#else
#define NEXT_SLOT_AGE_NS 3000
#endif

void check_timers(struct p *pp, int64_t now)
{
	struct glist due = {0};

	timers_expire(&pp->timers, now, &due);
	ready_list(&due);
}

/*
 * Two Gs that wake each other by turns would keep out for a whole slice what has just become due:
 * FN5.
 */
static void next_goes_behind(struct p *pp)
{
	struct g *gp = runq_get_next(&pp->runq);

	pp->turn++;
	if (!gp)
		return;
	put_runnable(pp, gp, false);
	wake(); /* who looked in between did not see it */
}

/* FN6: as a yield, behind all that wait: the ring comes first, then those in front of it. */
static void next_yields(struct p *pp)
{
	struct g *gp = runq_get_next(&pp->runq);

	pp->turn++;
	if (!gp)
		return;
	globq_put(gp);
	wake(); /* who looked in between did not see it */
}

/* FN6: gp goes before what is in the next slot, whose turn goes on; or nothing is there. */
static struct g *before_next(struct p *pp, struct g *gp)
{
	if (!load_rlx(&pp->runq.next)) /* relaxed: only we fill it */
		pp->turn++;
	return gp;
}

/* FN6. Looked at rarely while Gs stop soon, and each time when they do not. */
static void next_turn_look(struct p *pp)
{
	int64_t now = os_now();
	bool is_slow = now - pp->turn_looked_at >=
		       load_rlx(&pp->turn_every) * NEXT_SLOW_NS; /* relaxed: a hint, NW6 */

	pp->turn_looked_at = now;
	store_rlx(&pp->turn_every, is_slow ? 1 : NEXT_LOOK); /* relaxed: likewise, as below */
	if (pp->turn != pp->turn_seen || !pp->turn_since) {
		pp->turn_seen = pp->turn;
		pp->turn_since = now;
	} else if (now - pp->turn_since >= NEXT_TURN_NS) {
		store_rlx(&pp->turn_every, 1); /* relaxed: nothing is known of those that come */
		pp->slow_heat = SLOW_HEAT; /* FN8 */
		next_yields(pp);
	}
}

/* Now and then, and more often when there is a reason: what is urgent (NW6), or NULL. */
__attribute__((noinline)) static struct g *look_around(struct p *pp)
{
	bool has_urgent = globq_has_urgent();

	pp->turn_calls = load_rlx(&pp->sched_calls); /* relaxed: only we write */
	if (owed_look(pp) && !has_urgent) {
		store_rlx(&pp->turn_every, 1); /* relaxed: a hint, NW6; like the next */
		return NULL;
	}
	if (runq_length(&pp->runq) + globq_size() > 1)
		next_turn_look(pp);
	else
		store_rlx(&pp->turn_every, NEXT_LOOK); /* relaxed: likewise */
	if (!has_urgent)
		return NULL;
	store_rlx(&pp->turn_every, 2); /* relaxed: that, and one of our own */
	return before_next(pp, globq_get_urgent());
}

static struct g *find_local(struct p *pp, bool *inherits_slice)
{
	struct g *gp = runq_get_next(&pp->runq);

	if (gp) {
		*inherits_slice = true;
		return gp;
	}
	pp->turn++; /* FN6 */
	return runq_get(&pp->runq);
}

/* FN8. The time since the last look is that of the slice, or there is no ring that would wait. */
static void slice_measure(struct p *pp, int64_t now)
{
	if (now - pp->looked_at >= LONG_SLICE_NS)
		pp->slow_heat = pp->goes_first ? 0 : SLOW_HEAT;
	pp->goes_first = false;
	pp->looked_at = now;
}

/* What is due becomes runnable. Returned is what goes before the ring: FN8. */
static struct g *timers_ready(struct p *pp, int64_t now)
{
	struct glist due = {0};

	if (pp->slow_heat)
		timers_expire_first(&pp->timers, now, &due);
	struct g *first = glist_pop(&due);
	if (first) {
		pp->slow_heat--;
		pp->goes_first = true;
		g_transition(first, G_WAITING, G_RUNNABLE);
	} else {
		timers_expire(&pp->timers, now, &due);
	}
	ready_list(&due);
	next_goes_behind(pp);
	return first;
}

/* FN2. */
static bool next_slot_is_old(struct m *mp, struct p *victim)
{
	struct g *before = load_rlx(&victim->runq.next); /* relaxed: only compared */
	uint32_t calls = load_rlx(&victim->sched_calls); /* relaxed: likewise */

	if (!before || load_rlx(&victim->state) != P_RUNNING) /* relaxed: a hint */
		return before != NULL;
	for (int64_t end = os_now() + NEXT_SLOT_AGE_NS; os_now() < end;)
		cpu_relax();
	if (load_rlx(&victim->runq.next) == before &&    /* relaxed: as above */
	    load_rlx(&victim->sched_calls) == calls)     /* relaxed: as above */
		return true;
	mp->saw_pair = true;
	return false;
}

static struct g *steal_from(struct m *mp, struct p *victim, bool is_last_round, int64_t *now)
{
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */

	if (is_last_round && timers_first(&victim->timers) != TIMER_NEVER) {
		if (!*now)
			*now = os_now();
		if (timers_first(&victim->timers) <= *now) {
			check_timers(victim, *now);
			struct g *gp = runq_get(&pp->runq);
			if (gp)
				return gp;
		}
	}
	if (runq_length(&victim->runq) == 0)
		return NULL;
	return runq_steal(&pp->runq, &victim->runq, is_last_round && next_slot_is_old(mp, victim));
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t t = a % b;
		a = b;
		b = t;
	}
	return a;
}

/* Four passes over all Ps, each from a random start in a random order. */
static struct g *steal(struct m *mp)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */
	int64_t now = 0;

	for (int round = 0; round < STEAL_ROUNDS; round++) {
		uint32_t at = rand_below(&mp->rand, n);
		uint32_t step = 1 + rand_below(&mp->rand, n);
		while (gcd(step, n) != 1)
			step = step % n + 1;
		for (uint32_t i = 0; i < n; i++, at = (at + step) % n) {
			struct p *victim = sched.p[at];
			if (load_rlx(&sched.stop_wanted)) /* relaxed: a hint */
				return NULL;
			if (victim == load_rlx(&mp->p)) /* relaxed: our own */
				continue;
			struct g *gp = steal_from(mp, victim, round == STEAL_ROUNDS - 1, &now);
			if (gp)
				return gp;
		}
	}
	return NULL;
}

/* FN9: after a pass over all that found nothing to steal. */
static void note_pairs(struct m *mp)
{
	if (!mp->saw_pair)
		mp->n_pairs -= mp->n_pairs > 0;
	else if (mp->n_pairs < PAIRS_MOST)
		mp->n_pairs += PAIRS_SEEN;
	mp->saw_pair = false;
}

/* FN9. The P is idle already, and the world may stop meanwhile. */
static void rest(struct m *mp)
{
	int64_t first;

	if (mp->n_pairs < PAIRS_REST || poll_has_waits())
		return;
	(void)work_is_visible(&first);
	if (first == TIMER_NEVER)
		os_sleep_until(os_now() + REST_NS);
}

static bool may_spin(struct m *mp)
{
	uint32_t busy = load_acq(&sched.n_procs) - /* PROCS-SET */
			load_rlx(&idle.n_p);       /* relaxed: a heuristic */

	/* Timers of idle Ps are left to who spins already: it has slept until they are due. */
	return mp->is_spinning ||
	       (busy > 1 && 2 * load_rlx(&idle.n_spinning) < busy); /* relaxed: a guess, WK2 */
}

/* Before the heavy fence after which every new timer breaks our sleep. False: another M does it. */
static bool keeper_take(void)
{
	if (xchg_acq_rel(&sched.keeper_taken, 1)) /* KEEP-TAKE */
		return false;
	note_clear(&sched.keeper_note);
	/* relaxed, both: ordered by the fence */
	store_rlx(&sched.keeper_polls, load_acq(&netpoll_is_on)); /* NETPOLL-ON */
	store_rlx(&sched.keeper_until, TIMER_NEVER);
	return true;
}

/* How the P was given away: FN10. */
struct release {
	bool is_last, is_keeper;
};

/* Give the P away. False: there is a reason to stay (the global queue, or the world stops). */
static bool release_p_to_idle(struct m *mp, struct release *how)
{
	lock_acquire(&sched.lock);
	/* relaxed: written under the lock; a hint */
	if ((load_rlx(&sched.stop_wanted) && MODEL_KEEP("stop-idle-recheck")) || globq_size()) {
		lock_release(&sched.lock);
		return false;
	}
	idle_put_p(release_p(mp));
	on_way_begin(mp);
	/* relaxed: under the lock */
	how->is_last = load_rlx(&idle.n_p) == load_acq(&sched.n_procs); /* PROCS-SET */
	if (how->is_last && mp->is_spinning && MODEL_KEEP("last-spinner-locked"))
		spinning_stop(mp);
	if (how->is_last && MODEL_KEEP("last-keeper-locked"))
		how->is_keeper = keeper_take();
	lock_release(&sched.lock);
	return true;
}

bool work_is_visible(int64_t *first_timer)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */
	bool is_visible = globq_size() != 0;

	*first_timer = TIMER_NEVER;
	for (uint32_t i = 0; i < n; i++) {
		if (!runq_is_empty(&sched.p[i]->runq))
			is_visible = true;
		if (timers_first(&sched.p[i]->timers) < *first_timer)
			*first_timer = timers_first(&sched.p[i]->timers);
	}
	return is_visible;
}

bool reacquire_p(struct m *mp)
{
	lock_acquire(&sched.lock);
	struct p *pp = idle_get_p();
	if (pp) {
		on_way_end(mp);
		store_rlx(&sched.is_start_wanted, 0); /* relaxed: under the lock; SR1 */
	}
	lock_release(&sched.lock);
	if (!pp)
		return false;
	acquire_p(mp, pp);
	spinning_begin(mp);
	sysmon_wake_if_asleep();
	return true;
}

/*
 * The same, not spinning, to run the Gs that the poller brought: no other M is woken to look
 * on, which for a single connection would cost more than its request; that is owed (OW1). Nothing
 * may rely on this M to look: no timer is due soon, no thread is being started (SR1). Sysmon asks
 * the poller meanwhile (NW1).
 */
static bool reacquire_quietly(struct m *mp, struct glist *ready)
{
	int64_t first;

	/*
	 * Who armed a timer before we gave the keeper's role back relied on us; one that we cannot
	 * see yet is sysmon's (keeper_watch).
	 */
	/* relaxed: a hint, written just now */
	if (!ready->head || work_is_visible(&first) ||
	    first <= load_rlx(&sched.coarse_now) + TIMER_NEAR_NS || !owed_may_be())
		return false;
	lock_acquire(&sched.lock);
	struct p *pp = load_rlx(&sched.is_start_wanted) ? NULL : idle_get_p(); /* relaxed: so */
	if (pp)
		on_way_end(mp);
	lock_release(&sched.lock);
	if (!pp)
		return false;
	acquire_p(mp, pp);
	poll_brought(pp, ready);
	ready_list_owed(pp, ready);
	sysmon_wake_if_asleep();
	return true;
}

void keeper_watch(int64_t now)
{
	int64_t first;

	/* relaxed, both: hints */
	if (load_rlx(&sched.keeper_taken) || load_rlx(&idle.n_p) == 0)
		return;
	(void)work_is_visible(&first);
	if (first <= now + SYSMON_MIN_NS) /* OW5 */
		wake();
}

void keeper_break(void)
{
	if (load_rlx(&sched.keeper_polls)) /* relaxed: ordered as keeper_until is */
		netpoll_break();
	else
		note_wake(&sched.keeper_note);
}

static void keeper_wait(int64_t first, struct glist *ready)
{
	if (load_rlx(&sched.keeper_polls)) /* relaxed: our own */
		poll_block(first, ready);
	else
		(void)note_sleep_until(&sched.keeper_note, first);
}

/*
 * Sleep until the first timer of all Ps, or until a descriptor is ready, unless there is work.
 * True: look at everything again; false: nobody waits for either.
 */
static bool keeper_sleep(bool has_work, int64_t first, struct glist *ready)
{
	/*
	 * Relaxed, both (the second is our own): who turned it on meanwhile may have broken in
	 * before the note was cleared.
	 */
	if (load_rlx(&netpoll_is_on) != load_rlx(&sched.keeper_polls) &&
	    MODEL_KEEP("keeper-poll-look"))
		has_work = true;
	if (!has_work && (first != TIMER_NEVER || poll_has_waits()) &&
	    load_rlx(&sched.run_state) != RUN_ENDING) { /* relaxed: it wakes us */
		/* relaxed: whoever sees the old value wakes us too soon */
		store_rlx(&sched.keeper_until, first);
		keeper_wait(first, ready);
		has_work = true;
	}
	store_rel(&sched.keeper_taken, 0); /* KEEP-TAKE */
	if (!has_work && MODEL_KEEP("keeper-leave-look")) {
		/*
		 * Who armed a timer since our look relied on us, or found the role taken
		 * and sleeps: FN3.
		 */
		fence_heavy(); /* KEEP-SLEEP: the role is free, then the look */
		has_work = work_is_visible(&first) || first != TIMER_NEVER || poll_has_waits();
	}
	return has_work;
}

/* One for two, since a heavy one calls the kernel and interrupts other CPUs. */
static void sleep_fence(bool is_last)
{
	if (is_last)
		fence_seq_cst(); /* WAKE-SLEEP, KEEP-SLEEP: FN10 */
	else
		fence_heavy(); /* WAKE-SLEEP, KEEP-SLEEP: we idle, then the look at all */
}

/*
 * Nothing to run. Returns with a P (true: look again), or false when the run has ended.
 */
static bool sleep_until_woken(struct m *mp)
{
	struct release how = {0};

	if (!release_p_to_idle(mp, &how))
		return true;
	mp->armed_timer = false;
	if (mp->is_spinning) {
		rest(mp);
		spinning_stop(mp);
	}
	for (;; how.is_last = false) {
		struct glist ready = {0};
		int64_t first;
		bool is_keeper = how.is_last && MODEL_KEEP("last-keeper-locked") ? how.is_keeper :
										   keeper_take();
		if (MODEL_KEEP("wake-sleep-fence"))
			sleep_fence(how.is_last);
		bool has_work = work_is_visible(&first) &&
				(is_keeper || MODEL_KEEP("wake-recheck"));
		if (is_keeper)
			has_work = keeper_sleep(has_work, first, &ready);
		if (!has_work)
			break;
		store_rlx(&sched.coarse_now, os_now()); /* relaxed: a hint */
		if (reacquire_quietly(mp, &ready))
			return true;
		bool has_p = reacquire_p(mp);
		if (has_p)
			poll_brought(load_rlx(&mp->p), &ready); /* relaxed: our own */
		ready_list(&ready);
		if (has_p)
			return true;
		if (load_rlx(&idle.n_p) == 0) /* relaxed: all look at their own timers */
			break;
	}
	return stop_m(mp);
}

struct g *find_runnable(struct m *mp, bool *inherits_slice)
{
	struct moment linger = {0};

	for (;;) {
		struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
		struct g *gp;
		if (unlikely(load_acq(&sched.stop_wanted))) { /* STOP-OVER */
			if (!world_stop_here(mp))
				return NULL;
			continue;
		}
		if (timers_first(&pp->timers) != TIMER_NEVER) {
			int64_t now = os_now();
			slice_measure(pp, now);
			if (timers_first(&pp->timers) <= now && (gp = timers_ready(pp, now)))
				return gp;
		}
		/* relaxed, both: only we write; a hint */
		if (unlikely(load_rlx(&pp->sched_calls) - pp->turn_calls >=
			     load_rlx(&pp->turn_every)) &&
		    (gp = look_around(pp)))
			return gp;
		uint32_t share = load_rlx(&sched.n_procs); /* relaxed: a divisor */
		if (pp->ticks_without_globq >= GLOBQ_TICK) {
			pp->ticks_without_globq = 0;
			if ((gp = globq_get(&pp->runq, share, 1)))
				return before_next(pp, gp);
			if (runq_length(&pp->runq) > 1)
				next_goes_behind(pp); /* FN6 */
		}
		if ((gp = find_local(pp, inherits_slice)))
			return gp;
		if ((gp = poll_by_turns(pp)))
			return gp;
		pp->ticks_without_globq = 0;
		/* Not a ring full of long runners: FN7; relaxed: a hint */
		if ((gp = globq_get(&pp->runq, share, load_rlx(&sched.n_stopped) ? 1 : COLD_BATCH)))
			return gp;
		if ((gp = linger.until ? linger_ask(pp, &linger) : poll_network(pp)))
			return gp;
		if (may_spin(mp)) {
			if (!mp->is_spinning)
				spinning_begin(mp);
			if ((gp = steal(mp))) {
				mp->n_pairs = 0;
				mp->saw_pair = false;
				return gp;
			}
			note_pairs(mp);
		}
		if (!mp->is_spinning && linger_goes_on(pp, &linger))
			continue;
		linger = (struct moment){0};
		if (!sleep_until_woken(mp))
			return NULL;
	}
}
