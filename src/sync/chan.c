/*
 * chan.c - channels: a ring buffer, waiting senders and receivers in order, direct copy
 * between stacks.
 *
 *   goro_chan_send -> a waiting receiver's variable | buffer | wait in senders
 *   goro_chan_recv -> a waiting sender's variable   | buffer | wait in receivers
 *   goro_chan_close -> everybody who waits
 *
 * CH1  count <= capacity; recv_at is the oldest value, (recv_at + count) % capacity the
 *      next free place.
 * CH2  receivers is empty, or the buffer is empty; senders is empty, or the buffer is
 *      full (capacity 0 is both). A waiter that has given up but not yet left its queue
 *      counts as absent.
 * CH3  A closed channel has no waiters.
 * CH4  After the lock is released, nothing of the channel is touched but by who still has a call
 *      to make: the last reference may be dropped by whoever our value or wake-up reaches
 *      (lock.h, LK1).
 * CH5  n_selecting is how many records of selects stand for the channel, in its queues or on their
 *      way out: they come back to it when another of their channels, or the deadline, has ended the
 *      wait. One that was popped does not, and no longer counts. Whoever drops the last reference
 *      meanwhile leaves an orphan, which the last of them frees.
 * CH6  Who does not wait looks without the lock first, and takes it only if there may be something
 *      to do. marks has CLOSED if and only if the channel is closed; SENDERS unless no sender is
 *      queued, where there is no buffer (else they stand behind a full one), and RECEIVERS
 *      likewise. They outlive their queues, until somebody finds those empty under the lock. Each
 *      value that count takes is one that the channel had: none while a value goes out and another
 *      comes in. So "no value, then not closed" was true when the first was read, since a channel
 *      is not opened again; and the lock's word, looked at before, was free, so that nobody who
 *      has gone on has left anything that is not to be seen yet (LK4).
 *
 * No operation allocates: a waiter's record lies on its own stack, and values are copied straight
 * between the variables of the two sides.
 *
 * Locking: one lock a channel (rank CHAN). Order: a send happens before its receive completes, by
 * the lock or by ready(); CHAN-PEEK. Go: runtime/chan.go.
 */
#include <errno.h>
#include <string.h>

#include "os/os.h"
#include "sync/chan.h"

goro_chan *goro_chan_make(size_t elem_size, size_t capacity)
{
	size_t bytes;

	if (elem_size > PTRDIFF_MAX || capacity > PTRDIFF_MAX ||
	    __builtin_mul_overflow(elem_size, capacity, &bytes) ||
	    bytes > PTRDIFF_MAX - sizeof(goro_chan))
		panic_at("makechan: size out of range");
	goro_chan *c = call_alloc(sizeof(*c) + bytes);
	if (!c)
		return NULL;
	lock_init(&c->lock, LOCK_CHAN);
	c->elem_size = elem_size;
	c->capacity = capacity;
	store_rlx(&c->refs, 1); /* relaxed: not published yet */
	return c;
}

goro_chan *goro_chan_ref(goro_chan *c)
{
	if (c)
		add_rlx(&c->refs, 1); /* relaxed: the caller has one already */
	return c;
}

/* The last reference is gone. True: nobody comes back to it, CH5. */
static bool orphan(goro_chan *c)
{
	CALL_SCOPE;

	lock_acquire(&c->lock);
	bool is_free = c->n_selecting == 0 || !MODEL_KEEP("chan-orphan");
	c->is_orphan = true;
	lock_release(&c->lock);
	return is_free;
}

void goro_chan_unref(goro_chan *c)
{
	if (!c)
		return;
	sanitize_release(c);
	if (add_acq_rel(&c->refs, (uint32_t)-1) != 1) /* CHAN-REF: what others did before */
		return;
	sanitize_acquire(c);
	if (orphan(c))
		call_free(c); /* CH4 */
}

void chan_leave(goro_chan *c, uint32_t n_records)
{
	GORO_ASSERT(c->n_selecting >= n_records); /* CH5 */
	c->n_selecting -= n_records;
	bool is_free = c->is_orphan && c->n_selecting == 0;
	lock_release(&c->lock);
	if (unlikely(is_free)) {
		sanitize_acquire(c);
		call_free(c);
	}
}

void panic_send_on_closed(void)
{
	panic_at("send on closed channel");
}

