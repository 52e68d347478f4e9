/*
 * fd.h - a descriptor that the poller knows: who uses it, who waits for it, until when.
 *
 *   goro_read, ... -> [io_begin] -> the system call, which does not block
 *                        -> -EAGAIN: [io_wait] parks -> again ... -> [io_end]
 *
 * FD1  The record of a number is never freed. Its word says whether the poller knows the number
 *      (FD_KNOWN), whether goro_close() has begun (FD_CLOSING), who has which side (FD_LOCK), who
 *      queues for it (FD_QUEUED), and how many calls use the descriptor (references).
 * FD2  A call that uses a side has its lock from begin to end: one after the other, in order, so
 *      that two goro_write_all() do not interleave and a side has one waiter (PO1).
 * FD3  Who queues for a side has a reference already. Unlocking hands the lock to the first of
 *      them; FD_QUEUED and the queue change under polled.lock.
 * FD4  The descriptor is closed by goro_close() when its own reference is the last: no call works
 *      on a number that has become another descriptor's.
 * FD5  FD_CLOSING and the deadlines are written, then waiters are kicked (PO5).
 * FD7  FD_GONE: close(2) is being made. Whoever calls then finds the number unknown, but must not
 *      wait for the descriptor as for one that the poller never knew: no event will come, and
 *      poll(2) is not told of the close.
 * FD8  The write lock of a number that the poller does not know is one life's: goro_close() takes
 *      it away from who has it and ends who queues, and polled.generation, under polled.lock, tells
 *      them so, as it tells who waits outside of the poller.
 * FD9  A copy between two descriptors has a side of each, and waits for one of them at a time. What
 *      ends calls on the other (a close, a deadline) is looked at after the wait was published, and
 *      kicks it, by copies_with, which is written before (PO5). While it queues for a side it looks
 *      now and then.
 *
 * FD6 stands in fd.c.
 *
 * Go: internal/poll.FD with fdMutex.
 */
#ifndef IO_FD_H
#define IO_FD_H

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "event/netpoll.h"
#include "sync/waitq.h"

#define FD_KNOWN 1u
#define FD_CLOSING 2u
#define FD_LOCK(side) (4u << (side))
#define FD_QUEUED(side) (32u << (side))
#define FD_GONE 256u
#define FD_REF 512u

/* What is known of it. */
enum fd_kind {
	FD_OTHER,    /* a pipe, an eventfd, a terminal, ... */
	FD_SOCKET,
	FD_TCP,      /* nothing on top of it: a short read says that there is no more, RD1 */
	FD_DATAGRAM, /* and other sockets where a length of 0 means something */
};

/*
 * Its first cache line has all that a call looks at which finds the side free: of thousands of
 * connections each record is cold whenever its turn comes.
 */
struct fd {
	struct polled polled __attribute__((aligned(CACHE_LINE)));
	atomic_of(uint32_t) word;       /* FD1; FD-WORD */
	bool is_drained;                /* read lock: nothing is left unless an event came since */
	atomic_of(uint8_t) kind;        /* enum fd_kind, set when it is added */
	atomic_of(uint8_t) error[2];    /* errno for the side's next call, which takes it; or 0 */
	atomic_of(int64_t) deadline[2]; /* anybody, POLL-KICK; read, write; 0: none */
	struct waitq lockers[POLL_SIDES]; /* polled.lock */
	struct waitq closers;           /* polled.lock: who waits to have the last reference */
	atomic_of(struct fd *) copies_with[2]; /* FD9: the side's lock to write; or NULL */
};

#ifndef GORO_DEBUG
_Static_assert(offsetof(struct fd, lockers) == CACHE_LINE, "a call touches a second line");
#endif

/* The record of a number that the poller knows; NULL: it does not, or is no number at all. */
struct fd *fd_known(int number);

/* What was said when it was added. */
static inline enum fd_kind fd_kind_of(const struct fd *f)
{
	return load_rlx(&f->kind); /* relaxed: it comes with the number; all who add say the same */
}

/* RD2 in rw.c: what the next call in a direction returns, whichever it is; or 0. */
static inline int kept_error(struct fd *f, enum poll_side side)
{
	/* relaxed, both: it tells of nothing but itself, and is one call's */
	return unlikely(load_rlx(&f->error[side])) ? -(int)xchg_rlx(&f->error[side], 0) : 0;
}

/* One call's use of a side. */
struct io {
	struct fd *fd;
	int number;
	enum poll_side side;
	int64_t deadline; /* its own, besides the descriptor's */
	struct fd *with;  /* FD9: the other end, of which the other side is had; or NULL */
	bool is_held;     /* a hold_begin() gives the side back, should the run end */
	bool is_unknown;  /* fd_lock_unknown(): */
	uint32_t life;    /* FD8 */
};

