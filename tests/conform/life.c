/*
 * life.c - SCH-14, DIA-08, and the rest of a program's life: start, numbers, limits, names.
 *
 *   goro_run -> goroutine 1 -> spawn, copies, attributes -> goro_maxprocs -> return -> goro_run
 *
 * Nothing may be called from a signal handler, as goro.h says: so DIA-08's row of it is void here.
 *
 * Go: proc_test.go: TestBigGOMAXPROCS; debug.go.
 */
#include "goro_tap.h"

/* ---- goro_run ---- */

static int returns_its_argument(void *arg)
{
	expect_eq(goro_id(), 1);
	expect_eq(goro_count(), 1);
	return (int)(intptr_t)arg;
}

TAP_CASE(run_returns_the_functions_value)
{
	static const intptr_t values[] = {0, 1, 77, 256, 300, -1, -5, INT32_MAX, INT32_MIN};
	for (int i = 0; i < 9; i++)
		expect_eq(goro_run(returns_its_argument, (void *)values[i]), (int)values[i]);
}

static void records_its_id(void *id)
{
	store((uint64_t *)id, goro_id());
	goro_chan_recv(NULL, NULL);
}

static int leaves_others_behind(void *arg)
{
	uint64_t first = 0, second = 0;
	(void)arg;
	expect_eq(goro_id(), 1);
	expect_eq(goro_count(), 1);
	goro_spawn(records_its_id, &first);
	wait_for(load(&first) != 0);
	goro_spawn(records_its_id, &second);
	wait_for(load(&second) != 0);
	expect_gt(first, 1);
	expect_gt(second, 1);
	expect_ne(first, second);
	/* Batches may leave gaps, but the numbers of a second run start again from below. */
	expect_lt(first, 1000);
	expect_eq(goro_count(), 3);
	return 3;
}

TAP_CASE(runs_one_after_the_other_start_again_at_1)
{
	for (int i = 0; i < 50; i++) {
		expect_eq(goro_id(), 0);
		expect_eq(goro_run(leaves_others_behind, NULL), 3);
		expect_eq(goro_id(), 0);
		expect_eq(goro_count(), 0);
	}
}

static void sleeps_in_a_loop(void *n_laps)
{
	for (;;) {
		goro_sleep(GORO_US(100));
		add((int *)n_laps, 1);
	}
}

static int n_laps;

static int starts_sleepers(void *unused)
{
	(void)unused;
	for (int i = 0; i < 10; i++)
		goro_spawn(sleeps_in_a_loop, &n_laps);
	wait_for(load(&n_laps) > 10);
	return 0;
}

/* Goroutines of a run that is over do not run any more, not even those whose sleep ends later. */
TAP_CASE(others_do_not_run_after_mains_return)
{
	for (int i = 0; i < 5; i++) {
		store(&n_laps, 0);
		expect_eq(goro_run(starts_sleepers, NULL), 0);
		int at_return = load(&n_laps);
		tap_pause(GORO_MS(20));
		expect_eq(load(&n_laps), at_return);
	}
}

/* What a waiter of a run waits for may lie on another goroutine's stack. */
struct waited_for {
	goro_sem sem;
	goro_mutex mutex;
	goro_ctx *ctx;
	goro_chan *gate;
};

static struct waited_for *waited_for;

static void lends_its_stack(void *unused)
{
	struct waited_for lent = {.ctx = NULL};
	(void)unused;
	store(&waited_for, &lent);
	goro_chan_recv(NULL, NULL);
}

static void waits_there_with_a_context(struct waited_for *w)
{
	goro_ctx_use(goro_ctx_ref(w->ctx));
	goro_chan_recv(w->gate, NULL);
	(void)goro_sem_acquire_until(&load(&waited_for)->sem, 1, GORO_FOREVER);
}