/* The usual sizes without a call. */
static inline void copy_elem(void *to, const void *from, size_t size)
{
	if (size == 8)
		memcpy(to, from, 8);
	else if (size == 4)
		memcpy(to, from, 4);
	else if (size)
		memcpy(to, from, size);
}

static inline void *chan_at(goro_chan *c, size_t i)
{
	return c->buffer + i * c->elem_size;
}

static inline size_t chan_next(const goro_chan *c, size_t i)
{
	return ++i == c->capacity ? 0 : i;
}

static void buffer_put(goro_chan *c, const void *elem)
{
	copy_elem(chan_at(c, c->send_at), elem, c->elem_size);
	c->send_at = chan_next(c, c->send_at);
	/* relaxed: under the lock */
	store_rel(&c->count, load_rlx(&c->count) + 1); /* CHAN-PEEK: all before, a close too */
}

static void buffer_get(goro_chan *c, void *elem)
{
	if (elem)
		copy_elem(elem, chan_at(c, c->recv_at), c->elem_size);
	c->recv_at = chan_next(c, c->recv_at);
	/* relaxed: under the lock */
	store_rel(&c->count, load_rlx(&c->count) - 1); /* CHAN-PEEK: all before, a close too */
}

/* Under the lock. */
static inline struct waiter *chan_pop(goro_chan *c, struct waitq *q)
{
	struct waiter *w = waitq_pop(q);

	if (w && w->is_select)
		c->n_selecting--; /* CH5 */
	return w;
}

/* The oldest goes out and w's comes in, at the same place: CH6, it is full all the time. */
static void buffer_exchange(goro_chan *c, void *elem, struct waiter *w)
{
	void *at = chan_at(c, c->recv_at);

	GORO_ASSERT(c->recv_at == c->send_at); /* CH2 */
	if (elem)
		copy_elem(elem, at, c->elem_size);
	copy_elem(at, w->elem, c->elem_size);
	c->send_at = c->recv_at = chan_next(c, c->recv_at);
	w->ok = true;
}

/*
 * The end of what was possible at once: c is released and w woken, or, for who holds more locks
 * than this one, left to the caller.
 */
static inline enum chan_outcome chan_done(goro_chan *c, struct waiter *w, struct waiter **woken)
{
	if (w)
		sanitize_release(w); /* not by c, which may be no more when w runs: CH4 */
	if (woken) {
		*woken = w;
	} else {
		chan_unlock(c);
		if (w)
			waiter_wake(w);
	}
	return CHAN_DONE;
}

/* Under the lock, which CHAN_DONE and CHAN_CLOSED release if woken is NULL. */
__attribute__((always_inline)) static inline enum chan_outcome
send_at_once(goro_chan *c, const void *elem, struct waiter **woken)
{
	struct waiter *w;

	if (unlikely(c->is_closed)) {
		if (!woken)
			chan_unlock(c);
		return CHAN_CLOSED;
	}
	if ((w = chan_pop(c, &c->receivers))) {
		if (w->elem)
			copy_elem(w->elem, elem, c->elem_size);
		w->ok = true;
		return chan_done(c, w, woken);
	}
	if (load_rlx(&c->count) < c->capacity) { /* relaxed: under the lock */
		buffer_put(c, elem);
		return chan_done(c, NULL, woken);
	}
	return CHAN_MUST_WAIT;
}

/* The same. A waiting sender's value goes behind those in the buffer. */
__attribute__((always_inline)) static inline enum chan_outcome
recv_at_once(goro_chan *c, void *elem, struct waiter **woken)
{
	struct waiter *w;

	if (load_rlx(&c->count) > 0) { /* relaxed: under the lock */
		/* CH2: there was no free place before */
		w = MODEL_KEEP("chan-move-up") ? chan_pop(c, &c->senders) : NULL;
		if (unlikely(w != NULL) && MODEL_KEEP("chan-exchange")) {
			buffer_exchange(c, elem, w);
			return chan_done(c, w, woken);
		}
		buffer_get(c, elem);
		if (w && !MODEL_KEEP("chan-exchange")) {
			buffer_put(c, w->elem);
			w->ok = true;
		}
		return chan_done(c, w, woken);
	}
	if ((w = chan_pop(c, &c->senders))) {
		if (elem)
			copy_elem(elem, w->elem, c->elem_size);
		w->ok = true;
		return chan_done(c, w, woken);
	}
	if (unlikely(c->is_closed)) {
		size_t size = c->elem_size;
		if (!woken)
			chan_unlock(c);
		if (elem)
			memset(elem, 0, size);
		return CHAN_CLOSED;
	}
	return CHAN_MUST_WAIT;
}

