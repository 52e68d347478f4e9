/*
 * dia.c - DIA-01, 06, 07: deadlocks, dumps, and an idle program.
 *
 *   last goroutine parks -> "all goroutines are asleep" | goro_dump, SIGQUIT -> every goroutine
 *
 * DIA-01's rows of select and the synchronisation objects belong to those, DIA-07's goroutine in
 * accept to the poller.
 *
 * Go: testprog/deadlock.go; crash_unix_test.go: TestCrashDumpsAllThreads.
 */
#include "goro_tap.h"

#include <sys/stat.h>

#define ASLEEP "fatal error: all goroutines are asleep - deadlock!\n"

/* The moment from which on nothing can run, for the parent to compare. */
static void says_when(void)
{
	printf("%" PRId64, tap_now());
	fflush(stdout);
}

/* After the last call of a function: it is no tail call then, and its frame is in the stack. */
static void stay_in_the_stack(void)
{
	__asm__ volatile("" ::: "memory");
}

/* ---- DIA-01 ---- */

GORO_CHILD(main_receives)
{
	says_when();
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

GORO_CHILD(main_receives_buffered)
{
	says_when();
	goro_chan_recv(goro_chan_make(0, 3), NULL);
}

GORO_CHILD(main_receives_until_forever)
{
	says_when();
	goro_chan_recv_until(goro_chan_make(0, 0), NULL, GORO_FOREVER);
}

GORO_CHILD(main_sends)
{
	says_when();
	goro_chan_send(goro_chan_make(0, 0), NULL);
}

GORO_CHILD(main_sends_to_full)
{
	goro_chan *c = goro_chan_make(0, 1);
	goro_chan_send(c, NULL);
	says_when();
	goro_chan_send(c, NULL);
}

GORO_CHILD(main_receives_nil)
{
	says_when();
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(main_sends_nil)
{
	says_when();
	goro_chan_send(NULL, NULL);
}

GORO_CHILD(main_receives_locked)
{
	goro_lock_thread();
	says_when();
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

GORO_CHILD(main_sends_locked)
{
	goro_lock_thread();
	says_when();
	goro_chan_send(goro_chan_make(0, 0), NULL);
}

static void tries_to_receive(void *c)
{
	goro_chan_recv(c, NULL);
	stay_in_the_stack();
}

GORO_CHILD(main_receives_in_a_try)
{
	says_when();
	if (!goro_try(tries_to_receive, goro_chan_make(0, 0), NULL, 0))
		printf("caught");
}

static const struct {
	const char *child, *header;
} deadlocks[] = {
	{"main_receives", "\ngoroutine 1 [chan receive]:\n"},
	{"main_receives_buffered", "\ngoroutine 1 [chan receive]:\n"},
	{"main_receives_until_forever", "\ngoroutine 1 [chan receive]:\n"},
	{"main_sends", "\ngoroutine 1 [chan send]:\n"},
	{"main_sends_to_full", "\ngoroutine 1 [chan send]:\n"},
	{"main_receives_nil", "\ngoroutine 1 [chan receive (nil chan)]:\n"},
	{"main_sends_nil", "\ngoroutine 1 [chan send (nil chan)]:\n"},
	{"main_receives_locked", "\ngoroutine 1 [chan receive, locked to thread]:\n"},
	{"main_sends_locked", "\ngoroutine 1 [chan send, locked to thread]:\n"},
	{"main_receives_in_a_try", "\ngoroutine 1 [chan receive]:\n"},
};

/* Within a second of the last goroutine's parking; an upper bound, retried when late. */
/*
 * An emulator's own threads are among the tasks of the process: to the runtime they are threads
 * that might still act, and it says nothing, as documented.
 */
static void skip_beside_foreign_threads(void)
{
	struct stat st;
	if (stat("/proc/self/task", &st) == 0 && st.st_nlink > 3)
		tap_skip("the process has threads that neither the test nor the runtime made");
}

static void expect_deadlock(struct tap_child *c, const char *name)
{
	skip_beside_foreign_threads();
	int64_t allowed = GORO_SEC(1), late = INT64_MAX, when = 0;
	for (int attempt = 0; attempt < 5 && late > allowed; attempt++, allowed *= 2) {
		int length = 0;
		tap_child(c, name);
		late = tap_now();
		expect_child(c, 2, ASLEEP);
		expect(strncmp(c->err, ASLEEP, strlen(ASLEEP)) == 0);
		expect_eq(sscanf(c->out, "%" SCNd64 "%n", &when, &length), 1);
		expect_str(c->out + length, "");
		late -= when;
	}
	expect_le(late, allowed);
}

TAP_CASE(deadlock_of_main_is_reported_with_its_reason, .id = "DIA-01")
{
	struct tap_child c;
	for (size_t i = 0; i < sizeof(deadlocks) / sizeof(deadlocks[0]); i++) {
		expect_deadlock(&c, deadlocks[i].child);
		expect_contains(c.err, deadlocks[i].header);
		expect_eq(count_in(c.err, NULL), 1);
	}
}

static void locks_and_receives(void *c)
{
	goro_lock_thread();
	goro_chan_recv(c, NULL);
	stay_in_the_stack();
}

static void receives_nil(void *unused)
{
	(void)unused;
	goro_chan_recv(NULL, NULL);
	stay_in_the_stack();
}

static void sends_to(void *c)
{
	goro_chan_send(c, NULL);
	stay_in_the_stack();
}

GORO_CHILD(five_park)
{
	goro_spawn(locks_and_receives, goro_chan_make(0, 0));
	goro_spawn(receives_nil, NULL);
	goro_spawn(sends_to, goro_chan_make(0, 0));
	goro_spawn(tries_to_receive, goro_chan_make(0, 2));
	says_when();
	goro_chan_send(goro_chan_make(0, 0), NULL);
}

TAP_CASE(every_parked_goroutine_is_listed, .id = "DIA-01")
{
	struct tap_child c;
	expect_deadlock(&c, "five_park");
	expect_contains(c.err, "\ngoroutine 1 [chan send]:\n");
	expect_eq(count_in(c.err, NULL), 5);
	expect_eq(count_in(c.err, "chan receive"), 2);
	expect_eq(count_in(c.err, "chan send"), 2);
	expect_eq(count_in(c.err, "chan receive (nil chan)"), 1);
	expect_contains(c.err, " [chan receive, locked to thread]:\n");
	expect_contains(c.err, "created by ");
	expect_contains(c.err, "locks_and_receives");
}

GORO_CHILD(main_exits_alone)
{
	says_when();
	goro_exit();
}

GORO_CHILD(main_exits_and_the_others_end)
{
	for (int i = 0; i < 10; i++)
		goro_spawn(sends_to, goro_chan_make(0, 1));
	says_when();
	goro_exit();
}

TAP_CASE(main_that_exits_and_no_other_left_is_reported, .id = "DIA-01")
{
	struct tap_child c;
	skip_beside_foreign_threads();
	tap_child(&c, "main_exits_alone");
	expect_child(&c, 2, "fatal error: no goroutines (main called goro_exit) - deadlock!\n");
	tap_child(&c, "main_exits_and_the_others_end");
	expect_child(&c, 2, "fatal error: no goroutines (main called goro_exit) - deadlock!\n");
}

GORO_CHILD(main_exits_and_one_parks)
{
	goro_spawn(tries_to_receive, goro_chan_make(0, 0));
	says_when();
	goro_exit();
}

TAP_CASE(main_that_exits_and_one_parked_is_a_deadlock, .id = "DIA-01")
{
	struct tap_child c;
	expect_deadlock(&c, "main_exits_and_one_parks");
	expect_eq(count_in(c.err, NULL), 1);
	expect_eq(count_in(c.err, "chan receive"), 1);
}

static void ends_the_program(void *unused)
{
	(void)unused;
	for (int i = 0; i < 100; i++)
		goro_yield();
	exit(9);
}

GORO_CHILD(main_exits_and_another_ends_the_program)
{
	goro_spawn(ends_the_program, NULL);
	goro_exit();
}

TAP_CASE(others_go_on_when_main_exits, .id = "DIA-01")
{
	struct tap_child c;
	tap_child(&c, "main_exits_and_another_ends_the_program");
	expect_eq(c.status, 9);
	expect_str(c.err, "");
}

static void blocks_raw_then_receives(void *c)
{
	tap_pause(GORO_MS(100));
	says_when();
	goro_chan_recv(c, NULL);
}

GORO_CHILD(one_comes_from_a_raw_call_and_parks)
{
	goro_spawn(blocks_raw_then_receives, goro_chan_make(0, 0));
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

TAP_CASE(deadlock_is_found_when_a_blocked_one_comes_back_and_parks, .id = "DIA-01")
{
	struct tap_child c;
	expect_deadlock(&c, "one_comes_from_a_raw_call_and_parks");
	expect_eq(count_in(c.err, "chan receive"), 2);
}

static void sleeps_then_receives(void *c)
{
	goro_sleep(GORO_MS(30));
	says_when();
	goro_chan_recv(c, NULL);
}

GORO_CHILD(one_sleeps_and_parks)
{
	goro_spawn(sleeps_then_receives, goro_chan_make(0, 0));
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

TAP_CASE(deadlock_is_found_after_the_last_sleeper_parked, .id = "DIA-01")
{
	struct tap_child c;
	expect_deadlock(&c, "one_sleeps_and_parks");
	expect_eq(count_in(c.err, "chan receive"), 2);
}

/* ---- DIA-01 from the other side: no report while something can happen ---- */

static void wakes_later(void *c)
{
	goro_sleep(GORO_MS(300));
	goro_chan_send(c, NULL);
}

GORO_CASE(a_sleeper_is_no_deadlock, .id = "DIA-01")
{
	goro_chan *c = goro_chan_make(0, 0);
	goro_spawn(wakes_later, c);
	for (int i = 0; i < 20; i++)
		goro_spawn(receives_nil, NULL);
	goro_chan_recv(c, NULL);
	goro_sleep(GORO_MS(20));
	expect_eq(goro_chan_recv_until(c, NULL, goro_now() + GORO_MS(20)), -ETIMEDOUT);
}

static void yields_then_wakes(void *c)
{
	int64_t end = tap_now() + GORO_MS(200);
	while (tap_now() < end)
		goro_yield();
	goro_chan_send(c, NULL);
}

GORO_CASE(one_that_still_runs_is_no_deadlock, .id = "DIA-01")
{
	goro_chan *c = goro_chan_make(0, 0);
	for (int i = 0; i < 20; i++)
		goro_spawn(receives_nil, NULL);
	goro_spawn(yields_then_wakes, c);
	goro_chan_recv(c, NULL);
}

static void *thread_sends(void *c)
{
	tap_pause(GORO_MS(300));
	goro_chan_send(c, NULL);
	return NULL;
}

GORO_CASE(a_thread_of_the_programs_own_is_no_deadlock, .id = "DIA-01")
{
	goro_chan *c = goro_chan_make(0, 0);
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_sends, c), 0);
	goro_chan_recv(c, NULL);
	pthread_join(thread, NULL);
}

struct relay {
	goro_chan *first, *second;
	unsigned int delay_us;
};

static void *thread_passes_on(void *arg)
{
	struct relay *r = arg;
	goro_chan_recv(r->first, NULL);
	goro_chan_send(r->second, NULL);
	return NULL;
}

static void *thread_wakes_and_ends(void *arg)
{
	struct relay *r = arg;
	usleep(r->delay_us);
	goro_chan_send(r->first, NULL);
	return NULL;
}

/* DL4: while threads are counted, one of them wakes the other, which was blocked, and is gone. */
GORO_CASE(a_thread_that_is_woken_by_one_that_ends_is_no_deadlock, .id = "DIA-01", .procs = "1,2",
	  .is_race = true)
{
	struct relay r = {goro_chan_make(0, 0), goro_chan_make(0, 0), 0};
	int64_t end = tap_now() + GORO_SEC(tap_seconds);
	uint64_t seed = tap_seed();
	while (tap_now() < end) {
		pthread_t threads[2];
		r.delay_us = (unsigned int)(tap_random(&seed) % 100);
		require_eq(pthread_create(&threads[0], NULL, thread_passes_on, &r), 0);
		require_eq(pthread_create(&threads[1], NULL, thread_wakes_and_ends, &r), 0);
		goro_chan_recv(r.second, NULL);
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
	}
	goro_chan_unref(r.first);
	goro_chan_unref(r.second);
}

static void *thread_receives_for_ever(void *unused)
{
	goro_chan_recv(goro_chan_make(0, 0), NULL);
	return unused;
}

GORO_CHILD(main_and_a_plain_thread_park)
{
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_receives_for_ever, NULL), 0);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

static void *thread_ends_later(void *unused)
{
	tap_pause(GORO_MS(200));
	return unused;
}

GORO_CHILD(main_parks_and_a_plain_thread_ends)
{
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_ends_later, NULL), 0);
	goro_chan_recv(goro_chan_make(0, 0), NULL);
}

