/*
 * timer.c - heaps of timers, with times that nobody waits for; src/event/timer.c.
 *
 * The reference is an array of what should be in each heap. Two threads that stop and fire at once
 * are in tests/model, in all orders; here is one with real threads.
 */
#include "tap.h"

#include <pthread.h>

#include "event/timer.h"
#include "goro.h"
#include "os/os.h"
#include "sched/sched.h"

enum { TIMERS = 1000, HEAPS = 3 };

struct item {
	struct timer timer;
	struct g g;
	struct timers *in; /* where it should be, or NULL */
	int n_fired;
};

static struct timers heaps[HEAPS];
static struct item items[TIMERS];

static struct item *item_of(struct g *gp)
{
	return container_of(gp, struct item, g);
}

/* TM3: under the heap's lock. */
static void fire(struct timer *t, struct glist *ready)
{
	struct item *item = container_of(t, struct item, timer);

	expect_eq(load_rlx(&item->in->lock.word), 1); /* relaxed: one thread */
	expect(t->arg == item);
	item->n_fired++;
	item->in = NULL;
	glist_push(ready, &item->g);
}

static void begin(void)
{
	for (int i = 0; i < HEAPS; i++)
		timers_init(&heaps[i]);
	for (int i = 0; i < TIMERS; i++)
		items[i].timer = (struct timer){.fire = fire, .arg = &items[i]};
}

/* The earliest time that the reference has, and how many. */
static int64_t reference_first(const struct timers *ts, uint32_t *count)
{
	int64_t first = TIMER_NEVER;

	*count = 0;
	for (int i = 0; i < TIMERS; i++) {
		if (items[i].in != ts)
			continue;
		++*count;
		first = items[i].timer.when < first ? items[i].timer.when : first;
	}
	return first;
}

static void expect_heap(struct timers *ts)
{
	uint32_t count;
	int64_t first = reference_first(ts, &count);

	expect_eq(ts->count, count);
	expect_eq(timers_first(ts), first); /* TM4 */
	for (uint32_t i = 0; i < ts->count; i++) {
		const struct timer_entry *e = &ts->entry[i];
		require_eq(e->timer->index, i); /* TM1 */
		require_eq(e->when, e->timer->when);
		require(i == 0 || ts->entry[(i - 1) / 4].when <= e->when); /* TM1 */
		require(load_rlx(&e->timer->home) == ts); /* TM2; relaxed: one thread */
	}
	timers_audit(ts);
}

static void start(struct timers *ts, struct item *item, int64_t when)
{
	int64_t first = timers_first(ts);

	item->timer.when = when;
	item->in = ts;
	expect_eq(timer_start(ts, &item->timer), when < first);
}

static void stop(struct item *item)
{
	bool was_in = item->in != NULL;

	item->in = NULL;
	expect_eq(timer_stop(&item->timer), was_in);
	expect(load_rlx(&item->timer.home) == NULL); /* TM2; relaxed: one thread */
}

/* Those that are due come out in the order of their times, and no other. */
static void expire(struct timers *ts, int64_t now)
{
	struct glist ready = {0};
	int64_t last = INT64_MIN;
	uint32_t n_due = 0;

	for (int i = 0; i < TIMERS; i++)
		n_due += items[i].in == ts && items[i].timer.when <= now;
	timers_expire(ts, now, &ready);
	require_eq(ready.count, n_due);
	for (struct g *gp; (gp = glist_pop(&ready)) != NULL;) {
		require_ge(item_of(gp)->timer.when, last);
		require_le(item_of(gp)->timer.when, now);
		last = item_of(gp)->timer.when;
	}
}

TAP_CASE(empty_heap_has_no_first_and_nothing_to_fire, .procs = "-")
{
	begin();
	expect_eq(timers_first(&heaps[0]), TIMER_NEVER);
	expire(&heaps[0], INT64_MAX);
	timers_move(&heaps[0], &heaps[1]);
	expect_heap(&heaps[0]);
	expect_heap(&heaps[1]);
	timers_close(&heaps[0]);
}

