/*
 * select.c - waiting for whichever of several channel operations is possible first.
 *
 *   goro_select -> each case under its own lock, in random order     -> done
 *               -> all of them under all locks, at one instant       -> done, or -ETIMEDOUT
 *               -> a record in each queue -> park -> one is popped   -> the others taken out
 *
 * SL1  Locks of several channels are taken in the order of their addresses, each once however many
 *      cases name the channel, and released from the highest down.
 * SL2  Records are queued only while all locks are held under which no case was possible: so no
 *      value or close slips by, and a select never meets itself.
 * SL3  The order in which cases are looked at, and in which those on the same channel are queued,
 *      is random, each order as likely as any other.
 * SL4  The commit reads the arrays on the G's stack until it has released the lowest lock, which is
 *      the last. A G that was woken meanwhile does not change them, and before it leaves takes each
 *      lock once more, but perhaps the one under which it was woken: if that is the lowest, the
 *      commit is over.
 *
 * The first look needs no instant of its own: a case that is possible under its channel's lock is
 * one that this select may choose at that moment, whatever the others are. Only "none is" must be
 * said of one moment, because who reads it as Go's default concludes something from it.
 *
 * Records and orders lie on the caller's stack for up to SELECT_ON_STACK cases, else in one
 * allocation.
 *
 * Locking: the channels', SL1. Orders: those of channels, and WAIT-RACE. Go: selectgo in
 * runtime/select.go, which always takes all locks first.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/rand.h"
#include "core/self.h"
#include "os/os.h"
#include "sync/chan.h"

#define SELECT_ON_STACK 16u

struct select {
	const goro_case *cases;
	uint32_t n;              /* cases with a channel */
	uint32_t n_shuffled;     /* so much of look is final */
	uint32_t *look;          /* their indices, in the order to look at them: SL3 */
	uint32_t *order;         /* their indices, by address: SL1 */
	struct waiter *waiters;  /* waiters[k] is for case order[k] */
	uint64_t *rand;
	bool is_open;            /* the result: a value went over, the channel was not closed */
	bool is_on_heap;         /* waiters is the start of an allocation */
};

/* ---- which case next ---- */

static atomic_of(uint64_t) n_selects_outside; /* in plain threads: a seed each */

/* SL3: Fisher-Yates, as far as it is needed. */
static inline const goro_case *look_next(struct select *s, uint32_t i)
{
	if (i == s->n_shuffled) {
		uint32_t j = i + rand_below(s->rand, s->n - i);
		uint32_t picked = s->look[j];
		s->look[j] = s->look[i];
		s->look[i] = picked;
		s->n_shuffled++;
	}
	return &s->cases[s->look[i]];
}

/* ---- all locks, SL1 ---- */

static inline goro_chan *chan_of(const struct select *s, uint32_t k)
{
	return s->cases[s->order[k]].chan;
}

static inline bool is_below(const struct select *s, uint32_t a, uint32_t b)
{
	return (uintptr_t)s->cases[a].chan < (uintptr_t)s->cases[b].chan;
}

/* order[root] sinks until the heap of n has its highest address on top again. */
static void heap_sink(struct select *s, uint32_t root, uint32_t n)
{
	uint32_t moved = s->order[root];

	for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && is_below(s, s->order[child], s->order[child + 1]))
			child++;
		if (!is_below(s, moved, s->order[child]))
			break;
		s->order[root] = s->order[child];
	}
	s->order[root] = moved;
}

/* Insertion is quicker for few, mostly in order already; a heap is never quadratic. */
static void order_by_address(struct select *s)
{
	if (s->n <= SELECT_ON_STACK) {
		for (uint32_t i = 1; i < s->n; i++) {
			uint32_t moved = s->order[i], at = i;
			for (; at > 0 && is_below(s, moved, s->order[at - 1]); at--)
				s->order[at] = s->order[at - 1];
			s->order[at] = moved;
		}
		return;
	}
	for (uint32_t root = s->n / 2; root-- > 0;)
		heap_sink(s, root, s->n);
	for (uint32_t n = s->n; n-- > 1;) {
		uint32_t highest = s->order[0];
		s->order[0] = s->order[n];
		s->order[n] = highest;
		heap_sink(s, 0, n);
	}
}

