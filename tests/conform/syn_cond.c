/*
 * syn_cond.c - SYN-07: wait, signal, broadcast; the mutex is held when a wait returns.
 *
 *   wait -> in the queue, mutex unlocked -> signal, broadcast, deadline -> mutex locked
 *
 * Go: cond_test.go: TestCondSignal, TestCondBroadcast, TestRace, TestCondCopy.
 */
#include "goro_tap.h"

struct room {
	goro_mutex m;
	goro_cond c;
	int n_waiting, n_awake, n_inside, n_odd; /* m */
	int turn;
};

static void room_check_alone(struct room *r)
{
	r->n_odd += r->n_inside != 0;
	r->n_inside++;
	if (goro_id() != 0)
		goro_yield();
	r->n_inside--;
}

static void waits(void *arg)
{
	struct room *r = arg;
	goro_mutex_lock(&r->m);
	r->n_waiting++;
	goro_cond_wait(&r->c, &r->m);
	room_check_alone(r);
	r->n_awake++;
	goro_mutex_unlock(&r->m);
}

static void *thread_waits(void *r)
{
	waits(r);
	return NULL;
}

static int n_of(struct room *r, int *n)
{
	goro_mutex_lock(&r->m);
	int value = *n;
	goro_mutex_unlock(&r->m);
	return value;
}

static void fill(struct room *r, int n)
{
	for (int i = 0; i < n; i++)
		goro_spawn(waits, r);
	wait_until_n_parked(n, "sync.Cond.Wait");
}

GORO_CASE(a_signal_wakes_exactly_one, .id = "SYN-07")
{
	enum { N = 10 };
	struct room r = {.turn = 0};
	fill(&r, N);
	for (int i = 1; i <= N; i++) {
		if (i % 2)
			goro_mutex_lock(&r.m);
		goro_cond_signal(&r.c);
		if (i % 2)
			goro_mutex_unlock(&r.m);
		wait_for(n_of(&r, &r.n_awake) == i);
		for (int k = 0; k < 20; k++)
			goro_yield();
		expect_eq(n_of(&r, &r.n_awake), i);
		wait_until_n_parked(N - i, "sync.Cond.Wait");
	}
	goro_cond_signal(&r.c);
	wait_for(goro_count() == 1);
	expect_eq(r.n_odd, 0);
}

GORO_CASE(a_broadcast_wakes_all_present_each_once_and_alone_with_the_mutex, .id = "SYN-07",
	  .is_race = true)
{
	enum { N = 20 };
	struct room r = {.turn = 0};
	for (int round = 0; round < 20; round++) {
		r.n_awake = 0;
		fill(&r, N);
		if (round % 2)
			goro_mutex_lock(&r.m);
		goro_cond_broadcast(&r.c);
		if (round % 2)
			goro_mutex_unlock(&r.m);
		wait_for(n_of(&r, &r.n_awake) == N);
		wait_for(goro_count() == 1);
		expect_eq(r.n_odd, 0);
	}
}

GORO_CASE(a_signal_with_nobody_waiting_is_forgotten, .id = "SYN-07")
{
	struct room r = {.turn = 0};
	goro_cond_signal(&r.c);
	goro_cond_broadcast(&r.c);
	fill(&r, 1);
	for (int i = 0; i < 50; i++)
		goro_yield();
	expect_eq(n_of(&r, &r.n_awake), 0);
	goro_mutex_lock(&r.m);
	expect_eq(goro_cond_wait_until(&r.c, &r.m, goro_now() + GORO_MS(3)), -ETIMEDOUT);
	expect(!goro_mutex_trylock(&r.m));
	goro_mutex_unlock(&r.m);
	goro_cond_signal(&r.c);
	wait_for(n_of(&r, &r.n_awake) == 1);
}

/* ---- order: a newcomer cannot take the signal of an older one ---- */

struct queued {
	struct room *room;
	uint64_t id;
	int place;
};

static void waits_in_turn(void *arg)
{
	struct queued *q = arg;
	goro_mutex_lock(&q->room->m);
	store(&q->id, goro_id());
	goro_cond_wait(&q->room->c, &q->room->m);
	q->place = ++q->room->turn;
	goro_mutex_unlock(&q->room->m);
}

GORO_CASE(signals_wake_in_the_order_of_the_waits, .id = "SYN-07")
{
	enum { N = 20 };
	struct room r = {.turn = 0};
	struct queued q[N];
	for (int i = 0; i < N; i++) {
		q[i] = (struct queued){.room = &r};
		goro_spawn(waits_in_turn, &q[i]);
		wait_for(load(&q[i].id) != 0);
		wait_until_parked(load(&q[i].id), "sync.Cond.Wait");
	}
	for (int i = 0; i < N; i++) {
		goro_cond_signal(&r.c);
		wait_for(n_of(&r, &r.turn) == i + 1);
		expect_eq(q[i].place, i + 1);
	}
}

GORO_CASE(a_newcomer_does_not_take_an_older_ones_signal, .id = "SYN-07")
{
	struct room r = {.turn = 0};
	struct queued old = {.room = &r}, newcomer = {.room = &r};
	goro_spawn(waits_in_turn, &old);
	wait_for(load(&old.id) != 0);
	wait_until_parked(load(&old.id), "sync.Cond.Wait");
	/* Signalled, but it cannot go on before the newcomer waits. */
	goro_mutex_lock(&r.m);
	goro_cond_signal(&r.c);
	goro_spawn(waits_in_turn, &newcomer);
	goro_mutex_unlock(&r.m);
	wait_for(n_of(&r, &r.turn) == 1);
	expect_eq(old.place, 1);
	wait_for(load(&newcomer.id) != 0);
	wait_until_parked(load(&newcomer.id), "sync.Cond.Wait");
	goro_cond_signal(&r.c);
	wait_for(n_of(&r, &r.turn) == 2);
	expect_eq(newcomer.place, 2);
}

