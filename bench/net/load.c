/*
 * load.c - asks an echo or a Redis server, from many connections, and says how fast it answered.
 *
 *   load [-c CONNECTIONS] [-t THREADS] [-s BYTES | -r set|get [-P COMMANDS] [-k KEYS]]
 *        [-d SECONDS | -n REQUESTS] [-w WARM-UP SECONDS] [-p PID] [-g] HOST:PORT
 *
 * With -r it asks a Redis server instead, as redis-benchmark -P does: a question is so many
 * commands at once, with keys by chance out of so many, the same in each run. What it prints as
 * requests are commands; -n counts questions, and the latencies are of questions. One costs it two
 * system calls, a share of an epoll_wait and the making of the keys; redis-benchmark has five
 * epoll_ctl more. Every key must be set before one is asked for.
 *
 * Each connection has one request under way and sends the next when the answer is there and was
 * compared, so a slow server is asked less often (a closed loop). What the load generator itself
 * waits for the CPU is part of the latency. It prints one line:
 *
 *   connections=64 bytes=64 requests=... requests/s=... p50-us=... p99-us=... p99.9-us=...
 *   max-us=... errors=... load-cpu=... others-cpu=... [cpu-s/M=... rss-B/conn=... pss-B/conn=...
 *   pte-B/conn=...]
 *
 * load-cpu is how many CPUs the load generator used in the measured window, and others-cpu those of
 * everything else on the machine but it and the server: with more than a few hundredths of others,
 * measure again.
 *
 * -p names the server's process: its CPU time in the measured window for a million requests; and
 * how much its resident set (rss), its share of memory (pss) and its page tables (pte) grew from
 * before the first connection until all have had one answer and are idle. -g ("gate"): when all are
 * connected it says so and waits for a line on standard input, and for another before it hangs up.
 *
 * What is under way when time is up is waited for and counted in the latency, not in requests/s; a
 * request that then has no answer after DRAIN_NS is an error, so that a connection that was lost is
 * seen. It hangs up by RST: no TIME_WAIT uses up the ports of the runs that follow.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"
#include "outside.h"
#include "question.h"

#define SECOND	    1000000000LL
#define FOREVER	    INT64_MAX
#define DRAIN_NS    (5 * SECOND)
#define SILENCE_MS  10000 /* a server that says nothing for so long is broken */
#define LOOK_MS	    10
#define CONNECTING  128 /* of each thread at once, below any server's backlog */
#define EVENTS	    256
#define SMALL	    16384 /* a message that a socket's buffer always has room for */

struct conn {
	int fd;		  /* -1: failed */
	uint32_t put;	  /* bytes of the request that were sent */
	uint32_t got;	  /* bytes of the answer that came */
	bool is_asking;	  /* a request is under way */
	int64_t asked;	  /* when it began */
	uint64_t head[2]; /* the connection's number, the request's: what the question is made of */
};

struct worker {
	pthread_t thread;
	int epoll;
	int conn_count;
	struct conn *conns;
	struct question question;
	char *answer; /* what came */
	int64_t left; /* requests that it may still begin */
	int64_t done; /* answers in the measured window */
	int64_t last; /* when the last of them came */
	int asking;
	int64_t errors;
	struct histogram latency;
};

static struct {
	int connections;
	int threads;
	uint32_t size;
	const char *redis; /* NULL: an echo server */
	uint32_t commands;
	uint32_t keys;
	bool has_size, has_commands; /* -s was told; -P or -k was */
	int64_t duration;
	int64_t requests; /* 0: as many as come in duration */
	int64_t warm_up;
	pid_t server;
	bool has_gate;
	struct sockaddr_storage address;
	socklen_t address_length;
} options = {
	.connections = 1, .threads = 1, .size = 64, .commands = 1, .keys = 100000,
	.duration = 2 * SECOND, .warm_up = SECOND / 4};

/*
 * What is measured: the main thread sets each when it has read the CPU clocks, so that requests and
 * CPU time are of the same window even if it had to wait for a CPU. FOREVER: not yet.
 */
static _Atomic int64_t window_start = FOREVER, window_end = FOREVER;
static pthread_barrier_t barrier;

static int64_t now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* --- one connection --- */

static void conn_fail(struct worker *w, struct conn *c, const char *what, int error)
{
	if (w->errors++ == 0)
		fprintf(stderr, "load: connection %" PRIu64 ": %s%s%s\n", c->head[0], what,
			error ? ": " : "", error ? strerror(error) : "");
	w->asking -= c->is_asking;
	c->is_asking = false;
	close(c->fd);
	c->fd = -1;
}

