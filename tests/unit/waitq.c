/*
 * waitq.c - who waits on an object, in order; src/sync/waitq.c. Here plain threads wait; goroutines
 * do in tests/conform.
 */
#include "tap.h"

#include <pthread.h>

#include "sync/waitq.h"

enum { WAITERS = 8, MS = 1000000 };

static struct waitq queue;
static struct waiter waiters[WAITERS];
static struct wait waits[WAITERS];
static struct lock lock = LOCK_INIT(LOCK_CHAN);

static void push(int n)
{
	for (int i = 0; i < n; i++)
		waitq_push(&queue, &waiters[i]);
}

static int pop(void)
{
	struct waiter *w = waitq_pop(&queue);

	return w != NULL ? (int)(w - waiters) : -1;
}

TAP_CASE(empty_queue_gives_nobody, .procs = "-")
{
	expect(waitq_is_empty(&queue));
	expect_eq(pop(), -1);
}

TAP_CASE(wq1_first_come_is_first_served, .procs = "-")
{
	push(WAITERS);
	for (int i = 0; i < WAITERS; i++) {
		expect(waiters[i].queue == &queue);
		expect_eq(pop(), i);
		expect(waiters[i].queue == NULL);
	}
	expect(waitq_is_empty(&queue));
	push(2); /* as new */
	expect_eq(pop(), 0);
	expect_eq(pop(), 1);
}

/* Every subset of four leaves in the middle of it; the others keep their order. */
TAP_CASE(wq1_any_waiter_can_leave, .procs = "-")
{
	for (int leavers = 0; leavers < 16; leavers++) {
		push(4);
		for (int i = 0; i < 4; i++)
			if (leavers >> i & 1)
				waitq_unlink(&queue, &waiters[i]);
		for (int i = 0; i < 4; i++)
			if (!(leavers >> i & 1))
				expect_eq(pop(), i);
		expect_eq(pop(), -1);
		expect(waitq_is_empty(&queue));
		expect(queue.last == NULL);
	}
}

TAP_CASE(wq2_pop_decides_the_race, .procs = "-")
{
	waiters[0].wait = &waits[0];
	waiters[0].index = 3;
	push(1);
	expect_eq(pop(), 0);
	expect_eq(load_rlx(&waits[0].race), RACE_WOKEN + 3); /* relaxed: one thread */
}

TAP_CASE(wq2_pop_drops_those_who_gave_up, .procs = "-")
{
	for (int i = 0; i < WAITERS; i++)
		waiters[i].wait = &waits[i];
	push(WAITERS);
	store_rlx(&waits[0].race, RACE_TIMEOUT); /* relaxed: one thread */
	store_rlx(&waits[2].race, RACE_TIMEOUT); /* relaxed: one thread */
	store_rlx(&waits[7].race, RACE_TIMEOUT); /* relaxed: one thread */
	expect_eq(pop(), 1);
	expect(waiters[0].queue == NULL);
	for (int i = 3; i < 7; i++)
		expect_eq(pop(), i);
	expect_eq(pop(), -1);
	expect(waitq_is_empty(&queue));
	expect_eq(load_rlx(&waits[2].race), RACE_TIMEOUT); /* relaxed: one thread */
}

/* ---- plain threads ---- */

struct thread {
	pthread_t thread;
	struct waiter w;
	int64_t deadline;
	int result;
	bool ok;
};

static void *wait_in_thread(void *arg)
{
	struct thread *t = arg;

	lock_acquire(&lock);
	waitq_push(&queue, &t->w);
	t->result = waitq_wait(&t->w, &lock, WAIT_CHAN_RECV, t->deadline);
	t->ok = t->w.ok;
	return NULL;
}

static void thread_start(struct thread *t, int64_t deadline)
{
	t->deadline = deadline;
	t->result = 1;
	require_eq(pthread_create(&t->thread, NULL, wait_in_thread, t), 0);
	for (bool is_in = false; !is_in; tap_pause(MS / 10)) {
		lock_acquire(&lock);
		is_in = queue.last == &t->w;
		lock_release(&lock);
	}
}

/* WQ3: the results, the lock's release, the wake. */
static struct waiter *wake_first(void)
{
	lock_acquire(&lock);
	struct waiter *w = waitq_pop(&queue);
	if (w != NULL)
		w->ok = true;
	lock_release(&lock);
	if (w != NULL)
		waiter_wake(w);
	return w;
}

