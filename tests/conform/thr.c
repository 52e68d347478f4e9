/*
 * thr.c - SYS-05, and threads that the runtime did not make.
 *
 *   goro_lock_thread -> the goroutine's own thread;   pthread_create -> channels, sleep, spawn
 *
 * SYS-05 as far as channels, sleep and yield go; sockets, mutexes and announced system calls come
 * with their objects.
 *
 * Go: proc_test.go: TestBlockLocked, TestYieldLocked; testprog/lockosthread.go.
 */
#include "goro_tap.h"

/* ---- SYS-05 ---- */

struct locked {
	goro_chan *c, *back;
	pid_t tid;
	int n_children, n_on_our_thread, n_moved;
};

static void child_looks_where_it_is(struct locked *l)
{
	for (int i = 0; i < 5; i++) {
		if (thread_id() == l->tid)
			add(&l->n_on_our_thread, 1);
		goro_yield();
	}
	add(&l->n_children, 1);
}

static void check_still_here(struct locked *l)
{
	l->n_moved += thread_id() != l->tid;
}

static void answers(struct locked *l)
{
	while (goro_chan_recv(l->c, NULL))
		goro_chan_send(l->back, NULL);
}

/* Blocks in every way that there is; between any two of them the thread is the same. */
static void blocks_while_locked(struct locked *l)
{
	for (int i = 0; i < 50; i++) {
		go(child_looks_where_it_is, l);
		check_still_here(l);
		goro_chan_send(l->c, NULL);
		check_still_here(l);
		goro_chan_recv(l->back, NULL);
		check_still_here(l);
		goro_yield();
		check_still_here(l);
		goro_sleep(GORO_US(100));
		check_still_here(l);
		goro_chan_recv_until(NULL, NULL, goro_now() + GORO_US(50));
		check_still_here(l);
	}
	wait_for(load(&l->n_children) == 50);
	check_still_here(l);
}

static void locks_and_blocks(struct locked *l)
{
	goro_lock_thread();
	l->tid = thread_id();
	blocks_while_locked(l);
	goro_chan_close(l->c);
	goro_unlock_thread();
}

static void run_locked(bool is_main)
{
	struct locked l = {.c = goro_chan_make(0, 0), .back = goro_chan_make(0, 0)};
	go(answers, &l);
	if (is_main)
		locks_and_blocks(&l);
	else
		go(locks_and_blocks, &l);
	wait_for(goro_count() == 1);
	expect_eq(l.n_moved, 0);
	expect_eq(l.n_on_our_thread, 0);
	expect_eq(l.n_children, 50);
}

GORO_CASE(locked_goroutine_stays_on_its_thread_and_nobody_else_comes, .id = "SYS-05",
	  .is_race = true)
{
	run_locked(false);
}

GORO_CASE(locked_main_stays_on_its_thread_and_nobody_else_comes, .id = "SYS-05", .is_race = true)
{
	run_locked(true);
}

static int run_thread_is_kept(void *tid)
{
	goro_lock_thread();
	for (int i = 0; i < 50; i++) {
		expect_eq(thread_id(), *(pid_t *)tid);
		goro_sleep(GORO_US(200));
	}
	return 0;
}

TAP_CASE(main_locked_by_its_first_call_stays_on_the_thread_of_goro_run, .id = "SYS-05")
{
	pid_t tid = thread_id();
	for (int i = 0; i < 5; i++)
		expect_eq(goro_run(run_thread_is_kept, &tid), 0);
}

static void is_locked_thread(struct locked *l)
{
	char state[STATE_MAX];
	char *text = dump_text();
	l->n_moved = state_in(text, goro_id(), state) && strstr(state, "locked to thread") != NULL;
	free(text);
}

GORO_CASE(children_of_a_locked_goroutine_are_not_locked, .id = "SYS-05")
{
	struct locked l = {.n_moved = -1};
	goro_lock_thread();
	go(is_locked_thread, &l);
	wait_for(goro_count() == 1);
	expect_eq(l.n_moved, 0);
	is_locked_thread(&l);
	expect_eq(l.n_moved, 1);
	goro_unlock_thread();
	is_locked_thread(&l);
	expect_eq(l.n_moved, 0);
}

GORO_CASE(lock_nests, .id = "SYS-05")
{
	struct locked l = {0};
	goro_unlock_thread();
	for (int i = 0; i < 3; i++)
		goro_lock_thread();
	for (int i = 0; i < 3; i++) {
		is_locked_thread(&l);
		expect_eq(l.n_moved, 1);
		goro_unlock_thread();
	}
	is_locked_thread(&l);
	expect_eq(l.n_moved, 0);
	goro_unlock_thread();
	goro_lock_thread();
	is_locked_thread(&l);
	expect_eq(l.n_moved, 1);
}

