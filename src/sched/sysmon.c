/*
 * sysmon.c - the thread that watches the others; it has no P.
 *
 *   boot -> [sysmon_start] -> every millisecond, or sooner: the Ps of threads that are away
 *                             taken (handoff.c), long runners asked to yield (preempt.c),
 *                             unused memory given back, schedtrace, a suspected deadlock looked
 *                             at again, SIGQUIT served
 *
 * SM1  It sleeps without end when all Ps are idle and nothing is left to give back: an idle
 *      program uses no CPU. Not while work waits for a thread that could not be had (SR1).
 * SM2  asleep (store), heavy fence, look at the idle Ps | P taken, light fence, look at asleep:
 *      label SYSMON-SLEEP; one of the two sees the other.
 *
 * SM3  While a P is busy, it looks every millisecond, so that nobody waits longer than two for a P
 *      whose thread is blocked; and after SYSMON_SOON_NS, but not without end, when something was
 *      taken, a thread may be blocked, or the run has just begun. After that the rounds grow longer
 *      by and by: the next thread needs a moment to get going before it can be seen to block.
 *
 * SM4  It serves SIGQUIT also while it waits for a lock that is never given back.
 *
 * It starts at 1 ms, not at Go's 20 us: with sleeps of a millisecond in the program the short
 * rounds were most of its CPU time.
 *
 * Locking: none; sched.lock for the caches of idle Ps. Go: sysmon, retake in runtime/proc.go.
 */
#include "os/os.h"
#include "queue/gfree.h"
#include "sched/sched.h"

#define SCAVENGE_NS INT64_C(100000000)
#define SCAVENGE_MORE_NS INT64_C(1000000) /* after a call that found something: there may be more */
#define CALM_NS INT64_C(10000000)
#define START_RETRY_NS INT64_C(10000000)
#define SOON_MOST 200u /* short rounds in a row */
#define SOON_SHARE 4 /* of the time since there was a reason is the pause until the next look */
#define SUSPECT_MIN_NS INT64_C(10000000)
#define SUSPECT_MAX_NS INT64_C(1000000000)

static struct {
	struct note note;                  /* ends its sleep */
	struct note gone;                  /* it has ended */
	atomic_of(uint32_t) is_asleep;     /* SM2 */
	atomic_of(int) tid;                /* of its thread */
	atomic_of(uint32_t) must_end;      /* SYSMON-END */
	atomic_of(uint32_t) must_dump;     /* SYSMON-DUMP */
	int64_t next_scavenge, next_trace; /* sysmon, like the rest */
	int64_t next_start, next_calm;
	int64_t suspect_delay, next_suspect;
	uint32_t n_soon;                   /* short rounds since the last long one */
	int64_t soon_since;                /* when there was last a reason for them */
	bool has_garbage;
} sysmon;

void (*sysmon_trace_hook)(int64_t now);
void (*sysmon_dump_hook)(void);
void (*sysmon_calm_hook)(void);
int64_t sysmon_trace_period;

static bool all_idle(void)
{
	return load_rlx(&idle.n_p) ==       /* relaxed: ordered by the fence */
		       load_acq(&sched.n_procs) && /* PROCS-SET */
	       load_acq(&sched.run_state) != RUN_ENDING; /* RUN-STATE */
}

void sysmon_wake_if_asleep(void)
{
	fence_light(); /* SYSMON-SLEEP: the P was taken, then the look */
	if (load_rlx(&sysmon.is_asleep)) /* relaxed: ordered by the fence */
		note_wake(&sysmon.note);
}

void sysmon_wake(void)
{
	note_wake(&sysmon.note);
}

bool sysmon_is_self(void)
{
	return load_rlx(&sysmon.tid) == os_thread_id(); /* relaxed: our own, or not ours */
}

void sysmon_ask_dump(void)
{
	store_rel(&sysmon.must_dump, 1); /* SYSMON-DUMP */
	note_wake(&sysmon.note);
}

/* The caches of idle Ps and what the pools have not needed for a while. */
static void scavenge(int64_t now)
{
	uint32_t given = 0;

	lock_acquire(&sched.lock);
	for (struct p *pp = idle.ps; pp; pp = pp->idle_link) {
		gfree_flush(&pp->gfree);
		stack_cache_flush(&pp->stacks);
	}
	lock_release(&sched.lock);
	given += stack_pool_scavenge(false);
	sysmon.next_scavenge = now + (given ? SCAVENGE_MORE_NS : SCAVENGE_NS);
	given += gfree_scavenge();
	sysmon.has_garbage = given || stack_pool_warm() || gfree_has_garbage();
}

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When the next duty is due although all Ps are idle. */
static int64_t next_duty(void)
{
	int64_t at = OS_FOREVER;

	if (sysmon.has_garbage)
		at = min64(at, sysmon.next_scavenge);
	if (sysmon_trace_period)
		at = min64(at, sysmon.next_trace);
	if (deadlock_is_suspected())
		at = min64(at, sysmon.next_suspect);
	if (starter_is_owed())
		at = min64(at, sysmon.next_start);
	return at;
}

