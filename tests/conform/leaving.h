/*
 * leaving.h - main leaves while somebody's last report is being printed: what main.c does under
 * the main() of the library, and leave.c under goro_run().
 *
 *   child: a forked process stands between it and standard error, and says when a report has begun
 *   main: waits for that, in a system call, then as long as the argument says, and returns 5
 *
 * So main returns after the report has begun, and at most times long before its end: finding the
 * names of the functions takes some 100 ms.
 */
#ifndef GORO_TESTS_LEAVING_H
#define GORO_TESTS_LEAVING_H

#include "goro_tap.h"

enum { LEAVE_STATUS = 5, LEAVE_PARKED = 20 };

static int *report_has_begun; /* shared with the forked process */

/* Everything goes on to where it went before; the parent sees the end of it when we are done. */
static void pass_on(int from)
{
	char text[4096];
	ssize_t n;
	while ((n = read(from, text, sizeof(text))) > 0) {
		store(report_has_begun, 1);
		for (ssize_t at = 0, done; at < n; at += done)
			if ((done = write(STDERR_FILENO, text + at, (size_t)(n - at))) <= 0)
				_exit(1);
	}
	_exit(0);
}

/* Before the runtime has threads. */
__attribute__((constructor)) static void watch_standard_error(void)
{
	int fds[2];
	if (getenv("LEAVE_WATCHED") == NULL)
		return;
	report_has_begun = mmap(NULL, sizeof(*report_has_begun), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	require(report_has_begun != MAP_FAILED && pipe2(fds, O_CLOEXEC) == 0);
	pid_t pid = fork();
	require(pid >= 0);
	if (pid == 0) {
		close(fds[1]);
		close(STDOUT_FILENO);
		pass_on(fds[0]);
	}
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	close(fds[0]);
}

static void parks(void *unused)
{
	(void)unused;
	goro_chan_recv(NULL, NULL);
}

static void panics_7(void *unused)
{
	(void)unused;
	goro_panic("bad number %d", 7);
}

__attribute__((noinline)) static int recurses_for_ever(volatile char *above)
{
	volatile char frame[512];
	frame[0] = *above;
	return *above != 0 ? 0 : recurses_for_ever(frame) + frame[0];
}

static void overflows(void *unused)
{
	volatile char zero = 0;
	(void)unused;
	recurses_for_ever(&zero);
}

static void writes_nowhere(void *unused)
{
	int *volatile nowhere = (int *)(uintptr_t)8;
	(void)unused;
	*nowhere = 1;
}

static void exceeds_threads(void *unused)
{
	goro_maxthreads(1);
	goro_lock_thread();
	parks(unused);
}

static void *panics_in_a_thread(void *unused)
{
	panics_7(unused);
	return NULL;
}

static void starts_a_panicking_thread(void *unused)
{
	pthread_t thread;
	(void)unused;
	require_eq(pthread_create(&thread, NULL, panics_in_a_thread, NULL), 0);
}

/* Takes a while in a deferred call, which main must wait for: the panic has begun. */
static int is_deferring;

static void takes_a_while(void *unused)
{
	(void)unused;
	store(&is_deferring, 1);
	tap_pause(GORO_MS(1));
}

static void panics_slowly(void *unused)
{
	goro_defer(takes_a_while, NULL);
	panics_7(unused);
}

static void never_ends(void *unused)
{
	store(&is_deferring, 1);
	parks(unused);
}

static void panics_without_end(void *unused)
{
	goro_defer(never_ends, NULL);
	panics_7(unused);
}

static void exits_from_a_deferred_call(void *unused)
{
	(void)unused;
	goro_exit();
}

static void exits_instead(void *unused)
{
	goro_defer(exits_from_a_deferred_call, NULL);
	panics_7(unused);
}

/* The body of main. The environment says after how many milliseconds it returns. */
static int leaves_beside(void (*fn)(void *))
{
	int64_t delay = GORO_MS(atoi(getenv("LEAVE_WATCHED")));
	for (int i = 0; i < LEAVE_PARKED; i++)
		require_eq(goro_spawn(parks, NULL), 0);
	wait_until_n_parked(LEAVE_PARKED, "chan receive (nil chan)");
	goro_spawn(fn, NULL);
	while (!load(report_has_begun)) {
		if (fn == panics_slowly && load(&is_deferring))
			break;
		/* At one P the others get their turn; else main stays where no freeze holds it. */
		if (goro_maxprocs(0) == 1)
			goro_yield();
		tap_pause(10000);
	}
	if (delay > 0)
		tap_pause(delay);
	return LEAVE_STATUS;
}

/* The other way round: the panic of fn does not, or not soon, end the process. */
static int leaves_first(void (*fn)(void *))
{
	goro_spawn(fn, NULL);
	if (fn == panics_without_end)
		wait_for(load(&is_deferring));
	else
		wait_for(goro_count() == 1);
	return LEAVE_STATUS;
}

static int count_of(const char *text, const char *word)
{
	int n = 0;
	for (; (text = strstr(text, word)) != NULL; text++)
		n++;
	return n;
}

/* The whole report, and its status, whenever main leaves. */
static void expect_whole_report(const char *child, const char *says)
{
	static const char *const delays[] = {"LEAVE_WATCHED=0", "LEAVE_WATCHED=1",
					     "LEAVE_WATCHED=10", "LEAVE_WATCHED=50"};
	for (int i = 0; i < 4; i++) {
		struct tap_child c;
		int before = tap_failures;
		tap_child(&c, child, delays[i]);
		expect_child(&c, 2, says);
		expect_eq(count_of(c.err, " [chan receive (nil chan)]:\n"),
			  LEAVE_PARKED);
		expect_eq(count_of(c.err, "\ngoroutine 1 ["), 1);
		size_t length = strlen(c.err);
		expect_str(c.err + (length < 2 ? 0 : length - 2), "\n\n");
		expect_str(c.out, "");
		if (tap_failures != before)
			tap_show(delays[i], c.err);
	}
}

/* How the child's body is made differs: LEAVE_CHILD(name, call of one of the two above). */
#define LEAVE_CHILDREN                                                      \
	LEAVE_CHILD(leaves_while_one_panics, leaves_beside(panics_7))       \
	LEAVE_CHILD(leaves_while_one_overflows, leaves_beside(overflows))   \
	LEAVE_CHILD(leaves_while_one_faults, leaves_beside(writes_nowhere)) \
	LEAVE_CHILD(leaves_after_a_fatal, leaves_beside(exceeds_threads))   \
	LEAVE_CHILD(leaves_while_a_thread_panics,                           \
		    leaves_beside(starts_a_panicking_thread))               \
	LEAVE_CHILD(leaves_while_one_defers, leaves_beside(panics_slowly))  \
	LEAVE_CHILD(leaves_an_endless_panic, leaves_first(panics_without_end)) \
	LEAVE_CHILD(leaves_an_ended_panic, leaves_first(exits_instead))

#define LEAVE_CASE(name_, ...) \
	TAP_CASE(name_, .id = "PAN-01", .procs = "1,2,4", .timeout_s = 60, __VA_ARGS__)

LEAVE_CASE(a_panic_is_told_although_main_leaves)
{
	expect_whole_report("leaves_while_one_panics", "panic: bad number 7\n\ngoroutine ");
}

LEAVE_CASE(an_overflow_is_told_although_main_leaves)
{
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own handler reports overflows");
	expect_whole_report("leaves_while_one_overflows", "fatal error: stack overflow\n");
}

LEAVE_CASE(a_fault_is_told_although_main_leaves)
{
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own handler reports faults");
	expect_whole_report("leaves_while_one_faults", "fatal error: unexpected signal SIGSEGV");
}

LEAVE_CASE(a_fatal_error_is_told_although_main_leaves)
{
	expect_whole_report("leaves_after_a_fatal", "fatal error: program exceeds 1-thread limit");
}

LEAVE_CASE(the_panic_of_a_thread_is_told_although_main_leaves)
{
	expect_whole_report("leaves_while_a_thread_panics", "panic: bad number 7\n\n");
}

/* As in Go, the deferred calls of a panic that nobody will catch get a while. */
LEAVE_CASE(a_panic_whose_deferred_calls_run_is_told_although_main_leaves)
{
	expect_whole_report("leaves_while_one_defers", "panic: bad number 7\n\ngoroutine ");
}

LEAVE_CASE(a_panic_whose_deferred_calls_do_not_end_holds_nobody)
{
	struct tap_child c;
	tap_child(&c, "leaves_an_endless_panic");
	expect_child(&c, LEAVE_STATUS, "");
	expect_str(c.err, "");
	tap_child(&c, "leaves_an_ended_panic");
	expect_child(&c, LEAVE_STATUS, "");
	expect_str(c.err, "");
}

#endif