enum chan_outcome chan_send_now(goro_chan *c, const void *elem)
{
	return send_at_once(c, elem, NULL);
}

enum chan_outcome chan_recv_now(goro_chan *c, void *elem)
{
	return recv_at_once(c, elem, NULL);
}

enum chan_outcome chan_send_under(goro_chan *c, const void *elem, struct waiter **woken)
{
	return send_at_once(c, elem, woken);
}

enum chan_outcome chan_recv_under(goro_chan *c, void *elem, struct waiter **woken)
{
	return recv_at_once(c, elem, woken);
}

void chan_unlock_idle(goro_chan *c)
{
	uint32_t marks = load_rlx(&c->marks), stale = 0; /* relaxed: written under the lock */

	if (waitq_is_empty(&c->senders))
		stale |= CHAN_MARK_SENDERS;
	if (waitq_is_empty(&c->receivers))
		stale |= CHAN_MARK_RECEIVERS;
	if (marks & stale)
		store_rlx(&c->marks, marks & ~stale); /* relaxed: nobody follows it to anything */
	chan_unlock(c);
}

/* 0, -ETIMEDOUT, -ECANCELED, -EPIPE: closed. */
__attribute__((noinline)) static int send_wait(goro_chan *c, const void *elem,
					       enum wait_reason reason, int64_t deadline)
{
	struct waiter w = {.elem = (void *)(uintptr_t)elem};

	if (deadline_is_past(deadline)) {
		chan_unlock_idle(c);
		return -ETIMEDOUT;
	}
	sanitize_release(c);
	chan_mark_sender(c);
	waitq_push(&c->senders, &w);
	int error = waitq_wait(&w, &c->lock, reason, deadline);
	if (error)
		return error;
	sanitize_acquire(&w);
	return w.ok ? 0 : -EPIPE;
}

__attribute__((noinline)) static int recv_wait(goro_chan *c, void *elem,
					       enum wait_reason reason, int64_t deadline)
{
	struct waiter w = {.elem = elem};

	if (deadline_is_past(deadline)) {
		chan_unlock_idle(c);
		return -ETIMEDOUT;
	}
	sanitize_release(c);
	chan_mark_receiver(c);
	waitq_push(&c->receivers, &w);
	int error = waitq_wait(&w, &c->lock, reason, deadline);
	if (error)
		return error;
	sanitize_acquire(&w);
	return w.ok ? 0 : -EPIPE;
}

static inline int send_by(goro_chan *c, const void *elem, enum wait_reason reason, int64_t deadline)
{
	chan_lock(c);
	enum chan_outcome outcome = chan_send_now(c, elem);
	if (likely(outcome == CHAN_DONE))
		return 0;
	return outcome == CHAN_CLOSED ? -EPIPE : send_wait(c, elem, reason, deadline);
}

int chan_send_by(goro_chan *c, const void *elem, enum wait_reason reason, int64_t deadline)
{
	return send_by(c, elem, reason, deadline);
}

static inline int send_until(goro_chan *c, const void *elem, int64_t deadline)
{
	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (unlikely(!c))
		return wait_for_nothing(WAIT_CHAN_SEND_NIL, deadline);
	if (deadline <= GORO_POLL && chan_cannot_send(c))
		return -ETIMEDOUT;
	return send_by(c, elem, WAIT_CHAN_SEND, deadline);
}

static inline int recv_by(goro_chan *c, void *elem, enum wait_reason reason, int64_t deadline)
{
	chan_lock(c);
	enum chan_outcome outcome = chan_recv_now(c, elem);
	if (likely(outcome == CHAN_DONE))
		return 0;
	return outcome == CHAN_CLOSED ? -EPIPE : recv_wait(c, elem, reason, deadline);
}

int chan_recv_by(goro_chan *c, void *elem, enum wait_reason reason, int64_t deadline)
{
	return recv_by(c, elem, reason, deadline);
}

static inline int recv_until(goro_chan *c, void *elem, int64_t deadline)
{
	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (unlikely(!c))
		return wait_for_nothing(WAIT_CHAN_RECV_NIL, deadline);
	if (deadline <= GORO_POLL && chan_cannot_recv(c))
		return -ETIMEDOUT;
	return recv_by(c, elem, WAIT_CHAN_RECV, deadline);
}

