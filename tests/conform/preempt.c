/*
 * preempt.c - SCH-09: a loop that makes no call does not keep the others from running.
 *
 *   loop without calls -> sysmon asks, then stops it -> main, a ticker, the other loops run
 *   goro_nopreempt_begin, .no_preempt, GORODEBUG=preempt=0 -> it runs on
 *
 * stops.c shows that what is stopped in the middle of something goes on unharmed, registers.c the
 * same of every register; main.c how a program ends beside such loops.
 *
 * Go: proc_test.go: TestPreemption, TestAsyncPreempt; testprog/preempt.go, sysNoPreempt.
 */
#include "sys_tap.h"

#include <dirent.h>

static int is_over;

/* ---- loops ---- */

struct loop {
	uint64_t count;
	char pad[64 - sizeof(uint64_t)];
};

enum { LOOPS_MAX = 1025 };

static int looping[LOOPS_MAX], n_looping; /* the threads of loops: each stays on its own */

static void begins_to_loop(void)
{
	int at = add(&n_looping, 1) - 1;
	require(at < LOOPS_MAX);
	looping[at] = gettid();
}

static bool is_of_a_loop(int tid)
{
	for (int i = 0; i < load(&n_looping); i++)
		if (looping[i] == tid)
			return true;
	return false;
}

/*
 * For how long the threads of this process have been runnable and waited for a CPU, in sum. With no
 * more Ps than CPUs it is other processes that they wait for: beside ten of those we have seen
 * sysmon wait for 140 ms, and the kernel's own threads for 70. With more Ps the loops wait for each
 * other, which the bound has room for, and are not counted.
 */
static int64_t waited_for_cpus(void)
{
	int64_t sum = 0;
	bool has_cpus = goro_maxprocs(0) <= sysconf(_SC_NPROCESSORS_ONLN);
	DIR *tasks = opendir("/proc/self/task");
	require(tasks);
	for (const struct dirent *at; (at = readdir(tasks));) {
		char path[300];
		int64_t ran, waited;
		snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", at->d_name);
		bool counts = has_cpus || !is_of_a_loop(atoi(at->d_name));
		FILE *f = counts && at->d_name[0] != '.' ? fopen(path, "r") : NULL;
		if (f && fscanf(f, "%" SCNd64 " %" SCNd64, &ran, &waited) == 2)
			sum += waited;
		if (f)
			fclose(f);
	}
	closedir(tasks);
	return sum;
}

static void loops_empty(void *unused)
{
	(void)unused;
	begins_to_loop();
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		continue;
}

static void loops_and_counts(void *arg)
{
	struct loop *l = arg;
	uint64_t n = 0, x = 1;
	begins_to_loop();
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		for (int i = 0; i < 1000; i++)
			x = x * 6364136223846793005u + 1442695040888963407u;
		__atomic_store_n(&l->count, n += 1 + (x == 0), __ATOMIC_RELAXED);
	}
}

static void loops_in_floating_point(void *unused)
{
	volatile double x = 1;
	(void)unused;
	begins_to_loop();
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		x = x * 1.0000001 + 1e-9;
	require(x >= 1);
}

static void end_loops(void)
{
	store(&is_over, 1);
	wait_for(goro_count() == 1);
	store(&is_over, 0);
	store(&n_looping, 0);
}

/* About that much of this thread's CPU time, without a call of the library. */
static void work(int64_t ns)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	for (int64_t end = ts.tv_sec * 1000000000 + ts.tv_nsec + ns;
	     ts.tv_sec * 1000000000 + ts.tv_nsec < end;) {
		for (volatile int i = 0; i < 10000; i++)
			continue;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	}
}

/* ---- SCH-09 ---- */

/* Main's ten sleeps of a millisecond beside as many loops as there are Ps, and one more. */
static void expect_sleeps_end(void (*fn)(void *))
{
	static struct loop loops[LOOPS_MAX];
	int n = goro_maxprocs(0) + 1;
	/* Each loop may have its slice before main; and the CPUs may be fewer than the Ps. */
	int64_t allowed = GORO_MS(20) * n * TAP_SLOWER, best = INT64_MAX;
	for (int i = 0; i < n; i++)
		require_eq(goro_spawn(fn, &loops[i]), 0);
	for (int attempt = 0; attempt < 5 && best > allowed; attempt++) {
		int64_t longest = 0;
		for (int i = 0; i < 10; i++) {
			int64_t waited = waited_for_cpus(), start = tap_now();
			goro_sleep(GORO_MS(1));
			int64_t took = tap_now() - start;
			expect_ge(took, GORO_MS(1));
			took -= waited_for_cpus() - waited;
			longest = took > longest ? took : longest;
		}
		printf("# the longest of ten took %" PRId64 " us, without waits for a CPU\n",
		       longest / 1000);
		best = longest < best ? longest : best;
	}
	expect_le(best, allowed);
	end_loops();
}

