/*
 * chan.c - a channel under every schedule: plain threads that send, receive, give up and close.
 *
 *   src/sync/chan.c, src/sync/waitq.c -> the explorer
 *
 * Plain threads, since they wait on a note and need no M: the waiting queues, the copying and the
 * races of a deadline are the same as for goroutines, whose parking is tried by park.c of this
 * folder.
 */
#include "model_sched.h"

#include "sync/waitq.c"

#include "sync/chan.c"

static goro_chan *c;
static uint32_t got[4], n_got;
static int results[EXPLORE_THREADS];

static void setup(size_t capacity)
{
	model_sched_setup(0, 1);
	for (int i = 0; i < EXPLORE_THREADS; i++)
		ms[i].id = 0; /* plain threads */
	c = goro_chan_make(sizeof(uint32_t), capacity);
	explore_name(c, sizeof(*c), "chan");
	explore_name(got, sizeof(got), "got");
	explore_name(results, sizeof(results), "results");
}

static void setup_0(void)
{
	setup(0);
}

static void setup_1(void)
{
	setup(1);
}

static void send(uint32_t value)
{
	goro_chan_send(c, &value);
}

static void send_1(void)
{
	send(1);
}

static void send_1_2(void)
{
	send(1);
	send(2);
}

static void send_3(void)
{
	send(3);
}

static void recv(void)
{
	uint32_t value = 99;

	explore_check(goro_chan_recv(c, &value));
	got[n_got++] = value; /* races, unless one thread receives */
}

static void recv_2(void)
{
	recv();
	recv();
}

static void recv_3(void)
{
	recv_2();
	recv();
}

static void got_in_order(void)
{
	explore_check(n_got == 2 && got[0] == 1 && got[1] == 2);
	explore_check(goro_chan_len(c) == 0);
}

static void one_is_left(void)
{
	explore_check(n_got == 1 && got[0] == 1 && goro_chan_len(c) == 1);
}

/* 1 before 2, and 3 anywhere. */
static void got_three(void)
{
	uint32_t at[4] = {9, 9, 9, 9};

	explore_check(n_got == 3);
	for (uint32_t i = 0; i < 3; i++)
		at[got[i]] = i;
	explore_check(at[1] < at[2] && at[3] < 3);
}

/* Two receivers: what each got stands in results[]. */
static void recv_alone(void)
{
	uint32_t value = 99;
	bool ok = goro_chan_recv(c, &value);

	explore_check(ok == (value != 0));
	results[explore_self()] = (int)value;
}

static void both_got_one(void)
{
	explore_check(results[1] + results[2] == 3);
	explore_check(results[1] == 1 || results[2] == 1);
}

static void close_it(void)
{
	goro_chan_close(c);
}

static void send_1_close(void)
{
	send(1);
	goro_chan_close(c);
}

/* One gets the value, the other a zero; or, when the close came first, both a zero. */
static void one_got_it(void)
{
	explore_check(results[1] + results[2] == 1);
}

static void send_or_closed(void)
{
	uint32_t value = 7;
	int error = send_until(c, &value, GORO_FOREVER); /* what becomes a panic one call above */

	explore_check(error == 0 || error == -EPIPE);
	explore_seen(error ? 1 : 0);
	results[explore_self()] = error ? 0 : 7;
}

static void sent_is_received(void)
{
	explore_check(results[0] == results[1]);
	explore_check(waitq_is_empty(&c->senders) && waitq_is_empty(&c->receivers));
}

static void recv_by_deadline(void)
{
	uint32_t value = 99;
	int error = goro_chan_recv_until(c, &value, 1000);

	explore_check(error == 0 || error == -ETIMEDOUT);
	explore_check((error == 0) == (value == 7));
	explore_check(error == 0 || explore_now() >= 1000);
	results[1] = error ? 0 : 7;
	explore_seen(error ? 2 : 3);
}

static void send_by_deadline(void)
{
	uint32_t value = 7;
	int error = goro_chan_send_until(c, &value, 1000);

	explore_check(error == 0 || error == -ETIMEDOUT);
	results[0] = error ? 0 : 7;
	explore_seen(error ? 4 : 5);
}

static void send_if_awaited(void)
{
	uint32_t value = 7;

	results[0] = goro_chan_trysend(c, &value) == 0 ? 7 : 0;
}

static void recv_if_there(void)
{
	uint32_t value = 0;

	(void)goro_chan_tryrecv(c, &value);
	results[1] = (int)value;
}

/* CH4: the receiver drops the last reference while the sender is still in its call. */
static void recv_unref(void)
{
	recv();
	goro_chan_unref(c);
}

