/*
 * netthread.c - plain threads in the calls on descriptors: during a run, before the first one,
 * between runs; and what the end of a run leaves on descriptors.
 *
 *   a plain thread waits itself; between runs a thread of the library's asks the poller for it
 */
#include "net_tap.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

/* ---- without a run ---- */

static void expect_thread_calls_work(void)
{
	for (enum pair_kind kind = 0; kind < N_PAIR_KINDS; kind++) {
		struct pair p = pair_of(kind);
		struct caller c = {0};
		char data[8];
		pthread_t thread = caller_start_thread(&c, call_read, p.a);
		expect_eq(goro_write(p.b, "abc", 3), 3);
		expect_eq(pthread_join(thread, NULL), 0);
		expect_eq(c.result, 3);
		thread = caller_start_thread(&c, call_wait_in, p.a);
		expect_eq(goro_write_all(p.b, "abc", 3), 3);
		expect_eq(pthread_join(thread, NULL), 0);
		expect_eq(c.result, POLLIN);
		expect_eq(goro_read_full(p.a, data, 3), 3);
		int64_t until = goro_now() + GORO_MS(2);
		expect_eq(goro_set_read_deadline(p.a, until), 0);
		expect_eq(goro_read(p.a, data, 8), -ETIMEDOUT);
		expect_ge(goro_now(), until);
		expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
		expect_eq(goro_fd_wait(p.a, POLLIN, goro_now() + GORO_MS(1)), -ETIMEDOUT);
		thread = caller_start_thread(&c, call_read, p.a);
		expect_eq(goro_set_read_deadline(p.a, 1), 0);
		expect_eq(pthread_join(thread, NULL), 0);
		expect_eq(c.result, -ETIMEDOUT);
		expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
		thread = caller_start_thread(&c, call_read, p.a);
		expect_eq(goro_close(p.a), 0);
		expect_eq(pthread_join(thread, NULL), 0);
		expect_eq(c.result, -EBADF);
		expect_eq(goro_close(p.b), 0);
	}
}

static void expect_threads_queue(void)
{
	struct pair p = pair_of(UNIX_STREAM);
	struct caller c[5] = {{0}}, writer = {0}, acceptor = {0};
	pthread_t threads[5], other;
	int l = listener(5);
	for (int i = 0; i < 5; i++) {
		c[i].size = 1;
		threads[i] = caller_start_thread(&c[i], call_read, p.a);
	}
	expect_eq(goro_write(p.b, "abc", 3), 3);
	wait_for(load(&c[0].is_over) + load(&c[1].is_over) + load(&c[2].is_over) +
			 load(&c[3].is_over) + load(&c[4].is_over) ==
		 3);
	(void)fill(p.a);
	other = caller_start_thread(&writer, call_write_much, p.a);
	expect_eq(goro_close(p.a), 0);
	for (int i = 0; i < 5; i++) {
		expect_eq(pthread_join(threads[i], NULL), 0);
		expect(c[i].result == 1 || c[i].result == -EBADF);
	}
	expect_eq(pthread_join(other, NULL), 0);
	expect_eq(writer.result, -EBADF);
	other = caller_start_thread(&acceptor, call_accept, l);
	int fd = plain_connect(port_of(l));
	expect_eq(pthread_join(other, NULL), 0);
	expect_ge(acceptor.result, 0);
	pair_close((struct pair){fd, (int)acceptor.result});
	expect_eq(goro_close(l), 0);
	expect_eq(goro_close(p.b), 0);
}

static int nothing(void *unused)
{
	(void)unused;
	return 0;
}

TAP_CASE(plain_threads_work_before_the_first_run)
{
	expect_thread_calls_work();
	expect_threads_queue();
}

TAP_CASE(plain_threads_work_between_runs)
{
	for (int i = 0; i < 3; i++) {
		expect_eq(goro_run(nothing, NULL), 0);
		expect_thread_calls_work();
		expect_threads_queue();
	}
}

GORO_CASE(plain_threads_work_during_a_run, .is_idle = true)
{
	expect_thread_calls_work();
	expect_threads_queue();
}

/* No time between a request and its answer is spent asleep: nobody looks only now and then. */
static void *answers(void *arg)
{
	int fd = *(int *)arg;
	char c;
	while (goro_read(fd, &c, 1) == 1)
		expect_eq(goro_write(fd, &c, 1), 1);
	return NULL;
}

