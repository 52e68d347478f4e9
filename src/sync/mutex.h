/*
 * mutex.h - a mutex from the inside: what cond.c needs of it.
 *
 * mutex.c tells the invariants.
 */
#ifndef SYNC_MUTEX_H
#define SYNC_MUTEX_H

#include "goro.h"
#include "sync/waitq.h"

#define MUTEX_LOCKED  1u
#define MUTEX_WAITERS 2u
#define MUTEX_WOKEN   4u

struct mutex {
	atomic_of(uint32_t) state;  /* the three bits: MX1 to MX3; MUTEX-HOLD */
	struct lock lock;           /* rank OBJECT */
	struct waitq waiters;       /* lock; of struct mutex_waiter */
};

static inline struct mutex *mutex_of(goro_mutex *m)
{
	_Static_assert(sizeof(struct mutex) <= sizeof(goro_mutex), "goro_mutex is too small");
	return (struct mutex *)(void *)m;
}

/* Dies when it is not locked: what unlocking would do, while still on the G. */
void mutex_check_locked(struct mutex *m);
/* Unlock, also on g0. The caller has told the sanitizer. */
void mutex_unlock(struct mutex *m);

#endif
