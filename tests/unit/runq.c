/*
 * runq.c - a P's ring and its next slot; src/queue/runq.c.
 *
 * The cases start the ring at places near 2^32, since head and tail are counted modulo that (RQ1).
 * What needs two threads at once is in tests/model; here one case shows it with real ones.
 */
#include "tap.h"

#include <pthread.h>

#include "os/os.h"
#include "queue/runq.h"

enum { GS = 2 * RUNQ_CAP, HALF = RUNQ_CAP / 2 };

static struct runq ring, other;
static struct g gs[GS];
static const uint32_t starts[] = {0,	     1, RUNQ_CAP - 1, UINT32_MAX - RUNQ_CAP, UINT32_MAX - 3,
				  UINT32_MAX};

/* An empty ring that has turned for a while. */
static void ring_at(struct runq *q, uint32_t start)
{
	memset(q, 0, sizeof(*q));
	store_rlx(&q->head, start); /* relaxed: one thread */
	store_rlx(&q->tail, start); /* relaxed: one thread */
}

static void fill(struct runq *q, uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		require(runq_put(q, &gs[from + i]));
	runq_audit(q);
}

static int number_of(const struct g *gp)
{
	return gp != NULL ? (int)(gp - gs) : -1;
}

/* The list holds the Gs from number `from` on, n of them, in order. */
static void expect_list(struct glist *list, uint32_t from, uint32_t n)
{
	expect_eq(list->count, n);
	for (uint32_t i = 0; i < n; i++)
		expect_eq(number_of(glist_pop(list)), from + i);
	expect(glist_pop(list) == NULL);
}

TAP_CASE(empty_ring_gives_nothing, .procs = "-")
{
	struct glist out = {0};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		ring_at(&ring, starts[i]);
		ring_at(&other, 7);
		expect(runq_is_empty(&ring));
		expect_eq(runq_length(&ring), 0);
		expect(runq_get(&ring) == NULL);
		expect(runq_get_next(&ring) == NULL);
		expect(runq_steal(&other, &ring, true) == NULL);
		expect(!runq_spill(&ring, &gs[0], &out));
		runq_drain(&ring, &out);
		expect_eq(out.count, 0);
	}
}

TAP_CASE(rq1_ring_is_first_in_first_out_across_the_wrap, .procs = "-")
{
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		ring_at(&ring, starts[i]);
		fill(&ring, 0, RUNQ_CAP);
		for (uint32_t k = 0; k < RUNQ_CAP; k++)
			expect_eq(number_of(runq_get(&ring)), k);
		expect(runq_is_empty(&ring));
	}
}

TAP_CASE(rq1_full_ring_refuses_and_is_unharmed, .procs = "-")
{
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		ring_at(&ring, starts[i]);
		fill(&ring, 0, RUNQ_CAP);
		expect(!runq_put(&ring, &gs[RUNQ_CAP]));
		expect_eq(runq_length(&ring), RUNQ_CAP);
		expect_eq(number_of(runq_get(&ring)), 0);
		expect(runq_put(&ring, &gs[RUNQ_CAP])); /* one place is free now, and only one */
		expect(!runq_put(&ring, &gs[RUNQ_CAP + 1]));
		for (uint32_t k = 1; k <= RUNQ_CAP; k++)
			expect_eq(number_of(runq_get(&ring)), k);
	}
}

TAP_CASE(rq1_random_puts_and_gets_agree_with_a_list, .procs = "-")
{
	uint64_t state = tap_seed();
	uint32_t put = 0, got = 0;

	ring_at(&ring, (uint32_t)tap_random(&state) | 0xfffff000u);
	for (int step = 0; step < 200000; step++) {
		if (tap_random(&state) % 2 == 0) {
			bool is_full = put - got == RUNQ_CAP;
			require_eq(runq_put(&ring, &gs[put % GS]), !is_full);
			put += !is_full;
		} else {
			bool is_empty = put == got;
			require_eq(number_of(runq_get(&ring)), is_empty ? -1 : (int)(got % GS));
			got += !is_empty;
		}
		require_eq(runq_length(&ring), put - got);
		require_eq(runq_is_empty(&ring), put == got);
	}
}

TAP_CASE(spill_moves_the_older_half_and_the_newcomer_behind_it, .procs = "-")
{
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct glist out = {0};
		ring_at(&ring, starts[i]);
		fill(&ring, 0, RUNQ_CAP);
		require(runq_spill(&ring, &gs[GS - 1], &out));
		require_eq(out.count, HALF + 1);
		for (uint32_t k = 0; k < HALF; k++)
			expect_eq(number_of(glist_pop(&out)), k);
		expect_eq(number_of(glist_pop(&out)), GS - 1);
		expect_eq(runq_length(&ring), HALF);
		expect_eq(number_of(runq_get(&ring)), HALF);
		runq_audit(&ring);
	}
}

TAP_CASE(ring_that_is_not_full_does_not_spill, .procs = "-")
{
	struct glist out = {0};

	ring_at(&ring, UINT32_MAX - 5);
	fill(&ring, 0, RUNQ_CAP - 1);
	expect(!runq_spill(&ring, &gs[GS - 1], &out));
	expect_eq(out.count, 0);
	expect_eq(runq_length(&ring), RUNQ_CAP - 1);
}