/* Cancelled, all of them are in its queue still, and have no time to leave it. */
static int returns_at_once_after_cancelling(void *unused)
{
	enum { N = 8 };
	struct waited_for w = {.ctx = goro_ctx_with_cancel(NULL), .gate = goro_chan_make(0, 0)};
	struct goro_attr attr = {.stack_size = 1 << 20};
	(void)unused;
	for (int i = 0; i < N; i++) {
		go(waits_there_with_a_context, &w);
		wait_until_n_parked(i + 1, "chan receive");
		if (i != N / 2)
			continue;
		waited_for = NULL;
		expect_eq(goro_spawn_attr(&attr, lends_its_stack, NULL), 0);
		wait_for(load(&waited_for) != NULL);
	}
	goro_chan_close(w.gate);
	wait_until_n_parked(N, "semacquire");
	goro_ctx_cancel(w.ctx);
	goro_ctx_unref(w.ctx);
	goro_chan_unref(w.gate);
	return 0;
}

TAP_CASE(a_run_ends_with_waiters_at_what_lies_on_anothers_stack)
{
	for (int i = 0; i < 5; i++)
		expect_eq(goro_run(returns_at_once_after_cancelling, NULL), 0);
}

static void waits_for_mains_mutex(struct waited_for *w)
{
	goro_mutex_lock(&w->mutex);
}

static void waits_for_mains_sem(struct waited_for *w)
{
	(void)goro_sem_acquire_until(&w->sem, 1, goro_now() + GORO_SEC(1000));
}

/* Main's variables are gone when it has returned: their place is used for something else. */
static int returns_with_waiters_at_its_variables(void *unused)
{
	struct waited_for w = {.ctx = NULL};
	(void)unused;
	goro_mutex_lock(&w.mutex);
	go(waits_for_mains_mutex, &w);
	go(waits_for_mains_sem, &w);
	wait_until_n_parked(1, "sync.Mutex.Lock");
	wait_until_n_parked(1, "semacquire");
	memset(&w, 0xff, sizeof(w));
	__asm__ volatile("" : : "r"(&w) : "memory");
	return 0;
}

TAP_CASE(a_run_ends_with_waiters_at_mains_variables)
{
	for (int i = 0; i < 5; i++)
		expect_eq(goro_run(returns_with_waiters_at_its_variables, NULL), 0);
}

static void *thread_runs(void *result)
{
	*(int *)result = goro_run(returns_its_argument, NULL);
	return NULL;
}

static int runs_again_inside(void *unused)
{
	pthread_t thread;
	int result = 0;
	(void)unused;
	expect_eq(goro_run(returns_its_argument, NULL), -EBUSY);
	require_eq(pthread_create(&thread, NULL, thread_runs, &result), 0);
	pthread_join(thread, NULL);
	expect_eq(result, -EBUSY);
	expect_eq(goro_id(), 1);
	return 0;
}

static void sends_nothing(void *c)
{
	goro_chan_send(c, NULL);
}

/* The woken sender has not come back from its call when the run ends; its channel is gone. */
static int leaves_a_woken_sender_behind(void *memory)
{
	goro_chan *c = goro_chan_make(0, 0);
	goro_spawn(sends_nothing, c);
	wait_until_n_parked(1, "chan send");
	goro_chan_recv(c, NULL);
	goro_chan_unref(c);
	for (size_t i = 0; i < 64; i++) {
		((void **)memory)[i] = malloc(8 + 8 * i);
		memset(((void **)memory)[i], 0xff, 8 + 8 * i);
	}
	return 4;
}

TAP_CASE(run_ends_while_a_woken_sender_has_not_come_back)
{
	for (int i = 0; i < 20; i++) {
		void *memory[64];
		expect_eq(goro_run(leaves_a_woken_sender_behind, memory), 4);
		for (int j = 0; j < 64; j++)
			free(memory[j]);
	}
}

TAP_CASE(second_run_at_the_same_time_is_ebusy, .id = "DIA-08")
{
	expect_eq(goro_run(runs_again_inside, NULL), 0);
	expect_eq(goro_run(returns_its_argument, (void *)4), 4);
}

TAP_CASE(run_works_from_a_plain_thread_and_then_from_main)
{
	pthread_t thread;
	for (int i = 0; i < 10; i++) {
		int result = -1;
		require_eq(pthread_create(&thread, NULL, thread_runs, &result), 0);
		pthread_join(thread, NULL);
		expect_eq(result, 0);
		expect_eq(goro_run(returns_its_argument, (void *)6), 6);
	}
}

