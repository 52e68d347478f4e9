/*
 * loop.h - goroutines that compute without pause, for the benchmarks of what they do to others.
 *
 * A round takes about a microsecond. LOOP_BARE makes no call at all; LOOP_CHECKPOINT calls
 * goro_checkpoint() in each round.
 */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <stdatomic.h>

#include "bench.h"

enum loop_kind { LOOP_BARE, LOOP_CHECKPOINT };

struct loop {
	enum loop_kind kind;
	atomic_uint_fast64_t rounds; /* done by now */
} __attribute__((aligned(64)));

enum { LOOP_STEPS = 1000 };

static atomic_bool loops_over;
static atomic_int loops_running;

static inline void loop_run(struct loop *l)
{
	uint64_t x = 1, rounds = 0;

	while (!atomic_load_explicit(&loops_over, memory_order_relaxed)) {
		for (int i = 0; i < LOOP_STEPS; i++)
			x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		__asm__ volatile("" ::"r"(x)); /* it is wanted */
		atomic_store_explicit(&l->rounds, ++rounds, memory_order_relaxed);
		if (l->kind == LOOP_CHECKPOINT)
			goro_checkpoint();
	}
	atomic_fetch_sub_explicit(&loops_running, 1, memory_order_release);
}

static inline void loops_start(struct loop *loops, int count, enum loop_kind kind)
{
	atomic_store(&loops_running, count);
	atomic_store(&loops_over, false);
	for (int i = 0; i < count; i++) {
		loops[i].kind = kind;
		atomic_init(&loops[i].rounds, 0);
		go(loop_run, &loops[i]);
	}
}

static inline void loops_end(void)
{
	atomic_store(&loops_over, true);
	while (atomic_load_explicit(&loops_running, memory_order_acquire))
		goro_yield();
}

#endif
