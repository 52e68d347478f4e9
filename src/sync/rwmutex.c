/*
 * rwmutex.c - many readers or one writer, first come first served.
 *
 *   rdlock, wrlock     -> [the word, while nobody is queued] | wait in the one queue
 *   rdunlock, wrunlock -> [the word] | the last one out hands over to the front of the queue
 *
 * RW1  state is WRITER (one writer inside), QUEUED (somebody waits), and above them the number of
 *      readers inside. WRITER and readers exclude each other.
 * RW2  While QUEUED is set, whoever comes queues; who leaves but is not the last goes by the word
 *      alone; every other change is made under the object's lock. QUEUED is set and cleared with
 *      the queue, under that lock. (A run's end may empty the queue and leave the bit.)
 * RW3  Who is inside was let in by the word, or by whoever left, who takes the share on the
 *      waiter's behalf: a writer alone, or all readers up to the next writer. Whenever the lock is
 *      released, the front of the queue cannot be let in. So a waiting writer stops new readers,
 *      and a writer that gives up lets in the readers behind it.
 * RW4  As MX4: nothing is touched after the step that lets others in, unless a waiter keeps the
 *      object alive.
 *
 * Locking: the object's lock (rank OBJECT). Order: RW-HOLD. Go: sync.RWMutex, in which unlocking
 * lets in all waiting readers, also those behind the next writer; ours is one queue.
 */
#include <errno.h>

#include "base/fatal.h"
#include "base/sanitize.h"
#include "goro.h"
#include "sync/waitq.h"

#define RW_WRITER      1u
#define RW_QUEUED      2u
#define RW_READER      4u
#define RW_ALL_READERS (~(RW_WRITER | RW_QUEUED))

struct rwmutex {
	atomic_of(uint32_t) state; /* RW1, RW2; RW-HOLD */
	struct lock lock;          /* rank OBJECT */
	struct waitq waiters;      /* lock; a waiter's index is its share */
};

static inline struct rwmutex *rwmutex_of(goro_rwmutex *rw)
{
	_Static_assert(sizeof(struct rwmutex) <= sizeof(goro_rwmutex), "goro_rwmutex is too small");
	return (struct rwmutex *)(void *)rw;
}

/* Who is inside and keeps one with that share out. */
static inline uint32_t rw_obstacles(uint32_t state, uint32_t share)
{
	return state & (share == RW_WRITER ? RW_WRITER | RW_ALL_READERS : RW_WRITER);
}

/* Without the lock: nobody is queued, and there is room. */
static inline bool rw_try(struct rwmutex *rw, uint32_t share)
{
	uint32_t old = load_rlx(&rw->state); /* relaxed: the swap decides */

	while (!(old & RW_QUEUED) && !rw_obstacles(old, share))
		if (cas_acq(&rw->state, &old, old + share)) /* RW-HOLD */
			return true;
	return false;
}

/*
 * Under the lock: let in from the front who can be, RW3. Each is in by our step, on its behalf, and
 * is woken after the lock is released.
 */
static void rw_let_in(struct rwmutex *rw, struct woken *woken)
{
	struct waiter *w;
	uint32_t old = load_rlx(&rw->state); /* relaxed: the swap decides */

	while ((w = rw->waiters.first) && !rw_obstacles(old, w->index)) {
		uint32_t share = w->index;
		waitq_unlink(&rw->waiters, w);
		if (!waiter_claim(w))
			continue; /* it has given up */
		while (!cas_acq_rel(&rw->state, &old, old + share)) /* RW-HOLD */
			;
		old += share;
		w->ok = true;
		woken_add(woken, w);
	}
	if (!w)
		while (!cas_acq_rel(&rw->state, &old, old & ~RW_QUEUED)) /* RW-HOLD */
			;
}

/* WQ4, RW3: the deadline or the context has ended the wait. */
static void rw_leave(struct rwmutex *rw, struct waiter *w)
{
	struct woken woken = {0};

	lock_acquire(&rw->lock);
	if (w->queue)
		waitq_unlink(&rw->waiters, w);
	if (MODEL_KEEP("rw-leave-lets-in"))
		rw_let_in(rw, &woken);
	lock_release(&rw->lock);
	woken_wake(&woken);
}

/* Under the lock: true, it is ours after all; false, QUEUED is set, unless it is too late. */
static bool rw_take_or_mark(struct rwmutex *rw, uint32_t share, bool is_late)
{
	uint32_t old = load_rlx(&rw->state), wanted; /* relaxed: the swap decides */
	bool is_free;

	do {
		is_free = waitq_is_empty(&rw->waiters) && !rw_obstacles(old, share) &&
			  MODEL_KEEP("rw-look-again");
		if (is_free)
			wanted = (old & ~RW_QUEUED) + share;
		else
			wanted = is_late ? old : old | RW_QUEUED;
	} while (!cas_acq_rel(&rw->state, &old, wanted)); /* RW-HOLD */
	return is_free;
}

