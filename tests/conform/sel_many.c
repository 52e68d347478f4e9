/*
 * sel_many.c - SEL-02, 08, 11, TIM-13: many selects: who is chosen, who meets whom, and how often.
 *
 *   the same select again and again -> shares, counts, sequence numbers
 *
 * Go: chan_test.go: TestSelectFairness, TestPseudoRandomSend, TestSelectStress, proc_test.go:
 * TestTimerFairness; test/ken/chan.go. libdill: choose.c.
 */
#include "goro_tap.h"

static int64_t between(int64_t value, int64_t low, int64_t high)
{
	return value >= low && value <= high;
}

/* ---- SEL-02 ---- */

GORO_CASE(two_ready_of_four_are_chosen_alike, .id = "SEL-02")
{
	enum { ROUNDS = 10000 };
	goro_chan *never = goro_chan_of(int, 0);
	goro_chan *a = goro_chan_of(int, ROUNDS), *b = goro_chan_of(int, ROUNDS);
	int n_a = 0, n_b = 0;
	for (int i = 0; i < ROUNDS; i++) {
		goro_put(a, i);
		goro_put(b, i);
	}
	for (int i = 0; i < ROUNDS; i++) {
		int value, done = goro_select_of(GORO_FOREVER, GORO_RECV(never, NULL),
						 GORO_RECV(never, NULL), GORO_RECV(a, &value),
						 GORO_RECV(b, &value));
		expect_eq(value, done == 2 ? n_a : n_b);
		n_a += done == 2;
		n_b += done == 3;
	}
	expect_eq(n_a + n_b, ROUNDS);
	expect(between(n_a, 4500, 5500));
}

/* Every place of n ready cases, with a default and without. */
static void try_shares(int n, int64_t deadline)
{
	enum { ROUNDS = 20000, MOST = 40 };
	goro_case cases[MOST];
	int count[MOST] = {0};
	for (int i = 0; i < n; i++) {
		cases[i] = GORO_RECV(goro_chan_of(int, 1), NULL);
		goro_put(cases[i].chan, 1);
	}
	for (int i = 0; i < ROUNDS; i++) {
		int done = goro_select(cases, (size_t)n, deadline);
		count[done]++;
		goro_put(cases[done].chan, 1);
	}
	for (int i = 0; i < n; i++) {
		/* Eight standard deviations. */
		double even = (double)ROUNDS / n;
		double off = (double)count[i] - even;
		expect_lt(off * off, 64 * even);
		goro_chan_unref(cases[i].chan);
	}
}

GORO_CASE(every_ready_case_has_its_share, .id = "SEL-02")
{
	static const int counts[] = {2, 3, 8, 15, 16, 17, 40};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		try_shares(counts[i], GORO_FOREVER);
		try_shares(counts[i], GORO_POLL);
	}
}

static void *shares_in_a_thread(void *unused)
{
	try_shares(3, GORO_FOREVER);
	try_shares(20, GORO_POLL);
	return unused;
}

TAP_CASE(a_plain_thread_chooses_alike_too, .id = "SEL-02", .procs = "-")
{
	shares_in_a_thread(NULL);
}

static void sends_a_bit(goro_chan *c, int n)
{
	int zero = 0, one = 1;
	for (int i = 0; i < n; i++)
		goro_select_of(GORO_FOREVER, GORO_SEND(c, &zero), GORO_SEND(c, &one));
	goro_chan_close(c);
}

GORO_CASE(two_sends_to_one_channel_are_chosen_alike, .id = "SEL-02")
{
	for (size_t capacity = 0; capacity <= 100; capacity += 50) {
		enum { ROUNDS = 1000 };
		goro_chan *c = goro_chan_of(int, capacity);
		int n = 0, n_ones = 0, bit;
		go(sends_a_bit, c, ROUNDS);
		for (; goro_chan_recv(c, &bit); n++) {
			n_ones += bit;
			if (n % 2 == 0)
				goro_yield(); /* so that the sender is parked, too */
		}
		expect_eq(n, ROUNDS);
		expect(between(n_ones, 350, 650));
		wait_for(goro_count() == 1);
		goro_chan_unref(c);
	}
}

/* ---- SEL-08 ---- */

enum { CHANNELS = 4, ITEMS = TAP_SANITIZED ? 2000 : 20000 };

struct traffic {
	goro_chan *c[CHANNELS], *done;
};

static void sends_items(goro_chan *c, goro_chan *done)
{
	for (int i = 0; i < ITEMS; i++)
		goro_put(c, i);
	goro_put(done, 1);
}

static void receives_items(goro_chan *c, goro_chan *done)
{
	for (int i = 0; i < ITEMS; i++)
		goro_get(c, int);
	goro_put(done, 1);
}

