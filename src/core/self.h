/*
 * self.h - which M am I? The only thread-locals of the library.
 *
 * SE1  self_m holds a pointer and is read by value. Its address is never taken, since a goroutine
 *      may go on in another thread after any call that parks, and compilers keep such
 *      addresses in registers.
 */
#ifndef CORE_SELF_H
#define CORE_SELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct m;

/* NULL in a thread that the runtime did not make. */
#if defined(__x86_64__) && !defined(GORO_MODEL)
static inline struct m *m_self(void)
{
	struct m *mp;

	/* Volatile, so that it is read anew after every switch; two loads instead of a call. */
	__asm__ volatile("movq self_m@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(mp));
	return mp;
}
#else
struct m *m_self(void);
#endif
void m_self_set(struct m *mp);
/*
 * PR12: the frame that calls the program's handler of SIGURG on this thread, or 0; also on a thread
 * that is no M. Only for a signal handler, which does not change threads.
 */
uintptr_t *self_giving(void);

/* Debug builds: the lock ranks that this thread holds, as bits. In the M. */
uint32_t *m_held_ranks(struct m *mp);
/* Debug builds: this thread is inside the runtime, m.h MI4. */
bool m_may_lock(struct m *mp);

/* errno of the thread that runs this, read and written where no switch can come between. */
int self_errno(void);
void self_errno_set(int value);

#endif
