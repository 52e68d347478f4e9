/*
 * boot.c - the start and the end of a run.
 *
 *   main() or the program -> [goro_run] -> Ps, m0, main goroutine, sysmon -> m_run
 *                         -> all gone -> result
 *
 * BT1  run_state goes NONE -> STARTING -> ON -> ENDING -> NONE; only goro_run and
 *      run_end() move it.
 * BT2  After goro_run returns, no thread of the runtime touches its memory, and goroutines that
 *      were left are dead: their stacks are in the pool, their records off every wait queue.
 *
 * BT3  While a panic or a fatal error is being reported, goro_run does not return (FA3): an M that
 *      reports does not end, and others are looked for before the run's memory goes.
 *
 * goro_run returns when each goroutine that runs at that moment has reached its next call of the
 * library; a program that is started by libgoro's main() leaves by exit() at once.
 *
 * Locking: sched.lock where other threads exist. Go: schedinit, rt0_go, main in runtime/proc.go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/sanitize.h"
#include "event/timer.h"
#include "goro.h"
#include "os/os.h"
#include "queue/gfree.h"
#include "queue/globq.h"
#include "sched/cxx.h"
#include "sched/sched.h"

struct sched sched = {.lock = LOCK_INIT(LOCK_SCHED), .max_m = MAXTHREADS_DEFAULT};

struct main_call {
	int (*fn)(void *);
	void *arg;
	bool does_exit; /* goro_run_exit_ */
};

static struct main_call main_call;

bool (*g_waiter_bury)(struct g *gp);
void (*g_ctx_free)(struct ctx_head *ctx);
void (*g_run_begins)(void);
void (*boot_hook)(void);
void (*boot_end_hook)(void);
sigset_t boot_signals;

static bool main_leaves;

/* In exit(), after all functions of atexit() and almost all destructors. */
__attribute__((destructor(101))) static void main_leave(void)
{
	if (main_leaves)
		fatal_leave();
}

static void main_entry(void *arg)
{
	struct main_call *call = arg;

	if (g_run_begins)
		g_run_begins();
	sched.main_result = call->fn(call->arg);
	run_deferred(m_self()->curg);
	panic_wait(); /* no leaving while a report is being printed */
	/* Only now: what was deferred may have panicked or called goro_exit. */
	if (call->does_exit) {
		goro_nopreempt_begin(); /* exit() takes no turns with loops */
		main_leaves = true;
		exit(sched.main_result);
	}
	sanitize_release(&main_call);
}

uint32_t procs_wanted(void)
{
	struct os_cpus cpus;
	const char *name;
	long n = os_procs_asked(&name);

	if (!n) {
		os_cpu_count(&cpus);
		n = cpus.usable;
	}
	return n > MAXPROCS_LIMIT ? MAXPROCS_LIMIT : (uint32_t)n;
}

/* The variables in the order in which they are asked, up to the one that counts. */
static void procs_complain(void)
{
	static const char *const names[] = {"GORO_MAXPROCS", "GOMAXPROCS"};
	const char *counts;
	long asked = os_procs_asked(&counts);

	for (int i = 0; i < 2; i++) {
		const char *text = os_env(names[i]);
		if (asked && strcmp(names[i], counts) == 0) {
			if (asked > MAXPROCS_LIMIT)
				print_to(2,
					 "goro: %s=%s is more than this runtime can have: "
					 "using %u\n",
					 counts, text, procs_wanted());
			return;
		}
		if (text)
			print_to(2, "goro: %s=%s is not a positive number: using %u, %s\n",
				 names[i], text, procs_wanted(),
				 asked ? "from GOMAXPROCS" : "the CPUs of this process");
	}
}

/* A line for each setting that is not followed. */
static void settings_complain(void)
{
	const char *guard = os_env("GORO_STACKGUARD");
	struct os_debug_item item;
	bool is_good;

	procs_complain();
	uint32_t max_stopped = os_maxstopped(&is_good);
	if (!is_good)
		print_to(2, "goro: GORO_MAXSTOPPED=%s is not a number from 0: using %u\n",
			 os_env("GORO_MAXSTOPPED"), max_stopped);
	if (guard && !os_guard_is_known(guard))
		print_to(2,
			 "goro: GORO_STACKGUARD=%s is none of guard, mprotect, canary: using %s\n",
			 guard, os_guard_name(os_guard_method()));
	for (const char *at = os_env("GORODEBUG"); (at = os_debug_next(at, &item));)
		if (item.problem[0])
			print_to(2, "goro: GORODEBUG: '%s' %s: ignored\n", item.text,
				 item.problem);
}

