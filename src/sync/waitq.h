/*
 * waitq.h - who waits on an object, in order: goroutines and plain threads alike.
 *
 *   chan, select, mutex, ... -> [waitq_push] -> [waitq_wait] -> the other side: [waitq_pop],
 *                                                              [waiter_wake]
 *
 * WQ1  A waiter's record lies on the waiter's own stack and is linked into at most one queue, under
 *      the object's lock.
 * WQ2  A wait that may end in more than one way (a deadline, a cancelled context, another case of
 *      its select) has a struct wait with a race word: whoever swaps it from RACE_OPEN decides how
 *      the wait ends. Any other has none: dequeuing it decides.
 * WQ3  Whoever wakes a waiter writes its results first (copy, ok), releases the object's lock, then
 *      calls waiter_wake(), and touches neither record nor object after that: the waiter may return
 *      and the object may be freed. It waits for nothing in between: the end of a run may wait for
 *      it (outside.c, OU2).
 * WQ4  A waiter that has given up stands in its queue until it, or waitq_pop(), takes it out; it
 *      returns only after that, and until then leads to a struct wait that is still there.
 */
#ifndef SYNC_WAITQ_H
#define SYNC_WAITQ_H

#include "core/ctx.h"
#include "core/lock.h"
#include "event/timer.h"
#include "sched/sched.h"

/* The race word: who was first. RACE_WOKEN + index: the waiter of that index was dequeued. */
enum { RACE_OPEN, RACE_TIMEOUT, RACE_CANCELED, RACE_WOKEN };

struct waitq;
struct goro_ctx;

/* One wait, however many records it has. */
struct wait {
	atomic_of(uint32_t) race;      /* WQ2 */
	bool has_deadline;             /* timer.when */
	struct timer timer;            /* armed by the commit */
	struct g *gp;                  /* a goroutine, or NULL: */
	struct note note;              /* a plain thread */
	/* On g0, or on the plain thread: unlock what the wait was published under. */
	void (*release)(void *arg);
	void *release_arg;
	/* select: a run ends meanwhile; takes the records out. NULL: they are just unlinked. */
	void (*forget)(struct wait *wait);
	struct goro_ctx *ctx;          /* what may cancel it: the goroutine's own, or NULL */
	struct wait *ctx_next, *ctx_prev; /* ctx's lock */
	bool is_enlisted;              /* ctx's lock */
};

/* One place in one queue. */
struct waiter {
	struct waiter *next, *prev;  /* the object's lock */
	struct waitq *queue;         /* the object's lock: where it is linked, or NULL */
	struct lock *lock;           /* the object's lock, for the end of a run */
	struct g *gp;                /* a goroutine, or NULL: */
	struct note *note;           /* a plain thread */
	struct wait *wait;           /* WQ2, or NULL */
	struct waiter *also;         /* select: the next record of the same wait */
	void *elem;                  /* channels: where the value goes to or comes from */
	uint32_t index;              /* select: which case */
	bool ok;                     /* waker: the operation was done (not: closed) */
	bool is_select;              /* channels: chan.c, CH5 */
};

struct waitq {
	struct waiter *first, *last;
};

static inline bool waitq_is_empty(const struct waitq *q)
{
	return !q->first;
}

static inline void waitq_push(struct waitq *q, struct waiter *w)
{
	w->queue = q;
	w->next = NULL;
	w->prev = q->last;
	if (q->last)
		q->last->next = w;
	else
		q->first = w;
	q->last = w;
}

/* For one that has waited already. */
static inline void waitq_push_front(struct waitq *q, struct waiter *w)
{
	w->queue = q;
	w->prev = NULL;
	w->next = q->first;
	if (q->first)
		q->first->prev = w;
	else
		q->last = w;
	q->first = w;
}

static inline void waitq_unlink(struct waitq *q, struct waiter *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		q->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		q->last = w->prev;
	w->queue = NULL;
}

/* True: we end w's wait. Under the lock of its queue. */
static inline bool waiter_claim(struct waiter *w)
{
	uint32_t open = RACE_OPEN;

	return !w->wait ||
	       cas_acq_rel(&w->wait->race, &open, RACE_WOKEN + w->index) || /* WAIT-RACE */
	       !MODEL_KEEP("wait-race");
}

