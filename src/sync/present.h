/*
 * present.h - who may be queued at an object, by the object's address, in memory that outlives it.
 *
 *   about to queue -> [present_enter] -> queued, woken, ... -> [present_leave] -> the call returns
 *   has let others in, the object may be gone -> the slot's lock, [present_has] -> the object's
 *
 * PT1  A visit stands in its slot from before its waiter queues until after that has left the queue
 *      for good, and its call does not return before that.
 * PT2  So while the slot's lock is held, and a visit of that address stands in it, the object is
 *      there, whatever others have done since the caller let them in.
 * PT3  Each kind of object has a table of its own: at the address of one that was freed there may
 *      be one of another kind by now.
 *
 * Locking: the slot's lock (rank PRESENT), before the object's.
 */
#ifndef SYNC_PRESENT_H
#define SYNC_PRESENT_H

#include "sync/waitq.h"

#ifdef GORO_MODEL
#define PRESENT_SLOTS 1u
#else
#define PRESENT_SLOTS 64u
#endif

struct present {
	struct lock lock;    /* rank PRESENT */
	struct waitq visits; /* lock; a visit's elem is the object */
};

#define PRESENT_INIT {.lock = LOCK_INIT(LOCK_PRESENT)}

static inline uint32_t present_slot(const void *object)
{
	return (uint32_t)((uintptr_t)object >> 5) % PRESENT_SLOTS;
}

/* Under the lock. */
static inline void present_add(struct present *p, void *object, struct waiter *visit)
{
	visit->elem = object;
	visit->lock = &p->lock;
	waitq_push_front(&p->visits, visit);
}

static inline void present_enter(struct present *p, void *object, struct waiter *visit)
{
	lock_acquire(&p->lock);
	present_add(p, object, visit);
	lock_release(&p->lock);
}

static inline void present_leave(struct waiter *visit)
{
	struct lock *l = visit->lock;

	lock_acquire(l);
	waitq_unlink(visit->queue, visit);
	lock_release(l);
}

/* Under the lock: PT2. */
static inline bool present_has(const struct present *p, const void *object)
{
	const struct waiter *visit = p->visits.first;

	while (visit && visit->elem != object)
		visit = visit->next;
	return visit != NULL;
}

#endif
