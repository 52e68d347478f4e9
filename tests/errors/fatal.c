/*
 * fatal.c - fatal errors, and what cannot be had: threads, memory, guards, sane settings.
 *
 *   deadlock, overflow, limits -> "fatal error: TEXT", stacks, status 2; a try does not catch it
 *   no memory, no threads      -> -ENOMEM, NULL, or a clear message
 *
 * The deadlocks' own texts are in tests/conform/dia.c, faults and overflow in fault.c; here are the
 * limits, the fallbacks forced through the environment, and bad input.
 */
#include "goro_tap.h"

#include <grp.h>
#include <signal.h>

/* ---- the thread limit ---- */

static void locks_and_parks(void *unused)
{
	(void)unused;
	goro_lock_thread();
	goro_chan_recv(NULL, NULL);
}

static void locks_too_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < 100; i++) {
		goro_spawn(locks_and_parks, NULL);
		goro_yield();
	}
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

GORO_CHILD(exceeds_30_threads)
{
	goro_maxthreads(30);
	locks_too_many(NULL);
}

GORO_CHILD(exceeds_30_threads_in_a_try)
{
	goro_maxthreads(30);
	goro_try(locks_too_many, NULL, NULL, 0);
	printf("caught");
}

GORO_CHILD(lowers_the_limit_below_what_exists)
{
	for (int i = 0; i < 20; i++)
		goro_spawn(locks_and_parks, NULL);
	wait_until_n_parked(20, "chan receive (nil chan)");
	goro_maxthreads(5);
	printf("went on");
}

TAP_CASE(more_threads_than_the_limit_is_fatal, .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "exceeds_30_threads");
	expect_child(&c, 2, "program exceeds 30-thread limit\n[see goro_maxthreads()]\n\n");
	expect_contains(c.err, "fatal error: ");
	tap_child(&c, "exceeds_30_threads_in_a_try");
	expect_child(&c, 2, "program exceeds 30-thread limit\n[see goro_maxthreads()]\n\n");
	expect_str(c.out, "");
	tap_child(&c, "lowers_the_limit_below_what_exists");
	expect_child(&c, 2, "program exceeds 5-thread limit\n[see goro_maxthreads()]\n\n");
	expect_str(c.out, "");
}

static int is_over;

static void yields_on(int *n)
{
	while (!load(&is_over))
		goro_yield();
	add(n, 1);
}

/* Every world stop sends all threads but one on their way to the idle list. */
GORO_CHILD(stops_the_world_at_the_limit)
{
	int n_procs = goro_maxprocs(0), n_ended = 0;
	goro_maxthreads(n_procs);
	for (int i = 0; i < 2 * n_procs; i++)
		go(yields_on, &n_ended);
	for (int i = 0; i < 2000; i++) {
		goro_maxprocs(1 + i % n_procs);
		goro_yield();
	}
	store(&is_over, 1);
	wait_for(load(&n_ended) == 2 * n_procs);
	printf("within");
}

static void answers(goro_chan *c)
{
	int n;
	goro_lock_thread();
	while (goro_chan_recv(c, &n) && n)
		goro_chan_send(c, &n);
}

/* Who hands its P to the thread of a locked goroutine is on its way while that one waits again. */
GORO_CHILD(talks_to_a_locked_goroutine_at_the_limit)
{
	goro_chan *c = goro_chan_of(int, 0);
	int n_procs = goro_maxprocs(0), n_ended = 0, n = 1;
	goro_maxthreads(n_procs + 1);
	for (int i = 0; i + 1 < n_procs; i++)
		go(yields_on, &n_ended);
	go(answers, c);
	for (int i = 0; i < 20000; i++) {
		goro_chan_send(c, &n);
		goro_chan_recv(c, &n);
	}
	n = 0;
	goro_chan_send(c, &n);
	store(&is_over, 1);
	wait_for(load(&n_ended) == n_procs - 1);
	printf("within");
}

static void keeps_its_thread(int *n)
{
	goro_lock_thread();
	add(n, 1);
}

/* A thread that ends with its goroutine makes room for the one that takes its P. */
GORO_CHILD(ends_threads_at_the_limit)
{
	int n_procs = goro_maxprocs(0), n_ended = 0;
	goro_maxthreads(n_procs + 2);
	for (int i = 0; i < 1000; i++) {
		go(keeps_its_thread, &n_ended);
		wait_for(load(&n_ended) == i + 1);
	}
	printf("within");
}

