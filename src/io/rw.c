/*
 * rw.c - reading and writing.
 *
 *   goro_read, goro_write, ... -> io_call (fd.h) -> the system call, again after each -EAGAIN
 *
 * RD1  A read of a TCP stream that brought fewer bytes than there was room for has emptied it,
 *      unless its end, an error or urgent data was reported: what comes later comes with an event.
 *      The next read waits for that event without asking the kernel first. Only TCP, and with
 *      nothing on top of it: kernel TLS stops at records, a Unix socket at passed descriptors, a
 *      pipe may have packets, a terminal has lines. What is put on top later is known once
 *      goro_fd_add() has been told.
 * RD2  The error that ended a goro_read_full() or goro_write_all() after some bytes is kept for the
 *      next call in that direction, whichever it is. One that comes again by itself is not. Nor is
 *      it for a number that the poller does not know: nobody tells when it becomes another
 *      descriptor's.
 * RD3  A Unix datagram that is sent to a name whose queue is full of others': no event tells of
 *      room there, but an attempt that came to nothing gives back its memory, which is one. They
 *      would be made for ever, one event after the other: after the second come pauses. One that
 *      is connected to another full receiver gets no event at all: the first waits end as well.
 *
 * Locking: the side's, by io_begin. Go: (*FD).Read, Write in internal/poll/fd_unix.go, which makes
 * it for ever.
 */
#include <errno.h>

#include "goro.h"
#include "io/fd.h"
#include "os/os.h"
#include "os/os_io.h"

/* The kernel never waits for a message of the error queue, whatever the socket is. */
#define DOES_NOT_WAIT (MSG_DONTWAIT | MSG_ERRQUEUE)

/* The arguments of any call here. */
struct rw {
	int fd;
	void *data;               /* or struct iovec, struct msghdr */
	size_t size;              /* or how many parts */
	int flags;
	struct sockaddr *address;
	socklen_t *address_size;
};

static ssize_t op_read(const void *args)
{
	const struct rw *rw = args;

	return OS_AGAIN(os_fd_read(rw->fd, rw->data, rw->size));
}

static ssize_t op_write(const void *args)
{
	const struct rw *rw = args;

	return OS_AGAIN(os_fd_write(rw->fd, rw->data, rw->size));
}

/* A write to a socket: no SIGPIPE. */
static ssize_t op_send(const void *args)
{
	const struct rw *rw = args;

	return OS_AGAIN(os_fd_sendto(rw->fd, rw->data, rw->size, rw->flags, rw->address,
				     rw->address_size ? *rw->address_size : 0));
}

static ssize_t op_recv(const void *args)
{
	const struct rw *rw = args;

	return OS_AGAIN(os_fd_recvfrom(rw->fd, rw->data, rw->size, rw->flags, rw->address,
				       rw->address_size));
}

static ssize_t op_readv(const void *args)
{
	const struct rw *rw = args;

	return os_fd_readv(rw->fd, rw->data, (int)rw->size);
}

static ssize_t op_writev(const void *args)
{
	const struct rw *rw = args;

	return os_fd_writev(rw->fd, rw->data, (int)rw->size);
}

static ssize_t op_recvmsg(const void *args)
{
	const struct rw *rw = args;

	return os_fd_recvmsg(rw->fd, rw->data, rw->flags);
}

static ssize_t op_sendmsg(const void *args)
{
	const struct rw *rw = args;

	return os_fd_sendmsg(rw->fd, rw->data, rw->flags);
}

/* RD2 */
static void keep_error(const struct io *io, ssize_t error)
{
	/* The peer may be what has timed out, of which the kernel speaks once. */
	bool is_late = error == -ETIMEDOUT && deadline_is_past(io_deadline(io));

	if (is_late || error == -ECANCELED || error == -EBADF)
		return;
	/* Above 255 are the kernel's own. Relaxed: as kept_error() */
	store_rlx(&io->fd->error[io->side], (uint8_t)(error < -255 ? EIO : -error));
}

