/*
 * netmany.c - SYS-03 and what goes beyond: many goroutines on few descriptors, and the poller
 * beside all else that runs.
 *
 *   readers, writers, acceptors share a descriptor; loops, signals and a changing number of Ps do
 *   not keep the poller from being asked; what waits for a socket is no deadlock
 *
 * Go: os/pipe_test.go TestPipeThreads; net/fd_mutex_test.go; runtime/netpoll_test.go.
 */
#include "net_tap.h"

/* ---- sharing ---- */

struct sharing {
	int fd, n_over, n_got, n_ends;
	bool is_known;
};

static void reads_ten(void *arg)
{
	struct sharing *s = arg;
	char c;
	for (ssize_t n; (n = goro_read(s->fd, &c, 1)) != 0;) {
		expect_eq(n, 1);
		add(&s->n_got, 1);
	}
	add(&s->n_over, 1);
}

GORO_CASE(ten_readers_share_a_connection, .is_race = true)
{
	for (enum pair_kind kind = TCP; kind <= PIPE; kind++) {
		struct pair p = pair_of(kind);
		struct sharing s = {.fd = p.a};
		for (int i = 0; i < 10; i++)
			require_eq(goro_spawn(reads_ten, &s), 0);
		for (int i = 0; i < 1000; i++) {
			expect_eq(goro_write(p.b, "abc", 1 + i % 3), 1 + i % 3);
			if (i % 16 == 0)
				goro_yield();
		}
		expect_eq(goro_close(p.b), 0);
		wait_for(load(&s.n_over) == 10);
		expect_eq(s.n_got, 1999);
		expect_eq(goro_close(p.a), 0);
	}
}

static void accepts(void *arg)
{
	struct sharing *s = arg;
	for (int fd; (fd = goro_accept(s->fd, NULL, NULL)) >= 0;) {
		char c;
		expect_eq(goro_read(fd, &c, 1), 1);
		expect_eq(goro_write(fd, &c, 1), 1);
		expect_eq(goro_close(fd), 0);
		add(&s->n_got, 1);
	}
	add(&s->n_over, 1);
}

