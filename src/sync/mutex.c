/*
 * mutex.c - mutual exclusion: one word while nobody waits, a queue when somebody does.
 *
 *   goro_mutex_lock   -> [state 0 -> LOCKED] | spin a little | wait in the queue
 *   goro_mutex_unlock -> [state LOCKED -> 0] | wake the first: it competes, or is handed the mutex
 *                     by a store, or a swap once somebody has queued | [mutex_repair]
 *
 * MX1  LOCKED: somebody holds it. It may be unlocked by another than who locked it.
 * MX2  WAITERS: the queue is not empty. Changed together with the queue, under the object's lock;
 *      a store that unlocks may wipe it out until MX6 sets it again. (A run's end may empty the
 *      queue and leave the bit.)
 * MX3  WOKEN: one waiter was taken off the queue and woken to compete, and has neither taken the
 *      mutex nor queued again. While it is set, unlocking wakes nobody else. Set under the object's
 *      lock, by who unlocks or in a step that finds the mutex free, so that no store wipes it out;
 *      cleared by that waiter, in the step by which it takes the mutex, queues or gives up.
 * MX4  Whoever unlocks touches nothing of the mutex after the step that lets others have it, unless
 *      a waiter that it has claimed, and not yet woken, or one that has given up and still needs
 *      the object's lock to leave, or one that is present (PT2), keeps the object alive.
 * MX5  The slot of a mutex is QUIET until the first comes to queue. Who does is present in it until
 *      its call returns, and queues only after it has found the slot CROWDED, or has made it
 *      TURNING and passed a heavy fence. It becomes QUIET under its lock, with nobody present.
 * MX6  Where the slot is QUIET, unlocking is a store, a light fence, and another look. If that
 *      finds it QUIET again, whoever queues from now on sees the store. Else the store may have
 *      wiped out WAITERS, and it is repaired: unless nobody of that address is present, WAITERS is
 *      set again, and the first is woken if the mutex is free and nobody on its way to it.
 *
 * MUTEX-LOOK, told for both sides:
 *   unlocks by a store:  state = 0; light fence; read the mode; if not QUIET, repair
 *   comes to queue:      mode = TURNING; heavy fence; read the state; if LOCKED, set WAITERS
 * Either the first sees that the slot is not quiet, or the second sees the mutex unlocked. The look
 * in front of the store is a hint: a slot that is not quiet is left to a swap, which sees WAITERS.
 * A mark that is wiped out was there before the store, so whoever stored sees that waiter's mode,
 * which stays while the waiter does; if it has gone, nothing is left to repair. So membarrier is
 * paid by the first that queues in a slot after a while, and not by each.
 *
 * Barging: a free mutex belongs to whoever comes first, also while a woken waiter is on its way,
 * since that is running already. A waiter that has lost goes to the front of the queue. When the
 * first has waited for MUTEX_STARVE_NS in all, unlocking hands the mutex over: LOCKED stays set,
 * and nobody can come between. So no waiter starves.
 *
 * Locking: the object's lock (rank OBJECT) for the queue, under the slot's (rank PRESENT). Orders:
 * MUTEX-HOLD, MUTEX-LOOK, MUTEX-TURN. Go: sync.Mutex, which unlocks by an addition; ours has its
 * queue in itself, and hands over by the first waiter's age, without a mode.
 */
#include "sync/mutex.h"

#include <errno.h>

#include "base/fatal.h"
#include "base/limits.h"
#include "base/sanitize.h"
#include "os/os.h"
#include "queue/runq.h"
#include "sync/present.h"

#define MUTEX_SPINS  4  /* Go: active_spin */
#define MUTEX_PAUSES 30 /* Go: active_spin_cnt */

enum { MUTEX_QUIET, MUTEX_TURNING, MUTEX_CROWDED };

