/*
 * threads.c - DIA-01, 08: threads that the runtime did not make, before, during and after a run.
 *
 *   pthread_create -> any call of goro.h -> what it does there
 *                  -> does the thread hide a deadlock? docs/threads-and-tls.md has the list
 *
 * thr.c has channels, sleep and spawn between threads and goroutines; stress/threads.c all at once.
 *
 * Go: testprogcgo: CgoCallbackGC, CgoExternalThreadPanic; checkdead in runtime/proc.go.
 */
#include "goro_tap.h"

static pthread_t start_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, fn, arg), 0);
	return thread;
}

/* ---- every call ---- */

enum moment { BEFORE, DURING, AFTER };

struct visit {
	enum moment moment;
	goro_chan *done;
	int n_spawned;
};

static void counts(void *n)
{
	add((int *)n, 1);
}

static void counts_copy(void *n)
{
	counts(*(int **)n);
}

static void call_yield(void *unused)
{
	(void)unused;
	goro_yield();
}

static void call_exit(void *unused)
{
	(void)unused;
	goro_exit();
}

static void call_defer(void *n)
{
	goro_defer(counts, n);
}

static void call_panic(void *unused)
{
	(void)unused;
	goro_panic("thread %d", 7);
}

static void call_go(void *n)
{
	go(counts, n);
}

static void visits_what_makes_no_sense(void)
{
	int n = 0;
	expect_str(panic_of(call_yield, NULL).text, "goro_yield outside a goroutine");
	expect_str(panic_of(call_exit, NULL).text, "goro_exit outside a goroutine");
	expect_str(panic_of(call_defer, &n).text, "goro_defer outside a goroutine");
	expect_str(panic_of(call_panic, NULL).text, "thread 7");
	expect_eq(n, 0);
}

static void visits_spawning(struct visit *v)
{
	struct goro_attr attr = {.stack_size = 1 << 16, .name = "from a thread"};
	int *n = &v->n_spawned;
	int expected = v->moment == DURING ? 0 : -EPERM;
	expect_eq(goro_spawn(counts, n), expected);
	expect_eq(goro_spawn_attr(&attr, counts, n), expected);
	expect_eq(goro_spawn_copy(counts_copy, &n, sizeof(n)), expected);
	struct caught caught = panic_of(call_go, n);
	expect_eq(caught.text[0] == '\0', v->moment == DURING);
}

static void visits_asking(struct visit *v)
{
	int64_t now = goro_now();
	char *text = dump_text();
	expect_eq(text[0] != '\0', v->moment == DURING);
	free(text);
	expect_eq(goro_id(), 0);
	goro_set_name("nobody");
	goro_checkpoint();
	goro_lock_thread();
	goro_unlock_thread();
	goro_unlock_thread();
	expect_eq(goro_count() > 0, v->moment == DURING);
	expect_ge(goro_maxprocs(0), 1);
	int limit = goro_maxthreads(0);
	expect_eq(goro_maxthreads(limit - 1), limit);
	expect_eq(goro_maxthreads(limit), limit - 1);
	expect_ge(goro_now(), now);
	expect_gt(now, 0);
}

static void visits_changing_procs(struct visit *v)
{
	int n = goro_maxprocs(0);
	expect_eq(goro_maxprocs(n + 1), n);
	expect_eq(goro_maxprocs(n), v->moment == DURING ? n + 1 : n);
	expect_eq(goro_maxprocs(0), n);
}

static void *thread_visits_channels(void *unused)
{
	goro_chan *c = goro_chan_of(int, 2);
	int64_t start = goro_now(), soon = start + GORO_US(200);
	int value = 1;
	errno = EDOM;
	goro_put(c, 1);
	expect_eq(goro_chan_trysend(c, &value), 0);
	expect_eq(goro_chan_trysend(c, &value), -EAGAIN);
	expect_eq(goro_chan_send_until(c, &value, soon), -ETIMEDOUT);
	expect_ge(goro_now(), soon);
	expect_eq(goro_chan_len(c), 2);
	expect_eq(goro_chan_cap(c), 2);
	expect_eq(goro_get(c, int), 1);
	goro_chan_close(goro_chan_ref(c));
	goro_chan_unref(c);
	expect_eq(goro_chan_recv_until(c, &value, GORO_POLL), 0);
	expect_eq(goro_chan_tryrecv(c, &value), -EPIPE);
	expect(!goro_chan_recv(c, NULL));
	goro_chan_unref(c);
	expect_eq(goro_chan_recv_until(NULL, NULL, goro_now() + GORO_US(50)), -ETIMEDOUT);
	goro_sleep(GORO_US(50));
	goro_sleep_until(goro_now() + GORO_US(50));
	goro_sleep(0);
	expect_eq(errno, EDOM);
	return unused;
}

