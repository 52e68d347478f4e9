/*
 * fault.c - PAN-07: access through NULL, and stacks that overflow.
 *
 *   SIGSEGV -> alternate stack -> guard? "stack overflow" : "SIGSEGV" -> the goroutine -> status 2
 *
 * Each case also on a worker thread that is not the first (a second goroutine runs it while main
 * is parked), on a used stack, and with a stack size of its own.
 *
 * Go: crash_test.go: TestStackOverflow; test/nilptr.go.
 */
#include "goro_tap.h"

static int volatile zero;

static void writes_through_null(void *unused)
{
	(void)unused;
	*(int volatile *)(uintptr_t)(zero + 24) = 1;
}

static void parks_main(void)
{
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

static void uses_some_stack(void *unused)
{
	char volatile space[20000];
	(void)unused;
	for (size_t i = 0; i < sizeof(space); i += 512)
		space[i] = (char)i;
}

/* The stack of the next goroutine has been used before. */
static void warm_the_pool(void)
{
	for (int i = 0; i < 100; i++)
		goro_spawn(uses_some_stack, NULL);
	wait_for(goro_count() == 1);
}

GORO_CHILD(goroutine_writes_through_null)
{
	warm_the_pool();
	goro_spawn(writes_through_null, NULL);
	parks_main();
}

GORO_CHILD(main_writes_through_null)
{
	writes_through_null(NULL);
}

/* The message names the signal, the address and the goroutine. */
static void expect_fault(const struct tap_child *c)
{
	expect_child(c, 2, "SIGSEGV");
	expect_contains(c->err, "0x18");
	expect_contains(c->err, "\ngoroutine ");
	expect_contains(c->err, "writes_through_null");
}

TAP_CASE(write_through_null_names_sigsegv_address_and_goroutine, .id = "PAN-07")
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own handler reports faults");
	tap_child(&c, "goroutine_writes_through_null");
	expect_fault(&c);
	tap_child(&c, "main_writes_through_null");
	expect_fault(&c);
	expect_contains(c.err, "\ngoroutine 1 [");
}

/* ---- overflow ---- */

__attribute__((noinline)) static int recurses_small(int depth)
{
	int below = depth > 1 << 30 ? 0 : recurses_small(depth + 1);
	__asm__ volatile("" ::: "memory");
	return below + depth;
}

/* Touches only the low end of each frame, as far from the last touched byte as it goes. */
__attribute__((noinline)) static int recurses_large(int depth)
{
	char volatile frame[64 * 1024];
	frame[0] = (char)depth;
	int below = depth > 1 << 20 ? 0 : recurses_large(depth + 1);
	__asm__ volatile("" ::: "memory");
	return below + frame[0];
}

__attribute__((noinline)) static int recurses_five_pages(int depth)
{
	char volatile frame[5 * 4096];
	frame[0] = (char)depth;
	int below = depth > 1 << 22 ? 0 : recurses_five_pages(depth + 1);
	__asm__ volatile("" ::: "memory");
	return below + frame[0];
}

static void overflows_small(void *unused)
{
	(void)unused;
	zero = recurses_small(1);
}

static void overflows_large(void *unused)
{
	(void)unused;
	zero = recurses_large(1);
}

static void overflows_five_pages(void *unused)
{
	(void)unused;
	zero = recurses_five_pages(1);
}

static void run_on_warm_stack(void (*fn)(void *), size_t stack_size)
{
	struct goro_attr attr = {.stack_size = stack_size, .name = "overflower"};
	warm_the_pool();
	/* Neighbours on both sides, with stacks in use. */
	for (int i = 0; i < 10; i++)
		go(parks_main);
	goro_yield();
	require_eq(goro_spawn_attr(&attr, fn, NULL), 0);
	for (int i = 0; i < 10; i++)
		go(parks_main);
	parks_main();
}

GORO_CHILD(small_frames)
{
	run_on_warm_stack(overflows_small, 0);
}

GORO_CHILD(large_frames)
{
	run_on_warm_stack(overflows_large, 0);
}

GORO_CHILD(five_page_frames)
{
	run_on_warm_stack(overflows_five_pages, 0);
}

GORO_CHILD(small_frames_on_64_kib)
{
	run_on_warm_stack(overflows_small, 64 * 1024);
}

GORO_CHILD(small_frames_on_8_mib)
{
	run_on_warm_stack(overflows_small, 8 << 20);
}

GORO_CHILD(large_frames_on_1_mib)
{
	run_on_warm_stack(overflows_large, 1 << 20);
}

GORO_CHILD(small_frames_in_main)
{
	overflows_small(NULL);
}

GORO_CHILD(large_frames_in_main)
{
	overflows_large(NULL);
}

static void tries_to_overflow(void *unused)
{
	(void)unused;
	expect(!goro_try(overflows_small, NULL, NULL, 0));
	printf("caught");
}

GORO_CHILD(small_frames_in_a_try)
{
	goro_spawn(tries_to_overflow, NULL);
	parks_main();
}

/* Fatal: the name of the goroutine and its number, its stack, not caught, status 2. */
static void expect_overflow(const char *name, const char *function)
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own handler reports overflows");
	tap_child(&c, name);
	expect_child(&c, 2, "fatal error: stack overflow\n");
	expect_contains(c.err, "\ngoroutine ");
	expect_contains(c.err, function);
	expect_str(c.out, "");
}

TAP_CASE(overflow_by_small_frames_is_named, .id = "PAN-07")
{
	expect_overflow("small_frames", "recurses_small");
}

TAP_CASE(overflow_by_64_kib_frames_is_named, .id = "PAN-07")
{
	expect_overflow("large_frames", "recurses_large");
}

