/*
 * epoll_redis.c - answers SET and GET without keeping anything: how fast a client itself is.
 *
 *   epoll_redis PORT        on 127.0.0.1
 *
 * One thread with a raw epoll that it asks without waiting, so that no client ever pays for waking
 * it. It needs a CPU for itself: where others want that too, a server that sleeps is faster.
 *
 * A command of three words is answered as SET is, one of two as GET is. Keys and values must not
 * hold a '*'. A client that does not read what it asked for, or has ended, is hung up on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#define ANSWER_MAX  9
#define BACKLOG	    4096

static int epoll, listener;
static char questions[BUFFER_SIZE], answers[BUFFER_SIZE * ANSWER_MAX]; /* to each a '*' */
static bool *has_star; /* by descriptor: the last byte was one, and the number follows */

static void fail(const char *what)
{
	fprintf(stderr, "epoll_redis: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void listen_for(int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		fail("epoll_ctl");
}

static void accept_one(void)
{
	int one = 1;
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	if (fd < 0)
		fail("accept4");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	has_star[fd] = false;
	listen_for(fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
}

/* The answer to a command of so many words; its size. */
static size_t answer_to(char words, char *answer)
{
	const char *text = words == '3' ? "+OK\r\n" : "$3\r\nxxx\r\n";
	size_t size = strlen(text);

	memcpy(answer, text, size);
	return size;
}

/* To all commands that begin in what was read, or began with its end before; the size of all. */
static size_t answer_all(int fd, size_t size)
{
	size_t done = 0;
	const char *at = questions, *end = questions + size;

	if (has_star[fd])
		done += answer_to(*at++, answers);
	has_star[fd] = false;
	while ((at = memchr(at, '*', (size_t)(end - at))) != NULL && ++at < end)
		done += answer_to(*at++, answers + done);
	has_star[fd] = at == end;
	return done;
}

static void serve(int fd, uint32_t events)
{
	ssize_t n;

	do {
		n = recv(fd, questions, BUFFER_SIZE, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		ssize_t size = n > 0 ? (ssize_t)answer_all(fd, (size_t)n) : -1;
		if (size < 0 || send(fd, answers, (size_t)size, MSG_NOSIGNAL) != size) {
			close(fd);
			return;
		}
	} while (n == BUFFER_SIZE || events & EPOLLRDHUP);
}

static void open_listener(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0 ||
	    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, BACKLOG) != 0)
		fail("cannot listen");
	listen_for(listener, EPOLLIN);
}

int main(int argc, char **argv)
{
	char *end = NULL;
	long port = argc == 2 ? strtol(argv[1], &end, 10) : 0;
	struct epoll_event events[EVENTS];
	struct rlimit limit;

	if (end == NULL || *end != '\0' || port < 1 || port > UINT16_MAX) {
		fprintf(stderr, "usage: epoll_redis PORT\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		fail("getrlimit");
	has_star = calloc(limit.rlim_cur, sizeof(*has_star));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (has_star == NULL || epoll < 0)
		fail("cannot begin");
	open_listener((uint16_t)port);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, 0);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_one();
			else
				serve(events[i].data.fd, events[i].events);
		}
	}
}
