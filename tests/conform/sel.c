/*
 * sel.c - SEL-01: which case a select does, and that it does no other.
 *
 *   cases -> ready ones -> one of them, by chance; none -> default, deadline, or a parked select
 *
 * The halves of CHN-03, 05, 06, 08 and 09 that speak of select are here too.
 *
 * Go: test/chan/select3.go, select4.go, select5.go, select7.go; test/closedchan.go. libdill:
 * choose.c.
 */
#include "goro_tap.h"

enum { PATTERN = (int)0xaaaaaaaa };

/* ---- SEL-01: the matrix ---- */

/* What a case finds. The first ones can be done at once. */
enum found { BUFFER, PARTNER, CLOSED, NOT_READY, NIL, N_FOUND };

struct field {
	enum found found;
	bool is_send;
	goro_chan *c;
	struct role partner;
	int value;
	bool ok;
};

/* A channel in that state. */
static void field_make(struct field *f, bool is_send, enum found found)
{
	*f = (struct field){
		.found = found, .is_send = is_send, .value = is_send ? 43 : PATTERN};
	if (found == NIL)
		return;
	f->c = goro_chan_of(int, found == BUFFER ? 2 : 0);
	if (found == BUFFER && !is_send)
		goro_put(f->c, 41);
	if (found == PARTNER) {
		f->partner = (struct role){.c = f->c, .value = 42, .done = goro_chan_of(int, 1)};
		start_parked(is_send ? role_receives : role_sends, &f->partner,
			     is_send ? "chan receive" : "chan send");
	}
	if (found == CLOSED)
		goro_chan_close(f->c);
}

static goro_case field_case(struct field *f)
{
	if (f->is_send)
		return GORO_SEND(f->c, &f->value);
	f->ok = f->found == CLOSED;
	return GORO_RECV_OK(f->c, &f->value, &f->ok);
}

/* The operation was done, with the right result, or left no trace. */
static void field_check(struct field *f, bool is_done)
{
	static const int received[] = {41, 42, 0};
	if (f->is_send) {
		expect_eq(f->value, 43);
		if (is_done && f->found == BUFFER)
			expect_eq(goro_get(f->c, int), 43);
		if (is_done && f->found == PARTNER)
			expect_eq(goro_get(f->partner.done, int), 43);
	} else if (is_done) {
		expect_eq(f->value, received[f->found]);
		expect_eq(f->ok, f->found != CLOSED);
	} else {
		expect_eq(f->value, PATTERN);
		expect_eq(f->ok, f->found == CLOSED);
	}
	if (f->c && f->found == BUFFER)
		expect_eq(goro_chan_len(f->c), !is_done && !f->is_send);
}

/* Lets a partner go that nobody chose. */
static void field_free(struct field *f, bool is_done)
{
	if (f->found == PARTNER && !is_done) {
		if (f->is_send)
			goro_put(f->c, 1);
		else
			goro_get(f->c, int);
	}
	/* Its end alone orders nothing. */
	if (f->found == PARTNER && !(is_done && f->is_send))
		goro_get(f->partner.done, int);
	goro_chan_unref(f->partner.done);
	goro_chan_unref(f->c);
}

struct select_call {
	goro_case *cases;
	size_t n;
	int64_t deadline;
	int result;
};

static void call_select(void *arg)
{
	struct select_call *s = arg;
	s->result = goro_select(s->cases, s->n, s->deadline);
}

static bool is_possible(const struct field *f)
{
	return f->found < NOT_READY;
}

