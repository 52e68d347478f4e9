/*
 * select.c - stress: selects, plain operations, deadlines and closes on a few channels at once.
 *
 *   actors by chance, goroutines and a plain thread -> what was sent is what was received
 *
 * Each case runs tap_seconds seconds and can be replayed with GORO_SEED, as far as the program's
 * own choices go.
 */
#include "goro_tap.h"

enum { CHANNELS = 5, WIDEST = 24 };

struct arena {
	goro_chan *c[CHANNELS];
	uint64_t sent, sent_sum, received, received_sum; /* of all actors */
	int n_actors, n_odd, is_stopped, is_closed[CHANNELS];
};

struct actor {
	struct arena *arena;
	uint64_t state;
	goro_case cases[WIDEST];
	uint64_t value[WIDEST];
	bool ok[WIDEST];
	int n, result;
	int64_t deadline;
	uint64_t sent, sent_sum, received, received_sum;
};

static unsigned draw(struct actor *a, unsigned n)
{
	return (unsigned)(tap_random(&a->state) % n);
}

/* Cases on channels by chance, some of them nil, some the same. */
static void draw_cases(struct actor *a, int sends_of_four)
{
	a->n = draw(a, 8) == 0 ? (int)draw(a, WIDEST) + 1 : (int)draw(a, 4) + 1;
	for (int i = 0; i < a->n; i++) {
		goro_chan *c = draw(a, 6) ? a->arena->c[draw(a, CHANNELS)] : NULL;
		if ((int)draw(a, 4) < sends_of_four) {
			a->value[i] = draw(a, 1000);
			a->cases[i] = GORO_SEND(c, &a->value[i]);
		} else {
			a->value[i] = 5555;
			a->cases[i] = GORO_RECV_OK(c, &a->value[i], &a->ok[i]);
		}
	}
	unsigned way = draw(a, 4);
	a->deadline = way == 0 ? GORO_POLL : goro_now() + (int64_t)draw(a, 200000);
}

static void act_once(void *arg)
{
	struct actor *a = arg;
	a->result = goro_select(a->cases, (size_t)a->n, a->deadline);
}

static void count(struct actor *a)
{
	for (int i = 0; i < a->n; i++) {
		bool is_done = i == a->result;
		if (a->cases[i].is_send) {
			a->sent += is_done;
			a->sent_sum += is_done ? a->value[i] : 0;
		} else if (is_done && a->ok[i]) {
			a->received++;
			a->received_sum += a->value[i];
		} else if (a->value[i] != (is_done ? 0 : 5555)) {
			add(&a->arena->n_odd, 1);
		}
	}
	if (a->result < 0 && a->result != -ETIMEDOUT)
		add(&a->arena->n_odd, 1);
}

static void report(struct actor *a)
{
	add(&a->arena->sent, a->sent);
	add(&a->arena->sent_sum, a->sent_sum);
	add(&a->arena->received, a->received);
	add(&a->arena->received_sum, a->received_sum);
	add(&a->arena->n_actors, -1);
}

static void acts(struct arena *arena, uint64_t seed, int sends_of_four)
{
	struct actor a = {.arena = arena, .state = seed};
	while (!load(&arena->is_stopped)) {
		draw_cases(&a, sends_of_four);
		act_once(&a);
		count(&a);
		if (a.result < 0 && goro_id() != 0)
			goro_yield();
	}
	report(&a);
}

static void *thread_acts(void *arena)
{
	acts(arena, tap_seed() + 99, 2);
	return NULL;
}

static void drain(struct arena *arena)
{
	uint64_t value;
	for (int i = 0; i < CHANNELS; i++) {
		while (goro_chan_tryrecv(arena->c[i], &value) == 0) {
			arena->received++;
			arena->received_sum += value;
		}
		/* Nobody is left in a queue. */
		if (goro_chan_cap(arena->c[i]) == 0 && !arena->is_closed[i])
			expect_eq(goro_chan_trysend(arena->c[i], &value), -EAGAIN);
		goro_chan_unref(arena->c[i]);
	}
	expect_eq(arena->sent, arena->received);
	expect_eq(arena->sent_sum, arena->received_sum);
	expect_eq(arena->n_odd, 0);
}

