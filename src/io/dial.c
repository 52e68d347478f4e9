/*
 * dial.c - sockets by name: those that take connections, and those that are one.
 *
 *   goro_listen -> address.c, resolve.c -> socket, bind, listen -> the poller
 *   goro_dial   -> address.c, resolve.c -> [dial_inet]: attempts, one after the other or side by
 *                  side -> the first that is connected
 *
 * DI1  An attempt begins when none is under way, when one has failed, or 250 ms after the last
 *      began (RFC 8305: the next address is of the other family where there is one). The first
 *      attempt that is connected wins, and the others are closed.
 * DI2  One attempt is waited for as any descriptor is; several are put into an epoll descriptor,
 *      which is waited for in their place. So a dial costs no goroutine and no thread.
 * DI3  A socket goes to the poller after connect() was called: before that it would report a
 *      hangup. Until it has won nobody else knows its number.
 * DI4  That a socket can be written does not say that it is connected: another connect() does. And
 *      the peer may be itself: a port of the ephemeral range is dialled from that same port.
 *
 * Locking: none. Go: net/dial.go, tcpsock_posix.go, sock_posix.go, with goroutines in place of DI2,
 * and two lists of addresses of which each is tried one by one.
 */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>

#include "goro.h"
#include "io/address.h"
#include "io/fd.h"
#include "io/resolve.h"
#include "os/os.h"
#include "os/os_io.h"

#define STAGGER GORO_MS(250)   /* DI1; RFC 8305: 100 ms to 2 s, 250 recommended */
#define KEEP_ALIVE_S 15        /* Go: the same, idle and between probes */
#define TRIES_MORE 2           /* Go: as many; DI4 */

/* ---- sockets ---- */

/* As Go has them; a system that does not know one of these works without it. */
static void stream_tune(int fd)
{
	(void)os_socket_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	(void)os_socket_set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	(void)os_socket_set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_ALIVE_S);
	(void)os_socket_set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_ALIVE_S);
}

static bool is_tcp(int family, int type)
{
	return family != AF_UNIX && type == SOCK_STREAM;
}

static int socket_make(int family, int type, bool is_v6_only)
{
	int fd = os_socket(family, type, 0);

	if (fd < 0)
		return fd;
	if (family == AF_INET6)
		(void)os_socket_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, is_v6_only);
	if (is_tcp(family, type))
		stream_tune(fd);
	else if (family == AF_INET && type == SOCK_DGRAM)
		(void)os_socket_set_option(fd, SOL_SOCKET, SO_BROADCAST, 1);
	return fd;
}

/* It is the poller's from now on; or closed. */
static int socket_add(int fd, int family, int type)
{
	CALL_SCOPE;
	enum fd_kind kind = is_tcp(family, type)  ? FD_TCP
			    : type == SOCK_STREAM ? FD_SOCKET
						  : FD_DATAGRAM;
	int error = fd_add(fd, kind);
	if (error)
		(void)os_fd_close(fd);
	return error ? error : fd;
}

/* ---- listening ---- */

static int listen_at(const struct sockaddr *address, socklen_t size, int type, bool is_v6_only)
{
	int family = address->sa_family;
	int fd = socket_make(family, type, is_v6_only);

	if (fd < 0)
		return fd;
	if (is_tcp(family, type))
		(void)os_socket_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	int error = os_socket_bind(fd, address, size);
	/* The kernel cuts it down to net.core.somaxconn, that of our network namespace. */
	if (!error && type != SOCK_DGRAM)
		error = os_socket_listen(fd, INT_MAX);
	if (error) {
		(void)os_fd_close(fd);
		return error;
	}
	return socket_add(fd, family, type);
}

/* One socket for both families where the system has IPv6. */
static int listen_everywhere(const struct addresses *both, int type)
{
	int fd = listen_at(&both->at[1].any, inet_size(&both->at[1]), type, false);

	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_at(&both->at[0].any, inet_size(&both->at[0]), type, false);
	return fd;
}

/* Of a name's addresses an IPv4 one, as in Go: what is reachable for most. */
static const union inet_address *listen_choice(const struct addresses *all)
{
	for (uint32_t i = 0; i < all->n; i++)
		if (all->at[i].any.sa_family == AF_INET)
			return &all->at[i];
	return &all->at[0];
}

static int listen_inet(const struct network *net, const char *address)
{
	struct inet_name name;
	struct addresses all;

	int error = inet_parse(address, net, &name);
	if (!error)
		error = resolve(&name, net, true, OS_FOREVER, &all);
	if (error)
		return error;
	if (!name.host[0] && net->family == AF_UNSPEC)
		return listen_everywhere(&all, net->type);
	const union inet_address *chosen = listen_choice(&all);
	return listen_at(&chosen->any, inet_size(chosen), net->type, net->family == AF_INET6);
}