/* MX5. By the mutex's address; a line each, since every unlocking looks at one. */
static struct mutex_slot {
	struct present present;
	atomic_of(uint32_t) mode; /* present.lock to leave QUIET and to return; MUTEX-LOOK */
	bool was_entered;         /* present.lock: since sysmon's last round */
} __attribute__((aligned(CACHE_LINE))) mutex_slots[PRESENT_SLOTS] = {
	[0 ... PRESENT_SLOTS - 1] = {.present = PRESENT_INIT}};

static inline struct mutex_slot *mutex_slot_of(const struct mutex *m)
{
	return &mutex_slots[present_slot(m)];
}

struct mutex_waiter {
	struct waiter waiter;
	int64_t since; /* when it queued first */
};

/* Clear and set flags that no other thread changes now, whatever happens to the others. */
static void mutex_change(struct mutex *m, uint32_t clear, uint32_t set)
{
	uint32_t old = load_rlx(&m->state); /* relaxed: the swap decides */

	while (!cas_acq_rel(&m->state, &old, (old & ~clear) | set)) /* MUTEX-HOLD */
		;
}

/* Take it if it is free. `mine` is MUTEX_WOKEN for the waiter that MX3 speaks of, else 0. */
static bool mutex_grab(struct mutex *m, uint32_t mine)
{
	uint32_t old = load_rlx(&m->state); /* relaxed: the swap decides */

	while (!(old & MUTEX_LOCKED))
		if (cas_acq(&m->state, &old, (old & ~mine) | MUTEX_LOCKED)) /* MUTEX-HOLD */
			return true;
	return false;
}

/* Only while the holder may be running, and nobody waits for this P. */
static bool mutex_may_spin(void)
{
#ifdef GORO_MODEL
	return false;
#else
	struct m *mp = m_self();
	uint32_t busy = load_rlx(&sched.n_procs) - load_rlx(&idle.n_p); /* relaxed: a hint */

	if (!mp)
		return busy > 0;
	return busy > 1 && runq_is_empty(&load_rlx(&mp->p)->runq); /* relaxed: our own */
#endif
}

static inline bool mutex_spin(struct mutex *m, uint32_t mine)
{
	for (int i = 0;; i++) {
		if (mutex_grab(m, mine))
			return true;
		if (i == MUTEX_SPINS || !mutex_may_spin())
			return false;
		for (int pause = 0; pause < MUTEX_PAUSES; pause++)
			cpu_relax();
	}
}

enum mutex_step { MUTEX_TAKEN, MUTEX_QUEUED, MUTEX_LATE };

/* Under the object's lock: take it after all, or queue, or give up for want of time. */
static enum mutex_step mutex_enqueue(struct mutex *m, struct mutex_waiter *w, uint32_t mine,
				     bool is_late)
{
	uint32_t old = load_rlx(&m->state), wanted; /* relaxed: the swap decides */
	bool is_free;

	do {
		is_free = !(old & MUTEX_LOCKED) && MODEL_KEEP("mutex-look-again");
		if (is_free)
			wanted = (old & ~mine) | MUTEX_LOCKED;
		else if (is_late)
			wanted = MODEL_KEEP("mutex-late-woken") ? old & ~mine : old;
		else
			wanted = (old & ~mine) | MUTEX_WAITERS;
	} while (!cas_acq_rel(&m->state, &old, wanted)); /* MUTEX-HOLD */
	if (is_free)
		return MUTEX_TAKEN;
	if (is_late)
		return MUTEX_LATE;
	if (mine)
		waitq_push_front(&m->waiters, &w->waiter);
	else
		waitq_push(&m->waiters, &w->waiter);
	return MUTEX_QUEUED;
}

/* WQ4: the deadline or the context has ended the wait; nobody has claimed the waiter. */
static void mutex_leave(struct mutex *m, struct mutex_waiter *w)
{
	lock_acquire(&m->lock);
	if (w->waiter.queue)
		waitq_unlink(&m->waiters, &w->waiter);
	if (waitq_is_empty(&m->waiters))
		mutex_change(m, MUTEX_WAITERS, 0);
	lock_release(&m->lock);
}

