/*
 * model_lock.h - in place of core/lock.h: a lock that is one step of the explorer.
 *
 * The real one is tried by lock.c of this folder; under the other clients it would only multiply
 * the schedules. Include this before any header of src/.
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include <stdint.h>

#include "base/atomic.h"
#include "base/check.h"

enum lock_rank {
	LOCK_ZEROED,
	LOCK_OUTSIDE,
	LOCK_PRESENT,
	LOCK_OBJECT,
	LOCK_WORLD,
	LOCK_TIMER,
	LOCK_CHAN,
	LOCK_CTX,
	LOCK_SCHED,
	LOCK_GLOBQ,
	LOCK_TIMERS,
	LOCK_GFREE,
	LOCK_STACK,
	LOCK_LEAF
};

struct lock {
	uint32_t rank;
};

#define LOCK_INIT(r)        \
	{                   \
		.rank = (r) \
	}

static inline void lock_init(struct lock *l, enum lock_rank rank)
{
	l->rank = rank;
}

#define lock_acquire(l) explore_lock(l)
/* Who does not wait: the explorer has schedules enough where the lock is free. */
#define lock_acquire_within(l, ns) (explore_lock(l), true)
#define lock_release(l) explore_unlock(l)
/* A release hides nothing here: chan_peek.c tries it with the real lock. */
#define lock_is_free(l) (!explore_lock_is_taken(l))

#endif
