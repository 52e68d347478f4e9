/*
 * ctx.c - conformance: contexts, the tree of cancellation.
 *
 *   SYN-13 and its neighbours: who is cancelled when, deadlines, functions at the cancellation,
 *   references, runs. What the calls of a goroutine in a cancelled context do: ctx_calls.c.
 */
#include "ctx_tap.h"

enum { N_DESCENDANTS = 100, DEPTH = 100000 };

/* ---- the tree ---- */

TAP_CASE(background_is_never_cancelled, .id = "SYN-13", .procs = "-")
{
	goro_ctx *top = goro_ctx_background();
	expect(top != NULL);
	goro_ctx_cancel(top);
	goro_ctx_cancel(NULL);
	expect_eq(goro_ctx_error(top), 0);
	expect_eq(goro_ctx_error(NULL), 0);
	expect(goro_ctx_reason(top) == NULL);
	expect(goro_ctx_done(top) == NULL);
	expect(goro_ctx_ref(top) == top);
	goro_ctx_unref(top);
	goro_ctx_unref(top);
	goro_ctx_unref(top);
	goro_ctx_unref(NULL);
	expect_eq(goro_ctx_deadline(top), GORO_FOREVER);
	expect_eq(goro_ctx_deadline(NULL), GORO_FOREVER);
	goro_ctx *ctx = make_ctx(top);
	expect_alive(ctx);
	goro_ctx_unref(ctx);
}

TAP_CASE(cancel_reaches_what_is_below_and_nothing_else, .id = "SYN-13", .procs = "-")
{
	goro_ctx *top = make_ctx(NULL), *left = make_ctx(top), *right = make_ctx(top);
	goro_ctx *below = make_ctx(left), *lowest = make_ctx(below);
	goro_chan *early = goro_ctx_done(lowest);
	goro_ctx_cancel(left);
	expect_canceled(left, -ECANCELED, "context canceled");
	expect_canceled(below, -ECANCELED, "context canceled");
	expect_canceled(lowest, -ECANCELED, "context canceled");
	expect(goro_ctx_done(lowest) == early);
	expect_alive(top);
	expect_alive(right);
	goro_ctx_cancel_reason(top, "the end");
	expect_canceled(top, -ECANCELED, "the end");
	expect_canceled(right, -ECANCELED, "the end");
	expect_canceled(lowest, -ECANCELED, "context canceled"); /* the first stays */
	goro_ctx_unref(top);
	goro_ctx_unref(left);
	goro_ctx_unref(right);
	goro_ctx_unref(below);
	expect_canceled(lowest, -ECANCELED, "context canceled");
	goro_ctx_unref(lowest);
}

TAP_CASE(child_of_a_cancelled_parent_is_cancelled_at_birth, .id = "SYN-13", .procs = "-")
{
	goro_ctx *top = make_ctx(NULL);
	goro_ctx_cancel_reason(top, "too late");
	goro_ctx *child = make_ctx(top), *grandchild = make_deadline(child, GORO_FOREVER);
	goro_ctx_unref(top);
	goro_ctx_unref(child);
	expect_canceled(grandchild, -ECANCELED, "too late");
	goro_ctx_unref(grandchild);
}

TAP_CASE(reason_is_copied_and_cut, .procs = "-")
{
	char text[300];
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (size_t length = GORO_CTX_REASON_MAX - 2; length < GORO_CTX_REASON_MAX + 2; length++) {
		goro_ctx *ctx = make_ctx(NULL);
		text[length] = '\0';
		goro_ctx_cancel_reason(ctx, text);
		memset(text, 'y', length);
		size_t kept = length < GORO_CTX_REASON_MAX ? length : GORO_CTX_REASON_MAX - 1;
		expect_eq(strlen(goro_ctx_reason(ctx)), kept);
		expect_eq(strspn(goro_ctx_reason(ctx), "x"), kept);
		memset(text, 'x', sizeof(text));
		goro_ctx_unref(ctx);
	}
	goro_ctx *ctx = make_ctx(NULL);
	goro_ctx_cancel_reason(ctx, "");
	expect_canceled(ctx, -ECANCELED, "");
	goro_ctx_unref(ctx);
}

