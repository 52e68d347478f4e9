/*
 * goro_select.c - a worker that squares numbers until it is told to stop; the example of
 * goro_select(3).
 */
#include <stdio.h>

#include <goro.h>

static void square(goro_chan *in, goro_chan *out, goro_chan *quit)
{
	int n;

	while (goro_select_of(GORO_FOREVER, GORO_RECV(in, &n), GORO_RECV(quit, NULL)) == 0)
		goro_put(out, n * n);
}

int goro_main(int argc, char **argv)
{
	goro_chan *in = goro_chan_of(int, 0), *out = goro_chan_of(int, 0);
	goro_chan *quit = goro_chan_make(0, 0);
	int next = 1, result, sum = 0;

	(void)argc, (void)argv;
	go(square, in, out, quit);
	while (sum < 1 + 4 + 9) {
		goro_case cases[] = {
			/* A NULL channel switches its case off. */
			GORO_SEND(next <= 3 ? in : NULL, &next),
			GORO_RECV(out, &result),
		};
		switch (goro_select(cases, 2, goro_now() + GORO_SEC(10))) {
		case 0:
			next++;
			break;
		case 1:
			printf("%d\n", (sum += result));
			break;
		default: /* -ETIMEDOUT */
			return 1;
		}
	}
	if (goro_select_of(GORO_POLL, GORO_RECV(out, &result)) < 0)
		printf("nothing more\n");
	goro_chan_close(quit); /* square ends, now or in a moment: it still needs the channels */
	return 0;
}

/*
 * Prints:
 *   1
 *   5
 *   14
 *   nothing more
 */
