/*
 * starter.c - the thread that starts threads, and frees memory for those who must not wait.
 *
 *   start_m with no idle M -> [starter_ask] -> the starter's thread -> m_new, thread -> m_begin
 *   call_free by who has a P -> [garbage] -> the next who may wait, or the starter
 *
 * SR1  sched.is_start_wanted: no M was idle when one was wanted, and none has become idle since. As
 *      long as it is set, whoever would go idle takes an idle P instead and looks for work, and so
 *      does a new M when it starts: those who submit work rely on that, whether a thread can be had
 *      or not. When none could be had, sysmon asks again from time to time, also when all Ps are
 *      idle, as they are while all threads are in calls, and also for a timer that is not yet due
 *      or a descriptor, unless a keeper waits for them. Each time that none can be had, the keeper
 *      is woken: it gave its P up, and looked, perhaps before the work was there. If there may be
 *      none any more, since goro_maxthreads() was lowered meanwhile, that is the limit's fatal
 *      error, once something could run.
 * SR2  Whoever has a P, or is sysmon, calls neither malloc, free nor pthread_create: a goroutine
 *      that was stopped (preempt.c) may hold the lock inside, and needs a P to go on. The starter
 *      may wait for it: it has nothing that anybody needs at that moment, since a P whose thread it
 *      starts is in the idle list.
 * SR3  A new thread is a copy of the one that starts it: signal mask, affinity, priority,
 *      namespaces. No code of the program runs on the starter.
 *
 * Locking: sched.lock for the request; a list that is pushed to and taken whole by one atomic
 * step. Orders: FREE-LATER. Go: startTemplateThread, newm in runtime/proc.go; there most threads
 * are started by the M that needs them.
 */
#include <errno.h>

#include "base/fatal.h"
#include "os/os.h"
#include "sched/sched.h"

struct garbage {
	struct garbage *next;
};

static atomic_of(struct garbage *) garbage;

void (*starter_signals_hook)(void);

static struct {
	struct note note;              /* ends its sleep */
	struct note gone;              /* it has ended */
	atomic_of(uint32_t) must_end;  /* SYSMON-END */
} starter;

/* ---- memory ---- */

void garbage_free(void)
{
	struct garbage *at, *next;

	if (!load_rlx(&garbage)) /* relaxed: a hint */
		return;
	at = xchg_acq_rel(&garbage, NULL); /* FREE-LATER: the links */
	for (; at; at = next) {
		next = at->next;
		os_free(at);
	}
}

static bool may_wait(void)
{
	struct m *mp = m_self();

	return !mp || load_rlx(&mp->at) != AT_RUNTIME; /* relaxed: our own */
}

void *call_alloc(size_t size)
{
	GORO_ASSERT(may_wait()); /* SR2 */
	garbage_free();
	return os_alloc(size);
}

void call_free(void *at)
{
	struct garbage *g = at;

	if (!at)
		return;
	if (may_wait()) {
		os_free(at);
		return;
	}
	struct garbage *head = load_rlx(&garbage); /* relaxed: the swap decides */
	do {
		g->next = head;
	} while (!cas_acq_rel(&garbage, &head, g)); /* FREE-LATER: the link */
}

bool garbage_exists(void)
{
	return load_rlx(&garbage) != NULL; /* relaxed: a hint */
}

/* ---- threads ---- */

void starter_wake(void)
{
	note_wake(&starter.note);
}

/* Under sched.lock. True: starter_wake() must follow. */
bool starter_ask(void)
{
	store_rlx(&sched.is_start_wanted, 1); /* relaxed: others read it as a hint */
	if (sched.n_to_start || sched.n_starting)
		return false; /* it is at it */
	sched.n_to_start = 1;
	return true;
}

bool starter_ask_again(void)
{
	/* relaxed, both: under the lock */
	return load_rlx(&sched.is_start_wanted) && load_rlx(&idle.n_p) &&
	       sched.n_m < sched.max_m && starter_ask();
}

bool starter_is_owed(void)
{
	int64_t first;

	/*
	 * Relaxed, both: hints. A keeper that leaves takes a P, which wakes sysmon, or goes idle,
	 * and then takes one all the same, or nothing is left to wait for.
	 */
	return load_rlx(&sched.is_start_wanted) &&
	       (work_is_visible(&first) || ((first != TIMER_NEVER || poll_has_waits()) &&
					    !load_rlx(&sched.keeper_taken)));
}

/*
 * Under sched.lock. All threads are away, and none may be started for what waits. Whoever is on its
 * way, or is stopped, takes the P in the end.
 */
