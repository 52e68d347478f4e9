/*
 * ctx.c - contexts: made and dropped, cancelled with many below, and with goroutines that wait in
 * them; groups of goroutines.
 */
#include "bench.h"


enum { N_BELOW = 1000, N_CHILDREN = 100 };

static goro_ctx *made(goro_ctx *ctx)
{
	if (ctx == NULL)
		goro_panic("out of memory");
	return ctx;
}

static void bench_make(int64_t count)
{
	goro_ctx *top = made(goro_ctx_with_cancel(NULL));
	int64_t start = goro_now();

	for (int64_t i = 0; i < count; i++)
		goro_ctx_unref(made(goro_ctx_with_cancel(top)));
	bench_ns("CtxMake", count, start, goro_now());

	int64_t deadline = goro_now() + GORO_SEC(1000);
	start = goro_now();
	for (int64_t i = 0; i < count; i++)
		goro_ctx_unref(made(goro_ctx_with_deadline(top, deadline)));
	bench_ns("CtxMakeDeadline", count, start, goro_now());
	goro_ctx_unref(top);
}

static void bench_cancel(int64_t rounds)
{
	int64_t passed = 0;

	for (int64_t i = 0; i < rounds; i++) {
		goro_ctx *top = made(goro_ctx_with_cancel(NULL)), *below[N_BELOW];
		for (int k = 0; k < N_BELOW; k++)
			below[k] = made(goro_ctx_with_cancel(top));
		int64_t start = goro_now();
		goro_ctx_cancel(top);
		passed += goro_now() - start;
		for (int k = 0; k < N_BELOW; k++)
			goro_ctx_unref(below[k]);
		goro_ctx_unref(top);
	}
	bench_ns("CtxCancelTree", rounds * N_BELOW, 0, passed);
}

static int waits(void *arg)
{
	return goro_chan_recv_until(arg, NULL, GORO_FOREVER);
}

/* From the cancellation until all that waited have ended. */
static void bench_waiters(int64_t rounds)
{
	goro_chan *never = bench_chan(0, 0);
	int64_t passed = 0;

	for (int64_t i = 0; i < rounds; i++) {
		GORO_GROUP(group);
		for (int k = 0; k < N_BELOW; k++)
			goro_group_go(&group, waits, never);
		goro_sleep(GORO_MS(1)); /* all of them wait */
		int64_t start = goro_now();
		goro_group_cancel(&group);
		goro_group_wait(&group);
		passed += goro_now() - start;
	}
	bench_ns("CtxCancelWaiters", rounds * N_BELOW, 0, passed);
	goro_chan_unref(never);
}

static int returns(void *arg)
{
	(void)arg;
	return 0;
}

static void bench_group(int64_t rounds)
{
	int64_t start = goro_now();

	for (int64_t i = 0; i < rounds; i++) {
		GORO_GROUP(group);
		for (int k = 0; k < N_CHILDREN; k++)
			goro_group_go(&group, returns, NULL);
		goro_group_wait(&group);
	}
	bench_ns("GroupGoWait", rounds * N_CHILDREN, start, goro_now());
}

/* What a buffered channel costs while some cancelled context exists, in a goroutine with none. */
static void bench_beside(int64_t count)
{
	goro_chan *c = bench_chan(sizeof(int), 1);
	goro_ctx *cancelled = made(goro_ctx_with_cancel(NULL));

	goro_ctx_cancel(cancelled);
	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++) {
		goro_put(c, 1);
		goro_get(c, int);
	}
	bench_ns("ChanBesideCancelled", count, start, goro_now());
	goro_ctx_unref(cancelled);
	start = goro_now();
	for (int64_t i = 0; i < count; i++) {
		goro_put(c, 1);
		goro_get(c, int);
	}
	bench_ns("ChanBesideNone", count, start, goro_now());
	goro_chan_unref(c);
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 2000000);

	bench_make(count);
	bench_cancel(count / N_BELOW / 2 + 1);
	bench_waiters(count / N_BELOW / 10 + 1);
	bench_group(count / N_CHILDREN + 1);
	bench_beside(5 * count);
	return 0;
}
