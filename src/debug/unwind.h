/*
 * unwind.h - the calls that lead to a place: of this thread, of a parked goroutine, of a crash.
 */
#ifndef DEBUG_UNWIND_H
#define DEBUG_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/unwind.h"

struct unwind_frame {
	uintptr_t pc;
	bool is_exact; /* pc is an instruction, not a return address: see UR2 */
};

/*
 * The stack that is unwound: nothing outside [lo, hi) is read. {0, UINTPTR_MAX} trusts the stack:
 * only for the caller's own, or one known to be whole.
 */
struct unwind_bounds {
	uintptr_t lo, hi;
};

/* Called for each frame, the innermost first; false ends the walk. */
typedef bool unwind_each(const struct unwind_frame *frame, void *arg);

/*
 * Returns how many frames were shown, at least 1. Ends at a frame whose return address is undefined
 * or 0, that lies outside the bounds, or for which nothing is known; never loops, never faults.
 */
size_t unwind_walk(const struct unwind_regs *regs, struct unwind_bounds bounds, unwind_each *each,
		   void *arg);
size_t unwind_collect(const struct unwind_regs *regs, struct unwind_bounds bounds,
		      struct unwind_frame *frames, size_t max);

/* Both ends of a stack that may be very deep. */
#define UNWIND_FIRST 50u
#define UNWIND_LAST 10u

struct unwind_trace {
	size_t total;                           /* frames seen */
	struct unwind_frame first[UNWIND_FIRST];
	struct unwind_frame last[UNWIND_LAST];  /* i >= UNWIND_FIRST is in last[i % UNWIND_LAST] */
};

void unwind_trace(struct unwind_trace *trace, const struct unwind_regs *regs,
		  struct unwind_bounds bounds);
/* The caller's own calls, its own frame first. */
void unwind_trace_self(struct unwind_trace *trace, struct unwind_bounds bounds);
/* Frame i, i < total; NULL if it is among those in the middle that were not kept. */
const struct unwind_frame *unwind_trace_at(const struct unwind_trace *trace, size_t i);

#endif
