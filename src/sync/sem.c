/*
 * sem.c - a number of units, to be acquired and released several at a time, first come first
 * served.
 *
 *   acquire -> [the word, while nobody is queued] | wait in the queue
 *   release -> [the word, while nobody is queued] | hand units to the front of the queue
 *
 * SU1  state is the number of free units, and QUEUED in the lowest bit: the queue is not empty.
 * SU2  While QUEUED is set, state changes under the object's lock alone. QUEUED is set and cleared
 *      with the queue, under that lock. (A run's end may empty the queue and leave the bit.)
 * SU3  Units are taken by the word, or given to a waiter by whoever released or gave up, in the
 *      queue's order, while the first one's need is free. Whenever the lock is released, the first
 *      one's is not. So many small ones cannot starve a large one.
 * SU4  As MX4: nothing is touched after the step that frees units, unless a waiter keeps the object
 *      alive.
 *
 * Locking: the object's lock (rank OBJECT). Order: SEM-UNITS. Go: x/sync/semaphore.Weighted; ours
 * has no upper size, so that release may add units that were never acquired.
 */
#include <errno.h>

#include "base/sanitize.h"
#include "goro.h"
#include "sync/waitq.h"

#define SEM_QUEUED UINT64_C(1)
#define SEM_SHIFT  1

struct sem {
	atomic_of(uint64_t) state; /* SU1, SU2; SEM-UNITS */
	struct lock lock;          /* rank OBJECT */
	struct waitq waiters;      /* lock; of struct sem_waiter */
};

struct sem_waiter {
	struct waiter waiter;
	uint64_t need;
};

static inline struct sem *sem_of(goro_sem *s)
{
	_Static_assert(sizeof(struct sem) <= sizeof(goro_sem), "goro_sem is too small");
	return (struct sem *)(void *)s;
}

static inline uint64_t sem_number(int64_t n, const char *text)
{
	if (unlikely(n < 0 || n > GORO_SEM_MAX))
		panic_at(text);
	return (uint64_t)n;
}

void goro_sem_init(goro_sem *sem, int64_t n)
{
	struct sem *s = sem_of(sem);
	uint64_t units = sem_number(n, "goro_sem_init: number out of range");

	*s = (struct sem){.waiters = {NULL, NULL}};
	lock_init(&s->lock, LOCK_OBJECT);
	store_rlx(&s->state, units << SEM_SHIFT); /* relaxed: not published yet */
}

/* Without the lock: nobody is queued, and so many are free. */
static inline bool sem_try(struct sem *s, uint64_t need)
{
	uint64_t old = load_rlx(&s->state); /* relaxed: the swap decides */

	while (!(old & SEM_QUEUED) && old >> SEM_SHIFT >= need)
		if (cas_acq(&s->state, &old, old - (need << SEM_SHIFT))) /* SEM-UNITS */
			return true;
	return false;
}

/* Under the lock, with QUEUED set: SU3. Who was given its units is woken after the release. */
static void sem_give(struct sem *s, struct woken *woken)
{
	uint64_t old = load_rlx(&s->state); /* relaxed: under the lock, SU2 */
	uint64_t units = old >> SEM_SHIFT;
	struct waiter *w;

	while ((w = s->waiters.first)) {
		uint64_t need = container_of(w, struct sem_waiter, waiter)->need;
		if (need > units)
			break;
		waitq_unlink(&s->waiters, w);
		if (!waiter_claim(w))
			continue; /* it has given up */
		units -= need;
		w->ok = true;
		woken_add(woken, w);
	}
	store_rel(&s->state, units << SEM_SHIFT | (w ? SEM_QUEUED : 0)); /* SEM-UNITS */
}

/* WQ4, SU3: the deadline or the context has ended the wait; those behind may fit now. */
static void sem_leave(struct sem *s, struct waiter *w)
{
	struct woken woken = {0};

	lock_acquire(&s->lock);
	if (w->queue) {
		waitq_unlink(&s->waiters, w);
		if (MODEL_KEEP("sem-leave-gives"))
			sem_give(s, &woken);
	}
	lock_release(&s->lock);
	woken_wake(&woken);
}

/* Under the lock: true, the units are ours after all; false, QUEUED is set, unless too late. */
static bool sem_take_or_mark(struct sem *s, uint64_t need, bool is_late)
{
	uint64_t old = load_rlx(&s->state), wanted; /* relaxed: the swap decides */
	bool is_free;

	do {
		is_free = waitq_is_empty(&s->waiters) && old >> SEM_SHIFT >= need &&
			  MODEL_KEEP("sem-look-again");
		if (is_free)
			wanted = (old & ~SEM_QUEUED) - (need << SEM_SHIFT);
		else
			wanted = is_late ? old : old | SEM_QUEUED;
	} while (!cas_acq_rel(&s->state, &old, wanted)); /* SEM-UNITS */
	return is_free;
}

