/*
 * model_sched.h - the real scheduler under the explorer: a model thread is an M, Gs have small
 * stacks.
 *
 *   src/queue, src/event/{timer,netpoll}.c, src/sched/{wake,find,loop,park,poll,linger,starter}.c
 *        -> the explorer
 *
 * Two to four Ps; the M of thread i starts with P i. The starter's thread is not there: who wakes
 * it does what it would do, and the next thread that is asleep becomes the new M, which begins
 * whenever the explorer likes. An execution ends when all Ms sleep. Nothing frees the Ms: what a
 * run's end needs is not tried here.
 *
 * With MODEL_CALLS the calls of the library say where the thread is, as the real ones do
 * (handoff.c); else CALL_SCOPE is nothing, and the thread of a G counts as AT_PROGRAM always.
 */
#ifndef TESTS_MODEL_MODEL_SCHED_H
#define TESTS_MODEL_MODEL_SCHED_H

#ifdef MODEL_REAL_LOCK
#include "core/lock.h"
#else
#include "model_lock.h"
#endif

#include "model.h"

#include "base/limits.h"
#undef MAXPROCS_LIMIT
#define MAXPROCS_LIMIT 4
#undef STEAL_ROUNDS
#define STEAL_ROUNDS 1 /* the last one, in which everything is taken */
#undef IDLE_M_NS
#define IDLE_M_NS (OS_FOREVER - os_now()) /* no M leaves because it was idle for long */

#include "core/g.c"
noreturn void stack_overflow_found(struct g *gp);

#include "event/netpoll.c"
#include "event/timer.c"
#include "queue/globq.c"
#include "queue/idle.c"
#include "queue/runq.c"
#include "sched/find.c"
#include "sched/handoff.c"
#include "sched/loop.c"
#include "sched/outside.c"
#include "sched/owe.c"
#include "sched/park.c"
#define OS_OS_IO_H /* of which it needs only this; sockets have names that clients use, too */
static void os_sigpipe_quiet(void)
{
}
#include "sched/linger.c"
#include "sched/poll.c"
#include "sched/preempt.c"
#define starter_wake starter_thread_wake
#include "sched/starter.c"
#undef starter_wake
#include "sched/wake.c"

#define MODEL_GS    6
#define MODEL_STACK 8192

struct sched sched;
bool (*g_waiter_bury)(struct g *gp);
void (*g_ctx_free)(struct ctx_head *ctx);
static struct m ms[EXPLORE_THREADS];
static struct p ps[MAXPROCS_LIMIT];
static struct g gs[MODEL_GS];
static bool starts_fail; /* no thread is to be had */
static uint32_t n_given; /* the next M that m_new() gives */

struct m *m_self(void)
{
	int i = explore_self();

	return i >= 0 && ms[i].id ? &ms[i] : NULL; /* id 0: a plain thread */
}

int self_errno(void)
{
	return 0;
}

void self_errno_set(int value)
{
	(void)value;
}

void print_to(int fd, const char *fmt, ...)
{
	(void)fd;
	(void)fmt;
}

void *os_mem_reserve(size_t size)
{
	return explore_alloc(size);
}

void *os_mem_resize(void *at, size_t size, size_t new_size)
{
	void *to = explore_alloc(new_size);

	memcpy(to, at, size < new_size ? size : new_size);
	explore_free(at);
	return to;
}

void *os_alloc(size_t size)
{
	return explore_alloc(size);
}

void os_free(void *at)
{
	if ((char *)at < (char *)ms || (char *)at >= (char *)(ms + EXPLORE_THREADS))
		explore_free(at);
}

void os_mem_release(void *at, size_t size)
{
	(void)size;
	explore_free(at);
}

bool stack_canary_is_intact(struct stack stack)
{
	(void)stack;
	return true;
}

noreturn void stack_overflow_found(struct g *gp)
{
	(void)gp;
	explore_fail(EXPLORE_HERE, "stack overflow");
}

void os_thread_stack(const void **lo, size_t *size)
{
	*lo = NULL;
	*size = 0;
}

int os_thread_hidden(void)
{
	return 0;
}

bool os_thread_exists(int tid)
{
	(void)tid;
	return false;
}

void goro_panic(const char *fmt, ...)
{
	explore_fail((struct explore_site){"goro_panic", fmt, 0}, "panic");
}

noreturn void panic_canceled(void)
{
	explore_fail((struct explore_site){"panic_canceled", "", 0}, "panic");
}

noreturn void panic_at(const char *text)
{
	explore_fail((struct explore_site){"panic_at", text, 0}, "panic");
}

void sysmon_wake_if_asleep(void)
{
}

void sysmon_wake(void)
{
}

