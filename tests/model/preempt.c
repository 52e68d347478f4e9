/*
 * preempt.c - a goroutine that is stopped where it is, against all that may happen meanwhile.
 *
 *   src/sched/preempt.c, handoff.c, locked.c, loop.c, find.c, wake.c, world.c -> the explorer
 *
 * The signal is a call of the handler before any operation of the thread that it was sent to, not
 * within the handler. Thread 1 is sysmon, which has no M and would stop every goroutine at once. A
 * loop is a goroutine that makes no call until somebody says so. An execution ends when all Ms
 * sleep, or have left.
 */
#define MODEL_CALLS
#define MODEL_SIGNALS
#define MODEL_WITH_WORLD
#include "model_g.h"

#define SYSMON 1

static struct lock door;
static bool is_inside; /* door */
static uint32_t work; /* of P 0: whoever has it, one at a time */
static atomic_of(uint32_t) must_stop_looping;
static bool is_pending[EXPLORE_THREADS], is_in_handler[EXPLORE_THREADS];

void gfree_each(void (*visit)(struct g *gp, void *arg), void *arg)
{
	(void)visit;
	(void)arg;
}

uint32_t procs_wanted(void)
{
	return 1;
}

/* ---- the signal; the kernel orders sending and handling: no data race ---- */

__attribute__((no_sanitize_thread)) void os_thread_signal(int tid, int signo)
{
	explore_check(signo == SIGURG);
	is_pending[tid - 1] = true;
}

bool os_signal_is_own(const siginfo_t *info)
{
	return info->si_code == SI_QUEUE;
}

__attribute__((no_sanitize_thread)) static bool signal_begin(int i)
{
	if (i < 0 || !is_pending[i] || is_in_handler[i])
		return false;
	is_pending[i] = false;
	is_in_handler[i] = true;
	return true;
}

__attribute__((no_sanitize_thread)) static void signal_end(int i)
{
	is_in_handler[i] = false;
}

void explore_before_op(void)
{
	siginfo_t info = {.si_code = SI_QUEUE};
	int i = explore_self();

	if (!signal_begin(i))
		return;
	on_signal(SIGURG, &info, NULL);
	signal_end(i);
}

/* ---- the goroutines ---- */

static void use_p(void)
{
	uint32_t was = call_enter();

	work++;
	call_leave(was);
}

static void loop(void *arg)
{
	(void)arg;
	use_p();
	while (!load_rlx(&must_stop_looping)) {
		fence_light(); /* what it did before has been done, in the end */
		explore_yield();
	}
	use_p();
}

static void end_the_loops(void *arg)
{
	(void)arg;
	use_p();
	store_rlx(&must_stop_looping, 1);
}

/* It has a thread of its own, like those that are stopped: PR9. */
static void end_the_loops_locked(void *arg)
{
	(void)arg;
	goro_lock_thread();
	uint32_t was = call_enter();
	yield_global(m_self());
	call_leave(was);
	use_p();
	store_rlx(&must_stop_looping, 1);
	goro_unlock_thread();
}

/* A call that takes a lock of ours. */
static void use_door(void)
{
	uint32_t was = call_enter();

	lock_acquire(&door);
	is_inside = true;
	explore_yield(); /* so that the signal is sent now, without a preemption more, */
	explore_yield(); /* and handled */
	work++;
	is_inside = false;
	lock_release(&door);
	call_leave(was);
}

static void end_the_calls(void *arg)
{
	(void)arg;
	explore_check(!is_inside); /* there is one P: who is inside was stopped there */
	use_door();
	store_rlx(&must_stop_looping, 1);
}

/* It makes calls all the time: the signal meets it inside as well. */
static void call_often(void *arg)
{
	(void)arg;
	while (!load_rlx(&must_stop_looping)) {
		use_door();
		fence_light();
		explore_yield();
	}
}

static void stop_the_world(void *arg)
{
	(void)arg;
	uint32_t was = call_enter();
	explore_check(world_stop(WAIT_STOP_WORLD, OS_FOREVER));
	explore_check(sched.stop_left == 0);
	world_start();
	call_leave(was);
	store_rlx(&must_stop_looping, 1);
}

/* What run_end() does; the loop, stopped or not, ends with its next call. */
static void run_ends(void)
{
	struct m *mp;

	lock_acquire(&sched.lock);
	store_rel(&sched.run_state, RUN_ENDING); /* RUN-STATE */
	store_rlx(&sched.stop_wanted, 1);
	if (load_rlx(&sched.n_stopped))
		explore_seen(4);
	while ((mp = idle_get_m()))
		note_wake(&mp->note);
	for (mp = ms; mp < ms + n_given; mp++)
		note_wake(&mp->note);
	lock_release(&sched.lock);
	keeper_break();
	world_end();
	preempt_ask_all();
	store_rlx(&must_stop_looping, 1);
}

static void end_the_run(void *arg)
{
	(void)arg;
	(void)call_enter();
	run_ends();
	yield_global(m_self());
	explore_check(false);
}

