/*
 * threads.c - stress: plain threads and goroutines in one game, for as long as it is given.
 *
 *   a ring of both, by chance -> tokens go round by rendezvous -> none is lost, none stops
 *   a gate that one of them closes -> all that wait, of both kinds, come through
 *   a question on a channel of its own, freed at once -> the answer of the other kind
 *   threads that change the number of Ps, dump, count and panic while goroutines run
 *
 * Nothing here has a deadline but what says so: a wake-up that is lost stops the ring, and the case
 * is over its time.
 */
#include "goro_tap.h"

enum { RING = 24, TOKENS = 5, THREADS = 8 };

struct ring {
	goro_chan *c[RING];
	int n_ended;
	int64_t n_passed;
};

struct place {
	struct ring *ring;
	int at;
	uint64_t random;
};

/* Sleeps, yields, looks, changes the number of Ps, or mostly spins a little. */
static void dawdles(uint64_t choice)
{
	switch (choice % 64) {
	case 0:
		goro_sleep((int64_t)(choice >> 8) % 50000);
		break;
	case 1:
	case 2:
		sched_yield();
		break;
	case 3:
		if (goro_id() != 0)
			goro_yield();
		break;
	case 4:
		require(goro_count() > 0);
		break;
	case 5:
		if ((choice >> 8) % 16 == 0)
			goro_maxprocs((int)(choice >> 16 & 7) + 1);
		break;
	default:
		for (uint64_t i = choice >> 8 & 127; i > 0; i--)
			__asm__ volatile("" ::: "memory");
	}
}

static void receives_somehow(goro_chan *c, int *token, uint64_t way)
{
	if (way % 4 != 0)
		goro_chan_recv(c, token);
	else
		while (goro_chan_tryrecv(c, token) != 0)
			if (goro_chan_recv_until(c, token, goro_now() + 20000) == 0)
				return;
}

static void sends_somehow(goro_chan *c, const int *token, uint64_t way)
{
	if (way % 4 != 0)
		goro_chan_send(c, token);
	else
		while (goro_chan_trysend(c, token) != 0)
			if (goro_chan_send_until(c, token, goro_now() + 20000) == 0)
				return;
}

/* A negative token goes round once and ends everybody. */
static void passes_on(void *arg)
{
	struct place *p = arg;
	struct ring *r = p->ring;
	for (int token = 0; token >= 0;) {
		uint64_t way = tap_random(&p->random);
		receives_somehow(r->c[p->at], &token, way);
		dawdles(way >> 8);
		if (token >= 0 || p->at != RING - 1)
			sends_somehow(r->c[(p->at + 1) % RING], &token, way >> 32);
		__atomic_fetch_add(&r->n_passed, 1, __ATOMIC_RELAXED);
	}
	add(&r->n_ended, 1);
}

static void *thread_passes_on(void *place)
{
	passes_on(place);
	return NULL;
}

static int start_ring(struct ring *r, struct place places[RING], pthread_t threads[RING],
		      uint64_t *random)
{
	int n_threads = 0;
	for (int i = 0; i < RING; i++)
		r->c[i] = goro_chan_of(int, tap_random(random) % 3);
	for (int i = 0; i < RING; i++) {
		places[i] = (struct place){r, i, tap_random(random)};
		if (tap_random(random) % 3 == 0 && n_threads < THREADS)
			require_eq(pthread_create(&threads[n_threads++], NULL, thread_passes_on,
						  &places[i]),
				   0);
		else
			require_eq(goro_spawn(passes_on, &places[i]), 0);
	}
	return n_threads;
}

/* Takes the tokens out again, each once, then ends the ring by a negative one. */
static void stop_ring(struct ring *r)
{
	bool seen[TOKENS] = {0};
	int token, end = -1;
	for (int i = 0; i < TOKENS; i++) {
		goro_chan_recv(r->c[0], &token);
		require(token >= 0 && token < TOKENS && !seen[token]);
		seen[token] = true;
	}
	goro_chan_send(r->c[0], &end);
	wait_for(load(&r->n_ended) == RING);
}

