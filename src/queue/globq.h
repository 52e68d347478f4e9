/*
 * globq.h - the global run queue: yielded Gs, spilled halves of rings, Gs made ready
 * outside of any P.
 *
 * GQ1  size is the length of the list; written under the lock, read by anybody as a hint.
 * GQ2  First in, first out; but see GQ4.
 * GQ3  n_taken counts the Gs that were taken by whoever may run any of them, so that the first
 *      unbound G waits as long as neither it nor the number changes.
 * GQ4  What has waited already when it is put here (put_urgent) has a list of its own, which takes
 *      turns with the other: neither waits for all of the other.
 */
#ifndef QUEUE_GLOBQ_H
#define QUEUE_GLOBQ_H

#include "base/atomic.h"
#include "core/lock.h"
#include "queue/glist.h"
#include "queue/runq.h"

void globq_init(void);
void globq_put(struct g *gp);
void globq_put_list(struct glist *list);
void globq_put_urgent(struct glist *list); /* GQ4 */
/*
 * One G to run, and up to a fair share more into the ring: size / share + 1, at most half a
 * ring, at most max.
 */
struct g *globq_get(struct runq *ring, uint32_t share, uint32_t max);
/* The first that is urgent, or NULL; and whether there is one, as a hint. */
struct g *globq_get_urgent(void);
bool globq_has_urgent(void);
/*
 * Put gp at the tail and take the head, under one lock: what a yield needs. Only the head: the
 * rest of the queue has nothing to gain from a way through the ring.
 */
struct g *globq_rotate(struct g *gp);
/*
 * Under sched.lock. The first, from anywhere in the queue, whose own thread sleeps until somebody
 * hands it over: it was stopped in the middle of its code, is locked to it, or pinned there. Or
 * NULL.
 */
struct g *globq_take_bound(void);
/* Under sched.lock. The first that any thread may run: its number, or 0; and GQ3. */
struct globq_first {
	uint64_t id;
	uint32_t n_taken;
};
struct globq_first globq_first_unbound(void);
uint32_t globq_size(void);

#endif
