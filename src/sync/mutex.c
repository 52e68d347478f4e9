/*
 * mutex.c - mutual exclusion: one word while nobody waits, a queue when somebody does.
 *
 *   goro_mutex_lock   -> [state 0 -> LOCKED] | spin a little | wait in the queue
 *   goro_mutex_unlock -> [state LOCKED -> 0] | wake the first: it competes, or is handed the mutex
 *
 * MX1  LOCKED: somebody holds it. It may be unlocked by another than who locked it.
 * MX2  WAITERS: the queue is not empty. Changed together with the queue, under the object's lock.
 *      (A run's end may empty the queue and leave the bit.)
 * MX3  WOKEN: one waiter was taken off the queue and woken to compete, and has neither taken the
 *      mutex nor queued again. While it is set, unlocking wakes nobody else. Set under the object's
 *      lock; cleared by that waiter, in the step by which it takes the mutex, queues or gives up.
 * MX4  Whoever unlocks touches nothing of the mutex after the step that lets others have it, unless
 *      a waiter that it has claimed, and not yet woken, or one that has given up and still needs
 *      the object's lock to leave, keeps the object alive.
 *
 * Barging: a free mutex belongs to whoever comes first, also while a woken waiter is on its way,
 * since that is running already. A waiter that has lost goes to the front of the queue. When the
 * first has waited for MUTEX_STARVE_NS in all, unlocking hands the mutex over: LOCKED stays set,
 * and nobody can come between. So no waiter starves.
 *
 * Locking: the object's lock (rank OBJECT) for the queue. Order: MUTEX-HOLD. Go: sync.Mutex; ours
 * has its queue in itself, and hands over by the first waiter's age, without a mode.
 */
#include "sync/mutex.h"

#include <errno.h>

#include "base/fatal.h"
#include "base/limits.h"
#include "base/sanitize.h"
#include "os/os.h"
#include "queue/runq.h"

#define MUTEX_SPINS  4  /* Go: active_spin */
#define MUTEX_PAUSES 30 /* Go: active_spin_cnt */

struct mutex_waiter {
	struct waiter waiter;
	int64_t since; /* when it queued first */
};

/* Clear and set flags that no other thread changes now, whatever happens to the others. */
static void mutex_change(struct mutex *m, uint32_t clear, uint32_t set)
{
	uint32_t old = load_rlx(&m->state); /* relaxed: the swap decides */

	while (!cas_acq_rel(&m->state, &old, (old & ~clear) | set)) /* MUTEX-HOLD */
		;
}

/* Take it if it is free. `mine` is MUTEX_WOKEN for the waiter that MX3 speaks of, else 0. */
static bool mutex_grab(struct mutex *m, uint32_t mine)
{
	uint32_t old = load_rlx(&m->state); /* relaxed: the swap decides */

	while (!(old & MUTEX_LOCKED))
		if (cas_acq(&m->state, &old, (old & ~mine) | MUTEX_LOCKED)) /* MUTEX-HOLD */
			return true;
	return false;
}

/* Only while the holder may be running, and nobody waits for this P. */
static bool mutex_may_spin(void)
{
#ifdef GORO_MODEL
	return false;
#else
	struct m *mp = m_self();
	uint32_t busy = load_rlx(&sched.n_procs) - load_rlx(&idle.n_p); /* relaxed: a hint */

	if (!mp)
		return busy > 0;
	return busy > 1 && runq_is_empty(&load_rlx(&mp->p)->runq); /* relaxed: our own */
#endif
}

static bool mutex_spin(struct mutex *m, uint32_t mine)
{
	for (int i = 0;; i++) {
		if (mutex_grab(m, mine))
			return true;
		if (i == MUTEX_SPINS || !mutex_may_spin())
			return false;
		for (int pause = 0; pause < MUTEX_PAUSES; pause++)
			cpu_relax();
	}
}

enum mutex_step { MUTEX_TAKEN, MUTEX_QUEUED, MUTEX_LATE };

/* Under the object's lock: take it after all, or queue, or give up for want of time. */
static enum mutex_step mutex_enqueue(struct mutex *m, struct mutex_waiter *w, uint32_t mine,
				     bool is_late)
{
	uint32_t old = load_rlx(&m->state), wanted; /* relaxed: the swap decides */
	bool is_free;

	do {
		is_free = !(old & MUTEX_LOCKED) && MODEL_KEEP("mutex-look-again");
		if (is_free)
			wanted = (old & ~mine) | MUTEX_LOCKED;
		else if (is_late)
			wanted = MODEL_KEEP("mutex-late-woken") ? old & ~mine : old;
		else
			wanted = (old & ~mine) | MUTEX_WAITERS;
	} while (!cas_acq_rel(&m->state, &old, wanted)); /* MUTEX-HOLD */
	if (is_free)
		return MUTEX_TAKEN;
	if (is_late)
		return MUTEX_LATE;
	if (mine)
		waitq_push_front(&m->waiters, &w->waiter);
	else
		waitq_push(&m->waiters, &w->waiter);
	return MUTEX_QUEUED;
}

/* WQ4: the deadline or the context has ended the wait; nobody has claimed the waiter. */
static void mutex_leave(struct mutex *m, struct mutex_waiter *w)
{
	lock_acquire(&m->lock);
	if (w->waiter.queue)
		waitq_unlink(&m->waiters, &w->waiter);
	if (waitq_is_empty(&m->waiters))
		mutex_change(m, MUTEX_WAITERS, 0);
	lock_release(&m->lock);
}

