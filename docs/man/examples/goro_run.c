/*
 * goro_run.c - a program with a main() of its own runs goroutines for a while.
 */
#include <stdio.h>
#include <goro.h>

static void answer(goro_chan *c)
{
	goro_put(c, 42);
}

/* The main goroutine of this run. What it returns is what goro_run returns. */
static int ask(void *arg)
{
	goro_chan *c = goro_chan_of(int, 0);

	(void)arg;
	go(answer, c);
	int n = goro_get(c, int);
	goro_chan_unref(c);
	return n;
}

int main(void)
{
	int n = goro_run(ask, NULL);

	if (n < 0) {
		fprintf(stderr, "goro_run: error %d\n", -n);
		return 1;
	}
	printf("answer: %d\n", n);
	printf("again: %d\n", goro_run(ask, NULL));
	return 0;
}

/*
 * Prints:
 *   answer: 42
 *   again: 42
 */
