/*
 * starter.c - the starter's own thread, against those who ask it and the end of the run.
 *
 *   src/sched/starter.c -> the explorer
 *
 * Thread 0 is the starter in all of them. The other models have no such thread: there, who wakes
 * the starter does its work.
 */
#include "model_sched.h"

static void *waste[2];

static void starters_thread(void)
{
	(void)starter_main(NULL);
}

/* One that was made by it. It takes its time, and counts as new until it goes idle. */
static void new_m(void)
{
	lock_acquire(&sched.lock);
	on_way_end(&ms[explore_self()]);
	store_rlx(&sched.is_start_wanted, 0);
	lock_release(&sched.lock);
}

static void asks(void)
{
	lock_acquire(&sched.lock);
	bool must_wake = starter_ask();
	explore_seen(must_wake);
	lock_release(&sched.lock);
	if (must_wake)
		starter_thread_wake();
}

static void asks_for_more(void)
{
	asks();
	lock_acquire(&sched.lock);
	bool must_wake = false;
	if (load_rlx(&sched.is_start_wanted) && !sched.n_to_start) {
		sched.n_to_start = 1;
		must_wake = true;
		explore_seen(2);
	}
	lock_release(&sched.lock);
	if (must_wake)
		starter_thread_wake();
}

/* Who has a P leaves what the starter shall free, and wakes it, as sysmon does. */
static void leaves_garbage(void)
{
	call_free(waste[explore_self() - 1]);
	starter_thread_wake();
}

static void ends_the_run(void)
{
	starter_stop();
	explore_check(!load_rlx(&garbage));
}

static void leaves_garbage_and_ends_the_run(void)
{
	leaves_garbage();
	ends_the_run();
}

static void setup(void)
{
	model_sched_setup(0, 1);
	sched.n_m = n_given = 3;
	for (int i = 0; i < 3; i++)
		store_rlx(&ms[i].at, AT_RUNTIME);
	for (int i = 0; i < 2; i++)
		waste[i] = explore_alloc(sizeof(struct garbage));
	explore_name(&starter.note, sizeof(starter.note), "starter.note");
	explore_name(&starter.gone, sizeof(starter.gone), "starter.gone");
	explore_name(&starter.must_end, 4, "starter.must_end");
	explore_name(&garbage, sizeof(garbage), "garbage");
}

/* The starter sleeps, or has ended, and owes nothing. */
static void nothing_is_owed(void)
{
	explore_check(sched.n_to_start == 0);
	explore_check(!load_rlx(&garbage));
}

int main(void)
{
#define ENDS(a) .setup = setup, .thread = {starters_thread, a}, .finish = nothing_is_owed
#define GOES_ON(a, b)                                                                           \
	.setup = setup, .thread = {starters_thread, a, b, new_m, new_m, new_m}, .asleep = 0x38, \
	.finish = nothing_is_owed, .may_end_blocked = true
	explore_holds_seen(&(struct explore_test){"starter: two ask at a time", GOES_ON(asks, asks),
						  TRY(2, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"starter: one asks while it is at it",
						  GOES_ON(asks_for_more, asks), TRY(2, 1)},
			   7);
	explore_holds(&(struct explore_test){"starter: two leave garbage",
					     GOES_ON(leaves_garbage, leaves_garbage), TRY(2, 1)});
	explore_holds(
		&(struct explore_test){"starter: the run ends", ENDS(ends_the_run), TRY(3, 2)});
	explore_holds(&(struct explore_test){"starter: and somebody has just waked it",
					     ENDS(leaves_garbage_and_ends_the_run), TRY(3, 2)});
	explore_finds(&(struct explore_test){"starter: found when the note may be cleared late",
					     ENDS(leaves_garbage_and_ends_the_run), TRY(2, 1),
					     .omit = "starter-clear-fence"},
		      "deadlock");
	explore_finds(&(struct explore_test){"starter: found when garbage is unordered",
					     GOES_ON(leaves_garbage, leaves_garbage), TRY(2, 1),
					     .weaken = "call_free"},
		      "race");
	return explore_done();
}
