/*
 * rand.h - a small fast generator for choices that need no secrecy: victims, poll orders, test
 * noise. xorshift64*; one state per owner, never shared. Source: Marsaglia 2003, Vigna 2016.
 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stdint.h>

static inline uint32_t rand_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return (uint32_t)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

/* A start value that is never 0, from anything. */
static inline uint64_t rand_seed(uint64_t from)
{
	uint64_t x = (from + 1) * UINT64_C(0x9E3779B97F4A7C15);

	return x ? x : 1;
}

/* Uniform in [0, n) up to 2^-32. */
static inline uint32_t rand_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)(((uint64_t)rand_next(state) * n) >> 32);
}

#endif
