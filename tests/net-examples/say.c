/*
 * say.c - a client that says what it is told to, in the pieces that it is told to.
 *
 *   usage: say [-p PIECE] [-w MS] [-k] [-l RATE] [-n CONNECTIONS] [-t SECONDS] PORT
 *              <what-to-say >the-answer
 *
 *     -p    send so many bytes at a time, 65536 if not told; -w: and wait so long after each
 *     -k    keep the sending direction open
 *     -l    listen to so many bytes a second at most
 *     -n    so many connections besides, which say nothing
 *     -t    how long to wait for the other side to end it, 10 s if not told
 *
 * Ends with status 0 when the other side has ended the connection (or reset it: then it says
 * "reset" on standard error), with 1 when the time is over. What cannot be sent any more is
 * dropped, and "not heard" said, once, also where it is for a reset, which then is not told of
 * again: what the other side had sent before is listened to.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INPUT_MAX = 64 << 20 };

static size_t piece = 65536;
static int pause_ms, connections, seconds = 10;
static bool is_kept;
static char *input;
static size_t input_size, sent;
static int64_t next_ms, rate, heard, start_ms, hear_ms;

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int dial(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0), small = 65536;
	if (rate > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) < 0)
		err(1, "setsockopt");
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		err(1, "port %d", port);
	return fd;
}

static void read_input(void)
{
	ssize_t n;
	input = malloc(INPUT_MAX);
	if (!input)
		err(1, "malloc");
	while ((n = read(0, input + input_size, INPUT_MAX - input_size)) > 0)
		input_size += (size_t)n;
}

/* The next piece. That the other side does not want to hear it is not our error. */
static void say(int fd)
{
	size_t size = input_size - sent < piece ? input_size - sent : piece;
	ssize_t n = send(fd, input + sent, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN) {
		sent = input_size;
		fprintf(stderr, "not heard\n");
	}
	if (n > 0)
		sent += (size_t)n;
	next_ms = now_ms() + pause_ms;
	if (sent == input_size && !is_kept)
		shutdown(fd, SHUT_WR);
}

/* False: the other side has ended it. */
static bool hear(int fd)
{
	static char data[65536];
	ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
	if (n > 0 && write(1, data, (size_t)n) != n)
		err(1, "write");
	heard += n > 0 ? n : 0;
	if (rate > 0)
		hear_ms = start_ms + heard * 1000 / rate;
	if (n < 0 && errno == ECONNRESET)
		fprintf(stderr, "reset\n");
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void talk(int fd)
{
	start_ms = now_ms();
	int64_t end_ms = start_ms + seconds * 1000;
	bool is_open = true;

	while (is_open) {
		int64_t now = now_ms(), until = end_ms;
		bool is_saying = sent < input_size;
		if (now >= end_ms)
			errx(1, "the connection is still open");
		if (is_saying && next_ms > now)
			until = next_ms < end_ms ? next_ms : end_ms;
		if (hear_ms > now)
			until = hear_ms < until ? hear_ms : until;
		struct pollfd p = {fd, hear_ms > now ? 0 : POLLIN, 0};
		if (is_saying && next_ms <= now)
			p.events |= POLLOUT;
		if (!p.events) /* nor an end, which poll() would tell of again and again */
			p.fd = -1;
		if (poll(&p, 1, (int)(until - now)) < 0)
			err(1, "poll");
		if (p.revents & POLLOUT)
			say(fd);
		if (hear_ms <= now && p.revents & (POLLIN | POLLHUP | POLLERR))
			is_open = hear(fd);
	}
}

int main(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "p:w:kl:n:t:")) != -1;) {
		switch (option) {
		case 'p':
			piece = (size_t)atol(optarg);
			break;
		case 'w':
			pause_ms = atoi(optarg);
			break;
		case 'k':
			is_kept = true;
			break;
		case 'l':
			rate = atol(optarg);
			break;
		case 'n':
			connections = atoi(optarg);
			break;
		case 't':
			seconds = atoi(optarg);
			break;
		default:
			optind = argc;
		}
	}
	if (argc - optind != 1)
		errx(2, "usage: say [-p PIECE] [-w MS] [-k] [-l RATE] [-n CONNECTIONS] "
			"[-t SECONDS] PORT");
	read_input();
	int port = atoi(argv[optind]);
	for (int i = 0; i < connections; i++)
		dial(port);
	int fd = dial(port);
	if (input_size == 0 && !is_kept)
		shutdown(fd, SHUT_WR);
	talk(fd);
	return 0;
}
