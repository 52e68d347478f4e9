/*
 * globq.c - the global run queue.
 *
 *   yield, full rings, foreign threads -> [globq_put] -> list -> [globq_get] -> a P's ring
 *
 * GQ1, GQ2 stand in globq.h.
 *
 * Locking: globq.lock (rank GLOBQ). Go: globrunqput, globrunqget in runtime/proc.go, under
 * sched.lock there; ours has a lock of its own, since a yield takes it.
 */
#include "queue/globq.h"

static struct {
	struct lock lock;
	struct glist list;          /* lock */
	atomic_of(uint32_t) size;   /* lock to write */
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
	lock_release(&globq.lock);
	return first;
}

struct g *globq_take_stopped(void)
{
	struct glist all = {0};
	struct g *found = NULL, *gp;

	lock_acquire(&globq.lock);
	while ((gp = glist_pop(&globq.list))) {
		if (gp->is_stopped && !found)
			found = gp;
		else
			glist_push(&all, gp);
	}
	globq.list = all;
	size_publish();
	lock_release(&globq.lock);
	return found;
}

uint32_t globq_size(void)
{
	return load_rlx(&globq.size); /* relaxed: a hint, GQ1 */
}
