/*
 * timer_object.c - the program's timers: a function, a channel, or a ticker.
 *
 *   goro_timer_*, goro_ticker -> [timer_arm] -> heap of a P -> [object_fire] -> a goroutine
 *   goro_timer_stop, _reset   -> out of the heap, and out        of its own, or the channel
 *                                of the channel again
 *
 * TO1  refs counts the program (until goro_timer_free) and each time that the timer is in a heap or
 *      on its way from there to object_fire(). Under the lock; whoever takes the last one frees it.
 * TO2  Whether a setting fires or is withdrawn is decided under the lock: object_fire() claims the
 *      timer (TM5) and sends; stop and reset take it back, and then what lies in the channel. So
 *      when they return, no receive that begins later gets a value of that setting.
 * TO3  A value goes to a receiver that waits, or into the buffer of one place, or is dropped. The
 *      program does not see the buffer: len and cap read 0.
 * TO4  fn is called with no lock held, in a goroutine of its own.
 *
 * A goroutine arms in the heap of its own P; a plain thread in the first P's, which is always
 * there. A timer that is in some heap stays in that one when it is reset.
 *
 * We do not leave the timers of channels that nobody receives from out of the heap, as Go does: Go
 * needs it for timers that are dropped without a stop; ours must be freed, and that takes them out.
 *
 * Locking: one lock a timer (rank TIMER); under it the channel's and the heap's. Go: time/sleep.go,
 * time/tick.go, and the channel timers of runtime/time.go.
 */
#include "sync/timer_object.h"

#include "base/fatal.h"
#include "base/sanitize.h"
#include "goro.h"
#include "os/os.h"
#include "sched/sched.h"
#include "sync/chan.h"

/* Not small numbers, so that other memory is not taken for a timer. */
enum timer_kind {
	TIMER_IS_NONE = 0,
	TIMER_IS_FUNC = 0x74666e63,
	TIMER_IS_CHAN = 0x74636861,
	TIMER_IS_TICKER = 0x7469636b,
};

struct goro_timer {
	struct timer timer;
	struct lock lock;       /* rank TIMER */
	uint32_t kind;          /* enum timer_kind; lock to write, once: goro_timer_free */
	uint32_t refs;          /* lock, TO1 */
	int64_t period;         /* lock; 0: not a ticker */
	goro_chan *chan;        /* set once; NULL: a function. The program's reference */
	void (*fn)(void *);     /* set once, like the next two */
	void *arg;
	void *pc;               /* who made it: for the reports */
};

int64_t timer_when(int64_t ns)
{
	int64_t now = os_now(), when;

	if (ns <= 0)
		return now;
	if (__builtin_add_overflow(now, ns, &when) || when == TIMER_NEVER)
		return TIMER_NEVER - 1;
	return when;
}

bool timer_arm(struct timer *t, bool *is_first)
{
	struct m *mp = m_self();

	if (likely(mp != NULL)) /* relaxed: our own */
		return timer_start_if_open(&load_rlx(&mp->p)->timers, t, is_first);
	if (!outside_enter())
		return false; /* no runtime runs */
	bool is_armed = timer_start_if_open(&sched.p[0]->timers, t, is_first);
	outside_leave();
	return is_armed;
}

/* Under the lock: one reference less. True: it was the last, and the caller frees t after it. */
static bool object_drop(goro_timer *t)
{
	GORO_ASSERT(t->refs > 0); /* TO1 */
	return --t->refs == 0;
}

/* Under the lock. *woken is to be woken after it. */
static void offer(goro_timer *t, int64_t now, struct waiter **woken)
{
	chan_lock(t->chan);
	(void)chan_send_under(t->chan, &now, woken); /* TO3: dropped when it is full */
	chan_unlock(t->chan);
}