int goro_listen(const char *network, const char *address)
{
	struct network net;
	struct unix_address path;

	int error = network_parse(network, &net);
	if (error)
		return error;
	if (net.family != AF_UNIX)
		return listen_inet(&net, address);
	error = unix_parse(address, &path);
	if (error)
		return error;
	return listen_at((const struct sockaddr *)&path.name, path.size, net.type, false);
}

/* ---- dialling ---- */

struct dialling {
	struct deferred record;        /* a run ends around it */
	const struct network *net;
	const struct addresses *all;   /* in the order in which they are tried */
	int64_t deadline;
	int64_t next_at;               /* when another begins though some are under way */
	uint32_t next;                 /* of all */
	uint32_t n;                    /* attempts under way: */
	uint32_t tries_more;           /* DI4 */
	int fd[ADDRESSES_MAX];
	const union inet_address *to[ADDRESSES_MAX];
	int epoll;                     /* DI2; or -1 */
	int error;                     /* what is returned when all have failed */
};

static void dial_hold_nothing(void *arg)
{
	(void)arg;
}

static void dial_hold_drop(struct deferred *record)
{
	struct dialling *d = container_of(record, struct dialling, record);

	for (uint32_t i = 0; i < d->n; i++)
		fd_abandon(d->fd[i]);
	if (d->epoll >= 0)
		fd_abandon(d->epoll);
}

/* Of several errors the one that says most: that there is no way says less than any other. */
static void dial_failed(struct dialling *d, int error)
{
	bool is_no_way = error == -ENETUNREACH || error == -EHOSTUNREACH ||
			 error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;

	if (!d->error || !is_no_way)
		d->error = error;
	d->next_at = 0; /* DI1 */
}

/* 0: under way. */
static int attempt_begin(struct dialling *d, const union inet_address *to)
{
	int family = to->any.sa_family;
	int fd = socket_make(family, d->net->type, d->net->family == AF_INET6);

	if (fd < 0)
		return fd;
	int error = os_socket_connect(fd, &to->any, inet_size(to));
	if (error && error != -EINPROGRESS && error != -EINTR) {
		(void)os_fd_close(fd);
		return error;
	}
	fd = socket_add(fd, family, d->net->type); /* DI3 */
	if (fd < 0)
		return fd;
	d->fd[d->n] = fd;
	d->to[d->n++] = to;
	if (d->epoll >= 0)
		return os_epoll_add(d->epoll, fd, EPOLLOUT, 0);
	return 0;
}

/* The second attempt beside another one. False: it must wait until the other has failed. */
static bool attempts_together(struct dialling *d)
{
	int error = 0;

	if (d->epoll >= 0)
		return true;
	int epoll = os_epoll_create();
	if (epoll >= 0)
		epoll = socket_add(epoll, AF_UNSPEC, SOCK_STREAM);
	if (epoll < 0)
		return false;
	for (uint32_t i = 0; i < d->n && !error; i++)
		error = os_epoll_add(epoll, d->fd[i], EPOLLOUT, 0);
	if (error)
		fd_abandon(epoll);
	else
		d->epoll = epoll;
	return !error;
}

enum { CONNECTING, CONNECTED, CONNECTED_TO_ITSELF };

/* One of these, or why not. */
static int attempt_result(int fd, const union inet_address *to, bool is_stream)
{
	int error = os_socket_connect(fd, &to->any, inet_size(to)); /* DI4 */

	if (error == -EALREADY || error == -EINPROGRESS || error == -EINTR)
		return CONNECTING;
	if (error && error != -EISCONN)
		return error;
	return is_stream && os_socket_is_loop(fd) ? CONNECTED_TO_ITSELF : CONNECTED;
}

static void attempt_remove(struct dialling *d, uint32_t i)
{
	d->n--;
	d->fd[i] = d->fd[d->n];
	d->to[i] = d->to[d->n];
}

static void attempt_start(struct dialling *d, const union inet_address *to)
{
	uint32_t before = d->n;
	int error = attempt_begin(d, to);

	if (error) {
		if (d->n > before)
			fd_abandon(d->fd[--d->n]);
		dial_failed(d, error);
	}
}

/* The descriptor that has won, taken out of the attempts; or -1. Those that failed are closed. */
static int attempts_look(struct dialling *d)
{
	for (uint32_t i = 0; i < d->n;) {
		int fd = d->fd[i];
		const union inet_address *to = d->to[i];
		int result = attempt_result(fd, to, d->net->type == SOCK_STREAM);
		if (result == CONNECTING) {
			i++;
			continue;
		}
		attempt_remove(d, i);
		if (result == CONNECTED)
			return fd;
		fd_abandon(fd);
		/* Connected to itself: nobody listens there, unless another port says otherwise. */
		dial_failed(d, result < 0 ? result : -ECONNREFUSED);
		if (result > 0 && d->tries_more > 0) {
			d->tries_more--;
			attempt_start(d, to);
		}
	}
	return -1;
}

