/*
 * g.h - a goroutine.
 *
 * GI1  state is written by g_transition() alone; every change is an edge of G_EDGES.
 * GI2  A G that has not run yet has no stack (stack.lo == 0) and its arguments lie in the G; at its
 *      first run it gets a stack and the arguments move onto it.
 * GI3  Exactly one place holds a RUNNABLE G (a ring, a next slot, the global queue, or
 *      somebody's hands), exactly one M a RUNNING one, and exactly one waker may call ready() on
 *      a WAITING one.
 * GI4  sizeof(struct g) <= 240, so that a million of them stay below 256 bytes each
 *      with all overhead.
 */
#ifndef CORE_G_H
#define CORE_G_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "base/atomic.h"
#include "base/check.h"
#include "core/stack.h"

/*
 * IDLE      just taken from a free list, being filled by spawn; nobody else sees it
 * RUNNABLE  in one run queue; its stack (if it has one) is at rest, its registers lie on it
 * RUNNING   has an M and a P; the M owns its stack
 * WAITING   in no queue of the scheduler; what it waits for holds it (wait queue, timer, lock)
 * DEAD      in a free list; no stack
 */
#define G_STATES(X)                             \
	X(IDLE, "idle")                         \
	X(RUNNABLE, "runnable")                 \
	X(RUNNING, "running")                   \
	X(WAITING, "waiting")                   \
	X(DEAD, "dead")

/* from, to, by */
#define G_EDGES(X)                              \
	X(IDLE, RUNNABLE, "spawn")              \
	X(RUNNABLE, RUNNING, "execute")         \
	X(RUNNING, WAITING, "park")             \
	X(RUNNING, RUNNABLE, "yield, preempt")  \
	X(WAITING, RUNNABLE, "ready")           \
	X(WAITING, RUNNING, "park, commit failed") \
	X(RUNNING, DEAD, "exit")                \
	X(DEAD, IDLE, "reuse")

enum g_state {
#define G_STATE_ENUM(name, text) G_##name,
	G_STATES(G_STATE_ENUM)
#undef G_STATE_ENUM
};

/* Why a G waits: the words of the reports, which are Go's. */
#define WAIT_REASONS(X)                                 \
	X(NONE, "")                                     \
	X(CHAN_RECV, "chan receive")                    \
	X(CHAN_SEND, "chan send")                       \
	X(CHAN_RECV_NIL, "chan receive (nil chan)")     \
	X(CHAN_SEND_NIL, "chan send (nil chan)")        \
	X(SELECT, "select")                             \
	X(SELECT_NO_CASES, "select (no cases)")         \
	X(SLEEP, "sleep")                               \
	X(IO, "IO wait")                                \
	X(MUTEX, "sync.Mutex.Lock")                     \
	X(RWMUTEX_READ, "sync.RWMutex.RLock")           \
	X(RWMUTEX_WRITE, "sync.RWMutex.Lock")           \
	X(COND, "sync.Cond.Wait")                       \
	X(WAITGROUP, "sync.WaitGroup.Wait")             \
	X(SEMAPHORE, "semacquire")                      \
	X(GROUP, "group wait")                          \
	X(STOP_WORLD, "stopping the world")             \
	X(PANIC, "panicwait")

enum wait_reason {
#define WAIT_REASON_ENUM(name, text) WAIT_##name,
	WAIT_REASONS(WAIT_REASON_ENUM)
#undef WAIT_REASON_ENUM
};

struct goro_site_;
struct deferred;
struct try_frame;
struct panic_frame;
struct waiter;
struct ctx_head;
struct m;

#define G_INLINE_ARGS 72
#define G_COLD_LINES 10 /* of a stack at rest */
#define G_NEXT_LINES 2  /* below them: where its next calls go */

