/*
 * ctx.c - contexts under every schedule: cancelled from two sides, while children are made and
 * freed, while somebody asks for the channel or stops a function, while goroutines wait.
 *
 *   src/sync/ctx.c, waitq.c, chan.c, and the real scheduler -> the explorer
 */
#include "model_ctx.h"
#include "model_g.h"

static goro_ctx *top, *middle, *low;
static goro_chan *c;
static goro_after *after;
static int results[EXPLORE_THREADS];
static uint32_t n_called;
static bool was_stopped;

static goro_ctx *ctx_named(goro_ctx *parent, const char *name)
{
	goro_ctx *ctx = goro_ctx_with_cancel(parent);

	explore_name(ctx, sizeof(*ctx), name);
	return ctx;
}

static void setup_chain(void)
{
	model_ctx_setup_threads();
	explore_name(results, sizeof(results), "results");
	explore_name(&n_called, sizeof(n_called), "n_called");
	top = ctx_named(NULL, "top");
	middle = ctx_named(top, "middle");
	low = ctx_named(middle, "low");
}

static void free_chain(void)
{
	goro_ctx_unref(top);
	goro_ctx_unref(middle);
	goro_ctx_unref(low);
	nothing_is_cancelled();
}

static void all_are_cancelled(void)
{
	explore_check(goro_ctx_error(top) == -ECANCELED);
	explore_check(goro_ctx_error(middle) == -ECANCELED);
	explore_check(goro_ctx_error(low) == -ECANCELED);
	free_chain();
}

/* ---- two who cancel ---- */

static void cancel_top(void)
{
	goro_ctx_cancel_reason(top, "a reason");
	explore_check(goro_ctx_error(low) == -ECANCELED); /* CX4: whoever did it */
	explore_check(goro_ctx_reason(low) != NULL);
	explore_seen(goro_ctx_reason(low)[0] == 'a');
}

static void cancel_middle(void)
{
	goro_ctx_cancel(middle);
	explore_check(goro_ctx_error(low) == -ECANCELED);
}

/* ---- against birth and death ---- */

static void setup_top(void)
{
	setup_chain();
	goro_ctx_unref(low);
	low = NULL;
}

static void make_child(void)
{
	low = ctx_named(middle, "the child");
	explore_seen(goro_ctx_error(low) ? 1 : 0);
}

static void cancel_top_only(void)
{
	goro_ctx_cancel(top);
}

/* The others' references are gone before. */
static void setup_handed_over(void)
{
	setup_chain();
	goro_ctx_unref(middle);
}

static void drop_low(void)
{
	goro_ctx_unref(low);
}

static void drop_low_then_top_is_left(void)
{
	explore_check(goro_ctx_error(top) == -ECANCELED);
	explore_check(!top->first && !top->last);
	goro_ctx_unref(top);
	nothing_is_cancelled();
}

static void setup_two_refs(void)
{
	setup_top();
	goro_ctx_ref(top);
}

static void cancel_and_drop(void)
{
	goro_ctx_cancel(top);
	goro_ctx_unref(top);
}

static void drop_and_drop(void)
{
	goro_ctx_unref(middle);
	goro_ctx_unref(top);
}

/* ---- the channel, the functions ---- */

static void ask_for_channel(void)
{
	goro_chan *done = goro_ctx_done(low);

	if (goro_chan_tryrecv(done, NULL) == -EAGAIN)
		explore_seen(0);
	else
		explore_check(goro_ctx_error(low) == -ECANCELED);
}

static void channel_is_closed(void)
{
	explore_check(goro_chan_tryrecv(goro_ctx_done(low), NULL) == -EPIPE);
	all_are_cancelled();
}

static void is_called(void *arg)
{
	explore_check(goro_ctx_error(arg) == -ECANCELED);
	n_called++;
}

static void setup_after(void)
{
	setup_chain();
	after = goro_ctx_after(low, is_called, top);
}

static void stop_after(void)
{
	was_stopped = goro_ctx_after_stop(after);
	explore_seen(was_stopped ? 1 : 0);
}

static void called_or_stopped(void)
{
	explore_check(n_called == !was_stopped);
	all_are_cancelled();
}

