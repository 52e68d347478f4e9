/*
 * wrong.c - programs with one mistake each, which a sanitizer, or the library, must find:
 * wrong race | leak | after-free | deadlock | panic.
 */
#include <goro.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int unguarded;
static goro_chan *done, *start;

static void writes(int n)
{
	goro_put(done, 1);
	(void)goro_get(start, int);
	unguarded += n;
	goro_put(done, 1);
}

static void waits(goro_chan *never)
{
	(void)goro_get(never, int);
}

__attribute__((noinline)) static void leaks(int n)
{
	volatile char *at = malloc(100 + (size_t)n);

	at[0] = 1;
	goro_put(done, 1);
}

static void reads(const char *at)
{
	goro_put(done, *(const volatile char *)at);
}

int goro_main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	goro_chan *never = goro_chan_of(int, 0);

	done = goro_chan_of(int, 0);
	start = goro_chan_of(int, 0);
	if (strcmp(what, "race") == 0) {
		/* Both are there before either writes: a stack that one takes over orders them. */
		go(writes, 1);
		go(writes, 2);
		(void)goro_get(done, int);
		(void)goro_get(done, int);
		goro_put(start, 1);
		goro_put(start, 1);
		(void)goro_get(done, int);
		(void)goro_get(done, int);
	} else if (strcmp(what, "leak") == 0) {
		/* Many, whose stacks are used again: a few words of a dead one may survive. */
		for (int i = 0; i < 50; i++) {
			go(leaks, i);
			(void)goro_get(done, int);
		}
	} else if (strcmp(what, "after-free") == 0) {
		char *at = malloc(10);
		free(at);
		go(reads, at);
		(void)goro_get(done, int);
	} else if (strcmp(what, "deadlock") == 0) {
		go(waits, never);
		waits(NULL);
	} else if (strcmp(what, "panic") == 0) {
		goro_panic("on purpose");
	}
	return 0;
}