TAP_CASE(as_many_threads_as_the_limit_are_no_error, .procs = "1,2,4")
{
	static const char *const children[] = {"stops_the_world_at_the_limit",
					       "talks_to_a_locked_goroutine_at_the_limit",
					       "ends_threads_at_the_limit"};
	struct tap_child c;
	for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
		tap_child(&c, children[i]);
		expect_child(&c, 0, "");
		expect_str(c.out, "within");
	}
}

/* ---- a report that takes longer than a slice ---- */

static void parks_for_ever(void *unused)
{
	(void)unused;
	goro_chan_recv(NULL, NULL);
}

/* The call that finds out has not entered the runtime: its goroutine could be stopped. */
GORO_CHILD(unlocks_what_is_not_locked_beside_many)
{
	goro_rwmutex m = {0};
	for (int i = 0; i < 2000; i++)
		require_eq(goro_spawn(parks_for_ever, NULL), 0);
	wait_until_n_parked(2000, "chan receive (nil chan)");
	goro_rwmutex_rdunlock(&m);
	printf("went on");
}

TAP_CASE(long_report_comes_to_its_end, .procs = "1,2,4", .is_race = true)
{
	struct tap_child c;
	tap_child(&c, "unlocks_what_is_not_locked_beside_many");
	expect_child(&c, 2, "fatal error: sync: RUnlock of unlocked RWMutex\n");
	expect_contains(c.err, "\ngoroutine 2001 [chan receive (nil chan)]:\n");
	expect_str(c.out, "");
}

/* ---- no threads ---- */

static void limit_threads(int n)
{
	struct rlimit limit = {(rlim_t)n, (rlim_t)n};
	/* Root is not bound by the limit, so become an odd user who runs nothing else. */
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) != 0 || setgid(64999) != 0 || setuid(64999) != 0)) {
		printf("skip");
		exit(0);
	}
	require(setrlimit(RLIMIT_NPROC, &limit) == 0);
}

static int starts_many_locked(void *unused)
{
	(void)unused;
	locks_too_many(NULL);
	return 0;
}

TAP_CHILD(runs_without_threads)
{
	limit_threads(1);
	int result = goro_run(starts_many_locked, NULL);
	printf(result == -ENOMEM ? "ENOMEM" : "%d", result);
}

TAP_CHILD(runs_out_of_threads)
{
	limit_threads(12);
	int result = goro_run(starts_many_locked, NULL);
	printf(result == -ENOMEM ? "ENOMEM" : "%d", result);
}

/* -ENOMEM of goro_run, or a fatal error that speaks of threads; no hang, no signal. */
static void expect_thread_shortage(const char *name)
{
	struct tap_child c;
	tap_child(&c, name);
	if (strcmp(c.out, "skip") == 0)
		tap_skip("may not change the user, which RLIMIT_NPROC needs");
	if (c.status == 0) {
		expect_str(c.out, "ENOMEM");
		return;
	}
	expect_child(&c, 2, "fatal error: ");
	expect_contains(c.err, "thread");
}

TAP_CASE(no_thread_to_be_had_is_said_clearly, .procs = "1,4")
{
	if (TAP_SANITIZED)
		tap_skip("the sanitizer needs threads of its own");
	expect_thread_shortage("runs_without_threads");
	expect_thread_shortage("runs_out_of_threads");
}

/* ---- no memory ---- */

static void parks_on(void *c)
{
	goro_chan_recv(c, NULL);
}

static void limit_memory(int64_t more_bytes)
{
	int64_t now = tap_kib("/proc/self/status", "VmSize:") * 1024;
	struct rlimit limit = {(rlim_t)(now + more_bytes), (rlim_t)(now + more_bytes)};
	require(now > 0 && setrlimit(RLIMIT_AS, &limit) == 0);
}

/* Spawns until there is no more, then shows that the rest of the program goes on. */
GORO_CHILD(spawns_until_memory_ends)
{
	struct goro_attr attr = {.stack_size = 1 << 20};
	goro_chan *c = goro_chan_make(0, 0);
	int n = 0, error = 0;
	limit_memory(64 << 20);
	while (n < 100000 && (error = goro_spawn_attr(&attr, parks_on, c)) == 0) {
		n++;
		goro_yield();
	}
	printf("%s ", error == -ENOMEM ? "ENOMEM" : "?");
	expect_eq(goro_count(), n + 1);
	goro_chan_close(c);
	wait_for(goro_count() == 1);
	/* What was given back can be had again. */
	c = goro_chan_make(0, 0);
	expect_eq(goro_spawn_attr(&attr, parks_on, c), 0);
	goro_chan_close(c);
	wait_for(goro_count() == 1);
	printf("%s", tap_failures == 0 && n < 100000 ? "went on" : "failed");
}

