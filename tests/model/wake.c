/*
 * wake.c - submitting work while the other Ms go to sleep: none of it may be left lying.
 *
 *   src/sched/wake.c, src/sched/find.c -> the explorer
 *
 * Thread 0 is an M whose G runs for ever: what it submits must be taken by others. An execution
 * ends when they all sleep.
 */
static void keeper_waits(const void *word);
#define MODEL_BEFORE_WAIT(word) keeper_waits(word)
#include "model_sched.h"

#define NEAR 500
#define FAR  1000
#define SYSMON 4 /* the thread that is it, where there is one */

static atomic_of(uint32_t) n_taken;
static struct timer far_timer, near_timer;
static uint32_t n_fired;
static bool begins_late, has_begun;
static atomic_of(uint32_t) n_submitted;

static void setup_2(void)
{
	explore_name(&n_taken, 4, "n_taken");
	model_sched_setup(2, 2);
}

static void on_time(struct timer *t, struct glist *ready)
{
	(void)ready;
	explore_check(explore_now() == t->when);
	n_fired++;
}

/* A timer is set: one of the Ms will be its keeper. */
static void setup_keeper(uint32_t n)
{
	explore_name(&n_taken, 4, "n_taken");
	model_sched_setup(n, n);
	far_timer = (struct timer){.when = FAR, .fire = on_time};
	timer_start(&ps[0].timers, &far_timer);
}

static void setup_keeper_2(void)
{
	setup_keeper(2);
}

static void setup_late(void)
{
	begins_late = true;
	setup_keeper(3);
}

/* As goro_sleep() does, whose G runs on for the while. */
static void arm(void)
{
	near_timer = (struct timer){.when = NEAR, .fire = on_time};
	timer_start(&ps[0].timers, &near_timer);
	timer_was_armed(&ms[0], NEAR);
}

static void setup_3(void)
{
	explore_name(&n_taken, 4, "n_taken");
	model_sched_setup(3, 3);
}

/* A third P is idle, no thread can be had for it, and M 0 never looks for work. */
static void setup_no_thread(void)
{
	explore_name(&n_taken, 4, "n_taken");
	model_sched_setup(2, 3);
	starts_fail = true;
}

/* Where a test says so, threads 0 and 2 begin when thread 1 has become the keeper. */

static void keeper_waits(const void *word)
{
	if (begins_late && !has_begun && word == &sched.keeper_note.word) {
		has_begun = true;
		explore_start(0);
		explore_start(2);
	}
}

static void work(struct m *mp)
{
	struct g *gp;
	bool inherits_slice;

	while ((gp = find_runnable(mp, &inherits_slice))) {
		explore_check(explore_now() < FAR);
		if (mp->is_spinning)
			spinning_end(mp);
		explore_check(gp->args_size == 0);
		gp->args_size = 1;
		add_rlx(&n_taken, 1);
	}
}

static void worker(void)
{
	work(&ms[explore_self()]);
}

static void reserve_worker(void)
{
	struct m *mp = model_m_started();

	if (mp)
		work(mp);
}

static void submit(void)
{
	put_runnable(&ps[0], &gs[add_rlx(&n_submitted, 1)], true);
	wake();
}

static void submit_1(void)
{
	submit();
}

static void submit_2(void)
{
	submit();
	submit();
}

/* Into the ring, as timers do. */
static void submit_ring(void)
{
	put_runnable(&ps[0], &gs[add_rlx(&n_submitted, 1)], false);
	wake();
}

static void submit_globally(void)
{
	globq_put(&gs[add_rlx(&n_submitted, 1)]);
	wake();
}

/* OW1: the wake is owed. The G of thread 0 runs on, and sysmon comes by. */
static void submit_owed(void)
{
	put_runnable(&ps[0], &gs[add_rlx(&n_submitted, 1)], false);
	wake_later(&ps[0]);
	explore_start(SYSMON);
}

static void sysmon_comes(void)
{
	owed_watch(explore_now() + FAR * OWED_MOST_NS);
}

/* The time is over when the G of thread 0 stops: OW2. */
static void submit_and_look(void)
{
	put_runnable(&ps[0], &gs[add_rlx(&n_submitted, 1)], false);
	wake_later(&ps[0]);
	if (load_rlx(&ps[0].wake_at))
		store_rlx(&ps[0].wake_at, 1);
	(void)owed_look(&ps[0]);
}

/* Threads 1 and 2 are plain ones. */
static void setup_plain(void)
{
	explore_name(&n_taken, 4, "n_taken");
	model_sched_setup(1, 1);
	sched.n_m = n_given = 3;
	ms[1].id = ms[2].id = 0;
	far_timer = (struct timer){.when = FAR, .fire = on_time};
	timer_start(&ps[0].timers, &far_timer);
}

static void submit_outside(void)
{
	globq_put(&gs[add_rlx(&n_submitted, 1)]);
	wake_outside();
}

static void submit_outside_2(void)
{
	submit_outside();
	submit_outside();
}

/* It saw an idle P and no spinner when it had submitted what was taken since. */
static void wakes_late(void)
{
	wake_slow();
}

static void all_taken(void)
{
	model_sched_check();
	explore_check(load_rlx(&n_taken) == load_rlx(&n_submitted));
}

static void all_fired(void)
{
	all_taken();
	explore_check(n_fired == 2);
}

