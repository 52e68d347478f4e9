/*
 * wake.c - bringing idle Ms to work, and never too few of them.
 *
 *   go(), ready(), timers -> [wake] -> a spinning M -> find -> work, or sleep again (find.c)
 *
 * The protocol (Go's, told for both sides). Work may be published in any ring, in the global queue,
 * or as a timer. An M may sleep only when there is no work that nobody looks for.
 *
 *   submit:  publish the work;               WAKE-SUBMIT: light fence;  read n_idle_p, n_spinning;
 *            if a P is idle and nobody spins: wake an M that spins.
 *   sleep:   n_idle_p++ (P released); n_spinning-- if it spun;  WAKE-SLEEP: heavy fence;
 *            look at every ring, the global queue and the timers again.
 *
 * The light and the heavy fence are a StoreLoad pair (base/atomic.h): either the submitter sees
 * the idle P and no spinner, or the sleeper sees the work. If the submitter relies on another
 * spinner, that one passes through "sleep" later, or finds work and then wakes a further M
 * itself (spinning_end). Differs from Go in two ways: every M that releases its P looks again,
 * not only one that spun, which makes Go's needspinning flag unnecessary; and the submitter pays
 * no fence instruction.
 *
 * WK1  n_spinning counts the Ms with is_spinning, and those being started as such.
 * WK2  At most half of the busy Ps' worth of Ms spin (find.c).
 * WK3  A start for which no M was idle leaves the P idle and asks the starter for a thread. It is
 *      made good by whoever comes first: the new M, or one that would go idle. It takes an idle P
 *      and looks, since those who submitted meanwhile relied on it (starter.c, SR1).
 * WK4  Who counted itself and starts no spinner after all takes that back under the same lock under
 *      which it found so. The P that it found taken may be given up just after: who submits then
 *      must not rely on a spinner that never comes. (Two plain threads did: the second G lay in
 *      the global queue while all Ms slept.)
 *
 * Locking: sched.lock for the idle lists. Go: wakep, startm, ready in runtime/proc.go.
 */
#include <errno.h>

#include "base/fatal.h"
#include "os/os.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/sched.h"

void put_runnable(struct p *pp, struct g *gp, bool is_next)
{
	if (is_next) {
		gp = runq_put_next(&pp->runq, gp);
		if (!gp)
			return;
	}
	while (unlikely(!runq_put(&pp->runq, gp))) {
		struct glist spilled = {0};
		if (!runq_spill(&pp->runq, gp, &spilled))
			continue; /* a thief made room */
		globq_put_list(&spilled);
		pp->spills++;
		return;
	}
}

/* Our own ring first; what does not fit goes over as one list. */
void put_runnable_list(struct p *pp, struct glist *list)
{
	struct g *gp;

	while ((gp = glist_pop(list))) {
		if (!runq_put(&pp->runq, gp)) {
			struct glist rest = {0};
			glist_push(&rest, gp);
			glist_append(&rest, list);
			globq_put_list(&rest);
			return;
		}
	}
}

void spinning_begin(struct m *mp)
{
	GORO_ASSERT(!mp->is_spinning);
	mp->is_spinning = true;
	add_rlx(&idle.n_spinning, 1); /* relaxed: an early sight of it only delays no wake, WK1 */
}

/* One that spun, or was to be started so. */
static void spinner_gone(void)
{
	add_acq_rel(&idle.n_spinning, (uint32_t)-1); /* WAKE-SPIN */
}

void spinning_stop(struct m *mp)
{
	GORO_ASSERT(mp->is_spinning);
	mp->is_spinning = false;
	spinner_gone();
}

/* This M has found work: if it was the last that looked, another must look for more. */
void spinning_end(struct m *mp)
{
	spinning_stop(mp); /* before the look at n_idle_p */
	wake();
}

void acquire_p(struct m *mp, struct p *pp)
{
	GORO_ASSERT(!load_rlx(&mp->p)); /* relaxed: our own */
	store_rel(&pp->m, mp);            /* P-OWNER: its thread's number */
	store_rlx(&pp->state, P_RUNNING); /* relaxed: we hold the P */
	store_rlx(&mp->p, pp);            /* relaxed: reports read it, nobody else */
}

struct p *release_p(struct m *mp)
{
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */

	GORO_ASSERT(pp && load_rlx(&pp->m) == mp); /* relaxed: our own */
	store_rlx(&mp->p, NULL); /* relaxed: reports read it */
	store_rlx(&pp->m, NULL); /* relaxed: who takes it looks again */
	if (unlikely(load_rlx(&pp->preempt))) /* relaxed: or the next slice clears it */
		preempt_clear(pp); /* no G is left to answer, and every call would look: PR1 */
	return pp;
}