/* Its cases are switched off one after the other, as their quotas are met. */
static void selects_items(struct traffic *t, bool is_send)
{
	goro_case cases[CHANNELS];
	int value[CHANNELS] = {0}, left[CHANNELS], n_left = CHANNELS;
	for (int i = 0; i < CHANNELS; i++) {
		left[i] = ITEMS;
		if (is_send)
			cases[i] = GORO_SEND(t->c[i], &value[i]);
		else
			cases[i] = GORO_RECV(t->c[i], &value[i]);
	}
	while (n_left > 0) {
		int done = goro_select(cases, CHANNELS, GORO_FOREVER);
		if (--left[done] == 0) {
			cases[done].chan = NULL;
			n_left--;
		}
	}
	goro_put(t->done, 1);
}

GORO_CASE(cases_are_switched_off_as_quotas_are_met, .id = "SEL-08", .is_race = true,
	  .timeout_s = 60)
{
	static const size_t capacities[CHANNELS] = {0, 0, 2, 3};
	struct traffic t = {.done = goro_chan_of(int, 0)};
	for (int i = 0; i < CHANNELS; i++) {
		t.c[i] = goro_chan_of(int, capacities[i]);
		go(sends_items, t.c[i], t.done);
		go(receives_items, t.c[i], t.done);
	}
	go(selects_items, &t, true);
	go(selects_items, &t, false);
	for (int i = 0; i < 2 * CHANNELS + 2; i++)
		goro_get(t.done, int);
	for (int i = 0; i < CHANNELS; i++) {
		expect_eq(goro_chan_len(t.c[i]), 0);
		expect_eq(goro_chan_tryrecv(t.c[i], NULL), -EAGAIN);
		expect_eq(goro_chan_trysend(t.c[i], &(int){1}), capacities[i] ? 0 : -EAGAIN);
	}
}

static void sends_to_each(goro_case *cases, int n, uint64_t seed, int n_rounds)
{
	for (int i = 0; i < n_rounds; i++) {
		int at = (int)(tap_random(&seed) % (uint64_t)n);
		goro_put(cases[at].chan, at);
	}
}

GORO_CASE(one_of_a_thousand_is_the_right_one, .id = "SEL-08", .timeout_s = 60)
{
	enum { N = 1000, ROUNDS = 1000 / TAP_SLOWER };
	static goro_case cases[N];
	uint64_t state = tap_seed();
	int value = -1;
	for (int i = 0; i < N; i++)
		cases[i] = GORO_RECV(goro_chan_of(int, (size_t)(i % 2)), &value);
	for (int i = 0; i < ROUNDS; i++) {
		int at = (int)(tap_random(&state) % N) | 1;
		goro_put(cases[at].chan, at);
		expect_eq(goro_select(cases, N, i % 2 ? GORO_POLL : GORO_FOREVER), at);
		expect_eq(value, at);
	}
	go(sends_to_each, cases, N, state, ROUNDS);
	for (int i = 0; i < ROUNDS; i++) {
		value = -1;
		int done = goro_select(cases, N, GORO_FOREVER);
		expect_eq(value, done);
	}
	expect_eq(goro_select(cases, N, GORO_POLL), -ETIMEDOUT);
}

GORO_CASE(thousands_of_cases_on_few_channels, .id = "SEL-08")
{
	enum { N = 5000 };
	static goro_case cases[N];
	goro_chan *c[3];
	int value = 0;
	for (int i = 0; i < 3; i++)
		c[i] = goro_chan_of(int, 0);
	for (int i = 0; i < N; i++)
		cases[i] = i % 7 ? GORO_RECV(c[i % 3], &value) : (goro_case){0};
	expect_eq(goro_select(cases, N, GORO_POLL), -ETIMEDOUT);
	expect_eq(goro_select(cases, N, goro_now() + GORO_MS(1)), -ETIMEDOUT);
	struct role sender = {.c = c[1], .value = 77};
	goro_spawn(role_sends, &sender);
	int done = goro_select(cases, N, GORO_FOREVER);
	expect_eq(done % 3, 1);
	expect(done % 7 != 0);
	expect_eq(value, 77);
	wait_for(goro_count() == 1);
	for (int i = 0; i < 3; i++)
		goro_chan_unref(c[i]);
}

static void selects_turned(goro_chan *a, goro_chan *b, goro_chan *done, bool is_send)
{
	int64_t sum = 0;
	for (int i = 0; i < ITEMS; i++) {
		int x = i, y = i;
		int which = is_send ? goro_select_of(GORO_FOREVER, GORO_SEND(a, &x),
						     GORO_SEND(b, &y))
				    : goro_select_of(GORO_FOREVER, GORO_RECV(a, &x),
						     GORO_RECV(b, &y));
		sum += which == 0 ? x : y;
	}
	goro_put(done, sum);
}