/* 0; -ETIMEDOUT, -ECANCELED: not for who is shielded. */
__attribute__((noinline)) static int mutex_lock_slow(struct mutex *m, int64_t deadline,
						     bool is_shielded)
{
	struct mutex_waiter w = {.since = 0};
	uint32_t mine = 0;

	while (!mutex_spin(m, mine)) {
		bool is_late = deadline_is_past(deadline);
		if (!w.since)
			w.since = os_now();
		lock_acquire(&m->lock);
		enum mutex_step step = mutex_enqueue(m, &w, mine, is_late);
		if (step != MUTEX_QUEUED) {
			lock_release(&m->lock);
			return step == MUTEX_TAKEN ? 0 : -ETIMEDOUT;
		}
		int error = 0;
		if (is_shielded)
			waitq_wait_shielded(&w.waiter, &m->lock, WAIT_MUTEX);
		else
			error = waitq_wait_only(&w.waiter, &m->lock, WAIT_MUTEX, deadline);
		if (error) {
			mutex_leave(m, &w);
			return error;
		}
		if (w.waiter.ok)
			return 0; /* handed over */
		mine = MUTEX_WOKEN;
	}
	return 0;
}

noreturn static void mutex_not_locked(void)
{
	fatal("sync: unlock of unlocked mutex");
}

/*
 * The mutex is locked, has waiters, and none of them is awake. False: nobody waits any more, and
 * unlocking is simple again.
 */
static bool mutex_pass_on(struct mutex *m)
{
	lock_acquire(&m->lock);
	struct waiter *w = waitq_pop(&m->waiters);
	uint32_t emptied = waitq_is_empty(&m->waiters) ? MUTEX_WAITERS : 0;

	if (!w) {
		/* MX4: LOCKED stays until the object's lock is released. */
		mutex_change(m, emptied, 0);
		lock_release(&m->lock);
		return false;
	}
	if (os_now() - container_of(w, struct mutex_waiter, waiter)->since >= MUTEX_STARVE_NS) {
		w->ok = true;
		mutex_change(m, emptied, 0);
	} else {
		mutex_change(m, MUTEX_LOCKED | emptied, MUTEX_WOKEN);
	}
	lock_release(&m->lock);
	waiter_wake(w);
	return true;
}

__attribute__((noinline)) static void mutex_unlock_slow(struct mutex *m)
{
	uint32_t old = load_rlx(&m->state); /* relaxed: the swap decides */

	for (;;) {
		if (unlikely(!(old & MUTEX_LOCKED)))
			mutex_not_locked();
		if ((old & MUTEX_WAITERS) && !(old & MUTEX_WOKEN)) {
			if (mutex_pass_on(m))
				return;
			old = load_rlx(&m->state); /* relaxed: the swap decides */
		} else if (cas_acq_rel(&m->state, &old, old & ~MUTEX_LOCKED)) { /* MUTEX-HOLD */
			return;
		}
	}
}

void mutex_check_locked(struct mutex *m)
{
	if (unlikely(!(load_rlx(&m->state) & MUTEX_LOCKED))) /* relaxed: our own lock, or misuse */
		mutex_not_locked();
}

void mutex_unlock(struct mutex *m)
{
	uint32_t held = MUTEX_LOCKED;

	if (unlikely(!cas_acq_rel(&m->state, &held, 0))) /* MUTEX-HOLD */
		mutex_unlock_slow(m);
}

/* The rare parts of the next two are tail calls, so that the usual one needs no frame. */
__attribute__((noinline)) static void mutex_lock_otherwise(struct mutex *m)
{
	CALL_SCOPE;
	preempt_check();
	(void)mutex_lock_slow(m, GORO_FOREVER, true);
	sanitize_acquire(m);
}

__attribute__((noinline)) static void mutex_unlock_otherwise(struct mutex *m)
{
	CALL_SCOPE;
	sanitize_release(m);
	mutex_unlock_slow(m);
}

void goro_mutex_lock(goro_mutex *mutex)
{
	struct mutex *m = mutex_of(mutex);
	uint32_t unlocked = 0;

	if (unlikely(load_rlx(&attention)) || /* relaxed: as in preempt_check */
	    unlikely(!cas_acq(&m->state, &unlocked, MUTEX_LOCKED))) /* MUTEX-HOLD */
		mutex_lock_otherwise(m);
	else
		sanitize_acquire(m);
}

int goro_mutex_lock_until(goro_mutex *mutex, int64_t deadline)
{
	CALL_SCOPE;
	struct mutex *m = mutex_of(mutex);
	uint32_t unlocked = 0;
	int error = 0;

	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (unlikely(!cas_acq(&m->state, &unlocked, MUTEX_LOCKED))) /* MUTEX-HOLD */
		error = mutex_lock_slow(m, deadline, false);
	if (!error)
		sanitize_acquire(m);
	return error;
}

bool goro_mutex_trylock(goro_mutex *mutex)
{
	struct mutex *m = mutex_of(mutex);

	preempt_check();
	if (!mutex_grab(m, 0))
		return false;
	sanitize_acquire(m);
	return true;
}

void goro_mutex_unlock(goro_mutex *mutex)
{
	struct mutex *m = mutex_of(mutex);
	uint32_t held = MUTEX_LOCKED;

	if (unlikely(sanitize_is_on) ||
	    unlikely(!cas_acq_rel(&m->state, &held, 0))) /* MUTEX-HOLD */
		mutex_unlock_otherwise(m);
}
