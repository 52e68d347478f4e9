/*
 * ctx_tap.h - what the tests of contexts share.
 */
#ifndef TESTS_CONFORM_CTX_TAP_H
#define TESTS_CONFORM_CTX_TAP_H

#include "goro_tap.h"

TAP_UNUSED static goro_ctx *make_ctx(goro_ctx *parent)
{
	goro_ctx *ctx = goro_ctx_with_cancel(parent);
	require(ctx != NULL);
	return ctx;
}

TAP_UNUSED static goro_ctx *make_deadline(goro_ctx *parent, int64_t deadline)
{
	goro_ctx *ctx = goro_ctx_with_deadline(parent, deadline);
	require(ctx != NULL);
	return ctx;
}

TAP_UNUSED static bool is_closed(goro_chan *c)
{
	return goro_chan_tryrecv(c, NULL) == -EPIPE;
}

/* What each context must show, once it is cancelled. */
TAP_UNUSED static void expect_canceled(goro_ctx *ctx, int error, const char *reason)
{
	expect_eq(goro_ctx_error(ctx), error);
	require(goro_ctx_reason(ctx) != NULL);
	expect_str(goro_ctx_reason(ctx), reason);
	expect(is_closed(goro_ctx_done(ctx)));
}

TAP_UNUSED static void expect_alive(goro_ctx *ctx)
{
	expect_eq(goro_ctx_error(ctx), 0);
	expect(goro_ctx_reason(ctx) == NULL);
	expect_eq(goro_chan_tryrecv(goro_ctx_done(ctx), NULL), -EAGAIN);
}
#endif
