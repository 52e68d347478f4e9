/*
 * sys.c - SYS-01, SYS-03, SYS-05, PAN-03: the calls that announce that something may block.
 *
 *   goro_syscall_enter -> native code, or calls of the library -> goro_syscall_exit
 *   goro_blocking(fn)  -> fn returns, panics, exits, throws nothing
 *
 * block.c shows with many kinds of calls that the others go on; here is what the announcing calls
 * promise themselves, how many threads they cost, and what ends while they are under way.
 *
 * Go: runtime/proc.go: entersyscall, exitsyscall; testprog/schedmetrics.go.
 */
#include "sys_tap.h"

static void sleeps_1_ms(void *unused)
{
	(void)unused;
	usleep(1000);
}

/* ---- the calls ---- */

static void calls_exit_only(void *unused)
{
	(void)unused;
	goro_syscall_exit();
}

#define NO_ENTER "goro_syscall_exit without goro_syscall_enter"

GORO_CASE(enter_and_exit_nest, .id = "SYS-01")
{
	goro_syscall_enter();
	goro_syscall_enter();
	goro_blocking(sleeps_1_ms, NULL);
	goro_syscall_exit();
	usleep(1000);
	goro_syscall_exit();
	expect_str(panic_of(calls_exit_only, NULL).text, NO_ENTER);
	goro_yield();
	for (int i = 0; i < 1000; i++)
		goro_syscall_enter();
	usleep(1000);
	for (int i = 0; i < 1000; i++)
		goro_syscall_exit();
	expect_str(panic_of(calls_exit_only, NULL).text, NO_ENTER);
}

static void adds_one(int *n)
{
	add(n, 1);
}

GORO_CASE(calls_of_the_library_work_in_between, .id = "SYS-01", .is_race = true)
{
	goro_chan *c = goro_chan_of(int, 1), *never = goro_chan_of(int, 0);
	int n = 0, value = 0;
	uint64_t id = goro_id();
	goro_syscall_enter();
	for (int i = 0; i < 100; i++) {
		goro_put(c, i);
		expect_eq(goro_get(c, int), i);
		expect_eq(goro_chan_recv_until(never, &value, goro_now() + 1000), -ETIMEDOUT);
		go(adds_one, &n);
		goro_yield();
		goro_checkpoint();
		goro_sleep(GORO_US(20));
		expect_eq(goro_id(), id);
	}
	wait_for(load(&n) == 100);
	goro_syscall_exit();
	expect_str(panic_of(calls_exit_only, NULL).text, NO_ENTER);
}

/* Never inline: the compiler would keep the address of one thread's errno across the calls. */
__attribute__((noinline)) static void set_errno(int value)
{
	errno = value;
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static int get_errno(void)
{
	__asm__ volatile("" ::: "memory");
	return errno;
}

static void keeps_errno(int *n_wrong)
{
	for (int i = 1; i < 200; i++) {
		set_errno(i);
		goro_syscall_enter();
		add(n_wrong, get_errno() != i);
		if (i % 4 == 0)
			usleep(100);
		set_errno(-i);
		goro_syscall_exit();
		add(n_wrong, get_errno() != -i);
	}
}

GORO_CASE(enter_and_exit_keep_errno, .id = "SYS-01", .is_race = true)
{
	int n_wrong = 0;
	for (int i = 0; i < 20; i++)
		go(keeps_errno, &n_wrong);
	wait_for(goro_count() == 1);
	expect_eq(n_wrong, 0);
}

static void sets(void *flag)
{
	*(int *)flag = 1;
}

static void *announces_in_a_thread(void *flag)
{
	errno = 77;
	goro_syscall_exit();
	goro_syscall_enter();
	goro_syscall_enter();
	goro_syscall_exit();
	goro_blocking(sets, flag);
	goro_nopreempt_end();
	goro_nopreempt_begin();
	expect_eq(errno, 77);
	return NULL;
}

static int run_beside_a_thread(void *flag)
{
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, announces_in_a_thread, flag), 0);
	return pthread_join(thread, NULL);
}