bool sysmon_is_self(void)
{
	return true;
}

/* Each M's thread has its M's number. */
int os_thread_id(void)
{
	return explore_self() + 1;
}

int os_thread_start(void *(*fn)(void *), void *arg)
{
	(void)fn;
	(void)arg;
	explore_check(false); /* neither sysmon nor the starter has a thread */
	return 0;
}

int64_t os_thread_cpu_ns(int tid)
{
	(void)tid;
	return 0;
}

bool os_thread_is_asleep(int tid, bool if_unknown)
{
	(void)tid;
	return if_unknown; /* blocked for who takes a P, running for who stops a goroutine */
}

#ifndef MODEL_SIGNALS
void os_thread_signal(int tid, int signo)
{
	(void)tid;
	(void)signo;
}
#endif

void os_signal_insist(int signo, void (*handler)(int, siginfo_t *, void *), struct sigaction *old)
{
	(void)signo;
	(void)handler;
	(void)old;
}

void os_signal_install(int signo, void (*handler)(int, siginfo_t *, void *), struct sigaction *old)
{
	(void)signo;
	(void)handler;
	(void)old;
}

void os_signal_put_before(int signo, os_signal_handler *handler, os_signal_handler *entry,
			  atomic_of(os_signal_handler *) *under)
{
	(void)signo;
	(void)handler;
	(void)entry;
	(void)under;
}

void os_signal_restore_if(int signo, void (*handler)(int, siginfo_t *, void *),
			  const struct sigaction *old)
{
	(void)signo;
	(void)handler;
	(void)old;
}

void os_signal_forward(int signo, siginfo_t *info, void *context, const struct sigaction *old)
{
	(void)signo;
	(void)info;
	(void)context;
	(void)old;
}

bool os_signal_let(int signo, bool is_let)
{
	(void)signo;
	return is_let;
}

void os_signals_set_as_after(const void *context)
{
	(void)context;
}

void os_context_repeat_call(void *context)
{
	(void)context;
}

long os_debug(enum os_debug which)
{
	(void)which;
	return 2;
}

uint32_t os_maxstopped(bool *is_good)
{
	*is_good = true;
	return MAXSTOPPED_DEFAULT;
}

struct m *m_new(void)
{
	explore_check(n_given < EXPLORE_THREADS);
	return &ms[n_given];
}

void m_enlist(struct m *mp)
{
	explore_check(mp == &ms[n_given]);
	n_given++;
	sched.n_m++;
}

int m_start_thread(struct m *mp)
{
	if (starts_fail) {
		lock_acquire(&sched.lock);
		sched.n_m--;
		on_way_end(mp);
		n_given--;
		lock_release(&sched.lock);
		return -EAGAIN;
	}
	store_rlx(&mp->at, AT_RUNTIME);
	explore_start((int)(mp - ms));
	return 0;
}

/* What the starter's thread does when it is woken. There is one. */
static void model_starter(void)
{
	explore_lock(&starter);
	while (is_asked())
		start_one();
	explore_unlock(&starter);
}

/* Who holds the lock calls model_starter() after it. */
void starter_wake(void)
{
	if (!explore_lock_is_held(&sched.lock))
		model_starter();
}

/* In place of netpoll_epoll.c: no descriptor is known. A client with MODEL_POLLER has its own. */
atomic_of(bool) netpoll_is_on;

#ifndef MODEL_POLLER
int netpoll_start(struct polled *(*at)(int fd))
{
	(void)at;
	return -1;
}

bool netpoll(int64_t until, struct glist *ready)
{
	(void)until;
	(void)ready;
	explore_check(false);
	return false;
}

void netpoll_break(void)
{
	explore_check(false);
}
#endif

#ifdef MODEL_CALLS
#include "sched/locked.c"
#else
bool locked_m_wait(struct m *mp)
{
	(void)mp;
	return false;
}

bool locked_g_hand_over(struct m *mp, struct g *gp)
{
	(void)mp;
	(void)gp;
	return false;
}

bool locked_wait_for_p(struct m *mp)
{
	(void)mp;
	return false;
}
#endif
#include "sched/pinned.c"

bool has_more_to_switch;

void held_check(const struct m *mp, const struct g *gp)
{
	(void)mp;
	(void)gp;
}

#ifdef MODEL_CALLS
#define MODEL_AT AT_RUNTIME
#else
#define MODEL_AT AT_PROGRAM
#endif

/* What only sysmon, and who stops the world, would look at without a lock: explore_plain(). */
static void model_hide(struct m *mp, struct p *pp)
{
#ifndef MODEL_CALLS
	explore_plain(&mp->p, sizeof(mp->p));
	if (pp)
		explore_plain(&pp->sched_tick, sizeof(pp->sched_tick));
#ifndef MODEL_WITH_WORLD
	if (pp) {
		explore_plain(&pp->m, sizeof(pp->m));
		explore_plain(&pp->preempt, sizeof(pp->preempt));
	}
#endif
#else
	(void)mp;
	(void)pp;
#endif
}