/* Under the lock: the ticks that nobody was there for are left out. */
static bool arm_next_tick(goro_timer *t, int64_t now, bool *is_first)
{
	int64_t late = now - t->timer.when, ahead, when;

	if (__builtin_mul_overflow(t->period, late / t->period + 1, &ahead) ||
	    __builtin_add_overflow(t->timer.when, ahead, &when) || when == TIMER_NEVER)
		when = TIMER_NEVER - 1;
	t->timer.when = when;
	return timer_arm(&t->timer, is_first);
}

/* fn in a goroutine of its own. On g0. */
static void start_function(void (*fn)(void *), void *arg, void *pc)
{
	int error = spawn(&(struct spawn_request){.entry = fn,
						  .arg = arg,
						  .pc = pc,
						  .fn = (void (*)(void))fn,
						  .goes_behind = true});

	if (error)
		fatal("out of memory: no goroutine for the function of a timer");
}

/* On g0, or, with ready == NULL, at the end of a run. */
static void object_fire(struct timer *timer, struct glist *ready)
{
	goro_timer *t = container_of(timer, goro_timer, timer);
	struct waiter *woken = NULL;
	bool is_armed = false, is_first = false;

	lock_acquire(&t->lock);
	bool does_fire = timer_claim(&t->timer) && ready; /* TO2 */
	void (*fn)(void *) = does_fire ? t->fn : NULL;
	void *arg = t->arg, *pc = t->pc;
	int64_t when = 0;
	if (does_fire && t->chan) {
		int64_t now = os_now();
		offer(t, now, &woken);
		if (t->period)
			is_armed = arm_next_tick(t, now, &is_first);
		when = t->timer.when;
	}
	sanitize_acquire(t);
	bool is_last = !is_armed && object_drop(t);
	lock_release(&t->lock);
	if (is_last)
		call_free(t);
	if (woken && woken->gp)
		glist_push(ready, woken->gp);
	else if (woken)
		waiter_wake(woken);
	if (fn)
		start_function(fn, arg, pc); /* TO4 */
	if (is_first)
		timer_was_armed(m_self(), when);
}

/*
 * Under the lock: arm t for `when`, with a reference for the heap. Without a runtime it is not
 * armed.
 */
static bool object_arm(goro_timer *t, int64_t when, bool *is_first)
{
	t->timer.when = when;
	sanitize_release(t); /* what the program did before happens before fn */
	if (!timer_arm(&t->timer, is_first))
		return false;
	t->refs++;
	return true;
}

/* A channel as TO3 has it. */
static goro_chan *timer_chan_make(void)
{
	goro_chan *c = goro_chan_make(sizeof(int64_t), 1);

	if (c)
		c->hides_buffer = true;
	return c;
}

static goro_timer *timer_new(enum timer_kind kind)
{
	goro_timer *t = call_alloc(sizeof(*t));

	if (!t)
		return NULL;
	if (kind != TIMER_IS_FUNC && !(t->chan = timer_chan_make())) {
		call_free(t);
		return NULL;
	}
	lock_init(&t->lock, LOCK_TIMER);
	t->kind = kind;
	t->refs = 1;
	t->timer.is_late = true;
	t->timer.fire = object_fire;
	return t;
}

/* The last step of the constructors; t may be NULL. */
static goro_timer *timer_begin(goro_timer *t, int64_t ns)
{
	bool is_first = false;

	if (!t)
		return NULL;
	CALL_SCOPE;
	int64_t when = timer_when(ns);
	lock_acquire(&t->lock);
	bool is_armed = object_arm(t, when, &is_first);
	lock_release(&t->lock);
	if (is_first)
		timer_was_armed(m_self(), when);
	if (is_armed)
		return t;
	goro_timer_free(t);
	return NULL;
}

__attribute__((noinline)) goro_timer *goro_timer_func(int64_t ns, void (*fn)(void *), void *arg)
{
	preempt_check();
	if (unlikely(!fn))
		panic_at("go of nil func value");
	goro_timer *t = timer_new(TIMER_IS_FUNC);
	if (t) {
		t->fn = fn;
		t->arg = arg;
		t->pc = __builtin_return_address(0);
	}
	return timer_begin(t, ns);
}

