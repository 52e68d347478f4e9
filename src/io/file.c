/*
 * file.c - files: the system call is announced, so that the P goes to others while the disk works;
 * and copying from descriptor to descriptor in the kernel.
 *
 *   goro_open, goro_pread, ... -> goro_syscall_enter -> the call -> goro_syscall_exit
 *   goro_sendfile, goro_splice -> the call, which does not block where the poller knows the
 *                                 descriptor that would
 *
 * Locking: the sides', by io_begin; of two descriptors the read side first. Go: os.File,
 * internal/poll/sendfile_linux.go, splice_linux.go.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

#include "goro.h"
#include "io/fd.h"
#include "os/os.h"
#include "os/os_io.h"

struct file_call {
	int fd;
	void *data;
	size_t size;
	off_t at;
};

static ssize_t op_pread(const void *args)
{
	const struct file_call *call = args;

	return os_fd_pread(call->fd, call->data, call->size, call->at);
}

static ssize_t op_pwrite(const void *args)
{
	const struct file_call *call = args;

	return os_fd_pwrite(call->fd, call->data, call->size, call->at);
}

static ssize_t op_fsync(const void *args)
{
	return os_fd_fsync(((const struct file_call *)args)->fd);
}

ssize_t goro_pread(int fd, void *data, size_t size, off_t at)
{
	return io_native(fd, POLL_READ, op_pread, &(struct file_call){fd, data, size, at});
}

ssize_t goro_pwrite(int fd, const void *data, size_t size, off_t at)
{
	return io_native(fd, POLL_WRITE, op_pwrite,
			 &(struct file_call){fd, (void *)data, size, at});
}

int goro_fsync(int fd)
{
	return (int)io_native(fd, POLL_WRITE, op_fsync, &(struct file_call){.fd = fd});
}

int goro_open(const char *path, int flags, ...)
{
	va_list list;

	va_start(list, flags);
	/* As open() does: what is there without O_CREAT is not looked at. */
	unsigned int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, unsigned int) : 0;
	va_end(list);
	if (call_is_canceled())
		return -ECANCELED;
	goro_syscall_enter();
	int fd = os_fd_open(path, flags, mode);
	goro_syscall_exit();
	if (fd < 0)
		return fd;
	int error = goro_fd_add(fd);
	if (error && error != -EPERM) {
		(void)os_fd_close(fd);
		return error;
	}
	return fd;
}

/* ---- from one descriptor to another ---- */

#define LOOK_NS GORO_MS(20) /* between two looks at an end that is not waited for */

struct copy {
	int from, to;
	off_t *from_at, *to_at;
	size_t size;
	unsigned int flags;
	uint32_t from_life, to_life; /* FD8 */
};

static ssize_t op_sendfile(const void *args)
{
	const struct copy *copy = args;

	return os_fd_sendfile(copy->to, copy->from, copy->from_at, copy->size);
}

static ssize_t op_splice(const void *args)
{
	const struct copy *copy = args;

	return os_fd_splice(copy->from, copy->from_at, copy->to, copy->to_at, copy->size,
			    copy->flags);
}

/* What ends the call at one of its ends, whether that is had or not: a close, a deadline; or 0. */
static int end_look(int number, enum poll_side side, uint32_t life)
{
	struct io end = {.fd = fd_known(number), .side = side, .deadline = OS_FOREVER};

	if (fd_life(number) != life)
		return -EBADF;
	int64_t left = end.fd ? io_time_left(&end) : 0;
	return left < 0 ? (int)left : 0;
}

static int ends_look(const struct copy *copy)
{
	int error = end_look(copy->from, POLL_READ, copy->from_life);

	return error ? error : end_look(copy->to, POLL_WRITE, copy->to_life);
}

/*
 * One end was not ready. NULL: the poller does not know it, and then nobody ends our wait who ends
 * calls on the other.
 */
static int end_wait_for(const struct copy *copy, struct io *io, int number, int events)
{
	if (io)
		return io_wait(io);
	bool has_other = fd_known(copy->from) || fd_known(copy->to);
	goro_syscall_enter();
	fd_wait_gone(number); /* poll(2) would not be told of the close */
	int got = os_fd_poll(number, events, has_other ? os_now() + LOOK_NS : OS_FOREVER);
	goro_syscall_exit();
	(void)call_enter(); /* we are in a call still */
	return got < 0 ? got : ends_look(copy);
}

/*
 * Both would rather block: what does not wait then is a time limit of the kernel's, or a flag; or
 * one of them did not when it was tried, as in native.c: once.
 */
static bool has_given_up(const struct copy *copy, bool *has_blocked)
{
	bool blocks = os_fd_is_nonblocking(copy->from) <= 0 && os_fd_is_nonblocking(copy->to) <= 0;
	bool is_first = blocks && !*has_blocked;

	*has_blocked = blocks;
	if (!is_first)
		return blocks;
	return (copy->flags & SPLICE_F_NONBLOCK) || os_socket_has_limit(copy->from, SO_RCVTIMEO) ||
	       os_socket_has_limit(copy->to, SO_SNDTIMEO);
}

/*
 * Of two ends one was not ready: wait for that one. Not for the other, which may be ready, and have
 * been so for long: then no event comes.
 */
