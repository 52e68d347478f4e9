/*
 * limit.c - the thread limit, and loops that make no call: each that is stopped keeps its thread.
 *
 *   more loops than threads, and others that wait -> "program exceeds N-thread limit", status 2
 *   all who wait have threads, or get them        -> they take turns
 *
 * PR9 of src/sched/preempt.c. Limits that other threads pass are in fatal.c.
 */
#include "goro_tap.h"

static volatile int must_stop_looping;
static int n_looped;

static void loops_without_a_call(int64_t ns)
{
	int64_t end = ns ? tap_now() + ns : INT64_MAX;
	while (!must_stop_looping && (end == INT64_MAX || tap_now() < end))
		;
	add(&n_looped, 1);
}

static void ticks(int n)
{
	for (int i = 0; i < n; i++)
		goro_sleep(GORO_MS(2));
}

/* Only stopped goroutines have threads, and main sleeps. */
GORO_CHILD(loops_on_all_threads_of_the_limit)
{
	int n = goro_maxprocs(0) + 1;
	goro_maxthreads(n);
	for (int i = 0; i < n; i++)
		go(loops_without_a_call, (int64_t)0);
	ticks(1000);
	printf("went on");
}

/* There is no thread to which the P of a loop could go. */
GORO_CHILD(loops_with_one_thread_for_each_p)
{
	int n = goro_maxprocs(0);
	goro_maxthreads(n);
	for (int i = 0; i < n; i++)
		go(loops_without_a_call, (int64_t)0);
	ticks(1000);
	printf("went on");
}

TAP_CASE(loops_that_leave_no_thread_for_the_others_are_fatal, .procs = "1,2,4")
{
	static const char *const children[] = {"loops_on_all_threads_of_the_limit",
					       "loops_with_one_thread_for_each_p"};
	struct tap_child c;
	for (int i = 0; i < 2; i++) {
		tap_child(&c, children[i]);
		expect_child(&c, 2, "fatal error: program exceeds ");
		expect_contains(c.err, "-thread limit\n[see goro_maxthreads()]\n\n");
		expect_contains(c.err, "ticks");
		expect_str(c.out, "");
		expect_ge(c.wall_ns, GORO_SEC(1));
		expect_lt(c.wall_ns, GORO_SEC(5));
	}
}

/* Whoever waits for a thread gets that of a loop that ends. */
GORO_CHILD(loops_that_end_at_the_limit)
{
	int n = goro_maxprocs(0) + 1;
	goro_maxthreads(n);
	for (int i = 0; i < n; i++)
		go(loops_without_a_call, GORO_MS(100));
	ticks(10);
	wait_for(load(&n_looped) == n);
	printf("within");
}

/* With one thread more than there are loops. */
static void ticks_beside_loops_at_the_limit(void)
{
	int n = goro_maxprocs(0) + 1;
	goro_maxthreads(n + 1);
	for (int i = 0; i < n; i++)
		go(loops_without_a_call, (int64_t)0);
	for (int64_t end = goro_now() + GORO_MS(1500); goro_now() < end;)
		ticks(1);
	must_stop_looping = 1;
	wait_for(load(&n_looped) == n);
	printf("within");
}

GORO_CHILD(loops_for_long_within_the_limit)
{
	ticks_beside_loops_at_the_limit();
}

/* Main has its thread, which its locking keeps for it: it takes turns with the stopped. */
GORO_CHILD(loops_beside_a_locked_main_at_the_limit)
{
	goro_lock_thread();
	ticks_beside_loops_at_the_limit();
}

static void ticks_and_stops_the_loops(void *unused)
{
	(void)unused;
	for (int64_t end = goro_now() + GORO_MS(1500); goro_now() < end;)
		ticks(1);
	must_stop_looping = 1;
}

/* Likewise one that is pinned to its thread. */
GORO_CHILD(loops_beside_a_pinned_one_at_the_limit)
{
	struct goro_attr attr = {.pinned = true};
	int n = goro_maxprocs(0) + 1;
	require_eq(goro_spawn_attr(&attr, ticks_and_stops_the_loops, NULL), 0);
	ticks(1);
	goro_lock_thread();
	goro_maxthreads(n + 2);
	for (int i = 0; i < n; i++)
		go(loops_without_a_call, (int64_t)0);
	wait_for(load(&n_looped) == n);
	printf("within");
}

static void loops_unstoppable(void)
{
	goro_nopreempt_begin();
	loops_without_a_call(GORO_MS(1500));
	goro_nopreempt_end();
}

/* No thread more would help those that wait. */
GORO_CHILD(loops_that_forbid_to_be_stopped_at_the_limit)
{
	int n = goro_maxprocs(0);
	goro_maxthreads(n);
	for (int i = 0; i < n; i++)
		go(loops_unstoppable);
	ticks(10);
	wait_for(load(&n_looped) == n);
	printf("within");
}

TAP_CASE(loops_at_the_limit_are_no_error_while_all_have_their_turn, .procs = "1,2,4")
{
	static const char *const children[] = {"loops_that_end_at_the_limit",
					       "loops_for_long_within_the_limit",
					       "loops_beside_a_locked_main_at_the_limit",
					       "loops_beside_a_pinned_one_at_the_limit",
					       "loops_that_forbid_to_be_stopped_at_the_limit"};
	struct tap_child c;
	for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
		tap_child(&c, children[i]);
		expect_child(&c, 0, "");
		expect_str(c.out, "within");
		expect_lt(c.wall_ns, GORO_SEC(6));
	}
}

TAP_MAIN