GORO_CASE(opposed_orders_do_not_lock_each_other_out, .id = "SEL-08", .is_race = true,
	  .timeout_s = 60)
{
	goro_chan *a = goro_chan_of(int, 0), *b = goro_chan_of(int, 0);
	goro_chan *done = goro_chan_of(int64_t, 0);
	go(selects_turned, a, b, done, false);
	go(selects_turned, b, a, done, false);
	go(selects_turned, a, b, done, true);
	go(selects_turned, b, a, done, true);
	int64_t sum = 0;
	for (int i = 0; i < 4; i++)
		sum += goro_get(done, int64_t);
	expect_eq(sum, 4 * ((int64_t)ITEMS * (ITEMS - 1) / 2));
}

/* ---- SEL-11 ---- */

static void sends_by_select(goro_chan *a, goro_chan *b, int value, goro_chan *done)
{
	int which = goro_select_of(GORO_FOREVER, GORO_SEND(a, &value), GORO_SEND(b, &value));
	goro_put(done, which);
}

static void receives_by_select(goro_chan *a, goro_chan *b, int expected, goro_chan *done)
{
	int x = -1, y = -1;
	int which = goro_select_of(GORO_FOREVER, GORO_RECV(a, &x), GORO_RECV(b, &y));
	expect_eq(which == 0 ? x : y, expected);
	expect_eq(which == 0 ? y : x, -1);
	goro_put(done, which);
}

GORO_CASE(a_select_meets_a_select, .id = "SEL-11", .is_race = true)
{
	goro_chan *a = goro_chan_of(int, 0), *b = goro_chan_of(int, 0);
	goro_chan *done = goro_chan_of(int, 0);
	for (int order = 0; order < 3; order++)
		for (int i = 0; i < 300; i++) {
			if (order == 0)
				go(sends_by_select, a, b, i, done);
			go(receives_by_select, a, b, i, done);
			if (order == 1)
				wait_until_n_parked(1, "select");
			if (order != 0)
				go(sends_by_select, a, b, i, done);
			int first = goro_get(done, int);
			expect_eq(goro_get(done, int), first);
			i += order == 1 ? 9 : 0;
		}
}

static void sends_and_receives(goro_chan *c, int value, goro_chan *done)
{
	int got = -1, sent = value;
	int which = goro_select_of(GORO_FOREVER, GORO_SEND(c, &sent), GORO_RECV(c, &got));
	goro_put(done, which == 0 ? value : got);
}

/* A send and a receive on one channel: it never meets itself, but the next one of its kind. */
GORO_CASE(a_select_never_meets_itself, .id = "SEL-11", .is_race = true)
{
	goro_chan *c = goro_chan_of(int, 0), *done = goro_chan_of(int, 0);
	int got = -1, sent = 4;
	expect_eq(goro_select_of(GORO_POLL, GORO_SEND(c, &sent), GORO_RECV(c, &got)), -ETIMEDOUT);
	expect_eq(goro_select_of(goro_now() + GORO_US(300), GORO_SEND(c, &sent),
				 GORO_RECV(c, &got)),
		  -ETIMEDOUT);
	expect_eq(got, -1);
	for (int i = 0; i < 500; i++) {
		go(sends_and_receives, c, 2 * i, done);
		go(sends_and_receives, c, 2 * i + 1, done);
		int one = goro_get(done, int);
		expect_eq(one / 2, i);
		expect_eq(goro_get(done, int), one);
	}
	/* Against plain ones. */
	for (int i = 0; i < 100; i++) {
		go(sends_and_receives, c, i, done);
		if (i % 2)
			expect_eq(goro_get(c, int), i);
		else
			goro_put(c, i);
		expect_eq(goro_get(done, int), i);
	}
}

struct pairing {
	goro_chan *c[4], *done;
};

static void pair_sends(struct pairing *p, uint64_t seed, int n)
{
	int next[4] = {0};
	for (int i = 0; i < n; i++) {
		unsigned a = tap_random(&seed) % 4, b = tap_random(&seed) % 4;
		int which = goro_select_of(GORO_FOREVER, GORO_SEND(p->c[a], &next[a]),
					   GORO_SEND(p->c[b], &next[b]), GORO_SEND(NULL, NULL),
					   GORO_SEND(p->c[(a + 1) % 4], &next[(a + 1) % 4]));
		next[which == 0 ? a : which == 1 ? b : (a + 1) % 4]++;
	}
	for (int i = 0; i < 4; i++)
		goro_chan_close(p->c[i]);
}

