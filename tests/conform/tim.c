/*
 * tim.c - TIM-01 for sleeps: never early, in order, huge values, uncut by signals.
 *
 * Lower bounds hold in every attempt; upper ones are retried five times with a doubled scale.
 *
 * Go: sleep_test.go: TestSleep, TestAfterQueuing, TestOverflowSleep.
 */
#include "goro_tap.h"

static void ignores(int signo)
{
	(void)signo;
}

/* Sends signals to the process every 10 ms, from a process of its own, until it is killed. */
static pid_t start_signals(void)
{
	static const int signals[] = {SIGURG, SIGIO, SIGCHLD};
	pid_t parent = getpid(), pid = fork();
	require(pid >= 0);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0;; i++) {
		tap_pause(GORO_MS(10));
		if (kill(parent, signals[i % 3]) < 0)
			_exit(0);
	}
}

static int sleeps_uncut(void *unused)
{
	(void)unused;
	int64_t took = INT64_MAX, allowed = GORO_MS(130);
	for (int attempt = 0; attempt < 5 && took >= allowed; attempt++, allowed += GORO_MS(30)) {
		int64_t start = goro_now();
		goro_sleep(GORO_MS(100));
		took = goro_now() - start;
		expect_ge(took, GORO_MS(100));
	}
	expect_lt(took, allowed);
	return 0;
}

TAP_CASE(sleep_is_neither_early_nor_cut_by_signals, .id = "TIM-01", .is_alone = true)
{
	signal(SIGIO, ignores);
	signal(SIGCHLD, ignores);
	signal(SIGURG, ignores);
	pid_t pid = start_signals();
	expect_eq(goro_run(sleeps_uncut, NULL), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- thirteen sleepers ---- */

static const int slots[] = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};

enum { N_SLOTS = sizeof(slots) / sizeof(slots[0]) };

struct queue {
	int64_t start, slot_ns;
	int order[N_SLOTS];
	int n_ended;
	int64_t late_ns[N_SLOTS];
	bool came_late; /* somebody went to sleep after the start: its order is its own */
};

static void sleeps_its_slots(struct queue *q, int i)
{
	if (goro_now() >= q->start)
		q->came_late = true;
	goro_sleep_until(q->start + slots[i] * q->slot_ns);
	q->late_ns[i] = goro_now() - (q->start + slots[i] * q->slot_ns);
	q->order[add(&q->n_ended, 1) - 1] = slots[i];
}

GORO_CASE(sleepers_end_in_the_order_of_their_deadlines, .id = "TIM-01", .is_alone = true)
{
	bool is_fine = false;
	int64_t slot_ns = GORO_MS(20);
	for (int attempt = 0; attempt < 5 && !is_fine; attempt++, slot_ns *= 2) {
		struct queue q = {.start = goro_now(), .slot_ns = slot_ns};
		for (int i = 0; i < N_SLOTS; i++)
			go(sleeps_its_slots, &q, i);
		wait_for(load(&q.n_ended) == N_SLOTS);
		is_fine = true;
		for (int i = 0; i < N_SLOTS; i++) {
			expect_ge(q.late_ns[i], 0);
			is_fine = is_fine && q.late_ns[i] < 10 * slot_ns;
			is_fine = is_fine && (i == 0 || q.order[i - 1] <= q.order[i]);
		}
	}
	expect(is_fine);
}

/* The same at one P, where nothing can come between: also with steps of a microsecond. */
GORO_CASE(sleepers_end_in_order_also_microseconds_apart, .id = "TIM-01", .procs = "1")
{
	int n_in_time = 0;

	for (int round = 0; round < 50; round++) {
		struct queue q = {.start = goro_now() + GORO_MS(1), .slot_ns = GORO_US(1)};
		for (int i = 0; i < N_SLOTS; i++)
			go(sleeps_its_slots, &q, i);
		wait_for(load(&q.n_ended) == N_SLOTS);
		n_in_time += !q.came_late;
		for (int i = 0; i < N_SLOTS; i++) {
			expect_ge(q.late_ns[i], 0);
			expect(q.came_late || i == 0 || q.order[i - 1] <= q.order[i]);
		}
	}
	expect_ge(n_in_time, 1);
}

/* ---- huge and tiny ---- */

static int n_huge_ended;

static void sleeps_huge(int64_t ns, bool is_deadline)
{
	if (is_deadline)
		goro_sleep_until(ns);
	else
		goro_sleep(ns);
	add(&n_huge_ended, 1);
}

GORO_CASE(sleep_of_int64_max_never_ends_and_disturbs_no_other, .id = "TIM-01")
{
	for (int i = 0; i < 10; i++) {
		go(sleeps_huge, INT64_MAX - i, false);
		go(sleeps_huge, INT64_MAX - i, true);
		go(sleeps_huge, INT64_MAX / 2 + i, false);
	}
	wait_until_n_parked(30, "sleep");
	for (int i = 0; i < 5; i++) {
		int64_t start = goro_now();
		goro_sleep(GORO_MS(5));
		expect_ge(goro_now() - start, GORO_MS(5));
		expect_lt(goro_now() - start, GORO_SEC(5));
	}
	expect_eq(n_huge_ended, 0);
	expect_eq(parked_count("sleep"), 30);
}

GORO_CASE(sleep_of_nothing_or_less_returns_at_once, .id = "TIM-01")
{
	static const int64_t past[] = {0, -1, -5, INT64_MIN, INT64_MIN + 1};
	int64_t start = goro_now();
	for (int i = 0; i < 5; i++) {
		goro_sleep(past[i]);
		goro_sleep_until(past[i]);
	}
	goro_sleep_until(goro_now());
	goro_sleep_until(goro_now() - 1);
	expect_lt(goro_now() - start, GORO_SEC(1));
}

static void sleeps_random(int *n_early, int *n_ended, uint64_t seed)
{
	for (int i = 0; i < 20; i++) {
		int64_t ns = (int64_t)(tap_random(&seed) % 2000000);
		int64_t start = goro_now();
		if (i % 2 == 0)
			goro_sleep(ns);
		else
			goro_sleep_until(start + ns);
		if (goro_now() - start < ns)
			add(n_early, 1);
	}
	add(n_ended, 1);
}

GORO_CASE(no_sleep_of_many_ends_early, .id = "TIM-01", .is_race = true)
{
	enum { SLEEPERS = 1000 / TAP_SLOWER };
	int n_early = 0, n_ended = 0;
	for (int i = 0; i < SLEEPERS; i++)
		go(sleeps_random, &n_early, &n_ended, tap_seed() + (uint64_t)i);
	wait_for(load(&n_ended) == SLEEPERS);
	expect_eq(n_early, 0);
}

GORO_CASE(clock_is_monotonic_and_positive)
{
	int64_t last = 0;
	for (int i = 0; i < 100000; i++) {
		int64_t now = goro_now();
		require_ge(now, last);
		last = now;
		if (i % 1000 == 0)
			goro_yield();
	}
	expect_gt(last, 0);
	expect_ge(tap_now(), last);
	expect_lt(tap_now() - last, GORO_SEC(10));
}

/* ---- on an idle machine a sleep ends within 100 us of its time ---- */

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

enum { N_NAPS = 101 };

struct naps {
	int64_t ns, late[N_NAPS];
	goro_chan *ended;
};

static int64_t median_of(struct naps *n)
{
	qsort(n->late, N_NAPS, sizeof(n->late[0]), compare);
	return n->late[N_NAPS / 2];
}

static void *naps_in_the_kernel(void *arg)
{
	struct naps *n = arg;
	struct timespec nap = {n->ns / 1000000000, n->ns % 1000000000};
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	for (int i = 0; i < N_NAPS; i++) {
		int64_t start = tap_now();
		nanosleep(&nap, NULL);
		n->late[i] = tap_now() - start - n->ns;
	}
	goro_chan_send(n->ended, NULL);
	return NULL;
}

/* How late a plain thread is while all goroutines wait: the machine's own share. */
static int64_t machine_is_late(int64_t ns)
{
	struct naps n = {.ns = ns, .ended = goro_chan_make(0, 0)};
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, naps_in_the_kernel, &n), 0);
	goro_chan_recv(n.ended, NULL);
	pthread_join(thread, NULL);
	goro_chan_unref(n.ended);
	return median_of(&n);
}