/* Sends what is left of the request; not connected yet is one more reason to wait for EPOLLOUT. */
static bool conn_send(struct worker *w, struct conn *c)
{
	question_put(&w->question, c->head);
	while (c->put < w->question.size) {
		ssize_t n = send(c->fd, w->question.text + c->put, w->question.size - c->put,
				 MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n < 0) {
			conn_fail(w, c, "send", errno);
			return false;
		}
		c->put += (uint32_t)n;
	}
	return true;
}

static void conn_ask(struct worker *w, struct conn *c, int64_t time)
{
	c->put = c->got = 0;
	c->head[1]++;
	c->asked = time;
	c->is_asking = true;
	w->asking++;
	conn_send(w, c);
}

/* True when the answer is complete. A short one is followed by another edge. */
static bool conn_receive(struct worker *w, struct conn *c)
{
	ssize_t n = recv(c->fd, w->answer, w->question.answer_size - c->got, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		conn_fail(w, c, n == 0 ? "the server hung up" : "recv", n == 0 ? 0 : errno);
		return false;
	}
	if (w->question.commands == 0)
		question_put(&w->question, c->head);
	if (memcmp(w->answer, w->question.answer + c->got, (size_t)n) != 0) {
		conn_fail(w, c, "the answer is not the one that must come", 0);
		return false;
	}
	c->got += (uint32_t)n;
	return c->got == w->question.answer_size;
}

/* What an event brought; true when it was the whole answer, after which nothing is under way. */
static bool conn_event(struct worker *w, struct conn *c)
{
	if (c->fd < 0)
		return false;
	if (!c->is_asking) {
		/* An edge may be told again after what it told of was read. */
		if (recv(c->fd, w->answer, 1, 0) >= 0 || errno != EAGAIN)
			conn_fail(w, c, "the server said more than it was asked, or hung up", 0);
		return false;
	}
	if (c->put < w->question.size && !conn_send(w, c))
		return false;
	if (c->put == 0 || !conn_receive(w, c))
		return false;
	c->is_asking = false;
	w->asking--;
	return true;
}

/* --- one thread --- */

static void conn_open(struct worker *w, struct conn *c)
{
	int one = 1;
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};

	c->fd = socket(options.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		fail("socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	if (connect(c->fd, (struct sockaddr *)&options.address, options.address_length) != 0 &&
	    errno != EINPROGRESS) {
		conn_fail(w, c, "connect", errno);
		return;
	}
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
		fail("epoll_ctl");
	conn_ask(w, c, now());
}

/* Once connected, a small message never waits for room, so there is no need to hear of room. */
static void conn_connected(struct worker *w, struct conn *c)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = c};

	if (w->question.size <= SMALL && epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
		fail("epoll_ctl");
}

/* Opens all and has one answer on each, so that the server has accepted and served every one. */
static void worker_connect(struct worker *w)
{
	struct epoll_event events[EVENTS];
	int opened = 0;

	while (opened < w->conn_count || w->asking > 0) {
		while (opened < w->conn_count && w->asking < CONNECTING)
			conn_open(w, &w->conns[opened++]);
		int n = w->asking > 0 ? epoll_wait(w->epoll, events, EVENTS, SILENCE_MS) : 0;
		if (n == 0 && w->asking > 0) {
			fprintf(stderr, "load: connecting: no answer in %d s\n", SILENCE_MS / 1000);
			exit(1);
		}
		for (int i = 0; i < n; i++)
			if (conn_event(w, events[i].data.ptr))
				conn_connected(w, events[i].data.ptr);
	}
}

static void worker_answered(struct worker *w, struct conn *c, int64_t time)
{
	int64_t start = atomic_load_explicit(&window_start, memory_order_relaxed);
	int64_t end = atomic_load_explicit(&window_end, memory_order_relaxed);

	if (c->asked >= start)
		histogram_add(&w->latency, (uint64_t)(time - c->asked));
	if (time >= start && time < end) {
		w->done++;
		w->last = time;
	}
	if (time < end && w->left > 0) {
		w->left--;
		conn_ask(w, c, time);
	}
}

/* In ms; an end that is not set yet is looked for now and then. */
static int worker_patience(int64_t time)
{
	int64_t end = atomic_load_explicit(&window_end, memory_order_relaxed);

	if (options.requests > 0)
		return SILENCE_MS;
	if (end == FOREVER)
		return LOOK_MS;
	return end + DRAIN_NS > time ? (int)((end + DRAIN_NS - time) / 1000000 + 1) : 0;
}