/* DI1 */
static void attempts_start(struct dialling *d)
{
	while (d->next < d->all->n && (d->n == 0 || d->next_at <= os_now())) {
		if (d->n > 0 && !attempts_together(d)) {
			d->next_at = OS_FOREVER;
			return;
		}
		d->next_at = os_now() + STAGGER;
		attempt_start(d, &d->all->at[d->next++]);
	}
}

static int attempts_wait(struct dialling *d)
{
	int64_t until = d->deadline;
	bool has_more = d->next < d->all->n && d->next_at < until;
	int got;

	if (has_more)
		until = d->next_at;
	if (d->n == 1)
		got = goro_fd_wait(d->fd[0], POLLOUT, until);
	else
		got = goro_fd_wait(d->epoll, POLLIN, until);
	return got == -ETIMEDOUT && has_more ? 0 : got;
}

static int dial_until_connected(struct dialling *d)
{
	for (;;) {
		attempts_start(d);
		int fd = attempts_look(d);
		if (fd >= 0)
			return fd;
		if (d->n == 0) {
			if (d->next < d->all->n)
				continue;
			return d->error;
		}
		int got = attempts_wait(d);
		if (got < 0)
			return got;
	}
}

/* The first of one family, the first of the other, the second of the one, ... */
static void interleave(struct addresses *all)
{
	const struct addresses in = *all;
	uint32_t at[2] = {0, 0};

	for (uint32_t n = 0; n < in.n; n++) {
		uint32_t *from = &at[n % 2];
		bool wants_first = n % 2 == 0;
		for (int i = 0; i < 2; i++) {
			while (*from < in.n && (in.at[*from].any.sa_family ==
						in.at[0].any.sa_family) != wants_first)
				++*from;
			if (*from < in.n)
				break;
			from = &at[(n + 1) % 2]; /* no more of that family */
			wants_first = !wants_first;
		}
		all->at[n] = in.at[(*from)++];
	}
}

static int dial_inet(const struct network *net, const char *address, int64_t deadline)
{
	struct inet_name name;
	struct addresses all;

	int error = inet_parse(address, net, &name);
	if (!error)
		error = resolve(&name, net, false, deadline, &all);
	if (error)
		return error;
	interleave(&all);
	struct dialling d = {
		.record = {.fn = dial_hold_nothing, .drop = dial_hold_drop},
		.net = net,
		.all = &all,
		.deadline = deadline,
		.tries_more = TRIES_MORE,
		.epoll = -1,
	};
	deferred_push(&d.record);
	int fd = dial_until_connected(&d);
	deferred_remove(&d.record);
	dial_hold_drop(&d.record); /* the others */
	return fd;
}

/* The listener's queue is full. A record holds the descriptor, as of an attempt. */
static int dial_unix_slowly(int fd, const struct unix_address *to, int64_t deadline)
{
	struct dialling d = {
		.record = {.fn = dial_hold_nothing, .drop = dial_hold_drop},
		.n = 1,
		.fd = {fd},
		.epoll = -1,
	};

	deferred_push(&d.record);
	int error = connect_until(fd, (const struct sockaddr *)&to->name, to->size, deadline);
	deferred_remove(&d.record);
	if (error)
		fd_abandon(fd);
	return error ? error : fd;
}

static int dial_unix(const struct network *net, const char *address, int64_t deadline)
{
	struct unix_address path;

	int error = unix_parse(address, &path);
	if (error)
		return error;
	int fd = os_socket(AF_UNIX, net->type, 0);
	if (fd < 0)
		return fd;
	/* Nearly always there is room for it at once; and DI3. */
	error = os_socket_connect(fd, (const struct sockaddr *)&path.name, path.size);
	if (error && error != -EAGAIN) {
		(void)os_fd_close(fd);
		return error;
	}
	fd = socket_add(fd, AF_UNIX, net->type);
	if (fd < 0 || !error)
		return fd;
	return dial_unix_slowly(fd, &path, deadline);
}

int goro_dial(const char *network, const char *address, int64_t deadline)
{
	struct network net;

	int error = network_parse(network, &net);
	if (error)
		return error;
	if (call_is_canceled())
		return -ECANCELED;
	if (deadline_is_past(deadline))
		return -ETIMEDOUT;
	if (net.family == AF_UNIX)
		return dial_unix(&net, address, deadline);
	return dial_inet(&net, address, deadline);
}