/* Those of order[first] to order[end - 1]. */
static inline void lock_some(struct select *s, uint32_t first, uint32_t end)
{
	for (uint32_t k = first; k < end; k++)
		if (k == 0 || chan_of(s, k) != chan_of(s, k - 1))
			chan_lock(chan_of(s, k));
}

static inline void unlock_some(struct select *s, uint32_t end)
{
	for (uint32_t k = end; k-- > 0;)
		if (k == 0 || chan_of(s, k) != chan_of(s, k - 1))
			chan_unlock(chan_of(s, k));
}

static void unlock_all(struct select *s)
{
	unlock_some(s, s->n);
}

/* Nothing was possible: CH6. */
static void unlock_all_idle(struct select *s)
{
	for (uint32_t k = s->n; k-- > 0;)
		if (k == 0 || chan_of(s, k) != chan_of(s, k - 1))
			chan_unlock_idle(chan_of(s, k));
}

/* On g0, or on the plain thread. Nothing of s is read after the last: SL4. */
static void release_all(void *arg)
{
	struct select *s = arg;

	for (uint32_t k = s->n; k-- > 0;)
		if (k == 0 || chan_of(s, k) != chan_of(s, k - 1))
			lock_release(&chan_of(s, k)->lock);
}

/* ---- what is possible at once ---- */

/* CH6, without the lock; and under it. */
static inline bool cannot(const goro_case *cs)
{
	return cs->is_send ? chan_cannot_send(cs->chan) : chan_cannot_recv(cs->chan);
}

static inline bool cannot_now(const goro_case *cs)
{
	return cs->is_send ? chan_cannot_send_now(cs->chan) : chan_cannot_recv_now(cs->chan);
}

/* The index of the case done, with is_open; or -EAGAIN. */
static int look_at_each(struct select *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const goro_case *cs = look_next(s, i);
		if (cannot(cs))
			continue;
		chan_lock(cs->chan);
		enum chan_outcome outcome = cs->is_send ? chan_send_now(cs->chan, cs->elem)
							: chan_recv_now(cs->chan, cs->elem);
		if (outcome != CHAN_MUST_WAIT) {
			s->is_open = outcome == CHAN_DONE;
			return (int)s->look[i];
		}
		chan_unlock_idle(cs->chan);
	}
	return -EAGAIN;
}

/*
 * True, with none locked: no case was possible at one instant, the usual answer where there is a
 * default. It needs all locks but the last: while they are held nothing becomes possible on the
 * others, so that the moment when the last channel was looked at is one for all. (If two cases are
 * on it, it is locked for the first.) False, with all locked: perhaps one is.
 */
static bool none_is_possible(struct select *s)
{
	uint32_t last = s->n - 1;
	bool is_none = true;

	lock_some(s, 0, last);
	for (uint32_t k = 0; k < last && is_none; k++)
		is_none = cannot_now(&s->cases[s->order[k]]);
	if (is_none && cannot(&s->cases[s->order[last]])) {
		unlock_some(s, last);
		return true;
	}
	lock_some(s, last, s->n);
	return false;
}

/* Under all locks, which only an index releases. */
static int look_at_all(struct select *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const goro_case *cs = look_next(s, i);
		struct waiter *woken = NULL;
		enum chan_outcome outcome = cs->is_send
						    ? chan_send_under(cs->chan, cs->elem, &woken)
						    : chan_recv_under(cs->chan, cs->elem, &woken);
		if (outcome != CHAN_MUST_WAIT) {
			s->is_open = outcome == CHAN_DONE;
			unlock_all(s);
			if (woken)
				waiter_wake(woken);
			return (int)s->look[i];
		}
	}
	return -EAGAIN;
}

/* ---- waiting ---- */

