/*
 * dial.c - NET-15: goro_listen, goro_dial and goro_connect, one address each.
 *
 *   goro_listen, goro_dial -> the sockets that the kernel shows: options, addresses, numbers
 *
 * Go: net/dial_test.go, listen_test.go.
 */
#include "dial_tap.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/un.h>

/* ---- connections ---- */

static void expect_talk(int a, int b)
{
	char data[4];
	expect_eq(goro_write_all(a, "ping", 4), 4);
	expect_eq(goro_read_full(b, data, 4), 4);
	expect(memcmp(data, "ping", 4) == 0);
	expect_eq(goro_write_all(b, "pong", 4), 4);
	expect_eq(goro_read_full(a, data, 4), 4);
	expect(memcmp(data, "pong", 4) == 0);
}

static void expect_talk_over(const char *network, const char *listen_at, const char *host)
{
	int before = fd_count();
	int listener = goro_listen(network, listen_at);
	require(listener >= 0);
	struct text to = {{0}};
	if (host)
		to = address_of(host, listener);
	int fd = goro_dial(network, host ? to.text : listen_at, GORO_FOREVER);
	require(fd >= 0);
	int taken = goro_accept(listener, NULL, NULL);
	require(taken >= 0);
	expect_own_flags(listener);
	expect_own_flags(fd);
	expect_own_flags(taken);
	expect_talk(fd, taken);
	expect_eq(goro_close(fd), 0);
	char data;
	expect_eq(goro_read(taken, &data, 1), 0);
	expect_eq(goro_close(taken), 0);
	expect_eq(goro_close(listener), 0);
	expect_eq(fd_count(), before);
}

GORO_CASE(connections_of_every_network_talk, .id = "NET-15")
{
	char path[100], name[100];
	snprintf(path, sizeof(path), "/tmp/goro_dial_%d", getpid());
	snprintf(name, sizeof(name), "@goro_dial_%d", getpid());
	expect_talk_over("tcp", "127.0.0.1:0", "127.0.0.1");
	expect_talk_over("tcp4", "127.0.0.1:0", "127.0.0.1");
	expect_talk_over("tcp", ":0", "127.0.0.1");
	expect_talk_over("tcp", ":0", "");
	expect_talk_over("tcp4", ":0", "");
	expect_talk_over("tcp4", "0.0.0.0:0", "127.0.0.1");
	expect_talk_over("tcp", "localhost:0", "localhost");
	expect_talk_over("unix", path, NULL);
	unlink(path);
	expect_talk_over("unixpacket", path, NULL);
	unlink(path);
	expect_talk_over("unix", name, NULL);
	if (!has_ipv6())
		return;
	expect_talk_over("tcp", "[::1]:0", "[::1]");
	expect_talk_over("tcp6", "[::1]:0", "[::1]");
	expect_talk_over("tcp", "[::]:0", "[::1]");
	expect_talk_over("tcp", "[::]:0", "127.0.0.1");
	expect_talk_over("tcp", ":0", "[::1]");
	expect_talk_over("tcp6", ":0", "");
	expect_talk_over("tcp", "[::1%lo]:0", "[::1%lo]");
}

GORO_CASE(datagram_sockets_are_bound_and_connected, .id = "NET-15")
{
	char data[8], path[100];
	int bound = goro_listen("udp", "127.0.0.1:0");
	require(bound >= 0);
	int fd = goro_dial("udp", address_of("127.0.0.1", bound).text, GORO_FOREVER);
	require(fd >= 0);
	expect_own_flags(bound);
	expect_own_flags(fd);
	expect_eq(goro_write(fd, "udp", 3), 3);
	expect_eq(goro_recvfrom(bound, data, sizeof(data), 0, NULL, NULL), 3);
	goro_close(fd);
	goro_close(bound);
	snprintf(path, sizeof(path), "@goro_gram_%d", getpid());
	bound = goro_listen("unixgram", path);
	require(bound >= 0);
	fd = goro_dial("unixgram", path, GORO_FOREVER);
	require(fd >= 0);
	expect_eq(goro_write(fd, "unix", 4), 4);
	expect_eq(goro_read(bound, data, sizeof(data)), 4);
	goro_close(fd);
	goro_close(bound);
}

