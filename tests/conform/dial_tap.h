/*
 * dial_tap.h - goro_tap.h, and what the tests of listening and dialling share.
 *
 *   descriptors are counted, addresses made that never answer, names that have several of them
 */
#ifndef GORO_TESTS_DIAL_TAP_H
#define GORO_TESTS_DIAL_TAP_H

#include "goro_tap.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Descriptors that exist, without the one that looks and what the poller has. */
TAP_UNUSED static int fd_count(void)
{
	int n = 0;
	char path[300], link[100];
	DIR *dir = opendir("/proc/self/fd");
	require(dir != NULL);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		ssize_t length = readlink(path, link, sizeof(link) - 1);
		link[length > 0 ? length : 0] = '\0';
		n += strncmp(link, "anon_inode:", 11) != 0 && strncmp(link, "/proc/", 6) != 0;
	}
	closedir(dir);
	return n - 2; /* . and .. */
}

/* The same with those; for the end of a test that used all that the poller wants. */
TAP_UNUSED static int epoll_count(void)
{
	int n = 0;
	char path[300], link[100];
	DIR *dir = opendir("/proc/self/fd");
	require(dir != NULL);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		ssize_t length = readlink(path, link, sizeof(link) - 1);
		link[length > 0 ? length : 0] = '\0';
		n += strcmp(link, "anon_inode:[eventpoll]") == 0;
	}
	closedir(dir);
	return n;
}

TAP_UNUSED static int option_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);
	expect_eq(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

TAP_UNUSED static struct sockaddr_storage own_address(int fd)
{
	struct sockaddr_storage a = {0};
	socklen_t size = sizeof(a);
	require_eq(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	return a;
}

TAP_UNUSED static int port_of(int fd)
{
	struct sockaddr_storage a = own_address(fd);
	return ntohs(((struct sockaddr_in *)&a)->sin_port);
}

struct text {
	char text[128];
};

/* "127.0.0.1:" and the listener's port */
TAP_UNUSED static struct text address_of(const char *host, int listener)
{
	struct text t;
	snprintf(t.text, sizeof(t.text), "%s:%d", host, port_of(listener));
	return t;
}

/* A port on which nobody listens, as it was free a moment ago. */
TAP_UNUSED static int closed_port(void)
{
	int fd = goro_listen("tcp", "127.0.0.1:0");
	require(fd >= 0);
	int port = port_of(fd);
	expect_eq(goro_close(fd), 0);
	return port;
}

TAP_UNUSED static bool has_ipv6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_there = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return is_there;
}

TAP_UNUSED static int64_t in_ms(int64_t ms)
{
	return goro_now() + GORO_MS(ms);
}

/* How long something takes at best: what else the machine does only adds to it. */
enum { TRIES = 8 };

TAP_UNUSED static void keep_least(int64_t *least, int64_t start)
{
	int64_t took = goro_now() - start;
	if (took < *least)
		*least = took;
}

TAP_UNUSED static void expect_own_flags(int fd)
{
	expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
	expect_eq(goro_set_deadline(fd, GORO_FOREVER), 0); /* the poller knows it */
}

/* A listener at host:port whose queue is full, and what fills it. */
struct deaf {
	int listener, n;
	int fd[8];
};

TAP_UNUSED static int deaf_port(struct deaf *d, const char *host, int port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	bool is_v6 = inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
	struct sockaddr *a = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	socklen_t size = is_v6 ? sizeof(v6) : sizeof(v4);
	require(is_v6 || inet_pton(AF_INET, host, &v4.sin_addr) == 1);
	d->n = 0;
	d->listener = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(d->listener, a, size) != 0 || listen(d->listener, 0) != 0)
		return -errno;
	v4.sin_port = v6.sin6_port = htons((uint16_t)port_of(d->listener));
	for (bool is_full = false; !is_full;) {
		require(d->n < 8);
		int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		require(fd >= 0);
		d->fd[d->n++] = fd;
		(void)connect(fd, a, size);
		struct pollfd pfd = {.fd = fd, .events = POLLOUT};
		is_full = poll(&pfd, 1, 100) == 0;
	}
	return ntohs(v4.sin_port);
}

TAP_UNUSED static void deaf_end(struct deaf *d)
{
	for (int i = 0; i < d->n; i++)
		close(d->fd[i]);
	close(d->listener);
}

TAP_UNUSED static void dials_in(goro_ctx *ctx, const char *network, const char *to, int *result)
{
	goro_ctx_use(ctx);
	store(result, goro_dial(network, to, GORO_FOREVER));
	goro_ctx_use(NULL);
}

/* From here on /etc/hosts says that; in this process only. */
TAP_UNUSED static void hosts_are(const char *text)
{
	char path[] = "/tmp/goro_hosts_XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	require(fd >= 0);
	require(write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, 0644) == 0);
	close(fd);
	bool is_there = unshare(CLONE_NEWNS) == 0 &&
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
			mount(path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
	unlink(path);
	if (!is_there)
		tap_skip("no mount namespace here");
}

/* A live listener beside a deaf one, on the same port of another address. */
TAP_UNUSED static int live_beside(int port, const char *host)
{
	char at[64];
	snprintf(at, sizeof(at), "%s:%d", host, port);
	int fd = goro_listen("tcp", at);
	require(fd >= 0);
	return fd;
}

/* In the order in which the resolver gives them: RFC 6724, rule 9, from 127.0.0.1. */
#define HOSTS                                            \
	"127.0.0.1 localhost\n"                          \
	"127.0.0.3 first.test\n127.0.0.2 first.test\n"   \
	"127.0.0.2 two.test\n127.0.0.3 two.test\n"       \
	"127.0.0.2 three.test\n127.0.0.4 three.test\n127.0.0.8 three.test\n" \
	"127.0.0.5 refused.test\n127.0.0.6 refused.test\n127.0.0.8 refused.test\n" \
	"127.0.0.2 none.test\n127.0.0.4 none.test\n"     \
	"127.0.0.3 both.test\n::1 both.test\n"         \
	"::1 many.test\n::2 many.test\n127.0.0.3 many.test\n127.0.0.8 many.test\n"

#endif