GORO_CASE(tokens_go_round_through_threads_and_goroutines, .timeout_s = 60)
{
	uint64_t random = tap_seed();
	int64_t n_passed = 0, end = tap_now() + GORO_SEC(1) * tap_seconds;
	for (int round = 0; round == 0 || tap_now() < end; round++) {
		struct ring r = {0};
		struct place places[RING];
		pthread_t threads[RING];
		int n = start_ring(&r, places, threads, &random);
		for (int i = 0; i < TOKENS; i++)
			goro_put(r.c[0], i);
		goro_sleep(GORO_MS(20) + (int64_t)(tap_random(&random) % 30000000));
		stop_ring(&r);
		for (int i = 0; i < n; i++)
			pthread_join(threads[i], NULL);
		for (int i = 0; i < RING; i++)
			goro_chan_unref(r.c[i]);
		n_passed += r.n_passed;
	}
	wait_for(goro_count() == 1);
	printf("# %" PRId64 " passed on\n", n_passed);
}

/* ---- gates ---- */

struct gates {
	goro_chan *gate[2];
	int n_rounds, n_waiting, n_through, is_over, n_ended;
	bool is_last;
};

enum { MEMBERS = 16 };

/* Every member waits at this round's gate; whoever comes last makes the next one and opens it. */
static void open_gate(struct gates *g, int round)
{
	goro_chan *gate = goro_chan_ref(g->gate[round % 2]);
	g->gate[(round + 1) % 2] = goro_chan_make(0, 0);
	g->is_last = load(&g->is_over) != 0;
	g->n_rounds = round + 1;
	store(&g->n_waiting, 0);
	store(&g->n_through, 1);
	goro_chan_close(gate);
	goro_chan_unref(gate);
}

static void goes_through_gates(void *arg)
{
	struct gates *g = arg;
	bool is_last = false;
	for (int round = 0; !is_last; round++) {
		goro_chan *gate = g->gate[round % 2];
		if (add(&g->n_waiting, 1) == MEMBERS) {
			open_gate(g, round);
			is_last = g->is_last;
			continue;
		}
		require(!goro_chan_recv(gate, NULL));
		is_last = g->is_last; /* written before the close */
		if (add(&g->n_through, 1) == MEMBERS)
			goro_chan_unref(gate);
	}
	add(&g->n_ended, 1);
}

static void *thread_goes_through_gates(void *g)
{
	goes_through_gates(g);
	return NULL;
}

GORO_CASE(close_lets_every_thread_and_goroutine_through, .timeout_s = 60)
{
	struct gates g = {.gate = {goro_chan_make(0, 0)}};
	pthread_t threads[MEMBERS / 2];
	for (int i = 0; i < MEMBERS / 2; i++) {
		require_eq(pthread_create(&threads[i], NULL, thread_goes_through_gates, &g), 0);
		require_eq(goro_spawn(goes_through_gates, &g), 0);
	}
	goro_sleep(GORO_SEC(1) * tap_seconds);
	store(&g.is_over, 1);
	wait_for(load(&g.n_ended) == MEMBERS);
	for (int i = 0; i < MEMBERS / 2; i++)
		pthread_join(threads[i], NULL);
	wait_for(goro_count() == 1);
	printf("# %d gates\n", g.n_rounds);
	goro_chan_unref(g.gate[g.n_rounds % 2]);
}

/* ---- questions ---- */

struct desk {
	goro_chan *questions; /* of goro_chan *: where the answer goes to */
	int is_over, n_ended, n_wrong;
	int64_t n_asked;
	uint64_t seed;
};

static void answers(void *arg)
{
	struct desk *d = arg;
	goro_chan *to;
	while (goro_chan_recv(d->questions, &to)) {
		int64_t answer = (int64_t)(intptr_t)to;
		goro_chan_send(to, &answer);
		goro_chan_unref(to);
	}
	add(&d->n_ended, 1);
}

static void answers_one(void *arg)
{
	goro_chan *to = arg;
	int64_t answer = (int64_t)(intptr_t)to;
	goro_chan_send(to, &answer);
	goro_chan_unref(to);
}

/* The channel goes with the last reference, which either side may hold. */
static void asks(void *arg)
{
	struct desk *d = arg;
	uint64_t random = d->seed + (uint64_t)thread_id() + goro_id();
	while (!load(&d->is_over)) {
		uint64_t way = tap_random(&random);
		goro_chan *back = goro_chan_of(int64_t, way >> 8 & 1);
		require(back != NULL);
		goro_chan_ref(back);
		if (way % 4 == 0)
			require_eq(goro_spawn(answers_one, back), 0);
		else
			goro_chan_send(d->questions, &back);
		dawdles(way >> 16);
		add(&d->n_wrong, goro_get(back, int64_t) != (int64_t)(intptr_t)back);
		goro_chan_unref(back);
		__atomic_fetch_add(&d->n_asked, 1, __ATOMIC_RELAXED);
	}
	add(&d->n_ended, 1);
}

