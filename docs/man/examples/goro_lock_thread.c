/*
 * goro_lock_thread.c - a library that keeps its state in a thread-local, used over calls that block.
 */
#include <stdio.h>
#include <goro.h>

static __thread int state; /* stands for what OpenGL or a client of a database keeps per thread */

/* Not inlined: compilers keep the address of a thread-local over a call. */
__attribute__((noinline)) static void set_state(int value)
{
	state = value;
}

__attribute__((noinline)) static int get_state(void)
{
	return state;
}

static void user(int value, goro_chan *out)
{
	goro_lock_thread();
	set_state(value);
	goro_sleep(GORO_MS(1)); /* others run, but not on this thread */
	bool is_mine = get_state() == value;
	goro_unlock_thread();
	goro_put(out, is_mine);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *out = goro_chan_of(bool, 0);
	int kept = 0;

	for (int i = 1; i <= 8; i++)
		go(user, i, out);
	for (int i = 1; i <= 8; i++)
		kept += goro_get(out, bool);
	printf("%d of 8 found their state\n", kept);
	goro_chan_unref(out);
	return 0;
}

/*
 * Prints:
 *   8 of 8 found their state
 */
