/*
 * ctx.c - contexts: the tree of what is cancelled together.
 *
 *   goro_ctx_cancel, a deadline -> [ctx_cancel] -> each context under it: [ctx_mark]
 *        -> waits end (waitq.c), the done channel closes, functions start
 *   the calls of goroutines that use one -> call_is_canceled() -> -ECANCELED
 *
 * CX1 stands in core/ctx.h, CX2 to CX6 in ctx.h. docs/internals/cancellation.md tells what others
 * do, and why we do not.
 *
 * The tree is walked and freed without recursion and without a queue: a child's reference to its
 * parent is the way back, and who looks for the next child takes the first that is still linked.
 *
 * Locking: one lock a context (rank CTX), never two at once. Orders: CTX-ERROR, CTX-REF, AFTER-REF.
 * Go: context.go; ours belongs to a goroutine.
 */
#include "sync/ctx.h"

#include <errno.h>
#include <string.h>

#include "base/fatal.h"
#include "base/sanitize.h"
#include "os/os.h"
#include "sync/waitq.h"

/* What goro_ctx_after() registered. */
struct goro_after {
	goro_after *next, *prev;  /* ctx's lock; who starts it, when it is not linked any more */
	bool is_linked;           /* ctx's lock, CX6 */
	atomic_of(uint32_t) refs; /* the caller's, and the list's or the starter's; AFTER-REF */
	goro_ctx *ctx;            /* a reference; NULL: the background */
	void (*fn)(void *);
	void *arg;
	void *pc;                 /* who registered it: for the reports */
};

/* Only its address counts: inside, it is NULL. */
static goro_ctx background;

static const char canceled_text[] = "context canceled";
static const char deadline_text[] = "context deadline exceeded";

goro_ctx *goro_ctx_background(void)
{
	return &background;
}

static inline goro_ctx *ctx_real(goro_ctx *ctx)
{
	return ctx == &background ? NULL : ctx;
}

static inline void ctx_unref(goro_ctx *ctx)
{
	if (ctx)
		ctx_drop(&ctx->head);
}

goro_ctx *goro_ctx_ref(goro_ctx *ctx)
{
	if (ctx_real(ctx))
		(void)ctx_hold(&ctx->head);
	return ctx;
}

void goro_ctx_unref(goro_ctx *ctx)
{
	ctx_unref(ctx_real(ctx));
}

/* ---- the tree ---- */

bool ctx_try_hold(goro_ctx *ctx)
{
	uint32_t refs = load_rlx(&ctx->head.refs); /* relaxed: the lock orders the rest */

	while (refs != 0 || !MODEL_KEEP("ctx-try-hold"))
		if (cas_rlx(&ctx->head.refs, &refs, refs + 1)) /* relaxed: likewise */
			return true;
	return false;
}

/* Under the parent's lock. */
static void child_link(goro_ctx *parent, goro_ctx *ctx)
{
	ctx->is_linked = true;
	ctx->next = NULL;
	ctx->prev = parent->last;
	if (parent->last)
		parent->last->next = ctx;
	else
		parent->first = ctx;
	parent->last = ctx;
}

/* Under the parent's lock. */
static void child_unlink(goro_ctx *parent, goro_ctx *ctx)
{
	if (!ctx->is_linked)
		return;
	if (ctx->prev)
		ctx->prev->next = ctx->next;
	else
		parent->first = ctx->next;
	if (ctx->next)
		ctx->next->prev = ctx->prev;
	else
		parent->last = ctx->prev;
	ctx->is_linked = false;
}

static void child_leave(goro_ctx *parent, goro_ctx *ctx)
{
	lock_acquire(&parent->lock);
	child_unlink(parent, ctx);
	lock_release(&parent->lock);
}

/* The oldest child that is still linked, with a reference; NULL: there is none. */
static goro_ctx *child_hold(goro_ctx *parent)
{
	goro_ctx *child;

	lock_acquire(&parent->lock);
	while ((child = parent->first) && !ctx_try_hold(child))
		child_unlink(parent, child); /* CX3: it waits for our lock, or will */
	if (child && !MODEL_KEEP("ctx-leave-late"))
		child_unlink(parent, child);
	lock_release(&parent->lock);
	return child;
}

