/*
 * lock.c - the slow side of a lock: spin, let others run, sleep.
 *
 *   contended lock_acquire -> [lock_acquire_slow]      lock_release with sleepers -> [lock_wake]
 *
 * LK1 to LK3 stand in lock.h. The pair LOCK-SLEEP, told for both sides:
 *   sleeper:   count up; heavy fence; try the word; if held, futex wait while it is 1
 *   releaser:  word = 0; light fence; read the count; if not 0, futex wake one
 * Either the releaser sees the count and wakes, or the sleeper's try sees the 0. A woken
 * sleeper that finds the word taken again sleeps again, still counted, so the new holder's
 * release wakes one.
 *
 * Who has slept for LOCK_LONG_NS calls a hook: a lock that a broken process never gives back must
 * not keep sysmon from SIGQUIT (DU2 in debug/dump.c).
 *
 * Locking: this is it. Orders: LOCK-HOLD, LOCK-SLEEP. Go: runtime/lock_futex.go; ours
 * releases by a store.
 */
#include "core/lock.h"

#include <errno.h>

#include "base/fatal.h"
#include "core/self.h"
#include "os/os.h"

#ifdef GORO_MODEL
#define LOCK_SPINS 1
#define LOCK_YIELDS 0
#else
#define LOCK_SPINS 12
#define LOCK_YIELDS 3
#endif
#define LOCK_BREAK_MAX 5 /* the longest break between two looks: 2^5 pauses */

#define LOCK_LONG_NS INT64_C(50000000)

void (*lock_long_hook)(void);
atomic_of(uint32_t) lock_sleepers[LOCK_SLEEPER_SLOTS];

void lock_init(struct lock *l, enum lock_rank rank)
{
	store_rlx(&l->word, 0); /* relaxed: not published yet */
#ifdef GORO_DEBUG
	l->rank = rank;
#else
	(void)rank;
#endif
}

static bool lock_try(struct lock *l)
{
	return load_rlx(&l->word) == 0 &&     /* relaxed: a hint, to leave the line shared */
	       xchg_acq(&l->word, 1) == 0;    /* LOCK-HOLD */
}

static void sleep_once(struct lock *l)
{
	int64_t until = lock_long_hook ? os_now() + LOCK_LONG_NS : OS_FOREVER;

	if (os_futex_wait(&l->word, 1, until) == -ETIMEDOUT)
		lock_long_hook();
}

void lock_acquire_slow(struct lock *l)
{
	uint32_t slot = lock_slot(l);

	for (int i = 0; i < LOCK_SPINS; i++) {
		if (lock_try(l))
			return;
		/*
		 * Ever longer: two that look all the time pass the line to and fro at
		 * each operation.
		 */
		for (int pause = 0; pause < 1 << (i < LOCK_BREAK_MAX ? i : LOCK_BREAK_MAX); pause++)
			cpu_relax();
	}
	for (int i = 0; i < LOCK_YIELDS; i++) {
		os_thread_yield();
		if (lock_try(l))
			return;
	}
	add_rlx(&lock_sleepers[slot], 1); /* relaxed: ordered by the fence */
	if (MODEL_KEEP("lock-sleep-fence"))
		fence_heavy();            /* LOCK-SLEEP: our count, then the look at the word */
	while (xchg_acq(&l->word, 1) != 0) /* LOCK-HOLD */
		sleep_once(l);
	add_rlx(&lock_sleepers[slot], (uint32_t)-1); /* relaxed: too many wakes do no harm */
}

bool lock_acquire_within(struct lock *l, int64_t ns)
{
	for (int64_t end = os_now() + ns; !lock_try(l); os_sleep_until(os_now() + 100000))
		if (os_now() > end)
			return false;
	return true;
}

void lock_wake(struct lock *l)
{
	if (MODEL_KEEP("lock-wake"))
		os_futex_wake(&l->word, 1);
}

#ifdef GORO_DEBUG
static uint32_t rank_of(const struct lock *l)
{
	return l->rank == LOCK_ZEROED ? (uint32_t)LOCK_OBJECT : l->rank;
}

/* The ranks that a thread holds, as bits. A foreign thread is not watched. */
void lock_note_acquire(struct lock *l)
{
	struct m *mp = m_self();

	if (!mp)
		return;
	if (!m_may_lock(mp))
		fatal("goro: lock of rank %u taken outside of a call", l->rank); /* MI4 */
	uint32_t *held = m_held_ranks(mp), rank = rank_of(l);
	/* by address; one by one */
	bool may_repeat = rank == LOCK_CHAN || rank == LOCK_TIMERS;
	uint32_t above = *held >> (rank + (may_repeat ? 1 : 0));
	if (above)
		fatal("goro: lock rank: taking rank %u while holding ranks %x", rank, *held);
	*held |= 1u << rank;
}

void lock_note_release(struct lock *l)
{
	struct m *mp = m_self();

	if (mp)
		*m_held_ranks(mp) &= ~(1u << rank_of(l));
}
#endif
