/*
 * lim.c - LIM-01, 02, 03, 05: chains, a million, churn, and what a stack holds.
 *
 * Times and memory are printed; what is asserted is what the list of cases asks.
 *
 * Go: test/chan/goroutines.go, test/chan/sieve1.go, stack_test.go.
 */
#include "goro_tap.h"

/* ---- LIM-01 ---- */

struct link {
	goro_chan *from, *to;
};

static void adds_one(void *arg)
{
	struct link *l = arg;
	int value = goro_get(l->from, int) + 1;
	goro_put(l->to, value);
}

static void run_daisy_chain(int n)
{
	struct link *links = calloc((size_t)n, sizeof(*links));
	goro_chan *first = goro_chan_of(int, 0), *from = first;
	require(links != NULL);
	for (int i = 0; i < n; i++) {
		links[i] = (struct link){from, goro_chan_of(int, 0)};
		require(links[i].to != NULL);
		require_eq(goro_spawn(adds_one, &links[i]), 0);
		from = links[i].to;
	}
	expect_eq(goro_count(), n + 1);
	goro_put(first, 0);
	expect_eq(goro_get(from, int), n);
	wait_for(goro_count() == 1);
	for (int i = 0; i < n; i++)
		goro_chan_unref(links[i].to);
	goro_chan_unref(first);
	free(links);
}

GORO_CASE(daisy_chain_of_ten_thousand, .id = "LIM-01", .is_race = true)
{
	run_daisy_chain(10000 / TAP_SLOWER);
	run_daisy_chain(10000 / TAP_SLOWER);
}

GORO_CASE(daisy_chain_of_a_hundred_thousand, .id = "LIM-01", .timeout_s = 60)
{
	run_daisy_chain(100000 / TAP_SLOWER);
}

static void generates(goro_chan *c)
{
	for (int i = 2;; i++)
		goro_put(c, i);
}

static void filters(goro_chan *from, goro_chan *to, int prime)
{
	for (;;) {
		int i = goro_get(from, int);
		if (i % prime != 0)
			goro_put(to, i);
	}
}

GORO_CASE(thousandth_prime_is_7919, .id = "LIM-01", .timeout_s = 60)
{
	goro_chan *c = goro_chan_of(int, 0);
	go(generates, c);
	int prime = 0, n = TAP_SANITIZED ? 100 : 1000;
	for (int i = 0; i < n; i++) {
		prime = goro_get(c, int);
		goro_chan *next = goro_chan_of(int, 0);
		go(filters, c, next, prime);
		c = next;
	}
	expect_eq(prime, n == 1000 ? 7919 : 541);
}

static void relays(goro_chan *from, goro_chan *to)
{
	while (goro_chan_recv(from, NULL))
		goro_chan_send(to, NULL);
	goro_chan_close(to);
}

GORO_CASE(two_relays_can_be_torn_down_by_a_close, .id = "LIM-01", .is_race = true)
{
	for (int round = 0; round < 20; round++) {
		goro_chan *a = goro_chan_make(0, 0), *b = goro_chan_make(0, 0);
		go(relays, a, b);
		for (int i = 0; i < 1000; i++) {
			goro_chan_send(a, NULL);
			goro_chan_recv(b, NULL);
		}
		goro_chan_close(a);
		expect(!goro_chan_recv(b, NULL));
		wait_for(goro_count() == 1);
	}
}

/* Main's end tears down two that would go on for ever. */
GORO_CASE(two_relays_can_be_torn_down_by_mains_end, .id = "LIM-01")
{
	goro_chan *a = goro_chan_make(0, 1), *b = goro_chan_make(0, 0);
	go(relays, a, b);
	go(relays, b, a);
	goro_chan_send(a, NULL);
	/* At one P each of these takes a slice, since the two hand on theirs. */
	for (int i = 0; i < 20; i++)
		goro_yield();
	expect_eq(goro_count(), 3);
}

/* ---- LIM-02 ---- */

static int n_arrived;

static void waits_for_close(void *c)
{
	add(&n_arrived, 1);
	goro_chan_recv(c, NULL);
}

