/*
 * runq.h - a P's ring of runnable Gs and its next slot. The invariants and orders stand in runq.c.
 */
#ifndef QUEUE_RUNQ_H
#define QUEUE_RUNQ_H

#include <stdbool.h>
#include <stdint.h>

#include "core/p.h"
#include "queue/glist.h"

/* Owner. False: the ring is full. */
bool runq_put(struct runq *q, struct g *gp);
/* Owner. Puts gp into the next slot; returns the G that lay there, or NULL. */
struct g *runq_put_next(struct runq *q, struct g *gp);
/* Owner. The next slot's G, or NULL. */
struct g *runq_get_next(struct runq *q);
/* Owner. The oldest G of the ring, or NULL. */
struct g *runq_get(struct runq *q);
/*
 * Owner. Half of a full ring, and gp behind it, for the global queue. False: it was not
 * full any more.
 */
bool runq_spill(struct runq *q, struct g *gp, struct glist *out);
/* Owner. Everything, next slot last. */
void runq_drain(struct runq *q, struct glist *out);
/*
 * Owner of `to`, whose ring is empty. Move half of the victim's ring there, rounded up, and return
 * one of them for the thief to run; with take_next, the next slot if the ring is empty.
 */
struct g *runq_steal(struct runq *to, struct runq *victim, bool take_next);
/* Anybody; a hint, unless the caller stands behind a fence (wake.c). */
bool runq_is_empty(struct runq *q);
uint32_t runq_length(struct runq *q);
/* Debug: RQ1 on this ring. */
void runq_audit(struct runq *q);

#endif
