/*
 * runtime.c - the runtime as a whole, while the n-th mmap, madvise, clone, futex or malloc fails.
 *
 *   sleepers, maxprocs up and down, plain threads, locked threads, dumps, channels, two runs
 *   in turn
 *
 * sweep.h tells what a run must come to.
 */
#include "sweep.h"

/* ---- sleepers ---- */

static int n_awake, n_early;

static void sleeps_some(void *arg)
{
	int64_t ns = GORO_US(200) * (int64_t)(intptr_t)arg, start = goro_now();
	goro_sleep(ns);
	add(&n_early, goro_now() < start + ns);
	add(&n_awake, 1);
}

static int lets_them_sleep(void *unused)
{
	int n = 0, value = 5;
	(void)unused;
	store(&n_awake, 0);
	/* More than the first heap of a P holds. */
	for (intptr_t i = 0; i < 200; i++)
		n += is_granted(goro_spawn(sleeps_some, (void *)(i % 8)));
	goro_chan *c = make_chan(sizeof(int), 0);
	if (c != NULL) {
		int64_t soon = goro_now() + GORO_MS(1);
		expect_eq(goro_chan_recv_until(c, &value, soon), -ETIMEDOUT);
		expect_ge(goro_now(), soon);
		expect_eq(goro_chan_send_until(c, &value, goro_now() + GORO_US(100)), -ETIMEDOUT);
		expect_eq(value, 5);
	}
	wait_for(load(&n_awake) == n);
	wait_for(goro_count() == 1);
	expect_eq(n_early, 0);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void sleepers(void)
{
	run_main(lets_them_sleep, NULL);
}

SWEEP(sleepers, .procs = "2")

/* ---- maxprocs up and down, with work and timers on every P ---- */

struct work {
	goro_chan *c;
	int is_over, n_ended, n_sent;
};

static void works(void *arg)
{
	struct work *w = arg;
	while (!load(&w->is_over)) {
		add(&w->n_sent, goro_chan_trysend(w->c, NULL) == 0);
		goro_yield();
		goro_sleep(GORO_US(20));
	}
	add(&w->n_ended, 1);
}

static int changes_maxprocs(void *unused)
{
	static const int wanted[] = {4, 1, 8, 2, 3, 12, 1};
	struct work w = {.c = make_chan(0, 4)};
	int n = 0, n_received = 0, now = goro_maxprocs(0);
	(void)unused;
	for (int i = 0; i < 6; i++)
		n += w.c != NULL && is_granted(goro_spawn(works, &w));
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		expect_eq(goro_maxprocs(wanted[i]), now);
		now = goro_maxprocs(0);
		/*
		 * Out of memory: the number stays what it was, and can be had once there is some.
		 */
		if (now != wanted[i] && !sweep_persists) {
			expect(fault_was_met());
			goro_maxprocs(wanted[i]);
			now = goro_maxprocs(0);
		}
		expect(now == wanted[i] || (fault_was_met() && sweep_persists));
		for (int j = 0; j < 20; j++) {
			n_received += w.c != NULL && goro_chan_tryrecv(w.c, NULL) == 0;
			goro_yield();
		}
	}
	store(&w.is_over, 1);
	wait_for(load(&w.n_ended) == n);
	wait_for(goro_count() == 1);
	while (w.c != NULL && goro_chan_tryrecv(w.c, NULL) == 0)
		n_received++;
	expect_eq(n_received, w.n_sent);
	goro_chan_unref(w.c);
	return MAIN_VALUE;
}

static void maxprocs(void)
{
	run_main(changes_maxprocs, NULL);
}

SWEEP(maxprocs, .procs = "4")

/* ---- plain threads that spawn, send and receive ---- */

enum { EACH = 25, THREADS = 2 };

struct letter {
	int value; /* 0: a thread's last one */
	int n_refused;
};

static void sends_a_letter(void *c)
{
	goro_chan_send(c, &(struct letter){.value = 1});
}

static void *writes_letters(void *c)
{
	struct letter last = {0};
	for (int i = 0; i < EACH; i++) {
		last.n_refused += !is_granted(goro_spawn(sends_a_letter, c));
		goro_chan_send(c, &(struct letter){.value = 1});
	}
	goro_chan_send(c, &last);
	return NULL;
}

