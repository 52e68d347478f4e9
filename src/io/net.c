/*
 * net.c - connections: taking them and making them.
 *
 *   goro_accept -> accept4, which does not block -> fd_add
 *   goro_connect -> connect -> wait until it can be written -> its error
 *
 * Locking: the side's, by io_begin. Go: accept and connect in net/fd_unix.go.
 */
#include <errno.h>
#include <poll.h>

#include "goro.h"
#include "io/fd.h"
#include "os/os.h"
#include "os/os_io.h"

struct accept_call {
	int fd;
	struct sockaddr *address;
	socklen_t *size;
	socklen_t room;
};

/* One that its peer has given up while it was in the queue is nobody's error. */
static ssize_t op_accept(const void *args)
{
	const struct accept_call *call = args;
	int fd;

	do {
		if (call->size)
			*call->size = call->room;
		fd = os_socket_accept(call->fd, call->address, call->size);
	} while (fd == -ECONNABORTED || fd == -EPROTO);
	return fd;
}

int goro_accept(int fd, struct sockaddr *address, socklen_t *size)
{
	const struct fd *f = fd_known(fd);
	enum fd_kind kind = f ? fd_kind_of(f) : FD_SOCKET;
	int error = f ? 0 : fd_prepare();

	if (error)
		return error; /* before a connection is taken: it stays in the queue */
	int got = (int)io_call(fd, POLL_READ, op_accept,
			       &(struct accept_call){fd, address, size, size ? *size : 0});

	if (got < 0)
		return got;
	CALL_SCOPE;
	error = f ? fd_add(got, kind) : goro_fd_add(got);
	if (error) {
		(void)os_fd_close(got);
		return error;
	}
	return got;
}

/*
 * The connection is being made: 0 when it is there. To ask again says more than SO_ERROR, which is
 * 0 as well while an event of an earlier life has woken us, and it leaves a socket whose attempt
 * failed ready for another one.
 */
static int connect_wait(struct io *io, const struct sockaddr *address, socklen_t size)
{
	int error;

	do {
		error = io_wait(io);
		if (error)
			return error;
		error = os_socket_connect(io->number, address, size);
	} while (error == -EALREADY || error == -EINPROGRESS || error == -EINTR);
	return error == -EISCONN ? 0 : error;
}

/*
 * A Unix socket whose listener's queue is full. No event tells of room in it, only a connect() that
 * blocks: it costs a thread, and looks up now and then at what else may end the call.
 */
static int connect_patiently(struct io *io, const struct sockaddr *address, socklen_t size)
{
	const int64_t at_most = GORO_MS(20);
	struct fd_hold hold;
	int error = -EAGAIN;

	hold_begin(&hold, io); /* the run may end meanwhile */
	while (error == -EAGAIN || error == -EINTR) {
		int64_t left = io_time_left(io);
		if (left < 0) {
			error = (int)left;
			break;
		}
		goro_syscall_enter();
		error = os_socket_connect_blocking(io->number, address, size,
						   left < at_most ? left : at_most);
		goro_syscall_exit();
		(void)call_enter(); /* we are in a call still */
	}
	hold_end(&hold, io);
	return error;
}

/*
 * -EALREADY: another call has begun it, which gave up. It is not waited for: the kernel looks at no
 * address then, so that this one would be told that it is connected to another than it asked for.
 */
static int connect_begun(struct io *io, const struct sockaddr *address, socklen_t size)
{
	polled_reset(&io->fd->polled, POLL_WRITE);
	int error = os_socket_connect(io->number, address, size);
	if (error == -EAGAIN && address->sa_family == AF_UNIX)
		return connect_patiently(io, address, size);
	if (error == -EINPROGRESS || error == -EINTR)
		return connect_wait(io, address, size);
	return error;
}

int connect_until(int fd, const struct sockaddr *address, socklen_t size, int64_t deadline)
{
	CALL_SCOPE;
	struct fd *f = fd_known(fd);
	struct io io;

	int error = f ? io_begin_until(&io, f, fd, POLL_WRITE, deadline) : -EBADF;
	if (error)
		return error;
	error = connect_begun(&io, address, size);
	io_end(&io);
	return error;
}

struct connect_call {
	int fd;
	const struct sockaddr *address;
	socklen_t size;
};

/* By a thread that may block. One that blocks ends as it is, also by SO_SNDTIMEO. */
static ssize_t op_connect(const void *args)
{
	const struct connect_call *call = args;

	fd_wait_gone(call->fd); /* the waits below would not be told of the close */
	int error = os_socket_connect(call->fd, call->address, call->size);
	bool was_connected = error == -EISCONN;

	while (error == -EINTR)
		error = os_socket_connect(call->fd, call->address, call->size);
	/* -EALREADY at first: as in connect_begun(). */
	bool goes_on = error && error != -EALREADY && os_fd_is_nonblocking(call->fd) > 0;
	while (goes_on && (error == -EINPROGRESS || error == -EALREADY)) {
		error = os_fd_poll(call->fd, POLLOUT, OS_FOREVER);
		if (error > 0)
			error = os_socket_connect(call->fd, call->address, call->size);
	}
	/* poll(2) does not tell of room in a Unix listener's queue: connect_patiently(). */
	while (goes_on && error == -EAGAIN && call->address->sa_family == AF_UNIX)
		error = os_socket_connect_blocking(call->fd, call->address, call->size,
						   GORO_SEC(1));
	return error == -EISCONN && !was_connected ? 0 : error;
}

int goro_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	if (fd_known(fd))
		return connect_until(fd, address, size, OS_FOREVER);
	return (int)io_native(fd, POLL_WRITE, op_connect,
			      &(struct connect_call){fd, address, size});
}