/* A try that is worth it; or wait first: RD1. */
static inline int read_prepare(struct io *io)
{
	struct fd *f = io->fd;

	int error = kept_error(f, POLL_READ);
	if (unlikely(error))
		return error;
	if (f->is_drained && fd_kind_of(f) == FD_TCP &&
	    load_acq(&f->polled.side[POLL_READ]) == PS_NIL && /* POLL-SIDE */
	    !load_rlx(&f->polled.has_hangup)) /* relaxed: set before the event that we saw */
		return io_wait(io);
	polled_reset(&f->polled, POLL_READ);
	return 0;
}

static inline void read_note(struct fd *f, ssize_t n, size_t size)
{
	f->is_drained = fd_kind_of(f) == FD_TCP && n > 0 && (size_t)n < size &&
			!load_rlx(&f->polled.has_hangup); /* relaxed: as above */
}

/* One read in a begun call. `size` is the room that there is. */
static inline __attribute__((always_inline)) ssize_t read_some(struct io *io, io_op *op,
							       const void *args, size_t size)
{
	ssize_t n = read_prepare(io);

	while (likely(n == 0) && (n = op(args)) == -EAGAIN)
		n = io_wait(io);
	read_note(io->fd, n, size);
	return n;
}

/* `f`: of rw->fd, or NULL. */
static inline __attribute__((always_inline)) ssize_t read_call(struct fd *f, io_op *op,
							       const struct rw *rw, size_t room)
{
	struct io io;

	if (unlikely(!f))
		return io_native(rw->fd, POLL_READ, op, rw);
	CALL_SCOPE;
	ssize_t n = io_begin(&io, f, rw->fd, POLL_READ);
	if (unlikely(n < 0))
		return n;
	n = read_some(&io, op, rw, room);
	io_end(&io);
	return n;
}

/* RD3 */
static bool is_to_unix_name(const struct io *io, io_op *op, const struct rw *rw)
{
	bool has_name = op == op_send ? rw->address != NULL
				      : op == op_sendmsg &&
						((const struct msghdr *)rw->data)->msg_name != NULL;

	return has_name && fd_kind_of(io->fd) == FD_DATAGRAM &&
	       os_socket_option(io->number, SOL_SOCKET, SO_DOMAIN) == AF_UNIX;
}

/* RD3. An event ends the first two, the others only what ends the call. */
static int write_pause(struct io *io, unsigned int tries)
{
	unsigned int doubled = tries <= 3 ? 0 : tries < 10 ? tries - 3 : 7;
	int error;

	io->deadline = os_now() + (GORO_US(50) << doubled);
	do
		error = io_wait(io);
	while (error == 0 && tries > 2);
	io->deadline = OS_FOREVER;
	int64_t left = error == -ETIMEDOUT ? io_time_left(io) : error;
	return left < 0 ? (int)left : 0;
}

/* Not inlined: who seldom waits to write has a small frame without it. */
__attribute__((noinline)) static int write_wait(struct io *io, io_op *op, const struct rw *rw,
						unsigned int *tries)
{
	return is_to_unix_name(io, op, rw) ? write_pause(io, ++*tries) : io_wait(io);
}

static inline __attribute__((always_inline)) ssize_t write_some(struct io *io, io_op *op,
								const struct rw *rw)
{
	ssize_t n = kept_error(io->fd, POLL_WRITE);
	unsigned int tries = 0;

	while (likely(n == 0) && (n = op(rw)) == -EAGAIN)
		n = write_wait(io, op, rw, &tries);
	return n;
}

static inline __attribute__((always_inline)) ssize_t write_call(struct fd *f, io_op *op,
								const struct rw *rw)
{
	struct io io;

	if (unlikely(!f))
		return io_native(rw->fd, POLL_WRITE, op, rw);
	CALL_SCOPE;
	ssize_t n = io_begin(&io, f, rw->fd, POLL_WRITE);
	if (unlikely(n < 0))
		return n;
	n = write_some(&io, op, rw);
	io_end(&io);
	return n;
}

