/*
 * chn.c - CHN-01, 02, 03, 05, 06: what goes through a channel, in which order, and the close.
 *
 *   send -> [buffer] or a parked receiver -> recv;   close -> every waiter
 *
 * The halves of CHN-03, 05 and 06 that speak of select are in sel.c.
 *
 * Go: chan_test.go: TestChan; test/chan/fifo.go; test/closedchan.go.
 */
#include "goro_tap.h"

/* ---- CHN-01 ---- */

static const size_t capacities[] = {0, 1, 2, 3, 7, 8, 16, 63, 64, 65, 100, 127, 128, 200};

enum { N_CAPACITIES = sizeof(capacities) / sizeof(capacities[0]) };

static void sends_a_hundred(void *arg)
{
	for (int i = 0; i < 100; i++)
		goro_chan_send(arg, &i);
}

/* One capacity: empty blocks, sends up to the capacity succeed at once, full blocks. */
static void fill_and_drain(size_t capacity)
{
	goro_chan *c = goro_chan_of(int, capacity);
	int value = -1;
	expect_eq(goro_chan_tryrecv(c, &value), -EAGAIN);
	expect_eq(value, -1);
	expect_eq(goro_chan_recv_until(c, &value, GORO_POLL), -ETIMEDOUT);
	for (size_t i = 0; i < capacity; i++) {
		value = (int)i;
		if (i % 2 == 0)
			goro_chan_send(c, &value);
		else
			expect_eq(goro_chan_trysend(c, &value), 0);
		expect_eq(goro_chan_len(c), i + 1);
	}
	value = (int)capacity;
	expect_eq(goro_chan_trysend(c, &value), -EAGAIN);
	expect_eq(goro_chan_send_until(c, &value, goro_now() - 1), -ETIMEDOUT);
	struct role sender = {.c = c, .value = (int)capacity};
	start_parked(role_sends, &sender, "chan send");
	for (size_t i = 0; i <= capacity; i++) {
		if (i % 2 == 0)
			expect(goro_chan_recv(c, &value));
		else
			expect_eq(goro_chan_tryrecv(c, &value), 0);
		expect_eq(value, i);
	}
	wait_for(goro_count() == 1);
	expect(sender.ok);
	expect_eq(goro_chan_tryrecv(c, &value), -EAGAIN);
	goro_chan_unref(c);
}

GORO_CASE(sends_up_to_the_capacity_succeed_and_the_next_blocks, .id = "CHN-01")
{
	for (int i = 0; i < N_CAPACITIES; i++)
		fill_and_drain(capacities[i]);
}

GORO_CASE(receive_on_empty_blocks_until_a_send, .id = "CHN-01")
{
	for (int i = 0; i < N_CAPACITIES; i++) {
		goro_chan *c = goro_chan_of(int, capacities[i]);
		struct role receiver = {.c = c};
		int value = 4711;
		start_parked(role_receives, &receiver, "chan receive");
		goro_chan_send(c, &value);
		wait_for(goro_count() == 1);
		expect(receiver.ok);
		expect_eq(receiver.value, 4711);
		goro_chan_unref(c);
	}
}

GORO_CASE(a_hundred_values_arrive_in_order, .id = "CHN-01", .is_race = true)
{
	for (size_t capacity = 0; capacity <= 200; capacity++) {
		goro_chan *c = goro_chan_of(int, capacity);
		goro_spawn(sends_a_hundred, c);
		int wrong = 0;
		for (int i = 0; i < 100; i++) {
			int value = -1;
			wrong += !goro_chan_recv(c, &value) || value != i;
		}
		expect_eq(wrong, 0);
		expect_eq(goro_chan_len(c), 0);
		wait_for(goro_count() == 1);
		goro_chan_unref(c);
	}
}

enum { SENDERS = 4, PER_SENDER = 1000, VALUES = SENDERS * PER_SENDER, BIG = 16 };

struct crowd {
	goro_chan *c, *done;
	size_t elem_size;
	uint16_t seen[VALUES];
	uint16_t bytes_wrong;
};

struct crowd_sender {
	struct crowd *crowd;
	int first;
};

