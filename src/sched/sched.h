/*
 * sched.h - the state that all Ps share, and the verbs of this floor.
 *
 * SC1  p[0..n_procs) are the Ps that may run; the array and the Ps live until the run ends, so that
 *      anybody may look at a P that has just become DEAD.
 * SC2  stop_wanted != 0: whoever enters the schedule loop gives its P away instead of running a G.
 * SC3  n_m counts every M from its making to its end; n_m == idle + locked and waiting +
 *      those that work.
 * SC4  n_on_way counts the Ms that have no P, and will take an idle one or join the idle list, or
 *      leave: an M that is wanted meanwhile need not be one more. n_starting: those of them that
 *      have been made and not been heard of yet.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include <stdnoreturn.h>

#include "core/ctx.h"
#include "core/m.h"
#include "core/self.h"
#include "queue/glist.h"
#include "queue/idle.h"

enum run_state { RUN_NONE, RUN_STARTING, RUN_ON, RUN_ENDING };

struct sched {
	/* Of the process: any thread may look at these while a run begins. */
	struct lock lock;                  /* rank SCHED */
	uint32_t max_m;                    /* lock */
	atomic_of(uint32_t) run_state;     /* enum run_state; RUN-STATE */
	atomic_of(uint32_t) n_foreign_blocked; /* plain threads that wait in a goro call */
	atomic_of(uint32_t) n_foreign_woken; /* how often one of them was woken; DL4 */
	/* Of a run, from here on: zeroed when one begins. */
	struct p *p[MAXPROCS_LIMIT];       /* world stopped to write */
	atomic_of(uint32_t) n_procs;       /* world stopped to write */
	atomic_of(uint32_t) n_made;        /* likewise: Ps in p[], never fewer within a run */
	atomic_of(uint32_t) stop_wanted;   /* lock to write; read as a hint, or under the lock */
	uint32_t stop_left;                /* lock: Ps that have not stopped yet */
	struct note stop_note;             /* the last of them wakes the stopper */
	struct m *all_m;                   /* lock */
	uint32_t n_m, next_m_id;           /* lock */
	uint32_t n_m_waiting_locked;       /* lock: Ms that wait for their locked G, or leave */
	struct m *hosts;                   /* lock: Ms that Gs are pinned to */
	uint32_t n_hosts;                  /* lock */
	atomic_of(uint32_t) is_start_wanted; /* lock to write: SR1 in starter.c */
	bool has_looker;                   /* lock: an M was woken to look for an idle P; HO6 */
	uint32_t n_to_start;               /* lock: threads that the starter has been asked for */
	atomic_of(uint32_t) n_notified;    /* signals that come over channels: no deadlock then */
	uint32_t n_on_way, n_starting;     /* lock: SC4 */
	atomic_of(uint32_t) n_stopped;     /* goroutines that were stopped by a signal, PR4 */
	atomic_of(uint64_t) next_g_id;     /* any thread: the next batch */
	atomic_of(uint64_t) n_spawned_outside; /* any thread: spawned by threads without a P */
	atomic_of(int64_t) coarse_now;     /* sysmon, sometimes others: the clock, a few ms old */
	atomic_of(uint32_t) keeper_taken;  /* an M sleeps until a timer; KEEP-ADD, KEEP-SLEEP */
	atomic_of(int64_t) keeper_until;   /* when it wakes */
	atomic_of(uint32_t) keeper_polls;  /* it sleeps in the poller; KEEP-SLEEP */
	atomic_of(uint32_t) poll_turns;    /* events came a short time ago: NW5 in poll.c */
	struct note keeper_note;
	struct note end_note;              /* the last M has left */
	bool main_exited;                  /* the main goroutine called goro_exit */
	int main_result;
	struct stack main_stack;           /* set when it returns: what lay there is gone */
	atomic_of(uint32_t) n_uncaught;    /* panics that nobody will catch, not yet printed: PN4 */
};

extern struct sched sched;

/* The goroutine that calls, or NULL: a plain thread, or g0. */
static inline struct g *g_self(void)
{
	struct m *mp = m_self();

	return mp ? mp->curg : NULL;
}

