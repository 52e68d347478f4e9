/*
 * netfull.c - a Unix datagram to a name whose queue is full of another's: who sends it rests until
 * there is room, which no event tells of (RD3), and is ended by what ends any call.
 *
 *   other -> the receiver's queue, full <- sender: waits, with little work
 */
#include "net_tap.h"

#include <sys/un.h>

static struct sockaddr_un name = {.sun_family = AF_UNIX};

struct full {
	int receiver, other, sender, n;
};

static int datagram_socket(bool is_known)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	require(fd >= 0);
	if (is_known)
		require_eq(goro_fd_add(fd), 0);
	return fd;
}

static struct full full_begin(bool is_known)
{
	struct full f = {datagram_socket(true), datagram_socket(false), 0, 0};
	f.sender = datagram_socket(is_known);
	snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "goro-full-%d", (int)getpid());
	require_eq(bind(f.receiver, (struct sockaddr *)&name, sizeof(name)), 0);
	while (sendto(f.other, "o", 1, 0, (struct sockaddr *)&name, sizeof(name)) == 1)
		f.n++;
	expect_eq(errno, EAGAIN);
	return f;
}

static void full_end(struct full f)
{
	goro_close(f.sender);
	expect_eq(goro_close(f.receiver), 0);
	close(f.other);
}

static ssize_t call_sendto(struct caller *c)
{
	return goro_sendto(c->fd, "s", 1, 0, (struct sockaddr *)&name, sizeof(name));
}

static ssize_t call_sendmsg(struct caller *c)
{
	struct iovec part = {(char[]){"s"}, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	message.msg_name = &name;
	message.msg_namelen = sizeof(name);
	return goro_sendmsg(c->fd, &message, 0);
}

static void begin(struct caller *c, ssize_t (*call)(struct caller *), int fd)
{
	*c = (struct caller){.call = call, .fd = fd};
	require_eq(goro_spawn(call_it, c), 0);
	wait_for(load(&c->id) != 0);
}

/* It waits, with little work, until there is room. */
static void expect_rest(ssize_t (*call)(struct caller *), bool is_known)
{
	struct full f = full_begin(is_known);
	struct caller c;
	char data[4];
	begin(&c, call, f.sender);
	int64_t before = tap_cpu_ns();
	goro_sleep(GORO_MS(200));
	expect_lt(tap_cpu_ns() - before, GORO_MS(60) * TAP_SLOWER);
	expect(!load(&c.is_over));
	for (int i = 0; i < f.n; i++)
		expect_eq(goro_read(f.receiver, data, sizeof(data)), 1);
	expect_eq(goro_set_read_deadline(f.receiver, goro_now() + GORO_SEC(10)), 0);
	expect_eq(goro_read(f.receiver, data, sizeof(data)), 1);
	expect_eq(data[0], 's');
	expect_eq(caller_result(&c), 1);
	full_end(f);
}

GORO_CASE(who_sends_to_a_full_queue_rests, .is_idle = true)
{
	expect_rest(call_sendto, true);
	expect_rest(call_sendmsg, true);
}

GORO_CASE(and_so_does_one_that_the_poller_does_not_know, .is_idle = true)
{
	expect_rest(call_sendto, false);
	expect_rest(call_sendmsg, false);
}

GORO_CASE(a_deadline_ends_it)
{
	struct full f = full_begin(true);
	struct caller c;
	int64_t at = goro_now() + GORO_MS(30);
	expect_eq(goro_set_write_deadline(f.sender, at), 0);
	begin(&c, call_sendto, f.sender);
	expect_eq(caller_result(&c), -ETIMEDOUT);
	expect_ge(goro_now(), at);
	expect_eq(goro_set_write_deadline(f.sender, GORO_FOREVER), 0);
	begin(&c, call_sendto, f.sender);
	goro_sleep(GORO_MS(5));
	expect(!load(&c.is_over));
	expect_eq(goro_set_write_deadline(f.sender, GORO_POLL), 0);
	expect_eq(caller_result(&c), -ETIMEDOUT);
	full_end(f);
}

GORO_CASE(a_close_ends_it)
{
	struct full f = full_begin(true);
	struct caller c;
	begin(&c, call_sendmsg, f.sender);
	goro_sleep(GORO_MS(5));
	expect(!load(&c.is_over));
	expect_eq(goro_close(f.sender), 0);
	expect_eq(caller_result(&c), -EBADF);
	full_end(f);
}

GORO_CASE(a_context_ends_it)
{
	struct full f = full_begin(true);
	goro_ctx *ctx = goro_ctx_with_deadline(goro_ctx_background(), goro_now() + GORO_MS(20));
	goro_ctx *before = goro_ctx_use(ctx);
	struct caller c = {.fd = f.sender};
	expect_eq(call_sendto(&c), -ECANCELED);
	goro_ctx_unref(goro_ctx_use(before));
	full_end(f);
}

/* poll(2) looks at the queue of its peer, and is silent about the one that it sends to. */
GORO_CASE(who_has_another_full_queue_for_a_peer_is_not_forgotten)
{
	struct full f = full_begin(true);
	struct sockaddr_un peer_name = {.sun_family = AF_UNIX};
	struct caller c;
	char data[4];
	int peer = datagram_socket(false);
	snprintf(peer_name.sun_path + 1, sizeof(peer_name.sun_path) - 1, "goro-peer-%d",
		 (int)getpid());
	require_eq(bind(peer, (struct sockaddr *)&peer_name, sizeof(peer_name)), 0);
	require_eq(connect(f.sender, (struct sockaddr *)&peer_name, sizeof(peer_name)), 0);
	while (send(f.sender, "p", 1, MSG_DONTWAIT) == 1)
		;
	require_eq(errno, EAGAIN);
	begin(&c, call_sendto, f.sender);
	goro_sleep(GORO_MS(5));
	expect(!load(&c.is_over));
	expect_eq(goro_read(f.receiver, data, sizeof(data)), 1);
	expect_eq(caller_result(&c), 1);
	full_end(f);
	close(peer);
}

GORO_CASE(many_go_through_a_small_queue)
{
	struct full f = full_begin(true);
	struct caller c[20];
	char data[4];
	int n_sent = 0;
	for (int i = 0; i < 20; i++)
		begin(&c[i], i & 1 ? call_sendto : call_sendmsg, f.sender);
	expect_eq(goro_set_read_deadline(f.receiver, goro_now() + GORO_SEC(10)), 0);
	for (int i = 0; i < f.n + 20; i++) {
		expect_eq(goro_read(f.receiver, data, sizeof(data)), 1);
		n_sent += data[0] == 's';
	}
	expect_eq(n_sent, 20);
	for (int i = 0; i < 20; i++)
		expect_eq(caller_result(&c[i]), 1);
	full_end(f);
}

TAP_MAIN