/* n_m Ms, each with a P as long as there are some; the threads behind them are the reserve. */
static void model_sched_setup(uint32_t n_m, uint32_t n_p)
{
	explore_name(&idle.n_p, 4, "idle.n_p");
	explore_name(&idle.n_spinning, 4, "idle.n_spinning");
	explore_name(&globq, sizeof(globq), "globq");
	explore_name(&sched.lock, sizeof(sched.lock), "sched.lock");
	explore_name(&sched.keeper_taken, 4, "sched.keeper_taken");
	explore_name(&sched.keeper_until, 8, "sched.keeper_until");
	explore_name(&sched.keeper_note, 4, "sched.keeper_note");
	explore_name(&sched.stop_wanted, 4, "sched.stop_wanted");
	explore_name(&sched.run_state, 4, "sched.run_state");
	explore_name(gs, sizeof(gs), "gs");
#ifndef MODEL_POLLER
	explore_plain(&netpoll_is_on, sizeof(netpoll_is_on)); /* it does not change */
#endif
	for (uint32_t i = 0; i < n_p; i++) {
		static const char *const rings[] = {"P0.runq", "P1.runq", "P2.runq", "P3.runq"};
		static const char *const names[] = {"P0", "P1", "P2", "P3"};

		explore_name(&ps[i], sizeof(ps[i]), names[i]);
		explore_name(&ps[i].runq, sizeof(ps[i].runq), rings[i]);
		ps[i].id = i;
		timers_init(&ps[i].timers);
		sched.p[i] = &ps[i];
	}
	store_rlx(&sched.n_procs, n_p);
	store_rlx(&sched.n_made, n_p);
	store_rlx(&sched.run_state, RUN_ON);
	sched.max_m = EXPLORE_THREADS + 1;
	sched.n_m = n_given = n_m;
	for (uint32_t i = 0; i < EXPLORE_THREADS; i++) {
		static const char *const names[] = {"M0", "M1", "M2", "M3", "M4", "M5"};

		explore_name(&ms[i], sizeof(ms[i]), names[i]);
		ms[i].id = i + 1;
		ms[i].tid = (int)i + 1;
		model_hide(&ms[i], i < n_p ? &ps[i] : NULL);
		ms[i].rand = 88172645463325252 + i;
		store_rlx(&ms[i].at, MODEL_AT);
		if (i < n_m && i < n_p)
			acquire_p(&ms[i], &ps[i]);
	}
	for (uint32_t i = n_m; i < n_p; i++)
		idle_put_p(&ps[i]);
}

/* A thread of the reserve begins: it is in the test's set .asleep. What first_schedule() does. */
__attribute__((unused)) static struct m *model_m_started(void)
{
	struct m *mp = &ms[explore_self()];

	return reacquire_p(mp) || stop_m(mp) ? mp : NULL;
}

/* A test that wants more of these includes the source or brings its own. */
__attribute__((weak)) void deadlock_check(void)
{
}

#ifdef MODEL_WITH_WORLD
void gfree_flush(struct gfree *cache)
{
	(void)cache;
}

void stack_cache_flush(struct stack_cache *cache)
{
	(void)cache;
}

int stack_pool_grow(uint32_t count)
{
	(void)count;
	return 0;
}

#include "sched/world.c"
#else
void gfree_each(void (*visit)(struct g *gp, void *arg), void *arg)
{
	(void)visit;
	(void)arg;
}

bool world_stop_here(struct m *mp)
{
	(void)mp;
	return false;
}

void world_put_away(struct p *pp)
{
	idle_put_p(pp);
}
#endif

__attribute__((weak)) void g_first_run(struct m *mp, struct g *gp)
{
	(void)mp;
	(void)gp;
}

/* At the end: WK1, and the lists hold who sleeps. */
__attribute__((unused)) static void model_sched_check(void)
{
	uint32_t n_spinning = 0, n_idle = 0;

	for (int i = 0; i < EXPLORE_THREADS; i++)
		n_spinning += ms[i].is_spinning;
	explore_check(load_rlx(&idle.n_spinning) == n_spinning);
	for (struct p *pp = idle.ps; pp; pp = pp->idle_link) {
		explore_check(!load_rlx(&pp->m)); /* PI1 */
		explore_check(++n_idle <= MAXPROCS_LIMIT);
	}
	explore_check(load_rlx(&idle.n_p) == n_idle);
}

#endif
