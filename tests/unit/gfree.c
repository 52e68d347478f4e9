/*
 * gfree.c - slabs of Gs and the caches of Ps; src/queue/gfree.c.
 *
 * How many Gs a slab holds is found by taking them: those of a slab lie in one aligned block.
 */
#include "tap.h"

#include <sys/mman.h>

#include "os/os.h"
#include "queue/gfree.h"

enum { PAGE = 4096, SLAB_SIZE = 256 << 10, TAKEN_MAX = 8192 };

static struct gfree cache, other;
static struct g *taken[TAKEN_MAX];
static uint32_t n_taken;

static uintptr_t slab_of(const struct g *gp)
{
	return (uintptr_t)gp & ~(uintptr_t)(SLAB_SIZE - 1);
}

/* What spawn does: from DEAD to IDLE. A G that is taken twice shows here. */
static struct g *live(struct g *gp)
{
	require(gp != NULL);
	require_eq(g_state(gp), G_DEAD);
	g_transition(gp, G_DEAD, G_IDLE);
	memset(&gp->stack, 0x5a, sizeof(gp->stack)); /* any page of it may be looked at */
	return gp;
}

static struct g *dead(struct g *gp)
{
	require_eq(g_state(gp), G_IDLE);
	store_rlx(&gp->state, G_DEAD); /* relaxed: one thread; not by an edge, since it never ran */
	return gp;
}

static void take(struct gfree *from)
{
	require(n_taken < TAKEN_MAX);
	taken[n_taken++] = live(from != NULL ? gfree_take(from) : gfree_take_global());
}

static void give(struct gfree *to, uint32_t i)
{
	struct g *gp = dead(taken[i]);

	taken[i] = taken[--n_taken];
	if (to != NULL)
		gfree_give(to, gp);
	else
		gfree_give_global(gp);
}

static void give_all(struct gfree *to)
{
	while (n_taken > 0)
		give(to, n_taken - 1);
}

/* Take all Gs of n slabs, from a fresh start. How many one holds. */
static uint32_t take_slabs(uint32_t n)
{
	uint32_t n_slabs = 0;

	require_eq(n_taken, 0);
	for (;;) {
		take(NULL);
		if (n_taken == 1 || slab_of(taken[n_taken - 1]) != slab_of(taken[n_taken - 2]))
			n_slabs++;
		if (n_slabs > n)
			break;
	}
	give(NULL, n_taken - 1); /* the first of one more */
	require_eq(n_taken % n, 0);
	return n_taken / n;
}

static uint32_t resident_pages(uintptr_t at, size_t size)
{
	unsigned char present[SLAB_SIZE / PAGE];
	uint32_t n = 0;

	require_le(size, SLAB_SIZE);
	require(mincore((void *)at, size, present) == 0);
	for (size_t i = 0; i < size / PAGE; i++)
		n += present[i] & 1;
	return n;
}

TAP_CASE(taken_g_is_dead_and_aligned, .procs = "-")
{
	for (int i = 0; i < 300; i++)
		take(&cache);
	for (uint32_t i = 0; i < n_taken; i++) {
		expect_eq((uintptr_t)taken[i] % 8, 0);
		/* Not across the end of its slab, nor in the slab's own head. */
		expect_le((uintptr_t)(taken[i] + 1), slab_of(taken[i]) + SLAB_SIZE);
		expect_gt((uintptr_t)taken[i], slab_of(taken[i]));
	}
}

TAP_CASE(empty_cache_is_filled_to_half, .procs = "-")
{
	take(&cache);
	expect_eq(cache.count, GFREE_CACHE / 2 - 1);
	for (uint32_t i = 1; i < GFREE_CACHE / 2; i++)
		take(&cache);
	expect_eq(cache.count, 0);
	expect(cache.head == NULL);
	take(&cache);
	expect_eq(cache.count, GFREE_CACHE / 2 - 1);
}

TAP_CASE(cache_gives_the_last_given_first, .procs = "-")
{
	take(&cache);
	take(&cache);
	struct g *first = taken[0], *second = taken[1];
	give(&cache, 0);
	give(&cache, 0);
	expect(gfree_take(&cache) == second);
	expect(gfree_take(&cache) == first);
}

TAP_CASE(full_cache_spills_half, .procs = "-")
{
	uint32_t most = 0, before = 0;

	for (uint32_t i = 0; i < 4 * GFREE_CACHE; i++)
		take(NULL);
	while (n_taken > 0) {
		before = cache.count;
		give(&cache, n_taken - 1);
		if (cache.count < before) /* it spilled, and what came last is in the cache */
			expect_le(cache.count, GFREE_CACHE / 2 + 1);
		most = cache.count > most ? cache.count : most;
	}
	expect_eq(most, GFREE_CACHE);
}

TAP_CASE(flush_leaves_nothing_in_the_cache, .procs = "-")
{
	for (int i = 0; i < 40; i++)
		take(&cache);
	give_all(&cache);
	gfree_flush(&cache);
	expect_eq(cache.count, 0);
	expect(cache.head == NULL);
	gfree_flush(&cache); /* twice does no harm */
	take(&other);
}

