/*
 * os_fence.c - the heavy side of the asymmetric fence (base/atomic.h tells the pair).
 *
 *   going to sleep, contended unlock -> [fence_heavy] -> every running thread passes a full fence
 *
 * FE1  fence_is_asymmetric is written by a constructor that runs before those of the program, and
 *      never again: a plain thread may use a channel before the first goro_run.
 * FE2  After fence_heavy() returns, every store that another thread made before its last
 *      fence_light() in program order is visible here, or that thread's next load sees ours.
 *
 * Locking: none. Linux: membarrier(2), PRIVATE_EXPEDITED; about 0.3 us with one other
 * running thread.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fatal.h"
#include "os/os.h"

bool fence_is_asymmetric;

void os_fence_init(void)
{
	fence_is_asymmetric =
		os_debug(OS_DEBUG_MEMBARRIER) &&
		syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

__attribute__((constructor(101))) static void fence_constructor(void)
{
	os_fence_init();
}

void fence_heavy(void)
{
	fence_seq_cst();
	/* A filter that the program put up meanwhile: other threads do without fences by now. */
	if (fence_is_asymmetric &&
	    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
		fatal("the kernel does not do membarrier any more (error %d): set "
		      "GORODEBUG=membarrier=0",
		      errno);
}