/* The last reference is gone. On g0, too. A chain of parents may go with it. */
static void ctx_free(struct ctx_head *head)
{
	CALL_SCOPE;
	goro_ctx *ctx = container_of(head, goro_ctx, head);

	while (ctx) {
		goro_ctx *parent = ctx->parent;
		GORO_ASSERT(!ctx->first && !ctx->waits && !ctx->first_after); /* CX3, CX6 */
		expiry_end(ctx->expiry);
		if (parent)
			child_leave(parent, ctx);
		if (load_rlx(&ctx->head.error))             /* relaxed: CTX-REF */
			add_rlx(&attention, -ATTENTION_CANCELED); /* relaxed: PR2, only counted */
		goro_chan_unref(ctx->done);
		call_free(ctx->text);
		call_free(ctx);
		bool is_last = parent &&
			       add_acq_rel(&parent->head.refs, (uint32_t)-1) == 1; /* CTX-REF */
		ctx = is_last ? parent : NULL;
	}
}

/* ---- functions to run at the cancellation ---- */

static void after_drop(goro_after *after)
{
	if (add_acq_rel(&after->refs, (uint32_t)-1) != 1) /* AFTER-REF: the other side is done */
		return;
	ctx_unref(after->ctx);
	call_free(after);
}

/* Under the context's lock. */
static void after_link(goro_ctx *ctx, goro_after *after)
{
	after->is_linked = true;
	after->prev = ctx->last_after;
	if (ctx->last_after)
		ctx->last_after->next = after;
	else
		ctx->first_after = after;
	ctx->last_after = after;
}

/* Under the context's lock. True: nobody will start it, and its share is the caller's. */
static bool after_unlink(goro_ctx *ctx, goro_after *after)
{
	if (!after->is_linked)
		return false;
	if (after->prev)
		after->prev->next = after->next;
	else
		ctx->first_after = after->next;
	if (after->next)
		after->next->prev = after->prev;
	else
		ctx->last_after = after->prev;
	after->is_linked = false;
	return true;
}

/* Under the context's lock: all, in order, for afters_start(). */
static goro_after *afters_take(goro_ctx *ctx)
{
	goro_after *first = ctx->first_after;

	for (goro_after *after = first; after; after = after->next)
		after->is_linked = !MODEL_KEEP("ctx-after-take");
	ctx->first_after = ctx->last_after = NULL;
	return first;
}

static void after_start(const goro_after *after)
{
	int error = spawn(&(struct spawn_request){.entry = after->fn,
						  .arg = after->arg,
						  .pc = after->pc,
						  .fn = (void (*)(void))after->fn,
						  .has_ctx = true});

	if (error == -ENOMEM)
		fatal("out of memory: no goroutine for a function of goro_ctx_after()");
	if (error)
		after->fn(after->arg); /* no runtime runs: we are a plain thread */
}

static void afters_start(goro_after *after)
{
	for (goro_after *next; after; after = next) {
		next = after->next;
		after_start(after);
		after_drop(after);
	}
}

goro_after *goro_ctx_after(goro_ctx *ctx, void (*fn)(void *), void *arg)
{
	bool is_canceled = false;

	if (!fn)
		panic_at("go of nil func value");
	goro_after *after = call_alloc(sizeof(*after));
	if (!after)
		return NULL;
	ctx = ctx_real(ctx);
	store_rlx(&after->refs, ctx ? 2 : 1); /* relaxed: nobody else has it yet */
	after->ctx = goro_ctx_ref(ctx);
	after->fn = fn;
	after->arg = arg;
	after->pc = __builtin_return_address(0);
	if (!ctx)
		return after;
	CALL_SCOPE;
	lock_acquire(&ctx->lock);
	if (load_rlx(&ctx->head.error)) /* relaxed: under the lock */
		is_canceled = true;
	else
		after_link(ctx, after);
	lock_release(&ctx->lock);
	if (is_canceled)
		afters_start(after);
	return after;
}

bool goro_ctx_after_stop(goro_after *after)
{
	bool is_stopped = true;

	if (!after)
		return false;
	CALL_SCOPE;
	if (after->ctx) {
		lock_acquire(&after->ctx->lock);
		is_stopped = after_unlink(after->ctx, after);
		lock_release(&after->ctx->lock);
		if (is_stopped)
			after_drop(after);
	}
	after_drop(after);
	return is_stopped;
}

