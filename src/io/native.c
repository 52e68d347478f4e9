/*
 * native.c - descriptors that the poller does not know.
 *
 *   any call on such a number -> [io_native] -> goro_syscall_enter -> the call, which may block
 *   goro_write_all -> [fd_lock_unknown] -> io_native, part by part -> [fd_unlock_unknown]
 *   goro_close -> [native_close]: the number's next life begins with nothing of this one
 *
 * FD7 and FD8 stand in fd.h.
 *
 * Locking: polled.lock to end a life. Orders: FD-WORD, POLL-LIFE. Go has none: what is not
 * pollable has its fdMutex as anything else.
 */
#include <errno.h>
#include <poll.h>

#include "goro.h"
#include "io/fd.h"
#include "os/os.h"
#include "os/os_io.h"

/* ---- calls ---- */

/* FD7. True: the descriptor was being closed when it was tried. */
static bool was_gone(int number)
{
	const struct fd *f = fd_at(number);

	if (!f || !(load_rlx(&f->word) & FD_GONE)) /* relaxed: or close(2) is over */
		return false;
	os_thread_yield();
	return true;
}

/* What a call knows of the tries before. */
struct tried {
	unsigned int n;
	bool has_blocked; /* the last look found a descriptor that blocks */
};

/*
 * -EAGAIN of a descriptor that blocks: its SO_RCVTIMEO or SO_SNDTIMEO has passed. Without one it
 * did not block when it was tried: who shares it has changed that since, or the number is another's
 * by close(2). Then 0: try again. Should that say so, too, it is what the device says.
 */
static int blocks_now(int number, enum poll_side side, struct tried *tried)
{
	bool is_limit = os_socket_has_limit(number, side == POLL_READ ? SO_RCVTIMEO : SO_SNDTIMEO);
	int error = tried->has_blocked || is_limit ? -EAGAIN : 0;

	tried->has_blocked = true;
	return error;
}

