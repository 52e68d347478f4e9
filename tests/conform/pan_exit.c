/*
 * pan_exit.c - PAN-03, how goro_exit, panics and goro_try meet; and goro_try in plain threads.
 *
 *   goro_exit -> deferred calls -> one panics -> the goro_try inside which it was deferred -> goes
 *   on exiting
 *
 * Go: crash_test.go: TestRecoveredPanicAfterGoexit, TestRecoverBeforePanicAfterGoexit; panic.go.
 */
#include "goro_tap.h"

static char trail[64];

static bool is_counting; /* set while no other goroutine is there */
static int n_left;

static void leaves(void *letter)
{
	if (is_counting)
		add(&n_left, 1);
	else
		strcat(trail, letter);
}

static void panics(void *text)
{
	goro_panic("%s", (const char *)text);
}

static void exits(void *unused)
{
	(void)unused;
	goro_exit();
}

static void closes(void *done)
{
	goro_chan_close(done);
}

static void runs_with_a_last_cleanup(goro_chan *done, void (*fn)(void *))
{
	goro_defer(closes, done);
	fn(NULL);
}

/* fn in a goroutine of its own, to its end. */
static void run_to_its_end(void (*fn)(void *))
{
	goro_chan *done = goro_chan_make(0, 0);
	trail[0] = '\0';
	go(runs_with_a_last_cleanup, done, fn);
	goro_chan_recv(done, NULL);
	wait_for(goro_count() == 1);
	goro_chan_unref(done);
}

/* ---- a panic among the calls that an exit runs ---- */

static void exits_and_panics_in_a_cleanup(void *unused)
{
	(void)unused;
	goro_defer(leaves, "a");
	goro_defer(panics, "while exiting");
	goro_defer(leaves, "b");
	goro_exit();
}

static char said[4][32];

static void is_caught_while_exiting(void *unused)
{
	(void)unused;
	goro_defer(leaves, "c");
	goro_try(exits_and_panics_in_a_cleanup, NULL, said[0], sizeof(said[0]));
	leaves("returned!");
}

GORO_CASE(panic_of_an_exits_cleanup_is_caught_and_the_exit_goes_on, .id = "PAN-03")
{
	run_to_its_end(is_caught_while_exiting);
	expect_str(trail, "bac");
	expect_str(said[0], "while exiting");
}

static void tries_inside(void *unused)
{
	(void)unused;
	goro_defer(leaves, "d");
	goro_defer(panics, "of the outer");
	goro_try(exits_and_panics_in_a_cleanup, NULL, said[0], sizeof(said[0]));
	leaves("inner returned!");
}

static void tries_in_two_steps(void *unused)
{
	(void)unused;
	goro_defer(leaves, "e");
	goro_try(tries_inside, NULL, said[1], sizeof(said[1]));
	leaves("outer returned!");
}

/* Each panic ends in the try inside which its call was deferred. */
GORO_CASE(each_try_catches_its_own_cleanup_while_exiting, .id = "PAN-03")
{
	run_to_its_end(tries_in_two_steps);
	expect_str(trail, "bade");
	expect_str(said[0], "while exiting");
	expect_str(said[1], "of the outer");
}

static void exits_below(void *unused)
{
	(void)unused;
	goro_defer(leaves, "a");
	goro_try(exits, NULL, said[0], sizeof(said[0]));
	leaves("inner returned!");
}

static void panics_outside_of_the_inner_try(void *unused)
{
	(void)unused;
	goro_defer(leaves, "b");
	goro_defer(panics, "of the outer");
	exits_below(NULL);
}

static void tries_around(void *unused)
{
	(void)unused;
	goro_defer(leaves, "c");
	goro_try(panics_outside_of_the_inner_try, NULL, said[1], sizeof(said[1]));
	leaves("outer returned!");
}

/* The innermost try is no part of it: the call was deferred outside. */
GORO_CASE(a_try_catches_nothing_that_was_deferred_outside_while_exiting, .id = "PAN-03")
{
	strcpy(said[0], "untouched");
	run_to_its_end(tries_around);
	expect_str(trail, "abc");
	expect_str(said[0], "untouched");
	expect_str(said[1], "of the outer");
}

static void panics_for_nobody(void *unused)
{
	(void)unused;
	goro_defer(panics, "for nobody");
	goro_try(exits, NULL, NULL, 0);
}

