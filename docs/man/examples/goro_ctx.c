/*
 * goro_ctx.c - a search that is given up after a while, with all the goroutines that it started.
 */
#include <errno.h>
#include <stdio.h>
#include <goro.h>

static void look_into(int drawer, goro_chan *found)
{
	/* Drawer 3 takes too long; whoever waits when the time is over returns -ECANCELED. */
	if (goro_ctx_sleep(drawer == 3 ? GORO_SEC(100) : 0) == 0)
		goro_put(found, drawer);
}

static int search(goro_chan *found)
{
	int drawer, n = 0;

	/* They inherit the context that this goroutine uses. */
	for (int i = 0; i < 5; i++)
		go(look_into, i, found);
	while (n < 5 && goro_chan_recv_until(found, &drawer, GORO_FOREVER) == 0)
		n++;
	return n;
}

static goro_waitgroup told;

static void is_told(void *what)
{
	printf("%s is told\n", (char *)what);
	goro_waitgroup_done(&told);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *found = goro_chan_of(int, 5);
	goro_ctx *limit = goro_ctx_with_deadline(NULL, goro_now() + GORO_MS(50));

	goro_ctx *before = goro_ctx_use(goro_ctx_ref(limit));
	printf("%d of 5 drawers\n", search(found));
	goro_ctx_unref(goro_ctx_use(before));
	if (goro_ctx_error(limit) == -ETIMEDOUT)
		printf("%s\n", goro_ctx_reason(limit));

	/* A reason of one's own, and somebody who is told. */
	goro_ctx *top = goro_ctx_with_cancel(NULL), *below = goro_ctx_with_cancel(top);
	goro_waitgroup_add(&told, 1);
	goro_after *after = goro_ctx_after(below, is_told, "somebody");
	goro_ctx_cancel_reason(top, "enough");
	goro_chan_recv(goro_ctx_done(below), NULL); /* closed */
	goro_waitgroup_wait(&told);
	printf("%s\n", goro_ctx_reason(below));
	goro_ctx_after_stop(after);

	goro_ctx_unref(below);
	goro_ctx_unref(top);
	goro_ctx_unref(limit);
	goro_chan_unref(found);
	return 0;
}

/*
 * Prints:
 *   4 of 5 drawers
 *   context deadline exceeded
 *   somebody is told
 *   enough
 */