/* RD3: of this kind alone poll(2) says again and again that there is room, when there is none. */
static bool is_unix_datagram(int number)
{
	return os_socket_option(number, SOL_SOCKET, SO_DOMAIN) == AF_UNIX &&
	       os_socket_option(number, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM;
}

/*
 * One that does not block all the same is waited for here: the call is a blocking one. 0: try
 * again; or the error that ends the call.
 */
static int native_wait(int number, enum poll_side side, struct tried *tried)
{
	int events = side == POLL_READ ? POLLIN : POLLOUT;

	if (was_gone(number))
		return 0;
	int is_nonblocking = os_fd_is_nonblocking(number);
	if (is_nonblocking < 0)
		return is_nonblocking;
	if (!is_nonblocking)
		return blocks_now(number, side, tried);
	tried->has_blocked = false;
	int got = os_fd_poll(number, events, OS_FOREVER);
	if (got >= 0 && side == POLL_WRITE && tried->n++ > 2 && is_unix_datagram(number))
		(void)os_fd_poll(number, 0, os_now() + GORO_MS(1));
	return got < 0 ? got : 0;
}

void fd_wait_gone(int number)
{
	while (was_gone(number))
		;
}

/* Of a number that nobody has written to with goro_write_all() it may say too little. */
uint32_t fd_life(int number)
{
	const struct fd *f = fd_at(number);

	return f ? load_acq(&f->polled.generation) : 0; /* POLL-LIFE */
}

__attribute__((noinline)) ssize_t io_native(int number, enum poll_side side, io_op *op,
					    const void *args)
{
	uint32_t life = fd_life(number);
	struct tried tried = {0};
	ssize_t n;

	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	os_sigpipe_quiet();
	goro_syscall_enter();
	while ((n = op(args)) == -EAGAIN) {
		n = native_wait(number, side, &tried);
		if (fd_life(number) != life)
			n = -EBADF; /* the number is another's, or will be */
		if (n)
			break;
	}
	goro_syscall_exit();
	return n;
}

/* ---- the write lock ---- */

/* -EAGAIN: a close is being made, FD7. */
static int lock_once(struct io *io, struct fd_hold *hold, int number)
{
	CALL_SCOPE;
	*io = (struct io){.fd = number < 0 ? NULL : fd_make(number),
			  .number = number,
			  .side = POLL_WRITE,
			  .deadline = OS_FOREVER,
			  .is_unknown = true};
	if (number < 0 || !io->fd)
		return number < 0 ? -EBADF : -ENOMEM;
	int error = call_is_canceled() ? -ECANCELED : fd_lock_slow(io);
	if (error)
		return error;
	hold_begin(hold, io);
	return 0;
}

int fd_lock_unknown(struct io *io, struct fd_hold *hold, int number)
{
	int error;

	while ((error = lock_once(io, hold, number)) == -EAGAIN) {
		goro_syscall_enter();
		fd_wait_gone(number);
		goro_syscall_exit();
	}
	return error;
}

int fd_check_unknown(const struct io *io)
{
	return load_acq(&io->fd->polled.generation) == io->life ? 0 : -EBADF; /* POLL-LIFE */
}

void fd_unlock_unknown(struct io *io, struct fd_hold *hold)
{
	CALL_SCOPE;
	hold_end(hold, io);
	fd_unlock_life(io->fd, POLL_WRITE, io->life);
}

/* ---- closing ---- */

/*
 * FD7. The number is another's to close: two close(2) would end whatever comes in between. Who sees
 * it free, or known again, has come too late; who sees neither may mean a new descriptor.
 */
static bool is_being_closed(int number)
{
	const struct fd *f = fd_at(number);
	bool was_closing = false;

	for (uint32_t word; f && (word = load_acq(&f->word)) & FD_GONE;) { /* FD-WORD */
		if ((word & FD_KNOWN) || os_fd_is_nonblocking(number) < 0)
			return true;
		was_closing = true;
		os_thread_yield();
	}
	return was_closing && fd_known(number);
}

/*
 * FD8. All that is left of the life is taken back, and FD_GONE set. False: somebody closes it
 * already, or has just let the poller know it.
 */
static bool life_end(struct fd *f)
{
	CALL_SCOPE;
	struct woken woken = {0};
	uint32_t old = 0;

	lock_acquire(&f->polled.lock);
	old = load_rlx(&f->word); /* relaxed: the swap decides */
	do {
		if (old & (FD_KNOWN | FD_GONE))
			break;
	} while (!cas_acq_rel(&f->word, &old, FD_GONE)); /* FD-WORD */
	bool is_ours = !(old & (FD_KNOWN | FD_GONE));
	if (is_ours) {
		/* relaxed: nobody writes it while the lock is held and the number unknown */
		uint32_t life = load_rlx(&f->polled.generation);
		store_rel(&f->polled.generation, life + 1); /* POLL-LIFE */
		for (struct waiter *w; (w = waitq_pop(&f->lockers[POLL_WRITE]));)
			woken_add(&woken, w); /* not ok: -EBADF */
	}
	lock_release(&f->polled.lock);
	woken_wake(&woken);
	return is_ours;
}

/* 0: it is ours to close. -EBADF: another closes it; -EAGAIN: the poller knows it now. */
static int close_begin_unknown(int number, struct fd *f)
{
	while (!life_end(f)) {
		goro_syscall_enter();
		bool is_over = is_being_closed(number);
		goro_syscall_exit();
		(void)call_enter(); /* we are in a call still */
		if (is_over)
			return -EBADF;
		if (fd_known(number))
			return -EAGAIN;
	}
	return 0;
}

/* One call from FD_GONE to its end: the run does not end in between. */
static int close_unknown(int number, struct fd *f)
{
	CALL_SCOPE;
	int error = close_begin_unknown(number, f);

	if (error == -EAGAIN)
		return goro_close(number);
	return error ? error : fd_close_now(f, number);
}

int native_close(int number)
{
	struct fd *f = fd_at(number);

	if (f)
		return close_unknown(number, f);
	goro_syscall_enter();
	int result = os_fd_close(number);
	goro_syscall_exit();
	return result;
}
