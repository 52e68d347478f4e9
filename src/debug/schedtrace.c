/*
 * schedtrace.c - GORODEBUG=schedtrace=N[,scheddetail=1]: the scheduler's state on standard
 * error, each N ms.
 *
 *   boot   -> [schedtrace_configure]
 *   sysmon -> [schedtrace] -> a line, or the table of every P, M and G
 *
 * TC1  What it reads it reads without stopping anybody: each number is right by itself,
 *      not all together.
 *
 * Locking: sched.lock while the Ms are walked, gfree's lock for the Gs. Go: schedtrace in
 * runtime/proc.go; the words are Go's, so that tools which read them go on working.
 */
#include <string.h>

#include "base/fatal.h"
#include "event/timer.h"
#include "os/os.h"
#include "queue/gfree.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/sched.h"

static bool has_detail;
static int64_t started_at;

/* An M is reached through all_m only, under the lock: the pointer in a P or G may be an old one. */
static void print_ps(uint32_t n)
{
	static int m_of[MAXPROCS_LIMIT]; /* sysmon */

	memset(m_of, -1, sizeof(m_of));
	lock_acquire(&sched.lock);
	for (struct m *mp = sched.all_m; mp; mp = mp->all_link) {
		struct p *pp = load_rlx(&mp->p); /* relaxed: a look */
		if (pp)
			m_of[pp->id] = (int)mp->id;
	}
	lock_release(&sched.lock);
	for (uint32_t i = 0; i < n; i++) {
		struct p *pp = sched.p[i];
		/* relaxed: a look */
		print_to(2,
			 "  P%u: status=%s schedtick=%u m=%d runqsize=%u gfreecnt=%u timers=%u\n",
			 i, p_state_name((enum p_state)load_rlx(&pp->state)),
			 load_rlx(&pp->sched_tick), m_of[i], runq_length(&pp->runq),
			 pp->gfree.count, pp->timers.count);
	}
}

/* Which M runs it, and which it is locked to, the table of the Ms tells. */
static void print_g(struct g *gp, void *arg)
{
	enum g_state state = g_state(gp);
	uint8_t reason = load_rlx(&gp->wait_reason); /* relaxed: a look */

	(void)arg;
	if (state == G_WAITING)
		print_to(2, "  G%lu: status=%s(%s)\n", (unsigned long)gp->id, g_state_name(state),
			 wait_reason_name((enum wait_reason)reason));
	else
		print_to(2, "  G%lu: status=%s\n", (unsigned long)gp->id, g_state_name(state));
}

static void print_ms(void)
{
	lock_acquire(&sched.lock);
	for (struct m *mp = sched.all_m; mp; mp = mp->all_link) {
		struct p *pp = load_rlx(&mp->p); /* relaxed: a look */
		struct g *gp = mp->curg, *locked = mp->locked_g;
		print_to(2, "  M%u: p=%d curg=%ld spinning=%d lockedg=%ld\n", mp->id,
			 pp ? (int)pp->id : -1, gp ? (long)gp->id : -1, mp->is_spinning,
			 locked && locked != &pinned_mark ? (long)locked->id : -1);
	}
	lock_release(&sched.lock);
}

static void schedtrace(int64_t now)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */
	char line[1000];
	size_t used;

	used = format_to(line, sizeof(line),
			 "SCHED %ldms: gomaxprocs=%u idleprocs=%u threads=%u spinningthreads=%u "
			 "idlethreads=%u runqueue=%u",
			 (long)((now - started_at) / 1000000), n,
			 load_rlx(&idle.n_p), sched.n_m + 1,   /* relaxed: a look */
			 load_rlx(&idle.n_spinning), idle.n_m, /* relaxed: a look */
			 globq_size());
	if (has_detail) {
		print_to(2, "%s\n", line);
		print_ps(n);
		print_ms();
		gfree_each(print_g, NULL);
		return;
	}
	for (uint32_t i = 0; i < n && used + 16 < sizeof(line); i++)
		used += format_to(line + used, sizeof(line) - used, "%s%u", i ? " " : " [",
				  runq_length(&sched.p[i]->runq));
	print_to(2, "%s]\n", line);
}

static void schedtrace_configure(void)
{
	long ms = os_debug(OS_DEBUG_SCHEDTRACE);

	has_detail = os_debug(OS_DEBUG_SCHEDDETAIL);
	started_at = os_now();
	sysmon_trace_period = (int64_t)ms * 1000000;
	sysmon_trace_hook = schedtrace;
}

__attribute__((constructor)) static void schedtrace_install(void)
{
	boot_hook = schedtrace_configure;
}
