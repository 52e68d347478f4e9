/*
 * goro_sleep.c - a steady rhythm, and a wait with a deadline.
 */
#include <errno.h>
#include <stdio.h>
#include <goro.h>

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	int64_t start = goro_now();

	/* The time that the work takes does not add up. */
	for (int beat = 1; beat <= 3; beat++) {
		goro_sleep_until(start + beat * GORO_MS(10));
		printf("beat %d\n", beat);
	}
	printf("30 ms have passed: %s\n", goro_now() - start >= GORO_MS(30) ? "yes" : "no");

	/* A deadline is a point in time; GORO_FOREVER never comes. */
	goro_chan *never = goro_chan_of(int, 0);
	int n;
	if (goro_chan_recv_until(never, &n, goro_now() + GORO_MS(5)) == -ETIMEDOUT)
		printf("nothing came\n");
	goro_chan_unref(never);
	return 0;
}

/*
 * Prints:
 *   beat 1
 *   beat 2
 *   beat 3
 *   30 ms have passed: yes
 *   nothing came
 */