/*
 * Never a moment with another run_state (BT1): a second goro_run is looking at it. Nor are the
 * other fields of the process touched, which plain threads change.
 */
static void state_reset(void)
{
	memset(&sched.p, 0, sizeof(sched) - offsetof(struct sched, p));
	memset(&idle, 0, sizeof(idle));
	/* relaxed: no P asks yet; cancelled contexts may outlive a run */
	add_rlx(&attention, -(load_rlx(&attention) & (ATTENTION_CANCELED - 1)));
	store_rlx(&sched.next_g_id, 1); /* relaxed: likewise */
	store_rlx(&sched.coarse_now, os_now()); /* relaxed: likewise */
	globq_init();
	world_reset();
}

static void procs_free(void)
{
	for (uint32_t i = 0; i < load_rlx(&sched.n_made); i++) { /* relaxed: nobody else is left */
		gfree_flush(&sched.p[i]->gfree);
		stack_cache_flush(&sched.p[i]->stacks);
		stack_pool_shrink(STACK_CACHE + 1);
		sched.p[i] = NULL;
	}
}

/* BT2: what the run left behind. First, of all of them, what may lie on the stack of another. */
static void g_let_go(struct g *gp, void *arg)
{
	void *sanitize_back = unlikely(sanitize_is_on && gp->sp) ? sanitize_as_g(gp) : NULL;

	(void)arg;
	if (gp->waiter)
		(void)g_waiter_bury(gp);
	if (gp->sp)
		deferred_drop_all(gp); /* PN8 */
	sanitize_release(&main_call); /* what it did is visible after goro_run() */
	if (unlikely(sanitize_is_on && gp->sp))
		sanitize_as_before(sanitize_back);
}

static void g_bury(struct g *gp, void *arg)
{
	void *sanitize_back = unlikely(sanitize_is_on && gp->sp) ? sanitize_as_g(gp) : NULL;

	(void)arg;
	ctx_drop(gp->ctx);
	if (gp->name)
		os_free(gp->name);
	if (!gp->sp && gp->args_size > G_INLINE_ARGS && gp->args_size != ARGS_ARE_POINTER)
		os_free(gp->u.heap);
	if (unlikely(sanitize_is_on && gp->sp))
		sanitize_g_end(gp, sanitize_back);
	if (gp->has_own_stack)
		stack_unmap(gp->stack);
	else if (gp->stack.lo)
		stack_give(&sched.p[0]->stacks, gp->stack, gp->has_canary);
	g_wipe(gp);
	store_rlx(&gp->state, G_DEAD); /* relaxed: no other thread is left */
}

/* BT2, with no other thread left. */
static void run_clear(void)
{
	for (uint32_t i = 0; i < MAXPROCS_LIMIT && sched.p[i]; i++)
		timers_close(&sched.p[i]->timers); /* before the stacks that ordinary ones lie on */
	gfree_each(g_let_go, NULL);
	gfree_each(g_bury, NULL);
	procs_free();
	store_rel(&sched.n_made, 0); /* PROCS-SET */
	store_rel(&sched.n_procs, 0); /* PROCS-SET */
	gfree_reset();
	(void)stack_pool_scavenge(true);
}

static int fail(int error)
{
	run_clear();
	poll_outside_resume();
	store_rel(&sched.run_state, RUN_NONE); /* RUN-STATE */
	return error;
}

/* Sysmon and the starter, which begin with all signals blocked: SG3. */
static int helpers_start(void)
{
	os_signals_save(&boot_signals);
	os_signals_block(0);
	int error = sysmon_start();
	if (error == 0 && (error = starter_start()))
		sysmon_stop();
	os_signals_set(&boot_signals);
	return error;
}