TAP_CASE(threads_are_woken_in_order_and_see_the_result, .procs = "-")
{
	static struct thread threads[WAITERS];

	for (int i = 0; i < WAITERS; i++)
		thread_start(&threads[i], OS_FOREVER);
	expect_eq(load_rlx(&sched.n_foreign_blocked), WAITERS); /* relaxed: ordered by the lock */
	for (int i = 0; i < WAITERS; i++) {
		expect(wake_first() == &threads[i].w);
		pthread_join(threads[i].thread, NULL);
		expect_eq(threads[i].result, 0);
		expect(threads[i].ok);
	}
	expect_eq(load_rlx(&sched.n_foreign_blocked), 0); /* relaxed: the threads are gone */
	expect(wake_first() == NULL);
}

TAP_CASE(wait_of_a_thread_ends_at_its_deadline, .procs = "-")
{
	for (int64_t delay = -MS; delay < 5 * MS; delay += MS) {
		struct waiter w = {0};
		int64_t deadline = os_now() + delay;
		lock_acquire(&lock);
		waitq_push(&queue, &w);
		expect_eq(waitq_wait(&w, &lock, WAIT_CHAN_RECV, deadline), -ETIMEDOUT);
		expect_ge(os_now(), deadline);
		expect(w.queue == NULL);
		expect(waitq_is_empty(&queue));
		expect_eq(load_rlx(&lock.word), 0); /* relaxed: one thread */
	}
	expect_eq(load_rlx(&sched.n_foreign_blocked), 0); /* relaxed: one thread */
}

__attribute__((noinline)) static void stack_wipe(void)
{
	volatile char below[4096];

	for (size_t i = 0; i < sizeof(below); i++)
		below[i] = 0;
}

/* What decided the wait has left the stack by then: the record must not lead there. */
TAP_CASE(wq4_one_that_gave_up_is_not_claimed_while_it_stands_in_its_queue, .procs = "-")
{
	struct waiter w = {0};

	lock_acquire(&lock);
	waitq_push(&queue, &w);
	expect_eq(waitq_wait_only(&w, &lock, WAIT_CHAN_RECV, os_now() + MS), -ETIMEDOUT);
	stack_wipe();
	lock_acquire(&lock);
	expect(w.queue == &queue);
	expect(waitq_pop(&queue) == NULL);
	lock_release(&lock);
	expect(w.queue == NULL);
}

TAP_CASE(deadline_of_one_leaves_the_others, .procs = "-")
{
	static struct thread first, middle, last;

	thread_start(&first, OS_FOREVER);
	thread_start(&middle, os_now() + 300 * MS);
	thread_start(&last, OS_FOREVER);
	pthread_join(middle.thread, NULL);
	expect_eq(middle.result, -ETIMEDOUT);
	expect(wake_first() == &first.w);
	expect(wake_first() == &last.w);
	pthread_join(first.thread, NULL);
	pthread_join(last.thread, NULL);
	expect_eq(first.result, 0);
	expect_eq(last.result, 0);
}

TAP_CASE(nothing_ever_comes_but_the_deadline_does, .procs = "-")
{
	int64_t deadline = os_now() + 3 * MS;

	expect_eq(wait_for_nothing(WAIT_CHAN_RECV_NIL, deadline), -ETIMEDOUT);
	expect_ge(os_now(), deadline);
}

/* A wake and a deadline at once, again and again: the two sides agree on who was first. */
TAP_CASE(wq2_deadline_and_wake_agree, .procs = "-", .timeout_s = 60)
{
	uint64_t state = tap_seed();
	int n_woken = 0, n_late = 0;

	for (int i = 0; i < 1000 / TAP_SLOWER; i++) {
		static struct thread t;
		int64_t delay = 300000 + (int64_t)(tap_random(&state) % 200000);
		t.deadline = os_now() + delay;
		t.w = (struct waiter){0};
		require_eq(pthread_create(&t.thread, NULL, wait_in_thread, &t), 0);
		while (os_now() < t.deadline - 20000)
			os_thread_yield();
		struct waiter *w = NULL;
		while (w == NULL && os_now() < t.deadline + 20000)
			w = wake_first();
		pthread_join(t.thread, NULL);
		require_eq(t.result, w != NULL ? 0 : -ETIMEDOUT);
		require(waitq_is_empty(&queue));
		n_woken += w != NULL;
		n_late += w == NULL;
	}
	tap_diag("# %d woken, %d late", n_woken, n_late);
}

TAP_MAIN
