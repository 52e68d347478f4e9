/*
 * run.c - goro_run from several threads, and runs that end while the world is being stopped.
 *
 *   thread A -> goro_run -> main -> 0          thread B -> goro_run -> its own, or -EBUSY
 *   goroutines -> goro_maxprocs, goro_dump  |  main returns
 *
 * docs/internals/world.md: BT1, WD1 to WD4.
 */
#include "goro_tap.h"

enum { ROUNDS = TAP_SANITIZED ? 30 : 300, RUNS_A_THREAD = 10 };

static int n_inside, n_ran, n_busy, n_wrong;
static pthread_barrier_t start;

/* BT1: two runs at the same time would meet here. */
static int runs_alone(void *value)
{
	add(&n_wrong, add(&n_inside, 1) != 1);
	add(&n_wrong, goro_id() != 1);
	for (intptr_t i = 0; i < (intptr_t)value % 4; i++)
		goro_yield();
	add(&n_inside, -1);
	return (int)(intptr_t)value;
}

/* As often as it takes: each start meets the other's start, middle and end. */
static void *runs_again_and_again(void *first)
{
	pthread_barrier_wait(&start);
	for (intptr_t i = 0; i < RUNS_A_THREAD;) {
		intptr_t value = (intptr_t)first + i;
		int got = goro_run(runs_alone, (void *)value);
		add(got == value ? &n_ran : got == -EBUSY ? &n_busy : &n_wrong, 1);
		i += got != -EBUSY;
		sched_yield();
	}
	return NULL;
}

TAP_CASE(second_run_at_the_same_time_is_busy_in_every_race, .is_race = true)
{
	pthread_t threads[2];
	int n_rounds = tap_share(ROUNDS);
	require_eq(pthread_barrier_init(&start, NULL, 2), 0);
	for (int round = 0; round < n_rounds; round++) {
		for (intptr_t i = 0; i < 2; i++)
			require_eq(pthread_create(&threads[i], NULL, runs_again_and_again,
						  (void *)(1000 * (i + 1))),
				   0);
		for (int i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
	}
	printf("# %d times another ran\n", n_busy);
	expect_eq(n_wrong, 0);
	expect_eq(n_ran, n_rounds * 2 * RUNS_A_THREAD);
	expect_gt(n_busy, 0);
	expect_eq(goro_run(runs_alone, (void *)7), 7);
}

/* ---- the end of a run against those who stop the world ---- */

static void changes_the_number(uint64_t seed)
{
	for (;;)
		goro_maxprocs((int)(tap_random(&seed) % 4) + 1);
}

static void dumps_into(int fd)
{
	for (;;)
		goro_dump(fd);
}

struct ending {
	uint64_t seed;
	int n_changers, n_dumpers, n_yields, fd;
};

static int returns_among_stoppers(void *arg)
{
	struct ending *e = arg;
	for (int i = 0; i < e->n_changers; i++)
		go(changes_the_number, e->seed + (uint64_t)i);
	for (int i = 0; i < e->n_dumpers; i++)
		go(dumps_into, e->fd);
	for (int i = 0; i < e->n_yields; i++)
		goro_yield();
	return e->n_yields;
}

static void expect_ends(int n_rounds, int n_changers, int n_dumpers)
{
	uint64_t state = tap_seed();
	struct ending e = {.n_changers = n_changers, .n_dumpers = n_dumpers};
	e.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	for (int round = 0; round < n_rounds; round++) {
		e.seed = tap_random(&state);
		/* On one P each yield lets the dumpers have a slice. */
		e.n_yields = (int)(e.seed % (n_dumpers ? 3 : 16));
		require_eq(goro_run(returns_among_stoppers, &e), e.n_yields);
		require_eq(goro_count(), 0);
	}
	close(e.fd);
}

TAP_CASE(run_ends_while_one_changes_maxprocs, .id = "SCH-14", .is_race = true)
{
	expect_ends(ROUNDS, 1, 0);
}

TAP_CASE(run_ends_while_several_queue_to_change_maxprocs, .id = "SCH-14", .is_race = true)
{
	expect_ends(ROUNDS, 5, 0);
}

TAP_CASE(run_ends_while_others_dump, .id = "DIA-06", .is_race = true)
{
	expect_ends(ROUNDS / 5, 1, 2);
}

/* Main itself stops the world last of all, beside others who want to. */
static int changes_and_returns(void *arg)
{
	struct ending *e = arg;
	for (int i = 0; i < e->n_changers; i++)
		go(changes_the_number, e->seed + (uint64_t)i);
	goro_maxprocs((int)(e->seed % 4) + 1);
	return e->n_yields;
}

TAP_CASE(main_changes_maxprocs_and_returns_at_once, .id = "SCH-14", .is_race = true)
{
	uint64_t state = tap_seed();
	for (int round = 0; round < ROUNDS; round++) {
		struct ending e = {.seed = tap_random(&state), .n_changers = 3, .n_yields = round};
		require_eq(goro_run(changes_and_returns, &e), round);
	}
}

TAP_MAIN
