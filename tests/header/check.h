/*
 * check.h - CHECK for the go() tests: counts, and says what failed. Goroutines may run on several
 * threads, so the counters are atomic.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

#include "goro.h"

extern int checks_done, checks_failed;

#define CHECK(claim)                                                                               \
	do {                                                                                       \
		__atomic_add_fetch(&checks_done, 1, __ATOMIC_RELAXED);                             \
		if (!(claim)) {                                                                    \
			__atomic_add_fetch(&checks_failed, 1, __ATOMIC_RELAXED);                   \
			printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #claim);               \
		}                                                                                  \
	} while (0)

/* Goroutines that have to report before main may judge. */
extern int runs_expected, runs_seen;

/* RAN() ends every function that is started by go(); GO(...) starts one and counts it. */
#define RAN() ((void)__atomic_add_fetch(&runs_seen, 1, __ATOMIC_RELEASE))
#define EXPECT_RUNS(n) ((void)__atomic_add_fetch(&runs_expected, (n), __ATOMIC_RELAXED))

static inline void wait_for_runs(void)
{
	while (__atomic_load_n(&runs_seen, __ATOMIC_ACQUIRE) <
	       __atomic_load_n(&runs_expected, __ATOMIC_RELAXED))
		goro_yield();
}

#endif /* CHECK_H */
