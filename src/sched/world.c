/*
 * world.c - stopping every P, and changing their number.
 *
 *   goro_maxprocs, goro_dump -> [world_stop] -> ... -> [world_start]
 *   schedule loop of the others -> [world_stop_here] -> their P is STOPPED, the M sleeps
 *
 * WD1  One stopper at a time; others queue (world.waiting) and park.
 * WD2  stop_left counts the Ps that are neither STOPPED nor DEAD; whoever brings it to 0
 *      wakes the stopper.
 * WD3  A P can leave the idle list only under sched.lock, and while stop_wanted the list is empty:
 *      so no P starts again before world_start().
 * WD4  Stopping takes as long as the longest stretch between two calls of the library; sysmon and
 *      the stopper repeat their request, since a G may clear it at the end of its slice.
 * WD5  When a run ends, the goroutines that queue are dropped, since they will not run again; the
 *      plain threads are woken and told, since goro_run waits for them (outside.c, OU1).
 * WD6  An M without a P may look for timers while the world is stopped, and miss those that move
 *      from heap to heap: if it is the keeper, it is told to look again.
 *
 * Locking: world.lock (WORLD) for the queue, sched.lock (SCHED) for the Ps. Orders: PROCS-SET,
 * KEEP-ADD.
 * Go: stopTheWorldWithSema, startTheWorldWithSema, procresize in runtime/proc.go.
 */
#include <errno.h>
#include <string.h>

#include "base/rand.h"
#include "base/sanitize.h"
#include "event/timer.h"
#include "goro.h"
#include "os/os.h"
#include "queue/gfree.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/sched.h"

#define STOP_REPEAT_NS 200000

struct world_waiter {
	struct world_waiter *next;
	struct g *gp;       /* a goroutine, or */
	struct note *note;  /* a plain thread, */
	bool is_over;       /* which need not wait any more: the run ends */
};

static struct {
	struct lock lock;
	bool is_taken;                     /* lock */
	struct world_waiter *first, *last; /* lock */
} world = {.lock = LOCK_INIT(LOCK_WORLD)};

static bool world_commit(struct g *gp, void *arg)
{
	(void)gp;
	(void)arg;
	lock_release(&world.lock);
	return true;
}

/* WD1: like a mutex that is handed on in order. False: a plain thread, and the run ends. */
static bool world_take(enum wait_reason reason)
{
	struct m *mp = m_self();
	struct note note = {0};
	struct world_waiter self = {NULL, mp ? mp->curg : NULL, mp ? NULL : &note, false};

	lock_acquire(&world.lock);
	if (self.note && load_rlx(&sched.run_state) == RUN_ENDING) { /* relaxed: world_end() */
		lock_release(&world.lock);
		return false;
	}
	if (!world.is_taken) {
		world.is_taken = true;
		lock_release(&world.lock);
		return true;
	}
	if (world.last)
		world.last->next = &self;
	else
		world.first = &self;
	world.last = &self;
	if (self.gp) {
		park(world_commit, NULL, reason);
	} else {
		lock_release(&world.lock);
		note_sleep(&note);
	}
	return !self.is_over;
}

static void world_give(void)
{
	lock_acquire(&world.lock);
	struct world_waiter *next = world.first;
	if (next) {
		world.first = next->next;
		if (!world.first)
			world.last = NULL;
	} else {
		world.is_taken = false;
	}
	lock_release(&world.lock);
	if (next && next->gp)
		ready(next->gp);
	else if (next)
		note_wake(next->note);
}

/* RUN_ENDING is set: who takes the lock after us sees it, and does not queue. WD5 */
void world_end(void)
{
	lock_acquire(&world.lock);
	struct world_waiter *at = world.first, *next;
	world.first = world.last = NULL;
	lock_release(&world.lock);
	for (; at; at = next) {
		next = at->next;
		at->is_over = true;
		if (at->note && MODEL_KEEP("world-end"))
			note_wake(at->note); /* the record is its own again */
	}
}

/* Whoever queued is a goroutine of a run that is over. */
void world_reset(void)
{
	world.is_taken = false;
	world.first = world.last = NULL;
}

/* Under sched.lock: one P less to wait for. */
static void stopped_one(struct p *pp)
{
	store_rlx(&pp->state, P_STOPPED); /* relaxed: under the lock */
	if (sched.stop_left > 0 && --sched.stop_left == 0)
		note_wake(&sched.stop_note);
}

void world_put_away(struct p *pp)
{
	if (load_rlx(&sched.stop_wanted)) /* relaxed: under the lock */
		stopped_one(pp); /* WD3: not into the idle list */
	else
		idle_put_p(pp);
}

