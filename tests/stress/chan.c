/*
 * chan.c - stress: rings, crowds and races on channels; what goes in comes out exactly once.
 *
 *   senders, receivers, closers by chance -> counts and sums of both sides agree -> nobody is left
 *
 * Each case runs tap_seconds seconds and can be replayed with GORO_SEED, as far as the program's
 * own choices go.
 */
#include "goro_tap.h"

static int64_t end_of_time(void)
{
	return tap_now() + GORO_SEC(1) * tap_seconds;
}

/*
 * Goroutines that are still at work. That one has ended orders nothing, so each says it itself
 * before what it wrote is read and what it used is freed.
 */
static int n_at_work;

static void wait_for_all(void)
{
	wait_for(load(&n_at_work) == 0);
	wait_for(goro_count() == 1);
}

/* ---- rings ---- */

static void passes_on(goro_chan *from, goro_chan *to)
{
	uint64_t token;
	while (goro_chan_recv(from, &token)) {
		token++;
		goro_chan_send(to, &token);
	}
	goro_chan_close(to);
	add(&n_at_work, -1);
}

/* Several tokens go round; each has been added to by every member once a lap. */
static void run_ring(int n_members, int n_tokens, int n_laps, size_t capacity)
{
	goro_chan *links[200];
	for (int i = 0; i <= n_members; i++)
		links[i] = goro_chan_of(uint64_t, capacity);
	add(&n_at_work, n_members);
	for (int i = 0; i < n_members; i++)
		go(passes_on, links[i], links[i + 1]);
	/* More tokens than there is room for would wait for each other. */
	for (int i = 0; i < n_tokens; i++)
		goro_put(links[0], (uint64_t)0);
	uint64_t sum = 0;
	for (int lap = 0; lap < n_laps; lap++)
		for (int i = 0; i < n_tokens; i++) {
			uint64_t token = goro_get(links[n_members], uint64_t);
			sum += token;
			if (lap + 1 < n_laps)
				goro_put(links[0], token);
		}
	uint64_t laps = (uint64_t)n_laps * (uint64_t)(n_laps + 1) / 2;
	expect_eq(sum, laps * (uint64_t)n_members * (uint64_t)n_tokens);
	goro_chan_close(links[0]);
	expect(!goro_chan_recv(links[n_members], NULL));
	wait_for_all();
	for (int i = 0; i <= n_members; i++)
		goro_chan_unref(links[i]);
}

GORO_CASE(rings_pass_their_tokens, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	for (int64_t end = end_of_time(); tap_now() < end;) {
		int n_members = (int)(tap_random(&state) % 190) + 2;
		run_ring(n_members, (int)(tap_random(&state) % (uint64_t)n_members) + 1,
			 (int)(tap_random(&state) % 20) + 1, tap_random(&state) % 3);
	}
}

/* ---- many producers, many consumers ---- */

struct market {
	goro_chan *c;
	uint64_t sent, sent_sum, received, received_sum;
	int n_producers, is_stopped;
};

static void produces(struct market *m, uint64_t state)
{
	uint64_t sent = 0, sum = 0;
	while (!load(&m->is_stopped)) {
		uint64_t value = tap_random(&state) % 1000000;
		int result = 0;
		switch (tap_random(&state) % 4) {
		case 0:
			result = goro_chan_trysend(m->c, &value);
			break;
		case 1:
			result = goro_chan_send_until(m->c, &value,
						      goro_now() + (int64_t)(value % 30000));
			break;
		default:
			goro_chan_send(m->c, &value);
		}
		if (result == 0) {
			sent++;
			sum += value;
		} else {
			goro_yield();
		}
	}
	add(&m->sent, sent);
	add(&m->sent_sum, sum);
	if (add(&m->n_producers, -1) == 0)
		goro_chan_close(m->c);
	add(&n_at_work, -1);
}

static int receive_somehow(struct market *m, uint64_t *value, uint64_t choice)
{
	switch (choice % 4) {
	case 0:
		return goro_chan_tryrecv(m->c, value);
	case 1:
		return goro_chan_recv_until(m->c, value,
					    goro_now() + (int64_t)(choice >> 8) % 30000);
	default:
		return goro_chan_recv(m->c, value) ? 0 : -EPIPE;
	}
}

static void consume(struct market *m, uint64_t state, bool is_goroutine)
{
	uint64_t received = 0, sum = 0, value;
	for (;;) {
		int result = receive_somehow(m, &value, tap_random(&state));
		if (result == -EPIPE)
			break;
		if (result == 0) {
			received++;
			sum += value;
		} else if (is_goroutine) {
			goro_yield();
		}
	}
	add(&m->received, received);
	add(&m->received_sum, sum);
}

static void consumes(struct market *m, uint64_t state)
{
	consume(m, state, true);
	add(&n_at_work, -1);
}

static void *thread_consumes(void *m)
{
	consume(m, tap_seed() + 77, false);
	return NULL;
}

