/*
 * globq.c - the global run queue; src/queue/globq.c.
 */
#include "tap.h"

#include "core/m.h"
#include "queue/globq.h"

enum { GS = 4 * RUNQ_CAP };

static struct runq ring;
static struct g gs[GS];

static int number_of(const struct g *gp)
{
	return gp != NULL ? (int)(gp - gs) : -1;
}

static void put(uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		globq_put(&gs[from + i]);
}

/* An empty queue and ring. */
static void begin(void)
{
	globq_init();
	memset(&ring, 0, sizeof(ring));
}

static void expect_ring(uint32_t from, uint32_t n)
{
	expect_eq(runq_length(&ring), n);
	for (uint32_t i = 0; i < n; i++)
		expect_eq(number_of(runq_get(&ring)), from + i);
}

TAP_CASE(empty_queue_gives_nothing, .procs = "-")
{
	begin();
	expect(globq_get(&ring, 1, RUNQ_CAP) == NULL);
	expect_eq(globq_size(), 0);
	expect_ring(0, 0);
}

TAP_CASE(gq2_first_in_is_first_out, .procs = "-")
{
	begin();
	put(0, 100);
	for (int i = 0; i < 100; i++) {
		expect_eq(globq_size(), 100 - i); /* GQ1 */
		expect_eq(number_of(globq_get(&ring, 1, 1)), i);
	}
	expect_eq(globq_size(), 0);
	expect_ring(0, 0);
}

TAP_CASE(gq2_list_goes_behind_what_is_there, .procs = "-")
{
	struct glist list = {0}, none = {0};

	begin();
	put(0, 3);
	for (int i = 3; i < 6; i++)
		glist_push(&list, &gs[i]);
	globq_put_list(&list);
	globq_put_list(&none);
	expect_eq(list.count, 0);
	expect_eq(globq_size(), 6); /* GQ1 */
	for (int i = 0; i < 6; i++)
		expect_eq(number_of(globq_get(&ring, 1, 1)), i);
}

/* One to run and the rest of the share in the ring, in order: size / share + 1 in all. */
TAP_CASE(share_is_size_by_share_plus_one, .procs = "-")
{
	static const uint32_t sizes[] = {1, 2, 3, 4, 7, 8, 9, 100, 126, 127, 128, 500};
	static const uint32_t shares[] = {1, 2, 3, 4, 8, 64, 1024};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t k = 0; k < sizeof(shares) / sizeof(shares[0]); k++) {
			uint32_t n = sizes[i] / shares[k] + 1;
			n = n < RUNQ_CAP / 2 ? n : RUNQ_CAP / 2;
			n = n < sizes[i] ? n : sizes[i];
			begin();
			put(0, sizes[i]);
			expect_eq(number_of(globq_get(&ring, shares[k], RUNQ_CAP)), 0);
			expect_eq(globq_size(), sizes[i] - n); /* GQ1 */
			expect_ring(1, n - 1);
		}
	}
}

TAP_CASE(share_is_at_most_half_a_ring, .procs = "-")
{
	begin();
	put(0, GS);
	expect_eq(number_of(globq_get(&ring, 1, RUNQ_CAP)), 0);
	expect_eq(globq_size(), GS - RUNQ_CAP / 2);
	expect_ring(1, RUNQ_CAP / 2 - 1);
}

TAP_CASE(share_is_at_most_what_the_caller_takes, .procs = "-")
{
	begin();
	put(0, 100);
	expect_eq(number_of(globq_get(&ring, 1, 7)), 0);
	expect_ring(1, 6);
	expect_eq(number_of(globq_get(&ring, 1, 1)), 7);
	expect_ring(0, 0);
	expect_eq(globq_size(), 92);
}

TAP_CASE(rotate_puts_one_at_the_tail_and_takes_the_head, .procs = "-")
{
	begin();
	expect_eq(number_of(globq_rotate(&gs[0])), 0); /* alone, it comes back */
	expect_eq(globq_size(), 0);
	put(0, 5);
	expect_eq(number_of(globq_rotate(&gs[5])), 0);
	expect_ring(0, 0);
	expect_eq(globq_size(), 5);
	for (int i = 1; i < 6; i++)
		expect_eq(number_of(globq_get(&ring, 1, 1)), i);
}

static void put_urgent(uint32_t from, uint32_t n)
{
	struct glist list = {0};

	for (uint32_t i = 0; i < n; i++)
		glist_push(&list, &gs[from + i]);
	globq_put_urgent(&list);
	expect_eq(list.count, 0);
}

static struct g *get_one(void)
{
	return globq_get(&ring, 1, 1);
}

