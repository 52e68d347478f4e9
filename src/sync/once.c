/*
 * once.c - doing something exactly once, whoever comes first.
 *
 *   goro_once_do -> [DONE: return] | the first: fn, DONE, wake all | the others: wait for DONE
 *
 * ON1  state goes from 0 to RUNNING to DONE, once. Whoever makes the first step calls fn; nobody
 *      returns before the second. WAITERS, beside RUNNING: the queue is not empty.
 * ON2  fn is over when it returns, panics, or ends its goroutine: a deferred record on our stack
 *      sees to that.
 * ON3  The step to DONE is the last touch of the object: the waiters were taken off their queue
 *      before it, and are woken after it.
 * ON4  state is the object's first word, and DONE is what it always was: programs look at it by
 *      themselves (the inline goro_once_do of goro.h), without a call.
 *
 * fn calling goro_once_do() for the same object waits for itself.
 *
 * Locking: the object's lock (rank OBJECT) for the queue. Order: ONCE-DONE. Go: sync.Once, which is
 * a flag and a mutex; hence the wait reason.
 */
#include "base/sanitize.h"
#include "goro.h"
#include "sync/waitq.h"

#define ONCE_RUNNING 1u
#define ONCE_WAITERS 2u
#define ONCE_DONE    4u

struct once {
	atomic_of(uint32_t) state; /* ON1; ONCE-DONE */
	struct lock lock;          /* rank OBJECT */
	struct waitq waiters;      /* lock */
};

static inline struct once *once_of(goro_once *o)
{
	_Static_assert(sizeof(struct once) <= sizeof(goro_once), "goro_once is too small");
	_Static_assert(offsetof(struct once, state) == 0 && ONCE_DONE == 4, "ON4");
	return (struct once *)(void *)o;
}

/* ON3. Also as a deferred call. */
static void once_finish(void *arg)
{
	CALL_SCOPE;
	struct once *o = arg;
	struct woken woken = {0};
	struct waiter *w;
	uint32_t old = ONCE_RUNNING;

	sanitize_release(o);
	while (!cas_acq_rel(&o->state, &old, ONCE_DONE)) { /* ONCE-DONE */
		lock_acquire(&o->lock);
		while (MODEL_KEEP("once-waiters") && (w = waitq_pop(&o->waiters)))
			woken_add(&woken, w);
		store_rlx(&o->state, ONCE_RUNNING); /* relaxed: others change it under the lock */
		lock_release(&o->lock);
		old = ONCE_RUNNING;
	}
	woken_wake(&woken);
}

static void once_run(struct once *o, void (*fn)(void *), void *arg)
{
	struct deferred record = {.fn = once_finish, .arg = o};

	deferred_push(&record);
	ctx_call(fn, arg); /* no C++ exception may pass */
	deferred_remove(&record);
	once_finish(o);
}

static void once_wait(struct once *o)
{
	CALL_SCOPE;
	struct waiter w = {.next = NULL};
	uint32_t old;

	lock_acquire(&o->lock);
	do {
		old = load_acq(&o->state); /* ONCE-DONE: what fn has written */
		if (old == ONCE_DONE) {
			lock_release(&o->lock);
			return;
		}
	} while (!cas_rlx(&o->state, &old, ONCE_RUNNING | ONCE_WAITERS)); /* relaxed: a mark */
	waitq_push(&o->waiters, &w);
	waitq_wait_shielded(&w, &o->lock, WAIT_MUTEX);
}

/* Nobody has called it yet, as far as we know; or there is something else to look at. */
__attribute__((noinline)) static void once_do_slow(struct once *o, void (*fn)(void *), void *arg)
{
	uint32_t fresh = 0;

	preempt_check();
	if (load_acq(&o->state) == ONCE_DONE) { /* ONCE-DONE: what fn has written */
		sanitize_acquire(o);
		return;
	}
	if (unlikely(!fn))
		panic_at("goro_once_do of nil func value");
	if (!cas_acq(&o->state, &fresh, ONCE_RUNNING)) /* ONCE-DONE */
		once_wait(o);
	else
		once_run(o, fn, arg);
	sanitize_acquire(o); /* only its address: it may be gone */
}

/* For the inline of goro.h, which cannot call what it has the name of. */
void goro_once_do_(goro_once *once, void (*fn)(void *), void *arg)
{
	struct once *o = once_of(once);

	/* relaxed: as in preempt_check */
	if (unlikely(load_acq(&o->state) != ONCE_DONE) || /* ONCE-DONE: what fn has written */
	    unlikely(load_rlx(&attention)) || unlikely(sanitize_is_on))
		once_do_slow(o, fn, arg);
}

void goro_once_do(goro_once *once, void (*fn)(void *), void *arg)
{
	goro_once_do_(once, fn, arg);
}