/* The value is in the first two bytes, or the only one; the other bytes repeat the low one. */
static void crowd_sends(void *arg)
{
	struct crowd_sender *s = arg;
	unsigned char elem[BIG];
	for (int i = 0; i < PER_SENDER; i++) {
		int value = s->first + i;
		memset(elem, value & 0xff, sizeof(elem));
		if (s->crowd->elem_size > 1)
			elem[1] = (unsigned char)(value >> 8);
		goro_chan_send(s->crowd->c, elem);
	}
	goro_chan_send(s->crowd->done, NULL);
}

static void crowd_receives(void *arg)
{
	struct crowd *crowd = arg;
	unsigned char elem[BIG + 1];
	elem[crowd->elem_size] = 0x5a;
	for (int i = 0; i < PER_SENDER; i++) {
		bool is_wrong = !goro_chan_recv(crowd->c, elem);
		int value = elem[0] + (crowd->elem_size > 1 ? elem[1] << 8 : 0);
		for (size_t k = 2; k < crowd->elem_size; k++)
			is_wrong |= elem[k] != elem[0];
		is_wrong |= elem[crowd->elem_size] != 0x5a || value >= VALUES;
		if (is_wrong)
			add(&crowd->bytes_wrong, 1);
		else
			add(&crowd->seen[value], 1);
	}
	goro_chan_send(crowd->done, NULL);
}

static void run_crowd(size_t elem_size, size_t capacity)
{
	static struct crowd crowd;
	struct crowd_sender senders[SENDERS];
	memset(&crowd, 0, sizeof(crowd));
	crowd.c = goro_chan_make(elem_size, capacity);
	crowd.done = goro_chan_make(0, 0);
	crowd.elem_size = elem_size;
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct crowd_sender){&crowd, i * PER_SENDER};
		goro_spawn(crowd_sends, &senders[i]);
		goro_spawn(crowd_receives, &crowd);
	}
	for (int i = 0; i < 2 * SENDERS; i++)
		goro_chan_recv(crowd.done, NULL);
	int wrong = crowd.bytes_wrong;
	/* A single byte tells the value modulo 256 only. */
	int distinct = elem_size > 1 ? VALUES : 256;
	for (int i = 0; i < distinct; i++) {
		int wanted = elem_size > 1 ? 1 : VALUES / 256 + (i < VALUES % 256);
		wrong += crowd.seen[i] != wanted;
	}
	expect_eq(wrong, 0);
	goro_chan_unref(crowd.c);
	goro_chan_unref(crowd.done);
}

GORO_CASE(four_senders_and_four_receivers_exchange_the_right_multiset, .id = "CHN-01",
	  .is_race = true)
{
	static const size_t sizes[] = {4, 8, 1, 16};
	for (int s = 0; s < 4; s++)
		for (int i = 0; i < N_CAPACITIES; i += TAP_SANITIZED ? 5 : 1)
			run_crowd(sizes[s], capacities[i]);
}

GORO_CASE(unbuffered_trysend_succeeds_only_to_a_parked_receiver, .id = "CHN-01")
{
	goro_chan *c = goro_chan_of(int, 0);
	int value = 5;
	expect_eq(goro_chan_trysend(c, &value), -EAGAIN);
	struct role receiver = {.c = c};
	start_parked(role_receives, &receiver, "chan receive");
	expect_eq(goro_chan_trysend(c, &value), 0);
	expect_eq(goro_chan_trysend(c, &value), -EAGAIN);
	wait_for(goro_count() == 1);
	expect_eq(receiver.value, 5);
	goro_chan_unref(c);
}

/* At one P the receiver that was only spawned cannot have come. */
GORO_CASE(unbuffered_trysend_fails_when_the_receiver_is_only_about_to_come, .id = "CHN-01",
	  .procs = "1")
{
	goro_chan *c = goro_chan_of(int, 0);
	struct role receiver = {.c = c};
	int value = 6, early = 0;
	int64_t start;
	/*
	 * When the machine has let us wait for a whole slice, the receiver rightly had its turn;
	 * and when an emulator's thread sleeps for reasons of its own.
	 */
	const bool is_emulated = getenv("TAP_EMULATED") != NULL;
	do {
		goro_yield(); /* a fresh slice */
		start = goro_now();
		goro_spawn(role_receives, &receiver);
		early = goro_chan_trysend(c, &value);
		if (early == 0)
			wait_for(goro_count() == 1);
	} while (early == 0 && (is_emulated || goro_now() - start > GORO_MS(5)));
	expect_eq(early, -EAGAIN);
	wait_for(goro_chan_trysend(c, &value) == 0);
	wait_for(goro_count() == 1);
	expect_eq(receiver.value, 6);
}