GORO_CASE(empty_loops_let_main_wake, .id = "SCH-09", .is_alone = true)
{
	expect_sleeps_end(loops_empty);
}

GORO_CASE(arithmetic_loops_let_main_wake, .id = "SCH-09", .is_alone = true)
{
	expect_sleeps_end(loops_and_counts);
}

GORO_CASE(floating_point_loops_let_main_wake, .id = "SCH-09", .is_alone = true)
{
	expect_sleeps_end(loops_in_floating_point);
}

/* One loop, and one who waits for its turn: at the default and without membarrier. */
static void turn_comes(void)
{
	int64_t best = INT64_MAX, allowed = GORO_MS(20) * TAP_SLOWER;
	goro_spawn(loops_empty, NULL);
	for (int attempt = 0; attempt < 5 && best > allowed; attempt++) {
		int64_t start = tap_now();
		goro_yield();
		int64_t took = tap_now() - start;
		printf("# the turn came after %" PRId64 " us\n", took / 1000);
		best = took < best ? took : best;
	}
	expect_le(best, allowed);
	end_loops();
}

GORO_CASE(turn_of_another_comes_within_20_ms, .id = "SCH-09", .procs = "1", .is_alone = true)
{
	turn_comes();
}

GORO_CHILD(turn_comes_in_a_child)
{
	turn_comes();
	if (tap_failures > 0)
		exit(1);
}

TAP_CASE(turn_comes_without_membarrier, .id = "SCH-09", .procs = "1", .is_alone = true)
{
	struct tap_child c;
	tap_child(&c, "turn_comes_in_a_child", "GORODEBUG=membarrier=0");
	expect_child(&c, 0, "");
	expect_str(c.err, "");
}

static void loops_with_checkpoints(void *unused)
{
	(void)unused;
	while (!load(&is_over))
		goro_checkpoint();
}

GORO_CASE(checkpoints_let_main_wake_without_a_stop, .id = "SCH-09", .is_alone = true)
{
	expect_sleeps_end(loops_with_checkpoints);
}

/* A ticker, an announced and an unannounced call, loops, and those who only yield: all get on. */
static void calls_now_and_then(int *n)
{
	while (!load(&is_over)) {
		usleep(2000);
		goro_syscall_enter();
		usleep(2000);
		goro_syscall_exit();
		add(n, 1);
	}
}

static void yields(int *n)
{
	while (!load(&is_over)) {
		add(n, 1);
		goro_yield();
	}
}

GORO_CASE(loops_calls_and_sleepers_share_the_ps, .id = "SCH-09", .is_race = true)
{
	static struct loop loops[6];
	struct ticker t;
	int n_calls = 0, n_yields = 0;
	ticker_start(&t);
	for (int i = 0; i < 6; i++)
		goro_spawn(loops_and_counts, &loops[i]);
	go(calls_now_and_then, &n_calls);
	go(yields, &n_yields);
	wait_for(load(&n_calls) >= 10 && load(&n_yields) >= 10 && load(&t.n) >= 20);
	for (int i = 0; i < 6; i++)
		wait_for(load(&loops[i].count) > 0);
	ticker_stop(&t);
	end_loops();
}

/* ---- shares ---- */

static bool shares_are_even(int n, int64_t run_ns)
{
	static struct loop loops[8];
	uint64_t least = UINT64_MAX, most = 0, before[8];
	for (int i = 0; i < n; i++)
		goro_spawn(loops_and_counts, &loops[i]);
	for (int i = 0; i < n; i++)
		wait_for(load(&loops[i].count) > 0);
	for (int i = 0; i < n; i++)
		before[i] = load(&loops[i].count);
	int64_t wall = tap_now(), cpu = tap_cpu_ns();
	goro_sleep(run_ns);
	wall = tap_now() - wall;
	cpu = tap_cpu_ns() - cpu;
	for (int i = 0; i < n; i++) {
		uint64_t count = load(&loops[i].count) - before[i];
		least = count < least ? count : least;
		most = count > most ? count : most;
	}
	end_loops();
	printf("# %d loops: %" PRIu64 " to %" PRIu64 ", %" PRId64 " ms of CPU in %" PRId64 " ms\n",
	       n, least, most, cpu / 1000000, wall / 1000000);
	/* Without all of the CPUs it is the kernel that shares. */
	bool is_ours = cpu * 100 >= wall * goro_maxprocs(0) * 95;
	return !is_ours || least * 100 >= most * 75;
}