static void connects(void *arg)
{
	struct sharing *s = arg;
	struct sockaddr_in to = loopback(port_of(s->fd));
	char c;
	for (int i = 0; i < 30; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		require_eq(goro_fd_add(fd), 0);
		expect_eq(goro_connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
		expect_eq(goro_write(fd, "x", 1), 1);
		expect_eq(goro_read(fd, &c, 1), 1);
		expect_eq(goro_read(fd, &c, 1), 0);
		expect_eq(goro_close(fd), 0);
	}
	add(&s->n_ends, 1);
}

GORO_CASE(several_acceptors_share_a_listener, .is_race = true)
{
	struct sharing s = {.fd = listener(128)};
	for (int i = 0; i < 5; i++)
		require_eq(goro_spawn(accepts, &s), 0);
	for (int i = 0; i < 10; i++)
		require_eq(goro_spawn(connects, &s), 0);
	wait_for(load(&s.n_ends) == 10);
	wait_for(load(&s.n_got) == 300);
	expect_eq(goro_close(s.fd), 0);
	wait_for(load(&s.n_over) == 5);
}

enum { N_WRITERS = 8, BLOCK = 100003, ROUNDS = 4 };

struct writer {
	int fd, *n_over;
	char mark;
};

static void writes_blocks(void *arg)
{
	const struct writer *w = arg;
	char *block = malloc(BLOCK);
	memset(block, w->mark, BLOCK);
	for (int i = 0; i < ROUNDS; i++)
		expect_eq(goro_write_all(w->fd, block, BLOCK), BLOCK);
	free(block);
	add(w->n_over, 1);
}

static void expect_whole_blocks(struct pair p)
{
	static char block[BLOCK];
	int n_over = 0, n_torn = 0;
	for (int i = 0; i < N_WRITERS; i++) {
		struct writer w = {p.b, &n_over, (char)('a' + i)};
		require_eq(goro_spawn_copy(writes_blocks, &w, sizeof(w)), 0);
	}
	for (int i = 0; i < N_WRITERS * ROUNDS; i++) {
		expect_eq(goro_read_full(p.a, block, BLOCK), BLOCK);
		n_torn += memcmp(block, block + 1, BLOCK - 1) != 0;
	}
	expect_eq(n_torn, 0);
	wait_for(load(&n_over) == N_WRITERS);
	pair_close(p);
}

GORO_CASE(whole_writes_do_not_interleave, .is_race = true)
{
	for (enum pair_kind kind = TCP; kind <= PIPE; kind++) {
		struct pair p = plain_pair_of(kind);
		expect_whole_blocks(pair_of(kind));
		require_eq(goro_fd_add(p.a), 0); /* what is written to is unknown */
		expect_whole_blocks(p);
	}
}

/* ---- threads ---- */

/*
 * A read that finds nothing is a system call like others, whose P is taken when it is long: the
 * emulator's are, and longer still on a busy machine. The threads made for that stay a while; one
 * that waited in place of each reader would make them n.
 */
static int threads_allowed(int n)
{
	return getenv("TAP_EMULATED") ? n / 2 : goro_maxprocs(0) + 10;
}

static void expect_few_threads(int n, struct pair *pairs, struct caller *c)
{
	int before = thread_count();
	for (int i = 0; i < n; i++) {
		pairs[i] = pair_of(i % 3 == 0 ? TCP : i % 3 == 1 ? UNIX_STREAM : PIPE);
		c[i] = (struct caller){.fd = pairs[i].a, .call = call_read};
		require_eq(goro_spawn(call_it, &c[i]), 0);
	}
	wait_until_n_parked(n, "IO wait");
	printf("# %d threads before, %d with %d that read\n", before, thread_count(), n);
	expect_le(thread_count(), threads_allowed(n));
	for (int i = 0; i < n; i++)
		expect_eq(goro_write(pairs[i].b, "x", 1), 1);
	for (int i = 0; i < n; i++) {
		expect_eq(caller_result(&c[i]), 1);
		pair_close(pairs[i]);
	}
}

GORO_CASE(readers_cost_no_threads, .id = "SYS-03")
{
	static struct pair pairs[100];
	static struct caller c[100];
	expect_few_threads(50, pairs, c);
	expect_few_threads(100, pairs, c);
	goro_maxthreads(50);
	expect_few_threads(100, pairs, c);
}

/* ---- beside what else runs ---- */

struct echo {
	struct pair p;
	int n_rounds, is_over;
};

static void echoes(void *arg)
{
	struct echo *e = arg;
	char c;
	while (goro_read(e->p.a, &c, 1) == 1)
		expect_eq(goro_write(e->p.a, &c, 1), 1);
	add(&e->is_over, 1);
}

/* A plain thread, so that the goroutines that run do not slow down who measures. */
static void *asks(void *arg)
{
	struct echo *e = arg;
	char c = 'x';
	for (int i = 0; i < e->n_rounds; i++) {
		expect_eq(write(e->p.b, &c, 1), 1);
		expect_eq(read(e->p.b, &c, 1), 1);
	}
	close(e->p.b);
	add(&e->is_over, 1);
	return NULL;
}

static pthread_t echo_start(struct echo *e, int n_rounds)
{
	pthread_t thread;
	*e = (struct echo){.p = plain_pair_of(TCP), .n_rounds = n_rounds};
	require_eq(goro_fd_add(e->p.a), 0);
	require_eq(goro_spawn(echoes, e), 0);
	require_eq(pthread_create(&thread, NULL, asks, e), 0);
	return thread;
}

static void echo_end(struct echo *e, pthread_t thread)
{
	pthread_join(thread, NULL);
	wait_for(load(&e->is_over) == 2);
	expect_eq(goro_close(e->p.a), 0);
}

static void yields_until(void *over)
{
	while (load((int *)over) < 2)
		goro_yield();
}

static void loops_until(void *over)
{
	while (load((int *)over) < 2)
		;
}

static void expect_echo_beside(void (*loop)(void *), const char *name)
{
	struct echo e;
	int64_t start = tap_now();
	pthread_t thread = echo_start(&e, 20);
	for (int i = 0; i < goro_maxprocs(0) + 1; i++)
		require_eq(goro_spawn(loop, &e.is_over), 0);
	echo_end(&e, thread);
	wait_for(goro_count() == 1);
	printf("# beside %s: %" PRId64 " us a round\n", name, (tap_now() - start) / 20000);
	expect_lt(tap_now() - start, GORO_SEC(10) * TAP_SLOWER);
}

GORO_CASE(loops_of_yields_do_not_shut_out_the_poller)
{
	expect_echo_beside(yields_until, "yields");
}

static void reads_one(int fd, int *n_read)
{
	char c;
	expect_eq(goro_read(fd, &c, 1), 1);
	add(n_read, 1);
}

/* Counted: what is ready at a time has turns of its own, beside one that is always runnable. */
GORO_CASE(many_that_are_ready_do_not_wait_for_each_turn_of_one_that_yields, .procs = "1",
	  .is_alone = true)
{
	enum { PAIRS = 400 };
	static struct pair pairs[PAIRS];
	int n_read = 0, n_yields = 0;
	for (int i = 0; i < PAIRS; i++) {
		pairs[i] = pair_of(UNIX_STREAM);
		go(reads_one, pairs[i].a, &n_read);
	}
	wait_until_n_parked(PAIRS, "IO wait");
	for (int i = 0; i < PAIRS; i++)
		require_eq(write(pairs[i].b, "x", 1), 1);
	while (load(&n_read) < PAIRS) {
		n_yields += load(&n_read) > 0; /* sysmon has seen that nobody asks */
		goro_yield();
	}
	printf("# %d turns beside %d that were ready\n", n_yields, PAIRS);
	expect_le(n_yields, PAIRS / 4);
	for (int i = 0; i < PAIRS; i++)
		pair_close(pairs[i]);
}

GORO_CASE(loops_without_calls_do_not_shut_out_the_poller)
{
	expect_echo_beside(loops_until, "loops");
}

GORO_CASE(the_number_of_Ps_changes_while_goroutines_wait, .is_race = true)
{
	struct echo e[4];
	pthread_t threads[4];
	int n_procs = goro_maxprocs(0);
	uint64_t seed = tap_seed();
	for (int i = 0; i < 4; i++)
		threads[i] = echo_start(&e[i], 500);
	for (int i = 0; i < 200; i++) {
		goro_maxprocs(1 + (int)(tap_random(&seed) % 8));
		goro_sleep(GORO_US(200));
	}
	goro_maxprocs(1);
	for (int i = 0; i < 4; i++)
		echo_end(&e[i], threads[i]);
	goro_maxprocs(n_procs);
}

static void on_signal(int signo)
{
	(void)signo;
}

struct storm {
	int is_over;
};

static void *sends_signals(void *arg)
{
	struct storm *s = arg;
	while (!load(&s->is_over)) {
		kill(getpid(), SIGUSR1); /* to any thread that does not block it */
		tap_pause(20000);
	}
	return NULL;
}

/* Without SA_RESTART: every system call that waits may be ended. */
GORO_CASE(a_storm_of_signals_is_not_seen, .is_race = true)
{
	struct sigaction action = {.sa_handler = on_signal}, before;
	struct storm storm = {0};
	struct pair pairs[2 * N_PAIR_KINDS];
	pthread_t thread;
	for (int i = 0; i < 2 * N_PAIR_KINDS; i++) /* by calls that would see it */
		pairs[i] = i < N_PAIR_KINDS ? pair_of(i) : plain_pair_of(i % N_PAIR_KINDS);
	require_eq(sigaction(SIGUSR1, &action, &before), 0);
	require_eq(pthread_create(&thread, NULL, sends_signals, &storm), 0);
	for (int i = 0; i < 2 * N_PAIR_KINDS; i++) {
		bool is_known = i < N_PAIR_KINDS;
		struct pair p = pairs[i];
		char data[8];
		for (int j = 0; j < 50; j++) {
			struct caller reader = {.fd = p.a, .call = call_read};
			require_eq(goro_spawn(call_it, &reader), 0);
			goro_sleep(GORO_US(50));
			expect_eq(goro_write_all(p.b, "ab", 2), 2);
			expect_eq(caller_result(&reader), 2);
			expect_eq(goro_fd_wait(p.a, POLLIN, goro_now() + 1000), -ETIMEDOUT);
		}
		expect_eq(goro_set_read_deadline(p.a, 1), is_known ? 0 : -EPERM);
		if (is_known)
			expect_eq(goro_read(p.a, data, 8), -ETIMEDOUT);
		pair_close(p);
	}
	store(&storm.is_over, 1);
	pthread_join(thread, NULL);
	/* One may still be on its way to a thread, which would die of it, unless ignored. */
	action.sa_handler = SIG_IGN;
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR1, &before, NULL);
}