static void worker_measure(struct worker *w)
{
	struct epoll_event events[EVENTS];

	for (int i = 0; i < w->conn_count && w->left > 0; i++) {
		if (w->conns[i].fd < 0)
			continue;
		w->left--;
		conn_ask(w, &w->conns[i], now());
	}
	while (w->asking > 0) {
		int patience = worker_patience(now());
		int n = epoll_wait(w->epoll, events, EVENTS, patience);
		if (n == 0 && patience != LOOK_MS)
			break;
		for (int i = 0; i < n; i++)
			if (conn_event(w, events[i].data.ptr))
				worker_answered(w, events[i].data.ptr, now());
	}
	if (w->asking > 0) {
		fprintf(stderr, "load: %d requests were never answered\n", w->asking);
		w->errors += w->asking;
	}
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	worker_connect(w);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	worker_measure(w);
	return NULL;
}

static bool worker_init_question(struct question *q)
{
	if (options.redis == NULL)
		return question_init_echo(q, options.size);
	return question_init_redis(q, options.redis[0] == 's', options.commands, options.keys);
}

static void worker_init(struct worker *w, int first, int count, int64_t requests)
{
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->conn_count = count;
	w->conns = calloc((size_t)count, sizeof(*w->conns));
	if (worker_init_question(&w->question))
		w->answer = malloc(w->question.answer_size);
	if (w->epoll < 0 || w->conns == NULL || w->answer == NULL)
		fail("no room for a thread");
	for (int i = 0; i < count; i++)
		w->conns[i].head[0] = (uint64_t)(first + i);
	w->left = options.requests > 0 ? requests : FOREVER;
}

/* --- all together --- */

static void wait_until(int64_t time)
{
	struct timespec ts = {time / SECOND, time % SECOND};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static void wait_for_line(void)
{
	int c;

	while ((c = getchar()) != EOF && c != '\n')
		;
}

struct result {
	uint32_t bytes; /* of a question */
	int64_t requests, errors, elapsed;
	struct cpu cpu;	      /* in the measured window */
	struct memory memory; /* per connection */
};

static struct memory growth(struct memory before, struct memory after)
{
	return (struct memory){(after.rss - before.rss) / options.connections,
			       (after.pss - before.pss) / options.connections,
			       (after.pte - before.pte) / options.connections};
}

static void report(const struct result *r, const struct histogram *latency)
{
	double elapsed = (double)(r->elapsed > 0 ? r->elapsed : 1);

	printf("connections=%d bytes=%" PRIu32 " requests=%" PRId64 " requests/s=%.0f",
	       options.connections, r->bytes, r->requests, (double)r->requests * 1e9 / elapsed);
	printf(" p50-us=%.1f p99-us=%.1f p99.9-us=%.1f max-us=%.1f",
	       (double)histogram_at(latency, 0.5) / 1e3, (double)histogram_at(latency, 0.99) / 1e3,
	       (double)histogram_at(latency, 0.999) / 1e3, (double)latency->max / 1e3);
	printf(" errors=%" PRId64 " load-cpu=%.2f others-cpu=%.2f", r->errors,
	       (double)r->cpu.load / elapsed,
	       (double)(r->cpu.all - r->cpu.load - r->cpu.server) / elapsed);
	if (options.server != 0)
		printf(" cpu-s/M=%.2f rss-B/conn=%" PRId64 " pss-B/conn=%" PRId64
		       " pte-B/conn=%" PRId64,
		       (double)r->cpu.server / 1e3 / (double)(r->requests > 0 ? r->requests : 1),
		       r->memory.rss, r->memory.pss, r->memory.pte);
	printf("\n");
	fflush(stdout);
}

static void join_all(struct worker *workers)
{
	for (int i = 0; i < options.threads; i++)
		pthread_join(workers[i].thread, NULL);
}

/* After the warm-up, as many answers as come in the duration. */
static void watch_duration(struct worker *workers, struct result *r)
{
	int64_t start, end;

	pthread_barrier_wait(&barrier);
	wait_until(now() + options.warm_up);
	struct cpu before = cpu_of(options.server);
	atomic_store(&window_start, start = now());
	wait_until(start + options.duration);
	r->cpu = cpu_since(before, options.server);
	atomic_store(&window_end, end = now());
	r->elapsed = end - start;
	join_all(workers);
}

/* From the first of so many requests to the answer to the last. */
static void watch_requests(struct worker *workers, struct result *r)
{
	struct cpu before = cpu_of(options.server);
	int64_t start = now();

	atomic_store(&window_start, start);
	pthread_barrier_wait(&barrier);
	join_all(workers);
	r->cpu = cpu_since(before, options.server);
	for (int i = 0; i < options.threads; i++)
		if (workers[i].last - start > r->elapsed)
			r->elapsed = workers[i].last - start;
}

static int64_t share_of(int64_t whole, int part)
{
	return whole * (part + 1) / options.threads - whole * part / options.threads;
}

static int run(void)
{
	struct worker *workers = calloc((size_t)options.threads, sizeof(*workers));
	struct histogram *latency = calloc(1, sizeof(*latency));
	struct result r = {0};
	struct memory before = memory_of(options.server);

	if (workers == NULL || latency == NULL)
		fail("no room");
	pthread_barrier_init(&barrier, NULL, (unsigned)options.threads + 1);
	for (int i = 0, first = 0; i < options.threads; i++) {
		int count = (int)share_of(options.connections, i);
		worker_init(&workers[i], first, count, share_of(options.requests, i));
		first += count;
		errno = pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]);
		if (errno != 0)
			fail("pthread_create");
	}
	pthread_barrier_wait(&barrier);
	/* The server may be on its way back to rest. */
	wait_until(now() + SECOND / 10);
	r.memory = growth(before, memory_of(options.server));
	if (options.has_gate) {
		printf("connected\n");
		fflush(stdout);
		wait_for_line();
	}
	if (options.requests > 0)
		watch_requests(workers, &r);
	else
		watch_duration(workers, &r);
	for (int i = 0; i < options.threads; i++) {
		r.bytes = workers[i].question.size;
		r.requests += workers[i].done * (options.redis ? options.commands : 1);
		r.errors += workers[i].errors;
		histogram_merge(latency, &workers[i].latency);
	}
	report(&r, latency);
	if (options.has_gate)
		wait_for_line();
	return r.errors > 0 || r.requests == 0;
}