/* Fields in their places in an array of n cases, the other places nil. */
static void try_fields(const int kinds[], int n, int64_t deadline)
{
	struct field fields[4];
	goro_case cases[4];
	struct select_call call = {cases, (size_t)n, deadline, -1};
	bool may_do = false, may_panic = false;
	for (int i = 0; i < n; i++) {
		field_make(&fields[i], kinds[i] / N_FOUND, (enum found)(kinds[i] % N_FOUND));
		cases[i] = field_case(&fields[i]);
		may_do |= is_possible(&fields[i]);
		may_panic |= fields[i].is_send && fields[i].found == CLOSED;
	}
	if (!may_do && deadline == GORO_FOREVER)
		deadline = call.deadline = goro_now() + GORO_US(50);
	struct caught caught = panic_of(call_select, &call);
	if (caught.text[0] != '\0') {
		expect(may_panic);
		expect_str(caught.text, "send on closed channel");
		expect_eq(call.result, -1);
	} else if (!may_do) {
		expect_eq(call.result, -ETIMEDOUT);
		expect_ge(goro_now(), deadline);
	} else {
		require(call.result >= 0 && call.result < n);
		expect(is_possible(&fields[call.result]));
		expect(!(fields[call.result].is_send && fields[call.result].found == CLOSED));
	}
	for (int i = 0; i < n; i++)
		field_check(&fields[i], i == call.result);
	for (int i = 0; i < n; i++)
		field_free(&fields[i], i == call.result);
	wait_for(goro_count() == 1);
}

GORO_CASE(a_ready_case_is_chosen_alone, .id = "SEL-01", .is_race = true)
{
	for (int kind = 0; kind < 2 * N_FOUND; kind++)
		for (int poll = 0; poll < 2; poll++)
			try_fields(&kind, 1, poll ? GORO_POLL : GORO_FOREVER);
}

GORO_CASE(a_ready_case_is_chosen_of_two, .id = "SEL-01", .is_race = true)
{
	for (int a = 0; a < 2 * N_FOUND; a++)
		for (int b = 0; b < 2 * N_FOUND; b++)
			for (int poll = 0; poll < 2; poll++)
				try_fields((const int[]){a, b}, 2, poll ? GORO_POLL : GORO_FOREVER);
}

GORO_CASE(a_ready_case_is_chosen_of_three_and_more, .id = "SEL-01", .timeout_s = 60)
{
	uint64_t state = tap_seed();
	for (int round = 0; round < 1000 / TAP_SLOWER; round++) {
		int kinds[4];
		for (int i = 0; i < 4; i++)
			kinds[i] = (int)(tap_random(&state) % (2 * N_FOUND));
		try_fields(kinds, 3 + round % 2, round % 4 < 2 ? GORO_POLL : GORO_FOREVER);
	}
}

GORO_CASE(a_deadline_that_is_past_does_what_is_possible, .id = "SEL-01")
{
	goro_chan *a = goro_chan_of(int, 1), *b = goro_chan_of(int, 1);
	int64_t past[] = {GORO_POLL, -1, INT64_MIN, 1, goro_now() - 1};
	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		int x = PATTERN, y = PATTERN;
		expect_eq(goro_select_of(past[i], GORO_RECV(a, &x), GORO_RECV(b, &y)), -ETIMEDOUT);
		expect_eq(goro_select_of(past[i], GORO_RECV(a, &x)), -ETIMEDOUT);
		expect_eq(goro_select(NULL, 0, past[i]), -ETIMEDOUT);
		expect_eq(goro_select_of(past[i], GORO_RECV(NULL, &x)), -ETIMEDOUT);
		goro_put(b, 7);
		expect_eq(goro_select_of(past[i], GORO_RECV(a, &x), GORO_RECV(b, &y)), 1);
		expect(x == PATTERN && y == 7);
		goro_put(a, 8);
		expect_eq(goro_select_of(past[i], GORO_RECV(NULL, &y), GORO_RECV(a, &x)), 1);
		expect(x == 8 && y == 7);
	}
}

GORO_CASE(null_destinations_discard, .id = "SEL-01")
{
	goro_chan *a = goro_chan_of(int, 1), *b = goro_chan_make(0, 1);
	bool ok = false;
	goro_put(a, 1);
	expect_eq(goro_select_of(GORO_POLL, GORO_RECV(NULL, NULL), GORO_RECV(a, NULL)), 1);
	goro_put(a, 1);
	expect_eq(goro_select_of(GORO_FOREVER, GORO_RECV(b, NULL), GORO_RECV_OK(a, NULL, &ok)), 1);
	expect(ok);
	expect_eq(goro_select_of(GORO_FOREVER, GORO_RECV(a, NULL), GORO_SEND(b, NULL)), 1);
	expect_eq(goro_chan_len(b), 1);
	goro_chan_close(a);
	expect_eq(goro_select_of(GORO_FOREVER, GORO_SEND(b, NULL), GORO_RECV_OK(a, NULL, &ok)), 1);
	expect(!ok);
}

