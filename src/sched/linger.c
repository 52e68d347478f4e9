/*
 * linger.c - an M that asks the poller for a moment more before it gives its P away.
 *
 *   find_runnable: nothing found -> [linger_goes_on] -> the loop again, [linger_ask] in it
 *                                -> or not any more: the keeper sleeps (find.c) -> [linger_slept]
 *
 * Where requests come every few microseconds, to sleep for one of them costs more than to wait for
 * it: the client wakes our thread, on its own time, and we get a P, become the keeper, and give
 * both back.
 *
 * LG1  Only an M whose P is the only busy one begins to linger, only for descriptors, and no longer
 *      than nobody keeps. It goes through the whole loop each time, so that it is an M that runs
 *      like any other: what comes for it (the global queue, a timer, a stop) it finds there, and it
 *      gives its P away as ever, with WAKE-SLEEP and all looks after it.
 * LG2  Nobody keeps meanwhile. So it does not linger when a timer of any P is due before its end;
 *      and it asks for the waits itself, so that what is owed for them (OW1) is owed from now on.
 * LG3  It lingers while that helps: after FIRST_SLEEPS that a lingering M would have spared. A
 *      moment in which nothing came costs a few more of them, and each further one twice as many,
 *      up to SLEEPS_MOST; what came and was waited for halves that (what is there at the first look
 *      would not have been slept for). A moment in which the CPU was lost is in vain, too: a client
 *      that shares it with us can do nothing while we wait for it.
 *
 * Locking: none. Orders: none of its own. Go: has nothing like it for the poller; an M that spins
 * there looks for goroutines (findRunnable in runtime/proc.go).
 */
#include "os/os.h"
#include "sched/sched.h"

#define LINGER_NS INT64_C(20000)
#define LINGER_LOOK_NS INT64_C(1000) /* so rarely: a look is a system call */
#define AWAY_NS INT64_C(5000)        /* no round takes so long unless the CPU was lost */
#define SHORT_NS INT64_C(50000)      /* with what it takes to fall asleep and to wake up */
#define FIRST_SLEEPS 16u
#define FIRST_PRICE 2u
#define SLEEPS_MOST 512u

/* LG3: short sleeps until it lingers again; what the next moment costs in which nothing comes. */
static atomic_of(uint32_t) linger_sleeps = FIRST_SLEEPS, linger_price = FIRST_PRICE;

static bool is_alone_busy(void)
{
	/* relaxed, both: hints */
	return load_rlx(&idle.n_p) + 1 >= load_acq(&sched.n_procs) && /* PROCS-SET */
	       !load_rlx(&sched.keeper_taken);
}

static bool linger_begin(struct p *pp, struct moment *m)
{
	int64_t now, first;

	/* relaxed: a hint, like all of LG3 */
	if (load_rlx(&linger_sleeps) != 0 || !is_alone_busy() || !poll_has_waits())
		return false;
	now = os_now();
	if (work_is_visible(&first) || first < now + LINGER_NS) /* LG2 */
		return false;
	owed_anew(pp, now);
	*m = (struct moment){.until = now + LINGER_NS, .looked_at = now, .n_looks = 1};
	return true;
}

static void linger_failed(void)
{
	uint32_t price = load_rlx(&linger_price); /* relaxed: a hint, as below */

	store_rlx(&linger_sleeps, price);            /* relaxed: as above */
	if (price < SLEEPS_MOST)
		store_rlx(&linger_price, 2 * price); /* relaxed: as above */
}

static void linger_helped(void)
{
	uint32_t price = load_rlx(&linger_price); /* relaxed: a hint, as below */

	price /= 2;
	store_rlx(&linger_price, price < FIRST_PRICE ? FIRST_PRICE : price); /* relaxed: as above */
}

bool linger_goes_on(struct p *pp, struct moment *m)
{
	int64_t now;

	if (!m->until)
		return linger_begin(pp, m);
	if (load_rlx(&sched.keeper_taken)) { /* relaxed: a hint; LG1 */
		m->until = 0;
		return false;
	}
	do {
		cpu_relax();
		now = os_now();
	} while (now < m->looked_at + LINGER_LOOK_NS);
	if (now < m->until && now - m->looked_at < AWAY_NS) {
		m->looked_at = now;
		m->n_looks++;
		return true;
	}
	linger_failed();
	m->until = 0;
	return false;
}

struct g *linger_ask(struct p *pp, const struct moment *m)
{
	struct g *gp = poll_again(pp);

	if (!gp || m->n_looks == 1)
		return gp;
	if (os_now() - m->looked_at < AWAY_NS)
		linger_helped();
	else
		linger_failed();
	return gp;
}

void linger_slept(int64_t ns, bool has_brought)
{
	uint32_t left = load_rlx(&linger_sleeps); /* relaxed: a hint, as below */

	if (!has_brought || ns >= SHORT_NS)
		left += left < FIRST_SLEEPS;
	else
		left -= left != 0;
	store_rlx(&linger_sleeps, left); /* relaxed: as above */
}
