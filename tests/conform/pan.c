/*
 * pan.c - PAN-01, 02, 03: panics, deferred calls, exit, and how a program ends.
 *
 *   goro_panic -> deferred calls of this goroutine -> goro_try, or "panic: ..." and status 2
 *
 * PAN-01's panic in a timer callback belongs to the timers. PAN-02's loop without calls and its raw
 * system call are in main.c, whose children end as goro_main's programs do.
 *
 * Go: crash_test.go: TestPanicRace, TestGoNil, TestGoexitDefer; test/defer.go.
 */
#include "goro_tap.h"

static void says(void *text)
{
	fputs(text, stdout);
	fflush(stdout);
}

/* ---- PAN-01 ---- */

static void panics_with_cleanups(void *unused)
{
	(void)unused;
	goro_defer(says, "first deferred\n");
	goro_defer(says, "second deferred\n");
	goro_panic("boom %d%s", 7, "!");
}

GORO_CHILD(child_panics)
{
	goro_defer(says, "main's cleanup\n");
	goro_spawn(panics_with_cleanups, NULL);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

TAP_CASE(uncaught_panic_runs_its_own_cleanups_and_ends_the_process, .id = "PAN-01")
{
	struct tap_child c;
	uint64_t id = 0;
	tap_child(&c, "child_panics");
	expect_child(&c, 2, "panic: boom 7!\n\ngoroutine ");
	expect(strncmp(c.err, "panic: boom 7!\n\ngoroutine ", 26) == 0);
	expect_eq(sscanf(c.err, "panic: boom 7!\n\ngoroutine %" SCNu64 " [running", &id), 1);
	expect_gt(id, 1);
	expect_contains(c.err, " [running]:\n");
	expect_contains(c.err, "panics_with_cleanups");
	expect_str(c.out, "second deferred\nfirst deferred\n");
}

GORO_CHILD(main_panics)
{
	goro_defer(says, "main's cleanup\n");
	goro_panic("in main");
}

TAP_CASE(panic_in_main_runs_mains_cleanups, .id = "PAN-01")
{
	struct tap_child c;
	tap_child(&c, "main_panics");
	expect_child(&c, 2, "panic: in main\n\ngoroutine 1 [running]:\n");
	expect_str(c.out, "main's cleanup\n");
}

static void panics_with_no_format(void *unused)
{
	const char *volatile none = NULL;
	(void)unused;
	goro_panic(none);
}

GORO_CHILD(panics_with_nothing)
{
	char text[16];
	expect(!goro_try(panics_with_no_format, NULL, text, sizeof(text)));
	expect_str(text, "(null)");
	panics_with_no_format(NULL);
}

TAP_CASE(a_panic_with_a_null_format_is_reported, .id = "PAN-01")
{
	struct tap_child c;
	tap_child(&c, "panics_with_nothing");
	expect_child(&c, 2, "panic: (null)\n\ngoroutine 1 [running]:\n");
}

static void ends_its_thread(void *unused)
{
	pthread_exit(unused);
}

GORO_CHILD(goroutine_ends_its_thread)
{
	goro_spawn(ends_its_thread, NULL);
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(locked_goroutine_ends_its_thread)
{
	goro_lock_thread();
	goro_try(ends_its_thread, NULL, NULL, 0);
}

GORO_CHILD(main_ends_its_thread)
{
	pthread_exit(NULL);
}

TAP_CASE(pthread_exit_in_a_goroutine_is_fatal, .id = "DIA-08")
{
	static const struct {
		const char *child, *text;
	} all[] = {
		{"goroutine_ends_its_thread", "fatal error: goroutine 2 has ended its thread"},
		{"locked_goroutine_ends_its_thread", "fatal error: goroutine 1 has ended its"},
		{"main_ends_its_thread", "fatal error: goroutine 1 has ended its thread"},
	};
	for (int i = 0; i < 3; i++) {
		struct tap_child c;
		tap_child(&c, all[i].child);
		expect_child(&c, 2, all[i].text);
		expect_contains(c.err, "\ngoroutine ");
		free(c.out);
		free(c.err);
	}
}

GORO_CHILD(spawns_nil)
{
	goro_spawn(NULL, NULL);
}

TAP_CASE(go_of_a_nil_function_ends_with_status_2, .id = "PAN-01")
{
	struct tap_child c;
	tap_child(&c, "spawns_nil");
	expect_child(&c, 2, "go of nil func value");
}

static void calls_exit_7(void *unused)
{
	(void)unused;
	goro_defer(says, "cleanup of the one that calls exit\n");
	exit(7);
}

GORO_CHILD(child_calls_exit)
{
	goro_defer(says, "main's cleanup\n");
	goro_spawn(calls_exit_7, NULL);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

TAP_CASE(exit_in_a_goroutine_gives_the_status_and_runs_no_cleanup, .id = "PAN-01")
{
	struct tap_child c;
	tap_child(&c, "child_calls_exit");
	expect_eq(c.status, 7);
	expect_str(c.out, "");
	expect_str(c.err, "");
}

static void panics_soon(void *arg)
{
	while (!load((int *)arg))
		goro_yield();
	goro_panic("one of many");
}

GORO_CHILD(many_panic_at_once)
{
	static int is_go;
	for (int i = 0; i < 50; i++)
		goro_spawn(panics_soon, &is_go);
	goro_yield();
	store(&is_go, 1);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

/* Whichever is first: one report, status 2, neither a hang nor a crash in the crash. */
TAP_CASE(many_panics_at_once_end_the_process_once, .id = "PAN-01", .is_race = true)
{
	struct tap_child c;
	int n_rounds = tap_share(10);
	for (int i = 0; i < n_rounds; i++) {
		tap_child(&c, "many_panic_at_once");
		expect_child(&c, 2, "panic: one of many\n\ngoroutine ");
		const char *first = strstr(c.err, "panic: one");
		expect(first != NULL && strstr(first + 1, "panic: one") == NULL);
	}
}

static void says_goodbye(void)
{
	printf("atexit\n");
}

GORO_CHILD(panics_with_full_buffers)
{
	setvbuf(stdout, NULL, _IOFBF, 4096);
	atexit(says_goodbye);
	printf("buffered\n");
	goro_panic("boom");
}

/* As goro.h says: the end is _exit(). */
TAP_CASE(panic_writes_no_buffers_and_calls_nothing_of_atexit, .id = "PAN-02")
{
	struct tap_child c;
	tap_child(&c, "panics_with_full_buffers");
	expect_child(&c, 2, "panic: boom");
	expect_str(c.out, "");
}

/* ---- PAN-03 ---- */

static char trail[64];

static void leaves(void *letter)
{
	strcat(trail, letter);
}

static void returns_with_three(void *unused)
{
	(void)unused;
	goro_defer(leaves, "1");
	goro_defer(leaves, "2");
	goro_defer(leaves, "3");
	leaves("r");
}

GORO_CASE(cleanups_run_last_in_first_out_on_return, .id = "PAN-03")
{
	goro_spawn(returns_with_three, NULL);
	wait_for(goro_count() == 1);
	expect_str(trail, "r321");
}

__attribute__((noinline)) static void exits_with_a_cleanup(void)
{
	goro_defer(leaves, "c");
	goro_exit();
}

static void (*volatile exits_below)(void) = exits_with_a_cleanup;

static void exits_from_a_nested_call(void *unused)
{
	(void)unused;
	goro_defer(leaves, "a");
	goro_defer(leaves, "b");
	exits_below();
	leaves("unreachable");
}

GORO_CASE(exit_runs_the_cleanups_of_all_frames, .id = "PAN-03")
{
	goro_spawn(exits_from_a_nested_call, NULL);
	wait_for(goro_count() == 1);
	expect_str(trail, "cba");
}

static void tries_an_exit(void *unused)
{
	(void)unused;
	goro_defer(leaves, "a");
	goro_try(exits_from_a_nested_call, NULL, NULL, 0);
	leaves("caught!");
}

/* Twice "a": the one inside the try, and the one outside. */
GORO_CASE(try_does_not_catch_an_exit, .id = "PAN-03")
{
	goro_spawn(tries_an_exit, NULL);
	wait_for(goro_count() == 1);
	expect_str(trail, "cbaa");
}

static void panics_below(void *unused)
{
	(void)unused;
	goro_defer(leaves, "x");
	goro_defer(leaves, "y");
	goro_panic("caught");
}

static void defers_around_a_try(void *unused)
{
	char text[16];
	(void)unused;
	goro_defer(leaves, "1");
	expect(!goro_try(panics_below, NULL, text, sizeof(text)));
	expect_str(text, "caught");
	leaves("t");
	expect(goro_try(returns_with_three, NULL, text, sizeof(text)));
	leaves("u");
}

GORO_CASE(try_runs_what_was_deferred_inside_and_no_more, .id = "PAN-03")
{
	goro_spawn(defers_around_a_try, NULL);
	wait_for(goro_count() == 1);
	expect_str(trail, "yxtr321u1");
}

static void blocks_in_a_cleanup(void *c)
{
	leaves("b");
	goro_chan_recv(c, NULL);
	leaves("e");
}

static void panics_with_blocking_cleanup(void *c)
{
	goro_defer(leaves, "l");
	goro_defer(blocks_in_a_cleanup, c);
	goro_panic("slow");
}

static void tries_blocking_cleanup(void *c)
{
	char text[16];
	expect(!goro_try(panics_with_blocking_cleanup, c, text, sizeof(text)));
	expect_str(text, "slow");
	leaves("d");
}

GORO_CASE(cleanups_may_block, .id = "PAN-03")
{
	goro_chan *c = goro_chan_make(0, 0);
	goro_spawn(tries_blocking_cleanup, c);
	goro_yield();
	goro_chan_send(c, NULL);
	wait_for(goro_count() == 1);
	expect_str(trail, "beld");
}

static void panics_in_a_cleanup(void *unused)
{
	(void)unused;
	leaves("p");
	goro_panic("second");
}

static void panics_twice(void *unused)
{
	(void)unused;
	goro_defer(leaves, "z");
	goro_defer(panics_in_a_cleanup, NULL);
	goro_panic("first");
}

/* As in Go the later panic is the one that is caught; the cleanups that are left still run. */
GORO_CASE(panic_in_a_cleanup_replaces_the_first, .id = "PAN-03")
{
	expect_str(panic_of(panics_twice, NULL).text, "second");
	expect_str(trail, "pz");
}

static void exits_in_a_cleanup(void *unused)
{
	(void)unused;
	leaves("q");
	goro_exit();
}

static void panics_and_exits_in_a_cleanup(void *unused)
{
	(void)unused;
	goro_defer(leaves, "z");
	goro_defer(exits_in_a_cleanup, NULL);
	goro_panic("forgotten");
}

/* An exit in a cleanup ends the goroutine, and the panic is gone. */
GORO_CASE(exit_in_a_cleanup_ends_the_panic, .id = "PAN-03")
{
	goro_spawn(panics_and_exits_in_a_cleanup, NULL);
	wait_for(goro_count() == 1);
	expect_str(trail, "qz");
}

static void catches_the_inner(void *unused)
{
	(void)unused;
	expect_str(panic_of(panics_below, NULL).text, "caught");
	goro_panic("outer");
}

GORO_CASE(tries_nest, .id = "PAN-03")
{
	expect_str(panic_of(catches_the_inner, NULL).text, "outer");
	expect_str(trail, "yx");
}

static int n_cleanups;

static void counts(void *unused)
{
	(void)unused;
	add(&n_cleanups, 1);
}

static void defers_and_exits(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++)
		goro_defer(counts, NULL);
	goro_exit();
}

static void exit_many(int n)
{
	for (int i = 0; i < n; i++) {
		require_eq(goro_spawn(defers_and_exits, NULL), 0);
		if (i % 500 == 499)
			wait_for(goro_count() == 1);
	}
	wait_for(goro_count() == 1);
}

GORO_CASE(a_hundred_thousand_exits_leak_nothing, .id = "PAN-03", .is_alone = true)
{
	enum { N = 100000 / TAP_SLOWER };
	exit_many(N); /* as many, so that every P and thread has what it keeps */
	int64_t before_kib = tap_rss_kib();
	exit_many(N);
	int64_t after_kib = tap_rss_kib();
	expect_eq(n_cleanups, 3 * 2 * N);
	printf("# resident %" PRId64 " KiB, then %" PRId64 " KiB\n", before_kib, after_kib);
	if (!TAP_SANITIZED)
		expect_le(after_kib, before_kib + before_kib / 20 + 256);
}

static void recovers_and_exits(void *unused)
{
	(void)unused;
	expect_str(panic_of(panics_below, NULL).text, "caught");
	goro_exit();
}

/* The next user of its stack and its G finds no record of a panic, nor a try that is still open. */
GORO_CASE(recovered_panic_leaves_nothing_to_the_next_goroutine, .id = "PAN-03")
{
	for (int i = 0; i < 200; i++) {
		trail[0] = '\0';
		goro_spawn(recovers_and_exits, NULL);
		wait_for(goro_count() == 1);
		goro_spawn(returns_with_three, NULL);
		wait_for(goro_count() == 1);
		expect_str(trail, "yxr321");
	}
}

static void panics_over_and_over(void *arg)
{
	for (int i = 0; i < 1000 / TAP_SLOWER; i++) {
		struct caught caught = panic_of(call_close, NULL);
		add((int *)arg, strcmp(caught.text, "close of nil channel") == 0);
		if (i % 16 == 0)
			goro_yield();
	}
}

GORO_CASE(many_catch_at_the_same_time, .id = "PAN-03", .is_race = true)
{
	int caught = 0;
	for (int i = 0; i < 20; i++)
		goro_spawn(panics_over_and_over, &caught);
	wait_for(goro_count() == 1);
	expect_eq(caught, 20 * (1000 / TAP_SLOWER));
}

TAP_MAIN