/* A thread that waits for us, or that has ended, cannot act any more; no time is promised. */
TAP_CASE(a_thread_that_cannot_act_does_not_hide_a_deadlock, .id = "DIA-01")
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer has a thread of its own");
	skip_beside_foreign_threads();
	tap_child(&c, "main_and_a_plain_thread_park");
	expect_child(&c, 2, ASLEEP);
	tap_child(&c, "main_parks_and_a_plain_thread_ends");
	expect_child(&c, 2, ASLEEP);
}

/* ---- DIA-06 ---- */

static int is_looping, is_stopped;

static void loops_with_checkpoints(void *unused)
{
	(void)unused;
	goro_set_name("the looper");
	while (!load(&is_stopped)) {
		store(&is_looping, 1);
		goro_checkpoint();
	}
}

static void sleeps_for_ever(void *unused)
{
	(void)unused;
	goro_sleep(GORO_FOREVER);
	stay_in_the_stack();
}

static void start_one_of_each(void)
{
	goro_spawn(loops_with_checkpoints, NULL);
	goro_spawn(tries_to_receive, goro_chan_make(0, 0));
	goro_spawn(sends_to, goro_chan_make(0, 0));
	goro_spawn(sleeps_for_ever, NULL);
	goro_spawn(locks_and_receives, goro_chan_make(0, 0));
	wait_until_n_parked(2, "chan receive");
	wait_until_n_parked(1, "chan send");
	wait_until_n_parked(1, "sleep");
	wait_for(load(&is_looping));
}