/* 0; -ETIMEDOUT, -ECANCELED: not for who is shielded. */
__attribute__((noinline)) static int rw_lock_slow(struct rwmutex *rw, uint32_t share,
						  int64_t deadline, bool is_shielded)
{
	CALL_SCOPE;
	enum wait_reason reason = share == RW_WRITER ? WAIT_RWMUTEX_WRITE : WAIT_RWMUTEX_READ;
	struct waiter w = {.index = share};
	bool is_late = deadline_is_past(deadline);
	int error = 0;

	lock_acquire(&rw->lock);
	bool is_taken = rw_take_or_mark(rw, share, is_late);
	if (is_taken || is_late) {
		lock_release(&rw->lock);
		return is_taken ? 0 : -ETIMEDOUT;
	}
	waitq_push(&rw->waiters, &w);
	if (is_shielded)
		waitq_wait_shielded(&w, &rw->lock, reason);
	else
		error = waitq_wait_only(&w, &rw->lock, reason, deadline);
	if (error)
		rw_leave(rw, &w);
	return error;
}

/* QUEUED may be left from a run that has ended: RW2. */
static bool rw_try_queued(struct rwmutex *rw, uint32_t share)
{
	uint32_t old = load_rlx(&rw->state); /* relaxed: a hint, the rest is under the lock */

	return (old & RW_QUEUED) && !rw_obstacles(old, share) &&
	       rw_lock_slow(rw, share, GORO_POLL, false) == 0;
}

/*
 * The caller has the last share that is inside, and somebody was queued. False: it is not so any
 * more, and the word alone decides.
 */
static bool rw_hand_over(struct rwmutex *rw, uint32_t share)
{
	CALL_SCOPE;
	struct woken woken = {0};
	uint32_t old = share | RW_QUEUED;

	lock_acquire(&rw->lock);
	if (waitq_is_empty(&rw->waiters)) {
		/* RW4: our share stays until the lock is released. */
		rw_let_in(rw, &woken);
		lock_release(&rw->lock);
		return false;
	}
	if (!cas_acq_rel(&rw->state, &old, RW_QUEUED)) { /* RW-HOLD */
		lock_release(&rw->lock); /* others are inside: a waiting writer gave up */
		return false;
	}
	rw_let_in(rw, &woken);
	lock_release(&rw->lock);
	woken_wake(&woken);
	return true;
}

static void rw_unlock(struct rwmutex *rw, uint32_t share)
{
	uint32_t old = load_rlx(&rw->state); /* relaxed: the swap decides */

	for (;;) {
		if (unlikely(!(old & (share == RW_WRITER ? RW_WRITER : RW_ALL_READERS))))
			fatal(share == RW_WRITER ? "sync: Unlock of unlocked RWMutex"
						 : "sync: RUnlock of unlocked RWMutex");
		if (unlikely(old == (share | RW_QUEUED))) {
			if (rw_hand_over(rw, share))
				return;
			old = load_rlx(&rw->state); /* relaxed: the swap decides */
		} else if (cas_acq_rel(&rw->state, &old, old - share)) { /* RW-HOLD */
			return;
		}
	}
}

static void rw_lock(goro_rwmutex *rwmutex, uint32_t share)
{
	struct rwmutex *rw = rwmutex_of(rwmutex);

	preempt_check();
	if (unlikely(!rw_try(rw, share)))
		(void)rw_lock_slow(rw, share, GORO_FOREVER, true);
	sanitize_acquire(rw);
}

static int rw_lock_until(goro_rwmutex *rwmutex, uint32_t share, int64_t deadline)
{
	struct rwmutex *rw = rwmutex_of(rwmutex);
	int error = 0;

	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (unlikely(!rw_try(rw, share)))
		error = rw_lock_slow(rw, share, deadline, false);
	if (!error)
		sanitize_acquire(rw);
	return error;
}

static bool rw_trylock(goro_rwmutex *rwmutex, uint32_t share)
{
	struct rwmutex *rw = rwmutex_of(rwmutex);

	preempt_check();
	if (!rw_try(rw, share) && !rw_try_queued(rw, share))
		return false;
	sanitize_acquire(rw);
	return true;
}

void goro_rwmutex_rdlock(goro_rwmutex *rw)
{
	rw_lock(rw, RW_READER);
}

void goro_rwmutex_wrlock(goro_rwmutex *rw)
{
	rw_lock(rw, RW_WRITER);
}

int goro_rwmutex_rdlock_until(goro_rwmutex *rw, int64_t deadline)
{
	return rw_lock_until(rw, RW_READER, deadline);
}

int goro_rwmutex_wrlock_until(goro_rwmutex *rw, int64_t deadline)
{
	return rw_lock_until(rw, RW_WRITER, deadline);
}

bool goro_rwmutex_tryrdlock(goro_rwmutex *rw)
{
	return rw_trylock(rw, RW_READER);
}

bool goro_rwmutex_trywrlock(goro_rwmutex *rw)
{
	return rw_trylock(rw, RW_WRITER);
}

void goro_rwmutex_rdunlock(goro_rwmutex *rwmutex)
{
	sanitize_release(rwmutex_of(rwmutex));
	rw_unlock(rwmutex_of(rwmutex), RW_READER);
}

void goro_rwmutex_wrunlock(goro_rwmutex *rwmutex)
{
	sanitize_release(rwmutex_of(rwmutex));
	rw_unlock(rwmutex_of(rwmutex), RW_WRITER);
}
