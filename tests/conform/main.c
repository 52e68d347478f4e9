/*
 * main.c - PAN-02: how a program ends whose main() is the library's; and PAN-01, when another
 * goroutine's panic is under way at that moment (leaving.h).
 *
 *   main() of libgoro.a -> goro_run -> goro_main, which here runs the cases and their children
 *
 * So the cases themselves run as the main goroutine, and start their children from there.
 *
 * Go: proc.go, main.
 */
#include "leaving.h"

static void prints(void *text)
{
	fputs(text, stdout);
	fflush(stdout);
}

static void sleeps_long(void *unused)
{
	(void)unused;
	goro_defer(prints, "a sleeper's cleanup\n");
	goro_sleep(GORO_SEC(1000));
}

static void parks_for_ever(void *unused)
{
	(void)unused;
	goro_defer(prints, "a parked one's cleanup\n");
	goro_chan_recv(NULL, NULL);
}

static int is_in;

static void loops_without_calls(void *unused)
{
	(void)unused;
	store(&is_in, 1);
	for (;;)
		__asm__ volatile("" ::: "memory");
}

static void blocks_in_the_kernel(void *unused)
{
	(void)unused;
	goro_defer(prints, "a blocked one's cleanup\n");
	store(&is_in, 1);
	/* On arm64 a stop may interrupt it as it begins: docs/threads-and-tls.md. */
	for (int64_t end = tap_now() + GORO_SEC(3); tap_now() < end;)
		tap_pause(end - tap_now());
}

static int result;

/* Prints the time of its end without a newline or a flush: both are the library's business. */
static void ends(int value)
{
	result = value;
	printf("end %" PRId64, tap_now());
}

TAP_CHILD(main_returns_beside_sleepers)
{
	for (int i = 0; i < 20; i++) {
		goro_spawn(sleeps_long, NULL);
		goro_spawn(parks_for_ever, NULL);
	}
	for (int i = 0; i < 100; i++)
		goro_yield();
	goro_defer(prints, "");
	ends(5);
}

TAP_CHILD(main_returns_beside_a_tight_loop)
{
	goro_spawn(loops_without_calls, NULL);
	while (!load(&is_in))
		continue;
	ends(6);
}

TAP_CHILD(main_returns_beside_a_raw_system_call)
{
	goro_spawn(blocks_in_the_kernel, NULL);
	while (!load(&is_in))
		continue;
	ends(7);
}

static void blocks_announced(void *unused)
{
	goro_blocking(blocks_in_the_kernel, unused);
}

TAP_CHILD(main_returns_beside_an_announced_call)
{
	goro_spawn(blocks_announced, NULL);
	while (!load(&is_in))
		goro_yield();
	ends(8);
}

/* Stopped ones, blocked ones of both kinds, and one that still runs. */
TAP_CHILD(main_returns_beside_all_of_them)
{
	for (int i = 0; i < 5; i++) {
		goro_spawn(loops_without_calls, NULL);
		goro_spawn(blocks_announced, NULL);
		goro_spawn(blocks_in_the_kernel, NULL);
	}
	goro_sleep(GORO_MS(50));
	ends(9);
}

TAP_CHILD(main_returns_zero)
{
	goro_spawn(sleeps_long, NULL);
	goro_yield();
	ends(0);
}

TAP_CHILD(main_returns_300)
{
	ends(300);
}

/* The child ends with main's status, nothing else is printed, within 100 ms; retried if late. */
static void expect_prompt_end(const char *name, int status)
{
	struct tap_child c;
	int64_t end = 0, allowed = GORO_MS(100), late = INT64_MAX;
	for (int attempt = 0; attempt < 5 && late > allowed; attempt++, allowed *= 2) {
		tap_child(&c, name);
		late = tap_now();
		int length = 0;
		expect_child(&c, status, "");
		expect_eq(sscanf(c.out, "end %" SCNd64 "%n", &end, &length), 1);
		expect_str(c.out + length, "");
		expect_str(c.err, "");
		late -= end;
	}
	expect_le(late, allowed);
}

TAP_CASE(return_of_main_ends_sleepers_and_parked_ones_without_their_cleanups, .id = "PAN-02")
{
	expect_prompt_end("main_returns_beside_sleepers", 5);
}

TAP_CASE(return_of_main_ends_a_tight_loop, .id = "PAN-02")
{
	expect_prompt_end("main_returns_beside_a_tight_loop", 6);
}

TAP_CASE(return_of_main_ends_a_raw_system_call, .id = "PAN-02")
{
	expect_prompt_end("main_returns_beside_a_raw_system_call", 7);
}

TAP_CASE(return_of_main_ends_an_announced_call, .id = "PAN-02")
{
	expect_prompt_end("main_returns_beside_an_announced_call", 8);
}

TAP_CASE(return_of_main_ends_loops_and_calls, .id = "PAN-02", .is_alone = true)
{
	expect_prompt_end("main_returns_beside_all_of_them", 9);
}

