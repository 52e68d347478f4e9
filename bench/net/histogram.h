/*
 * histogram.h - how often each length of time came, in buckets of 1/64 of their value.
 *
 * Below 128 ns each nanosecond has a bucket of its own; above, each power of two has 64 of them, so
 * that whatever is read from it is at most 1.6 % above what was put in, and never below.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB	  6
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB + 1) << HISTOGRAM_SUB)

struct histogram {
	uint64_t count[HISTOGRAM_BUCKETS];
	uint64_t total;
	uint64_t max;
};

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	int high = 63 - __builtin_clzll(value | 1);
	int shift = high > HISTOGRAM_SUB ? high - HISTOGRAM_SUB : 0;

	h->count[((uint64_t)shift << HISTOGRAM_SUB) + (value >> shift)]++;
	h->total++;
	if (value > h->max)
		h->max = value;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->count[i] += from->count[i];
	into->total += from->total;
	if (from->max > into->max)
		into->max = from->max;
}

/* The largest value that its bucket may hold. */
static inline uint64_t histogram_top(int bucket)
{
	int shift = bucket >> HISTOGRAM_SUB;

	if (shift > 0)
		shift--;
	return ((((uint64_t)bucket - ((uint64_t)shift << HISTOGRAM_SUB)) + 1) << shift) - 1;
}

/* The value that a share (0 to 1) of all does not exceed; 0 when there is none. */
static inline uint64_t histogram_at(const struct histogram *h, double share)
{
	uint64_t seen = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->count[i];
		if (seen > 0 && (double)seen >= share * (double)h->total)
			return histogram_top(i) < h->max ? histogram_top(i) : h->max;
	}
	return h->max;
}

#endif