TAP_CASE(plain_threads_are_woken_at_once, .is_alone = true)
{
	struct pair p = pair_of(TCP);
	pthread_t thread;
	char c = 'x';
	require_eq(pthread_create(&thread, NULL, answers, &p.a), 0);
	int64_t start = tap_now();
	for (int i = 0; i < 1000; i++) {
		expect_eq(goro_write(p.b, &c, 1), 1);
		expect_eq(goro_read(p.b, &c, 1), 1);
	}
	int64_t took = tap_now() - start;
	printf("# %" PRId64 " ns a round\n", took / 1000);
	expect_lt(took, GORO_SEC(1) * TAP_SLOWER);
	expect_eq(goro_close(p.b), 0);
	pthread_join(thread, NULL);
	expect_eq(goro_close(p.a), 0);
}

/* ---- over the bounds of runs ---- */

/* They wait all the while, during runs and between them, and are served in each. */
TAP_CASE(plain_threads_talk_on_while_runs_come_and_go, .is_race = true)
{
	struct pair p[3];
	pthread_t threads[3];
	for (int i = 0; i < 3; i++) {
		p[i] = pair_of(i == 0 ? TCP : i == 1 ? UNIX_STREAM : SEQPACKET);
		require_eq(pthread_create(&threads[i], NULL, answers, &p[i].a), 0);
	}
	for (int i = 0; i < 200; i++) {
		char c = 'x';
		for (int j = 0; j < 3; j++)
			expect_eq(goro_write(p[j].b, &c, 1), 1);
		if (i % 4)
			expect_eq(goro_run(nothing, NULL), 0);
		for (int j = 0; j < 3; j++)
			expect_eq(goro_read(p[j].b, &c, 1), 1);
	}
	for (int i = 0; i < 3; i++) {
		expect_eq(goro_close(p[i].b), 0);
		pthread_join(threads[i], NULL);
		expect_eq(goro_close(p[i].a), 0);
	}
}

static int begin_is_over;

static void *runs_again_and_again(void *unused)
{
	(void)unused;
	while (!load(&begin_is_over))
		expect_eq(goro_run(nothing, NULL), 0);
	return NULL;
}

TAP_CASE(waits_meet_the_begin_and_the_end_of_runs, .is_race = true)
{
	struct pair p = pair_of(TCP);
	pthread_t thread, runner;
	char c = 'x';
	require_eq(pthread_create(&thread, NULL, answers, &p.a), 0);
	require_eq(pthread_create(&runner, NULL, runs_again_and_again, NULL), 0);
	for (int i = 0; i < 3000 / TAP_SLOWER; i++) {
		expect_eq(goro_write(p.b, &c, 1), 1);
		expect_eq(goro_read(p.b, &c, 1), 1);
		if (i % 8 == 0)
			expect_eq(goro_fd_wait(p.b, POLLIN, goro_now() + 10000), -ETIMEDOUT);
	}
	store(&begin_is_over, 1);
	pthread_join(runner, NULL);
	expect_eq(goro_close(p.b), 0);
	pthread_join(thread, NULL);
	expect_eq(goro_close(p.a), 0);
}

/* ---- what a run leaves ---- */

struct left {
	struct pair p[2], pipe;
};

static ssize_t call_splice(struct caller *c)
{
	return goro_splice(c->fd, NULL, (int)c->size, NULL, 100, 0);
}

static ssize_t call_read_until(struct caller *c)
{
	return goro_read(c->fd, c->data, 8);
}

/* Goroutines hold and queue for every side when main returns. */
static int leaves_goroutines(void *arg)
{
	static struct caller c[10];
	struct left *l = arg;
	for (int i = 0; i < 2; i++) {
		int fd = l->p[i].a;
		(void)fill(fd);
		if (i == 1)
			expect_eq(goro_set_deadline(fd, goro_now() + GORO_SEC(3600)), 0);
		for (int j = 0; j < 2; j++) {
			caller_start(&c[i * 5 + j], call_read_until, fd);
			caller_start(&c[i * 5 + 2 + j], call_write_much, fd);
		}
		c[i * 5 + 4].deadline = i ? 0 : goro_now() + GORO_SEC(3600);
		caller_start(&c[i * 5 + 4], call_wait_in, fd);
	}
	return 0;
}

/* One call holds the side of one descriptor, and waits for another, or in a queue for it. */
static int splices_at_the_end(void *arg)
{
	static struct caller c[2];
	struct left *l = arg;
	(void)fill(l->pipe.b);
	for (int i = 0; i < 2; i++) {
		expect_eq(goro_write(l->p[i].b, "x", 1), 1);
		c[i].size = (size_t)l->pipe.b; /* the second queues behind the first */
		caller_start(&c[i], call_splice, l->p[i].a);
	}
	return 0;
}