TAP_CASE(timer_fires_at_its_time_and_not_before, .procs = "-")
{
	begin();
	start(&heaps[0], &items[0], 1000);
	expire(&heaps[0], 999);
	expect_eq(items[0].n_fired, 0);
	expire(&heaps[0], 1000);
	expect_eq(items[0].n_fired, 1);
	expire(&heaps[0], 5000);
	expect_eq(items[0].n_fired, 1); /* once */
	expect_eq(timers_first(&heaps[0]), TIMER_NEVER);
}

TAP_CASE(timer_that_fired_or_was_stopped_can_be_used_again, .procs = "-")
{
	begin();
	stop(&items[0]); /* one that was never started: no */
	for (int i = 1; i <= 5; i++) {
		start(&heaps[i % HEAPS], &items[0], i);
		if (i % 2 == 0)
			stop(&items[0]);
		else
			expire(&heaps[i % HEAPS], i);
		stop(&items[0]);
	}
	expect_eq(items[0].n_fired, 3);
}

TAP_CASE(tm1_equal_and_extreme_times_are_in_order, .procs = "-")
{
	static const int64_t times[] = {5, 5, INT64_MAX - 1, 0, -7, 5, INT64_MIN, 0, 5, 1};

	begin();
	for (int i = 0; i < 10; i++) {
		start(&heaps[0], &items[i], times[i]);
		expect_heap(&heaps[0]);
	}
	expire(&heaps[0], 0);
	expire(&heaps[0], 5);
	expect_eq(heaps[0].count, 1);
	expire(&heaps[0], INT64_MAX - 1);
	expect_eq(heaps[0].count, 0);
}

/* For heaps of every small size: each position once, from a heap made anew. */
TAP_CASE(tm1_stop_at_every_position_keeps_the_order, .procs = "-")
{
	uint64_t state = tap_seed();

	for (uint32_t n = 1; n <= 40; n++) {
		for (uint32_t position = 0; position < n; position++) {
			begin();
			for (uint32_t i = 0; i < n; i++)
				start(&heaps[0], &items[i], (int64_t)(tap_random(&state) % 64));
			struct timer *t = heaps[0].entry[position].timer;
			stop(container_of(t, struct item, timer));
			expect_heap(&heaps[0]);
			expire(&heaps[0], 64);
			timers_close(&heaps[0]);
		}
	}
}

/* A deletion under one parent, while the last entry lies under a smaller one: it goes up. */
TAP_CASE(tm1_last_entry_may_have_to_rise, .procs = "-")
{
	/* Root 0; children 100, 1, 2, 3; under 100: 110, 120, 130, 140; under 1: 10. */
	static const int64_t times[] = {0, 100, 1, 2, 3, 110, 120, 130, 140, 10};

	begin();
	for (int i = 0; i < 10; i++)
		start(&heaps[0], &items[i], times[i]);
	for (uint32_t i = 0; i < 10; i++)
		require_eq(heaps[0].entry[i].when, times[i]);
	stop(&items[6]); /* 10 takes the place of 120 and is less than its parent, 100 */
	expect_heap(&heaps[0]);
	expect_eq(heaps[0].entry[1].when, 10);
}

