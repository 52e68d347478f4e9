/*
 * fork.c - FRK-01: processes that goroutines start.
 *
 *   fork + exec, vfork, posix_spawn, system, popen in goroutines -> work, whatever runs beside
 *   fork without exec -> the child may exec, _exit, exit; a call of the library says what is wrong
 *   fork while no runtime runs -> the child may start one
 *
 * Go: os/exec; there is no fork in Go.
 */
#include "sys_tap.h"

#include <spawn.h>

extern char **environ;

/* ---- with exec ---- */

static int is_over;

static void allocates_and_loops(goro_chan *done)
{
	uint64_t random = tap_seed();
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		size_t size = tap_random(&random) % 3000 + 1;
		volatile char *block = malloc(size);
		require(block != NULL);
		block[size - 1] = 1;
		free((void *)block);
	}
	goro_put(done, 1);
}

static int status_of(pid_t pid)
{
	int status = -1;
	require_eq(waitpid(pid, &status, 0), pid);
	require(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int by_fork(char *const argv[])
{
	pid_t pid = fork();
	require_ge(pid, 0);
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	return status_of(pid);
}

/* What the child does between the two is its business, as long as it calls nothing of goro's. */
static int by_fork_with_work(char *const argv[])
{
	pid_t pid = fork();
	require_ge(pid, 0);
	if (pid == 0) {
		char *copy[4];
		for (int i = 0; i < 4; i++)
			copy[i] = argv[i] == NULL ? NULL : strdup(argv[i]);
		signal(SIGPIPE, SIG_DFL);
		execv(copy[0], copy);
		_exit(127);
	}
	return status_of(pid);
}

static int by_vfork(char *const argv[])
{
	pid_t pid = vfork();
	require_ge(pid, 0);
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	return status_of(pid);
}

static int by_posix_spawn(char *const argv[])
{
	pid_t pid;
	require_eq(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ), 0);
	return status_of(pid);
}

static int by_system(char *const argv[])
{
	int status = system(argv[2]);
	require(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int by_popen(char *const argv[])
{
	char line[64] = "", command[64];
	snprintf(command, sizeof(command), "echo hello; %s", argv[2]);
	FILE *f = popen(command, "r");
	require(f != NULL);
	require(fgets(line, sizeof(line), f) != NULL);
	expect_str(line, "hello\n");
	int status = pclose(f);
	require(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int (*const ways[])(char *const argv[]) = {by_fork,	  by_fork_with_work, by_vfork,
						  by_posix_spawn, by_system,	     by_popen};

static struct ticker beside_them;

/* Every way once, and again until somebody who only sleeps has got on beside them. */
static void starts_processes(int number, goro_chan *done)
{
	char command[32];
	for (int i = 0; i < 6 || load(&beside_them.n) <= 5; i++) {
		int wanted = (number * 7 + i) % 100;
		snprintf(command, sizeof(command), "exit %d", wanted);
		char *const argv[] = {"/bin/sh", "-c", command, NULL};
		expect_eq(ways[(number + i) % 6](argv), wanted);
	}
	goro_put(done, 1);
}

/* Others allocate and are stopped in malloc meanwhile, whose locks fork() wants. */
GORO_CASE(processes_are_started_by_every_way, .id = "FRK-01", .is_race = true, .timeout_s = 60)
{
	enum { LOOPS = 3, STARTERS = 6 };
	goro_chan *done = goro_chan_of(int, 0);
	store(&is_over, 0);
	for (int i = 0; i < LOOPS; i++)
		go(allocates_and_loops, done);
	ticker_start(&beside_them);
	for (int i = 0; i < STARTERS; i++)
		go(starts_processes, i, done);
	for (int i = 0; i < STARTERS; i++)
		(void)goro_get(done, int);
	ticker_stop(&beside_them);
	store(&is_over, 1);
	for (int i = 0; i < LOOPS; i++)
		(void)goro_get(done, int);
	goro_chan_unref(done);
}

/* ---- without ---- */

/* The wait status of a child that runs fn(arg) and then leaves by _exit(0). */
static int in_child(void (*fn)(void *), void *arg)
{
	int status = -1;
	pid_t pid = fork();
	require_ge(pid, 0);
	if (pid == 0) {
		fn(arg);
		_exit(0);
	}
	require_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static goro_chan *chan;
static goro_mutex locked_mutex;
static goro_waitgroup waitgroup;

static void nothing(void *unused)
{
	(void)unused;
}

static int nothing_to_return(void *unused)
{
	(void)unused;
	return 0;
}

static void calls_spawn(void *unused)
{
	goro_spawn(nothing, unused);
}

static void calls_go(void *unused)
{
	go(nothing, unused);
}

static void calls_run(void *unused)
{
	goro_run(nothing_to_return, unused);
}

static void calls_send(void *unused)
{
	int one = 1;
	(void)unused;
	goro_chan_send(chan, &one);
}

static void calls_trysend(void *unused)
{
	int one = 1;
	(void)unused;
	goro_chan_trysend(chan, &one);
}

static void calls_recv(void *unused)
{
	(void)unused;
	goro_chan_recv(chan, NULL);
}

static void calls_close(void *unused)
{
	(void)unused;
	goro_chan_close(chan);
}

static void calls_select(void *unused)
{
	(void)unused;
	goro_select_of(GORO_POLL, GORO_RECV(chan, NULL));
}

static void calls_sleep(void *unused)
{
	(void)unused;
	goro_sleep(GORO_MS(1));
}

static void calls_timer(void *unused)
{
	goro_timer_func(0, nothing, unused);
}

static void calls_lock(void *unused)
{
	(void)unused;
	goro_mutex_lock(&locked_mutex);
}

static void calls_wait(void *unused)
{
	(void)unused;
	goro_waitgroup_wait(&waitgroup);
}

static void calls_maxprocs(void *unused)
{
	(void)unused;
	goro_maxprocs(3);
}

static void calls_count(void *unused)
{
	(void)unused;
	goro_count();
}

static void calls_dump(void *unused)
{
	(void)unused;
	goro_dump(2);
}

static void calls_cancel(void *unused)
{
	(void)unused;
	goro_ctx *c = goro_ctx_with_cancel(NULL);
	goro_ctx_cancel(c);
}

static void calls_notify(void *unused)
{
	(void)unused;
	goro_signal_notify(chan, SIGUSR1);
}

static void calls_yield(void *unused)
{
	(void)unused;
	goro_yield();
}

static void calls_checkpoint(void *unused)
{
	(void)unused;
	goro_checkpoint();
}

static void calls_exit(void *unused)
{
	(void)unused;
	goro_exit();
}

static void calls_blocking(void *unused)
{
	goro_blocking(nothing, unused);
}

static const struct entry {
	void (*fn)(void *);
	bool is_of_goroutines; /* a plain thread may not, or it does nothing there */
} entries[] = {
	{calls_spawn, false},	 {calls_go, false},	{calls_run, false},
	{calls_send, false},	 {calls_trysend, false}, {calls_recv, false},
	{calls_close, false},	 {calls_select, false}, {calls_sleep, false},
	{calls_timer, false},	 {calls_lock, false},	{calls_wait, false},
	{calls_maxprocs, false}, {calls_count, false},	{calls_dump, false},
	{calls_cancel, false},	 {calls_notify, false}, {calls_yield, true},
	{calls_checkpoint, true}, {calls_exit, true},	{calls_blocking, true},
};
enum { ENTRIES = sizeof(entries) / sizeof(entries[0]) };

static const char message[] =
	"goro: fatal: a call of the library in a child process, after fork without exec: no "
	"goroutine and no thread of the runtime exists here\n"
	"[call exec or _exit in the child, use posix_spawn, or fork while no runtime runs]\n";

/* What children write to standard error, to be freed. */
static char *stderr_of(void (*fn)(void))
{
	int fd = memfd_create("stderr", MFD_CLOEXEC), old = dup(2);
	require(fd >= 0 && old >= 0);
	dup2(fd, 2);
	fn();
	dup2(old, 2);
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);
	require(text != NULL);
	require_eq(pread(fd, text, (size_t)size, 0), size);
	close(fd);
	close(old);
	return text;
}

static int n_failing;

static void try_all(bool in_goroutine)
{
	for (int i = 0; i < ENTRIES; i++) {
		if (entries[i].is_of_goroutines && !in_goroutine)
			continue;
		n_failing++;
		int status = in_child(entries[i].fn, NULL);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 2) {
			printf("# entry %d: status 0x%x\n", i, (unsigned)status);
			fflush(stdout);
			expect(!"a call in the child ends it");
		}
	}
}

static void try_all_in_goroutine(void)
{
	try_all(true);
}

static void *thread_tries_all(void *unused)
{
	(void)unused;
	try_all(false);
	return NULL;
}

static void try_all_in_thread(void)
{
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_tries_all, NULL), 0);
	pthread_join(thread, NULL);
}

/* FK1. Each child ends with status 2, and says the same. */
static void expect_messages(void (*fn)(void))
{
	n_failing = 0;
	char *text = stderr_of(fn);
	int n = 0;
	for (const char *at = text; strncmp(at, message, strlen(message)) == 0; n++)
		at += strlen(message);
	expect_eq(n, n_failing);
	expect_eq(strlen(text), (size_t)n * strlen(message));
	if (n != n_failing)
		tap_diag("# %s", text);
	free(text);
}

static void spins(goro_chan *c)
{
	int x;
	while (goro_chan_recv(c, &x))
		continue;
}

GORO_CASE(call_in_a_forked_child_ends_it_and_says_why, .id = "FRK-01", .is_race = true)
{
	chan = goro_chan_of(int, 1);
	goro_waitgroup_add(&waitgroup, 1);
	goro_mutex_lock(&locked_mutex);
	goro_chan *c = goro_chan_of(int, 0);
	for (int i = 0; i < 8; i++)
		go(spins, c);
	for (int i = 0; i < 100; i++)
		goro_put(c, i);
	expect_messages(try_all_in_goroutine);
	expect_messages(try_all_in_thread);
	goro_chan_close(c);
	goro_mutex_unlock(&locked_mutex); /* the parent goes on as if nothing had been */
	goro_waitgroup_done(&waitgroup);
	goro_waitgroup_wait(&waitgroup);
	wait_for(goro_count() == 1);
	goro_put(chan, 5);
	expect_eq(goro_get(chan, int), 5);
}

static void forks_and_returns(goro_chan *done)
{
	int status;
	pid_t pid = fork();
	require_ge(pid, 0);
	if (pid == 0)
		return; /* the goroutine ends: nobody is there to go on */
	require_eq(waitpid(pid, &status, 0), pid);
	goro_put(done, status);
}

static void return_in_child(void)
{
	goro_chan *done = goro_chan_of(int, 0);
	go(forks_and_returns, done);
	int status = goro_get(done, int);
	expect(WIFEXITED(status));
	expect_eq(WEXITSTATUS(status), 2);
	goro_chan_unref(done);
	n_failing = 1;
}

GORO_CASE(goroutine_that_ends_in_a_forked_child_ends_it, .id = "FRK-01")
{
	expect_messages(return_in_child);
}

static void leaves_by_exit(void *unused)
{
	(void)unused;
	exit(7);
}

static void uses_libc(void *unused)
{
	(void)unused;
	char *text = malloc(100);
	snprintf(text, 100, "%d %s", getpid(), "abc");
	usleep(15000); /* nobody preempts it, nobody takes its P */
	free(text);
	_exit(8);
}

GORO_CASE(forked_child_may_use_libc_and_exit, .id = "FRK-01")
{
	for (int i = 0; i < 5; i++) {
		int status = in_child(leaves_by_exit, NULL);
		expect(WIFEXITED(status) && WEXITSTATUS(status) == 7);
		status = in_child(uses_libc, NULL);
		expect(WIFEXITED(status) && WEXITSTATUS(status) == 8);
	}
}

/* ---- FK2: the program's own handlers ---- */

static void is_handled(int signo)
{
	_exit(signo);
}

static void raises(void *signo)
{
	raise(*(int *)signo);
}

static void writes_to_null(void *unused)
{
	(void)unused;
	*(volatile int *)NULL = 1;
}

GORO_CASE(forked_child_has_the_handlers_of_the_program, .id = "FRK-01")
{
	int term = SIGTERM, urgent = SIGURG, usr = SIGUSR1;
	goro_chan *c = goro_chan_of(int, 1);
	signal(SIGUSR1, is_handled);
	require_eq(goro_signal_notify(c, SIGTERM), 0);
	require_eq(goro_signal_notify(c, SIGUSR1), 0);
	require_eq(goro_signal_notify(c, SIGURG), 0);
	int status = in_child(raises, &term);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	status = in_child(raises, &usr);
	expect(WIFEXITED(status) && WEXITSTATUS(status) == SIGUSR1);
	status = in_child(raises, &urgent);
	expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	signal(SIGURG, is_handled);
	status = in_child(raises, &urgent);
	expect(WIFEXITED(status) && WEXITSTATUS(status) == SIGURG);
	signal(SIGURG, SIG_DFL);
	if (!TAP_SANITIZED) { /* which has a handler of its own */
		status = in_child(writes_to_null, NULL);
		expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	raise(SIGTERM);
	expect_eq(goro_get(c, int), SIGTERM); /* here all is as before */
	expect_eq(goro_chan_len(c), (size_t)0);
}

/* ---- FK3 ---- */

static int sends_and_receives(void *unused)
{
	goro_chan *c = goro_chan_of(int, 0);
	(void)unused;
	go(forks_and_returns, c);
	(void)goro_get(c, int);
	goro_chan_unref(c);
	return 9;
}

static void runs_a_runtime(void *unused)
{
	dup2(open("/dev/null", O_WRONLY), 2);
	_exit(goro_run(sends_and_receives, unused));
}

TAP_CASE(child_that_was_forked_while_no_runtime_ran_may_start_one, .id = "FRK-01")
{
	if (getenv("TAP_EMULATED"))
		tap_skip("the emulator fails in a child with threads");
	for (int i = 0; i < 3; i++) {
		int status = in_child(runs_a_runtime, NULL);
		expect(WIFEXITED(status) && WEXITSTATUS(status) == 9);
		expect_eq(goro_run(nothing_to_return, NULL), 0);
	}
}

TAP_MAIN