/* MX5: before the look at the state that makes the caller queue. */
static void mutex_enter(struct mutex *m, struct waiter *visit)
{
	struct mutex_slot *slot = mutex_slot_of(m);

	lock_acquire(&slot->present.lock);
	present_add(&slot->present, m, visit);
	slot->was_entered = true;
	bool is_first = load_rlx(&slot->mode) == MUTEX_QUIET; /* relaxed: set under the lock */
	if (is_first)
		store_rlx(&slot->mode, MUTEX_TURNING); /* relaxed: ordered by the fence */
	lock_release(&slot->present.lock);
	if (load_acq(&slot->mode) == MUTEX_CROWDED) /* MUTEX-TURN */
		return;
	if (MODEL_KEEP("mutex-heavy-fence") && (is_first || MODEL_KEEP("mutex-own-fence")))
		fence_heavy(); /* MUTEX-LOOK: the mode, then the look at the state */
	store_rel(&slot->mode, MUTEX_CROWDED); /* MUTEX-TURN: all threads have passed a fence */
}

/* Wait in the queue and compete, again and again. The caller is present, unless it is late. */
static int mutex_compete(struct mutex *m, struct mutex_waiter *w, int64_t deadline,
			 bool is_shielded)
{
	uint32_t mine = 0;

	do {
		bool is_late = deadline_is_past(deadline);
		lock_acquire(&m->lock);
		enum mutex_step step = mutex_enqueue(m, w, mine, is_late);
		if (step != MUTEX_QUEUED) {
			lock_release(&m->lock);
			return step == MUTEX_TAKEN ? 0 : -ETIMEDOUT;
		}
		int error = 0;
		if (is_shielded)
			waitq_wait_shielded(&w->waiter, &m->lock, WAIT_MUTEX);
		else
			error = waitq_wait_only(&w->waiter, &m->lock, WAIT_MUTEX, deadline);
		if (error) {
			mutex_leave(m, w);
			return error;
		}
		if (w->waiter.ok)
			return 0; /* handed over */
		mine = MUTEX_WOKEN;
	} while (!mutex_spin(m, mine));
	return 0;
}

/* Of its own: who gets the mutex by spinning needs no records. */
__attribute__((noinline)) static int mutex_lock_queued(struct mutex *m, int64_t deadline,
						       bool is_shielded)
{
	struct waiter visit = {.next = NULL};
	struct mutex_waiter w = {.since = os_now(), .waiter.also = &visit};

	if (deadline_is_past(deadline))
		return mutex_compete(m, &w, deadline, is_shielded);
	mutex_enter(m, &visit);
	int error = mutex_compete(m, &w, deadline, is_shielded);
	if (MODEL_KEEP("mutex-calm-empty")) /* MX5; relaxed: it stays while we are in */
		GORO_ASSERT(load_rlx(&mutex_slot_of(m)->mode) == MUTEX_CROWDED);
	present_leave(&visit);
	return error;
}

/* 0; -ETIMEDOUT, -ECANCELED: not for who is shielded. */
__attribute__((noinline)) static int mutex_lock_slow(struct mutex *m, int64_t deadline,
						     bool is_shielded)
{
	return mutex_spin(m, 0) ? 0 : mutex_lock_queued(m, deadline, is_shielded);
}

noreturn static void mutex_not_locked(void)
{
	fatal("sync: unlock of unlocked mutex");
}

/*
 * The mutex is locked, has waiters, and none of them is awake. False: nobody waits any more, and
 * unlocking is simple again.
 */
static bool mutex_pass_on(struct mutex *m)
{
	lock_acquire(&m->lock);
	struct waiter *w = waitq_pop(&m->waiters);
	uint32_t emptied = waitq_is_empty(&m->waiters) ? MUTEX_WAITERS : 0;

	if (!w) {
		/* MX4: LOCKED stays until the object's lock is released. */
		mutex_change(m, emptied, 0);
		lock_release(&m->lock);
		return false;
	}
	if (os_now() - container_of(w, struct mutex_waiter, waiter)->since >= MUTEX_STARVE_NS) {
		w->ok = true;
		mutex_change(m, emptied, 0);
	} else {
		mutex_change(m, MUTEX_LOCKED | emptied, MUTEX_WOKEN);
	}
	lock_release(&m->lock);
	waiter_wake(w);
	return true;
}