/*
 * What every call looks at first, so that the fast paths read one word that is nearly always 0. Low
 * half: how many Ps have been asked to let their G yield (PR1). High half: how many cancelled
 * contexts there are (PR2).
 */
extern atomic_of(uint64_t) attention;
#define ATTENTION_CANCELED (UINT64_C(1) << 32)

/* ---- loop.c: on g0 ---- */

/* Pick the next G for this M and return its context. */
void *schedule(struct m *mp);
/* The same, with a G that the caller has taken from a queue already. The M has no locked G then. */
void *schedule_picked(struct m *mp, struct g *gp);
/*
 * Leave the G's stack for g0; fn runs there and returns the next context. Returns when
 * the G runs again.
 */
void switch_to_g0(struct m *mp, struct g *gp, void *(*fn)(void *));
/* The same for a G that has ended. */
noreturn void leave_for_g0(struct m *mp, struct g *gp, void *(*fn)(void *));
/* The thread's first step into the loop; returns when the run has ended. */
void schedule_until_end(struct m *mp);
/* Records for the sanitizers: the first thing on a G's stack; a G's life; a thread's. */
void sanitize_enter_g(struct g *gp);
/*
 * From sanitize_g_begin() or sanitize_as_g() to sanitize_as_before() or sanitize_g_end(), what g0
 * does counts as done by the G: these hand over what the first returned.
 */
void *sanitize_g_begin(struct g *gp);
void *sanitize_as_g(struct g *gp);
void sanitize_as_before(void *back);
void sanitize_g_end(struct g *gp, void *back);
void sanitize_m_begin(struct m *mp);
int sanitize_threads(void); /* of theirs, that exist now */
/* Prepare gp to run on mp; its context. */
void *execute(struct m *mp, struct g *gp);
void slice_begin(struct p *pp);

/* ---- find.c ---- */

struct g *find_runnable(struct m *mp, bool *inherits_slice);
/* Run what is due in this P's heap; the Gs become runnable here. */
void check_timers(struct p *pp, int64_t now);
void keeper_break(void);
/* Sysmon: an M is idle, and a timer is due that nobody keeps: wake one. */
void keeper_watch(int64_t now);
/* Is there something in any queue? And when is the first timer due? */
bool work_is_visible(int64_t *first_timer);
/* Take an idle P back as a spinning M. False: none is idle. */
bool reacquire_p(struct m *mp);

/* ---- poll.c ---- */

struct polled;
/* The first descriptor comes. */
int poll_start(struct polled *(*at)(int fd));
/* A goroutine (on g0) or a plain thread will wait for a descriptor; it does not any more. */
void poll_wait_begins(void);
void poll_wait_ended(void);
extern atomic_of(int32_t) poll_n_outside; /* waits that began or ended without a P: NW2 */
bool poll_has_waits(void);
/* A P has nothing to run: a G whose descriptor is ready; more of them become runnable. */
struct g *poll_network(struct p *pp);
/* Its ring is empty: likewise, when it is not the turn of the global queue (NW5). */
struct g *poll_by_turns(struct p *pp);
/* Without blocking, in short turns: one that brings nothing changes nothing. */
struct g *poll_again(struct p *pp);
void poll_block(int64_t until, struct glist *ready);
/* What it brought is pp's now. */
void poll_brought(struct p *pp, const struct glist *ready);
void poll_if_nobody_does(int64_t now);
/* Sysmon, in each round: what it has brought, and nobody has taken yet, is looked for soon. */
void poll_hurry(void);

/* ---- owe.c ---- */

/* The M that has pp, on g0, wakes another one soon, if there is a reason still. */
void wake_later(struct p *pp);
/* May the wake for what the poller brought be owed? And for a wait that begins? */
bool owed_may_be(void);
bool owed_is_hot(void);
/* The schedule loop: is something owed still? */
bool owed_look(struct p *pp);
/* sysmon: OW3 */
void owed_watch(int64_t now);

/* Who has pp asks the poller itself from now on. */
void owed_anew(struct p *pp, int64_t now);

/* ---- linger.c ---- */

