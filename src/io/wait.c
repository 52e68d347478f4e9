/*
 * wait.c - readiness only: for who reads and writes by other means.
 *
 *   goro_fd_wait -> the kernel is asked; not ready -> io_wait for an event -> asked again
 *
 * WA1  What an event told may have been used up by another, and what was ready before it was asked
 *      for brings no event: so poll(2) says what is there, and events only when to ask.
 * WA2  Who waits for both directions has a side of its own (POLL_ANY), which gets every event from
 *      when has_any is set, before the kernel is asked.
 *
 * Locking: the side's, by io_begin: who waits to read waits behind who reads. Go: RawConn.Read with
 * a function that returns false.
 */
#include <errno.h>
#include <poll.h>

#include "goro.h"
#include "io/fd.h"
#include "os/os.h"
#include "os/os_io.h"

#define FOR_READS (POLLIN | POLLPRI | POLLRDHUP)

static int wait_known(struct io *io, int events)
{
	struct polled *pd = &io->fd->polled;
	int got, error = 0;

	if (io->side == POLL_ANY) {
		store_rlx(&pd->has_any, true); /* relaxed: ordered by the fence */
		fence_seq_cst();               /* POLL-WAIT: WA2 */
	}
	do {
		if (io->side == POLL_READ)
			io->fd->is_drained = false; /* the event is used up here: RD1 */
		polled_reset(pd, io->side);
		got = os_fd_poll(io->number, events, GORO_POLL);
	} while (got == 0 && (error = io_wait(io)) == 0);
	return got ? got : error;
}

static int wait_native(int number, int events, int64_t deadline)
{
	if (call_is_canceled())
		return -ECANCELED;
	goro_syscall_enter();
	fd_wait_gone(number); /* poll(2) would not be told of the close */
	int got = os_fd_poll(number, events, deadline);
	goro_syscall_exit();
	return got ? got : -ETIMEDOUT;
}

int goro_fd_wait(int number, int events, int64_t deadline)
{
	struct fd *f = fd_known(number);
	struct io io;

	if (events == 0 || (events & ~(FOR_READS | POLLOUT)))
		return -EINVAL;
	if (!f)
		return wait_native(number, events, deadline);
	CALL_SCOPE;
	enum poll_side side = !(events & POLLOUT)      ? POLL_READ
			      : (events & FOR_READS) ? POLL_ANY
						       : POLL_WRITE;
	int error = io_begin_until(&io, f, number, side, deadline);
	if (error)
		return error;
	int got = wait_known(&io, events);
	io_end(&io);
	return got;
}