void on_way_begin(struct m *mp)
{
	sched.n_on_way += !mp->is_on_way;
	mp->is_on_way = true;
}

void on_way_end(struct m *mp)
{
	sched.n_on_way -= mp->is_on_way;
	sched.n_starting -= mp->is_new;
	mp->is_on_way = mp->is_new = false;
}

/*
 * Under sched.lock, which it releases if it was so: no M is idle, but a stopped goroutine has one,
 * and may hold what the starter waits for (SR2). At the thread limit there may be no other at all,
 * so that those with a thread of their own take turns: PR9.
 */
static bool start_bound(struct p *pp)
{
	struct glist own = {0};

	/* relaxed, both: under the lock */
	if (load_rlx(&sched.n_stopped) == 0 || load_rlx(&sched.stop_wanted))
		return false;
	runq_drain(&pp->runq, &own);
	globq_put_list(&own);
	struct g *gp = globq_take_bound();
	if (!gp)
		return false;
	struct m *mp = gp->locked_m;
	if (!gp->is_stopped && !gp->lock_depth)
		(void)pinned_put(gp); /* its host looks there */
	sched.n_m_waiting_locked--;
	mp->next_p = pp;
	bool must_wake = note_post(&mp->note);
	bool must_start = sched.n_m + sched.n_to_start < sched.max_m && starter_ask();
	lock_release(&sched.lock);
	if (must_wake)
		os_futex_wake(&mp->note.word, 1);
	if (must_start)
		starter_wake(); /* so that the others have their turn next time */
	return true;
}

bool limit_is_reached(void)
{
	return sched.n_m >= sched.max_m && !sched.n_to_start;
}

noreturn void limit_fatal(void)
{
	uint32_t limit = sched.max_m;

	lock_release(&sched.lock); /* the report takes it */
	fatal("program exceeds %u-thread limit\n[see goro_maxthreads()]", limit);
}

/*
 * Under sched.lock: no M is idle. True: starter_wake() must follow. A thread that is being started
 * already is enough for now (SR1). If the last one could not be had, the starter tries again: it
 * says when nobody is left.
 */
static bool ask_for_m(void)
{
	if (!limit_is_reached())
		return starter_ask(); /* SR1: also when it is at it, since that may fail */
	/* One whose goroutine was stopped comes with its turn, and goes on to look. */
	if (!sched.n_on_way && !load_rlx(&sched.n_stopped)) /* relaxed: under the lock */
		limit_fatal();
	store_rlx(&sched.is_start_wanted, 1); /* relaxed: others read it as a hint */
	keeper_break();                       /* it may be the one that is on its way: SC4 */
	return false;
}

void start_looking(void)
{
	struct m *mp = sched.has_looker ? NULL : idle_get_m();
	bool must_wake = false, must_start = false;

	if (mp) {
		sched.has_looker = mp->must_look = true;
		on_way_begin(mp);
		must_wake = note_post(&mp->note);
	} else if (!sched.has_looker) {
		must_start = ask_for_m();
	}
	lock_release(&sched.lock);
	if (must_wake)
		os_futex_wake(&mp->note.word, 1);
	if (must_start)
		starter_wake();
}

/*
 * Under sched.lock, which it releases: no M is idle. The P is, until the starter has made a thread,
 * or another M finds nothing to do: WK3.
 */
static void start_new_m(struct p *pp, bool is_spinning)
{
	bool must_wake = false;

	if (is_spinning)
		spinner_gone(); /* WK4 */
	if ((is_spinning && !limit_is_reached()) || !start_bound(pp)) {
		world_put_away(pp);
		must_wake = ask_for_m();
		lock_release(&sched.lock);
	}
	if (must_wake)
		starter_wake();
}

void start_m_locked(struct p *pp, bool is_spinning)
{
	if (unlikely(load_rlx(&sched.run_state) == RUN_ENDING)) { /* relaxed: under the lock */
		if (is_spinning)
			spinner_gone(); /* WK4 */
		world_put_away(pp);
		lock_release(&sched.lock);
		return;
	}
	struct m *mp = idle_get_m();
	if (!mp) {
		start_new_m(pp, is_spinning);
		return;
	}
	/*
	 * Under the lock: at the end of a run the M may wake by itself, leave, and free itself
	 * under this lock.
	 */
	mp->next_p = pp;
	mp->starts_spinning = is_spinning;
	bool must_wake = note_post(&mp->note);
	lock_release(&sched.lock);
	if (must_wake)
		os_futex_wake(&mp->note.word, 1);
}

void start_m(struct p *pp, bool is_spinning)
{
	lock_acquire(&sched.lock);
	start_m_locked(pp, is_spinning);
}

