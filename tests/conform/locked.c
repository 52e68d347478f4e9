/*
 * locked.c - SYS-05: what a locked thread passes on, and what becomes of it.
 *
 *   goro_lock_thread -> the thread is changed -> no other thread of the runtime is like it
 *                    -> the goroutine ends   -> the thread ends; the initial one is parked
 *
 * thr.c has the rest: that the goroutine stays, that nobody else comes, nesting, exchange.
 *
 * Go: testprog/lockosthread.go: LockOSThreadMain, LockOSThreadAvoidsStatePropagation,
 * LockOSThreadTemplateThreadRace; runtime/proc.go (startTemplateThread, mexit).
 */
#include "goro_tap.h"

#include <limits.h>
#include <sys/stat.h>

/* ---- the state of a thread ---- */

#define ODD_NAME "odd one out"

/* Five things that the kernel keeps for a thread, and that clone() hands on. */
static void make_odd(void)
{
	sigset_t mask;
	cpu_set_t cpus;
	struct sched_param none = {0};
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGSEGV);
	expect_eq(pthread_sigmask(SIG_BLOCK, &mask, NULL), 0);
	expect_eq(prctl(PR_SET_NAME, ODD_NAME), 0);
	expect_eq(sched_setscheduler(0, SCHED_BATCH, &none), 0);
	expect_eq(unshare(CLONE_FS), 0);
	expect_eq(chdir("/proc"), 0);
	expect_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&cpus) > 1; i++)
		CPU_CLR(i, &cpus);
	expect_eq(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

static int n_cpus; /* of the process, before anything was changed */

static bool is_odd(void)
{
	sigset_t mask;
	cpu_set_t cpus;
	char name[16], cwd[PATH_MAX];
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	prctl(PR_GET_NAME, name);
	bool is_odd = sigismember(&mask, SIGUSR2) || sigismember(&mask, SIGSEGV) ||
		      strcmp(name, ODD_NAME) == 0 || sched_getscheduler(0) != SCHED_OTHER ||
		      !getcwd(cwd, sizeof(cwd)) || strcmp(cwd, "/proc") == 0;
	sched_getaffinity(0, sizeof(cpus), &cpus);
	return is_odd || (n_cpus > 1 && CPU_COUNT(&cpus) == 1);
}

/* An emulator has threads, masks and names of its own. */
static void skip_where_threads_are_not_the_kernels(void)
{
	if (getenv("TAP_EMULATED"))
		tap_skip("an emulator has the threads");
	if (unshare(CLONE_FS) != 0)
		tap_skip("unshare is not allowed");
	cpu_set_t cpus;
	require_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	n_cpus = CPU_COUNT(&cpus);
	require(!is_odd());
}

static bool thread_exists(pid_t tid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
	return stat(path, &st) == 0;
}

struct looks {
	goro_chan *go_on;
	int n_looked, n_left, n_odd, n_here, wanted;
	pid_t tid;
};

/* Holds its thread until as many as there are Ps are there: each is on another one then. */
static void looks_at_its_thread(struct looks *l)
{
	add(&l->n_odd, is_odd());
	add(&l->n_here, thread_id() == l->tid);
	add(&l->n_looked, 1);
	while (load(&l->n_looked) < l->wanted)
		tap_pause(20000);
	add(&l->n_left, 1);
}

static void starts_all_threads(struct looks *l, int n)
{
	l->wanted = n;
	l->n_looked = l->n_left = 0;
	for (int i = 0; i < n; i++)
		go(looks_at_its_thread, l);
	wait_for(load(&l->n_left) == n);
}

/* ---- new threads ---- */

static int run_main_is_odd(void *unused)
{
	struct looks l = {0};
	int n = goro_maxprocs(0);
	(void)unused;
	goro_lock_thread();
	expect_eq(thread_id(), getpid());
	l.tid = thread_id();
	make_odd();
	expect(is_odd());
	goro_sleep(GORO_US(100)); /* the P goes to a new thread, if there is but one */
	starts_all_threads(&l, n);
	goro_maxprocs(n + 3);
	starts_all_threads(&l, n + 3);
	expect_eq(l.n_odd, 0);
	expect_eq(l.n_here, 0);
	expect_eq(thread_id(), getpid());
	return 0;
}

/* The runtime has no thread but this one before: it starts those that are needed now. */
TAP_CASE(new_threads_have_nothing_of_a_locked_main, .id = "SYS-05")
{
	skip_where_threads_are_not_the_kernels();
	expect_eq(goro_run(run_main_is_odd, NULL), 0);
}

static void is_odd_and_starts_others(struct looks *l)
{
	goro_lock_thread();
	make_odd();
	starts_all_threads(l, goro_maxprocs(0));
	goro_unlock_thread();
	goro_lock_thread();
	add(&l->n_odd, !is_odd()); /* nobody took it away */
}

static int run_child_is_odd(void *unused)
{
	(void)unused;
	for (int i = 0; i < 20; i++) {
		struct looks l = {0};
		goro_maxprocs(goro_maxprocs(0) % 8 + 1);
		go(is_odd_and_starts_others, &l);
		wait_for(goro_count() == 1);
		expect_eq(l.n_odd, 0);
		expect(!is_odd());
	}
	return 0;
}

TAP_CASE(new_threads_have_nothing_of_a_locked_goroutine, .id = "SYS-05")
{
	skip_where_threads_are_not_the_kernels();
	expect_eq(goro_run(run_child_is_odd, NULL), 0);
}

static void ends_odd(struct looks *l)
{
	goro_lock_thread();
	make_odd();
	add(&l->n_looked, 1);
}

/* Who follows it on the P gets a thread that it did not make. */
static int run_odd_ones_end(void *unused)
{
	struct looks l = {0};
	(void)unused;
	for (int i = 0; i < 200 / TAP_SLOWER; i++) {
		go(ends_odd, &l);
		goro_yield();
		go(looks_at_its_thread, &l);
		wait_for(goro_count() == 1);
		expect(!is_odd());
	}
	expect_eq(l.n_odd, 0);
	return 0;
}

TAP_CASE(a_thread_that_ends_with_its_goroutine_starts_none_like_it, .id = "SYS-05")
{
	skip_where_threads_are_not_the_kernels();
	expect_eq(goro_run(run_odd_ones_end, NULL), 0);
}

static void *odd_thread_spawns(void *arg)
{
	struct looks *l = arg;
	make_odd();
	goro_chan_send(l->go_on, NULL);
	starts_all_threads(l, goro_maxprocs(0));
	goro_maxprocs(goro_maxprocs(0) + 2);
	starts_all_threads(l, goro_maxprocs(0));
	goro_chan_send(l->go_on, NULL);
	return NULL;
}

static int run_beside_an_odd_thread(void *unused)
{
	struct looks l = {.go_on = goro_chan_make(0, 1)};
	pthread_t thread;
	(void)unused;
	require_eq(pthread_create(&thread, NULL, odd_thread_spawns, &l), 0);
	goro_chan_recv(l.go_on, NULL);
	goro_chan_recv(l.go_on, NULL);
	pthread_join(thread, NULL);
	expect_eq(l.n_odd, 0);
	return 0;
}

TAP_CASE(new_threads_have_nothing_of_a_plain_thread, .id = "SYS-05")
{
	skip_where_threads_are_not_the_kernels();
	expect_eq(goro_run(run_beside_an_odd_thread, NULL), 0);
}

/* ---- the end of a locked goroutine ---- */

static void locks_and_tells(pid_t *tid)
{
	goro_lock_thread();
	store(tid, thread_id());
}

static void locks_thrice_and_exits(pid_t *tid)
{
	goro_lock_thread();
	goro_lock_thread();
	goro_lock_thread();
	goro_unlock_thread();
	store(tid, thread_id());
	goro_exit();
}

static void call_close_nil(void *unused)
{
	(void)unused;
	goro_lock_thread();
	goro_chan_close(NULL);
}

/* A caught panic unlocks nothing. */
static void is_locked_by_what_panicked(pid_t *tid)
{
	goro_try(call_close_nil, NULL, NULL, 0);
	store(tid, thread_id());
}

static void unlocks_in_a_cleanup(void *unused)
{
	(void)unused;
	goro_unlock_thread();
}

static void unlocks_at_the_end(pid_t *tid)
{
	goro_defer(unlocks_in_a_cleanup, NULL);
	goro_lock_thread();
	store(tid, thread_id());
}

static void check_ending(void (*fn)(pid_t *), bool ends_thread)
{
	for (int i = 0; i < 10; i++) {
		pid_t tid = 0;
		go(fn, &tid);
		wait_for(load(&tid) != 0 && goro_count() == 1);
		if (!ends_thread || tid == getpid())
			expect(thread_exists(tid));
		else
			wait_for(!thread_exists(tid));
	}
}

GORO_CASE(locked_goroutine_takes_its_thread_with_it, .id = "SYS-05")
{
	if (getenv("TAP_EMULATED"))
		tap_skip("an emulator has the threads");
	check_ending(locks_and_tells, true);
	check_ending(locks_thrice_and_exits, true);
	check_ending(is_locked_by_what_panicked, true);
	check_ending(unlocks_at_the_end, false);
}

static void locks_the_initial_thread(int *has_locked)
{
	while (!load(has_locked)) {
		if (thread_id() == getpid()) {
			goro_lock_thread();
			store(has_locked, 1);
			return;
		}
		goro_yield();
	}
}

static void lock_initial_thread_and_end(void)
{
	int has_locked = 0;
	for (int i = 0; i < 16; i++)
		go(locks_the_initial_thread, &has_locked);
	/* Main is on it mostly: it has to leave. */
	while (!load(&has_locked))
		goro_sleep(GORO_US(50));
	wait_for(goro_count() == 1);
}

static int run_initial_thread_is_locked(void *unused)
{
	struct looks l = {.tid = getpid()};
	(void)unused;
	lock_initial_thread_and_end();
	for (int i = 0; i < 20; i++) {
		starts_all_threads(&l, goro_maxprocs(0));
		goro_maxprocs(i % 4 + 1);
		expect_ne(thread_id(), getpid());
	}
	expect_eq(l.n_here, 0);
	expect(thread_exists(getpid()));
	wait_for(is_thread_asleep(getpid()));
	return 3;
}

/* It belongs to the program: it sleeps, serves no other goroutine, and goro_run returns on it. */
TAP_CASE(initial_thread_is_parked_when_its_locked_goroutine_ends, .id = "SYS-05")
{
	for (int i = 0; i < 3; i++) {
		expect_eq(goro_run(run_initial_thread_is_locked, NULL), 3);
		expect_eq(thread_id(), getpid());
	}
}

static goro_chan *never;

static void main_locks_and_exits(void)
{
	goro_lock_thread();
	goro_exit();
}

static void sleeps_and_parks(void *unused)
{
	(void)unused;
	goro_sleep(GORO_MS(20));
	printf("went on\n");
	fflush(stdout);
	goro_chan_recv(never, NULL);
}

GORO_CHILD(locked_main_exits_and_another_parks)
{
	never = goro_chan_make(0, 0);
	goro_spawn(sleeps_and_parks, NULL);
	main_locks_and_exits();
}

GORO_CHILD(locked_main_exits_alone)
{
	main_locks_and_exits();
}

GORO_CHILD(main_parks_after_locked_ones_ended)
{
	for (int i = 0; i < 5; i++) {
		pid_t tid = 0;
		go(locks_and_tells, &tid);
		wait_for(load(&tid) != 0 && goro_count() == 1);
	}
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

GORO_CHILD(main_parks_after_the_initial_thread_was_locked)
{
	lock_initial_thread_and_end();
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

static void locks_and_parks(pid_t *tid)
{
	goro_lock_thread();
	store(tid, thread_id());
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

GORO_CHILD(all_are_locked_and_park)
{
	pid_t tid[4] = {0};
	goro_lock_thread();
	for (int i = 0; i < 4; i++)
		go(locks_and_parks, &tid[i]);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

TAP_CASE(threads_that_ended_or_are_parked_hide_no_deadlock, .id = "DIA-01")
{
	struct tap_child c;
	if (TAP_SANITIZED || getenv("TAP_EMULATED"))
		tap_skip("the process has threads of somebody else");
	tap_child(&c, "locked_main_exits_and_another_parks");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	expect_str(c.out, "went on\n");
	tap_child(&c, "locked_main_exits_alone");
	expect_child(&c, 2, "fatal error: no goroutines (main called goro_exit) - deadlock!\n");
	tap_child(&c, "main_parks_after_locked_ones_ended");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	tap_child(&c, "main_parks_after_the_initial_thread_was_locked");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	tap_child(&c, "all_are_locked_and_park");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	expect_contains(c.err, "[chan receive, locked to thread]");
}

/* ---- while the Ps change ---- */

struct pair {
	goro_chan *c, *back;
	int n_moved, is_over;
};

static void answers_locked(struct pair *p)
{
	goro_lock_thread();
	pid_t tid = thread_id();
	while (goro_chan_recv(p->c, NULL)) {
		add(&p->n_moved, thread_id() != tid);
		goro_chan_send(p->back, NULL);
		add(&p->n_moved, thread_id() != tid);
	}
}

static void changes_procs_locked(struct pair *p, uint64_t random)
{
	goro_lock_thread();
	pid_t tid = thread_id();
	for (int i = 0; i < 50; i++) {
		goro_maxprocs((int)(tap_random(&random) % 8) + 1);
		add(&p->n_moved, thread_id() != tid);
		goro_sleep(GORO_US(50));
		add(&p->n_moved, thread_id() != tid);
	}
	store(&p->is_over, 1);
}

GORO_CASE(locked_goroutines_stay_while_the_number_of_ps_changes, .id = "SYS-05", .is_race = true)
{
	struct pair p = {.c = goro_chan_make(0, 0), .back = goro_chan_make(0, 0)};
	uint64_t state = tap_seed();
	go(answers_locked, &p);
	go(changes_procs_locked, &p, tap_random(&state));
	while (!load(&p.is_over)) {
		goro_chan_send(p.c, NULL);
		goro_chan_recv(p.back, NULL);
	}
	goro_chan_close(p.c);
	wait_for(goro_count() == 1);
	expect_eq(p.n_moved, 0);
}

static void answers_locked_until_closed(goro_chan *c, goro_chan *back)
{
	goro_lock_thread();
	while (goro_chan_recv(c, NULL))
		goro_chan_send(back, NULL);
}

static void counts_up(int *n)
{
	add(n, 1);
}

/*
 * The pair's slices are short, so that nobody asks it to yield, and it lives in the next slot: what
 * lies in the ring must have its turn all the same.
 */
GORO_CASE(a_pair_with_a_locked_one_does_not_shut_out_the_ring, .id = "SYS-05", .procs = "1")
{
	goro_chan *c = goro_chan_make(0, 0), *back = goro_chan_make(0, 0);
	int n = 0, n_rounds = 0;
	go(answers_locked_until_closed, c, back);
	goro_yield();
	go(counts_up, &n);
	go(counts_up, &n);
	for (; load(&n) < 2 && n_rounds < 10000; n_rounds++) {
		goro_chan_send(c, NULL);
		goro_chan_recv(back, NULL);
	}
	goro_chan_close(c);
	expect_eq(n, 2);
	expect_lt(n_rounds, 500);
}

enum { YIELDERS = 40 };
struct turns {
	int is_over, n[YIELDERS];
};

static void yields_and_counts(struct turns *t, int i)
{
	while (!load(&t->is_over)) {
		add(&t->n[i], 1);
		goro_yield();
	}
}

static bool all_have_had(struct turns *t, int n)
{
	for (int i = 0; i < YIELDERS; i++)
		if (load(&t->n[i]) < n)
			return false;
	return true;
}

/* The same while the global queue is never empty, so that it always has something to give. */
GORO_CASE(a_pair_with_a_locked_one_shuts_out_neither_of_two_queues, .id = "SYS-05", .procs = "1")
{
	goro_chan *c = goro_chan_make(0, 0), *back = goro_chan_make(0, 0);
	struct turns t = {0};
	int n_rounds = 0;
	go(answers_locked_until_closed, c, back);
	for (int i = 0; i < YIELDERS; i++) {
		if (i == YIELDERS / 2)
			goro_yield(); /* these lie in the global queue, the others in the ring */
		go(yields_and_counts, &t, i);
	}
	for (; !all_have_had(&t, 4) && n_rounds < 20000; n_rounds++) {
		goro_chan_send(c, NULL);
		goro_chan_recv(back, NULL);
	}
	expect(all_have_had(&t, 4));
	printf("# %d rounds of the pair\n", n_rounds);
	store(&t.is_over, 1);
	goro_chan_close(c);
	wait_for(goro_count() == 1);
}

TAP_MAIN