TAP_CASE(gf1_a_g_is_never_in_two_places, .procs = "-")
{
	uint64_t state = tap_seed();
	struct gfree *places[] = {&cache, &other, NULL};

	for (int step = 0; step < 300000 / TAP_SLOWER; step++) {
		struct gfree *place = places[tap_random(&state) % 3];
		bool grows = n_taken < TAKEN_MAX && tap_random(&state) % 2000 > n_taken / 2;
		if (grows || n_taken == 0)
			take(place); /* live() finds one that is live already */
		else
			give(place, (uint32_t)(tap_random(&state) % n_taken));
		if (tap_random(&state) % 5000 == 0)
			gfree_flush(&cache);
		if (tap_random(&state) % 9000 == 0)
			gfree_scavenge();
	}
}

TAP_CASE(gf2_empty_slabs_give_their_memory_back, .procs = "-")
{
	enum { SLABS = 4 };
	uintptr_t slabs[SLABS];
	uint32_t n_each = take_slabs(SLABS);

	expect_gt(n_each, 1000);
	for (uint32_t i = 0; i < SLABS; i++) {
		slabs[i] = slab_of(taken[i * n_each]);
		expect_ge(resident_pages(slabs[i], SLAB_SIZE), SLAB_SIZE / PAGE - 1);
	}
	expect(!gfree_has_garbage());
	expect_eq(gfree_scavenge(), 0);
	give_all(&cache);
	gfree_flush(&cache);
	expect(gfree_has_garbage());
	expect_eq(gfree_scavenge(), SLABS);
	for (uint32_t i = 0; i < SLABS; i++)
		expect_le(resident_pages(slabs[i], SLAB_SIZE), 1);
	expect(!gfree_has_garbage());
	expect_eq(gfree_scavenge(), 0);
}

TAP_CASE(gf2_slab_with_one_live_g_is_kept, .procs = "-")
{
	uint32_t n_each = take_slabs(2);
	struct g *kept = taken[n_each / 2];

	kept->id = 4711;
	for (uint32_t i = n_taken; i-- > 0;)
		if (taken[i] != kept)
			give(NULL, i);
	expect_eq(gfree_scavenge(), 1);
	expect_eq(kept->id, 4711);
	expect_eq(g_state(kept), G_IDLE);
	give_all(NULL);
	expect_eq(gfree_scavenge(), 1);
}

TAP_CASE(slab_that_was_given_back_can_be_used_again, .procs = "-")
{
	uint32_t n_each = take_slabs(3);

	for (int round = 0; round < 3; round++) {
		give_all(NULL);
		expect_eq(gfree_scavenge(), 3);
		while (n_taken < 3 * n_each)
			take(NULL);
		expect(!gfree_has_garbage());
	}
}

TAP_CASE(use_of_a_slab_after_it_became_empty_is_no_garbage, .procs = "-")
{
	uint32_t n_each = take_slabs(1);

	give_all(NULL);
	expect(gfree_has_garbage());
	while (n_taken < n_each + 1) /* whichever slab comes first, this one is not empty then */
		take(NULL);
	expect(!gfree_has_garbage());
	expect_eq(gfree_scavenge(), 0);
}

static uint32_t n_visits;
static uint64_t id_sum;

static void visit(struct g *gp, void *arg)
{
	require(arg == &n_visits);
	n_visits++;
	id_sum += gp->id;
}

TAP_CASE(each_visits_the_live_and_nobody_else, .procs = "-")
{
	uint64_t wanted = 0;

	gfree_each(visit, &n_visits);
	expect_eq(n_visits, 0);
	for (uint64_t i = 0; i < 3000; i++) {
		take(&cache);
		taken[i]->id = i;
	}
	for (uint32_t i = 0; i < 1000; i++)
		give(&cache, 2 * i % n_taken);
	for (uint32_t i = 0; i < n_taken; i++)
		wanted += taken[i]->id;
	gfree_each(visit, &n_visits);
	expect_eq(n_visits, 2000);
	expect_eq(id_sum, wanted);
}

TAP_CASE(reset_forgets_the_live, .procs = "-")
{
	uint32_t n_each = take_slabs(2);
	uintptr_t slab = slab_of(taken[0]);

	n_taken = 0;
	gfree_reset();
	gfree_each(visit, &n_visits);
	expect_eq(n_visits, 0);
	expect(!gfree_has_garbage());
	expect_le(resident_pages(slab, SLAB_SIZE), 1);
	/* The old slabs serve again before any new one is made. */
	for (uint32_t i = 0; i < 3 * n_each; i++)
		take(NULL);
	give_all(NULL);
	expect_eq(gfree_scavenge(), 3);
}

/* GF3: what a slab promises is there. All Gs of two slabs get a stack. */
TAP_CASE(gf3_every_g_finds_a_stack, .procs = "-")
{
	static struct stack_cache stacks;
	bool has_canary;

	os_guard_init();
	uint32_t n = 2 * take_slabs(2);
	for (uint32_t i = 0; i < n / 2; i++)
		expect_ne(stack_take(&stacks, &has_canary).lo, 0);
}

#ifdef GORO_DEBUG
TAP_CHILD(take_without_memory)
{
	os_fault_init();
	expect(gfree_take(&cache) == NULL);
	expect(gfree_take_global() == NULL);
	expect_eq(cache.count, 0);
	_exit(tap_failures != 0);
}

TAP_CASE(no_memory_for_a_slab_is_told, .procs = "-")
{
	struct tap_child c;

	for (int n = 1; n <= 3; n++) { /* the region, then what the stacks need */
		char fault[32];
		snprintf(fault, sizeof(fault), "GORO_FAULT=mmap:%d+", n);
		tap_child(&c, "take_without_memory", fault);
		expect_child(&c, 0, "");
	}
}
#endif

TAP_MAIN
