/*
 * rand.c - the small generator; src/base/rand.h.
 */
#include "tap.h"

#include "base/rand.h"

TAP_CASE(seed_is_never_zero, .procs = "-")
{
	uint64_t state = tap_seed();

	expect_ne(rand_seed(0), 0);
	expect_ne(rand_seed(UINT64_MAX), 0); /* whose successor is 0 */
	for (int i = 0; i < 10000; i++)
		expect_ne(rand_seed(tap_random(&state)), 0);
}

TAP_CASE(neighbouring_seeds_give_different_numbers, .procs = "-")
{
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t a = rand_seed(i), b = rand_seed(i + 1);
		uint32_t n_equal = 0;
		for (int k = 0; k < 8; k++)
			n_equal += rand_next(&a) == rand_next(&b);
		expect_lt(n_equal, 2);
	}
}

TAP_CASE(same_state_gives_the_same_numbers, .procs = "-")
{
	uint64_t a = rand_seed(42), b = a;

	for (int i = 0; i < 1000; i++)
		expect_eq(rand_next(&a), rand_next(&b));
	expect_eq(a, b);
	expect_ne(a, rand_seed(42));
}

/* The upper halves of 5180492295206395165, 12380297144915551517, 13389498078930870103. */
TAP_CASE(numbers_are_those_of_xorshift64_star, .procs = "-")
{
	uint64_t state = 1;

	expect_eq(rand_next(&state), 5180492295206395165u >> 32);
	expect_eq(rand_next(&state), 12380297144915551517u >> 32);
	expect_eq(rand_next(&state), 13389498078930870103u >> 32);
}

TAP_CASE(state_never_becomes_zero, .procs = "-")
{
	uint64_t state = rand_seed(tap_seed());

	for (int i = 0; i < 1000000 / TAP_SLOWER; i++) {
		rand_next(&state);
		require(state != 0);
	}
}

TAP_CASE(below_stays_below_and_is_even, .procs = "-")
{
	enum { DRAWS = 64000, SIZE_MAX_ = 64 };
	uint64_t state = rand_seed(tap_seed());

	for (uint32_t n = 1; n <= SIZE_MAX_; n++) {
		uint32_t count[SIZE_MAX_] = {0};
		for (uint32_t i = 0; i < DRAWS; i++) {
			uint32_t drawn = rand_below(&state, n);
			require(drawn < n);
			count[drawn]++;
		}
		/* Eight standard deviations: no seed in a lifetime goes beyond. */
		double mean = (double)DRAWS / n, far = 8 * 8 * mean;
		for (uint32_t i = 0; i < n; i++)
			expect((count[i] - mean) * (count[i] - mean) <= far);
	}
	expect_eq(rand_below(&state, 1), 0);
}

TAP_CASE(every_bit_is_set_half_of_the_time, .procs = "-")
{
	enum { DRAWS = 40000 };
	uint64_t state = rand_seed(tap_seed());
	int count[32] = {0};

	for (int i = 0; i < DRAWS; i++) {
		uint32_t drawn = rand_next(&state);
		for (int bit = 0; bit < 32; bit++)
			count[bit] += drawn >> bit & 1;
	}
	for (int bit = 0; bit < 32; bit++) {
		expect_gt(count[bit], DRAWS / 2 - 800); /* eight standard deviations of 100 */
		expect_lt(count[bit], DRAWS / 2 + 800);
	}
}

TAP_MAIN
