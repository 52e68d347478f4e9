/*
 * owe.c - a wake that may wait for a moment, since what it is for is probably done by then.
 *
 *   the poller brings Gs, a wait begins -> [wake_later] -> P's wake_at
 *   the schedule loop -> [owed_look]     sysmon -> [owed_watch] -> wake()
 *
 * A server's requests take microseconds, and to wake another M for a few of them takes longer than
 * they do, and where all CPUs are busy the time of somebody else. So who brought some wakes nobody
 * yet, but writes down when it will: when one of them runs long, or all of them together do.
 *
 * OW1  The two sides of wake() hold: the work is in the ring, or the wait is counted; WAKE-SUBMIT:
 *      light fence; is a P idle while nobody looks? Only then something is owed. Who gives its P
 *      away passes WAKE-SLEEP and looks at everything, so that its own debt goes then.
 * OW2  The M pays in the first pass through the schedule loop that comes OWED_NS or more after the
 *      one before it, since a G runs for so long; each other pass puts that off, but not beyond
 *      OWED_MOST_NS: a P that is busy all the time is helped. A wait that begins puts it off, too,
 *      while it is not due yet. Who lingers (linger.c) has nothing in its ring, and asks for the
 *      waits itself: its debt begins anew.
 * OW3  Sysmon pays in its next round, for a G that does not stop: if the P's ring has something or
 *      nobody keeps. It is awake while a P runs (SM2).
 * OW4  After a debt was paid late for the second time in OWED_DOUBT batches, the next OWED_HEAT are
 *      not owed: those Gs run long. Once only, the M may just have lost its CPU (which sysmon and
 *      the M itself may both see: paid_at).
 * OW5  A timer that nobody keeps is seen by sysmon a round before it is due (keeper_watch); so no
 *      M leaves the keeper's role in debt when one is due in two rounds (reacquire_quietly).
 *
 * Locking: none. Orders: WAKE-SUBMIT, KEEP-ADD. Go: wakes at once, for each list and each spinner
 * that found something.
 */
#include "event/netpoll.h"
#include "os/os.h"
#include "queue/runq.h"
#include "sched/sched.h"

#define OWED_NS INT64_C(100000)         /* OW2 */
#define OWED_MOST_NS INT64_C(300000)    /* OW2 */
#define OWED_LATE_NS INT64_C(100000)    /* OW4 */
#define OWED_HEAT 64u                   /* OW4 */
#define OWED_DOUBT 256u                 /* OW4 */

static atomic_of(uint32_t) owed_heat;   /* OW4: for so many batches, like the next */
static atomic_of(uint32_t) owed_doubt;

bool owed_is_hot(void)
{
	return load_rlx(&owed_heat) != 0; /* relaxed: a hint */
}

static bool count_down(atomic_of(uint32_t) *left)
{
	uint32_t n = load_rlx(left); /* relaxed: a hint, like the next */

	if (unlikely(n))
		store_rlx(left, n - 1); /* relaxed: one more or less does not matter */
	return n != 0;
}

bool owed_may_be(void)
{
	(void)count_down(&owed_doubt);
	return !count_down(&owed_heat);
}

/* OW2 */
static void put_off(struct p *pp, int64_t now)
{
	int64_t at = now + OWED_NS;

	if (at > pp->owed_since + OWED_MOST_NS)
		at = pp->owed_since + OWED_MOST_NS;
	store_rlx(&pp->wake_at, at); /* relaxed: sysmon comes again */
}

void wake_later(struct p *pp)
{
	if (MODEL_KEEP("owe-fence"))
		fence_light(); /* WAKE-SUBMIT, KEEP-ADD: OW1 */
	/* relaxed, both: ordered by the fence */
	if (load_rlx(&idle.n_p) == 0 || load_rlx(&idle.n_spinning) != 0)
		return;
	int64_t at = load_rlx(&pp->wake_at), now = os_now(); /* relaxed: only we write */
	if (!at)
		pp->owed_since = now;
	if (!at || now < at)
		put_off(pp, now);
	store_rlx(&pp->turn_every, 0); /* relaxed: the next pass looks */
}

void owed_anew(struct p *pp, int64_t now)
{
	if (!load_rlx(&pp->wake_at)) /* relaxed: only we write */
		return;
	pp->owed_since = now;
	put_off(pp, now);
}

static void pay(bool is_late)
{
	if (is_late) {
		if (load_rlx(&owed_doubt)) /* relaxed, all three: hints; OW4 */
			store_rlx(&owed_heat, OWED_HEAT);
		store_rlx(&owed_doubt, OWED_DOUBT);
	}
	wake();
}

bool owed_look(struct p *pp)
{
	int64_t at = load_rlx(&pp->wake_at), now; /* relaxed: only we write */

	if (likely(!at))
		return false;
	/* relaxed: who leaves the role looks at everything */
	if (runq_is_empty(&pp->runq) && load_rlx(&sched.keeper_taken)) {
		store_rlx(&pp->wake_at, 0); /* relaxed: as above */
		return false;
	}
	now = os_now();
	if (now < at) {
		put_off(pp, now);
		return true;
	}
	store_rlx(&pp->wake_at, 0); /* relaxed: as above */
	if (MODEL_KEEP("owed-look"))
		pay(now - at >= OWED_LATE_NS && load_rlx(&pp->paid_at) != at); /* relaxed: OW4 */
	return false;
}

void owed_watch(int64_t now)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */

	if (load_rlx(&idle.n_p) == 0) /* relaxed: who becomes idle looks at everything */
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct p *pp = sched.p[i];
		int64_t at = load_rlx(&pp->wake_at); /* relaxed: we come again */
		if (!at || at > now)
			continue;
		bool is_kept = load_rlx(&sched.keeper_taken); /* relaxed: we come again */
		bool has_work = !runq_is_empty(&pp->runq) || (!is_kept && poll_has_waits());
		if (has_work && MODEL_KEEP("owed-watch")) {
			store_rlx(&pp->paid_at, at); /* relaxed: a hint; OW4 */
			pay(true);
			return;
		}
	}
}