static void run_market(uint64_t *state, int64_t ns)
{
	struct market m = {.c = goro_chan_of(uint64_t, tap_random(state) % 10),
			   .n_producers = (int)(tap_random(state) % 10) + 1};
	int n_consumers = (int)(tap_random(state) % 10) + 1;
	bool has_thread = tap_random(state) % 2 == 0;
	pthread_t thread;
	add(&n_at_work, m.n_producers + n_consumers);
	for (int i = m.n_producers; i > 0; i--)
		go(produces, &m, tap_random(state));
	for (int i = 0; i < n_consumers; i++)
		go(consumes, &m, tap_random(state));
	if (has_thread)
		require_eq(pthread_create(&thread, NULL, thread_consumes, &m), 0);
	goro_sleep(ns);
	store(&m.is_stopped, 1);
	wait_for_all();
	if (has_thread)
		pthread_join(thread, NULL);
	expect_eq(m.sent, m.received);
	expect_eq(m.sent_sum, m.received_sum);
	expect_eq(goro_chan_len(m.c), 0);
	goro_chan_unref(m.c);
}

GORO_CASE(producers_and_consumers_agree_on_count_and_sum, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	for (int64_t end = end_of_time(); tap_now() < end;)
		run_market(&state, (int64_t)(tap_random(&state) % 50000000));
}

/* ---- close against everything ---- */

struct brawl {
	goro_chan *c;
	int sent, received, n_panics, n_closed, n_odd;
};

struct fighter {
	struct brawl *brawl;
	uint64_t choice;
	int value, result;
};

static void sends_somehow(void *arg)
{
	struct fighter *f = arg;
	goro_chan *c = f->brawl->c;
	switch (f->choice % 3) {
	case 0:
		goro_chan_send(c, &f->value);
		f->result = 0;
		break;
	case 1:
		f->result = goro_chan_trysend(c, &f->value);
		break;
	default:
		f->result = goro_chan_send_until(c, &f->value,
						 goro_now() + (int64_t)(f->choice >> 8) % 20000);
	}
}

static void fights_as_sender(struct brawl *b, uint64_t state)
{
	struct fighter f = {.brawl = b, .value = 1};
	char text[64];
	for (;;) {
		f.choice = tap_random(&state);
		if (!goro_try(sends_somehow, &f, text, sizeof(text)))
			break;
		if (f.result == 0)
			add(&b->sent, 1);
		else if (f.result != -EAGAIN && f.result != -ETIMEDOUT)
			add(&b->n_odd, 1);
		if (f.choice % 7 == 0)
			goro_yield();
	}
	add(strcmp(text, "send on closed channel") == 0 ? &b->n_panics : &b->n_odd, 1);
	add(&n_at_work, -1);
}

static void fights_as_receiver(struct brawl *b, uint64_t state)
{
	int value, result = 0;
	do {
		uint64_t choice = tap_random(&state);
		value = 7;
		if (choice % 3 == 0)
			result = goro_chan_recv(b->c, &value) ? 0 : -EPIPE;
		else if (choice % 3 == 1)
			result = goro_chan_tryrecv(b->c, &value);
		else
			result = goro_chan_recv_until(b->c, &value,
						      goro_now() + (int64_t)(choice >> 8) % 20000);
		if (result == 0)
			add(&b->received, 1);
		/* One of ours, zeroed at the end, or left alone. */
		if (value != (result == 0 ? 1 : result == -EPIPE ? 0 : 7))
			add(&b->n_odd, 1);
		if (result == -EAGAIN)
			goro_yield();
	} while (result != -EPIPE);
	add(&n_at_work, -1);
}

static void closes_some_time(struct brawl *b, uint64_t choice)
{
	if (choice % 3 == 0)
		goro_sleep((int64_t)(choice >> 8) % 300000);
	else
		for (uint64_t i = 0; i < choice % 20; i++)
			goro_yield();
	if (panic_of(call_close, b->c).text[0] == '\0')
		add(&b->n_closed, 1);
	add(&n_at_work, -1);
}

GORO_CASE(close_against_send_receive_try_and_until, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	int n_rounds = 0;
	for (int64_t end = end_of_time(); tap_now() < end; n_rounds++) {
		struct brawl b = {.c = goro_chan_of(int, tap_random(&state) % 3)};
		int n_senders = (int)(tap_random(&state) % 6) + 1;
		int n_receivers = (int)(tap_random(&state) % 6) + 1;
		add(&n_at_work, n_senders + n_receivers + 2);
		for (int i = 0; i < n_senders; i++)
			go(fights_as_sender, &b, tap_random(&state));
		for (int i = 0; i < n_receivers; i++)
			go(fights_as_receiver, &b, tap_random(&state));
		for (int i = 0; i < 2; i++)
			go(closes_some_time, &b, tap_random(&state));
		wait_for_all();
		expect_eq(b.sent, b.received);
		expect_eq(b.n_panics, n_senders);
		expect_eq(b.n_closed, 1);
		expect_eq(b.n_odd, 0);
		goro_chan_unref(b.c);
	}
	printf("# %d rounds\n", n_rounds);
}

TAP_MAIN