static int copy_wait(const struct copy *copy, struct io *in, struct io *out, bool *has_blocked)
{
	const int for_reads = POLLIN | POLLRDHUP;

	if (!in && !out && has_given_up(copy, has_blocked))
		return -EAGAIN;
	int got = os_fd_poll(copy->from, for_reads, GORO_POLL);

	if (got == 0)
		return end_wait_for(copy, in, copy->from, for_reads);
	if (got > 0 && (got = os_fd_poll(copy->to, POLLOUT, GORO_POLL)) == 0)
		return end_wait_for(copy, out, copy->to, POLLOUT);
	return got < 0 ? got : 0; /* it has become ready meanwhile */
}

/*
 * A side of a descriptor, if the poller knows it. Who queues for one end is not told of what
 * happens at the other, and must not keep a close of that one waiting: it looks now and then. We
 * do not let the other end kick the queue, because it is rare that two copy to one.
 */
static int copy_begin(struct io *io, const struct copy *copy, enum poll_side side, bool *is_known)
{
	int number = side == POLL_READ ? copy->from : copy->to, error;
	struct fd *f = fd_known(number);
	int64_t until = GORO_POLL;

	*is_known = f != NULL;
	if (!f)
		return ends_look(copy);
	while ((error = io_begin_until(io, f, number, side, until)) == -ETIMEDOUT) {
		error = ends_look(copy);
		if (error)
			return error;
		until = os_now() + LOOK_NS;
	}
	if (error)
		return error;
	io->deadline = OS_FOREVER;
	error = ends_look(copy); /* the number may have become another's before it was had */
	if (error)
		io_end(io);
	return error;
}

/* One that the poller does not know may block. */
static ssize_t copy_once(const struct copy *copy, io_op *op, bool cannot_block)
{
	if (cannot_block)
		return op(copy);
	goro_syscall_enter();
	ssize_t n = op(copy);
	goro_syscall_exit();
	(void)call_enter(); /* we are in a call still */
	return n;
}

/*
 * FD9. Relaxed: who kicks looks after a fence, so does who waits. If a run ends in between, what
 * is left there wakes somebody for nothing, once.
 */
static void copy_pair(struct io *in, struct io *out)
{
	in->with = out->fd;
	out->with = in->fd;
	store_rlx(&in->fd->copies_with[POLL_READ], out->fd); /* relaxed: so */
	store_rlx(&out->fd->copies_with[POLL_WRITE], in->fd); /* relaxed: so */
}

static void copy_unpair(struct io *in, struct io *out)
{
	store_rlx(&in->fd->copies_with[POLL_READ], NULL);   /* relaxed: as above */
	store_rlx(&out->fd->copies_with[POLL_WRITE], NULL); /* relaxed: as above */
	in->with = out->with = NULL;
}

/* The read side is had, if the poller knows it. */
static ssize_t copy_begun(const struct copy *copy, io_op *op, struct io *in)
{
	struct fd_hold hold;
	struct io out;
	bool has_out, has_blocked = false;
	ssize_t n = copy_begin(&out, copy, POLL_WRITE, &has_out);

	if (n)
		return n;
	if (has_out) {
		hold_begin(&hold, &out);
		n = kept_error(out.fd, POLL_WRITE);
	}
	if (in && has_out)
		copy_pair(in, &out);
	while (n == 0 && (n = copy_once(copy, op, in && has_out)) == -EAGAIN)
		n = copy_wait(copy, in, has_out ? &out : NULL, &has_blocked);
	if (in && has_out)
		copy_unpair(in, &out);
	if (has_out) {
		hold_end(&hold, &out);
		io_end(&out);
	}
	return n;
}

/* Each side has a record: the run may end while we wait for the other, or block. */
static ssize_t copy_between(const struct copy *copy, io_op *op)
{
	CALL_SCOPE;
	struct fd_hold hold;
	struct io in;
	bool has_in;
	ssize_t n = copy_begin(&in, copy, POLL_READ, &has_in);

	if (n)
		return n;
	if (!has_in)
		return copy_begun(copy, op, NULL);
	hold_begin(&hold, &in);
	n = kept_error(in.fd, POLL_READ);
	if (n == 0)
		n = copy_begun(copy, op, &in);
	hold_end(&hold, &in);
	in.fd->is_drained = false;
	io_end(&in);
	return n;
}

/* Of no bytes the kernel says at once what there is to say. */
static ssize_t copy_call(struct copy copy, io_op *op)
{
	if (copy.size == 0)
		return op(&copy);
	if (call_is_canceled())
		return -ECANCELED;
	os_sigpipe_quiet();
	copy.from_life = fd_life(copy.from);
	copy.to_life = fd_life(copy.to);
	return copy_between(&copy, op);
}

ssize_t goro_sendfile(int to, int from, off_t *at, size_t size)
{
	return copy_call((struct copy){.from = from, .to = to, .from_at = at, .size = size},
			 op_sendfile);
}

ssize_t goro_splice(int from, off_t *from_at, int to, off_t *to_at, size_t size,
		    unsigned int flags)
{
	/* A pipe that the poller does not know would wait in the kernel, and hold the other end. */
	if (fd_known(from) || fd_known(to))
		flags |= SPLICE_F_NONBLOCK;
	return copy_call((struct copy){.from = from,
				       .to = to,
				       .from_at = from_at,
				       .to_at = to_at,
				       .size = size,
				       .flags = flags},
			 op_splice);
}