GORO_CHILD(exit_with_an_uncaught_panic)
{
	goro_spawn(panics_for_nobody, NULL);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

TAP_CASE(panic_of_an_exits_cleanup_outside_of_every_try_ends_the_process, .id = "PAN-03")
{
	struct tap_child c;
	tap_child(&c, "exit_with_an_uncaught_panic");
	expect_child(&c, 2, "panic: for nobody\n\ngoroutine ");
}

/* ---- tries and exits inside cleanups ---- */

static void tries_and_goes_on(void *unused)
{
	(void)unused;
	expect(!goro_try(panics, "in a cleanup", said[2], sizeof(said[2])));
	leaves("t");
}

static void exits_with_a_try_in_a_cleanup(void *unused)
{
	(void)unused;
	goro_defer(leaves, "a");
	goro_defer(tries_and_goes_on, NULL);
	goro_try(exits, NULL, NULL, 0);
}

/* A try that begins in a cleanup returns as ever. */
GORO_CASE(try_in_a_cleanup_of_an_exit_returns, .id = "PAN-03")
{
	run_to_its_end(exits_with_a_try_in_a_cleanup);
	expect_str(trail, "ta");
	expect_str(said[2], "in a cleanup");
}

static void tries_an_exit(void *unused)
{
	(void)unused;
	goro_try(exits_and_panics_in_a_cleanup, NULL, said[0], sizeof(said[0]));
	leaves("returned!");
}

static void returns_with_a_cleanup_that_exits(void *unused)
{
	(void)unused;
	goro_defer(leaves, "c");
	goro_defer(tries_an_exit, NULL);
}

GORO_CASE(exit_inside_a_try_in_a_cleanup, .id = "PAN-03")
{
	run_to_its_end(returns_with_a_cleanup_that_exits);
	expect_str(trail, "bac");
}

static void panics_and_a_cleanup_exits(void *unused)
{
	(void)unused;
	goro_defer(leaves, "a");
	goro_defer(panics, "after the exit");
	goro_defer(exits, NULL);
	goro_panic("forgotten");
}

static void catches_what_comes_after_the_exit(void *unused)
{
	(void)unused;
	goro_defer(leaves, "b");
	goro_try(panics_and_a_cleanup_exits, NULL, said[0], sizeof(said[0]));
	leaves("returned!");
}

/* The exit ends the first panic; the one after it is caught; the exit goes on. */
GORO_CASE(exit_in_a_cleanup_of_a_panic_and_a_panic_after_it, .id = "PAN-03")
{
	run_to_its_end(catches_what_comes_after_the_exit);
	expect_str(trail, "ab");
	expect_str(said[0], "after the exit");
}

static void exits_inside_a_try(void *n_wrong)
{
	goro_defer(leaves, "x");
	goro_try(exits_and_panics_in_a_cleanup, NULL, NULL, 0);
	add((int *)n_wrong, 1);
}

enum { N_MIXES = 2000 / TAP_SLOWER };

static void spawns_exits(void *n_wrong)
{
	for (int i = 0; i < N_MIXES; i++) {
		require_eq(goro_spawn(exits_inside_a_try, n_wrong), 0);
		goro_yield();
	}
}

/* The stacks and the Gs that these leave are used again by others. */
GORO_CASE(many_catch_while_exiting, .id = "PAN-03", .is_race = true)
{
	int n_wrong = 0;
	is_counting = true;
	for (int i = 0; i < 4; i++)
		require_eq(goro_spawn(spawns_exits, &n_wrong), 0);
	wait_for(goro_count() == 1);
	expect_eq(load(&n_wrong), 0);
	expect_eq(load(&n_left), 4 * N_MIXES * 3);
}

/* ---- messages longer than any buffer of ours ---- */

static char long_text[100001];

static void panics_at_length(void *unused)
{
	(void)unused;
	goro_panic("%s", long_text);
}

static void catch_at_length(void)
{
	static char text[sizeof(long_text)];
	memset(long_text, 'y', sizeof(long_text) - 1);
	for (size_t size = 1; size <= sizeof(text); size = 3 * size + 1021) {
		expect(!goro_try(panics_at_length, NULL, text, size));
		expect_eq(strlen(text), size - 1);
	}
	expect(!goro_try(panics_at_length, NULL, text, sizeof(text)));
	expect_str(text, long_text);
}

GORO_CASE(try_stores_a_message_of_any_length, .id = "PAN-03")
{
	catch_at_length();
}

TAP_CASE(try_stores_a_message_of_any_length_in_a_plain_thread, .procs = "-")
{
	catch_at_length();
}

static void panics_at_length_and_exits(void *unused)
{
	(void)unused;
	goro_defer(exits, NULL);
	panics_at_length(NULL);
}

static void panics_at_length_twice(void *unused)
{
	(void)unused;
	goro_defer(panics_at_length, NULL);
	panics_at_length(NULL);
}

static void parks(void *unused)
{
	(void)unused;
	goro_chan_recv(NULL, NULL);
}

static void panics_at_length_and_parks(void *unused)
{
	(void)unused;
	goro_defer(parks, NULL);
	panics_at_length(NULL);
}

static void parks_in_a_cleanup(void *unused)
{
	(void)unused;
	goro_try(panics_at_length_and_parks, NULL, NULL, 0);
}

static int ends_with_long_messages(void *unused)
{
	char text[8];
	(void)unused;
	goro_spawn(panics_at_length_and_exits, NULL);
	expect(!goro_try(panics_at_length_twice, NULL, text, sizeof(text)));
	wait_for(goro_count() == 1);
	goro_spawn(parks_in_a_cleanup, NULL);
	wait_until_n_parked(1, "chan receive (nil chan)");
	return 0;
}

/* 100 KB each: caught, replaced, ended by an exit, and left behind by the end of a run. */
TAP_CASE(long_messages_leave_no_memory_behind)
{
	memset(long_text, 'y', sizeof(long_text) - 1);
	for (int i = 0; i < 10; i++)
		expect_eq(goro_run(ends_with_long_messages, NULL), 0);
	int64_t before_kib = tap_rss_kib();
	for (int i = 0; i < 50; i++)
		expect_eq(goro_run(ends_with_long_messages, NULL), 0);
	printf("# %" PRId64 " KiB more\n", tap_rss_kib() - before_kib);
	if (!TAP_SANITIZED && !getenv("TAP_EMULATED"))
		expect_le(tap_rss_kib(), before_kib + 4096);
}

/* ---- plain threads ---- */

static void ends_its_thread(void *unused)
{
	(void)unused;
	pthread_exit(NULL);
}

static void *ends_inside_a_try(void *unused)
{
	goro_try(ends_its_thread, unused, NULL, 0);
	return NULL;
}

/* A thread ends inside goro_try, and its stack is gone: nothing else may come there. */
static void end_a_thread_inside_a_try(void)
{
	enum { SIZE = 1 << 20 };
	pthread_attr_t attr;
	pthread_t thread;
	void *stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	require(stack != MAP_FAILED);
	require_eq(pthread_attr_init(&attr), 0);
	require_eq(pthread_attr_setstack(&attr, stack, SIZE), 0);
	require_eq(pthread_create(&thread, &attr, ends_inside_a_try, NULL), 0);
	require_eq(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
	require_eq(mprotect(stack, SIZE, PROT_NONE), 0);
}

static void nests_in_a_thread(void *unused)
{
	char text[16];
	(void)unused;
	expect(!goro_try(panics, "inner", text, sizeof(text)));
	expect_str(text, "inner");
	goro_panic("outer");
}

TAP_CASE(threads_that_end_inside_a_try_leave_nothing, .procs = "-")
{
	for (int i = 0; i < 3; i++) {
		end_a_thread_inside_a_try();
		expect_str(panic_of(nests_in_a_thread, NULL).text, "outer");
	}
}

static void *panics_alone(void *unused)
{
	goro_panic("of another thread");
	return unused;
}

TAP_CHILD(panic_of_a_thread_after_one_ended_inside_a_try)
{
	pthread_t thread;
	end_a_thread_inside_a_try();
	require_eq(pthread_create(&thread, NULL, panics_alone, NULL), 0);
	pthread_join(thread, NULL);
}

TAP_CASE(panic_of_a_thread_finds_no_try_of_one_that_has_ended, .procs = "-")
{
	struct tap_child c;
	tap_child(&c, "panic_of_a_thread_after_one_ended_inside_a_try");
	expect_child(&c, 2, "panic: of another thread\n\n");
}

static void *catches_over_and_over(void *n_caught)
{
	for (int i = 0; i < 2000 / TAP_SLOWER; i++)
		add((int *)n_caught, !strcmp(panic_of(nests_in_a_thread, NULL).text, "outer"));
	return NULL;
}

TAP_CASE(threads_catch_at_the_same_time, .procs = "-")
{
	pthread_t threads[4];
	int n_caught = 0;
	for (int i = 0; i < 4; i++)
		require_eq(pthread_create(&threads[i], NULL, catches_over_and_over, &n_caught), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	expect_eq(n_caught, 4 * (2000 / TAP_SLOWER));
}

TAP_MAIN