/* MSG_DONTWAIT: no wait for the kernel, nor for who else uses the descriptor. */
static ssize_t call_once(io_op *op, const struct rw *rw, enum poll_side side)
{
	struct fd *f = fd_known(rw->fd);

	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (!f)
		return op(rw);
	CALL_SCOPE;
	if (fd_use(f))
		return -EBADF;
	struct io io = {.fd = f, .side = side, .deadline = OS_FOREVER};
	int64_t deadline = io_deadline(&io);
	bool is_late = deadline != OS_FOREVER && deadline_is_past(deadline);
	ssize_t n = is_late ? -ETIMEDOUT : kept_error(f, side);
	if (!n)
		n = op(rw);
	fd_unuse(f);
	return n;
}

/* Nothing to read: read(2) then takes no datagram. What is closed says so all the same. */
static inline bool is_no_read(int fd, size_t size)
{
	const struct fd *f = size ? NULL : fd_known(fd);

	/* relaxed: or it closes a moment later */
	return f && !(load_rlx(&f->word) & FD_CLOSING);
}

/* Nothing to do, unless a datagram is meant. */
static inline bool is_nothing(int fd, size_t size)
{
	const struct fd *f = size ? NULL : fd_known(fd);

	return f && fd_kind_of(f) != FD_DATAGRAM && is_no_read(fd, size);
}

static bool has_no_bytes(const struct iovec *parts, int n)
{
	while (n > 0 && parts && parts->iov_len == 0) {
		parts++;
		n--;
	}
	return n == 0;
}

static inline bool is_socket(const struct fd *f)
{
	return f && fd_kind_of(f) != FD_OTHER;
}

ssize_t goro_read(int fd, void *data, size_t size)
{
	struct fd *f = fd_known(fd);
	struct rw rw = {.fd = fd, .data = data, .size = size};

	if (unlikely(is_no_read(fd, size)))
		return 0;
	/* recv() is the shorter way through the kernel. */
	return read_call(f, is_socket(f) ? op_recv : op_read, &rw, size);
}

ssize_t goro_readv(int fd, const struct iovec *parts, int n)
{
	struct rw rw = {.fd = fd, .data = (void *)parts, .size = (size_t)n};

	if (unlikely(has_no_bytes(parts, n)) && is_no_read(fd, 0))
		return 0;
	return n < 0 ? -EINVAL : read_call(fd_known(fd), op_readv, &rw, 0);
}

ssize_t goro_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from,
		      socklen_t *from_size)
{
	struct rw rw = {.fd = fd,
			.data = data,
			.size = size,
			.flags = flags,
			.address = from,
			.address_size = from_size};

	if (unlikely(is_nothing(fd, size)))
		return 0;
	if (flags & DOES_NOT_WAIT)
		return call_once(op_recv, &rw, POLL_READ);
	return read_call(fd_known(fd), op_recv, &rw, flags ? 0 : size);
}

ssize_t goro_recv(int fd, void *data, size_t size, int flags)
{
	return goro_recvfrom(fd, data, size, flags, NULL, NULL);
}

ssize_t goro_recvmsg(int fd, struct msghdr *message, int flags)
{
	struct rw rw = {.fd = fd, .data = message, .flags = flags};

	return flags & DOES_NOT_WAIT ? call_once(op_recvmsg, &rw, POLL_READ)
				     : read_call(fd_known(fd), op_recvmsg, &rw, 0);
}

ssize_t goro_write(int fd, const void *data, size_t size)
{
	struct fd *f = fd_known(fd);
	struct rw rw = {.fd = fd, .data = (void *)data, .size = size};

	if (unlikely(is_nothing(fd, size)))
		return 0;
	return write_call(f, is_socket(f) ? op_send : op_write, &rw);
}

ssize_t goro_writev(int fd, const struct iovec *parts, int n)
{
	struct rw rw = {.fd = fd, .data = (void *)parts, .size = (size_t)n};

	if (unlikely(has_no_bytes(parts, n)) && is_nothing(fd, 0))
		return 0;
	return n < 0 ? -EINVAL : write_call(fd_known(fd), op_writev, &rw);
}