static void add_after(void)
{
	after = goro_ctx_after(low, is_called, top);
}

static void called_once(void)
{
	explore_check(n_called == 1);
	explore_check(!goro_ctx_after_stop(after));
	all_are_cancelled();
}

#define CTX(from, a, b, end) .setup = from, .thread = {a, b}, .finish = end

static void test_tree(void)
{
	explore_holds_seen(&(struct explore_test){"ctx: two cancel, one above the other",
						  CTX(setup_chain, cancel_top, cancel_middle,
						      all_are_cancelled),
						  TRY(3, 1)},
			   3);
	explore_holds(&(struct explore_test){"ctx: two cancel the same",
					     CTX(setup_chain, cancel_top, cancel_top,
						 all_are_cancelled),
					     TRY(3, 1)});
	explore_holds_seen(&(struct explore_test){"ctx: a child is born meanwhile",
						  CTX(setup_top, cancel_top_only, make_child,
						      all_are_cancelled),
						  TRY(3, 2)},
			   3);
	explore_holds(&(struct explore_test){"ctx: a chain is freed while it is cancelled",
					     CTX(setup_handed_over, cancel_top_only, drop_low,
						 drop_low_then_top_is_left),
					     TRY(3, 2)});
	explore_holds(&(struct explore_test){"ctx: who cancels and who goes away drop the last",
					     CTX(setup_two_refs, cancel_and_drop, drop_and_drop,
						 nothing_is_cancelled),
					     TRY(3, 2)});
	explore_finds(&(struct explore_test){"ctx: found when children leave before those below",
					     CTX(setup_chain, cancel_top, cancel_middle,
						 all_are_cancelled),
					     TRY(2, 1), .omit = "ctx-leave-late"},
		      "goro_ctx_error");
	explore_finds(&(struct explore_test){"ctx: found when a child is linked without a look",
					     CTX(setup_top, cancel_top_only, make_child,
						 all_are_cancelled),
					     TRY(2, 1), .omit = "ctx-birth-look"},
		      "goro_ctx_error");
	explore_finds(&(struct explore_test){"ctx: found when one that is being freed is held",
					     CTX(setup_handed_over, cancel_top_only, drop_low,
						 drop_low_then_top_is_left),
					     TRY(2, 1), .omit = "ctx-try-hold"},
		      "");
	explore_finds(&(struct explore_test){"ctx: found when a reference is dropped without order",
					     CTX(setup_two_refs, cancel_and_drop, drop_and_drop,
						 nothing_is_cancelled),
					     TRY(2, 1), .weaken = "ctx_drop"},
		      "data race");
}

static void test_served(void)
{
	explore_holds_seen(&(struct explore_test){"ctx: the channel is asked for meanwhile",
						  CTX(setup_chain, cancel_top_only, ask_for_channel,
						      channel_is_closed),
						  TRY(3, 2)},
			   1);
	explore_holds(&(struct explore_test){"ctx: two ask for the channel",
					     CTX(setup_chain, ask_for_channel, ask_for_channel,
						 channel_is_closed),
					     .thread[2] = cancel_top_only, TRY(2, 1)});
	explore_holds_seen(&(struct explore_test){"ctx: a function is stopped or called",
						  CTX(setup_after, cancel_top_only, stop_after,
						      called_or_stopped),
						  TRY(3, 2)},
			   3);
	explore_holds(&(struct explore_test){"ctx: a function that is added late is called",
					     CTX(setup_chain, cancel_top_only, add_after,
						 called_once),
					     TRY(3, 2)});
	explore_finds(&(struct explore_test){"ctx: found when a late channel is left open",
					     CTX(setup_chain, cancel_top_only, ask_for_channel,
						 channel_is_closed),
					     TRY(2, 1), .omit = "ctx-late-done"},
		      "goro_chan_tryrecv");
	explore_finds(&(struct explore_test){"ctx: found when a function is not taken off",
					     CTX(setup_after, cancel_top_only, stop_after,
						 called_or_stopped),
					     TRY(2, 1), .omit = "ctx-after-take"},
		      "");
}

/* ---- goroutines that wait ---- */

static struct g *waiter_g;

