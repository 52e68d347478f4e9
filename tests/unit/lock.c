/*
 * lock.c - short locks between threads; src/core/lock.c. All orders of two threads are tried in
 * tests/model; here are many real ones, more than CPUs.
 */
#include "tap.h"

#include <errno.h>
#include <pthread.h>

#include "core/lock.h"
#include "core/m.h"
#include "core/self.h"
#include "os/os.h"

enum { THREADS = 16, ROUNDS = 20000 / TAP_SLOWER, MS = 1000000 };

static struct lock lock = LOCK_INIT(LOCK_LEAF);
static volatile int64_t counter, copy;
static int rounds = ROUNDS;

static uint32_t sleepers(void)
{
	return load_rlx(&lock_sleepers[lock_slot(&lock)]); /* relaxed: polled */
}

static void *count_up(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg;

	for (int i = 0; i < rounds; i++) {
		lock_acquire(&lock);
		require(counter == copy);
		counter = counter + 1;
		/* Now and then the holder loses its CPU, so the others spin in vain and sleep. */
		if (tap_random(&state) % 256 == 0)
			os_thread_yield();
		if (tap_random(&state) % 4096 == 0)
			tap_pause(MS / 2);
		copy = copy + 1;
		lock_release(&lock);
	}
	return NULL;
}

static void expect_exclusion(void)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		require_eq(pthread_create(&threads[i], NULL, count_up, (void *)(tap_seed() + i)),
			   0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	expect_eq(counter, (int64_t)THREADS * rounds);
	expect_eq(load_rlx(&lock.word), 0); /* LK1; relaxed: the threads are gone */
	expect_eq(sleepers(), 0);	    /* LK2: nobody is left behind, nor counted */
}

TAP_CASE(lk1_word_is_1_while_held, .procs = "-")
{
	expect_eq(load_rlx(&lock.word), 0); /* relaxed: one thread */
	lock_acquire(&lock);
	expect_eq(load_rlx(&lock.word), 1); /* relaxed: one thread */
	lock_release(&lock);
	expect_eq(load_rlx(&lock.word), 0); /* relaxed: one thread */
	lock_init(&lock, LOCK_CHAN);
	expect_eq(load_rlx(&lock.word), 0); /* relaxed: one thread */
	lock_acquire(&lock);
	lock_release(&lock);
}

TAP_CASE(one_thread_at_a_time, .procs = "-", .timeout_s = 60)
{
	os_fence_init();
	expect_exclusion();
}

TAP_CASE(one_thread_at_a_time_without_membarrier, .procs = "-", .timeout_s = 60)
{
	setenv("GORODEBUG", "membarrier=0", 1);
	os_fence_init();
	expect(!fence_is_asymmetric);
	rounds = ROUNDS / 4;
	expect_exclusion();
}

/* ---- LK2: sleeping ---- */

static atomic_of(uint32_t) n_through;

static void *pass_through(void *arg)
{
	(void)arg;
	lock_acquire(&lock);
	add_rlx(&n_through, 1); /* relaxed: only counted */
	lock_release(&lock);
	return NULL;
}

static void wait_for_sleepers(uint32_t n)
{
	while (sleepers() != n)
		tap_pause(MS / 10);
}

TAP_CASE(lk2_sleepers_are_counted_cost_nothing_and_all_wake, .procs = "-", .is_alone = true)
{
	pthread_t threads[THREADS];

	os_fence_init();
	lock_acquire(&lock);
	for (int i = 0; i < THREADS; i++)
		require_eq(pthread_create(&threads[i], NULL, pass_through, NULL), 0);
	wait_for_sleepers(THREADS);
	int64_t cpu = tap_cpu_ns();
	tap_pause(100 * MS);
	expect_lt(tap_cpu_ns() - cpu, 20 * MS); /* 16 spinning threads would take all there is */
	expect_eq(load_rlx(&n_through), 0);	/* relaxed: only counted */
	lock_release(&lock);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	expect_eq(load_rlx(&n_through), THREADS); /* relaxed: the threads are gone */
	expect_eq(sleepers(), 0);
}

/* ---- errno ---- */

static atomic_of(uint32_t) n_long_waits;

static void count_long_wait(void)
{
	add_rlx(&n_long_waits, 1); /* relaxed: polled */
}

static void *passes_with_errno(void *arg)
{
	errno = 4711;
	lock_acquire(&lock);
	lock_release(&lock);
	*(int *)arg = errno;
	return NULL;
}

/* A goroutine's errno goes with it, so that what a lock's futex says must not end up in it. */
TAP_CASE(a_failed_futex_wait_is_not_seen_in_errno, .procs = "-")
{
	pthread_t thread;
	int errno_after = 0;

	os_fence_init();
	lock_long_hook = count_long_wait;
	lock_acquire(&lock);
	require_eq(pthread_create(&thread, NULL, passes_with_errno, &errno_after), 0);
	while (load_rlx(&n_long_waits) == 0) /* relaxed: polled; the wait has timed out */
		tap_pause(MS);
	lock_release(&lock);
	pthread_join(thread, NULL);
	lock_long_hook = NULL;
	expect_eq(errno_after, 4711);
}