/* ---- options ---- */

static void expect_options(int fd)
{
	expect_eq(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	expect_eq(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	expect_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
	expect_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 15);
}

/* The tcp_info of a listener tells how many may wait, and how many do. */
static void expect_backlog(int listener)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);
	expect_eq(getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
	FILE *f = fopen("/proc/sys/net/core/somaxconn", "re");
	unsigned int somaxconn = 0;
	require(f != NULL && fscanf(f, "%u", &somaxconn) == 1);
	fclose(f);
	expect_eq(info.tcpi_sacked, somaxconn);
}

GORO_CASE(options_are_those_of_go, .id = "NET-15", .procs = "1")
{
	int listener = goro_listen("tcp", "127.0.0.1:0");
	require(listener >= 0);
	int fd = goro_dial("tcp", address_of("127.0.0.1", listener).text, in_ms(5000));
	int taken = goro_accept(listener, NULL, NULL);
	expect_eq(option_of(listener, SOL_SOCKET, SO_REUSEADDR), 1);
	expect_options(fd);
	expect_options(taken);
	if (!getenv("TAP_EMULATED")) /* an emulator passes on the first four bytes of it */
		expect_backlog(listener);
	/* The port of a connection that was closed here first can be had at once. */
	struct text again = address_of("127.0.0.1", listener);
	goro_close(taken);
	goro_close(fd);
	goro_close(listener);
	listener = goro_listen("tcp", again.text);
	expect_ge(listener, 0);
	expect_eq(goro_listen("tcp", again.text), -EADDRINUSE);
	goro_close(listener);
}

GORO_CASE(no_host_means_both_families, .id = "NET-15", .procs = "1")
{
	static const struct {
		const char *network, *address;
		int family, v6_only;
	} all[] = {
		{"tcp", ":0", AF_INET6, 0},	 {"tcp", "[::]:0", AF_INET6, 0},
		{"tcp6", ":0", AF_INET6, 1},	 {"tcp6", "[::]:0", AF_INET6, 1},
		{"tcp4", ":0", AF_INET, -1},	 {"tcp", "0.0.0.0:0", AF_INET, -1},
		{"tcp", "localhost:0", AF_INET, -1}, {"udp", ":0", AF_INET6, 0},
	};
	if (!has_ipv6())
		tap_skip("no IPv6 here");
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int fd = goro_listen(all[i].network, all[i].address);
		require(fd >= 0);
		expect_eq(own_address(fd).ss_family, all[i].family);
		if (all[i].v6_only >= 0)
			expect_eq(option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY), all[i].v6_only);
		goro_close(fd);
	}
}

