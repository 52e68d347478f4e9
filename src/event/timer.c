/*
 * timer.c - per-P heaps of timers.
 *
 *   sleep, deadlines -> [timer_start] -> heap -> [timers_expire] -> glist -> schedule loop
 *   goro_timer          [timer_stop]  ->         (of the owner, or of a thief)
 *
 * TM1 to TM6 stand in timer.h.
 *
 * The heap holds the times beside the pointers, so that sifting touches no timer but those that
 * move. We do not mark stopped timers and sweep them later (Go): a stopped timer leaves at once,
 * since its record usually lies on the stack of whoever stopped it.
 *
 * A heap that is 16 MiB large is not copied to grow or to shrink: the kernel moves its pages
 * (os_mem_resize), so that nobody who wants the lock waits for milliseconds.
 *
 * Locking: one lock a heap (rank TIMERS). Go: runtime/time.go.
 */
#include "event/timer.h"

#include <string.h>

#include "base/fatal.h"
#include "base/sanitize.h"
#include "os/os.h"

#define ARITY 4u
#define CAPACITY_MIN 64u
#define CAPACITY_KEPT 4096u /* so much is not given back before the end of the run */

void timers_init(struct timers *ts)
{
	sanitize_hide(true);
	memset(ts, 0, sizeof(*ts));
	sanitize_hide(false);
	lock_init(&ts->lock, LOCK_TIMERS);
	store_rlx(&ts->first_when, TIMER_NEVER); /* relaxed: not published yet */
}

void timers_open(struct timers *ts)
{
	lock_acquire(&ts->lock);
	ts->is_closed = false;
	GORO_ASSERT(ts->count == 0 && !ts->entry); /* TM6 */
	lock_release(&ts->lock);
}

static void heap_set(struct timers *ts, uint32_t i, struct timer_entry e)
{
	ts->entry[i] = e;
	e.timer->index = i;
}

static void sift_up(struct timers *ts, uint32_t i, struct timer_entry e)
{
	while (i > 0) {
		uint32_t parent = (i - 1) / ARITY;
		if (ts->entry[parent].when <= e.when)
			break;
		heap_set(ts, i, ts->entry[parent]);
		i = parent;
	}
	heap_set(ts, i, e);
}

static void sift_down(struct timers *ts, uint32_t i, struct timer_entry e)
{
	for (;;) {
		uint32_t first = i * ARITY + 1, best = first;
		if (first >= ts->count)
			break;
		for (uint32_t c = first + 1; c < first + ARITY && c < ts->count; c++)
			if (ts->entry[c].when < ts->entry[best].when)
				best = c;
		if (ts->entry[best].when >= e.when)
			break;
		heap_set(ts, i, ts->entry[best]);
		i = best;
	}
	heap_set(ts, i, e);
}

static void first_publish(struct timers *ts)
{
	/* relaxed: a hint; whoever must know stands behind a fence (wake.c) */
	store_rlx(&ts->first_when, ts->count ? ts->entry[0].when : TIMER_NEVER);
}

static void heap_grow(struct timers *ts)
{
	uint32_t capacity = ts->capacity ? 2 * ts->capacity : CAPACITY_MIN;
	size_t size = capacity * sizeof(struct timer_entry);
	size_t old_size = ts->capacity * sizeof(struct timer_entry);
	struct timer_entry *bigger =
		ts->entry ? os_mem_resize(ts->entry, old_size, size) : os_mem_reserve(size);

	if (!bigger)
		fatal("out of memory: no room for %u timers (%zu bytes)", capacity, size);
	ts->entry = bigger;
	ts->capacity = capacity;
}

/* Half of it, when a quarter would do. */
static void heap_shrink(struct timers *ts)
{
	size_t size = ts->capacity * sizeof(struct timer_entry);
	struct timer_entry *smaller = os_mem_resize(ts->entry, size, size / 2);

	if (!smaller)
		return; /* it stays as it is */
	ts->entry = smaller;
	ts->capacity /= 2;
}

/* Under the lock. */
static void insert(struct timers *ts, struct timer *t)
{
	if (ts->count == ts->capacity)
		heap_grow(ts);
	sift_up(ts, ts->count++, (struct timer_entry){t->when, t});
	store_rel(&t->home, ts); /* TM-HOME */
}

/* Under the lock. The timer's home is left to the caller. */
static void delete_at(struct timers *ts, uint32_t i)
{
	struct timer_entry last = ts->entry[--ts->count];

	if (i < ts->count) {
		if (i > 0 && last.when < ts->entry[(i - 1) / ARITY].when)
			sift_up(ts, i, last);
		else
			sift_down(ts, i, last);
	}
	if (unlikely(ts->capacity > CAPACITY_KEPT && ts->count < ts->capacity / 4))
		heap_shrink(ts);
}

bool timer_start_if_open(struct timers *ts, struct timer *t, bool *is_first)
{
	GORO_ASSERT(load_rlx(&t->home) == NULL); /* TM2; relaxed: nobody else has it yet */
	lock_acquire(&ts->lock);
	bool is_open = !ts->is_closed;
	if (likely(is_open)) {
		insert(ts, t);
		*is_first = t->index == 0;
		first_publish(ts);
		GORO_AUDIT(timers_audit(ts));
	}
	lock_release(&ts->lock);
	return is_open;
}

