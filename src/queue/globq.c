/*
 * globq.c - the global run queue.
 *
 *   yield, full rings, foreign threads -> [globq_put] -> list -> [globq_get] -> a P's ring
 *   sysmon's events -> [globq_put_urgent] -> urgent -> [globq_get_urgent], globq_get
 *
 * GQ1 to GQ4 stand in globq.h.
 *
 * Locking: globq.lock (rank GLOBQ). Go: globrunqput, globrunqget in runtime/proc.go, under
 * sched.lock there; ours has a lock of its own, since a yield takes it.
 */
#include "queue/globq.h"

#include "core/m.h"

static struct {
	struct lock lock;
	struct glist list, urgent;  /* lock; GQ4 */
	bool had_urgent;            /* lock: what was taken last was urgent */
	atomic_of(uint32_t) size;   /* lock to write */
	uint32_t n_taken;           /* lock: by those that may run any of them; GQ3 */
	/* Lock to write. Whoever schedules looks here, so not beside what every yield writes. */
	atomic_of(uint32_t) n_urgent __attribute__((aligned(CACHE_LINE)));
} globq = {.lock = LOCK_INIT(LOCK_GLOBQ)};

void globq_init(void)
{
	globq.list = globq.urgent = (struct glist){0};
	globq.had_urgent = false;
	store_rlx(&globq.size, 0);     /* relaxed: no other thread yet, like the next */
	store_rlx(&globq.n_urgent, 0); /* relaxed: likewise */
}

static void size_publish(void)
{
	/* relaxed, all: hints; readers who must know take the lock or a fence */
	store_rlx(&globq.size, globq.list.count + globq.urgent.count);
	if (load_rlx(&globq.n_urgent) != globq.urgent.count)
		store_rlx(&globq.n_urgent, globq.urgent.count);
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

void globq_put_urgent(struct glist *list)
{
	lock_acquire(&globq.lock);
	glist_append(&globq.urgent, list);
	size_publish();
	lock_release(&globq.lock);
}

/* Under the lock: GQ4. */
static struct g *pop(void)
{
	globq.had_urgent = globq.urgent.head && !(globq.had_urgent && globq.list.head);
	return glist_pop(globq.had_urgent ? &globq.urgent : &globq.list);
}

/* Under the lock. */
static struct g *take(struct runq *ring, uint32_t share, uint32_t max)
{
	uint32_t n = (globq.list.count + globq.urgent.count) / share + 1;

	if (n > RUNQ_CAP / 2)
		n = RUNQ_CAP / 2;
	if (n > max)
		n = max;
	struct g *first = pop();
	globq.n_taken++;
	for (struct g *gp; --n > 0 && (gp = pop());) {
		g_prefetch(gp);
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

struct g *globq_get_urgent(void)
{
	lock_acquire(&globq.lock);
	struct g *gp = glist_pop(&globq.urgent);
	if (gp) { /* another P may have been first */
		globq.n_taken++;
		globq.had_urgent = true; /* GQ4: the next is one of the others */
	}
	size_publish();
	lock_release(&globq.lock);
	return gp;
}

struct g *globq_rotate(struct g *gp)
{
	lock_acquire(&globq.lock);
	glist_push(&globq.list, gp);
	struct g *first = pop(); /* the size is what it was */
	globq.n_taken++;
	if (unlikely(globq.had_urgent))
		size_publish();
	lock_release(&globq.lock);
	return first;
}

/* Has it an M that sleeps until somebody hands it over? */
static bool is_bound(const struct g *gp)
{
	return gp->is_stopped || gp->lock_depth || (gp->locked_m && gp->locked_m->waits_pinned);
}

/* Under the lock. */
static struct g *take_bound_of(struct glist *list)
{
	struct glist all = {0};
	struct g *found = NULL, *gp;

	while ((gp = glist_pop(list))) {
		if (!found && is_bound(gp))
			found = gp;
		else
			glist_push(&all, gp);
	}
	*list = all;
	return found;
}

struct g *globq_take_bound(void)
{
	lock_acquire(&globq.lock);
	struct g *found = take_bound_of(&globq.list);
	if (!found)
		found = take_bound_of(&globq.urgent);
	size_publish();
	lock_release(&globq.lock);
	return found;
}

/* A pinned G that has never been picked has no host yet. */
static bool is_unbound(const struct g *gp)
{
	return !gp->locked_m || (gp->is_pinned && gp->locked_m->n_pinned == 0);
}

static const struct g *first_unbound_of(const struct glist *list)
{
	const struct g *gp = list->head;

	while (gp && !is_unbound(gp))
		gp = gp->link;
	return gp;
}

struct globq_first globq_first_unbound(void)
{
	lock_acquire(&globq.lock);
	const struct g *gp = first_unbound_of(&globq.list);
	if (!gp)
		gp = first_unbound_of(&globq.urgent);
	struct globq_first first = {gp ? gp->id : 0, globq.n_taken};
	lock_release(&globq.lock);
	return first;
}

bool globq_has_urgent(void)
{
	return load_rlx(&globq.n_urgent) != 0; /* relaxed: a hint, GQ1 */
}

uint32_t globq_size(void)
{
	return load_rlx(&globq.size); /* relaxed: a hint, GQ1 */
}
