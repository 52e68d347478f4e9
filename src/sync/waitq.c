/*
 * waitq.c - waiting on an object, with or without a deadline, as a goroutine or as a plain thread.
 *
 *   chan, select, ... -> [waitq_wait] -> park (a G) or the thread's own note
 *        -> woken by waitq_pop + waiter_wake, a timer, or a cancelled context
 *
 * WQ1 to WQ4 stand in waitq.h; CX2 in ctx.h.
 *
 * A deadline is a timer on the waiter's stack. It is armed by the commit function, so that it
 * cannot fire before the G is at rest, and stopped before the record goes away; timer_stop waits
 * for a fire() under way. A context is entered likewise, and left by the G when it runs again. Once
 * one of them knows of the G, it may run elsewhere, so the commit touches nothing of its stack but
 * what the G cannot leave without a lock that the commit still holds: the context's until the timer
 * is armed, the object's (the lowest of several) to the last.
 *
 * Locking: the object's lock, released in the commit; under it the context's. Orders: WAIT-RACE,
 * CTX-ERROR. Go: sudog, gopark with a timer; cancellation has no counterpart.
 */
#include "sync/waitq.h"

#include <errno.h>

#include "base/sanitize.h"
#include "event/timer.h"
#include "os/os.h"
#include "sync/ctx.h"

static void deadline_fire(struct timer *t, struct glist *ready)
{
	struct wait *wait = container_of(t, struct wait, timer);
	struct g *gp = wait->gp;
	uint32_t open = RACE_OPEN;

	if (cas_acq_rel(&wait->race, &open, RACE_TIMEOUT)) /* WAIT-RACE */
		glist_push(ready, gp);
}

static void deadline_arm(struct wait *wait)
{
	struct m *mp = m_self();
	int64_t when = wait->timer.when;

	if (timer_start(&load_rlx(&mp->p)->timers, &wait->timer)) /* relaxed: our own */
		timer_was_armed(mp, when);
}

/* Under ctx's lock. */
static void ctx_enlist(struct goro_ctx *ctx, struct wait *wait)
{
	wait->is_enlisted = true;
	wait->ctx_prev = NULL;
	wait->ctx_next = ctx->waits;
	if (ctx->waits)
		ctx->waits->ctx_prev = wait;
	ctx->waits = wait;
}

/* Under ctx's lock. */
static void ctx_delist(struct goro_ctx *ctx, struct wait *wait)
{
	if (!wait->is_enlisted)
		return;
	if (wait->ctx_prev)
		wait->ctx_prev->ctx_next = wait->ctx_next;
	else
		ctx->waits = wait->ctx_next;
	if (wait->ctx_next)
		wait->ctx_next->ctx_prev = wait->ctx_prev;
	wait->is_enlisted = false;
}

void ctx_waits_end(struct goro_ctx *ctx, struct glist *ready)
{
	for (struct wait *wait = ctx->waits, *next; wait; wait = next) {
		struct g *gp = wait->gp;
		uint32_t open = RACE_OPEN;
		next = wait->ctx_next;
		if (!cas_acq_rel(&wait->race, &open, RACE_CANCELED)) /* WAIT-RACE */
			continue; /* it ends in another way, and leaves the list by itself */
		ctx_delist(ctx, wait);
		glist_push(ready, gp);
	}
}

/*
 * On g0, with ctx's lock. False: it is cancelled already, and nobody else can know of the wait,
 * since the object is still locked.
 */
static bool ctx_enter(struct goro_ctx *ctx, struct wait *wait)
{
	/* relaxed: written under the lock */
	if (load_rlx(&ctx->head.error) != 0 && MODEL_KEEP("ctx-enlist-look")) {
		store_rlx(&wait->race, RACE_CANCELED); /* relaxed: as told above */
		return false;
	}
	ctx_enlist(ctx, wait);
	return true;
}

