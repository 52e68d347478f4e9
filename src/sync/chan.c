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
 *
 * No operation allocates: a waiter's record lies on its own stack, and values are copied straight
 * between the variables of the two sides.
 *
 * Locking: one lock a channel (rank CHAN). Order: a send happens before its receive completes, by
 * the lock or by ready(). Go: runtime/chan.go.
 */
#include <errno.h>
#include <string.h>

#include "base/sanitize.h"
#include "goro.h"
#include "os/os.h"
#include "sync/waitq.h"

struct goro_chan {
	struct lock lock;
	bool is_closed;              /* lock */
	size_t elem_size, capacity;  /* set once */
	atomic_of(size_t) count;     /* lock to write, CH1; goro_chan_len reads it without */
	size_t recv_at, send_at;     /* lock, CH1: places in the buffer, in elements */
	struct waitq receivers, senders; /* lock, CH2 */
	atomic_of(uint32_t) refs;    /* any thread, CHAN-REF */
	unsigned char buffer[] __attribute__((aligned(16)));
};

static const char send_on_closed[] = "send on closed channel";

goro_chan *goro_chan_make(size_t elem_size, size_t capacity)
{
	size_t bytes;

	if (elem_size > PTRDIFF_MAX || capacity > PTRDIFF_MAX ||
	    __builtin_mul_overflow(elem_size, capacity, &bytes) ||
	    bytes > PTRDIFF_MAX - sizeof(goro_chan))
		panic_at("makechan: size out of range");
	goro_chan *c = os_alloc(sizeof(*c) + bytes);
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

void goro_chan_unref(goro_chan *c)
{
	if (!c || add_acq_rel(&c->refs, (uint32_t)-1) != 1) /* CHAN-REF: what others did before */
		return;
	os_free(c); /* CH4 */
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

static inline void chan_lock(goro_chan *c)
{
	lock_acquire(&c->lock);
	sanitize_acquire(c);
}

static inline void chan_unlock(goro_chan *c)
{
	sanitize_release(c);
	lock_release(&c->lock);
}

static void buffer_put(goro_chan *c, const void *elem)
{
	copy_elem(chan_at(c, c->send_at), elem, c->elem_size);
	c->send_at = chan_next(c, c->send_at);
	store_rlx(&c->count, load_rlx(&c->count) + 1); /* relaxed: under the lock */
}

static void buffer_get(goro_chan *c, void *elem)
{
	if (elem)
		copy_elem(elem, chan_at(c, c->recv_at), c->elem_size);
	c->recv_at = chan_next(c, c->recv_at);
	store_rlx(&c->count, load_rlx(&c->count) - 1); /* relaxed: under the lock */
}

enum outcome { DONE, CLOSED, MUST_WAIT };

/* Under the lock, which DONE and CLOSED release. */
static enum outcome send_now(goro_chan *c, const void *elem)
{
	struct waiter *w;

	if (unlikely(c->is_closed)) {
		chan_unlock(c);
		return CLOSED;
	}
	if ((w = waitq_pop(&c->receivers))) {
		if (w->elem)
			copy_elem(w->elem, elem, c->elem_size);
		w->ok = true;
		chan_unlock(c);
		waiter_wake(w);
		return DONE;
	}
	if (load_rlx(&c->count) < c->capacity) { /* relaxed: under the lock */
		buffer_put(c, elem);
		chan_unlock(c);
		return DONE;
	}
	return MUST_WAIT;
}

/*
 * Under the lock, which DONE and CLOSED release. A waiting sender's value goes behind those
 * in the buffer.
 */
static enum outcome recv_now(goro_chan *c, void *elem)
{
	struct waiter *w;

	if (load_rlx(&c->count) > 0) { /* relaxed: under the lock */
		buffer_get(c, elem);
		/* CH2: there was no free place before */
		w = MODEL_KEEP("chan-move-up") ? waitq_pop(&c->senders) : NULL;
		if (w) {
			buffer_put(c, w->elem);
			w->ok = true;
		}
		chan_unlock(c);
		if (w)
			waiter_wake(w);
		return DONE;
	}
	if ((w = waitq_pop(&c->senders))) {
		if (elem)
			copy_elem(elem, w->elem, c->elem_size);
		w->ok = true;
		chan_unlock(c);
		waiter_wake(w);
		return DONE;
	}
	if (unlikely(c->is_closed)) {
		chan_unlock(c);
		if (elem)
			memset(elem, 0, c->elem_size);
		return CLOSED;
	}
	return MUST_WAIT;
}

/* 0, -ETIMEDOUT, -ECANCELED, -EPIPE: closed. */
__attribute__((noinline)) static int send_wait(goro_chan *c, const void *elem, int64_t deadline)
{
	struct waiter w = {.elem = (void *)(uintptr_t)elem};

	if (deadline_is_past(deadline)) {
		chan_unlock(c);
		return -ETIMEDOUT;
	}
	sanitize_release(c);
	waitq_push(&c->senders, &w);
	int error = waitq_wait(&w, &c->lock, WAIT_CHAN_SEND, deadline);
	sanitize_acquire(c);
	if (error)
		return error;
	return w.ok ? 0 : -EPIPE;
}

__attribute__((noinline)) static int recv_wait(goro_chan *c, void *elem, int64_t deadline)
{
	struct waiter w = {.elem = elem};
	size_t size = c->elem_size;

	if (deadline_is_past(deadline)) {
		chan_unlock(c);
		return -ETIMEDOUT;
	}
	sanitize_release(c);
	waitq_push(&c->receivers, &w);
	int error = waitq_wait(&w, &c->lock, WAIT_CHAN_RECV, deadline);
	sanitize_acquire(c);
	if (error)
		return error;
	if (!w.ok && elem)
		memset(elem, 0, size);
	return w.ok ? 0 : -EPIPE;
}

static inline int send_until(goro_chan *c, const void *elem, int64_t deadline)
{
	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (unlikely(!c))
		return wait_for_nothing(WAIT_CHAN_SEND_NIL, deadline);
	chan_lock(c);
	enum outcome outcome = send_now(c, elem);
	if (likely(outcome == DONE))
		return 0;
	return outcome == CLOSED ? -EPIPE : send_wait(c, elem, deadline);
}

static inline int recv_until(goro_chan *c, void *elem, int64_t deadline)
{
	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (unlikely(!c))
		return wait_for_nothing(WAIT_CHAN_RECV_NIL, deadline);
	chan_lock(c);
	enum outcome outcome = recv_now(c, elem);
	if (likely(outcome == DONE))
		return 0;
	return outcome == CLOSED ? -EPIPE : recv_wait(c, elem, deadline);
}

void goro_chan_send(goro_chan *c, const void *elem)
{
	int error = send_until(c, elem, GORO_FOREVER);

	if (unlikely(error))
		error == -ECANCELED ? panic_canceled() : panic_at(send_on_closed);
}

bool goro_chan_recv(goro_chan *c, void *elem)
{
	int error = recv_until(c, elem, GORO_FOREVER);

	if (unlikely(error == -ECANCELED))
		panic_canceled();
	return error == 0;
}

int goro_chan_send_until(goro_chan *c, const void *elem, int64_t deadline)
{
	int error = send_until(c, elem, deadline);

	if (unlikely(error == -EPIPE))
		panic_at(send_on_closed);
	return error;
}

int goro_chan_recv_until(goro_chan *c, void *elem, int64_t deadline)
{
	return recv_until(c, elem, deadline);
}

int goro_chan_trysend(goro_chan *c, const void *elem)
{
	preempt_check();
	if (unlikely(!c))
		return -EAGAIN;
	chan_lock(c);
	enum outcome outcome = send_now(c, elem);
	if (outcome == MUST_WAIT)
		chan_unlock(c);
	if (unlikely(outcome == CLOSED))
		panic_at(send_on_closed);
	return outcome == DONE ? 0 : -EAGAIN;
}

int goro_chan_tryrecv(goro_chan *c, void *elem)
{
	preempt_check();
	if (unlikely(!c))
		return -EAGAIN;
	chan_lock(c);
	enum outcome outcome = recv_now(c, elem);
	if (outcome == MUST_WAIT)
		chan_unlock(c);
	if (outcome == DONE)
		return 0;
	return outcome == CLOSED ? -EPIPE : -EAGAIN;
}

void goro_chan_close(goro_chan *c)
{
	struct waitq woken = {0};
	struct waiter *w;

	if (!c)
		panic_at("close of nil channel");
	chan_lock(c);
	if (c->is_closed) {
		chan_unlock(c);
		panic_at("close of closed channel");
	}
	c->is_closed = true;
	while ((w = waitq_pop(&c->receivers)) || (w = waitq_pop(&c->senders))) {
		w->ok = false;
		w->next = NULL;
		if (woken.last)
			woken.last->next = w;
		else
			woken.first = w;
		woken.last = w;
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
	return c ? load_rlx(&c->count) : 0; /* relaxed: a snapshot */
}

size_t goro_chan_cap(goro_chan *c)
{
	return c ? c->capacity : 0;
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
	size_check(c, size, "goro_get");
	(void)goro_chan_recv(c, value);
}
