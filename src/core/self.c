/*
 * self.c - which M am I? The only thread-locals of the library.
 *
 *   everything -> [m_self]
 *
 * SE1 stands in self.h. docs/threads-and-tls.md tells the trap that this avoids.
 *
 * Locking: none. Go: getg(), which lives in a register.
 */
#include "core/self.h"

#include <errno.h>

#include "core/m.h"

__attribute__((visibility("hidden"), used, tls_model("initial-exec"))) __thread struct m *self_m;

#if !defined(__x86_64__) || defined(GORO_MODEL)
__attribute__((noinline)) struct m *m_self(void)
{
	struct m *mp = self_m;

	/* The empty statement keeps the call: two in a row may give different answers. */
	__asm__ volatile("" : "+r"(mp));
	return mp;
}
#endif

__attribute__((noinline)) void m_self_set(struct m *mp)
{
	self_m = mp;
}

static __attribute__((tls_model("initial-exec"))) __thread uintptr_t giving;

__attribute__((noinline)) uintptr_t *self_giving(void)
{
	return &giving;
}

uint32_t *m_held_ranks(struct m *mp)
{
	return &mp->held_ranks;
}

bool m_may_lock(struct m *mp)
{
	return load_rlx(&mp->at) == AT_RUNTIME; /* relaxed: our own */
}

__attribute__((noinline)) int self_errno(void)
{
	int value = errno;

	__asm__ volatile("" : "+r"(value));
	return value;
}

__attribute__((noinline)) void self_errno_set(int value)
{
	__asm__ volatile("" : "+r"(value));
	errno = value;
}
