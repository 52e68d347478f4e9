/*
 * proxy.c - a TCP proxy: each connection that it takes is joined to one that it makes.
 *
 *   usage: proxy [-c CONNECTIONS] [-i IDLE] [-d DIAL] ADDRESS TARGET
 *
 *     -c    how many at a time, 1000 if not told, or as many as there are descriptors for: six
 *           each; more wait in the kernel's queue
 *     -i    seconds after which a pair that moves no byte is closed, 300 if not told
 *     -d    seconds that the target has to take a connection, 5 if not told
 *     ADDRESS "127.0.0.1:5433", port 0 takes any free one; TARGET "127.0.0.1:5432"
 *
 *   cc -std=gnu11 -Iinclude examples/proxy.c build/libgoro.a -pthread
 *
 *   client -> socket -> pipe -> socket -> target     a goroutine for each direction; the bytes
 *          <- socket <- pipe <- socket <-            stay in the kernel: splice(2)
 *
 * Prints "listening on 127.0.0.1:5433". The end of one direction is passed on, and the other goes
 * on (half-close); an error of either ends both, and a reset of one side resets the other, which
 * must not take what it has for the whole. SIGTERM, or SIGINT: no more connections are taken,
 * those that are there have five seconds to end; a second one ends the program at once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "goro.h"

enum {
	CHUNK = 65536,	/* what a pipe holds */
	PAIR_FILES = 6, /* two sockets, two pipes */
	OTHER_FILES = 16,
};

static const char *target;
static int64_t max_connections = 1000, idle = GORO_SEC(300), dial = GORO_SEC(5);
static goro_sem slots; /* of connections */

struct pair {
	_Atomic int64_t moved_at; /* when a byte last went through, either way */
	_Atomic bool is_over;     /* set before the deadlines that tell of it */
	_Atomic bool was_reset;   /* by one of the sides */
	_Atomic bool has_ended;   /* one direction, and its end was passed on */
	goro_waitgroup both;
};

struct direction {
	struct pair *pair;
	int from, to;
};

/*
 * The deadline of a read or a write (set is how it is set) is past: not so the pair's, which may
 * have moved since, either way.
 */
static bool goes_on(struct pair *pair, int fd, int (*set)(int fd, int64_t deadline))
{
	int64_t limit = pair->moved_at + idle;
	return goro_now() < limit && set(fd, limit) == 0 && !pair->is_over;
}

/* Up to a pipe's size from the socket into the pipe; 0 at the end, or what went wrong. */
static ssize_t fill(struct direction *d, int pipe_in)
{
	for (;;) {
		ssize_t n = goro_splice(d->from, NULL, pipe_in, NULL, CHUNK, SPLICE_F_MOVE);
		if (n != -ETIMEDOUT || !goes_on(d->pair, d->from, goro_set_read_deadline))
			return n;
	}
}

/* Some of the pipe into the other socket. */
static ssize_t drain_some(struct direction *d, int pipe_out, ssize_t size)
{
	for (;;) {
		ssize_t n = goro_splice(pipe_out, NULL, d->to, NULL, (size_t)size, SPLICE_F_MOVE);
		if (n != -ETIMEDOUT || !goes_on(d->pair, d->to, goro_set_write_deadline))
			return n;
	}
}

/* All that is in the pipe into the other socket; 0, or what went wrong. */
static ssize_t drain(struct direction *d, int pipe_out, ssize_t size)
{
	while (size > 0) {
		int error = goro_set_write_deadline(d->to, goro_now() + idle);
		if (!error && d->pair->is_over)
			error = -ECANCELED;
		ssize_t n = error ? error : drain_some(d, pipe_out, size);
		if (n <= 0)
			return n < 0 ? n : -EPIPE;
		size -= n;
		d->pair->moved_at = goro_now();
	}
	return 0;
}

/* One direction, to its end. */
static ssize_t copy(struct direction *d, const int ends[2])
{
	ssize_t n = 1;
	while (n > 0) {
		n = fill(d, ends[1]);
		ssize_t error = n > 0 ? drain(d, ends[0], n) : 0;
		if (error)
			return error;
	}
	return n;
}

/* Is it for want of descriptors? Others end some time: then it was a moment ago. */
static bool is_worth_waiting(ssize_t error, int64_t deadline)
{
	if ((error != -EMFILE && error != -ENFILE) || goro_now() >= deadline)
		return false;
	goro_sleep(GORO_MS(100));
	return true;
}

/*
 * Of a reset the kernel tells the first that asks, which may be the other direction's write; who
 * reads then sees an end. But this socket is shut down for writing, too, and not by us.
 */
static bool is_true_end(struct pair *pair, int from)
{
	struct pollfd look = {.fd = from};

	return poll(&look, 1, 0) <= 0 || !(look.revents & POLLHUP) || pair->has_ended;
}

static void carry(struct pair *pair, int from, int to)
{
	struct direction d = {pair, from, to};
	int64_t deadline = goro_now() + dial;
	ssize_t error;
	int ends[2];

	do
		error = pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
	while (is_worth_waiting(error, deadline));
	if (error) {
		warnx("pipe: %s", strerror((int)-error));
	} else {
		error = copy(&d, ends);
		close(ends[0]);
		close(ends[1]);
	}
	if (!error && !is_true_end(pair, from))
		error = -ECONNRESET;
	/* The end is passed on. An error ends the other direction too, which may wait for ever. */
	if (!error) {
		pair->has_ended = true;
		shutdown(to, SHUT_WR);
	} else {
		if (error == -ECONNRESET) /* -EPIPE: after a side has ended what it says */
			pair->was_reset = true;
		pair->is_over = true;
		goro_set_deadline(from, GORO_POLL);
		goro_set_deadline(to, GORO_POLL);
	}
	goro_waitgroup_done(&pair->both);
}

