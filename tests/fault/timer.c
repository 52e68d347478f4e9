/*
 * timer.c - timers, while the n-th mmap, madvise, clone, futex or malloc fails.
 *
 * The constructors return NULL; a heap that cannot grow and a function that cannot be started are
 * fatal errors; stop, reset and free do not fail.
 */
#include "sweep.h"

enum { TIMERS = 300 };

static int n_called;

static void is_called(void *unused)
{
	(void)unused;
	add(&n_called, 1);
}

/* What a constructor returns, made again when it was refused: SW2. NULL: faults persist. */
#define make_timer(call)                                            \
	({                                                          \
		goro_timer *made = (call);                          \
		if (made == NULL) {                                 \
			expect(fault_was_met());                    \
			add(&sweep_refusals, 1);                    \
			if (!sweep_persists)                        \
				made = (call);                      \
			expect(made != NULL || sweep_persists);     \
		}                                                   \
		made;                                               \
	})

static goro_timer *make_one(int i)
{
	if (i % 3 == 0)
		return make_timer(goro_timer_func(GORO_US(i), is_called, NULL));
	if (i % 3 == 1)
		return make_timer(goro_timer_chan(GORO_US(i)));
	return make_timer(goro_ticker(GORO_SEC(3600) + i));
}

static int uses_timers(void *unused)
{
	static goro_timer *timers[TIMERS];
	int n_armed = 0, n_kept = 0;
	(void)unused;
	store(&n_called, 0);
	for (int i = 0; i < TIMERS; i++) {
		timers[i] = make_one(i);
		n_armed += timers[i] != NULL && i % 3 == 0;
	}
	for (int i = 0; i < TIMERS; i++) {
		if (timers[i] == NULL)
			continue;
		if (i % 3 == 0 && i % 2 == 0)
			n_kept += goro_timer_stop(timers[i]);
		else if (i % 3 == 1)
			expect_ge(goro_get(goro_timer_c(timers[i]), int64_t), 1);
		else if (i % 3 == 2)
			expect(goro_timer_reset(timers[i], GORO_SEC(1800)));
	}
	wait_for(load(&n_called) == n_armed - n_kept);
	for (int i = 0; i < TIMERS; i++)
		goro_timer_free(timers[i]);
	return MAIN_VALUE;
}

static void timers(void)
{
	run_main(uses_timers, NULL);
}

SWEEP(timers, .procs = "2")

/* Those that a run leaves behind are freed after it. */
static goro_timer *left[64];

static int leaves_timers(void *unused)
{
	(void)unused;
	for (int i = 0; i < 64; i++)
		left[i] = make_one(i);
	return MAIN_VALUE;
}

static void timers_left(void)
{
	run_main(leaves_timers, NULL);
	for (int i = 0; i < 64; i++)
		goro_timer_free(left[i]);
}

SWEEP_KIND(timers_left, malloc, .procs = "2")
SWEEP_KIND(timers_left, mmap, .procs = "2")

TAP_MAIN
