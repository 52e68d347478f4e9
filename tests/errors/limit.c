/*
 * limit.c - the thread limit, and loops that make no call: each that is stopped keeps its thread.
 *
 *   more loops than threads, and others that wait -> "program exceeds N-thread limit", status 2
 *   all who wait have threads, or get them        -> they take turns
 *
 * PR9 of src/sched/preempt.c, SR1 of src/sched/starter.c. Limits that other threads pass are in
 * fatal.c.
 */
#include "goro_tap.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

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

/* ---- a process that is stopped ---- */

static void loops_of_cpu(void)
{
	struct timespec t;
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	while (t.tv_sec * GORO_SEC(1) + t.tv_nsec < GORO_MS(100));
	add(&n_looped, 1);
}

/* Stopped for longer than anybody may wait, which is no time in which a loop could have ended. */
GORO_CHILD(loops_at_the_limit_of_a_process_that_is_stopped)
{
	char command[200];
	int n = goro_maxprocs(0) + 1;
	snprintf(command, sizeof(command),
		 "(sleep 0.05; kill -STOP %d; sleep 1.5; kill -CONT %d) >/dev/null 2>&1 &",
		 (int)getpid(), (int)getpid());
	require(system(command) == 0);
	goro_maxthreads(n);
	for (int i = 0; i < n; i++)
		go(loops_of_cpu);
	ticks(10);
	wait_for(load(&n_looped) == n);
	printf("within");
}

TAP_CASE(time_in_which_the_process_is_stopped_does_not_count, .procs = "1,2", .is_alone = true)
{
	struct tap_child c;
	tap_child(&c, "loops_at_the_limit_of_a_process_that_is_stopped");
	expect_child(&c, 0, "");
	expect_str(c.out, "within");
	expect_ge(c.wall_ns, GORO_MS(1500)); /* else it was not stopped */
}

/* ---- a thread that cannot be had while all others are in calls without end ---- */

static int has_run, calls_now, n_threads_max;
static bool will_sleep, will_read;
static int ends[2] = {-1, -1};

static void runs_at_last(void)
{
	store(&has_run, 1);
}

static void allow_threads(bool any)
{
	struct rlimit limit;
	require(getrlimit(RLIMIT_NPROC, &limit) == 0);
	limit.rlim_cur = any ? limit.rlim_max : 1;
	require(setrlimit(RLIMIT_NPROC, &limit) == 0);
}

/* A plain thread: what it spawns asks for a thread, and gets none. */
static void *changes_the_limit(void *unused)
{
	(void)unused;
	while (!load(&calls_now))
		usleep(1000);
	if (will_sleep || will_read)
		goro_dump(open("/dev/null", O_WRONLY)); /* it takes main's P for a moment */
	else
		go(runs_at_last);
	usleep(300000);
	if (n_threads_max)
		goro_maxthreads(n_threads_max);
	else
		allow_threads(true);
	if (will_read) {
		usleep(100000);
		require(write(ends[1], "x", 1) == 1);
	}
	for (int i = 0; i < 300 && !load(&has_run); i++)
		usleep(10000);
	printf(load(&has_run) ? "ran" : "waits");
	fflush(stdout);
	_exit(0);
}

static void runs_after_a_while(void)
{
	goro_sleep(GORO_MS(600));
	runs_at_last();
}

static void runs_after_a_read(void)
{
	char byte;
	if (goro_read(ends[0], &byte, 1) == 1)
		runs_at_last();
}

/* Main never comes back from its call, and another goroutine waits, for its P in the end. */
static int calls_without_end(void *unused)
{
	pthread_t thread;
	(void)unused;
	if (will_sleep)
		go(runs_after_a_while);
	if (will_read) {
		require(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0 && goro_fd_add(ends[0]) == 0);
		go(runs_after_a_read);
	}
	goro_yield();
	require(pthread_create(&thread, NULL, changes_the_limit, NULL) == 0);
	/* Root is not bound by the limit, so become an odd user who runs nothing else. */
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) != 0 || setgid(64998) != 0 || setuid(64998) != 0)) {
		printf("skip");
		fflush(stdout);
		_exit(0);
	}
	allow_threads(false);
	goro_syscall_enter();
	store(&calls_now, 1);
	for (;;)
		pause();
	return 0;
}

TAP_CHILD(threads_can_be_had_again)
{
	goro_run(calls_without_end, NULL);
}

TAP_CHILD(limit_is_lowered_to_what_there_is)
{
	n_threads_max = 1;
	goro_run(calls_without_end, NULL);
}

/* Nothing can run when the thread is wanted: it is for who waits for the time, or the poller. */
TAP_CHILD(threads_can_be_had_again_before_a_timer_is_due)
{
	will_sleep = true;
	goro_run(calls_without_end, NULL);
}

TAP_CHILD(threads_can_be_had_again_before_a_descriptor_is_ready)
{
	will_read = true;
	goro_run(calls_without_end, NULL);
}

static void no_thread_while_all_call(struct tap_child *c, const char *name)
{
	if (TAP_SANITIZED)
		tap_skip("the sanitizer needs threads of its own");
	tap_child(c, name);
	if (strcmp(c->out, "skip") == 0)
		tap_skip("may not change the user, which RLIMIT_NPROC needs");
	expect_contains(c->err, "goro: cannot create a thread (error 11)");
}

TAP_CASE(thread_is_asked_for_again_while_all_others_call, .procs = "1")
{
	struct tap_child c;
	no_thread_while_all_call(&c, "threads_can_be_had_again");
	expect_str(c.out, "ran");
	expect_eq(c.status, 0);
}

TAP_CASE(thread_is_asked_for_again_for_a_timer_that_is_not_due, .procs = "1")
{
	struct tap_child c;
	no_thread_while_all_call(&c, "threads_can_be_had_again_before_a_timer_is_due");
	expect_str(c.out, "ran");
	expect_eq(c.status, 0);
}

TAP_CASE(thread_is_asked_for_again_for_a_descriptor_that_is_not_ready, .procs = "1")
{
	struct tap_child c;
	no_thread_while_all_call(&c, "threads_can_be_had_again_before_a_descriptor_is_ready");
	expect_str(c.out, "ran");
	expect_eq(c.status, 0);
}

TAP_CASE(limit_lowered_while_all_threads_call_without_end_is_fatal, .procs = "1")
{
	struct tap_child c;
	no_thread_while_all_call(&c, "limit_is_lowered_to_what_there_is");
	expect_str(c.out, "");
	expect_contains(c.err, "fatal error: program exceeds 1-thread limit\n");
	expect_eq(c.status, 2);
}

TAP_MAIN