/* ---- DIA-08: outside ---- */

static void nothing(void *unused)
{
	(void)unused;
}

static void expect_outside(void)
{
	struct goro_attr attr = {.name = "x"};
	goro_chan *c = goro_chan_of(int, 1);
	expect_eq(goro_spawn(nothing, NULL), -EPERM);
	expect_eq(goro_spawn_copy(nothing, "abc", 3), -EPERM);
	expect_eq(goro_spawn_attr(&attr, nothing, NULL), -EPERM);
	expect_eq(goro_id(), 0);
	expect_eq(goro_count(), 0);
	expect_ge(goro_maxprocs(0), 1);
	goro_set_name("nobody");
	goro_checkpoint();
	goro_lock_thread();
	goro_unlock_thread();
	goro_sleep(GORO_US(10));
	goro_dump(STDOUT_FILENO);
	goro_put(c, 4);
	expect_eq(goro_chan_trysend(c, "    "), -EAGAIN);
	expect_eq(goro_get(c, int), 4);
	expect_eq(goro_chan_recv_until(c, NULL, goro_now() + GORO_MS(1)), -ETIMEDOUT);
	expect_str(panic_of(call_close, NULL).text, "close of nil channel");
	goro_chan_unref(goro_chan_ref(c));
	goro_chan_unref(c);
	goro_chan_unref(NULL);
	expect(goro_chan_ref(NULL) == NULL);
}

TAP_CASE(calls_outside_a_runtime_have_their_documented_outcomes, .id = "DIA-08")
{
	expect_outside();
	expect_eq(goro_run(returns_its_argument, NULL), 0);
	expect_outside();
}

static void *thread_uses_goroutine_calls(void *done)
{
	goro_set_name("nobody");
	goro_checkpoint();
	goro_lock_thread();
	goro_unlock_thread();
	expect_eq(goro_id(), 0);
	expect_ge(goro_count(), 1);
	expect_ge(goro_maxprocs(0), 1);
	goro_chan_send(done, NULL);
	return NULL;
}

GORO_CASE(harmless_calls_in_a_plain_thread_do_nothing, .id = "DIA-08")
{
	goro_chan *done = goro_chan_make(0, 0);
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_uses_goroutine_calls, done), 0);
	goro_chan_recv(done, NULL);
	pthread_join(thread, NULL);
	goro_set_name(NULL);
	goro_set_name("");
	expect(goro_chan_ref(NULL) == NULL);
	goro_chan_unref(NULL);
}

/* ---- SCH-14 ---- */

GORO_CHILD(says_maxprocs)
{
	printf("%d %d %d %d", goro_maxprocs(0), goro_maxprocs(-5), goro_maxprocs(INT32_MIN),
	       goro_maxprocs(0));
}

TAP_CHILD(says_maxprocs_on_one_cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	require(sched_setaffinity(0, sizeof(set), &set) == 0);
	goro_run(says_maxprocs_main, NULL);
}

static int default_procs(void)
{
	cpu_set_t set;
	require(sched_getaffinity(0, sizeof(set), &set) == 0);
	return CPU_COUNT(&set);
}

static void expect_procs(const char *child, const char *first, const char *second, int wanted)
{
	struct tap_child c;
	char text[64];
	const char *const env[] = {first, second, NULL};
	tap_child_run(&c, child, env);
	expect_eq(c.status, 0);
	snprintf(text, sizeof(text), "%d %d %d %d", wanted, wanted, wanted, wanted);
	if (strcmp(c.out, text) != 0)
		tap_diag("# with %s and %s:", first, second);
	expect_str(c.out, text);
}

TAP_CASE(default_is_the_number_of_cpus_of_the_affinity_mask, .id = "SCH-14", .procs = "-")
{
	expect_procs("says_maxprocs", "GORO_MAXPROCS", "GOMAXPROCS", default_procs());
	expect_procs("says_maxprocs_on_one_cpu", "GORO_MAXPROCS", "GOMAXPROCS", 1);
}