static void expect_one_of_each(const char *text)
{
	char state[STATE_MAX];
	expect_eq(count_in(text, NULL), 6);
	expect_eq(count_in(text, "chan receive"), 2);
	expect_eq(count_in(text, "chan send"), 1);
	expect_eq(count_in(text, "sleep"), 1);
	expect_contains(text, "[chan receive, locked to thread]:\n");
	expect(state_in(text, 1, state));
	expect_contains(text, "the looper");
	expect_contains(text, "\ncreated by ");
	expect_contains(text, "start_one_of_each");
	expect_contains(text, "sleeps_for_ever");
	expect_contains(text, "locks_and_receives");
}

GORO_CASE(dump_shows_every_goroutine_once, .id = "DIA-06")
{
	expect_eq(goro_count(), 1);
	expect_eq(parked_count(NULL), 1);
	start_one_of_each();
	for (int i = 0; i < 20; i++) {
		char *text = dump_text();
		expect_one_of_each(text);
		free(text);
	}
	expect_eq(goro_count(), 6);
	store(&is_stopped, 1);
}

/* It can be neither asked nor stopped, until it has been seen. */
static void runs_on(void *unused)
{
	(void)unused;
	goro_set_name("the runner");
	goro_nopreempt_begin();
	store(&is_looping, 1);
	while (!load(&is_stopped))
		continue;
	goro_nopreempt_end();
}

