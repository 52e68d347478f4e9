/*
 * timer.c - the panics of timers, uncaught, and what they print; a panic in a timer's function.
 *
 * Go: TestNewTickerLtZeroDuration, TestTickerResetLtZeroDuration, TestZeroTimerStopPanics,
 * TestZeroTimerResetPanics; PAN-01's panic in a callback.
 */
#include "goro_tap.h"

static void nothing(void *unused)
{
	(void)unused;
}

GORO_CHILD(func_nil)
{
	goro_timer_func(1, NULL, NULL);
}

GORO_CHILD(ticker_zero)
{
	goro_ticker(0);
}

GORO_CHILD(ticker_negative)
{
	goro_ticker(INT64_MIN);
}

GORO_CHILD(ticker_reset_zero)
{
	goro_timer_reset(goro_ticker(GORO_SEC(1)), 0);
}

GORO_CHILD(ticker_reset_negative)
{
	goro_timer_reset(goro_ticker(GORO_SEC(1)), -5);
}

GORO_CHILD(stop_nil)
{
	goro_timer_stop(NULL);
}

GORO_CHILD(reset_nil)
{
	goro_timer_reset(NULL, 1);
}

GORO_CHILD(c_nil)
{
	goro_timer_c(NULL);
}

static _Alignas(16) char zeroed[512];

GORO_CHILD(stop_zeroed)
{
	goro_timer_stop((goro_timer *)zeroed);
}

GORO_CHILD(reset_zeroed)
{
	goro_timer_reset((goro_timer *)zeroed, 1);
}

GORO_CHILD(free_zeroed)
{
	goro_timer_free((goro_timer *)zeroed);
}

#if !TAP_SANITIZED
static goro_timer *freed(void)
{
	goro_timer *volatile t = goro_timer_func(GORO_SEC(1), nothing, NULL);
	goro_timer_free(t);
	return t;
}

GORO_CHILD(stop_freed)
{
	goro_timer_stop(freed());
}

GORO_CHILD(reset_freed)
{
	goro_timer_reset(freed(), 1);
}

GORO_CHILD(free_freed)
{
	goro_timer_free(freed());
}
#endif

TAP_CHILD(thread_stop_nil)
{
	goro_timer_stop(NULL);
}

#define HERE "\n\ngoroutine 1 [running]:\n"

static const struct {
	const char *child, *text;
} panics[] = {
	{"func_nil", "panic: go of nil func value" HERE},
	{"ticker_zero", "panic: non-positive interval for NewTicker" HERE},
	{"ticker_negative", "panic: non-positive interval for NewTicker" HERE},
	{"ticker_reset_zero", "panic: non-positive interval for Ticker.Reset" HERE},
	{"ticker_reset_negative", "panic: non-positive interval for Ticker.Reset" HERE},
	{"stop_nil", "panic: time: Stop called on uninitialized Timer" HERE},
	{"reset_nil", "panic: time: Reset called on uninitialized Timer" HERE},
	{"c_nil", "panic: time: C of uninitialized Timer" HERE},
	{"stop_zeroed", "panic: time: Stop called on uninitialized Timer" HERE},
	{"reset_zeroed", "panic: time: Reset called on uninitialized Timer" HERE},
	{"free_zeroed", "panic: time: Free called on uninitialized Timer" HERE},
#if !TAP_SANITIZED /* which report the access itself */
	{"stop_freed", "panic: time: Stop called on uninitialized Timer" HERE},
	{"reset_freed", "panic: time: Reset called on uninitialized Timer" HERE},
	{"free_freed", "panic: time: Free called on uninitialized Timer" HERE},
#endif
	{"thread_stop_nil", "panic: time: Stop called on uninitialized Timer\n"},
};

TAP_CASE(every_misuse_of_timers_panics_with_its_text, .id = "TIM-09", .procs = "1,4")
{
	struct tap_child c;
	for (size_t i = 0; i < sizeof(panics) / sizeof(panics[0]); i++) {
		int before = tap_failures;
		tap_child(&c, panics[i].child);
		expect_child(&c, 2, panics[i].text);
		expect(strncmp(c.err, "panic: ", 7) == 0);
		if (tap_failures != before)
			tap_diag("# in the child %s", panics[i].child);
	}
}

static void cleans_up(void *text)
{
	(void)!write(STDERR_FILENO, text, strlen(text));
}

static void panics_in_callback(void *unused)
{
	(void)unused;
	goro_defer(cleans_up, "its own cleanup\n");
	goro_panic("boom");
}

GORO_CHILD(callback_panics)
{
	goro_defer(cleans_up, "main's cleanup\n");
	goro_timer_func(GORO_MS(1), panics_in_callback, NULL);
	goro_chan_recv(NULL, NULL);
}

TAP_CASE(panic_in_a_callback_ends_the_process, .id = "PAN-01", .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "callback_panics");
	expect_child(&c, 2, "its own cleanup\npanic: boom\n\ngoroutine ");
	expect_contains(c.err, "panics_in_callback");
	expect_contains(c.err, "created by callback_panics");
	expect_lacks(c.err, "main's cleanup");
}

TAP_MAIN