static void setup_2_refs(void)
{
	setup(0);
	goro_chan_ref(c);
}

static void send_unref(void)
{
	send(1);
	goro_chan_unref(c);
}

static void got_one(void)
{
	explore_check(n_got == 1 && got[0] == 1);
}

#define CHAN(from, a, b, end) .setup = from, .thread = {a, b}, .finish = end

static void test_two(void)
{
	explore_holds(&(struct explore_test){"chan: unbuffered, two values in order",
					     CHAN(setup_0, send_1_2, recv_2, got_in_order),
					     TRY(3, 2), .spurious = 1});
	explore_holds(&(struct explore_test){"chan: one place, two values in order",
					     CHAN(setup_1, send_1_2, recv_2, got_in_order),
					     TRY(3, 2), .spurious = 1});
	explore_holds(&(struct explore_test){"chan: a blocked sender moves up",
					     CHAN(setup_1, send_1_2, recv, one_is_left),
					     TRY(3, 2)});
	explore_holds_seen(
		&(struct explore_test){"chan: close against a send and a receive",
				       CHAN(setup_0, send_or_closed, recv_alone, sent_is_received),
				       .thread[2] = close_it, TRY(2, 1)},
		3);
	explore_holds(&(struct explore_test){"chan: the receiver drops the last reference",
					     CHAN(setup_0, send_1, recv_unref, got_one),
					     TRY(3, 2)});
	explore_holds(&(struct explore_test){"chan: each side drops its reference",
					     CHAN(setup_2_refs, send_unref, recv_unref, got_one),
					     TRY(3, 2)});
}

static void test_three(void)
{
	explore_holds(&(struct explore_test){"chan: two senders and a receiver",
					     CHAN(setup_0, send_1_2, recv_3, got_three),
					     .thread[2] = send_3, TRY(2, 1)});
	explore_holds(&(struct explore_test){"chan: two senders and a receiver, one place",
					     CHAN(setup_1, send_1_2, recv_3, got_three),
					     .thread[2] = send_3, TRY(2, 1)});
	explore_holds(&(struct explore_test){"chan: a sender and two receivers",
					     CHAN(setup_0, send_1_2, recv_alone, both_got_one),
					     .thread[2] = recv_alone, TRY(2, 1)});
	explore_holds(&(struct explore_test){"chan: close wakes who got nothing",
					     CHAN(setup_1, send_1_close, recv_alone, one_got_it),
					     .thread[2] = recv_alone, TRY(2, 1)});
}

static void test_deadlines(void)
{
	explore_holds_seen(&(struct explore_test){"chan: a receiver gives up while one sends",
						  CHAN(setup_0, send_if_awaited, recv_by_deadline,
						       sent_is_received),
						  TRY(3, 2), .timeouts = 1, .spurious = 1},
			   0xc);
	explore_holds_seen(&(struct explore_test){"chan: a sender gives up while one receives",
						  CHAN(setup_0, send_by_deadline, recv_if_there,
						       sent_is_received),
						  TRY(3, 2), .timeouts = 1},
			   0x30);
	explore_holds_seen(&(struct explore_test){"chan: both give up, or neither",
						  CHAN(setup_0, send_by_deadline, recv_by_deadline,
						       sent_is_received),
						  TRY(3, 2), .timeouts = 2},
			   0x3c);
}

static void test_negative(void)
{
	explore_finds(&(struct explore_test){"chan: found when the race of a deadline is left out",
					     CHAN(setup_0, send_if_awaited, recv_by_deadline,
						  sent_is_received),
					     TRY(2, 1), .timeouts = 1, .omit = "wait-race"},
		      "");
	explore_finds(
		&(struct explore_test){
			"chan: found when the loser does not wait for its wake-up",
			CHAN(setup_0, send_if_awaited, recv_by_deadline, sent_is_received),
			TRY(2, 1), .timeouts = 1, .omit = "wait-late-wake"},
		"");
	explore_finds(&(struct explore_test){"chan: found when a blocked sender does not move up",
					     CHAN(setup_1, send_1_2, recv, one_is_left), TRY(2, 1),
					     .omit = "chan-move-up"},
		      "deadlock");
	explore_finds(
		&(struct explore_test){"chan: found when a reference is dropped without order",
				       CHAN(setup_2_refs, send_unref, recv_unref, got_one),
				       TRY(2, 1), .weaken = "goro_chan_unref"},
		"data race");
}

int main(void)
{
	test_two();
	test_three();
	test_deadlines();
	test_negative();
	return explore_done();
}
