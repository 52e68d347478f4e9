/*
 * syn_once.c - SYN-12: once, and nobody back before it is over; SYN-12's memoising variant is not
 * part of the interface.
 *
 *   goro_once_do -> the first calls fn | the others wait for its end
 *
 * Go: once_test.go: TestOnce, TestOncePanic.
 */
#include "goro_tap.h"

struct job {
	goro_once once;
	goro_chan *gate;
	int value, n_begun, n_ended, n_back, n_early; /* value: plain */
};

static void works(void *arg)
{
	struct job *j = arg;
	add(&j->n_begun, 1);
	if (j->gate != NULL)
		goro_chan_recv(j->gate, NULL);
	j->value++;
	store(&j->n_ended, 1);
}

static void calls(void *arg)
{
	struct job *j = arg;
	goro_once_do(&j->once, works, j);
	if (!load(&j->n_ended) || j->value != 1)
		add(&j->n_early, 1);
	add(&j->n_back, 1);
}

static void *thread_calls(void *j)
{
	calls(j);
	return NULL;
}

GORO_CASE(ten_come_at_once_and_none_is_back_before_it_is_over, .id = "SYN-12", .is_race = true)
{
	struct job j = {.gate = goro_chan_make(0, 0)};
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_calls, &j), 0);
	for (int i = 0; i < 10; i++)
		goro_spawn(calls, &j);
	wait_for(load(&j.n_begun) == 1);
	for (int i = 0; i < 100; i++)
		goro_yield();
	expect_eq(load(&j.n_ended), 0);
	goro_chan_send(j.gate, NULL);
	wait_for(load(&j.n_back) == 12); /* before the joins, which keep the P from the others */
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	calls(&j);
	expect_eq(j.n_begun, 1);
	expect_eq(j.n_early, 0);
	goro_chan_unref(j.gate);
}

GORO_CASE(many_races_for_it_run_it_once_each, .id = "SYN-12", .is_race = true)
{
	for (int round = 0; round < 300; round++) {
		struct job j = {.value = 0};
		for (int i = 0; i < 6; i++)
			goro_spawn(calls, &j);
		calls(&j);
		wait_for(load(&j.n_back) == 7);
		expect_eq(j.n_begun, 1);
		expect_eq(j.n_early, 0);
	}
}

/* ---- a body that does not return ---- */

static void panics(void *arg)
{
	struct job *j = arg;
	add(&j->n_begun, 1);
	j->value = 1;
	store(&j->n_ended, 1);
	goro_panic("in the body");
}

static void calls_panicking(void *arg)
{
	goro_once_do(&((struct job *)arg)->once, panics, arg);
}

GORO_CASE(a_body_that_panics_counts_as_done, .id = "SYN-12")
{
	struct job j = {.value = 0};
	expect_str(panic_of(calls_panicking, &j).text, "in the body");
	calls_panicking(&j);
	calls(&j);
	expect_eq(j.n_begun, 1);
	expect_eq(j.n_early, 0);
}

static void thread_panics(void *arg)
{
	struct job *j = arg;
	expect_str(panic_of(calls_panicking, j).text, "in the body");
	calls_panicking(j);
}

static void *thread_calls_panicking(void *j)
{
	thread_panics(j);
	return NULL;
}

TAP_CASE(in_a_plain_thread_likewise, .id = "SYN-12", .procs = "-")
{
	struct job j = {.value = 0};
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_calls_panicking, &j), 0);
	pthread_join(thread, NULL);
	calls(&j);
	expect_eq(j.n_begun, 1);
}

enum { LONG = 3000 };

static void panics_at_length(void *arg)
{
	(void)arg;
	goro_panic("%0*d", LONG, 7);
}

static void calls_at_length(void *arg)
{
	goro_once_do(arg, panics_at_length, NULL);
}

static void *thread_panics_at_length(void *text)
{
	goro_once once = {0};
	expect(!goro_try(calls_at_length, &once, text, LONG + 1));
	return NULL;
}

TAP_CASE(a_long_panic_passes_whole_in_a_plain_thread, .id = "SYN-12", .procs = "-")
{
	char text[LONG + 1] = "";
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_panics_at_length, text), 0);
	pthread_join(thread, NULL);
	expect_eq(strlen(text), LONG);
}

static void waits_then_panics(void *arg)
{
	goro_chan_recv(((struct job *)arg)->gate, NULL);
	panics(arg);
}

