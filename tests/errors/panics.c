/*
 * panics.c - every panic text of the interface, uncaught, and what a panic prints.
 *
 *   misuse -> goro_panic -> "panic: TEXT\n\ngoroutine N [running]:\n" + stack, status 2
 *
 * Each row is a child of its own. That they can be caught, and leave things sound, is shown in
 * tests/conform.
 *
 * Go: the texts are Go's where Go has one.
 */
#include "goro_tap.h"

static void nothing(void *unused)
{
	(void)unused;
}

/* ---- spawn ---- */

GORO_CHILD(spawn_nil)
{
	goro_spawn(NULL, NULL);
}

GORO_CHILD(spawn_copy_nil)
{
	goro_spawn_copy(NULL, "abc", 3);
}

GORO_CHILD(spawn_attr_nil)
{
	struct goro_attr attr = {.stack_size = 65536};
	goro_spawn_attr(&attr, NULL, NULL);
}

GORO_CHILD(spawn_copy_nil_data)
{
	goro_spawn_copy(nothing, NULL, 1);
}

GORO_CHILD(go_nil)
{
	void (*volatile fn)(int) = NULL;
	go(fn, 4);
}

TAP_CHILD(run_nil)
{
	goro_run(NULL, NULL);
}

struct words_129 {
	uint64_t word[129];
};

struct words_127 {
	uint64_t word[127];
};

static void takes_1032_bytes(struct words_129 w)
{
	(void)w;
}

static void takes_1016_and_16_bytes(struct words_127 w, uint64_t a, uint64_t b)
{
	(void)w;
	(void)a;
	(void)b;
}

GORO_CHILD(go_one_large)
{
	struct words_129 w = {{0}};
	go(takes_1032_bytes, w);
}

GORO_CHILD(go_large_together)
{
	struct words_127 w = {{0}};
	go(takes_1016_and_16_bytes, w, (uint64_t)1, (uint64_t)2);
}

GORO_CHILD(spawn_copy_1025)
{
	static char bytes[1025];
	goro_spawn_copy(nothing, bytes, sizeof(bytes));
}

GORO_CHILD(spawn_copy_huge)
{
	goro_spawn_copy(nothing, "abc", SIZE_MAX);
}

TAP_CHILD(go_without_a_runtime)
{
	go(nothing, NULL);
}

/* ---- channels ---- */

static goro_chan *closed_channel(size_t capacity)
{
	goro_chan *c = goro_chan_of(int, capacity);
	goro_chan_close(c);
	return c;
}

GORO_CHILD(send_closed)
{
	int value = 1;
	goro_chan_send(closed_channel(0), &value);
}

GORO_CHILD(send_closed_buffered)
{
	int value = 1;
	goro_chan_send(closed_channel(2), &value);
}

GORO_CHILD(put_closed)
{
	goro_put(closed_channel(2), 1);
}

GORO_CHILD(trysend_closed)
{
	int value = 1;
	goro_chan_trysend(closed_channel(2), &value);
}

GORO_CHILD(send_until_closed)
{
	int value = 1;
	goro_chan_send_until(closed_channel(2), &value, GORO_FOREVER);
}

static void closes_parked_main(void *c)
{
	wait_until_parked(1, "chan send");
	goro_chan_close(c);
}

GORO_CHILD(blocked_send_closed)
{
	goro_chan *c = goro_chan_of(int, 0);
	int value = 1;
	goro_spawn(closes_parked_main, c);
	goro_chan_send(c, &value);
}

GORO_CHILD(blocked_send_until_closed)
{
	goro_chan *c = goro_chan_of(int, 0);
	int value = 1;
	goro_spawn(closes_parked_main, c);
	goro_chan_send_until(c, &value, goro_now() + GORO_SEC(100));
}

TAP_CHILD(thread_send_closed)
{
	int value = 1;
	goro_chan_send(closed_channel(0), &value);
}

GORO_CHILD(close_closed)
{
	goro_chan_close(closed_channel(0));
}

GORO_CHILD(close_nil)
{
	goro_chan_close(NULL);
}

GORO_CHILD(make_absurd)
{
	goro_chan_make(8, SIZE_MAX / 4);
}

GORO_CHILD(put_wrong_size)
{
	goro_put(goro_chan_of(int64_t, 1), 1);
}

GORO_CHILD(get_wrong_size)
{
	goro_get(goro_chan_of(int64_t, 1), int);
}

/* ---- what makes no sense in a plain thread ---- */

TAP_CHILD(thread_yield)
{
	goro_yield();
}

TAP_CHILD(thread_exit)
{
	goro_exit();
}

TAP_CHILD(thread_defer)
{
	goro_defer(nothing, NULL);
}

