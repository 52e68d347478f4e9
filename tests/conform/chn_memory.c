/*
 * chn_memory.c - CHN-11, 12, 13: what a channel orders, what it copies, and many who drain it.
 *
 * Written so that TSan checks CHN-11 too: the shared fields are plain on purpose.
 *
 * Go: test/fixedbugs/bug147.go, synctest TestHappensBefore, test/chan/zerosize.go,
 * TestMultiConsumer.
 */
#include "goro_tap.h"

/* ---- CHN-11 ---- */

enum { ROUNDS = 1000000 / TAP_SLOWER };

struct plain_words {
	uint64_t first, second;
};

struct ordering {
	goro_chan *c, *back;
	struct plain_words words;
	int wrong;
	size_t capacity;
	uint64_t ring[4];
};

static void reads_after_receive(void *arg)
{
	struct ordering *o = arg;
	for (uint64_t i = 1; goro_chan_recv(o->c, NULL); i++) {
		o->wrong += o->words.first != i || o->words.second != ~i;
		goro_chan_send(o->back, NULL);
	}
	goro_chan_close(o->back);
}

GORO_CASE(writes_before_a_send_are_seen_after_the_receive, .id = "CHN-11", .is_race = true)
{
	for (size_t capacity = 0; capacity < 2; capacity++) {
		struct ordering o = {.c = goro_chan_make(0, capacity),
				     .back = goro_chan_make(0, 0)};
		goro_spawn(reads_after_receive, &o);
		for (uint64_t i = 1; i <= ROUNDS / 4; i++) {
			o.words = (struct plain_words){i, ~i};
			goro_chan_send(o.c, NULL);
			goro_chan_recv(o.back, NULL);
		}
		goro_chan_close(o.c);
		while (goro_chan_recv(o.back, NULL))
			continue;
		expect_eq(o.wrong, 0);
	}
}

static void writes_before_receive(void *arg)
{
	struct ordering *o = arg;
	for (uint64_t i = 1; i <= ROUNDS / 4; i++) {
		o->words = (struct plain_words){i, ~i};
		goro_chan_recv(o->c, NULL);
		goro_chan_recv(o->back, NULL);
	}
}

/* The sender is released only after the receive, whatever was written before it is there. */
GORO_CASE(writes_before_a_receive_are_seen_after_the_unbuffered_send, .id = "CHN-11",
	  .is_race = true)
{
	struct ordering o = {.c = goro_chan_make(0, 0), .back = goro_chan_make(0, 0)};
	goro_spawn(writes_before_receive, &o);
	for (uint64_t i = 1; i <= ROUNDS / 4; i++) {
		goro_chan_send(o.c, NULL);
		o.wrong += o.words.first != i || o.words.second != ~i;
		goro_chan_send(o.back, NULL);
	}
	expect_eq(o.wrong, 0);
}

static void frees_slots(void *arg)
{
	struct ordering *o = arg;
	for (uint64_t i = 0; i < ROUNDS / 2; i++) {
		__atomic_store_n(&o->ring[i % (o->capacity + 1)], i, __ATOMIC_RELAXED);
		goro_chan_recv(o->c, NULL);
	}
	goro_chan_send(o->back, NULL);
}

/*
 * The k-th receive happens before the (k + C)-th send returns: then what the receiver wrote before
 * its k-th receive is there, or something later. Relaxed, so that only the channel orders it.
 */
GORO_CASE(kth_receive_happens_before_send_k_plus_capacity_returns, .id = "CHN-11", .is_race = true)
{
	for (size_t capacity = 1; capacity <= 3; capacity++) {
		struct ordering o = {.c = goro_chan_make(0, capacity),
				     .back = goro_chan_make(0, 0),
				     .capacity = capacity};
		goro_spawn(frees_slots, &o);
		for (uint64_t k = 0; k < ROUNDS / 2; k++) {
			goro_chan_send(o.c, NULL);
			if (k < capacity)
				continue;
			uint64_t *slot = &o.ring[(k - capacity) % (capacity + 1)];
			o.wrong += __atomic_load_n(slot, __ATOMIC_RELAXED) < k - capacity;
		}
		goro_chan_recv(o.back, NULL);
		expect_eq(o.wrong, 0);
	}
}

static void reads_after_close(void *arg)
{
	struct ordering *o = arg;
	uint64_t wanted = o->ring[0];
	bool is_ok = goro_chan_recv(o->c, NULL);
	o->wrong += is_ok || o->words.first != wanted || o->words.second != ~wanted;
	goro_chan_send(o->back, NULL);
}

