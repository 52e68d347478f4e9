/*
 * expiry.c - a context's deadline that comes while the context is cancelled or freed, and while
 * runs begin and end.
 *
 *   src/sync/expiry.c, ctx.c, src/event/timer.c -> the explorer
 */
#include "model_ctx.h"

static goro_ctx *ctx;

static void setup(void)
{
	model_ctx_setup_threads();
	ctx = goro_ctx_with_deadline(NULL, 1000);
	explore_name(ctx, sizeof(*ctx), "ctx");
	explore_name(ctx->expiry, sizeof(*ctx->expiry), "expiry");
	explore_name(&ps[0].timers, sizeof(ps[0].timers), "heap");
}

static void setup_no_run(void)
{
	setup();
	goro_ctx_unref(ctx);
	ctx = NULL;
	store_rlx(&sched.run_state, RUN_NONE);
	explore_name(&orphans, sizeof(orphans), "orphans");
}

/* What a P does when it is time. */
static void time_comes(void)
{
	struct glist gs_ready = {0};

	timers_expire(&ps[0].timers, 2000, &gs_ready);
	explore_check(!gs_ready.head);
}

static void run_ends(void)
{
	store_rel(&sched.run_state, RUN_ENDING);
	timers_close(&ps[0].timers);
}

static void run_begins(void)
{
	store_rel(&sched.run_state, RUN_ON);
	orphans_adopt();
}

static void drop(void)
{
	goro_ctx_unref(ctx);
}

static void cancel(void)
{
	goro_ctx_cancel(ctx);
	explore_seen(goro_ctx_error(ctx) == -ETIMEDOUT);
}

static void cancel_and_drop(void)
{
	cancel();
	drop();
}

static void make(void)
{
	ctx = goro_ctx_with_deadline(NULL, 1000);
}

static void is_over(void)
{
	explore_check(!orphans.first);
	explore_check(timers_first(&ps[0].timers) == TIMER_NEVER);
	nothing_is_cancelled();
}

static void is_cancelled(void)
{
	explore_check(goro_ctx_error(ctx) != 0 && goro_ctx_reason(ctx) != NULL);
	goro_ctx_unref(ctx);
	is_over();
}

static void is_watched(void)
{
	explore_check(!orphans.first);
	explore_check(timers_first(&ps[0].timers) == 1000);
	goro_ctx_unref(ctx);
	is_over();
}

static void is_orphan(void)
{
	explore_check(orphans.first == ctx->expiry);
	goro_ctx_unref(ctx);
	is_over();
}

int main(void)
{
#define EXPIRY(from, a, b, end) .setup = from, .thread = {a, b}, .finish = end
	explore_holds(&(struct explore_test){"expiry: the time comes while the context is freed",
					     EXPIRY(setup, time_comes, drop, is_over), TRY(3, 2)});
	explore_holds_seen(&(struct explore_test){"expiry: the time comes while it is cancelled",
						  EXPIRY(setup, time_comes, cancel, is_cancelled),
						  TRY(3, 2)},
			   3);
	explore_holds(&(struct explore_test){"expiry: the time comes, it is cancelled and freed",
					     EXPIRY(setup, time_comes, cancel_and_drop, is_over),
					     TRY(3, 2)});
	explore_holds(&(struct explore_test){"expiry: the run ends while the context is freed",
					     EXPIRY(setup, run_ends, drop, is_over), TRY(3, 2)});
	explore_holds(&(struct explore_test){"expiry: the run ends while it is made",
					     EXPIRY(setup_no_run, make, NULL, is_orphan),
					     TRY(3, 2)});
	explore_holds(&(struct explore_test){"expiry: a run begins while one is made",
					     EXPIRY(setup_no_run, run_begins, make, is_watched),
					     TRY(3, 2)});
	explore_finds(&(struct explore_test){"expiry: found when one that is being freed is held",
					     EXPIRY(setup, time_comes, drop, is_over), TRY(2, 1),
					     .omit = "ctx-try-hold"},
		      "");
	explore_finds(&(struct explore_test){"expiry: found when nobody looks for a run again",
					     EXPIRY(setup_no_run, run_begins, make, is_watched),
					     TRY(3, 2), .omit = "expiry-look-again"},
		      "orphans.first");
	return explore_done();
}
