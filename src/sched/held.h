/*
 * held.h - debug builds: the pthread mutexes that a goroutine holds when it leaves its thread.
 *
 *   switch_to_g0, a G's end -> [held_check] -> fatal
 *   a G that the run's end leaves behind -> [held_forget]
 *
 * HD1 to HD3 stand in held.c. In other builds this is nothing.
 */
#ifndef SCHED_HELD_H
#define SCHED_HELD_H

#include "core/m.h"

#ifdef GORO_DEBUG
void held_check(const struct m *mp, const struct g *gp);
#else
static inline void held_check(const struct m *mp, const struct g *gp)
{
	(void)mp;
	(void)gp;
}
#endif

/* What its G holds stays held for good: LE1 in debug/leftover.c. */
static inline void held_forget(struct m *mp)
{
#ifdef GORO_DEBUG
	mp->n_held = mp->n_held_more = 0;
#else
	(void)mp;
#endif
}

#endif
