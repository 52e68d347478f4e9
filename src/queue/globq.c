/*
 * globq.c - the global run queue.
 *
 *   yield, full rings, foreign threads -> [globq_put] -> list -> [globq_get] -> a P's ring
 *
 * GQ1 to GQ3 stand in globq.h.
 *
 * Locking: globq.lock (rank GLOBQ). Go: globrunqput, globrunqget in runtime/proc.go, under
 * sched.lock there; ours has a lock of its own, since a yield takes it.
 */
#include "queue/globq.h"

#include "core/m.h"

static struct {
	struct lock lock;
	struct glist list;          /* lock */
	atomic_of(uint32_t) size;   /* lock to write */
	uint32_t n_taken;           /* lock: by those that may run any of them; GQ3 */
} globq = {.lock = LOCK_INIT(LOCK_GLOBQ)};

void globq_init(void)
{
	globq.list = (struct glist){0};
	store_rlx(&globq.size, 0); /* relaxed: no other thread yet */
}

static void size_publish(void)
{
	/* relaxed: a hint; readers who must know take the lock or a fence */
	store_rlx(&globq.size, globq.list.count);
}

void globq_put(struct g *gp)
{
	lock_acquire(&globq.lock);
	glist_push(&globq.list, gp);
	size_publish();
	lock_release(&globq.lock);
}

void globq_put_list(struct glist *list)
{
	lock_acquire(&globq.lock);
	glist_append(&globq.list, list);
	size_publish();
	lock_release(&globq.lock);
}

/* Under the lock. */
static struct g *take(struct runq *ring, uint32_t share, uint32_t max)
{
	uint32_t n = globq.list.count / share + 1;

	if (n > RUNQ_CAP / 2)
		n = RUNQ_CAP / 2;
	if (n > max)
		n = max;
	struct g *first = glist_pop(&globq.list);
	globq.n_taken++;
	for (struct g *gp; --n > 0 && (gp = glist_pop(&globq.list));) {
		bool has_room = runq_put(ring, gp);
		GORO_CHECK(has_room); /* the caller's ring is empty when max > 1 */
	}
	size_publish();
	return first;
}

struct g *globq_get(struct runq *ring, uint32_t share, uint32_t max)
{
	if (globq_size() == 0)
		return NULL;
	lock_acquire(&globq.lock);
	struct g *gp = take(ring, share, max);
	lock_release(&globq.lock);
	return gp;
}

struct g *globq_rotate(struct g *gp)
{
	lock_acquire(&globq.lock);
	glist_push(&globq.list, gp);
	struct g *first = glist_pop(&globq.list); /* the size is what it was */
	globq.n_taken++;
	lock_release(&globq.lock);
	return first;
}

/* Has it an M that sleeps until somebody hands it over? */
static bool is_bound(const struct g *gp)
{
	return gp->is_stopped || gp->lock_depth || (gp->locked_m && gp->locked_m->waits_pinned);
}

struct g *globq_take_bound(void)
{
	struct glist all = {0};
	struct g *found = NULL, *gp;

	lock_acquire(&globq.lock);
	while ((gp = glist_pop(&globq.list))) {
		if (!found && is_bound(gp))
			found = gp;
		else
			glist_push(&all, gp);
	}
	globq.list = all;
	size_publish();
	lock_release(&globq.lock);
	return found;
}

/* A pinned G that has never been picked has no host yet. */
static bool is_unbound(const struct g *gp)
{
	return !gp->locked_m || (gp->is_pinned && gp->locked_m->n_pinned == 0);
}

struct globq_first globq_first_unbound(void)
{
	lock_acquire(&globq.lock);
	const struct g *gp = globq.list.head;
	while (gp && !is_unbound(gp))
		gp = gp->link;
	struct globq_first first = {gp ? gp->id : 0, globq.n_taken};
	lock_release(&globq.lock);
	return first;
}

uint32_t globq_size(void)
{
	return load_rlx(&globq.size); /* relaxed: a hint, GQ1 */
}