GORO_CASE(dump_names_a_goroutine_that_runs_on, .id = "DIA-06", .procs = "2+")
{
	goro_spawn(runs_on, NULL);
	wait_for(load(&is_looping));
	char *text = dump_text();
	store(&is_stopped, 1);
	expect_contains(text, "[running]:\n\tstarted with runs_on, name \"the runner\"\n");
	free(text);
}

static int full_pipe[2], n_begun;

static void reads_raw(void *unused)
{
	char byte;
	(void)unused;
	add(&n_begun, 1);
	expect_eq(read(full_pipe[0], &byte, 1), 0);
}

static void reads_announced(void *unused)
{
	goro_syscall_enter();
	reads_raw(unused);
	goro_syscall_exit();
}

/* More of them than there can be Ps. */
GORO_CASE(dump_tells_of_calls_that_block, .id = "DIA-06", .is_alone = true)
{
	enum { RAW = 4, ALL = 300 };
	store(&n_begun, 0);
	require(pipe2(full_pipe, O_CLOEXEC) == 0);
	for (int i = 0; i < ALL; i++)
		goro_spawn(i < RAW ? reads_raw : reads_announced, NULL);
	wait_for(load(&n_begun) == ALL);
	goro_sleep(GORO_MS(1100));
	char *text = dump_text();
	close(full_pipe[1]);
	expect_eq(count_in(text, "syscall"), ALL);
	expect_contains(text, "[syscall]:\n\tstarted with reads_announced, waiting for 1.");
	int n_stacks = 0;
	for (const char *at = text; (at = strstr(at, "\nreads_raw")) != NULL; at++)
		n_stacks++;
	expect_eq(n_stacks, ALL);
	free(text);
	wait_for(goro_count() == 1);
	close(full_pipe[0]);
}

