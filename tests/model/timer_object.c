/*
 * timer_object.c - a program's timer that fires while it is stopped, reset, freed, or its run ends.
 *
 *   src/sync/timer_object.c, src/event/timer.c, src/sync/chan.c -> the explorer
 *
 * All are plain threads; those that expire stand for Ms of two Ps that pop from one heap. The clock
 * stands still, so that a timer of no delay is due at once, and one of an hour never.
 */
#include "model_sched.h"

#include "sync/waitq.c"

#include "sync/chan.c"

static uint32_t n_freed;
static void count_free(void *at);
#define call_free(at) count_free(at)
#include "sync/timer_object.c"
#undef call_free

#define FAR INT64_C(3600000000000)

static goro_timer *timer;
static uint32_t n_called, was_kept, n_got;

/* Two poppers may free different timers at once, but here is one, and one free is right. */
static void count_free(void *at)
{
	n_freed++;
	explore_free(at);
}

int spawn(const struct spawn_request *request)
{
	explore_check(request->arg == &n_called);
	add_rlx((atomic_of(uint32_t) *)&n_called, 1);
	return 0;
}

static void called(void *unused)
{
	(void)unused;
}

static void setup(void)
{
	model_sched_setup(0, 1);
	(void)idle_get_p(); /* nobody is to be woken */
	for (int i = 0; i < EXPLORE_THREADS; i++)
		ms[i].id = 0; /* plain threads */
	explore_name(&n_called, 4, "n_called");
	explore_name(&n_freed, 4, "n_freed");
	explore_name(&was_kept, 4, "was_kept");
	explore_name(&n_got, 4, "n_got");
}

static void begin(goro_timer *t)
{
	timer = t;
	explore_check(t);
	explore_name(t, sizeof(*t), "timer");
	explore_name(&t->timer.home, 8, "timer.home");
	explore_name(&t->lock, sizeof(t->lock), "timer.lock");
}

static void setup_func(void)
{
	setup();
	begin(goro_timer_func(0, called, &n_called));
}

static void setup_chan(void)
{
	setup();
	begin(goro_timer_chan(0));
}

static void setup_ticker(void)
{
	setup();
	begin(goro_ticker(FAR));
	timer->timer.when = ps[0].timers.entry[0].when = explore_now(); /* due */
}

static void expire(void)
{
	struct glist ready = {0};

	timers_expire(&ps[0].timers, explore_now(), &ready);
	explore_check(!ready.head);
}

static void close_heap(void)
{
	timers_close(&ps[0].timers);
}

static void stop_it(void)
{
	was_kept = goro_timer_stop(timer);
	explore_seen(was_kept);
	if (timer->chan)
		explore_check(goro_chan_tryrecv(timer->chan, NULL) == -EAGAIN);
}

static void stop_and_free(void)
{
	was_kept = goro_timer_stop(timer);
	explore_seen(was_kept);
	goro_timer_free(timer);
}

static void reset_now(void)
{
	was_kept = goro_timer_reset(timer, 0);
	explore_seen(was_kept);
}

static void reset_far(void)
{
	was_kept = goro_timer_reset(timer, FAR);
	explore_seen(was_kept);
	explore_check(goro_chan_tryrecv(timer->chan, NULL) == -EAGAIN);
}

static void free_it(void)
{
	goro_timer_free(timer);
}

static void receive(void)
{
	goro_chan *c = timer->chan;

	if (goro_chan_tryrecv(c, NULL) == 0)
		n_got++;
}

static void called_unless_kept(void)
{
	explore_check(n_called == !was_kept);
}

static void called_unless_kept_and_freed(void)
{
	called_unless_kept();
	explore_check(n_freed == 1);
	explore_check(ps[0].timers.count == 0);
}

/* The second setting is called in any case, by now or at the end. */
static void called_for_each_setting(void)
{
	expire();
	explore_check(n_called == 1 + !was_kept);
	explore_check(timer->refs == 1);
	goro_timer_free(timer);
	explore_check(n_freed == 1);
}

static void got_unless_kept(void)
{
	explore_check(n_got == !was_kept);
	goro_timer_free(timer);
	explore_check(n_freed == 1);
}

static void one_is_freed(void)
{
	explore_check(n_freed == 1 && n_called <= 1);
	explore_check(ps[0].timers.count == 0);
}

static void let_go(void)
{
	explore_check(n_called == 0 && ps[0].timers.count == 0);
	explore_check(timer->refs == 1);
}

#define CALLS(s, f, ...) .setup = (s), .finish = (f), .thread = {__VA_ARGS__}

int main(void)
{
	explore_holds_seen(&(struct explore_test){"timer object: stop and free against two that "
						  "expire",
						  CALLS(setup_func, called_unless_kept_and_freed,
							stop_and_free, expire, expire),
						  TRY(3, 2)},
			   3);
	explore_holds_seen(&(struct explore_test){"timer object: reset against two that expire",
						  CALLS(setup_func, called_for_each_setting,
							reset_now, expire, expire),
						  TRY(3, 1)},
			   3);
	explore_holds(&(struct explore_test){"timer object: free against two that expire",
					     CALLS(setup_chan, one_is_freed, free_it, expire,
						   expire),
					     TRY(3, 2)});
	explore_holds_seen(&(struct explore_test){"timer object: stop against fire and a receiver",
						  CALLS(setup_chan, got_unless_kept, stop_it,
							expire,
							receive),
						  TRY(3, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"timer object: reset against fire and a receiver",
						  CALLS(setup_chan, got_unless_kept, reset_far,
							expire, receive),
						  TRY(3, 1)},
			   3);
	explore_holds(&(struct explore_test){"timer object: free of a ticker that ticks",
					     CALLS(setup_ticker, one_is_freed, free_it, expire,
						   expire),
					     TRY(3, 1)});
	explore_holds_seen(&(struct explore_test){"timer object: stop while the run ends",
						  CALLS(setup_func, let_go, stop_it, close_heap),
						  TRY(4, 2)},
			   3);
	explore_holds(&(struct explore_test){"timer object: free while the run ends",
					     CALLS(setup_chan, one_is_freed, free_it, close_heap),
					     TRY(4, 2)});
	explore_finds(&(struct explore_test){"timer object: found when fire does not claim",
					     CALLS(setup_func, called_unless_kept, stop_it, expire),
					     TRY(3, 2), .omit = "timer-claim"},
		      "n_called");
	explore_finds(&(struct explore_test){"timer object: found when stop does not drain",
					     CALLS(setup_chan, got_unless_kept, stop_it, expire,
						   receive),
					     TRY(3, 1), .omit = "timer-drain"},
		      "tryrecv");
	explore_finds(&(struct explore_test){"timer object: found when stop does not look again",
					     CALLS(setup_func, called_unless_kept, stop_it, expire),
					     TRY(3, 2), .omit = "timer-home-recheck"},
		      "");
	return explore_done();
}
