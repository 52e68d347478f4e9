/*
 * syn_waitgroup.c - SYN-09: all are released at 0, and none before.
 *
 *   add, done -> counter;   wait -> 0 | queue -> the done that makes it 0
 *
 * Go: waitgroup_test.go: TestWaitGroup, TestWaitGroupMisuse, TestWaitGroupRace.
 */
#include "goro_tap.h"

GORO_CASE(wait_at_0_returns_at_once, .id = "SYN-09")
{
	goro_waitgroup wg = {0};
	goro_waitgroup_wait(&wg);
	goro_waitgroup_add(&wg, 5);
	expect_eq(goro_waitgroup_wait_until(&wg, GORO_POLL), -ETIMEDOUT);
	goro_waitgroup_add(&wg, -5);
	goro_waitgroup_wait(&wg);
	expect_eq(goro_waitgroup_wait_until(&wg, GORO_POLL), 0);
	goro_waitgroup_add(&wg, 0);
	goro_waitgroup_wait(&wg);
}

struct waits {
	goro_waitgroup *wg;
	int n_back, *written, n_unseen, n;
};

static void waits(void *arg)
{
	struct waits *w = arg;
	goro_waitgroup_wait(w->wg);
	for (int i = 0; i < w->n; i++)
		if (!w->written[i])
			add(&w->n_unseen, 1);
	add(&w->n_back, 1);
}

static void *thread_waits(void *w)
{
	waits(w);
	return NULL;
}

GORO_CASE(all_waiters_are_released_at_0_and_none_before, .id = "SYN-09")
{
	enum { N = 16, WAITERS = 8 };
	goro_waitgroup wg = {0};
	int written[N] = {0};
	struct waits w = {.wg = &wg, .written = written, .n = N};
	pthread_t thread;
	goro_waitgroup_add(&wg, N);
	for (int i = 0; i < WAITERS; i++)
		goro_spawn(waits, &w);
	require_eq(pthread_create(&thread, NULL, thread_waits, &w), 0);
	wait_until_n_parked(WAITERS, "sync.WaitGroup.Wait");
	for (int i = 0; i < N; i++) {
		for (int k = 0; k < 5; k++)
			goro_yield();
		expect_eq(load(&w.n_back), 0);
		written[i] = 1;
		goro_waitgroup_done(&wg);
	}
	wait_for(load(&w.n_back) == WAITERS + 1);
	pthread_join(thread, NULL);
	expect_eq(w.n_unseen, 0);
}

/* ---- two groups as a barrier, used again and again ---- */

struct barrier {
	goro_waitgroup first, second;
	goro_chan *exited;
	int n_exited, n_odd;
};

static void passes_barrier(void *arg)
{
	struct barrier *b = arg;
	goro_waitgroup_done(&b->first);
	goro_waitgroup_wait(&b->second);
	goro_chan_send(b->exited, NULL);
}

GORO_CASE(two_groups_are_a_barrier_for_eight_rounds, .id = "SYN-09", .is_race = true)
{
	enum { N = 16 };
	struct barrier b = {.exited = goro_chan_make(0, N)};
	for (int round = 0; round < 8; round++) {
		goro_waitgroup_add(&b.first, N);
		goro_waitgroup_add(&b.second, N);
		for (int i = 0; i < N; i++)
			goro_spawn(passes_barrier, &b);
		goro_waitgroup_wait(&b.first);
		for (int i = 0; i < N; i++) {
			expect_eq(goro_chan_tryrecv(b.exited, NULL), -EAGAIN);
			goro_waitgroup_done(&b.second);
		}
		for (int i = 0; i < N; i++)
			goro_chan_recv(b.exited, NULL);
		expect_eq(goro_chan_tryrecv(b.exited, NULL), -EAGAIN);
	}
	goro_chan_unref(b.exited);
}

/* ---- plain writes before done are seen ---- */

struct quick {
	goro_waitgroup wg;
	int value[2];
};

static void writes_first(struct quick *q)
{
	q->value[0] = 1;
	goro_waitgroup_done(&q->wg);
}