/* ---- threads ---- */

static void m_main(void)
{
	schedule_until_end(&ms[explore_self()]);
}

/* Without asking how long the goroutine has run: what must hold has to hold at any moment. */
static void ask_to_stop(struct p *pp)
{
	lock_acquire(&sched.lock);
	if (load_rlx(&pp->state) == P_RUNNING) /* relaxed: under the lock */
		stop_ask(pp, 0); /* time stands still: no signal is lost here */
	lock_release(&sched.lock);
	model_starter();
}

/* Until the loops may end. A round comes long after the one before. */
static void sysmon(void)
{
	while (!load_rlx(&must_stop_looping)) {
		ask_to_stop(&ps[0]);
		explore_yield();
		fence_heavy();
	}
}

static bool is_m_idle(void)
{
	lock_acquire(&sched.lock);
	bool is_idle = idle.n_m > 0;
	lock_release(&sched.lock);
	return is_idle;
}

/* The P is taken while the signal is on its way. */
static void sysmon_takes(void)
{
	while (!is_m_idle())
		explore_yield();
	ask_to_stop(&ps[0]);
	explore_yield();
	lock_acquire(&sched.lock);
	bool is_taken = p_take(&ps[0]);
	lock_release(&sched.lock);
	if (is_taken)
		handoff(&ps[0]);
	store_rlx(&must_stop_looping, 1);
}

/* Another P's goroutine ends the run, while the loop is stopped. */
static void sysmon_ends(void)
{
	while (!is_m_idle())
		explore_yield();
	ask_to_stop(&ps[0]);
	explore_yield();
	run_ends();
}

/* n_m Ms; those beyond the first are threads from 2 on, and have no P. */
static void setup(uint32_t n_m)
{
	model_sched_setup(n_m, 1);
	explore_name(&work, sizeof(work), "work");
	explore_name(&must_stop_looping, 4, "must_stop_looping");
	ms[SYSMON].id = 0;
	n_given = n_m + 1;
	sched.max_m = 3;
	preempt.is_on = true;
	preempt.max_stopped = 2;
}

static void setup_loop(void)
{
	setup(2);
	for (uint32_t i = 0; i < EXPLORE_THREADS; i++)
		explore_plain(&ms[i].p, sizeof(ms[i].p)); /* nobody takes it */
	explore_plain(&ps[0].preempt, sizeof(ps[0].preempt));
	explore_plain(&ps[0].sched_tick, sizeof(ps[0].sched_tick));
	model_spawn(&ps[0], loop, "stack of G1");
	model_spawn(&ps[0], end_the_loops, "stack of G2");
}

/* No thread beyond the loop's and that of the locked one may be had: they take turns. */
static void setup_turns(void)
{
	setup(2);
	sched.max_m = 2;
	model_spawn(&ps[0], loop, "stack of G1");
	model_spawn(&ps[0], end_the_loops_locked, "stack of G2");
}

static void setup_taken(void)
{
	setup(2);
	sched.max_m = 4;
	model_spawn(&ps[0], loop, "stack of G1");
}

static void setup_loop_alone(void)
{
	setup(1);
	model_spawn(&ps[0], loop, "stack of G1");
	model_spawn(&ps[0], end_the_loops, "stack of G2");
}

static void setup_two_loops(void)
{
	setup(2);
	model_spawn(&ps[0], loop, "stack of G1");
	model_spawn(&ps[0], loop, "stack of G2");
	model_spawn(NULL, end_the_loops, "stack of G3");
}

static void setup_calls(void)
{
	setup(2);
	model_spawn(&ps[0], call_often, "stack of G1");
	model_spawn(&ps[0], end_the_calls, "stack of G2");
}

static void setup_world(void)
{
	setup(2);
	model_spawn(&ps[0], loop, "stack of G1");
	model_spawn(&ps[0], stop_the_world, "stack of G2");
}

/* No thread beyond these is to be had, nor wanted. */
static void setup_world_at_limit(void)
{
	setup_world();
	sched.max_m = 2;
}

static void setup_end(void)
{
	setup(2);
	model_spawn(&ps[0], loop, "stack of G1");
	model_spawn(&ps[0], end_the_run, "stack of G2");
}

/* Who gets the loop's P may find the loop in the queue when the run has ended. */
static void setup_end_beside(void)
{
	setup(2);
	sched.max_m = 2;
	model_spawn(&ps[0], loop, "stack of G1");
}

/* All threads have left, and nobody ran without a P. */
static void all_left(void)
{
	explore_check(n_ended <= 1);
	explore_check(load_rlx(&sched.n_stopped) == 0);
	for (uint32_t i = 0; i < n_given; i++)
		explore_check(!ms[i].locked_g && !ms[i].next_p);
}