static int reads_letters(void *unused)
{
	pthread_t thread[THREADS];
	int n = 0, n_refused = 0, n_last = 0;
	goro_chan *c = make_chan(sizeof(struct letter), 0);
	(void)unused;
	if (c == NULL)
		return MAIN_VALUE;
	for (int i = 0; i < THREADS; i++)
		require_eq(pthread_create(&thread[i], NULL, writes_letters, c), 0);
	while (n_last < THREADS || n < 2 * THREADS * EACH - n_refused) {
		struct letter l = goro_get(c, struct letter);
		n += l.value;
		n_last += l.value == 0;
		n_refused += l.n_refused;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	wait_for(goro_count() == 1);
	expect_eq(goro_chan_tryrecv(c, NULL), -EAGAIN);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void plain_threads(void)
{
	run_main(reads_letters, NULL);
}

SWEEP(plain_threads, .procs = "2")

/* ---- goroutines that keep a thread ---- */

static int n_locked_ended;

static void keeps_its_thread(void *c)
{
	pid_t tid;
	goro_lock_thread();
	tid = thread_id();
	for (int i = 0; i < 5; i++) {
		goro_chan_recv(c, NULL);
		expect_eq(thread_id(), tid);
		goro_yield();
		expect_eq(thread_id(), tid);
	}
	if (tid % 2 == 0)
		goro_unlock_thread();
	add(&n_locked_ended, 1);
}

static int feeds_locked(void *unused)
{
	int n = 0;
	goro_chan *c = make_chan(0, 0);
	(void)unused;
	store(&n_locked_ended, 0);
	if (c == NULL)
		return MAIN_VALUE;
	for (int i = 0; i < 6; i++)
		n += is_granted(goro_spawn(keeps_its_thread, c));
	for (int i = 0; i < 5 * n; i++)
		goro_chan_send(c, NULL);
	wait_for(goro_count() == 1);
	expect_eq(n_locked_ended, n);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void locked_threads(void)
{
	run_main(feeds_locked, NULL);
}

SWEEP(locked_threads, .procs = "1,4")

/* ---- a dump ---- */

static int n_parking;

static void parks(void *c)
{
	add(&n_parking, 1);
	goro_chan_recv(c, NULL);
}

static int dumps_them(void *unused)
{
	int n = 0;
	goro_chan *c = make_chan(0, 0);
	(void)unused;
	store(&n_parking, 0);
	if (c == NULL)
		return MAIN_VALUE;
	for (int i = 0; i < 5; i++)
		n += is_granted(goro_spawn(parks, c));
	wait_for(load(&n_parking) == n);
	char *text = dump_text();
	expect_eq(count_in(text, NULL), n + 1);
	expect_contains(text, "goroutine 1 [running]:\n");
	free(text);
	goro_chan_close(c);
	wait_for(goro_count() == 1);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void dump(void)
{
	run_main(dumps_them, NULL);
}

SWEEP(dump, .procs = "2")

/* ---- channels made and dropped ---- */

static void drops_a_reference(void *c)
{
	int value = 3;
	goro_chan_send(c, &value);
	goro_chan_unref(c);
}

static int makes_channels(void *unused)
{
	(void)unused;
	for (int i = 0; i < 40; i++) {
		goro_chan *c = make_chan(sizeof(int), (size_t)i * (size_t)i);
		if (c == NULL)
			continue;
		goro_chan_ref(c);
		if (is_granted(goro_spawn(drops_a_reference, c)))
			expect_eq(goro_get(c, int), 3);
		else
			goro_chan_unref(c);
		goro_chan_unref(c);
	}
	wait_for(goro_count() == 1);
	return MAIN_VALUE;
}

static void channels(void)
{
	run_main(makes_channels, NULL);
}

SWEEP(channels, .procs = "1")

/* ---- two runs in turn; the first leaves goroutines behind in every state ---- */

static goro_chan *left_channel;

static void is_left_parked(void *unused)
{
	(void)unused;
	goro_defer(sends_a_letter, NULL);
	goro_set_name("left behind");
	goro_chan_recv(left_channel, NULL);
	expect(!"reached");
}

static void is_left_asleep(void *unused)
{
	(void)unused;
	goro_sleep(GORO_SEC(1000));
	expect(!"reached");
}

/* Its defer may panic for want of memory: then it ends instead of being left. */
static void tries_to_be_left(void *unused)
{
	char text[128] = "";
	if (!goro_try(is_left_parked, unused, text, sizeof(text)))
		expect_str(text, "goro_defer: out of memory");
}

static void is_left_unstarted(void *arg)
{
	(void)arg;
}

static int leaves_them(void *unused)
{
	char bytes[600] = {0};
	struct goro_attr attr = {.name = "left too", .stack_size = 64 << 10};
	for (int i = 0; i < 4; i++) {
		(void)is_granted(goro_spawn(tries_to_be_left, unused));
		(void)is_granted(goro_spawn_attr(&attr, tries_to_be_left, unused));
		(void)is_granted(goro_spawn(is_left_asleep, unused));
	}
	for (int i = 0; i < 10; i++)
		goro_yield();
	for (int i = 0; i < 4; i++)
		(void)is_granted(goro_spawn_copy(is_left_unstarted, bytes, sizeof(bytes)));
	return MAIN_VALUE;
}

static int starts_anew(void *unused)
{
	expect_eq(goro_id(), 1);
	expect_eq(goro_count(), 1);
	char *text = dump_text();
	expect_eq(count_in(text, NULL), 1);
	expect_lacks(text, "left");
	free(text);
	return dumps_them(unused);
}

static void two_runs(void)
{
	left_channel = goro_chan_make(0, 0);
	run_main(leaves_them, NULL);
	/* Nobody waits on it any more: nothing is woken, and nothing is touched that is gone. */
	goro_chan_close(left_channel);
	goro_chan_unref(left_channel);
	run_main(starts_anew, NULL);
	expect_eq(goro_count(), 0);
}

SWEEP(two_runs, .procs = "2")

TAP_MAIN
