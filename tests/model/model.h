/*
 * model.h - what the clients put in place of the floors below the sources that they include.
 *
 * The operating system is the explorer's; m_self() gives the M that the test assigned to the
 * thread.
 */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/fatal.h"
#include "core/self.h"
#include "os/os.h"

int os_futex_wait(atomic_of(uint32_t) *word, uint32_t expected, int64_t deadline)
{
#ifdef MODEL_BEFORE_WAIT
	MODEL_BEFORE_WAIT(word);
#endif
	int err = explore_futex_wait_until(word, expected, deadline);

	return err == -110 ? err : 0;
}

void os_futex_wake(atomic_of(uint32_t) *word, int n)
{
	explore_futex_wake(word, n);
}

int64_t os_now(void)
{
	return explore_now();
}

void os_thread_yield(void)
{
	explore_yield();
}

void os_sleep_until(int64_t deadline)
{
	(void)deadline;
	explore_yield();
}

noreturn void fatal(const char *fmt, ...)
{
	explore_fail((struct explore_site){"fatal", fmt, 0}, "fatal error");
}

/* Bounds of a test in one line. */
#define TRY(p, d) .preemptions = (p), .delays = (d)

#endif