/* SL3: who comes to a channel finds any of our cases there first. */
static void shuffle_equals(struct select *s)
{
	for (uint32_t first = 0, k = 1; k < s->n; k++) {
		if (chan_of(s, k) != chan_of(s, k - 1)) {
			first = k;
			continue;
		}
		uint32_t j = first + rand_below(s->rand, k - first + 1);
		uint32_t picked = s->order[j];
		s->order[j] = s->order[k];
		s->order[k] = picked;
	}
}

static void enqueue_all(struct select *s, struct wait *wait)
{
	for (uint32_t k = 0; k < s->n; k++) {
		const goro_case *cs = &s->cases[s->order[k]];
		goro_chan *c = cs->chan;
		struct waiter *w = &s->waiters[k];
		w->also = k + 1 < s->n ? w + 1 : NULL;
		w->elem = cs->elem;
		w->index = k;
		w->ok = false;
		w->is_select = true;
		wait_join(wait, w, &c->lock);
		if (cs->is_send)
			chan_mark_sender(c);
		else
			chan_mark_receiver(c);
		waitq_push(cs->is_send ? &c->senders : &c->receivers, w);
		c->n_selecting++;
		sanitize_release(c);
	}
}

/*
 * Take our records out, channel by channel, each under its lock: SL4. The last reference to any of
 * them may be gone already: CH5. The winner's was taken out by who popped it, and its channel, if
 * no other record is there, may be no more.
 */
static void dequeue_losers(struct select *s, uint32_t winner)
{
	for (uint32_t first = 0, end; first < s->n; first = end) {
		goro_chan *c = chan_of(s, first);
		uint32_t n_losers = 0;
		for (end = first; end < s->n && chan_of(s, end) == c; end++)
			n_losers += end != winner;
		if (n_losers == 0 && MODEL_KEEP("select-winner-gone"))
			continue;
		lock_acquire(&c->lock);
		for (uint32_t k = first; k < end; k++) {
			struct waiter *w = &s->waiters[k];
			if (w->queue && MODEL_KEEP("select-dequeue"))
				waitq_unlink(w->queue, w);
		}
		chan_leave(c, n_losers);
	}
}

/* The number of the record that was popped; that of none if the wait ended otherwise. */
static inline uint32_t winner_of(uint32_t race)
{
	return race - RACE_WOKEN;
}

static void select_end(struct select *s)
{
	if (s->is_on_heap)
		call_free(s->waiters);
}

/* The run has ended while its G waits. */
static void select_forget(struct wait *wait)
{
	struct select *s = wait->release_arg;

	dequeue_losers(s, winner_of(load_acq(&wait->race))); /* WAIT-RACE */
	select_end(s);
}

/* Under all locks, which it releases. The index of the case done, -ETIMEDOUT, -ECANCELED. */
static int wait_for_any(struct select *s, int64_t deadline)
{
	struct wait wait = {
		.release = release_all, .release_arg = s, .forget = select_forget};

	shuffle_equals(s);
	wait_begin(&wait, deadline);
	enqueue_all(s, &wait);
	uint32_t race = wait_end_of(&wait, s->waiters, WAIT_SELECT);
	uint32_t winner = winner_of(race);
	dequeue_losers(s, winner);
	if (race < RACE_WOKEN)
		return wait_error(race);
	s->is_open = s->waiters[winner].ok;
	sanitize_acquire(&s->waiters[winner]);
	return (int)s->order[winner];
}

/* ---- one select ---- */

