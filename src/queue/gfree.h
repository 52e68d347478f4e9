/*
 * gfree.h - where Gs come from and go back to: slabs, a global free list in each, a
 * cache in each P.
 *
 * GF1  A G is in exactly one place: beyond its slab's bump, in its slab's free list, in a P's
 *      cache, or live.
 * GF2  A slab whose Gs are all free holds no memory but its first page.
 * GF3  For each G that was ever cut a stack slot is promised (stack.h, ST1).
 */
#ifndef QUEUE_GFREE_H
#define QUEUE_GFREE_H

#include "core/p.h"

/* A dead G, or NULL when out of memory. */
struct g *gfree_take(struct gfree *cache);
void gfree_give(struct gfree *cache, struct g *gp);
void gfree_flush(struct gfree *cache);
/* For threads without a P. */
struct g *gfree_take_global(void);
void gfree_give_global(struct g *gp);
/* sysmon: empty slabs give their memory back. How many did. */
uint32_t gfree_scavenge(void);
bool gfree_has_garbage(void);
/*
 * Every G that is not DEAD, in no order; slabs stay while it runs. visit must not take or give Gs.
 */
void gfree_each(void (*visit)(struct g *gp, void *arg), void *arg);
/*
 * The same for reports about a broken process: whoever holds the lock for longer than that will not
 * let it go any more, so the walk goes on without it. That is safe to read: slabs are only added.
 */
void gfree_each_within(void (*visit)(struct g *gp, void *arg), void *arg, int64_t ns);
/* The end of a run: every G is dead and in its slab again. */
void gfree_reset(void);

#endif