TAP_CASE(overflow_by_frames_of_five_pages_is_named, .id = "PAN-07")
{
	expect_overflow("five_page_frames", "recurses_five_pages");
}

TAP_CASE(overflow_of_a_small_stack_is_named, .id = "PAN-07")
{
	expect_overflow("small_frames_on_64_kib", "recurses_small");
}

TAP_CASE(overflow_of_a_large_stack_is_named, .id = "PAN-07")
{
	expect_overflow("small_frames_on_8_mib", "recurses_small");
	expect_overflow("large_frames_on_1_mib", "recurses_large");
}

TAP_CASE(overflow_in_main_is_named, .id = "PAN-07")
{
	expect_overflow("small_frames_in_main", "goroutine 1 [");
	expect_overflow("large_frames_in_main", "goroutine 1 [");
}

TAP_CASE(overflow_is_not_caught_by_a_try, .id = "PAN-07")
{
	expect_overflow("small_frames_in_a_try", "recurses_small");
}

/* ---- the alternate signal stack is on every worker ---- */

static int n_ready;

static void spins_until_all_are_ready(void *arg)
{
	int n = *(int *)arg;
	add(&n_ready, 1);
	while (load(&n_ready) < n)
		sched_yield();
	/* All Ps are busy now: the last one overflows on whichever thread it has. */
	if (add(&n_ready, 1) == 2 * n)
		overflows_small(NULL);
	for (;;)
		sched_yield();
}

GORO_CHILD(last_worker_overflows)
{
	static int n;
	n = goro_maxprocs(0);
	for (int i = 0; i < n; i++)
		goro_spawn(spins_until_all_are_ready, &n);
	parks_main();
}

TAP_CASE(overflow_on_any_worker_is_named, .id = "PAN-07")
{
	int n_rounds = tap_share(10);
	for (int i = 0; i < n_rounds; i++)
		expect_overflow("last_worker_overflows", "recurses_small");
}

/* ---- an alternate signal stack of the program's own, with little more room than it needs ---- */

enum { ROOM = 2048 };

/* What the kernel needs and ROOM; the page below must not be touched. */
static void use_small_alternate_stack(void)
{
	size_t size = (size_t)sysconf(_SC_MINSIGSTKSZ) + ROOM;
	char *memory = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = {.ss_sp = memory + 4096, .ss_size = size};
	require(memory != MAP_FAILED && size < 61440);
	require(mprotect(memory + 4096, 61440, PROT_READ | PROT_WRITE) == 0);
	require(sigaltstack(&stack, NULL) == 0);
}

static int is_running, is_stopped;

__attribute__((noinline)) static void runs_without_a_call(void)
{
	store(&is_running, 1);
	while (!load(&is_stopped))
		__asm__ volatile("" ::: "memory");
}

static void dumps_main(void *unused)
{
	(void)unused;
	wait_for(load(&is_running));
	char *text = dump_text();
	printf("%s", strstr(text, "\nruns_without_a_call") != NULL ? "seen" : text);
	fflush(stdout);
	free(text);
	store(&is_stopped, 1);
}

static int main_with_small_alternate_stack(void *what)
{
	if (strcmp(what, "fault") == 0)
		writes_through_null(NULL);
	else if (strcmp(what, "overflow") == 0)
		overflows_small(NULL);
	else if (strcmp(what, "dump") == 0)
		goro_spawn(dumps_main, NULL);
	else
		kill(getpid(), SIGQUIT);
	runs_without_a_call();
	return 5;
}

TAP_CHILD(small_alternate_stack)
{
	use_small_alternate_stack();
	int status = goro_run(main_with_small_alternate_stack, getenv("WHAT"));
	_exit(status);
}

TAP_CASE(small_alternate_stack_of_the_program_is_enough_for_a_report, .id = "PAN-07")
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own handler reports faults");
	tap_child(&c, "small_alternate_stack", "WHAT=fault");
	expect_fault(&c);
	tap_child(&c, "small_alternate_stack", "WHAT=overflow");
	expect_child(&c, 2, "fatal error: stack overflow\n");
	expect_contains(c.err, "\ngoroutine 1 [running]:\n");
	expect_contains(c.err, "\nrecurses_small");
	tap_child(&c, "small_alternate_stack", "WHAT=quit");
	expect_child(&c, 2, "\ngoroutine 1 [running]:\n");
	expect_contains(c.err, "\nmain_with_small_alternate_stack");
}

TAP_CASE(small_alternate_stack_of_the_program_is_enough_for_a_dump, .id = "DIA-06", .procs = "2+")
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own handlers need more");
	tap_child(&c, "small_alternate_stack", "WHAT=dump");
	expect_child(&c, 5, "");
	expect_str(c.out, "seen");
}

/* Two at once: one reports, the other waits for the end. */
static void waits_and_overflows(int *n_waiting)
{
	add(n_waiting, 1);
	while (load(n_waiting) < 2)
		continue;
	overflows_small(NULL);
}

GORO_CHILD(two_overflow_at_once)
{
	static int n_waiting;
	go(waits_and_overflows, &n_waiting);
	waits_and_overflows(&n_waiting);
}

TAP_CASE(one_of_two_overflows_at_once_is_reported, .id = "PAN-07", .procs = "2+")
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own handler reports overflows");
	int n_rounds = tap_share(20);
	for (int i = 0; i < n_rounds; i++) {
		tap_child(&c, "two_overflow_at_once");
		expect_child(&c, 2, "fatal error: stack overflow\n");
		const char *said = strstr(c.err, "stack overflow");
		expect(said == NULL || strstr(said + 1, "stack overflow") == NULL);
		expect_contains(c.err, "\nrecurses_small");
	}
}

TAP_MAIN
