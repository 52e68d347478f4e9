/*
 * net.c - NET-13, NET-14, NET-16 and what goes beyond: the calls on descriptors of every kind.
 *
 *   goro_read, goro_write, ... on sockets, pipes, terminals, eventfds, ... -> as POSIX has it, and
 *   who waits is parked
 *
 * netcopy.c has sendfile and splice, netclose.c the end of descriptors, netdeadline.c deadlines,
 * netmany.c many goroutines, netthread.c plain threads and runs.
 *
 * Go: net_test.go, unixsock_test.go and others in net; os/pipe_test.go; internal/poll.
 */
#include "net_tap.h"

#include <limits.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

/* ---- all kinds ---- */

static void expect_passes(int from, int to, const char *name)
{
	struct caller reader = {0};
	char data[8] = {0};
	int before = tap_failures;
	expect_eq(goro_write(from, "abc", 3), 3); /* there before it is asked for */
	expect_eq(goro_read(to, data, sizeof(data)), 3);
	expect_str(data, "abc");
	caller_start(&reader, call_read, to);
	expect_eq(goro_write_all(from, "wxyz", 4), 4);
	expect_eq(caller_result(&reader), 4);
	expect_str(reader.data, "wxyz");
	if (tap_failures != before)
		tap_diag("# on %s", name);
}

GORO_CASE(every_kind_passes_data)
{
	for (enum pair_kind kind = 0; kind < N_PAIR_KINDS; kind++) {
		struct pair p = pair_of(kind);
		expect_passes(p.b, p.a, pair_names[kind]);
		if (kind != PIPE)
			expect_passes(p.a, p.b, pair_names[kind]);
		pair_close(p);
	}
}

static void writes_all(void *arg)
{
	struct pair *p = arg;
	static char data[3 << 20];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 251);
	expect_eq(goro_write_all(p->b, data, sizeof(data)), sizeof(data));
	expect_eq(goro_close(p->b), 0);
}

GORO_CASE(streams_pass_more_than_they_hold)
{
	static const enum pair_kind streams[] = {TCP, UNIX_STREAM, PIPE};
	static char data[3 << 20];
	for (int i = 0; i < 3; i++) {
		struct pair p = pair_of(streams[i]);
		size_t n_wrong = 0;
		memset(data, 0, sizeof(data));
		require_eq(goro_spawn(writes_all, &p), 0);
		expect_eq(goro_read_full(p.a, data, sizeof(data)), sizeof(data));
		for (size_t j = 0; j < sizeof(data); j++)
			n_wrong += data[j] != (char)(j * 7 + j / 251);
		expect_eq(n_wrong, 0);
		expect_eq(goro_read(p.a, data, 1), 0);
		expect_eq(goro_read_full(p.a, data, 10), 0);
		expect_eq(goro_close(p.a), 0);
	}
}

GORO_CASE(an_eventfd_waits_to_be_read_and_to_be_written)
{
	struct caller reader = {.size = 8};
	uint64_t one = 1, most = UINT64_MAX - 1, got;
	int fd = eventfd(0, EFD_CLOEXEC);
	require_eq(goro_fd_add(fd), 0);
	caller_start(&reader, call_read, fd);
	expect_eq(goro_write(fd, &one, 8), 8);
	expect_eq(caller_result(&reader), 8);
	memcpy(&got, reader.data, 8);
	expect_eq(got, 1);
	expect_eq(goro_write(fd, &most, 8), 8);
	struct caller writer = {0};
	caller_start(&writer, call_wait_out, fd);
	expect_eq(goro_read(fd, &got, 8), 8);
	expect_eq(got, most);
	expect_eq(caller_result(&writer), POLLOUT);
	expect_eq(goro_close(fd), 0);
}

GORO_CASE(a_timerfd_fires)
{
	struct itimerspec in_5_ms = {.it_value.tv_nsec = 5000000};
	uint64_t n;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	require_eq(goro_fd_add(fd), 0);
	int64_t start = tap_now();
	require_eq(timerfd_settime(fd, 0, &in_5_ms, NULL), 0);
	expect_eq(goro_read(fd, &n, 8), 8);
	expect_eq(n, 1);
	expect_ge(tap_now() - start, GORO_MS(5));
	expect_eq(goro_close(fd), 0);
}

