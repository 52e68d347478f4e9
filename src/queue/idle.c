/*
 * idle.c - where idle Ms and Ps wait, and how many Ms spin.
 *
 *   find (nothing to do) -> [idle_put_p], [idle_put_m]      wake -> [idle_get_p], [idle_get_m]
 *
 * ID1, ID2 stand in idle.h.
 *
 * Locking: the caller holds sched.lock. Go: pidleput, pidleget, mput, mget in runtime/proc.go.
 */
#include "queue/idle.h"

struct idle idle;

void idle_put_m(struct m *mp)
{
	mp->idle_link = idle.ms;
	idle.ms = mp;
	idle.n_m++;
}

struct m *idle_get_m(void)
{
	struct m *mp = idle.ms;

	if (mp) {
		idle.ms = mp->idle_link;
		idle.n_m--;
	}
	return mp;
}

void idle_put_p(struct p *pp)
{
	store_rlx(&pp->state, P_IDLE); /* relaxed: under the lock */
	store_rlx(&pp->m, NULL); /* relaxed: under the lock */
	store_rlx(&pp->wake_at, 0); /* relaxed: likewise; OW1 */
	pp->idle_link = idle.ps;
	idle.ps = pp;
	store_rlx(&idle.n_p, load_rlx(&idle.n_p) + 1); /* relaxed: under the lock; wake.c fences */
}

struct p *idle_get_p(void)
{
	struct p *pp = idle.ps;

	if (pp) {
		/*
		 * At once, not when its new M wakes up: world_start() must not take it for
		 * a stopped one.
		 */
		store_rlx(&pp->state, P_RUNNING); /* relaxed: under the lock */
		idle.ps = pp->idle_link;
		store_rlx(&idle.n_p, load_rlx(&idle.n_p) - 1); /* relaxed: as above */
	}
	return pp;
}

struct p *idle_get_this_p(struct p *wanted)
{
	struct p **at = &idle.ps;

	while (*at && *at != wanted)
		at = &(*at)->idle_link;
	if (!*at)
		return NULL;
	*at = wanted->idle_link;
	store_rlx(&wanted->state, P_RUNNING); /* relaxed: under the lock */
	store_rlx(&idle.n_p, load_rlx(&idle.n_p) - 1); /* relaxed: as above */
	return wanted;
}

bool idle_remove_m(struct m *mp)
{
	struct m **at = &idle.ms;

	while (*at && *at != mp)
		at = &(*at)->idle_link;
	if (!*at)
		return false;
	*at = mp->idle_link;
	idle.n_m--;
	return true;
}