TAP_CASE(lk2_sleeper_of_another_lock_in_the_slot_does_no_harm, .procs = "-")
{
	/* Locks this far apart share a counter: one's release wakes nobody of the other. */
	static struct {
		struct lock lock __attribute__((aligned(64)));
	} many[2 * LOCK_SLEEPER_SLOTS];
	struct lock *twin = NULL;
	pthread_t thread;

	os_fence_init();
	for (size_t i = 0; i < 2 * LOCK_SLEEPER_SLOTS; i++) {
		lock_init(&many[i].lock, LOCK_LEAF);
		if (lock_slot(&many[i].lock) == lock_slot(&lock))
			twin = &many[i].lock;
	}
	require(twin != NULL);
	lock_acquire(&lock);
	require_eq(pthread_create(&thread, NULL, pass_through, NULL), 0);
	wait_for_sleepers(1);
	for (int i = 0; i < 1000; i++) {
		lock_acquire(twin);
		lock_release(twin);
	}
	expect_eq(load_rlx(&n_through), 0); /* relaxed: only counted */
	lock_release(&lock);
	pthread_join(thread, NULL);
}

/* ---- LK1: whoever takes the lock next may free it ---- */

struct boxed {
	struct lock lock;
};
static atomic_of(struct boxed *) offered;

static void *free_boxes(void *arg)
{
	for (int i = 0; i < *(int *)arg; i++) {
		struct boxed *box;
		while ((box = xchg_acq(&offered, NULL)) == NULL) /* the test's own */
			cpu_relax();
		lock_acquire(&box->lock); /* the other side is about to release it */
		os_mem_release(box, 4096);
	}
	return NULL;
}

TAP_CASE(lk1_released_lock_is_not_touched_again, .procs = "-", .timeout_s = 60)
{
	int n = 5000 / TAP_SLOWER;
	pthread_t thread;

	os_fence_init();
	require_eq(pthread_create(&thread, NULL, free_boxes, &n), 0);
	for (int i = 0; i < n; i++) {
		struct boxed *box = os_mem_reserve(4096);
		require(box != NULL);
		lock_init(&box->lock, LOCK_LEAF);
		lock_acquire(&box->lock);
		store_rel(&offered, box); /* the test's own */
		for (int k = 0; k < i % 64; k++)
			cpu_relax();
		lock_release(&box->lock);	   /* a look at the box after this faults */
		while (load_acq(&offered) != NULL) /* the test's own */
			cpu_relax();
	}
	pthread_join(thread, NULL);
}

/* ---- LK3: ranks ---- */

#ifdef GORO_DEBUG
/* RANKS is "first second": the second is taken while the first is held. */
TAP_CHILD(take_two)
{
	static struct m self;
	struct lock first, second;
	unsigned a, b;

	require_eq(sscanf(getenv("RANKS"), "%u %u", &a, &b), 2);
	m_self_set(&self);
	lock_init(&first, (enum lock_rank)a);
	lock_init(&second, (enum lock_rank)b);
	lock_acquire(&first);
	expect_eq(self.held_ranks, 1u << a);
	lock_acquire(&second);
	lock_release(&second);
	lock_release(&first);
	expect_eq(self.held_ranks, 0);
	_exit(a != b && tap_failures != 0);
}

TAP_CASE(lk3_ranks_rise, .procs = "-")
{
	static const int pairs[][3] = {
		/* first, second, status */
		{LOCK_WORLD, LOCK_SCHED, 0}, {LOCK_CHAN, LOCK_TIMERS, 0},
		{LOCK_SCHED, LOCK_LEAF, 0},  {LOCK_GFREE, LOCK_STACK, 0},
		{LOCK_CHAN, LOCK_CHAN, 0},   {LOCK_TIMERS, LOCK_TIMERS, 0},
		{LOCK_SCHED, LOCK_CHAN, 2},  {LOCK_LEAF, LOCK_WORLD, 2},
		{LOCK_STACK, LOCK_GFREE, 2}, {LOCK_GLOBQ, LOCK_GLOBQ, 2},
		{LOCK_TIMERS, LOCK_CHAN, 2}, {LOCK_LEAF, LOCK_LEAF, 2},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct tap_child c;
		char env[32];
		snprintf(env, sizeof(env), "RANKS=%d %d", pairs[i][0], pairs[i][1]);
		tap_child(&c, "take_two", env);
		expect_child(&c, pairs[i][2],
			     pairs[i][2] == 2 ? "goro: lock rank: taking rank" : "");
	}
}
#endif

TAP_MAIN