GORO_CASE(writes_before_close_are_seen_after_a_receive_that_finds_it_closed, .id = "CHN-11",
	  .is_race = true)
{
	struct ordering o = {.back = goro_chan_make(0, 0)};
	for (uint64_t i = 1; i <= ROUNDS / 20; i++) {
		o.c = goro_chan_make(0, i % 3);
		o.ring[0] = i;
		goro_spawn(reads_after_close, &o);
		if (i % 2 == 0)
			goro_yield();
		o.words = (struct plain_words){i, ~i};
		goro_chan_close(o.c);
		goro_chan_recv(o.back, NULL);
		goro_chan_unref(o.c);
	}
	expect_eq(o.wrong, 0);
}

static void sends_and_says_so(void *arg)
{
	struct role *r = arg;
	store(&r->id, goro_id());
	goro_chan_send(r->c, &r->value);
	store(&r->ok, true);
}

GORO_CASE(unbuffered_sender_is_not_released_before_the_receive, .id = "CHN-11")
{
	goro_chan *c = goro_chan_of(int, 0);
	for (int i = 0; i < 50; i++) {
		struct role sender = {.c = c, .value = i};
		start_parked(sends_and_says_so, &sender, "chan send");
		expect(!load(&sender.ok));
		expect_eq(goro_get(c, int), i);
		wait_for(load(&sender.ok));
		wait_for(goro_count() == 1);
	}
}

/* Elements that are more than a word, torn if a copy and a reader overlap. */
static void sends_wide(void *arg)
{
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		uint64_t wide[4] = {i, ~i, i * 3, i ^ 0xff};
		goro_chan_send(arg, wide);
	}
	goro_chan_close(arg);
}

GORO_CASE(wide_elements_are_never_torn, .id = "CHN-11", .procs = "2+", .timeout_s = 60)
{
	for (size_t capacity = 0; capacity <= 4; capacity += 2) {
		goro_chan *c = goro_chan_make(32, capacity);
		uint64_t wide[4], next = 1, wrong = 0;
		goro_spawn(sends_wide, c);
		for (; goro_chan_recv(c, wide); next++)
			wrong += wide[0] != next || wide[1] != ~next || wide[2] != next * 3 ||
				 wide[3] != (next ^ 0xff);
		expect_eq(next, ROUNDS + 1);
		expect_eq(wrong, 0);
		goro_chan_unref(c);
		wait_for(goro_count() == 1);
	}
}

/* ---- CHN-12 ---- */

enum { GUARD = 64, ELEMENTS = 20 };

struct sized {
	goro_chan *c;
	size_t size;
	uint64_t seed;
	int sent;
};

static void fill(unsigned char *elem, size_t size, uint64_t state)
{
	for (size_t i = 0; i < size; i++)
		elem[i] = (unsigned char)tap_random(&state);
}

static void sends_sized(void *arg)
{
	struct sized *s = arg;
	unsigned char *elem = malloc(s->size + 1);
	require(elem != NULL);
	for (int i = 0; i < ELEMENTS; i++) {
		fill(elem, s->size, s->seed + (uint64_t)i);
		goro_chan_send(s->c, elem);
	}
	free(elem);
	store(&s->sent, 1);
}

static bool is_all(const unsigned char *bytes, size_t size, unsigned char wanted)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != wanted)
			return false;
	return true;
}

static void exchange_sized(size_t size, size_t capacity, bool sender_first)
{
	struct sized s = {.c = goro_chan_make(size, capacity), .size = size, .seed = tap_seed()};
	unsigned char *space = malloc(size + 2 * GUARD), *wanted = malloc(size + 1);
	require(s.c != NULL && space != NULL && wanted != NULL);
	memset(space, 0x5a, size + 2 * GUARD);
	require_eq(goro_spawn(sends_sized, &s), 0);
	if (sender_first)
		goro_yield();
	int wrong = 0;
	for (int i = 0; i < ELEMENTS; i++) {
		expect(goro_chan_recv(s.c, space + GUARD));
		fill(wanted, size, s.seed + (uint64_t)i);
		wrong += memcmp(space + GUARD, wanted, size) != 0;
		wrong += !is_all(space, GUARD, 0x5a) || !is_all(space + GUARD + size, GUARD, 0x5a);
	}
	wait_for(load(&s.sent) == 1);
	goro_chan_close(s.c);
	expect(!goro_chan_recv(s.c, space + GUARD));
	wrong += !is_all(space + GUARD, size, 0);
	wrong += !is_all(space, GUARD, 0x5a) || !is_all(space + GUARD + size, GUARD, 0x5a);
	expect_eq(wrong, 0);
	goro_chan_unref(s.c);
	free(space);
	free(wanted);
}