static void calls_waiting(void *arg)
{
	goro_once_do(&((struct job *)arg)->once, waits_then_panics, arg);
}

static void tries_it(void *arg)
{
	expect_str(panic_of(calls_waiting, arg).text, "in the body");
	add(&((struct job *)arg)->n_back, 1);
}

GORO_CASE(who_waits_for_a_panicking_body_goes_on, .id = "SYN-12")
{
	struct job j = {.gate = goro_chan_make(0, 0)};
	goro_spawn(tries_it, &j);
	wait_until_n_parked(1, "chan receive");
	for (int i = 0; i < 5; i++)
		goro_spawn(calls, &j);
	wait_until_n_parked(5, "sync.Mutex.Lock");
	goro_chan_send(j.gate, NULL);
	wait_for(load(&j.n_back) == 6);
	expect_eq(j.n_begun, 1);
	expect_eq(j.n_early, 0);
	goro_chan_unref(j.gate);
}

static void exits(void *arg)
{
	struct job *j = arg;
	add(&j->n_begun, 1);
	j->value = 1;
	store(&j->n_ended, 1);
	goro_exit();
}

static void calls_exiting(void *arg)
{
	struct job *j = arg;
	goro_once_do(&j->once, exits, j);
	add(&j->n_early, 1); /* never comes back */
}

GORO_CASE(a_body_that_ends_its_goroutine_counts_as_done, .id = "SYN-12")
{
	struct job j = {.value = 0};
	goro_spawn(calls_exiting, &j);
	wait_for(goro_count() == 1);
	calls(&j);
	goro_once_do(&j.once, exits, &j);
	expect_eq(j.n_begun, 1);
	expect_eq(j.n_early, 0);
}

/* What the body defers belongs to the goroutine, and still runs in its order. */
static int order[8], n_order;

static void notes(void *number)
{
	order[n_order] = (int)(intptr_t)number;
	add(&n_order, 1);
}

static void defers(void *unused)
{
	(void)unused;
	goro_defer(notes, (void *)2);
}

static void defers_round_it(void *arg)
{
	goro_defer(notes, (void *)1);
	goro_once_do(arg, defers, NULL);
	goro_defer(notes, (void *)3);
	order[n_order] = 0;
	add(&n_order, 1);
}

GORO_CASE(what_the_body_defers_runs_at_the_goroutines_end, .id = "SYN-12")
{
	goro_once once = {0};
	n_order = 0;
	goro_spawn(defers_round_it, &once);
	wait_for(load(&n_order) == 4);
	expect_eq(order[0], 0);
	expect_eq(order[1], 3);
	expect_eq(order[2], 2);
	expect_eq(order[3], 1);
}

static void once_inside_another(void *arg)
{
	struct job *j = arg;
	goro_once_do(&j[1].once, works, &j[1]);
	works(&j[0]);
}

static void counts(void *n)
{
	++*(int *)n;
}

/* The one of goro.h, without a call where it is over, and the library's, by its address. */
GORO_CASE(the_inline_and_the_librarys_are_one, .id = "SYN-12")
{
	void (*volatile by_address)(goro_once *, void (*)(void *), void *) = goro_once_do;
	goro_once first = {0}, second = {0};
	int n = 0;

	goro_once_do(&first, counts, &n);
	by_address(&first, counts, &n);
	expect_eq(n, 1);
	by_address(&second, counts, &n);
	goro_once_do(&second, counts, &n);
	expect_eq(n, 2);
	goro_once_do(&second, NULL, NULL);
	by_address(&second, NULL, NULL);
}

GORO_CASE(one_once_inside_another_is_fine, .id = "SYN-12")
{
	struct job j[2] = {{.value = 0}, {.value = 0}};
	goro_once_do(&j[0].once, once_inside_another, j);
	expect_eq(j[0].value + j[1].value, 2);
	calls(&j[0]);
	calls(&j[1]);
}

static void calls_nil(void *once)
{
	goro_once_do(once, NULL, NULL);
}

GORO_CASE(a_null_function_panics_and_is_not_counted, .id = "SYN-12")
{
	struct job j = {.value = 0};
	expect_str(panic_of(calls_nil, &j.once).text, "goro_once_do of nil func value");
	calls(&j);
	expect_eq(j.n_early, 0);
	calls_nil(&j.once);
}

TAP_MAIN