/* Without a runtime the functions are called by the thread that cancels: the order shows. */
static goro_ctx *seen[8];
static int n_seen;

static void sees(void *ctx)
{
	expect_eq(goro_ctx_error(ctx), -ECANCELED);
	seen[n_seen++] = ctx;
}

TAP_CASE(parents_come_before_children_and_these_in_order_of_birth, .id = "SYN-13", .procs = "-")
{
	goro_ctx *top = make_ctx(NULL), *a = make_ctx(top), *b = make_ctx(top), *c = make_ctx(top);
	goro_ctx *b1 = make_ctx(b), *a1 = make_ctx(a), *a2 = make_ctx(a), *a11 = make_ctx(a1);
	goro_ctx *all[] = {top, a, a1, a11, a2, b, b1, c};
	goro_after *afters[8];
	for (int i = 0; i < 8; i++)
		afters[7 - i] = goro_ctx_after(all[7 - i], sees, all[7 - i]);
	goro_ctx_cancel(top);
	require_eq(n_seen, 8);
	for (int i = 0; i < 8; i++) {
		expect(seen[i] == all[i]);
		expect(!goro_ctx_after_stop(afters[i]));
		goro_ctx_unref(all[i]);
	}
}

struct crowd {
	goro_ctx *member[N_DESCENDANTS];
	int n_done;
};

static void cancels_one(struct crowd *crowd, int i)
{
	goro_ctx_cancel(crowd->member[i]);
	add(&crowd->n_done, 1);
}

/* A random tree; all members are cancelled at the same time, in random order. */
GORO_CASE(all_members_of_a_tree_are_cancelled_at_once, .id = "SYN-13", .is_race = true)
{
	uint64_t state = tap_seed();
	for (int round = 0; round < 50; round++) {
		struct crowd crowd = {.n_done = 0};
		int order[N_DESCENDANTS];
		for (int i = 0; i < N_DESCENDANTS; i++) {
			int above = (int)(tap_random(&state) % (uint64_t)(i + 1)) - 1;
			crowd.member[i] = make_ctx(above < 0 ? NULL : crowd.member[above]);
			order[i] = i;
		}
		for (int i = N_DESCENDANTS - 1; i > 0; i--) {
			int j = (int)(tap_random(&state) % (uint64_t)(i + 1)), kept = order[i];
			order[i] = order[j];
			order[j] = kept;
		}
		for (int i = 0; i < N_DESCENDANTS; i++)
			go(cancels_one, &crowd, order[i]);
		wait_for(load(&crowd.n_done) == N_DESCENDANTS);
		for (int i = 0; i < N_DESCENDANTS; i++)
			expect_canceled(crowd.member[i], -ECANCELED, "context canceled");
		for (int i = 0; i < N_DESCENDANTS; i++)
			goro_ctx_unref(crowd.member[order[i]]);
	}
}

/* When cancel returns, everything below is cancelled, whoever else is at it. */
struct pair {
	goro_ctx *top, *lowest[20];
	int n_ready, n_done;
};

static void cancels_and_looks(struct pair *p, goro_ctx *which)
{
	add(&p->n_ready, 1);
	while (load(&p->n_ready) < 2)
		goro_yield();
	goro_ctx_cancel(which);
	for (int i = 0; i < 20; i++)
		expect_eq(goro_ctx_error(p->lowest[i]), -ECANCELED);
	add(&p->n_done, 1);
}

