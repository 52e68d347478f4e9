/*
 * timer.h - per-P heaps of timers.
 *
 * TM1  heap[i].when <= heap[child of i].when; heap[i].timer->index == i. 4-ary.
 * TM2  A timer is in the heap that its `home` names, or in none (home == NULL); both change under
 *      that heap's lock.
 * TM3  fire() runs under the heap's lock: when timer_stop returns, it is not running
 *      and will not run.
 * TM4  first_when is the smallest `when` of the heap, written under the lock.
 */
#ifndef EVENT_TIMER_H
#define EVENT_TIMER_H

#include "core/p.h"
#include "queue/glist.h"

struct timer {
	atomic_of(struct timers *) home; /* TM2, TM-HOME */
	uint32_t index;                  /* lock of home */
	int64_t when;                    /* set before timer_start */
	/* Makes Gs ready by pushing them on the list; must not lock, park, or free the timer. */
	void (*fire)(struct timer *t, struct glist *ready);
	void *arg;
};

void timers_init(struct timers *ts);
/*
 * Put t into the heap. True: it is now the first. Ends the process when there is no
 * memory for the heap.
 */
bool timer_start(struct timers *ts, struct timer *t);
/* True: it was taken out before it fired. */
bool timer_stop(struct timer *t);
/* Fire all that are due; the Gs that became ready are appended. */
void timers_expire(struct timers *ts, int64_t now, struct glist *ready);
/* Move all to another heap: the P goes away. */
void timers_move(struct timers *from, struct timers *to);
void timers_free(struct timers *ts);
/* When the first is due, or TIMER_NEVER; a hint, unless fenced. */
static inline int64_t timers_first(struct timers *ts)
{
	return load_rlx(&ts->first_when); /* relaxed: a hint */
}
void timers_audit(struct timers *ts);

#endif
