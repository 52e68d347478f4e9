/*
 * poll_outside.c - who asks the poller for plain threads while no run is on.
 *
 *   a plain thread waits for a descriptor -> [poll_wait_begins_outside]
 *        -> in a run: the keeper; between runs: the asker's thread -> netpoll -> the thread's note
 *   goro_run begins -> [poll_outside_pause]; it has ended -> [poll_outside_resume]
 *
 * PX1  The asker is made when a plain thread waits for a descriptor for the first time, and stays,
 *      asleep unless it is needed: so a wait that was begun can always be served.
 * PX2  It asks only while no run is on: pause() returns when it has handed on what it had found,
 *      and resume() comes when no goroutine of the run is left. So it meets no goroutine, and takes
 *      no event from who has some.
 * PX3  Who begins to wait is counted, then looks. A run is on: its Ms see the count (as a timer,
 *      FN3), and resume() does when it ends. No run is: under the lock it finds the asker at work,
 *      or wakes it, or finds a pause, which a run (OUT-ENTER against KEEP-SLEEP) or resume() ends.
 *
 * We do not let one of the waiting threads ask for all: who closes a descriptor would have to break
 * in on it wherever it now wakes a note.
 *
 * Locking: asker.lock; pthread_create() is called under it, since no goroutine ever takes it.
 * Order: ASKER-THERE. Go has no such threads.
 */
#include <errno.h>

#include "event/netpoll.h"
#include "os/os.h"
#include "sched/sched.h"

static struct {
	struct lock lock;
	bool is_made;                   /* lock */
	bool is_paused;                 /* lock */
	bool is_asking;                 /* lock: in netpoll(), or on its way there or back */
	atomic_of(uint32_t) is_there;   /* its thread runs; ASKER-THERE */
	struct note work;               /* there may be a reason to ask */
	struct note paused;             /* it does not ask any more */
} asker = {.lock = LOCK_INIT(LOCK_LEAF)};

/* True: ask now. */
static bool asker_may_ask(void)
{
	lock_acquire(&asker.lock);
	bool was_asking = asker.is_asking, must_tell = was_asking && asker.is_paused;
	/* relaxed: who counts itself takes the lock then: PX3 */
	asker.is_asking = !asker.is_paused && load_rlx(&poll_n_outside) > 0;
	bool may_ask = asker.is_asking;
	note_clear(&asker.work);
	lock_release(&asker.lock);
	if (must_tell)
		note_wake(&asker.paused);
	return may_ask;
}

static void *asker_main(void *arg)
{
	struct glist ready = {0};

	store_rel(&asker.is_there, 1); /* ASKER-THERE: so that it is no thread of the program's */
	for (;;) {
		if (asker_may_ask())
			(void)netpoll(OS_FOREVER, &ready);
		else
			note_sleep(&asker.work);
		GORO_ASSERT(!ready.head); /* PX2 */
	}
	return arg;
}

/* PX1; under the lock. The thread takes no signals of the program. */
static int asker_make(void)
{
	sigset_t before;

	if (asker.is_made)
		return 0;
	os_signals_save(&before);
	os_signals_block(0);
	int error = os_thread_start(asker_main, NULL);
	os_signals_set(&before);
	asker.is_made = error == 0;
	return error ? -ENOMEM : 0;
}

int poll_wait_begins_outside(void)
{
	lock_acquire(&asker.lock);
	int error = asker_make();
	lock_release(&asker.lock);
	if (error)
		return error;
	add_rlx(&poll_n_outside, 1); /* relaxed: ordered by what follows, PX3 */
	if (outside_enter()) {
		timer_was_armed(NULL, TIMER_NEVER);
		outside_leave();
		return 0;
	}
	lock_acquire(&asker.lock);
	bool must_wake = !asker.is_paused && !asker.is_asking;
	lock_release(&asker.lock);
	if (must_wake)
		note_wake(&asker.work);
	return 0;
}

void poll_outside_pause(void)
{
	lock_acquire(&asker.lock);
	asker.is_paused = true;
	note_clear(&asker.paused);
	bool must_wait = asker.is_asking;
	lock_release(&asker.lock);
	if (!must_wait)
		return;
	netpoll_break();
	note_sleep(&asker.paused);
}

void poll_outside_resume(void)
{
	lock_acquire(&asker.lock);
	asker.is_paused = false;
	bool must_wake = asker.is_made && load_rlx(&poll_n_outside) > 0; /* relaxed: PX3 */
	lock_release(&asker.lock);
	if (must_wake)
		note_wake(&asker.work);
}

/* The asker is gone, and those who waited; its lock may be as another thread had it. */
void poll_outside_in_child(void)
{
	lock_init(&asker.lock, LOCK_LEAF);
	asker.is_made = asker.is_paused = asker.is_asking = false;
	store_rlx(&asker.is_there, 0);  /* relaxed: no other thread is left */
	store_rlx(&poll_n_outside, 0);  /* relaxed: likewise */
}

int poll_outside_threads(void)
{
	return (int)load_acq(&asker.is_there); /* ASKER-THERE */
}