/* Of one search for a G; 0 at first. */
struct moment {
	int64_t until, looked_at; /* 0: not begun */
	uint32_t n_looks;
};
/* Nothing was found: shall it be looked for again? */
bool linger_goes_on(struct p *pp, struct moment *m);
/* In each round of that: a G whose descriptor is ready. */
struct g *linger_ask(struct p *pp, const struct moment *m);
/* The keeper has slept in the poller. */
void linger_slept(int64_t ns, bool has_brought);

/* ---- poll_outside.c ---- */

/* A plain thread will wait for a descriptor; then poll_wait_ended(). 0, or -ENOMEM. */
int poll_wait_begins_outside(void);
/* A run begins: returns when nobody else asks the poller. It has ended, and its Gs are gone. */
void poll_outside_pause(void);
void poll_outside_resume(void);
int poll_outside_threads(void); /* of ours, that exist now */
void poll_outside_in_child(void); /* of fork() */

/* ---- wake.c ---- */

/* After work was published: wake an M unless one is looking already. WAKE-SUBMIT. */
void wake(void);
void wake_outside(void); /* by who has no P: FN10 */
/* A timer was put into a heap. May be on g0. */
void timer_was_armed(struct m *mp, int64_t when);
/* Let an M run this P, which the caller holds. */
void start_m(struct p *pp, bool is_spinning);
/* The same under sched.lock, which it releases. */
void start_m_locked(struct p *pp, bool is_spinning);
/* Under sched.lock: there may be no thread more. */
bool limit_is_reached(void);
/* Under sched.lock, which it releases. */
noreturn void limit_fatal(void);
/* Under sched.lock, which it releases: let an M look for an idle P, and then for work. */
void start_looking(void);
void spinning_begin(struct m *mp);
void spinning_stop(struct m *mp);
void spinning_end(struct m *mp);
/* Under sched.lock: SC4. They may be said twice. */
void on_way_begin(struct m *mp);
void on_way_end(struct m *mp);
/* Sleep without a P until somebody brings one; false: the run has ended. */
bool stop_m(struct m *mp);
void acquire_p(struct m *mp, struct p *pp);
struct p *release_p(struct m *mp);
void put_runnable(struct p *pp, struct g *gp, bool is_next);
void put_runnable_list(struct p *pp, struct glist *list);

/* ---- handoff.c ---- */

void call_enter_slow(void);
/* fork.c: in a child of fork(), where no runtime is; set once, before anybody looks. */
#ifdef GORO_MODEL
#define fork_is_child false
#else
extern bool fork_is_child;
#endif
noreturn void fork_fatal(void);
/* sync/: the program's signal handlers come back. */
extern void (*fork_signals_hook)(void);
/* io/: the descriptors are unknown. */
extern void (*fork_fds_hook)(void);
/*
 * The first that a call of the library does which takes a lock of ours, or works on the P; the last
 * is call_leave() with what this returned. They nest, and do nothing on a plain thread.
 */
static inline uint32_t call_enter(void)
{
	struct m *mp = m_self();

	if (unlikely(!mp)) {
		if (unlikely(fork_is_child))
			fork_fatal();
		return AT_RUNTIME;
	}
	uint32_t was = load_rlx(&mp->at); /* relaxed: our own */
	store_rlx(&mp->at, AT_RUNTIME);   /* relaxed: ordered by the fence */
	if (MODEL_KEEP("enter-fence"))
		fence_light(); /* AT-ENTER: where we are, then the look at the P */
	if (unlikely(load_rlx(&mp->is_taken)) && was != AT_RUNTIME) /* relaxed: ordered by it */
		call_enter_slow();
	return was;
}

static inline void call_leave(uint32_t was)
{
	struct m *mp = m_self(); /* perhaps another one */

	if (likely(mp != NULL))
		store_rel(&mp->at, was); /* AT-ENTER: what we did with the P */
}

/* The explorer tries the handshake by itself (tests/model/handoff.c): calls stay small there. */
#if !defined(GORO_MODEL) || defined(MODEL_CALLS)
static inline void call_scope_end(const uint32_t *was)
{
	call_leave(*was);
}

