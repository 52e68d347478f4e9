/*
 * note.c - a one-shot event between threads; src/core/note.h. All orders of two threads are tried
 * in tests/model.
 */
#include "tap.h"

#include <pthread.h>

#include "core/note.h"

enum { MS = 1000000 };

static struct note note;
static atomic_of(uint32_t) n_awake;

static void *sleeper(void *arg)
{
	(void)arg;
	note_sleep(&note);
	add_acq_rel(&n_awake, 1); /* the test's own */
	return NULL;
}

TAP_CASE(wake_before_sleep_is_not_lost, .procs = "-")
{
	expect(!note_is_set(&note));
	note_wake(&note);
	expect(note_is_set(&note));
	note_sleep(&note);
	expect(note_sleep_until(&note, os_now() - MS)); /* set: the deadline does not count */
}

TAP_CASE(wake_ends_the_sleep, .procs = "-")
{
	pthread_t thread;

	require_eq(pthread_create(&thread, NULL, sleeper, NULL), 0);
	tap_pause(20 * MS);
	expect_eq(load_acq(&n_awake), 0); /* the test's own */
	note_wake(&note);
	pthread_join(thread, NULL);
	expect_eq(load_acq(&n_awake), 1); /* the test's own */
}

TAP_CASE(nt1_second_wake_does_nothing, .procs = "-")
{
	note_wake(&note);
	note_wake(&note);
	expect(note_is_set(&note));
	note_clear(&note);
	expect(!note_is_set(&note));
	expect(!note_sleep_until(&note, os_now() + MS)); /* neither was kept for later */
}

TAP_CASE(deadline_is_never_early, .procs = "-")
{
	for (int64_t delay = -MS; delay < 3 * MS; delay += MS / 4) {
		int64_t deadline = os_now() + delay;
		expect(!note_sleep_until(&note, deadline));
		expect_ge(os_now(), deadline);
	}
}

static void nothing(int signo)
{
	(void)signo;
}

TAP_CASE(signals_do_not_end_the_sleep, .procs = "-")
{
	pthread_t thread;
	struct sigaction action = {.sa_handler = nothing};

	sigaction(SIGUSR1, &action, NULL);
	require_eq(pthread_create(&thread, NULL, sleeper, NULL), 0);
	for (int i = 0; i < 50; i++) {
		pthread_kill(thread, SIGUSR1);
		tap_pause(MS / 5);
	}
	expect_eq(load_acq(&n_awake), 0); /* the test's own */
	note_wake(&note);
	pthread_join(thread, NULL);
}

/* ---- NT2: the sleeper may free the note at once ---- */

static atomic_of(struct note *) offered;

static void *waker(void *arg)
{
	for (uint32_t i = 0; i < *(uint32_t *)arg; i++) {
		struct note *n;
		while ((n = xchg_acq(&offered, NULL)) == NULL) /* the test's own */
			os_thread_yield();
		note_wake(n);
	}
	return NULL;
}

TAP_CASE(nt2_note_may_vanish_when_its_sleeper_wakes, .procs = "-")
{
	uint32_t rounds = 3000 / TAP_SLOWER;
	pthread_t thread;

	require_eq(pthread_create(&thread, NULL, waker, &rounds), 0);
	for (uint32_t i = 0; i < rounds; i++) {
		/* A page of its own, gone after the sleep: an access by the waker would fault. */
		struct note *n = os_mem_reserve(4096);
		store_rel(&offered, n); /* the test's own */
		note_sleep(n);
		os_mem_release(n, 4096);
	}
	pthread_join(thread, NULL);
}

TAP_MAIN
