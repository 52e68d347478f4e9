/*
 * timer_object.c - stop, reset and free against values on their way; tickers; plain threads; runs
 * that end; what counts for a deadlock.
 *
 * Go: tick_test.go: TestChan, TestTicker; sleep_test.go: TestReset, TestStopResult,
 * TestResetResult, and the guarantee of Go 1.23.
 */
#include "goro_tap.h"

static goro_timer *must(goro_timer *t)
{
	require(t != NULL);
	return t;
}

static int64_t recv_time(goro_timer *t)
{
	return goro_get(goro_timer_c(t), int64_t);
}

static void counts(void *n)
{
	add((int *)n, 1);
}

/* Lets time pass for this P too: what is due is run by whoever schedules. */
static void pass_time(int64_t ns)
{
	goro_sleep(ns);
	goro_yield();
}

/* ---- stop and reset ---- */

GORO_CASE(stop_withdraws_what_fired_unreceived)
{
	goro_timer *t = must(goro_timer_chan(0));
	for (int i = 0; i < 100; i++) {
		pass_time(GORO_US(10));
		expect(goro_timer_stop(t));
		expect_eq(goro_chan_tryrecv(goro_timer_c(t), NULL), -EAGAIN);
		expect(!goro_timer_stop(t));
		expect(!goro_timer_reset(t, 0));
	}
	recv_time(t);
	expect(!goro_timer_stop(t));
	goro_timer_free(t);
}

GORO_CASE(reset_withdraws_what_fired_unreceived)
{
	goro_timer *t = must(goro_timer_chan(0));
	for (int i = 0; i < 100; i++) {
		pass_time(GORO_US(10));
		expect(goro_timer_reset(t, GORO_SEC(3600)));
		expect_eq(goro_chan_tryrecv(goro_timer_c(t), NULL), -EAGAIN);
		int64_t start = goro_now();
		expect(goro_timer_reset(t, GORO_US(50)));
		expect_ge(recv_time(t), start + GORO_US(50));
		expect(!goro_timer_reset(t, 0));
	}
	goro_timer_free(t);
}

GORO_CASE(stop_and_reset_say_whether_the_function_was_kept_from_running)
{
	int n = 0;
	goro_timer *t = must(goro_timer_func(GORO_SEC(3600), counts, &n));
	expect(goro_timer_reset(t, GORO_SEC(1800)));
	expect(goro_timer_stop(t));
	expect(!goro_timer_stop(t));
	expect(!goro_timer_reset(t, 0));
	wait_for(load(&n) == 1);
	expect(!goro_timer_reset(t, GORO_US(1)));
	wait_for(load(&n) == 2);
	expect(!goro_timer_stop(t));
	expect(goro_timer_c(t) == NULL);
	goro_timer_free(t);
}

GORO_CASE(channel_of_a_timer_shows_no_buffer)
{
	goro_timer *t = must(goro_timer_chan(0)), *ticker = must(goro_ticker(GORO_US(1)));
	for (int i = 0; i < 50; i++) {
		expect_eq(goro_chan_len(goro_timer_c(t)), 0);
		expect_eq(goro_chan_cap(goro_timer_c(t)), 0);
		expect_eq(goro_chan_len(goro_timer_c(ticker)), 0);
		expect_eq(goro_chan_cap(goro_timer_c(ticker)), 0);
		pass_time(GORO_US(10));
	}
	goro_timer_free(t);
	goro_timer_free(ticker);
}

/* A value that is older than a reset which had returned before the receive began is a mistake. */
struct settings {
	goro_timer *t;
	int is_stopped, n_stale, n_ended;
	int64_t last_reset; /* when the latest one that has returned began */
};