TAP_CASE(plain_threads_announce_nothing, .id = "SYS-01")
{
	int flag = 0;
	announces_in_a_thread(&flag);
	expect_eq(flag, 1);
	flag = 0;
	expect_eq(goro_run(run_beside_a_thread, &flag), 0);
	expect_eq(flag, 1);
}

/* ---- panics and exits ---- */

static void panics_after_a_sleep(void *unused)
{
	(void)unused;
	usleep(1000);
	goro_panic("inside");
}

static void blocks_and_panics(void *unused)
{
	goro_blocking(panics_after_a_sleep, unused);
}

static void tries_inside(void *arg)
{
	expect_str(panic_of(panics_after_a_sleep, NULL).text, "inside");
	usleep(1000);
	*(int *)arg = 1;
}

static void panics_nested(void *unused)
{
	goro_syscall_enter();
	goro_syscall_enter();
	goro_blocking(panics_after_a_sleep, unused);
}

static void opens_forbids_and_panics(void *unused)
{
	(void)unused;
	goro_nopreempt_begin();
	goro_nopreempt_begin();
	goro_panic("forbidden");
}

static void calls_nopreempt_end_only(void *unused)
{
	(void)unused;
	goro_nopreempt_end();
}

#define NO_BEGIN "goro_nopreempt_end without goro_nopreempt_begin"

GORO_CASE(panic_inside_is_caught_outside, .id = "PAN-03", .is_race = true)
{
	for (int i = 0; i < 20; i++) {
		expect_str(panic_of(blocks_and_panics, NULL).text, "inside");
		expect_str(panic_of(panics_nested, NULL).text, "inside");
		expect_str(panic_of(calls_exit_only, NULL).text, NO_ENTER);
		goro_yield();
	}
}

/* The section around the goro_try goes on, and ends as it would have without the panic. */
GORO_CASE(panic_inside_is_caught_inside, .id = "PAN-03", .is_race = true)
{
	for (int i = 0; i < 20; i++) {
		int is_done = 0;
		goro_blocking(tries_inside, &is_done);
		expect_eq(is_done, 1);
		goro_syscall_enter();
		goro_syscall_enter();
		expect_str(panic_of(blocks_and_panics, NULL).text, "inside");
		goro_syscall_exit();
		usleep(100);
		goro_syscall_exit();
		expect_str(panic_of(calls_exit_only, NULL).text, NO_ENTER);
	}
}

GORO_CASE(caught_panic_ends_what_forbade_stops, .id = "PAN-03")
{
	expect_str(panic_of(opens_forbids_and_panics, NULL).text, "forbidden");
	expect_str(panic_of(calls_nopreempt_end_only, NULL).text, NO_BEGIN);
	goro_nopreempt_begin();
	expect_str(panic_of(opens_forbids_and_panics, NULL).text, "forbidden");
	goro_nopreempt_end();
	expect_str(panic_of(calls_nopreempt_end_only, NULL).text, NO_BEGIN);
}

static void exits_after_a_sleep(void *flag)
{
	goro_defer(sets, flag);
	usleep(1000);
	goro_exit();
}

static void blocks_and_exits(void *flag)
{
	goro_blocking(exits_after_a_sleep, flag);
	add((int *)flag, 100);
}

static void returns_without_exit(int *flag)
{
	goro_syscall_enter();
	usleep(1000);
	*flag = 1;
}

GORO_CASE(exit_inside_ends_the_goroutine, .id = "PAN-03", .is_race = true)
{
	enum { N = 50 };
	static int flags[2 * N];
	for (int i = 0; i < N; i++) {
		go(blocks_and_exits, &flags[i]);
		go(returns_without_exit, &flags[N + i]);
	}
	wait_for(goro_count() == 1);
	for (int i = 0; i < 2 * N; i++)
		expect_eq(flags[i], 1);
	/* Who gets what they left behind starts afresh. */
	for (int i = 0; i < N; i++)
		go(enter_and_exit_nest);
	wait_for(goro_count() == 1);
}

/* ---- SYS-05 ---- */

