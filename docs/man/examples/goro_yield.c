/*
 * goro_yield.c - a long computation that lets others run, and one that lets go at a certain point.
 */
#include <stdio.h>
#include <goro.h>

static void primes(int limit, goro_chan *out)
{
	int count = 0;

	for (int n = 2; n < limit; n++) {
		int d = 2;
		while (d * d <= n && n % d != 0)
			d++;
		count += d * d > n;
		/* Nothing else in this loop calls the library: ask whether others wait. */
		goro_checkpoint();
	}
	goro_put(out, count);
}

static void say(const char *word)
{
	printf("%s\n", word);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_maxprocs(1);

	/* With one P the new goroutine runs when this one lets it. */
	go(say, "first");
	goro_yield();
	printf("second\n");

	goro_chan *out = goro_chan_of(int, 0);
	go(primes, 100000, out);
	printf("%d primes\n", goro_get(out, int));
	goro_chan_unref(out);
	return 0;
}

/*
 * Prints:
 *   first
 *   second
 *   9592 primes
 */