void goro_chan_send(goro_chan *c, const void *elem)
{
	CALL_SCOPE;
	int error = send_until(c, elem, GORO_FOREVER);

	if (unlikely(error))
		error == -ECANCELED ? panic_canceled() : panic_send_on_closed();
}

bool goro_chan_recv(goro_chan *c, void *elem)
{
	CALL_SCOPE;
	int error = recv_until(c, elem, GORO_FOREVER);

	if (unlikely(error == -ECANCELED))
		panic_canceled();
	return error == 0;
}

int goro_chan_send_until(goro_chan *c, const void *elem, int64_t deadline)
{
	CALL_SCOPE;
	int error = send_until(c, elem, deadline);

	if (unlikely(error == -EPIPE))
		panic_send_on_closed();
	return error;
}

int goro_chan_recv_until(goro_chan *c, void *elem, int64_t deadline)
{
	CALL_SCOPE;
	return recv_until(c, elem, deadline);
}

static int trysend_locked(goro_chan *c, const void *elem)
{
	CALL_SCOPE;

	if (!c)
		return -EAGAIN;
	chan_lock(c);
	enum chan_outcome outcome = chan_send_now(c, elem);
	if (outcome == CHAN_MUST_WAIT)
		chan_unlock_idle(c);
	if (unlikely(outcome == CHAN_CLOSED))
		panic_send_on_closed();
	return outcome == CHAN_DONE ? 0 : -EAGAIN;
}

static int tryrecv_locked(goro_chan *c, void *elem)
{
	CALL_SCOPE;

	if (!c)
		return -EAGAIN;
	chan_lock(c);
	enum chan_outcome outcome = chan_recv_now(c, elem);
	if (outcome == CHAN_MUST_WAIT)
		chan_unlock_idle(c);
	if (outcome == CHAN_DONE)
		return 0;
	return outcome == CHAN_CLOSED ? -EPIPE : -EAGAIN;
}

int goro_chan_trysend(goro_chan *c, const void *elem)
{
	preempt_check();
	if (c && chan_cannot_send(c) && call_may_be_skipped())
		return -EAGAIN;
	return trysend_locked(c, elem);
}

int goro_chan_tryrecv(goro_chan *c, void *elem)
{
	preempt_check();
	if (c && chan_cannot_recv(c) && call_may_be_skipped())
		return -EAGAIN;
	return tryrecv_locked(c, elem);
}

void goro_chan_close(goro_chan *c)
{
	CALL_SCOPE;
	struct woken woken = {0};
	struct waiter *w;

	if (!c)
		panic_at("close of nil channel");
	chan_lock(c);
	if (c->is_closed) {
		chan_unlock(c);
		panic_at("close of closed channel");
	}
	c->is_closed = true;
	chan_mark(c, CHAN_MARK_CLOSED);
	while ((w = chan_pop(c, &c->receivers))) {
		if (w->elem)
			memset(w->elem, 0, c->elem_size);
		sanitize_release(w);
		woken_add(&woken, w);
	}
	while ((w = chan_pop(c, &c->senders))) {
		sanitize_release(w);
		woken_add(&woken, w);
	}
	chan_unlock(c);
	while ((w = woken.first)) {
		woken.first = w->next;
		waiter_wake(w);
	}
}

size_t goro_chan_len(goro_chan *c)
{
	preempt_check();
	return c && !c->hides_buffer ? load_rlx(&c->count) : 0; /* relaxed: a snapshot */
}

size_t goro_chan_cap(goro_chan *c)
{
	return c && !c->hides_buffer ? c->capacity : 0;
}

static void size_check(goro_chan *c, size_t size, const char *call)
{
	if (unlikely(c && c->elem_size != size))
		goro_panic("%s: value of %zu bytes on a channel of %zu-byte elements", call, size,
			   c->elem_size);
}

void goro_put_(goro_chan *c, const void *value, size_t size)
{
	size_check(c, size, "goro_put");
	goro_chan_send(c, value);
}

void goro_get_(goro_chan *c, void *value, size_t size)
{
	CALL_SCOPE;

	size_check(c, size, "goro_get");
	if (unlikely(recv_until(c, value, GORO_FOREVER) == -ECANCELED))
		panic_canceled();
}
