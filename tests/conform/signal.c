/*
 * signal.c - SIG-01: signals that come over channels.
 *
 *   kill, raise, sigqueue -> whichever thread -> every channel that was notified, without waiting
 *   goro_signal_stop      -> nothing more, and the handler from before
 *
 * The handler of SIGURG, which the library needs itself, is stops.c's.
 *
 * Go: os/signal: TestSignal, TestStop, TestStress, TestIgnore, TestSignalForwarding, atomicStop;
 * runtime/testdata/testprog/signal.go.
 */
#include "sys_tap.h"

static goro_chan *notified(size_t room, int signo)
{
	goro_chan *c = goro_chan_of(int, room);
	require(c != NULL);
	require_eq(goro_signal_notify(c, signo), 0);
	return c;
}

static void stopped(goro_chan *c, int signo)
{
	expect_eq(goro_signal_stop(c, signo), 0);
	goro_chan_unref(c);
}

/* -1: nothing has come. */
static int came(goro_chan *c)
{
	int signo;
	return goro_chan_tryrecv(c, &signo) == 0 ? signo : -1;
}

GORO_CASE(each_signal_comes_over_the_channel_with_its_number, .id = "SIG-01", .is_race = true)
{
	static const int all[] = {SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD, SIGWINCH,
				  SIGALRM, SIGPIPE, SIGABRT, SIGTRAP, SIGQUIT, SIGURG, 64};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i] == 64 && getenv("TAP_EMULATED"))
			continue; /* the emulator keeps it for itself */
		goro_chan *c = notified(1, all[i]);
		for (int round = 0; round < 5; round++) {
			if (round % 2 == 0)
				kill(getpid(), all[i]);
			else
				raise(all[i]);
			expect_eq(goro_get(c, int), all[i]);
		}
		stopped(c, all[i]);
	}
}

static void receives_and_counts(goro_chan *c, int *n)
{
	while (goro_get(c, int) != 0)
		add(n, 1);
}

static void *thread_queues(void *n)
{
	for (int i = 0; i < *(int *)n; i++)
		require(sigqueue(getpid(), 40, (union sigval){.sival_int = i}) == 0);
	return NULL;
}

static void loops(int *is_over)
{
	while (!__atomic_load_n(is_over, __ATOMIC_RELAXED))
		continue;
}

/* SN2. Those above SIGRTMIN are queued by the kernel, so that none may be missing in the end. */
GORO_CASE(no_signal_is_lost_on_the_way_to_a_channel_with_room, .id = "SIG-01", .is_race = true)
{
	int n = tap_share(2000), n_received = 0, is_over = 0;
	goro_chan *c = notified((size_t)3 * n, 40), *waited_for = notified((size_t)3 * n, 40);
	pthread_t thread[2];
	go(receives_and_counts, waited_for, &n_received);
	go(loops, &is_over); /* it makes no call: others have to deliver */
	for (int i = 0; i < 2; i++)
		require_eq(pthread_create(&thread[i], NULL, thread_queues, &n), 0);
	for (int i = 0; i < n; i++) {
		require(sigqueue(getpid(), 40, (union sigval){.sival_int = i}) == 0);
		if (i % 16 == 0)
			goro_yield();
	}
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	wait_for(goro_chan_len(c) == (size_t)3 * n);
	wait_for(load(&n_received) == 3 * n);
	store(&is_over, 1);
	expect_eq(goro_signal_stop(c, 40), 0);
	expect_eq(goro_signal_stop(waited_for, 40), 0);
	expect_eq(goro_chan_len(c), (size_t)3 * n);
	goro_put(waited_for, 0);
	wait_for(goro_count() == 1);
	goro_chan_unref(c);
	goro_chan_unref(waited_for);
}

GORO_CASE(what_finds_no_room_is_dropped, .id = "SIG-01")
{
	goro_chan *none = notified(0, SIGUSR1), *two = notified(2, SIGUSR1),
		  *seen = notified(10, SIGUSR1);
	for (int i = 0; i < 5; i++) {
		raise(SIGUSR1);
		wait_for(goro_chan_len(seen) == (size_t)i + 1);
	}
	expect_eq(came(none), -1);
	expect_eq(came(two), SIGUSR1);
	expect_eq(came(two), SIGUSR1);
	expect_eq(came(two), -1);
	stopped(none, SIGUSR1);
	stopped(two, SIGUSR1);
	stopped(seen, SIGUSR1);
}