/* A call of the library, from this line to the end of the block. */
#define CALL_SCOPE                                                                             \
	const uint32_t call_scope_ __attribute__((cleanup(call_scope_end), unused)) = call_enter()
#else
#define CALL_SCOPE ((void)0)
#endif

/* Whatever the call was about, it is over: a panic runs the program's code next. */
void call_abandon(void);
/* It has been caught: the goroutine is where so many goro_syscall_enter() are open. */
void call_resume(struct g *gp, uint16_t syscall_depth);

/* Under sched.lock. True: the P of a thread that is away is the caller's. */
bool p_take(struct p *pp);
/* The Ps of all threads that are away, and for which somebody waits. True: look again soon. */
bool retake(int64_t now);
bool somebody_waits(struct p *pp, int64_t now); /* HO3 */
/* Give a P, which the caller holds without being its M, to whoever has work for it. */
void handoff(struct p *pp);

/* ---- starter.c ---- */

int starter_start(void);
void starter_stop(void);
bool starter_ask(void);
/* It has just been asked: so many will be needed soon. */
void starter_ask_more(uint32_t n);
void starter_wake(void);
/* sync/: on the starter's thread, each time that it is woken. */
extern void (*starter_signals_hook)(void);
/* Sysmon: if no thread could be had, perhaps one can now. */
void starter_retry(void);
/* Work waits for a thread that has been wanted, and is not there yet: SR1. */
bool starter_is_owed(void);
/* The same under sched.lock. True: starter_wake() must follow. */
bool starter_ask_again(void);
/* In place of os_alloc and os_free where a goroutine, or g0, may be in a call: SR2. */
void *call_alloc(size_t size);
void call_free(void *at);
bool garbage_exists(void);
void garbage_free(void);

/* ---- park.c ---- */

/*
 * Stop running this G until somebody calls ready(). commit(gp, arg) runs on g0 after the registers
 * are saved; it publishes the G (unlocks what it waits on), or returns false to go on at once.
 */
void park(bool (*commit)(struct g *, void *), void *arg, enum wait_reason reason);
/* Make a WAITING G runnable, whose wait the caller has ended. Any thread. */
void ready(struct g *gp);
/* The same for a list, in order. */
void ready_list(struct glist *list);
void ready_list_owed(struct p *pp, struct glist *list); /* into our own ring: OW1 */
/* The G goes to the tail of the global queue. */
void yield_global(struct m *mp);

/* ---- spawn.c, exit.c ---- */

struct spawn_request {
	void (*entry)(void *);
	void *arg;
	const void *data;     /* with size: copied; NULL: arg is passed as it is */
	size_t size;
	size_t stack_size;    /* 0: pooled */
	const char *name;
	const struct goro_site_ *site;
	void *pc;
	void (*fn)(void);
	bool is_pinned;
	bool no_preempt;      /* as if within goro_nopreempt_begin and _end */
	bool goes_behind;     /* others run first: not into the next slot */
	bool has_ctx;         /* in place of the spawner's context: */
	struct ctx_head *ctx;
};
int spawn(const struct spawn_request *request);
void g_wipe(struct g *gp);
void g_first_run(struct m *mp, struct g *gp);
noreturn void g_exit(struct g *gp);
/* The main goroutine has returned. On g0. */
void run_end(void);
int count_goroutines(void);

/* ---- fault.c ---- */

void faults_install(void);
void faults_remove(void);
extern const void *fault_context; /* the registers of the fault that is being reported, or NULL */
noreturn void stack_overflow_found(struct g *gp);
/* fn(arg) on a stack that is large enough for a report, FL3; it does not return. */
noreturn void report_stack_enter(void *(*fn)(void *), void *arg);

/* ---- panic.c ---- */

struct deferred {
	struct deferred *next;
	void (*fn)(void *);
	void *arg;
	bool is_lent; /* its memory is the caller's: PN8 */
	void (*drop)(struct deferred *); /* when a run ends around it; may be NULL */
};

void run_deferred(struct g *gp);
void deferred_drop_all(struct g *gp); /* without calling them */
/*
 * For the library's own: a record with fn, arg and drop set, on the caller's stack, which takes it
 * back before that frame is left in the usual way. On a plain thread as well: PN8.
 */
