/*
 * chn_peek.c - CHN-01, CHN-11, SEL-01: what calls that do not wait say of a channel that others
 * are at, since they look without its lock.
 *
 *   trysend, tryrecv, goro_select with GORO_POLL, beside send, receive and close
 *
 * Pairs meet in rounds, so that both act at the same moment; the explorer has all the schedules
 * (tests/model/chan_peek.c), this one has the processor's own orders.
 */
#include "goro_tap.h"

enum { ROUNDS = 20000 };

static int n_at[2];          /* rounds that each side has begun */
static int outcome[2];       /* of the round, by each side */
static int n_failures;

/*
 * Both sides come, and go on within some nanoseconds of each other. Where the kernel has one
 * processor for both threads, who waits leaves it to the other one.
 */
static void meet(int side, int round)
{
	store(&n_at[side], round);
	for (int i = 0; load(&n_at[!side]) < round; i++)
		if (i % 1000 == 999) {
			goro_yield();
			sched_yield();
		}
}

struct duel {
	void (*begin)(struct duel *);           /* alone */
	int (*step[2])(struct duel *);          /* both at once */
	bool (*is_right)(const struct duel *);  /* alone, of outcome[] */
	goro_chan *c[2];
	size_t capacity;
	int rounds;                             /* 0: ROUNDS */
	int flag;
};

static void second_side(struct duel *d, int rounds)
{
	for (int round = 1; round <= rounds; round++) {
		meet(1, 3 * round - 2); /* it has begun */
		outcome[1] = d->step[1](d);
		meet(1, 3 * round - 1); /* both have acted */
		meet(1, 3 * round);
	}
}

static void fight(struct duel *d)
{
	int rounds = tap_share(d->rounds ? d->rounds : ROUNDS);

	store(&n_at[0], 0);
	store(&n_at[1], 0);
	n_failures = 0;
	go(second_side, d, rounds);
	for (int round = 1; round <= rounds; round++) {
		for (int i = 0; i < 2; i++)
			d->c[i] = goro_chan_make(sizeof(int), d->capacity);
		if (d->begin)
			d->begin(d);
		meet(0, 3 * round - 2);
		outcome[0] = d->step[0](d);
		meet(0, 3 * round - 1);
		n_failures += !d->is_right(d);
		for (int i = 0; i < 2; i++)
			goro_chan_unref(d->c[i]);
		meet(0, 3 * round);
	}
	wait_for(goro_count() == 1);
	expect_eq(n_failures, 0);
}

static void put(goro_chan *c)
{
	goro_chan_send(c, &(int){1});
}

static int poll_recv(goro_chan *c)
{
	int index = goro_select_of(GORO_POLL, GORO_RECV(c, NULL));

	return index == -ETIMEDOUT ? -EAGAIN : index;
}

/* ---- act, then look: one of two finds what the other has done ---- */

static int send_0_try_1(struct duel *d)
{
	put(d->c[0]);
	return goro_chan_tryrecv(d->c[1], NULL);
}

static int send_1_try_0(struct duel *d)
{
	put(d->c[1]);
	return goro_chan_tryrecv(d->c[0], NULL);
}

static int send_0_poll_1(struct duel *d)
{
	put(d->c[0]);
	return poll_recv(d->c[1]);
}

static int send_1_poll_0(struct duel *d)
{
	put(d->c[1]);
	return poll_recv(d->c[0]);
}

static bool one_found_it(const struct duel *d)
{
	(void)d;
	return outcome[0] != -EAGAIN || outcome[1] != -EAGAIN;
}

GORO_CASE(of_two_that_send_and_then_try_one_finds_a_value, .id = "CHN-11", .procs = "2+")
{
	fight(&(struct duel){.step = {send_0_try_1, send_1_try_0},
			     .is_right = one_found_it,
			     .capacity = 1});
}

GORO_CASE(of_two_that_send_and_then_poll_one_finds_a_value, .id = "CHN-11", .procs = "2+")
{
	fight(&(struct duel){.step = {send_0_poll_1, send_1_poll_0},
			     .is_right = one_found_it,
			     .capacity = 1});
}

static int send_0_look_at_flag(struct duel *d)
{
	put(d->c[0]);
	return load(&d->flag) ? 0 : -EAGAIN;
}

static int flag_then_try_0(struct duel *d)
{
	store(&d->flag, 1);
	return goro_chan_tryrecv(d->c[0], NULL);
}

static void lower_flag(struct duel *d)
{
	store(&d->flag, 0);
}

/* Who goes to sleep raises a flag and looks once more; who sends looks at the flag. */
GORO_CASE(a_flag_and_a_try_do_not_miss_a_send_and_a_look_at_the_flag, .id = "CHN-11",
	  .procs = "2+")
{
	fight(&(struct duel){.begin = lower_flag,
			     .step = {send_0_look_at_flag, flag_then_try_0},
			     .is_right = one_found_it,
			     .capacity = 1});
}

static void fill_both(struct duel *d)
{
	put(d->c[0]);
	put(d->c[1]);
}

static int take_0_trysend_1(struct duel *d)
{
	goro_chan_recv(d->c[0], NULL);
	return goro_chan_trysend(d->c[1], &(int){2});
}

static int take_1_trysend_0(struct duel *d)
{
	goro_chan_recv(d->c[1], NULL);
	return goro_chan_trysend(d->c[0], &(int){2});
}

