/*
 * cxx.c - PAN-03: C++ frames in goroutines: exceptions, and what panics and exits do to them.
 *
 *   throw -> catch in the same goroutine, whatever it blocked on between
 *         -> out of what the library called: std::terminate
 *   goro_panic, goro_exit -> the frames are left, no destructor runs, no catch catches
 *
 * The C++ side is cxx_inside.cc. Go has no counterpart.
 */
#include "goro_tap.h"

#include "conform/cxx_inside.h"

GORO_CASE(exceptions_are_caught_in_the_goroutine_that_threw, .id = "PAN-03", .is_race = true)
{
	enum { GOROUTINES = 40 };
	struct cxx_counts counts = {.rounds = 210 / TAP_SLOWER};
	for (int i = 0; i < GOROUTINES; i++)
		require_eq(goro_spawn(cxx_throws_and_catches, &counts), 0);
	wait_for(load(&counts.n_ended) == GOROUTINES && goro_count() == 1);
	expect_eq(counts.n_caught, GOROUTINES * counts.rounds);
	expect_eq(counts.n_wrong, 0);
	expect_eq(counts.n_destroyed, counts.n_made);
	expect_gt(counts.n_made, GOROUTINES * counts.rounds);
}

static void *thread_throws_and_catches(void *counts)
{
	cxx_catches_for_others(counts);
	return NULL;
}

/* Thrown in one goroutine, caught in another one, or in a plain thread. */
GORO_CASE(exceptions_travel_over_channels, .id = "PAN-03", .is_race = true)
{
	enum { EACH = 5, N = 1000 / TAP_SLOWER };
	struct cxx_counts counts = {.c = goro_chan_of(int, 0), .back = goro_chan_of(void *, 2)};
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_throws_and_catches, &counts), 0);
	for (int i = 0; i < EACH; i++) {
		require_eq(goro_spawn(cxx_receives_and_throws, &counts), 0);
		require_eq(goro_spawn(cxx_catches_for_others, &counts), 0);
	}
	for (int i = 0; i < N; i++)
		goro_put(counts.c, i);
	goro_chan_close(counts.c);
	wait_for(load(&counts.n_caught) + load(&counts.n_wrong) == N);
	goro_chan_close(counts.back);
	wait_for(load(&counts.n_ended) == 2 * EACH + 1 && goro_count() == 1);
	pthread_join(thread, NULL);
	expect_eq(counts.n_wrong, 0);
	expect_eq(counts.n_destroyed, counts.n_made);
}

/* As goro.h says. The frames of a noexcept function, and catch (...), do not stop it either. */
GORO_CASE(panic_and_exit_leave_cxx_frames_without_destructors, .id = "PAN-03")
{
	struct cxx_counts counts = {0};
	expect_str(panic_of(cxx_panics_inside_guards, &counts).text, "out of C++");
	expect_str(panic_of(cxx_panics_inside_catch_all, &counts).text, "out of C++");
	require_eq(goro_spawn(cxx_exits_inside_guards, &counts), 0);
	wait_for(goro_count() == 1);
	expect_eq(counts.n_made, 5);
	expect_eq(counts.n_destroyed, 0);
	expect_eq(counts.n_caught, 0);
}

/* ---- CE1: exceptions in flight go with the goroutine ---- */

static void go_all(void (*fn)(void *), int n, struct cxx_counts *counts)
{
	for (int i = 0; i < n; i++)
		require_eq(goro_spawn(fn, counts), 0);
}

GORO_CASE(goroutines_park_inside_catch_blocks, .id = "PAN-03", .is_race = true)
{
	enum { GOROUTINES = 40 };
	struct cxx_counts counts = {.rounds = tap_share(80) / TAP_SLOWER + 4};
	go_all(cxx_parks_in_handlers, GOROUTINES, &counts);
	wait_for(goro_count() == 1);
	expect_eq(counts.n_ended, GOROUTINES);
	expect_eq(counts.n_caught, GOROUTINES * counts.rounds);
	expect_eq(counts.n_wrong, 0);
}