/* socket(AF_INET6, ...) says EAFNOSUPPORT from now on, as on a system without. */
static void no_ipv6_from_here(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		tap_skip("no seccomp filters here");
	require(socket(AF_INET6, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT);
}

static int works_without_ipv6(void *unused)
{
	(void)unused;
	int fd = goro_listen("tcp", ":0");
	require(fd >= 0);
	expect_eq(own_address(fd).ss_family, AF_INET);
	int dialled = goro_dial("tcp", address_of("", fd).text, GORO_FOREVER);
	expect_ge(dialled, 0);
	goro_close(dialled);
	expect_eq(goro_listen("tcp6", ":0"), -EAFNOSUPPORT);
	expect_eq(goro_listen("tcp", "[::]:0"), -EAFNOSUPPORT);
	expect_eq(goro_dial("tcp", address_of("[::1]", fd).text, GORO_FOREVER), -EAFNOSUPPORT);
	goro_close(fd);
	return 0;
}

TAP_CASE(without_ipv6_no_host_means_ipv4, .id = "NET-15", .procs = "2")
{
	no_ipv6_from_here();
	expect_eq(goro_run(works_without_ipv6, NULL), 0);
}

/* ---- errors ---- */

GORO_CASE(bad_networks_and_addresses_are_invalid, .id = "NET-15", .procs = "1")
{
	static const char *const bad[][2] = {
		{"", "127.0.0.1:1"},	  {"tcp5", "127.0.0.1:1"},  {NULL, "127.0.0.1:1"},
		{"tcp", ""},		  {"tcp", NULL},	    {"tcp", "127.0.0.1"},
		{"tcp", "::1:80"},	  {"tcp", "[::1]"},	    {"tcp", "127.0.0.1:65536"},
		{"tcp", "127.0.0.1:-1"},  {"tcp", "[::1%no]:80"},   {"tcp4", "[::1]:80"},
		{"tcp6", "127.0.0.1:80"}, {"udp4", "[::1]:80"},	    {"unix", ""},
		{"unix", NULL},		  {"unixgram", ""},	    {"tcp", "[::g]:80"},
	};
	int before = fd_count();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_eq(goro_dial(bad[i][0], bad[i][1], GORO_FOREVER), -EINVAL);
		expect_eq(goro_listen(bad[i][0], bad[i][1]), -EINVAL);
	}
	char path[200];
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	expect_eq(goro_listen("unix", path), -EINVAL);
	expect_eq(goro_listen("unix", "/nonexistent/socket"), -ENOENT);
	expect_eq(goro_dial("unix", "/nonexistent/socket", GORO_FOREVER), -ENOENT);
	expect_eq(goro_dial("unix", "@goro_nobody_listens", GORO_FOREVER), -ECONNREFUSED);
	expect_eq(goro_listen("tcp", "192.0.2.1:0"), -EADDRNOTAVAIL);
	expect_eq(fd_count(), before);
}

GORO_CASE(a_closed_port_refuses_at_once, .id = "NET-15", .is_alone = true)
{
	char to[64];
	int port = closed_port(), before = fd_count();
	int64_t least = INT64_MAX;
	snprintf(to, sizeof(to), "127.0.0.1:%d", port);
	for (int i = 0; i < TRIES; i++) {
		int64_t start = goro_now();
		expect_eq(goro_dial("tcp", to, GORO_FOREVER), -ECONNREFUSED);
		keep_least(&least, start);
	}
	expect_lt(least, GORO_MS(50) * TAP_SLOWER);
	snprintf(to, sizeof(to), ":%d", port); /* of both families */
	expect_eq(goro_dial("tcp", to, in_ms(5000)), -ECONNREFUSED);
	expect_eq(fd_count(), before);
}

GORO_CASE(a_deadline_that_is_past_means_no_attempt, .id = "NET-15", .procs = "1")
{
	int listener = goro_listen("tcp", "127.0.0.1:0");
	require(listener >= 0);
	struct text to = address_of("127.0.0.1", listener);
	const int64_t past[] = {GORO_POLL, -1, INT64_MIN, 1, goro_now()};
	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		expect_eq(goro_dial("tcp", to.text, past[i]), -ETIMEDOUT);
		expect_eq(goro_dial("tcp", "no.such.name.invalid:1", past[i]), -ETIMEDOUT);
		expect_eq(goro_dial("unix", "@goro_nobody_listens", past[i]), -ETIMEDOUT);
	}
	expect_eq(goro_set_read_deadline(listener, in_ms(20)), 0);
	expect_eq(goro_accept(listener, NULL, NULL), -ETIMEDOUT); /* nobody came */
	expect_eq(goro_set_read_deadline(listener, GORO_FOREVER), 0);
	int fd = goro_dial("tcp", to.text, INT64_MAX);
	expect_ge(fd, 0);
	goro_close(fd);
	fd = goro_dial("tcp", to.text, INT64_MAX - 1);
	expect_ge(fd, 0);
	goro_close(fd);
	goro_close(listener);
}

/* ---- limits ---- */