/* ---- parked selects ---- */

enum { MOST = 64 };

struct sleeper {
	goro_case cases[MOST];
	int n;
	int64_t deadline;
	uint64_t id;
	int value[MOST], result;
	bool ok[MOST];
	goro_chan *done;
	struct caught caught;
};

static void sleeper_calls(void *arg)
{
	struct sleeper *s = arg;
	s->result = goro_select(s->cases, (size_t)s->n, s->deadline);
}

static void sleeper_runs(void *arg)
{
	struct sleeper *s = arg;
	store(&s->id, goro_id());
	s->caught = panic_of(sleeper_calls, s);
	goro_chan_send(s->done, NULL);
}

/* It selects on n channels, receiving or sending 100, 101, ...; really blocked. */
static struct sleeper *sleeper_start(struct sleeper *s, goro_chan *const c[], int n, bool is_send,
				     int64_t deadline)
{
	*s = (struct sleeper){.n = n, .deadline = deadline, .result = -1};
	s->done = goro_chan_make(0, 1);
	for (int i = 0; i < n; i++) {
		s->value[i] = is_send ? 100 + i : PATTERN;
		if (is_send)
			s->cases[i] = GORO_SEND(c[i], &s->value[i]);
		else
			s->cases[i] = GORO_RECV_OK(c[i], &s->value[i], &s->ok[i]);
	}
	require_eq(goro_spawn(sleeper_runs, s), 0);
	wait_for(load(&s->id) != 0);
	if (deadline == GORO_FOREVER)
		wait_until_parked(s->id, "select");
	return s;
}

static int sleeper_end(struct sleeper *s)
{
	goro_chan_recv(s->done, NULL);
	goro_chan_unref(s->done);
	for (int i = 0; i < s->n; i++)
		if (!s->cases[i].is_send && i != s->result)
			expect_eq(s->value[i], PATTERN);
	return s->result;
}

GORO_CASE(a_parked_select_receives_from_whoever_comes, .id = "SEL-01")
{
	struct sleeper s;
	for (int n = 2; n < 40; n += n < 20 ? 1 : 7) {
		goro_chan *c[MOST];
		for (int i = 0; i < n; i++)
			c[i] = goro_chan_of(int, (size_t)(i % 2));
		for (int i = 0; i < n; i += 1 + n / 3) {
			sleeper_start(&s, c, n, false, GORO_FOREVER);
			goro_put(c[i], 1000 + i);
			expect_eq(sleeper_end(&s), i);
			expect_eq(s.value[i], 1000 + i);
			expect(s.ok[i]);
		}
		for (int i = 0; i < n; i++) {
			expect_eq(goro_chan_tryrecv(c[i], NULL), -EAGAIN);
			goro_chan_unref(c[i]);
		}
	}
}

GORO_CASE(a_parked_select_sends_to_whoever_comes, .id = "SEL-01")
{
	struct sleeper s;
	for (int n = 2; n < 40; n += n < 20 ? 1 : 7) {
		goro_chan *c[MOST];
		for (int i = 0; i < n; i++)
			c[i] = goro_chan_of(int, 0);
		for (int i = 0; i < n; i += 1 + n / 3) {
			sleeper_start(&s, c, n, true, GORO_FOREVER);
			expect_eq(goro_get(c[i], int), 100 + i);
			expect_eq(sleeper_end(&s), i);
		}
		for (int i = 0; i < n; i++) {
			expect_eq(goro_chan_trysend(c[i], &n), -EAGAIN);
			goro_chan_unref(c[i]);
		}
	}
}