/*
 * Take the side. 0; -EBADF: closed, or being closed; -ECANCELED, -ETIMEDOUT. What is not 0 ends the
 * call, without io_end().
 */
int io_begin_until(struct io *io, struct fd *f, int number, enum poll_side side, int64_t until);
static inline int io_begin(struct io *io, struct fd *f, int number, enum poll_side side)
{
	return io_begin_until(io, f, number, side, OS_FOREVER);
}
/* Wait until it is worth another try: 0. Else the error that ends the call. */
int io_wait(struct io *io);
void io_end(struct io *io);
/* When it gives up: the sooner of the call's own and the descriptor's. */
int64_t io_deadline(const struct io *io);
/* Nanoseconds until the call must end, > 0; or the error that ends it now. */
int64_t io_time_left(const struct io *io);

/*
 * One call's use of a descriptor without a side: it is not closed meanwhile, FD4. 0, -EBADF. Must
 * not wait in between.
 */
int fd_use(struct fd *f);
void fd_unuse(struct fd *f);

/* What a goroutine holds while it waits, or blocks: given back when a run ends around it. FD6. */
struct fd_hold {
	struct deferred record;
	struct fd *fd;
	enum poll_side side;
	uint64_t published;    /* in the side's word, or 0 */
	struct waiter *locker; /* NULL: it has the lock; else unless ok */
	bool is_held;          /* another record gives the side back */
	bool is_unknown;       /* as in struct io */
	uint32_t life;         /* likewise */
};

/* While it holds a side, and waits for something else: around io_begin() of another, or a block. */
void hold_begin(struct fd_hold *hold, struct io *io);
void hold_end(struct fd_hold *hold, struct io *io);

/*
 * For native.c. The record of a number, or NULL; the same, made if need be: NULL: no memory. Take
 * a side that may be another's, or a number's that is unknown: then also -EAGAIN, FD7. Give it
 * back: FD8.
 */
struct fd *fd_at(int number);
struct fd *fd_make(int number);
int fd_lock_slow(struct io *io);
void fd_unlock_life(struct fd *f, enum poll_side side, uint32_t life);

/*
 * Let the poller know a descriptor, which does not block. A number that was known before and
 * closed behind our back begins anew. 0, -EPERM: a plain file; -ENOMEM, -ENOSPC, -EMFILE, -EBADF.
 */
int fd_add(int number, enum fd_kind kind);
/* What fd_add() needs besides a descriptor: the poller. 0, or -EMFILE and the like. */
int fd_prepare(void);

/* FD7: the descriptor itself; FD_GONE, which the caller has set, goes. Within its CALL_SCOPE. */
int fd_close_now(struct fd *f, int number);

/* Close one that only the caller knows of, and that nobody waits for; anywhere, also on g0. */
void fd_abandon(int number);

/* net.c: goro_connect() with a deadline, for a descriptor that the poller knows. */
int connect_until(int fd, const struct sockaddr *address, socklen_t size, int64_t deadline);

/* The system call of an operation, which must not block if the poller knows the descriptor. */
typedef ssize_t io_op(const void *args);

/* native.c: the operation on a descriptor that the poller does not know: it may block. */
ssize_t io_native(int number, enum poll_side side, io_op *op, const void *args);
int native_close(int number);
/* FD7: until nobody closes the number any more. Between goro_syscall_enter() and its end. */
void fd_wait_gone(int number);
/* FD8: another one tells who waited outside of the poller that the number is another's. */
uint32_t fd_life(int number);
/*
 * The write lock of a number that the poller does not know, for goro_write_all(); kept while the
 * thread blocks. 0, -ENOMEM, or as io_begin(). 0 or -EBADF: it has been closed meanwhile, FD8.
 */
int fd_lock_unknown(struct io *io, struct fd_hold *hold, int number);
int fd_check_unknown(const struct io *io);
void fd_unlock_unknown(struct io *io, struct fd_hold *hold);

/* An operation on a side of a descriptor, made until it returns something else than -EAGAIN. */
static inline __attribute__((always_inline)) ssize_t io_call(int number, enum poll_side side,
							     io_op *op, const void *args)
{
	struct fd *f = fd_known(number);
	struct io io;

	if (unlikely(!f))
		return io_native(number, side, op, args);
	CALL_SCOPE;
	ssize_t n = io_begin(&io, f, number, side);
	if (unlikely(n < 0))
		return n;
	while ((n = op(args)) == -EAGAIN && (n = io_wait(&io)) == 0)
		;
	io_end(&io);
	return n;
}

#endif