GORO_CASE(four_loops_on_two_ps_share_evenly, .id = "SCH-09", .procs = "2", .is_alone = true)
{
	bool is_even = false;
	for (int attempt = 0; attempt < 3 && !is_even; attempt++)
		is_even = shares_are_even(4, GORO_SEC(1) * (attempt + 1));
	expect(is_even);
}

GORO_CASE(three_loops_on_one_p_share_evenly, .id = "SCH-09", .procs = "1", .is_alone = true)
{
	bool is_even = false;
	for (int attempt = 0; attempt < 3 && !is_even; attempt++)
		is_even = shares_are_even(3, GORO_SEC(1) * (attempt + 1));
	expect(is_even);
}

/* ---- GORO_MAXSTOPPED ---- */

static void works_12_ms(void *n_ended)
{
	work(GORO_MS(12));
	add((int *)n_ended, 1);
}

static void *counts_threads(void *arg)
{
	int *most = arg;
	while (!load(&is_over)) {
		int n = thread_count();
		if (n > load(most))
			store(most, n);
		tap_pause(GORO_MS(2));
	}
	return NULL;
}

GORO_CHILD(many_loops)
{
	enum { N = 500 / TAP_SLOWER };
	int n_ended = 0, most = 0;
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, counts_threads, &most), 0);
	for (int i = 0; i < N; i++)
		require_eq(goro_spawn(works_12_ms, &n_ended), 0);
	wait_for(load(&n_ended) == N && goro_count() == 1);
	store(&is_over, 1);
	pthread_join(thread, NULL);
	printf("threads %d\n", most);
}

static int threads_of_many_loops(const char *setting)
{
	struct tap_child c;
	int most = 0;
	tap_child(&c, "many_loops", setting, "GORODEBUG=preempt=1");
	expect_child(&c, 0, "goro: preempt: ");
	expect_eq(sscanf(c.out, "threads %d", &most), 1);
	printf("# %s: %d threads; %s", setting, most, c.err);
	return most;
}

/* Beside those: main and the rest of the Ps', one to spare, sysmon, starter, who counts. */
static void expect_threads_within(const char *setting, int limit)
{
	const char *procs = getenv("GORO_MAXPROCS");
	int n_procs = procs ? atoi(procs) : (int)sysconf(_SC_NPROCESSORS_ONLN);
	expect_le(threads_of_many_loops(setting), limit + n_procs + 6);
}

TAP_CASE(five_hundred_loops_respect_a_limit_of_stops, .id = "SCH-09", .procs = "1,2",
	 .is_alone = true, .is_slow = true, .timeout_s = 60)
{
	expect_threads_within("GORO_MAXSTOPPED=8", 8);
	expect_threads_within("GORO_MAXSTOPPED=0", 0);
}

TAP_CASE(five_hundred_loops_finish_at_the_usual_limit, .id = "SCH-09", .procs = "2",
	 .is_alone = true, .is_slow = true, .timeout_s = 60)
{
	expect_threads_within("GORO_MAXSTOPPED", 256);
}

/* ---- what forbids it ---- */

static int is_done;

static void works_and_says_so(void *unused)
{
	(void)unused;
	work(GORO_MS(60));
	store(&is_done, 1);
}

static void works_in_between(void *unused)
{
	goro_nopreempt_begin();
	goro_nopreempt_begin();
	goro_nopreempt_end();
	works_and_says_so(unused);
	goro_nopreempt_end();
}

/* Main is not back until the work is done. */
static void expect_no_turn(void)
{
	goro_yield();
	expect_eq(load(&is_done), 1);
	store(&is_done, 0);
	wait_for(goro_count() == 1);
}

GORO_CASE(no_stop_between_nopreempt_begin_and_end, .id = "SCH-09", .procs = "1", .is_alone = true)
{
	goro_spawn(works_in_between, NULL);
	expect_no_turn();
	struct goro_attr attr = {.no_preempt = true};
	require_eq(goro_spawn_attr(&attr, works_and_says_so, NULL), 0);
	expect_no_turn();
	turn_comes(); /* and the next one is stopped */
}