GORO_CHILD(makes_a_channel_without_memory)
{
	limit_memory(8 << 20);
	printf("%s ", goro_chan_make(1, 1 << 30) == NULL ? "NULL" : "made");
	goro_chan *c = goro_chan_make(4, 4);
	goro_put(c, 4);
	printf("%d", goro_get(c, int));
}

TAP_CHILD(runs_without_memory)
{
	struct rlimit limit = {1 << 20, 1 << 20};
	require(setrlimit(RLIMIT_AS, &limit) == 0);
	int result = goro_run(starts_many_locked, NULL);
	if (write(STDOUT_FILENO, result == -ENOMEM ? "ENOMEM" : "?", result == -ENOMEM ? 6 : 1) < 0)
		_exit(1);
	_exit(0);
}

TAP_CASE(no_memory_is_said_clearly, .procs = "1,4")
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's shadow needs all the address space");
	tap_child(&c, "makes_a_channel_without_memory");
	expect_eq(c.status, 0);
	expect_str(c.out, "NULL 4");
	tap_child(&c, "runs_without_memory");
	if (c.status == 0) {
		expect_str(c.out, "ENOMEM");
	} else {
		expect_child(&c, 2, "fatal error: ");
		expect(strstr(c.err, "memory") != NULL || strstr(c.err, "thread") != NULL);
	}
}

/*
 * Stacks come late, so that it may be the first run, and not the spawn, which finds no memory: then
 * a fatal error that says so is the only answer left.
 */
TAP_CASE(spawn_without_memory_is_enomem_or_said_clearly, .procs = "1,4")
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's shadow needs all the address space");
	tap_child(&c, "spawns_until_memory_ends");
	if (c.status == 0) {
		expect_str(c.out, "ENOMEM went on");
	} else {
		expect_child(&c, 2, "fatal error: ");
		expect(strstr(c.err, "memory") != NULL || strstr(c.err, "thread") != NULL);
	}
}

/* ---- how stacks are guarded ---- */

static int volatile sink;

__attribute__((noinline)) static int recurses(int depth)
{
	char volatile frame[256];
	for (size_t i = 0; i < sizeof(frame); i += 64)
		frame[i] = (char)depth;
	int below = depth > 1 << 24 ? 0 : recurses(depth + 1);
	__asm__ volatile("" ::: "memory");
	return below + frame[64];
}

static void overflows(void *unused)
{
	(void)unused;
	sink = recurses(1);
}