TAP_CHILD(reads_a_signalfd_main)
{
	/* Its own process: a blocked signal must be so in every thread. */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	require_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	require_eq(goro_fd_add(fd), 0);
	kill(getpid(), SIGUSR1);
	struct signalfd_siginfo info;
	expect_eq(goro_read(fd, &info, sizeof(info)), sizeof(info));
	expect_eq(info.ssi_signo, SIGUSR1);
	expect_eq(goro_close(fd), 0);
	exit(tap_failures ? 1 : 0);
}

GORO_CASE(a_signalfd_brings_its_signals, .procs = "2")
{
	struct tap_child c;
	tap_child(&c, "reads_a_signalfd_main", NULL);
	expect_child(&c, 0, "");
	free(c.out);
	free(c.err);
}

GORO_CASE(inotify_tells_of_a_new_file)
{
	char dir[] = "/tmp/goro-net-XXXXXX", path[64];
	struct caller reader = {0};
	require(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/file", dir);
	int fd = inotify_init1(IN_CLOEXEC);
	require(inotify_add_watch(fd, dir, IN_CREATE) > 0);
	require_eq(goro_fd_add(fd), 0);
	caller_start(&reader, call_read, fd);
	int file = goro_open(path, O_CREAT | O_WRONLY, 0600);
	expect_ge(file, 0);
	expect_ge(caller_result(&reader), (ssize_t)sizeof(struct inotify_event));
	expect_eq(goro_close(file), 0);
	expect_eq(goro_close(fd), 0);
	unlink(path);
	rmdir(dir);
}

/* ---- adding ---- */

GORO_CASE(a_plain_file_or_a_directory_is_not_added)
{
	int file = memfd_create("file", MFD_CLOEXEC), dir = open("/", O_RDONLY | O_CLOEXEC);
	char data[8];
	expect_eq(goro_fd_add(file), -EPERM);
	expect_eq(goro_fd_add(dir), -EPERM);
	expect_eq(goro_set_deadline(file, 1), -EPERM);
	expect_eq(fcntl(file, F_GETFL) & O_NONBLOCK, 0);
	expect_eq(goro_write(file, "abcdef", 6), 6);
	expect_eq(goro_pread(file, data, 3, 1), 3);
	expect_eq(memcmp(data, "bcd", 3), 0);
	expect_eq(goro_pwrite(file, "X", 1, 0), 1);
	expect_eq(goro_pread(file, data, 8, 0), 6);
	expect_eq(memcmp(data, "Xbcdef", 6), 0);
	expect_eq(goro_fsync(file), 0);
	expect_eq(goro_fd_wait(file, POLLIN, GORO_POLL), POLLIN);
	expect_eq(goro_close(file), 0);
	expect_eq(goro_close(dir), 0);
}

GORO_CASE(adding_twice_is_no_error)
{
	struct pair p = plain_pair_of(UNIX_STREAM);
	for (int i = 0; i < 3; i++)
		expect_eq(goro_fd_add(p.a), 0);
	expect_eq(fcntl(p.a, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	expect_eq(goro_fd_add(p.b), 0);
	expect_passes(p.b, p.a, "added twice");
	pair_close(p);
}

GORO_CASE(a_number_that_is_closed_is_EBADF, .procs = "1,4")
{
	struct pair p = pair_of(TCP);
	char data[8];
	struct iovec part = {data, 8};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	pair_close(p);
	for (int i = 0; i < 3; i++) {
		static const int never[] = {-1, INT_MAX};
		int fd = i < 2 ? never[i] : p.a;
		expect_eq(goro_fd_add(fd), -EBADF);
		expect_eq(goro_read(fd, data, 8), -EBADF);
		expect_eq(goro_read_full(fd, data, 8), -EBADF);
		expect_eq(goro_read_full(fd, data, 0), -EBADF);
		expect_eq(goro_readv(fd, &part, 1), -EBADF);
		expect_eq(goro_write(fd, data, 8), -EBADF);
		expect_eq(goro_write_all(fd, data, 8), -EBADF);
		expect_eq(goro_writev(fd, &part, 1), -EBADF);
		expect_eq(goro_recv(fd, data, 8, 0), -EBADF);
		expect_eq(goro_send(fd, data, 8, 0), -EBADF);
		expect_eq(goro_recv(fd, data, 8, MSG_DONTWAIT), -EBADF);
		expect_eq(goro_send(fd, data, 8, MSG_DONTWAIT), -EBADF);
		expect_eq(goro_recvmsg(fd, &message, 0), -EBADF);
		expect_eq(goro_sendmsg(fd, &message, 0), -EBADF);
		expect_eq(goro_accept(fd, NULL, NULL), -EBADF);
		expect_eq(goro_fd_wait(fd, POLLIN, GORO_FOREVER), -EBADF);
		expect_eq(goro_set_deadline(fd, 1), -EBADF);
		expect_eq(goro_pread(fd, data, 8, 0), -EBADF);
		expect_eq(goro_fsync(fd), -EBADF);
		expect_eq(goro_sendfile(fd, fd, NULL, 8), -EBADF);
		expect_eq(goro_splice(fd, NULL, fd, NULL, 8, 0), -EBADF);
		expect_eq(goro_close(fd), -EBADF);
	}
}

struct adder {
	int fd, *n_ready, n;
};

static void adds_with_others(void *arg)
{
	struct adder *a = arg;
	add(a->n_ready, 1);
	while (load(a->n_ready) < a->n)
		goro_yield();
	expect_eq(goro_fd_add(a->fd), 0);
	add(a->n_ready, 1);
}

/* Two connections' worth of libraries add the same number. */
GORO_CASE(several_add_the_same_at_once, .is_race = true)
{
	for (int i = 0; i < 200; i++) {
		struct pair p = plain_pair_of(UNIX_STREAM);
		int n_ready = 0;
		struct adder a = {p.a, &n_ready, 3};
		for (int j = 0; j < 3; j++)
			require_eq(goro_spawn(adds_with_others, &a), 0);
		wait_for(load(&n_ready) == 6);
		expect_eq(goro_fd_add(p.b), 0);
		expect_passes(p.b, p.a, "added at once");
		pair_close(p);
	}
}

/* Another library closes it: the number's next life begins anew. */
GORO_CASE(a_number_closed_behind_our_back_begins_anew)
{
	for (int i = 0; i < 20; i++) {
		struct pair p = pair_of(i % 2 ? TCP : UNIX_STREAM), q;
		expect_eq(goro_set_deadline(p.a, 1), 0);
		expect_eq(goro_set_deadline(p.b, 1), 0);
		expect_eq(close(p.a), 0);
		expect_eq(close(p.b), 0);
		q = pair_of(i % 2 ? UNIX_STREAM : TCP);
		expect_passes(q.b, q.a, "second life");
		pair_close(q);
	}
}

/* ---- readiness ---- */

GORO_CASE(waiting_for_readiness)
{
	for (enum pair_kind kind = 0; kind < N_PAIR_KINDS; kind++) {
		struct pair p = pair_of(kind);
		struct caller in = {0}, any = {0};
		char data[64];
		int64_t soon = goro_now() + GORO_MS(2);
		expect_eq(goro_fd_wait(p.a, POLLIN, GORO_POLL), -ETIMEDOUT);
		expect_eq(goro_fd_wait(p.b, POLLOUT, GORO_POLL), POLLOUT);
		expect_eq(goro_fd_wait(p.a, POLLIN, soon), -ETIMEDOUT);
		expect_ge(goro_now(), soon);
		caller_start(&in, call_wait_in, p.a);
		expect_eq(goro_write(p.b, "x", 1), 1);
		expect_eq(caller_result(&in), POLLIN);
		expect_eq(goro_fd_wait(p.a, POLLIN, GORO_POLL), POLLIN);
		expect_eq(goro_fd_wait(p.a, POLLIN, GORO_FOREVER), POLLIN);
		expect_eq(goro_read(p.a, data, 64), 1);
		if (kind != PIPE)
			expect_eq(goro_fd_wait(p.a, POLLIN | POLLOUT, GORO_FOREVER), POLLOUT);
		if (kind == TCP || kind == UNIX_STREAM) {
			(void)fill(p.a);
			caller_start(&any, call_wait_any, p.a);
			expect_eq(goro_write(p.b, "y", 1), 1);
			expect_eq(caller_result(&any), POLLIN);
		}
		expect_eq(goro_fd_wait(p.a, 0, GORO_POLL), -EINVAL);
		expect_eq(goro_fd_wait(p.a, POLLNVAL, GORO_POLL), -EINVAL);
		pair_close(p);
	}
}

/* The event that the wait used up must not be what the read waits for. */
GORO_CASE(a_read_after_a_wait_finds_what_was_waited_for)
{
	struct pair p = pair_of(TCP);
	char data[64];
	for (int i = 0; i < 200; i++) {
		expect_eq(goro_write(p.b, "abc", 3), 3);
		expect_eq(goro_read(p.a, data, 64), 3); /* short: nothing is left */
		expect_eq(goro_write(p.b, "de", 2), 2);
		if (i % 2)
			goro_sleep(GORO_US(100)); /* the event is in */
		int events = i % 4 < 2 ? POLLIN : POLLIN | POLLOUT;
		expect(goro_fd_wait(p.a, events, GORO_FOREVER) & (POLLIN | POLLOUT));
		expect_eq(goro_set_read_deadline(p.a, goro_now() + GORO_SEC(5)), 0);
		expect_eq(goro_read(p.a, data, 64), 2);
		expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
	}
	pair_close(p);
}

GORO_CASE(waiting_on_what_the_poller_does_not_know)
{
	struct pair p = plain_pair_of(UNIX_STREAM);
	char data[8];
	int64_t soon = goro_now() + GORO_MS(2);
	expect_eq(goro_fd_wait(p.a, POLLIN, GORO_POLL), -ETIMEDOUT);
	expect_eq(goro_fd_wait(p.a, POLLIN, soon), -ETIMEDOUT);
	expect_ge(goro_now(), soon);
	expect_eq(goro_write(p.b, "x", 1), 1);
	expect_eq(goro_fd_wait(p.a, POLLIN | POLLOUT, GORO_FOREVER), POLLIN | POLLOUT);
	expect_eq(goro_read(p.a, data, 8), 1);
	pair_close(p);
}

/* ---- unknown ones ---- */

static void sends_later(void *arg)
{
	struct caller *c = arg;
	goro_sleep(GORO_MS(3));
	expect_eq(goro_write(c->fd, "late", 4), 4);
	store(&c->is_over, true);
}

/* Blocking or not: the call waits in the kernel, and the other goroutines go on. */
GORO_CASE(unknown_descriptors_work_through_the_hand_off)
{
	for (int i = 0; i < 2 * N_PAIR_KINDS; i++) {
		struct pair p = plain_pair_of(i % N_PAIR_KINDS);
		struct caller writer = {.fd = p.b};
		char data[8] = {0};
		if (i >= N_PAIR_KINDS)
			require_eq(fcntl(p.a, F_SETFL, fcntl(p.a, F_GETFL) | O_NONBLOCK), 0);
		require_eq(goro_spawn(sends_later, &writer), 0);
		expect_eq(goro_read(p.a, data, 8), 4);
		expect_str(data, "late");
		wait_for(load(&writer.is_over));
		pair_close(p);
	}
}

/* SO_RCVTIMEO of another library: its EAGAIN is no reason to wait for ever. */
GORO_CASE(a_time_limit_of_the_kernels_comes_back)
{
	struct pair p = plain_pair_of(UNIX_STREAM);
	struct timeval limit = {.tv_usec = 3000};
	char data[8];
	require_eq(setsockopt(p.a, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	expect_eq(goro_read(p.a, data, 8), -EAGAIN);
	pair_close(p);
}

/* ---- vectors, messages, flags ---- */

GORO_CASE(vectors_scatter_and_gather)
{
	for (enum pair_kind kind = 0; kind < N_PAIR_KINDS; kind++) {
		struct pair p = pair_of(kind);
		char a[2], b[3] = {0};
		struct iovec out[] = {{"ab", 2}, {"", 0}, {"cd", 2}}, in[] = {{a, 2}, {b, 3}};
		expect_eq(goro_writev(p.b, out, 3), 4);
		expect_eq(goro_readv(p.a, in, 2), 4);
		expect_eq(memcmp(a, "ab", 2), 0);
		expect_str(b, "cd");
		expect_eq(goro_readv(p.a, in, -1), -EINVAL);
		expect_eq(goro_writev(p.b, out, -1), -EINVAL);
		pair_close(p);
	}
}

static void send_descriptor(int to, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = {{0}};
	struct iovec part = {"!", 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = u.space,
				 .msg_controllen = sizeof(u.space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	expect_eq(goro_sendmsg(to, &message, 0), 1);
}

static int recv_descriptor(int from)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = {{0}};
	char data[8];
	struct iovec part = {data, 8};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = u.space,
				 .msg_controllen = sizeof(u.space)};
	int fd = -1;
	expect_eq(goro_recvmsg(from, &message, 0), 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	require(c != NULL && c->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static void sends_descriptor(void *arg)
{
	const int *fds = arg;
	goro_sleep(GORO_MS(1));
	send_descriptor(fds[0], fds[1]);
}

GORO_CASE(descriptors_are_passed)
{
	struct pair p = pair_of(UNIX_STREAM), q = pair_of(TCP);
	int fds[] = {p.b, q.a};
	require_eq(goro_spawn(sends_descriptor, fds), 0);
	int copy = recv_descriptor(p.a);
	expect_ge(copy, 0);
	expect_ne(copy, q.a);
	expect_eq(fcntl(copy, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	expect_eq(goro_close(q.a), 0); /* the connection lives on in the copy */
	expect_eq(goro_fd_add(copy), 0);
	expect_passes(q.b, copy, "a passed descriptor");
	expect_eq(goro_close(copy), 0);
	expect_eq(goro_close(q.b), 0);
	pair_close(p);
}

GORO_CASE(flags_are_the_kernels)
{
	struct pair p = pair_of(TCP);
	struct caller reader = {0};
	char data[8] = {0};
	expect_eq(goro_recv(p.a, data, 8, MSG_DONTWAIT), -EAGAIN);
	caller_start(&reader, call_read, p.a);
	expect_eq(goro_recv(p.a, data, 8, MSG_DONTWAIT), -EAGAIN); /* also while another waits */
	expect_eq(goro_send(p.b, "ab", 2, 0), 2);
	expect_eq(caller_result(&reader), 2);
	expect_eq(goro_send(p.b, "cd", 2, MSG_DONTWAIT), 2);
	for (int i = 0; i < 3; i++) {
		expect_eq(goro_recv(p.a, data, 8, MSG_PEEK), 2);
		expect_eq(memcmp(data, "cd", 2), 0);
	}
	expect_eq(goro_recv(p.a, data, 1, 0), 1);
	expect_eq(goro_recv(p.a, data, 8, 0), 1);
	(void)fill(p.b);
	expect_eq(goro_send(p.b, "x", 1, MSG_DONTWAIT), -EAGAIN);
	pair_close(p);
}

/* What is peeked at is there for the next call, which must not wait for an event. */
GORO_CASE(peeking_leaves_the_data)
{
	struct pair p = pair_of(TCP);
	char data[64];
	for (int i = 0; i < 100; i++) {
		expect_eq(goro_write(p.b, "abc", 3), 3);
		expect_eq(goro_recv(p.a, data, 64, MSG_PEEK), 3);
		expect_eq(goro_recv(p.a, data, 64, MSG_PEEK), 3);
		expect_eq(goro_read(p.a, data, 64), 3);
	}
	pair_close(p);
}

/* A read stops at the urgent byte: short, and not the end of what is there. */
GORO_CASE(urgent_data_stop_a_read)
{
	for (int i = 0; i < 50; i++) {
		struct pair p = pair_of(TCP);
		char data[64];
		int on = 1;
		require_eq(setsockopt(p.a, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), 0);
		expect_eq(goro_send(p.b, "abc", 3, 0), 3);
		expect_eq(goro_send(p.b, "U", 1, MSG_OOB), 1);
		expect_eq(goro_send(p.b, "de", 2, 0), 2);
		expect_eq(goro_read_full(p.a, data, 6), 6);
		expect_eq(memcmp(data, "abcUde", 6), 0);
		pair_close(p);
	}
}

GORO_CASE(nothing_is_done_at_once)
{
	static const enum pair_kind streams[] = {TCP, UNIX_STREAM, PIPE, PTY};
	for (int i = 0; i < 4; i++) {
		struct pair p = pair_of(streams[i]);
		struct iovec none = {NULL, 0};
		expect_eq(goro_set_read_deadline(p.a, 1), 0);
		for (int j = 0; j < 2; j++) {
			expect_eq(goro_read(p.a, NULL, 0), 0);
			expect_eq(goro_read_full(p.a, NULL, 0), 0);
			expect_eq(goro_readv(p.a, &none, 1), 0);
			expect_eq(goro_readv(p.a, NULL, 0), 0);
			expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
			(void)fill(p.b);
			expect_eq(goro_write(p.b, NULL, 0), 0);
			expect_eq(goro_write_all(p.b, NULL, 0), 0);
			expect_eq(goro_writev(p.b, &none, 1), 0);
			expect_eq(goro_set_write_deadline(p.b, 1), 0);
		}
		pair_close(p);
		expect_eq(goro_read(p.a, NULL, 0), -EBADF);
		expect_eq(goro_write(p.b, NULL, 0), -EBADF);
	}
}

/* What lies there stays there; known to the poller or not. */
static void expect_reading_nothing_takes_nothing(int fd, size_t n_waiting)
{
	struct iovec none = {NULL, 0};
	char data[8];
	expect_eq(goro_read(fd, data, 0), 0);
	expect_eq(goro_read(fd, NULL, 0), 0);
	expect_eq(goro_read_full(fd, data, 0), 0);
	expect_eq(goro_readv(fd, &none, 1), 0);
	expect_eq(goro_readv(fd, NULL, 0), 0);
	ssize_t expected = n_waiting ? (ssize_t)n_waiting : -EAGAIN;
	expect_eq(goro_recv(fd, data, 8, MSG_PEEK | MSG_DONTWAIT), expected);
}

GORO_CASE(a_read_of_nothing_takes_no_datagram, .id = "NET-16")
{
	static const enum pair_kind kinds[] = {TCP, UNIX_STREAM, UDP, UNIX_DGRAM, SEQPACKET};
	for (int i = 0; i < 10; i++) {
		bool is_known = i < 5, has_bounds = i % 5 > 1;
		struct pair p = is_known ? pair_of(kinds[i % 5]) : plain_pair_of(kinds[i % 5]);
		char data[8];
		expect_reading_nothing_takes_nothing(p.a, 0);
		expect_eq(goro_send(p.b, "abc", 3, 0), 3);
		expect_eq(goro_send(p.b, "de", 2, 0), 2);
		wait_for(goro_recv(p.a, data, 3, MSG_PEEK) == 3);
		expect_reading_nothing_takes_nothing(p.a, has_bounds ? 3 : 5);
		if (is_known) {
			expect_eq(goro_set_read_deadline(p.a, 1), 0);
			expect_eq(goro_read(p.a, data, 0), 0);
			expect_eq(goro_readv(p.a, NULL, 0), 0);
			expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
		}
		if (has_bounds) /* recv(2) of nothing takes one */
			expect_eq(goro_recv(p.a, data, 0, 0), 0);
		expect_eq(goro_read(p.a, data, 8), has_bounds ? 2 : 5);
		pair_close(p);
	}
}

/* As Go has it; a peer cannot tell one of SEQPACKET from the end. */
GORO_CASE(a_write_of_nothing_is_a_datagram, .id = "NET-16")
{
	static const enum pair_kind kinds[] = {UDP, UNIX_DGRAM};
	for (int i = 0; i < 4; i++) {
		struct pair p = i < 2 ? pair_of(kinds[i % 2]) : plain_pair_of(kinds[i % 2]);
		char data[8];
		expect_eq(goro_write(p.b, NULL, 0), 0);
		expect_eq(goro_write_all(p.b, NULL, 0), 0);
		expect_eq(goro_send(p.b, NULL, 0, 0), 0);
		expect_eq(goro_write(p.b, "x", 1), 1);
		for (int j = 0; j < 3; j++)
			expect_eq(goro_read(p.a, data, 8), 0);
		expect_eq(goro_read(p.a, data, 8), 1);
		pair_close(p);
	}
}

/* ---- NET-13, NET-14, NET-16 ---- */

GORO_CASE(half_close_ends_one_direction, .id = "NET-13")
{
	for (enum pair_kind kind = TCP; kind <= UNIX_STREAM; kind++) {
		struct pair p = pair_of(kind);
		struct caller reader = {0};
		char data[8];
		caller_start(&reader, call_read, p.b);
		expect_eq(shutdown(p.a, SHUT_WR), 0);
		expect_eq(caller_result(&reader), 0);
		expect_eq(goro_read(p.b, data, 8), 0);
		expect_eq(goro_write(p.b, "abc", 3), 3);
		expect_eq(goro_read(p.a, data, 8), 3);
		expect_eq(goro_write(p.a, "x", 1), -EPIPE);
		expect_eq(goro_write_all(p.a, "xy", 2), -EPIPE);
		caller_start(&reader, call_read, p.a);
		expect_eq(shutdown(p.a, SHUT_RD), 0);
		expect_eq(caller_result(&reader), 0);
		pair_close(p);
	}
}

GORO_CASE(what_was_written_before_the_end_is_read, .id = "NET-13")
{
	for (int i = 0; i < 200; i++) {
		struct pair p = pair_of(i % 2 ? TCP : UNIX_STREAM);
		char data[8];
		expect_eq(goro_write(p.b, "abcd", 4), 4);
		expect_eq(goro_close(p.b), 0);
		if (i % 4 < 2)
			goro_sleep(GORO_US(50));
		expect_eq(goro_read(p.a, data, 2), 2);
		expect_eq(memcmp(data, "ab", 2), 0);
		expect_eq(goro_read(p.a, data, 2), 2);
		expect_eq(memcmp(data, "cd", 2), 0);
		expect_eq(goro_read(p.a, data, 2), 0);
		expect_eq(goro_read(p.a, data, 2), 0);
		expect_eq(goro_close(p.a), 0);
	}
}

/* The end comes with the data, in one event, or later, in another. */
GORO_CASE(a_short_read_does_not_hide_the_end, .id = "NET-13", .is_race = true)
{
	for (int i = 0; i < 300; i++) {
		struct pair p = pair_of(TCP);
		struct caller reader = {0};
		char data[64];
		caller_start(&reader, call_read, p.a);
		expect_eq(goro_write(p.b, "abcd", 4), 4);
		if (i % 2)
			goro_yield();
		if (i % 3)
			expect_eq(goro_close(p.b), 0);
		else
			close_with_reset(p.b);
		ssize_t n = caller_result(&reader);
		expect(n == 4 || (i % 3 == 0 && n == -ECONNRESET));
		expect_eq(goro_set_read_deadline(p.a, goro_now() + GORO_SEC(5)), 0);
		n = goro_read(p.a, data, 64);
		expect(n == 0 || (i % 3 == 0 && n == -ECONNRESET));
		expect_eq(goro_close(p.a), 0);
	}
}

GORO_CASE(a_reset_is_an_error_and_kills_nobody, .id = "NET-14")
{
	struct pair p = pair_of(TCP);
	struct caller reader = {0};
	char data[8];
	caller_start(&reader, call_read, p.a);
	close_with_reset(p.b);
	expect_eq(caller_result(&reader), -ECONNRESET);
	expect_eq(goro_write(p.a, "x", 1), -EPIPE);
	expect_eq(goro_write_all(p.a, "x", 1), -EPIPE);
	expect_eq(goro_read(p.a, data, 8), 0);
	expect_eq(goro_close(p.a), 0);
	p = pair_of(TCP);
	expect_eq(goro_close(p.b), 0);
	expect_eq(goro_write(p.a, "x", 1), 1);
	wait_for(goro_write(p.a, "x", 1) != 1);
	expect_eq(goro_write(p.a, "x", 1), -EPIPE);
	expect_eq(goro_close(p.a), 0);
}

GORO_CASE(a_pipe_without_readers_is_EPIPE_each_time, .id = "NET-14")
{
	struct pair p = pair_of(PIPE);
	struct iovec part = {"x", 1};
	expect_eq(goro_close(p.a), 0);
	for (int i = 0; i < 20; i++) {
		expect_eq(goro_write(p.b, "x", 1), -EPIPE);
		expect_eq(goro_write_all(p.b, "x", 1), -EPIPE);
		expect_eq(goro_writev(p.b, &part, 1), -EPIPE);
	}
	expect_eq(goro_close(p.b), 0);
}

/* Nothing was ever added: the first call of all must see to SIGPIPE. */
GORO_CASE(an_unknown_pipe_without_readers_is_EPIPE_too, .id = "NET-14")
{
	for (int i = 0; i < 4; i++) {
		struct pair p = plain_pair_of(i % 2 ? UNIX_STREAM : PIPE);
		struct iovec part = {"x", 1};
		close(p.a);
		if (i < 2) {
			expect_eq(goro_write(p.b, "x", 1), -EPIPE);
			expect_eq(goro_write_all(p.b, "x", 1), -EPIPE);
		}
		expect_eq(goro_writev(p.b, &part, 1), -EPIPE);
		expect_eq(goro_close(p.b), 0);
	}
}

GORO_CASE(datagrams_keep_their_bounds, .id = "NET-16")
{
	static const enum pair_kind kinds[] = {UDP, UNIX_DGRAM, SEQPACKET};
	for (int i = 0; i < 3; i++) {
		struct pair p = pair_of(kinds[i]);
		struct caller reader = {0};
		char data[8] = {0};
		if (kinds[i] != SEQPACKET) {
			caller_start(&reader, call_read, p.a);
			expect_eq(goro_send(p.b, NULL, 0, 0), 0);
			expect_eq(caller_result(&reader), 0);
			expect_eq(goro_write(p.b, NULL, 0), 0);
		}
		expect_eq(goro_send(p.b, "abcdef", 6, 0), 6);
		expect_eq(goro_send(p.b, "gh", 2, 0), 2);
		if (kinds[i] != SEQPACKET)
			expect_eq(goro_recv(p.a, data, 8, 0), 0);
		expect_eq(goro_recv(p.a, data, 3, 0), 3);
		expect_eq(memcmp(data, "abc", 3), 0);
		expect_eq(goro_recv(p.a, data, 8, 0), 2);
		expect_eq(memcmp(data, "gh", 2), 0);
		expect_eq(goro_set_write_deadline(p.b, 1), 0);
		expect_eq(goro_send(p.b, "x", 1, 0), -ETIMEDOUT);
		caller_start(&reader, call_read, p.a);
		expect_eq(goro_close(p.a), 0);
		expect_eq(caller_result(&reader), -EBADF);
		expect_eq(goro_close(p.b), 0);
	}
}

GORO_CASE(datagrams_name_their_sender, .id = "NET-16")
{
	int a = bound_socket(SOCK_DGRAM), b = bound_socket(SOCK_DGRAM);
	struct sockaddr_in to = loopback(port_of(a)), from = {0};
	socklen_t size = sizeof(from);
	char data[8];
	require_eq(goro_fd_add(a), 0);
	require_eq(goro_fd_add(b), 0);
	expect_eq(goro_sendto(b, "abc", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
	expect_eq(goro_recvfrom(a, data, 8, 0, (struct sockaddr *)&from, &size), 3);
	expect_eq(size, sizeof(from));
	expect_eq(ntohs(from.sin_port), port_of(b));
	pair_close((struct pair){a, b});
}

GORO_CASE(an_unreachable_port_refuses, .id = "NET-16")
{
	struct pair p = pair_of(UDP);
	struct caller reader = {0};
	expect_eq(goro_close(p.a), 0);
	caller_start(&reader, call_read, p.b);
	expect_eq(goro_write(p.b, "x", 1), 1);
	expect_eq(caller_result(&reader), -ECONNREFUSED);
	expect_eq(goro_close(p.b), 0);
}

/* ---- what the kernel says once ---- */

/* The peer takes nothing for longer than TCP_USER_TIMEOUT allows. */
GORO_CASE(a_time_out_of_the_kernel_after_some_bytes_is_not_lost)
{
	struct pair p = pair_of(TCP);
	int limit_ms = 100;
	size_t size = 64 << 20;
	char *data = calloc(1, size);
	require(data != NULL);
	require_eq(setsockopt(p.a, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms)), 0);
	expect_gt(goro_write_all(p.a, data, size), 0);
	expect_eq(goro_write_all(p.a, data, size), -ETIMEDOUT);
	expect_eq(goro_write_all(p.a, data, size), -EPIPE);
	free(data);
	pair_close(p);
}

/* A signal's frame may be larger than what a goroutine has left of its stack. */
GORO_CASE(sigpipe_does_not_come_on_a_goroutines_stack)
{
	struct sigaction now;
	struct pair p = pair_of(PIPE);
	expect_eq(goro_close(p.a), 0);
	expect_eq(goro_write(p.b, "abc", 3), -EPIPE);
	require_eq(sigaction(SIGPIPE, NULL, &now), 0);
	expect((now.sa_flags & SA_ONSTACK) != 0);
	expect_eq(goro_close(p.b), 0);
}

TAP_MAIN