GORO_CASE(every_channel_gets_it_once_and_only_its_own, .id = "SIG-01")
{
	goro_chan *a = notified(10, SIGUSR1), *b = notified(10, SIGUSR1),
		  *c = notified(10, SIGUSR2);
	expect_eq(goro_signal_notify(a, SIGUSR1), 0);
	expect_eq(goro_signal_notify(a, SIGUSR2), 0);
	raise(SIGUSR1);
	wait_for(goro_chan_len(b) == 1);
	expect_eq(came(a), SIGUSR1);
	expect_eq(came(a), -1);
	raise(SIGUSR2);
	wait_for(goro_chan_len(c) == 1);
	wait_for(goro_chan_len(a) == 1);
	expect_eq(came(a), SIGUSR2);
	expect_eq(goro_signal_stop(a, SIGUSR1), 0); /* once, however often it was notified */
	expect_eq(goro_signal_stop(a, SIGUSR1), -ENOENT);
	raise(SIGUSR1);
	wait_for(goro_chan_len(b) == 2);
	expect_eq(came(a), -1);
	stopped(a, SIGUSR2);
	stopped(b, SIGUSR1);
	stopped(c, SIGUSR2);
}

GORO_CASE(closed_channel_gets_nothing_and_nobody_panics, .id = "SIG-01")
{
	goro_chan *c = notified(1, SIGUSR1), *seen = notified(1, SIGUSR1);
	goro_chan_close(c);
	raise(SIGUSR1);
	expect_eq(goro_get(seen, int), SIGUSR1);
	stopped(c, SIGUSR1);
	stopped(seen, SIGUSR1);
}

/* The program may give its own reference back at once. */
GORO_CASE(notified_channel_is_kept, .id = "SIG-01")
{
	goro_chan *c = notified(1, SIGUSR1);
	goro_chan_unref(c);
	raise(SIGUSR1);
	expect_eq(goro_get(c, int), SIGUSR1);
	expect_eq(goro_signal_stop(c, SIGUSR1), 0);
}

/* ---- stopping ---- */

static int n_handled;

static void handles(int signo)
{
	(void)signo;
	add(&n_handled, 1);
}

GORO_CASE(stop_brings_the_handler_from_before_back, .id = "SIG-01", .is_race = true)
{
	struct sigaction now;
	signal(SIGUSR1, handles);
	signal(SIGUSR2, SIG_IGN);
	for (int i = 1; i <= 100; i++) {
		goro_chan *a = notified(1, SIGUSR1), *b = notified(1, SIGUSR1),
			  *c = notified(1, SIGUSR2);
		raise(SIGUSR1);
		raise(SIGUSR2);
		expect_eq(goro_get(a, int), SIGUSR1);
		expect_eq(goro_get(c, int), SIGUSR2);
		expect_eq(load(&n_handled), i - 1);
		stopped(a, SIGUSR1);
		stopped(b, SIGUSR1);
		stopped(c, SIGUSR2);
		raise(SIGUSR1);
		raise(SIGUSR2);
		expect_eq(load(&n_handled), i);
	}
	require_eq(sigaction(SIGUSR2, NULL, &now), 0);
	expect(now.sa_handler == SIG_IGN);
}

GORO_CASE(handler_that_the_program_puts_up_meanwhile_stays, .id = "SIG-01")
{
	goro_chan *c = notified(1, SIGUSR1);
	signal(SIGUSR1, handles);
	raise(SIGUSR1);
	expect_eq(load(&n_handled), 1);
	stopped(c, SIGUSR1);
	raise(SIGUSR1);
	expect_eq(load(&n_handled), 2);
}

static void *thread_kills(void *is_over)
{
	while (!load((int *)is_over))
		kill(getpid(), SIGUSR1);
	return NULL;
}

/* What arrived before the call is sent, and nothing comes after it. */
GORO_CASE(nothing_comes_after_stop, .id = "SIG-01", .is_race = true)
{
	int is_over = 0, n = tap_share(2000), n_came = 0;
	pthread_t thread;
	signal(SIGUSR1, handles);
	require_eq(pthread_create(&thread, NULL, thread_kills, &is_over), 0);
	for (int i = 0; i < n; i++) {
		goro_chan *c = notified(100000, SIGUSR1);
		if (i % 4 == 0)
			raise(SIGUSR1); /* on this thread: it is counted when it returns */
		if (i % 3 == 0)
			goro_yield();
		require_eq(goro_signal_stop(c, SIGUSR1), 0);
		size_t length = goro_chan_len(c);
		if (i % 4 == 0)
			expect_ge(length, (size_t)1);
		n_came += length > 0;
		goro_yield();
		expect_eq(goro_chan_len(c), length);
		goro_chan_unref(c);
	}
	store(&is_over, 1);
	pthread_join(thread, NULL);
	expect_gt(n_came, 0);
}

static int run_and_leave(void *unused)
{
	(void)unused;
	goro_chan *c = notified(1, SIGUSR1);
	expect_eq(goro_signal_notify(c, SIGURG), 0);
	expect_eq(goro_signal_notify(c, SIGQUIT), 0);
	raise(SIGUSR1);
	expect_eq(goro_get(c, int), SIGUSR1);
	goro_chan_unref(c);
	return 0;
}