GORO_CHILD(overflows_its_stack)
{
	goro_spawn(overflows, NULL);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

/* One byte pattern past the end, and back: only a canary is left to see it at the next call. */
__attribute__((noinline)) static int dips_below(const char *top, size_t bytes)
{
	char volatile frame[1024];
	for (size_t i = 0; i < sizeof(frame); i += 8)
		frame[i] = 0x77;
	size_t used = (size_t)(top - (const char *)frame);
	int below = used >= bytes ? 0 : dips_below(top, bytes);
	__asm__ volatile("" ::: "memory");
	return below + frame[8];
}

static void dips_and_calls(void *unused)
{
	char top = 0;
	(void)unused;
	sink = dips_below(&top, (64 << 10) + 2048);
	goro_yield();
	printf("went on");
	fflush(stdout);
	exit(0);
}

GORO_CHILD(dips_below_its_stack)
{
	struct goro_attr attr = {.stack_size = 64 << 10};
	for (int i = 0; i < 4; i++)
		goro_spawn_attr(&attr, parks_on, NULL);
	goro_yield();
	goro_spawn_attr(&attr, dips_and_calls, NULL);
	for (int i = 0; i < 4; i++)
		goro_spawn_attr(&attr, parks_on, NULL);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

static void expect_named_overflow(const char *child, const char *env)
{
	struct tap_child c;
	tap_child(&c, child, env);
	if (strstr(c.err, "not supported") != NULL)
		tap_skip("this kernel has no MADV_GUARD_INSTALL");
	expect_child(&c, 2, "fatal error: stack overflow\n");
	expect_contains(c.err, "\ngoroutine ");
	expect_str(c.out, "");
}

static void expect_overflow_is_named(const char *env)
{
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own handler reports overflows");
	expect_named_overflow("dips_below_its_stack", env);
}

TAP_CASE(overflow_is_named_with_guard_regions, .procs = "1,4")
{
	expect_overflow_is_named("GORO_STACKGUARD=guard");
	expect_named_overflow("overflows_its_stack", "GORO_STACKGUARD=guard");
}

TAP_CASE(overflow_is_named_with_mprotect, .procs = "1,4")
{
	expect_overflow_is_named("GORO_STACKGUARD=mprotect");
	expect_named_overflow("overflows_its_stack", "GORO_STACKGUARD=mprotect");
}

/* A canary finds it at the next call of the library; nothing stops the writes themselves. */
TAP_CASE(overflow_is_named_with_canaries, .procs = "1,4")
{
	expect_overflow_is_named("GORO_STACKGUARD=canary");
}

static void counts(void *n)
{
	add((int *)n, 1);
}

GORO_CHILD(runs_some)
{
	struct goro_attr attr = {.stack_size = 32 << 10};
	int n = 0;
	for (int i = 0; i < 1000; i++) {
		goro_spawn(counts, &n);
		goro_spawn_attr(&attr, counts, &n);
	}
	wait_for(load(&n) == 2000);
	printf("%d", n);
}

TAP_CASE(goroutines_run_with_each_kind_of_guard, .procs = "1,4")
{
	static const char *const kinds[] = {"GORO_STACKGUARD=guard", "GORO_STACKGUARD=mprotect",
					    "GORO_STACKGUARD=canary", "GORO_STACKGUARD"};
	struct tap_child c;
	for (int i = 0; i < 4; i++) {
		tap_child(&c, "runs_some", kinds[i]);
		expect_eq(c.status, 0);
		expect_str(c.out, "2000");
	}
}

GORO_CHILD(parks_more_than_maps_allow)
{
	enum { N = 70000 };
	goro_chan *c = goro_chan_make(0, 0);
	for (int i = 0; i < N; i++)
		require_eq(goro_spawn(parks_on, c), 0);
	for (int i = 0; i < 100; i++)
		goro_yield();
	expect_eq(goro_count(), N + 1);
	goro_chan_close(c);
	wait_for(goro_count() == 1);
	printf("all");
}

/* mprotect splits mappings: about half of vm.max_map_count of them, then canaries must do. */
TAP_CASE(mprotect_beyond_max_map_count_goes_on_with_canaries, .procs = "2", .is_alone = true)
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("so many fibers are beyond the sanitizer");
	tap_child(&c, "parks_more_than_maps_allow", "GORO_STACKGUARD=mprotect");
	expect_eq(c.status, 0);
	expect_str(c.out, "all");
	expect_lacks(c.err, "fatal");
}

/* ---- settings ---- */

GORO_CHILD(says_that_it_runs)
{
	printf("%d", goro_maxprocs(0));
}

/* Clear outcomes only: it runs with a number that makes sense, or it says why not. */
TAP_CASE(odd_environments_run_or_say_why_not, .procs = "-")
{
	static const char *const odd[] = {
		"GORO_MAXPROCS=100000",	   "GORO_MAXPROCS=99999999999999999999",
		"GORO_MAXPROCS=0x10",	   "GORO_MAXPROCS=1e3",
		"GORO_MAXPROCS=3 ",	   "GORO_MAXPROCS=+2",
		"GORO_STACKGUARD=none",	   "GORO_STACKGUARD=",
		"GORO_MAXSTOPPED=-1",	   "GORO_MAXSTOPPED=99999999999999999999",
		"GORODEBUG=nonsense=1,,=", "GORODEBUG=schedtrace=abc",
		"GORODEBUG=schedtrace=-5",
	};
	struct tap_child c;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		tap_child(&c, "says_that_it_runs", odd[i]);
		bool runs = c.status == 0 && atoi(c.out) >= 1 && atoi(c.out) <= 1024;
		bool is_said = c.status == 2 && strstr(c.err, "fatal error: ") != NULL;
		if (!runs && !is_said)
			tap_diag("# %s: status %d, \"%s\"", odd[i], c.status, c.err);
		expect(runs || is_said);
	}
}