GORO_CASE(select_times_out_and_leaves_every_queue, .id = "SEL-01")
{
	goro_chan *c[20];
	struct sleeper s;
	for (int i = 0; i < 20; i++)
		c[i] = goro_chan_of(int, 0);
	for (int n = 2; n <= 20; n++) {
		int64_t deadline = goro_now() + GORO_US(200);
		sleeper_start(&s, c, n, n % 2 == 0, deadline);
		expect_eq(sleeper_end(&s), -ETIMEDOUT);
		expect_ge(goro_now(), deadline);
		for (int i = 0; i < 20; i++) {
			expect_eq(goro_chan_trysend(c[i], &n), -EAGAIN);
			expect_eq(goro_chan_tryrecv(c[i], NULL), -EAGAIN);
		}
	}
}

/* ---- CHN-05, 06, 08, 09 ---- */

GORO_CASE(close_wakes_parked_selects_and_plain_receivers, .id = "CHN-06", .is_race = true)
{
	static struct sleeper sleepers[50];
	static struct role receivers[50];
	goro_chan *c[2] = {goro_chan_of(int, 0), goro_chan_of(int, 0)};
	for (int i = 0; i < 50; i++) {
		goro_chan *turned[2] = {c[i % 2], c[1 - i % 2]};
		sleeper_start(&sleepers[i], turned, 2, false, GORO_FOREVER);
		receivers[i] = (struct role){.c = c[0], .value = PATTERN, .ok = true};
		start_parked(role_receives, &receivers[i], "chan receive");
	}
	goro_chan_close(c[0]);
	for (int i = 0; i < 50; i++) {
		expect_eq(sleeper_end(&sleepers[i]), i % 2);
		expect_eq(sleepers[i].value[i % 2], 0);
		expect(!sleepers[i].ok[i % 2]);
	}
	wait_for(goro_count() == 1);
	for (int i = 0; i < 50; i++)
		expect(!receivers[i].ok && receivers[i].value == 0);
	expect_eq(goro_chan_trysend(c[1], &(int){1}), -EAGAIN);
}

GORO_CASE(a_closed_channel_drains_first_by_select_too, .id = "CHN-05")
{
	goro_chan *other = goro_chan_of(int, 0);
	for (int n = 1; n <= 2; n++)
		for (int poll = 0; poll < 2; poll++) {
			goro_chan *c = goro_chan_of(int, 2);
			goro_put(c, 5);
			goro_chan_close(c);
			for (int i = 0; i < 4; i++) {
				int value = PATTERN, other_value = PATTERN;
				bool ok = i != 0;
				goro_case cases[2] = {GORO_RECV_OK(c, &value, &ok),
						      GORO_RECV(other, &other_value)};
				expect_eq(goro_select(cases, (size_t)n,
						      poll ? GORO_POLL : GORO_FOREVER),
					  0);
				expect_eq(value, i == 0 ? 5 : 0);
				expect_eq(ok, i == 0);
				expect_eq(other_value, PATTERN);
			}
			goro_chan_unref(c);
		}
}

/* A channel that is closed and sent on in the same select: the parked sender panics. */
GORO_CASE(close_makes_a_parked_select_send_panic, .id = "CHN-08", .is_race = true)
{
	struct sleeper s;
	for (int n = 2; n <= 20; n += 6)
		for (int i = 0; i < n; i += 5) {
			goro_chan *c[MOST];
			for (int k = 0; k < n; k++)
				c[k] = goro_chan_of(int, 0);
			sleeper_start(&s, c, n, true, GORO_FOREVER);
			goro_chan_close(c[i]);
			expect_eq(sleeper_end(&s), -1);
			expect_str(s.caught.text, "send on closed channel");
			for (int k = 0; k < n; k++) {
				/* Sound, and without the value. */
				expect_eq(goro_chan_tryrecv(c[k], NULL), k == i ? -EPIPE : -EAGAIN);
				if (k != i)
					goro_chan_close(c[k]);
				goro_chan_unref(c[k]);
			}
		}
}