TAP_CASE(end_of_a_run_stops_all, .id = "SIG-01")
{
	struct sigaction now;
	signal(SIGUSR1, handles);
	for (int i = 1; i <= 3; i++) {
		expect_eq(goro_run(run_and_leave, NULL), 0);
		raise(SIGUSR1);
		expect_eq(load(&n_handled), i);
		require_eq(sigaction(SIGQUIT, NULL, &now), 0);
		expect(now.sa_handler == SIG_DFL);
	}
}

/* ---- which thread ---- */

static void blocks_all(goro_chan *done, goro_chan *go_on)
{
	sigset_t all;
	goro_lock_thread();
	sigfillset(&all);
	require_eq(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
	goro_put(done, 1);
	goro_chan_recv(go_on, NULL);
}

static int run_with_all_blocked(void *unused)
{
	(void)unused;
	goro_chan *c = notified(8, SIGUSR1), *done = goro_chan_of(int, 0),
		  *go_on = goro_chan_of(int, 0);
	for (int i = 0; i < 5; i++)
		go(blocks_all, done, go_on);
	for (int i = 0; i < 5; i++)
		(void)goro_get(done, int);
	for (int i = 0; i < 100; i++) {
		kill(getpid(), SIGUSR1);
		expect_eq(goro_get(c, int), SIGUSR1);
	}
	goro_chan_close(go_on);
	wait_for(goro_count() == 1);
	stopped(c, SIGUSR1);
	return 0;
}

/* SN3: the usual way of programs that wait for their signals in one thread. */
TAP_CASE(signal_comes_although_all_threads_of_the_program_block_it, .id = "SIG-01", .is_race = true)
{
	sigset_t all;
	sigfillset(&all);
	require_eq(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
	for (int i = 0; i < 3; i++)
		expect_eq(goro_run(run_with_all_blocked, NULL), 0);
}

/* How many threads of the process have that of signo in SigBlk of /proc. */
static int threads_that_block(int signo, int *n_threads)
{
	int n = 0;
	*n_threads = 0;
	for (int tid = getpid(); tid < getpid() + 2000; tid++) {
		char path[64], text[4096];
		snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ssize_t size = read(fd, text, sizeof(text) - 1);
		close(fd);
		text[size > 0 ? size : 0] = '\0';
		const char *line = strstr(text, "SigBlk:");
		if (line == NULL)
			continue;
		uint64_t mask = strtoull(line + strlen("SigBlk:"), NULL, 16);
		*n_threads += 1;
		n += mask >> (signo - 1) & 1;
	}
	return n;
}

static void blocks_in_kernel(goro_chan *done)
{
	usleep(20000);
	goro_put(done, 1);
}

static int run_and_look_at_masks(void *unused)
{
	int n_threads;
	goro_chan *done = goro_chan_of(int, 0);
	(void)unused;
	for (int i = 0; i < 8; i++) /* threads that the starter makes */
		go(blocks_in_kernel, done);
	for (int i = 0; i < 8; i++)
		(void)goro_get(done, int);
	expect_eq(threads_that_block(SIGUSR1, &n_threads), 2);
	expect_eq(threads_that_block(SIGTERM, &n_threads), 2);
	expect_eq(threads_that_block(SIGURG, &n_threads), 2);
	expect_eq(threads_that_block(SIGSEGV, &n_threads), 0);
	expect_eq(threads_that_block(SIGWINCH, &n_threads), n_threads);
	expect_ge(n_threads, 4);
	goro_chan *c = notified(1, SIGUSR1);
	wait_for(threads_that_block(SIGUSR1, &n_threads) == 1);
	expect_eq(threads_that_block(SIGWINCH, &n_threads), n_threads);
	stopped(c, SIGUSR1);
	wait_for(threads_that_block(SIGUSR1, &n_threads) == 2);
	return 0;
}

/* SG3. The two are sysmon and the starter. */
TAP_CASE(threads_have_the_mask_of_who_called_goro_run_but_for_two, .id = "SIG-01", .is_alone = true)
{
	sigset_t winch;
	if (getenv("TAP_EMULATED") != NULL)
		tap_skip("the emulator's /proc shows its own masks");
	if (TAP_SANITIZED)
		tap_skip("the sanitizer has a thread of its own");
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	require_eq(pthread_sigmask(SIG_BLOCK, &winch, NULL), 0);
	expect_eq(goro_run(run_and_look_at_masks, NULL), 0);
}

static int run_beside_loops(void *unused)
{
	int n_threads, is_over = 0;
	(void)unused;
	expect_eq(threads_that_block(SIGURG, &n_threads), 2);
	for (int i = 0; i < 2 * goro_maxprocs(0); i++)
		go(loops, &is_over);
	for (int i = 0; i < 5; i++)
		goro_sleep(GORO_MS(1));
	expect_eq(threads_that_block(SIGUSR1, &n_threads), n_threads);
	store(&is_over, 1);
	wait_for(goro_count() == 1);
	return 0;
}

/* Who waits for signals in a thread of its own blocks all of them first: SIGURG is ours. */
TAP_CASE(loops_are_stopped_in_a_program_that_blocks_all_signals, .id = "SIG-01", .is_alone = true)
{
	sigset_t all, after;
	if (getenv("TAP_EMULATED") != NULL)
		tap_skip("the emulator's /proc shows its own masks");
	if (TAP_SANITIZED)
		tap_skip("the sanitizer has a thread of its own");
	sigfillset(&all);
	require_eq(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
	expect_eq(goro_run(run_beside_loops, NULL), 0);
	require_eq(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
	expect_eq(sigismember(&after, SIGURG), 1);
}

static int n_wrong_errno;

static void keeps_errno(int *is_over, goro_chan *done)
{
	while (!load(is_over)) {
		errno = 77;
		for (int i = 0; i < 1000; i++)
			n_wrong_errno += load(&errno) != 77;
	}
	goro_put(done, 1);
}

GORO_CASE(signals_leave_errno_alone, .id = "SIG-01", .is_race = true)
{
	int is_over = 0;
	goro_chan *c = notified(1, SIGUSR1), *done = goro_chan_of(int, 0);
	go(keeps_errno, &is_over, done);
	/* At one P each turn lasts until the other's loop is stopped: 10 ms and more. */
	int64_t end = goro_now() + GORO_SEC(2);
	for (int i = 0; i < tap_share(5000) && goro_now() < end; i++) {
		kill(getpid(), SIGUSR1);
		goro_yield();
	}
	store(&is_over, 1);
	(void)goro_get(done, int);
	expect_eq(n_wrong_errno, 0);
	stopped(c, SIGUSR1);
}

/* ---- plain threads; deadlock ---- */

static void *thread_notifies(void *arg)
{
	goro_chan *c = arg;
	expect_eq(goro_signal_notify(c, SIGUSR1), 0);
	raise(SIGUSR1);
	expect_eq(goro_get(c, int), SIGUSR1);
	expect_eq(goro_signal_stop(c, SIGUSR1), 0);
	return NULL;
}

GORO_CASE(plain_thread_is_notified, .id = "SIG-01")
{
	goro_chan *c = goro_chan_of(int, 1);
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_notifies, c), 0);
	pthread_join(thread, NULL);
	goro_chan_unref(c);
}

static pid_t kill_later(const char *signo)
{
	char self[32];
	snprintf(self, sizeof(self), "%d", getpid());
	pid_t pid = fork();
	require_ge(pid, 0);
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "sleep 0.3; kill -$0 $1", signo, self, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* SN5: nothing else can happen in this process. */
GORO_CASE(waiting_for_a_signal_is_no_deadlock, .id = "SIG-01")
{
	goro_chan *c = notified(0, SIGUSR1);
	pid_t pid = kill_later("USR1");
	expect_eq(goro_get(c, int), SIGUSR1);
	require_eq(waitpid(pid, NULL, 0), pid);
	stopped(c, SIGUSR1);
}

GORO_CHILD(waits_after_stop)
{
	goro_chan *c = notified(0, SIGUSR1);
	goro_signal_stop(c, SIGUSR1);
	goro_chan_recv(c, NULL);
}

TAP_CASE(waiting_for_a_signal_that_was_stopped_is_a_deadlock, .id = "SIG-01")
{
	struct tap_child child;
	if (getenv("TAP_EMULATED"))
		tap_skip("the process has threads of somebody else");
	tap_child(&child, "waits_after_stop");
	expect_child(&child, 2, "fatal error: all goroutines are asleep - deadlock!\n");
}

/* ---- SIGURG ---- */

GORO_CASE(urgent_signals_of_the_program_come_and_those_of_the_library_do_not, .id = "SIG-01",
	  .is_race = true)
{
	int is_over = 0, n = goro_maxprocs(0) + 1;
	goro_chan *c = notified(1000, SIGURG);
	for (int i = 0; i < n; i++)
		go(loops, &is_over); /* each is stopped every 10 ms */
	for (int i = 0; i < 20; i++) {
		kill(getpid(), SIGURG);
		expect_eq(goro_get(c, int), SIGURG);
		goro_sleep(GORO_MS(5));
	}
	expect_eq(came(c), -1);
	store(&is_over, 1);
	wait_for(goro_count() == 1);
	stopped(c, SIGURG);
}

TAP_MAIN
