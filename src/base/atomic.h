/*
 * atomic.h - the only door to atomic operations; the memory order is in the name.
 *
 *   every floor -> [load_acq, store_rel, cas_acq, ...] -> C11 atomics, or tests/model's explorer
 *
 * AT1  No other file includes <stdatomic.h> or uses an __atomic builtin.
 * AT2  Every acquire and every release names, in a comment on its line, a label that
 *      stands at both ends.
 * AT3  A relaxed access of a shared field says on its line why it may be relaxed.
 *
 * The asymmetric pair: fence_light() stands on the hot side and costs a compiler barrier,
 * fence_heavy() stands on the rare side and makes every other thread of the process pass a full
 * fence (membarrier). Where the kernel has no membarrier, both are full fences. Between a light and
 * a heavy fence holds what holds between two seq_cst fences: of two sides that each store and then
 * load what the other stored, at least one sees the other's store. We do not use a seq_cst fence on
 * the hot side: it costs 5 ns.
 *
 * With GORO_MODEL all of it is a scheduling point of the interleaving explorer
 * (tests/model/explore.h).
 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define atomic_of(T) _Atomic(T)

/* The type of *p without its qualifiers: an operand of the comma operator has lost them. */
#define ATOMIC_VALUE(p) __typeof__((void)0, *(p))

#ifdef GORO_MODEL

#include "explore.h"

/* A statement expression, so that nobody minds a result that is not used. */
#define EXPLORE_VALUE(p, call)                                                                    \
	__extension__({                                                                            \
		ATOMIC_VALUE(p) explore_value = (ATOMIC_VALUE(p))call;                             \
		explore_value;                                                                     \
	})
#define EXPLORE_LOAD(p, order)                                                                    \
	EXPLORE_VALUE(p, explore_load((const volatile void *)(p), sizeof(*(p)), order))
#define EXPLORE_STORE(p, v, order)                                                                \
	explore_store((volatile void *)(p), sizeof(*(p)), (uint64_t)(ATOMIC_VALUE(p))(v), order)
#define EXPLORE_RMW(op, p, v, order)                                                              \
	EXPLORE_VALUE(p, explore_rmw((volatile void *)(p), sizeof(*(p)), op, (uint64_t)(v), order))
#define load_rlx(p) EXPLORE_LOAD(p, EXPLORE_RLX)
#define load_acq(p) EXPLORE_LOAD(p, EXPLORE_ACQ)
#define load_seq_cst(p) EXPLORE_LOAD(p, EXPLORE_SEQ_CST)
#define store_rlx(p, v) EXPLORE_STORE(p, v, EXPLORE_RLX)
#define store_rel(p, v) EXPLORE_STORE(p, v, EXPLORE_REL)
#define EXPLORE_CAS(p, expected, desired, order)                                                  \
	explore_cas((volatile void *)(p), sizeof(*(p)), (void *)(expected),                        \
		    (uint64_t)(ATOMIC_VALUE(p))(desired), order)
#define xchg_rlx(p, v) EXPLORE_RMW(EXPLORE_XCHG, p, v, EXPLORE_RLX)
#define xchg_acq(p, v) EXPLORE_RMW(EXPLORE_XCHG, p, v, EXPLORE_ACQ)
#define xchg_rel(p, v) EXPLORE_RMW(EXPLORE_XCHG, p, v, EXPLORE_REL)
#define xchg_acq_rel(p, v) EXPLORE_RMW(EXPLORE_XCHG, p, v, EXPLORE_ACQ_REL)
#define add_rlx(p, v) EXPLORE_RMW(EXPLORE_ADD, p, v, EXPLORE_RLX)
#define add_acq(p, v) EXPLORE_RMW(EXPLORE_ADD, p, v, EXPLORE_ACQ)
#define add_rel(p, v) EXPLORE_RMW(EXPLORE_ADD, p, v, EXPLORE_REL)
#define add_acq_rel(p, v) EXPLORE_RMW(EXPLORE_ADD, p, v, EXPLORE_ACQ_REL)
#define cas_rlx(p, expected, desired) EXPLORE_CAS(p, expected, desired, EXPLORE_RLX)
#define cas_acq(p, expected, desired) EXPLORE_CAS(p, expected, desired, EXPLORE_ACQ)
#define cas_acq_rel(p, expected, desired) EXPLORE_CAS(p, expected, desired, EXPLORE_ACQ_REL)
#define fence_seq_cst() explore_fence()
#define fence_after_swap() explore_fence()
#define fence_light() explore_fence_light()
#define fence_heavy() explore_fence_heavy()
#define cpu_relax() explore_yield()
/* False in the test that takes the step of this name out, to show that it is needed. */
#define MODEL_KEEP(name) (!explore_omits(name))

#else

#define MODEL_KEEP(name) 1

#define load_rlx(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acq(p) atomic_load_explicit((p), memory_order_acquire)
/*
 * An acquire. On arm64 it also waits for the thread's own release stores, which a plain acquire
 * need not; on x86 it is a load like any other. For what is argued for both (LOCK-PEEK).
 */
#define load_seq_cst(p) atomic_load_explicit((p), memory_order_seq_cst)
#define store_rlx(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_rel(p, v) atomic_store_explicit((p), (v), memory_order_release)
/* Each returns the value from before. */
#define xchg_rlx(p, v) atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define xchg_acq(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define xchg_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_release)
#define xchg_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define add_rlx(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_acq(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acquire)
#define add_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_release)
#define add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
/*
 * Each is strong, returns whether it swapped, and writes what it found to *expected
 * when it did not.
 */
#define ATOMIC_CAS(p, expected, desired, order)                                            \
	atomic_compare_exchange_strong_explicit((p), (expected), (desired), order,         \
						memory_order_relaxed)
#define cas_rlx(p, expected, desired) ATOMIC_CAS(p, expected, desired, memory_order_relaxed)
#define cas_acq(p, expected, desired) ATOMIC_CAS(p, expected, desired, memory_order_acquire)
#define cas_acq_rel(p, expected, desired) ATOMIC_CAS(p, expected, desired, memory_order_acq_rel)
#define fence_seq_cst() atomic_thread_fence(memory_order_seq_cst)
/* The same behind an operation that reads and writes: on x86 that is a full fence already. */
#if defined(__x86_64__)
#define fence_after_swap() atomic_signal_fence(memory_order_seq_cst)
#else
#define fence_after_swap() fence_seq_cst()
#endif

/* os/os_fence.c: the kernel has membarrier; FE1, FE3. */
extern atomic_of(bool) fence_is_asymmetric;

static inline void fence_light(void)
{
	atomic_signal_fence(memory_order_seq_cst); /* FE3: the store first, then this look */
	if (__builtin_expect(load_rlx(&fence_is_asymmetric), 1))
		atomic_signal_fence(memory_order_seq_cst);
	else
		fence_seq_cst();
}

/* In os/os_fence.c. May take microseconds; never fails. */
void fence_heavy(void);

/* For the body of a spin loop. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif /* GORO_MODEL */

#endif
