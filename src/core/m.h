/*
 * m.h - an M: a thread that runs goroutines.
 *
 * MI1  An M runs its scheduler on g0, the thread's own stack, and goroutines on theirs. curg is the
 *      G on whose stack it is, or NULL on g0.
 * MI2  An M that runs a G or the scheduler holds a P; one without a P sleeps on its note, waits for
 *      the next timer, or is on its way to either.
 * MI3  locked_g and locked_m point at each other or at nothing.
 */
#ifndef CORE_M_H
#define CORE_M_H

#include "arch/arch.h"
#include "base/atomic.h"
#include "core/note.h"
#include "core/p.h"

struct m {
	void *g0_sp;                      /* set once: the thread's way out; g0 works below it */
	struct g *curg;                   /* this thread */
	atomic_of(struct p *) p;          /* this thread; reports read it */
	struct p *next_p;                 /* whoever wakes it, before the wake */
	struct g *locked_g;               /* goro_lock_thread; this thread */
	bool is_spinning;                 /* this thread, and whoever starts it */
	bool starts_spinning;             /* whoever wakes it, before the wake */
	bool armed_timer;                 /* this thread: it has just put a timer into its P */
	uint8_t park_reason;              /* from park to its commit */
	bool (*park_commit)(struct g *, void *); /* likewise */
	void *park_arg;                   /* likewise */
	struct ctx_leaving leaving;       /* what its G, which has ended, hands to g0 */
	void *(*g0_fn)(void *);           /* from switch_to_g0, when a sanitizer is on */
	struct note note;                 /* it sleeps here while idle */
	struct m *idle_link;              /* sched.lock */
	struct m *all_link;               /* sched.lock */
	uint32_t id;                      /* set once; 0: the thread of goro_run */
	int tid;                          /* set once */
	uint64_t rand;                    /* this thread */
	void *altstack;                   /* this thread */
	void *tsan_fiber;                 /* ThreadSanitizer's context of g0 */
	void *asan_fake_stack;            /* AddressSanitizer's */
	const void *stack_lo;             /* bounds of the thread's stack, for AddressSanitizer */
	size_t stack_size;
	uint32_t held_ranks;              /* debug: lock ranks held, as bits */
	bool is_leaving;                  /* its locked G has ended: so does the thread */
	bool is_odd;                      /* likewise, or it would: what that G did to it is left */
};

#endif
