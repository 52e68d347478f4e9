/*
 * waitq.h - who waits on an object, in order: goroutines and plain threads alike.
 *
 * WQ1  A waiter's record lies on the waiter's own stack and is linked into one queue, under the
 *      object's lock.
 * WQ2  A waiter that may also give up (a deadline) has a race word: whoever swaps it from 0 decides
 *      how the wait ends. One that cannot give up has none: dequeuing it decides.
 * WQ3  Whoever wakes a waiter writes its results first (copy, ok), releases the object's lock, then
 *      calls waiter_wake(), and touches neither record nor object after that.
 */
#ifndef SYNC_WAITQ_H
#define SYNC_WAITQ_H

#include "core/lock.h"
#include "sched/sched.h"

enum { RACE_OPEN, RACE_WOKEN, RACE_TIMEOUT };

struct waitq;

struct waiter {
	struct waiter *next, *prev;  /* the object's lock */
	struct waitq *queue;         /* the object's lock: where it is linked, or NULL */
	struct lock *lock;           /* the object's lock, for the end of a run */
	struct g *gp;                /* a goroutine, or NULL: */
	struct note *note;           /* a plain thread */
	void *elem;                  /* channels: where the value goes to or comes from */
	atomic_of(uint32_t) *race;   /* WQ2 */
	bool ok;                     /* waker: the operation was done (not: closed) */
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

/* The first waiter whose wait we may end; those that have given up are dropped on the way. */
static inline struct waiter *waitq_pop(struct waitq *q)
{
	for (struct waiter *w; (w = q->first);) {
		uint32_t open = RACE_OPEN;
		waitq_unlink(q, w);
		if (!w->race || cas_acq_rel(w->race, &open, RACE_WOKEN) || /* WAIT-RACE */
		    !MODEL_KEEP("wait-race"))
			return w;
	}
	return NULL;
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
	if (!w->race)
		add_rlx(&sched.n_foreign_blocked, (uint32_t)-1); /* relaxed: ordered by the note */
	note_wake(w->note);
}

/*
 * Link w into q, release the lock, and wait. 0: somebody woke it. -ETIMEDOUT: the deadline came
 * first, w is in no queue any more.
 */
int waitq_wait(struct waitq *q, struct waiter *w, struct lock *l, enum wait_reason reason,
	       int64_t deadline);

/* Wait for something that never comes, or for the deadline: -ETIMEDOUT. */
int wait_for_nothing(enum wait_reason reason, int64_t deadline);

#endif
