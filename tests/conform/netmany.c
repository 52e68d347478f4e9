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

static void hands_back(goro_chan *to, goro_chan *from)
{
	while (goro_chan_recv(to, NULL))
		goro_chan_send(from, NULL);
}

static void hands_to_and_fro(goro_chan *to, goro_chan *from, const int *over)
{
	go(hands_back, to, from);
	while (!load(over)) {
		goro_chan_send(to, NULL);
		goro_chan_recv(from, NULL);
	}
	goro_chan_close(to);
	goro_chan_unref(from);
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

enum { MEASURED = 50 };
struct measured {
	int fd, is_over;
	int64_t late_ns[MEASURED];
};

static void *measures(void *arg)
{
	struct measured *m = arg;
	char c = 'x';
	for (int i = 0; i < MEASURED; i++) {
		int64_t start = tap_now();
		expect_eq(write(m->fd, &c, 1), 1);
		expect_eq(read(m->fd, &c, 1), 1);
		m->late_ns[i] = tap_now() - start;
		tap_pause(2000000);
	}
	close(m->fd);
	store(&m->is_over, 1);
	return NULL;
}

/* The ring is never empty, and each pair lives in the next slot. */
GORO_CASE(pairs_that_wake_each_other_do_not_keep_events_waiting, .procs = "1",
	  .is_alone = true)
{
	struct pair p = plain_pair_of(TCP);
	struct measured m = {.fd = p.b};
	struct echo e = {.p = p};
	pthread_t thread;
	require_eq(goro_fd_add(p.a), 0);
	require_eq(goro_spawn(echoes, &e), 0);
	for (int i = 0; i < 20 * goro_maxprocs(0); i++)
		go(hands_to_and_fro, goro_chan_make(0, 0), goro_chan_make(0, 0), &m.is_over);
	require_eq(pthread_create(&thread, NULL, measures, &m), 0);
	wait_for(goro_count() == 1);
	pthread_join(thread, NULL);
	qsort(m.late_ns, MEASURED, sizeof(*m.late_ns), by_size);
	printf("# an echo took %" PRId64 " us, at most but for one %" PRId64 " us\n",
	       m.late_ns[MEASURED / 2] / 1000, m.late_ns[MEASURED - 2] / 1000);
	expect_lt(m.late_ns[MEASURED - 2], GORO_MS(30) * TAP_SLOWER);
	expect_eq(goro_close(p.a), 0);
}

enum { BUSY_ECHOES = 64, TURN_PAIRS = 4 };
struct busy {
	struct pair p[BUSY_ECHOES];
	int is_over, n_rounds[TURN_PAIRS];
	int64_t longest_ns;
};

static void echoes_slowly(int fd)
{
	char c;
	while (goro_read(fd, &c, 1) == 1) {
		for (int64_t end = tap_now() + 50000; tap_now() < end;)
			continue;
		expect_eq(goro_write(fd, &c, 1), 1);
	}
	expect_eq(goro_close(fd), 0);
}

static void counts_rounds(struct busy *b, int i)
{
	goro_chan *to = goro_chan_make(0, 0), *from = goro_chan_make(0, 0);
	go(hands_back, to, from);
	while (!load(&b->is_over)) {
		goro_chan_send(to, NULL);
		goro_chan_recv(from, NULL);
		add(&b->n_rounds[i], 1);
	}
	goro_chan_close(to);
	goro_chan_unref(from);
}

static bool all_go_round(struct busy *b)
{
	for (int i = 0; i < TURN_PAIRS; i++)
		if (load(&b->n_rounds[i]) < 10)
			return false;
	return true;
}

/* Answers at once, so that there are always some that are ready; until all pairs go round. */
static int64_t keeps_busy_once(struct busy *b, struct pollfd *pfd)
{
	int64_t start = tap_now();
	char c;
	for (int i = 0; i < TURN_PAIRS; i++)
		store(&b->n_rounds[i], 0);
	while (!all_go_round(b) && tap_now() - start < GORO_SEC(4) * TAP_SLOWER) {
		expect_ge(poll(pfd, BUSY_ECHOES, 1), 0);
		for (int i = 0; i < BUSY_ECHOES; i++)
			if (pfd[i].revents) {
				expect_eq(read(pfd[i].fd, &c, 1), 1);
				expect_eq(write(pfd[i].fd, &c, 1), 1);
			}
	}
	return tap_now() - start;
}

static void *keeps_busy(void *arg)
{
	struct busy *b = arg;
	struct pollfd pfd[BUSY_ECHOES];
	for (int i = 0; i < BUSY_ECHOES; i++) {
		pfd[i] = (struct pollfd){.fd = b->p[i].b, .events = POLLIN};
		expect_eq(write(b->p[i].b, "x", 1), 1);
	}
	for (int i = 0; i < 8 && b->longest_ns < GORO_SEC(4); i++) {
		int64_t took = keeps_busy_once(b, pfd);
		b->longest_ns = took > b->longest_ns ? took : b->longest_ns;
	}
	store(&b->is_over, 1);
	for (int i = 0; i < BUSY_ECHOES; i++)
		shutdown(b->p[i].b, SHUT_WR);
	return NULL;
}

/* What sysmon brings goes between two of a pair's slices, and must not begin its turn anew. */
GORO_CASE(events_that_never_end_and_a_pair_do_not_shut_out_the_other_pairs, .procs = "1",
	  .is_alone = true)
{
	static struct busy b;
	pthread_t thread;
	for (int i = 0; i < BUSY_ECHOES; i++) {
		b.p[i] = plain_pair_of(UNIX_STREAM);
		require_eq(goro_fd_add(b.p[i].a), 0);
		go(echoes_slowly, b.p[i].a);
	}
	for (int i = 0; i < TURN_PAIRS; i++)
		go(counts_rounds, &b, i);
	require_eq(pthread_create(&thread, NULL, keeps_busy, &b), 0);
	while (!load(&b.is_over)) /* with no timer, which would move the pairs */
		goro_yield();
	pthread_join(thread, NULL);
	wait_for(goro_count() == 1);
	for (int i = 0; i < BUSY_ECHOES; i++)
		close(b.p[i].b);
	printf("# all pairs had had a turn after %" PRId64 " us\n", b.longest_ns / 1000);
	expect_lt(b.longest_ns, GORO_SEC(1) * TAP_SLOWER);
}

enum { LONG_ONES = 60 };
struct paced {
	struct pair p;
	int n_short, n_begun, n_waited;
};

static void is_short(struct paced *x)
{
	add(&x->n_short, 1);
}

static void is_long(struct paced *x)
{
	add(&x->n_begun, 1);
	for (int64_t end = tap_now() + 5000000; tap_now() < end;)
		continue;
}

static void answers_once(struct paced *x)
{
	char c;
	expect_eq(goro_read(x->p.a, &c, 1), 1);
	expect_eq(goro_write(x->p.a, &c, 1), 1);
}

static void *asks_once(void *arg)
{
	struct paced *x = arg;
	char c = 'x';
	while (load(&x->n_begun) < 2)
		tap_pause(100000);
	int before = load(&x->n_begun);
	expect_eq(write(x->p.b, &c, 1), 1);
	expect_eq(read(x->p.b, &c, 1), 1);
	x->n_waited = load(&x->n_begun) - before;
	return NULL;
}

/* Counted. NW6: that the last 64 were short says nothing of those that come now. */
GORO_CASE(an_event_waits_for_few_that_run_long_although_the_last_were_short, .procs = "1",
	  .is_alone = true)
{
	struct paced x = {.p = plain_pair_of(UNIX_STREAM)};
	pthread_t thread;
	require_eq(goro_fd_add(x.p.a), 0);
	go(answers_once, &x);
	wait_until_n_parked(1, "IO wait");
	require_eq(pthread_create(&thread, NULL, asks_once, &x), 0);
	for (int i = 1; i <= 192; i++) {
		go(is_short, &x);
		if (i % 8 == 0)
			goro_yield();
	}
	for (int i = 0; i < LONG_ONES; i++)
		go(is_long, &x);
	wait_for(goro_count() == 1);
	pthread_join(thread, NULL);
	printf("# behind %d long ones\n", x.n_waited);
	expect_lt(x.n_waited, 20);
	expect_eq(goro_close(x.p.a), 0);
	close(x.p.b);
}

struct meeting {
	struct pair p[2];
	struct echo short_ones;
	int n_begun, n_over;
	goro_waitgroup done;
	int64_t began[2][MEASURED];
};

/* After many short ones, since what runs long is remembered for a while: OW4. */
static void *calls_both(void *arg)
{
	struct meeting *m = arg;
	for (int i = 0; i < MEASURED; i++) {
		char c = 'x';
		for (int k = 0; k < 100; k++) {
			expect_eq(write(m->short_ones.p.b, &c, 1), 1);
			expect_eq(read(m->short_ones.p.b, &c, 1), 1);
		}
		for (int k = 0; k < 2; k++)
			expect_eq(write(m->p[k].b, "x", 1), 1);
		while (load(&m->n_over) < 2 * (i + 1))
			tap_pause(100000);
	}
	close(m->short_ones.p.b);
	return NULL;
}

/* Each computes until the other one does, too, and makes no call that would let it run. */
static void meets(struct meeting *m, int k)
{
	char c;
	for (int i = 0; i < MEASURED; i++) {
		expect_eq(goro_read(m->p[k].a, &c, 1), 1);
		m->began[k][i] = tap_now();
		add(&m->n_begun, 1);
		while (load(&m->n_begun) < 2 * (i + 1))
			;
		add(&m->n_over, 1);
	}
	goro_waitgroup_done(&m->done);
}

/* OW3: a few that are ready at once stay on one P for a moment only. A slice would be 10 ms. */
GORO_CASE(two_that_are_ready_at_once_run_at_the_same_time, .procs = "2", .is_alone = true)
{
	struct meeting m = {.short_ones.p = plain_pair_of(TCP)};
	int64_t apart[MEASURED];
	pthread_t thread;
	for (int k = 0; k < 2; k++) {
		m.p[k] = plain_pair_of(TCP);
		require_eq(goro_fd_add(m.p[k].a), 0);
		goro_waitgroup_add(&m.done, 1);
		go(meets, &m, k);
	}
	require_eq(goro_fd_add(m.short_ones.p.a), 0);
	require_eq(goro_spawn(echoes, &m.short_ones), 0);
	require_eq(pthread_create(&thread, NULL, calls_both, &m), 0);
	goro_waitgroup_wait(&m.done); /* no timer, for which somebody would look */
	pthread_join(thread, NULL);
	wait_for(goro_count() == 1);
	expect_eq(goro_close(m.short_ones.p.a), 0);
	for (int i = 0; i < MEASURED; i++)
		apart[i] = llabs(m.began[0][i] - m.began[1][i]);
	qsort(apart, MEASURED, sizeof(*apart), by_size);
	printf("# they began %" PRId64 " us apart, nine of ten within %" PRId64 " us\n",
	       apart[MEASURED / 2] / 1000, apart[MEASURED * 9 / 10] / 1000);
	expect_lt(apart[MEASURED * 9 / 10], GORO_MS(8) * TAP_SLOWER);
	for (int k = 0; k < 2; k++) {
		expect_eq(goro_close(m.p[k].a), 0);
		close(m.p[k].b);
	}
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
