/*
 * os.c - futexes, the clock, threads, files, faults on purpose; src/os/os_futex.c, os_clock.c,
 * os_thread.c, os_tasks.c, os_file.c, os_fault.c, os_fence.c. Memory, CPUs and signals have files
 * of their own.
 */
#include "tap.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "base/fatal.h"
#include "base/valgrind.h"
#include "os/os.h"

enum { MS = 1000000 };

static atomic_of(uint32_t) word, n_awake;

static void nothing(int signo)
{
	(void)signo;
}

/* Signals in quick succession, to whichever thread sleeps. */
static void disturb(void)
{
	struct sigaction action = {.sa_handler = nothing};
	int us = valgrind_is_here() ? 10000 : 300; /* it would do nothing else */
	struct itimerval often = {{0, us}, {0, us}};

	sigaction(SIGALRM, &action, NULL);
	require(setitimer(ITIMER_REAL, &often, NULL) == 0);
}

/* ---- os_futex.c ---- */

static void *sleep_on_word(void *arg)
{
	(void)arg;
	while (load_acq(&word) == 0) /* the test's own */
		expect_eq(os_futex_wait(&word, 0, OS_FOREVER), 0);
	add_rlx(&n_awake, 1); /* relaxed: only counted */
	return NULL;
}

TAP_CASE(fx1_wait_for_another_value_returns_at_once, .procs = "-")
{
	store_rlx(&word, 5); /* relaxed: one thread */
	expect_eq(os_futex_wait(&word, 4, OS_FOREVER), 0);
	expect_eq(os_futex_wait(&word, 4, os_now() + 100LL * 1000 * MS), 0);
}

static void expect_late(int64_t delay)
{
	int64_t deadline = os_now() + delay;
	int result;

	while ((result = os_futex_wait(&word, 0, deadline)) == 0)
		expect_lt(os_now() - deadline, 10LL * 1000 * MS);
	expect_eq(result, -ETIMEDOUT);
	expect_ge(os_now(), deadline);
}

TAP_CASE(fx2_deadline_is_never_early, .procs = "-")
{
	uint64_t state = tap_seed();

	(void)os_thread_precise_waits();
	for (int i = 0; i < 300; i++)
		expect_late((int64_t)(tap_random(&state) % 2000000));
}

TAP_CASE(fx2_deadline_is_never_early_nor_stretched_by_signals, .procs = "-")
{
	uint64_t state = tap_seed();
	int64_t start = os_now(), asked = 0;

	disturb();
	for (int i = 0; i < 100; i++) {
		int64_t delay = (int64_t)(tap_random(&state) % 4000000);
		asked += delay;
		expect_late(delay);
	}
	expect_lt(os_now() - start, asked + 5000LL * MS);
}

TAP_CASE(deadline_of_the_past_is_over, .procs = "-")
{
	expect_eq(os_futex_wait(&word, 0, os_now() - MS), -ETIMEDOUT);
	expect_eq(os_futex_wait(&word, 0, 0), -ETIMEDOUT);
	expect_eq(os_futex_wait(&word, 0, -1), -ETIMEDOUT);
	expect_eq(os_futex_wait(&word, 0, INT64_MIN), -ETIMEDOUT);
}

TAP_CASE(wake_wakes_as_many_as_asked, .procs = "-")
{
	enum { THREADS = 5 };
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		require_eq(pthread_create(&threads[i], NULL, sleep_on_word, NULL), 0);
	tap_pause(50 * MS);
	expect_eq(load_rlx(&n_awake), 0); /* relaxed: only counted */
	store_rel(&word, 1);		  /* the test's own */
	for (int i = 0; i < THREADS; i++)
		os_futex_wake(&word, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	expect_eq(load_rlx(&n_awake), THREADS); /* relaxed: the threads are gone */
}

TAP_CASE(wake_of_freed_memory_does_no_harm, .procs = "-")
{
	if (valgrind_is_here())
		tap_skip("memcheck reads the word that the kernel does not");
	atomic_of(uint32_t) *gone = os_mem_reserve(4096);

	os_mem_release((void *)gone, 4096);
	os_futex_wake(gone, 1);
}

TAP_CHILD(wait_on_a_bad_word)
{
	os_futex_wait((atomic_of(uint32_t) *)(uintptr_t)4096, 0, OS_FOREVER);
}

TAP_CASE(kernel_that_refuses_a_wait_is_a_fatal_error, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "wait_on_a_bad_word");
	expect_child(&c, 2, "fatal error: futex wait failed with error 14");
}