struct parking {
	int64_t spawn_ns, wake_ns, bytes_each;
};

static struct parking park_many(int n)
{
	struct parking p;
	goro_chan *c = goro_chan_make(0, 0);
	int64_t rss_kib = tap_rss_kib(), start = tap_now();
	store(&n_arrived, 0);
	for (int i = 0; i < n; i++)
		require_eq(goro_spawn(waits_for_close, c), 0);
	wait_for(load(&n_arrived) == n);
	/* The last ones may be on their way between the count and the channel. */
	for (int i = 0; i < 100; i++)
		goro_yield();
	p.spawn_ns = tap_now() - start;
	p.bytes_each = (tap_rss_kib() - rss_kib) * 1024 / n;
	expect_eq(goro_count(), n + 1);
	start = tap_now();
	goro_chan_close(c);
	wait_for(goro_count() == 1);
	p.wake_ns = tap_now() - start;
	goro_chan_unref(c);
	printf("# %d parked: %" PRId64 " bytes each, %" PRId64 " ns each to make, %" PRId64
	       " ns each to wake\n",
	       n, p.bytes_each, p.spawn_ns / n, p.wake_ns / n);
	return p;
}

enum { HUNDRED_THOUSAND = 100000 / TAP_SLOWER };

GORO_CASE(a_hundred_thousand_parked_and_woken, .id = "LIM-02", .is_alone = true)
{
	struct parking first = park_many(HUNDRED_THOUSAND);
	if (!TAP_SANITIZED && !getenv("TAP_EMULATED"))
		expect_le(first.bytes_each, 8192);
	int64_t rss_kib = tap_rss_kib();
	for (int i = 0; i < 3; i++)
		park_many(HUNDRED_THOUSAND);
	/* All stacks were used again. */
	if (!TAP_SANITIZED)
		expect_le(tap_rss_kib(), rss_kib + rss_kib / 10 + 65536);
}

static void park_a_million(void)
{
	if (TAP_SANITIZED)
		tap_skip("a million fibers are beyond the sanitizer");
	if (getenv("TAP_EMULATED"))
		tap_skip("the emulator's own memory would be counted");
	if (tap_kib("/proc/meminfo", "MemAvailable:") < 9 << 20)
		tap_skip("less than 9 GiB of memory are free");
	bool is_linear = false;
	for (int attempt = 0, room = 5; attempt < 4 && !is_linear; attempt++, room *= 2) {
		struct parking few = park_many(100000);
		struct parking all = park_many(1000000);
		/* A page and 256 bytes; in the first round also what the arenas need. */
		expect_le(all.bytes_each, 8192);
		/* Ten times as many, ten times the time, and some room for cold caches. */
		is_linear = all.wake_ns <= 10 * room * few.wake_ns;
	}
	expect(is_linear);
}

GORO_CASE(a_million_parked_and_woken, .id = "LIM-02", .procs = "4", .is_alone = true,
	  .timeout_s = 120)
{
	park_a_million();
}

GORO_CASE(a_million_parked_and_woken_on_one_p, .id = "LIM-02", .procs = "1", .is_alone = true,
	  .is_slow = true, .timeout_s = 120)
{
	park_a_million();
}

/* ---- LIM-03 ---- */

enum { CHURN_LIVE = 1000 };

static uint8_t *id_bits;
static uint64_t id_limit;
static int n_live, n_id_twice;

static void marks_its_id(void *unused)
{
	(void)unused;
	uint64_t id = goro_id();
	require_le(id, id_limit - 1);
	uint8_t bit = (uint8_t)(1u << (id % 8));
	uint8_t old = __atomic_fetch_or(&id_bits[id / 8], bit, __ATOMIC_RELAXED);
	if ((old & bit) != 0)
		add(&n_id_twice, 1);
	add(&n_live, -1);
}

/* Spawns n, not more than a thousand alive at a time. */
static void churn(int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		while (load(&n_live) >= CHURN_LIVE)
			goro_yield();
		add(&n_live, 1);
		require_eq(goro_spawn(marks_its_id, NULL), 0);
	}
	wait_for(goro_count() == 1);
}