TAP_CASE(tm1_tm2_tm4_random_operations_agree_with_the_reference, .procs = "-", .timeout_s = 60)
{
	uint64_t state = tap_seed();
	int64_t now = 0;

	begin();
	for (int step = 0; step < 20000 / TAP_SLOWER; step++) {
		struct item *item = &items[tap_random(&state) % TIMERS];
		struct timers *ts = &heaps[tap_random(&state) % HEAPS];
		switch (tap_random(&state) % 8) {
		case 0:
			now += (int64_t)(tap_random(&state) % 100);
			expire(ts, now);
			break;
		case 1:
			if (tap_random(&state) % 50 == 0) {
				struct timers *to = &heaps[tap_random(&state) % HEAPS];
				if (to == ts)
					break;
				for (int i = 0; i < TIMERS; i++)
					items[i].in = items[i].in == ts ? to : items[i].in;
				timers_move(ts, to);
			}
			break;
		case 2:
			stop(item);
			break;
		default:
			if (item->in == NULL)
				start(ts, item, now + (int64_t)(tap_random(&state) % 5000));
		}
		if (step % 16 == 0)
			for (int i = 0; i < HEAPS; i++)
				expect_heap(&heaps[i]);
	}
}

TAP_CASE(move_takes_all_and_leaves_the_heap_usable, .procs = "-")
{
	begin();
	for (int i = 0; i < 200; i++)
		start(&heaps[i % 2], &items[i], 1000 - i);
	timers_move(&heaps[0], &heaps[1]);
	for (int i = 0; i < 200; i++)
		items[i].in = &heaps[1];
	expect_heap(&heaps[0]);
	expect_heap(&heaps[1]);
	stop(&items[4]); /* finds its new home */
	start(&heaps[0], &items[200], 3);
	expire(&heaps[1], 2000);
	expire(&heaps[0], 3);
	timers_close(&heaps[0]);
	timers_open(&heaps[0]);
	start(&heaps[0], &items[0], 5); /* as new */
	expect_heap(&heaps[0]);
}

/* ---- late timers ---- */

static struct timers *late_heap;  /* whose lock must be free while a late timer fires */
static bool does_claim;		  /* or somebody is to take it before */
static bool may_be_ready = true;  /* or the heap is being closed */
static enum timer_was late_stop;

static void fire_late_item(struct timer *t, struct glist *ready)
{
	struct item *item = container_of(t, struct item, timer);

	expect_eq(load_rlx(&late_heap->lock.word), 0); /* TM5; relaxed: one thread */
	expect(load_rlx(&t->home) == TIMERS_FIRING);   /* TM5; relaxed: one thread */
	expect_eq(ready != NULL, may_be_ready);
	item->in = NULL;
	if (!does_claim)
		late_stop = timer_stop(t);
	if (!timer_claim(t))
		return;
	item->n_fired++;
	if (ready)
		glist_push(ready, &item->g);
}

static void begin_late(void)
{
	begin();
	late_heap = &heaps[0];
	does_claim = may_be_ready = true;
	for (int i = 0; i < TIMERS; i++) {
		items[i].timer.fire = fire_late_item;
		items[i].timer.is_late = true;
	}
}

TAP_CASE(tm5_late_timer_fires_once_without_a_lock, .procs = "-")
{
	begin_late();
	for (int i = 0; i < 100; i++)
		start(&heaps[0], &items[i], 100 - i);
	expire(&heaps[0], 60);
	for (int i = 0; i < 100; i++) {
		expect_eq(items[i].n_fired, i >= 40);
		expect_eq(timer_stop(&items[i].timer), i >= 40 ? TIMER_OUT : TIMER_IN_HEAP);
		expect(!timer_claim(&items[i].timer));
	}
}

TAP_CASE(tm5_who_takes_a_timer_on_its_way_keeps_it_from_firing, .procs = "-")
{
	struct glist ready = {0};

	begin_late();
	does_claim = false;
	start(&heaps[0], &items[0], 1);
	timers_expire(&heaps[0], 1, &ready);
	expect_eq(late_stop, TIMER_DUE);
	expect_eq(items[0].n_fired, 0);
	expect_eq(ready.count, 0);
	expect_eq(timer_stop(&items[0].timer), TIMER_OUT);
	does_claim = true;
	start(&heaps[0], &items[0], 2); /* as new */
	expire(&heaps[0], 2);
	expect_eq(items[0].n_fired, 1);
}