/* ---- cancelling ---- */

/* Cancel this context alone. False: it is cancelled already. */
static bool ctx_mark(goro_ctx *ctx, int error, const char *reason, char *text)
{
	CALL_SCOPE;
	struct glist ready_gs = {0};

	lock_acquire(&ctx->lock);
	if (load_rlx(&ctx->head.error)) { /* relaxed: under the lock, CX1 */
		lock_release(&ctx->lock);
		return false;
	}
	ctx->reason = reason;
	ctx->text = text;
	add_rlx(&attention, ATTENTION_CANCELED); /* relaxed: before CTX-ERROR, PR2 */
	sanitize_release(ctx);
	ctx_error_set(&ctx->head, error);
	ctx_waits_end(ctx, &ready_gs);
	goro_chan *done = ctx->done;
	goro_after *afters = afters_take(ctx);
	struct expiry *expiry = ctx->expiry;
	ctx->expiry = NULL;
	lock_release(&ctx->lock);
	expiry_end(expiry);
	ready_list(&ready_gs);
	if (done)
		goro_chan_close(done);
	afters_start(afters);
	return true;
}

/* The caller has a reference to top. The text becomes top's, or is freed. */
static void ctx_cancel(goro_ctx *top, int error, const char *reason, char *text)
{
	CALL_SCOPE;
	goro_ctx *at = top, *child, *parent;

	if (!ctx_mark(top, error, reason, text))
		call_free(text);
	for (;;) {
		if ((child = child_hold(at))) {
			/* relaxed: ctx_mark() has seen it under the lock */
			(void)ctx_mark(child, load_rlx(&at->head.error), at->reason, NULL);
			at = child;
			continue;
		}
		if (at == top)
			return;
		parent = at->parent;
		child_leave(parent, at); /* CX4: all under it are cancelled */
		ctx_unref(at);
		at = parent;
	}
}

void ctx_expire(goro_ctx *ctx)
{
	ctx_cancel(ctx, -ETIMEDOUT, deadline_text, NULL);
	ctx_unref(ctx);
}

void goro_ctx_cancel(goro_ctx *ctx)
{
	goro_ctx_cancel_reason(ctx, NULL);
}

void goro_ctx_cancel_reason(goro_ctx *ctx, const char *reason)
{
	char *text = NULL;

	preempt_check();
	ctx = ctx_real(ctx);
	if (!ctx)
		return;
	if (reason) {
		size_t size = strnlen(reason, GORO_CTX_REASON_MAX - 1);
		text = call_alloc(size + 1);
		if (text)
			memcpy(text, reason, size);
	}
	ctx_cancel(ctx, -ECANCELED, text ? text : canceled_text, text);
}

/* ---- making and asking ---- */

/* Into the parent's list, or cancelled like it: CX4. */
static void ctx_join(goro_ctx *parent, goro_ctx *ctx)
{
	ctx->parent = goro_ctx_ref(parent);
	lock_acquire(&parent->lock);
	int error = load_rlx(&parent->head.error); /* relaxed: under the lock */
	if (!error || !MODEL_KEEP("ctx-birth-look"))
		child_link(parent, ctx);
	lock_release(&parent->lock);
	if (error && MODEL_KEEP("ctx-birth-look"))
		(void)ctx_mark(ctx, error, parent->reason, NULL);
}

goro_ctx *goro_ctx_with_deadline(goro_ctx *parent, int64_t deadline)
{
	goro_ctx *ctx = call_alloc(sizeof(*ctx));
	struct expiry *expiry = NULL;

	if (!ctx)
		return NULL;
	parent = ctx_real(parent);
	lock_init(&ctx->lock, LOCK_CTX);
	store_rlx(&ctx->head.refs, 1); /* relaxed: not published yet */
	bool is_own = deadline != OS_FOREVER && (!parent || deadline < parent->deadline);
	bool is_past = is_own && deadline_is_past(deadline);
	ctx->deadline = !is_own && parent ? parent->deadline : deadline;
	if (is_own && !is_past) {
		expiry = ctx->expiry = expiry_new(ctx, deadline);
		if (!expiry) {
			call_free(ctx);
			return NULL;
		}
	}
	CALL_SCOPE;
	if (parent)
		ctx_join(parent, ctx);
	if (is_past)
		(void)ctx_mark(ctx, -ETIMEDOUT, deadline_text, NULL);
	if (expiry)
		expiry_start(expiry); /* unless it is cancelled already */
	expiry_drop(expiry);
	return ctx;
}