TAP_CASE(gq4_what_is_urgent_takes_turns_with_the_rest, .procs = "-")
{
	static const int order[] = {10, 0, 11, 1, 12, 2, 3};

	begin();
	expect(!globq_has_urgent());
	put(0, 4);
	put_urgent(10, 3);
	expect(globq_has_urgent());
	expect_eq(globq_size(), 7); /* GQ1 */
	for (int i = 0; i < 7; i++) {
		expect_eq(number_of(get_one()), order[i]);
		expect_eq(globq_size(), 6 - i);
		expect_eq(globq_has_urgent(), i < 4);
	}
	expect(get_one() == NULL);
}

TAP_CASE(gq4_urgent_ones_alone_come_in_order, .procs = "-")
{
	begin();
	put_urgent(0, 2);
	put_urgent(2, 3);
	expect_eq(number_of(globq_get_urgent()), 0);
	expect_eq(globq_size(), 4);
	expect_eq(number_of(globq_get(&ring, 1, RUNQ_CAP)), 1);
	expect_ring(2, 3);
	expect_eq(globq_size(), 0);
	expect(globq_get_urgent() == NULL);
}

TAP_CASE(gq4_a_yield_takes_turns_too, .procs = "-")
{
	begin();
	put(0, 2);
	put_urgent(10, 2);
	expect_eq(number_of(get_one()), 10);
	expect_eq(number_of(globq_rotate(&gs[2])), 0);
	expect_eq(number_of(globq_rotate(&gs[3])), 11);
	expect(!globq_has_urgent());
	expect_eq(globq_size(), 3);
	for (int i = 1; i < 4; i++)
		expect_eq(number_of(get_one()), i);
}

/* GQ4 */
TAP_CASE(gq4_after_an_urgent_one_another_has_its_turn, .procs = "-")
{
	begin();
	put(0, 2);
	put_urgent(10, 2);
	expect_eq(number_of(globq_get_urgent()), 10);
	expect_eq(number_of(get_one()), 0);
	expect_eq(number_of(globq_get_urgent()), 11);
	expect(globq_get_urgent() == NULL);
	expect_eq(number_of(get_one()), 1);
}

static void expect_first_unbound(int number, uint32_t n_taken)
{
	struct globq_first first = globq_first_unbound();
	expect_eq(first.id, number + 1);
	expect_eq(first.n_taken, n_taken);
}

TAP_CASE(gq3_first_unbound_and_how_many_were_taken, .procs = "-")
{
	struct m asleep = {.waits_pinned = true, .n_pinned = 2};
	struct m awake = {.n_pinned = 1}, nowhere = {0};
	begin();
	for (int i = 0; i < 6; i++)
		gs[i].id = (uint64_t)i + 1;
	gs[0].is_pinned = gs[3].is_pinned = gs[4].is_pinned = true;
	gs[0].locked_m = gs[1].locked_m = gs[2].locked_m = &awake;
	gs[1].is_stopped = true;
	gs[2].lock_depth = 1;
	gs[3].locked_m = &asleep;
	gs[4].locked_m = &nowhere;
	uint32_t n = globq_first_unbound().n_taken;
	expect_first_unbound(-1, n);
	put(0, 6);
	expect_first_unbound(4, n);
	expect_eq(number_of(globq_take_bound()), 1);
	expect_eq(number_of(globq_take_bound()), 2);
	expect_eq(number_of(globq_take_bound()), 3);
	expect(globq_take_bound() == NULL);
	expect_first_unbound(4, n);
	expect_eq(number_of(globq_get(&ring, 1, 1)), 0);
	expect_first_unbound(4, n + 1);
	expect_eq(number_of(globq_rotate(&gs[1])), 4);
	expect_first_unbound(5, n + 2);
	expect_eq(number_of(globq_get(&ring, 1, 1)), 5);
	expect_first_unbound(-1, n + 3);
	memset(gs, 0, sizeof(gs));
}

TAP_CASE(gq2_random_operations_keep_the_order, .procs = "-")
{
	uint64_t state = tap_seed();
	uint32_t n_put = 0, n_got = 0;

	begin();
	for (int step = 0; step < 100000; step++) {
		if (tap_random(&state) % 2 == 0 && n_put - n_got < GS) {
			globq_put(&gs[n_put++ % GS]);
			continue;
		}
		struct g *gp = globq_get(&ring, 1 + (uint32_t)tap_random(&state) % 9,
					 1 + (uint32_t)tap_random(&state) % RUNQ_CAP);
		for (; gp != NULL; gp = runq_get(&ring))
			require_eq(number_of(gp), n_got++ % GS);
		require_eq(globq_size(), n_put - n_got); /* GQ1 */
	}
}

TAP_MAIN