static void visits_select(void)
{
	goro_chan *a = goro_chan_of(int, 1), *b = goro_chan_of(int, 0);
	int value = 3, got = 0;
	bool ok = false;
	goro_case cases[] = {GORO_RECV(b, &got), GORO_SEND(a, &value), GORO_RECV(NULL, NULL)};
	expect_eq(goro_select(cases, 3, GORO_FOREVER), 1);
	expect_eq(goro_select(cases, 1, GORO_POLL), -ETIMEDOUT);
	expect_eq(goro_select(cases, 3, goro_now() + GORO_US(200)), -ETIMEDOUT);
	expect_eq(goro_select_of(GORO_FOREVER, GORO_RECV_OK(a, &got, &ok)), 0);
	expect(ok && got == 3);
	goro_chan_close(b);
	expect_eq(goro_select(cases, 1, GORO_FOREVER), 0);
	expect_eq(got, 0);
	goro_chan_unref(a);
	goro_chan_unref(b);
}

static void visits_locks(void)
{
	goro_mutex m = {0};
	goro_rwmutex rw = {0};
	goro_cond cond = {0};
	int64_t soon = goro_now() + GORO_US(200);
	goro_mutex_lock(&m);
	expect(!goro_mutex_trylock(&m));
	expect_eq(goro_mutex_lock_until(&m, soon), -ETIMEDOUT);
	expect_eq(goro_cond_wait_until(&cond, &m, soon), -ETIMEDOUT);
	goro_cond_signal(&cond);
	goro_cond_broadcast(&cond);
	goro_mutex_unlock(&m);
	goro_rwmutex_rdlock(&rw);
	expect(goro_rwmutex_tryrdlock(&rw));
	expect_eq(goro_rwmutex_wrlock_until(&rw, goro_now() + GORO_US(200)), -ETIMEDOUT);
	goro_rwmutex_rdunlock(&rw);
	goro_rwmutex_rdunlock(&rw);
	goro_rwmutex_wrlock(&rw);
	expect_eq(goro_rwmutex_rdlock_until(&rw, goro_now() + GORO_US(200)), -ETIMEDOUT);
	goro_rwmutex_wrunlock(&rw);
}

static void visits_counters(void)
{
	goro_waitgroup wg = {0};
	goro_sem sem;
	goro_once once = {0};
	int n = 0;
	goro_waitgroup_add(&wg, 1);
	expect_eq(goro_waitgroup_wait_until(&wg, goro_now() + GORO_US(200)), -ETIMEDOUT);
	goro_waitgroup_done(&wg);
	goro_waitgroup_wait(&wg);
	goro_sem_init(&sem, 2);
	goro_sem_acquire(&sem, 2);
	expect(!goro_sem_tryacquire(&sem, 1));
	expect_eq(goro_sem_acquire_until(&sem, 1, goro_now() + GORO_US(200)), -ETIMEDOUT);
	goro_sem_release(&sem, 2);
	expect_eq(goro_sem_acquire_until(&sem, 2, GORO_FOREVER), 0);
	for (int i = 0; i < 3; i++)
		goro_once_do(&once, counts, &n);
	expect_eq(n, 1);
}

