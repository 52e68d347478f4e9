/*
 * os_fence.c - the heavy side of the asymmetric fence (base/atomic.h tells the pair).
 *
 *   going to sleep, contended unlock -> [fence_heavy] -> every running thread passes a full fence
 *
 * FE1  fence_is_asymmetric is written before the second thread exists, and never again.
 * FE2  After fence_heavy() returns, every store that another thread made before its last
 *      fence_light() in program order is visible here, or that thread's next load sees ours.
 *
 * Locking: none. Linux: membarrier(2), PRIVATE_EXPEDITED; about 0.3 us with one other
 * running thread.
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/os.h"

bool fence_is_asymmetric;

void os_fence_init(void)
{
	if (fence_is_asymmetric || !os_debug(OS_DEBUG_MEMBARRIER))
		return;
	fence_is_asymmetric =
		syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void fence_heavy(void)
{
	fence_seq_cst();
	if (fence_is_asymmetric)
		(void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}
