/*
 * expiry.c - the deadlines of contexts: a late timer each.
 *
 *   goro_ctx_with_deadline -> [expiry_start] -> heap of a P -> [expiry_fire] -> ctx_expire()
 *   the context is cancelled or freed -> [expiry_end]
 *   no runtime runs -> orphans -> goro_run -> heap of a P
 *
 * EX1  refs counts the context (until expiry_end), who works with it, and each time that the
 *      timer is in a heap or on its way from there to expiry_fire().
 * EX2  ctx is there until expiry_end(), which takes the lock before the context goes: under the
 *      lock it may be held, if it still has references.
 * EX3  A deadline that no heap takes, because no runtime runs, is in the list of orphans, unless it
 *      has ended. Who puts one there looks after it whether a run has begun; a run that begins
 *      takes all of them.
 *
 * A deadline is not part of its context, because the timer may be on its way to expiry_fire()
 * when the context is freed, and most contexts have none of their own.
 *
 * Locking: one lock a deadline (rank TIMER), under it the heap's, or orphans.lock (LEAF). Orders:
 * EXPIRY-REF; RUN-STATE with orphans.lock (EX3). Go: context.timerCtx.
 */
#include "sync/ctx.h"
#include "sync/timer_object.h"

#include "os/os.h"
#include "sched/sched.h"

struct expiry {
	struct timer timer;       /* late; lock */
	struct lock lock;         /* rank TIMER */
	atomic_of(uint32_t) refs; /* any thread, EX1, EXPIRY-REF */
	goro_ctx *ctx;            /* lock, EX2: NULL when it has ended */
	bool is_orphan;           /* orphans.lock, like the next two */
	struct expiry *next, *prev;
};

static struct {
	struct lock lock;         /* rank LEAF */
	struct expiry *first;   /* lock */
} orphans = {.lock = LOCK_INIT(LOCK_LEAF)};

static void expiry_hold(struct expiry *e)
{
	add_rlx(&e->refs, 1); /* relaxed: the caller has one, or the list has */
}

void expiry_drop(struct expiry *e)
{
	if (e && add_acq_rel(&e->refs, (uint32_t)-1) == 1) /* EXPIRY-REF: what others did */
		call_free(e);
}

/* Under its lock. */
static void orphan_put(struct expiry *e)
{
	lock_acquire(&orphans.lock);
	e->is_orphan = true;
	e->prev = NULL;
	e->next = orphans.first;
	if (orphans.first)
		orphans.first->prev = e;
	orphans.first = e;
	lock_release(&orphans.lock);
}

/* Under orphans.lock. */
static void orphan_unlink(struct expiry *e)
{
	if (e->prev)
		e->prev->next = e->next;
	else
		orphans.first = e->next;
	if (e->next)
		e->next->prev = e->prev;
	e->is_orphan = false;
}

/* Under its lock. */
static void orphan_remove(struct expiry *e)
{
	lock_acquire(&orphans.lock);
	if (e->is_orphan)
		orphan_unlink(e);
	lock_release(&orphans.lock);
}

/* One of them, out of the list, with a reference; NULL: there is none. */
static struct expiry *orphan_take(void)
{
	CALL_SCOPE;
	lock_acquire(&orphans.lock);
	struct expiry *e = orphans.first;
	if (e) {
		orphan_unlink(e);
		expiry_hold(e); /* it has not ended, or would have to wait for our lock */
	}
	lock_release(&orphans.lock);
	return e;
}

/* False: no heap takes it. */
static bool expiry_arm(struct expiry *e)
{
	CALL_SCOPE;
	bool is_first = false, is_armed = true;
	int64_t when = 0;

	lock_acquire(&e->lock);
	if (e->ctx) {
		when = e->timer.when;
		expiry_hold(e);
		is_armed = timer_arm(&e->timer, &is_first);
		if (!is_armed) {
			orphan_put(e);
			expiry_drop(e); /* not the last: the caller's */
		}
	}
	lock_release(&e->lock);
	if (is_first)
		timer_was_armed(m_self(), when);
	return is_armed;
}

/* EX3. Before others run, or as one of them. */
static void orphans_adopt(void)
{
	bool is_armed = true;

	for (struct expiry *e; is_armed && (e = orphan_take());) {
		is_armed = expiry_arm(e);
		expiry_drop(e);
	}
}

/* On g0; with ready == NULL at the end of a run. */
static void expiry_fire(struct timer *t, struct glist *ready)
{
	struct expiry *e = container_of(t, struct expiry, timer);
	goro_ctx *ctx;

	lock_acquire(&e->lock);
	ctx = timer_claim(&e->timer) ? e->ctx : NULL; /* EX2 */
	if (ctx && !ready) {
		orphan_put(e);
		ctx = NULL;
	}
	if (ctx && !ctx_try_hold(ctx))
		ctx = NULL;
	lock_release(&e->lock);
	expiry_drop(e);
	if (ctx)
		ctx_expire(ctx);
}

struct expiry *expiry_new(goro_ctx *ctx, int64_t when)
{
	struct expiry *e = call_alloc(sizeof(*e));

	if (!e)
		return NULL;
	lock_init(&e->lock, LOCK_TIMER);
	store_rlx(&e->refs, 2); /* relaxed: nobody else has it yet. The caller's, and ctx's */
	e->ctx = ctx;
	e->timer.when = when;
	e->timer.is_late = true;
	e->timer.fire = expiry_fire;
	return e;
}

void expiry_start(struct expiry *e)
{
	if (!expiry_arm(e) && load_acq(&sched.run_state) == RUN_ON && /* RUN-STATE, EX3 */
	    MODEL_KEEP("expiry-look-again"))
		orphans_adopt();
}

void expiry_end(struct expiry *e)
{
	if (!e)
		return;
	CALL_SCOPE;
	lock_acquire(&e->lock);
	e->ctx = NULL;
	bool was_in_heap = timer_stop(&e->timer) == TIMER_IN_HEAP;
	orphan_remove(e);
	lock_release(&e->lock);
	if (was_in_heap)
		expiry_drop(e); /* EX1: the heap's */
	expiry_drop(e);
}

__attribute__((constructor)) static void expiry_install(void)
{
	g_run_begins = orphans_adopt;
}