GORO_CASE(interlocked_cancels_return_when_all_is_cancelled, .id = "SYN-13", .is_race = true)
{
	for (int round = 0; round < 500; round++) {
		struct pair p = {.top = make_ctx(NULL)};
		goro_ctx *chain[21] = {make_ctx(p.top)};
		for (int i = 0; i < 20; i++) {
			chain[i + 1] = make_ctx(chain[i]);
			p.lowest[i] = make_ctx(chain[i + 1]);
		}
		go(cancels_and_looks, &p, p.top);
		go(cancels_and_looks, &p, chain[1]);
		wait_for(load(&p.n_done) == 2);
		goro_ctx_unref(p.top);
		goro_ctx_unref(chain[0]);
		for (int i = 0; i < 20; i++) {
			goro_ctx_unref(chain[i + 1]);
			goro_ctx_unref(p.lowest[i]);
		}
	}
}

/* On a goroutine's stack, which recursion would overflow. */
GORO_CASE(a_very_deep_tree_is_cancelled_and_freed, .id = "SYN-13", .procs = "1,2")
{
	for (int round = 0; round < 2; round++) {
		goro_ctx *top = make_ctx(NULL), *at = top;
		for (int i = 0; i < DEPTH; i++) {
			goro_ctx *below = make_ctx(at);
			if (at != top)
				goro_ctx_unref(at);
			at = below;
		}
		if (round == 0) {
			goro_ctx_cancel(top);
			expect_eq(goro_ctx_error(at), -ECANCELED);
		}
		goro_ctx_unref(top);
		goro_ctx_unref(at); /* and with it all above */
	}
}

TAP_CASE(finished_children_leave_a_long_lived_parent, .id = "SYN-13", .procs = "-")
{
	enum { N = TAP_SANITIZED ? 50000 : 1000000 };
	goro_ctx *top = make_ctx(NULL), *stays = make_ctx(top);
	int64_t before = 0;
	for (int i = 0; i < N; i++) {
		goro_ctx *child = make_ctx(top), *below = make_ctx(child);
		if (i % 3 == 0)
			goro_ctx_cancel(child);
		goro_ctx_unref(child);
		goro_ctx_unref(below);
		if (i == N / 10)
			before = tap_rss_kib();
	}
	if (!TAP_SANITIZED)
		expect_le(tap_rss_kib(), before + 1024);
	goro_ctx_cancel(top);
	expect_canceled(stays, -ECANCELED, "context canceled");
	goro_ctx_unref(stays);
	goro_ctx_unref(top);
}

/* ---- deadlines ---- */

GORO_CASE(the_earlier_deadline_wins, .id = "SYN-13")
{
	int64_t soon = goro_now() + GORO_MS(20), late = goro_now() + GORO_SEC(1000);
	goro_ctx *top = make_deadline(NULL, soon), *child = make_deadline(top, late);
	goro_ctx *lax = make_deadline(NULL, late), *strict = make_deadline(lax, soon);
	goro_ctx *plain = make_ctx(child), *never = make_deadline(NULL, GORO_FOREVER);
	expect_eq(goro_ctx_deadline(top), soon);
	expect_eq(goro_ctx_deadline(child), soon);
	expect_eq(goro_ctx_deadline(plain), soon);
	expect_eq(goro_ctx_deadline(strict), soon);
	expect_eq(goro_ctx_deadline(lax), late);
	expect_eq(goro_ctx_deadline(never), GORO_FOREVER);
	(void)goro_chan_recv(goro_ctx_done(plain), NULL);
	expect_ge(goro_now(), soon);
	(void)goro_chan_recv(goro_ctx_done(strict), NULL);
	expect_canceled(top, -ETIMEDOUT, "context deadline exceeded");
	expect_canceled(child, -ETIMEDOUT, "context deadline exceeded");
	expect_canceled(plain, -ETIMEDOUT, "context deadline exceeded");
	expect_canceled(strict, -ETIMEDOUT, "context deadline exceeded");
	expect_alive(lax);
	expect_alive(never);
	goro_ctx_cancel(lax); /* strict stays what it is */
	expect_canceled(strict, -ETIMEDOUT, "context deadline exceeded");
	goro_ctx *all[] = {top, child, lax, strict, plain, never};
	for (int i = 0; i < 6; i++)
		goro_ctx_unref(all[i]);
}

