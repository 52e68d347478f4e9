/*
 * timer.c - timers of the program: made and stopped, reset, and the same among a million others.
 */
#include "bench.h"

enum { MANY = 1000000 };

static void nothing(void *arg)
{
	(void)arg;
}

static goro_timer *must(goro_timer *t)
{
	if (t == NULL)
		goro_panic("out of memory");
	return t;
}

static void add_and_stop(const char *name, int64_t count)
{
	int64_t start = goro_now();

	for (int64_t i = 0; i < count; i++) {
		goro_timer *t = must(goro_timer_func(GORO_SEC(3600), nothing, NULL));
		goro_timer_stop(t);
		goro_timer_free(t);
	}
	bench_ns(name, count, start, goro_now());
}

static void add_and_stop_chan(int64_t count)
{
	int64_t start = goro_now();

	for (int64_t i = 0; i < count; i++) {
		goro_timer *t = must(goro_timer_chan(GORO_SEC(3600)));
		goro_timer_stop(t);
		goro_timer_free(t);
	}
	bench_ns("TimerChanAddStop", count, start, goro_now());
}

static void reset(const char *name, int64_t count)
{
	goro_timer *t = must(goro_timer_func(GORO_SEC(3600), nothing, NULL));
	int64_t start = goro_now();

	for (int64_t i = 0; i < count; i++)
		goro_timer_reset(t, GORO_SEC(3600) + i % 1000);
	bench_ns(name, count, start, goro_now());
	goro_timer_free(t);
}

/* Times that are all over the hour, so that each goes to a place of its own in the heap. */
static void among_a_million(int64_t count)
{
	static goro_timer *timers[MANY];
	uint32_t seed = 1;
	int64_t longest = 0, start = goro_now(), before = start;

	for (int i = 0; i < MANY; i++) {
		seed = seed * 1664525 + 1013904223;
		timers[i] = must(goro_timer_func(GORO_SEC(3600) + seed, nothing, NULL));
		int64_t now = goro_now();
		longest = now - before > longest ? now - before : longest;
		before = now;
	}
	bench_ns("TimerMillionAdd", MANY, start, before);
	bench_line("TimerMillionAddLongest", 1, (double)longest, "ns/op");
	add_and_stop("TimerAddStopAmongMillion", count);
	reset("TimerResetAmongMillion", count);
	start = goro_now();
	for (int i = 0; i < MANY; i++) {
		goro_timer_stop(timers[i]);
		goro_timer_free(timers[i]);
	}
	bench_ns("TimerMillionStop", MANY, start, goro_now());
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 2000000);

	add_and_stop("TimerAddStop", count);
	add_and_stop_chan(count);
	reset("TimerReset", count);
	among_a_million(count);
	return 0;
}