static void visits_timers(struct visit *v)
{
	int n = 0;
	goro_timer *func = goro_timer_func(GORO_US(100), counts, &n);
	goro_timer *timer = goro_timer_chan(GORO_US(100)), *ticker = goro_ticker(GORO_US(100));
	expect_eq(func != NULL, v->moment == DURING);
	expect_eq(timer != NULL, v->moment == DURING);
	expect_eq(ticker != NULL, v->moment == DURING);
	if (v->moment != DURING)
		return;
	expect(goro_chan_recv(goro_timer_c(timer), NULL));
	expect(!goro_timer_stop(timer));
	expect(!goro_timer_reset(timer, GORO_SEC(1000)));
	expect(goro_timer_stop(timer));
	for (int i = 0; i < 3; i++)
		expect(goro_chan_recv(goro_timer_c(ticker), NULL));
	wait_for(load(&n) == 1);
	goro_timer_free(func);
	goro_timer_free(timer);
	goro_timer_free(ticker);
}

static void *thread_visits(void *arg)
{
	struct visit *v = arg;
	visits_what_makes_no_sense();
	visits_spawning(v);
	visits_asking(v);
	thread_visits_channels(NULL);
	visits_select();
	visits_locks();
	visits_counters();
	visits_timers(v);
	goro_chan_send(v->done, NULL);
	return NULL;
}

enum { VISITORS = 3 };

static void visit_from_threads(enum moment moment)
{
	struct visit v = {.moment = moment, .done = goro_chan_make(0, VISITORS)};
	pthread_t threads[VISITORS];
	/* One alone, because they would take each other's change for a mistake. */
	threads[0] = start_thread(thread_visits, &v);
	goro_chan_recv(v.done, NULL);
	pthread_join(threads[0], NULL);
	visits_changing_procs(&v);
	for (int i = 0; i < VISITORS; i++)
		threads[i] = start_thread(thread_visits_channels, NULL);
	for (int i = 0; i < VISITORS; i++)
		pthread_join(threads[i], NULL);
	wait_for(moment != DURING || goro_count() == 1);
	expect_eq(v.n_spawned, moment == DURING ? 4 : 0);
	goro_chan_unref(v.done);
}

static int run_visited(void *unused)
{
	(void)unused;
	visit_from_threads(DURING);
	return 0;
}

TAP_CASE(every_call_works_or_panics_in_a_plain_thread_at_any_time, .id = "DIA-08")
{
	visit_from_threads(BEFORE);
	for (int i = 0; i < 3; i++) {
		expect_eq(goro_run(run_visited, NULL), 0);
		visit_from_threads(AFTER);
	}
}

/* ---- threads that are there longer than a run ---- */

struct over_runs {
	goro_chan *c, *back;
	int n_given;
	pid_t tid;
};

static void *thread_doubles(void *arg)
{
	struct over_runs *o = arg;
	int value;
	store(&o->tid, thread_id());
	while (goro_chan_recv(o->c, &value))
		goro_put(o->back, 2 * value);
	return NULL;
}

static int run_asks(void *arg)
{
	struct over_runs *o = arg;
	for (int i = 0; i < 100; i++) {
		int value = ++o->n_given;
		goro_put(o->c, value);
		expect_eq(goro_get(o->back, int), 2 * value);
	}
	return 0;
}

/* It waits in the same call while no runtime runs, and while one begins or ends. */
TAP_CASE(plain_thread_waits_from_one_run_to_the_next, .id = "DIA-08")
{
	struct over_runs o = {.c = goro_chan_of(int, 0), .back = goro_chan_of(int, 0)};
	pthread_t thread = start_thread(thread_doubles, &o);
	wait_for(load(&o.tid) != 0);
	for (int i = 0; i < 20; i++) {
		if (!getenv("TAP_EMULATED"))
			wait_for(is_thread_asleep(o.tid));
		expect_eq(goro_run(run_asks, &o), 0);
		expect_eq(run_asks(&o), 0);
	}
	goro_chan_close(o.c);
	pthread_join(thread, NULL);
	expect_eq(o.n_given, 4000);
}

static int run_is_busy(void *unused)
{
	(void)unused;
	return 1;
}

static void *thread_runs(void *arg)
{
	int *n_wrong = arg;
	for (int i = 0; i < 50; i++)
		add(n_wrong, goro_run(run_is_busy, NULL) != -EBUSY);
	return NULL;
}

