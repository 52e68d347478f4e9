/*
 * chn_misuse.c - CHN-08, 09: closed and nil channels, and what is left after a panic.
 *
 *   send, close of closed -> panic -> goro_try -> the channel goes on working
 *
 * Select's rows of both cases are in sel.c. The texts of uncaught panics are shown by tests/errors.
 *
 * Go: test/closedchan.go, test/chan/select3.go, TestIssue5745.
 */
#include "goro_tap.h"

static void sends_one(void *c)
{
	int value = 99;
	goro_chan_send(c, &value);
}

static void trysends_one(void *c)
{
	int value = 99;
	goro_chan_trysend(c, &value);
}

static void sends_one_until_soon(void *c)
{
	int value = 99;
	goro_chan_send_until(c, &value, goro_now() + GORO_SEC(10));
}

static void sends_one_until_past(void *c)
{
	int value = 99;
	goro_chan_send_until(c, &value, GORO_POLL);
}

static void puts_one(void *c)
{
	goro_put((goro_chan *)c, 99);
}

static void (*const senders[])(void *) = {sends_one, trysends_one, sends_one_until_soon,
					  sends_one_until_past, puts_one};

enum { N_SENDERS = sizeof(senders) / sizeof(senders[0]) };

GORO_CASE(every_send_on_closed_panics_and_sends_nothing, .id = "CHN-08")
{
	for (size_t capacity = 0; capacity <= 4; capacity++) {
		goro_chan *c = goro_chan_of(int, capacity);
		int value = 7;
		if (capacity > 1)
			goro_chan_send(c, &value);
		goro_chan_close(c);
		for (int i = 0; i < N_SENDERS; i++)
			expect_str(panic_of(senders[i], c).text, "send on closed channel");
		expect_eq(goro_chan_len(c), capacity > 1);
		if (capacity > 1)
			expect_eq(goro_get(c, int), 7);
		value = 55;
		expect_eq(goro_chan_tryrecv(c, &value), -EPIPE);
		expect_eq(value, 0);
		goro_chan_unref(c);
	}
}

/* Closed comes before full: a send that would have to wait panics as well. */
GORO_CASE(send_on_closed_and_full_panics, .id = "CHN-08")
{
	goro_chan *c = goro_chan_of(int, 2);
	for (int i = 0; i < 2; i++)
		goro_chan_send(c, &i);
	goro_chan_close(c);
	for (int i = 0; i < N_SENDERS; i++)
		expect_str(panic_of(senders[i], c).text, "send on closed channel");
	expect_eq(goro_get(c, int), 0);
	expect_eq(goro_get(c, int), 1);
	expect_eq(goro_chan_tryrecv(c, NULL), -EPIPE);
}

GORO_CASE(close_of_closed_and_of_nil_panic, .id = "CHN-08")
{
	for (size_t capacity = 0; capacity < 2; capacity++) {
		goro_chan *c = goro_chan_of(int, capacity);
		expect_str(panic_of(call_close, c).text, "");
		for (int i = 0; i < 3; i++)
			expect_str(panic_of(call_close, c).text, "close of closed channel");
		expect_str(panic_of(call_close, NULL).text, "close of nil channel");
		expect(!goro_chan_recv(c, NULL));
		goro_chan_unref(c);
	}
}

struct blocked_sender {
	goro_chan *c, *done;
	void (*send)(void *);
	uint64_t id;
	struct caught caught;
};

static void sends_and_catches(void *arg)
{
	struct blocked_sender *s = arg;
	store(&s->id, goro_id());
	s->caught = panic_of(s->send, s->c);
	goro_chan_send(s->done, NULL);
}