static void fire_again(struct timer *t, struct glist *ready)
{
	struct item *item = container_of(t, struct item, timer);

	(void)ready;
	expect(timer_claim(t));
	if (++item->n_fired < 5) {
		t->when += 10;
		timer_start(late_heap, t);
	}
}

TAP_CASE(tm5_late_timer_may_start_again_while_it_fires, .procs = "-")
{
	struct glist ready = {0};

	begin_late();
	items[0].timer.fire = fire_again;
	items[0].timer.when = 10;
	timer_start(&heaps[0], &items[0].timer);
	timers_expire(&heaps[0], 29, &ready);
	expect_eq(items[0].n_fired, 2);
	expect_eq(timers_first(&heaps[0]), 30); /* TM4 */
	timers_expire(&heaps[0], 1000, &ready);
	expect_eq(items[0].n_fired, 5);
	expect_eq(heaps[0].count, 0);
}

TAP_CASE(tm6_closed_heap_lets_all_go_and_takes_none, .procs = "-")
{
	bool is_first = true;

	begin_late();
	for (int i = 0; i < 50; i++)
		items[i].timer.fire = fire, items[i].timer.is_late = false;
	for (int i = 0; i < 200; i++)
		start(&heaps[0], &items[i], 1000 - i);
	may_be_ready = false;
	timers_close(&heaps[0]);
	expect(heaps[0].entry == NULL);
	expect_eq(timers_first(&heaps[0]), TIMER_NEVER);
	for (int i = 0; i < 200; i++) {
		expect_eq(items[i].n_fired, i >= 50); /* those that are late heard of it */
		expect_eq(timer_stop(&items[i].timer), TIMER_OUT);
	}
	expect(!timer_start_if_open(&heaps[0], &items[0].timer, &is_first)); /* TM6 */
	expect(load_rlx(&items[0].timer.home) == NULL); /* TM2; relaxed: one thread */
	expect(timer_start_if_open(&heaps[1], &items[0].timer, &is_first));
	expect(is_first);
}

/* ---- another time ---- */

TAP_CASE(tm1_tm4_reset_moves_a_timer_in_its_heap, .procs = "-")
{
	uint64_t state = tap_seed();

	begin();
	for (int i = 0; i < TIMERS; i++)
		start(&heaps[i % HEAPS], &items[i], (int64_t)(tap_random(&state) % 5000));
	for (int step = 0; step < 5000 / TAP_SLOWER; step++) {
		struct item *item = &items[tap_random(&state) % TIMERS];
		int64_t when = (int64_t)(tap_random(&state) % 5000);
		bool is_first = false;
		enum timer_was was = timer_reset(&item->timer, when, &is_first);
		expect_eq(was, item->in ? TIMER_IN_HEAP : TIMER_OUT);
		if (item->in) {
			expect_eq(item->timer.when, when);
			expect_eq(is_first, item->timer.index == 0);
		}
		if (step % 50 == 0)
			stop(&items[tap_random(&state) % TIMERS]);
		if (step % 16 == 0)
			for (int i = 0; i < HEAPS; i++)
				expect_heap(&heaps[i]);
	}
	for (int i = 0; i < HEAPS; i++)
		expire(&heaps[i], 5000);
}

/* ---- memory ---- */

TAP_CASE(heap_gives_memory_back_when_timers_leave, .procs = "-")
{
	enum { MANY = 100000 };
	struct timer *many = calloc(MANY, sizeof(*many));

	require(many != NULL);
	timers_init(&heaps[0]);
	for (int i = 0; i < MANY; i++) {
		many[i] = (struct timer){.fire = fire, .when = i};
		timer_start(&heaps[0], &many[i]);
	}
	expect_ge(heaps[0].capacity, MANY);
	for (int i = 0; i < MANY; i++) {
		expect_eq(timer_stop(&many[i * 7919LL % MANY]), TIMER_IN_HEAP);
		require(heaps[0].capacity <= 4096 || heaps[0].count * 4 >= heaps[0].capacity);
		if (i % 10000 == 0)
			timers_audit(&heaps[0]);
	}
	expect_le(heaps[0].capacity, 4096);
	timers_close(&heaps[0]);
	free(many);
}