void deferred_push(struct deferred *d);
void deferred_remove(struct deferred *d);
/* False: another goroutine pushed it. */
bool deferred_is_own(const struct deferred *d);
/* The goroutine is being ended by a panic that nobody will catch. */
bool panic_is_uncaught(const struct g *gp);
/* The program did what Go panics at. */
noreturn void panic_at(const char *text);
/* The main goroutine would leave: does not return while a panic or fatal error is under way. */
void panic_wait(void);
/* A call that cannot return -ECANCELED must not go on. */
noreturn void panic_canceled(void);

/* ---- preempt.c ---- */

void preempt_ask(struct p *pp);
void preempt_ask_all(void);
void preempt_clear(struct p *pp);
/* Sysmon, under sched.lock: ask a G that has had its slice, and stop it if it does not listen. */
void preempt_watch(struct p *pp, int64_t now);
/* Sysmon, when the run ends: those that make no call any more. */
void preempt_end_loops(int64_t now);
void preempt_install(void);
void preempt_remove(void);
/* For reports: send the signal that preempt_capture_hook answers. */
void preempt_capture(int tid);
extern void (*preempt_capture_hook)(const void *context);
/* In the handler: is all that gp is in the program's own code? PR7 */
extern bool (*preempt_end_hook)(const struct g *gp, const void *context);
/* Under ThreadSanitizer, or NULL: was gp interrupted outside of it? PR11 */
extern bool (*preempt_direct_hook)(const struct g *gp, const void *context);
/* sync/: a SIGURG that is not ours. False: it goes to the program's handler. */
extern bool (*preempt_urgent_hook)(void);
/* True: the calling goroutine uses a cancelled context. */
bool attention_slow(void);
/* The head of every call: one load. */
static inline void preempt_check(void)
{
	if (unlikely(load_rlx(&attention))) /* relaxed: a request may be seen late */
		(void)attention_slow();
}

/*
 * May a call answer without CALL_SCOPE? Not when the P was taken, HO2: a goroutine comes back to
 * one in its calls alone, and one that does nothing but ask would never.
 */
static inline bool call_may_be_skipped(void)
{
	const struct m *mp = m_self();

	return !mp || likely(!load_rlx(&mp->is_taken)); /* relaxed: as goro_checkpoint() */
}

/*
 * The head of every call that may wait. True: it must return -ECANCELED, or panic_canceled() where
 * it has no other way to tell.
 */
static inline bool call_is_canceled(void)
{
	/* relaxed: whoever knows of the cancellation sees it */
	return unlikely(load_rlx(&attention)) && attention_slow();
}

/* ---- world.c ---- */

/*
 * Stop every P; the caller may be a G or, inside (outside_enter), a plain thread, never g0. One at
 * a time. False: at the deadline some goroutine was still running without a call; the others are
 * stopped, and world_start() must follow all the same. Or, for a plain thread: the run ends, and
 * world_start() must not follow.
 */
bool world_stop(enum wait_reason reason, int64_t deadline);
void world_start(void);
/* The schedule loop found stop_wanted. False: the run has ended. */
bool world_stop_here(struct m *mp);
/* Under sched.lock: nobody runs pp; it is idle, or stopped if a stop is wanted. */
void world_put_away(struct p *pp);
/* With the world stopped, or before it starts. */
int procs_resize(uint32_t n);
/* The run ends: no plain thread gets its turn to stop the world any more. */
void world_end(void);
/* No other thread is left: forget who queued. */
void world_reset(void);
/* Best effort, for reports: ask all to stop and wait a little. */
void world_freeze(void);

/* ---- outside.c ---- */

/*
 * What a thread without an M does around a call that works on Ps, on their timers, on a queue of
 * the scheduler, or on a G that it does not hold by OU2. False: no run is on. Between the two it
 * must neither panic nor wait for a goroutine.
 */
bool outside_enter(void);
void outside_leave(void);
/* ready() when the run has ended already. */
void outside_ready_late(struct g *gp);
/* The last M has left: wait for those who are inside, and for the ready() of ended waits. */
void outside_end(void);

/* ---- boot.c ---- */

