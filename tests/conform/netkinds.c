/*
 * netkinds.c - what a read of fewer bytes than there was room for says: of TCP that there is no
 * more (RD1), of anything else nothing.
 *
 *   a reader waits; two units come at once, with one event; it reads one, then the other
 *
 * Kernel TLS is played by a recv() that ends at the bounds of records, and by its own getsockopt().
 */
#include "net_tap.h"
#include "syscall_tap.h"

#include <dlfcn.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

/* ---- a socket with records ---- */

enum { RECORD = 3 };

static int records_on = -1, ulp_on = -1; /* descriptors */

static long syscall_seen(long number, long a[6])
{
	if (number == SYS_recvfrom && (int)a[0] == load(&records_on) && a[2] > RECORD)
		a[2] = RECORD;
	return syscall_real(number, a);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	static int (*real)(int, int, int, void *, socklen_t *);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getsockopt");
	if (fd != load(&ulp_on) || level != IPPROTO_TCP || name != TCP_ULP)
		return real(fd, level, name, value, size);
	require_ge(*size, 4);
	memcpy(value, "tls", 4);
	*size = 4;
	return 0;
}

/* ---- units ---- */

struct unit_reader {
	int fd, n_wanted;
	ssize_t got[4];
	uint64_t id;
	bool is_over;
};

/* In time, or -ETIMEDOUT: the event was the last. */
static void reads_units(void *arg)
{
	struct unit_reader *r = arg;
	char data[4096];
	store(&r->id, goro_id());
	for (int i = 0; i < r->n_wanted; i++) {
		r->got[i] = goro_read(r->fd, data, sizeof(data));
		expect_eq(goro_set_read_deadline(r->fd, goro_now() + GORO_SEC(5)), 0);
	}
	store(&r->is_over, true);
}

static void units_begin(struct unit_reader *r, int fd)
{
	*r = (struct unit_reader){.fd = fd, .n_wanted = 2};
	require_eq(goro_spawn(reads_units, r), 0);
	wait_for(load(&r->id) != 0);
	wait_until_parked(load(&r->id), "IO wait");
}

static void expect_units(struct unit_reader *r, ssize_t first, ssize_t second)
{
	wait_for(load(&r->is_over));
	expect_eq(r->got[0], first);
	expect_eq(r->got[1], second);
}

GORO_CASE(a_record_of_a_socket_with_a_protocol_on_top_is_not_all)
{
	if (TAP_SANITIZED)
		tap_skip("recv() is not the system call");
	for (int i = 0; i < 3; i++) {
		struct pair p = pair_tcp();
		struct unit_reader r;
		require_eq(goro_fd_add(p.b), 0);
		if (i == 0) /* there before it is added; else after that, and it is added again */
			store(&ulp_on, p.a);
		require_eq(goro_fd_add(p.a), 0);
		if (i == 2) { /* found empty while it was plain TCP */
			char data[8];
			expect_eq(goro_write(p.b, "ab", 2), 2);
			expect_eq(goro_read(p.a, data, 8), 2);
		}
		store(&ulp_on, p.a);
		if (i > 0)
			require_eq(goro_fd_add(p.a), 0);
		store(&records_on, p.a);
		units_begin(&r, p.a);
		expect_eq(goro_write(p.b, "abcdef", 6), 6);
		expect_units(&r, 3, 3);
		store(&records_on, -1);
		store(&ulp_on, -1);
		pair_close(p);
	}
}

GORO_CASE(packets_come_one_by_one)
{
	static const enum pair_kind kinds[] = {UDP, UNIX_DGRAM, SEQPACKET};
	for (int i = 0; i < 3; i++) {
		struct pair p = pair_of(kinds[i]);
		struct unit_reader r;
		units_begin(&r, p.a);
		expect_eq(goro_write(p.b, "abc", 3), 3);
		expect_eq(goro_write(p.b, "de", 2), 2);
		expect_units(&r, 3, 2);
		pair_close(p);
	}
}

GORO_CASE(a_pipe_of_packets_gives_one_at_a_time)
{
	int fd[2];
	struct unit_reader r;
	if (pipe2(fd, O_CLOEXEC | O_DIRECT) != 0)
		tap_skip("no pipes of packets here");
	require_eq(goro_fd_add(fd[0]), 0);
	require_eq(goro_fd_add(fd[1]), 0);
	units_begin(&r, fd[0]);
	expect_eq(goro_write(fd[1], "abc", 3), 3);
	expect_eq(goro_write(fd[1], "de", 2), 2);
	expect_units(&r, 3, 2);
	pair_close((struct pair){fd[0], fd[1]});
}

static void send_with_descriptor(int fd, const char *data, size_t size)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
			      .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS}};
	struct iovec part = {(void *)data, size};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	expect_eq(goro_sendmsg(fd, &message, 0), (ssize_t)size);
}

GORO_CASE(a_unix_stream_stops_at_a_descriptor)
{
	struct pair p = pair_of(UNIX_STREAM);
	struct unit_reader r;
	units_begin(&r, p.a);
	send_with_descriptor(p.b, "de", 2);
	expect_eq(goro_write(p.b, "abc", 3), 3);
	expect_units(&r, 2, 3);
	pair_close(p);
}

