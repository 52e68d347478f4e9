/*
 * os_clock.c - the one clock: CLOCK_MONOTONIC in nanoseconds.
 *
 *   goro_now, timers, statistics -> [os_now] -> vDSO
 *
 * CL1  Never goes back; does not count time asleep.
 *
 * Locking: none. Go: nanotime.
 */
#include <errno.h>
#include <time.h>

#include "os/os.h"

int64_t os_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void os_sleep_until(int64_t deadline)
{
	struct timespec at = {(time_t)(deadline / 1000000000), (long)(deadline % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}
