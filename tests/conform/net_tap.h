/*
 * net_tap.h - what the tests of descriptors share: pairs of all kinds, and who waits on them.
 *
 *   pair_of(TCP) -> two descriptors that the poller knows, of which `b` writes what `a` reads
 *
 * Everything stays on 127.0.0.1 and in this process.
 */
#ifndef GORO_TESTS_NET_TAP_H
#define GORO_TESTS_NET_TAP_H

#include "goro_tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>

#define PAIR_KINDS(X)                                                                        \
	X(TCP) X(UNIX_STREAM) X(PIPE) X(PTY) X(UDP) X(UNIX_DGRAM) X(SEQPACKET)
enum pair_kind {
#define PAIR_ENUM(name) name,
	PAIR_KINDS(PAIR_ENUM)
#undef PAIR_ENUM
	N_PAIR_KINDS
};
static const char *const pair_names[] = {
#define PAIR_NAME(name) #name,
	PAIR_KINDS(PAIR_NAME)
#undef PAIR_NAME
};

struct pair {
	int a, b; /* a reads what b writes; but for a pipe also the other way round */
};

TAP_UNUSED static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

TAP_UNUSED static int port_of(int fd)
{
	struct sockaddr_in at;
	socklen_t size = sizeof(at);
	require_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	return ntohs(at.sin_port);
}

