/*
 * note.h - a one-shot event that a thread sleeps on.
 *
 * NT1  0: clear, 1: signalled. One thread sleeps; anybody signals; the sleeper clears it before the
 *      next round.
 * NT2  note_wake does not touch the note after the exchange: the sleeper may have freed it.
 * Go: notesleep, notewakeup, noteclear in runtime/lock_futex.go.
 */
#ifndef CORE_NOTE_H
#define CORE_NOTE_H

#include "base/atomic.h"
#include "os/os.h"

struct note {
	atomic_of(uint32_t) word;
};

static inline void note_clear(struct note *n)
{
	store_rlx(&n->word, 0); /* relaxed: who wakes us learns of the round through a lock */
}

/*
 * The first half of note_wake; true: os_futex_wake(&n->word, 1) must follow, which reads no memory.
 */
static inline bool note_post(struct note *n)
{
	return xchg_rel(&n->word, 1) == 0 && /* NOTE-WAKE: what we did before waking */
	       MODEL_KEEP("note-futex-wake");
}

static inline void note_wake(struct note *n)
{
	if (note_post(n))
		os_futex_wake(&n->word, 1);
}

static inline bool note_is_set(struct note *n)
{
	return load_acq(&n->word) != 0; /* NOTE-WAKE */
}

/* True when it was signalled, false when the deadline came first. */
static inline bool note_sleep_until(struct note *n, int64_t deadline)
{
	while (!note_is_set(n)) {
		if (os_futex_wait(&n->word, 0, deadline) < 0)
			return note_is_set(n);
		if (!MODEL_KEEP("note-recheck"))
			break;
	}
	return true;
}

static inline void note_sleep(struct note *n)
{
	(void)note_sleep_until(n, OS_FOREVER);
}

#endif
