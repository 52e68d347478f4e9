/*
 * os_fence.c - the heavy side of the asymmetric fence (base/atomic.h tells the pair).
 *
 *   going to sleep, contended unlock -> [fence_heavy] -> every running thread passes a full fence
 *
 * FE1  fence_is_asymmetric is set by a constructor that runs before those of the program: a plain
 *      thread may use a channel before the first goro_run.
 * FE2  After fence_heavy() returns, every store that another thread made before its last
 *      fence_light() in program order is visible here, or that thread's next load sees ours.
 * FE3  It is cleared once, when membarrier fails since the program has put up a filter. Who clears
 *      it then runs on each CPU in turn: whoever ran there has been switched away, which is a full
 *      fence. A light side that has looked at fence_is_asymmetric before that fence of its thread
 *      has made its store before, too, and those that look after it find it cleared. From then on
 *      both sides are full fences.
 *
 * We do not go on by mprotect() of a page instead: processors that invalidate the translations of
 * others without an interrupt (arm64, and AMD's since Linux 6.15) pass no fence for it. Nor by a
 * signal to every thread: it would end system calls of the program, and a thread may block it.
 *
 * Locking: none. Order: FENCE-PLAIN. Linux: membarrier(2), PRIVATE_EXPEDITED; about 0.3 us with one
 * other running thread.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fatal.h"
#include "os/os.h"

#define CPUS_MAX 8192 /* the kernel's own limit */

atomic_of(bool) fence_is_asymmetric;
static atomic_of(bool) heavy_is_plain; /* all light fences are full ones: FE3 */

void os_fence_init(void)
{
	bool has_it = os_debug(OS_DEBUG_MEMBARRIER) &&
		      syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) ==
			      0 &&
		      syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;

	store_rlx(&fence_is_asymmetric, has_it); /* relaxed: no other thread of ours is there yet */
	store_rlx(&heavy_is_plain, !has_it);     /* relaxed: likewise */
}

__attribute__((constructor(101))) static void fence_constructor(void)
{
	os_fence_init();
}

/*
 * FE3. A CPU that this thread may not be sent to is one that is not there, or that this process
 * has been kept from. The thread keeps its affinity.
 */
static bool visit_cpus(void)
{
	unsigned long mask[CPUS_MAX / 8 / sizeof(long)], one[CPUS_MAX / 8 / sizeof(long)];
	const size_t bits = 8 * sizeof(long);
	long size = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
	int n_visited = 0, error = 0;

	for (size_t cpu = 0; !error && size > 0 && cpu < 8 * (size_t)size; cpu++) {
		memset(one, 0, (size_t)size);
		one[cpu / bits] = 1ul << cpu % bits;
		if (syscall(SYS_sched_setaffinity, 0, size, one) == 0)
			n_visited++;
		else if (errno != EINVAL)
			error = errno;
	}
	if (n_visited)
		(void)syscall(SYS_sched_setaffinity, 0, size, mask);
	return n_visited && !error;
}

/* FE3. Two threads at once do no harm. Not inlined: those masks are not for every stack. */
__attribute__((noinline, cold)) static void do_without_membarrier(int error)
{
	store_rlx(&fence_is_asymmetric, false); /* relaxed: ordered by the fences */
	fence_seq_cst();
	if (!visit_cpus())
		fatal("the kernel does not do membarrier any more (error %d), nor "
		      "sched_setaffinity in its place: set GORODEBUG=membarrier=0",
		      error);
	store_rel(&heavy_is_plain, true); /* FENCE-PLAIN */
}

void fence_heavy(void)
{
	fence_seq_cst();
	if (!load_acq(&heavy_is_plain) && /* FENCE-PLAIN: all threads have passed a fence */
	    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
		do_without_membarrier(errno);
}
