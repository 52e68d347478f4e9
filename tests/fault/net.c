/*
 * net.c - connections while the n-th call fails: the poller's descriptors, its registrations,
 * memory.
 *
 *   sockets are made, added, accepted, written, read, closed -> what is refused says so, nothing
 *   hangs, no descriptor stays open
 *
 * And a process at the limit of its descriptors: accept comes back at once, and loses no
 * connection.
 *
 * sweep.h tells what a run of the first kind must come to.
 */
#include "sweep.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { CONNECTIONS = 4 };

static int n_echoed, n_over;

static int open_count(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* What the poller may say: no descriptor, no watch, no memory. */
static bool is_added(int fd)
{
	int error = goro_fd_add(fd);
	if (error != 0) {
		expect(error == -EMFILE || error == -ENOSPC || error == -ENOMEM);
		expect(fault_was_met());
	}
	return error == 0;
}

static void answers(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char c;
	if (goro_read(fd, &c, 1) == 1)
		expect_eq(goro_write(fd, &c, 1), 1);
	expect_eq(goro_close(fd), 0);
	add(&n_over, 1);
}

/* A pair that the poller knows, or both closed. */
static void talks_once(void)
{
	int fd[2];
	char c = 'x';
	require_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	if (!is_added(fd[0]) || !is_added(fd[1])) {
		expect_eq(goro_close(fd[0]), 0);
		expect_eq(goro_close(fd[1]), 0);
		return;
	}
	if (is_granted(goro_spawn(answers, (void *)(intptr_t)fd[0]))) {
		expect_eq(goro_write(fd[1], &c, 1), 1);
		expect_eq(goro_read(fd[1], &c, 1), 1);
		expect_eq(goro_read(fd[1], &c, 1), 0);
		add(&n_echoed, 1);
	} else {
		expect_eq(goro_close(fd[0]), 0);
	}
	expect_eq(goro_close(fd[1]), 0);
}

static int meets_descriptors(void *unused)
{
	(void)unused;
	for (int i = 0; i < CONNECTIONS; i++)
		talks_once();
	wait_for(goro_count() == 1);
	expect(n_echoed == CONNECTIONS || fault_was_met());
	return MAIN_VALUE;
}

static void descriptors(void)
{
	int before = open_count();
	if (run_main(meets_descriptors, NULL))
		expect_le(open_count(), before + 2); /* the poller's own */
}

SWEEP(descriptors)
SWEEP_KIND(descriptors, epoll)

/* ---- the only thread sleeps in the poller when work comes from outside ---- */

static void *sends_soon(void *c)
{
	tap_pause(GORO_MS(20)); /* goro_read() parks meanwhile, or the run shows nothing */
	goro_chan_send(c, &(int){MAIN_VALUE});
	return NULL;
}

static int hears_from_outside(void *unused)
{
	int fd[2];
	pthread_t thread;
	(void)unused;
	goro_chan *c = make_chan(sizeof(int), 0);
	require_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	if (c && is_added(fd[0]) && is_granted(goro_spawn(answers, (void *)(intptr_t)fd[0]))) {
		require_eq(pthread_create(&thread, NULL, sends_soon, c), 0);
		expect_eq(goro_get(c, int), MAIN_VALUE);
		pthread_join(thread, NULL);
	}
	close(fd[1]);
	wait_for(goro_count() == 1);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void only_thread(void)
{
	run_main(hears_from_outside, NULL);
}

SWEEP_KIND(only_thread, clone)

/* ---- accept while the poller cannot take it ---- */

static int plain_listener(struct sockaddr_in *at)
{
	socklen_t size = sizeof(*at);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*at = (struct sockaddr_in){.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	require_eq(bind(l, (struct sockaddr *)at, sizeof(*at)), 0);
	require_eq(listen(l, 64), 0);
	require_eq(getsockname(l, (struct sockaddr *)at, &size), 0);
	return l;
}

static int plain_client(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(fd >= 0);
	require_eq(connect(fd, (const struct sockaddr *)to, sizeof(*to)), 0);
	return fd;
}

static int meets_accept(void *unused)
{
	struct sockaddr_in at;
	int l = plain_listener(&at);
	(void)unused;
	if (is_added(l)) {
		for (int i = 0; i < CONNECTIONS; i++) {
			int fd = plain_client(&at), got = goro_accept(l, NULL, NULL);
			if (got >= 0)
				expect_eq(goro_close(got), 0);
			else
				expect((got == -ENOSPC || got == -ENOMEM) && fault_was_met());
			close(fd);
		}
	}
	expect_eq(goro_close(l), 0);
	return MAIN_VALUE;
}

static void accepting(void)
{
	int before = open_count();
	if (run_main(meets_accept, NULL))
		expect_le(open_count(), before + 2);
}

SWEEP_KIND(accepting, epoll)
SWEEP_KIND(accepting, mmap)

/* ---- the limit of descriptors ---- */

enum { LIMIT = 64, CLIENTS = 12 };

static int all_open[LIMIT];

/* So many more, until the limit. */
static int use_up(void)
{
	int n = 0;
	for (int fd; (fd = dup(STDIN_FILENO)) >= 0;)
		all_open[n++] = fd;
	require_eq(errno, EMFILE);
	return n;
}

static int accepts_at_the_limit(void *unused)
{
	struct sockaddr_in at;
	struct rlimit limit = {LIMIT, LIMIT};
	int l = plain_listener(&at), clients[CLIENTS];
	(void)unused;
	require_eq(goro_fd_add(l), 0);
	require_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = plain_client(&at);
	int n = use_up(), accepted[CLIENTS];
	for (int i = 0; i < 5; i++) {
		int64_t start = tap_now();
		expect_eq(goro_accept(l, NULL, NULL), -EMFILE);
		expect_lt(tap_now() - start, GORO_SEC(1) * TAP_SLOWER);
	}
	for (int i = 0; i < CLIENTS; i++) {
		char c = (char)('a' + i), got = 0;
		close(all_open[--n]);
		accepted[i] = goro_accept(l, NULL, NULL);
		require_ge(accepted[i], 0);
		expect_eq(goro_accept(l, NULL, NULL), -EMFILE);
		expect_eq(write(clients[i], &c, 1), 1); /* in the order of their coming */
		expect_eq(goro_read(accepted[i], &got, 1), 1);
		expect_eq(got, c);
	}
	close(all_open[--n]);
	expect_eq(goro_set_read_deadline(l, goro_now() + GORO_MS(1)), 0);
	expect_eq(goro_accept(l, NULL, NULL), -ETIMEDOUT);
	for (int i = 0; i < CLIENTS; i++) {
		expect_eq(goro_close(accepted[i]), 0);
		close(clients[i]);
	}
	while (n > 0)
		close(all_open[--n]);
	expect_eq(goro_close(l), 0);
	return 0;
}

TAP_CASE(accept_at_the_limit_comes_back_and_loses_nothing)
{
	expect_eq(goro_run(accepts_at_the_limit, NULL), 0);
}

/* The first use of all, without a descriptor left for the poller. */
static int adds_at_the_limit(void *unused)
{
	struct rlimit limit = {LIMIT, LIMIT};
	int fd[2];
	(void)unused;
	require_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	require_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	int n = use_up();
	for (int i = 0; i < 2; i++) {
		expect_eq(goro_fd_add(fd[0]), -EMFILE);
		if (i == 0)
			close(all_open[--n]); /* one is not enough */
	}
	close(all_open[--n]);
	expect_eq(goro_fd_add(fd[0]), 0);
	expect_eq(goro_close(fd[0]), 0);
	while (n > 0)
		close(all_open[--n]);
	close(fd[1]);
	return 0;
}

TAP_CASE(the_poller_itself_may_find_no_descriptor)
{
	expect_eq(goro_run(adds_at_the_limit, NULL), 0);
}

TAP_MAIN
