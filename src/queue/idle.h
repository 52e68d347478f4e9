/*
 * idle.h - where idle Ms and Ps wait, and how many Ms spin.
 *
 * ID1  Both lists change under sched.lock only; last in, first out, so that warm caches
 *      are used first.
 * ID2  n_idle_p and n_spinning are read without the lock by the protocol of sched/wake.c.
 */
#ifndef QUEUE_IDLE_H
#define QUEUE_IDLE_H

#include "core/lock.h"
#include "core/m.h"

struct idle {
	struct m *ms;                     /* sched.lock */
	struct p *ps;                     /* sched.lock */
	uint32_t n_m;                     /* sched.lock */
	atomic_of(uint32_t) n_p;          /* sched.lock to write */
	atomic_of(uint32_t) n_spinning;   /* any thread */
};

extern struct idle idle;

void idle_put_m(struct m *mp);
struct m *idle_get_m(void);
void idle_put_p(struct p *pp);
struct p *idle_get_p(void);
/* This one, if it is idle; else NULL. */
struct p *idle_get_this_p(struct p *wanted);
/* False: it is not idle any more. */
bool idle_remove_m(struct m *mp);

#endif
