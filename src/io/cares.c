/*
 * cares.c - names asked of DNS by c-ares, over our own poller.
 *
 *   [cares_look_up] -> query_begin: a channel, the servers are asked
 *                   -> query_wait: goro_fd_wait() on its socket until the next time-out of c-ares
 *                   -> query_go_on: what came is handed to c-ares ... -> query_end
 *
 * CA1  A lookup has a channel of its own, which only its goroutine uses: c-ares before 1.31 has no
 *      locks. So it has sockets of its own, with a port that nobody can guess, as with libc.
 * CA2  Calls of c-ares, which calls malloc, are made as the program makes its own: outside of
 *      CALL_SCOPE, SR2. It does not wait there, and calls back into this file only. They are not
 *      announced: a thousand that begin at once would take a thread each for these microseconds.
 *      goro_nopreempt_begin() keeps a run that ends from leaving them half done (PR7).
 * CA3  Its sockets are made, and closed, by functions of ours: close-on-exec, non-blocking, known
 *      to the poller from the first wait on (DI3) until they are closed.
 * CA4  One socket is waited for as any descriptor is; several (a server that did not answer and the
 *      next one, TCP after a truncated answer) through an epoll descriptor, as in DI2.
 * CA5  A run may end around it in any call: the record of its deferred calls ends the channel.
 * CA6  The library is loaded once, at run time, and stays: nobody has to link with it.
 * CA7  What a server answers that is no answer (a failure, a refusal, damaged records) means other
 *      things to c-ares than to libc, which goes on with the next domain of a search, and keeps
 *      what the other family has; and of more addresses than we keep the first in order are wanted.
 *      These are rare: libc is asked then. Silence means the same to both.
 *
 * Locking: none. Orders: CARES-API. Go: dnsclient_unix.go in package net, which does all of it by
 * itself.
 */
/* Before the #ifdef: the amalgamation has each where it is first included. */
#include "base/check.h"
#include "base/fatal.h"
#include "goro.h"
#include "io/cares.h"
#include "io/fd.h"
#include "io/order.h"
#include "os/os.h"
#include "os/os_io.h"

#ifdef GORO_HAVE_CARES

#include <ares.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

/* ---- the library ---- */

/* Its newest versions have other names beside these, which all have. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define CARES_FUNCTIONS(X)                                                          \
	X(init_options) X(destroy) X(set_servers_csv) X(set_socket_functions)       \
	X(getaddrinfo) X(freeaddrinfo) X(process_fd) X(timeout) X(version)

struct cares {
#define CARES_POINTER(name) __typeof__(&ares_##name) name;
	CARES_FUNCTIONS(CARES_POINTER)
#undef CARES_POINTER
};

#pragma GCC diagnostic pop

static struct cares cares_missing;       /* its address: looked for, and not there */
static atomic_of(struct cares *) cares;  /* CARES-API; NULL: not looked for */

