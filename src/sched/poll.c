/*
 * poll.c - who asks the poller, and when.
 *
 *   find: [poll_network], [poll_by_turns]      the keeper (find.c): [poll_block]
 *   sysmon: [poll_if_nobody_does]               io/fd: [poll_wait_begins] ... [poll_wait_ended]
 *   between runs: poll_outside.c
 *
 * NW1  While a goroutine or a plain thread waits for a descriptor, somebody asks: an M that finds
 *      its P's queues empty, without blocking; the keeper, which blocks; and sysmon, when nobody
 *      did for a millisecond. FN3 holds for these waits as for timers.
 * NW2  Waits are counted where they begin and end, each P its own, so that counting costs no atomic
 *      operation; only the sum means something, and one that is taken while they change may be
 *      wrong: sysmon asks again.
 * NW3  An M whose P is the only busy one becomes the keeper if it finds nothing, and asks then: to
 *      give up the last P is cheap (FN10). But while events come several at a time and a timer is
 *      near it asks before, without blocking, since a keeper that wakes up near a timer looks at
 *      everything, and wakes others. And while they come soon it does not sleep (linger.c).
 *
 * NW4  Sysmon brings less at a time than a P uses up until it comes again: else the P would never
 *      find its queues empty, sysmon alone would ask, and all that is ready would lie in one long
 *      queue, out of the cache when its turn comes.
 * NW5  Those that yield are always in the global queue. So, while events come (poll_turns), a P
 *      whose ring is empty asks before it looks there, every other time: what is ready has half of
 *      the turns beside them, and not only what sysmon brings.
 * NW6  What sysmon brings is urgent (GQ4), since it has waited for a millisecond already: however
 *      long its own ring is, a P looks for it after NEXT_LOOK Gs, or after each when they run long
 *      (find.c), or when sysmon says so, which comes again while it is there, since those that ran
 *      until now may have been short; and then takes every other G from there while it has some.
 *
 * Locking: none. Orders: KEEP-ADD, NETPOLL-ON. Go: findRunnable, netpoll, sysmon in
 * runtime/proc.go.
 */
#include "event/netpoll.h"
#include "event/timer.h"
#include "os/os_io.h"
#include "queue/globq.h"
#include "sched/sched.h"

#define SYSMON_BATCHES 2 /* of what netpoll() brings: NW4 */
#define NOBODY_ASKS_NS SYSMON_MIN_NS
#define POLL_TURNS 16u /* NW5: so many asks that brought nothing */
#define POLL_HEAT 4u /* NW3: so many times that brought nothing much */

atomic_of(int32_t) poll_n_outside;
static atomic_of(uint32_t) n_asked;  /* how often somebody has asked; sysmon compares */

int poll_start(struct polled *(*at)(int fd))
{
	bool was_on = load_acq(&netpoll_is_on); /* NETPOLL-ON */
	int error = was_on ? 0 : netpoll_start(at);

	if (was_on || error)
		return error;
	os_sigpipe_quiet();
	if (!m_self() && !outside_enter())
		return 0;
	fence_seq_cst(); /* KEEP-SLEEP: the poller is on, then the note */
	keeper_break(); /* from now on it sleeps in the poller */
	if (!m_self())
		outside_leave();
	return 0;
}

bool poll_has_waits(void)
{
	if (!load_acq(&netpoll_is_on)) /* NETPOLL-ON: who asks has the descriptors */
		return false;
	uint32_t n = load_acq(&sched.n_procs);       /* PROCS-SET */
	int32_t n_waits = load_rlx(&poll_n_outside); /* relaxed: NW2 */

	for (uint32_t i = 0; i < n; i++)
		n_waits += load_rlx(&sched.p[i]->n_poll_waits); /* relaxed: likewise */
	return n_waits > 0;
}

static void count_wait(struct m *mp, int32_t more)
{
	struct p *pp = mp ? load_rlx(&mp->p) : NULL; /* relaxed: our own */

	if (pp)
		store_rlx(&pp->n_poll_waits, load_rlx(&pp->n_poll_waits) + more); /* relaxed: NW2 */
	else
		add_rlx(&poll_n_outside, more); /* relaxed: likewise */
}

void poll_wait_begins(void)
{
	struct m *mp = m_self();

	count_wait(mp, 1);
	/* relaxed: our own */
	struct p *pp = mp && !mp->curg && !owed_is_hot() ? load_rlx(&mp->p) : NULL;
	if (!pp) {
		timer_was_armed(mp, TIMER_NEVER); /* NW1: as for one that is never due */
		return;
	}
	fence_light(); /* KEEP-ADD: the count, then the look at the keeper */
	if (!load_rlx(&sched.keeper_taken)) /* relaxed: ordered by the fence */
		wake_later(pp);
}

