/*
 * chan.h - the inside of a channel, for what works on several at once.
 *
 *   chan.c: send, receive, close      select.c: the same over many channels
 *
 * CH1 to CH6 stand in chan.c.
 */
#ifndef SYNC_CHAN_H
#define SYNC_CHAN_H

#include "base/sanitize.h"
#include "goro.h"
#include "sync/waitq.h"

struct goro_chan {
	struct lock lock;
	atomic_of(uint32_t) marks;   /* lock to write, CH6: CHAN_MARK_... */
	bool is_closed;              /* lock */
	bool is_orphan;              /* lock, CH5 */
	bool hides_buffer;           /* set once: a timer's; its len and cap read 0 */
	uint32_t n_selecting;        /* lock, CH5 */
	size_t elem_size, capacity;  /* set once */
	atomic_of(size_t) count;     /* lock to write, CH1; read without it: CH6, goro_chan_len */
	size_t recv_at, send_at;     /* lock, CH1: places in the buffer, in elements */
	struct waitq receivers, senders; /* lock, CH2 */
	atomic_of(uint32_t) refs;    /* any thread, CHAN-REF */
	unsigned char buffer[] __attribute__((aligned(16)));
};

/* CH6: for who looks without the lock. */
enum { CHAN_MARK_CLOSED = 1, CHAN_MARK_SENDERS = 2, CHAN_MARK_RECEIVERS = 4 };

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

/* CH6: under the lock. */
static inline void chan_mark(goro_chan *c, uint32_t mark)
{
	uint32_t marks = load_rlx(&c->marks); /* relaxed: written under the lock */

	if (!(marks & mark))
		store_rlx(&c->marks, marks | mark); /* relaxed: the lock's word orders it */
}

/* Under the lock, with which a waiter comes that is about to be queued. */
static inline void chan_mark_sender(goro_chan *c)
{
	if (c->capacity == 0)
		chan_mark(c, CHAN_MARK_SENDERS);
}

static inline void chan_mark_receiver(goro_chan *c)
{
	if (c->capacity == 0)
		chan_mark(c, CHAN_MARK_RECEIVERS);
}

/*
 * CH6: at some moment of this call there was nothing to receive, and c was not closed. False:
 * perhaps there is, look under the lock. The same for a free place, or a receiver who waits.
 */
static inline bool chan_cannot_recv(goro_chan *c)
{
	/* relaxed: only where the explorer looks in the wrong order */
	uint32_t too_early = MODEL_KEEP("chan-peek-order") ? 0 : load_rlx(&c->marks);

	if (!lock_is_free(&c->lock) && MODEL_KEEP("chan-peek-lock"))
		return false;
	if (load_acq(&c->count) != 0) /* CHAN-PEEK: what was done before it was emptied */
		return false;
	/* relaxed: after the count, and no other word */
	uint32_t marks = MODEL_KEEP("chan-peek-order") ? load_rlx(&c->marks) : too_early;
	return !(marks & (CHAN_MARK_CLOSED | CHAN_MARK_SENDERS));
}

static inline bool chan_cannot_send(goro_chan *c)
{
	if (!lock_is_free(&c->lock) && MODEL_KEEP("chan-peek-lock"))
		return false;
	if (load_acq(&c->count) < c->capacity) /* CHAN-PEEK: what was done before it was full */
		return false;
	/* relaxed: after the count, and no other word */
	return !(load_rlx(&c->marks) & (CHAN_MARK_CLOSED | CHAN_MARK_RECEIVERS));
}

/* The same under the lock; a waiter that has given up counts. */
static inline bool chan_cannot_recv_now(const goro_chan *c)
{
	/* relaxed: under the lock */
	return load_rlx(&c->count) == 0 && !c->is_closed && waitq_is_empty(&c->senders);
}

static inline bool chan_cannot_send_now(const goro_chan *c)
{
	/* relaxed: under the lock */
	return load_rlx(&c->count) >= c->capacity && !c->is_closed && waitq_is_empty(&c->receivers);
}

/* Under the lock, which it releases: nothing was possible. The next may see so without it. */
void chan_unlock_idle(goro_chan *c);

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