static bool cares_find(struct cares *to)
{
	void *library = os_library_open("libcares.so.2");
	bool is_whole = library != NULL;

#define CARES_FIND(name)                                                            \
	if (is_whole) {                                                             \
		void *at = os_library_symbol(library, "ares_" #name);               \
		memcpy(&to->name, &at, sizeof(at));                                 \
		is_whole = at != NULL;                                              \
	}
	CARES_FUNCTIONS(CARES_FIND)
#undef CARES_FIND
	return is_whole;
}

/* CA6. Two that look at the same time find the same. */
static const struct cares *cares_get(void)
{
	struct cares *now = load_acq(&cares); /* CARES-API */

	if (now)
		return now == &cares_missing ? NULL : now;
	struct cares *mine = os_alloc(sizeof(*mine));
	if (!mine)
		return NULL;
	bool is_found = cares_find(mine);
	bool is_first = cas_acq_rel(&cares, &now, is_found ? mine : &cares_missing); /* CARES-API */
	if (!is_found || !is_first)
		os_free(mine);
	now = load_acq(&cares); /* CARES-API */
	return now == &cares_missing ? NULL : now;
}

bool cares_is_there(void)
{
	return os_debug(OS_DEBUG_CARES) && cares_get();
}

const char *cares_about(void)
{
	const struct cares *api = cares_get();

	if (!os_debug(OS_DEBUG_CARES))
		return NULL;
	return api ? api->version(NULL) : NULL;
}

/* ---- one lookup ---- */

enum { SOCKETS_MAX = 4 * NAMES_SERVERS };

struct query_socket {
	int fd;
	short events;    /* that c-ares waits for */
	bool is_known;   /* to the poller */
	bool is_watched; /* by the query's epoll descriptor, for those events */
};

struct query {
	struct deferred record; /* CA5 */
	const struct cares *api;
	ares_channel channel;   /* or NULL */
	uint16_t port;
	bool is_crowded;        /* there are more than *to can have */
	bool is_over;           /* and its result is: */
	int error;
	int socket_error;       /* what stood in the way of asking; or 0 */
	struct addresses *to;
	int64_t next_at;        /* c-ares wants to be called, whatever came */
	int epoll;              /* CA4; or -1 */
	uint32_t n_sockets;
	struct query_socket sockets[SOCKETS_MAX];
};

static struct query_socket *socket_of(struct query *q, int fd)
{
	for (uint32_t i = 0; i < q->n_sockets; i++)
		if (q->sockets[i].fd == fd)
			return &q->sockets[i];
	return NULL;
}

static void socket_unwatch(struct query *q, struct query_socket *s)
{
	if (s->is_watched)
		os_epoll_remove(q->epoll, s->fd);
	s->is_watched = false;
}

/* ---- what c-ares calls: CA2, CA3 ---- */

static ares_socket_t on_socket(int family, int type, int protocol, void *arg)
{
	struct query *q = arg;
	int fd = q->n_sockets == SOCKETS_MAX ? -EMFILE : os_socket(family, type, protocol);

	if (fd >= 0)
		q->sockets[q->n_sockets++] = (struct query_socket){.fd = fd, .events = POLLIN};
	else if (fd != -EAFNOSUPPORT) /* a server of the other family may do */
		q->socket_error = fd;
	return (ares_socket_t)os_as_libc(fd);
}

static int on_close(ares_socket_t fd, void *arg)
{
	struct query *q = arg;
	struct query_socket *s = socket_of(q, fd);

	if (s) {
		socket_unwatch(q, s);
		*s = q->sockets[--q->n_sockets];
	}
	fd_abandon(fd);
	return 0;
}

static int on_connect(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t size, void *arg)
{
	(void)arg;
	return (int)os_as_libc(os_socket_connect(fd, to, size));
}

static ares_ssize_t on_receive(ares_socket_t fd, void *data, size_t size, int flags,
			       struct sockaddr *from, ares_socklen_t *from_size, void *arg)
{
	(void)arg;
	return os_as_libc(
		OS_AGAIN(os_fd_recvfrom(fd, data, size, flags, from, from ? from_size : NULL)));
}

static ares_ssize_t on_send(ares_socket_t fd, const struct iovec *parts, int n, void *arg)
{
	struct iovec copy[2];
	struct msghdr message = {.msg_iov = copy};

	(void)arg;
	for (; n > 0 && message.msg_iovlen < 2; n--)
		copy[message.msg_iovlen++] = *parts++;
	return os_as_libc(os_fd_sendmsg(fd, &message, MSG_NOSIGNAL));
}

static const struct ares_socket_functions query_calls = {on_socket, on_close, on_connect,
							 on_receive, on_send};

static void on_state(void *arg, ares_socket_t fd, int wants_to_read, int wants_to_write)
{
	struct query *q = arg;
	struct query_socket *s = socket_of(q, fd);
	short events = (short)((wants_to_read ? POLLIN : 0) | (wants_to_write ? POLLOUT : 0));

	if (!s || s->events == events)
		return;
	socket_unwatch(q, s);
	s->events = events;
}

/* As os_resolve() has them. */
static int error_of_query(const struct query *q, int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return q->is_crowded ? CARES_LIBC_KNOWS : q->to->n ? 0 : -ENOENT;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_ENONAME:
	case ARES_EBADNAME: return -ENOENT;
	case ARES_ENOMEM: return -ENOMEM;
	case ARES_ETIMEOUT: return -EAGAIN;
	case ARES_ECONNREFUSED: /* also: no server answered well */
		return q->socket_error ? q->socket_error : CARES_LIBC_KNOWS;
	default: return CARES_LIBC_KNOWS;
	}
}