GORO_CASE(goroutines_park_in_destructors_while_an_exception_is_on_its_way, .id = "PAN-03",
	  .is_race = true)
{
	enum { GOROUTINES = 40 };
	struct cxx_counts counts = {.rounds = tap_share(60) / TAP_SLOWER + 3};
	go_all(cxx_parks_in_destructors, GOROUTINES, &counts);
	wait_for(goro_count() == 1);
	expect_eq(counts.n_ended, GOROUTINES);
	expect_gt(counts.n_caught, GOROUTINES * counts.rounds);
	expect_eq(counts.n_wrong, 0);
	expect_eq(counts.n_destroyed, counts.n_made);
}

GORO_CASE(goroutine_does_not_find_the_exceptions_of_others, .id = "PAN-03", .is_race = true)
{
	enum { GOROUTINES = 20 };
	struct cxx_counts counts = {.rounds = tap_share(40) / TAP_SLOWER + 4};
	go_all(cxx_parks_in_handlers, GOROUTINES, &counts);
	go_all(cxx_exits_in_handler, GOROUTINES, &counts);
	for (int i = 0; i < 10; i++) {
		go_all(cxx_finds_none, GOROUTINES, &counts);
		go_all(cxx_panics_in_handler, GOROUTINES, &counts);
		goro_yield();
	}
	wait_for(goro_count() == 1);
	expect_eq(counts.n_ended, 11 * GOROUTINES);
	expect_eq(counts.n_caught, GOROUTINES * counts.rounds + 10 * GOROUTINES);
	expect_eq(counts.n_wrong, 0);
}

static int run_with_handlers(void *counts)
{
	go_all(cxx_finds_none, 20, counts);
	go_all(cxx_exits_in_handler, 20, counts);
	wait_for(goro_count() == 1);
	return 6;
}

TAP_CASE(run_inside_a_catch_block, .id = "PAN-03")
{
	struct cxx_counts counts = {0};
	for (int i = 1; i <= 3; i++) {
		expect_eq(cxx_runs_in_handler(run_with_handlers, &counts), 6);
		expect_eq(counts.n_ended, 20 * i);
	}
	expect_eq(counts.n_wrong, 0);
	/* In plain threads, too. */
	cxx_panics_in_handler(&counts);
	expect_eq(counts.n_caught, 1);
}

/* A try that an exception could pass would be left open behind it. */
static void call_try(void *unused)
{
	goro_try(cxx_throws, unused, NULL, 0);
}

static void call_panic(void *unused)
{
	(void)unused;
	goro_panic("with a throwing cleanup");
}

GORO_CHILD(goroutine_throws)
{
	goro_spawn(cxx_throws, NULL);
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(main_throws)
{
	cxx_throws(NULL);
}

GORO_CHILD(lambda_throws)
{
	cxx_go_throwing_lambda();
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(tried_function_throws)
{
	cxx_catches_around(call_try, NULL);
}

TAP_CHILD(tried_function_of_a_plain_thread_throws)
{
	cxx_catches_around(call_try, NULL);
}

GORO_CHILD(cleanup_throws_at_return)
{
	goro_defer(cxx_throws, NULL);
}

GORO_CHILD(cleanup_throws_in_a_panic)
{
	goro_defer(cxx_throws, NULL);
	cxx_catches_around(call_panic, NULL);
}

static void call_once(void *unused)
{
	static goro_once once;
	goro_once_do(&once, cxx_throws, unused);
}

GORO_CHILD(function_of_a_timer_throws)
{
	require(goro_timer_func(0, cxx_throws, NULL) != NULL);
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(function_of_once_throws)
{
	cxx_catches_around(call_once, NULL);
}

TAP_CASE(exception_that_leaves_what_the_library_called_ends_the_process, .id = "PAN-01")
{
	static const char *const names[] = {
		"goroutine_throws",
		"main_throws",
		"lambda_throws",
		"tried_function_throws",
		"tried_function_of_a_plain_thread_throws",
		"cleanup_throws_at_return",
		"cleanup_throws_in_a_panic",
		"function_of_once_throws",
		"function_of_a_timer_throws",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct tap_child c;
		tap_child(&c, names[i]);
		expect_child(&c, -SIGABRT,
			     "terminate called after throwing an instance of 'std::runtime_error'\n"
			     "  what():  nobody's\n");
	}
}

TAP_MAIN
