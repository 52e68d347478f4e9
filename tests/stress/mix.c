/*
 * mix.c - stress: everything at once, for as long as it is given.
 *
 *   players pick a move by chance: send, receive, sleep, spawn, panic, lock, dump, change Ps ...
 *   -> tokens are conserved -> nobody is left
 *
 * A token is a number in a channel. A player takes one (or none), does something odd with it in
 * its hand, and puts it back; at the end all of them are there, each once.
 */
#include "goro_tap.h"

enum { TOKENS = 64, BANKS = 5, PLAYERS = 24, THREADS_IN = 2 };

struct game {
	goro_chan *bank[BANKS];
	int is_stopped, n_spawned, n_ended, n_early;
};

static void keeps_busy(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		__asm__ volatile("" ::: "memory");
}

static void only_counts(struct game *g)
{
	goro_yield();
	add(&g->n_ended, 1);
}

static void panics(void *unused)
{
	(void)unused;
	goro_panic("a move of the game");
}

__attribute__((noinline)) static void goes_deep(int depth)
{
	char volatile frame[200];
	frame[0] = 1;
	if (depth > 0)
		goes_deep(depth - 1);
	else
		goro_yield();
	frame[1] = frame[0];
}

static void sleeps_a_little(struct game *g, int64_t ns)
{
	int64_t start = goro_now();
	goro_sleep(ns);
	if (goro_now() - start < ns)
		add(&g->n_early, 1);
}

/* What only a goroutine can do. */
static void make_a_goroutines_move(struct game *g, uint64_t choice)
{
	switch (choice % 8) {
	case 0:
		goro_yield();
		break;
	case 1:
		goro_lock_thread();
		goro_yield();
		goro_unlock_thread();
		break;
	case 2:
		goes_deep((int)(choice >> 8) % 200);
		break;
	case 3:
		goro_set_name("player");
		goro_checkpoint();
		break;
	case 4:
		if (choice >> 32 & 1)
			goro_maxprocs((int)(choice >> 8 & 7) + 1);
		break;
	default:
		add(&g->n_spawned, 1);
		go(only_counts, g);
	}
}

static void make_a_move(struct game *g, uint64_t choice)
{
	uint64_t rest = choice >> 8;
	switch (choice % 6) {
	case 0:
		sleeps_a_little(g, (int64_t)(rest % 200000));
		break;
	case 1:
		keeps_busy(rest % 20000);
		break;
	case 2:
		expect(!goro_try(panics, NULL, NULL, 0));
		break;
	default:
		if (goro_id() != 0)
			make_a_goroutines_move(g, rest);
	}
}

/* Takes a token from one bank and puts it into another, in one of the ways that there are. */
static void play(struct game *g, uint64_t state)
{
	int token;
	while (!load(&g->is_stopped)) {
		goro_chan *from = g->bank[tap_random(&state) % BANKS];
		uint64_t way = tap_random(&state);
		int got = way % 2 == 0
				  ? goro_chan_tryrecv(from, &token)
				  : goro_chan_recv_until(from, &token,
							 goro_now() + (int64_t)(way >> 8) % 100000);
		make_a_move(g, tap_random(&state));
		if (got != 0)
			continue;
		goro_chan *to = g->bank[tap_random(&state) % BANKS];
		while (goro_chan_send_until(to, &token, goro_now() + GORO_US(50)) != 0)
			to = g->bank[tap_random(&state) % BANKS];
	}
	add(&g->n_ended, 1);
}

static void *thread_plays(void *g)
{
	play(g, tap_seed() + 1000);
	return NULL;
}

static void dumps_now_and_then(struct game *g)
{
	while (!load(&g->is_stopped)) {
		char state[STATE_MAX];
		char *text = dump_text();
		expect(state_in(text, goro_id(), state));
		expect(state_fits(state, "running"));
		free(text);
		goro_sleep(GORO_MS(50));
	}
	add(&g->n_ended, 1);
}

/* All tokens are in the banks again, each once. */
static void count_tokens(struct game *g)
{
	int seen[TOKENS] = {0}, token;
	for (int i = 0; i < BANKS; i++)
		while (goro_chan_tryrecv(g->bank[i], &token) == 0) {
			require(token >= 0 && token < TOKENS);
			seen[token]++;
		}
	for (int i = 0; i < TOKENS; i++)
		expect_eq(seen[i], 1);
}

GORO_CASE(tokens_are_conserved_whatever_happens, .timeout_s = 60)
{
	struct game g = {.n_spawned = PLAYERS + THREADS_IN + 1};
	pthread_t threads[THREADS_IN];
	uint64_t state = tap_seed();
	int n_procs = goro_maxprocs(0);
	for (int i = 0; i < BANKS; i++)
		g.bank[i] = goro_chan_of(int, TOKENS / 2);
	for (int i = 0; i < TOKENS; i++)
		goro_put(g.bank[i % BANKS], i);
	for (int i = 0; i < PLAYERS; i++)
		go(play, &g, tap_random(&state));
	for (int i = 0; i < THREADS_IN; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_plays, &g), 0);
	go(dumps_now_and_then, &g);
	goro_sleep(GORO_SEC(1) * tap_seconds);
	store(&g.is_stopped, 1);
	wait_for(load(&g.n_ended) == load(&g.n_spawned));
	for (int i = 0; i < THREADS_IN; i++)
		pthread_join(threads[i], NULL);
	wait_for(goro_count() == 1);
	expect_eq(load(&g.n_early), 0);
	count_tokens(&g);
	for (int i = 0; i < BANKS; i++)
		goro_chan_unref(g.bank[i]);
	goro_maxprocs(n_procs);
}

/* ---- the runtime itself, started and left again and again ---- */

static int left_behind;

static void lives_on(uint64_t state)
{
	for (;;) {
		if (tap_random(&state) % 4 == 0)
			goro_sleep((int64_t)(tap_random(&state) % 100000));
		else
			goro_yield();
		add(&left_behind, 1);
	}
}

static int leaves_some_behind(void *arg)
{
	uint64_t state = *(uint64_t *)arg;
	int n = (int)(tap_random(&state) % 30);
	for (int i = 0; i < n; i++)
		go(lives_on, tap_random(&state));
	for (uint64_t i = tap_random(&state) % 50; i > 0; i--)
		goro_yield();
	return n;
}

TAP_CASE(runs_follow_each_other_whatever_is_left_behind, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	int n_runs = 0;
	for (int64_t end = tap_now() + GORO_SEC(1) * tap_seconds; tap_now() < end; n_runs++) {
		uint64_t seed = tap_random(&state), copy = seed;
		expect_eq(goro_run(leaves_some_behind, &seed), (int)(tap_random(&copy) % 30));
		int at_return = load(&left_behind);
		expect_eq(goro_count(), 0);
		tap_pause(50000);
		expect_eq(load(&left_behind), at_return);
	}
	printf("# %d runs\n", n_runs);
}

TAP_MAIN
