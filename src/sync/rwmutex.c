/*
 * rwmutex.c - many readers or one writer, first come first served.
 *
 *   rdlock, wrlock     -> [the word, while nobody is queued] | wait in the one queue
 *   rdunlock, wrunlock -> [the word] | the last one out lets in the front of the queue
 *
 * RW1  state is WRITER (one writer inside), QUEUED (somebody waits), and above them the number of
 *      readers inside. WRITER and readers exclude each other.
 * RW2  While QUEUED is set, whoever comes queues; who leaves goes by the word alone; every other
 *      change is made under the object's lock, but for RW5. QUEUED is set and cleared with the
 *      queue, under that lock. (A run's end may empty the queue and leave the bit.)
 * RW3  Who is inside was let in by the word, or by another, who takes the share on the waiter's
 *      behalf: a writer alone, or all readers up to the next writer. Whoever leaves nothing but
 *      QUEUED in the word comes and lets in the front of the queue; so does a writer that gives up,
 *      for the readers behind it. Whenever the lock is released, the front cannot be let in, or
 *      somebody is on the way to do it.
 * RW4  As MX4: nothing is touched after the step that lets others in. Who has left may find the
 *      object freed, and comes back (RW3) only if there is a waiter: each is in present[] from
 *      before it queues until after it has left the queue, and does not return while that one's
 *      lock is held.
 * RW5  A reader comes by adding its share, whatever the word is. If WRITER or QUEUED was there it
 *      is not inside, and goes as if it left, before it queues. Until then others may take it for
 *      one that is inside, and leave to it what it has to do when it goes.
 *
 * Adding, and not swapping, is for several readers at once: an addition takes the word's line once
 * and cannot fail.
 *
 * Locking: the object's lock (rank OBJECT), under the one of present[] (rank PRESENT). Order:
 * RW-HOLD. Go: sync.RWMutex, in which unlocking lets in all waiting readers, also those behind the
 * next writer; ours is one queue.
 */
#include <errno.h>

#include "base/fatal.h"
#include "base/sanitize.h"
#include "goro.h"
#include "sync/present.h"

#define RW_WRITER      1u
#define RW_QUEUED      2u
#define RW_READER      4u
#define RW_ALL_READERS (~(RW_WRITER | RW_QUEUED))

struct rwmutex {
	atomic_of(uint32_t) state; /* RW1, RW2; RW-HOLD */
	struct lock lock;          /* rank OBJECT */
	struct waitq waiters;      /* lock; a waiter's index is its share */
};

/* RW4 */
static struct present rw_present[PRESENT_SLOTS] = {[0 ... PRESENT_SLOTS - 1] = PRESENT_INIT};

static inline struct rwmutex *rwmutex_of(goro_rwmutex *rw)
{
	_Static_assert(sizeof(struct rwmutex) <= sizeof(goro_rwmutex), "goro_rwmutex is too small");
	return (struct rwmutex *)(void *)rw;
}

static inline struct present *rw_present_of(const struct rwmutex *rw)
{
	return &rw_present[present_slot(rw)];
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
	struct waiter visit = {.next = NULL}, w = {.index = share, .also = &visit};
	bool is_late = deadline_is_past(deadline);
	int error = 0;

	present_enter(rw_present_of(rw), rw, &visit); /* before QUEUED is there: RW4 */
	lock_acquire(&rw->lock);
	bool is_taken = rw_take_or_mark(rw, share, is_late);
	if (is_taken || is_late) {
		lock_release(&rw->lock);
		error = is_taken ? 0 : -ETIMEDOUT;
	} else {
		waitq_push(&rw->waiters, &w);
		if (is_shielded)
			waitq_wait_shielded(&w, &rw->lock, reason);
		else
			error = waitq_wait_only(&w, &rw->lock, reason, deadline);
		if (error)
			rw_leave(rw, &w);
	}
	present_leave(&visit);
	return error;
}

/* QUEUED may be left from a run that has ended: RW2. */
static bool rw_try_queued(struct rwmutex *rw, uint32_t share)
{
	uint32_t old = load_rlx(&rw->state); /* relaxed: a hint, the rest is under the lock */

	return (old & RW_QUEUED) && !rw_obstacles(old, share) &&
	       rw_lock_slow(rw, share, GORO_POLL, false) == 0;
}

/* The caller was the last to leave, and somebody was queued: RW3, RW4. */
__attribute__((noinline)) static void rw_come_back(struct rwmutex *rw)
{
	CALL_SCOPE;
	struct present *p = rw_present_of(rw);
	struct woken woken = {0};

	lock_acquire(&p->lock);
	if (present_has(p, rw) || !MODEL_KEEP("rw-present")) {
		lock_acquire(&rw->lock);
		rw_let_in(rw, &woken);
		lock_release(&rw->lock);
	}
	lock_release(&p->lock);
	woken_wake(&woken);
}

noreturn __attribute__((cold)) static void rw_not_locked(uint32_t share)
{
	fatal(share == RW_WRITER ? "sync: Unlock of unlocked RWMutex"
				 : "sync: RUnlock of unlocked RWMutex");
}

static inline void rw_unlock(struct rwmutex *rw, uint32_t share)
{
	uint32_t old = add_acq_rel(&rw->state, -share); /* RW-HOLD */

	if (unlikely(!(old & (share == RW_WRITER ? RW_WRITER : RW_ALL_READERS))))
		rw_not_locked(share);
	if (unlikely(old == (share | RW_QUEUED)) && MODEL_KEEP("rw-come-back"))
		rw_come_back(rw);
}

/* RW5: it is not inside. */
__attribute__((noinline)) static void rdlock_again(struct rwmutex *rw)
{
	rw_unlock(rw, RW_READER);
	(void)rw_lock_slow(rw, RW_READER, GORO_FOREVER, true);
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

void goro_rwmutex_rdlock(goro_rwmutex *rwmutex)
{
	struct rwmutex *rw = rwmutex_of(rwmutex);

	preempt_check();
	uint32_t old = add_acq(&rw->state, RW_READER); /* RW5; RW-HOLD */
	if (unlikely(old & (RW_WRITER | RW_QUEUED)))
		rdlock_again(rw);
	else
		sanitize_acquire(rw);
}

void goro_rwmutex_wrlock(goro_rwmutex *rwmutex)
{
	struct rwmutex *rw = rwmutex_of(rwmutex);

	preempt_check();
	if (unlikely(!rw_try(rw, RW_WRITER)))
		(void)rw_lock_slow(rw, RW_WRITER, GORO_FOREVER, true);
	sanitize_acquire(rw);
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
