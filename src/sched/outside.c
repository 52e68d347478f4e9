/*
 * outside.c - calls of threads that the runtime did not make, against the end of a run.
 *
 *   goro_spawn, goro_maxprocs, ready, ... of a plain thread -> [outside_enter] -> Ps, queues, Ms
 *        -> [outside_leave]
 *   goro_run, when its last M has left -> [outside_end] -> run_clear
 *
 * A goroutine needs none of this: while its M is there, so is the run. A plain thread may be
 * anywhere in a call when the run ends, and what it works on must not go before it has left.
 *
 * OU1  Who is inside has counted itself, and has seen RUN_ON after that; run_clear() comes after
 *      RUN_ENDING, and after the count was seen to be 0. So the Ps, the queues and the slabs stay
 *      for those who are inside. Nobody waits inside, but for Ps to stop and for its turn to stop
 *      them: world_end() calls those who wait for their turn back.
 * OU2  Who ends the wait of a goroutine (takes its record off a queue, or swaps its race word)
 *      calls ready() before it does anything else that may wait. Until then the goroutine is
 *      WAITING, and its stack, on which the record lies, and its G must stay: outside_end() ends
 *      the waits that nobody has ended, so that nobody finds them any more, and waits for ready()
 *      of the others.
 * OU3  While outside_end() looks at a wait, no ready() of a plain thread goes on, so the call that
 *      ended the wait is not over and what the goroutine waited on cannot be freed.
 *
 * OU2 instead of a count around every call that may end a wait: channels work without a runtime,
 * and such a call may begin before a run and find a goroutine of it all the same; it would also
 * cost each call 20 ns.
 *
 * Locking: outside.lock (OUTSIDE) for OU3; under it the locks of the objects that are waited on.
 * Orders: OUT-COUNT; the StoreLoad pair OUT-ENTER, OUT-END. Go has no such threads.
 */
#include "base/sanitize.h"
#include "os/os.h"
#include "queue/gfree.h"
#include "sched/sched.h"

static struct {
	atomic_of(uint32_t) n_inside; /* OU1 */
	struct lock lock;             /* OU3 */
	struct note late_note;        /* a ready() after the end */
} outside = {.lock = LOCK_INIT(LOCK_OUTSIDE)};

bool outside_enter(void)
{
	if (load_acq(&sched.run_state) != RUN_ON) { /* RUN-STATE */
		if (unlikely(fork_is_child))
			fork_fatal();
		return false; /* without counting: whoever waits for 0 is not kept from it */
	}
	add_acq_rel(&outside.n_inside, 1); /* OUT-COUNT */
	if (MODEL_KEEP("outside-enter-fence"))
		fence_light(); /* OUT-ENTER: counted, then the look at the run */
	if (load_acq(&sched.run_state) == RUN_ON) /* RUN-STATE */
		return true;
	outside_leave();
	return false;
}

void outside_leave(void)
{
	uint32_t before = add_acq_rel(&outside.n_inside, (uint32_t)-1); /* OUT-COUNT */

	if (before != 1)
		return;
	fence_light(); /* OUT-ENTER: counted, then the look at the run */
	if (load_rlx(&sched.run_state) == RUN_ENDING && /* relaxed: ordered by the fence */
	    MODEL_KEEP("outside-leave-wake"))
		os_futex_wake(&outside.n_inside, 1);
}

void outside_ready_late(struct g *gp)
{
	lock_acquire(&outside.lock);
	g_transition(gp, G_WAITING, G_RUNNABLE);
	lock_release(&outside.lock);
	note_wake(&outside.late_note); /* gp may be gone already */
}

static void end_wait(struct g *gp, void *n_ended_by_others)
{
	if (g_state(gp) != G_WAITING || !gp->waiter)
		return;
	void *back = unlikely(sanitize_is_on) ? sanitize_as_g(gp) : NULL;
	if (!g_waiter_bury(gp))
		++*(uint32_t *)n_ended_by_others;
	if (unlikely(sanitize_is_on))
		sanitize_as_before(back);
}

void outside_end(void)
{
	uint32_t n;

	fence_heavy(); /* OUT-END: RUN_ENDING, then the look at the count */
	while ((n = load_acq(&outside.n_inside)) != 0) /* OUT-COUNT */
		(void)os_futex_wait(&outside.n_inside, n, OS_FOREVER);
	do {
		n = 0;
		note_clear(&outside.late_note);
		lock_acquire(&outside.lock);
		gfree_each(end_wait, &n);
		lock_release(&outside.lock);
		if (n && MODEL_KEEP("outside-late-wait"))
			note_sleep(&outside.late_note);
	} while (n && MODEL_KEEP("outside-late-wait"));
}