TAP_CASE(wrong_maxstopped_is_said_and_ignored, .procs = "2")
{
	static const char *const wrong[] = {"-1",   "abc", "2x",
					     "0x10", "1e3", "-99999999999999999999"};
	static const char *const good[] = {"0", "1", " 3 ", "99999999999999999999", ""};
	struct tap_child c;
	char setting[64], said[128];
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(setting, sizeof(setting), "GORO_MAXSTOPPED=%s", wrong[i]);
		snprintf(said, sizeof(said), "goro: %s is not a number from 0: using 256\n",
			 setting);
		tap_child(&c, "says_that_it_runs", setting);
		expect_eq(c.status, 0);
		expect_str(c.err, said);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(setting, sizeof(setting), "GORO_MAXSTOPPED=%s", good[i]);
		tap_child(&c, "says_that_it_runs", setting);
		expect_eq(c.status, 0);
		expect_str(c.err, "");
	}
}

/* ---- stack sizes ---- */

static void formats(void *n)
{
	char text[512];
	snprintf(text, sizeof(text), "%g %s", 1.5, "formatted");
	add((int *)n, strcmp(text, "1.5 formatted") == 0);
}

GORO_CASE(odd_stack_sizes_work_or_are_einval, .procs = "1,4")
{
	static const size_t good[] = {
		0,     1,      100,	4095,	       4096,	 4097,	 16 << 10, (16 << 10) + 1,
		65536, 100001, 1 << 20, (1 << 20) + 1, 64 << 20, 1 << 30};
	static const size_t bad[] = {((size_t)1 << 30) + 1, (size_t)1 << 40, SIZE_MAX / 2, SIZE_MAX,
				     SIZE_MAX - 4095,	    SIZE_MAX - 4096};
	int n = 0;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct goro_attr attr = {.stack_size = good[i]};
		if (TAP_SANITIZED && good[i] != 0 && good[i] < 64 << 10)
			attr.stack_size = 64 << 10;
		expect_eq(goro_spawn_attr(&attr, formats, &n), 0);
		wait_for(load(&n) == (int)i + 1);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct goro_attr attr = {.stack_size = bad[i]};
		expect_eq(goro_spawn_attr(&attr, formats, &n), -EINVAL);
	}
	wait_for(goro_count() == 1);
	expect_eq(n, (int)(sizeof(good) / sizeof(good[0])));
}

/* ---- a report that cannot be written, and a long one ---- */

static void break_stderr(void)
{
	int fds[2];

	signal(SIGPIPE, SIG_DFL);
	if (pipe(fds) != 0)
		_exit(9);
	close(fds[0]);
	dup2(fds[1], 2);
}

GORO_CHILD(panics_into_a_broken_pipe)
{
	break_stderr();
	goro_panic("nobody reads this");
}

GORO_CHILD(deadlocks_into_a_broken_pipe)
{
	break_stderr();
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(dumps_into_a_broken_pipe)
{
	break_stderr();
	goro_dump(2);
	printf("alive");
}

TAP_CASE(report_on_a_broken_pipe_ends_as_any_other, .procs = "1,4")
{
	struct tap_child c;

	tap_child(&c, "panics_into_a_broken_pipe");
	expect_eq(c.status, 2);
	tap_child(&c, "deadlocks_into_a_broken_pipe");
	expect_eq(c.status, 2);
	tap_child(&c, "dumps_into_a_broken_pipe");
	expect_eq(c.status, 0);
	expect_str(c.out, "alive");
}

enum { PARKED = 12000 };

static void parks(void *unused)
{
	(void)unused;
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(deadlocks_with_many)
{
	FILE *report = fopen(getenv("REPORT"), "w");

	if (!report)
		_exit(9);
	dup2(fileno(report), 2);
	for (int i = 0; i < PARKED; i++)
		goro_spawn(parks, NULL);
	parks(NULL);
}

TAP_CASE(report_has_every_goroutine, .procs = "2", .timeout_s = 60)
{
	char path[] = "/tmp/goro-report-XXXXXX", env[64], line[512];
	int fd = mkstemp(path), n = 0;
	struct tap_child c;

	require(fd >= 0);
	snprintf(env, sizeof(env), "REPORT=%s", path);
	tap_child(&c, "deadlocks_with_many", env);
	expect_eq(c.status, 2);
	FILE *report = fdopen(fd, "r");
	while (fgets(line, sizeof(line), report))
		n += strncmp(line, "goroutine ", 10) == 0;
	fclose(report);
	unlink(path);
	expect_eq(n, PARKED + 1);
}

TAP_MAIN
