/*
 * waitq.c - waiting on an object, with or without a deadline, as a goroutine or as a plain thread.
 *
 *   chan -> [waitq_wait] -> park (a G) or the thread's own note
 *        -> woken by waitq_pop + waiter_wake, or a timer
 *
 * WQ1 to WQ3 stand in waitq.h.
 *
 * A deadline is a timer on the waiter's stack. It is armed by the commit function, so that it
 * cannot fire before the G is at rest, and stopped before the record goes away; timer_stop waits
 * for a fire() under way.
 *
 * Locking: the object's lock, released in the commit. Order: WAIT-RACE. Go: sudog,
 * gopark with a timer.
 */
#include "sync/waitq.h"

#include <errno.h>

#include "event/timer.h"
#include "os/os.h"

struct wait {
	struct lock *lock;
	struct timer timer;
	atomic_of(uint32_t) race;
	bool has_deadline;
};

static void deadline_fire(struct timer *t, struct glist *ready)
{
	struct g *gp = t->arg;
	struct wait *wait = container_of(t, struct wait, timer);
	uint32_t open = RACE_OPEN;

	if (cas_acq_rel(&wait->race, &open, RACE_TIMEOUT)) /* WAIT-RACE */
		glist_push(ready, gp);
}

/* On g0. The timer first: once the lock is free, the G may be gone. */
static bool wait_commit(struct g *gp, void *arg)
{
	struct wait *wait = arg;
	struct lock *lock = wait->lock;

	if (wait->has_deadline) {
		struct m *mp = m_self();
		wait->timer.arg = gp;
		int64_t when = wait->timer.when;
		if (timer_start(&load_rlx(&mp->p)->timers, &wait->timer)) /* relaxed: our own */
			timer_was_armed(mp, when);
	}
	if (lock)
		lock_release(lock);
	return true;
}

static void wait_as_goroutine(struct g *gp, struct waiter *w, struct wait *wait,
			      enum wait_reason reason)
{
	gp->waiter = w;
	park(wait_commit, wait, reason);
	gp->waiter = NULL;
	if (wait->has_deadline)
		(void)timer_stop(&wait->timer);
}

static void wait_as_thread(struct note *note, struct wait *wait)
{
	uint32_t open = RACE_OPEN;
	int saved_errno = self_errno();

	/* relaxed: ordered by the lock; the waker takes it back */
	if (!wait->has_deadline)
		add_rlx(&sched.n_foreign_blocked, 1);
	if (wait->lock)
		lock_release(wait->lock);
	if (!wait->has_deadline) {
		note_sleep(note);
	} else if (!note_sleep_until(note, wait->timer.when) &&
		   !cas_acq_rel(&wait->race, &open, RACE_TIMEOUT)) { /* WAIT-RACE */
		if (MODEL_KEEP("wait-late-wake"))
			note_sleep(note); /* a wake is on its way: the note must outlive it */
	}
	self_errno_set(saved_errno);
}

/* With a deadline, or as a plain thread. */
__attribute__((noinline)) static int wait_rarer(struct waitq *q, struct waiter *w, struct g *gp,
						enum wait_reason reason, int64_t deadline)
{
	struct lock *l = w->lock;
	struct note note = {0};
	struct wait wait = {.lock = l, .has_deadline = deadline != OS_FOREVER};

	wait.timer.when = deadline;
	wait.timer.fire = deadline_fire;
	w->note = &note;
	w->race = wait.has_deadline ? &wait.race : NULL;
	if (q)
		waitq_push(q, w);
	if (gp)
		wait_as_goroutine(gp, w, &wait, reason);
	else
		wait_as_thread(&note, &wait);
	if (!wait.has_deadline || load_acq(&wait.race) != RACE_TIMEOUT) /* WAIT-RACE */
		return 0;
	if (q) {
		lock_acquire(l);
		if (w->queue)
			waitq_unlink(q, w);
		lock_release(l);
	}
	return -ETIMEDOUT;
}

/* On g0. */
static bool unlock_commit(struct g *gp, void *lock)
{
	(void)gp;
	if (lock)
		lock_release(lock);
	return true;
}

static inline int wait_on(struct waitq *q, struct waiter *w, struct lock *l,
			  enum wait_reason reason, int64_t deadline)
{
	struct m *mp = m_self();
	struct g *gp = mp ? mp->curg : NULL;

	w->gp = gp;
	w->lock = l;
	if (unlikely(!gp || deadline != OS_FOREVER))
		return wait_rarer(q, w, gp, reason, deadline);
	w->race = NULL;
	if (q)
		waitq_push(q, w);
	gp->waiter = w;
	park(unlock_commit, l, reason);
	gp->waiter = NULL;
	return 0;
}

int waitq_wait(struct waitq *q, struct waiter *w, struct lock *l, enum wait_reason reason,
	       int64_t deadline)
{
	return wait_on(q, w, l, reason, deadline);
}

int wait_for_nothing(enum wait_reason reason, int64_t deadline)
{
	struct waiter w = {0};

	return wait_on(NULL, &w, NULL, reason, deadline);
}

/* A run ends while gp waits: nobody may find its record any more. No other thread is left. */
static void waiter_bury(struct g *gp)
{
	struct waiter *w = gp->waiter;

	/* Woken, but not back from its call: its object may be gone already. */
	if (!w->queue)
		return;
	lock_acquire(w->lock); /* a plain thread may be at the object */
	if (w->queue)
		waitq_unlink(w->queue, w);
	lock_release(w->lock);
}

__attribute__((constructor)) static void waitq_install(void)
{
	g_waiter_bury = waiter_bury;
}