static void *calls_yield(void *unused)
{
	goro_yield();
	return unused;
}

GORO_CHILD(other_thread_yield)
{
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, calls_yield, NULL), 0);
	goro_chan_recv(NULL, NULL);
}

TAP_CHILD(thread_panic)
{
	goro_panic("of a %s", "thread");
}

GORO_CHILD(defer_nil)
{
	goro_defer(NULL, NULL);
}

GORO_CHILD(try_nil)
{
	goro_try(NULL, NULL, NULL, 0);
}

/* ---- blocking calls and stops ---- */

GORO_CHILD(exit_without_enter)
{
	goro_syscall_exit();
}

GORO_CHILD(exit_twice)
{
	goro_syscall_enter();
	goro_syscall_exit();
	goro_syscall_exit();
}

GORO_CHILD(blocking_nil)
{
	goro_blocking(NULL, NULL);
}

TAP_CHILD(thread_blocking_nil)
{
	goro_blocking(NULL, NULL);
}

GORO_CHILD(nopreempt_end_without_begin)
{
	goro_nopreempt_end();
}

static void panics_in_a_call(void *unused)
{
	(void)unused;
	usleep(20000);
	goro_panic("in a call");
}

GORO_CHILD(panic_in_a_blocking_call)
{
	goro_spawn(nothing, NULL);
	goro_blocking(panics_in_a_call, NULL);
}

static const struct {
	const char *child, *text;
} panics[] = {
	{"spawn_nil", "panic: go of nil func value\n\ngoroutine 1 [running]:\n"},
	{"spawn_copy_nil", "panic: go of nil func value\n\ngoroutine 1 [running]:\n"},
	{"spawn_attr_nil", "panic: go of nil func value\n\ngoroutine 1 [running]:\n"},
	{"spawn_copy_nil_data", "panic: goro_spawn_copy of nil data\n\ngoroutine 1 [running]:\n"},
	{"go_nil", "panic: go of nil func value\n\ngoroutine 1 [running]:\n"},
	{"run_nil", "panic: go of nil func value\n"},
	{"go_one_large", "panic: function arguments too large for new goroutine\n\n"},
	{"go_large_together", "panic: function arguments too large for new goroutine\n\n"},
	{"spawn_copy_1025", "panic: function arguments too large for new goroutine\n\n"},
	{"spawn_copy_huge", "panic: function arguments too large for new goroutine\n\n"},
	{"go_without_a_runtime", "panic: go: no runtime is running\n"},
	{"send_closed", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"send_closed_buffered", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"put_closed", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"trysend_closed", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"send_until_closed", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"blocked_send_closed", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"blocked_send_until_closed", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"thread_send_closed", "panic: send on closed channel\n"},
	{"close_closed", "panic: close of closed channel\n\ngoroutine 1 [running]:\n"},
	{"close_nil", "panic: close of nil channel\n\ngoroutine 1 [running]:\n"},
	{"make_absurd", "size out of range\n\ngoroutine 1 [running]:\n"},
	{"put_wrong_size", "panic: goro_put: value of 4 bytes on a channel of 8-byte elements\n\n"},
	{"get_wrong_size", "panic: goro_get: value of 4 bytes on a channel of 8-byte elements\n\n"},
	{"thread_yield", "panic: goro_yield outside a goroutine\n"},
	{"thread_exit", "panic: goro_exit outside a goroutine\n"},
	{"thread_defer", "panic: goro_defer outside a goroutine\n"},
	{"other_thread_yield", "panic: goro_yield outside a goroutine\n"},
	{"thread_panic", "panic: of a thread\n"},
	{"defer_nil", "panic: goro_defer of nil func value\n\ngoroutine 1 [running]:\n"},
	{"exit_without_enter",
	 "panic: goro_syscall_exit without goro_syscall_enter\n\ngoroutine 1 [running]:\n"},
	{"exit_twice",
	 "panic: goro_syscall_exit without goro_syscall_enter\n\ngoroutine 1 [running]:\n"},
	{"blocking_nil", "panic: goro_blocking of nil func value\n\ngoroutine 1 [running]:\n"},
	{"thread_blocking_nil", "panic: goro_blocking of nil func value\n"},
	{"nopreempt_end_without_begin",
	 "panic: goro_nopreempt_end without goro_nopreempt_begin\n\ngoroutine 1 [running]:\n"},
	{"panic_in_a_blocking_call", "panic: in a call\n\ngoroutine 1 [running]:\n"},
	{"try_nil", "panic: goro_try of nil func value\n\ngoroutine 1 [running]:\n"},
};