GORO_CASE(a_terminal_gives_a_line_at_a_time)
{
	struct pair p = plain_pair_of(PTY);
	struct unit_reader r;
	struct termios cooked;
	require_eq(tcgetattr(p.b, &cooked), 0);
	cooked.c_lflag |= ICANON;
	require_eq(tcsetattr(p.b, TCSANOW, &cooked), 0);
	require_eq(goro_fd_add(p.a), 0);
	require_eq(goro_fd_add(p.b), 0);
	units_begin(&r, p.b);
	expect_eq(goro_write(p.a, "abc\nd\n", 6), 6);
	expect_units(&r, 4, 2);
	pair_close(p);
}

GORO_CASE(a_semaphore_of_an_eventfd_counts_down)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	uint64_t two = 2;
	struct unit_reader r;
	require_eq(goro_fd_add(fd), 0);
	units_begin(&r, fd);
	expect_eq(goro_write(fd, &two, 8), 8);
	expect_units(&r, 8, 8);
	expect_eq(goro_close(fd), 0);
}

/* Room for one event, of the two that there are. */
GORO_CASE(inotify_leaves_what_has_no_room)
{
	char path[] = "/tmp/goro_kinds_XXXXXX", name[64];
	require(mkdtemp(path) != NULL);
	int fd = inotify_init1(IN_CLOEXEC);
	require(inotify_add_watch(fd, path, IN_CREATE) >= 0);
	require_eq(goro_fd_add(fd), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s/%d", path, i);
		close(open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	}
	struct inotify_event event[3];
	size_t one = sizeof(event[0]) + 16, room = one + 8;
	expect_eq(goro_set_read_deadline(fd, goro_now() + GORO_SEC(5)), 0);
	expect_eq(goro_read(fd, event, room), (ssize_t)one);
	expect_eq(goro_read(fd, event, room), (ssize_t)one);
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s/%d", path, i);
		unlink(name);
	}
	rmdir(path);
	expect_eq(goro_close(fd), 0);
}

/* Each answer of the kernel is a message; a dump of routes has several, with one event or more. */
GORO_CASE(messages_of_netlink_come_one_by_one)
{
	struct {
		struct nlmsghdr head;
		struct rtgenmsg what;
	} ask = {.head = {.nlmsg_len = sizeof(ask),
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
	char data[65536];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		tap_skip("no netlink here");
	require_eq(goro_fd_add(fd), 0);
	expect_eq(goro_set_read_deadline(fd, goro_now() + GORO_SEC(5)), 0);
	expect_eq(goro_write(fd, &ask, sizeof(ask)), (ssize_t)sizeof(ask));
	for (bool is_done = false; !is_done;) {
		ssize_t n = goro_read(fd, data, sizeof(data));
		require_ge(n, 1);
		for (struct nlmsghdr *m = (struct nlmsghdr *)data; NLMSG_OK(m, n);
		     m = NLMSG_NEXT(m, n))
			is_done |= m->nlmsg_type == NLMSG_DONE;
	}
	expect_eq(goro_close(fd), 0);
}

static struct pair pair_mptcp(void)
{
	struct sockaddr_in at = loopback(0);
	socklen_t size = sizeof(at);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
	if (l < 0)
		tap_skip("no MPTCP here");
	require_eq(bind(l, (struct sockaddr *)&at, sizeof(at)), 0);
	require_eq(listen(l, 1), 0);
	require_eq(getsockname(l, (struct sockaddr *)&at, &size), 0);
	struct pair p = {.b = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP)};
	require_eq(connect(p.b, (struct sockaddr *)&at, sizeof(at)), 0);
	p.a = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	require_ge(p.a, 0);
	close(l);
	require_eq(goro_fd_add(p.a), 0);
	require_eq(goro_fd_add(p.b), 0);
	return p;
}

GORO_CASE(mptcp_talks)
{
	struct pair p = pair_mptcp();
	char data[8];
	expect_eq(goro_set_read_deadline(p.a, goro_now() + GORO_SEC(5)), 0);
	for (int i = 0; i < 1000; i++) {
		expect_eq(goro_write_all(p.b, "abcdef", 6), 6);
		expect_eq(goro_read_full(p.a, data, 6), 6);
		expect_eq(memcmp(data, "abcdef", 6), 0);
	}
	pair_close(p);
}

/* The kernel does not wait for one, and a deadline is none of its business. */
GORO_CASE(the_error_queue_is_not_waited_for)
{
	struct pair p = pair_of(UDP), plain = plain_pair_of(UDP);
	struct msghdr message = {0};
	char data[8];
	expect_eq(goro_recvmsg(p.a, &message, MSG_ERRQUEUE), -EAGAIN);
	expect_eq(goro_recv(p.a, data, sizeof(data), MSG_ERRQUEUE), -EAGAIN);
	expect_eq(goro_recvmsg(plain.a, &message, MSG_ERRQUEUE), -EAGAIN);
	pair_close(p);
	pair_close(plain);
}

GORO_CASE(no_memory_to_read_into_is_EFAULT, .procs = "1")
{
	struct pair p = pair_of(TCP);
	const struct iovec *volatile none = NULL;
	expect_eq(goro_write(p.b, "abc", 3), 3);
	expect_eq(goro_readv(p.a, none, 1), -EFAULT);
	expect_eq(goro_writev(p.a, none, 1), -EFAULT);
	goro_close(p.a);
	goro_close(p.b);
}

TAP_MAIN