static void ends_and_loops(void *unused)
{
	goro_nopreempt_end();
	loops_empty(unused);
}

GORO_CASE(nopreempt_end_ends_the_attribute, .id = "SCH-09", .procs = "1")
{
	struct goro_attr attr = {.no_preempt = true};
	require_eq(goro_spawn_attr(&attr, ends_and_loops, NULL), 0);
	goro_yield();
	end_loops();
}

GORO_CHILD(works_beside_main)
{
	goro_spawn(works_and_says_so, NULL);
	goro_yield();
	printf("%s", load(&is_done) ? "done" : "not done");
	wait_for(goro_count() == 1);
}

TAP_CASE(setting_forbids_all_stops, .id = "SCH-09", .procs = "1", .is_alone = true)
{
	struct tap_child c;
	tap_child(&c, "works_beside_main", "GORODEBUG=preempt=0");
	expect_child(&c, 0, "");
	expect_str(c.out, "done");
	expect_str(c.err, "");
}

TAP_CASE(setting_counts_stops_at_exit, .id = "SCH-09", .procs = "1", .is_alone = true)
{
	struct tap_child c;
	unsigned long n_signals = 0, n_stopped = 0;
	for (int attempt = 0; attempt < 5 && n_stopped == 0; attempt++) {
		tap_child(&c, "works_beside_main", "GORODEBUG=preempt=1");
		expect_child(&c, 0, "goro: preempt: ");
		expect_eq(sscanf(c.err, "goro: preempt: %lu signals; stopped: %lu", &n_signals,
				 &n_stopped),
			  2);
	}
	expect_ge(n_stopped, 1);
	expect_ge(n_signals, n_stopped);
	expect_str(c.out, "not done");
}

/* ---- the world stops ---- */

GORO_CASE(number_of_ps_changes_beside_loops, .id = "SCH-14", .is_race = true)
{
	int n_procs = goro_maxprocs(0);
	int64_t best = INT64_MAX;
	for (int i = 0; i < 6; i++)
		goro_spawn(loops_empty, NULL);
	goro_sleep(GORO_MS(1));
	for (int i = 0; i < 20; i++) {
		int64_t start = tap_now();
		goro_maxprocs(i % 4 + 1);
		int64_t took = tap_now() - start;
		best = took < best ? took : best;
		expect_eq(goro_maxprocs(0), i % 4 + 1);
	}
	printf("# the quickest change took %" PRId64 " us\n", best / 1000);
	expect_le(best, GORO_MS(50) * TAP_SLOWER);
	goro_maxprocs(n_procs);
	end_loops();
}

GORO_CASE(dump_shows_loops, .id = "DIA-06", .is_race = true)
{
	enum { N = 4 };
	for (int i = 0; i < N; i++)
		goro_spawn(i % 2 ? loops_empty : loops_in_floating_point, NULL);
	goro_sleep(GORO_MS(30));
	for (int i = 0; i < 10; i++) {
		char *text = dump_text();
		expect_eq(count_in(text, NULL), N + 1);
		expect_contains(text, "\nloops_empty");
		expect_contains(text, "\nloops_in_floating_point");
		expect_lacks(text, "cannot be read");
		free(text);
		goro_sleep(GORO_MS(3));
	}
	end_loops();
}

static int n_asleep;

/* The signal of this very test may come to this thread and end a sleep. */
static void sleeps_5_s(void)
{
	for (int64_t end = tap_now() + GORO_SEC(5); tap_now() < end;)
		tap_pause(GORO_SEC(5));
}

static void sleeps_announced(void *unused)
{
	(void)unused;
	add(&n_asleep, 1);
	goro_syscall_enter();
	sleeps_5_s();
	goro_syscall_exit();
}

static void sleeps_unannounced(void *unused)
{
	(void)unused;
	add(&n_asleep, 1);
	sleeps_5_s();
	goro_checkpoint();
}

GORO_CHILD(quits_beside_loops)
{
	goro_spawn(loops_empty, NULL);
	goro_spawn(loops_in_floating_point, NULL);
	goro_spawn(sleeps_announced, NULL);
	goro_spawn(sleeps_unannounced, NULL);
	goro_sleep(GORO_MS(50));
	wait_for(load(&n_asleep) == 2);
	kill(getpid(), SIGQUIT);
	for (;;)
		goro_yield();
}

