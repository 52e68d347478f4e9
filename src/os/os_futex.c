/*
 * os_futex.c - sleeping on a word and waking its sleepers.
 *
 *   locks, notes -> [os_futex_wait] -> kernel <- [os_futex_wake] <- whoever changed the word
 *
 * FX1  A wait returns at once when the word no longer holds what the caller saw.
 * FX2  Deadlines are points on CLOCK_MONOTONIC, in nanoseconds, so that a signal cannot
 *      stretch a wait.
 *
 * Locking: none. Go: futexsleep, futexwakeup in runtime/os_linux.go; ours takes an absolute time.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fatal.h"
#include "os/os.h"

/*
 * Leaves errno as it was: the wait may be for a lock on a goroutine's way to park, which keeps its
 * errno from there on. Not inlined: the address of errno is that of this call's thread.
 */
__attribute__((noinline)) int os_futex_wait(atomic_of(uint32_t) *word, uint32_t expected,
					    int64_t deadline)
{
	struct timespec at, *limit = NULL;

	if (deadline != OS_FOREVER) {
		if (deadline < 0)
			deadline = 0;
		at.tv_sec = (time_t)(deadline / 1000000000);
		at.tv_nsec = (long)(deadline % 1000000000);
		limit = &at;
	}
	/* An early return: what a signal does. The deadline holds all the same. */
	if (os_fault(OS_FAULT_FUTEX))
		return deadline != OS_FOREVER && os_now() >= deadline ? -ETIMEDOUT : 0;
	int saved_errno = errno;
	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, limit, NULL,
		    FUTEX_BITSET_MATCH_ANY) == 0)
		return 0;
	int error = errno;
	errno = saved_errno;
	switch (error) {
	case EAGAIN:
	case EINTR:
		return 0;
	case ETIMEDOUT:
		return -ETIMEDOUT;
	default:
		fatal("futex wait failed with error %d: the kernel refuses to let a thread sleep",
		      error);
	}
}

void os_futex_wake(atomic_of(uint32_t) *word, int n)
{
	/* EFAULT: the word's memory is gone, and with it every sleeper. */
	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}