GORO_CASE(no_descriptor_left_is_said_at_once, .id = "NET-15", .procs = "1,4")
{
	int listener = goro_listen("tcp", "127.0.0.1:0");
	require(listener >= 0);
	struct text to = address_of("127.0.0.1", listener);
	struct rlimit was, now;
	require(getrlimit(RLIMIT_NOFILE, &was) == 0);
	int lowest = dup(0);
	close(lowest);
	now = (struct rlimit){(rlim_t)lowest, was.rlim_max};
	require(setrlimit(RLIMIT_NOFILE, &now) == 0);
	expect_eq(goro_dial("tcp", to.text, GORO_FOREVER), -EMFILE);
	expect_eq(goro_dial("tcp", to.text, in_ms(5000)), -EMFILE);
	expect_eq(goro_dial("unix", "@goro_nobody_listens", GORO_FOREVER), -EMFILE);
	expect_eq(goro_listen("tcp", "127.0.0.1:0"), -EMFILE);
	require(setrlimit(RLIMIT_NOFILE, &was) == 0);
	int fd = goro_dial("tcp", to.text, in_ms(5000));
	expect_ge(fd, 0);
	goro_close(fd);
	goro_close(listener);
}

/* The poller needs two numbers when the first descriptor comes: before a connection is taken. */
GORO_CASE(an_accept_that_has_no_poller_takes_no_connection, .id = "NET-15", .procs = "1,4")
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), taken;
	char data[4];
	require_eq(bind(listener, (struct sockaddr *)&at, size), 0);
	require_eq(listen(listener, 1), 0);
	require_eq(getsockname(listener, (struct sockaddr *)&at, &size), 0);
	require_eq(connect(fd, (struct sockaddr *)&at, size), 0);
	require_eq(write(fd, "ping", 4), 4);
	struct rlimit was, now;
	require(getrlimit(RLIMIT_NOFILE, &was) == 0);
	int lowest = dup(0);
	close(lowest);
	for (int more = 0; more < 3; more++) {
		now = (struct rlimit){(rlim_t)(lowest + more), was.rlim_max};
		require(setrlimit(RLIMIT_NOFILE, &now) == 0);
		expect_eq(goro_accept(listener, NULL, NULL), -EMFILE);
	}
	require(setrlimit(RLIMIT_NOFILE, &was) == 0);
	expect_ge(taken = goro_accept(listener, NULL, NULL), 0);
	expect_eq(goro_read_full(taken, data, 4), 4);
	goro_close(taken);
	close(fd);
	close(listener);
}

/* ---- Unix sockets whose listener has no room ---- */

struct crowd {
	struct text name;
	int listener, n;
	int fd[8];
};

static struct sockaddr_un unix_name(const char *abstract, socklen_t *size)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	strcpy(a.sun_path + 1, abstract + 1);
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(abstract));
	return a;
}

static void crowd_begin(struct crowd *c)
{
	socklen_t size;
	snprintf(c->name.text, sizeof(c->name.text), "@goro_crowd_%d", getpid());
	struct sockaddr_un a = unix_name(c->name.text, &size);
	c->n = 0;
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(bind(c->listener, (struct sockaddr *)&a, size) == 0 &&
		listen(c->listener, 0) == 0 && goro_fd_add(c->listener) == 0);
	for (;;) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		require(c->n < 8);
		c->fd[c->n++] = fd;
		if (connect(fd, (struct sockaddr *)&a, size) != 0)
			break;
	}
	require_eq(errno, EAGAIN);
}

static void crowd_end(struct crowd *c)
{
	for (int i = 0; i < c->n; i++)
		close(c->fd[i]);
	goro_close(c->listener);
}

static void dials_unix(const char *to, int64_t deadline, int *result)
{
	store(result, goro_dial("unix", to, deadline));
}