TAP_CASE(sigquit_shows_stopped_and_blocked_ones, .id = "DIA-06")
{
	struct tap_child c;
	tap_child(&c, "quits_beside_loops");
	expect_child(&c, 2, "\ngoroutine 1 [");
	expect_eq(count_in(c.err, NULL), 5);
	expect_contains(c.err, "\nloops_empty");
	expect_contains(c.err, "\nloops_in_floating_point");
	expect_contains(c.err, "\nsleeps_announced");
	expect_contains(c.err, "\nsleeps_unannounced");
	expect_lt(c.wall_ns, GORO_SEC(4) * TAP_SLOWER);
}

/* ---- ends ---- */

static void works_and_panics(void *unused)
{
	(void)unused;
	work(GORO_MS(50));
	goro_panic("after work");
}

static void tries_work(int *n_caught)
{
	for (int i = 0; i < 2; i++)
		if (strcmp(panic_of(works_and_panics, NULL).text, "after work") == 0)
			add(n_caught, 1);
}

GORO_CASE(panics_after_stops_are_caught, .id = "PAN-03", .is_race = true)
{
	int n_caught = 0;
	for (int i = 0; i < 6; i++)
		go(tries_work, &n_caught);
	wait_for(goro_count() == 1);
	expect_eq(n_caught, 12);
}

GORO_CHILD(panics_beside_loops)
{
	for (int i = 0; i < 3; i++)
		goro_spawn(loops_empty, NULL);
	goro_spawn(works_and_panics, NULL);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

TAP_CASE(panic_after_stops_ends_the_process, .id = "PAN-01")
{
	struct tap_child c;
	tap_child(&c, "panics_beside_loops");
	expect_child(&c, 2, "panic: after work\n\ngoroutine ");
	expect_contains(c.err, " [running]:\n\tstarted with works_and_panics\n");
	expect_contains(c.err, "\nworks_and_panics");
	expect_lt(c.wall_ns, GORO_SEC(5) * TAP_SLOWER);
}

static int run_ends_beside_loops(void *unused)
{
	(void)unused;
	store(&is_over, 0);
	for (int i = 0; i < 8; i++)
		goro_spawn(i % 2 ? loops_empty : loops_in_floating_point, NULL);
	goro_sleep(GORO_MS(25));
	store(&is_over, 1);
	return 9;
}

/* Those that are stopped go on, without a P, to their next call: goro_run waits for that. */
TAP_CASE(run_ends_with_stopped_goroutines, .id = "PAN-02", .is_race = true)
{
	for (int i = 0; i < 10; i++) {
		int64_t start = tap_now();
		expect_eq(goro_run(run_ends_beside_loops, NULL), 9);
		expect_lt(tap_now() - start, GORO_SEC(5) * TAP_SLOWER);
	}
}

static int for_ever; /* is never set */

static void loops_for_ever(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&for_ever, __ATOMIC_RELAXED))
		continue;
}

static void allocates_for_ever(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&for_ever, __ATOMIC_RELAXED)) {
		free(malloc(5000));
		for (volatile int i = 0; i < 100; i++)
			continue;
	}
}

static void locks_and_loops(void *unused)
{
	goro_lock_thread();
	loops_for_ever(unused);
}

static void loops_in_two_ways(void)
{
	for (int i = 0; i < 3; i++) {
		goro_spawn(loops_for_ever, NULL);
		goro_spawn(locks_and_loops, NULL);
	}
}

static int leaves_loops_behind(void *unused)
{
	(void)unused;
	loops_in_two_ways();
	goro_sleep(GORO_MS(30));
	return 8;
}

static int leaves_allocations_behind(void *unused)
{
	for (int i = 0; i < 2; i++)
		goro_spawn(allocates_for_ever, unused);
	goro_sleep(GORO_MS(30));
	return 5;
}

/* On the thread of goro_run(), which must come back from under the loop. */
static int leaves_main_to_a_loop(void *unused)
{
	loops_in_two_ways();
	goro_spawn(loops_for_ever, unused);
	for (int i = 0; i < 10; i++)
		goro_yield();
	return 6;
}