static void locks_and_answers(struct locked *l)
{
	goro_lock_thread();
	l->tid = thread_id();
	while (goro_chan_recv(l->c, NULL)) {
		check_still_here(l);
		goro_chan_send(l->back, NULL);
		check_still_here(l);
	}
}

/* Each hand-over goes to another thread and back. */
GORO_CASE(locked_and_unlocked_exchange, .id = "SYS-05", .is_race = true)
{
	struct locked l = {.c = goro_chan_make(0, 0), .back = goro_chan_make(0, 0)};
	go(locks_and_answers, &l);
	for (int i = 0; i < 2000 / TAP_SLOWER; i++) {
		goro_chan_send(l.c, NULL);
		goro_chan_recv(l.back, NULL);
	}
	goro_chan_close(l.c);
	wait_for(goro_count() == 1);
	expect_eq(l.n_moved, 0);
}

GORO_CASE(two_locked_exchange, .id = "SYS-05", .is_race = true)
{
	struct locked l = {.c = goro_chan_make(0, 0), .back = goro_chan_make(0, 1)};
	goro_lock_thread();
	go(locks_and_answers, &l);
	for (int i = 0; i < 2000 / TAP_SLOWER; i++) {
		goro_chan_send(l.c, NULL);
		goro_chan_recv(l.back, NULL);
	}
	goro_chan_close(l.c);
	wait_for(goro_count() == 1);
	expect_eq(l.n_moved, 0);
}

static int n_hops;

static void hops(goro_chan *from, goro_chan *to)
{
	goro_lock_thread();
	while (goro_chan_recv(from, NULL)) {
		add(&n_hops, 1);
		if (goro_chan_trysend(to, NULL) != 0)
			return;
	}
}

/* On one P: as for others that wake each other, the global queue has its turn after 61 of them. */
GORO_CASE(two_locked_that_wake_each_other_do_not_shut_out_the_rest, .id = "SYS-05", .procs = "1")
{
	enum { N_YIELDS = 20 };
	goro_chan *a = goro_chan_make(0, 1), *b = goro_chan_make(0, 1);
	go(hops, a, b);
	go(hops, b, a);
	wait_until_n_parked(2, "chan receive");
	goro_chan_send(a, NULL);
	wait_for(load(&n_hops) > 10);
	int before = load(&n_hops);
	for (int i = 0; i < N_YIELDS; i++)
		goro_yield();
	expect_le(load(&n_hops) - before, N_YIELDS * 200);
	goro_chan_recv(a, NULL);
	goro_chan_close(a);
	goro_chan_close(b);
}

static void ends_locked(int *n_ended)
{
	goro_lock_thread();
	goro_yield();
	add(n_ended, 1);
}

/* Their threads end with them; otherwise a hundred would be left. */
GORO_CASE(goroutines_that_end_locked_end_their_threads, .id = "SYS-05", .is_race = true)
{
	int n_ended = 0;
	for (int i = 0; i < 100; i++) {
		go(ends_locked, &n_ended);
		if (i % 10 == 9)
			wait_for(goro_count() == 1);
	}
	wait_for(load(&n_ended) == 100 && goro_count() == 1);
	/* An instrumented program has threads of its own; so has the runtime. */
	wait_for(thread_count() <= goro_maxprocs(0) + 10);
}

/* ---- plain threads ---- */

enum { THREADS = 4, PER_THREAD = 2000 / TAP_SLOWER };

struct from_threads {
	goro_chan *c, *back, *done;
	int sum, n_errors;
	pid_t tid;
};

static void *thread_sends(void *arg)
{
	struct from_threads *f = arg;
	for (int i = 1; i <= PER_THREAD; i++)
		goro_chan_send(f->c, &i);
	return NULL;
}

static void *thread_receives(void *arg)
{
	struct from_threads *f = arg;
	int value;
	while (goro_chan_recv(f->c, &value))
		add(&f->sum, value);
	return NULL;
}

static void start_threads(pthread_t threads[], int n, void *(*fn)(void *), void *arg)
{
	for (int i = 0; i < n; i++)
		require_eq(pthread_create(&threads[i], NULL, fn, arg), 0);
}