static int select_among(struct select *s, size_t n, int64_t deadline)
{
	CALL_SCOPE;
	struct m *mp = m_self();
	uint64_t seed;
	int index;

	for (size_t i = 0, k = 0; i < n; i++)
		if (s->cases[i].chan)
			s->look[k++] = (uint32_t)i;
	s->rand = mp ? &mp->rand : &seed;
	if (unlikely(!mp))
		seed = rand_seed(add_rlx(&n_selects_outside, 1)); /* relaxed: any number will do */
	if (deadline > GORO_POLL && (index = look_at_each(s)) >= 0)
		return index;
	if (deadline <= GORO_POLL && !MODEL_KEEP("select-one-instant"))
		return (index = look_at_each(s)) >= 0 ? index : -ETIMEDOUT;
	/* Not in the order of look: that would be a new one each time, and slow to sort. */
	for (size_t i = 0, k = 0; i < n; i++)
		if (s->cases[i].chan)
			s->order[k++] = (uint32_t)i;
	if (MODEL_KEEP("select-order"))
		order_by_address(s);
	if (deadline > GORO_POLL)
		lock_some(s, 0, s->n);
	else if (none_is_possible(s))
		return -ETIMEDOUT;
	if (MODEL_KEEP("select-look-again") && (index = look_at_all(s)) >= 0)
		return index;
	if (deadline_is_past(deadline)) {
		unlock_all_idle(s);
		return -ETIMEDOUT;
	}
	return wait_for_any(s, deadline);
}

static int select_few(struct select *s, size_t n, int64_t deadline)
{
	struct waiter waiters[SELECT_ON_STACK];
	uint32_t look[SELECT_ON_STACK], order[SELECT_ON_STACK];

	s->waiters = waiters;
	s->look = look;
	s->order = order;
	return select_among(s, n, deadline);
}

static int select_many(struct select *s, size_t n, int64_t deadline)
{
	s->waiters = call_alloc(s->n * (sizeof(struct waiter) + 2 * sizeof(uint32_t)));
	if (!s->waiters)
		return -ENOMEM;
	s->is_on_heap = true;
	s->look = (uint32_t *)(s->waiters + s->n);
	s->order = s->look + s->n;
	int index = select_among(s, n, deadline);
	select_end(s);
	return index;
}

/* All channels but one are NULL: 0 or an error, as of that channel's own calls. */
__attribute__((noinline)) static int select_one(const goro_case *cs, bool is_alone,
						int64_t deadline)
{
	CALL_SCOPE;
	bool is_plain = is_alone && deadline == GORO_FOREVER;

	if (cs->is_send)
		return chan_send_by(cs->chan, cs->elem, is_plain ? WAIT_CHAN_SEND : WAIT_SELECT,
				    deadline);
	return chan_recv_by(cs->chan, cs->elem, is_plain ? WAIT_CHAN_RECV : WAIT_SELECT, deadline);
}

static int select_none(size_t n, int64_t deadline)
{
	CALL_SCOPE;
	if (deadline_is_past(deadline))
		return -ETIMEDOUT;
	return wait_for_nothing(n == 0 ? WAIT_SELECT_NO_CASES : WAIT_SELECT, deadline);
}

/* Nothing is locked or allocated any more: a panic leaves all sound. */
static inline int case_done(const goro_case *cs, int index, bool is_open)
{
	if (cs->is_send) {
		if (unlikely(!is_open))
			panic_send_on_closed();
	} else if (cs->ok) {
		*cs->ok = is_open;
	}
	return index;
}

/* The rest of goro_select, which itself has no need of a frame. */
__attribute__((noinline)) static int select_cases(goro_case *cases, size_t n, int64_t deadline)
{
	size_t n_live = 0, last = 0;

	if (unlikely(n > INT_MAX))
		panic_at("goro_select: too many cases");
	for (size_t i = 0; i < n; i++)
		if (cases[i].chan) {
			last = i;
			n_live++;
		}
	if (n_live == 0)
		return select_none(n, deadline);
	if (n_live == 1) {
		int error = select_one(&cases[last], n == 1, deadline);
		if (error && error != -EPIPE)
			return error;
		return case_done(&cases[last], (int)last, !error);
	}
	struct select s = {.cases = cases, .n = (uint32_t)n_live};
	int index = n_live <= SELECT_ON_STACK ? select_few(&s, n, deadline)
					      : select_many(&s, n, deadline);
	return index < 0 ? index : case_done(&cases[index], index, s.is_open);
}

int goro_select(goro_case *cases, size_t n, int64_t deadline)
{
	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	if (n == 1 && deadline <= GORO_POLL && cases[0].chan && cannot(&cases[0]) &&
	    call_may_be_skipped())
		return -ETIMEDOUT;
	return select_cases(cases, n, deadline);
}
