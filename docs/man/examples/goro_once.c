/*
 * goro_once.c - a table that is computed when somebody needs it, once.
 */
#include <stdio.h>
#include <goro.h>

static int squares[10];
static goro_once squares_once;

static void compute(void *count)
{
	printf("computing\n");
	for (int i = 0; i < *(int *)count; i++)
		squares[i] = i * i;
}

static int square_of(int n)
{
	int count = 10;

	goro_once_do(&squares_once, compute, &count); /* others wait until it is done */
	return squares[n];
}

static void ask(int n, goro_chan *out)
{
	goro_put(out, square_of(n));
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *out = goro_chan_of(int, 0);
	int sum = 0;

	for (int n = 0; n < 10; n++)
		go(ask, n, out);
	for (int n = 0; n < 10; n++)
		sum += goro_get(out, int);
	printf("sum: %d\n", sum);
	goro_chan_unref(out);
	return 0;
}

/*
 * Prints:
 *   computing
 *   sum: 285
 */