/* "panic: " stands at the very beginning of what is printed. */
TAP_CASE(every_misuse_panics_with_its_text_and_status_2, .procs = "1,4")
{
	struct tap_child c;
	for (size_t i = 0; i < sizeof(panics) / sizeof(panics[0]); i++) {
		int before = tap_failures;
		tap_child(&c, panics[i].child);
		expect_child(&c, 2, panics[i].text);
		expect(strncmp(c.err, "panic: ", 7) == 0);
		expect_str(c.out, "");
		if (tap_failures != before)
			tap_diag("# in the child %s", panics[i].child);
	}
}

/* ---- goro_panic's own ---- */

GORO_CHILD(panic_formats)
{
	goro_panic("%d %s %.2f %c%%", -7, "seven", 7.5, 'x');
}

GORO_CHILD(panic_long)
{
	static char text[8192];
	memset(text, 'y', sizeof(text) - 1);
	goro_panic("long %s", text);
}

GORO_CHILD(panic_empty)
{
	goro_panic("%s", "");
}

TAP_CASE(panic_formats_its_message, .procs = "1")
{
	struct tap_child c;
	tap_child(&c, "panic_formats");
	expect_child(&c, 2, "panic: -7 seven 7.50 x%\n\ngoroutine 1 [running]:\n");
	expect_contains(c.err, "panic_formats");
	/* However long. */
	tap_child(&c, "panic_long");
	expect_child(&c, 2, "panic: long yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
	expect_eq(strspn(c.err + strlen("panic: long "), "y"), 8191);
	expect_contains(c.err, "y\n\ngoroutine 1 [running]:\n");
	tap_child(&c, "panic_empty");
	expect_child(&c, 2, "panic: \n\ngoroutine 1 [running]:\n");
}

static void panics_second(void *unused)
{
	(void)unused;
	goro_panic("the second");
}

static void panics_nested(void *unused)
{
	(void)unused;
	goro_defer(panics_second, NULL);
	goro_panic("the first");
}

GORO_CHILD(panic_nested)
{
	panics_nested(NULL);
}

TAP_CASE(nested_panic_ends_with_the_later_one, .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "panic_nested");
	expect_child(&c, 2, "the second");
	expect(strncmp(c.err, "panic: ", 7) == 0);
	expect_contains(c.err, "goroutine 1 [running");
}

GORO_CHILD(panic_uncaught_after_a_caught_one)
{
	expect_str(panic_of(panics_nested, NULL).text, "the second");
	goro_panic("the third");
}

TAP_CASE(caught_panic_does_not_show_in_a_later_one, .procs = "1")
{
	struct tap_child c;
	tap_child(&c, "panic_uncaught_after_a_caught_one");
	expect_child(&c, 2, "panic: the third\n\ngoroutine 1 [running]:\n");
	expect_lacks(c.err, "the first");
	expect_lacks(c.err, "the second");
}

GORO_CHILD(panic_beside_many)
{
	for (int i = 0; i < 10; i++)
		go(goro_chan_recv, goro_chan_make(0, 0), NULL);
	wait_until_n_parked(10, "chan receive");
	goro_panic("beside many");
}

/* The panicking goroutine comes first. */
TAP_CASE(panic_shows_its_own_goroutine_first, .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "panic_beside_many");
	expect_child(&c, 2, "panic: beside many\n\ngoroutine 1 [running]:\n");
}

/* ---- goro_try's message ---- */

static void panics_with_digits(void *unused)
{
	(void)unused;
	goro_panic("0123456789");
}

static void returns(void *unused)
{
	(void)unused;
}

static void check_cut(size_t size)
{
	char text[32];
	memset(text, '#', sizeof(text));
	expect(!goro_try(panics_with_digits, NULL, text, size));
	size_t length = size > 11 ? 10 : size - 1;
	expect(memcmp(text, "0123456789", length) == 0);
	expect_eq(text[length], '\0');
	/* Nothing beyond what was given is written. */
	for (size_t i = size; i < sizeof(text); i++)
		expect_eq(text[i], '#');
}

static void check_try(void)
{
	char text[8] = "#######";
	for (size_t size = 1; size <= 16; size++)
		check_cut(size);
	expect(!goro_try(panics_with_digits, NULL, NULL, 0));
	expect(!goro_try(panics_with_digits, NULL, NULL, 16));
	expect(!goro_try(panics_with_digits, NULL, text, 0));
	expect_str(text, "#######");
	expect(goro_try(returns, NULL, text, sizeof(text)));
	expect(goro_try(returns, NULL, NULL, 0));
}

GORO_CASE(try_cuts_the_message_to_the_room_given, .procs = "1,4")
{
	check_try();
}

TAP_CASE(try_works_in_a_plain_thread, .procs = "-")
{
	check_try();
}

TAP_MAIN