static void wake_slow(void)
{
	uint32_t nobody = 0;

	if (load_rlx(&sched.is_start_wanted)) /* relaxed: SR1, ordered by the fence */
		return;
	if (!cas_acq_rel(&idle.n_spinning, &nobody, 1)) /* WAKE-SPIN */
		return;
	lock_acquire(&sched.lock);
	struct p *pp = idle_get_p();
	if (!pp) {
		spinner_gone(); /* WK4 */
		lock_release(&sched.lock);
		return;
	}
	start_m_locked(pp, true);
	sysmon_wake_if_asleep();
}

void wake(void)
{
	if (MODEL_KEEP("wake-submit-fence"))
		fence_light(); /* WAKE-SUBMIT: the work, then the look at who is idle */
	if (load_rlx(&idle.n_p) != 0 &&       /* relaxed: ordered by the fence */
	    load_rlx(&idle.n_spinning) == 0)  /* relaxed: likewise */
		wake_slow();
}

void wake_outside(void)
{
	if (MODEL_KEEP("wake-outside-fence"))
		fence_seq_cst(); /* WAKE-SUBMIT: FN10 */
	wake();
}

void timer_was_armed(struct m *mp, int64_t when)
{
	if (unlikely(!mp) && !outside_enter())
		return; /* the run has ended, and its heaps with it */
	GORO_ASSERT(!mp || load_rlx(&mp->p)); /* relaxed: our own */
	fence_light(); /* KEEP-ADD: first_when of the heap, then the look at the keeper */
	if (unlikely(!mp) && MODEL_KEEP("arm-outside-fence"))
		fence_seq_cst(); /* KEEP-ADD: FN10 */
	if (load_rlx(&sched.keeper_taken)) { /* relaxed: ordered by the fence */
		if (when < load_rlx(&sched.keeper_until)) /* relaxed: likewise */
			keeper_break();
	} else if (mp && !mp->curg) {
		mp->armed_timer = true; /* on g0: this M goes through find_runnable() now */
	} else {
		wake();
	}
	if (unlikely(!mp))
		outside_leave();
}

/* MS4. False: it has been idle for so long that its thread ends. */
static bool idle_sleep(struct m *mp)
{
	if (mp->id == 0) {
		note_sleep(&mp->note);
		return true;
	}
	while (!note_sleep_until(&mp->note, os_now() + IDLE_M_NS)) {
		lock_acquire(&sched.lock);
		bool is_over = idle.n_m > load_rlx(&sched.n_procs) && /* relaxed: a number */
			       idle_remove_m(mp);
		if (is_over)
			on_way_begin(mp);
		lock_release(&sched.lock);
		if (is_over)
			return false;
	}
	return true;
}

/* Woken by start_looking(). False: somebody was faster. */
static bool looked(struct m *mp)
{
	lock_acquire(&sched.lock);
	sched.has_looker = mp->must_look = false;
	lock_release(&sched.lock);
	return reacquire_p(mp);
}

/* False: the run has ended, or the thread ends. Else the M has a P, or must_look. */
static bool sleep_idle(struct m *mp)
{
	lock_acquire(&sched.lock);
	on_way_end(mp);
	/* A stopper that ends the run looks at the idle list under the lock, once: SC2. */
	if (load_rlx(&sched.run_state) == RUN_ENDING) { /* relaxed: written under the lock */
		lock_release(&sched.lock);
		return false;
	}
	/* WK3; relaxed: under the lock */
	bool must_look = load_rlx(&sched.is_start_wanted) && MODEL_KEEP("start-wanted-look");
	struct p *pp = must_look ? idle_get_p() : NULL;
	store_rlx(&sched.is_start_wanted, 0); /* relaxed: likewise; SR1 */
	if (unlikely(pp)) {
		lock_release(&sched.lock);
		acquire_p(mp, pp);
		spinning_begin(mp);
		sysmon_wake_if_asleep();
		return true;
	}
	idle_put_m(mp);
	deadlock_check();
	lock_release(&sched.lock);
	if (!idle_sleep(mp))
		return false;
	note_clear(&mp->note);
	store_rlx(&sched.coarse_now, os_now()); /* relaxed: a hint; sysmon may have slept as long */
	if (mp->must_look)
		return true;
	if (!mp->next_p)
		return false; /* the run ends */
	mp->is_spinning = mp->starts_spinning;
	acquire_p(mp, mp->next_p);
	mp->next_p = NULL;
	return true;
}

bool stop_m(struct m *mp)
{
	while (sleep_idle(mp))
		if (!mp->must_look || looked(mp))
			return true;
	return false;
}
