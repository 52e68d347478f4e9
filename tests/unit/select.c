/*
 * select.c - the orders of a select: by address, and by chance; src/sync/select.c.
 *
 * The source is included, since what is tried here has no name outside it.
 */
#include "tap.h"

#define goro_select goro_select_of_unit_test
#include "sync/select.c"

enum { MOST = 3000 };

static goro_case cases[MOST];
static uint32_t order[MOST], look[MOST];
static struct waiter waiters[MOST];
static uint64_t random_state = 88172645463325252;
static struct select s = {.cases = cases,
			  .order = order,
			  .look = look,
			  .waiters = waiters,
			  .rand = &random_state};

/* Addresses of no channel: they are only compared. */
static void fill(uint32_t n, uint64_t (*address)(uint32_t i, uint32_t n))
{
	s.n = n;
	s.n_shuffled = 0;
	for (uint32_t i = 0; i < n; i++) {
		cases[i].chan = (goro_chan *)(uintptr_t)(64 * (address(i, n) + 1));
		order[i] = look[i] = i;
	}
}

static uint64_t rising(uint32_t i, uint32_t n)
{
	(void)n;
	return i;
}

static uint64_t falling(uint32_t i, uint32_t n)
{
	return n - i;
}

static uint64_t all_equal(uint32_t i, uint32_t n)
{
	(void)i;
	(void)n;
	return 7;
}

static uint64_t few(uint32_t i, uint32_t n)
{
	(void)n;
	return i * 2654435761u % 5;
}

static uint64_t scattered(uint32_t i, uint32_t n)
{
	(void)n;
	return (uint64_t)i * 2654435761u % 1000003;
}

static void expect_permutation(const uint32_t *indices, uint32_t n)
{
	static unsigned char seen[MOST];

	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < n; i++) {
		require(indices[i] < n);
		seen[indices[i]]++;
		expect_eq(seen[indices[i]], 1);
	}
}

TAP_CASE(sl1_order_is_by_address, .procs = "-")
{
	uint64_t (*const shapes[])(uint32_t, uint32_t) = {rising, falling, all_equal, few,
							  scattered};

	for (size_t shape = 0; shape < array_length(shapes); shape++)
		for (uint32_t n = 1; n <= MOST; n += n < 40 ? 1 : 370) {
			fill(n, shapes[shape]);
			order_by_address(&s);
			expect_permutation(order, n);
			for (uint32_t k = 1; k < n; k++)
				expect(chan_of(&s, k - 1) <= chan_of(&s, k));
		}
}

TAP_CASE(sl3_every_permutation_is_as_likely_as_any_other, .procs = "-")
{
	enum { ROUNDS = 24 * 2000 };
	int count[256] = {0}, n_kinds = 0;

	for (int round = 0; round < ROUNDS; round++) {
		fill(4, rising);
		for (uint32_t i = 0; i < 4; i++)
			(void)look_next(&s, i);
		expect_permutation(look, 4);
		count[look[0] | look[1] << 2 | look[2] << 4 | look[3] << 6]++;
	}
	for (int i = 0; i < 256; i++) {
		n_kinds += count[i] != 0;
		/* Eight standard deviations of 44. */
		expect(count[i] == 0 || (count[i] > 2000 - 352 && count[i] < 2000 + 352));
	}
	expect_eq(n_kinds, 24);
}

TAP_CASE(sl3_cases_on_one_channel_are_queued_in_any_order, .procs = "-")
{
	enum { ROUNDS = 6000 };
	int first[3] = {0}, last[3] = {0};

	for (int round = 0; round < ROUNDS; round++) {
		fill(5, rising);
		cases[1].chan = cases[2].chan = cases[3].chan;
		order_by_address(&s);
		shuffle_equals(&s);
		expect_permutation(order, 5);
		expect_eq(order[0], 0);
		expect_eq(order[4], 4);
		first[order[1] - 1]++;
		last[order[3] - 1]++;
	}
	for (int i = 0; i < 3; i++) {
		/* Eight standard deviations of 37. */
		expect(first[i] > 2000 - 296 && first[i] < 2000 + 296);
		expect(last[i] > 2000 - 296 && last[i] < 2000 + 296);
	}
}

TAP_MAIN
