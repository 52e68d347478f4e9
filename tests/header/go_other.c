/*
 * go_other.c - a second file with go() in functions of the same names and at the same lines as
 * others may have, so that a macro which makes symbols makes them twice.
 *
 *   go_args.c -> [other_file] -> go()
 *
 * Locking: none. See go_args.c, whose counters this uses.
 */
#include "check.h"

#ifdef __cplusplus
extern "C"
#endif
void other_file(void);

static void n0(void)
{
	RAN();
}
static void n1(int a)
{
	CHECK(a == 1);
	RAN();
}
static inline __attribute__((always_inline)) void in_always_inline(int i)
{
	go(n0);
	go(n1, i);
}

void other_file(void)
{
	EXPECT_RUNS(6);
	go(n0);
	go(n1, 1);
	in_always_inline(1);
	in_always_inline(1);
}