/* ---- os_clock.c ---- */

TAP_CASE(cl1_clock_never_goes_back, .procs = "-")
{
	int64_t last = os_now();

	for (int i = 0; i < 200000 / TAP_SLOWER; i++) {
		int64_t now = os_now();
		require_ge(now, last);
		last = now;
	}
}

TAP_CASE(clock_is_the_monotonic_one, .procs = "-")
{
	int64_t before = tap_now(), now = os_now(), after = tap_now();

	expect_ge(now, before);
	expect_le(now, after);
}

TAP_CASE(sleep_is_never_early_whatever_signals_come, .procs = "-")
{
	disturb();
	for (int64_t delay = -MS; delay < 6 * MS; delay += MS / 3) {
		int64_t deadline = os_now() + delay;
		os_sleep_until(deadline);
		expect_ge(os_now(), deadline);
	}
}

/* ---- os_thread.c ---- */

static void *note_thread(void *arg)
{
	int here, *tid = arg;
	const void *lo;
	size_t size;

	*tid = os_thread_id();
	os_thread_stack(&lo, &size);
	expect_gt((uintptr_t)&here, (uintptr_t)lo);
	expect_lt((uintptr_t)&here, (uintptr_t)lo + size);
	expect_ge(os_threads_of_process(), 2);
	while (load_acq(&word) == 0) /* the test's own */
		os_thread_yield();
	store_rel(&n_awake, 1); /* the test's own */
	return NULL;
}

TAP_CASE(thread_runs_on_the_stack_that_it_names_and_is_counted, .procs = "-")
{
	static int tid;
	sigset_t mask;

	int before = os_threads_of_process(); /* an emulator has some of its own */
	expect_ge(before, 1);
	expect_eq(os_thread_id(), getpid());
	require_eq(os_thread_start(note_thread, &tid), 0);
	expect_eq(os_threads_of_process(), before + 1);
	store_rel(&word, 1);		/* the test's own */
	while (load_acq(&n_awake) == 0) /* the test's own */
		tap_pause(MS);
	expect_ne(tid, getpid());
	expect_gt(tid, 0);
	while (os_threads_of_process() != before)
		tap_pause(MS);
	os_thread_signal(tid, SIGUSR1); /* it has ended: nobody gets it */
	sigpending(&mask);
}

/* ---- os_tasks.c ---- */

static void *waits_for_word(void *arg)
{
	while (load_acq(&word) == 0) /* the test's own */
		tap_pause(MS);
	return arg;
}

/* One thread, then four, then one: whatever has been found before. */
static void expect_counts(int before)
{
	pthread_t threads[3];

	expect(os_threads_exceed(before - 1));
	expect(!os_threads_exceed(before));
	store_rel(&word, 0); /* the test's own */
	for (int i = 0; i < 3; i++)
		require_eq(pthread_create(&threads[i], NULL, waits_for_word, NULL), 0);
	expect(os_threads_exceed(before + 2));
	expect(!os_threads_exceed(before + 3));
	expect(os_threads_exceed(before));
	store_rel(&word, 1); /* the test's own */
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 1000 && os_threads_exceed(before); i++) /* still known to the kernel */
		tap_pause(MS);
	expect(!os_threads_exceed(before));
}

TAP_CASE(tk1_threads_of_others_are_counted, .procs = "-")
{
	expect_counts(os_threads_of_process());
}

TAP_CASE(tk2_threads_are_counted_without_proc, .procs = "-", .timeout_s = 60, .is_idle = true)
{
	int before = os_threads_of_process();

	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", "/proc", "tmpfs", 0, NULL) != 0)
		tap_skip("may not take /proc away");
	require_eq(os_threads_of_process(), -ENOENT);
	expect_counts(before);
}

static atomic_of(int) signalled_tid;

static void note_signalled(int signo)
{
	(void)signo;
	store_rlx(&signalled_tid, os_thread_id()); /* relaxed: polled */
}