static void keeps_its_thread(int *n_wrong)
{
	goro_lock_thread();
	pid_t tid = thread_id();
	for (int i = 0; i < 30; i++) {
		goro_blocking(sleeps_1_ms, NULL);
		add(n_wrong, thread_id() != tid);
		usleep(500 + i * 100);
		add(n_wrong, thread_id() != tid);
		goro_yield();
		add(n_wrong, thread_id() != tid);
	}
	goro_unlock_thread();
}

GORO_CASE(locked_goroutines_keep_their_threads_in_blocking_calls, .id = "SYS-05", .is_race = true)
{
	int n_wrong = 0;
	for (int i = 0; i < 10; i++)
		go(keeps_its_thread, &n_wrong);
	keeps_its_thread(&n_wrong);
	wait_for(goro_count() == 1);
	expect_eq(n_wrong, 0);
}

/* ---- SYS-03 ---- */

struct crowd {
	int fd[2], n_in, n_out;
};

static void reads_one_byte(void *arg)
{
	struct crowd *c = arg;
	char byte;
	add(&c->n_in, 1);
	require(read(c->fd[0], &byte, 1) == 1);
	add(&c->n_out, 1);
}

static void reads_announced(struct crowd *c)
{
	goro_blocking(reads_one_byte, c);
}

/* Without a call of the library: the caller keeps its P. */
static void spin_while_below(const int *n, int wanted, int64_t ns)
{
	for (int64_t end = tap_now() + ns; load(n) < wanted && tap_now() < end;)
		continue;
}

/*
 * The only other P is that of a thread that blocks, and what is spawned lies in main's ring, with
 * main running on: somebody has to come and steal it.
 */
static void expect_stolen_beside(void (*blocks)(struct crowd *))
{
	struct crowd c = {0};
	int n_done = 0, never = 0;
	require(pipe2(c.fd, O_CLOEXEC) == 0);
	goro_nopreempt_begin();
	go(blocks, &c);
	spin_while_below(&c.n_in, 1, GORO_SEC(10));
	expect_eq(load(&c.n_in), 1);
	spin_while_below(&never, 1, GORO_MS(50)); /* by now it is in its call */
	for (int i = 0; i < 10; i++)
		go(adds_one, &n_done);
	spin_while_below(&n_done, 10, GORO_SEC(10));
	expect_eq(load(&n_done), 10);
	goro_nopreempt_end();
	require(write(c.fd[1], "", 1) == 1);
	wait_for(goro_count() == 1);
	close(c.fd[0]);
	close(c.fd[1]);
}

static void reads_unannounced(struct crowd *c)
{
	reads_one_byte(c);
}

GORO_CASE(p_of_a_blocked_call_goes_to_steal_from_another_ring, .id = "SYS-01", .procs = "2")
{
	expect_stolen_beside(reads_announced);
	expect_stolen_beside(reads_unannounced);
}

enum { BLOCKED = 50 };

/* That many block in a read; how many threads there are then. */
static int block_them(void)
{
	static const char bytes[BLOCKED];
	struct crowd c = {0};
	require(pipe2(c.fd, O_CLOEXEC) == 0);
	for (int i = 0; i < BLOCKED; i++)
		go(reads_announced, &c);
	wait_for(load(&c.n_in) == BLOCKED);
	int n_threads = thread_count();
	int64_t shortest = INT64_MAX, scale = 1;
	for (int attempt = 0; attempt < 5 && shortest > GORO_MS(20) * scale; attempt++) {
		int64_t start = goro_now();
		goro_sleep(GORO_MS(1));
		int64_t took = goro_now() - start;
		shortest = took < shortest ? took : shortest;
		scale = TAP_SLOWER;
	}
	expect_le(shortest, GORO_MS(20) * scale);
	require(write(c.fd[1], bytes, BLOCKED) == BLOCKED);
	wait_for(load(&c.n_out) == BLOCKED && goro_count() == 1);
	close(c.fd[0]);
	close(c.fd[1]);
	return n_threads;
}