GORO_CASE(a_deadline_that_is_past_cancels_at_birth)
{
	const int64_t past[] = {GORO_POLL, INT64_MIN, 1, goro_now()};
	for (int i = 0; i < 4; i++) {
		goro_ctx *ctx = make_deadline(NULL, past[i]), *below = make_ctx(ctx);
		expect_canceled(ctx, -ETIMEDOUT, "context deadline exceeded");
		expect_canceled(below, -ETIMEDOUT, "context deadline exceeded");
		expect_eq(goro_ctx_deadline(ctx), past[i]);
		goro_ctx_unref(ctx);
		goro_ctx_unref(below);
	}
}

/* A cancelled or dropped one leaves no timer that would keep the program from its deadlock. */
GORO_CHILD(leaves_no_timer)
{
	goro_ctx *a = make_deadline(NULL, goro_now() + GORO_SEC(1000));
	goro_ctx *b = make_deadline(NULL, goro_now() + GORO_SEC(1000));
	goro_ctx_cancel(a);
	goro_ctx_unref(b);
	(void)goro_chan_recv(NULL, NULL);
}

TAP_CASE(contexts_that_are_over_leave_no_timer, .procs = "2")
{
	struct tap_child child;
	if (TAP_SANITIZED || getenv("TAP_EMULATED"))
		tap_skip("threads that the program did not make hide a deadlock");
	tap_child(&child, "leaves_no_timer", "GORO_MAXPROCS=2");
	expect_child(&child, 2, "all goroutines are asleep - deadlock!");
}

GORO_CASE(many_deadlines_race_with_cancel_and_unref, .is_race = true)
{
	enum { N = TAP_SANITIZED ? 2000 : 20000 };
	uint64_t state = tap_seed();
	static goro_ctx *all[64];
	for (int i = 0; i < N; i++) {
		goro_ctx **slot = &all[tap_random(&state) % 64];
		goro_ctx *parent = all[tap_random(&state) % 64];
		int64_t deadline = goro_now() + (int64_t)(tap_random(&state) % 100000);
		goro_ctx *ctx = make_deadline(parent, deadline);
		if (tap_random(&state) % 4 == 0)
			goro_ctx_cancel(parent);
		goro_ctx_unref(*slot);
		*slot = ctx;
		if (i % 16 == 0)
			goro_sleep((int64_t)(tap_random(&state) % 50000));
	}
	for (int i = 0; i < 64; i++) {
		if (all[i])
			wait_for(goro_ctx_error(all[i]) != 0);
		goro_ctx_unref(all[i]);
		all[i] = NULL;
	}
}

/* ---- functions at the cancellation ---- */

struct called {
	int n;
	uint64_t id;
	goro_ctx *ctx;
	goro_chan *c;
};

static void is_called(void *arg)
{
	struct called *called = arg;
	called->id = goro_id();
	called->ctx = goro_ctx_current();
	add(&called->n, 1);
	if (called->c)
		(void)goro_get(called->c, int); /* it may block */
}

GORO_CASE(after_runs_once_in_a_goroutine_of_its_own, .id = "SYN-13", .is_race = true)
{
	struct called called = {.c = goro_chan_of(int, 0)};
	goro_ctx *ctx = make_ctx(NULL);
	goro_ctx_use(goro_ctx_ref(ctx)); /* the function does not inherit it */
	goro_after *after = goro_ctx_after(ctx, is_called, &called);
	goro_yield();
	expect_eq(load(&called.n), 0);
	goro_ctx_cancel(ctx);
	goro_ctx_cancel(ctx);
	goro_ctx_unref(goro_ctx_use(NULL));
	wait_for(load(&called.n) == 1);
	expect(called.id != goro_id() && called.id != 0);
	expect(called.ctx == NULL);
	expect(!goro_ctx_after_stop(after));
	goro_put(called.c, 1);
	wait_for(goro_count() == 1);
	expect_eq(called.n, 1);
	goro_chan_unref(called.c);
	goro_ctx_unref(ctx);
}

