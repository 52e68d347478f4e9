/*
 * valgrind.c - goroutines under memcheck; src/base/valgrind.h, src/core/stack.c.
 *
 * Each case is right anyway; what it is for is `make run-unit-memcheck`, where memcheck must not
 * find a mistake, nor fall over a guard page while it looks at a stack.
 */
#include "tap.h"

#include "goro.h"

struct large {
	char bytes[600];
};

static int n_each = 60;

/* Large frames that come and go, so that much of the stack is forbidden to read again. */
static int use(int depth)
{
	volatile char room[900];
	int sum = 0;

	memset((void *)(uintptr_t)room, depth, sizeof(room));
	for (size_t i = 0; i < sizeof(room); i++)
		sum += room[i];
	return depth > 0 ? sum + use(depth - 1) : sum;
}

static void spawn_nothing(goro_chan *done)
{
	int sum = use(5);

	goro_yield();
	free(memset(malloc(100), sum, 100)); /* memcheck looks at the stack of each malloc */
	goro_put(done, 1);
}

/* VG2: the arguments lie where an earlier goroutine's frames were. */
static void spawn_large(goro_chan *done, struct large large, int wanted)
{
	int n_right = 0;

	goro_yield();
	for (size_t i = 0; i < sizeof(large.bytes); i++)
		n_right += large.bytes[i] == (char)wanted;
	use(10);
	goro_put(done, (int)(n_right == sizeof(large.bytes)));
}

/* VG1: a stack of its own lies beside the stacks of threads. */
static void spawn_own(void *done)
{
	use(8);
	goro_yield();
	free(malloc(10));
	goro_lock_thread();
	goro_sleep(GORO_US(50));
	goro_unlock_thread();
	goro_put(done, 1);
}

static void collect(goro_chan *done, int n)
{
	for (int i = 0; i < n; i++)
		expect_eq(goro_get(done, int), 1);
}

static int run_all(void *arg)
{
	goro_chan *done = goro_chan_of(int, 4);
	struct goro_attr attr = {.stack_size = 32768};

	(void)arg;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < n_each; i++) {
			struct large large;
			memset(&large, i, sizeof(large));
			go(spawn_nothing, done);
			go(spawn_large, done, large, i);
			require_eq(goro_spawn_attr(&attr, spawn_own, done), 0);
		}
		collect(done, 3 * n_each);
	}
	goro_chan_unref(done);
	return 0;
}

TAP_CASE(vg1_vg2_goroutines_are_not_mistaken_for_errors)
{
	expect_eq(goro_run(run_all, NULL), 0);
}

TAP_CASE(vg1_vg2_goroutines_with_canaries_neither)
{
	setenv("GORO_STACKGUARD", "canary", 1);
	expect_eq(goro_run(run_all, NULL), 0);
}

TAP_MAIN
