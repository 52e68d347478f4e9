/*
 * waitgroup.c - waiting until a number of things are done.
 *
 *   add, done -> [counter]; the step to 0 takes all waiters off the queue and wakes them
 *   wait      -> [counter is 0] | queue
 *
 * WG1  state is the counter in the upper half, never negative, and WAITED in the lowest bit: the
 *      queue is not empty. WAITED is set and cleared with the queue, under the object's lock. (A
 *      run's end may empty the queue and leave the bit.)
 * WG2  While WAITED is set, the step to 0 is made under that lock, together with taking all waiters
 *      off the queue. So a waiter that was woken was waiting when the counter became 0, and returns
 *      without another look: the group may be in use for its next round already.
 * WG3  As MX4: nothing is touched after the step to 0, unless a waiter keeps the object alive.
 *
 * Locking: the object's lock (rank OBJECT). Order: WG-DONE. Go: sync.WaitGroup; ours needs no rule
 * that all waits have returned before the next round begins, and so no panic for who breaks it.
 */
#include <errno.h>

#include "base/sanitize.h"
#include "goro.h"
#include "sync/waitq.h"

#define WG_WAITED UINT64_C(1)
#define WG_SHIFT  32

struct waitgroup {
	atomic_of(uint64_t) state; /* WG1, WG2; WG-DONE */
	struct lock lock;          /* rank OBJECT */
	struct waitq waiters;      /* lock */
};

static inline struct waitgroup *waitgroup_of(goro_waitgroup *wg)
{
	_Static_assert(sizeof(struct waitgroup) <= sizeof(goro_waitgroup),
		       "goro_waitgroup is too small");
	return (struct waitgroup *)(void *)wg;
}

/* Under the lock, with an empty queue. */
static void waitgroup_clear_waited(struct waitgroup *wg)
{
	uint64_t old = load_rlx(&wg->state); /* relaxed: the swap decides */

	while (!cas_acq_rel(&wg->state, &old, old & ~WG_WAITED)) /* WG-DONE */
		;
}

/*
 * The counter would go from that state to 0, and somebody waits. False: it is not so any more, and
 * the word alone decides.
 */
__attribute__((noinline)) static bool waitgroup_finish(struct waitgroup *wg, uint64_t state)
{
	CALL_SCOPE;
	struct woken woken = {0};
	struct waiter *w;

	lock_acquire(&wg->lock);
	if (waitq_is_empty(&wg->waiters)) {
		/* WG3: the counter stays until the lock is released. */
		waitgroup_clear_waited(wg);
		lock_release(&wg->lock);
		return false;
	}
	if (!cas_acq_rel(&wg->state, &state, 0)) { /* WG-DONE */
		lock_release(&wg->lock);
		return false;
	}
	while ((w = waitq_pop(&wg->waiters)))
		woken_add(&woken, w);
	lock_release(&wg->lock);
	woken_wake(&woken);
	return true;
}

void goro_waitgroup_add(goro_waitgroup *waitgroup, int n)
{
	struct waitgroup *wg = waitgroup_of(waitgroup);
	uint64_t old;

	preempt_check();
	sanitize_release(wg);
	old = load_rlx(&wg->state); /* relaxed: the swap decides */
	for (;;) {
		int64_t counter = (int64_t)(old >> WG_SHIFT) + n;
		if (unlikely(counter < 0 || counter > INT32_MAX))
			panic_at("sync: negative WaitGroup counter");
		if (unlikely(counter == 0 && n && (old & WG_WAITED) &&
			     MODEL_KEEP("wg-finish-locked"))) {
			if (waitgroup_finish(wg, old))
				return;
			old = load_rlx(&wg->state); /* relaxed: the swap decides */
			continue;
		}
		uint64_t wanted = (uint64_t)counter << WG_SHIFT | (old & WG_WAITED);
		if (likely(cas_acq_rel(&wg->state, &old, wanted))) /* WG-DONE */
			return;
	}
}

void goro_waitgroup_done(goro_waitgroup *wg)
{
	goro_waitgroup_add(wg, -1);
}

/* WQ4: the deadline or the context has ended the wait. */
static void waitgroup_leave(struct waitgroup *wg, struct waiter *w)
{
	lock_acquire(&wg->lock);
	if (w->queue)
		waitq_unlink(&wg->waiters, w);
	if (waitq_is_empty(&wg->waiters))
		waitgroup_clear_waited(wg);
	lock_release(&wg->lock);
}

__attribute__((noinline)) static int waitgroup_wait_slow(struct waitgroup *wg, int64_t deadline)
{
	CALL_SCOPE;
	struct waiter w = {.next = NULL};
	bool is_late = deadline_is_past(deadline);
	uint64_t old;

	lock_acquire(&wg->lock);
	do {
		old = load_acq(&wg->state); /* WG-DONE */
		if (old >> WG_SHIFT == 0 || is_late) {
			lock_release(&wg->lock);
			return old >> WG_SHIFT == 0 ? 0 : -ETIMEDOUT;
		}
	} while (!cas_acq_rel(&wg->state, &old, old | WG_WAITED)); /* WG-DONE */
	waitq_push(&wg->waiters, &w);
	int error = waitq_wait_only(&w, &wg->lock, WAIT_WAITGROUP, deadline);
	if (error)
		waitgroup_leave(wg, &w);
	return error;
}

static int waitgroup_wait_until(struct waitgroup *wg, int64_t deadline)
{
	int error = 0;

	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (load_acq(&wg->state) >> WG_SHIFT != 0) /* WG-DONE: what was written before done */
		error = waitgroup_wait_slow(wg, deadline);
	if (!error)
		sanitize_acquire(wg); /* only its address: it may be gone */
	return error;
}

void goro_waitgroup_wait(goro_waitgroup *wg)
{
	if (unlikely(waitgroup_wait_until(waitgroup_of(wg), GORO_FOREVER) == -ECANCELED))
		panic_canceled();
}

int goro_waitgroup_wait_until(goro_waitgroup *wg, int64_t deadline)
{
	return waitgroup_wait_until(waitgroup_of(wg), deadline);
}