goro_ctx *goro_ctx_with_cancel(goro_ctx *parent)
{
	return goro_ctx_with_deadline(parent, OS_FOREVER);
}

int goro_ctx_error(goro_ctx *ctx)
{
	preempt_check();
	ctx = ctx_real(ctx);
	if (!ctx)
		return 0;
	int error = load_acq(&ctx->head.error); /* CTX-ERROR: the reason */
	if (error)
		sanitize_acquire(ctx);
	if (error || load_acq(&sched.run_state) != RUN_NONE || /* RUN-STATE */
	    !deadline_is_past(ctx->deadline))
		return error;
	ctx_cancel(ctx, -ETIMEDOUT, deadline_text, NULL);
	return load_acq(&ctx->head.error); /* CTX-ERROR: or somebody was faster */
}

const char *goro_ctx_reason(goro_ctx *ctx)
{
	ctx = ctx_real(ctx);
	return ctx && ctx_is_canceled(&ctx->head) ? ctx->reason : NULL;
}

int64_t goro_ctx_deadline(goro_ctx *ctx)
{
	ctx = ctx_real(ctx);
	return ctx ? ctx->deadline : OS_FOREVER;
}

static goro_chan *done_now(goro_ctx *ctx)
{
	CALL_SCOPE;

	lock_acquire(&ctx->lock);
	goro_chan *done = ctx->done;
	lock_release(&ctx->lock);
	return done;
}

goro_chan *goro_ctx_done(goro_ctx *ctx)
{
	ctx = ctx_real(ctx);
	if (!ctx)
		return NULL;
	goro_chan *done = done_now(ctx);
	if (done)
		return done;
	goro_chan *fresh = goro_chan_make(0, 0);
	if (!fresh)
		panic_at("goro_ctx_done: out of memory");
	CALL_SCOPE;
	lock_acquire(&ctx->lock);
	/* CX5; relaxed: under the lock. */
	if (!ctx->done && load_rlx(&ctx->head.error) && MODEL_KEEP("ctx-late-done")) {
		lock_release(&ctx->lock);
		goro_chan_close(fresh); /* before anybody sees it */
		lock_acquire(&ctx->lock);
	}
	if (!ctx->done)
		ctx->done = fresh;
	done = ctx->done;
	lock_release(&ctx->lock);
	if (done != fresh)
		goro_chan_unref(fresh);
	return done;
}

/* ---- goroutines ---- */

goro_ctx *goro_ctx_use(goro_ctx *ctx)
{
	struct g *gp = g_self();

	if (!gp)
		panic_at("goro_ctx_use outside a goroutine");
	goro_ctx *before = (goro_ctx *)gp->ctx;
	gp->ctx = (struct ctx_head *)ctx_real(ctx);
	return before;
}

goro_ctx *goro_ctx_current(void)
{
	struct g *gp = g_self();

	return gp ? (goro_ctx *)gp->ctx : NULL;
}

int goro_ctx_sleep_until(int64_t deadline)
{
	CALL_SCOPE;
	if (call_is_canceled())
		return -ECANCELED;
	if (deadline_is_past(deadline))
		return 0;
	/* A sleep is a timer, however long: it is not a deadlock. */
	if (deadline >= TIMER_NEVER)
		deadline = TIMER_NEVER - 1;
	return wait_for_nothing(WAIT_SLEEP, deadline) == -ECANCELED ? -ECANCELED : 0;
}

int goro_ctx_sleep(int64_t ns)
{
	int64_t deadline = GORO_POLL;

	if (ns > 0 && __builtin_add_overflow(os_now(), ns, &deadline))
		deadline = OS_FOREVER;
	return goro_ctx_sleep_until(deadline);
}

__attribute__((constructor)) static void ctx_install(void)
{
	g_ctx_free = ctx_free;
}