static void query_found(struct query *q, const struct ares_addrinfo_node *node)
{
	union inet_address *a = &q->to->at[q->to->n];

	if ((size_t)node->ai_addrlen > sizeof(*a) ||
	    (node->ai_family != AF_INET && node->ai_family != AF_INET6))
		return;
	q->is_crowded = q->to->n == ADDRESSES_MAX;
	if (q->is_crowded)
		return;
	*a = (union inet_address){0};
	memcpy(a, node->ai_addr, (size_t)node->ai_addrlen);
	a->v4.sin_port = htons(q->port); /* sin6_port lies at the same place */
	q->to->n++;
}

static void on_result(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	struct query *q = arg;

	(void)timeouts;
	for (const struct ares_addrinfo_node *n = result ? result->nodes : NULL; n; n = n->ai_next)
		query_found(q, n);
	if (result)
		q->api->freeaddrinfo(result);
	q->error = error_of_query(q, status);
	q->is_over = true;
}

/* ---- its life ---- */

/* c-ares says when it wants to be called again. */
static void query_set_time(struct query *q)
{
	struct timeval left;

	q->next_at = OS_FOREVER;
	if (!q->is_over && q->api->timeout(q->channel, NULL, &left))
		q->next_at = os_now() + GORO_SEC(left.tv_sec) + GORO_US(left.tv_usec + 1);
}

/* "192.0.2.1,[2001:db8::1]:53": that libc would ask first, then the others. */
static void servers_write(const struct names *how, char *text, size_t size)
{
	static atomic_of(uint32_t) turn;
	uint32_t first = how->has_rotation ? add_rlx(&turn, 1) : 0; /* relaxed: any number does */
	size_t used = 0;

	for (uint32_t i = 0; i < how->n_servers && used < size; i++) {
		const char *server = how->servers[(first + i) % how->n_servers];
		bool is_v6 = strchr(server, ':') != NULL;
		used += (size_t)format_to(text + used, size - used, "%s%s%s%s", i ? "," : "",
					  is_v6 ? "[" : "", server, is_v6 ? "]:53" : "");
	}
}

/*
 * Everything is said: it reads no variable, and no file but that of its random numbers. libc waits
 * attempts * timeout for a server; c-ares waits twice as long at each attempt: the same in all.
 */
static int channel_make(struct query *q, const struct names *how)
{
	char servers[NAMES_SERVERS * (INET6_ADDRSTRLEN + 8)];
	char *domains[NAMES_DOMAINS];
	uint32_t rounds = (1u << how->attempts) - 1;
	struct ares_options options = {
		.flags = ARES_FLAG_NOALIASES,
		.timeout = (int)(how->timeout_s * 1000 * how->attempts / rounds),
		.tries = (int)how->attempts,
		.ndots = (int)how->n_dots,
		.domains = domains,
		.ndomains = (int)how->n_domains,
		.lookups = (char[]){"b"},
		.sock_state_cb = on_state,
		.sock_state_cb_data = q,
	};
	const int said = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
			 ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
			 ARES_OPT_SERVERS | ARES_OPT_SORTLIST | ARES_OPT_NOROTATE;

	for (uint32_t i = 0; i < how->n_domains; i++)
		domains[i] = (char *)(uintptr_t)how->domains[i];
	servers_write(how, servers, sizeof(servers));
	int status = q->api->init_options(&q->channel, &options, said);
	if (status != ARES_SUCCESS) {
		q->channel = NULL;
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	q->api->set_socket_functions(q->channel, &query_calls, q);
	status = q->api->set_servers_csv(q->channel, servers);
	return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? -ENOMEM : -EIO;
}

static int query_begin(struct query *q, const char *host, const struct network *net,
		       const struct names *how)
{
	struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT,
					    .ai_family = net->family,
					    .ai_socktype = net->type};
	int error = channel_make(q, how);

	if (error)
		return error;
	q->api->getaddrinfo(q->channel, host, NULL, &hints, on_result, q);
	query_set_time(q);
	return 0;
}