/* ---- deadlocks ---- */

GORO_CHILD(waits_on_a_channel_with_descriptors_known)
{
	struct pair p = pair_of(TCP);
	char data[8];
	expect_eq(goro_write(p.b, "abc", 3), 3);
	expect_eq(goro_read(p.a, data, 8), 3);
	struct caller reader = {0};
	caller_start(&reader, call_read, p.a);
	expect_eq(goro_set_read_deadline(p.a, 1), 0);
	expect_eq(caller_result(&reader), -ETIMEDOUT);
	goro_chan_recv(goro_chan_of(int, 0), NULL);
}

TAP_CASE(all_on_channels_is_a_deadlock_whatever_descriptors_there_are, .id = "DIA-01")
{
	struct tap_child c;
	if (getenv("TAP_EMULATED"))
		tap_skip("the process has threads of somebody else");
	tap_child(&c, "waits_on_a_channel_with_descriptors_known", NULL);
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	free(c.out);
	free(c.err);
}

static int receives_for_ever(void *unused)
{
	(void)unused;
	goro_chan_recv(goro_chan_of(int, 0), NULL);
	return 0;
}

/* The waits of plain threads are counted, and when they are over they are not. */
static void waits_once(void)
{
	struct pair p = pair_of(TCP);
	struct caller c = {0};
	expect_eq(goro_fd_wait(p.a, POLLIN, goro_now() + GORO_MS(1)), -ETIMEDOUT);
	pthread_t thread = caller_start_thread(&c, call_read, p.a);
	expect_eq(goro_write(p.b, "abc", 3), 3);
	expect_eq(pthread_join(thread, NULL), 0);
	expect_eq(c.result, 3);
	pair_close(p);
}