/* On g0. Everything of wait is read before somebody may know of the G. */
static bool wait_commit(struct g *gp, void *arg)
{
	struct wait *wait = arg;
	struct goro_ctx *ctx = wait->ctx;
	void (*release)(void *) = wait->release;
	void *release_arg = wait->release_arg;
	bool does_wait = true;

	(void)gp;
	if (ctx) {
		lock_acquire(&ctx->lock);
		does_wait = ctx_enter(ctx, wait);
	}
	if (wait->has_deadline && does_wait)
		deadline_arm(wait);
	if (ctx)
		lock_release(&ctx->lock);
	if (release)
		release(release_arg);
	return does_wait;
}

static void wait_as_goroutine(struct wait *wait, struct waiter *records,
			      enum wait_reason reason)
{
	struct g *gp = wait->gp;

	gp->waiter = records;
	park(wait_commit, wait, reason);
	gp->waiter = NULL;
	if (wait->ctx) {
		/* Before the timer: the commit arms it under this lock. */
		lock_acquire(&wait->ctx->lock);
		ctx_delist(wait->ctx, wait);
		lock_release(&wait->ctx->lock);
	}
	if (wait->has_deadline)
		(void)timer_stop(&wait->timer);
}

static void wait_as_thread(struct wait *wait)
{
	uint32_t open = RACE_OPEN;
	int saved_errno = self_errno();

	/* relaxed: ordered by the lock; the waker takes it back */
	if (!wait->has_deadline)
		add_rlx(&sched.n_foreign_blocked, 1);
	if (wait->release)
		wait->release(wait->release_arg);
	if (!wait->has_deadline) {
		note_sleep(&wait->note);
	} else if (!note_sleep_until(&wait->note, wait->timer.when) &&
		   !cas_acq_rel(&wait->race, &open, RACE_TIMEOUT)) { /* WAIT-RACE */
		if (MODEL_KEEP("wait-late-wake"))
			note_sleep(&wait->note); /* its wake is on its way: it must outlive that */
	}
	self_errno_set(saved_errno);
}

void wait_begin(struct wait *wait, int64_t deadline)
{
	struct m *mp = m_self();

	wait->gp = mp ? mp->curg : NULL;
	wait->ctx = wait->gp ? (struct goro_ctx *)wait->gp->ctx : NULL;
	wait->has_deadline = deadline != OS_FOREVER;
	wait->timer.when = deadline;
	wait->timer.fire = deadline_fire;
}

uint32_t wait_end_of(struct wait *wait, struct waiter *records, enum wait_reason reason)
{
	if (wait->gp)
		wait_as_goroutine(wait, records, reason);
	else
		wait_as_thread(wait);
	return load_acq(&wait->race); /* WAIT-RACE */
}

int wait_error(uint32_t race)
{
	if (race == RACE_TIMEOUT)
		return -ETIMEDOUT;
	return race == RACE_CANCELED ? -ECANCELED : 0;
}

static void lock_release_arg(void *lock)
{
	lock_release(lock);
}

/* What a record in its queue leads to when the wait that gave up is no more: WQ4. */
static struct wait given_up = {.race = RACE_TIMEOUT};

/* With a deadline, with a context, or as a plain thread. */
__attribute__((noinline)) static int wait_rarer(struct waiter *w, struct lock *l,
						enum wait_reason reason, int64_t deadline)
{
	struct wait wait = {.release = l ? lock_release_arg : NULL, .release_arg = l};

	wait_begin(&wait, deadline);
	wait_join(&wait, w, l);
	int error = wait_error(wait_end_of(&wait, w, reason));
	if (error && l) {
		/* Under the lock: who pops w may be looking at our race word. */
		lock_acquire(l);
		w->wait = &given_up;
		lock_release(l);
	}
	return error;
}

/* On g0. */
static bool unlock_commit(struct g *gp, void *lock)
{
	(void)gp;
	if (lock)
		lock_release(lock);
	return true;
}

/* Not through the next slot: each would push out the one before, and the last would run first. */
void woken_wake_many(struct waiter *first)
{
	struct m *mp = m_self();
	bool has_p = mp && load_rlx(&mp->p); /* relaxed: our own */
	struct glist list = {0};

	for (struct waiter *w = first, *next; w; w = next) {
		next = w->next; /* gone after the wake */
		if (has_p && w->gp)
			glist_push(&list, w->gp);
		else
			waiter_wake(w);
	}
	ready_list(&list);
}