GORO_CASE(elements_of_every_size_arrive_whole_and_nothing_beside_them_is_written, .id = "CHN-12")
{
	static const size_t sizes[] = {0,  1,  2,  3,  4,  5,  7,  8,	9,    12,   15,	  16,	17,
				       24, 31, 32, 33, 63, 64, 65, 128, 1023, 1024, 4096, 65535};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t capacity = 0; capacity <= 3; capacity++) {
			exchange_sized(sizes[i], capacity, false);
			exchange_sized(sizes[i], capacity, true);
		}
}

static void exchanges_huge(void *size)
{
	exchange_sized(*(size_t *)size, 0, true);
	exchange_sized(*(size_t *)size, 2, false);
}

/* Go rejects these; here they work, or the creation says no. */
GORO_CASE(elements_of_64_kib_and_more_work_or_are_rejected, .id = "CHN-12")
{
	size_t sizes[] = {65536, 65537, 1 << 20};
	for (int i = 0; i < 3; i++) {
		struct caught caught = panic_of(exchanges_huge, &sizes[i]);
		if (caught.text[0] != '\0')
			expect_contains(caught.text, "size out of range");
	}
}

GORO_CASE(elements_without_size_are_counted, .id = "CHN-12")
{
	goro_chan *c = goro_chan_make(0, 3);
	for (size_t i = 0; i < 3; i++) {
		expect_eq(goro_chan_len(c), i);
		expect_eq(goro_chan_trysend(c, NULL), 0);
	}
	expect_eq(goro_chan_len(c), 3);
	expect_eq(goro_chan_trysend(c, NULL), -EAGAIN);
	struct role sender = {.c = c};
	start_parked(role_sends, &sender, "chan send");
	char untouched = 0x33;
	for (int i = 0; i < 4; i++)
		expect(goro_chan_recv(c, &untouched));
	expect_eq(untouched, 0x33);
	expect_eq(goro_chan_len(c), 0);
	goro_chan_close(c);
	expect(!goro_chan_recv(c, &untouched));
	expect_eq(untouched, 0x33);
	wait_for(goro_count() == 1); /* the sender writes what is on our stack */
}

/* ---- CHN-13 ---- */

enum { WORKERS = 23, ITEMS = 271828 / TAP_SLOWER };

struct drain {
	goro_chan *in, *out;
	int ended_closed;
	goro_chan *worker_ended;
};

static void forwards_until_closed(void *arg)
{
	struct drain *d = arg;
	uint32_t item = 0;
	while (goro_chan_recv(d->in, &item))
		goro_chan_send(d->out, &item);
	add(&d->ended_closed, item == 0);
	goro_chan_send(d->worker_ended, NULL);
}

static void feeds_awaits_and_closes(void *arg)
{
	struct drain *d = arg;
	for (uint32_t i = 1; i <= ITEMS; i++)
		goro_chan_send(d->in, &i);
	goro_chan_close(d->in);
	for (int i = 0; i < WORKERS; i++)
		goro_chan_recv(d->worker_ended, NULL);
	goro_chan_close(d->out);
}

static void drain(size_t in_capacity, size_t out_capacity)
{
	struct drain d = {.in = goro_chan_make(4, in_capacity),
			  .out = goro_chan_make(4, out_capacity),
			  .worker_ended = goro_chan_make(0, 0)};
	uint64_t count = 0, sum = 0;
	uint32_t item;
	for (int i = 0; i < WORKERS; i++)
		goro_spawn(forwards_until_closed, &d);
	goro_spawn(feeds_awaits_and_closes, &d);
	while (goro_chan_recv(d.out, &item)) {
		count++;
		sum += item;
	}
	expect_eq(count, ITEMS);
	expect_eq(sum, (uint64_t)ITEMS * (ITEMS + 1) / 2);
	expect_eq(d.ended_closed, WORKERS);
}

GORO_CASE(many_workers_drain_a_closed_channel_exactly, .id = "CHN-13", .is_race = true)
{
	drain(69, 69);
}

GORO_CASE(many_workers_drain_unbuffered_channels_exactly, .id = "CHN-13", .is_race = true)
{
	drain(0, 0);
}

TAP_MAIN