GORO_CASE(a_full_unix_listener_is_waited_for, .id = "NET-15", .is_idle = true)
{
	struct crowd c;
	int result = 0, before = fd_count();
	crowd_begin(&c);
	int full = fd_count();
	int64_t least = INT64_MAX;
	for (int i = 0; i < TRIES; i++) {
		int64_t start = goro_now();
		expect_eq(goro_dial("unix", c.name.text, start + GORO_MS(60)), -ETIMEDOUT);
		keep_least(&least, start);
	}
	expect_ge(least, GORO_MS(60));
	expect_lt(least, GORO_MS(80) * TAP_SLOWER);
	expect_eq(fd_count(), full);
	least = INT64_MAX;
	for (int i = 0; i < TRIES; i++) {
		store(&result, 0);
		go(dials_unix, (const char *)c.name.text, GORO_FOREVER, &result);
		goro_sleep(GORO_MS(30));
		expect_eq(load(&result), 0);
		int64_t start = goro_now();
		int taken = goro_accept(c.listener, NULL, NULL);
		expect_ge(taken, 0);
		wait_for(load(&result) != 0);
		keep_least(&least, start);
		expect_ge(result, 0);
		expect_own_flags(result);
		goro_close(taken);
		goro_close(result); /* but it stays in the queue, which is full again */
	}
	expect_lt(least, GORO_MS(5) * TAP_SLOWER); /* it was woken */
	crowd_end(&c);
	expect_eq(fd_count(), before);
}

static void connects(int fd, const char *to, int *result)
{
	socklen_t size;
	struct sockaddr_un a = unix_name(to, &size);
	store(result, goro_connect(fd, (struct sockaddr *)&a, size));
}

/* A socket that waits for room, in a goroutine of its own. */
static int connecting(struct crowd *c, int *result)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require_eq(goro_fd_add(fd), 0);
	store(result, 1);
	go(connects, fd, (const char *)c->name.text, result);
	goro_sleep(GORO_MS(30));
	expect_eq(load(result), 1);
	return fd;
}

GORO_CASE(a_wait_for_room_ends_as_any_other, .id = "NET-15", .is_idle = true)
{
	struct crowd c;
	int result, before = fd_count();
	crowd_begin(&c);
	int fd = connecting(&c, &result);
	expect_eq(goro_close(fd), 0);
	wait_for(load(&result) != 1);
	expect_eq(result, -EBADF);
	fd = connecting(&c, &result);
	expect_eq(goro_set_write_deadline(fd, GORO_POLL), 0);
	wait_for(load(&result) != 1);
	expect_eq(result, -ETIMEDOUT);
	expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
	expect_eq(goro_close(fd), 0);
	goro_ctx *ctx = goro_ctx_with_cancel(goro_ctx_background());
	store(&result, 1);
	go(dials_in, ctx, "unix", (const char *)c.name.text, &result);
	goro_sleep(GORO_MS(10));
	goro_ctx_cancel(ctx);
	wait_for(load(&result) != 1);
	expect_eq(result, -ECANCELED);
	goro_ctx_unref(ctx);
	fd = connecting(&c, &result);
	crowd_end(&c); /* the listener goes */
	wait_for(load(&result) != 1);
	expect_eq(result, -ECONNREFUSED);
	goro_close(fd);
	wait_for(goro_count() == 1);
	expect_eq(fd_count(), before);
}

/* ---- goro_connect ---- */

/* As another library made it: unknown, and it does not block. */
static int foreign_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	require(fd >= 0);
	return fd;
}

static int64_t cpu_now(void)
{
	struct timespec t;
	require_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return GORO_SEC(t.tv_sec) + t.tv_nsec;
}

static void connects_foreign(int fd, const struct sockaddr_un *to, int *result)
{
	store(result, goro_connect(fd, (const struct sockaddr *)to, sizeof(*to)));
}

GORO_CASE(connect_waits_on_an_unknown_descriptor_that_does_not_block, .id = "NET-15")
{
	int l = goro_listen("tcp", "127.0.0.1:0");
	struct sockaddr_storage a = own_address(l);
	int fd = foreign_socket(AF_INET);
	expect_eq(goro_connect(fd, (struct sockaddr *)&a, sizeof(struct sockaddr_in)), 0);
	expect_eq(goro_connect(fd, (struct sockaddr *)&a, sizeof(struct sockaddr_in)), -EISCONN);
	goro_close(fd);
	goro_close(l);
	fd = foreign_socket(AF_INET);
	expect_eq(goro_connect(fd, (struct sockaddr *)&a, sizeof(struct sockaddr_in)),
		  -ECONNREFUSED);
	goro_close(fd);
}