GORO_CASE(close_makes_blocked_senders_panic, .id = "CHN-08", .is_race = true)
{
	void (*const blocking[])(void *) = {sends_one, sends_one_until_soon, puts_one};
	struct blocked_sender blocked[3];
	for (int capacity = 0; capacity < 3; capacity++) {
		goro_chan *c = goro_chan_of(int, (size_t)capacity);
		goro_chan *done = goro_chan_make(0, 0);
		for (int i = 0; i < capacity; i++)
			goro_chan_send(c, &i);
		for (int i = 0; i < 3; i++) {
			blocked[i] =
				(struct blocked_sender){.c = c, .done = done, .send = blocking[i]};
			goro_spawn(sends_and_catches, &blocked[i]);
			wait_for(load(&blocked[i].id) != 0);
			wait_until_parked(blocked[i].id, "chan send");
		}
		goro_chan_close(c);
		for (int i = 0; i < 3; i++)
			goro_chan_recv(done, NULL);
		for (int i = 0; i < 3; i++)
			expect_str(blocked[i].caught.text, "send on closed channel");
		for (int i = 0; i < capacity; i++)
			expect_eq(goro_get(c, int), i);
		expect_eq(goro_chan_tryrecv(c, NULL), -EPIPE);
		goro_chan_unref(c);
		goro_chan_unref(done);
		wait_for(goro_count() == 1);
	}
}

static void uses_it_all(void *arg)
{
	struct role *r = arg;
	r->ok = goro_chan_recv(r->c, &r->value);
	r->ok = !goro_chan_recv(r->c, NULL) && r->ok;
	goro_chan_send(r->done, NULL);
}

/* No lock of the channel may be left held by the unwinding: others go on using it. */
GORO_CASE(after_a_caught_panic_others_still_use_the_channel, .id = "CHN-08", .is_race = true)
{
	for (int round = 0; round < 100; round++) {
		goro_chan *c = goro_chan_of(int, 1);
		goro_chan *done = goro_chan_make(0, 0);
		int value = 12;
		goro_chan_send(c, &value);
		goro_chan_close(c);
		struct role users[2] = {{.c = c, .done = done}, {.c = c, .done = done}};
		for (int i = 0; i < N_SENDERS; i++)
			expect_str(panic_of(senders[i], c).text, "send on closed channel");
		goro_spawn(uses_it_all, &users[0]);
		expect_str(panic_of(call_close, c).text, "close of closed channel");
		goro_chan_recv(done, NULL);
		expect(users[0].ok);
		expect_eq(users[0].value, 12);
		expect_eq(goro_chan_cap(c), 1);
		goro_chan_unref(c);
		goro_chan_unref(done);
	}
}

struct close_race {
	goro_chan *c;
	int closed, panicked;
};

static void closes(void *arg)
{
	struct close_race *r = arg;
	struct caught caught = panic_of(call_close, r->c);
	if (caught.text[0] == '\0')
		add(&r->closed, 1);
	else if (strcmp(caught.text, "close of closed channel") == 0)
		add(&r->panicked, 1);
}

GORO_CASE(of_many_that_close_exactly_one_succeeds, .id = "CHN-08", .is_race = true)
{
	for (int round = 0; round < 500 / TAP_SLOWER; round++) {
		struct close_race r = {.c = goro_chan_make(0, 0)};
		for (int i = 0; i < 8; i++)
			goro_spawn(closes, &r);
		wait_for(goro_count() == 1);
		expect_eq(r.closed, 1);
		expect_eq(r.panicked, 7);
		goro_chan_unref(r.c);
	}
}

/* ---- CHN-09 ---- */

static void parks_on_nil(void *arg)
{
	struct role *r = arg;
	store(&r->id, goro_id());
	if (r->value == 0)
		goro_chan_recv(NULL, NULL);
	else
		goro_chan_send(NULL, &r->value);
	r->ok = true;
}

GORO_CASE(send_and_receive_on_nil_park_for_ever, .id = "CHN-09")
{
	struct role receiver = {.value = 0}, sender = {.value = 1};
	start_parked(parks_on_nil, &receiver, "chan receive (nil chan)");
	start_parked(parks_on_nil, &sender, "chan send (nil chan)");
	goro_sleep(GORO_MS(5));
	expect(is_parked(receiver.id, "chan receive (nil chan)"));
	expect(is_parked(sender.id, "chan send (nil chan)"));
	expect(!load(&receiver.ok) && !load(&sender.ok));
	expect_eq(goro_count(), 3);
}

