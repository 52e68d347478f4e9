/*
 * cond.c - waiting until another goroutine says that something has changed.
 *
 *   wait -> queue, then unlock the mutex, in one step for others -> woken -> lock the mutex
 *   signal -> the oldest waiter;   broadcast -> all that wait
 *
 * CV1  A waiter is in the queue before it unlocks the mutex. Whoever locks that mutex afterwards
 *      and then signals finds it.
 * CV2  The queue's order is the order of the waits, and a signal takes its waiter out of it: one
 *      that comes later cannot take a signal that was meant for an earlier one.
 * CV3  has_waiters is nonzero when the queue is not empty. It is written under the object's lock,
 *      and read without: who may be overlooked then has unlocked the mutex after the reader locked
 *      it, and has seen what the reader changed.
 * CV4  The mutex is locked again when the wait returns, times out, or panics.
 *
 * The wait's commit releases the object's lock first and unlocks the mutex second. A waker may come
 * between, and then the waiter waits for the mutex until the commit has unlocked it: its call is
 * still under way, so the mutex is there.
 *
 * Locking: the object's lock (rank OBJECT), never together with a mutex's. Order: by that lock and
 * by ready(). Go: sync.Cond; its tickets are the places in our queue.
 */
#include <errno.h>

#include "base/sanitize.h"
#include "sync/mutex.h"

struct cond {
	struct lock lock;                /* rank OBJECT */
	atomic_of(uint32_t) has_waiters; /* lock to write, CV3 */
	struct waitq waiters;            /* lock, CV2 */
	atomic_of(struct cond *) self;   /* any thread: where it was first used */
};

struct cond_wait {
	struct cond *cond;
	struct mutex *mutex;
};

static inline struct cond *cond_of(goro_cond *c)
{
	_Static_assert(sizeof(struct cond) <= sizeof(goro_cond), "goro_cond is too small");
	return (struct cond *)(void *)c;
}

static void cond_check(struct cond *c)
{
	struct cond *self = load_rlx(&c->self); /* relaxed: only compared */

	if (likely(self == c))
		return;
	if (self || (!cas_rlx(&c->self, &self, c) && self != c)) /* relaxed: likewise */
		panic_at("sync.Cond is copied");
}

/* Under the lock, after each change of the queue: CV3. */
static void cond_note_waiters(struct cond *c)
{
	store_rlx(&c->has_waiters, !waitq_is_empty(&c->waiters)); /* relaxed: CV3 tells why */
}

/* On g0, or on the plain thread. */
static void cond_release(void *arg)
{
	struct cond_wait *cw = arg;
	struct mutex *m = cw->mutex; /* it may be gone after the next line */

	lock_release(&cw->cond->lock);
	mutex_unlock(m);
}

/* WQ4: the deadline or the context has ended the wait. */
static void cond_leave(struct cond *c, struct waiter *w)
{
	lock_acquire(&c->lock);
	if (w->queue)
		waitq_unlink(&c->waiters, w);
	cond_note_waiters(c);
	lock_release(&c->lock);
}

static int cond_wait_until(struct cond *c, goro_mutex *mutex, int64_t deadline)
{
	CALL_SCOPE;
	struct mutex *m = mutex_of(mutex);
	struct cond_wait cw = {c, m};
	struct wait wait = {.release = cond_release, .release_arg = &cw};
	struct waiter w = {.next = NULL};

	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	cond_check(c);
	mutex_check_locked(m);
	if (deadline_is_past(deadline))
		return -ETIMEDOUT;
	sanitize_release(m); /* not by cond_release: g0 has done nothing that others should see */
	wait_begin(&wait, deadline);
	lock_acquire(&c->lock);
	wait_join(&wait, &w, &c->lock);
	waitq_push(&c->waiters, &w);
	if (MODEL_KEEP("cond-note-waiters"))
		cond_note_waiters(c);
	int error = wait_error(wait_end_of(&wait, &w, WAIT_COND));
	if (error)
		cond_leave(c, &w);
	else
		sanitize_acquire(c); /* only its address: it may be gone */
	goro_mutex_lock(mutex); /* CV4 */
	return error;
}

void goro_cond_wait(goro_cond *c, goro_mutex *m)
{
	if (unlikely(cond_wait_until(cond_of(c), m, GORO_FOREVER) == -ECANCELED))
		panic_canceled();
}

int goro_cond_wait_until(goro_cond *c, goro_mutex *m, int64_t deadline)
{
	return cond_wait_until(cond_of(c), m, deadline);
}

/* Wake the oldest, or all that wait now. */
static inline void cond_wake(struct cond *c, bool is_for_all)
{
	struct woken woken = {0};
	struct waiter *w;

	preempt_check();
	cond_check(c);
	if (!load_rlx(&c->has_waiters)) /* relaxed: CV3 */
		return;
	CALL_SCOPE;
	lock_acquire(&c->lock);
	while ((w = waitq_pop(&c->waiters))) {
		woken_add(&woken, w);
		if (!is_for_all)
			break;
	}
	cond_note_waiters(c);
	sanitize_release(c);
	lock_release(&c->lock);
	woken_wake(&woken);
}

void goro_cond_signal(goro_cond *c)
{
	cond_wake(cond_of(c), false);
}

void goro_cond_broadcast(goro_cond *c)
{
	cond_wake(cond_of(c), true);
}