/* Not known to the poller yet. */
TAP_UNUSED static int bound_socket(int type)
{
	struct sockaddr_in at = loopback(0);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	require(fd >= 0);
	require_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

TAP_UNUSED static int listener(int backlog)
{
	int fd = bound_socket(SOCK_STREAM);
	require_eq(listen(fd, backlog), 0);
	require_eq(goro_fd_add(fd), 0);
	return fd;
}

/* A connection, blocking and not known. */
TAP_UNUSED static int plain_connect(int port)
{
	struct sockaddr_in to = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	require(fd >= 0);
	require_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	require_eq(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	return fd;
}

TAP_UNUSED static struct pair pair_tcp(void)
{
	int l = bound_socket(SOCK_STREAM), on = 1;
	require_eq(listen(l, 1), 0);
	struct pair p = {.b = plain_connect(port_of(l))};
	p.a = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	require(p.a >= 0);
	require_eq(setsockopt(p.a, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	close(l);
	return p;
}

TAP_UNUSED static struct pair pair_udp(void)
{
	struct pair p = {bound_socket(SOCK_DGRAM), bound_socket(SOCK_DGRAM)};
	struct sockaddr_in a = loopback(port_of(p.a)), b = loopback(port_of(p.b));
	require_eq(connect(p.a, (struct sockaddr *)&b, sizeof(b)), 0);
	require_eq(connect(p.b, (struct sockaddr *)&a, sizeof(a)), 0);
	return p;
}

TAP_UNUSED static struct pair pair_pty(void)
{
	struct termios raw;
	struct pair p = {.a = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
	require(p.a >= 0);
	require_eq(grantpt(p.a), 0);
	require_eq(unlockpt(p.a), 0);
	p.b = open(ptsname(p.a), O_RDWR | O_NOCTTY | O_CLOEXEC);
	require(p.b >= 0);
	require_eq(tcgetattr(p.b, &raw), 0);
	cfmakeraw(&raw);
	require_eq(tcsetattr(p.b, TCSANOW, &raw), 0);
	return p;
}

/* As another library would make them: blocking, unknown to the poller. */
TAP_UNUSED static struct pair plain_pair_of(enum pair_kind kind)
{
	static const int types[] = {[UNIX_STREAM] = SOCK_STREAM,
				    [UNIX_DGRAM] = SOCK_DGRAM,
				    [SEQPACKET] = SOCK_SEQPACKET};
	int fd[2];
	switch (kind) {
	case TCP:
		return pair_tcp();
	case UDP:
		return pair_udp();
	case PTY:
		return pair_pty();
	case PIPE:
		require_eq(pipe2(fd, O_CLOEXEC), 0);
		break;
	default:
		require_eq(socketpair(AF_UNIX, types[kind] | SOCK_CLOEXEC, 0, fd), 0);
	}
	return (struct pair){fd[0], fd[1]};
}

TAP_UNUSED static struct pair pair_of(enum pair_kind kind)
{
	struct pair p = plain_pair_of(kind);
	require_eq(goro_fd_add(p.a), 0);
	require_eq(goro_fd_add(p.b), 0);
	return p;
}

TAP_UNUSED static void pair_close(struct pair p)
{
	expect_eq(goro_close(p.a), 0);
	expect_eq(goro_close(p.b), 0);
}

/* The peer of the descriptor gets a reset. */
TAP_UNUSED static void close_with_reset(int fd)
{
	struct linger at_once = {.l_onoff = 1};
	require_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	expect_eq(goro_close(fd), 0);
}

/* Until nothing more goes in, for a while: TCP makes room later. */
TAP_UNUSED static size_t fill(int fd)
{
	static char data[65536];
	size_t n_filled = 0, n_before = 1;
	int flags = fcntl(fd, F_GETFL);
	require_eq(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
	while (n_filled != n_before) {
		n_before = n_filled;
		for (ssize_t n;
		     (n = write(fd, data, sizeof(data))) > 0 || (n = write(fd, data, 1)) > 0;)
			n_filled += (size_t)n;
		require_eq(errno, EAGAIN);
		tap_pause(2000000);
	}
	require_eq(fcntl(fd, F_SETFL, flags), 0);
	return n_filled;
}

/*
 * ThreadSanitizer takes a close that meets another call on the number for a mistake, which in a
 * program it would be; what the library makes of it is what some tests are about.
 */
TAP_UNUSED static void skip_where_closing_is_a_race(void)
{
#ifdef __SANITIZE_THREAD__
	tap_skip("ThreadSanitizer: a close that meets other calls");
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
	tap_skip("ThreadSanitizer: a close that meets other calls");
#endif
#endif
}

/* ---- somebody who is in a call ---- */

struct caller {
	ssize_t (*call)(struct caller *);
	int fd;
	char data[64];
	size_t size;
	int64_t deadline;
	/* What came of it. */
	ssize_t result;
	int64_t ended_at;
	uint64_t id;
	pid_t tid;
	bool is_over;
};

TAP_UNUSED static ssize_t call_read(struct caller *c)
{
	return goro_read(c->fd, c->data, c->size ? c->size : sizeof(c->data));
}

TAP_UNUSED static ssize_t call_write_much(struct caller *c)
{
	static char much[4 << 20];
	return goro_write_all(c->fd, much, sizeof(much));
}

TAP_UNUSED static ssize_t call_wait_in(struct caller *c)
{
	return goro_fd_wait(c->fd, POLLIN, c->deadline ? c->deadline : GORO_FOREVER);
}

TAP_UNUSED static ssize_t call_wait_out(struct caller *c)
{
	return goro_fd_wait(c->fd, POLLOUT, c->deadline ? c->deadline : GORO_FOREVER);
}

TAP_UNUSED static ssize_t call_wait_any(struct caller *c)
{
	return goro_fd_wait(c->fd, POLLIN | POLLOUT, c->deadline ? c->deadline : GORO_FOREVER);
}

TAP_UNUSED static ssize_t call_accept(struct caller *c)
{
	return goro_accept(c->fd, NULL, NULL);
}

TAP_UNUSED static void call_it(void *arg)
{
	struct caller *c = arg;
	store(&c->tid, thread_id());
	store(&c->id, goro_id());
	c->result = c->call(c);
	c->ended_at = tap_now();
	store(&c->is_over, true);
}

/* What TCP still took in before the end counts; then comes the error. */
#define expect_cut(n, error) expect((n) == (error) || ((n) > 0 && (n) < 4 << 20))

/* In a goroutine, which is parked when this returns. */
TAP_UNUSED static void caller_start(struct caller *c, ssize_t (*call)(struct caller *), int fd)
{
	*c = (struct caller){.call = call, .fd = fd, .size = c->size, .deadline = c->deadline};
	require_eq(goro_spawn(call_it, c), 0);
	wait_for(load(&c->id) != 0);
	wait_until_parked(load(&c->id), "IO wait");
}

TAP_UNUSED static ssize_t caller_result(struct caller *c)
{
	wait_for(load(&c->is_over));
	return c->result;
}

TAP_UNUSED static void *call_it_in_thread(void *arg)
{
	call_it(arg);
	return NULL;
}

/* In a plain thread, which sleeps in the kernel when this returns. */
TAP_UNUSED static pthread_t caller_start_thread(struct caller *c,
						ssize_t (*call)(struct caller *), int fd)
{
	pthread_t thread;
	*c = (struct caller){.call = call, .fd = fd, .size = c->size, .deadline = c->deadline};
	require_eq(pthread_create(&thread, NULL, call_it_in_thread, c), 0);
	wait_for(load(&c->tid) != 0 && is_thread_asleep(load(&c->tid)));
	return thread;
}

#endif