static void receives_settings(struct settings *s)
{
	int64_t sent;
	for (uint64_t i = 0; !load(&s->is_stopped); i++) {
		int64_t began = load(&s->last_reset);
		if (goro_chan_tryrecv(goro_timer_c(s->t), &sent) == 0 && sent < began)
			add(&s->n_stale, 1);
		if (i % 8 == 0 && goro_id() != 0)
			goro_yield();
	}
	add(&s->n_ended, 1);
}

static void *thread_receives_settings(void *s)
{
	receives_settings(s);
	return NULL;
}

static void resets_again_and_again(struct settings *s)
{
	uint64_t state = tap_seed();
	for (int64_t end = goro_now() + GORO_MS(300); goro_now() < end;) {
		int64_t began = goro_now();
		if (tap_random(&state) % 2)
			goro_timer_stop(s->t);
		goro_timer_reset(s->t, (int64_t)(tap_random(&state) % 3000) - 500);
		store(&s->last_reset, began);
		if (tap_random(&state) % 4 == 0)
			goro_yield();
	}
}

GORO_CASE(no_value_of_an_earlier_setting_is_received, .procs = "1,2,4", .is_race = true)
{
	struct settings s = {.t = must(goro_timer_chan(0))};
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_receives_settings, &s), 0);
	go(receives_settings, &s);
	resets_again_and_again(&s);
	store(&s.is_stopped, 1);
	wait_for(load(&s.n_ended) == 2);
	pthread_join(thread, NULL);
	expect_eq(s.n_stale, 0);
	goro_timer_free(s.t);
}

/* A function runs exactly as often as no stop or reset said that it kept it from running. */
GORO_CASE(calls_and_results_add_up, .is_race = true)
{
	uint64_t state = tap_seed();
	int n_called = 0, n_armed = 1, n_kept = 0;
	goro_timer *t = must(goro_timer_func(0, counts, &n_called));
	for (int i = 0; i < 20000 / TAP_SLOWER; i++) {
		if (tap_random(&state) % 3 == 0) {
			n_kept += goro_timer_stop(t);
		} else {
			n_kept += goro_timer_reset(t, (int64_t)(tap_random(&state) % 2000));
			n_armed++;
		}
		if (tap_random(&state) % 4 == 0)
			goro_yield();
	}
	n_kept += goro_timer_stop(t);
	/* "Too late" may be said before its goroutine is there to be counted. */
	wait_for(load(&n_called) >= n_armed - n_kept);
	wait_for(goro_count() == 1);
	expect_eq(load(&n_called), n_armed - n_kept);
	goro_timer_free(t);
}

/* ---- tickers ---- */

GORO_CASE(ticker_keeps_its_rhythm_and_drops_ticks)
{
	int64_t period = GORO_MS(2), start = goro_now(), last = start;
	goro_timer *t = must(goro_ticker(period));
	for (int i = 1; i <= 20; i++) {
		int64_t sent = recv_time(t);
		expect_ge(sent, start + i * period);
		expect_gt(sent, last);
		last = sent;
	}
	/* Nobody receives: one tick waits, of long ago, and the next comes in time. */
	goro_sleep(5 * period);
	int64_t now = goro_now();
	expect_lt(recv_time(t), now);
	expect_ge(recv_time(t), now);
	expect(goro_timer_stop(t));
	expect_eq(goro_chan_tryrecv(goro_timer_c(t), NULL), -EAGAIN);
	pass_time(2 * period);
	expect_eq(goro_chan_tryrecv(goro_timer_c(t), NULL), -EAGAIN);
	expect(!goro_timer_stop(t));
	goro_timer_free(t);
}

GORO_CASE(reset_ticker_ticks_with_the_new_period)
{
	goro_timer *t = must(goro_ticker(GORO_SEC(3600)));
	expect(goro_timer_reset(t, GORO_MS(1)));
	int64_t start = goro_now();
	for (int i = 0; i < 5; i++)
		recv_time(t);
	expect_ge(goro_now() - start, GORO_MS(3));
	expect(goro_timer_reset(t, GORO_SEC(3600)));
	pass_time(GORO_MS(3));
	expect_eq(goro_chan_tryrecv(goro_timer_c(t), NULL), -EAGAIN);
	expect(goro_timer_stop(t));
	expect(!goro_timer_reset(t, GORO_MS(1))); /* ticks again */
	recv_time(t);
	recv_time(t);
	goro_timer_free(t);
}