GORO_CASE(fifty_blocked_calls_take_fifty_threads_which_serve_again, .id = "SYS-03")
{
	int n_procs = goro_maxprocs(0);
	int n_before = thread_count();
	int n_most = n_before + BLOCKED + n_procs + 10; /* some are made ahead, in any round */
	int n_first = block_them();
	expect_ge(n_first, BLOCKED);
	expect_le(n_first, n_most);
	for (int i = 0; i < 5; i++)
		expect_le(block_them(), n_most);
	printf("# %d threads before, %d at first, %d now\n", n_before, n_first, thread_count());
}

GORO_CASE(threads_of_blocked_calls_go_when_idle_for_long, .id = "SYS-03", .is_slow = true)
{
	int n_procs = goro_maxprocs(0);
	block_them();
	expect_ge(thread_count(), BLOCKED);
	goro_sleep(GORO_SEC(5));
	printf("# %d threads after 5 s\n", thread_count());
	expect_le(thread_count(), n_procs + 6);
	block_them(); /* those that are left start others again */
}

static void makes_ten_calls(int *n_calls)
{
	for (int i = 0; i < 10; i++) {
		goro_blocking(sleeps_1_ms, NULL);
		add(n_calls, 1);
	}
}

GORO_CASE(a_thousand_goroutines_make_ten_blocking_calls_each, .id = "SYS-03", .timeout_s = 60)
{
	int n_procs = goro_maxprocs(0), n_calls = 0;
	for (int round = 0; round < 3; round++) {
		n_calls = 0;
		int64_t start = tap_now();
		for (int i = 0; i < 1000; i++)
			go(makes_ten_calls, &n_calls);
		wait_for(goro_count() == 1);
		printf("# %" PRId64 " ms, %d threads\n", (tap_now() - start) / 1000000,
		       thread_count());
		expect_eq(n_calls, 10000);
		expect_le(thread_count(), 1000 + n_procs + 6);
	}
}

/* ---- while others are away ---- */

static int is_over;

static void keeps_calling(int *n)
{
	while (!load(&is_over)) {
		goro_blocking(sleeps_1_ms, NULL);
		usleep(1000);
		add(n, 1);
	}
}

static void sleeps_100_ms(void *unused)
{
	(void)unused;
	usleep(100000);
}

static void is_long_away(bool is_announced)
{
	while (!load(&is_over)) {
		if (is_announced)
			goro_blocking(sleeps_100_ms, NULL);
		else
			sleeps_100_ms(NULL);
		goro_checkpoint();
	}
}

struct beside_a_timer {
	int64_t due;      /* 0: the sleeper is awake */
	int n_passed;     /* came back since it was due */
	int must_end, n_left;
};

static void calls_beside_a_timer(struct beside_a_timer *b)
{
	while (!load(&b->must_end)) {
		goro_syscall_enter();
		usleep(1000);
		goro_syscall_exit();
		int64_t due = load(&b->due);
		if (due && goro_now() >= due)
			add(&b->n_passed, 1);
	}
	add(&b->n_left, 1);
}

/* Counted, not timed: who comes back while a timer is due lets the schedule loop look at it. */
GORO_CASE(timers_do_not_wait_for_a_crowd_in_short_calls, .id = "SYS-01", .procs = "1")
{
	enum { CALLERS = 100, SLEEPS = 200 };
	struct beside_a_timer b = {0};
	for (int i = 0; i < CALLERS; i++)
		go(calls_beside_a_timer, &b);
	goro_sleep(GORO_MS(100)); /* their threads are there */
	for (int i = 0; i < SLEEPS; i++) {
		int64_t due = goro_now() + GORO_MS(1);
		store(&b.due, due);
		goro_sleep_until(due);
		store(&b.due, 0);
	}
	store(&b.must_end, 1);
	wait_for(load(&b.n_left) == CALLERS);
	printf("# %d calls came back while a timer was due, in %d sleeps\n", b.n_passed, SLEEPS);
	expect_lt(b.n_passed, 4 * SLEEPS);
}

