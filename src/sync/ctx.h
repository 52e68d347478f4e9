/*
 * ctx.h - a context: what waits it ends, and its place in the tree.
 *
 * CX2  A wait of a goroutine that uses the context is in `waits` from its commit until it is over
 *      or cancelled; who enlists looks at head.error under the same lock, so that none slips by.
 */
#ifndef SYNC_CTX_H
#define SYNC_CTX_H

#include "core/ctx.h"
#include "core/lock.h"

struct wait;

struct goro_ctx {
	struct ctx_head head;
	struct lock lock;      /* rank CTX */
	struct wait *waits;    /* lock, CX2 */
};

#endif
