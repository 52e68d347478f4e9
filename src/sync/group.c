/*
 * group.c - goroutines that end before the scope that started them.
 *
 *   goro_group_go -> a child: [child_main] -> fn -> deferred calls -> [child_end]
 *                 -> the last one out wakes the owner in goro_group_wait
 *   a panic or goro_exit of the owner -> [owner_leaves] -> cancelled, waited for
 *
 * GP1  n_children counts a child from before it is spawned until its last call into the group;
 *      whoever counts the last one out wakes the owner, and touches the group no more (WQ3).
 * GP2  The first child that fails leaves its error and cancels the children's context before it
 *      counts itself out.
 * GP3  From goro_group_init to goro_group_end the group's record is among the owner's deferred
 *      calls (PN8), so that the frame that holds the group is not left before the children are.
 *
 * Locking: one lock a group (rank OBJECT); contexts are cancelled after it. Go: errgroup.
 */
#include <errno.h>

#include "base/sanitize.h"
#include "sync/ctx.h"
#include "sync/waitq.h"

/* What a goro_group is inside. */
struct group {
	struct deferred record;   /* owner, GP3 */
	struct lock lock;         /* rank OBJECT */
	uint32_t n_children;      /* lock, GP1 */
	int error;                /* lock, GP2: of the first child that failed */
	bool is_canceled;         /* lock: no child may start */
	struct waitq waiters;     /* lock: the owner */
	goro_ctx *ctx;            /* lock: the children's, a reference; NULL: not made yet */
	goro_ctx *above;          /* owner: what it used at init, a reference, or NULL */
};

_Static_assert(sizeof(struct group) <= sizeof(goro_group), "goro_group is too small");

/* What a child is started with. */
struct child_start {
	struct group *group;
	int (*fn)(void *);
	void *arg;
};

/* In the first frame of a child. */
struct child {
	struct deferred record;   /* the first, so that it is called last: PN8 */
	struct group *group;
	int result;
};

static inline struct group *group_of(goro_group *g)
{
	return (struct group *)(void *)g;
}

/* ---- the children's context ---- */

/* With a reference for the caller; NULL: it has none yet. */
static goro_ctx *group_ctx_now(struct group *group)
{
	CALL_SCOPE;

	lock_acquire(&group->lock);
	goro_ctx *ctx = goro_ctx_ref(group->ctx);
	lock_release(&group->lock);
	return ctx;
}

/* With a reference for the caller; NULL: no memory. */
static goro_ctx *group_ctx(struct group *group)
{
	goro_ctx *ctx = group_ctx_now(group);
	if (ctx)
		return ctx;
	goro_ctx *fresh = goro_ctx_with_cancel(group->above);
	if (!fresh)
		return NULL;
	CALL_SCOPE;
	lock_acquire(&group->lock);
	if (!group->ctx)
		group->ctx = goro_ctx_ref(fresh);
	ctx = goro_ctx_ref(group->ctx);
	bool is_canceled = group->is_canceled;
	lock_release(&group->lock);
	goro_ctx_unref(fresh);
	if (is_canceled)
		goro_ctx_cancel(ctx); /* before there was a context */
	return ctx;
}

goro_ctx *goro_group_ctx(goro_group *g)
{
	goro_ctx *ctx = group_ctx(group_of(g));

	goro_ctx_unref(ctx); /* the group keeps it */
	return ctx;
}

/* With `error` of a child, or 0. */
static void group_cancel(struct group *group, int error)
{
	CALL_SCOPE;
	goro_ctx *ctx = NULL;

	lock_acquire(&group->lock);
	if (!error || !group->error) {
		group->error = error ? error : group->error;
		group->is_canceled = true;
		ctx = goro_ctx_ref(group->ctx);
	}
	lock_release(&group->lock);
	if (ctx) {
		goro_ctx_cancel(ctx);
		goro_ctx_unref(ctx);
	}
}

void goro_group_cancel(goro_group *g)
{
	group_cancel(group_of(g), 0);
}

/* ---- children ---- */

/* False: it is cancelled. Without a context nobody is let in. */
static bool group_try_in(struct group *group, bool *is_in)
{
	CALL_SCOPE;

	lock_acquire(&group->lock);
	bool is_canceled =
		group->is_canceled || ctx_is_canceled((struct ctx_head *)group->ctx);
	*is_in = !is_canceled && group->ctx;
	if (*is_in)
		group->n_children++;
	lock_release(&group->lock);
	return !is_canceled;
}

