/*
 * outside.c - plain threads call the library while runs begin and end.
 *
 *   plain threads: spawn, maxprocs, dump, count, send, ... without end  |  goro_run, over and over
 *
 * docs/internals/world.md: OU1 to OU3, WD5, BT2. Nothing may crash or hang, and what the calls
 * return must make sense whenever they come.
 */
#include "goro_tap.h"

#include <sched.h>

#include <sys/prctl.h>

enum { ROUNDS_LEAST = 5, ROUNDS_MOST = 1000, N_THREADS = 3, N_PARKED = 6, N_WAITING = 100 };
#define ENOUGH (GORO_MS(200) * tap_seconds) /* make check gives it more */

static int is_over, n_wrong, n_done;
static goro_chan *c;

/* ---- what the plain threads do ---- */

static void nothing(void *unused)
{
	(void)unused;
}

/* Few at a time: whoever spawns faster than others run would only fill the memory. */
static void spawns(uint64_t *seed)
{
	char copy[300] = {0};
	if (goro_count() > N_WAITING) {
		sched_yield(); /* on one CPU, who only looks would keep the rest from running */
		return;
	}
	int error = tap_random(seed) % 2 ? goro_spawn(nothing, NULL)
					 : goro_spawn_copy(nothing, copy, sizeof(copy));
	add(&n_wrong, error != 0 && error != -EPERM);
	add(&n_done, error == 0);
}

static void changes_the_number(uint64_t *seed)
{
	int old = goro_maxprocs((int)(tap_random(seed) % 5));
	add(&n_wrong, old < 1);
	add(&n_done, 1);
}

static int null_fd;

static void dumps(uint64_t *seed)
{
	(void)seed;
	goro_dump(null_fd);
	add(&n_done, 1);
}

static void counts(uint64_t *seed)
{
	int n = goro_count();
	(void)seed;
	add(&n_wrong, n < 0 || n > 1 + N_PARKED);
	add(&n_done, n > 1);
}

static void sends(uint64_t *seed)
{
	int value = 7;
	if (tap_random(seed) % 4 == 0)
		add(&n_done, goro_chan_send_until(c, &value, goro_now() + 20000) == 0);
	else
		add(&n_done, goro_chan_trysend(c, &value) == 0);
}

static void does_anything(uint64_t *seed)
{
	static void (*const all[])(uint64_t *) = {spawns, changes_the_number, sends};
	all[tap_random(seed) % 3](seed);
}

/* Another round? As many as fit into the time. */
static bool goes_on(int round)
{
	static int64_t end;
	if (round == 0)
		end = tap_now() + ENOUGH;
	return round < ROUNDS_LEAST || (round < ROUNDS_MOST && tap_now() < end);
}

struct outsider {
	pthread_t thread;
	void (*fn)(uint64_t *seed);
	uint64_t seed;
};

static void *does_so_without_end(void *arg)
{
	struct outsider *o = arg;
	while (!load(&is_over))
		o->fn(&o->seed);
	return NULL;
}

/* ---- the runs ---- */

static void receives(int deadline_us)
{
	int value;
	for (;;) {
		int64_t deadline = deadline_us ? goro_now() + GORO_US(deadline_us) : GORO_FOREVER;
		int error = goro_chan_recv_until(c, &value, deadline);
		add(&n_wrong, error == 0 ? value != 7 : error != -ETIMEDOUT);
	}
}

/* In the first run until the two have met, which on one CPU would be left to chance. */
static int parks_some_and_returns(void *n_yields)
{
	for (int i = 0; i < N_PARKED; i++)
		go(receives, i % 2 ? 50 : 0);
	for (intptr_t i = 0; i < (intptr_t)n_yields || !load(&n_done); i++)
		goro_yield();
	return 7;
}

static void expect_runs_beside(void (*fn)(uint64_t *seed))
{
	struct outsider outsiders[N_THREADS];
	uint64_t seed = tap_seed();
	c = goro_chan_make(sizeof(int), 0);
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	for (int i = 0; i < N_THREADS; i++) {
		outsiders[i].fn = fn;
		outsiders[i].seed = tap_random(&seed);
		require_eq(pthread_create(&outsiders[i].thread, NULL, does_so_without_end,
					  &outsiders[i]),
			   0);
	}
	for (int i = 0; goes_on(i); i++)
		expect_eq(goro_run(parks_some_and_returns, (void *)(tap_random(&seed) % 30)), 7);
	store(&is_over, 1);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(outsiders[i].thread, NULL);
	expect_eq(n_wrong, 0);
	expect_eq(goro_count(), 0);
	close(null_fd);
}

TAP_CASE(threads_spawn_while_runs_end, .is_race = true, .timeout_s = 60)
{
	expect_runs_beside(spawns);
}

TAP_CASE(threads_change_maxprocs_while_runs_end, .is_race = true, .timeout_s = 60)
{
	expect_runs_beside(changes_the_number);
}

TAP_CASE(threads_dump_while_runs_end, .is_race = true, .timeout_s = 60)
{
	expect_runs_beside(dumps);
}

TAP_CASE(threads_count_while_runs_end, .is_race = true, .timeout_s = 60)
{
	expect_runs_beside(counts);
}

/* A goroutine taken off the channel's queue when its run ends is not lost sight of. */
TAP_CASE(threads_send_while_runs_end, .is_race = true, .timeout_s = 60)
{
	expect_runs_beside(sends);
}

TAP_CASE(threads_do_anything_while_runs_end, .is_race = true, .timeout_s = 60)
{
	expect_runs_beside(does_anything);
}

/* ---- channels that close, and goroutines that wait at several objects ---- */

static goro_chan *closing;