GORO_CASE(number_of_ps_changes_while_goroutines_are_blocked, .id = "SCH-14", .is_race = true)
{
	int n = 0, n_procs = goro_maxprocs(0);
	int64_t best = INT64_MAX;
	for (int i = 0; i < 10; i++) {
		go(keeps_calling, &n);
		go(is_long_away, i % 2 == 0);
	}
	goro_sleep(GORO_MS(20));
	for (int i = 0; i < 30; i++) {
		int64_t start = tap_now();
		expect_ge(goro_maxprocs(i % 5 + 1), 1);
		int64_t took = tap_now() - start;
		best = took < best ? took : best;
		expect_eq(goro_maxprocs(0), i % 5 + 1);
		goro_sleep(GORO_US(500));
	}
	expect_le(best, GORO_MS(20) * TAP_SLOWER);
	goro_maxprocs(n_procs);
	int n_seen = load(&n);
	wait_for(load(&n) > n_seen + 20);
	store(&is_over, 1);
	wait_for(goro_count() == 1);
}

GORO_CASE(dump_shows_those_in_blocking_calls, .id = "DIA-06", .is_race = true)
{
	int64_t best = INT64_MAX;
	int n_seen = 0; /* they may have come back while the first ones were shown */
	for (int i = 0; i < 4; i++)
		go(is_long_away, i % 2 == 0);
	goro_sleep(GORO_MS(20));
	for (int i = 0; i < 5; i++) {
		int64_t start = tap_now();
		char *text = dump_text();
		int64_t took = tap_now() - start;
		best = took < best ? took : best;
		expect_eq(count_in(text, NULL), 5);
		expect_contains(text, "is_long_away");
		n_seen += strstr(text, "sleeps_100_ms") != NULL;
		free(text);
		goro_sleep(GORO_MS(13));
	}
	expect_ge(n_seen, 1);
	expect_le(best, GORO_MS(200) * TAP_SLOWER);
	store(&is_over, 1);
	wait_for(goro_count() == 1);
}

/* ---- the end of a run ---- */

static int run_ends_beside_calls(void *unused)
{
	static int n_calls;
	(void)unused;
	for (int i = 0; i < 20; i++) {
		go(is_long_away, i % 2 == 0);
		go(makes_ten_calls, &n_calls);
	}
	goro_sleep(GORO_MS(3));
	return 5;
}

/* goro_run waits for the threads that are still away. */
TAP_CASE(run_ends_while_goroutines_are_blocked, .id = "PAN-02", .is_race = true)
{
	for (int i = 0; i < 5; i++) {
		store(&is_over, 0);
		int64_t start = tap_now();
		expect_eq(goro_run(run_ends_beside_calls, NULL), 5);
		expect_lt(tap_now() - start, GORO_SEC(2) * TAP_SLOWER);
	}
}

GORO_CHILD(main_parks_and_another_comes_back_from_a_call)
{
	go(goro_blocking, sleeps_100_ms, NULL);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

GORO_CHILD(main_parks_and_others_end_in_calls)
{
	for (int i = 0; i < 20; i++)
		go(i % 2 == 0 ? returns_without_exit : keeps_its_thread, &is_over);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

TAP_CASE(deadlock_is_found_after_the_last_call_came_back, .id = "DIA-01")
{
	struct tap_child c;
	if (TAP_SANITIZED || getenv("TAP_EMULATED"))
		tap_skip("the process has threads of somebody else");
	tap_child(&c, "main_parks_and_another_comes_back_from_a_call");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	expect_ge(c.wall_ns, GORO_MS(100));
	expect_lt(c.wall_ns, GORO_SEC(2));
	tap_child(&c, "main_parks_and_others_end_in_calls");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
}

GORO_CHILD(blocks_beyond_the_limit)
{
	goro_maxthreads(20);
	block_them();
}

TAP_CASE(blocked_calls_beyond_the_limit_of_threads_are_fatal, .id = "SYS-03")
{
	struct tap_child c;
	tap_child(&c, "blocks_beyond_the_limit");
	expect_child(&c, 2, "program exceeds 20-thread limit");
}

TAP_MAIN
