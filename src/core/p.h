/*
 * p.h - a P: the right to run goroutines, and what goes with it.
 *
 * PI1  A P is owned by one M, on its way to one, or offered to any (state RUNNING), lies in the
 *      idle list (IDLE), is held by whoever stops the world (STOPPED), or is beyond goro_maxprocs
 *      (DEAD).
 * PI2  Fields marked "owner" are touched by the M that runs the P, or by whoever holds it by PI1.
 * PI3  Nothing in it needs a lock while its owner runs, but for the timers: others stop
 *      and reset those.
 */
#ifndef CORE_P_H
#define CORE_P_H

#include "base/atomic.h"
#include "base/limits.h"
#include "core/g.h"
#include "core/lock.h"
#include "core/stack.h"

#define P_STATES(X) X(IDLE, "idle") X(RUNNING, "running") X(STOPPED, "stopped") X(DEAD, "dead")

enum p_state {
#define P_STATE_ENUM(name, text) P_##name,
	P_STATES(P_STATE_ENUM)
#undef P_STATE_ENUM
};

/* The ring and the next slot; queue/runq.c tells the invariants. */
struct runq {
	atomic_of(uint32_t) head;             /* takers, RQ-FREE */
	atomic_of(uint32_t) tail;             /* owner, RQ-PUB */
	atomic_of(struct g *) next;           /* owner puts; owner and thieves take, RQ-NEXT */
	atomic_of(uint32_t) next_busy;        /* owner: it is between two looks at next, RQ5 */
	atomic_of(uint32_t) next_thieves;     /* thieves: how many want next, RQ5 */
	atomic_of(struct g *) slot[RUNQ_CAP]; /* owner writes, RQ-PUB */
};

/* Dead Gs; queue/gfree.c. Owner. */
#define GFREE_CACHE 64u
struct gfree {
	struct g *head;
	uint32_t count;
};

/* A heap of timers; event/timer.c. */
struct timer;
struct timer_entry {
	int64_t when;
	struct timer *timer;
};
struct timers {
	struct lock lock;
	struct timer_entry *entry;     /* lock */
	uint32_t count, capacity;      /* lock */
	bool is_closed;                /* lock: the run has ended */
	atomic_of(int64_t) first_when; /* lock to write; when of entry[0], or TIMER_NEVER */
};
#define TIMER_NEVER INT64_MAX

struct m;

/* What was seen of a P's thread when it was last looked at: handoff.c. */
struct p_watch {
	int tid;              /* of its M; 0: nothing was seen */
	uint32_t tick;        /* sched_calls + syscall_tick */
	int64_t cpu_ns;       /* its thread's clock */
	int64_t at_ns;        /* when */
};

struct p {
	uint32_t id;                      /* set once */
	atomic_of(uint32_t) state;        /* enum p_state; sched.lock, or the owner */
	atomic_of(struct m *) m;          /* its owner while RUNNING; P-OWNER */
	struct p *idle_link;              /* sched.lock */
	atomic_of(uint32_t) preempt;      /* others ask, the owner answers; PREEMPT-ASK */
	atomic_of(uint32_t) sched_tick;   /* owner; one more for each slice; sysmon reads it */
	atomic_of(uint32_t) sched_calls;  /* owner; one more for each G run, inherited slices too */
	uint32_t ticks_without_globq;     /* owner; slices since it last took from globq */
	uint32_t yield_heat;              /* owner; so many more yields look thoroughly */
	uint32_t spills;                  /* owner; halves of the ring given away in this slice */
	uint64_t next_id, last_id;        /* owner; a batch of goroutine numbers */
	uint64_t rand;                    /* owner */
	atomic_of(uint64_t) n_spawned, n_ended; /* owner; anybody reads */
	uint32_t poll_heat;               /* owner; sched/poll.c, NW3 */
	bool poll_had_turn;               /* owner; likewise, NW5 */
	atomic_of(int64_t) wake_at;       /* owner; sysmon reads it; 0: nothing is owed: OW1 */
	atomic_of(int64_t) paid_at;       /* sysmon; the wake_at that it has paid: OW4 */
	int64_t owed_since;               /* owner; OW2 */
	uint32_t turn, turn_seen;         /* owner; FN6: how often the next slot was empty; then */
	uint32_t turn_calls;              /* owner; FN6, NW6: sched_calls then */
	atomic_of(uint32_t) turn_every;   /* owner: for how many; sysmon makes it 0: NW6 */
	int64_t turn_since, turn_looked_at; /* owner; FN6: when it was first seen, and last */
	atomic_of(int32_t) n_poll_waits;  /* owner; waits for descriptors: sched/poll.c, NW2 */
	atomic_of(uint32_t) syscall_tick; /* owner; one more for each goro_syscall_enter */
	uint32_t syscall_heat;            /* owner; HO5: so many calls count as long */
	atomic_of(uint32_t) is_offered;   /* HO7: nobody's; P-OFFER */
	uint32_t slow_heat;               /* owner; FN8: so many more that are due go first */
	bool goes_first;                  /* owner; FN8: what runs now is one of them */
	int64_t looked_at;                /* owner; FN8: when it last looked at its timers */
	uint32_t seen_tick;               /* sysmon */
	int64_t seen_since;               /* sysmon; when it first saw seen_tick */
	int64_t asked_at;                 /* sysmon; when it asked the G to yield */
	struct p_watch watch;             /* sysmon, or who stops the world: sched.lock */
	struct gfree gfree;               /* owner */
	struct stack_cache stacks;        /* owner */
	struct timers timers;             /* its lock */
	struct runq runq __attribute__((aligned(CACHE_LINE)));
};

const char *p_state_name(enum p_state state);

#endif