static int run_keeps_others_out(void *n_wrong)
{
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		threads[i] = start_thread(thread_runs, n_wrong);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	expect_eq(goro_run(run_is_busy, NULL), -EBUSY);
	return 0;
}

static void *thread_is_the_runs(void *n_wrong)
{
	expect_eq(goro_run(run_keeps_others_out, n_wrong), 0);
	return NULL;
}

TAP_CASE(one_thread_runs_the_runtime_and_the_others_are_told_so, .id = "DIA-08")
{
	int n_wrong = 0;
	for (int i = 0; i < 3; i++)
		pthread_join(start_thread(thread_is_the_runs, &n_wrong), NULL);
	expect_eq(n_wrong, 0);
}

/* ---- which threads hide a deadlock ---- */

static goro_chan *shared;

static void parks(void)
{
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

static void *thread_receives(void *c)
{
	goro_chan_recv(c, NULL);
	return NULL;
}

static void *thread_sends(void *c)
{
	goro_chan_send(c, NULL);
	return NULL;
}

static void *thread_receives_until_forever(void *c)
{
	goro_chan_recv_until(c, NULL, GORO_FOREVER);
	return NULL;
}

static void *thread_selects(void *c)
{
	goro_select_of(GORO_FOREVER, GORO_RECV(c, NULL), GORO_SEND(NULL, NULL));
	return NULL;
}

static goro_mutex shared_mutex;

static void *thread_locks(void *unused)
{
	goro_mutex_lock(&shared_mutex);
	return unused;
}

static void *thread_waits_for_a_group(void *unused)
{
	static goro_waitgroup wg;
	goro_waitgroup_add(&wg, 1);
	goro_waitgroup_wait(&wg);
	return unused;
}

static void *thread_comes_back_and_parks(void *c)
{
	goro_chan_recv_until(c, NULL, goro_now() + GORO_MS(150));
	tap_pause(GORO_MS(50));
	goro_chan_recv(c, NULL);
	return NULL;
}

static void *thread_ends(void *unused)
{
	tap_pause(GORO_MS(50));
	return unused;
}

static void *thread_wakes_its_like(void *c)
{
	tap_pause(GORO_MS(50));
	goro_chan_send(c, NULL);
	goro_chan_recv(c, NULL);
	return NULL;
}

GORO_CHILD(beside_waiting_threads)
{
	shared = goro_chan_make(0, 0);
	start_thread(thread_receives, NULL);
	start_thread(thread_sends, NULL);
	start_thread(thread_receives, shared);
	start_thread(thread_receives_until_forever, shared);
	start_thread(thread_selects, shared);
	start_thread(thread_waits_for_a_group, NULL);
	goro_mutex_lock(&shared_mutex);
	start_thread(thread_locks, NULL);
	parks();
}

GORO_CHILD(beside_a_thread_that_parks_later)
{
	shared = goro_chan_make(0, 0);
	start_thread(thread_comes_back_and_parks, shared);
	parks();
}

GORO_CHILD(beside_a_thread_that_ends)
{
	start_thread(thread_ends, NULL);
	parks();
}

GORO_CHILD(beside_threads_that_wake_each_other)
{
	shared = goro_chan_make(0, 0);
	start_thread(thread_receives, shared);
	start_thread(thread_wakes_its_like, shared);
	parks();
}

static int run_parks(void *unused)
{
	(void)unused;
	parks();
	return 0;
}

static int run_nothing(void *unused)
{
	(void)unused;
	return 0;
}

TAP_CHILD(beside_a_thread_of_an_earlier_run)
{
	start_thread(thread_receives, NULL);
	goro_run(run_nothing, NULL);
	goro_run(run_parks, NULL);
}

TAP_CASE(thread_that_waits_for_others_hides_no_deadlock, .id = "DIA-01")
{
	static const char *const names[] = {
		"beside_waiting_threads", "beside_a_thread_that_parks_later",
		"beside_a_thread_that_ends", "beside_threads_that_wake_each_other",
		"beside_a_thread_of_an_earlier_run"};
	if (TAP_SANITIZED || getenv("TAP_EMULATED"))
		tap_skip("the process has threads of somebody else");
	for (int i = 0; i < 5; i++) {
		struct tap_child c;
		tap_child(&c, names[i]);
		expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	}
}

/* Each of these goes on, and wakes main; a report would have ended the process before. */
static void *thread_runs_and_sends(void *c)
{
	for (int64_t end = tap_now() + GORO_MS(300); tap_now() < end;)
		continue;
	goro_chan_send(c, NULL);
	return NULL;
}

static void *thread_blocks_in_the_kernel_and_sends(void *c)
{
	struct pollfd nothing = {.fd = -1};
	poll(&nothing, 1, 300);
	goro_chan_send(c, NULL);
	return NULL;
}

static void *thread_sleeps_and_sends(void *c)
{
	goro_sleep(GORO_MS(300));
	goro_chan_send(c, NULL);
	return NULL;
}

static void *thread_times_out_and_sends(void *c)
{
	goro_chan_recv_until(NULL, NULL, goro_now() + GORO_MS(300));
	goro_chan_send(c, NULL);
	return NULL;
}

static void *thread_selects_in_vain_and_sends(void *c)
{
	goro_mutex held = {0};
	goro_mutex_lock(&held);
	goro_select(NULL, 0, goro_now() + GORO_MS(150));
	goro_mutex_lock_until(&held, goro_now() + GORO_MS(150));
	goro_chan_send(c, NULL);
	return NULL;
}

static void *thread_sends_in_vain_and_sends(void *c)
{
	goro_chan_send_until(goro_chan_make(0, 0), NULL, goro_now() + GORO_MS(300));
	goro_chan_send(c, NULL);
	return NULL;
}

static void sends(void *c)
{
	goro_chan_send(c, NULL);
}

static void *thread_spawns_a_sender(void *c)
{
	tap_pause(GORO_MS(300));
	goro_spawn(sends, c);
	parks();
	return NULL;
}

static void *thread_joins_one_that_sends(void *c)
{
	pthread_join(start_thread(thread_sleeps_and_sends, c), NULL);
	return NULL;
}

GORO_CASE(thread_that_could_still_act_hides_a_deadlock, .id = "DIA-01", .is_idle = true)
{
	static void *(*const what[])(void *) = {
		thread_runs_and_sends,	    thread_blocks_in_the_kernel_and_sends,
		thread_sleeps_and_sends,    thread_times_out_and_sends,
		thread_spawns_a_sender,     thread_sends_in_vain_and_sends,
		thread_joins_one_that_sends, thread_selects_in_vain_and_sends};
	for (int i = 0; i < 8; i++) {
		goro_chan *c = goro_chan_make(0, 0);
		start_thread(what[i], c);
		goro_chan_recv(c, NULL);
		wait_for(goro_count() == 1);
	}
}

static void *thread_runs_main(void *unused)
{
	(void)unused;
	goro_run(run_parks, NULL);
	return NULL;
}

static void ends_well(int signo)
{
	(void)signo;
	_exit(7);
}

/* The joining thread is not the runtime's, and nobody knows what it waits for. */
TAP_CHILD(run_in_a_thread_that_is_joined)
{
	signal(SIGALRM, ends_well);
	alarm(2);
	pthread_join(start_thread(thread_runs_main, NULL), NULL);
}

static void *thread_sleeps_for_ever(void *unused)
{
	goro_sleep(GORO_FOREVER);
	return unused;
}

GORO_CHILD(beside_a_thread_that_sleeps_for_ever)
{
	signal(SIGALRM, ends_well);
	alarm(2);
	start_thread(thread_sleeps_for_ever, NULL);
	parks();
}

TAP_CASE(thread_of_which_nothing_is_known_hides_a_deadlock, .id = "DIA-01", .procs = "2")
{
	struct tap_child c;
	tap_child(&c, "run_in_a_thread_that_is_joined");
	expect_eq(c.status, 7);
	expect_str(c.err, "");
	tap_child(&c, "beside_a_thread_that_sleeps_for_ever");
	expect_eq(c.status, 7);
	expect_str(c.err, "");
}

TAP_MAIN