static void writes_second(struct quick *q)
{
	q->value[1] = 1;
	goro_waitgroup_done(&q->wg);
}

GORO_CASE(a_thousand_quick_rounds_return_neither_early_nor_late, .id = "SYN-09", .is_race = true)
{
	int wrong = 0;
	for (int i = 0; i < 1000; i++) {
		struct quick q = {.value = {0, 0}};
		goro_waitgroup_add(&q.wg, 1);
		go(writes_first, &q);
		goro_waitgroup_add(&q.wg, 1);
		go(writes_second, &q);
		goro_waitgroup_wait(&q.wg);
		wrong += q.value[0] + q.value[1] != 2;
		memset(&q, 0x5a, sizeof(q)); /* the groups are over: nobody touches them now */
	}
	expect_eq(wrong, 0);
}

/* ---- the next round may begin at once ---- */

struct rounds {
	goro_waitgroup wg;
	goro_chan *go_on;
	int n_first, n_second;
};

static void waits_for_the_first_round(void *arg)
{
	struct rounds *r = arg;
	goro_waitgroup_wait(&r->wg);
	add(&r->n_first, 1);
}

GORO_CASE(a_waiter_of_the_last_round_is_not_caught_by_the_next, .id = "SYN-09")
{
	enum { N = 10 };
	for (int i = 0; i < 100; i++) {
		struct rounds r = {.n_first = 0};
		goro_waitgroup_add(&r.wg, 1);
		for (int k = 0; k < N; k++)
			goro_spawn(waits_for_the_first_round, &r);
		if (i == 0)
			wait_until_n_parked(N, "sync.WaitGroup.Wait");
		else
			goro_yield();
		goro_waitgroup_done(&r.wg);
		if (i == 0) {
			/* All were waiting; none has run yet, perhaps. */
			goro_waitgroup_add(&r.wg, 1);
			wait_for(load(&r.n_first) == N);
			goro_waitgroup_done(&r.wg);
		}
		wait_for(load(&r.n_first) == N && goro_count() == 1);
	}
}

/* ---- misuse, deadlines ---- */

static void goes_below_zero(void *wg)
{
	goro_waitgroup_add(wg, 1);
	goro_waitgroup_done(wg);
	goro_waitgroup_done(wg);
}

static void goes_beyond_all(void *wg)
{
	goro_waitgroup_add(wg, INT32_MAX);
	goro_waitgroup_add(wg, 1);
}

GORO_CASE(a_negative_counter_panics_and_changes_nothing, .id = "SYN-09")
{
	goro_waitgroup wg = {0};
	expect_str(panic_of(goes_below_zero, &wg).text, "sync: negative WaitGroup counter");
	goro_waitgroup_wait(&wg);
	expect_str(panic_of(goes_beyond_all, &wg).text, "sync: negative WaitGroup counter");
	goro_waitgroup_add(&wg, -INT32_MAX);
	goro_waitgroup_wait(&wg);
	goro_waitgroup_add(&wg, 3);
	goro_waitgroup_add(&wg, -3);
	goro_waitgroup_wait(&wg);
}

GORO_CASE(a_wait_gives_up_at_its_deadline, .id = "SYN-09")
{
	goro_waitgroup wg = {0};
	struct waits w = {.wg = &wg};
	goro_waitgroup_add(&wg, 2);
	int64_t deadline = goro_now() + GORO_MS(5);
	expect_eq(goro_waitgroup_wait_until(&wg, deadline), -ETIMEDOUT);
	expect_ge(goro_now(), deadline);
	goro_spawn(waits, &w);
	wait_until_n_parked(1, "sync.WaitGroup.Wait");
	expect_eq(goro_waitgroup_wait_until(&wg, goro_now() + GORO_MS(2)), -ETIMEDOUT);
	goro_waitgroup_add(&wg, -2);
	wait_for(load(&w.n_back) == 1);
	expect_eq(goro_waitgroup_wait_until(&wg, 1), 0);
}

TAP_MAIN