GORO_CHILD(quits_with_one_of_each)
{
	start_one_of_each();
	kill(getpid(), SIGQUIT);
	for (;;)
		goro_yield();
}

TAP_CASE(sigquit_dumps_all_and_ends_with_status_2, .id = "DIA-06")
{
	struct tap_child c;
	tap_child(&c, "quits_with_one_of_each");
	expect_child(&c, 2, "\ngoroutine 1 [");
	expect_one_of_each(c.err);
}

GORO_CHILD(quits_while_idle)
{
	struct role receiver = {.c = goro_chan_make(4, 0)};
	start_parked(role_receives, &receiver, "chan receive");
	goro_spawn(sleeps_for_ever, NULL);
	pid_t child = fork();
	if (child == 0) {
		tap_pause(GORO_MS(200));
		kill(getppid(), SIGQUIT);
		_exit(0);
	}
	goro_sleep(GORO_FOREVER);
}

TAP_CASE(sigquit_reaches_a_program_whose_threads_all_sleep, .id = "DIA-06")
{
	struct tap_child c;
	tap_child(&c, "quits_while_idle");
	expect_child(&c, 2, "\ngoroutine 1 [sleep");
	expect_eq(count_in(c.err, NULL), 3);
	expect_eq(count_in(c.err, "chan receive"), 1);
}

static void blocks_raw(void *unused)
{
	(void)unused;
	store(&is_looping, 1);
	/* The signal of this very test may come to this thread and end the sleep. */
	for (int64_t end = tap_now() + GORO_SEC(5); tap_now() < end;)
		tap_pause(GORO_SEC(5));
	stay_in_the_stack();
}