GORO_CASE(ticker_of_a_nanosecond_lets_others_run)
{
	goro_timer *t = must(goro_ticker(1));
	int n = 0;
	for (int i = 0; i < 1000; i++)
		recv_time(t);
	goro_timer *other = must(goro_timer_func(GORO_MS(1), counts, &n));
	wait_for(load(&n) == 1);
	goro_timer_free(t);
	goro_timer_free(other);
}

/* ---- free ---- */

struct own {
	goro_timer *t;
	goro_chan *ready, *done;
};

static void frees_itself(void *arg)
{
	struct own *own = arg;
	goro_get(own->ready, int);
	goro_timer_free(own->t);
	goro_put(own->done, 1);
}

GORO_CASE(function_may_free_its_own_timer)
{
	for (int i = 0; i < 100; i++) {
		struct own own = {NULL, goro_chan_of(int, 0), goro_chan_of(int, 0)};
		own.t = must(goro_timer_func(0, frees_itself, &own));
		goro_put(own.ready, 1);
		goro_get(own.done, int);
		goro_chan_unref(own.ready);
		goro_chan_unref(own.done);
	}
	goro_timer_free(NULL);
}

GORO_CASE(timers_are_freed_while_they_fire, .is_race = true)
{
	int n = 0;
	for (int i = 0; i < 20000 / TAP_SLOWER; i++) {
		goro_timer *t = i % 3 == 0   ? goro_timer_func(i % 7 * 100, counts, &n)
				: i % 3 == 1 ? goro_timer_chan(i % 7 * 100)
					     : goro_ticker(100);
		if (i % 5 == 0)
			goro_yield();
		goro_timer_free(must(t));
	}
	wait_for(goro_count() == 1);
	expect_le(load(&n), 20000);
}

/* A reference of one's own keeps the channel, with what was sent. */
GORO_CASE(channel_outlives_its_timer_for_who_has_a_reference)
{
	goro_timer *t = must(goro_timer_chan(0));
	goro_chan *c = goro_chan_ref(goro_timer_c(t));
	expect_gt(recv_time(t), 0);
	goro_timer_free(t);
	expect_eq(goro_chan_tryrecv(c, NULL), -EAGAIN);
	expect_eq(goro_chan_recv_until(c, NULL, goro_now() + GORO_MS(1)), -ETIMEDOUT);
	goro_chan_unref(c);
}

/*
 * A goroutine that moves to the other thread in between takes one batch more from malloc, which has
 * memory for each thread: 260 KiB. Timers that stayed would be 20 MiB.
 */
GORO_CASE(stopped_timers_do_not_stay_in_memory, .is_alone = true, .procs = "2")
{
	enum { BATCH = 1000 };
	static goro_timer *timers[BATCH];
	int64_t before = 0;
	for (int round = 0; round < 200 / TAP_SLOWER; round++) {
		for (int i = 0; i < BATCH; i++)
			timers[i] = must(i % 2 ? goro_timer_chan(GORO_SEC(3600) - i)
					       : goro_timer_func(GORO_SEC(1800) + i, counts, NULL));
		for (int i = 0; i < BATCH; i++)
			goro_timer_free(timers[i]);
		if (round == 10)
			before = tap_rss_kib();
	}
	if (!TAP_SANITIZED)
		expect_le(tap_rss_kib(), before + 1024);
}

/* ---- many ---- */

