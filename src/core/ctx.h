/*
 * ctx.h - what the lower floors see of a context: who holds it, and whether it is cancelled.
 *
 * CX1  error goes once from 0 to -ECANCELED or -ETIMEDOUT, under the context's lock, and stays.
 *
 * sync/ctx.c tells the rest. Go: context.Context; ours belongs to a goroutine (goro_ctx_use).
 */
#ifndef CORE_CTX_H
#define CORE_CTX_H

#include "base/atomic.h"

struct ctx_head {
	atomic_of(uint32_t) refs;  /* any thread, CTX-REF */
	atomic_of(int32_t) error;  /* the context's lock to write; CTX-ERROR */
};

/* The caller has a reference already, or somebody who cannot let go meanwhile has. */
static inline struct ctx_head *ctx_hold(struct ctx_head *ctx)
{
	if (ctx)
		add_rlx(&ctx->refs, 1); /* relaxed: nothing is published by it */
	return ctx;
}

/* CX1. Under the context's lock. */
static inline void ctx_error_set(struct ctx_head *ctx, int error)
{
	store_rel(&ctx->error, error); /* CTX-ERROR: the reason, and that it is cancelled */
}

static inline bool ctx_is_canceled(struct ctx_head *ctx)
{
	return ctx && load_acq(&ctx->error) != 0; /* CTX-ERROR: the reason */
}

#endif