static void dump_if_asked(void)
{
	if (load_acq(&sysmon.must_dump) && sysmon_dump_hook) /* SYSMON-DUMP */
		sysmon_dump_hook();
}

/* SM4. Whoever waits for a lock for long. */
static void on_long_wait(void)
{
	if (sysmon_is_self())
		dump_if_asked();
}

__attribute__((constructor)) static void sysmon_install(void)
{
	lock_long_hook = on_long_wait;
}

static void duties(int64_t now)
{
	dump_if_asked();
	if (load_acq(&sched.run_state) == RUN_ENDING) /* RUN-STATE */
		preempt_end_loops(now);
	if (garbage_exists())
		starter_wake();
	poll_if_nobody_does(now);
	poll_hurry();
	owed_watch(now);
	keeper_watch(now);
	if (load_rlx(&sched.is_start_wanted) && now >= sysmon.next_start) { /* relaxed: a hint */
		sysmon.next_start = now + START_RETRY_NS;
		starter_retry();
	}
	if (sysmon_trace_period && now >= sysmon.next_trace) {
		sysmon.next_trace = now + sysmon_trace_period;
		sysmon_trace_hook(now);
	}
	if (sysmon_calm_hook && now >= sysmon.next_calm) {
		sysmon.next_calm = now + CALM_NS;
		sysmon_calm_hook();
	}
	if (now >= sysmon.next_scavenge) {
		scavenge(now);
	}
	if (!deadlock_is_suspected()) {
		sysmon.suspect_delay = SUSPECT_MIN_NS;
		sysmon.next_suspect = now + sysmon.suspect_delay;
	} else if (now >= sysmon.next_suspect) {
		sysmon.suspect_delay = min64(2 * sysmon.suspect_delay, SUSPECT_MAX_NS);
		sysmon.next_suspect = now + sysmon.suspect_delay;
		deadlock_check_again();
	}
}

/* SM1. Returns after a wake or when a duty is due. */
static void sleep_while_idle(void)
{
	store_rlx(&sysmon.is_asleep, 1); /* relaxed: ordered by the fence */
	fence_heavy();                   /* SYSMON-SLEEP */
	if (all_idle() && !load_rlx(&sysmon.must_end) && /* relaxed: ordered by the fence */
	    !load_rlx(&sysmon.must_dump)) {          /* relaxed: likewise */
		/* Freshly idle programs leave memory behind: one more look after the period. */
		sysmon.has_garbage |= stack_pool_warm() || gfree_has_garbage();
		(void)note_sleep_until(&sysmon.note, next_duty());
	}
	store_rlx(&sysmon.is_asleep, 0); /* relaxed: a late wake does no harm */
}

/* SM3 */
int64_t sysmon_pause(int64_t now)
{
	int64_t pause = (now - sysmon.soon_since) / SOON_SHARE;

	if (pause < SYSMON_SOON_NS)
		return SYSMON_SOON_NS;
	return min64(pause, SYSMON_MIN_NS);
}

static int64_t delay(int64_t now)
{
	if (retake(now)) {
		bool is_enough = sysmon.n_soon++ == SOON_MOST;
		sysmon.soon_since = is_enough ? 0 : now;
		if (is_enough)
			sysmon.n_soon = 0;
	}
	return sysmon_pause(now);
}

static void *sysmon_main(void *arg)
{
	store_rlx(&sysmon.tid, os_thread_id()); /* relaxed: only we ask */
	(void)os_thread_precise_waits();
	while (!load_acq(&sysmon.must_end)) { /* SYSMON-END */
		int64_t now = os_now();
		store_rlx(&sched.coarse_now, now); /* relaxed: a hint */
		duties(now);
		if (all_idle())
			sleep_while_idle();
		else
			(void)note_sleep_until(&sysmon.note, now + delay(now));
		note_clear(&sysmon.note);
	}
	note_wake(&sysmon.gone);
	return arg;
}

int sysmon_start(void)
{
	note_clear(&sysmon.note);
	note_clear(&sysmon.gone);
	store_rlx(&sysmon.must_end, 0); /* relaxed: the thread is not there yet */
	sysmon.soon_since = os_now(); /* nothing is known: the first call may be a long one */
	sysmon.n_soon = 0;
	sysmon.next_scavenge = os_now() + SCAVENGE_NS;
	sysmon.next_trace = os_now() + sysmon_trace_period;
	return os_thread_start(sysmon_main, NULL);
}

void sysmon_stop(void)
{
	store_rel(&sysmon.must_end, 1); /* SYSMON-END */
	note_wake(&sysmon.note);
	note_sleep(&sysmon.gone);
}