GORO_CASE(unbuffered_tryrecv_succeeds_only_from_a_parked_sender, .id = "CHN-01")
{
	goro_chan *c = goro_chan_of(int, 0);
	int value = 0;
	expect_eq(goro_chan_tryrecv(c, &value), -EAGAIN);
	struct role sender = {.c = c, .value = 8};
	start_parked(role_sends, &sender, "chan send");
	expect_eq(goro_chan_tryrecv(c, &value), 0);
	expect_eq(value, 8);
	expect_eq(goro_chan_tryrecv(c, &value), -EAGAIN);
	wait_for(goro_count() == 1);
	goro_chan_unref(c);
}

GORO_CASE(put_and_get_go_by_value, .id = "CHN-01")
{
	struct point {
		int x, y, z;
	};
	goro_chan *c = goro_chan_of(struct point, 2);
	goro_put(c, ((struct point){1, 2, 3}));
	struct point p = goro_get(c, struct point);
	expect_eq(p.x + 10 * p.y + 100 * p.z, 321);
	goro_chan_close(c);
	p = goro_get(c, struct point);
	expect_eq(p.x | p.y | p.z, 0);
	goro_chan_unref(c);
}

/* ---- CHN-02 ---- */

GORO_CASE(len_and_cap_of_ten, .id = "CHN-02")
{
	goro_chan *c = goro_chan_of(int, 10);
	int value = 1;
	expect_eq(goro_chan_len(c), 0);
	expect_eq(goro_chan_cap(c), 10);
	for (int i = 0; i < 3; i++)
		goro_chan_send(c, &value);
	expect_eq(goro_chan_len(c), 3);
	expect_eq(goro_chan_cap(c), 10);
	goro_chan_close(c);
	expect_eq(goro_chan_len(c), 3);
	goro_chan_unref(c);
}

GORO_CASE(unbuffered_and_nil_have_no_length, .id = "CHN-02")
{
	goro_chan *c = goro_chan_of(int, 0);
	struct role sender = {.c = c, .value = 1};
	start_parked(role_sends, &sender, "chan send");
	expect_eq(goro_chan_len(c), 0);
	expect_eq(goro_chan_cap(c), 0);
	expect_eq(goro_chan_len(NULL), 0);
	expect_eq(goro_chan_cap(NULL), 0);
	goro_chan_recv(c, NULL);
	wait_for(goro_count() == 1);
	struct role receiver = {.c = c};
	start_parked(role_receives, &receiver, "chan receive");
	expect_eq(goro_chan_len(c), 0);
}

GORO_CASE(parked_senders_do_not_count_in_the_length, .id = "CHN-02")
{
	goro_chan *c = goro_chan_of(int, 3);
	struct role senders[2] = {{.c = c, .value = 3}, {.c = c, .value = 4}};
	for (int i = 0; i < 3; i++)
		goro_chan_send(c, &i);
	start_parked(role_sends, &senders[0], "chan send");
	start_parked(role_sends, &senders[1], "chan send");
	expect_eq(goro_chan_len(c), 3);
	for (int i = 0; i < 5; i++) {
		expect_eq(goro_get(c, int), i);
		expect_eq(goro_chan_len(c), i < 2 ? 3 : 4 - i);
	}
	wait_for(goro_count() == 1); /* they write what is on our stack */
}

struct size_pair {
	size_t elem_size, capacity;
};

static void makes_channel(void *arg)
{
	struct size_pair *s = arg;
	goro_chan_unref(goro_chan_make(s->elem_size, s->capacity));
}

GORO_CASE(absurd_sizes_panic, .id = "CHN-02")
{
	struct size_pair absurd[] = {
		{4, SIZE_MAX},
		{4, SIZE_MAX / 4},
		{SIZE_MAX, 1},
		{8, SIZE_MAX / 8 + 1},
		{SIZE_MAX / 2, 3},
		{16, (size_t)1 << 60},
		{(size_t)1 << 32, (size_t)1 << 32},
		{1, (size_t)-1},
		{1, (size_t)-5},
	};
	for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
		struct caught caught = panic_of(makes_channel, &absurd[i]);
		expect_contains(caught.text, "size out of range");
	}
	expect_eq(goro_chan_cap(goro_chan_make(0, 1000000)), 1000000);
}