GORO_CASE(after_that_is_stopped_never_runs, .id = "SYN-13")
{
	struct called called[3] = {{0}};
	goro_after *after[3];
	goro_ctx *ctx = make_ctx(NULL);
	for (int i = 0; i < 3; i++)
		after[i] = goro_ctx_after(ctx, is_called, &called[i]);
	expect(goro_ctx_after_stop(after[1]));
	expect(!goro_ctx_after_stop(NULL));
	goro_ctx_cancel(ctx);
	wait_for(load(&called[0].n) == 1 && load(&called[2].n) == 1);
	wait_for(goro_count() == 1);
	expect_eq(called[1].n, 0);
	expect(!goro_ctx_after_stop(after[0]));
	expect(!goro_ctx_after_stop(after[2]));
	goro_ctx_unref(ctx);
}

GORO_CASE(after_a_cancelled_context_runs_at_once, .id = "SYN-13")
{
	struct called called = {0};
	goro_ctx *ctx = make_ctx(NULL);
	goro_ctx_cancel(ctx);
	goro_after *after = goro_ctx_after(ctx, is_called, &called);
	goro_ctx_unref(ctx);
	wait_for(load(&called.n) == 1);
	expect(!goro_ctx_after_stop(after));
	/* The background: never, and the stop is in time. */
	after = goro_ctx_after(goro_ctx_background(), is_called, &called);
	expect(goro_ctx_after_stop(after));
	expect_eq(load(&called.n), 1);
}

/* It holds its context: nobody else does, and the parent's cancellation finds it. */
GORO_CASE(after_keeps_its_context, .id = "SYN-13")
{
	struct called called = {0};
	goro_ctx *top = make_ctx(NULL), *ctx = make_ctx(top);
	goro_after *after = goro_ctx_after(ctx, is_called, &called);
	goro_ctx_unref(ctx);
	goro_ctx_cancel(top);
	wait_for(load(&called.n) == 1);
	expect(!goro_ctx_after_stop(after));
	goro_ctx_unref(top);
}

static void is_counted(void *n_called)
{
	add((int *)n_called, 1);
}

static void stops_if_in_time(goro_after *after, int *n_stopped, int *n_done)
{
	add(n_stopped, goro_ctx_after_stop(after));
	add(n_done, 1);
}

GORO_CASE(stop_races_with_the_cancellation, .id = "SYN-13", .is_race = true)
{
	enum { N = 2000 };
	int n_stopped = 0, n_done = 0, n_called = 0;
	for (int i = 0; i < N; i++) {
		goro_ctx *ctx = make_ctx(NULL);
		goro_after *after = goro_ctx_after(ctx, is_counted, &n_called);
		go(stops_if_in_time, after, &n_stopped, &n_done);
		if (i % 3 == 0)
			goro_yield();
		goro_ctx_cancel(ctx);
		goro_ctx_unref(ctx);
	}
	wait_for(load(&n_done) == N);
	wait_for(goro_count() == 1);
	expect_eq(load(&n_called) + n_stopped, N);
	printf("# %d of %d were stopped in time\n", n_stopped, N);
}

/* ---- runs ---- */

static goro_ctx *old_ctx;
static goro_chan *old_c;

static void waits_in_old(void *unused)
{
	(void)unused;
	goro_ctx_use(goro_ctx_ref(old_ctx));
	(void)goro_chan_recv_until(old_c, NULL, GORO_FOREVER);
}

static int leaves_a_waiter(void *unused)
{
	(void)unused;
	expect_eq(goro_ctx_error(old_ctx), 0);
	goro_spawn(waits_in_old, NULL);
	wait_until_n_parked(1, "chan receive");
	return 4;
}