static void run_arena(uint64_t *state, int64_t ns)
{
	struct arena arena = {.n_actors = (int)(tap_random(state) % 8) + 3};
	pthread_t thread;
	for (int i = 0; i < CHANNELS; i++)
		arena.c[i] = goro_chan_of(uint64_t, tap_random(state) % 3);
	require_eq(pthread_create(&thread, NULL, thread_acts, &arena), 0);
	for (int i = arena.n_actors - 1; i > 0; i--)
		go(acts, &arena, tap_random(state), i % 3 + 1);
	goro_sleep(ns);
	store(&arena.is_stopped, 1);
	wait_for(load(&arena.n_actors) == 0 && goro_count() == 1);
	pthread_join(thread, NULL);
	drain(&arena);
}

GORO_CASE(what_selects_send_selects_receive, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	int n_rounds = 0;
	for (int64_t end = tap_now() + GORO_SEC(1) * tap_seconds; tap_now() < end; n_rounds++)
		run_arena(&state, (int64_t)(tap_random(&state) % 50000000));
	printf("# %d rounds\n", n_rounds);
}

/* ---- the same, while channels are closed ---- */

static void acts_until_closed(struct arena *arena, uint64_t seed, int sends_of_four)
{
	struct actor a = {.arena = arena, .state = seed};
	char text[64];
	bool is_over = false;
	while (!is_over && !load(&arena->is_stopped)) {
		draw_cases(&a, sends_of_four);
		a.deadline = draw(&a, 2) ? a.deadline : goro_now() + GORO_MS(1);
		a.result = -ETIMEDOUT;
		is_over = !goro_try(act_once, &a, text, sizeof(text));
		if (is_over && strcmp(text, "send on closed channel") != 0)
			add(&arena->n_odd, 1);
		if (is_over)
			break;
		count(&a);
		if (a.result < 0)
			goro_yield();
	}
	report(&a);
}

static void run_closing(uint64_t *state)
{
	struct arena arena = {.n_actors = (int)(tap_random(state) % 8) + 2};
	for (int i = 0; i < CHANNELS; i++)
		arena.c[i] = goro_chan_of(uint64_t, tap_random(state) % 3);
	for (int i = arena.n_actors; i > 0; i--)
		go(acts_until_closed, &arena, tap_random(state), i % 3 + 1);
	for (int i = 0; i < CHANNELS; i++) {
		goro_sleep((int64_t)(tap_random(state) % 300000));
		arena.is_closed[i] = tap_random(state) % 4 != 0;
		if (arena.is_closed[i])
			goro_chan_close(arena.c[i]);
	}
	store(&arena.is_stopped, 1);
	wait_for(load(&arena.n_actors) == 0 && goro_count() == 1);
	drain(&arena);
}

GORO_CASE(closes_while_selects_go_on, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	int n_rounds = 0;
	for (int64_t end = tap_now() + GORO_SEC(1) * tap_seconds; tap_now() < end; n_rounds++)
		run_closing(&state);
	printf("# %d rounds\n", n_rounds);
}

/* ---- references: who woke a select drops what it waits on, CH5 ---- */

static void selects_once(goro_chan *a, goro_chan *b, goro_chan *done)
{
	int value = 7;
	int which = goro_select_of(GORO_FOREVER, GORO_RECV(a, &value), GORO_RECV(b, &value),
				   GORO_RECV(a, &value));
	expect_eq(value, which == 1 ? 2 : 1);
	goro_put(done, which);
}

GORO_CASE(the_last_references_go_when_a_select_was_woken, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	goro_chan *done = goro_chan_of(int, 1);
	for (int64_t end = tap_now() + GORO_SEC(1) * tap_seconds; tap_now() < end;) {
		goro_chan *c[2] = {goro_chan_of(int, 0), goro_chan_of(int, 0)};
		int which = (int)(tap_random(&state) % 2);
		go(selects_once, c[0], c[1], done);
		/* Unbuffered: it has it when the send returns, but may not have returned itself. */
		goro_put(c[which], which + 1);
		goro_chan_unref(c[0]);
		goro_chan_unref(c[1]);
		expect_eq(goro_get(done, int) == 1, which == 1);
	}
	goro_chan_unref(done);
}

TAP_MAIN