/* A goroutine that only a pop can wake. */
static inline void wait_plainly(struct g *gp, struct waiter *w, struct lock *l,
				enum wait_reason reason)
{
	w->gp = gp;
	w->lock = l;
	w->wait = NULL;
	gp->waiter = w;
	park(unlock_commit, l, reason);
	gp->waiter = NULL;
}

int waitq_wait_only(struct waiter *w, struct lock *l, enum wait_reason reason, int64_t deadline)
{
	struct g *gp = g_self();

	if (unlikely(!gp || deadline != OS_FOREVER || gp->ctx))
		return wait_rarer(w, l, reason, deadline);
	wait_plainly(gp, w, l, reason);
	return 0;
}

void waitq_wait_shielded(struct waiter *w, struct lock *l, enum wait_reason reason)
{
	struct g *gp = g_self();

	if (likely(gp != NULL))
		wait_plainly(gp, w, l, reason);
	else
		(void)wait_rarer(w, l, reason, OS_FOREVER);
}

int waitq_wait(struct waiter *w, struct lock *l, enum wait_reason reason, int64_t deadline)
{
	int error = waitq_wait_only(w, l, reason, deadline);

	if (unlikely(error)) {
		lock_acquire(l);
		if (w->queue)
			waitq_unlink(w->queue, w);
		lock_release(l);
	}
	return error;
}

int wait_for_nothing(enum wait_reason reason, int64_t deadline)
{
	struct waiter w = {0};

	return waitq_wait_only(&w, NULL, reason, deadline);
}

/*
 * Without the lock, of a waiter that has been woken: a plain thread may be dropping its record.
 * When it was popped, this has been false ever since.
 */
SANITIZE_NOTHING static bool looks_linked(const struct waiter *w)
{
	return *(struct waitq *const volatile *)&w->queue != NULL;
}

/*
 * When a run ends: may somebody be at the object that w waits for? Not if it was a variable of
 * main, which has returned; its place may be used for something else already.
 */
static bool has_object(const struct waiter *w)
{
	uintptr_t at = (uintptr_t)w->lock;

	return at && (at < sched.main_stack.lo || at >= sched.main_stack.hi);
}

/* True: nobody else has ended the wait, and nobody will. */
static bool wait_end_here(struct waiter *w)
{
	uint32_t open = RACE_OPEN;

	if (w->wait)
		return cas_acq_rel(&w->wait->race, &open, RACE_CANCELED); /* WAIT-RACE */
	if (!has_object(w))
		return true;
	lock_acquire(w->lock);
	bool is_linked = w->queue;
	if (is_linked)
		waitq_unlink(w->queue, w);
	lock_release(w->lock);
	return is_linked;
}

/*
 * A run ends while gp waits: nobody may find its records any more. No other M is left. False: a
 * plain thread has them, which calls ready() (outside.c, OU2).
 */
static bool waiter_bury(struct g *gp)
{
	struct wait *wait = gp->waiter->wait;
	bool is_woken = g_state(gp) != G_WAITING;

	if (!is_woken && !wait_end_here(gp->waiter))
		return false;
	if (wait && wait->ctx) {
		lock_acquire(&wait->ctx->lock);
		ctx_delist(wait->ctx, wait);
		lock_release(&wait->ctx->lock);
	}
	if (wait && wait->forget) {
		wait->forget(wait);
		gp->waiter = NULL;
		return true;
	}
	for (struct waiter *w = gp->waiter; w; w = w->also) {
		/* Woken, but not back from its call: its object may be gone already. */
		if (!has_object(w) || (is_woken && !looks_linked(w)))
			continue;
		lock_acquire(w->lock); /* a plain thread may be at the object */
		if (w->queue)
			waitq_unlink(w->queue, w);
		lock_release(w->lock);
	}
	gp->waiter = NULL;
	return true;
}

__attribute__((constructor)) static void waitq_install(void)
{
	g_waiter_bury = waiter_bury;
}