/* The first waiter whose wait we end; those that have given up are dropped on the way. */
static inline struct waiter *waitq_pop(struct waitq *q)
{
	for (struct waiter *w; (w = q->first);) {
		waitq_unlink(q, w);
		if (waiter_claim(w))
			return w;
	}
	return NULL;
}

/* Does a plain thread wait for a call of others, with no deadline? (deadlock.c, DL2) */
static inline bool waiter_is_stuck_thread(const struct waiter *w)
{
	return !w->gp && !(w->wait && w->wait->has_deadline);
}

static inline void waiter_wake(struct waiter *w)
{
	if (likely(w->gp != NULL)) {
		ready(w->gp);
		return;
	}
	/*
	 * Before the wake: from here on the thread may act, and a deadlock is none
	 * (deadlock.c, DL2).
	 */
	if (waiter_is_stuck_thread(w)) {
		add_rlx(&sched.n_foreign_blocked, (uint32_t)-1); /* relaxed: ordered by the next */
		add_acq_rel(&sched.n_foreign_woken, 1);          /* DEAD-WOKEN: the count */
	}
	note_wake(w->note);
}

/*
 * Several that an operation wakes: each is popped and put into such a list under the object's lock,
 * and all are woken after its release. The list links claimed records, in no queue, so that nobody
 * else touches them.
 */
struct woken {
	struct waiter *first, *last;
};

static inline void woken_add(struct woken *woken, struct waiter *w)
{
	w->next = NULL;
	if (woken->last)
		woken->last->next = w;
	else
		woken->first = w;
	woken->last = w;
}

/* WQ3: the last that the caller does. In order, also where all run on this P. */
void woken_wake_many(struct waiter *first);
static inline void woken_wake(struct woken *woken)
{
	if (woken->first == woken->last) {
		if (woken->first)
			waiter_wake(woken->first);
	} else {
		woken_wake_many(woken->first);
	}
}

/*
 * The caller holds l and has put w into a queue of the object. Releases l and waits. 0: somebody
 * woke it. -ETIMEDOUT, -ECANCELED: w is in no queue any more.
 */
int waitq_wait(struct waiter *w, struct lock *l, enum wait_reason reason, int64_t deadline);
/* The same, but after -ETIMEDOUT and -ECANCELED w may be in its queue: WQ4 is the caller's. */
int waitq_wait_only(struct waiter *w, struct lock *l, enum wait_reason reason, int64_t deadline);
/* For ever, whatever the goroutine's context says: what cleaning up needs must be had. */
void waitq_wait_shielded(struct waiter *w, struct lock *l, enum wait_reason reason);

/* Wait for something that never comes, or for the deadline: -ETIMEDOUT, -ECANCELED. */
int wait_for_nothing(enum wait_reason reason, int64_t deadline);

/*
 * For a wait with several records (select) or with more to unlock than one lock (cond): set
 * release and release_arg of a zeroed wait, then begin; join each record, under its object's lock;
 * then wait_end_of(). What that returns is the race word. `records` are all of them, linked by
 * `also`; those that are still in a queue are the caller's to take out.
 */
void wait_begin(struct wait *wait, int64_t deadline);
static inline void wait_join(struct wait *wait, struct waiter *w, struct lock *l)
{
	w->gp = wait->gp;
	w->note = &wait->note;
	w->wait = wait;
	w->lock = l;
}
uint32_t wait_end_of(struct wait *wait, struct waiter *records, enum wait_reason reason);

/* RACE_TIMEOUT and RACE_CANCELED as errors, anything else as 0. */
int wait_error(uint32_t race);

static inline bool deadline_is_past(int64_t deadline)
{
	return deadline <= 0 || (deadline != OS_FOREVER && deadline <= os_now());
}

/*
 * End every wait that ctx, whose lock the caller holds, may cancel; the Gs are appended. The
 * caller has set its error before.
 */
void ctx_waits_end(struct goro_ctx *ctx, struct glist *ready);

#endif