/* A full queue is waited for asleep. */
GORO_CASE(connect_of_an_unknown_unix_socket_waits_for_room_asleep, .id = "NET-15")
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), first = foreign_socket(AF_UNIX);
	int second = foreign_socket(AF_UNIX), result = 1;
	snprintf(to.sun_path + 1, sizeof(to.sun_path) - 1, "goro-room-%d", (int)getpid());
	require_eq(bind(l, (struct sockaddr *)&to, sizeof(to)), 0);
	require_eq(listen(l, 0), 0);
	require_eq(goro_connect(first, (struct sockaddr *)&to, sizeof(to)), 0);
	go(connects_foreign, second, (const struct sockaddr_un *)&to, &result);
	goro_sleep(GORO_MS(10));
	int64_t before = cpu_now();
	goro_sleep(GORO_MS(200));
	expect_lt(cpu_now() - before, GORO_MS(100) * TAP_SLOWER);
	expect_eq(load(&result), 1);
	int got = accept(l, NULL, NULL);
	expect(got >= 0);
	wait_for(load(&result) <= 0);
	expect_eq(result, 0);
	close(got);
	close(l);
	close(first);
	close(second);
}

GORO_CASE(connect_waits_and_says_what_went_wrong, .id = "NET-15")
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)closed_port()),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = goro_listen("tcp", "127.0.0.1:0");
	for (int is_known = 0; is_known < 2; is_known++) {
		a.sin_port = htons((uint16_t)closed_port());
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (is_known)
			require_eq(goro_fd_add(fd), 0);
		expect_eq(goro_connect(fd, (struct sockaddr *)&a, sizeof(a)), -ECONNREFUSED);
		a.sin_port = htons((uint16_t)port_of(listener));
		expect_eq(goro_connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		expect_eq(goro_connect(fd, (struct sockaddr *)&a, sizeof(a)), -EISCONN);
		expect_eq(goro_write(fd, "x", 1), 1);
		goro_close(fd);
	}
	struct deaf deaf;
	a.sin_port = htons((uint16_t)deaf_port(&deaf, "127.0.0.1", 0));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require_eq(goro_fd_add(fd), 0);
	expect_eq(goro_set_write_deadline(fd, in_ms(30)), 0);
	expect_eq(goro_connect(fd, (struct sockaddr *)&a, sizeof(a)), -ETIMEDOUT);
	goro_close(fd);
	expect_eq(goro_connect(fd, (struct sockaddr *)&a, sizeof(a)), -EBADF);
	deaf_end(&deaf);
	goro_close(listener);
}

/* The kernel would go on with the first address, and say that it is connected. */
GORO_CASE(connect_says_so_when_another_is_under_way, .id = "NET-15")
{
	struct deaf deaf;
	int port = deaf_port(&deaf, "127.0.0.1", 0), listener = goro_listen("tcp", "127.0.0.1:0");
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in other = to;
	other.sin_port = htons((uint16_t)port_of(listener));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require_eq(goro_fd_add(fd), 0);
	expect_eq(goro_set_write_deadline(fd, in_ms(20)), 0);
	expect_eq(goro_connect(fd, (struct sockaddr *)&to, sizeof(to)), -ETIMEDOUT);
	expect_eq(goro_set_write_deadline(fd, in_ms(3000)), 0);
	expect_eq(goro_connect(fd, (struct sockaddr *)&other, sizeof(other)), -EALREADY);
	expect_eq(goro_connect(fd, (struct sockaddr *)&to, sizeof(to)), -EALREADY);
	goro_close(fd);
	fd = foreign_socket(AF_INET);
	require_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), -1);
	require_eq(errno, EINPROGRESS);
	expect_eq(goro_connect(fd, (struct sockaddr *)&other, sizeof(other)), -EALREADY);
	/* Room, which the kernel sees when it tries again, after a second. */
	require_eq(fcntl(deaf.listener, F_SETFL, O_NONBLOCK), 0);
	while (goro_fd_wait(fd, POLLOUT, in_ms(20)) == -ETIMEDOUT)
		(void)close(accept(deaf.listener, NULL, NULL));
	expect_eq(goro_connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	goro_close(fd);
	deaf_end(&deaf);
	goro_close(listener);
}

TAP_MAIN