GORO_CASE(ten_million_in_turn_at_constant_memory_with_unique_ids, .id = "LIM-03", .is_alone = true,
	  .timeout_s = 120)
{
	enum { TENTH = 1000000 / (TAP_SANITIZED ? 20 : 1) };
	id_limit = (uint64_t)TENTH * 40;
	id_bits = mmap(NULL, id_limit / 8, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	require(id_bits != MAP_FAILED);
	churn(TENTH);
	int64_t before_kib = tap_rss_kib();
	churn(9 * (int64_t)TENTH);
	int64_t after_kib = tap_rss_kib();
	printf("# resident %" PRId64 " KiB, then %" PRId64 " KiB\n", before_kib, after_kib);
	expect_eq(n_id_twice, 0);
	if (!TAP_SANITIZED && !getenv("TAP_EMULATED"))
		expect_le(after_kib, before_kib + before_kib / 20);
}

static void only_ends(void *unused)
{
	(void)unused;
}

static void spawns_for_others(void *arg)
{
	for (int i = 0; i < *(int *)arg; i++) {
		require_eq(goro_spawn(only_ends, NULL), 0);
		if (i % 100 == 99)
			goro_yield();
	}
}

/* One P makes them all and the others end them: the free ones must come back to the maker. */
GORO_CASE(goroutines_freed_by_other_ps_come_back, .id = "LIM-03", .procs = "2+", .is_alone = true)
{
	int n = 100000 / TAP_SLOWER;
	require_eq(goro_spawn(spawns_for_others, &n), 0);
	wait_for(goro_count() == 1);
	int64_t before_kib = tap_rss_kib();
	for (int i = 0; i < 10; i++) {
		require_eq(goro_spawn(spawns_for_others, &n), 0);
		wait_for(goro_count() == 1);
	}
	int64_t after_kib = tap_rss_kib();
	printf("# resident %" PRId64 " KiB, then %" PRId64 " KiB\n", before_kib, after_kib);
	if (!TAP_SANITIZED)
		expect_le(after_kib, before_kib + before_kib / 4 + 8192);
}

/* ---- LIM-05 ---- */

typedef double v2 __attribute__((vector_size(16)));
typedef double v4 __attribute__((vector_size(32)));

static int n_misaligned;

__attribute__((noinline)) static void check_alignment(void)
{
	_Alignas(16) v2 volatile vector = {1.5, 2.5};
	_Alignas(32) v4 volatile wide = {1, 2, 3, 4};
	char text[64];
	vector += (v2){0.25, 0.25};
	wide += (v4){1, 1, 1, 1};
	snprintf(text, sizeof(text), "%.2f %.2f %.1Lf", vector[0], wide[3], (long double)2.5);
	if (strcmp(text, "1.75 5.00 2.5") != 0 || ((uintptr_t)&vector & 15) != 0 ||
	    ((uintptr_t)&wide & 31) != 0 || ((uintptr_t)__builtin_frame_address(0) & 15) != 0)
		add(&n_misaligned, 1);
}

static void checks_alignment_at_the_end(void *unused)
{
	(void)unused;
	check_alignment();
}

static void checks_alignment_and_switches(void *c)
{
	if (((uintptr_t)__builtin_frame_address(0) & 15) != 0)
		add(&n_misaligned, 1);
	check_alignment();
	for (int i = 0; i < 100; i++) {
		goro_yield();
		check_alignment();
		goro_chan_recv(c, NULL);
		check_alignment();
	}
	goro_defer(checks_alignment_at_the_end, NULL);
}

static void checks_with_arguments(double a, int b, long double c, v2 d)
{
	if (a != 1.5 || b != 2 || c != 2.5L || d[1] != 4)
		add(&n_misaligned, 1);
	check_alignment();
}

static void feeds(goro_chan *c, int n)
{
	for (int i = 0; i < n; i++)
		goro_chan_send(c, NULL);
}

GORO_CASE(stack_is_aligned_at_entry_and_after_each_switch, .id = "LIM-05")
{
	goro_chan *c = goro_chan_make(0, 0);
	for (int i = 0; i < 20; i++) {
		goro_spawn(checks_alignment_and_switches, c);
		go(checks_with_arguments, 1.5, 2, 2.5L, ((v2){3, 4}));
	}
	go(feeds, c, 2000);
	wait_for(goro_count() == 1);
	check_alignment();
	expect_eq(n_misaligned, 0);
}

__attribute__((noinline)) static unsigned big_frame(void)
{
	unsigned char volatile frame[128 * 1024];
	unsigned sum = 0;
	for (size_t i = 0; i < sizeof(frame); i += 64)
		frame[i] = (unsigned char)(i / 64);
	goro_yield();
	for (size_t i = 0; i < sizeof(frame); i += 64)
		sum += frame[i] != (unsigned char)(i / 64);
	return sum;
}

static int n_frames_wrong;

static void uses_a_big_frame(void *unused)
{
	(void)unused;
	add(&n_frames_wrong, (int)big_frame());
}

GORO_CASE(frame_of_half_the_stack_works, .id = "LIM-05")
{
	for (int i = 0; i < 50; i++)
		goro_spawn(uses_a_big_frame, NULL);
	wait_for(goro_count() == 1);
	expect_eq(n_frames_wrong, 0);
}

/* Goes down until so many bytes are used, and switches at the bottom. */
__attribute__((noinline)) static size_t descend(const char *top, size_t bytes)
{
	char volatile frame[512];
	frame[0] = 1;
	size_t used = (size_t)(top - (const char *)frame);
	if (used >= bytes) {
		goro_yield();
		return (size_t)frame[0];
	}
	return descend(top, bytes) + (size_t)frame[0];
}

struct descent {
	size_t bytes, frames;
};

static void descends(void *arg)
{
	struct descent *d = arg;
	char top = 0;
	d->frames = descend(&top, d->bytes);
}

GORO_CASE(recursion_to_the_depth_of_the_stack_works, .id = "LIM-05")
{
	/* Default, and sizes of one's own; 24 KiB are left for the entry and the switch. */
	static const size_t sizes[] = {0, 64 << 10, 128 << 10, 1 << 20, 8 << 20, 64 << 20};
	for (int i = 0; i < 6 && !(TAP_SANITIZED && i > 3); i++) {
		size_t size = sizes[i] != 0 ? sizes[i] : 256 << 10;
		struct goro_attr attr = {.stack_size = sizes[i]};
		struct descent d = {.bytes = TAP_SANITIZED ? size / 4 : size - (24 << 10)};
		require_eq(goro_spawn_attr(&attr, descends, &d), 0);
		wait_for(goro_count() == 1);
		expect_ge(d.frames, d.bytes / 4096);
	}
}

static void descends_far(void *unused)
{
	char top = 0;
	(void)unused;
	descend(&top, 200 << 10);
}

/* What deep use touched is given back by and by; 500 stacks of 200 KiB are 100 MiB. */
GORO_CASE(stack_memory_is_given_back_after_deep_use, .id = "LIM-05", .is_alone = true)
{
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's frames and shadow drown the figures");
	int64_t before_kib = tap_rss_kib();
	for (int i = 0; i < 500; i++)
		goro_spawn(descends_far, NULL);
	wait_for(goro_count() == 1);
	printf("# resident %" PRId64 " KiB before, %" PRId64 " KiB after deep use\n", before_kib,
	       tap_rss_kib());
	int64_t allowed_kib = before_kib + 20 * 1024, start = tap_now();
	for (int i = 0; tap_rss_kib() > allowed_kib && i < 1500; i++)
		goro_sleep(GORO_MS(10));
	printf("# %" PRId64 " KiB %" PRId64 " ms later\n", tap_rss_kib(),
	       (tap_now() - start) / 1000000);
	expect_le(tap_rss_kib(), allowed_kib);
}

TAP_MAIN