static int waits_and_receives_for_ever(void *unused)
{
	waits_once();
	return receives_for_ever(unused);
}

TAP_CHILD(plain_threads_have_waited_before_a_run)
{
	waits_once();
	goro_run(receives_for_ever, NULL);
}

TAP_CHILD(plain_threads_have_waited_in_a_run)
{
	goro_run(waits_and_receives_for_ever, NULL);
}

/* The one that waits is not in the child. */
TAP_CHILD(a_plain_thread_waits_in_the_parent)
{
	struct pair p = pair_of(TCP);
	struct caller c = {0};
	pthread_t thread = caller_start_thread(&c, call_read, p.a);
	pid_t pid = fork();
	int status;
	require_ge(pid, 0);
	if (pid == 0) {
		(void)pair_of(TCP); /* its own poller has begun */
		_exit(goro_run(receives_for_ever, NULL));
	}
	require_eq(waitpid(pid, &status, 0), pid);
	expect_eq(goro_write(p.b, "abc", 3), 3);
	expect_eq(pthread_join(thread, NULL), 0);
	pair_close(p);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void expect_deadlock_of(const char *child)
{
	struct tap_child c;
	tap_child(&c, child, NULL);
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	free(c.out);
	free(c.err);
}

TAP_CASE(waits_of_threads_that_are_over_hide_no_deadlock, .id = "DIA-01")
{
	if (getenv("TAP_EMULATED"))
		tap_skip("the process has threads of somebody else");
	expect_deadlock_of("plain_threads_have_waited_before_a_run");
	expect_deadlock_of("plain_threads_have_waited_in_a_run");
	if (!TAP_SANITIZED) /* no threads after a fork */
		expect_deadlock_of("a_plain_thread_waits_in_the_parent");
}

static void *writes_later(void *arg)
{
	tap_pause(100000000);
	expect_eq(write(*(int *)arg, "x", 1), 1);
	return NULL;
}

/* The thread that will write is none of the runtime's; it may end before the wait does. */
GORO_CASE(one_that_waits_for_a_socket_is_no_deadlock, .id = "DIA-01")
{
	struct pair p = pair_of(TCP);
	struct caller reader = {0};
	pthread_t thread;
	char data[8];
	expect_eq(goro_set_read_deadline(p.a, goro_now() + GORO_SEC(3600)), 0);
	caller_start(&reader, call_read, p.a);
	require_eq(pthread_create(&thread, NULL, writes_later, &p.b), 0);
	expect_eq(caller_result(&reader), 1);
	pthread_join(thread, NULL);
	expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
	require_eq(pthread_create(&thread, NULL, writes_later, &p.b), 0);
	expect_eq(goro_read(p.a, data, 8), 1);
	pthread_join(thread, NULL);
	pair_close(p);
}

TAP_MAIN
