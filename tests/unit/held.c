/*
 * held.c - debug builds find a pthread mutex that is held over a call; src/sched/held.c.
 */
#include "goro_tap.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static const struct timespec far_ahead = {.tv_sec = INT32_MAX};

static void is_told(const char *name)
{
	struct tap_child c;
	tap_child(&c, name);
	expect_eq(c.status, 2);
	expect_contains(c.err, "fatal error: a pthread_mutex_t is held over a call that parks");
	expect_contains(c.err, "see docs/threads-and-tls.md]");
}

/* ---- HD2: what is told ---- */

GORO_CHILD(yields)
{
	pthread_mutex_lock(&mutex);
	goro_yield();
	goro_sleep(1); /* a yield with nobody else is none */
}

GORO_CHILD(parks_after_trylock)
{
	require_eq(pthread_mutex_trylock(&mutex), 0);
	goro_sleep(GORO_US(1));
}

GORO_CHILD(parks_after_timedlock)
{
	require_eq(pthread_mutex_timedlock(&mutex, &far_ahead), 0);
	goro_sleep(GORO_US(1));
}

GORO_CHILD(parks_after_clocklock)
{
	require_eq(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &far_ahead), 0);
	goro_sleep(GORO_US(1));
}

GORO_CHILD(unlocks_one_of_two)
{
	pthread_mutex_lock(&recursive);
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&recursive);
	goro_sleep(GORO_US(1));
}

GORO_CHILD(unlocks_a_recursive_one_once)
{
	pthread_mutex_lock(&recursive);
	pthread_mutex_lock(&recursive);
	pthread_mutex_unlock(&recursive);
	goro_sleep(GORO_US(1));
}

static void locks_and_ends(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&mutex);
}

GORO_CHILD(goroutine_ends)
{
	goro_spawn(locks_and_ends, NULL);
	goro_sleep(GORO_SEC(1));
}

static void locks_and_exits(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&mutex);
	goro_exit();
}

GORO_CHILD(goroutine_exits)
{
	goro_spawn(locks_and_exits, NULL);
	goro_sleep(GORO_SEC(1));
}

static void blocks(void *unused)
{
	(void)unused;
	usleep(3000);
}

GORO_CHILD(was_blocked_meanwhile)
{
	pthread_mutex_lock(&mutex);
	goro_blocking(blocks, NULL);
	goro_sleep(GORO_US(1));
}

TAP_CASE(hd2_mutex_held_over_a_call_is_told, .procs = "1,2")
{
	static const char *const names[] = {
		"yields",	      "parks_after_trylock", "parks_after_timedlock",
		"parks_after_clocklock", "unlocks_one_of_two", "unlocks_a_recursive_one_once",
		"goroutine_ends",     "goroutine_exits",     "was_blocked_meanwhile",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		is_told(names[i]);
}

TAP_CASE(report_names_the_mutex, .procs = "1")
{
	struct tap_child c;
	tap_child(&c, "parks_after_trylock");
	const char *at = strstr(c.err, "mutex 0x");
	require(at != NULL);
	expect_ne(strtoull(at + strlen("mutex "), NULL, 16), 0);
	expect_contains(c.err, ", 1 in all;");
}

/* ---- what is not ---- */

static void locks_many(goro_chan *done)
{
	pthread_mutex_t many[20];
	for (int i = 0; i < 20; i++)
		pthread_mutex_init(&many[i], NULL);
	for (int round = 0; round < 200; round++) {
		int n = round % 20 + 1;
		for (int i = 0; i < n; i++)
			pthread_mutex_lock(&many[i]);
		for (int i = 0; i < n; i++)
			pthread_mutex_unlock(&many[round % 2 ? i : n - 1 - i]);
		goro_yield();
		pthread_mutex_lock(&mutex);
		expect_eq(pthread_mutex_trylock(&mutex), EBUSY);
		pthread_mutex_unlock(&mutex);
		goro_sleep(GORO_US(1));
	}
	goro_put(done, 1);
}

GORO_CASE(hd1_what_was_unlocked_again_is_not_told, .procs = "1,2")
{
	goro_chan *done = goro_chan_of(int, 0);
	for (int i = 0; i < 8; i++)
		go(locks_many, done);
	for (int i = 0; i < 8; i++)
		(void)goro_get(done, int);
}

GORO_CASE(hd2_goroutine_that_is_locked_to_its_thread_may, .procs = "1,2")
{
	goro_lock_thread();
	pthread_mutex_lock(&mutex);
	goro_sleep(GORO_US(100));
	goro_yield();
	pthread_mutex_unlock(&mutex);
	goro_unlock_thread();
	goro_sleep(GORO_US(100));
}

static void *thread_waits(void *c)
{
	pthread_mutex_lock(&mutex);
	expect_eq(goro_get(c, int), 5);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

GORO_CASE(plain_thread_may, .procs = "1,2")
{
	goro_chan *c = goro_chan_of(int, 0);
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_waits, c), 0);
	goro_put(c, 5);
	pthread_join(thread, NULL);
}

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int is_signalled;

static void signals(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&mutex);
	is_signalled = 1;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&mutex);
}

GORO_CASE(hd3_waiting_for_a_condition_variable_is_not_told, .procs = "1,2")
{
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&mutex);
		is_signalled = 0;
		pthread_mutex_unlock(&mutex);
		go(signals, NULL);
		pthread_mutex_lock(&mutex);
		while (!is_signalled)
			pthread_cond_wait(&cond, &mutex);
		pthread_mutex_unlock(&mutex);
		goro_yield();
	}
}

TAP_MAIN