GORO_CASE(million_timers_fire, .is_alone = true, .timeout_s = 90, .procs = "1,2")
{
	enum { MANY = 1000000 / (TAP_SLOWER * TAP_SLOWER) };
	static goro_timer *timers[MANY];
	int n = 0;
	uint64_t state = tap_seed();
	for (int i = 0; i < MANY; i++)
		timers[i] = must(goro_timer_func((int64_t)(tap_random(&state) % 500000000), counts,
						 &n));
	wait_for(load(&n) == MANY);
	for (int i = 0; i < MANY; i++)
		goro_timer_free(timers[i]);
}

GORO_CASE(timers_of_a_p_that_goes_away_move, .procs = "4")
{
	enum { N = 400 };
	static goro_timer *timers[N];
	int n = 0;
	for (int round = 0; round < 10; round++) {
		store(&n, 0);
		for (int i = 0; i < N; i++) {
			timers[i] = must(goro_timer_func(GORO_MS(1 + i % 5), counts, &n));
			if (i % 20 == 0)
				goro_yield();
		}
		goro_maxprocs(1);
		for (int i = 0; i < N; i += 2)
			if (goro_timer_stop(timers[i]))
				add(&n, 1);
		goro_maxprocs(4);
		wait_for(load(&n) == N);
		for (int i = 0; i < N; i++)
			goro_timer_free(timers[i]);
	}
}

/* ---- plain threads ---- */

static void thread_checks_timers(void)
{
	int n = 0;
	int64_t start = goro_now();
	goro_timer *t = must(goro_timer_chan(GORO_MS(1)));
	expect_ge(recv_time(t), start + GORO_MS(1));
	expect(!goro_timer_reset(t, GORO_SEC(3600)));
	expect(goro_timer_stop(t));
	goro_timer_free(t);
	t = must(goro_timer_func(GORO_US(10), counts, &n));
	wait_for(load(&n) == 1);
	expect(!goro_timer_reset(t, GORO_US(10)));
	wait_for(load(&n) == 2);
	goro_timer_free(t);
	t = must(goro_ticker(GORO_US(100)));
	for (int i = 0; i < 3; i++)
		recv_time(t);
	expect(goro_timer_stop(t));
	goro_timer_free(t);
}

static void *thread_uses_timers(void *n_ended)
{
	for (int i = 0; i < 20; i++)
		thread_checks_timers();
	add((int *)n_ended, 1);
	return NULL;
}

/* All goroutines sleep meanwhile, so the keeper has to hear of each timer. */
GORO_CASE(plain_threads_use_timers)
{
	pthread_t threads[3];
	int n_ended = 0;
	for (int i = 0; i < 3; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_uses_timers, &n_ended), 0);
	while (load(&n_ended) < 3)
		goro_sleep(GORO_MS(5));
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

struct late_thread {
	goro_timer *t;
	goro_chan *done;
};

static void *thread_moves_it_up(void *arg)
{
	struct late_thread *l = arg;
	wait_until_parked(1, "chan receive");
	goro_timer_reset(l->t, GORO_MS(1));
	return NULL;
}

/* The keeper sleeps for an hour when the timer is moved up. */
GORO_CASE(thread_moves_a_timer_up_while_all_is_idle, .timeout_s = 20)
{
	struct late_thread l = {.t = must(goro_timer_chan(GORO_SEC(3600)))};
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_moves_it_up, &l), 0);
	recv_time(l.t);
	pthread_join(thread, NULL);
	goro_timer_free(l.t);
}

/* ---- runs that end ---- */

static goro_timer *left[6];
static int n_left_called;

static int leaves_timers(void *unused)
{
	(void)unused;
	left[0] = must(goro_timer_chan(GORO_SEC(3600)));
	left[1] = must(goro_timer_func(GORO_SEC(3600), counts, &n_left_called));
	left[2] = must(goro_ticker(GORO_US(20)));
	left[3] = must(goro_timer_chan(GORO_US(1)));
	left[4] = must(goro_timer_func(GORO_US(1), counts, &n_left_called));
	left[5] = must(goro_ticker(GORO_SEC(3600)));
	return 0;
}