__attribute__((noinline)) static void mutex_unlock_slow(struct mutex *m)
{
	uint32_t old = load_rlx(&m->state); /* relaxed: the swap decides */

	for (;;) {
		if (unlikely(!(old & MUTEX_LOCKED)))
			mutex_not_locked();
		if ((old & MUTEX_WAITERS) && !(old & MUTEX_WOKEN)) {
			if (mutex_pass_on(m))
				return;
			old = load_rlx(&m->state); /* relaxed: the swap decides */
		} else if (cas_acq_rel(&m->state, &old, old & ~MUTEX_LOCKED)) { /* MUTEX-HOLD */
			return;
		}
	}
}

/*
 * Under the object's lock: what a store has wiped out. Returns who is to be woken, or NULL. WOKEN
 * is set before the waiter is taken, in the step that found the mutex free: MX3.
 */
static struct waiter *mutex_mend(struct mutex *m)
{
	uint32_t old = load_rlx(&m->state), wanted; /* relaxed: the swap decides */

	if (waitq_is_empty(&m->waiters))
		return NULL;
	do {
		wanted = MODEL_KEEP("mutex-mend-mark") ? old | MUTEX_WAITERS : old;
		if (!(old & (MUTEX_LOCKED | MUTEX_WOKEN)))
			wanted |= MUTEX_WOKEN;
	} while (!cas_acq_rel(&m->state, &old, wanted)); /* MUTEX-HOLD */
	if ((old & (MUTEX_LOCKED | MUTEX_WOKEN)) || !MODEL_KEEP("mutex-mend-wake"))
		return NULL;
	struct waiter *w = waitq_pop(&m->waiters);
	uint32_t clear = (w ? 0 : MUTEX_WOKEN) | (waitq_is_empty(&m->waiters) ? MUTEX_WAITERS : 0);
	if (clear)
		mutex_change(m, clear, 0);
	return w;
}

/* MX6: the mutex is touched only if somebody is present, and so keeps it alive. */
__attribute__((noinline)) static void mutex_repair(struct mutex *m)
{
	struct present *p = &mutex_slot_of(m)->present;
	struct waiter *w = NULL;

	lock_acquire(&p->lock);
	if (present_has(p, m) || !MODEL_KEEP("mutex-present")) {
		lock_acquire(&m->lock);
		w = mutex_mend(m);
		lock_release(&m->lock);
	}
	lock_release(&p->lock);
	if (w)
		waiter_wake(w);
}

/* Those that nobody has entered since the last round, nor is in. On sysmon, now and then. */
static void mutex_calm(void)
{
	for (uint32_t i = 0; i < PRESENT_SLOTS; i++) {
		struct mutex_slot *slot = &mutex_slots[i];
		if (load_rlx(&slot->mode) == MUTEX_QUIET) /* relaxed: looked at again next time */
			continue;
		lock_acquire(&slot->present.lock);
		if (slot->was_entered)
			slot->was_entered = false;
		else if (waitq_is_empty(&slot->present.visits) || !MODEL_KEEP("mutex-calm-empty"))
			store_rlx(&slot->mode, MUTEX_QUIET); /* relaxed: a swap is right, too */
		lock_release(&slot->present.lock);
	}
}

enum mutex_end { MUTEX_UNLOCKED, MUTEX_SEEN, MUTEX_REFUSED };