GORO_CASE(try_on_nil_would_block, .id = "CHN-09")
{
	int value = 31;
	expect_eq(goro_chan_trysend(NULL, &value), -EAGAIN);
	expect_eq(goro_chan_tryrecv(NULL, &value), -EAGAIN);
	expect_eq(value, 31);
}

GORO_CASE(until_on_nil_waits_all_its_time, .id = "CHN-09")
{
	int value = 31;
	int64_t deadline = goro_now() + GORO_MS(10);
	expect_eq(goro_chan_send_until(NULL, &value, deadline), -ETIMEDOUT);
	expect_ge(goro_now(), deadline);
	deadline = goro_now() + GORO_MS(10);
	expect_eq(goro_chan_recv_until(NULL, &value, deadline), -ETIMEDOUT);
	expect_ge(goro_now(), deadline);
	expect_eq(goro_chan_recv_until(NULL, &value, GORO_POLL), -ETIMEDOUT);
	expect_eq(goro_chan_send_until(NULL, &value, GORO_POLL), -ETIMEDOUT);
	expect_eq(value, 31);
}

/* ---- until: deadlines never early, and they leave nothing behind ---- */

GORO_CASE(until_never_ends_early_and_leaves_no_waiter)
{
	goro_chan *c = goro_chan_of(int, 0);
	int value = 31;
	for (int i = 1; i <= 20; i++) {
		int64_t deadline = goro_now() + GORO_US(100) * i;
		expect_eq(goro_chan_recv_until(c, &value, deadline), -ETIMEDOUT);
		expect_ge(goro_now(), deadline);
		deadline = goro_now() + GORO_US(100) * i;
		expect_eq(goro_chan_send_until(c, &value, deadline), -ETIMEDOUT);
		expect_ge(goro_now(), deadline);
	}
	expect_eq(value, 31);
	/* A waiter that was left behind would make these succeed. */
	expect_eq(goro_chan_trysend(c, &value), -EAGAIN);
	expect_eq(goro_chan_tryrecv(c, &value), -EAGAIN);
	goro_chan_unref(c);
}

struct until_race {
	goro_chan *c;
	int sent, sent_sum, received, received_sum;
	int n_left;
};

static void sends_with_short_deadlines(void *arg)
{
	struct until_race *r = arg;
	for (int i = 1; i <= 500; i++)
		if (goro_chan_send_until(r->c, &i, goro_now() + GORO_US(i % 50)) == 0) {
			add(&r->sent, 1);
			add(&r->sent_sum, i);
		}
	if (add(&r->n_left, -1) == 0)
		goro_chan_close(r->c);
}

static void receives_with_short_deadlines(void *arg)
{
	struct until_race *r = arg;
	int value, got;
	while ((got = goro_chan_recv_until(r->c, &value, goro_now() + GORO_US(20))) != -EPIPE)
		if (got == 0) {
			add(&r->received, 1);
			add(&r->received_sum, value);
		}
}

/* A deadline that comes together with the partner: either both sides agree, or neither. */
GORO_CASE(deadline_against_partner_has_one_winner, .is_race = true)
{
	for (size_t capacity = 0; capacity < 2; capacity++) {
		struct until_race r = {.c = goro_chan_of(int, capacity), .n_left = 4};
		for (int i = 0; i < 4; i++) {
			goro_spawn(sends_with_short_deadlines, &r);
			goro_spawn(receives_with_short_deadlines, &r);
		}
		wait_for(goro_count() == 1);
		expect_eq(r.sent, r.received);
		expect_eq(r.sent_sum, r.received_sum);
		printf("# %d sent of 2000\n", r.sent);
		goro_chan_unref(r.c);
	}
}

TAP_MAIN