ssize_t goro_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
		    socklen_t to_size)
{
	struct rw rw = {.fd = fd,
			.data = (void *)data,
			.size = size,
			.flags = flags,
			.address = (struct sockaddr *)to,
			.address_size = &to_size};

	if (unlikely(is_nothing(fd, size)))
		return 0;
	return flags & MSG_DONTWAIT ? call_once(op_send, &rw, POLL_WRITE)
				    : write_call(fd_known(fd), op_send, &rw);
}

ssize_t goro_send(int fd, const void *data, size_t size, int flags)
{
	return goro_sendto(fd, data, size, flags, NULL, 0);
}

ssize_t goro_sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct rw rw = {.fd = fd, .data = (void *)message, .flags = flags};

	return flags & MSG_DONTWAIT ? call_once(op_sendmsg, &rw, POLL_WRITE)
				    : write_call(fd_known(fd), op_sendmsg, &rw);
}

/* ---- all of it ---- */

/* Until all is done, the data end, or an error comes; `some` is one part of it. */
#define ALL_OF(rw, done, some)                                                                \
	__extension__({                                                                       \
		ssize_t n_ = 0;                                                               \
		while ((rw)->size > 0 && (n_ = (some)) > 0) {                                 \
			(rw)->data = (char *)(rw)->data + n_;                                 \
			(rw)->size -= (size_t)n_;                                             \
			(done) += n_;                                                         \
		}                                                                             \
		n_ < 0 ? n_ : 0;                                                              \
	})

ssize_t goro_read_full(int fd, void *data, size_t size)
{
	struct fd *f = fd_known(fd);
	struct rw rw = {.fd = fd, .data = data, .size = size};
	struct io io;
	ssize_t done = 0, error;

	if (unlikely(is_no_read(fd, size)))
		return 0;
	if (!f && !size)
		return io_native(fd, POLL_READ, op_read, &rw); /* -EBADF */
	if (!f) {
		error = ALL_OF(&rw, done, io_native(fd, POLL_READ, op_read, &rw));
		return done ? done : error;
	}
	CALL_SCOPE;
	error = io_begin(&io, f, fd, POLL_READ);
	if (error)
		return error;
	io_op *op = fd_kind_of(f) == FD_OTHER ? op_read : op_recv;
	error = ALL_OF(&rw, done, read_some(&io, op, &rw, rw.size));
	if (error && done)
		keep_error(&io, error);
	io_end(&io);
	return done ? done : error;
}

/* FD8: after one part the number may be another's. */
static ssize_t native_write_part(const struct io *io, const struct rw *rw)
{
	int error = fd_check_unknown(io);

	return error ? error : io_native(rw->fd, POLL_WRITE, op_write, rw);
}

static ssize_t native_write_all(struct rw *rw)
{
	struct io io;
	struct fd_hold hold;
	ssize_t done = 0, error = fd_lock_unknown(&io, &hold, rw->fd);

	if (error)
		return error;
	if (rw->size)
		error = ALL_OF(rw, done, native_write_part(&io, rw));
	else
		error = native_write_part(&io, rw); /* it may be a datagram */
	fd_unlock_unknown(&io, &hold);
	return done ? done : error;
}

ssize_t goro_write_all(int fd, const void *data, size_t size)
{
	struct fd *f = fd_known(fd);
	struct rw rw = {.fd = fd, .data = (void *)data, .size = size};
	struct io io;
	ssize_t done = 0;

	if (unlikely(is_nothing(fd, size)))
		return 0;
	if (!f)
		return native_write_all(&rw);
	CALL_SCOPE;
	ssize_t error = io_begin(&io, f, fd, POLL_WRITE);
	if (error)
		return error;
	io_op *op = fd_kind_of(f) == FD_OTHER ? op_write : op_send;
	error = size ? ALL_OF(&rw, done, write_some(&io, op, &rw))
		     : write_some(&io, op, &rw); /* a datagram */
	if (error && done)
		keep_error(&io, error);
	io_end(&io);
	return done ? done : error;
}
