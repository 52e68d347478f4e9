/*
 * goro_timer.c - a function that is called later, a value that comes later, and a ticker.
 */
#include <stdio.h>
#include <goro.h>

static void report(void *done)
{
	printf("called\n");
	goro_put((goro_chan *)done, 1);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *done = goro_chan_of(int, 0);

	/* In a goroutine of its own, in a millisecond. */
	goro_timer *later = goro_timer_func(GORO_MS(1), report, done);
	if (!later)
		return 1;
	goro_get(done, int);
	printf("too late to stop: %s\n", goro_timer_stop(later) ? "no" : "yes");
	goro_timer_free(later);

	goro_timer *hour = goro_timer_chan(GORO_SEC(3600));
	if (!hour)
		return 1;
	printf("stopped: %s\n", goro_timer_stop(hour) ? "yes" : "no");
	goro_timer_reset(hour, GORO_MS(1));
	int64_t when = goro_get(goro_timer_c(hour), int64_t);
	printf("it came: %s\n", when <= goro_now() ? "yes" : "no");
	goro_timer_free(hour);

	goro_timer *ticker = goro_ticker(GORO_MS(2));
	if (!ticker)
		return 1;
	for (int tick = 1; tick <= 3; tick++) {
		goro_get(goro_timer_c(ticker), int64_t);
		printf("tick %d\n", tick);
	}
	goro_timer_free(ticker);
	goro_chan_unref(done);
	return 0;
}

/*
 * Prints:
 *   called
 *   too late to stop: yes
 *   stopped: yes
 *   it came: yes
 *   tick 1
 *   tick 2
 *   tick 3
 */
