/*
 * goro_panic.c - a panic runs what was deferred, and goro_try() catches it.
 */
#include <stdio.h>
#include <goro.h>

static void release(void *name)
{
	printf("release %s\n", (const char *)name);
}

static void divide(void *arg)
{
	int *n = arg;

	goro_defer(release, "first");
	goro_defer(release, "second");
	if (n[1] == 0)
		goro_panic("%d divided by zero", n[0]);
	n[0] /= n[1];
}

static void leave_early(goro_chan *done)
{
	goro_defer((void (*)(void *))goro_chan_close, done);
	goro_exit(); /* runs it */
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	char why[64];
	int good[2] = {6, 3}, bad[2] = {1, 0};

	if (goro_try(divide, good, why, sizeof(why)))
		printf("6 / 3 = %d\n", good[0]);
	if (!goro_try(divide, bad, why, sizeof(why)))
		printf("caught: %s\n", why);

	goro_chan *done = goro_chan_of(int, 0);
	go(leave_early, done);
	if (!goro_chan_recv(done, NULL))
		printf("it has left\n");
	goro_chan_unref(done);
	return 0;
}

/*
 * Prints:
 *   release second
 *   release first
 *   6 / 3 = 2
 *   release second
 *   release first
 *   caught: 1 divided by zero
 *   it has left
 */
