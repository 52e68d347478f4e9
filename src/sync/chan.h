/*
 * chan.h - the inside of a channel, for what works on several at once.
 *
 *   chan.c: send, receive, close      select.c: the same over many channels
 *
 * CH1 to CH5 stand in chan.c.
 */
#ifndef SYNC_CHAN_H
#define SYNC_CHAN_H

#include "base/sanitize.h"
#include "goro.h"
#include "sync/waitq.h"

struct goro_chan {
	struct lock lock;
	bool is_closed;              /* lock */
	bool is_orphan;              /* lock, CH5 */
	bool hides_buffer;           /* set once: a timer's; its len and cap read 0 */
	uint32_t n_selecting;        /* lock, CH5 */
	size_t elem_size, capacity;  /* set once */
	atomic_of(size_t) count;     /* lock to write, CH1; goro_chan_len reads it without */
	size_t recv_at, send_at;     /* lock, CH1: places in the buffer, in elements */
	struct waitq receivers, senders; /* lock, CH2 */
	atomic_of(uint32_t) refs;    /* any thread, CHAN-REF */
	unsigned char buffer[] __attribute__((aligned(16)));
};

enum chan_outcome { CHAN_DONE, CHAN_CLOSED, CHAN_MUST_WAIT };

__attribute__((always_inline)) static inline void chan_lock(goro_chan *c)
{
	lock_acquire(&c->lock);
	sanitize_acquire(c);
}

__attribute__((always_inline)) static inline void chan_unlock(goro_chan *c)
{
	sanitize_release(c);
	lock_release(&c->lock);
}

/* Under the lock, which CHAN_DONE and CHAN_CLOSED release. */
enum chan_outcome chan_send_now(goro_chan *c, const void *elem);
enum chan_outcome chan_recv_now(goro_chan *c, void *elem);

/*
 * The same for who holds more locks than this one: none is released, and after CHAN_DONE *woken,
 * unless it is NULL, is to be woken when they are.
 */
enum chan_outcome chan_send_under(goro_chan *c, const void *elem, struct waiter **woken);
enum chan_outcome chan_recv_under(goro_chan *c, void *elem, struct waiter **woken);

/* On a channel that is not NULL: 0, -ETIMEDOUT, -ECANCELED, -EPIPE: closed. */
int chan_send_by(goro_chan *c, const void *elem, enum wait_reason reason, int64_t deadline);
int chan_recv_by(goro_chan *c, void *elem, enum wait_reason reason, int64_t deadline);

/* "send on closed channel" */
__attribute__((__noreturn__, __cold__)) void panic_send_on_closed(void);

/* CH5: a select is no longer at c, whose lock the caller holds. Releases it. */
void chan_leave(goro_chan *c, uint32_t n_records);

#endif