static bool starter_is_at_limit(void)
{
	int64_t first;

	/* relaxed, all: under the lock */
	return load_rlx(&sched.is_start_wanted) &&
	       load_rlx(&idle.n_p) == load_rlx(&sched.n_procs) && limit_is_reached() &&
	       !sched.n_on_way && !load_rlx(&sched.n_stopped) && !load_rlx(&sched.stop_wanted) &&
	       load_rlx(&sched.run_state) == RUN_ON &&
	       (work_is_visible(&first) || first <= os_now());
}

void starter_retry(void)
{
	lock_acquire(&sched.lock);
	bool must_wake = starter_ask_again();
	if (!must_wake && starter_is_at_limit())
		limit_fatal();
	lock_release(&sched.lock);
	if (must_wake)
		starter_wake();
}

void starter_ask_more(uint32_t n)
{
	bool must_wake = false;

	lock_acquire(&sched.lock);
	uint32_t n_coming = sched.n_to_start + sched.n_starting;
	/* Never fewer than were asked for: who asked relies on it (SR1); relaxed: under the lock */
	if (load_rlx(&sched.is_start_wanted) && n_coming && n > n_coming &&
	    sched.max_m > sched.n_m + sched.n_to_start) {
		uint32_t room = sched.max_m - sched.n_m - sched.n_to_start;
		must_wake = !sched.n_to_start;
		sched.n_to_start += n - n_coming < room ? n - n_coming : room;
	}
	lock_release(&sched.lock);
	if (must_wake)
		starter_wake();
}

/* Nobody can run goroutines, and no thread can be had. */
static void start_failed(int error)
{
	static atomic_of(uint32_t) has_warned;

	lock_acquire(&sched.lock);
	sched.n_to_start = 0; /* SR1: is_start_wanted stays */
	uint32_t n_m = sched.n_m;
	bool nobody_left = load_rlx(&sched.run_state) == RUN_ON && /* relaxed: under the lock */
			   n_m == sched.n_m_waiting_locked;
	lock_release(&sched.lock);
	if (nobody_left)
		fatal("cannot create a thread (error %d) and no other can run goroutines: "
		      "raise the limit of processes (ulimit -u) or of memory",
		      -error);
	if (xchg_rlx(&has_warned, 1) == 0) /* relaxed: only one wins */
		print_to(2,
			 "goro: cannot create a thread (error %d): going on with %u; "
			 "raise the limit of processes (ulimit -u) or of memory\n",
			 -error, n_m);
	keeper_break(); /* SR1: it may be the only M, and have looked before there was work */
	sysmon_wake();  /* SR1: it may sleep since before the start was wanted */
}

static void start_one(void)
{
	struct m *mp = m_new(); /* not under the lock: SR2 */
	lock_acquire(&sched.lock);
	bool is_wanted = sched.n_to_start &&
			 load_rlx(&sched.run_state) == RUN_ON; /* relaxed: under the lock */
	if (is_wanted && mp) {
		m_enlist(mp);
		sched.n_to_start--; /* it is counted from now on */
		on_way_begin(mp);
		mp->is_new = true;
		sched.n_starting++;
	}
	lock_release(&sched.lock);
	if (!is_wanted) {
		os_free(mp);
		return;
	}
	int error = mp ? m_start_thread(mp) : -ENOMEM;
	if (error)
		start_failed(error);
}

static bool is_asked(void)
{
	lock_acquire(&sched.lock);
	bool is_wanted = sched.n_to_start &&
			 load_rlx(&sched.run_state) == RUN_ON; /* relaxed: under the lock */
	lock_release(&sched.lock);
	return is_wanted;
}

static void *starter_main(void *arg)
{
	while (!load_acq(&starter.must_end)) { /* SYSMON-END */
		while (is_asked())
			start_one();
		garbage_free();
		if (starter_signals_hook)
			starter_signals_hook();
		note_sleep(&starter.note);
		note_clear(&starter.note);
		/*
		 * Who wakes us writes first what it is about: the note is cleared, then
		 * the look at that.
		 */
		if (MODEL_KEEP("starter-clear-fence"))
			fence_seq_cst(); /* SYSMON-END */
	}
	note_wake(&starter.gone);
	return arg;
}

int starter_start(void)
{
	note_clear(&starter.note);
	note_clear(&starter.gone);
	store_rlx(&starter.must_end, 0); /* relaxed: the thread is not there yet */
	return os_thread_start(starter_main, NULL);
}

void starter_stop(void)
{
	store_rel(&starter.must_end, 1); /* SYSMON-END */
	note_wake(&starter.note);
	note_sleep(&starter.gone);
	garbage_free();
}