TAP_CASE(rq3_steal_takes_half_rounded_up_and_runs_the_last, .procs = "-")
{
	for (uint32_t n = 1; n <= RUNQ_CAP; n++) {
		uint32_t taken = n - n / 2;
		ring_at(&ring, UINT32_MAX - n / 3);
		ring_at(&other, UINT32_MAX - n / 5);
		fill(&ring, 0, n);
		expect_eq(number_of(runq_steal(&other, &ring, false)), taken - 1);
		expect_eq(runq_length(&other), taken - 1);
		expect_eq(runq_length(&ring), n / 2);
		for (uint32_t k = 0; k + 1 < taken; k++)
			expect_eq(number_of(runq_get(&other)), k);
		for (uint32_t k = taken; k < n; k++)
			expect_eq(number_of(runq_get(&ring)), k);
		runq_audit(&ring);
		runq_audit(&other);
	}
}

TAP_CASE(rq4_next_slot_holds_one_and_gives_the_one_before, .procs = "-")
{
	ring_at(&ring, 0);
	expect(runq_put_next(&ring, &gs[0]) == NULL);
	expect_eq(runq_length(&ring), 1);
	expect(!runq_is_empty(&ring));
	expect_eq(number_of(runq_put_next(&ring, &gs[1])), 0);
	expect_eq(number_of(runq_get_next(&ring)), 1);
	expect(runq_get_next(&ring) == NULL);
	expect(runq_is_empty(&ring));
}

TAP_CASE(rq4_next_slot_is_stolen_last_and_only_when_asked, .procs = "-")
{
	ring_at(&ring, UINT32_MAX);
	ring_at(&other, 0);
	os_fence_init();
	runq_put_next(&ring, &gs[5]);
	fill(&ring, 0, 1);
	expect_eq(number_of(runq_steal(&other, &ring, true)), 0);
	expect(runq_steal(&other, &ring, false) == NULL);
	expect(!runq_is_empty(&ring));
	expect_eq(number_of(runq_steal(&other, &ring, true)), 5);
	expect(runq_steal(&other, &ring, true) == NULL);
	expect(runq_get_next(&ring) == NULL);
	expect(runq_is_empty(&ring));
	expect(runq_is_empty(&other));
}

TAP_CASE(drain_gives_the_ring_in_order_and_next_last, .procs = "-")
{
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct glist out = {0};
		ring_at(&ring, starts[i]);
		fill(&ring, 0, 10);
		runq_put_next(&ring, &gs[10]);
		expect_eq(runq_length(&ring), 11);
		runq_drain(&ring, &out);
		expect_list(&out, 0, 11);
		expect(runq_is_empty(&ring));
	}
}

#ifdef GORO_DEBUG
TAP_CHILD(audit_of_a_broken_ring)
{
	ring_at(&ring, 5);
	store_rlx(&ring.tail, 4); /* relaxed: one thread */
	runq_audit(&ring);
}

TAP_CASE(rq1_audit_finds_a_tail_below_its_head, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "audit_of_a_broken_ring");
	expect_child(&c, 2, "internal check failed");
}
#endif

/* ---- with real threads ---- */

enum { ROUNDS = 60000 / TAP_SLOWER, THIEVES = 3 };

static atomic_of(uint32_t) seen[GS]; /* how often each G was taken, in all */
static atomic_of(uint32_t) is_over;

static void take(struct g *gp)
{
	if (gp != NULL)
		add_rlx(&seen[gp - gs], 1); /* relaxed: only counted */
}

static void *thief(void *arg)
{
	struct runq mine;

	(void)arg;
	ring_at(&mine, UINT32_MAX - 9);
	while (!load_acq(&is_over)) { /* the test's own: what was put is there */
		take(runq_steal(&mine, &ring, true));
		for (struct g *gp; (gp = runq_get(&mine)) != NULL;)
			take(gp);
		os_thread_yield();
	}
	return NULL;
}

/* The owner: everything that a P does to its ring. */
static uint64_t own(uint64_t *state)
{
	uint64_t n_put = 0;

	for (int i = 0; i < ROUNDS; i++, n_put++) {
		struct g *gp = &gs[n_put % GS];
		struct glist out = {0};
		if (tap_random(state) % 4 == 0)
			gp = runq_put_next(&ring, gp);
		while (gp != NULL && !runq_put(&ring, gp))
			if (runq_spill(&ring, gp, &out))
				break;
		for (struct g *one; (one = glist_pop(&out)) != NULL;)
			take(one);
		if (tap_random(state) % 3 == 0)
			take(runq_get_next(&ring));
		if (tap_random(state) % 3 == 0)
			take(runq_get(&ring));
		runq_audit(&ring);
	}
	return n_put;
}

TAP_CASE(rq3_rq4_every_g_has_exactly_one_taker, .procs = "-")
{
	uint64_t state = tap_seed(), n_taken = 0;
	pthread_t threads[THIEVES];
	struct glist rest = {0};

	os_fence_init();
	ring_at(&ring, UINT32_MAX - 1000);
	for (int i = 0; i < THIEVES; i++)
		require_eq(pthread_create(&threads[i], NULL, thief, NULL), 0);
	uint64_t n_put = own(&state);
	store_rel(&is_over, 1); /* the test's own */
	for (int i = 0; i < THIEVES; i++)
		pthread_join(threads[i], NULL);
	runq_drain(&ring, &rest);
	for (struct g *gp; (gp = glist_pop(&rest)) != NULL;)
		take(gp);
	for (uint32_t i = 0; i < GS; i++)
		n_taken += load_rlx(&seen[i]); /* relaxed: the threads are gone */
	expect_eq(n_taken, n_put);
	for (uint32_t i = 0; i < GS; i++) /* relaxed: as above */
		expect_eq(load_rlx(&seen[i]), n_put / GS + (i < n_put % GS));
}

TAP_MAIN
