/*
 * gfree.c - where Gs come from and go back to.
 *
 *   spawn -> [gfree_take] <- P's cache <- half a cache from the slabs <- a new slab
 *   exit  -> [gfree_give] -> P's cache -> half a cache to the slabs
 *                         -> empty slabs -> [gfree_scavenge]
 *
 * GF1 to GF3 stand in gfree.h.
 *
 * A slab is SLAB_SIZE bytes at a multiple of it, so that a G's slab is found by masking its
 * address. Fresh Gs are cut in runs of 64 KiB, made present by one system call: the first touch of
 * a page costs a fault.
 *
 * Locking: slabs.lock (rank GFREE); a cache has one owner. Go: gfget, gfput, allgs in
 * runtime/proc.go; there Gs are never given back.
 */
#include "queue/gfree.h"

#include "base/sanitize.h"
#include "core/lock.h"
#include "os/os.h"

#define SLAB_SIZE ((size_t)256 << 10)
#define SLAB_RUN ((size_t)64 << 10)
#define REGION_SLABS 16u
#define PROMISE_STEP 64u
#define PAGE ((size_t)4096)

struct slab {
	struct slab *next_all;        /* set once; slabs are never taken away */
	struct slab *next, *prev;     /* lock: in slabs.partial */
	struct g *free;               /* lock */
	uint32_t n_free, n_cut;       /* lock: in the list; ever cut */
	uint32_t n_promised;          /* lock: Gs with a stack promised, >= n_cut: GF3 */
	bool is_listed, is_discarded; /* lock */
};

#define SLAB_FIRST ((sizeof(struct slab) + 15) & ~(size_t)15)
#define SLAB_GS ((uint32_t)((SLAB_SIZE - SLAB_FIRST) / sizeof(struct g)))

static struct {
	struct lock lock;
	struct slab *all;             /* lock to write */
	struct slab *partial;         /* lock: slabs with free Gs or room to cut */
	char *region, *region_end;    /* lock: slabs to come */
	uint32_t n_empty;             /* lock: slabs with all Gs free, not discarded */
} slabs = {.lock = LOCK_INIT(LOCK_GFREE)};

static struct slab *slab_of(struct g *gp)
{
	return (struct slab *)((uintptr_t)gp & ~(SLAB_SIZE - 1));
}

static struct g *slab_g(struct slab *s, uint32_t i)
{
	return (struct g *)((char *)s + SLAB_FIRST) + i;
}

static bool slab_has_room(const struct slab *s)
{
	return s->free || s->n_cut < SLAB_GS;
}

static void slab_list(struct slab *s)
{
	if (s->is_listed)
		return;
	s->is_listed = true;
	s->prev = NULL;
	s->next = slabs.partial;
	if (s->next)
		s->next->prev = s;
	slabs.partial = s;
}

