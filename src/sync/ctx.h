/*
 * ctx.h - a context: what waits it ends, and its place in the tree.
 *
 * CX2  A wait of a goroutine that uses the context is in `waits` from its commit until it is over
 *      or cancelled; who enlists looks at head.error under the same lock, so that none slips by.
 * CX3  A child has a reference to its parent; the parent's list names its children without one, and
 *      a child that is freed takes itself out under the parent's lock before its memory goes.
 * CX4  A context that is not cancelled while its parent is, is in the parent's list; it leaves the
 *      list of a cancelled parent only when all under it are cancelled.
 * CX5  The done channel is closed once: by whoever set the error, if it was there, else by whoever
 *      made it.
 * CX6  A goro_after is in its context's list until its function starts or it is stopped; who takes
 *      it out, under the lock, decides.
 */
#ifndef SYNC_CTX_H
#define SYNC_CTX_H

#include "core/ctx.h"
#include "core/lock.h"
#include "goro.h"

struct wait;
struct expiry;

struct goro_ctx {
	struct ctx_head head;
	struct lock lock;             /* rank CTX */
	bool is_linked;               /* the parent's lock: in its list */
	struct wait *waits;           /* lock, CX2 */
	goro_ctx *parent;             /* set once: a reference, or NULL */
	goro_ctx *next, *prev;        /* the parent's lock: the other children */
	goro_ctx *first, *last;       /* lock, CX3: its children, the oldest first */
	goro_after *first_after, *last_after; /* lock, CX6 */
	goro_chan *done;              /* lock, CX5: NULL until somebody asks */
	int64_t deadline;             /* set once */
	const char *reason;           /* set before head.error */
	char *text;                   /* reason, if it is this context's own: on the heap */
	struct expiry *expiry;       /* lock: of its own deadline, until it is cancelled; or NULL */
};

/*
 * Under a lock that ctx_free() has to take: the parent's, its deadline's. False: the last reference
 * is gone.
 */
bool ctx_try_hold(goro_ctx *ctx);
/* Its deadline has come. Gives the caller's reference back. */
void ctx_expire(goro_ctx *ctx);

/* ---- expiry.c ---- */

/* With two references: the caller's and ctx's, which expiry_end() gives back. */
struct expiry *expiry_new(goro_ctx *ctx, int64_t when);
void expiry_drop(struct expiry *e);
/* To be watched from now on, unless it has ended. */
void expiry_start(struct expiry *e);
/* The context is cancelled or goes. e may be NULL. */
void expiry_end(struct expiry *e);

#endif