#define WAKE(n, from, a, end)                                                                     \
	.setup = from, .thread = {a, WORKERS_##n, reserve_worker, reserve_worker}, .finish = end, \
	.may_end_blocked = true, .asleep = ASLEEP_##n
#define WORKERS_2    worker
#define WORKERS_3    worker, worker
#define WORKERS_LATE worker, worker
#define ASLEEP_LATE  0x1d
#define ASLEEP_2     0xc
#define ASLEEP_3     0x18
#define OWED                                                                                      \
	.setup = setup_2,                                                                         \
	.thread = {submit_owed, worker, reserve_worker, reserve_worker, sysmon_comes},            \
	.finish = all_taken, .may_end_blocked = true, .asleep = 0x1c

static void test_wake(void)
{
	explore_holds(&(struct explore_test){"wake: one G is submitted while an M goes to sleep",
					     WAKE(2, setup_2, submit_1, all_taken), TRY(2, 3)});
	explore_holds(&(struct explore_test){"wake: one G in the ring",
					     WAKE(2, setup_2, submit_ring, all_taken), TRY(2, 3)});
	explore_holds(&(struct explore_test){"wake: one G in the global queue",
					     WAKE(2, setup_2, submit_globally, all_taken),
					     TRY(2, 3)});
	explore_holds(&(struct explore_test){"wake: two Gs", WAKE(2, setup_2, submit_2, all_taken),
					     TRY(2, 1)});
	explore_holds(&(struct explore_test){"wake: two Gs for two Ms",
					     WAKE(3, setup_3, submit_2, all_taken), TRY(1, 1)});
	explore_holds(&(struct explore_test){"wake: one G while the keeper waits for a timer",
					     WAKE(LATE, setup_late, submit_ring, all_taken),
					     TRY(2, 2), .is_slow = true});
	explore_holds(&(struct explore_test){"wake: two Gs, and no thread can be had",
					     .setup = setup_no_thread,
					     .thread = {submit_2, worker}, .finish = all_taken,
					     .may_end_blocked = true, TRY(2, 2)});
	explore_finds(&(struct explore_test){"wake: found when who goes idle does not make good",
					     .setup = setup_no_thread,
					     .thread = {submit_2, worker}, .finish = all_taken,
					     .may_end_blocked = true, TRY(2, 2),
					     .omit = "start-wanted-look"},
		      "n_taken");
	explore_finds(&(struct explore_test){"wake: found without the submitter's fence",
					     WAKE(2, setup_2, submit_1, all_taken), TRY(2, 3),
					     .omit = "wake-submit-fence"},
		      "n_taken");
	explore_finds(&(struct explore_test){"wake: found in the ring, too",
					     WAKE(2, setup_2, submit_ring, all_taken), TRY(2, 3),
					     .omit = "wake-submit-fence"},
		      "n_taken");
	explore_finds(&(struct explore_test){"wake: found without the sleeper's fence",
					     WAKE(LATE, setup_late, submit_ring, all_taken),
					     TRY(2, 2), .omit = "wake-sleep-fence"},
		      "FAR");
	explore_finds(&(struct explore_test){"wake: found when the sleeper does not look again",
					     WAKE(LATE, setup_late, submit_ring, all_taken),
					     TRY(2, 2), .omit = "wake-recheck"},
		      "FAR");
}

#define PLAIN                                                                                     \
	.setup = setup_plain,                                                                     \
	.thread = {worker, wakes_late, submit_outside_2, reserve_worker, reserve_worker,   \
		   reserve_worker},                                                               \
	.finish = all_taken, .may_end_blocked = true, .asleep = 0x38

static void test_outside(void)
{
	explore_holds(&(struct explore_test){"wake: WK4, one wakes late while another submits",
					     PLAIN, TRY(3, EXPLORE_NONE), .is_slow = true});
}

static void test_owed(void)
{
	explore_holds(&(struct explore_test){"wake: one G, owed, and sysmon pays", OWED,
					     TRY(2, 3)});
	explore_finds(&(struct explore_test){"wake: found when sysmon does not pay", OWED,
					     TRY(2, 3), .omit = "owed-watch"},
		      "n_taken");
	explore_finds(&(struct explore_test){"wake: found without the fence of who owes",
					     WAKE(2, setup_2, submit_and_look, all_taken),
					     TRY(2, 3), .omit = "owe-fence"},
		      "n_taken");
	explore_holds(&(struct explore_test){"wake: one G, owed, and its M pays",
					     WAKE(2, setup_2, submit_and_look, all_taken),
					     TRY(2, 3)});
	explore_finds(&(struct explore_test){"wake: found when its M does not pay",
					     WAKE(2, setup_2, submit_and_look, all_taken),
					     TRY(2, 3), .omit = "owed-look"},
		      "n_taken");
}

static void test_keeper(void)
{
	explore_holds(&(struct explore_test){"wake: an earlier timer is kept",
					     WAKE(2, setup_keeper_2, arm, all_fired), TRY(2, 2)});
	/* The fence of timer_was_armed() cannot be missed: the heap's lock releases with one. */
	explore_finds(&(struct explore_test){"wake: found without the keeper's fence",
					     WAKE(2, setup_keeper_2, arm, all_fired), TRY(2, 2),
					     .omit = "wake-sleep-fence"},
		      "t->when");
}

int main(void)
{
	test_wake();
	test_outside();
	test_owed();
	test_keeper();
	return explore_done();
}