/* The join blocks this thread, which is in a goroutine: so only when all have ended. */
static void join_threads(pthread_t threads[], int n)
{
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static int sum_of_all(void)
{
	return THREADS * (PER_THREAD * (PER_THREAD + 1) / 2);
}

GORO_CASE(plain_threads_send_to_goroutines, .is_race = true)
{
	for (size_t capacity = 0; capacity <= 8; capacity += 4) {
		pthread_t threads[THREADS];
		struct from_threads f = {.c = goro_chan_of(int, capacity)};
		int sum = 0;
		start_threads(threads, THREADS, thread_sends, &f);
		for (int i = 0; i < THREADS * PER_THREAD; i++)
			sum += goro_get(f.c, int);
		expect_eq(sum, sum_of_all());
		join_threads(threads, THREADS);
		goro_chan_unref(f.c);
	}
}

static void goroutine_sends(void *arg)
{
	struct from_threads *f = arg;
	thread_sends(f);
	goro_chan_send(f->done, NULL);
}

GORO_CASE(plain_threads_receive_from_goroutines, .is_race = true)
{
	for (size_t capacity = 0; capacity <= 8; capacity += 4) {
		pthread_t threads[THREADS];
		struct from_threads f = {.c = goro_chan_of(int, capacity),
					 .done = goro_chan_make(0, 0)};
		start_threads(threads, THREADS, thread_receives, &f);
		for (int i = 0; i < THREADS; i++)
			goro_spawn(goroutine_sends, &f);
		for (int i = 0; i < THREADS; i++)
			goro_chan_recv(f.done, NULL);
		goro_chan_close(f.c);
		join_threads(threads, THREADS);
		expect_eq(f.sum, sum_of_all());
	}
}

/* No runtime at all: a channel is then a queue between threads. */
TAP_CASE(plain_threads_exchange_without_a_runtime, .procs = "-")
{
	for (size_t capacity = 0; capacity <= 8; capacity += 4) {
		pthread_t senders[THREADS], receivers[THREADS];
		struct from_threads f = {.c = goro_chan_of(int, capacity)};
		start_threads(receivers, THREADS, thread_receives, &f);
		start_threads(senders, THREADS, thread_sends, &f);
		join_threads(senders, THREADS);
		goro_chan_close(f.c);
		join_threads(receivers, THREADS);
		expect_eq(f.sum, sum_of_all());
		goro_chan_unref(f.c);
	}
}

static void *thread_parks(void *arg)
{
	struct from_threads *f = arg;
	int value = -1;
	store(&f->tid, thread_id());
	add(&f->n_errors, !goro_chan_recv(f->c, &value) || value != 5);
	store(&f->tid, thread_id());
	goro_chan_send(f->back, &value);
	add(&f->n_errors, goro_chan_recv(f->c, &value) || value != 0);
	goro_chan_send(f->done, NULL);
	return NULL;
}

/* A waiting thread really sleeps, and a goroutine's send, receive and close wake it. */
GORO_CASE(parked_plain_thread_is_woken_by_each_operation)
{
	for (int round = 0; round < 20; round++) {
		struct from_threads f = {.c = goro_chan_of(int, 0),
					 .back = goro_chan_of(int, 0),
					 .done = goro_chan_make(0, 1)};
		pthread_t thread;
		start_threads(&thread, 1, thread_parks, &f);
		wait_for(load(&f.tid) != 0);
		wait_for(is_thread_asleep(f.tid));
		goro_put(f.c, 5);
		expect_eq(goro_get(f.back, int), 5);
		goro_chan_close(f.c);
		goro_chan_recv(f.done, NULL);
		join_threads(&thread, 1);
		expect_eq(f.n_errors, 0);
	}
}

static void *thread_sleeps_and_times_out(void *arg)
{
	struct from_threads *f = arg;
	goro_chan *c = goro_chan_of(int, 0);
	for (int i = 1; i <= 20; i++) {
		int64_t start = goro_now(), ns = GORO_US(100) * i;
		goro_sleep(ns);
		add(&f->n_errors, goro_now() - start < ns);
		start = goro_now();
		goro_sleep_until(start + ns);
		add(&f->n_errors, goro_now() < start + ns);
		add(&f->n_errors, goro_chan_recv_until(c, NULL, start + 2 * ns) != -ETIMEDOUT);
		add(&f->n_errors, goro_now() < start + 2 * ns);
		start = goro_now();
		add(&f->n_errors, goro_chan_send_until(c, "    ", start + ns) != -ETIMEDOUT);
		add(&f->n_errors, goro_now() < start + ns);
		add(&f->n_errors, goro_chan_recv_until(NULL, NULL, start + ns) != -ETIMEDOUT);
		add(&f->n_errors, goro_chan_tryrecv(c, NULL) != -EAGAIN);
		add(&f->n_errors, goro_chan_trysend(c, "    ") != -EAGAIN);
	}
	add(&f->n_errors, goro_id() != 0);
	goro_chan_send(f->done, NULL);
	return NULL;
}

GORO_CASE(plain_thread_sleeps_and_its_deadlines_are_never_early)
{
	struct from_threads f = {.done = goro_chan_make(0, 0)};
	pthread_t threads[3];
	start_threads(threads, 3, thread_sleeps_and_times_out, &f);
	for (int i = 0; i < 3; i++)
		goro_chan_recv(f.done, NULL);
	join_threads(threads, 3);
	expect_eq(f.n_errors, 0);
}

static void counts_itself(void *arg)
{
	struct from_threads *f = arg;
	add(&f->sum, goro_id() != 0);
}

static void *thread_spawns(void *arg)
{
	struct from_threads *f = arg;
	for (int i = 0; i < PER_THREAD; i++) {
		add(&f->n_errors, goro_spawn(counts_itself, f) != 0);
		if (i % 2 == 0)
			go(counts_itself, f);
	}
	goro_chan_send(f->done, NULL);
	return NULL;
}

/* Main is parked meanwhile: the thread's spawn must wake a sleeping worker. */
GORO_CASE(plain_threads_spawn, .is_race = true)
{
	struct from_threads f = {.done = goro_chan_make(0, 0)};
	pthread_t threads[THREADS];
	start_threads(threads, THREADS, thread_spawns, &f);
	for (int i = 0; i < THREADS; i++)
		goro_chan_recv(f.done, NULL);
	join_threads(threads, THREADS);
	wait_for(goro_count() == 1);
	expect_eq(f.sum, THREADS * (PER_THREAD + PER_THREAD / 2));
	expect_eq(f.n_errors, 0);
}

static void *thread_spawns_once(void *arg)
{
	tap_pause(GORO_MS(50));
	goro_spawn(goroutine_sends, arg);
	return NULL;
}

GORO_CASE(spawn_of_a_plain_thread_wakes_an_idle_runtime)
{
	struct from_threads f = {.c = goro_chan_of(int, PER_THREAD), .done = goro_chan_make(0, 0)};
	pthread_t thread;
	start_threads(&thread, 1, thread_spawns_once, &f);
	goro_chan_recv(f.done, NULL);
	join_threads(&thread, 1);
	expect_eq(goro_chan_len(f.c), PER_THREAD);
}

/* Threads and goroutines in one queue: who came first is served first. */
GORO_CASE(threads_and_goroutines_are_served_in_one_order)
{
	for (int round = 0; round < 20; round++) {
		struct from_threads f = {.c = goro_chan_of(int, 0),
					 .back = goro_chan_of(int, 1),
					 .done = goro_chan_make(0, 1)};
		struct role first = {.c = f.c}, third = {.c = f.c};
		pthread_t thread;
		start_parked(role_receives, &first, "chan receive");
		start_threads(&thread, 1, thread_parks, &f);
		wait_for(load(&f.tid) != 0);
		wait_for(is_thread_asleep(f.tid));
		start_parked(role_receives, &third, "chan receive");
		for (int i = 4; i <= 6; i++)
			goro_chan_send(f.c, &i);
		wait_for(goro_count() == 1);
		expect_eq(first.value, 4);
		expect_eq(third.value, 6);
		goro_chan_close(f.c);
		goro_chan_recv(f.done, NULL);
		join_threads(&thread, 1);
		expect_eq(f.n_errors, 0);
	}
}

static void *thread_closes_and_catches(void *arg)
{
	struct from_threads *f = arg;
	goro_chan_close(f->c);
	struct caught caught = panic_of(call_close, f->c);
	add(&f->n_errors, strcmp(caught.text, "close of closed channel") != 0);
	goro_chan_send(f->done, NULL);
	return NULL;
}

GORO_CASE(plain_thread_closes_and_catches_a_panic)
{
	struct from_threads f = {.c = goro_chan_of(int, 0), .done = goro_chan_make(0, 0)};
	struct role receiver = {.c = f.c, .ok = true};
	pthread_t thread;
	start_parked(role_receives, &receiver, "chan receive");
	start_threads(&thread, 1, thread_closes_and_catches, &f);
	goro_chan_recv(f.done, NULL);
	join_threads(&thread, 1);
	wait_for(goro_count() == 1);
	expect(!receiver.ok);
	expect_eq(f.n_errors, 0);
}

static void *thread_dumps(void *arg)
{
	struct from_threads *f = arg;
	wait_until_n_parked(2, "chan receive");
	for (int i = 0; i < 20; i++) {
		char *text = dump_text();
		add(&f->n_errors, count_in(text, "chan receive") < 2);
		free(text);
	}
	goro_chan_send(f->done, NULL);
	return NULL;
}

GORO_CASE(plain_thread_dumps)
{
	struct from_threads f = {.c = goro_chan_of(int, 0), .done = goro_chan_make(0, 0)};
	struct role receiver = {.c = f.c};
	pthread_t thread;
	start_parked(role_receives, &receiver, "chan receive");
	start_threads(&thread, 1, thread_dumps, &f);
	goro_chan_recv(f.done, NULL);
	join_threads(&thread, 1);
	expect_eq(f.n_errors, 0);
}

TAP_MAIN