static void *signal_me(void *arg)
{
	os_thread_signal(*(int *)arg, SIGUSR1);
	return NULL;
}

TAP_CASE(signal_reaches_the_thread_that_was_named, .procs = "-")
{
	struct sigaction action = {.sa_handler = note_signalled};
	static int tid;

	tid = os_thread_id();
	sigaction(SIGUSR1, &action, NULL);
	require_eq(os_thread_start(signal_me, &tid), 0);
	while (load_rlx(&signalled_tid) == 0) /* relaxed: polled */
		tap_pause(MS);
	expect_eq(load_rlx(&signalled_tid), tid); /* relaxed: polled */
}

/* ---- os_file.c ---- */

static void *drain(void *arg)
{
	static char text[100000];
	size_t n = 0;

	tap_pause(20 * MS); /* the pipe is full by now */
	for (ssize_t got; (got = read(*(int *)arg, text, sizeof(text))) != 0;)
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR) /* the signals that disturb the writer come here, too */
			break;
	return (void *)n;
}

TAP_CASE(write_into_a_full_pipe_comes_out_whole, .procs = "-")
{
	static char text[300000];
	pthread_t thread;
	void *n;
	int fds[2];

	require(pipe2(fds, O_NONBLOCK) == 0);
	fcntl(fds[0], F_SETFL, 0);
	require_eq(pthread_create(&thread, NULL, drain, &fds[0]), 0);
	disturb();
	os_write(fds[1], text, sizeof(text));
	close(fds[1]);
	pthread_join(thread, &n);
	expect_eq((size_t)n, sizeof(text));
	os_write(-1, text, sizeof(text)); /* nobody can be told, and nothing hangs */
}

/* FI2: SIGPIPE kills, unless it does not come. */
TAP_CASE(fi2_no_reader_raises_no_signal, .procs = "-")
{
	sigset_t pending, blocked, empty;
	int fds[2];

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&empty);
	pthread_sigmask(SIG_SETMASK, &empty, NULL);
	require(pipe(fds) == 0);
	close(fds[0]);
	os_write(fds[1], "text", 4);
	print_to(fds[1], "%s", "text");
	sigpending(&pending);
	expect(!sigismember(&pending, SIGPIPE));
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	expect(!sigismember(&blocked, SIGPIPE));
}

TAP_CASE(fi2_a_signal_that_was_pending_stays_so, .procs = "-")
{
	sigset_t pending, blocked;
	int fds[2];

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGPIPE);
	require(pipe(fds) == 0);
	close(fds[0]);
	os_write(fds[1], "text", 4);
	sigpending(&pending);
	expect(sigismember(&pending, SIGPIPE));
}

/* FI3: all the lines of a report together wait for a bounded time, and errors cost none. */
TAP_CASE(fi3_full_pipe_that_nobody_reads_is_given_up, .procs = "-", .is_idle = true)
{
	static char text[100000], rest[100000];
	int fds[2];

	require(pipe2(fds, O_NONBLOCK) == 0);
	int64_t start = tap_now();
	for (int i = 0; i < 1000; i++)
		os_write(fds[1], text, sizeof(text));
	expect_ge(tap_now() - start, 1 * INT64_C(1000000000)); /* it was waited for, */
	expect_lt(tap_now() - start, 15 * INT64_C(1000000000)); /* but not for each line */
	/* What takes something again is waited for again. */
	while (read(fds[0], rest, sizeof(rest)) > 0)
		;
	os_write(fds[1], "!", 1);
	expect_eq(read(fds[0], rest, sizeof(rest)), 1);
	start = tap_now();
	for (int i = 0; i < 1000; i++)
		print_to(-1, "nobody\n");
	expect_lt(tap_now() - start, 5 * INT64_C(1000000000));
}

TAP_CASE(file_is_read_as_far_as_there_is_room_and_ended, .procs = "-")
{
	char path[] = "/tmp/goro-os-XXXXXX", text[16];
	int fd = mkstemp(path);

	require(fd >= 0);
	expect_eq(os_read_file(path, text, sizeof(text)), 0);
	expect_str(text, "");
	require(write(fd, "0123456789", 10) == 10);
	expect_eq(os_read_file(path, text, sizeof(text)), 10);
	expect_str(text, "0123456789");
	expect_eq(os_read_file(path, text, 5), 4);
	expect_str(text, "0123");
	expect_eq(os_read_file(path, text, 1), 0);
	expect_str(text, "");
	close(fd);
	unlink(path);
	expect_eq(os_read_file(path, text, sizeof(text)), -ENOENT);
}