/* What came at each socket goes to c-ares, which may close them and make others. */
static void query_go_on(struct query *q)
{
	struct query_socket sockets[SOCKETS_MAX];
	uint32_t n = q->n_sockets;

	memcpy(sockets, q->sockets, n * sizeof(sockets[0]));
	for (uint32_t i = 0; i < n && !q->is_over; i++) {
		int fd = sockets[i].fd;
		int events = os_fd_poll(fd, sockets[i].events, GORO_POLL);
		if (events > 0)
			q->api->process_fd(q->channel, events & ~POLLOUT ? fd : ARES_SOCKET_BAD,
					   events & POLLOUT ? fd : ARES_SOCKET_BAD);
	}
	if (!q->is_over)
		q->api->process_fd(q->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	query_set_time(q);
}

/* Also twice. Nobody waits for its descriptors. */
static void query_end(struct query *q)
{
	if (q->channel)
		q->api->destroy(q->channel);
	q->channel = NULL;
	if (q->epoll >= 0)
		fd_abandon(q->epoll);
	q->epoll = -1;
}

static void query_nothing(void *arg)
{
	(void)arg;
}

static void query_drop(struct deferred *record)
{
	query_end(container_of(record, struct query, record));
}

/* ---- waiting ---- */

static int query_fd_add(int fd, enum fd_kind kind)
{
	CALL_SCOPE;
	return fd_add(fd, kind);
}

static int query_epoll_make(struct query *q)
{
	int fd = os_epoll_create();
	int error = fd < 0 ? fd : query_fd_add(fd, FD_OTHER);

	if (!error)
		q->epoll = fd;
	else if (fd >= 0)
		(void)os_fd_close(fd);
	return error;
}

static int socket_watch(struct query *q, struct query_socket *s)
{
	uint32_t events = (s->events & POLLIN ? EPOLLIN : 0) | (s->events & POLLOUT ? EPOLLOUT : 0);
	int error = s->is_watched ? 0 : os_epoll_add(q->epoll, s->fd, events, 0);

	s->is_watched = !error;
	return error;
}

/* CA4. Until there is something to do for c-ares: 0. */
static int query_wait(struct query *q, int64_t deadline)
{
	int64_t until = q->next_at < deadline ? q->next_at : deadline;
	int got, error = 0;

	if (q->n_sockets == 1) {
		struct query_socket *s = &q->sockets[0];
		if (!s->is_known)
			error = query_fd_add(s->fd, FD_DATAGRAM);
		s->is_known = !error;
		got = error ? error : goro_fd_wait(s->fd, s->events, until);
	} else {
		if (q->epoll < 0)
			error = query_epoll_make(q);
		for (uint32_t i = 0; i < q->n_sockets && !error; i++)
			error = socket_watch(q, &q->sockets[i]);
		got = error ? error : goro_fd_wait(q->epoll, POLLIN, until);
	}
	if (got == -ETIMEDOUT)
		return until == deadline ? -ETIMEDOUT : 0;
	return got < 0 ? got : 0;
}

int cares_look_up(const struct inet_name *name, const struct network *net,
		  const struct names *how, int64_t deadline, struct addresses *to)
{
	struct query q = {
		.record = {.fn = query_nothing, .drop = query_drop},
		.port = name->port,
		.to = to,
		.epoll = -1,
	};

	to->n = 0;
	deferred_push(&q.record);
	goro_nopreempt_begin();
	q.api = cares_get();
	int error = q.api ? query_begin(&q, name->host, net, how) : -ENOMEM;
	goro_nopreempt_end();
	while (!error && !q.is_over && (error = query_wait(&q, deadline)) == 0) {
		goro_nopreempt_begin();
		query_go_on(&q);
		goro_nopreempt_end();
	}
	goro_nopreempt_begin();
	error = error ? error : q.error;
	query_end(&q);
	if (!error)
		addresses_order(to);
	goro_nopreempt_end();
	deferred_remove(&q.record);
	return error;
}

#else

bool cares_is_there(void)
{
	return false;
}

const char *cares_about(void)
{
	return NULL;
}

int cares_look_up(const struct inet_name *name, const struct network *net,
		  const struct names *how, int64_t deadline, struct addresses *to)
{
	(void)name, (void)net, (void)how, (void)deadline, (void)to;
	return -1; /* nobody calls: cares_is_there() */
}

#endif
