/*
 * timer.c - stress: timers of all kinds, made, stopped, reset, received from and freed by
 * goroutines and plain threads at once, while the number of Ps changes.
 *
 *   a table of timers, each behind a lock of its own (a channel) -> random moves
 *   -> each setting of a function was either called or kept from it, once; no value is early
 */
#include "goro_tap.h"

enum { PLACES = 32, PLAYERS = 12, THREADS_IN = 2 };

struct place {
	goro_chan *lock; /* a token */
	goro_timer *func, *chan, *ticker;
	int64_t not_before; /* the earliest time that chan may fire with its present setting */
	int n_armed, n_kept, n_called;
};

struct game {
	struct place places[PLACES];
	int is_stopped, n_ended, n_early, n_stale;
};

static void is_called(void *arg)
{
	struct place *p = arg;
	add(&p->n_called, 1);
}

static int64_t some_time(uint64_t *state)
{
	uint64_t r = tap_random(state);
	return r % 16 == 0 ? GORO_SEC(3600) : (int64_t)(r >> 8) % 200000 - 20000;
}

static void move_func(struct place *p, uint64_t *state)
{
	switch (tap_random(state) % 8) {
	case 0:
		p->n_kept += goro_timer_stop(p->func);
		break;
	case 1: /* a stop first, to know what came of it */
		p->n_kept += goro_timer_stop(p->func);
		goro_timer_free(p->func);
		p->func = goro_timer_func(some_time(state), is_called, p);
		p->n_armed++;
		break;
	default:
		p->n_kept += goro_timer_reset(p->func, some_time(state));
		p->n_armed++;
	}
}

static void move_chan(struct game *g, struct place *p, uint64_t *state)
{
	int64_t sent, ns = some_time(state);
	switch (tap_random(state) % 6) {
	case 0:
		goro_timer_stop(p->chan);
		if (goro_chan_tryrecv(goro_timer_c(p->chan), NULL) == 0)
			add(&g->n_stale, 1);
		break;
	case 1:
		goro_timer_free(p->chan);
		p->not_before = goro_now() + (ns > 0 ? ns : 0);
		p->chan = goro_timer_chan(ns);
		break;
	case 2:
	case 3:
		if (goro_chan_tryrecv(goro_timer_c(p->chan), &sent) == 0 && sent < p->not_before)
			add(&g->n_early, 1);
		break;
	default:
		p->not_before = goro_now() + (ns > 0 ? ns : 0);
		goro_timer_reset(p->chan, ns);
	}
}

static void move_ticker(struct place *p, uint64_t *state)
{
	switch (tap_random(state) % 6) {
	case 0:
		goro_timer_stop(p->ticker);
		break;
	case 1:
		goro_timer_free(p->ticker);
		p->ticker = goro_ticker(1 + (int64_t)(tap_random(state) % 100000));
		break;
	case 2:
		goro_timer_reset(p->ticker, 1 + (int64_t)(tap_random(state) % 100000));
		break;
	default:
		goro_chan_recv_until(goro_timer_c(p->ticker), NULL, goro_now() + GORO_US(50));
	}
}

static void play(struct game *g, uint64_t state)
{
	while (!load(&g->is_stopped)) {
		struct place *p = &g->places[tap_random(&state) % PLACES];
		goro_get(p->lock, int);
		move_func(p, &state);
		move_chan(g, p, &state);
		move_ticker(p, &state);
		goro_put(p->lock, 1);
		if (tap_random(&state) % 16 == 0)
			goro_sleep((int64_t)(tap_random(&state) % 100000));
		if (goro_id() != 0 && tap_random(&state) % 256 == 0)
			goro_maxprocs((int)(tap_random(&state) % 8) + 1);
	}
	add(&g->n_ended, 1);
}

static void *thread_plays(void *g)
{
	play(g, tap_seed() + 1000);
	return NULL;
}

static void set_up(struct game *g)
{
	for (int i = 0; i < PLACES; i++) {
		struct place *p = &g->places[i];
		p->lock = goro_chan_of(int, 1);
		p->not_before = goro_now();
		p->func = goro_timer_func(0, is_called, p);
		p->chan = goro_timer_chan(0);
		p->ticker = goro_ticker(GORO_US(100));
		p->n_armed = 1;
		goro_put(p->lock, 1);
	}
}

static void check(struct game *g)
{
	for (int i = 0; i < PLACES; i++) {
		struct place *p = &g->places[i];
		p->n_kept += goro_timer_stop(p->func);
		wait_for(load(&p->n_called) >= p->n_armed - p->n_kept);
		goro_timer_free(p->func);
		goro_timer_free(p->chan);
		goro_timer_free(p->ticker);
	}
	wait_for(goro_count() == 1);
	for (int i = 0; i < PLACES; i++) {
		expect_eq(g->places[i].n_called, g->places[i].n_armed - g->places[i].n_kept);
		goro_chan_unref(g->places[i].lock);
	}
	expect_eq(g->n_early, 0);
	expect_eq(g->n_stale, 0);
}

GORO_CASE(timers_add_up_whatever_happens, .timeout_s = 60)
{
	static struct game g;
	pthread_t threads[THREADS_IN];
	uint64_t state = tap_seed();
	int n_procs = goro_maxprocs(0);
	set_up(&g);
	for (int i = 0; i < PLAYERS; i++)
		go(play, &g, tap_random(&state));
	for (int i = 0; i < THREADS_IN; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_plays, &g), 0);
	goro_sleep(GORO_SEC(1) * tap_seconds);
	store(&g.is_stopped, 1);
	wait_for(load(&g.n_ended) == PLAYERS + THREADS_IN);
	for (int i = 0; i < THREADS_IN; i++)
		pthread_join(threads[i], NULL);
	check(&g);
	goro_maxprocs(n_procs);
}

TAP_MAIN