TAP_CASE(empty_variable_counts_as_unset, .procs = "-")
{
	setenv("GORO_OS_TEST", "value", 1);
	expect_str(os_env("GORO_OS_TEST"), "value");
	setenv("GORO_OS_TEST", "", 1);
	expect(os_env("GORO_OS_TEST") == NULL);
	unsetenv("GORO_OS_TEST");
	expect(os_env("GORO_OS_TEST") == NULL);
}

/* ---- os_fence.c ---- */

TAP_CASE(fence_can_be_told_to_do_without_membarrier, .procs = "-")
{
	setenv("GORODEBUG", "membarrier=0", 1);
	os_fence_init();
	expect(!fence_is_asymmetric);
	fence_heavy();
	fence_light();
	unsetenv("GORODEBUG");
	os_fence_init();
	fence_heavy(); /* whether the kernel has it or not */
	fence_light();
}

static bool was_asymmetric;

/* A constructor of the program's may use a channel, or start a thread that does. */
__attribute__((constructor)) static void look_early(void)
{
	was_asymmetric = fence_is_asymmetric;
}

TAP_CASE(fe1_fences_are_what_they_are_before_the_first_constructor, .procs = "-")
{
	bool was_early = was_asymmetric;

	os_fence_init();
	expect_eq(was_early, fence_is_asymmetric);
}

/* Two sides store and then look at each other's store: at least one sees it. */
static atomic_of(uint32_t) round_of[2], stored[2], seen[2];

/* Both sides at once if there are CPUs, and no slice wasted if not. */
static void wait_round(int side, uint32_t i, bool is_equal)
{
	for (int n = 0; (load_acq(&round_of[side]) == i) != is_equal; n++) { /* the test's own */
		if (n % 100 == 99)
			os_thread_yield();
		else
			cpu_relax();
	}
}

static void *light_side(void *arg)
{
	uint32_t rounds = *(uint32_t *)arg;

	for (uint32_t i = 1; i <= rounds; i++) {
		store_rel(&round_of[1], i); /* the test's own */
		wait_round(0, i, true);
		store_rlx(&stored[1], i); /* relaxed: what is tested */
		fence_light();
		store_rlx(&seen[1], load_rlx(&stored[0]) == i); /* relaxed: what is tested */
		store_rel(&round_of[1], i + rounds);		/* the test's own */
		wait_round(0, i, false);
	}
	return NULL;
}

static void expect_fences_pair(uint32_t rounds)
{
	pthread_t thread;

	require_eq(pthread_create(&thread, NULL, light_side, &rounds), 0);
	for (uint32_t i = 1; i <= rounds; i++) {
		wait_round(1, i, true);
		store_rel(&round_of[0], i); /* the test's own */
		store_rlx(&stored[0], i);   /* relaxed: what is tested */
		fence_heavy();
		bool is_seen = load_rlx(&stored[1]) == i; /* relaxed: what is tested */
		wait_round(1, i + rounds, true);
		require(is_seen || load_rlx(&seen[1])); /* relaxed: ordered by the round */
		store_rel(&round_of[0], i + rounds);	/* the test's own */
	}
	pthread_join(thread, NULL);
}

TAP_CASE(fe2_one_of_two_sides_sees_the_other, .procs = "-")
{
	os_fence_init();
	expect_fences_pair(3000);
}

/*
 * FE3. The light side stores and looks all the time, while the heavy side's first fence finds that
 * there is no membarrier: what the light side stored before it last saw nothing, the other sees.
 */
static atomic_of(uint32_t) ahead, behind, light_ends, is_heavy_done;
static uint32_t last_blind;
static char *far; /* memory that is in no cache: a store to it keeps those behind it waiting */
#define FAR_SIZE (64u << 20)