GORO_CASE(of_two_that_receive_and_then_trysend_one_finds_room, .id = "CHN-11", .procs = "2+")
{
	fight(&(struct duel){.begin = fill_both,
			     .step = {take_0_trysend_1, take_1_trysend_0},
			     .is_right = one_found_it,
			     .capacity = 1});
}

/* ---- what a channel never was ---- */

static int close_and_take(struct duel *d)
{
	goro_chan_close(d->c[0]);
	return goro_chan_tryrecv(d->c[0], NULL);
}

static int try_0(struct duel *d)
{
	return goro_chan_tryrecv(d->c[0], NULL);
}

static bool one_got_it_the_other_the_close(const struct duel *d)
{
	(void)d;
	return (outcome[0] == 0 && outcome[1] == -EPIPE) ||
	       (outcome[0] == -EPIPE && outcome[1] == 0);
}

GORO_CASE(a_channel_that_is_closed_before_it_is_emptied_is_never_not_ready, .id = "CHN-11")
{
	fight(&(struct duel){.begin = fill_both,
			     .step = {close_and_take, try_0},
			     .is_right = one_got_it_the_other_the_close,
			     .capacity = 1});
}

static int take_0(struct duel *d)
{
	return goro_chan_recv(d->c[0], NULL) ? 0 : -EPIPE;
}

/* Full, and a sender waits behind it. */
static void fill_and_queue(struct duel *d)
{
	fill_both(d);
	go(put, d->c[0]);
	wait_until_n_parked(1, "chan send");
}

static bool both_got_one(const struct duel *d)
{
	(void)d;
	return outcome[0] == 0 && outcome[1] == 0;
}

GORO_CASE(a_full_channel_with_a_sender_behind_is_never_empty, .id = "CHN-01")
{
	fight(&(struct duel){.begin = fill_and_queue,
			     .step = {take_0, try_0},
			     .is_right = both_got_one,
			     .capacity = 1,
			     .rounds = 300}); /* each looks at all goroutines */
}

/* ---- what is seen without the lock is what is there ---- */

static void expect_not_ready(goro_chan *c, bool is_full)
{
	for (int i = 0; i < 2; i++) { /* the first may have to take the lock */
		expect_eq(goro_chan_tryrecv(c, NULL), is_full ? 0 : -EAGAIN);
		expect_eq(goro_chan_trysend(c, &i), is_full || goro_chan_cap(c) ? 0 : -EAGAIN);
		if (!is_full && goro_chan_cap(c))
			expect_eq(goro_chan_tryrecv(c, NULL), 0);
		expect_eq(poll_recv(c), is_full ? 0 : -EAGAIN);
		if (is_full)
			put(c);
	}
}

GORO_CASE(marks_that_waiters_leave_behind_go, .id = "SEL-01")
{
	goro_chan *c = goro_chan_of(int, 0);

	for (int round = 0; round < 4; round++) {
		struct role role = {.c = c, .value = round};
		expect_not_ready(c, false);
		start_parked(round % 2 ? role_sends : role_receives, &role,
			     round % 2 ? "chan send" : "chan receive");
		if (round % 2)
			expect_eq(poll_recv(c), 0);
		else
			expect_eq(goro_select_of(GORO_POLL, GORO_SEND(c, &round)), 0);
		wait_for(goro_count() == 1);
	}
	expect_not_ready(c, false);
	goro_chan_close(c);
	expect_eq(goro_chan_tryrecv(c, NULL), -EPIPE);
	expect_eq(poll_recv(c), 0);
	goro_chan_unref(c);
}

GORO_CASE(a_buffer_is_seen_as_it_is, .id = "SEL-01")
{
	goro_chan *c = goro_chan_of(int, 1);

	expect_not_ready(c, false);
	put(c);
	expect_eq(goro_chan_trysend(c, &(int){1}), -EAGAIN);
	expect_eq(goro_select_of(GORO_POLL, GORO_SEND(c, &(int){1})), -ETIMEDOUT);
	expect_not_ready(c, true);
	goro_chan_close(c);
	expect_eq(poll_recv(c), 0);
	expect_eq(goro_chan_tryrecv(c, NULL), -EPIPE);
	goro_chan_unref(c);
}

/* ---- who asks has a P ---- */

static int n_beats, is_over;

static void beats(void *unused)
{
	(void)unused;
	while (!load(&is_over)) {
		for (int i = 0; i < 1000; i++)
			add(&n_beats, 1);
		goro_yield();
	}
}

static int try_recv(goro_chan *c)
{
	return goro_chan_tryrecv(c, NULL);
}

static int try_send(goro_chan *c)
{
	return goro_chan_trysend(c, &(int){1});
}

/* After a call that blocked, and that nobody announced: the other one has the only P by then. */
static int beats_between(int (*asks)(goro_chan *), goro_chan *c)
{
	int n = 0;

	usleep(100000);
	int last = load(&n_beats);
	for (int64_t end = tap_now() + GORO_MS(50); tap_now() < end;) {
		expect_eq(asks(c), -EAGAIN);
		int now = load(&n_beats);
		n += now != last;
		last = now;
	}
	return n;
}

GORO_CASE(who_asks_takes_turns_with_others, .procs = "1")
{
	static int (*const ways[])(goro_chan *) = {try_recv, try_send, poll_recv};
	goro_chan *c = goro_chan_of(int, 0);

	goro_spawn(beats, NULL);
	for (int i = 0; i < 3; i++)
		expect_lt(beats_between(ways[i], c), 200); /* one each time it is made to yield */
	store(&is_over, 1);
	wait_for(goro_count() == 1);
	goro_chan_unref(c);
}

TAP_MAIN