/* How many Ps a run would start with. */
uint32_t procs_wanted(void);
/*
 * sync/: take a G that will never run again off the queues that it waits in. False: it is WAITING,
 * and a plain thread has ended its wait, but not yet called ready().
 */
extern bool (*g_waiter_bury)(struct g *gp);
/* sync/: the last reference to a context is gone. */
extern void (*g_ctx_free)(struct ctx_head *ctx);
/* sync/: the first thing that the main goroutine does. */
extern void (*g_run_begins)(void);
static inline void ctx_drop(struct ctx_head *ctx)
{
	if (ctx && add_acq_rel(&ctx->refs, (uint32_t)-1) == 1) /* CTX-REF: what others did */
		g_ctx_free(ctx);
}
/* debug/: read GORODEBUG. */
extern void (*boot_hook)(void);
/* sync/: the run has ended, no other thread of ours is left. */
extern void (*boot_end_hook)(void);
/* SG3: the signal mask of the threads that run goroutines. */
extern sigset_t boot_signals;

/* ---- mstart.c ---- */

/* A new M, not yet started or known to anybody; NULL: no memory. */
struct m *m_new(void);
/* Under sched.lock: MS1. */
void m_enlist(struct m *mp);
int m_start_thread(struct m *mp);
/* Make the calling thread mp and schedule until the run ends. */
void m_run(struct m *mp);

/* ---- pinned.c ---- */

extern struct g pinned_mark;    /* PD4 */
extern struct m pinned_nowhere; /* locked_m of a pinned G that has not been picked yet */
void pinned_make(struct g *gp);
/*
 * gp, which is pinned and neither locked nor stopped, was picked by mp. HERE: mp is its host and
 * runs it. ELSEWHERE: pick another one. RUN_OVER: the run has ended.
 */
enum placed { PLACED_HERE, PLACED_ELSEWHERE, PLACED_RUN_OVER };
enum placed pinned_place(struct m *mp, struct g *gp);
/* Under sched.lock: into the queue of gp's host. True: that one slept, and must be handed a P. */
bool pinned_put(struct g *gp);
/* The next G of a host, which has a P then. NULL: the run has ended. */
struct g *pinned_next(struct m *mp);
/* Under sched.lock: Gs that are pinned to the thread that has pp wait for it. */
bool pinned_wait(struct p *pp);
/* A pinned G has ended on its host. True: it was locked, and nobody else is pinned there. */
bool pinned_end(struct m *mp);

/* ---- locked.c ---- */

/* Sleep outside of the idle list until somebody brings a P. False: the run has ended. */
bool locked_wait_for_p(struct m *mp);
/* The G that runs on mp is not locked to it any more, nor stopped there. */
void locked_release(struct m *mp, struct g *gp);

/* Give the P away and sleep until somebody hands over our locked G. False: the run has ended. */
bool locked_m_wait(struct m *mp);
/* gp belongs to another M: give it our P, and get another. False: the run has ended. */
bool locked_g_hand_over(struct m *mp, struct g *gp);

/*
 * The G that ended was locked to mp: the thread ends with it (the initial one waits for
 * the run's end).
 */
void *locked_m_end(struct m *mp);

/* ---- sysmon.c ---- */

int sysmon_start(void);
void sysmon_stop(void);
void sysmon_wake_if_asleep(void);
void sysmon_wake(void);
bool sysmon_is_self(void);
/* Until the next look at the busy Ps, if the last one was now. */
int64_t sysmon_pause(int64_t now);
/* From a signal handler: dump everything and end the process. */
void sysmon_ask_dump(void);
extern void (*sysmon_trace_hook)(int64_t now); /* debug/schedtrace */
extern int64_t sysmon_trace_period;            /* ns; 0: no trace */
extern void (*sysmon_dump_hook)(void);         /* debug/dump */
extern void (*sysmon_calm_hook)(void);         /* sync/mutex: now and then, while a P is busy */

/* ---- deadlock.c ---- */

/* Under sched.lock, when an M has just gone idle. */
void deadlock_check(void);
bool deadlock_is_suspected(void);
void deadlock_check_again(void);

#endif