static void *light_side_runs(void *unused)
{
	for (uint32_t i = 1, at = 1; !load_rlx(&light_ends); i++) { /* relaxed: the test's own */
		for (int k = 0; k < 16; k++) {
			at = at * 1664525 + 1013904223;
			*(volatile char *)&far[at % FAR_SIZE] = 1;
		}
		store_rlx(&ahead, i); /* relaxed: what is tested */
		fence_light();
		if (!load_rlx(&behind)) /* relaxed: what is tested */
			last_blind = i;
	}
	return unused;
}

static void no_membarrier_in_this_thread(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		tap_skip("no seccomp filters here");
}

static void *heavy_side_runs(void *rounds)
{
	cpu_set_t before, after;

	no_membarrier_in_this_thread(ENOSYS);
	sched_getaffinity(0, sizeof(before), &before);
	for (uint32_t i = 1; i <= *(uint32_t *)rounds; i++) {
		wait_round(0, i, true);
		uint32_t from = load_rlx(&ahead); /* relaxed, all: what is tested */
		while (load_rlx(&ahead) - from < 3)
			os_thread_yield();
		store_rlx(&behind, 1);
		fence_heavy();
		store_rlx(&stored[0], load_rlx(&ahead));
		expect(!fence_is_asymmetric);
		store_rel(&is_heavy_done, i); /* the test's own */
	}
	sched_getaffinity(0, sizeof(after), &after);
	expect(CPU_EQUAL(&before, &after));
	return NULL;
}

TAP_CASE(fe3_one_of_two_sides_sees_the_other_when_membarrier_goes_away, .procs = "-")
{
	uint32_t rounds = 200;
	pthread_t heavy, light;

	os_fence_init();
	if (!fence_is_asymmetric)
		tap_skip("no membarrier here");
	far = malloc(FAR_SIZE);
	require(far != NULL);
	memset(far, 0, FAR_SIZE);
	require_eq(pthread_create(&heavy, NULL, heavy_side_runs, &rounds), 0);
	for (uint32_t i = 1; i <= rounds; i++) {
		os_fence_init(); /* this thread has it still */
		store_rlx(&behind, 0); /* relaxed, all: no other thread looks now */
		store_rlx(&light_ends, 0);
		last_blind = 0;
		require_eq(pthread_create(&light, NULL, light_side_runs, NULL), 0);
		store_rel(&round_of[0], i); /* the test's own */
		while (load_acq(&is_heavy_done) != i) /* the test's own */
			usleep(100);
		store_rlx(&light_ends, 1); /* relaxed: soon */
		pthread_join(light, NULL);
		require(last_blind <= load_rlx(&stored[0])); /* relaxed: joined */
	}
	pthread_join(heavy, NULL);
	free(far);
}

/* ---- os_fault.c ---- */

#ifdef GORO_DEBUG
static void faults(const char *text)
{
	setenv("GORO_FAULT", text, 1);
	os_fault_init();
}

/* The calls of a kind that fail, the first as bit 1. */
static unsigned failures(enum os_fault kind)
{
	unsigned bits = 0;

	for (int i = 1; i <= 8; i++)
		bits |= (unsigned)os_fault(kind) << i;
	return bits;
}

TAP_CASE(ft1_nothing_fails_unasked, .procs = "-")
{
	unsetenv("GORO_FAULT");
	os_fault_init();
	for (int kind = 0; kind < OS_FAULT_COUNT; kind++)
		expect_eq(failures((enum os_fault)kind), 0);
	expect_eq(os_fault_hits(), 0);
}

TAP_CASE(nth_call_of_a_kind_fails_once_or_from_then_on, .procs = "-")
{
	faults("mmap:3,clone:2+,malloc:8");
	expect_eq(failures(OS_FAULT_MMAP), 1u << 3);
	expect_eq(failures(OS_FAULT_THREAD), 0x1fcu);
	expect_eq(failures(OS_FAULT_MALLOC), 1u << 8);
	expect_eq(failures(OS_FAULT_FUTEX), 0);
	expect_eq(os_fault_hits(), 1 + 7 + 1);
}

TAP_CASE(senseless_faults_are_ignored, .procs = "-")
{
	faults("nonsense:1,mmap,madvise:0,clone:");
	for (int kind = 0; kind < OS_FAULT_COUNT; kind++)
		expect_eq(failures((enum os_fault)kind), 0);
}
#endif

TAP_MAIN