GORO_CHILD(quits_beside_a_raw_call)
{
	goro_spawn(blocks_raw, NULL);
	while (!load(&is_looping))
		continue;
	wait_until_n_parked(1, "syscall"); /* it may be stopped on its way there */
	says_when();
	kill(getpid(), SIGQUIT);
	for (;;)
		goro_yield();
}

/* The dump does not wait until the call is over. */
TAP_CASE(sigquit_does_not_wait_for_a_raw_system_call, .id = "DIA-06")
{
	struct tap_child c;
	tap_child(&c, "quits_beside_a_raw_call");
	expect_child(&c, 2, "\ngoroutine 1 [");
	expect_lt(tap_now() - strtoll(c.out, NULL, 10), GORO_SEC(4));
	expect_eq(count_in(c.err, NULL), 2);
	expect_eq(count_in(c.err, "syscall"), 1);
	expect_contains(c.err, "blocks_raw");
}

static void spawns_and_ends(void *arg)
{
	for (int i = 0; i < 50; i++) {
		goro_yield();
		if (i % 10 == 0)
			goro_spawn(sends_to, arg);
	}
}

/* Dumps while goroutines come, go and switch: each well-formed, main in each of them. */
GORO_CASE(dumps_while_everything_runs, .id = "DIA-06", .is_race = true)
{
	goro_chan *c = goro_chan_make(0, 10000);
	for (int i = 0; i < 100; i++) {
		char state[STATE_MAX];
		for (int k = 0; k < 10; k++)
			goro_spawn(spawns_and_ends, c);
		char *text = dump_text();
		expect(state_in(text, 1, state));
		expect(state_fits(state, "running"));
		free(text);
	}
	wait_for(goro_count() == 1);
	expect_eq(goro_chan_len(c), 5000);
}

/* ---- DIA-07 ---- */

enum { IDLE = 1000 };

GORO_CASE(idle_program_uses_no_cpu, .id = "DIA-07", .is_idle = true)
{
	goro_chan *c = goro_chan_make(0, 0);
	int64_t used = INT64_MAX, allowed = GORO_MS(5);
	for (int i = 0; i < IDLE; i++)
		goro_spawn(tries_to_receive, c);
	goro_spawn(sleeps_for_ever, NULL);
	for (int attempt = 0; attempt < 5 && used >= allowed; attempt++) {
		goro_sleep(GORO_MS(200));
		used = tap_cpu_ns();
		goro_sleep(GORO_SEC(1));
		used = tap_cpu_ns() - used;
		printf("# %" PRId64 " us of CPU in an idle second\n", used / 1000);
	}
	expect_lt(used, allowed * TAP_SLOWER);
	goro_chan_close(c);
}

static void answers(goro_chan *c, goro_chan *back)
{
	while (goro_chan_recv(c, NULL))
		goro_chan_send(back, NULL);
}

GORO_CASE(short_sleeps_with_a_partner_use_little_cpu, .id = "DIA-07", .procs = "1,2,8",
	  .is_idle = true)
{
	goro_chan *c = goro_chan_make(0, 0), *back = goro_chan_make(0, 0);
	int64_t share = INT64_MAX, allowed = GORO_MS(100);
	go(answers, c, back);
	for (int attempt = 0; attempt < 5 && share >= allowed; attempt++) {
		int64_t cpu = tap_cpu_ns(), wall = tap_now();
		for (int i = 0; i < 1000; i++) {
			goro_sleep(GORO_MS(1));
			goro_chan_send(c, NULL);
			goro_chan_recv(back, NULL);
		}
		wall = tap_now() - wall;
		share = (int64_t)((double)(tap_cpu_ns() - cpu) * 1e9 / (double)wall);
		printf("# %" PRId64 " us of CPU in a second, %" PRId64 " ms for 1000 rounds\n",
		       share / 1000, wall / 1000000);
	}
	expect_lt(share, allowed * TAP_SLOWER);
}

TAP_MAIN