bool world_stop_here(struct m *mp)
{
	if (mp->is_spinning)
		spinning_stop(mp);
	lock_acquire(&sched.lock);
	bool is_wanted = load_rlx(&sched.stop_wanted) || /* relaxed: under the lock */
			 !MODEL_KEEP("stop-here-recheck");
	if (is_wanted) {
		stopped_one(release_p(mp));
		on_way_begin(mp);
	}
	lock_release(&sched.lock);
	return is_wanted ? stop_m(mp) : true;
}

/* Under sched.lock: Ps whose goroutines are in their own code. */
static uint32_t count_away(void)
{
	uint32_t n = load_rlx(&sched.n_procs), n_away = 0; /* relaxed: the caller's */

	for (uint32_t i = 0; i < n; i++) {
		struct p *pp = sched.p[i];
		const struct m *mp = load_acq(&pp->m); /* P-OWNER */
		/* relaxed, all: a look */
		if (load_rlx(&pp->state) == P_RUNNING &&
		    (mp ? load_rlx(&mp->at) != AT_RUNTIME : load_rlx(&pp->is_offered)))
			n_away++;
	}
	return n_away;
}

/*
 * The deadline has come. Who still runs a goroutine is left alone; an M between its look at
 * stop_wanted and the goroutine that it picked has not far to go, and must not be taken for one
 * that leaves the runnable Gs alone. True: all have stopped.
 */
static bool wait_for_schedulers(void)
{
	for (;;) {
		lock_acquire(&sched.lock);
		uint32_t n_left = sched.stop_left, n_away = count_away();
		lock_release(&sched.lock);
		if (n_left == 0)
			return true;
		if (n_away >= n_left)
			return false;
		(void)note_sleep_until(&sched.stop_note, os_now() + STOP_REPEAT_NS);
	}
}

bool world_stop(enum wait_reason reason, int64_t deadline)
{
	if (!world_take(reason))
		return false;
	struct m *mp = m_self();
	struct p *own = mp ? load_rlx(&mp->p) : NULL, *pp; /* relaxed: our own */

	lock_acquire(&sched.lock);
	if (load_rlx(&sched.run_state) == RUN_ENDING) { /* relaxed: under the lock */
		lock_release(&sched.lock);
		while (own) /* the schedule loop lets no goroutine run again */
			yield_global(m_self());
		return false;
	}
	note_clear(&sched.stop_note);
	store_rlx(&sched.stop_wanted, 1); /* relaxed: others may see it late */
	sched.stop_left = load_rlx(&sched.n_procs) + 1; /* relaxed: ours; one for ourselves */
	if (own)
		stopped_one(own);
	while ((pp = idle_get_p()))
		stopped_one(pp);
	bool must_wait = --sched.stop_left > 0;
	lock_release(&sched.lock);
	preempt_ask_all();
	sysmon_wake(); /* for those that make no call: handoff.c, preempt.c */
	while (must_wait && os_now() < deadline) {
		if (note_sleep_until(&sched.stop_note, os_now() + STOP_REPEAT_NS))
			return true;
		preempt_ask_all(); /* WD4 */
	}
	return !must_wait || wait_for_schedulers();
}

/* Ps with something to run get an M each, the others are idle. The caller keeps `own`. */
static void distribute(struct p *own)
{
	uint32_t n = load_rlx(&sched.n_procs); /* relaxed: the world is stopped */
	struct p *busy[64];
	uint32_t n_busy = 0;

	lock_acquire(&sched.lock);
	sched.stop_left = 0;
	for (uint32_t i = n; i-- > 0;) {
		struct p *pp = sched.p[i];
		if (load_rlx(&pp->state) == P_RUNNING) { /* relaxed: under the lock */
			continue; /* it had not stopped at the deadline */
		} else if (pp == own) {
			store_rlx(&pp->state, P_RUNNING); /* relaxed: under the lock */
		} else if (!runq_is_empty(&pp->runq) && n_busy < array_length(busy)) {
			store_rlx(&pp->state, P_RUNNING); /* relaxed: under the lock */
			busy[n_busy++] = pp;
		} else {
			idle_put_p(pp);
		}
	}
	bool is_ending = load_rlx(&sched.run_state) == RUN_ENDING; /* relaxed: under the lock */
	store_rel(&sched.stop_wanted, is_ending); /* STOP-OVER: what the stopper read of the Gs */
	lock_release(&sched.lock);
	while (n_busy)
		start_m(busy[--n_busy], false);
	sysmon_wake_if_asleep();
	/* More than 64 busy Ps, timers, the global queue: one M looks and wakes the next. */
	wake_outside();
}

void world_start(void)
{
	struct m *mp = m_self();

	distribute(mp ? load_rlx(&mp->p) : NULL); /* relaxed: our own */
	world_give();
}

static struct p *p_new(uint32_t id)
{
	/*
	 * Kept from run to run: a plain thread may still look at a P (goro_count, stopping a
	 * timer) while its run ends.
	 */
	static struct p *kept[MAXPROCS_LIMIT];
	struct p *pp = kept[id];