/* MX6. SEEN: mutex_repair() must follow. REFUSED: mutex_unlock_slow(). */
static inline enum mutex_end mutex_unlock_fast(struct mutex *m)
{
	struct mutex_slot *slot = mutex_slot_of(m);
	uint32_t held = MUTEX_LOCKED;

	if (likely(load_rlx(&slot->mode) == MUTEX_QUIET)) { /* relaxed: a hint; we look again */
		if (unlikely(load_rlx(&m->state) != MUTEX_LOCKED)) /* relaxed: we hold it */
			return MUTEX_REFUSED;
		store_rel(&m->state, 0); /* MUTEX-HOLD */
		fence_light();           /* MUTEX-LOOK: the state, then the look at the mode */
		bool is_quiet = load_rlx(&slot->mode) == MUTEX_QUIET; /* relaxed: ordered by it */
		return likely(is_quiet || !MODEL_KEEP("mutex-second-look")) ? MUTEX_UNLOCKED
									    : MUTEX_SEEN;
	}
	if (likely(cas_acq_rel(&m->state, &held, 0))) /* MUTEX-HOLD */
		return MUTEX_UNLOCKED;
	return MUTEX_REFUSED;
}

void mutex_check_locked(struct mutex *m)
{
	if (unlikely(!(load_rlx(&m->state) & MUTEX_LOCKED))) /* relaxed: our own lock, or misuse */
		mutex_not_locked();
}

void mutex_unlock(struct mutex *m)
{
	enum mutex_end end = mutex_unlock_fast(m);

	if (unlikely(end == MUTEX_SEEN))
		mutex_repair(m);
	else if (unlikely(end == MUTEX_REFUSED))
		mutex_unlock_slow(m);
}

/* The rare parts of the next two are tail calls, so that the usual one needs no frame. */
__attribute__((noinline)) static void mutex_lock_otherwise(struct mutex *m)
{
	CALL_SCOPE;
	preempt_check();
	(void)mutex_lock_slow(m, GORO_FOREVER, true);
	sanitize_acquire(m);
}

__attribute__((noinline)) static void mutex_unlock_otherwise(struct mutex *m)
{
	CALL_SCOPE;
	sanitize_release(m);
	if (sanitize_is_on)
		mutex_unlock(m);
	else
		mutex_unlock_slow(m);
}

__attribute__((noinline)) static void mutex_repair_otherwise(struct mutex *m)
{
	CALL_SCOPE;
	mutex_repair(m);
}

void goro_mutex_lock(goro_mutex *mutex)
{
	struct mutex *m = mutex_of(mutex);
	uint32_t unlocked = 0;

	if (unlikely(load_rlx(&attention)) || /* relaxed: as in preempt_check */
	    unlikely(!cas_acq(&m->state, &unlocked, MUTEX_LOCKED))) /* MUTEX-HOLD */
		mutex_lock_otherwise(m);
	else
		sanitize_acquire(m);
}

int goro_mutex_lock_until(goro_mutex *mutex, int64_t deadline)
{
	CALL_SCOPE;
	struct mutex *m = mutex_of(mutex);
	uint32_t unlocked = 0;
	int error = 0;

	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (unlikely(!cas_acq(&m->state, &unlocked, MUTEX_LOCKED))) /* MUTEX-HOLD */
		error = mutex_lock_slow(m, deadline, false);
	if (!error)
		sanitize_acquire(m);
	return error;
}

bool goro_mutex_trylock(goro_mutex *mutex)
{
	struct mutex *m = mutex_of(mutex);

	preempt_check();
	if (!mutex_grab(m, 0))
		return false;
	sanitize_acquire(m);
	return true;
}

void goro_mutex_unlock(goro_mutex *mutex)
{
	struct mutex *m = mutex_of(mutex);
	enum mutex_end end = unlikely(sanitize_is_on) ? MUTEX_REFUSED : mutex_unlock_fast(m);

	if (unlikely(end == MUTEX_REFUSED))
		mutex_unlock_otherwise(m);
	else if (unlikely(end == MUTEX_SEEN))
		mutex_repair_otherwise(m);
}

__attribute__((constructor)) static void mutex_install(void)
{
	sysmon_calm_hook = mutex_calm;
}