static int uses_what_was_left(void *unused)
{
	(void)unused;
	goro_sleep(GORO_MS(1)); /* nothing of the run before comes */
	expect_eq(goro_chan_tryrecv(goro_timer_c(left[0]), NULL), -EAGAIN);
	expect(!goro_timer_reset(left[0], GORO_US(10)));
	recv_time(left[0]);
	int before = load(&n_left_called);
	expect(!goro_timer_reset(left[1], GORO_US(10)));
	wait_for(load(&n_left_called) == before + 1);
	goro_timer_stop(left[2]);
	expect(!goro_timer_reset(left[2], GORO_US(10)));
	recv_time(left[2]);
	recv_time(left[2]);
	return 0;
}

TAP_CASE(timers_outlive_their_run)
{
	for (int round = 0; round < 20; round++) {
		expect_eq(goro_run(leaves_timers, NULL), 0);
		expect(!goro_timer_stop(left[0]));
		expect(!goro_timer_reset(left[1], 0)); /* without a runtime: only stopped */
		expect_eq(goro_run(uses_what_was_left, NULL), 0);
		for (int i = 0; i < 6; i++)
			goro_timer_free(left[i]);
	}
}

TAP_CASE(without_a_runtime_there_are_no_timers, .procs = "-")
{
	int n = 0;
	expect(goro_timer_chan(0) == NULL);
	expect(goro_timer_func(0, counts, &n) == NULL);
	expect(goro_ticker(1) == NULL);
	expect_eq(n, 0);
}

/* ---- deadlock ---- */

#define ASLEEP "fatal error: all goroutines are asleep - deadlock!\n"

GORO_CHILD(stopped_timers)
{
	for (int i = 0; i < 5; i++)
		goro_timer_stop(must(goro_timer_chan(GORO_SEC(3600))));
	goro_timer_free(must(goro_ticker(GORO_SEC(1800))));
	goro_chan_recv(NULL, NULL);
}

/* The keeper has gone to sleep for the timer before it is stopped. */
GORO_CHILD(timer_stopped_late)
{
	goro_timer *t = must(goro_timer_func(GORO_SEC(3600), counts, NULL));
	tap_pause(GORO_MS(20)); /* this thread is busy, so another one keeps */
	goro_timer_stop(t);
	goro_chan_recv(goro_timer_c(must(goro_timer_chan(0))), NULL);
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(fired_timer)
{
	goro_timer *t = must(goro_timer_chan(0));
	recv_time(t);
	recv_time(t);
}


/* A deadline that was not needed is a stopped timer too. */
GORO_CHILD(deadline_not_needed)
{
	goro_chan *c = goro_chan_of(int, 1);
	goro_put(c, 1);
	expect_eq(goro_chan_recv_until(c, NULL, goro_now() + GORO_SEC(3600)), 0);
	goro_chan_recv(c, NULL);
}

TAP_CASE(stopped_timer_does_not_hide_a_deadlock, .id = "DIA-01")
{
	static const char *const names[] = {"stopped_timers", "timer_stopped_late", "fired_timer",
					    "deadline_not_needed"};
	struct tap_child c;
	if (TAP_SANITIZED || getenv("TAP_EMULATED"))
		tap_skip("the process may have a thread of somebody else");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		tap_child(&c, names[i]);
		expect_child(&c, 2, ASLEEP);
	}
}

static void ends_the_wait(void *c)
{
	goro_put((goro_chan *)c, 1);
}

GORO_CASE(pending_timer_is_no_deadlock, .id = "DIA-01")
{
	goro_chan *c = goro_chan_of(int, 0);
	goro_timer *t = must(goro_timer_func(GORO_MS(300), ends_the_wait, c));
	goro_get(c, int);
	goro_timer_free(t);
	goro_chan_unref(c);
}

TAP_MAIN