static void slab_unlist(struct slab *s)
{
	s->is_listed = false;
	if (s->prev)
		s->prev->next = s->next;
	else
		slabs.partial = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

static bool region_reserve(void)
{
	size_t size = (REGION_SLABS + 1) * SLAB_SIZE;
	char *at = os_mem_reserve(size);

	if (!at)
		return false;
	slabs.region = (char *)(((uintptr_t)at + SLAB_SIZE - 1) & ~(SLAB_SIZE - 1));
	slabs.region_end = slabs.region + REGION_SLABS * SLAB_SIZE;
	return true;
}

/* Under the lock: a new slab in slabs.partial. */
static bool slab_add(void)
{
	if (slabs.region == slabs.region_end && !region_reserve())
		return false;
	struct slab *s = (struct slab *)slabs.region;
	slabs.region += SLAB_SIZE;
	sanitize_root(s, SLAB_SIZE); /* arguments, names and deferred calls hang on Gs */
	s->next_all = slabs.all;
	slabs.all = s;
	slab_list(s);
	return true;
}

/*
 * GF3, in steps: a program with few goroutines promises few stacks, so it lives with little
 * address space.
 */
static bool slab_can_cut(struct slab *s)
{
	if (s->n_cut < s->n_promised)
		return true;
	if (s->n_cut == SLAB_GS || stack_pool_grow(PROMISE_STEP) < 0)
		return false;
	s->n_promised += PROMISE_STEP; /* the last step may promise a few that the slab has not */
	return true;
}

/* Cut one fresh G; the pages of its run are made present when it is the first of them. */
static struct g *slab_cut(struct slab *s)
{
	struct g *gp = slab_g(s, s->n_cut++);
	uintptr_t end = (uintptr_t)(gp + 1);
	uintptr_t run = (end - 1) & ~(SLAB_RUN - 1);

	if ((uintptr_t)gp <= run && run > (uintptr_t)s)
		os_mem_populate((void *)run, SLAB_RUN);
	store_rlx(&gp->state, G_DEAD); /* relaxed: not published yet */
	return gp;
}

/* Under the lock. */
static struct g *slabs_take(void)
{
	if (!slabs.partial && !slab_add())
		return NULL;
	struct slab *s = slabs.partial;
	/* Where no further stack is to be had, a used G of any slab will do. */
	while (s && !s->free && !slab_can_cut(s))
		s = s->next;
	if (!s)
		return NULL;
	struct g *gp = s->free;
	if (gp) {
		if (s->n_free == s->n_cut && !s->is_discarded && s->n_cut == SLAB_GS)
			slabs.n_empty--;
		s->free = gp->link;
		s->n_free--;
	} else {
		gp = slab_cut(s);
	}
	s->is_discarded = false;
	if (!slab_has_room(s))
		slab_unlist(s);
	return gp;
}

static void slabs_give(struct g *gp)
{
	struct slab *s = slab_of(gp);

	gp->link = s->free;
	s->free = gp;
	s->n_free++;
	if (s->n_free == s->n_cut && s->n_cut == SLAB_GS)
		slabs.n_empty++;
	slab_list(s);
}

struct g *gfree_take(struct gfree *cache)
{
	if (unlikely(!cache->head)) {
		lock_acquire(&slabs.lock);
		while (cache->count < GFREE_CACHE / 2) {
			struct g *gp = slabs_take();
			if (!gp)
				break;
			gp->link = cache->head;
			cache->head = gp;
			cache->count++;
		}
		lock_release(&slabs.lock);
	}
	struct g *gp = cache->head;
	if (gp) {
		cache->head = gp->link;
		cache->count--;
	}
	return gp;
}

static void spill(struct gfree *cache, uint32_t keep)
{
	lock_acquire(&slabs.lock);
	while (cache->count > keep) {
		struct g *gp = cache->head;
		cache->head = gp->link;
		cache->count--;
		slabs_give(gp);
	}
	lock_release(&slabs.lock);
}

void gfree_give(struct gfree *cache, struct g *gp)
{
	if (unlikely(cache->count == GFREE_CACHE))
		spill(cache, GFREE_CACHE / 2);
	gp->link = cache->head;
	cache->head = gp;
	cache->count++;
}

void gfree_flush(struct gfree *cache)
{
	spill(cache, 0);
}

struct g *gfree_take_global(void)
{
	lock_acquire(&slabs.lock);
	struct g *gp = slabs_take();
	lock_release(&slabs.lock);
	return gp;
}

void gfree_give_global(struct g *gp)
{
	lock_acquire(&slabs.lock);
	slabs_give(gp);
	lock_release(&slabs.lock);
}

/* Under the lock: all its Gs are free; forget them, so that they are cut anew. */
static void slab_discard(struct slab *s)
{
	s->free = NULL;
	s->n_free = s->n_cut = 0;
	s->is_discarded = true;
	os_mem_discard((char *)s + PAGE, SLAB_SIZE - PAGE);
}

uint32_t gfree_scavenge(void)
{
	uint32_t n = 0;

	lock_acquire(&slabs.lock);
	for (struct slab *s = slabs.all; s && slabs.n_empty; s = s->next_all) {
		if (s->n_free == SLAB_GS) {
			slab_discard(s);
			slabs.n_empty--;
			n++;
		}
	}
	lock_release(&slabs.lock);
	return n;
}

bool gfree_has_garbage(void)
{
	lock_acquire(&slabs.lock);
	bool has = slabs.n_empty > 0;
	lock_release(&slabs.lock);
	return has;
}

static void visit_all(void (*visit)(struct g *gp, void *arg), void *arg)
{
	for (struct slab *s = slabs.all; s; s = s->next_all)
		for (uint32_t i = 0; i < s->n_cut; i++)
			if (g_state(slab_g(s, i)) != G_DEAD)
				visit(slab_g(s, i), arg);
}

void gfree_each(void (*visit)(struct g *gp, void *arg), void *arg)
{
	lock_acquire(&slabs.lock);
	visit_all(visit, arg);
	lock_release(&slabs.lock);
}

void gfree_each_within(void (*visit)(struct g *gp, void *arg), void *arg, int64_t ns)
{
	bool is_ours = lock_acquire_within(&slabs.lock, ns);

	visit_all(visit, arg);
	if (is_ours)
		lock_release(&slabs.lock);
}

void gfree_reset(void)
{
	lock_acquire(&slabs.lock);
	for (struct slab *s = slabs.all; s; s = s->next_all) {
		slab_discard(s);
		slab_list(s);
	}
	slabs.n_empty = 0;
	lock_release(&slabs.lock);
}