/* ---- Go's TestRace ---- */

struct race {
	goro_mutex m;
	goro_cond c;
	int x;
	goro_chan *done;
};

static void race_first(struct race *r)
{
	goro_mutex_lock(&r->m);
	r->x = 1;
	goro_cond_wait(&r->c, &r->m);
	expect_eq(r->x, 2);
	r->x = 3;
	goro_cond_signal(&r->c);
	goro_mutex_unlock(&r->m);
	goro_chan_send(r->done, NULL);
}

static void race_second(struct race *r)
{
	for (;;) {
		goro_mutex_lock(&r->m);
		if (r->x == 1)
			break;
		goro_mutex_unlock(&r->m);
		goro_yield();
	}
	r->x = 2;
	goro_cond_signal(&r->c);
	goro_mutex_unlock(&r->m);
	goro_chan_send(r->done, NULL);
}

static void race_third(struct race *r)
{
	for (;;) {
		goro_mutex_lock(&r->m);
		if (r->x == 2) {
			goro_cond_wait(&r->c, &r->m);
			expect_eq(r->x, 3);
			break;
		}
		if (r->x == 3)
			break;
		goro_mutex_unlock(&r->m);
		goro_yield();
	}
	goro_mutex_unlock(&r->m);
	goro_chan_send(r->done, NULL);
}

GORO_CASE(three_pass_a_value_on, .id = "SYN-07", .is_race = true)
{
	for (int round = 0; round < 200; round++) {
		struct race r = {.done = goro_chan_make(0, 0)};
		go(race_first, &r);
		go(race_second, &r);
		go(race_third, &r);
		for (int i = 0; i < 3; i++)
			goro_chan_recv(r.done, NULL);
		goro_chan_unref(r.done);
	}
}

/* ---- with plain threads ---- */

GORO_CASE(goroutines_and_plain_threads_wait_together, .id = "SYN-07", .is_race = true)
{
	struct room r = {.turn = 0};
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_waits, &r), 0);
	for (int i = 0; i < 5; i++)
		goro_spawn(waits, &r);
	wait_for(n_of(&r, &r.n_waiting) == 8);
	goro_cond_signal(&r.c);
	wait_for(n_of(&r, &r.n_awake) == 1);
	goro_cond_broadcast(&r.c);
	wait_for(n_of(&r, &r.n_awake) == 8);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	wait_for(goro_count() == 1);
	expect_eq(r.n_odd, 0);
}

TAP_CASE(plain_threads_alone_wait, .id = "SYN-07", .procs = "-")
{
	struct room r = {.turn = 0};
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_waits, &r), 0);
	wait_for(n_of(&r, &r.n_waiting) == 4);
	goro_cond_broadcast(&r.c);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	expect_eq(r.n_awake, 4);
	goro_mutex_lock(&r.m);
	expect_eq(goro_cond_wait_until(&r.c, &r.m, goro_now() + GORO_MS(2)), -ETIMEDOUT);
	goro_mutex_unlock(&r.m);
}

/* ---- deadlines, copies ---- */

GORO_CASE(a_wait_gives_up_with_the_mutex_locked, .id = "SYN-07")
{
	struct room r = {.turn = 0};
	goro_mutex_lock(&r.m);
	expect_eq(goro_cond_wait_until(&r.c, &r.m, GORO_POLL), -ETIMEDOUT);
	int64_t deadline = goro_now() + GORO_MS(5);
	expect_eq(goro_cond_wait_until(&r.c, &r.m, deadline), -ETIMEDOUT);
	expect_ge(goro_now(), deadline);
	expect(!goro_mutex_trylock(&r.m));
	goro_mutex_unlock(&r.m);
	/* Who gave up is gone: a signal goes to the next. */
	fill(&r, 1);
	goro_cond_signal(&r.c);
	wait_for(n_of(&r, &r.n_awake) == 1);
}

static void signals_copy(void *arg)
{
	goro_cond *original = arg;
	goro_cond copy;
	memcpy(&copy, original, sizeof(copy));
	goro_cond_signal(&copy);
}

static void broadcasts_copy(void *arg)
{
	goro_cond copy;
	memcpy(&copy, arg, sizeof(copy));
	goro_cond_broadcast(&copy);
}

static void waits_on_copy(void *arg)
{
	goro_cond copy;
	goro_mutex m = {0};
	memcpy(&copy, arg, sizeof(copy));
	goro_mutex_lock(&m);
	goro_cond_wait(&copy, &m);
}

GORO_CASE(a_copied_cond_panics, .id = "SYN-07")
{
	goro_cond c = {0};
	goro_cond_signal(&c);
	expect_str(panic_of(signals_copy, &c).text, "sync.Cond is copied");
	expect_str(panic_of(broadcasts_copy, &c).text, "sync.Cond is copied");
	expect_str(panic_of(waits_on_copy, &c).text, "sync.Cond is copied");
	goro_cond_signal(&c);
}

TAP_MAIN