	if (!pp) {
		pp = os_mem_reserve((sizeof(*pp) + 4095) & ~(size_t)4095);
		if (!pp)
			return NULL;
		timers_init(&pp->timers);
		kept[id] = pp;
	}
	/* What lies in its cache is in no G: one more for a slot that the scavenger has in hand. */
	if (stack_pool_grow(STACK_CACHE + 1) < 0)
		return NULL;
	sanitize_hide(true);
	memset(pp, 0, offsetof(struct p, timers)); /* not these: TM6 */
	memset(&pp->runq, 0, sizeof(pp->runq));
	sanitize_hide(false);
	pp->id = id;
	pp->seen_since = os_now();
	pp->rand = rand_seed(id + (uint64_t)os_now());
	store_rlx(&pp->state, P_STOPPED); /* relaxed: not published yet */
	timers_open(&pp->timers);
	return pp;
}

/* Everything that a P holds goes to where the others find it. */
static void p_empty(struct p *pp, struct p *heir)
{
	struct glist left = {0};

	runq_drain(&pp->runq, &left);
	globq_put_list(&left);
	int32_t n_waits = load_rlx(&pp->n_poll_waits); /* relaxed, all: the world is stopped */
	store_rlx(&heir->n_poll_waits, load_rlx(&heir->n_poll_waits) + n_waits);
	store_rlx(&pp->n_poll_waits, 0);
	timers_move(&pp->timers, &heir->timers);
	gfree_flush(&pp->gfree);
	stack_cache_flush(&pp->stacks);
	preempt_clear(pp);
	store_rlx(&pp->state, P_DEAD); /* relaxed: the world is stopped */
}

/* WD6. It may have looked at the heir before timers came there, and at the other heap after. */
static void keeper_tell_of_moved(void)
{
	fence_seq_cst(); /* KEEP-ADD: the heaps, then the look at the keeper */
	if (load_rlx(&sched.keeper_taken)) /* relaxed: ordered by the fence */
		keeper_break();
}

int procs_resize(uint32_t n)
{
	uint32_t old = load_rlx(&sched.n_procs); /* relaxed: the world is stopped */
	struct m *mp = m_self();

	for (uint32_t i = old; i < n; i++) {
		if (!sched.p[i]) {
			sched.p[i] = p_new(i);
			if (!sched.p[i])
				return -ENOMEM; /* those made so far stay, unused */
			store_rel(&sched.n_made, i + 1); /* PROCS-SET: a plain thread counts */
		}
		store_rlx(&sched.p[i]->state, P_STOPPED); /* relaxed: the world is stopped */
	}
	for (uint32_t i = n; i < old; i++)
		p_empty(sched.p[i], sched.p[0]);
	store_rel(&sched.n_procs, n); /* PROCS-SET */
	if (n < old && MODEL_KEEP("moved-timers-tell"))
		keeper_tell_of_moved();
	if (mp && load_rlx(&mp->p) && load_rlx(&mp->p)->id >= n) { /* relaxed: our own */
		store_rlx(&load_rlx(&mp->p)->m, NULL); /* relaxed: our own */
		store_rlx(&mp->p, NULL); /* relaxed: our own */
		acquire_p(mp, sched.p[0]);
	}
	return 0;
}

static int maxprocs(int n)
{
	int old = (int)load_acq(&sched.n_procs); /* PROCS-SET */

	if (n < 1)
		return old;
	if (!world_stop(WAIT_STOP_WORLD, OS_FOREVER))
		return old; /* a plain thread, and the run ends */
	old = (int)load_rlx(&sched.n_procs); /* relaxed: the world is stopped */
	if (n != old)
		(void)procs_resize((uint32_t)n); /* out of memory: the number stays */
	world_start();
	return old;
}

int goro_maxprocs(int n)
{
	if (n > MAXPROCS_LIMIT)
		n = MAXPROCS_LIMIT;
	preempt_check();
	CALL_SCOPE;
	if (m_self())
		return maxprocs(n);
	if (!outside_enter())
		return (int)procs_wanted();
	int old = maxprocs(n);
	outside_leave();
	return old;
}

void world_freeze(void)
{
	/* For a dying process: nobody is woken again, so no queue and no accounting. */
	store_rlx(&sched.stop_wanted, 1); /* relaxed: others may see it late */
	for (int i = 0; i < 20; i++) {
		bool all_stopped = true;
		preempt_ask_all();
		for (uint32_t j = 0; j < load_acq(&sched.n_procs); j++) { /* PROCS-SET */
			struct p *pp = sched.p[j];
			struct m *mp = m_self();
			if (load_rlx(&pp->state) == P_RUNNING && /* relaxed: a look */
			    (!mp || load_rlx(&mp->p) != pp))     /* relaxed: a look */
				all_stopped = false;
		}
		if (all_stopped)
			return;
		os_sleep_until(os_now() + 500000);
	}
}