/* Until nothing is on its way from the peer, however long that takes. */
static void empty(int fd, int peer)
{
	static char data[65536];
	int left;
	do {
		expect_eq(goro_set_read_deadline(fd, goro_now() + GORO_MS(20)), 0);
		while (goro_read(fd, data, sizeof(data)) > 0)
			;
		require_eq(ioctl(peer, SIOCOUTQ, &left), 0);
	} while (left > 0);
	expect_eq(goro_set_read_deadline(fd, GORO_FOREVER), 0);
}

static int uses_what_was_left(void *arg)
{
	struct left *l = arg;
	char data[8];
	for (int i = 0; i < 2; i++) {
		struct pair p = l->p[i];
		expect_eq(goro_set_deadline(p.a, GORO_FOREVER), 0);
		empty(p.b, p.a);
		empty(p.a, p.b);
		expect_eq(goro_write(p.b, "abc", 3), 3);
		expect_eq(goro_fd_wait(p.a, POLLIN, GORO_FOREVER), POLLIN);
		expect_eq(goro_read(p.a, data, 8), 3);
		expect_eq(goro_write_all(p.a, "de", 2), 2);
		expect_eq(goro_read(p.b, data, 8), 2);
	}
	return 0;
}

static int closes_what_was_left(void *arg)
{
	struct left *l = arg;
	pair_close(l->p[0]);
	pair_close(l->p[1]);
	pair_close(l->pipe);
	return 0;
}

TAP_CASE(the_next_run_uses_and_closes_what_the_last_one_waited_on, .is_idle = true)
{
	for (int i = 0; i < 4; i++) {
		struct left l = {.p = {pair_of(TCP), pair_of(UNIX_STREAM)},
				 .pipe = pair_of(PIPE)};
		expect_eq(goro_run(leaves_goroutines, &l), 0);
		if (i % 2)
			expect_eq(goro_run(uses_what_was_left, &l), 0);
		else
			uses_what_was_left(&l); /* this thread does */
		expect_eq(goro_run(splices_at_the_end, &l), 0);
		expect_eq(goro_run(uses_what_was_left, &l), 0);
		if (i % 2)
			closes_what_was_left(&l);
		else
			expect_eq(goro_run(closes_what_was_left, &l), 0);
	}
}

/* A plain thread that queues for a side of a goroutine gets it when the run ends around that. */
static struct pair queued_on;

static int holds_what_a_thread_wants(void *thread)
{
	static struct caller reader, queued;
	caller_start(&reader, call_read, queued_on.a);
	*(pthread_t *)thread = caller_start_thread(&queued, call_read, queued_on.a);
	return 0;
}

TAP_CASE(a_plain_thread_gets_the_side_of_a_goroutine_that_is_no_more)
{
	for (int i = 0; i < 20; i++) {
		pthread_t thread;
		queued_on = pair_of(i % 2 ? TCP : UNIX_STREAM);
		expect_eq(goro_run(holds_what_a_thread_wants, &thread), 0);
		expect_eq(goro_write(queued_on.b, "abc", 3), 3);
		expect_eq(pthread_join(thread, NULL), 0);
		pair_close(queued_on);
	}
}

/* ---- fork ---- */

/* Without a run, a child may use the library: with a poller of its own. */
TAP_CASE(a_child_between_runs_has_a_poller_of_its_own, .is_idle = true)
{
	if (TAP_SANITIZED)
		tap_skip("no threads after a fork");
	if (getenv("TAP_EMULATED"))
		tap_skip("the emulator fails in a child with threads");
	struct pair p = pair_of(TCP);
	struct caller c = {0};
	pthread_t thread = caller_start_thread(&c, call_read, p.a);
	fflush(stdout);
	pid_t pid = fork();
	require(pid >= 0);
	if (pid == 0) {
		expect_thread_calls_work();
		expect_eq(goro_run(nothing, NULL), 0);
		expect_thread_calls_work();
		_exit(tap_failures ? 1 : 0);
	}
	int status;
	require_eq(waitpid(pid, &status, 0), pid);
	expect_eq(status, 0);
	expect_eq(goro_write(p.b, "abc", 3), 3);
	expect_eq(pthread_join(thread, NULL), 0);
	expect_eq(c.result, 3);
	pair_close(p);
}

TAP_MAIN
