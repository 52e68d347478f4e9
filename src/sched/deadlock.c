/*
 * deadlock.c - nobody is left who could wake anybody.
 *
 *   an M goes idle -> [deadlock_check] -> fatal; or suspected: sysmon -> [deadlock_check_again]
 *
 * DL1  All Ms are idle, no heap holds a timer (an M that waits for a timer is not idle, find.c
 *      FN3), and every thread that the runtime did not make is blocked in a call of the library
 *      without a deadline: then no goroutine will ever run again.
 * DL2  Other threads might still act, so they suppress the report; a thread that has just ended is
 *      still counted by the kernel for a moment, so sysmon looks again, rarely and rarer. The
 *      thread that ThreadSanitizer starts calls nothing of the program's and does not count.
 * DL3  The last M to go idle wakes a keeper whose timer was stopped, so that it becomes idle
 *      too, and the report does not wait for a time that means nothing any more. Whoever stops a
 *      timer does not, since most are stopped, and a wake-up costs more than all the rest.
 * DL4  Threads, and those of them that are blocked, are counted one after the other; in between one
 *      may wake another and end, and no count shows either. So all is looked at once more: whoever
 *      acted has left something in a queue, a timer, a wait for a descriptor, or n_foreign_woken.
 *
 * Locking: the caller holds sched.lock. Order: DEAD-WOKEN. Go: checkdead in runtime/proc.go.
 */
#include "base/fatal.h"
#include "event/timer.h"
#include "os/os.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/sched.h"

static atomic_of(uint32_t) is_suspected;

static bool has_timers(void)
{
	uint32_t n = load_rlx(&sched.n_procs); /* relaxed: changes only while an M works */

	for (uint32_t i = 0; i < n; i++)
		if (timers_first(&sched.p[i]->timers) != TIMER_NEVER)
			return true;
	return false;
}

static bool something_can_happen(void)
{
	uint32_t n = load_rlx(&sched.n_procs); /* relaxed: as above */

	if (load_rlx(&sched.run_state) != RUN_ON) /* relaxed: under the lock */
		return true;
	/*
	 * Signed: a locked G may be handed on before its M has counted itself, which is minus
	 * one for a moment.
	 */
	int32_t n_working = (int32_t)(sched.n_m - idle.n_m - sched.n_m_waiting_locked);
	if (n_working == 1 && load_rlx(&sched.keeper_taken) && /* relaxed: a break too many is */
	    !has_timers() && !poll_has_waits())                 /* harmless */
		keeper_break(); /* DL3 */
	if (n_working > 0 || sched.n_to_start ||
	    load_rlx(&sched.n_notified)) /* relaxed: who notifies runs; SN5 */
		return true; /* an M works, waits for a timer, or starts */
	if (load_rlx(&sched.stop_wanted) || globq_size()) /* relaxed: under the lock; nobody runs */
		return true;
	for (uint32_t i = 0; i < n; i++)
		if (!runq_is_empty(&sched.p[i]->runq))
			return true;
	return has_timers() || poll_has_waits();
}

/* Under sched.lock. Threads that nobody knows of, or that have acted meanwhile: DL4. */
static bool others_may_act(void)
{
	uint32_t n_woken = load_acq(&sched.n_foreign_woken); /* DEAD-WOKEN: the count is as new */
	int known = (int)sched.n_m + 2 + sanitize_threads() + /* sysmon and the starter */
		    poll_outside_threads() +
		    (int)load_rlx(&sched.n_foreign_blocked); /* relaxed: DL4 */
	if (os_threads_exceed(known))
		return true;
	fence_heavy(); /* DEAD-WOKEN: the number of threads, then the second look */
	return load_rlx(&sched.n_foreign_woken) != n_woken || /* relaxed: ordered by the fence */
	       something_can_happen();
}

void deadlock_check(void)
{
	if (something_can_happen())
		return;
	if (others_may_act()) {
		if (xchg_rlx(&is_suspected, 1) == 0) /* relaxed: sysmon looks in its own time */
			sysmon_wake_if_asleep();
		return;
	}
	lock_release(&sched.lock); /* the report takes it */
	if (sched.main_exited && count_goroutines() == 0)
		fatal("no goroutines (main called goro_exit) - deadlock!");
	fatal("all goroutines are asleep - deadlock!");
}

bool deadlock_is_suspected(void)
{
	return load_rlx(&is_suspected); /* relaxed: a hint */
}

void deadlock_check_again(void)
{
	store_rlx(&is_suspected, 0); /* relaxed: set again if it is still so */
	lock_acquire(&sched.lock);
	deadlock_check();
	lock_release(&sched.lock);
}