void poll_wait_ended(void)
{
	count_wait(m_self(), -1);
}

/* NW5 */
static void turns_heat(bool has_brought)
{
	uint32_t old = load_rlx(&sched.poll_turns); /* relaxed: a hint */
	uint32_t now = has_brought ? POLL_TURNS : old - (old != 0);

	if (now != old)
		store_rlx(&sched.poll_turns, now); /* relaxed: likewise */
}

static void ask(int64_t until, struct glist *ready)
{
	/* relaxed, both: one more or less does not matter */
	store_rlx(&n_asked, load_rlx(&n_asked) + 1);
	(void)netpoll(until, ready);
}

/* NW3. Several at a time: the next come soon. */
static void heat_up(struct p *pp, const struct glist *ready)
{
	if (ready->count > 1)
		pp->poll_heat = POLL_HEAT;
	else if (pp->poll_heat)
		pp->poll_heat--;
}

/* One of what came, and the others into the ring. */
static struct g *take_brought(struct p *pp, struct glist *ready)
{
	turns_heat(ready->head);
	heat_up(pp, ready);
	struct g *gp = glist_pop(ready);
	if (gp)
		g_transition(gp, G_WAITING, G_RUNNABLE);
	if (owed_may_be()) { /* also without any: nobody keeps */
		ready_list_owed(pp, ready);
		return gp;
	}
	ready_list(ready);
	if (gp)
		wake(); /* likewise: it may run long */
	return gp;
}

/* Without blocking. */
static struct g *ask_now(struct p *pp)
{
	struct glist ready = {0};

	ask(0, &ready);
	return take_brought(pp, &ready);
}

/* NW3 */
static bool asks_as_keeper(struct p *pp)
{
	/* relaxed: a hint */
	if (load_rlx(&idle.n_p) + 1 < load_acq(&sched.n_procs)) /* PROCS-SET */
		return false;
	int64_t near = load_rlx(&sched.coarse_now) + TIMER_NEAR_NS; /* relaxed: a hint */
	return !pp->poll_heat || timers_first(&pp->timers) > near;
}

struct g *poll_network(struct p *pp)
{
	/* relaxed: the keeper asks */
	if (load_rlx(&sched.keeper_taken) || !poll_has_waits())
		return NULL;
	return asks_as_keeper(pp) ? NULL : ask_now(pp);
}

struct g *poll_again(struct p *pp)
{
	struct glist ready = {0};

	ask(0, &ready);
	return ready.head ? take_brought(pp, &ready) : NULL;
}

struct g *poll_by_turns(struct p *pp)
{
	if (likely(!load_rlx(&sched.poll_turns)) || globq_size() == 0) /* relaxed: a hint */
		return NULL;
	pp->poll_had_turn = !pp->poll_had_turn;
	if (!pp->poll_had_turn)
		return NULL;
	/* relaxed: the keeper asks */
	if (load_rlx(&sched.keeper_taken) || !poll_has_waits()) {
		turns_heat(false);
		return NULL;
	}
	return ask_now(pp);
}

void poll_block(int64_t until, struct glist *ready)
{
	int64_t start = os_now();

	ask(until, ready);
	turns_heat(ready->head);
	linger_slept(os_now() - start, ready->head);
}

void poll_brought(struct p *pp, const struct glist *ready)
{
	heat_up(pp, ready);
}

void poll_if_nobody_does(int64_t now)
{
	static uint32_t seen;
	static int64_t since;
	struct glist ready = {0};
	uint32_t asked = load_rlx(&n_asked); /* relaxed: compared */

	/* relaxed: a hint */
	if (asked != seen || load_rlx(&sched.keeper_taken) || !poll_has_waits()) {
		seen = asked;
		since = now;
	}
	if (now - since < NOBODY_ASKS_NS)
		return;
	since = now;
	for (int i = 0; i < SYSMON_BATCHES && netpoll(0, &ready); i++)
		;
	if (!ready.head)
		return;
	turns_heat(true);
	for (struct g *gp = ready.head; gp; gp = gp->link)
		g_transition(gp, G_WAITING, G_RUNNABLE);
	globq_put_urgent(&ready); /* NW6 */
	wake_outside();
}

void poll_hurry(void)
{
	uint32_t n = load_acq(&sched.n_procs); /* PROCS-SET */

	if (likely(!globq_has_urgent()))
		return;
	for (uint32_t i = 0; i < n; i++)
		store_rlx(&sched.p[i]->turn_every, 0); /* relaxed: if it is lost, we come again */
}