GORO_CASE(size_beyond_all_memory_gives_null, .id = "CHN-02")
{
	expect(goro_chan_make(1, (size_t)1 << 46) == NULL);
	expect(goro_chan_make((size_t)1 << 46, 1) == NULL);
}

/* ---- CHN-03 ---- */

enum { QUEUE = 5 };

GORO_CASE(parked_senders_are_served_in_order, .id = "CHN-03")
{
	goro_chan *c = goro_chan_of(int, 0);
	struct role senders[QUEUE];
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < QUEUE; i++) {
			senders[i] = (struct role){.c = c, .value = i};
			start_parked(role_sends, &senders[i], "chan send");
		}
		for (int i = 0; i < QUEUE; i++)
			expect_eq(goro_get(c, int), i);
		wait_for(goro_count() == 1);
	}
}

GORO_CASE(parked_receivers_are_served_in_order, .id = "CHN-03")
{
	goro_chan *c = goro_chan_of(int, 0);
	struct role receivers[QUEUE];
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < QUEUE; i++) {
			receivers[i] = (struct role){.c = c};
			start_parked(role_receives, &receivers[i], "chan receive");
		}
		for (int i = 0; i < QUEUE; i++)
			goro_chan_send(c, &i);
		wait_for(goro_count() == 1);
		for (int i = 0; i < QUEUE; i++)
			expect_eq(receivers[i].value, i);
	}
}

GORO_CASE(values_of_parked_senders_go_behind_the_buffer, .id = "CHN-03")
{
	goro_chan *c = goro_chan_of(int, 3);
	struct role senders[QUEUE];
	for (int i = 0; i < 3; i++)
		goro_chan_send(c, &i);
	for (int i = 0; i < QUEUE; i++) {
		senders[i] = (struct role){.c = c, .value = 3 + i};
		start_parked(role_sends, &senders[i], "chan send");
	}
	for (int i = 0; i < 3 + QUEUE; i++)
		expect_eq(goro_get(c, int), i);
	wait_for(goro_count() == 1); /* they write what is on our stack */
}

static void receives_until_soon(void *arg)
{
	struct role *r = arg;
	store(&r->id, goro_id());
	r->ok = goro_chan_recv_until(r->c, &r->value, goro_now() + GORO_MS(20)) == 0;
}

/* One that gives up leaves the queue of the others as it was. */
GORO_CASE(receivers_keep_their_order_when_one_gives_up, .id = "CHN-03")
{
	goro_chan *c = goro_chan_of(int, 0);
	struct role first = {.c = c}, second = {.c = c}, third = {.c = c};
	for (int round = 0; round < 10; round++) {
		first.id = second.id = third.id = 0;
		second.ok = true;
		start_parked(role_receives, &first, "chan receive");
		require_eq(goro_spawn(receives_until_soon, &second), 0);
		wait_for(load(&second.id) != 0);
		start_parked(role_receives, &third, "chan receive");
		wait_for(goro_count() == 3);
		for (int i = 1; i <= 2; i++)
			goro_chan_send(c, &i);
		wait_for(goro_count() == 1);
		expect_eq(first.value, 1);
		expect(!second.ok);
		expect_eq(third.value, 2);
	}
}

/* ---- CHN-05 ---- */

enum { PLAIN, TRY, UNTIL, WAYS };

/* Receives that way; what a plain receive says is turned into the codes of the others. */
static int receive_by(int way, goro_chan *c, void *elem)
{
	if (way == PLAIN)
		return goro_chan_recv(c, elem) ? 0 : -EPIPE;
	return way == TRY ? goro_chan_tryrecv(c, elem)
			  : goro_chan_recv_until(c, elem, GORO_FOREVER);
}

static void drain_closed(int way, size_t elem_size)
{
	unsigned char elem[64], wanted[64];
	goro_chan *c = goro_chan_make(elem_size, 2);
	memset(elem, 0x11, sizeof(elem));
	goro_chan_send(c, elem);
	goro_chan_close(c);
	for (int i = 0; i < 4; i++) {
		memset(elem, 0xaa, sizeof(elem));
		memset(wanted, 0xaa, sizeof(wanted));
		memset(wanted, i == 0 ? 0x11 : 0, elem_size);
		expect_eq(receive_by(way, c, elem), i == 0 ? 0 : -EPIPE);
		expect(memcmp(elem, wanted, sizeof(elem)) == 0);
	}
	expect_eq(receive_by(way, c, NULL), -EPIPE);
	goro_chan_unref(c);
}

