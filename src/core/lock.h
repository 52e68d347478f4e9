/*
 * lock.h - short locks between threads: spin, then sleep; released by a plain store.
 *
 * LK1  word is 1 while held, else 0. Nobody touches the lock's memory after the store that released
 *      it: the object around a lock may be freed by whoever takes it next.
 * LK2  A thread that sleeps has counted itself in lock_sleepers[] and passed a heavy fence before
 *      it looked at the word again; a releaser looks at that counter after its store and a light
 *      fence. One of the two sees the other (LOCK-SLEEP), so no sleeper is left behind.
 * LK3  Locks are taken in rising rank (debug builds check it). Under a lock nobody parks, calls a
 *      function of the program, or allocates a stack.
 * LK4  A look at the word without taking the lock finds it free only if all that its holders have
 *      done can be seen, but for those that take it after the look. Who has gone on from
 *      lock_release() may have its stores on the way still, the release among them; then the word
 *      that the look finds is 1, or the look came before it was taken (LOCK-PEEK).
 *
 * Why not a word with three values (Go's lock_futex, glibc): its release is a second
 * read-modify-write, 5 ns, which is a third of what an uncontended send costs. Why not a waiter
 * count in the lock: LK1.
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/check.h"

/* rank, lowest first: what may be held when the next is taken */
#define LOCK_RANKS(X)                                                             \
	X(OUTSIDE, "the end of a run, against threads without an M")              \
	X(PRESENT, "who may be queued at a mutex or rwmutex of the program")      \
	X(OBJECT, "a mutex or the like of the program: valid when zeroed")        \
	X(WORLD, "stop-the-world queue")                                          \
	X(TIMER, "a timer of the program")                                        \
	X(CHAN, "a channel: its buffer and queues")                               \
	X(CTX, "a context: its waits and children")                               \
	X(SCHED, "sched: idle Ms and Ps, counts")                                 \
	X(GLOBQ, "the global run queue")                                          \
	X(TIMERS, "a P's timer heap")                                             \
	X(GFREE, "slabs of Gs")                                                   \
	X(STACK, "the stack pool")                                                \
	X(LEAF, "held alone, calls nothing")

enum lock_rank {
	LOCK_ZEROED, /* as LOCK_OBJECT */
#define LOCK_RANK_ENUM(name, text) LOCK_##name,
	LOCK_RANKS(LOCK_RANK_ENUM)
#undef LOCK_RANK_ENUM
};

struct lock {
	atomic_of(uint32_t) word; /* any thread, LOCK-HOLD */
#ifdef GORO_DEBUG
	uint32_t rank;
#endif
};

#ifdef GORO_DEBUG
#define LOCK_INIT(r) {.rank = (r)}
#else
#define LOCK_INIT(r) {.word = 0}
#endif

#define LOCK_SLEEPER_SLOTS 64u
extern atomic_of(uint32_t) lock_sleepers[LOCK_SLEEPER_SLOTS];

void lock_init(struct lock *l, enum lock_rank rank);
void lock_acquire_slow(struct lock *l);
/* Set once, before main(), or NULL: called by who has waited for long, and goes on to wait. */
extern void (*lock_long_hook)(void);
/* For reports about a broken process. False: somebody held it all the time. */
bool lock_acquire_within(struct lock *l, int64_t ns);
void lock_wake(struct lock *l);
#ifdef GORO_DEBUG
void lock_note_acquire(struct lock *l);
void lock_note_release(struct lock *l);
/* The lock is released by another context than the one that took it (a commit function on g0). */
#else
static inline void lock_note_acquire(struct lock *l) { (void)l; }
static inline void lock_note_release(struct lock *l) { (void)l; }
#endif

static inline uint32_t lock_slot(const struct lock *l)
{
	return (uint32_t)((uintptr_t)l >> 6) % LOCK_SLEEPER_SLOTS;
}

static inline void lock_acquire(struct lock *l)
{
	lock_note_acquire(l);
	if (unlikely(xchg_acq(&l->word, 1))) /* LOCK-HOLD: what the holder before us wrote */
		lock_acquire_slow(l);
}

static inline void lock_release(struct lock *l)
{
	uint32_t slot = lock_slot(l);

	lock_note_release(l);
	store_rel(&l->word, 0); /* LOCK-HOLD, LOCK-PEEK: what we wrote under the lock */
	fence_light();          /* LOCK-SLEEP: our store, then the look at the sleepers */
	if (unlikely(load_rlx(&lock_sleepers[slot]))) /* relaxed: ordered by the fence */
		lock_wake(l);
}

/* LK4: the first of what looks at something without its lock; what follows sees what was done. */
static inline bool lock_is_free(struct lock *l)
{
	return load_seq_cst(&l->word) == 0; /* LOCK-PEEK */
}

#endif
