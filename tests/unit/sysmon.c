/*
 * sysmon.c - SM3 of src/sched/sysmon.c: how often it looks at the busy Ps.
 *
 * Counted on a clock of the test's own, so that it does not matter what else the machine does.
 */
#include "tap.h"

#include "os/os.h"
#include "sched/sched.h"

/* The looks until `end` after `start`, if each takes no time. */
static int looks(int64_t start, int64_t end)
{
	int n = 0;

	for (int64_t now = start; now < start + end; now += sysmon_pause(now))
		n++;
	return n;
}

/*
 * A call that announces itself gives its P away when two looks have seen it. There is no run here
 * that would give sysmon another reason for short rounds.
 */
TAP_CASE(sm3_first_call_of_a_run_is_looked_at_soon, .procs = "-")
{
	int64_t before = os_now(), after;

	require_eq(sysmon_start(), 0);
	after = os_now();
	expect_ge(looks(before, 250000), 5);
	expect_le(sysmon_pause(after), SYSMON_MIN_NS);
	sysmon_stop();
}

TAP_CASE(sm3_rounds_grow_to_a_millisecond, .procs = "-")
{
	int64_t later;

	require_eq(sysmon_start(), 0);
	later = os_now() + 4 * SYSMON_MIN_NS;
	expect_eq(sysmon_pause(later), SYSMON_MIN_NS);
	expect_eq(looks(later, 10 * SYSMON_MIN_NS), 10);
	sysmon_stop();
}

TAP_MAIN