static void recv_canceled(void *unused)
{
	uint32_t value = 99;

	(void)unused;
	results[0] = goro_chan_recv_until(c, &value, GORO_FOREVER);
	explore_check(results[0] == 0 || results[0] == -ECANCELED);
	explore_check((results[0] == 0) == (value == 7));
	explore_seen(results[0] ? 0 : 1);
}

static void recv_with_deadline(void *unused)
{
	uint32_t value = 99;

	(void)unused;
	results[0] = goro_chan_recv_until(c, &value, 1000);
	explore_check(results[0] == -ETIMEDOUT || results[0] == -ECANCELED);
	explore_check(value == 99);
	explore_seen(results[0] == -ETIMEDOUT ? 2 : 3);
}

static void setup_waiter(void (*entry)(void *))
{
	struct g *gp = waiter_g = &gs[0];
	char *stack;

	model_ctx_setup(1, 1);
	for (int i = 1; i < EXPLORE_THREADS; i++)
		ms[i].id = i < 3 ? 0 : ms[i].id; /* two plain threads */
	n_given = 3;
	top = ctx_named(NULL, "top");
	middle = ctx_named(top, "middle");
	low = goro_ctx_ref(middle);
	c = goro_chan_make(sizeof(uint32_t), 0);
	explore_name(c, sizeof(*c), "chan");
	explore_name(results, sizeof(results), "results");
	stack = explore_stack(MODEL_STACK);
	explore_name(stack, MODEL_STACK, "stack of G1");
	gp->id = 1;
	gp->entry = entry;
	gp->ctx = ctx_hold(&middle->head);
	gp->sp = ctx_make(stack + MODEL_STACK, g_main, gp);
	store_rlx(&gp->state, G_RUNNABLE);
	put_runnable(&ps[0], gp, false);
}

static void setup_recv(void)
{
	setup_waiter(recv_canceled);
}

static void setup_recv_with_deadline(void)
{
	setup_waiter(recv_with_deadline);
}

static void m_main(void)
{
	schedule_until_end(&ms[explore_self()]);
}

static void send_if_awaited(void)
{
	uint32_t value = 7;

	results[1] = goro_chan_trysend(c, &value);
}

static void waiter_has_ended(void)
{
	model_sched_check();
	explore_check(n_ended == 1);
	explore_check(!middle->waits);
	explore_check(waitq_is_empty(&c->receivers));
	explore_check(timers_first(&ps[0].timers) == TIMER_NEVER);
	all_are_cancelled();
}

static void one_result(void)
{
	explore_check((results[0] == 0) == (results[1] == 0));
	waiter_has_ended();
}

#define WAITS(from, a, b, end)                                                      \
	.setup = from, .thread = {m_main, a, b, m_main, m_main}, \
	.asleep = 0x18, .finish = end, .may_end_blocked = true

static void nothing(void)
{
}

static void test_waits(void)
{
	explore_holds(&(struct explore_test){"ctx: a goroutine waits while it is cancelled",
					     WAITS(setup_recv, cancel_top_only, nothing,
						   waiter_has_ended),
					     TRY(2, 1)});
	explore_holds_seen(&(struct explore_test){"ctx: a goroutine is cancelled or gets the value",
						  WAITS(setup_recv, cancel_top_only,
							send_if_awaited, one_result),
						  TRY(1, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"ctx: a goroutine is cancelled or times out",
						  WAITS(setup_recv_with_deadline, cancel_top_only,
							nothing, waiter_has_ended),
						  TRY(1, 1), .timeouts = 1},
			   0xc);
	explore_finds(&(struct explore_test){"ctx: found when one that is cancelled is waited in",
					     WAITS(setup_recv, cancel_top_only, nothing,
						   waiter_has_ended),
					     TRY(1, 1), .omit = "ctx-enlist-look"},
		      "n_ended");
	explore_finds(&(struct explore_test){"ctx: found when the race of a wait is left out",
					     WAITS(setup_recv, cancel_top_only, send_if_awaited,
						   one_result),
					     TRY(2, 1), .omit = "wait-race"},
		      "");
}

int main(void)
{
	test_tree();
	test_served();
	test_waits();
	return explore_done();
}