/* With a reset, if it is for that. */
static void hang_up(int fd, bool is_reset)
{
	if (is_reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
			   sizeof(struct linger));
	goro_close(fd);
}

/* Of names, strerror() would speak as of files. */
static const char *text_of(int error)
{
	switch (error) {
	case -ENOENT: return "no such host or service";
	case -EAGAIN: return "the name servers do not answer";
	case -EIO: return "the name servers fail";
	default: return strerror(-error);
	}
}

static void serve(int client)
{
	int64_t deadline = goro_now() + dial;
	bool was_reset = false;
	int fd;

	do
		fd = goro_dial("tcp", target, deadline);
	while (is_worth_waiting(fd, deadline));
	if (fd < 0) {
		warnx("%s: %s", target, text_of(fd));
	} else {
		struct pair pair = {.moved_at = goro_now()};
		goro_waitgroup_add(&pair.both, 2);
		goro_set_read_deadline(client, pair.moved_at + idle);
		goro_set_read_deadline(fd, pair.moved_at + idle);
		go(carry, &pair, fd, client);
		carry(&pair, client, fd);
		goro_waitgroup_wait(&pair.both);
		was_reset = pair.was_reset;
		hang_up(fd, was_reset);
	}
	hang_up(client, was_reset);
	goro_sem_release(&slots, 1);
}

/* Takes connections, as many at a time as there are slots, until the listener's deadline. */
static void take(int listener)
{
	int fd;

	do {
		goro_sem_acquire(&slots, 1);
		fd = goro_accept(listener, NULL, NULL);
		if (fd >= 0) {
			go(serve, fd);
			continue;
		}
		goro_sem_release(&slots, 1);
		if (fd != -ETIMEDOUT) { /* out of descriptors or memory: others end some time */
			warnx("accept: %s", strerror(-fd));
			goro_sleep(GORO_MS(100));
		}
	} while (fd != -ETIMEDOUT);
	goro_close(listener);
}

static int64_t number(const char *text, int64_t most)
{
	char *end;
	long long n = strtoll(text, &end, 10);
	if (*end != '\0' || n < 1 || n > most)
		errx(2, "%s: not a number from 1 to %lld", text, (long long)most);
	return n;
}

static void options(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "c:i:d:")) != -1;) {
		switch (option) {
		case 'c':
			max_connections = number(optarg, 1000000);
			break;
		case 'i':
			idle = GORO_SEC(number(optarg, 1000000));
			break;
		case 'd':
			dial = GORO_SEC(number(optarg, 1000000));
			break;
		default:
			optind = argc;
		}
	}
	if (argc - optind != 2)
		errx(2, "usage: proxy [-c CONNECTIONS] [-i IDLE] [-d DIAL] ADDRESS TARGET");
}

/*
 * Were more taken than there are descriptors for, those that wait for the others' would all wait.
 */
static void connections_limit(void)
{
	rlim_t wanted = OTHER_FILES + PAIR_FILES * (rlim_t)max_connections;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		err(1, "getrlimit");
	if (files.rlim_cur < wanted) {
		files.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0)
			err(1, "setrlimit");
	}
	if (files.rlim_cur >= wanted)
		return;
	max_connections = files.rlim_cur < OTHER_FILES + PAIR_FILES
				  ? 1
				  : (int64_t)((files.rlim_cur - OTHER_FILES) / PAIR_FILES);
	warnx("%lld connections at a time: there are %llu descriptors", (long long)max_connections,
	      (unsigned long long)files.rlim_cur);
}

static int listen_at(const char *address)
{
	int listener = goro_listen("tcp4", address);
	struct sockaddr_in at;
	socklen_t size = sizeof(at);

	if (listener < 0)
		errx(2, "%s: %s", address, text_of(listener));
	if (getsockname(listener, (struct sockaddr *)&at, &size) < 0)
		err(1, "getsockname");
	printf("listening on %s:%d\n", inet_ntoa(at.sin_addr), ntohs(at.sin_port));
	fflush(stdout);
	return listener;
}

int goro_main(int argc, char **argv)
{
	options(argc, argv);
	target = argv[optind + 1];
	connections_limit();
	goro_sem_init(&slots, max_connections);
	goro_chan *signals = goro_chan_of(int, 1);
	if (!signals || goro_signal_notify(signals, SIGTERM) < 0 ||
	    goro_signal_notify(signals, SIGINT) < 0)
		errx(1, "no memory");
	int listener = listen_at(argv[optind]), signo;
	go(take, listener);

	goro_chan_recv(signals, &signo);
	goro_set_deadline(listener, GORO_POLL);
	goro_signal_stop(signals, SIGTERM);
	goro_signal_stop(signals, SIGINT);
	goro_chan_unref(signals);
	/* All slots are free when no connection is left. */
	if (goro_sem_acquire_until(&slots, max_connections, goro_now() + GORO_SEC(5)) < 0)
		warnx("connections are left");
	return 0;
}