struct g {
	/* What a wait for an event and a switch touch: two cache lines, wherever a G begins. */
	void *sp;                     /* whoever holds the G at rest: where its registers lie */
	struct g *link;               /* whoever holds it: next in a glist or a free list */
	struct m *m;                  /* its M while RUNNING */
	atomic_of(uint32_t) state;    /* g_transition(); read by anybody */
	atomic_of(uint8_t) wait_reason; /* enum wait_reason, while WAITING; reports read it */
	bool has_canary;              /* its stack could not be guarded */
	bool has_own_stack;           /* from .stack_size: not pooled */
	bool is_main;                 /* number 1 */
	bool is_ending;               /* its last switch; nothing of its stack is needed any more */
	bool is_pinned;               /* locked_m is its host: PD2 */
	bool is_stopped;              /* RUNNABLE, but its thread waits in a signal handler: PR4 */
	uint16_t syscall_depth;       /* nested goro_syscall_enter */
	uint16_t nopreempt_depth;     /* nested goro_nopreempt_begin */
	struct m *locked_m;           /* goro_lock_thread, .pinned: runs on this M only */
	struct ctx_head *ctx;         /* goro_ctx_use: may cancel its waits; a reference, or NULL */
	atomic_of(int64_t) wait_since; /* when it began to wait, to within a few ms; for reports */
	union {
		/* Before the first run. */
		void *arg;                             /* ARGS_ARE_POINTER: goro_spawn */
		void *heap;                            /* args_size > G_INLINE_ARGS */
		unsigned char bytes[G_INLINE_ARGS] __attribute__((aligned(8)));
		/* From then on; this G. */
		struct {
			struct deferred *deferred;     /* goro_defer records, last first */
			struct try_frame *tries;       /* goro_try frames, innermost first */
			struct panic_frame *panics;    /* panics under way, latest first */
			void *start_arg;               /* goro_spawn's argument */
			int *canceled_result;          /* a group's child: PN7, or NULL */
		} run;
	} u;

	/* The rest. */
	struct stack stack;           /* set at the first run */
	struct waiter *waiter;        /* while WAITING on an object: its record there */
	uint64_t id;                  /* set by spawn */
	uint64_t parent_id;           /* who said go */
	char *name;                   /* NAME_MAX_BYTES on the heap, or NULL */
	const struct goro_site_ *site; /* where `go` stands in the program, or NULL: */
	void *spawn_pc;               /* the return address of the spawning call */
	void (*entry)(void *);        /* what it runs */
	void (*fn)(void);             /* the function that the program named: for the reports */
	void *tsan_fiber;             /* for ThreadSanitizer */
	void *asan_fake_stack;        /* for AddressSanitizer */
	uint32_t lock_depth;          /* nested goro_lock_thread */
	uint32_t args_size;           /* bytes of arguments, or ARGS_ARE_POINTER */
};

#define ARGS_ARE_POINTER UINT32_MAX

_Static_assert(sizeof(struct g) <= 240, "a G has grown: GI4");
_Static_assert(offsetof(struct g, u.run.panics) <= CACHE_LINE + 16, "a wait touches a third line");
_Static_assert(sizeof(struct g) % 16 == 0, "a G may begin anywhere in a line");

const char *g_state_name(enum g_state state);
const char *wait_reason_name(enum wait_reason reason);
bool g_edge_is_legal(enum g_state from, enum g_state to);
noreturn void g_transition_failed(const struct g *gp, enum g_state from, enum g_state to);

static inline enum g_state g_state(struct g *gp)
{
	return (enum g_state)load_acq(&gp->state); /* G-STATE: what the G wrote before it changed */
}

/*
 * By whoever holds it, at rest, when its turn comes soon. One of thousands is cold: the rest of
 * what a wait touches of the G, and its stack from where the calls go that it makes next (a system
 * call does not begin while a store waits for its line), over a wait's registers, to the frame of
 * the call that waits.
 */
static inline void g_prefetch(const struct g *gp)
{
	const char *sp = gp->sp;

	if (!sp)
		return;
	__builtin_prefetch(&gp->u.run.tries); /* a G begins in no certain place of a line */
	__builtin_prefetch(&gp->waiter);      /* of a wait with a deadline */
	for (int i = -G_NEXT_LINES; i < G_COLD_LINES; i++)
		__builtin_prefetch(sp + i * CACHE_LINE);
	/* gcc 12 takes a function of nothing but prefetches for one without an effect. */
	__asm__ volatile("");
}

/*
 * Only whoever holds the G calls this, so a plain store does; the edges are checked
 * in debug builds.
 */
static inline void g_transition(struct g *gp, enum g_state from, enum g_state to)
{
#ifdef GORO_DEBUG
	if (load_rlx(&gp->state) != from || !g_edge_is_legal(from, to)) /* relaxed: we hold the G */
		g_transition_failed(gp, from, to);
#endif
	(void)from;
	store_rel(&gp->state, to); /* G-STATE: what was written before the change */
}

#endif
