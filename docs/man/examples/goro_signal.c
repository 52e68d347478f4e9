/*
 * goro_signal.c - a server that works until SIGTERM comes.
 */
#include <signal.h>
#include <stdio.h>
#include <goro.h>

static void user(void)
{
	raise(SIGHUP); /* read the configuration again */
	goro_sleep(GORO_MS(10));
	raise(SIGTERM);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *signals = goro_chan_of(int, 4);
	int signo;

	if (goro_signal_notify(signals, SIGHUP) < 0 || goro_signal_notify(signals, SIGTERM) < 0)
		return 1;
	go(user);
	while ((signo = goro_get(signals, int)) != SIGTERM)
		printf("again: %s\n", signo == SIGHUP ? "SIGHUP" : "?");
	goro_signal_stop(signals, SIGTERM); /* a second one ends the process at once */
	goro_signal_stop(signals, SIGHUP);
	goro_chan_unref(signals);
	puts("done");
	return 0;
}

/*
 * Prints:
 *   again: SIGHUP
 *   done
 */