bool timer_start(struct timers *ts, struct timer *t)
{
	bool is_first = false;
	bool is_open = timer_start_if_open(ts, t, &is_first);

	GORO_ASSERT(is_open); /* TM6: its P's owner is there */
	(void)is_open;
	return is_first;
}

/* The heap that t is in, locked; NULL: none, and *was tells. */
static struct timers *home_lock(struct timer *t, enum timer_was *was)
{
	for (;;) {
		struct timers *ts = load_acq(&t->home); /* TM-HOME */
		if (!ts) { /* fired, and fire() is over: TM3 */
			*was = TIMER_OUT;
			return NULL;
		}
		if (ts == TIMERS_FIRING) {
			store_rlx(&t->home, NULL); /* relaxed: under the owner's lock, TM5 */
			*was = TIMER_DUE;
			return NULL;
		}
		lock_acquire(&ts->lock);
		if (load_rlx(&t->home) == ts || /* relaxed: under the lock */
		    !MODEL_KEEP("timer-home-recheck"))
			return ts;
		lock_release(&ts->lock);
	}
}

enum timer_was timer_stop(struct timer *t)
{
	enum timer_was was;
	struct timers *ts = home_lock(t, &was);

	if (!ts)
		return was;
	delete_at(ts, t->index);
	first_publish(ts);
	store_rel(&t->home, NULL); /* TM-HOME */
	lock_release(&ts->lock);
	return TIMER_IN_HEAP;
}

enum timer_was timer_reset(struct timer *t, int64_t when, bool *is_first)
{
	enum timer_was was;
	struct timers *ts = home_lock(t, &was);

	if (!ts)
		return was;
	struct timer_entry e = {when, t};
	if (when < t->when)
		sift_up(ts, t->index, e);
	else
		sift_down(ts, t->index, e);
	t->when = when;
	*is_first = t->index == 0;
	first_publish(ts);
	GORO_AUDIT(timers_audit(ts));
	lock_release(&ts->lock);
	return TIMER_IN_HEAP;
}

bool timer_claim(struct timer *t)
{
	struct timers *home = load_acq(&t->home); /* TM-HOME: a later fire's, perhaps: TM5 */

	if (home != TIMERS_FIRING && MODEL_KEEP("timer-claim"))
		return false;
	store_rlx(&t->home, NULL); /* relaxed: under the owner's lock, TM5 */
	return true;
}

/* TM5. t is out of the heap; releases its lock for the call. */
static void fire_late(struct timers *ts, struct timer *t, struct glist *ready)
{
	void (*fire)(struct timer *, struct glist *) = t->fire;

	store_rel(&t->home, TIMERS_FIRING); /* TM-HOME */
	first_publish(ts);
	lock_release(&ts->lock);
	fire(t, ready);
	lock_acquire(&ts->lock);
}

static void expire_until(struct timers *ts, int64_t now, struct glist *ready, uint32_t n_enough)
{
	lock_acquire(&ts->lock);
	while (ts->count && ts->entry[0].when <= now && ready->count < n_enough) {
		struct timer *t = ts->entry[0].timer;
		delete_at(ts, 0);
		if (t->is_late) {
			fire_late(ts, t, ready);
			continue;
		}
		t->fire(t, ready);
		/*
		 * Last, so that a stopper waits for the lock: the G it made ready runs only
		 * after we return.
		 */
		store_rel(&t->home, NULL); /* TM-HOME */
	}
	first_publish(ts);
	lock_release(&ts->lock);
}

void timers_expire(struct timers *ts, int64_t now, struct glist *ready)
{
	expire_until(ts, now, ready, UINT32_MAX);
}

void timers_expire_first(struct timers *ts, int64_t now, struct glist *ready)
{
	expire_until(ts, now, ready, ready->count + 1);
}

void timers_move(struct timers *from, struct timers *to)
{
	/* The world is stopped: nobody else holds two heaps' locks. */
	lock_acquire(&from->lock);
	lock_acquire(&to->lock);
	for (uint32_t i = 0; i < from->count; i++)
		insert(to, from->entry[i].timer);
	from->count = 0;
	first_publish(from);
	first_publish(to);
	lock_release(&to->lock);
	lock_release(&from->lock);
}

void timers_close(struct timers *ts)
{
	lock_acquire(&ts->lock);
	ts->is_closed = true; /* TM6 */
	while (ts->count) {
		struct timer *t = ts->entry[--ts->count].timer;
		if (t->is_late)
			fire_late(ts, t, NULL);
		else
			store_rel(&t->home, NULL); /* TM-HOME */
	}
	if (ts->entry)
		os_mem_release(ts->entry, ts->capacity * sizeof(*ts->entry));
	ts->entry = NULL;
	ts->capacity = 0;
	first_publish(ts);
	lock_release(&ts->lock);
}

void timers_audit(struct timers *ts)
{
	for (uint32_t i = 0; i < ts->count && i < 256; i++) {
		GORO_CHECK(ts->entry[i].timer->index == i); /* TM1 */
		GORO_CHECK(i == 0 || /* TM1 */
			   ts->entry[(i - 1) / ARITY].when <= ts->entry[i].when);
	}
}