static void pair_receives(struct pairing *p, uint64_t seed)
{
	int next[4] = {0}, n = 0;
	for (int n_open = 4; n_open > 0;) {
		goro_case cases[4];
		int value[4];
		bool ok[4];
		unsigned turn = tap_random(&seed) % 4;
		for (unsigned i = 0; i < 4; i++)
			cases[i] = GORO_RECV_OK(next[(i + turn) % 4] < 0 ? NULL
									 : p->c[(i + turn) % 4],
						&value[i], &ok[i]);
		int done = goro_select(cases, 4, GORO_FOREVER);
		unsigned at = ((unsigned)done + turn) % 4;
		if (!ok[done]) {
			next[at] = -1;
			n_open--;
			continue;
		}
		expect_eq(value[done], next[at]++);
		n++;
	}
	goro_put(p->done, n);
}

GORO_CASE(random_pairs_keep_the_order_of_each_channel, .id = "SEL-11", .is_race = true,
	  .timeout_s = 60)
{
	enum { ROUNDS = 100000 / TAP_SLOWER };
	uint64_t state = tap_seed();
	struct pairing p = {.done = goro_chan_of(int, 0)};
	for (int i = 0; i < 4; i++)
		p.c[i] = goro_chan_of(int, 0);
	go(pair_receives, &p, tap_random(&state));
	go(pair_sends, &p, tap_random(&state), ROUNDS);
	expect_eq(goro_get(p.done, int), ROUNDS);
}

static void *thread_selects(void *arg)
{
	goro_chan **c = arg;
	int64_t sum = 0;
	for (int n = 0; n < 1000; n++) {
		int x, y = n;
		int which = goro_select_of(GORO_FOREVER, GORO_RECV(c[0], &x), GORO_SEND(c[1], &y));
		sum += which == 0 ? x : -y;
	}
	goro_put(c[2], sum);
	return NULL;
}

GORO_CASE(a_plain_thread_and_goroutines_select_against_each_other, .id = "SEL-11",
	  .is_race = true)
{
	goro_chan *c[3] = {goro_chan_of(int, 0), goro_chan_of(int, 0), goro_chan_of(int64_t, 0)};
	pthread_t thread;
	int64_t sum = 0, theirs = 0;
	int done = -1;
	require_eq(pthread_create(&thread, NULL, thread_selects, c), 0);
	for (int n = 0; done != 2; n++) {
		int x = n, y;
		done = goro_select_of(GORO_FOREVER, GORO_SEND(c[0], &x), GORO_RECV(c[1], &y),
				      GORO_RECV(c[2], &theirs));
		sum += done == 0 ? x : done == 1 ? -y : 0;
	}
	pthread_join(thread, NULL);
	expect_eq(sum, theirs);
}

/* ---- TIM-13, the half that is select's ---- */

static void sleeps_and_closes(goro_chan *quit)
{
	goro_sleep(GORO_MS(20));
	goro_chan_close(quit);
}

static void passes_back(goro_chan *there, goro_chan *back, goro_chan *quit)
{
	int token;
	while (goro_select_of(GORO_FOREVER, GORO_RECV(there, &token), GORO_RECV(quit, NULL)) == 0 &&
	       goro_select_of(GORO_FOREVER, GORO_SEND(back, &token), GORO_RECV(quit, NULL)) == 0)
		continue;
}

GORO_CASE(a_sleeper_ends_an_exchange_of_selects, .id = "TIM-13", .procs = "1", .is_alone = true)
{
	goro_chan *there = goro_chan_of(int, 0), *back = goro_chan_of(int, 0);
	goro_chan *quit = goro_chan_make(0, 0);
	int64_t start = goro_now();
	go(passes_back, there, back, quit);
	go(passes_back, back, there, quit);
	go(sleeps_and_closes, quit);
	goro_put(there, 1);
	goro_chan_recv(quit, NULL);
	expect_lt(goro_now() - start, GORO_MS(120) * TAP_SLOWER);
	wait_for(goro_count() == 1);
}

GORO_CASE(a_deadline_ends_an_exchange_of_selects, .id = "TIM-13", .procs = "1", .is_alone = true)
{
	goro_chan *there = goro_chan_of(int, 0), *back = goro_chan_of(int, 0);
	goro_chan *quit = goro_chan_make(0, 0), *never = goro_chan_make(0, 0);
	int64_t start = goro_now();
	go(passes_back, there, back, quit);
	go(passes_back, back, there, quit);
	goro_put(there, 1);
	expect_eq(goro_select_of(start + GORO_MS(20), GORO_RECV(never, NULL),
				 GORO_SEND(never, NULL)),
		  -ETIMEDOUT);
	expect_lt(goro_now() - start, GORO_MS(120) * TAP_SLOWER);
	goro_chan_close(quit);
	wait_for(goro_count() == 1);
}

TAP_MAIN