__attribute__((noinline)) static int sem_acquire_slow(struct sem *s, uint64_t need,
						      int64_t deadline)
{
	CALL_SCOPE;
	struct sem_waiter w = {.need = need};
	bool is_late = deadline_is_past(deadline);

	lock_acquire(&s->lock);
	bool is_taken = sem_take_or_mark(s, need, is_late);
	if (is_taken || is_late) {
		lock_release(&s->lock);
		return is_taken ? 0 : -ETIMEDOUT;
	}
	waitq_push(&s->waiters, &w.waiter);
	int error = waitq_wait_only(&w.waiter, &s->lock, WAIT_SEMAPHORE, deadline);
	if (error)
		sem_leave(s, &w.waiter);
	return error;
}

/* QUEUED may be left from a run that has ended: SU2. */
static bool sem_try_queued(struct sem *s, uint64_t need)
{
	uint64_t old = load_rlx(&s->state); /* relaxed: a hint, the rest is under the lock */

	return (old & SEM_QUEUED) && old >> SEM_SHIFT >= need &&
	       sem_acquire_slow(s, need, GORO_POLL) == 0;
}

static int sem_acquire_until(goro_sem *sem, int64_t n, int64_t deadline, const char *text)
{
	struct sem *s = sem_of(sem);
	uint64_t need = sem_number(n, text);
	int error = 0;

	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (!sem_try(s, need))
		error = sem_acquire_slow(s, need, deadline);
	if (!error)
		sanitize_acquire(s);
	return error;
}

void goro_sem_acquire(goro_sem *s, int64_t n)
{
	if (unlikely(sem_acquire_until(s, n, GORO_FOREVER,
				       "goro_sem_acquire: number out of range") == -ECANCELED))
		panic_canceled();
}

int goro_sem_acquire_until(goro_sem *s, int64_t n, int64_t deadline)
{
	return sem_acquire_until(s, n, deadline, "goro_sem_acquire_until: number out of range");
}

bool goro_sem_tryacquire(goro_sem *sem, int64_t n)
{
	struct sem *s = sem_of(sem);
	uint64_t need = sem_number(n, "goro_sem_tryacquire: number out of range");

	preempt_check();
	if (!sem_try(s, need) && !sem_try_queued(s, need))
		return false;
	sanitize_acquire(s);
	return true;
}

/* Somebody is queued. False: nobody is any more, and the word alone decides. */
__attribute__((noinline)) static bool sem_release_slow(struct sem *s, uint64_t units)
{
	CALL_SCOPE;
	struct woken woken = {0};

	lock_acquire(&s->lock);
	uint64_t old = load_rlx(&s->state); /* relaxed: the swap decides, or SU2 */
	if (waitq_is_empty(&s->waiters)) {
		/* SU4: our units stay with us until the lock is released. */
		while (!cas_acq_rel(&s->state, &old, old & ~SEM_QUEUED)) /* SEM-UNITS */
			;
		lock_release(&s->lock);
		return false;
	}
	if (unlikely((old >> SEM_SHIFT) + units > GORO_SEM_MAX)) {
		lock_release(&s->lock);
		panic_at("goro_sem_release: too many units");
	}
	store_rel(&s->state, old + (units << SEM_SHIFT)); /* SEM-UNITS */
	sem_give(s, &woken);
	lock_release(&s->lock);
	woken_wake(&woken);
	return true;
}

void goro_sem_release(goro_sem *sem, int64_t n)
{
	struct sem *s = sem_of(sem);
	uint64_t units = sem_number(n, "goro_sem_release: number out of range");

	preempt_check();
	sanitize_release(s);
	uint64_t old = load_rlx(&s->state); /* relaxed: the swap decides */
	for (;;) {
		if (unlikely(old & SEM_QUEUED)) {
			if (sem_release_slow(s, units))
				return;
			old = load_rlx(&s->state); /* relaxed: the swap decides */
			continue;
		}
		if (unlikely((old >> SEM_SHIFT) + units > GORO_SEM_MAX))
			panic_at("goro_sem_release: too many units");
		if (cas_acq_rel(&s->state, &old, old + (units << SEM_SHIFT))) /* SEM-UNITS */
			return;
	}
}
