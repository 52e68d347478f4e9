/*
 * select.c - each code and panic of goro_select.
 *
 *   goro_select -> index, -ETIMEDOUT, panic (-ENOMEM: tests/fault/select.c)
 */
#include "goro_tap.h"

#include <limits.h>

static void check_codes(void)
{
	goro_chan *a = goro_chan_of(int, 1), *b = goro_chan_of(int, 1);
	int x = 1, y = 2;
	bool ok = true;
	int64_t past = goro_now() - 1;
	expect_eq(goro_select(NULL, 0, GORO_POLL), -ETIMEDOUT);
	expect_eq(goro_select(NULL, 0, past), -ETIMEDOUT);
	expect_eq(goro_select_of(GORO_POLL, GORO_RECV(a, &x)), -ETIMEDOUT);
	expect_eq(goro_select_of(goro_now() + 1000, GORO_RECV(a, &x)), -ETIMEDOUT);
	expect_eq(goro_select_of(past, GORO_RECV(a, &x), GORO_RECV(b, &x)), -ETIMEDOUT);
	expect_eq(goro_select_of(goro_now() + 1000, GORO_RECV(a, &x), GORO_RECV(b, &x)),
		  -ETIMEDOUT);
	expect_eq(goro_select_of(goro_now() + 1000, GORO_RECV(NULL, &x)), -ETIMEDOUT);
	expect_eq(x, 1);
	expect_eq(goro_select_of(GORO_POLL, GORO_RECV(a, &x), GORO_SEND(b, &y)), 1);
	expect_eq(goro_select_of(GORO_FOREVER, GORO_RECV(a, &x), GORO_RECV(b, &x)), 1);
	expect_eq(x, 2);
	goro_chan_close(a);
	expect_eq(goro_select_of(GORO_POLL, GORO_RECV(b, &x), GORO_RECV_OK(a, &x, &ok)), 1);
	expect(x == 0 && !ok);
	goro_chan_unref(a);
	goro_chan_unref(b);
}

GORO_CASE(select_gives_its_codes, .procs = "1,4")
{
	check_codes();
}

TAP_CASE(select_gives_its_codes_in_a_plain_thread, .procs = "-")
{
	check_codes();
}

static goro_chan *closed_channel(void)
{
	goro_chan *c = goro_chan_of(int, 1);
	goro_chan_close(c);
	return c;
}

GORO_CHILD(send_closed)
{
	goro_select_of(GORO_FOREVER, GORO_SEND(closed_channel(), &(int){1}));
}

GORO_CHILD(send_closed_of_two)
{
	goro_select_of(GORO_FOREVER, GORO_SEND(closed_channel(), &(int){1}),
		       GORO_RECV(goro_chan_of(int, 0), NULL));
}

GORO_CHILD(send_closed_with_default)
{
	goro_select_of(GORO_POLL, GORO_RECV(goro_chan_of(int, 0), NULL),
		       GORO_SEND(closed_channel(), &(int){1}));
}

GORO_CHILD(send_closed_of_many)
{
	goro_case cases[20];
	for (int i = 0; i < 20; i++)
		cases[i] = GORO_RECV(goro_chan_of(int, 0), NULL);
	cases[13] = GORO_SEND(closed_channel(), &(int){1});
	goro_select(cases, 20, GORO_FOREVER);
}

static void closes_parked_main(void *c)
{
	wait_until_parked(1, "select");
	goro_chan_close(c);
}

GORO_CHILD(parked_send_closed)
{
	goro_chan *c = goro_chan_of(int, 0);
	goro_spawn(closes_parked_main, c);
	goro_select_of(GORO_FOREVER, GORO_SEND(c, &(int){1}),
		       GORO_RECV(goro_chan_of(int, 0), NULL));
}

TAP_CHILD(thread_send_closed)
{
	goro_select_of(GORO_FOREVER, GORO_SEND(closed_channel(), &(int){1}),
		       GORO_RECV(goro_chan_of(int, 0), NULL));
}

GORO_CHILD(too_many)
{
	goro_case one = GORO_RECV(NULL, NULL);
	goro_select(&one, (size_t)INT_MAX + 1, GORO_POLL);
}

static const struct {
	const char *child, *text;
} panics[] = {
	{"send_closed", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"send_closed_of_two", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"send_closed_with_default", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"send_closed_of_many", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"parked_send_closed", "panic: send on closed channel\n\ngoroutine 1 [running]:\n"},
	{"thread_send_closed", "panic: send on closed channel\n"},
	{"too_many", "panic: goro_select: too many cases\n\ngoroutine 1 [running]:\n"},
};

TAP_CASE(every_misuse_of_select_panics_with_its_text, .procs = "1,4")
{
	struct tap_child c;
	for (size_t i = 0; i < sizeof(panics) / sizeof(panics[0]); i++) {
		tap_child(&c, panics[i].child);
		expect_child(&c, 2, panics[i].text);
		expect(strncmp(c.err, "panic: ", 7) == 0);
	}
}

/* ---- nothing could wake it ---- */

GORO_CHILD(deadlock_on_channels)
{
	goro_select_of(GORO_FOREVER, GORO_RECV(goro_chan_of(int, 0), NULL),
		       GORO_RECV(goro_chan_of(int, 0), NULL));
}

GORO_CHILD(deadlock_without_cases)
{
	goro_select(NULL, 0, GORO_FOREVER);
}

TAP_CASE(a_select_that_nobody_can_end_is_a_deadlock, .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "deadlock_on_channels");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	expect_contains(c.err, "goroutine 1 [select]:\n");
	tap_child(&c, "deadlock_without_cases");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	expect_contains(c.err, "goroutine 1 [select (no cases)]:\n");
}

TAP_MAIN
