/*
 * timer.h - per-P heaps of timers.
 *
 * TM1  heap[i].when <= heap[child of i].when; heap[i].timer->index == i. 4-ary.
 * TM2  A timer is in the heap that its `home` names, or in none (home == NULL); both change under
 *      that heap's lock.
 * TM3  fire() of an ordinary timer runs under the heap's lock: when timer_stop returns, it is not
 *      running and will not run.
 * TM4  first_when is the smallest `when` of the heap, written under the lock.
 * TM5  fire() of a late timer is called without a lock. From when it leaves the heap for that, its
 *      home is TIMERS_FIRING, until one of two takes it: fire(), which then does its work, or
 *      timer_stop or timer_reset, and then fire() does nothing. These two, and the owner's other
 *      calls, exclude each other by a lock of the owner's.
 * TM6  A closed heap is empty and stays so until the next run opens it. Its lock outlives the run:
 *      a plain thread that stops a timer may have it at any time.
 */
#ifndef EVENT_TIMER_H
#define EVENT_TIMER_H

#include "core/p.h"
#include "queue/glist.h"

struct timer {
	atomic_of(struct timers *) home; /* TM2, TM5, TM-HOME */
	uint32_t index;                  /* lock of home */
	bool is_late;                    /* set once; TM5 */
	int64_t when;                    /* set before timer_start; then lock of home */
	/*
	 * Makes Gs ready by pushing them on the list. An ordinary one must not lock, park, or free
	 * the timer. A late one may do all but park; ready == NULL: its heap was closed.
	 */
	void (*fire)(struct timer *t, struct glist *ready);
	void *arg;
};
#define TIMERS_FIRING ((struct timers *)8)

/* Where a timer was. */
enum timer_was {
	TIMER_OUT,     /* in no heap: never started, or fired, or stopped */
	TIMER_IN_HEAP,
	TIMER_DUE,     /* a late one, on its way to fire(), which will do nothing now */
};

void timers_init(struct timers *ts);
/* One that was used in an earlier run, and closed at its end, or is new. */
void timers_open(struct timers *ts);
/*
 * Put t into the heap. True: it is now the first. Ends the process when there is no
 * memory for the heap.
 */
bool timer_start(struct timers *ts, struct timer *t);
/* The same for who does not own the heap. False: it is closed. */
bool timer_start_if_open(struct timers *ts, struct timer *t, bool *is_first);
/* Not TIMER_OUT: it did not fire, and will not. */
enum timer_was timer_stop(struct timer *t);
/*
 * A timer that is in a heap gets another time, and stays there: TIMER_IN_HEAP, and whether it is
 * now the first. Else the same as timer_stop.
 */
enum timer_was timer_reset(struct timer *t, int64_t when, bool *is_first);
/* What a late timer's fire() asks, under its owner's lock. False: somebody took it, TM5. */
bool timer_claim(struct timer *t);
/* Fire all that are due; the Gs that became ready are appended. */
void timers_expire(struct timers *ts, int64_t now, struct glist *ready);
/* The same, but no more than it takes for one G, or a few of one timer, to become ready. */
void timers_expire_first(struct timers *ts, int64_t now, struct glist *ready);
/* Move all to another heap: the P goes away. */
void timers_move(struct timers *from, struct timers *to);
/* The end of a run: all leave the heap, its memory is freed. fire(t, NULL) for the late ones. */
void timers_close(struct timers *ts);
/* When the first is due, or TIMER_NEVER; a hint, unless fenced. */
static inline int64_t timers_first(struct timers *ts)
{
	return load_rlx(&ts->first_when); /* relaxed: a hint */
}
void timers_audit(struct timers *ts);

#endif
