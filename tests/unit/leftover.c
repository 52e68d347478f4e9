/*
 * leftover.c - which goroutine may end where it stands when the run ends: LE1 of
 * src/debug/leftover.c, and PR7 of src/sched/preempt.c, which asks.
 *
 *   SIGILL in the goroutine's own code; below qsort(); SIGUSR1 inside raise() -> the hook's answer
 */
#include "goro_tap.h"

#include <setjmp.h>
#include <signal.h>

#include "sched/sched.h"

static int answer; /* 1: it may; 0: it must go on; -1: nobody asked */
static sigjmp_buf after;

static void ask(int signo, siginfo_t *info, void *context)
{
	(void)info;
	answer = preempt_end_hook(m_self()->curg, context);
	if (signo != SIGUSR1)
		siglongjmp(after, 1);
}

static void ask_on_signals(void)
{
	struct sigaction action = {.sa_sigaction = ask, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	static const int numbers[] = {SIGILL, SIGTRAP, SIGUSR1};
	require(preempt_end_hook != NULL);
	for (size_t i = 0; i < array_length(numbers); i++)
		require_eq(sigaction(numbers[i], &action, NULL), 0);
	answer = -1;
}

/* What the compiler makes of it is SIGILL here, SIGTRAP there. */
__attribute__((noinline)) static void ask_here(void)
{
	if (sigsetjmp(after, 1) == 0)
		__builtin_trap();
}

GORO_CASE(le1_own_code_may_end)
{
	ask_on_signals();
	ask_here();
	expect_eq(answer, 1);
}

static int ask_in_callback(const void *a, const void *b)
{
	ask_here();
	return *(const int *)a - *(const int *)b;
}

GORO_CASE(le1_own_code_that_libc_calls_must_go_on)
{
	int numbers[] = {2, 1};
	ask_on_signals();
	qsort(numbers, 2, sizeof(int), ask_in_callback);
	expect_eq(answer, 0);
}

GORO_CASE(le1_code_of_libc_must_go_on)
{
	ask_on_signals();
	raise(SIGUSR1);
	expect_eq(answer, 0);
}

/* ---- PR7 ---- */

static int is_looping, may_end;

static void loops(void *unused)
{
	(void)unused;
	store(&is_looping, 1);
	while (!load(&may_end))
		;
}

static int sort_loops(const void *a, const void *b)
{
	loops(NULL);
	return *(const int *)a - *(const int *)b;
}

static void loops_in_a_callback(void *unused)
{
	int numbers[] = {2, 1};
	(void)unused;
	qsort(numbers, 2, sizeof(int), sort_loops);
}

static int run_leaves(void *fn)
{
	goro_spawn(*(void (**)(void *))fn, NULL);
	wait_for(load(&is_looping));
	return 7;
}

TAP_CASE(pr7_loop_in_own_code_is_left_behind, .procs = "1,2")
{
	void (*fn)(void *) = loops;
	expect_eq(goro_run(run_leaves, &fn), 7);
	expect_eq(load(&may_end), 0);
}

static void *lets_it_end(void *unused)
{
	int64_t until = tap_now() + GORO_MS(300);
	while (tap_now() < until)
		tap_pause(1000000);
	store(&may_end, 1);
	return unused;
}

TAP_CASE(pr7_loop_that_libc_called_is_waited_for, .procs = "1,2")
{
	void (*fn)(void *) = loops_in_a_callback;
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, lets_it_end, NULL), 0);
	expect_eq(goro_run(run_leaves, &fn), 7);
	expect_eq(load(&may_end), 1);
	require_eq(pthread_join(thread, NULL), 0);
}

TAP_MAIN