TAP_CASE(environment_sets_the_number, .id = "SCH-14", .procs = "-")
{
	expect_procs("says_maxprocs", "GORO_MAXPROCS=1", "GOMAXPROCS", 1);
	expect_procs("says_maxprocs", "GORO_MAXPROCS=3", "GOMAXPROCS", 3);
	expect_procs("says_maxprocs", "GORO_MAXPROCS=1024", "GOMAXPROCS", 1024);
	expect_procs("says_maxprocs", "GORO_MAXPROCS", "GOMAXPROCS=3", 3);
	expect_procs("says_maxprocs", "GORO_MAXPROCS=5", "GOMAXPROCS=3", 5);
	expect_procs("says_maxprocs_on_one_cpu", "GORO_MAXPROCS=3", "GOMAXPROCS", 3);
}

TAP_CASE(nonsense_in_the_environment_means_the_default, .id = "SCH-14", .procs = "-")
{
	static const char *const nonsense[] = {"GORO_MAXPROCS=0",
					       "GORO_MAXPROCS=-1",
					       "GORO_MAXPROCS=abc",
					       "GORO_MAXPROCS=",
					       "GORO_MAXPROCS=3abc",
					       "GORO_MAXPROCS= ",
					       "GORO_MAXPROCS=-99999999999999999999"};
	for (int i = 0; i < 7; i++)
		expect_procs("says_maxprocs", nonsense[i], "GOMAXPROCS", default_procs());
}

GORO_CASE(maxprocs_asks_sets_and_returns_the_old_number, .id = "SCH-14")
{
	int n = goro_maxprocs(0);
	expect_eq(goro_maxprocs(0), n);
	expect_eq(goro_maxprocs(-5), n);
	expect_eq(goro_maxprocs(7), n);
	expect_eq(goro_maxprocs(1), 7);
	expect_eq(goro_maxprocs(64), 1);
	expect_eq(goro_maxprocs(64), 64);
	expect_eq(goro_maxprocs(1024), 64);
	expect_eq(goro_maxprocs(2000), 1024);
	expect_eq(goro_maxprocs(3), 1024);
	expect_eq(goro_maxprocs(0), 3);
}

/* ---- maxprocs while everything runs ---- */

static int is_stopped;

static void relays(goro_chan *from, goro_chan *to, int *n_rounds)
{
	while (goro_chan_recv(from, NULL)) {
		add(n_rounds, 1);
		goro_chan_send(to, NULL);
	}
	goro_chan_close(to);
}

static void yields_until_stopped(int *n_rounds)
{
	while (!load(&is_stopped)) {
		add(n_rounds, 1);
		goro_yield();
	}
}

static void sleeps_until_stopped(int *n_early)
{
	while (!load(&is_stopped)) {
		int64_t start = goro_now();
		goro_sleep(GORO_US(300));
		if (goro_now() - start < GORO_US(300))
			add(n_early, 1);
	}
}

static void adds_one(int *n)
{
	add(n, 1);
}

static void spawns_until_stopped(int *n_spawned, int *n_run)
{
	while (!load(&is_stopped)) {
		for (int i = 0; i < 300; i++)
			go(adds_one, n_run);
		add(n_spawned, 300);
		wait_for(load(n_run) >= load(n_spawned) - 300 * 3);
	}
}

static void locked_until_stopped(int *n_moved)
{
	goro_lock_thread();
	pid_t tid = thread_id();
	while (!load(&is_stopped)) {
		goro_yield();
		*n_moved += thread_id() != tid;
	}
}

static void change_maxprocs(int n, uint64_t seed)
{
	int last = goro_maxprocs(0);
	for (int i = 0; i < n; i++) {
		int next = (int)(tap_random(&seed) % 16) + 1;
		expect_eq(goro_maxprocs(next), last);
		last = next;
		/* Not each time: beside two that hand on one slice, a yield takes that slice. */
		if (i % 10 == 0)
			goro_yield();
	}
}

