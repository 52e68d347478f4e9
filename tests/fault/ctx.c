/*
 * ctx.c - contexts and groups, while the n-th mmap, madvise, clone, futex or malloc fails.
 *
 * sweep.h tells what a run must come to: a call that is refused says so (NULL, -ENOMEM) and has
 * done nothing; what was granted is cancelled, waited for and freed.
 */
#include "sweep.h"

enum { N = 8 };

static goro_ctx *made(goro_ctx *ctx)
{
	if (ctx == NULL) {
		expect(fault_was_met());
		add(&sweep_refusals, 1);
	}
	return ctx;
}

/* NULL only when the fault persists. */
static goro_ctx *make_ctx(goro_ctx *parent, int64_t deadline)
{
	goro_ctx *ctx = made(goro_ctx_with_deadline(parent, deadline));
	if (ctx == NULL && !sweep_persists)
		ctx = made(goro_ctx_with_deadline(parent, deadline));
	expect(ctx != NULL || sweep_persists);
	return ctx;
}

/* ---- a tree, with a plain thread's means ---- */

static int n_called;

static void is_called(void *unused)
{
	(void)unused;
	add(&n_called, 1);
}

static void asks_for_done(void *ctx)
{
	(void)goro_ctx_done(ctx);
}

/* The only call here with no way to return an error. */
static void ask_for_done(goro_ctx *ctx)
{
	char text[64];
	for (int i = 0; i < 2 && !goro_try(asks_for_done, ctx, text, sizeof(text)); i++) {
		if (strcmp(text, "goro_try: out of memory") == 0)
			return;
		expect_str(text, "goro_ctx_done: out of memory");
		expect(fault_was_met());
		expect(i == 0 || sweep_persists);
		add(&sweep_refusals, 1);
	}
}

static void grows_a_tree(goro_ctx *top)
{
	goro_ctx *all[N] = {NULL};
	goro_after *after[N] = {NULL};
	int n_after = 0;
	store(&n_called, 0);
	for (int i = 0; i < N; i++) {
		int64_t deadline = i % 2 == 0 ? GORO_FOREVER : goro_now() + GORO_SEC(1000);
		all[i] = make_ctx(i < 2 ? top : all[i / 2], deadline);
		if (all[i] == NULL)
			continue;
		expect_eq(goro_ctx_error(all[i]), 0);
		if (i % 3 == 0)
			ask_for_done(all[i]);
		after[i] = goro_ctx_after(all[i], is_called, NULL);
		if (after[i] == NULL) {
			expect(fault_was_met());
			add(&sweep_refusals, 1);
		}
		n_after += after[i] != NULL;
	}
	goro_ctx_cancel_reason(top, "a reason of the program's own");
	/* Out of memory for its copy, it is the usual one. */
	const char *reason = goro_ctx_reason(top);
	if (strcmp(reason, "a reason of the program's own") != 0) {
		expect(fault_was_met());
		expect_str(reason, "context canceled");
	}
	for (int i = 0; i < N; i++) {
		if (all[i] == NULL)
			continue;
		/* Under one that is missing it grew from the background. */
		goro_ctx_cancel(all[i]);
		expect_eq(goro_ctx_error(all[i]), -ECANCELED);
		goro_ctx_unref(all[i]);
	}
	wait_for(load(&n_called) == n_after);
	for (int i = 0; i < N; i++)
		expect(!goro_ctx_after_stop(after[i]));
}

static void grow_one(void)
{
	goro_ctx *top = make_ctx(NULL, GORO_FOREVER);
	if (top != NULL)
		grows_a_tree(top);
	goro_ctx_unref(top);
}

/* The first run reads GORO_FAULT. */
static int returns_at_once(void *unused)
{
	(void)unused;
	return MAIN_VALUE;
}

static void tree_without_a_runtime(void)
{
	run_main(returns_at_once, NULL);
	grow_one();
}

SWEEP_KIND(tree_without_a_runtime, malloc, .procs = "2")

static int grows_in_a_run(void *unused)
{
	(void)unused;
	grow_one();
	wait_for(goro_count() == 1);
	return MAIN_VALUE;
}

static void tree(void)
{
	run_main(grows_in_a_run, NULL);
}

SWEEP(tree, .procs = "2")

/* ---- deadlines that come ---- */

static int is_timed_out(void *unused)
{
	(void)unused;
	for (int i = 0; i < 4; i++) {
		goro_ctx *ctx = make_ctx(NULL, goro_now() + GORO_MS(1));
		if (ctx == NULL)
			continue;
		goro_ctx *before = goro_ctx_use(goro_ctx_ref(ctx));
		expect_eq(goro_ctx_sleep(GORO_SEC(1000)), -ECANCELED);
		expect_eq(goro_ctx_error(ctx), -ETIMEDOUT);
		goro_ctx_unref(goro_ctx_use(before));
		goro_ctx_unref(ctx);
	}
	return MAIN_VALUE;
}

static void deadlines(void)
{
	run_main(is_timed_out, NULL);
}

SWEEP(deadlines, .procs = "2")

/* ---- groups ---- */

static int n_started, n_ended;

static int waits(void *unused)
{
	(void)unused;
	add(&n_started, 1);
	int error = goro_ctx_sleep(GORO_FOREVER);
	add(&n_ended, 1);
	return error;
}

static int returns(void *unused)
{
	(void)unused;
	add(&n_started, 1);
	add(&n_ended, 1);
	return 0;
}

static int nests(void *unused)
{
	(void)unused;
	GORO_GROUP(group);
	for (int i = 0; i < N; i++)
		(void)is_granted(goro_group_go(&group, returns, NULL));
	return goro_group_wait(&group);
}

static int owns_groups(void *unused)
{
	int n = 0;
	(void)unused;
	store(&n_started, 0);
	store(&n_ended, 0);
	GORO_GROUP(group);
	for (int i = 0; i < N; i++)
		n += is_granted(goro_group_go(&group, waits, NULL));
	wait_for(load(&n_started) == n);
	goro_group_cancel(&group);
	expect_eq(goro_group_wait(&group), n > 0 ? -ECANCELED : 0);
	expect_eq(n_ended, n);
	for (int i = 0; i < 2; i++)
		(void)is_granted(goro_group_go(&group, nests, NULL));
	expect_eq(goro_group_wait(&group), 0);
	expect_eq(n_started, n_ended);
	return MAIN_VALUE;
}

static void groups(void)
{
	run_main(owns_groups, NULL);
}

SWEEP(groups, .procs = "2")

TAP_MAIN