/* --- the command line --- */

static void usage(void)
{
	fprintf(stderr,
		"usage: load [-c CONNECTIONS] [-t THREADS] [-s BYTES | -r set|get [-P COMMANDS] "
		"[-k KEYS]]\n            [-d SECONDS | -n REQUESTS] [-w WARM-UP] [-p PID] [-g] "
		"HOST:PORT\n");
	exit(2);
}

static double number(const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= least && value <= most))
		usage();
	return value;
}

static void parse_address(const char *text)
{
	char host[128];
	const char *colon = strrchr(text, ':');
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found;

	if (colon == NULL)
		usage();
	bool is_bracketed = text[0] == '[' && colon > text && colon[-1] == ']';
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text) - 2 * is_bracketed,
		 text + is_bracketed);
	int error = getaddrinfo(host, colon + 1, &hints, &found);
	if (error != 0) {
		fprintf(stderr, "load: %s: %s\n", text, gai_strerror(error));
		exit(2);
	}
	memcpy(&options.address, found->ai_addr, found->ai_addrlen);
	options.address_length = found->ai_addrlen;
	freeaddrinfo(found);
}

static void parse(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:t:s:r:P:k:d:n:w:p:g")) != -1) {
		switch (option) {
		case 'c':
			options.connections = (int)number(optarg, 1, 1000000);
			break;
		case 't':
			options.threads = (int)number(optarg, 1, 1024);
			break;
		case 's':
			options.size = (uint32_t)number(optarg, 1, 1 << 24);
			options.has_size = true;
			break;
		case 'r':
			options.redis = optarg;
			if (strcmp(optarg, "set") != 0 && strcmp(optarg, "get") != 0)
				usage();
			break;
		case 'P':
			options.commands = (uint32_t)number(optarg, 1, 1 << 16);
			options.has_commands = true;
			break;
		case 'k':
			options.keys = (uint32_t)number(optarg, 1, 1e9);
			options.has_commands = true;
			break;
		case 'd':
			options.duration = (int64_t)(number(optarg, 0.001, 1e6) * 1e9);
			break;
		case 'n':
			options.requests = (int64_t)number(optarg, 1, 1e15);
			break;
		case 'w':
			options.warm_up = (int64_t)(number(optarg, 0, 1e6) * 1e9);
			break;
		case 'p':
			options.server = (pid_t)number(optarg, 1, INT32_MAX);
			break;
		case 'g':
			options.has_gate = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1 || (options.redis ? options.has_size : options.has_commands))
		usage();
	parse_address(argv[optind]);
	if (options.threads > options.connections)
		options.threads = options.connections;
}

/* Beyond the hard limit only where the capability is there, up to fs.nr_open. */
static void raise_limit(void)
{
	rlim_t need = (rlim_t)options.connections + 64;
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= need)
		return;
	limit.rlim_cur = need;
	if (limit.rlim_max < need)
		limit.rlim_max = need;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		fail("not enough descriptors for so many connections");
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	raise_limit();
	return run();
}
