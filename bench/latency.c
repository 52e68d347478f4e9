/*
 * latency.c - how long a request to a goroutine server takes while two goroutines compute without
 * pause on the same Ps: the median, the 99th percentile and the 99.9th.
 *
 * A plain thread is the client: it sends a request each 250 us over the next of 16 socket pairs,
 * whether those before were answered or not, and takes the time from the sending of each to its
 * answer. A goroutine a socket reads, in an announced call that blocks, and answers. The count is
 * that of the requests; the loops end when the last has been sent.
 *
 * LatencyLoop: the loops make no call; LatencyCheckpoint: they call goro_checkpoint(). With
 * GORODEBUG=preempt=0, which bench/run.sh sets in a run of its own, only LatencyNoPreempt is
 * measured: the loops make no call and nothing stops them, so that it tells how long they go on.
 */
#define _GNU_SOURCE /* ppoll */
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

enum { SOCKETS = 16, LOOPS = 2 };

#define INTERVAL GORO_US(250)

struct client {
	struct pollfd sockets[SOCKETS];
	goro_chan *done; /* of int */
	int n_procs;
	int64_t count;
	int64_t *times;
};

static struct loop loops[LOOPS];

/* ---- the server ---- */

static void serve(int fd, goro_waitgroup *left)
{
	int64_t request;

	for (;;) {
		goro_syscall_enter();
		ssize_t n = read(fd, &request, sizeof(request));
		goro_syscall_exit();
		if (n != sizeof(request))
			break;
		if (write(fd, &request, sizeof(request)) != sizeof(request))
			goro_panic("an answer could not be sent");
	}
	close(fd);
	goro_waitgroup_done(left);
}

/* ---- the client: a plain thread ---- */

static void send_request(int fd)
{
	int64_t now = goro_now();

	if (write(fd, &now, sizeof(now)) != sizeof(now))
		abort();
}

static int64_t take_answers(struct client *c, int64_t n_answered)
{
	int64_t sent_at[64];

	for (int i = 0; i < SOCKETS; i++) {
		if (!c->sockets[i].revents)
			continue;
		ssize_t n = read(c->sockets[i].fd, sent_at, sizeof(sent_at));
		int64_t now = goro_now();
		if (n <= 0 || (size_t)n % sizeof(sent_at[0]) != 0)
			abort();
		for (size_t j = 0; j < (size_t)n / sizeof(sent_at[0]); j++)
			c->times[n_answered++] = now - sent_at[j];
	}
	return n_answered;
}

/* As many loops as there are Ps for. */
static void wait_for_loops(const struct client *c)
{
	int n_running = 0;

	while (n_running < LOOPS && n_running < c->n_procs) {
		poll(NULL, 0, 1);
		n_running = 0;
		for (int i = 0; i < LOOPS; i++)
			n_running += atomic_load(&loops[i].rounds) != 0;
	}
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	int64_t n_sent = 0, n_answered = 0;

	prctl(PR_SET_TIMERSLACK, 1);
	wait_for_loops(c);
	int64_t next = goro_now();
	while (n_answered < c->count) {
		for (; n_sent < c->count && goro_now() >= next; next += INTERVAL)
			send_request(c->sockets[n_sent++ % SOCKETS].fd);
		if (n_sent == c->count)
			atomic_store(&loops_over, true);
		int64_t wait = n_sent < c->count ? next - goro_now() : GORO_SEC(60);
		struct timespec pause = {wait / GORO_SEC(1), wait % GORO_SEC(1)};
		if (wait > 0 && ppoll(c->sockets, SOCKETS, &pause, NULL) > 0)
			n_answered = take_answers(c, n_answered);
	}
	for (int i = 0; i < SOCKETS; i++)
		close(c->sockets[i].fd);
	goro_put(c->done, 1);
	return NULL;
}

/* ---- both ---- */

static void latency(const char *name, enum loop_kind kind, int64_t count)
{
	static goro_waitgroup left;
	struct client c = {.done = bench_chan(sizeof(int), 1),
			   .n_procs = goro_maxprocs(0),
			   .count = count,
			   .times = calloc((size_t)count, sizeof(int64_t))};
	pthread_t thread;

	if (c.times == NULL)
		goro_panic("out of memory");
	goro_waitgroup_add(&left, SOCKETS);
	for (int i = 0; i < SOCKETS; i++) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
			goro_panic("no socket");
		c.sockets[i] = (struct pollfd){.fd = pair[0], .events = POLLIN};
		go(serve, pair[1], &left);
	}
	goro_sleep(GORO_MS(10)); /* all of them wait for requests */
	loops_start(loops, LOOPS, kind);
	if (pthread_create(&thread, NULL, client_main, &c) != 0)
		goro_panic("no thread");
	goro_get(c.done, int);
	pthread_join(thread, NULL);
	goro_waitgroup_wait(&left);
	loops_end();

	bench_sort(c.times, count);
	printf("Benchmark%s-%d\t%" PRId64 "\t%" PRId64 " p50-ns\t%" PRId64 " p99-ns\t%" PRId64
	       " p99.9-ns\n",
	       name, goro_maxprocs(0), count, c.times[count / 2], c.times[count * 99 / 100],
	       c.times[count * 999 / 1000]);
	fflush(stdout);
	free(c.times);
	goro_chan_unref(c.done);
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 4000);
	const char *debug = getenv("GORODEBUG");

	if (debug != NULL && strstr(debug, "preempt=0") != NULL) {
		latency("LatencyNoPreempt", LOOP_BARE, count);
		return 0;
	}
	latency("LatencyLoop", LOOP_BARE, count);
	latency("LatencyCheckpoint", LOOP_CHECKPOINT, count);
	return 0;
}
