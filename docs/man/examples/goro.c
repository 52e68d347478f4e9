/*
 * goro.c - three goroutines square a number each; main takes the results as they come.
 */
#include <stdio.h>
#include <goro.h>

static void square(int n, goro_chan *out)
{
	goro_put(out, n * n);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *out = goro_chan_of(int, 0);
	int sum = 0;

	for (int n = 1; n <= 3; n++)
		go(square, n, out);
	for (int n = 1; n <= 3; n++)
		sum += goro_get(out, int);
	printf("%d\n", sum);
	goro_chan_unref(out);
	return 0;
}

/*
 * Prints:
 *   14
 */
