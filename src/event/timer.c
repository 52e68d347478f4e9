/*
 * timer.c - per-P heaps of timers.
 *
 *   sleep, deadlines -> [timer_start] -> heap -> [timers_expire] -> glist -> schedule loop
 *                       [timer_stop]  ->         (of the owner, or of a thief)
 *
 * TM1 to TM4 stand in timer.h.
 *
 * The heap holds the times beside the pointers, so that sifting touches no timer but those that
 * move. We do not mark stopped timers and sweep them later (Go): a stopped timer leaves at once,
 * since its record usually lies on the stack of whoever stopped it.
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

void timers_init(struct timers *ts)
{
	sanitize_hide(true);
	memset(ts, 0, sizeof(*ts));
	sanitize_hide(false);
	lock_init(&ts->lock, LOCK_TIMERS);
	store_rlx(&ts->first_when, TIMER_NEVER); /* relaxed: not published yet */
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
	struct timer_entry *bigger = os_mem_reserve(size);

	if (!bigger)
		fatal("out of memory: no room for %u timers (%zu bytes)", capacity, size);
	if (ts->entry) {
		sanitize_hide(true);
		memcpy(bigger, ts->entry, ts->count * sizeof(*bigger));
		sanitize_hide(false);
		os_mem_release(ts->entry, ts->capacity * sizeof(*bigger));
	}
	ts->entry = bigger;
	ts->capacity = capacity;
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

	if (i == ts->count)
		return;
	if (i > 0 && last.when < ts->entry[(i - 1) / ARITY].when)
		sift_up(ts, i, last);
	else
		sift_down(ts, i, last);
}

bool timer_start(struct timers *ts, struct timer *t)
{
	GORO_ASSERT(load_rlx(&t->home) == NULL); /* TM2; relaxed: nobody else has it yet */
	lock_acquire(&ts->lock);
	insert(ts, t);
	bool is_first = t->index == 0;
	first_publish(ts);
	GORO_AUDIT(timers_audit(ts));
	lock_release(&ts->lock);
	return is_first;
}

bool timer_stop(struct timer *t)
{
	for (;;) {
		struct timers *ts = load_acq(&t->home); /* TM-HOME */
		if (!ts)
			return false; /* fired, and fire() is over: TM3 */
		lock_acquire(&ts->lock);
		bool is_here = load_rlx(&t->home) == ts || /* relaxed: under the lock */
			       !MODEL_KEEP("timer-home-recheck");
		if (is_here) {
			delete_at(ts, t->index);
			first_publish(ts);
			store_rel(&t->home, NULL); /* TM-HOME */
		}
		lock_release(&ts->lock);
		if (is_here)
			return true;
	}
}

void timers_expire(struct timers *ts, int64_t now, struct glist *ready)
{
	lock_acquire(&ts->lock);
	while (ts->count && ts->entry[0].when <= now) {
		struct timer *t = ts->entry[0].timer;
		delete_at(ts, 0);
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

void timers_free(struct timers *ts)
{
	if (ts->entry)
		os_mem_release(ts->entry, ts->capacity * sizeof(*ts->entry));
	timers_init(ts);
}

void timers_audit(struct timers *ts)
{
	for (uint32_t i = 0; i < ts->count && i < 256; i++) {
		GORO_CHECK(ts->entry[i].timer->index == i); /* TM1 */
		GORO_CHECK(i == 0 || /* TM1 */
			   ts->entry[(i - 1) / ARITY].when <= ts->entry[i].when);
	}
}
