/*
 * waitgroup.c - done, wait and the next round under every schedule.
 *
 *   src/sync/waitgroup.c, src/sync/waitq.c -> the explorer
 */
#include "model_sync.h"

#include "sync/waitgroup.c"

static goro_waitgroup *wg, *second;
static uint32_t written[2];

static void setup(void)
{
	model_sync_setup();
	wg = explore_alloc(sizeof(*wg));
	second = explore_alloc(sizeof(*second));
	explore_name(wg, sizeof(*wg), "waitgroup");
	explore_name(written, sizeof(written), "written");
	goro_waitgroup_add(wg, 2);
}

static void setup_one(void)
{
	setup();
	goro_waitgroup_add(wg, -1);
	goro_waitgroup_add(second, 1);
}

static void write_0(void)
{
	written[0] = 1;
	goro_waitgroup_done(wg);
}

/* Passes only when two waiters are queued: the others are the schedules of no interest. */
static void write_0_when_both_wait(void)
{
	struct waitq *q = &waitgroup_of(wg)->waiters;
	bool has_two;

	do {
		lock_acquire(&waitgroup_of(wg)->lock);
		has_two = q->first && q->first != q->last;
		lock_release(&waitgroup_of(wg)->lock);
		if (!has_two)
			explore_yield();
	} while (!has_two);
	write_0();
}

static void write_1(void)
{
	written[1] = 1;
	goro_waitgroup_done(wg);
}

static void wait_both(void)
{
	goro_waitgroup_wait(wg);
	explore_check(written[0] == 1 && written[1] == 1);
}

static void wait_both_free(void)
{
	wait_both();
	explore_free(wg);
}

static void wait_by_deadline(void)
{
	int error = goro_waitgroup_wait_until(wg, DEADLINE);

	explore_seen(error ? 0 : 1);
	if (error == 0)
		explore_check(written[0] == 1 && written[1] == 1);
	else
		explore_check(error == -ETIMEDOUT);
}

/* The counter goes up for a moment: waiters must not be let go. */
static void up_and_down(void)
{
	goro_waitgroup_add(wg, 1);
	goro_waitgroup_add(wg, -1);
	write_1();
}

/* As soon as its wait has returned, the next round begins; it ends when the other one is back. */
static void wait_and_reuse(void)
{
	goro_waitgroup_wait(wg);
	explore_check(written[0] == 1);
	goro_waitgroup_add(wg, 1);
	goro_waitgroup_wait(second);
	goro_waitgroup_done(wg);
}

/* Waiting already when the first round ends: back, although the second one waits for it. */
static void wait_first_round(void)
{
	goro_waitgroup_wait(wg);
	explore_check(written[0] == 1);
	goro_waitgroup_done(second);
}

static void is_over(void)
{
	explore_check(load_rlx(&waitgroup_of(wg)->state) == 0);
	explore_check(waitq_is_empty(&waitgroup_of(wg)->waiters));
}

#define WG(from, a, b, c, end) .setup = from, .thread = {a, b, c}, .finish = end

static void test_wait(void)
{
	explore_holds(&(struct explore_test){"waitgroup: two done, one waits",
					     WG(setup, write_0, write_1, wait_both, is_over),
					     TRY(3, 2)});
	explore_holds(&(struct explore_test){"waitgroup: two done, two wait",
					     WG(setup, write_0, write_1, wait_both, is_over),
					     .thread[3] = wait_both, TRY(2, 1)});
	explore_holds(&(struct explore_test){"waitgroup: the counter goes up in between",
					     WG(setup, write_0, up_and_down, wait_both, is_over),
					     TRY(3, 1)});
	explore_holds(&(struct explore_test){"waitgroup: the waiter frees it",
					     WG(setup, write_0, write_1, wait_both_free, NULL),
					     TRY(3, 2)});
	explore_holds_seen(&(struct explore_test){"waitgroup: a waiter gives up",
						  WG(setup, write_0, write_1, wait_by_deadline,
						     is_over),
						  TRY(3, 2), .timeouts = 1},
			   3);
	explore_holds(&(struct explore_test){"waitgroup: one gives up, the other frees nothing",
					     WG(setup, write_0, write_1, wait_by_deadline, is_over),
					     .thread[3] = wait_both, TRY(2, 1), .timeouts = 1,
					     .is_slow = true});
	/* Where it begins to wait only in the second round, both wait for each other. */
	explore_holds(&(struct explore_test){"waitgroup: two wait, one begins a new round",
					     WG(setup_one, write_0_when_both_wait, wait_and_reuse,
						wait_first_round, is_over),
					     TRY(3, 1)});
}

static void test_negative(void)
{
	explore_finds(&(struct explore_test){"waitgroup: found when the last done looks at no lock",
					     WG(setup, write_0, write_1, wait_both, NULL),
					     TRY(2, 1), .omit = "wg-finish-locked"},
		      "deadlock");
	explore_finds(&(struct explore_test){"waitgroup: found when done orders nothing",
					     WG(setup, write_0, write_1, wait_both, NULL),
					     TRY(2, 1), .weaken = "goro_waitgroup_add"},
		      "data race");
	explore_finds(&(struct explore_test){"waitgroup: found when wait orders nothing",
					     WG(setup, write_0, write_1, wait_both, NULL),
					     TRY(2, 1), .weaken = "waitgroup_wait_until"},
		      "data race");
}

int main(void)
{
	test_wait();
	test_negative();
	return explore_done();
}
