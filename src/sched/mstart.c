/*
 * mstart.c - the life of a thread that runs goroutines.
 *
 *   wake -> [m_new], [m_start_thread] -> thread -> [m_run] -> schedule ... -> the thread ends
 *   goro_run -> [m_run] on the calling thread
 *
 * MS1  An M is in all_m and counted in n_m from m_new() until its thread has left the
 *      loop for good.
 * MS2  The M's memory is freed by its own thread, last, under sched.lock.
 * MS3  A new thread is a copy of the one that starts it: signal mask, affinity, priority,
 *      namespaces. A thread to which a goroutine is locked, or was until it ended, and one that the
 *      program made start none: sysmon does it, which no code of the program runs on (wake.c).
 *
 * We have no template thread as Go does, because sysmon is one: it is there from the start, never
 * blocks for long, and its note is where the request waits.
 *
 * Locking: sched.lock. Go: allocm, newm, startTemplateThread, mstart, mexit in runtime/proc.go.
 */
#include <errno.h>

#include "base/rand.h"
#include "os/os.h"
#include "sched/sched.h"

struct m *m_new(void)
{
	struct m *mp = os_alloc(sizeof(*mp));

	if (!mp)
		return NULL;
	mp->id = sched.next_m_id++;
	mp->rand = rand_seed(mp->id + (uint64_t)os_now());
	mp->all_link = sched.all_m;
	sched.all_m = mp;
	sched.n_m++;
	return mp;
}

/* Under sched.lock: MS2. */
static void m_forget(struct m *mp)
{
	struct m **at = &sched.all_m;

	while (*at != mp)
		at = &(*at)->all_link;
	*at = mp->all_link;
	sched.n_m--;
	os_free(mp);
}

static void *m_thread(void *arg)
{
	struct m *mp = arg;

	acquire_p(mp, mp->next_p);
	mp->next_p = NULL;
	mp->is_spinning = mp->starts_spinning;
	m_run(mp);
	return NULL;
}

int m_start_thread(struct m *mp)
{
	int error = os_thread_start(m_thread, mp);

	if (error < 0) {
		lock_acquire(&sched.lock);
		m_forget(mp);
		bool is_last = sched.n_m == 0; /* a plain thread is the starter, and the run ends */
		lock_release(&sched.lock);
		if (is_last)
			note_wake(&sched.end_note);
	}
	return error;
}

void m_run(struct m *mp)
{
	bool is_initial = mp->id == 0;

	m_self_set(mp);
	mp->tid = os_thread_id();
	mp->altstack = os_altstack_install();
	int64_t slack_ns = os_thread_precise_waits();
	sanitize_m_begin(mp);
	schedule_until_end(mp);
	if (load_rlx(&mp->p) && mp->is_leaving) /* relaxed: our own */
		start_m(release_p(mp), false);
	os_altstack_remove(mp->altstack);
	if (is_initial)
		os_thread_usual_waits(slack_ns); /* it is the program's again */
	m_self_set(NULL);
	lock_acquire(&sched.lock);
	if (mp->is_leaving)
		sched.n_m_waiting_locked--; /* locked_m_end() counted it */
	m_forget(mp);
	bool is_ending = load_rlx(&sched.run_state) == RUN_ENDING; /* relaxed: under the lock */
	bool is_last = sched.n_m == 0;
	if (!is_ending)
		deadlock_check();
	lock_release(&sched.lock);
	if (is_last)
		note_wake(&sched.end_note);
	if (is_initial)
		note_sleep(&sched.end_note);
}