goro_timer *goro_timer_chan(int64_t ns)
{
	preempt_check();
	return timer_begin(timer_new(TIMER_IS_CHAN), ns);
}

goro_timer *goro_ticker(int64_t period)
{
	preempt_check();
	if (unlikely(period <= 0))
		panic_at("non-positive interval for NewTicker");
	goro_timer *t = timer_new(TIMER_IS_TICKER);
	if (t)
		t->period = period;
	return timer_begin(t, period);
}

/*
 * Never started, or freed: the memory may be anything, so this finds most such mistakes, not
 * all.
 */
static bool is_timer(const goro_timer *t)
{
	return t && (t->kind == TIMER_IS_FUNC || t->kind == TIMER_IS_CHAN ||
		     t->kind == TIMER_IS_TICKER);
}

goro_chan *goro_timer_c(goro_timer *t)
{
	if (unlikely(!is_timer(t)))
		panic_at("time: C of uninitialized Timer");
	return t->chan;
}

/* Under the lock: take back what fired and was not received. TO2. */
static bool drain(goro_timer *t)
{
	struct waiter *woken = NULL;

	/* relaxed: values come under our lock only */
	if (!t->chan || load_rlx(&t->chan->count) == 0 || !MODEL_KEEP("timer-drain"))
		return false;
	chan_lock(t->chan);
	bool was_there = chan_recv_under(t->chan, NULL, &woken) == CHAN_DONE;
	chan_unlock(t->chan);
	if (woken)
		waiter_wake(woken); /* a sender: the program should not, but may */
	return was_there;
}

/* Under the lock. True: the setting had not done its work yet. */
static bool object_disarm(goro_timer *t)
{
	enum timer_was was = timer_stop(&t->timer);

	if (was == TIMER_IN_HEAP)
		(void)object_drop(t); /* the caller has another */
	return drain(t) || was != TIMER_OUT;
}

bool goro_timer_stop(goro_timer *t)
{
	CALL_SCOPE;
	preempt_check();
	if (unlikely(!is_timer(t)))
		panic_at("time: Stop called on uninitialized Timer");
	lock_acquire(&t->lock);
	bool was_active = object_disarm(t);
	lock_release(&t->lock);
	return was_active;
}

bool goro_timer_reset(goro_timer *t, int64_t ns)
{
	CALL_SCOPE;
	bool is_first = false;

	preempt_check();
	if (unlikely(!is_timer(t)))
		panic_at("time: Reset called on uninitialized Timer");
	if (unlikely(t->kind == TIMER_IS_TICKER && ns <= 0))
		panic_at("non-positive interval for Ticker.Reset");
	int64_t when = timer_when(ns);
	lock_acquire(&t->lock);
	sanitize_release(t); /* as in object_arm() */
	if (t->period)
		t->period = ns;
	enum timer_was was = timer_reset(&t->timer, when, &is_first);
	bool was_active = drain(t) || was != TIMER_OUT;
	if (was != TIMER_IN_HEAP)
		(void)object_arm(t, when, &is_first);
	lock_release(&t->lock);
	if (is_first)
		timer_was_armed(m_self(), when);
	return was_active;
}

/* The program's reference goes. True: it was the last. */
static bool object_end(goro_timer *t)
{
	CALL_SCOPE;

	lock_acquire(&t->lock);
	(void)object_disarm(t);
	t->kind = TIMER_IS_NONE;
	bool is_last = object_drop(t);
	lock_release(&t->lock);
	return is_last;
}

void goro_timer_free(goro_timer *t)
{
	if (!t)
		return;
	if (unlikely(!is_timer(t)))
		panic_at("time: Free called on uninitialized Timer");
	goro_chan *chan = t->chan;
	bool is_last = object_end(t);
	goro_chan_unref(chan);
	if (is_last)
		call_free(t);
}