static void *closes_what_it_finds(void *unused)
{
	for (; !load(&is_over); sched_yield()) {
		goro_chan *at = __atomic_exchange_n(&closing, NULL, __ATOMIC_SEQ_CST);
		if (at)
			goro_chan_close(at);
	}
	return unused;
}

static void waits_for_the_close(goro_chan *at)
{
	add(&n_wrong, goro_chan_recv(at, NULL));
	add(&n_done, 1);
}

static int lets_close_and_returns(void *at)
{
	for (int i = 0; i < N_PARKED; i++)
		go(waits_for_the_close, at);
	goro_yield();
	store(&closing, at);
	while (load(&closing) == at)
		goro_yield();
	return 7;
}

/* The end comes while the close has some of the receivers in hand. */
TAP_CASE(thread_closes_while_runs_end, .is_race = true, .timeout_s = 60)
{
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, closes_what_it_finds, NULL), 0);
	for (int i = 0; goes_on(i); i++) {
		goro_chan *at = goro_chan_make(0, 0);
		expect_eq(goro_run(lets_close_and_returns, at), 7);
		/* It may still be closing. */
		while (goro_chan_tryrecv(at, NULL) != -EPIPE)
			sched_yield();
	}
	store(&is_over, 1);
	pthread_join(thread, NULL);
	expect_eq(n_wrong, 0);
}

/* ---- locked goroutines ---- */

static void passes_on(goro_chan *from, goro_chan *to)
{
	goro_lock_thread();
	for (;;) {
		goro_chan_recv(from, NULL);
		goro_chan_send(to, NULL);
	}
}

static int returns_among_locked_ones(void *n_yields)
{
	goro_chan *a = goro_chan_make(0, 1), *b = goro_chan_make(0, 1);
	for (int i = 0; i < 3; i++) {
		go(passes_on, a, b);
		go(passes_on, b, a);
	}
	goro_chan_send(a, NULL);
	for (intptr_t i = 0; i < (intptr_t)n_yields; i++)
		goro_yield();
	return 7;
}

/* The thread of a locked goroutine may leave while another one is about to hand it a P. */
TAP_CASE(runs_end_while_threads_hand_over_locked_goroutines, .is_race = true, .timeout_s = 60)
{
	uint64_t seed = tap_seed();
	for (int i = 0; goes_on(i); i++)
		expect_eq(goro_run(returns_among_locked_ones, (void *)(tap_random(&seed) % 99)), 7);
}

/* ---- what a run leaves to the thread that called it, and to the process ---- */

static int returns_7(void *unused)
{
	(void)unused;
	return 7;
}

TAP_CASE(run_gives_the_thread_its_timer_slack_back)
{
	prctl(PR_SET_TIMERSLACK, 123456UL, 0, 0, 0);
	if (prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) != 123456)
		tap_skip("no timer slack here");
	expect_eq(goro_run(returns_7, NULL), 7);
	expect_eq(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 123456);
}

enum { N_DEEP = 500, DEEP_BYTES = 64 << 10 };

static int n_deep;

static void goes_deep(void *at)
{
	volatile char frame[DEEP_BYTES];
	for (size_t i = 0; i < sizeof(frame); i += 1024)
		frame[i] = 1;
	add(&n_deep, 1);
	goro_chan_recv(at, NULL);
	frame[0] = 2;
}

/* Half of the stacks are in use at the end, half were given back before. */
static int uses_many_stacks(void *unused)
{
	goro_chan *at = goro_chan_make(0, 0);
	for (int i = 0; i < N_DEEP; i++)
		goro_spawn(goes_deep, i % 2 ? at : NULL);
	wait_for(load(&n_deep) == N_DEEP);
	goro_chan_close(at);
	wait_for(goro_count() == 1 + N_DEEP / 2);
	return unused ? 7 : 8;
}

TAP_CASE(run_gives_the_memory_of_its_stacks_back, .is_alone = true)
{
	if (TAP_SANITIZED || getenv("TAP_EMULATED"))
		tap_skip("a sanitizer's or an emulator's own memory hides it");
	expect_eq(goro_run(returns_7, NULL), 7);
	int64_t before_kib = tap_rss_kib();
	expect_eq(goro_run(uses_many_stacks, &n_deep), 7);
	int64_t more_kib = tap_rss_kib() - before_kib;
	printf("# %" PRId64 " KiB more\n", more_kib);
	expect_lt(more_kib, N_DEEP * (DEEP_BYTES >> 10) / 4);
}

static void waits_and_ends(void *at)
{
	goro_chan_recv(at, NULL);
}

enum { N_RUNS = 200, N_EACH = 500, RUN_MORE_KIB = 8 << 10 };

static int uses_some_stacks(void *unused)
{
	(void)unused;
	goro_chan *at = goro_chan_make(0, 0);
	for (int i = 0; i < N_EACH; i++)
		goro_spawn(waits_and_ends, at);
	goro_yield();
	goro_chan_close(at);
	wait_for(goro_count() == 1);
	goro_chan_unref(at);
	return 7;
}

/* What the Ps had at hand goes back as well: it would be a quarter of a MiB a run and P. */
TAP_CASE(runs_one_after_the_other_do_not_grow, .timeout_s = 60)
{
	if (TAP_SANITIZED || getenv("TAP_EMULATED"))
		tap_skip("a sanitizer's or an emulator's own memory hides it");
	int64_t before_kib = 0;
	for (int i = 0; i < N_RUNS; i++) {
		expect_eq(goro_run(uses_some_stacks, NULL), 7);
		if (i == N_RUNS / 10)
			before_kib = tap_rss_kib();
	}
	expect_lt(tap_rss_kib() - before_kib, RUN_MORE_KIB);
}

TAP_MAIN
