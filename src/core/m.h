/*
 * m.h - an M: a thread that runs goroutines.
 *
 * MI1  An M runs its scheduler on g0, the thread's own stack, and goroutines on theirs. curg is the
 *      G on whose stack it is, or NULL on g0.
 * MI2  An M that runs a G or the scheduler holds a P; one without a P sleeps on its note, waits for
 *      the next timer, or is on its way to either.
 * MI3  locked_g and locked_m point at each other or at nothing; or, of an M with pinned Gs,
 *      locked_g is pinned_mark, and locked_m of each of those that M.
 * MI4  `at` says whose code the thread runs. Only AT_RUNTIME touches p, what hangs on it, and locks
 *      of ours; in the other two the P may be taken away (handoff.c), so that the M runs on without
 *      one until it comes in again.
 */
#ifndef CORE_M_H
#define CORE_M_H

#include "arch/arch.h"
#include "base/atomic.h"
#include "core/note.h"
#include "core/p.h"

/*
 * RUNTIME  in a call of the library, or on g0
 * PROGRAM  in the goroutine's own code
 * SYSCALL  between goro_syscall_enter and goro_syscall_exit
 */
enum m_at { AT_RUNTIME, AT_PROGRAM, AT_SYSCALL };

/* The parts of is_taken. The first is written under sched.lock, the other by the M itself. */
#define TAKEN_BY_OTHER 1u
#define TAKEN_BY_SELF  2u

struct cxx_globals;

struct m {
	void *g0_sp;                      /* set once: the thread's way out; g0 works below it */
	struct g *curg;                   /* this thread */
	atomic_of(struct p *) p;          /* this thread, or who takes it: MI4; reports read it */
	atomic_of(uint32_t) at;           /* this thread, enum m_at; AT-ENTER */
	atomic_of(uint32_t) is_taken;     /* the P is gone, or being taken: TAKEN_BY; AT-ENTER */
	struct p *old_p;                  /* sched.lock: the one that was taken */
	int64_t gave_at;                  /* this thread: HO5, when it gave the P away; or 0 */
	/* For reports: when an announced call began, or one was seen to block; 0: nobody knows. */
	atomic_of(int64_t) away_since;
	struct p *next_p;                 /* whoever wakes it, before the wake */
	struct g *locked_g;               /* goro_lock_thread; this thread */
	bool is_host;                     /* this thread: PD1 in pinned.c */
	bool waits_pinned;                /* sched.lock: it sleeps until a pinned G is picked */
	uint32_t n_pinned;                /* sched.lock: Gs that are pinned to it */
	struct g *pinned_first, *pinned_last; /* sched.lock: runnable ones that wait for it */
	struct m *host_link;              /* sched.lock */
	bool is_spinning;                 /* this thread, and whoever starts it */
	bool starts_spinning;             /* whoever wakes it, before the wake */
	bool must_look;                   /* sched.lock: woken for some idle P; HO6 */
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
	uint32_t n_pairs;                 /* this thread: FN9, how much of late */
	bool saw_pair;                    /* likewise: in this pass */
	void *altstack;                   /* this thread */
	struct cxx_globals *cxx;          /* this thread: its C++ exceptions, CE1; or NULL */
	void *tsan_fiber;                 /* ThreadSanitizer's context of g0 */
	void *asan_fake_stack;            /* AddressSanitizer's */
	const void *stack_lo;             /* bounds of the thread's stack, for AddressSanitizer */
	size_t stack_size;
	uint32_t held_ranks;              /* debug: lock ranks held, as bits */
	bool is_on_way, is_new;           /* sched.lock: SC4 */
#ifdef GORO_DEBUG
#define HELD_MAX 8u
	uint32_t n_held, n_held_more;     /* this thread, like the next: HD1 in held.c */
	struct {
		const void *mutex, *pc;
	} held[HELD_MAX];
#endif
	bool is_leaving;                  /* its locked G has ended: so does the thread */
	atomic_of(uint32_t) stop_asked;   /* others: the signal on its way is ours; STOP-ASK */
	int64_t stop_asked_at;            /* sched.lock */
	const void *stop_context;         /* while its G is_stopped: the registers, for reports */
};

#endif