static void all_ended(void)
{
	model_sched_check();
	explore_check(n_ended == n_gs);
	explore_check(load_rlx(&sched.n_stopped) == 0);
	explore_check(sched.n_m_waiting_locked == 0);
	for (uint32_t i = 0; i < n_gs; i++)
		explore_check(!gs[i].is_stopped && !gs[i].locked_m);
	for (uint32_t i = 0; i < EXPLORE_THREADS; i++)
		explore_check(!ms[i].locked_g && !load_rlx(&ms[i].is_taken));
	explore_seen(load_rlx(&preempt.n[STOP_DONE]) ? 0 : 1);
	if (load_rlx(&preempt.n[STOP_INSIDE]))
		explore_seen(2);
	if (load_rlx(&preempt.n[STOP_LOST]))
		explore_seen(3);
}

#define TWO_MS(from)                                                                    \
	.setup = from, .thread = {m_main, sysmon, m_main, m_main},              \
	.asleep = 0x8, .finish = all_ended, .may_end_blocked = true
#define ONE_M(from)                                                                     \
	.setup = from, .thread = {m_main, sysmon, m_main, m_main},              \
	.asleep = 0xc, .finish = all_ended, .may_end_blocked = true
#define TAKEN(from)                                                                     \
	.setup = from, .thread = {m_main, sysmon_takes, m_main, m_main, m_main}, \
	.asleep = 0x18, .finish = all_ended, .may_end_blocked = true

#define END(from)                                                                       \
	.setup = from, .thread = {m_main, sysmon, m_main, m_main}, .asleep = 0x8,       \
	.finish = all_left
#define END_BESIDE(from)                                                                \
	.setup = from, .thread = {m_main, sysmon_ends, m_main}, .finish = all_left
#define AT_END (1 << 4)
#define LOST (1 << 3)
#define INSIDE (1 << 2)
#define NOT_STOPPED (1 << 1)
#define STOPPED 1

int main(void)
{
	explore_holds_seen(&(struct explore_test){"preempt: a loop is stopped for another",
						  TWO_MS(setup_loop), TRY(1, EXPLORE_NONE)},
			   STOPPED);
	explore_holds_seen(&(struct explore_test){"preempt: a thread is started for it first",
						  ONE_M(setup_loop_alone),
						  TRY(1, EXPLORE_NONE), .is_slow = true},
			   STOPPED);
	explore_holds_seen(&(struct explore_test){"preempt: two loops on two threads",
						  TWO_MS(setup_two_loops),
						  TRY(EXPLORE_NONE, EXPLORE_NONE)},
			   STOPPED);
	explore_holds_seen(&(struct explore_test){"preempt: one that calls all the time",
						  TWO_MS(setup_calls), TRY(1, EXPLORE_NONE)},
			   STOPPED | INSIDE);
	explore_holds_seen(&(struct explore_test){"preempt: the world is stopped by another",
						  TWO_MS(setup_world),
						  TRY(1, EXPLORE_NONE), .is_slow = true},
			   STOPPED);
	explore_holds_seen(&(struct explore_test){"preempt: and no thread may be started",
						  TWO_MS(setup_world_at_limit),
						  TRY(1, EXPLORE_NONE)},
			   STOPPED);
	explore_holds_seen(&(struct explore_test){"preempt: at the thread limit they take turns",
						  TWO_MS(setup_turns),
						  TRY(1, EXPLORE_NONE), .is_slow = true},
			   STOPPED);
	explore_finds(&(struct explore_test){"preempt: found when they do not",
					     TWO_MS(setup_turns), TRY(1, EXPLORE_NONE),
					     .omit = "limit-turns"},
		      "");
	explore_holds_seen(&(struct explore_test){"preempt: against taking", TAKEN(setup_taken),
						  TRY(1, 1)},
			   STOPPED | LOST);
	explore_holds_seen(&(struct explore_test){"preempt: the run ends while a loop is stopped",
						  END(setup_end),
						  TRY(1, EXPLORE_NONE), .is_slow = true},
			   AT_END);
	explore_holds_seen(&(struct explore_test){"preempt: and another thread may pick it",
						  END_BESIDE(setup_end_beside), TRY(2, 1),
						  .is_slow = true},
			   AT_END);
	explore_finds(&(struct explore_test){"preempt: found when it is anybody's then",
					     END_BESIDE(setup_end_beside), TRY(2, 1),
					     .omit = "stop-end-queued"},
		      "");
	explore_finds(&(struct explore_test){"preempt: found when it stops in a call",
					     TWO_MS(setup_calls), TRY(1, EXPLORE_NONE),
					     .omit = "stop-inside"},
		      "");
	explore_finds(&(struct explore_test){"preempt: found when who stops does not fence",
					     TAKEN(setup_taken), TRY(1, 1), .unfence = "stop"},
		      "pp &&");
	explore_finds(&(struct explore_test){"preempt: found when it goes on as if it had its P",
					     END(setup_end), TRY(1, EXPLORE_NONE),
					     .omit = "stop-end-taken"},
		      "");
	return explore_done();
}