static int is_cancelled_in_the_next_run(void *unused)
{
	(void)unused;
	goro_ctx_unref(goro_ctx_use(goro_ctx_ref(old_ctx)));
	return goro_chan_recv_until(old_c, NULL, GORO_FOREVER) == -ECANCELED ? 5 : 6;
}

TAP_CASE(a_context_outlives_the_run)
{
	old_ctx = make_ctx(NULL);
	old_c = goro_chan_of(int, 0);
	expect_eq(goro_run(leaves_a_waiter, NULL), 4);
	goro_ctx_cancel(old_ctx); /* nobody waits there any more */
	expect_canceled(old_ctx, -ECANCELED, "context canceled");
	expect_eq(goro_run(is_cancelled_in_the_next_run, NULL), 5);
	goro_chan_unref(old_c);
	goro_ctx_unref(old_ctx);
}

/* Made while none runs, of the next run and the one after it, and asked when there is none. */
static int is_timed_out(void *unused)
{
	(void)unused;
	goro_ctx_unref(goro_ctx_use(goro_ctx_ref(old_ctx)));
	return goro_chan_recv_until(NULL, NULL, GORO_FOREVER) == -ECANCELED &&
	       goro_ctx_error(old_ctx) == -ETIMEDOUT;
}

static int returns_at_once(void *unused)
{
	(void)unused;
	return goro_ctx_error(old_ctx);
}

TAP_CASE(deadlines_are_watched_in_every_run, .is_idle = true)
{
	for (int round = 0; round < 10; round++) {
		old_ctx = make_deadline(NULL, goro_now() + GORO_MS(100));
		goro_ctx *gone = make_deadline(NULL, goro_now() + GORO_MS(100));
		if (round % 2 == 0)
			expect_eq(goro_run(returns_at_once, NULL), 0);
		goro_ctx_unref(gone);
		expect_eq(goro_run(is_timed_out, NULL), 1);
		expect_canceled(old_ctx, -ETIMEDOUT, "context deadline exceeded");
		goro_ctx_unref(old_ctx);
	}
	goro_ctx *ctx = make_deadline(NULL, goro_now() + GORO_MS(5)), *below = make_ctx(ctx);
	expect_eq(goro_ctx_error(ctx), 0);
	wait_for(goro_ctx_error(ctx) != 0);
	expect_canceled(ctx, -ETIMEDOUT, "context deadline exceeded");
	expect_canceled(below, -ETIMEDOUT, "context deadline exceeded");
	goro_ctx_unref(ctx);
	goro_ctx_unref(below);
}

static int n_runs_over;

static void *cancels_for_ever(void *unused)
{
	(void)unused;
	while (!load(&n_runs_over)) {
		goro_ctx *ctx = __atomic_load_n(&old_ctx, __ATOMIC_ACQUIRE);
		if (ctx)
			goro_ctx_cancel(ctx);
	}
	return NULL;
}

static int runs_and_leaves(void *unused)
{
	(void)unused;
	for (int i = 0; i < 8; i++)
		goro_spawn(waits_in_old, NULL);
	goro_yield();
	return 0;
}

/* A plain thread cancels, over and over, while runs begin and end. */
TAP_CASE(cancel_while_a_run_ends, .is_race = true)
{
	enum { N = TAP_SANITIZED ? 30 : 300 };
	static goro_ctx *all[N];
	pthread_t thread;
	old_c = goro_chan_of(int, 0);
	require_eq(pthread_create(&thread, NULL, cancels_for_ever, NULL), 0);
	for (int i = 0; i < N; i++) {
		all[i] = make_ctx(NULL);
		__atomic_store_n(&old_ctx, all[i], __ATOMIC_RELEASE);
		expect_eq(goro_run(runs_and_leaves, NULL), 0);
	}
	store(&n_runs_over, 1);
	pthread_join(thread, NULL);
	for (int i = 0; i < N; i++)
		goro_ctx_unref(all[i]);
	goro_chan_unref(old_c);
}

TAP_MAIN
