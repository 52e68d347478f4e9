/*
 * locked.c - goroutines that stay on one thread.
 *
 *   goro_lock_thread -> G and M point at each other
 *   schedule (G is at rest) -> [locked_m_wait] -> sleeps without a P
 *   schedule of another M (it picked the G) -> [locked_g_hand_over] -> P and G go to the G's own M
 *
 * LT1  While locked_g is set, the M runs nothing else; the G runs nowhere else.
 * LT2  A goroutine that ends while locked ends its thread, which may be in a state that nobody else
 *      wants; the initial thread is only put to sleep.
 *
 * Whoever waits for its locked G gives the P to another M, also when nothing else can run. We tried
 * to put it into the idle list then: no context switch less and no faster, since most waits end by
 * a G that this P has in its ring, or by a timer, which some M must keep.
 *
 * Locking: sched.lock for the count of waiting Ms. Go: stoplockedm, startlockedm, LockOSThread.
 */
#include "goro.h"
#include "sched/sched.h"

static void count_waiting(int change)
{
	lock_acquire(&sched.lock);
	sched.n_m_waiting_locked += (uint32_t)change;
	lock_release(&sched.lock);
}

/* Sleep outside of the idle list; whoever wakes us has taken us off the count. */
bool locked_wait_for_p(struct m *mp)
{
	lock_acquire(&sched.lock);
	bool is_ending = load_rlx(&sched.run_state) == RUN_ENDING; /* relaxed: under the lock */
	if (!is_ending)
		deadlock_check();
	lock_release(&sched.lock);
	if (is_ending)
		return false;
	note_sleep(&mp->note);
	note_clear(&mp->note);
	if (!mp->next_p)
		return false; /* the run ends */
	acquire_p(mp, mp->next_p);
	mp->next_p = NULL;
	return true;
}

bool locked_m_wait(struct m *mp)
{
	/* Count first: if no thread can be had for the P, it must be clear that nobody is left. */
	count_waiting(1);
	if (load_rlx(&mp->p)) /* relaxed: our own */
		start_m(release_p(mp), false);
	return locked_wait_for_p(mp);
}

bool locked_g_hand_over(struct m *mp, struct g *gp)
{
	struct m *owner = gp->locked_m;

	lock_acquire(&sched.lock);
	if (load_rlx(&sched.run_state) == RUN_ENDING) { /* relaxed: under the lock */
		/* The owner has been woken for that, and may be gone. */
		world_put_away(release_p(mp));
		lock_release(&sched.lock);
		return false;
	}
	sched.n_m_waiting_locked--;
	/*
	 * The G comes along in the owner's locked_g: the owner runs it without looking elsewhere.
	 */
	owner->next_p = release_p(mp);
	on_way_begin(mp);
	bool must_wake = note_post(&owner->note); /* under the lock, as in start_m_locked */
	lock_release(&sched.lock);
	if (must_wake)
		os_futex_wake(&owner->note.word, 1);
	return stop_m(mp);
}

void *locked_m_end(struct m *mp)
{
	if (mp->is_host && !pinned_end(mp))
		return schedule(mp);
	mp->locked_g = NULL;
	count_waiting(1); /* as in locked_m_wait(): it runs nothing any more */
	if (mp->id != 0) {
		mp->is_leaving = true;
		return mp->g0_sp; /* m_run() gives the P away and ends the thread */
	}
	start_m(release_p(mp), false);
	(void)locked_wait_for_p(mp); /* nobody hands a P to it again: LT2 */
	return mp->g0_sp;
}

void locked_release(struct m *mp, struct g *gp)
{
	gp->locked_m = gp->is_pinned ? mp : NULL;
	mp->locked_g = mp->is_host ? &pinned_mark : NULL;
}

/* No CALL_SCOPE: whose P has been taken might come back on another thread than the present one. */
void goro_lock_thread(void)
{
	struct m *mp = m_self();

	if (!mp || !mp->curg)
		return; /* a plain thread is locked to itself */
	mp->curg->lock_depth++;
	mp->curg->locked_m = mp;
	mp->locked_g = mp->curg;
}

/* A call as any other, which no goroutine comes back from when the run has ended: PR8. */
void goro_unlock_thread(void)
{
	CALL_SCOPE;
	struct m *mp = m_self();

	if (!mp || !mp->curg || mp->curg->lock_depth == 0)
		return; /* as in Go */
	if (--mp->curg->lock_depth > 0)
		return;
	locked_release(mp, mp->curg);
	preempt_check();
}
