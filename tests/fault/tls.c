/*
 * tls.c - a program whose thread-locals fill the small stacks of the runtime's threads.
 *
 *   pthread_create -> libc puts the thread-locals of all modules onto the new stack -> the rest
 *
 * TLS_KIB leaves a few pages of 256 KiB, which pthread_create would accept, but in which no report
 * fits. tls_large.c is the same with more than any default.
 */
#include "goro_tap.h"

#ifndef TLS_KIB
#define TLS_KIB 220
#endif

static __thread char big[TLS_KIB << 10];

enum { PARKED = 20 };

static int n_parked;

static void touches_and_parks(void *c)
{
	char text[64];
	big[0] = big[sizeof(big) - 1] = 1;
	snprintf(text, sizeof(text), "%g", 1.5);
	goro_lock_thread();
	add(&n_parked, 1);
	goro_chan_recv(c, NULL);
	add(&n_parked, -1);
}

/* A thread for each. */
static int parks_some(goro_chan *c)
{
	int n = TAP_SANITIZED ? PARKED / 4 : PARKED;
	for (int i = 0; i < n; i++)
		require_eq(goro_spawn(touches_and_parks, c), 0);
	wait_for(load(&n_parked) == n);
	return n;
}

GORO_CASE(threads_run_beside_big_thread_locals, .procs = "1,4")
{
	goro_chan *c = goro_chan_make(0, 0);
	int n = parks_some(c);
	char *text = dump_text();
	expect_eq(count_in(text, NULL), n + 1);
	free(text);
	goro_sleep(GORO_MS(1));
	goro_chan_close(c);
	wait_for(goro_count() == 1);
	expect_eq(n_parked, 0);
	goro_chan_unref(c);
}

GORO_CHILD(waits_for_sigquit)
{
	parks_some(goro_chan_make(0, 0));
	kill(getpid(), SIGQUIT);
	goro_sleep(GORO_SEC(100)); /* no deadlock meanwhile */
}

/* The thread that writes it reads debug information on that stack. */
TAP_CASE(a_dump_fits_beside_big_thread_locals, .procs = "2")
{
	struct tap_child c;
	tap_child(&c, "waits_for_sigquit");
	expect_child(&c, 2, "SIGQUIT: quit\n");
	expect_contains(c.err, "touches_and_parks");
	free(c.out);
	free(c.err);
}

GORO_CHILD(deadlocks)
{
	goro_chan *c = goro_chan_make(0, 0);
	goro_spawn(touches_and_parks, c);
	goro_chan_recv(c, NULL);
}

/* This report is written by a thread that ran goroutines, on its own stack. */
TAP_CASE(a_deadlock_is_reported_beside_big_thread_locals, .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "deadlocks");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	expect_contains(c.err, "touches_and_parks");
	free(c.out);
	free(c.err);
}

TAP_MAIN
