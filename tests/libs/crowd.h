/*
 * crowd.h - what the tests of real libraries share: a crowd of goroutines, and a beat beside it.
 *
 *   PROGRAM VARIANT ADDRESS...       status 0 when all held; what went wrong is on standard error
 *
 * A test says what one goroutine of the crowd does, and what must be so afterwards. The crowd runs
 * while another goroutine wants to wake every millisecond, and so does a plain thread, which shows
 * what the machine has left for anybody. What must be right is right in every try. In one try of
 * three the longest gap between two beats of the goroutine must be less than GAP_MOST_MS longer
 * than that of the thread.
 *
 * The library's calls are unannounced, or, in the variant that says so, inside goro_blocking().
 */
#ifndef GORO_TESTS_CROWD_H
#define GORO_TESTS_CROWD_H

#include <goro.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CROWD = 200, TRIES = 3, GAP_MOST_MS = 50 };

struct crowd {
	void (*prepare)(void);
	void (*work)(int id); /* each goroutine's, 0 <= id < CROWD */
	void (*verify)(void);
	size_t stack_size;    /* 0 is the default */
};

static bool announced;

__attribute__((format(printf, 1, 2), noreturn, noinline)) static void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}

/* Calls fn(arg), which calls the library and not goro. */
static inline void call(void (*fn)(void *), void *arg)
{
	if (announced)
		goro_blocking(fn, arg);
	else
		fn(arg);
}

/* ---- the beat ---- */

struct beat {
	atomic_bool must_end;
	goro_waitgroup gone;
	int64_t worst;
	long n;
};

static void beat_count(struct beat *b, int64_t *last)
{
	int64_t now = goro_now();

	if (now - *last > b->worst)
		b->worst = now - *last;
	*last = now;
	b->n++;
}

static void beat(struct beat *b)
{
	int64_t last = goro_now();

	while (!atomic_load(&b->must_end)) {
		goro_sleep_until(last + GORO_MS(1));
		beat_count(b, &last);
	}
	goro_waitgroup_done(&b->gone);
}

static void *beat_thread(void *arg)
{
	struct beat *b = arg;
	int64_t last = goro_now();

	while (!atomic_load(&b->must_end)) {
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		beat_count(b, &last);
	}
	return NULL;
}

/* ---- the crowd ---- */

static struct {
	const struct crowd *crowd;
	goro_chan *gate;
	goro_waitgroup running;
} crowd_now;

static void crowd_member(void *arg)
{
	goro_chan_recv(crowd_now.gate, NULL); /* all begin at once */
	crowd_now.crowd->work((int)(intptr_t)arg);
	goro_waitgroup_done(&crowd_now.running);
}

static void crowd_spawn(const struct crowd *crowd)
{
	struct goro_attr attr = {.stack_size = crowd->stack_size};

	crowd_now.crowd = crowd;
	crowd_now.gate = goro_chan_make(0, 0);
	goro_waitgroup_add(&crowd_now.running, CROWD);
	for (intptr_t id = 0; id < CROWD; id++)
		if (goro_spawn_attr(&attr, crowd_member, (void *)id) < 0)
			fail("no goroutine");
}

/* How much longer the longest gap is than that of a plain thread. */
static int64_t crowd_try(const struct crowd *crowd, int try_number)
{
	struct beat b = {.n = 0}, plain = {.n = 0};
	pthread_t thread;

	crowd->prepare();
	crowd_spawn(crowd);
	goro_waitgroup_add(&b.gone, 1);
	go(beat, &b);
	if (pthread_create(&thread, NULL, beat_thread, &plain) != 0)
		fail("no thread");
	int64_t start = goro_now();
	goro_chan_close(crowd_now.gate);
	goro_waitgroup_wait(&crowd_now.running);
	int64_t took = goro_now() - start;
	atomic_store(&b.must_end, true);
	atomic_store(&plain.must_end, true);
	goro_waitgroup_wait(&b.gone);
	pthread_join(thread, NULL);
	goro_chan_unref(crowd_now.gate);
	crowd->verify();
	printf("try %d: %d goroutines, %.0f ms, %ld beats, longest gap %.1f ms, "
	       "a plain thread's %.1f ms\n",
	       try_number, CROWD, (double)took / 1e6, b.n, (double)b.worst / 1e6,
	       (double)plain.worst / 1e6);
	fflush(stdout);
	return b.worst - plain.worst;
}

static int crowd_run(const struct crowd *crowd)
{
	for (int i = 1; i <= TRIES; i++)
		if (crowd_try(crowd, i) < GORO_MS(GAP_MOST_MS))
			return 0;
	fail("no try of %d kept the gap below %d ms more than a plain thread's", TRIES,
	     GAP_MOST_MS);
}

#endif