/* PR7 */
TAP_CASE(run_ends_although_loops_are_left_behind, .id = "PAN-02", .is_race = true)
{
	sigset_t before, after;
	if (TAP_SANITIZED)
		tap_skip("the library may not look at the code that is interrupted");
	int n_threads = thread_count(); /* an emulator has its own */
	sigprocmask(SIG_SETMASK, NULL, &before);
	for (int i = 0; i < tap_share(5); i++) {
		int64_t start = tap_now();
		expect_eq(goro_run(leaves_loops_behind, NULL), 8);
		expect_eq(goro_run(leaves_main_to_a_loop, NULL), 6);
		expect_lt(tap_now() - start, GORO_SEC(2) * TAP_SLOWER);
		/* Ends when a signal meets it outside of malloc, by chance: untimed. */
		expect_eq(goro_run(leaves_allocations_behind, NULL), 5);
		for (int j = 0; j < 1000; j++) /* malloc is whole, and nobody is in it */
			free(malloc((size_t)j * 10));
	}
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (int signo = 1; signo < 65; signo++)
		expect_eq(sigismember(&after, signo), sigismember(&before, signo));
	wait_for(thread_count() == n_threads);
}

static void locks_and_works(int *n_wrong)
{
	goro_lock_thread();
	pid_t tid = thread_id();
	for (int i = 0; i < 3; i++) {
		work(GORO_MS(20));
		add(n_wrong, thread_id() != tid);
		goro_yield();
		add(n_wrong, thread_id() != tid);
	}
	goro_unlock_thread();
	work(GORO_MS(15));
}

static int n_beyond, has_run_begun, has_run_ended;

static void unlocks_after_the_run(void *unused)
{
	(void)unused;
	goro_lock_thread();
	while (!load(&has_run_ended))
		continue;
	goro_unlock_thread();
	add(&n_beyond, 1);
}

static int leaves_locked_loops(void *unused)
{
	store(&has_run_begun, 1);
	for (int i = 0; i < 4; i++)
		goro_spawn(unlocks_after_the_run, unused);
	goro_sleep(GORO_MS(30));
	return 4;
}

static void *tells_that_the_run_has_ended(void *unused)
{
	while (!load(&has_run_begun)) /* not its goroutines, which may be gone before we look */
		tap_pause(10000);
	while (goro_count() > 0)
		tap_pause(10000);
	/*
	 * It has begun to end. Whoever ends it shares the CPUs with the loops, and has asked all of
	 * them by then; it is too soon for PR7, after 50 ms.
	 */
	tap_pause(30000000);
	store(&has_run_ended, 1);
	return unused;
}

/* Like any call: the goroutine may lie in a queue, and be its thread's for whoever finds it. */
TAP_CASE(unlocking_is_a_call_that_ends_with_the_run, .id = "PAN-02", .is_race = true)
{
	for (int i = 0; i < 10; i++) {
		pthread_t thread;
		store(&has_run_begun, 0);
		store(&has_run_ended, 0);
		require_eq(pthread_create(&thread, NULL, tells_that_the_run_has_ended, NULL), 0);
		expect_eq(goro_run(leaves_locked_loops, NULL), 4);
		require_eq(pthread_join(thread, NULL), 0);
	}
	expect_eq(load(&n_beyond), 0);
}

GORO_CASE(locked_loops_keep_their_threads, .id = "SYS-05", .is_race = true)
{
	int n_wrong = 0;
	for (int i = 0; i < 6; i++)
		go(locks_and_works, &n_wrong);
	wait_for(goro_count() == 1);
	expect_eq(n_wrong, 0);
}

/* ---- what the program holds stays held: no mistake of its own, not even for a debug build ---- */

static int is_in_locked_loop;

static void keeps_a_mutex_and_loops(void *unused)
{
	static pthread_mutex_t its_own = PTHREAD_MUTEX_INITIALIZER;
	(void)unused;
	pthread_mutex_lock(&its_own);
	store(&is_in_locked_loop, 1);
	for (;;)
		(void)__atomic_load_n(&is_in_locked_loop, __ATOMIC_RELAXED);
}

static int ends_beside_a_locked_loop(void *unused)
{
	(void)unused;
	store(&is_in_locked_loop, 0);
	go(keeps_a_mutex_and_loops, NULL);
	wait_for(load(&is_in_locked_loop));
	return 7;
}

TAP_CASE(loop_that_holds_a_mutex_is_left_as_well, .id = "PAN-02", .procs = "1,2")
{
	expect_eq(goro_run(ends_beside_a_locked_loop, NULL), 7);
}

TAP_MAIN