/* The runtime with its main goroutine queued, all but the threads; *m0 is for the caller's. */
static int boot(struct m **m0)
{
	struct spawn_request request = {.entry = main_entry,
					.arg = &main_call,
					.fn = (void (*)(void))main_call.fn};

	os_fault_init();
	os_guard_init();
	state_reset();
	store_rel(&sched.run_state, RUN_STARTING); /* RUN-STATE */
	cxx_look();
	settings_complain();
	if (procs_resize(procs_wanted()) < 0)
		return -ENOMEM;
	struct m *mp = m_new();
	if (!mp)
		return -ENOMEM;
	m_enlist(mp);
	m_self_set(mp);
	acquire_p(mp, sched.p[0]);
	int error = spawn(&request);
	if (error == 0) {
		struct g *gp = load_rlx(&sched.p[0]->runq.next); /* relaxed: no other thread yet */
		gp->is_main = true;
		for (uint32_t i = load_rlx(&sched.n_procs); i-- > 1;) /* relaxed: likewise */
			idle_put_p(sched.p[i]);
		preempt_install(); /* before anybody looks */
		error = helpers_start();
	}
	m_self_set(NULL);
	if (error) {
		preempt_remove();
		os_free(mp);
		sched.all_m = NULL;
	}
	*m0 = mp;
	return error;
}

static int run(struct main_call call)
{
	uint32_t none = RUN_NONE;
	struct m *m0;

	if (!call.fn)
		panic_at("go of nil func value");
	if (fork_is_child)
		fork_fatal();
	if (!cas_acq_rel(&sched.run_state, &none, RUN_STARTING)) /* RUN-STATE */
		return -EBUSY;
	main_call = call;
	poll_outside_pause();
	if (boot_hook)
		boot_hook();
	int error = boot(&m0);
	if (error)
		return fail(-ENOMEM); /* of memory, or of threads (-EAGAIN) */
	faults_install();
	store_rel(&sched.run_state, RUN_ON); /* RUN-STATE */
	m_run(m0); /* not all_m: a plain thread may have started an M already */
	sysmon_stop();
	starter_stop();
	outside_end();
	if (boot_end_hook)
		boot_end_hook(); /* first: it puts back what was there before it */
	preempt_remove();
	faults_remove();
	int result = sched.main_result;
	if (fatal_has_begun()) /* a plain thread's: BT3 */
		fatal_wait();
	run_clear();
	poll_outside_resume(); /* before another goro_run() may begin */
	store_rel(&sched.run_state, RUN_NONE); /* RUN-STATE */
	sanitize_acquire(&main_call); /* what fn wrote is visible after the return */
	return result;
}

int goro_run(int (*fn)(void *), void *arg)
{
	return run((struct main_call){fn, arg, false});
}

int goro_run_exit_(int (*fn)(void *), void *arg)
{
	return run((struct main_call){fn, arg, true});
}

void run_end(void)
{
	struct m *mp;

	lock_acquire(&sched.lock);
	store_rel(&sched.run_state, RUN_ENDING); /* RUN-STATE */
	store_rlx(&sched.stop_wanted, 1); /* relaxed: others may see it late */
	while ((mp = idle_get_m()))
		note_wake(&mp->note);
	/*
	 * Those that wait for their locked goroutine are in no list; a note too many
	 * does no harm now.
	 */
	for (mp = sched.all_m; mp; mp = mp->all_link)
		note_wake(&mp->note);
	lock_release(&sched.lock);
	keeper_break();
	world_end();
	preempt_ask_all();
	sysmon_wake(); /* for those that make no call: PR7 */
}

int goro_maxthreads(int n)
{
	CALL_SCOPE;
	lock_acquire(&sched.lock);
	int old = (int)sched.max_m;
	bool is_exceeded = n >= 1 && sched.n_m > (uint32_t)n;
	if (n >= 1)
		sched.max_m = (uint32_t)n;
	if (!is_exceeded && sched.n_to_start > sched.max_m - sched.n_m)
		sched.n_to_start = sched.max_m - sched.n_m; /* who would go idle looks: SR1 */
	lock_release(&sched.lock);
	if (n >= 1)
		sysmon_wake(); /* if nobody ever does */
	if (is_exceeded)
		fatal("program exceeds %d-thread limit\n[see goro_maxthreads()]", n);
	return old;
}

int goro_count(void)
{
	preempt_check();
	if (m_self())
		return count_goroutines();
	if (!outside_enter())
		return 0;
	int n = count_goroutines();
	outside_leave();
	return n;
}

uint64_t goro_id(void)
{
	struct m *mp = m_self();

	return mp && mp->curg ? mp->curg->id : 0;
}

void goro_set_name(const char *name)
{
	struct m *mp = m_self();
	struct g *gp = mp ? mp->curg : NULL;

	if (!gp)
		return;
	if (!gp->name && !(gp->name = call_alloc(NAME_MAX_BYTES)))
		return; /* out of memory: a name is not worth a failure */
	format_to(gp->name, NAME_MAX_BYTES, "%s", name ? name : "");
}
