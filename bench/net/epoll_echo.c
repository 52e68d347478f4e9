/*
 * epoll_echo.c - an echo server of nothing but system calls: what goro's is measured against.
 *
 *   epoll_echo PORT        on 127.0.0.1
 *
 * A thread for each CPU that it may use, each with an epoll and connections of its own. The first
 * thread accepts, and deals the connections out in turn, so that no thread has more of them than
 * another.
 *
 * Edge triggered, registered once: no system call between the answer to a request and the next. A
 * read that did not fill the buffer has left nothing, and whatever comes after it is another edge,
 * so no call is made only to find that there is no more. What the peer does not take is kept, in
 * memory that only then is allocated, and nothing more is read until all of it is gone.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS	    512
#define BUFFER_SIZE 16384
#define BACKLOG	    4096

/* What one connection's peer did not take yet. */
struct pending {
	size_t length;
	size_t done;
	char bytes[];
};

struct server {
	int epoll;
	int listener; /* -1: another thread accepts */
	char buffer[BUFFER_SIZE];
};

static struct server *servers;
static int server_count;

/* By descriptor; each entry belongs to the thread that has the connection. */
static struct pending **pending_of;

static void fail(const char *what)
{
	fprintf(stderr, "epoll_echo: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void hang_up(int fd)
{
	free(pending_of[fd]);
	pending_of[fd] = NULL;
	close(fd);
}

static void listen_for(struct server *s, int fd, uint32_t events, int operation)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.fd = fd};

	if (epoll_ctl(s->epoll, operation, fd, &event) != 0)
		fail("epoll_ctl");
}

static void accept_all(struct server *s)
{
	static int next;
	int one = 1;

	for (;;) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			fail("accept4");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		listen_for(&servers[next++ % server_count], fd, EPOLLIN, EPOLL_CTL_ADD);
	}
}

/* The peer is slow: from here on only room in its socket matters. */
static void keep(struct server *s, int fd, const char *bytes, size_t length)
{
	struct pending *p = malloc(sizeof(*p) + length);

	if (p == NULL)
		fail("out of memory");
	p->length = length;
	p->done = 0;
	memcpy(p->bytes, bytes, length);
	pending_of[fd] = p;
	listen_for(s, fd, EPOLLOUT, EPOLL_CTL_MOD);
}

/* True when nothing is pending any more. */
static bool flush(struct server *s, int fd)
{
	struct pending *p = pending_of[fd];

	while (p->done < p->length) {
		ssize_t n = send(fd, p->bytes + p->done, p->length - p->done, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) {
			hang_up(fd);
			return false;
		}
		p->done += (size_t)n;
	}
	free(p);
	pending_of[fd] = NULL;
	/* If bytes have come in the meantime, this tells of them. */
	listen_for(s, fd, EPOLLIN, EPOLL_CTL_MOD);
	return true;
}

static void echo(struct server *s, int fd)
{
	if (pending_of[fd] != NULL) {
		flush(s, fd);
		return;
	}
	for (;;) {
		ssize_t n = recv(fd, s->buffer, BUFFER_SIZE, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			hang_up(fd);
			return;
		}
		ssize_t sent = send(fd, s->buffer, (size_t)n, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN) {
			hang_up(fd);
			return;
		}
		if (sent < n) {
			sent = sent < 0 ? 0 : sent;
			keep(s, fd, s->buffer + sent, (size_t)(n - sent));
			return;
		}
		if (n < BUFFER_SIZE)
			return;
	}
}

static void *serve(void *arg)
{
	struct server *s = arg;
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(s->epoll, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == s->listener)
				accept_all(s);
			else
				echo(s, events[i].data.fd);
		}
	}
	return NULL;
}

static int open_listener(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0)
		fail("cannot listen");
	return fd;
}

static size_t raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		fail("setrlimit");
	return limit.rlim_cur;
}

int main(int argc, char **argv)
{
	char *end = NULL;
	long port = argc == 2 ? strtol(argv[1], &end, 10) : 0;
	pthread_t thread;
	cpu_set_t cpus;

	if (end == NULL || *end != '\0' || port < 1 || port > UINT16_MAX) {
		fprintf(stderr, "usage: epoll_echo PORT\n");
		return 2;
	}
	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		fail("sched_getaffinity");
	server_count = CPU_COUNT(&cpus);
	servers = calloc((size_t)server_count, sizeof(*servers));
	pending_of = calloc(raise_limit(), sizeof(*pending_of));
	if (servers == NULL || pending_of == NULL)
		fail("out of memory");
	for (int i = 0; i < server_count; i++) {
		servers[i].listener = -1;
		servers[i].epoll = epoll_create1(EPOLL_CLOEXEC);
		if (servers[i].epoll < 0)
			fail("epoll_create1");
	}
	servers[0].listener = open_listener((uint16_t)port);
	listen_for(&servers[0], servers[0].listener, EPOLLIN, EPOLL_CTL_ADD);
	for (int i = 1; i < server_count; i++)
		if ((errno = pthread_create(&thread, NULL, serve, &servers[i])) != 0)
			fail("pthread_create");
	serve(&servers[0]);
	return 0;
}