GORO_CASE(closed_channel_drains_and_then_gives_zero_for_ever, .id = "CHN-05")
{
	static const size_t sizes[] = {0, 1, 4, 7, 8, 33, 64};
	for (int way = PLAIN; way < WAYS; way++)
		for (int i = 0; i < 7; i++)
			drain_closed(way, sizes[i]);
}

GORO_CASE(null_destination_drops_the_element, .id = "CHN-05")
{
	goro_chan *c = goro_chan_of(int, 3);
	for (int i = 0; i < 3; i++)
		goro_chan_send(c, &i);
	goro_chan_close(c);
	for (int way = PLAIN; way < WAYS; way++)
		expect_eq(receive_by(way, c, NULL), 0);
	for (int way = PLAIN; way < WAYS; way++)
		expect_eq(receive_by(way, c, NULL), -EPIPE);
}

GORO_CASE(receive_by_the_past_takes_what_is_there, .id = "CHN-05")
{
	goro_chan *c = goro_chan_of(int, 1);
	int value = 3;
	expect_eq(goro_chan_send_until(c, &value, GORO_POLL), 0);
	value = 0;
	expect_eq(goro_chan_recv_until(c, &value, goro_now() - GORO_SEC(1)), 0);
	expect_eq(value, 3);
	value = 0x55;
	expect_eq(goro_chan_recv_until(c, &value, INT64_MIN), -ETIMEDOUT);
	expect_eq(value, 0x55);
	goro_chan_close(c);
	expect_eq(goro_chan_recv_until(c, &value, GORO_POLL), -EPIPE);
	expect_eq(value, 0);
}

GORO_CASE(parked_receiver_gets_zero_bytes_on_close, .id = "CHN-05")
{
	goro_chan *c = goro_chan_of(int, 0);
	struct role receiver = {.c = c, .value = (int)0xaaaaaaaa, .ok = true};
	start_parked(role_receives, &receiver, "chan receive");
	goro_chan_close(c);
	wait_for(goro_count() == 1);
	expect(!receiver.ok);
	expect_eq(receiver.value, 0);
}

/* ---- CHN-06 ---- */

enum { RECEIVERS = 100 };

struct herd {
	goro_chan *c;
	int closed, valued;
	uint8_t returns[RECEIVERS];
};

struct herd_member {
	struct herd *herd;
	int number;
};

/* Half wait for ever and half with a deadline that does not come. */
static void receives_once(void *arg)
{
	struct herd_member *m = arg;
	struct herd *herd = m->herd;
	int value = 77;
	int got = receive_by(m->number % 2 == 0 ? PLAIN : UNTIL, herd->c, &value);
	add(got == -EPIPE && value == 0 ? &herd->closed : &herd->valued, 1);
	add(&herd->returns[m->number], 1);
}

GORO_CASE(close_wakes_every_parked_receiver_once, .id = "CHN-06", .is_race = true)
{
	struct herd herd = {.c = goro_chan_of(int, 0)};
	struct herd_member members[RECEIVERS];
	for (int i = 0; i < RECEIVERS; i++) {
		members[i] = (struct herd_member){&herd, i};
		require_eq(goro_spawn(receives_once, &members[i]), 0);
	}
	wait_until_n_parked(RECEIVERS, "chan receive");
	goro_chan_close(herd.c);
	wait_for(goro_count() == 1);
	expect_eq(herd.closed, RECEIVERS);
	expect_eq(herd.valued, 0);
	for (int i = 0; i < RECEIVERS; i++)
		expect_eq(herd.returns[i], 1);
}

/* The race: some have parked, some come after the close; all see it. */
GORO_CASE(close_reaches_receivers_that_are_about_to_park, .id = "CHN-06", .is_race = true)
{
	for (int round = 0; round < 200 / TAP_SLOWER; round++) {
		struct herd herd = {.c = goro_chan_of(int, 0)};
		struct herd_member members[RECEIVERS];
		for (int i = 0; i < RECEIVERS; i++) {
			members[i] = (struct herd_member){&herd, i};
			require_eq(goro_spawn(receives_once, &members[i]), 0);
		}
		if (round % 2 == 0)
			goro_yield();
		goro_chan_close(herd.c);
		wait_for(goro_count() == 1);
		expect_eq(herd.closed, RECEIVERS);
		goro_chan_unref(herd.c);
	}
}

TAP_MAIN
