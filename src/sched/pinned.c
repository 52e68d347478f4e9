/*
 * pinned.c - goroutines that stay on one thread and share it: .pinned.
 *
 *   schedule of any M (it picked a pinned G) -> [pinned_place] -> runs it here, as its host from
 *        now on; or hands G and P to its host, which sleeps; or puts it into the host's queue
 *   schedule of a host -> [pinned_next] -> the next G of its queue; or its P is given away
 *
 * PD1  An M that a G was pinned to is a host, until the last such G has ended: it runs those alone,
 *      as an M with a locked G runs that one alone. So nobody else's blocking call or long loop
 *      keeps them from their thread; only they can do that to each other.
 * PD2  A G is pinned to an M when it is first picked: to the M that picked it, while there are
 *      fewer hosts than Ps; then to the host with the fewest.
 * PD3  A runnable pinned G lies in a run queue like any other; or in its host's queue, when it was
 *      picked while the host was not asleep (waits_pinned): the host looks there before it sleeps.
 *      A host without a P has nobody to bring it one for its queue: it puts that back.
 * PD4  While a G is locked to its host (goro_lock_thread) or stopped there by a signal, locked_g is
 *      that G; else it is pinned_mark, which stands for all of them.
 *
 * We do not let a host run other Gs in between: one of those that blocks in the kernel, or loops
 * without a call, would keep the pinned ones waiting for as long, since nobody can move them.
 *
 * Locking: sched.lock. Go: none; LockOSThread keeps a thread for one goroutine.
 */
#include "queue/globq.h"
#include "sched/sched.h"

struct g pinned_mark;
struct m pinned_nowhere;

void pinned_make(struct g *gp)
{
	gp->is_pinned = true;
	gp->locked_m = &pinned_nowhere;
}

/* Under sched.lock: PD2. */
static struct m *host_for(struct m *mp)
{
	/* relaxed: a number */
	if (sched.n_hosts < load_rlx(&sched.n_procs)) {
		mp->is_host = true;
		mp->locked_g = &pinned_mark;
		mp->host_link = sched.hosts;
		sched.hosts = mp;
		sched.n_hosts++;
		return mp;
	}
	struct m *best = sched.hosts;
	for (struct m *at = best; at; at = at->host_link)
		if (at->n_pinned < best->n_pinned)
			best = at;
	return best;
}

/* Under sched.lock. */
static void host_end(struct m *mp)
{
	struct m **at = &sched.hosts;

	while (*at != mp)
		at = &(*at)->host_link;
	*at = mp->host_link;
	sched.n_hosts--;
	mp->is_host = false;
}

bool pinned_put(struct g *gp)
{
	struct m *host = gp->locked_m;

	gp->link = NULL;
	if (host->pinned_last)
		host->pinned_last->link = gp;
	else
		host->pinned_first = gp;
	host->pinned_last = gp;
	if (!host->waits_pinned)
		return false; /* PD3 */
	host->waits_pinned = false;
	return true;
}

/* Under sched.lock: gp is for its host, which is another M. True: the host got our P with it. */
static bool give_to_host(struct m *mp, struct g *gp, bool *must_wake)
{
	struct m *host = gp->locked_m;

	if (!pinned_put(gp))
		return false;
	sched.n_m_waiting_locked--;
	host->next_p = release_p(mp);
	*must_wake = note_post(&host->note); /* under the lock, as in start_m_locked */
	return true;
}

enum placed pinned_place(struct m *mp, struct g *gp)
{
	bool must_wake = false;

	lock_acquire(&sched.lock);
	if (load_rlx(&sched.run_state) == RUN_ENDING) { /* relaxed: under the lock */
		world_put_away(release_p(mp));
		lock_release(&sched.lock);
		return PLACED_RUN_OVER;
	}
	if (gp->locked_m == &pinned_nowhere) {
		gp->locked_m = host_for(mp);
		gp->locked_m->n_pinned++;
	}
	struct m *host = gp->locked_m;
	bool is_ours = host == mp;
	bool has_our_p = !is_ours && give_to_host(mp, gp, &must_wake);
	lock_release(&sched.lock);
	if (must_wake)
		os_futex_wake(&host->note.word, 1);
	if (is_ours)
		return PLACED_HERE;
	return !has_our_p || stop_m(mp) ? PLACED_ELSEWHERE : PLACED_RUN_OVER;
}

/* Under sched.lock. */
static struct g *pinned_pop(struct m *mp)
{
	struct g *gp = mp->pinned_first;

	if (gp && !(mp->pinned_first = gp->link))
		mp->pinned_last = NULL;
	return gp;
}

/* Under sched.lock: PD3. */
static struct g *take_own(struct m *mp)
{
	/* relaxed, all: our own, or under the lock */
	if (!load_rlx(&mp->p) || load_rlx(&sched.stop_wanted) ||
	    load_rlx(&sched.run_state) != RUN_ON)
		return NULL;
	return pinned_pop(mp);
}

struct g *pinned_next(struct m *mp)
{
	struct glist back = {0};

	lock_acquire(&sched.lock);
	struct g *gp = take_own(mp);
	if (gp) {
		lock_release(&sched.lock);
		return gp;
	}
	while ((gp = pinned_pop(mp)))
		glist_push(&back, gp);
	mp->waits_pinned = true;
	sched.n_m_waiting_locked++; /* who hands a G over takes it off, as of a locked one */
	lock_release(&sched.lock);
	if (back.head)
		globq_put_list(&back);
	if (load_rlx(&mp->p)) /* relaxed: our own */
		start_m(release_p(mp), false);
	else
		wake_outside();
	if (!locked_wait_for_p(mp))
		return NULL;
	lock_acquire(&sched.lock);
	gp = pinned_pop(mp);
	lock_release(&sched.lock);
	GORO_ASSERT(gp); /* give_to_host() put it there */
	return gp;
}

bool pinned_wait(struct p *pp)
{
	const struct m *mp = load_acq(&pp->m); /* P-OWNER */

	return mp && mp->pinned_first;
}

bool pinned_end(struct m *mp)
{
	bool was_locked = mp->locked_g != &pinned_mark;

	lock_acquire(&sched.lock);
	bool is_last = --mp->n_pinned == 0;
	if (is_last)
		host_end(mp);
	lock_release(&sched.lock);
	mp->locked_g = is_last ? NULL : &pinned_mark; /* PD1 */
	return was_locked && is_last;
}