GORO_CASE(after_a_caught_panic_of_select_all_channels_go_on, .id = "CHN-08")
{
	goro_chan *closed = goro_chan_of(int, 1), *open = goro_chan_of(int, 1);
	int value = 3;
	goro_put(closed, 9);
	goro_chan_close(closed);
	goro_put(open, 8);
	goro_case cases[3] = {GORO_SEND(open, &value), GORO_SEND(closed, &value),
			      GORO_SEND(closed, &value)};
	for (int n = 1; n <= 3; n++)
		for (int poll = 0; poll < 2; poll++) {
			struct select_call call = {cases + 3 - n, (size_t)n,
						   poll ? GORO_POLL : GORO_FOREVER, -7};
			expect_str(panic_of(call_select, &call).text, "send on closed channel");
			expect_eq(call.result, -7);
		}
	expect_eq(goro_get(open, int), 8);
	expect_eq(goro_chan_len(open), 0);
	expect_eq(goro_get(closed, int), 9);
	expect_eq(goro_chan_tryrecv(closed, NULL), -EPIPE);
	goro_put(open, 1);
	expect_eq(goro_get(open, int), 1);
}

static void selects_on_nil(void *arg)
{
	int value;
	store((uint64_t *)arg, goro_id());
	goro_select_of(GORO_FOREVER, GORO_RECV(NULL, &value), GORO_SEND(NULL, &value));
	expect(false);
}

static void selects_on_nothing(void *arg)
{
	store((uint64_t *)arg, goro_id());
	goro_select(NULL, 0, GORO_FOREVER);
	expect(false);
}

GORO_CASE(only_nil_channels_and_no_cases_park_for_ever, .id = "CHN-09")
{
	uint64_t on_nil = 0, on_nothing = 0;
	goro_spawn(selects_on_nil, &on_nil);
	goro_spawn(selects_on_nothing, &on_nothing);
	wait_for(load(&on_nil) != 0 && load(&on_nothing) != 0);
	wait_until_parked(on_nil, "select");
	wait_until_parked(on_nothing, "select (no cases)");
	goro_sleep(GORO_MS(5));
	expect(is_parked(on_nil, "select"));
	expect(is_parked(on_nothing, "select (no cases)"));
}

GORO_CASE(nil_channels_wait_for_the_deadline, .id = "CHN-09")
{
	int64_t deadline = goro_now() + GORO_MS(2);
	int value = PATTERN;
	expect_eq(goro_select_of(deadline, GORO_RECV(NULL, &value)), -ETIMEDOUT);
	expect_ge(goro_now(), deadline);
	deadline = goro_now() + GORO_MS(2);
	expect_eq(goro_select(NULL, 0, deadline), -ETIMEDOUT);
	expect_ge(goro_now(), deadline);
	expect_eq(value, PATTERN);
}

/* ---- CHN-03 ---- */

enum { QUEUE = 6 };

/* Plain receivers, selects with one case and with two stand in one line. */
GORO_CASE(selects_stand_in_line_with_plain_operations, .id = "CHN-03")
{
	struct sleeper s[QUEUE];
	struct role r[QUEUE];
	goro_chan *c = goro_chan_of(int, 0), *never = goro_chan_of(int, 0);
	for (int is_send = 0; is_send < 2; is_send++) {
		for (int i = 0; i < QUEUE; i++) {
			r[i] = (struct role){.c = c, .value = 100 + i};
			if (i % 3 == 0)
				start_parked(is_send ? role_sends : role_receives, &r[i],
					     is_send ? "chan send" : "chan receive");
			else
				sleeper_start(&s[i], (goro_chan *[]){c, never}, 2, is_send,
					      GORO_FOREVER);
			if (is_send && i % 3 != 0)
				s[i].value[0] = 100 + i;
		}
		for (int i = 0; i < QUEUE; i++)
			if (is_send)
				expect_eq(goro_get(c, int), 100 + i);
			else
				goro_put(c, 200 + i);
		for (int i = 0; i < QUEUE; i++)
			if (i % 3 != 0) {
				expect_eq(sleeper_end(&s[i]), 0);
				expect_eq(s[i].value[0], is_send ? 100 + i : 200 + i);
			}
		wait_for(goro_count() == 1);
		for (int i = 0; i < QUEUE && !is_send; i += 3)
			expect_eq(r[i].value, 200 + i);
	}
}

TAP_MAIN