static void *thread_answers(void *d)
{
	answers(d);
	return NULL;
}

static void *thread_asks(void *d)
{
	asks(d);
	return NULL;
}

GORO_CASE(questions_and_answers_cross_both_ways, .timeout_s = 60)
{
	enum { EACH = 4 };
	struct desk d = {.questions = goro_chan_of(goro_chan *, 2), .seed = tap_seed()};
	pthread_t asking[EACH], answering[EACH];
	for (int i = 0; i < EACH; i++) {
		require_eq(pthread_create(&asking[i], NULL, thread_asks, &d), 0);
		require_eq(pthread_create(&answering[i], NULL, thread_answers, &d), 0);
		require_eq(goro_spawn(asks, &d), 0);
		require_eq(goro_spawn(answers, &d), 0);
	}
	goro_sleep(GORO_SEC(1) * tap_seconds);
	store(&d.is_over, 1);
	wait_for(load(&d.n_ended) == 2 * EACH);
	goro_chan_close(d.questions);
	wait_for(load(&d.n_ended) == 4 * EACH);
	for (int i = 0; i < EACH; i++) {
		pthread_join(asking[i], NULL);
		pthread_join(answering[i], NULL);
	}
	wait_for(goro_count() == 1);
	goro_chan_unref(d.questions);
	expect_eq(d.n_wrong, 0);
	printf("# %" PRId64 " asked\n", d.n_asked);
}

/* ---- looking and changing ---- */

static void call_panic(void *unused)
{
	(void)unused;
	goro_panic("thread %d", 7);
}

struct crowd {
	int is_over, n_rounds[4], n_bad, n_ended;
};

static void *thread_changes_procs(void *arg)
{
	struct crowd *c = arg;
	while (!load(&c->is_over)) {
		goro_maxprocs(add(&c->n_rounds[0], 1) % 8 + 1);
		goro_sleep(GORO_US(100));
	}
	add(&c->n_ended, 1);
	return NULL;
}

static void *thread_dumps(void *arg)
{
	struct crowd *c = arg;
	while (!load(&c->is_over)) {
		char *text = dump_text();
		add(&c->n_bad, strstr(text, "goroutine 1 [") == NULL);
		add(&c->n_rounds[1], 1);
		free(text);
		goro_sleep(GORO_US(100));
	}
	add(&c->n_ended, 1);
	return NULL;
}

static void *thread_counts(void *arg)
{
	struct crowd *c = arg;
	while (!load(&c->is_over)) {
		add(&c->n_bad, goro_count() < 1 || goro_maxprocs(0) < 1 || goro_id() != 0);
		add(&c->n_rounds[2], 1);
		goro_checkpoint();
	}
	add(&c->n_ended, 1);
	return NULL;
}

static void *thread_panics(void *arg)
{
	struct crowd *c = arg;
	while (!load(&c->is_over)) {
		add(&c->n_bad, strcmp(panic_of(call_panic, NULL).text, "thread 7") != 0);
		add(&c->n_rounds[3], 1);
	}
	add(&c->n_ended, 1);
	return NULL;
}

static void yields_until(int *is_over)
{
	while (!load(is_over))
		goro_yield();
}

GORO_CASE(threads_look_and_change_while_goroutines_run, .timeout_s = 60)
{
	static void *(*const what[])(void *) = {thread_changes_procs, thread_dumps, thread_counts,
						thread_panics};
	struct crowd c = {0};
	pthread_t threads[4];
	int n = goro_maxprocs(0);
	for (int i = 0; i < 8; i++)
		go(yields_until, &c.is_over);
	for (int i = 0; i < 4; i++)
		require_eq(pthread_create(&threads[i], NULL, what[i], &c), 0);
	goro_sleep(GORO_SEC(1) * tap_seconds);
	for (int i = 0; i < 4; i++)
		wait_for(load(&c.n_rounds[i]) >= 20);
	store(&c.is_over, 1);
	wait_for(load(&c.n_ended) == 4); /* pthread_join would keep the P, which they may stop */
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	wait_for(goro_count() == 1);
	goro_maxprocs(n);
	expect_eq(c.n_bad, 0);
}

TAP_MAIN