/* ---- TM3 with two threads ---- */

static atomic_of(uint32_t) is_firing, is_stopping, has_fired;

static void fire_slowly(struct timer *t, struct glist *ready)
{
	(void)t, (void)ready;
	store_rel(&is_firing, 1);	/* the test's own */
	while (!load_acq(&is_stopping)) /* the test's own */
		cpu_relax();
	tap_pause(20000000);	  /* time for the stopper to come back too early */
	store_rel(&has_fired, 1); /* the test's own */
}

static void *expire_in_thread(void *arg)
{
	struct glist ready = {0};

	timers_expire(arg, 10, &ready);
	return NULL;
}

TAP_CASE(tm3_stop_returns_after_a_fire_under_way, .procs = "-")
{
	pthread_t thread;

	begin();
	items[0].timer.fire = fire_slowly;
	start(&heaps[0], &items[0], 10);
	require_eq(pthread_create(&thread, NULL, expire_in_thread, &heaps[0]), 0);
	while (!load_acq(&is_firing)) /* the test's own */
		os_thread_yield();
	store_rel(&is_stopping, 1); /* the test's own */
	expect(!timer_stop(&items[0].timer));
	expect_eq(load_acq(&has_fired), 1); /* the test's own */
	pthread_join(thread, NULL);
}

/* ---- from run to run ---- */

static struct timers *first_heap;
static atomic_of(uint32_t) is_run_over;

static int notes_its_heap(void *unused)
{
	(void)unused;
	first_heap = &sched.p[0]->timers;
	return 0;
}

static void *runs_again(void *unused)
{
	expect_eq(goro_run(notes_its_heap, NULL), 0);
	store_rel(&is_run_over, 1);
	return unused;
}

/* A plain thread that stops a timer of the run before may have the lock: TM6. */
TAP_CASE(the_next_run_waits_for_the_lock_of_a_heap, .procs = "1,2")
{
	pthread_t thread;

	expect_eq(goro_run(notes_its_heap, NULL), 0);
	struct lock *l = &first_heap->lock;
	atomic_of(uint32_t) *sleepers = &lock_sleepers[lock_slot(l)];
	lock_acquire(l);
	require_eq(pthread_create(&thread, NULL, runs_again, NULL), 0);
	while (load_acq(sleepers) == 0 && !load_acq(&is_run_over))
		tap_pause(100000);
	expect_eq(load_acq(&is_run_over), 0);
	expect_eq(load_rlx(&l->word), 1); /* relaxed: ours */
	lock_release(l);
	pthread_join(thread, NULL);
	expect_eq(load_acq(&is_run_over), 1);
	expect(l == &first_heap->lock);
}

#ifdef GORO_DEBUG
TAP_CHILD(start_twice)
{
	begin();
	timer_start(&heaps[0], &items[0].timer);
	timer_start(&heaps[1], &items[0].timer);
}

TAP_CASE(tm2_timer_that_is_started_twice_ends_the_process, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "start_twice");
	expect_child(&c, 2, "internal check failed");
}

TAP_CHILD(start_without_memory)
{
	begin();
	os_fault_init();
	for (int i = 0; i < TIMERS; i++)
		start(&heaps[0], &items[i], i);
}

TAP_CASE(no_memory_for_a_heap_is_a_fatal_error, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "start_without_memory", "GORO_FAULT=mmap:1");
	expect_child(&c, 2, "fatal error: out of memory: no room for 64 timers");
	tap_child(&c, "start_without_memory", "GORO_FAULT=mmap:2");
	expect_child(&c, 2, "fatal error: out of memory: no room for 128 timers");
}
#endif

TAP_MAIN