/* Where the machine itself wakes a thread more than 50 us late, 50 us are what we may add. */
GORO_CASE(sleep_on_an_idle_machine_ends_within_100_us, .is_alone = true)
{
	static const int64_t naps_ns[] = {GORO_US(50), GORO_US(500), GORO_MS(1), GORO_MS(5)};
	enum { N = N_NAPS };
	static struct naps n;
	int64_t *late = n.late;
	for (int k = 0; k < 4; k++) {
		int64_t median = INT64_MAX, allowed = GORO_US(100) * TAP_SLOWER;
		for (int attempt = 0; attempt < 5 && median > allowed; attempt++) {
			for (int i = 0; i < N; i++) {
				int64_t start = goro_now();
				goro_sleep(naps_ns[k]);
				late[i] = goro_now() - start - naps_ns[k];
				expect_ge(late[i], 0);
			}
			median = median_of(&n);
			int64_t own = median > allowed ? machine_is_late(naps_ns[k]) : 0;
			if (own) {
				printf("# the machine's own: %" PRId64 " us\n", own / 1000);
				allowed = GORO_US(100) * TAP_SLOWER;
				if (own > allowed / 2)
					allowed = own + allowed / 2;
			}
		}
		printf("# sleeps of %" PRId64 " us: %" PRId64 " us late, a tenth %" PRId64 " us\n",
		       naps_ns[k] / 1000, median / 1000, late[N * 9 / 10] / 1000);
		expect_le(median, allowed);
	}
}

/* An earlier sleep that comes while a thread already waits for a later one. */
GORO_CASE(earlier_sleep_is_not_held_up_by_a_later_one, .id = "TIM-01", .is_alone = true)
{
	int64_t late = INT64_MAX, allowed = GORO_MS(20);
	go(sleeps_huge, GORO_SEC(1000), false);
	for (int attempt = 0; attempt < 5 && late > allowed; attempt++, allowed *= 2) {
		int ended = 0, early = 0;
		goro_sleep(GORO_MS(50));
		int64_t start = goro_now();
		go(sleeps_random, &early, &ended, UINT64_C(1));
		goro_sleep(GORO_MS(1));
		late = goro_now() - start - GORO_MS(1);
		expect_ge(late, 0);
		wait_for(load(&ended) == 1);
	}
	expect_le(late, allowed);
}

TAP_MAIN
