/*
 * signal.c - the errors and the panic of the calls about signals; -ENOMEM is shown in tests/fault.
 */
#include "goro_tap.h"

GORO_CASE(signals_that_cannot_be_had_are_einval, .procs = "1")
{
	static const int wrong[] = {INT32_MIN, -1,	0,	SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,
				    SIGFPE,    SIGILL,	32,	33,	 65,	  INT32_MAX};
	goro_chan *c = goro_chan_of(int, 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		expect_eq(goro_signal_notify(c, wrong[i]), -EINVAL);
		expect_eq(goro_signal_stop(c, wrong[i]), -ENOENT);
	}
	goro_chan_unref(c);
}

GORO_CASE(notify_on_a_channel_of_something_else_is_einval, .procs = "1")
{
	goro_chan *of_nothing = goro_chan_make(0, 1), *of_chars = goro_chan_of(char, 1),
		  *of_longs = goro_chan_of(int64_t, 1);
	expect_eq(goro_signal_notify(of_nothing, SIGUSR1), -EINVAL);
	expect_eq(goro_signal_notify(of_chars, SIGUSR1), -EINVAL);
	expect_eq(goro_signal_notify(of_longs, SIGUSR1), -EINVAL);
	goro_chan_unref(of_nothing);
	goro_chan_unref(of_chars);
	goro_chan_unref(of_longs);
}

static goro_chan *chan_of_signals;

static int notifies(void *unused)
{
	(void)unused;
	return goro_signal_notify(chan_of_signals, SIGUSR1);
}

TAP_CASE(notify_without_a_runtime_is_eperm, .procs = "-")
{
	chan_of_signals = goro_chan_of(int, 1);
	expect_eq(goro_signal_notify(chan_of_signals, SIGUSR1), -EPERM);
	expect_eq(goro_signal_stop(chan_of_signals, SIGUSR1), -ENOENT);
	expect_eq(goro_run(notifies, NULL), 0);
	expect_eq(goro_signal_notify(chan_of_signals, SIGUSR1), -EPERM);
	expect_eq(goro_signal_stop(chan_of_signals, SIGUSR1), -ENOENT);
	goro_chan_unref(chan_of_signals);
}

GORO_CASE(stop_of_what_was_not_notified_is_enoent, .procs = "1")
{
	goro_chan *c = goro_chan_of(int, 1), *other = goro_chan_of(int, 1);
	expect_eq(goro_signal_stop(NULL, SIGUSR1), -ENOENT);
	expect_eq(goro_signal_stop(c, SIGUSR1), -ENOENT);
	expect_eq(goro_signal_notify(other, SIGUSR1), 0);
	expect_eq(goro_signal_stop(c, SIGUSR1), -ENOENT);
	expect_eq(goro_signal_stop(other, SIGUSR2), -ENOENT);
	expect_eq(goro_signal_stop(other, SIGUSR1), 0);
	expect_eq(goro_signal_stop(other, SIGUSR1), -ENOENT);
	goro_chan_unref(c);
	goro_chan_unref(other);
}

GORO_CHILD(notify_nil)
{
	goro_signal_notify(NULL, SIGUSR1);
}

TAP_CHILD(thread_notify_nil)
{
	goro_signal_notify(NULL, SIGUSR1);
}

TAP_CASE(notify_using_a_nil_channel_panics, .procs = "1")
{
	struct tap_child c;
	tap_child(&c, "notify_nil");
	expect_child(&c, 2,
		     "panic: os/signal: Notify using nil channel\n\ngoroutine 1 [running]:\n");
	tap_child(&c, "thread_notify_nil");
	expect_child(&c, 2, "panic: os/signal: Notify using nil channel\n");
}

TAP_MAIN