TAP_CASE(return_of_main_gives_zero, .id = "PAN-02")
{
	expect_prompt_end("main_returns_zero", 0);
}

TAP_CASE(return_of_main_gives_the_status_modulo_256, .id = "PAN-02")
{
	expect_prompt_end("main_returns_300", 300 % 256);
}

#define LEAVE_CHILD(name_, call_) \
	TAP_CHILD(name_)          \
	{                         \
		result = call_;   \
	}
LEAVE_CHILDREN

/* ---- what main has deferred ---- */

TAP_CHILD(main_returns_with_cleanups)
{
	goro_spawn(parks_for_ever, NULL);
	goro_yield();
	goro_defer(prints, "the first deferred\n");
	goro_defer(prints, "the last deferred\n");
	result = 9;
	prints("main\n");
}

static void panics(void *unused)
{
	(void)unused;
	goro_panic("in main's cleanup");
}

TAP_CHILD(main_returns_with_a_cleanup_that_panics)
{
	goro_defer(prints, "the first deferred\n");
	goro_defer(panics, NULL);
}

TAP_CASE(cleanups_of_main_run_before_the_program_ends, .id = "PAN-02")
{
	struct tap_child c;
	tap_child(&c, "main_returns_with_cleanups");
	expect_child(&c, 9, "");
	expect_str(c.out, "main\nthe last deferred\nthe first deferred\n");
	tap_child(&c, "main_returns_with_a_cleanup_that_panics");
	expect_child(&c, 2, "panic: in main's cleanup\n\ngoroutine 1 [running]:\n");
	expect_str(c.out, "the first deferred\n");
}

static int has_caught;

static void catches(void *unused)
{
	(void)unused;
	store(&has_caught, !goro_try(panics, NULL, NULL, 0));
}

TAP_CHILD(main_returns_and_a_cleanup_catches)
{
	goro_defer(catches, NULL);
	result = 5;
}

TAP_CASE(caught_panic_in_a_cleanup_of_main_keeps_the_status, .id = "PAN-02")
{
	struct tap_child c;
	tap_child(&c, "main_returns_and_a_cleanup_catches");
	expect_child(&c, 5, "");
	expect_str(c.err, "");
}

static void exits(void *unused)
{
	(void)unused;
	goro_exit();
}

static void sleeps_and_ends_the_process(void *unused)
{
	(void)unused;
	goro_sleep(GORO_MS(20));
	prints("the other one goes on");
	exit(9);
}

TAP_CHILD(main_returns_and_a_cleanup_exits)
{
	goro_spawn(sleeps_and_ends_the_process, NULL);
	goro_defer(exits, NULL);
	result = 5;
}

/* As in Go: the others go on. */
TAP_CASE(exit_in_a_cleanup_of_main_ends_main_only, .id = "PAN-02")
{
	struct tap_child c;
	tap_child(&c, "main_returns_and_a_cleanup_exits");
	expect_eq(c.status, 9);
	expect_contains(c.out, "the other one goes on");
}

static void panics_when_closed(void *closed)
{
	goro_chan_recv(closed, NULL);
	goro_panic("late");
}

TAP_CHILD(main_returns_while_others_begin_to_panic)
{
	goro_chan *closed = goro_chan_make(0, 0);
	for (int i = 0; i < 20; i++)
		goro_spawn(panics_when_closed, closed);
	wait_until_n_parked(20, "chan receive");
	goro_chan_close(closed);
	result = 5;
}

/* FA4: a whole report and its status, or nothing of it and main's. */
TAP_CASE(a_panic_as_main_returns_is_reported_in_full_or_not_at_all, .id = "PAN-02")
{
	for (int i = 0; i < tap_share(60); i++) {
		struct tap_child c;
		tap_child(&c, "main_returns_while_others_begin_to_panic");
		bool is_reported = strstr(c.err, "panic: late\n\ngoroutine ") != NULL;
		expect_eq(c.status, is_reported ? 2 : 5);
		if (!is_reported)
			expect_str(c.err, "");
		free(c.out);
		free(c.err);
	}
}

static void panics_at_exit(void)
{
	goro_panic("of a function of atexit");
}

TAP_CHILD(main_returns_and_a_function_of_atexit_panics)
{
	atexit(panics_at_exit);
	result = 5;
}

TAP_CASE(a_panic_of_a_function_of_atexit_is_reported, .id = "PAN-02")
{
	struct tap_child c;
	tap_child(&c, "main_returns_and_a_function_of_atexit_panics");
	expect_child(&c, 2, "panic: of a function of atexit\n\ngoroutine 1 [running]:\n");
}

TAP_CHILD(main_is_goroutine_one)
{
	printf("%" PRIu64 " %d", goro_id(), goro_count());
}

TAP_CASE(main_is_goroutine_1_and_alone, .id = "DIA-06")
{
	struct tap_child c;
	tap_child(&c, "main_is_goroutine_one");
	expect_str(c.out, "1 1");
}

int goro_main(int argc, char **argv)
{
	int status = tap_main(argc, argv);
	return status != 0 ? status : result;
}