/* Rings, next slots, sleepers and locked ones must all be handed over when a P goes away. */
GORO_CASE(maxprocs_changes_while_everything_runs, .id = "SCH-14", .timeout_s = 60, .is_race = true)
{
	goro_chan *a = goro_chan_make(0, 0), *b = goro_chan_make(0, 1);
	int n_relayed = 0, n_yields = 0, n_early = 0, n_spawned = 0, n_run = 0, n_moved = 0;
	go(relays, a, b, &n_relayed);
	go(relays, b, a, &n_relayed);
	for (int i = 0; i < 3; i++) {
		go(yields_until_stopped, &n_yields);
		go(sleeps_until_stopped, &n_early);
		go(spawns_until_stopped, &n_spawned, &n_run);
	}
	go(locked_until_stopped, &n_moved);
	goro_chan_send(a, NULL);
	change_maxprocs(tap_share(1000) / TAP_SLOWER, tap_seed());
	/* Each of them has gone on since the last change. */
	int relayed = load(&n_relayed), yields = load(&n_yields), spawned = load(&n_spawned);
	wait_for(load(&n_relayed) > relayed + 10 && load(&n_yields) > yields + 10 &&
		 load(&n_spawned) > spawned);
	store(&is_stopped, 1);
	wait_for(goro_count() == 3);
	expect_eq(n_run, n_spawned);
	expect_eq(n_early, 0);
	expect_eq(n_moved, 0);
}

static void changes_maxprocs_too(uint64_t seed, int *n_ended)
{
	for (int i = 0; i < 100 / TAP_SLOWER; i++) {
		goro_maxprocs((int)(tap_random(&seed) % 8) + 1);
		goro_yield();
	}
	add(n_ended, 1);
}

GORO_CASE(several_change_maxprocs_at_the_same_time, .id = "SCH-14", .is_race = true)
{
	int n_ended = 0;
	for (uint64_t i = 0; i < 8; i++)
		go(changes_maxprocs_too, tap_seed() + i, &n_ended);
	wait_for(load(&n_ended) == 8);
	expect_ge(goro_maxprocs(0), 1);
	expect_le(goro_maxprocs(0), 8);
}

/* ---- threads ---- */

GORO_CASE(maxthreads_asks_sets_and_returns_the_old_number)
{
	expect_eq(goro_maxthreads(0), 10000);
	expect_eq(goro_maxthreads(-3), 10000);
	expect_eq(goro_maxthreads(500), 10000);
	expect_eq(goro_maxthreads(10000), 500);
}

/* ---- spawn ---- */

struct copied {
	int numbers[4];
	char text[16];
};

static int n_wrong, n_seen;

static void checks_its_copy(void *arg)
{
	struct copied *c = arg;
	n_wrong += ((uintptr_t)arg & 15) != 0;
	for (int i = 0; i < 4; i++)
		add(&n_wrong, c->numbers[i] != c->numbers[0] + i);
	add(&n_wrong, strcmp(c->text, "copied") != 0);
	memset(c, 0xff, sizeof(*c));
	add(&n_seen, 1);
}

GORO_CASE(spawn_copy_gives_each_its_own_copy)
{
	struct copied c = {.text = "copied"};
	for (int i = 0; i < 1000; i++) {
		for (int k = 0; k < 4; k++)
			c.numbers[k] = 10 * i + k;
		require_eq(goro_spawn_copy(checks_its_copy, &c, sizeof(c)), 0);
		memset(c.numbers, 0xee, sizeof(c.numbers));
	}
	wait_for(goro_count() == 1);
	expect_eq(n_seen, 1000);
	expect_eq(n_wrong, 0);
}

static void checks_1024(void *arg)
{
	const unsigned char *bytes = arg;
	for (int i = 0; i < 1024; i++)
		n_wrong += bytes[i] != (unsigned char)(i * 7);
	add(&n_seen, 1);
}

GORO_CASE(spawn_copy_takes_nothing_and_1024_bytes)
{
	unsigned char bytes[1024];
	for (int i = 0; i < 1024; i++)
		bytes[i] = (unsigned char)(i * 7);
	expect_eq(goro_spawn_copy(checks_1024, bytes, sizeof(bytes)), 0);
	expect_eq(goro_spawn_copy(nothing, NULL, 0), 0);
	memset(bytes, 0, sizeof(bytes));
	wait_for(goro_count() == 1);
	expect_eq(n_seen, 1);
	expect_eq(n_wrong, 0);
}

struct words_128 {
	uint64_t word[128];
};