/* GP1. From then on the group keeps its context. 0, -ENOMEM, -ECANCELED. */
static int group_count_in(struct group *group)
{
	bool is_in = false;

	while (!is_in) {
		if (!group_try_in(group, &is_in))
			return -ECANCELED;
		if (!is_in && !goro_group_ctx((goro_group *)(void *)group))
			return -ENOMEM;
	}
	return 0;
}

/* GP1 */
static void group_count_out(struct group *group)
{
	CALL_SCOPE;
	struct waiter *w = NULL;

	lock_acquire(&group->lock);
	sanitize_release(group);
	if (--group->n_children == 0 && MODEL_KEEP("group-wake"))
		w = waitq_pop(&group->waiters);
	lock_release(&group->lock);
	if (w)
		waiter_wake(w);
}

/* The last of a child's deferred calls. */
static void child_end(void *arg)
{
	struct child *child = arg;

	if (panic_is_uncaught(m_self()->curg))
		return; /* the process ends: the owner must not go on as if nothing were */
	if (child->result)
		group_cancel(child->group, child->result); /* GP2 */
	group_count_out(child->group);
}

static void child_main(void *arg)
{
	struct child_start start = *(struct child_start *)arg;
	struct g *gp = m_self()->curg;
	struct child child = {.record = {.fn = child_end, .arg = &child}, .group = start.group};

	deferred_push(&child.record);
	gp->u.run.canceled_result = &child.result; /* PN7 */
	child.result = start.fn(start.arg);
	run_deferred(gp);
}

int goro_group_go(goro_group *g, int (*fn)(void *), void *arg)
{
	struct group *group = group_of(g);
	struct child_start start = {group, fn, arg};

	if (!fn)
		panic_at("go of nil func value");
	int error = group_count_in(group);
	if (error)
		return error;
	error = spawn(&(struct spawn_request){.entry = child_main,
					      .data = &start,
					      .size = sizeof(start),
					      .pc = __builtin_return_address(0),
					      .fn = (void (*)(void))fn,
					      .has_ctx = true,
					      .ctx = &group->ctx->head});
	if (error)
		group_count_out(group);
	return error;
}

/* ---- the owner ---- */

int goro_group_wait(goro_group *g)
{
	CALL_SCOPE;
	struct group *group = group_of(g);
	struct waiter w = {0};
	goro_ctx *old = NULL;

	lock_acquire(&group->lock);
	if (group->n_children != 0) {
		waitq_push(&group->waiters, &w);
		waitq_wait_shielded(&w, &group->lock, WAIT_GROUP); /* the children are told */
		lock_acquire(&group->lock);
	}
	sanitize_acquire(group);
	int error = group->error;
	/* As new: one that is cancelled is not used again. */
	if (group->is_canceled || (group->ctx && ctx_is_canceled(&group->ctx->head))) {
		old = group->ctx;
		group->ctx = NULL;
	}
	group->error = 0;
	group->is_canceled = false;
	lock_release(&group->lock);
	goro_ctx_unref(old);
	return error;
}

static void group_release(struct group *group)
{
	goro_ctx_unref(group->ctx);
	goro_ctx_unref(group->above);
	group->ctx = group->above = NULL;
}

/* A panic or a goro_exit leaves the scope: the record has been taken off. */
static void owner_leaves(void *arg)
{
	struct group *group = arg;

	group_cancel(group, 0);
	(void)goro_group_wait((goro_group *)(void *)group);
	group_release(group);
}

/* A run ends around it. */
static void owner_drop(struct deferred *d)
{
	group_release(container_of(d, struct group, record));
}

goro_group *goro_group_init(goro_group *g)
{
	struct group *group = group_of(g);

	*group = (struct group){.record = {.fn = owner_leaves, .arg = group, .drop = owner_drop},
				.above = goro_ctx_ref(goro_ctx_current())};
	lock_init(&group->lock, LOCK_OBJECT);
	deferred_push(&group->record);
	return g;
}

int goro_group_end(goro_group *g)
{
	struct group *group = group_of(g);

	if (!deferred_is_own(&group->record))
		panic_at("goro_group_end by another goroutine than its owner");
	int error = goro_group_wait(g);
	deferred_remove(&group->record);
	group_release(group);
	return error;
}

/*
 * C++'s record of exceptions on their way belongs to the thread, so the goroutine must not change
 * it while it waits.
 */
int goro_group_abandon_(goro_group *g)
{
	goro_lock_thread();
	group_cancel(group_of(g), 0);
	int error = goro_group_end(g);
	goro_unlock_thread();
	return error;
}
