/*
 * preempt.c - when sysmon asks a goroutine to yield, and when it stops it; src/sched/preempt.c.
 *
 *   preempt_watch() with times of the test's, under sched.lock -> the request word, the signal
 */
#include "goro_tap.h"

#include <unistd.h>

#include "queue/globq.h"
#include "sched/sched.h"

static int is_looping, may_end;

static void loops(void)
{
	store(&is_looping, 1);
	while (!load(&may_end))
		continue;
}

static void sleeps_in_a_call(int *n)
{
	goro_syscall_enter();
	usleep(20000);
	goro_syscall_exit();
	add(n, 1);
}

static void waits_for_its_turn(void)
{
	while (!load(&may_end))
		goro_yield();
}

/* So that there is a thread for the P of one that is stopped. */
static void leave_threads_idle(void)
{
	int n = 0;
	for (int i = 0; i < 4; i++)
		go(sleeps_in_a_call, &n);
	wait_for(load(&n) == 4);
}

/* Under sched.lock: another P has a loop, somebody waits for it, and a thread is there. */
static struct p *p_of_the_loop(void)
{
	struct p *own = load_rlx(&m_self()->p), *pp = sched.p[own == sched.p[0]]; /* relaxed: so */
	struct m *mp = load_rlx(&pp->m); /* relaxed: under the lock */
	/* relaxed: it loops */
	bool does_loop = mp && load_rlx(&mp->at) == AT_PROGRAM;
	return does_loop && idle.n_m && globq_size() ? pp : NULL;
}

static bool try_to_stop(int64_t far)
{
	int64_t asked = far + SLICE_NS;
	CALL_SCOPE;
	lock_acquire(&sched.lock);
	struct p *pp = p_of_the_loop();
	if (!pp) {
		lock_release(&sched.lock);
		return false;
	}
	struct m *mp = load_rlx(&pp->m); /* relaxed: under the lock */
	preempt_clear(pp);
	pp->seen_tick = load_rlx(&pp->sched_tick); /* relaxed: it loops */
	pp->seen_since = far;
	preempt_watch(pp, asked - 1);
	uint32_t was_asked_before = load_rlx(&pp->preempt); /* relaxed: a look */
	preempt_watch(pp, asked);
	uint32_t was_asked = load_rlx(&pp->preempt); /* relaxed: a look */
	preempt_watch(pp, asked + GORO_US(50));
	preempt_watch(pp, asked + GORO_US(900));
	int64_t stopped_early = mp->stop_asked_at;
	preempt_watch(pp, asked + GORO_MS(1));
	int64_t stopped = mp->stop_asked_at;
	lock_release(&sched.lock);
	expect_eq(was_asked_before, 0);
	expect_eq(was_asked, 1);
	expect_lt(stopped_early, asked);
	expect_eq(stopped, asked + GORO_MS(1));
	return true;
}

/* A sysmon that makes short rounds must not stop who has had no time to answer. */
GORO_CASE(who_is_asked_has_a_millisecond_to_answer, .procs = "2")
{
	int64_t far = goro_now() + GORO_SEC(3600), again = 0;
	leave_threads_idle();
	goro_nopreempt_begin();
	go(waits_for_its_turn);
	while (!load(&is_looping) || !try_to_stop(far)) {
		/* One whose thread slept for a moment (the emulator's do) may have lost its P. */
		if (goro_now() >= again ) {
			go(loops);
			again = goro_now() + GORO_SEC(1);
		}
		goro_yield();
	}
	store(&may_end, 1);
}

TAP_MAIN