static void takes_less(char a, short b, float c, const char *d, int e, double f, int64_t g, bool h)
{
	n_wrong += a != 'a' || b != -2 || c != 1.5f || strcmp(d, "d") != 0 || e != 5 || f != 2;
	n_wrong += g != -7 || !h;
	add(&n_seen, 1);
}

static void takes_1024_bytes(struct words_128 e)
{
	for (uint64_t i = 0; i < 128; i++)
		n_wrong += e.word[i] != i * i;
	add(&n_seen, 1);
}

/* Conversions as in a call: an int becomes a double, a literal a pointer, 4 a bool. */
GORO_CASE(go_copies_and_converts_its_arguments)
{
	struct words_128 words;
	for (uint64_t i = 0; i < 128; i++)
		words.word[i] = i * i;
	go(takes_less, 'a', -2, 1.5, "d", 5L, 2, -7, 4);
	go(takes_1024_bytes, words);
	memset(&words, 0, sizeof(words));
	wait_for(goro_count() == 1);
	expect_eq(n_seen, 2);
	expect_eq(n_wrong, 0);
}

/* ---- names, ids, counts ---- */

static void parks_with_a_name(void *name)
{
	if (name != NULL)
		goro_set_name(name);
	goro_chan_recv(NULL, NULL);
}

GORO_CASE(names_show_in_the_dump_cut_at_31_bytes)
{
	struct goro_attr attr = {.name = "by attribute"};
	char name[] = "0123456789012345678901234567890123456789";
	goro_spawn(parks_with_a_name, name);
	require_eq(goro_spawn_attr(&attr, parks_with_a_name, NULL), 0);
	require_eq(goro_spawn_attr(NULL, parks_with_a_name, "later"), 0);
	wait_until_n_parked(3, "chan receive (nil chan)");
	memset(name, '#', sizeof(name) - 1);
	char *text = dump_text();
	expect_contains(text, "0123456789012345678901234567890");
	expect_lacks(text, "01234567890123456789012345678901");
	expect_contains(text, "by attribute");
	expect_contains(text, "later");
	free(text);
}

static void parks_and_ends(void *c)
{
	goro_chan_recv(c, NULL);
}

GORO_CASE(count_follows_spawn_and_end)
{
	goro_chan *c = goro_chan_make(0, 0);
	for (int i = 0; i < 100; i++) {
		goro_spawn(parks_and_ends, c);
		expect_eq(goro_count(), i + 2);
	}
	for (int i = 100; i > 0; i--) {
		goro_chan_send(c, NULL);
		wait_for(goro_count() == i);
	}
}

static void records_id_in(uint64_t *ids, int i)
{
	ids[i] = goro_id();
	goro_yield();
	if (ids[i] != goro_id())
		ids[i] = 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

GORO_CASE(ids_are_unique_and_stay, .is_race = true)
{
	enum { N = 20000 / TAP_SLOWER };
	static uint64_t ids[N];
	for (int i = 0; i < N; i++)
		go(records_id_in, ids, i);
	wait_for(goro_count() == 1);
	qsort(ids, N, sizeof(ids[0]), compare_ids);
	int n_twice = 0;
	for (int i = 1; i < N; i++)
		n_twice += ids[i] == ids[i - 1];
	expect_eq(n_twice, 0);
	expect_gt(ids[0], 1);
	expect_eq(goro_id(), 1);
}

/* ---- references ---- */

static void receives_and_unrefs(goro_chan *c, int *n)
{
	while (goro_chan_recv(c, NULL))
		add(n, 1);
	goro_chan_unref(c);
}

/* The last reference may go as soon as the own last call has returned. */
GORO_CASE(last_reference_may_go_while_others_are_still_waking, .is_race = true)
{
	for (int round = 0; round < 2000 / TAP_SLOWER; round++) {
		int n = 0;
		goro_chan *c = goro_chan_make(0, round % 3 == 0 ? 0 : 1);
		for (int i = 0; i < 4; i++)
			go(receives_and_unrefs, goro_chan_ref(c), &n);
		goro_chan_send(c, NULL);
		goro_chan_close(c);
		goro_chan_unref(c);
		wait_for(goro_count() == 1);
		expect_eq(n, 1);
	}
}

TAP_MAIN
