/*
 * mstart.c - the life of a thread that runs goroutines.
 *
 *   wake -> [m_new], [m_start_thread] -> thread -> [m_run] -> schedule ... -> the thread ends
 *   goro_run -> [m_run] on the calling thread
 *
 * MS1  An M is in all_m and counted in n_m from m_new() until its thread has left the
 *      loop for good.
 * MS2  The M's memory is freed by its own thread, last, when it is in no list any more. Who looks
 *      at the M of a P does so under sched.lock, and the M has released its P before it leaves.
 * MS3  All threads are started by the starter (starter.c, SR3), but for the initial one.
 * MS4  An M that has been idle for IDLE_M_NS ends, unless it is the initial one.
 * MS5  A thread that has an M does not end under it: pthread_exit() in a goroutine would take the
 *      P away, and of the initial thread leave a process that nobody ends. It is a fatal error.
 *
 * Locking: sched.lock. Go: allocm, newm, startTemplateThread, mstart, mexit in runtime/proc.go.
 */
#include <errno.h>
#include <pthread.h>

#include "base/fatal.h"
#include "base/rand.h"
#include "os/os.h"
#include "sched/cxx.h"
#include "sched/sched.h"

static pthread_key_t m_key; /* MS5: the M while the thread has one */
static bool has_m_key;      /* set once, before main() */

/*
 * The thread ends, on its own stack, where g0's frames are gone: nothing may switch there, so this
 * is no call_enter(). The report does not need it (FA5).
 */
static void m_thread_exits(void *m)
{
	struct m *mp = m;

	fatal("goroutine %lu has ended its thread by pthread_exit()\n"
	      "[goro_exit() ends a goroutine]", (unsigned long)(mp->curg ? mp->curg->id : 0));
}

__attribute__((constructor)) static void m_key_install(void)
{
	has_m_key = pthread_key_create(&m_key, m_thread_exits) == 0;
}

static void m_key_set(struct m *mp)
{
	if (has_m_key)
		(void)pthread_setspecific(m_key, mp); /* -ENOMEM: then nobody tells */
}

struct m *m_new(void)
{
	struct m *mp = os_alloc(sizeof(*mp));

	if (!mp)
		return NULL;
	mp->rand = rand_seed((uint64_t)(uintptr_t)mp + (uint64_t)os_now());
	return mp;
}

void m_enlist(struct m *mp)
{
	mp->id = sched.next_m_id++;
	mp->all_link = sched.all_m;
	sched.all_m = mp;
	sched.n_m++;
}

/* Under sched.lock. */
static void m_unlist(struct m *mp)
{
	struct m **at = &sched.all_m;

	while (*at != mp)
		at = &(*at)->all_link;
	*at = mp->all_link;
	sched.n_m--;
	on_way_end(mp);
}

static void *m_thread(void *arg)
{
	struct m *mp = arg;

	os_signals_set(&boot_signals); /* SG3: the starter has none of them */
	m_run(mp);
	return NULL;
}

int m_start_thread(struct m *mp)
{
	int error = os_thread_start(m_thread, mp);

	if (error < 0) {
		lock_acquire(&sched.lock);
		m_unlist(mp);
		bool is_last = sched.n_m == 0; /* the run ends */
		lock_release(&sched.lock);
		os_free(mp);
		if (is_last)
			note_wake(&sched.end_note);
	}
	return error;
}

void m_run(struct m *mp)
{
	bool is_initial = mp->id == 0;

	m_self_set(mp);
	m_key_set(mp);
	mp->tid = os_thread_id();
	mp->altstack = os_altstack_install();
	int64_t slack_ns = os_thread_precise_waits();
	sanitize_m_begin(mp);
	mp->cxx = cxx_of_thread();
	struct cxx_globals cxx = cxx_take(mp->cxx); /* goro_run() in a catch block: CE1 */
	schedule_until_end(mp);
	if (load_rlx(&mp->p) && mp->is_leaving) { /* relaxed: our own */
		lock_acquire(&sched.lock);
		on_way_begin(mp); /* if it has to be another thread: as soon as we are gone */
		start_m_locked(release_p(mp), false);
	}
	cxx_put(mp->cxx, cxx);
	os_altstack_remove(mp->altstack);
	if (is_initial)
		os_thread_usual_waits(slack_ns); /* it is the program's again */
	m_key_set(NULL);
	m_self_set(NULL);
	lock_acquire(&sched.lock);
	if (mp->is_leaving)
		sched.n_m_waiting_locked--; /* locked_m_end() counted it */
	m_unlist(mp);
	bool is_ending = load_rlx(&sched.run_state) == RUN_ENDING; /* relaxed: under the lock */
	bool is_last = sched.n_m == 0;
	bool must_start = !is_ending && starter_ask_again(); /* who relied on us: SC4 */
	if (!is_ending)
		deadlock_check();
	lock_release(&sched.lock);
	os_free(mp);
	if (must_start)
		starter_wake();
	if (is_last)
		note_wake(&sched.end_note);
	if (is_initial)
		note_sleep(&sched.end_note);
}
