/*
 * signal.c - signals over channels, while the n-th mmap, madvise, clone, futex or malloc fails.
 *
 * goro_signal_notify() returns -ENOMEM, and then nothing has changed.
 */
#include "sweep.h"

enum { CHANNELS = 20 };

static bool is_notified(goro_chan *c, int signo)
{
	int error = goro_signal_notify(c, signo);
	if (error == -ENOMEM) {
		expect(fault_was_met());
		add(&sweep_refusals, 1);
		expect_eq(goro_signal_stop(c, signo), -ENOENT);
		if (!sweep_persists)
			error = goro_signal_notify(c, signo);
	}
	expect(error == 0 || (error == -ENOMEM && sweep_persists));
	return error == 0;
}

static int uses_signals(void *unused)
{
	static goro_chan *c[CHANNELS];
	bool is_there[CHANNELS] = {false};
	(void)unused;
	for (int i = 0; i < CHANNELS; i++) {
		c[i] = goro_chan_of(int, 1);
		is_there[i] = c[i] != NULL && is_notified(c[i], i % 2 ? SIGUSR1 : SIGUSR2);
	}
	if (is_there[0])
		raise(SIGUSR2);
	if (is_there[1])
		raise(SIGUSR1);
	for (int i = 0; i < CHANNELS; i++) {
		if (is_there[i] && is_there[i % 2])
			expect_eq(goro_get(c[i], int), i % 2 ? SIGUSR1 : SIGUSR2);
		if (is_there[i] && i % 3) /* the others are left to the end of the run */
			expect_eq(goro_signal_stop(c[i], i % 2 ? SIGUSR1 : SIGUSR2), 0);
		goro_chan_unref(c[i]);
	}
	return MAIN_VALUE;
}

static void signals(void)
{
	run_main(uses_signals, NULL);
}

SWEEP(signals, .procs = "2")

TAP_MAIN
