/*
 * group.c - asks several servers at once; the first answer wins, and the rest of the work ends.
 *
 *   group [MILLISECONDS]       how long to wait for an answer, 500 if not told
 *
 * Whoever is first cancels the group, so that the others stop waiting; when none answers in time,
 * the deadline does. No goroutine is left behind, whichever way ask_all() returns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <goro.h>

struct question {
	const char *server;
	int64_t delay; /* a sleep instead of a network */
	goro_chan *answers;
};

static int ask(void *arg)
{
	struct question *q = arg;
	goro_sleep(q->delay); /* if cancelled, it ends this goroutine quietly */
	goro_put(q->answers, q->server);
	return 0;
}

/* The first server to answer, or NULL. */
static const char *ask_all(struct question *q, int n, int64_t deadline)
{
	goro_ctx *limit = goro_ctx_with_deadline(goro_ctx_current(), deadline);
	goro_ctx *before = goro_ctx_use(limit);
	goro_chan *answers = goro_chan_of(const char *, n);
	const char *first = NULL;
	{
		GORO_GROUP(group);
		for (int i = 0; i < n; i++) {
			q[i].answers = answers;
			goro_group_go(&group, ask, &q[i]);
		}
		if (goro_chan_recv_until(answers, &first, GORO_FOREVER) == -ECANCELED)
			printf("%s\n", goro_ctx_reason(limit));
		goro_group_cancel(&group);
	} /* here all have ended */
	goro_chan_unref(answers);
	goro_ctx_unref(goro_ctx_use(before));
	return first;
}

int goro_main(int argc, char **argv)
{
	struct question questions[] = {{"north", GORO_SEC(60), NULL}, {"east", GORO_MS(20), NULL},
				       {"south", GORO_SEC(70), NULL}};
	int limit_ms = argc > 1 ? atoi(argv[1]) : 500;
	const char *first = ask_all(questions, 3, goro_now() + GORO_MS(limit_ms));
	printf("%s\n", first ? first : "nobody");
	return first ? 0 : 1;
}
