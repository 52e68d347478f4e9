/*
 * last.c - the last P is given up without a heavy fence, while somebody comes back for a P and
 * submits, or submits without one: nothing may be left lying (FN10).
 *
 *   src/sched/find.c, src/sched/wake.c -> the explorer
 *
 * Thread 0 is an M that finds nothing to do and gives up the last P; it keeps a far timer. An
 * execution ends when all Ms sleep but those whose G runs for ever. The locks are the real ones:
 * the release of a lock of the explorer's is a fence, which hides what is missing here.
 */
#define MODEL_REAL_LOCK
#include "model_sched.h"

bool m_may_lock(struct m *mp)
{
	(void)mp;
	return true;
}

uint32_t *m_held_ranks(struct m *mp)
{
	static uint32_t held[EXPLORE_THREADS];

	return &held[mp - ms];
}

#include "core/lock.c"

#define NEAR 500
#define FAR  1000

static atomic_of(uint32_t) n_taken;
static struct timer far_timer, near_timer;
static atomic_of(uint32_t) n_submitted;
static uint32_t n_fired;

static void on_time(struct timer *t, struct glist *ready)
{
	(void)ready;
	explore_check(explore_now() == t->when);
	n_fired++;
}

static void work(struct m *mp)
{
	struct g *gp;
	bool inherits_slice;

	while ((gp = find_runnable(mp, &inherits_slice))) {
		if (mp->is_spinning)
			spinning_end(mp);
		explore_check(explore_now() < FAR);
		add_rlx(&n_taken, 1);
	}
}

static void worker(void)
{
	work(&ms[0]);
}

static void spinning_worker(void)
{
	spinning_begin(&ms[0]);
	work(&ms[0]);
}

static void reserve_worker(void)
{
	struct m *mp = model_m_started();

	if (mp)
		work(mp);
}

/* Threads 1 and 2 are plain ones, or Ms that come back from a call. */
static void setup(uint32_t n_p)
{
	explore_name(&n_taken, 4, "n_taken");
	model_sched_setup(1, n_p);
	sched.n_m = n_given = 3;
	far_timer = (struct timer){.when = FAR, .fire = on_time};
	timer_start(&ps[0].timers, &far_timer);
}

static void setup_plain(void)
{
	setup(1);
	ms[1].id = ms[2].id = 0;
}

static void setup_back(void)
{
	setup(2);
}

static void submit_globally(void)
{
	globq_put(&gs[add_rlx(&n_submitted, 1)]);
	wake_outside();
}

static void nothing(void)
{
}

static bool comes_back(void)
{
	struct m *mp = &ms[1];

	lock_acquire(&sched.lock);
	struct p *pp = idle_get_p();
	lock_release(&sched.lock);
	if (!pp)
		return false;
	acquire_p(mp, pp);
	mp->curg = &gs[MODEL_GS - 1]; /* it runs on for ever */
	return true;
}

static void comes_back_and_submits(void)
{
	if (!comes_back())
		return;
	put_runnable(load_rlx(&ms[1].p), &gs[add_rlx(&n_submitted, 1)], false);
	wake();
}

static void arm(struct p *pp)
{
	near_timer = (struct timer){.when = NEAR, .fire = on_time};
	if (timer_start(&pp->timers, &near_timer))
		timer_was_armed(m_self(), NEAR);
}

static void comes_back_and_arms(void)
{
	if (comes_back())
		arm(load_rlx(&ms[1].p));
	else
		n_fired++;
}

static void arms_outside(void)
{
	arm(&ps[0]);
}

static void all_taken(void)
{
	model_sched_check();
	explore_check(load_rlx(&n_taken) == load_rlx(&n_submitted));
}

static void has_fired(void)
{
	explore_check(n_fired == 2);
}

#define RESERVE reserve_worker, reserve_worker, reserve_worker
#define LAST(from, first, second, third, end)                                            \
	.setup = from, .thread = {first, second, third, RESERVE}, .finish = end,         \
	.may_end_blocked = true, .asleep = 0x38
#define SUBMITS LAST(setup_plain, worker, submit_globally, nothing, all_taken)
#define ARMS	LAST(setup_plain, worker, arms_outside, nothing, has_fired)
#define BACK	LAST(setup_back, spinning_worker, comes_back_and_submits, nothing, all_taken)
#define KEEPER	LAST(setup_back, worker, comes_back_and_arms, nothing, has_fired)

int main(void)
{
	explore_holds(&(struct explore_test){"last: a plain thread submits", SUBMITS, TRY(2, 1)});
	explore_finds(&(struct explore_test){"last: found without its fence", SUBMITS, TRY(1, 1),
					     .omit = "wake-outside-fence"},
		      "FAR");
	explore_finds(&(struct explore_test){"last: found without the fence of who gives it up",
					     SUBMITS, TRY(1, 1), .omit = "wake-sleep-fence"},
		      "FAR");
	explore_holds(&(struct explore_test){"last: a plain thread arms a timer", ARMS, TRY(2, 1)});
	explore_finds(&(struct explore_test){"last: found without the fence of who arms it", ARMS,
					     TRY(1, 1), .omit = "arm-outside-fence"},
		      "t->when");
	explore_holds(&(struct explore_test){"last: who gets a P submits", BACK, TRY(2, 1)});
	explore_finds(&(struct explore_test){"last: found when the spinner stops after the lock",
					     BACK, TRY(2, 1), .omit = "last-spinner-locked"},
		      "FAR");
	explore_holds(&(struct explore_test){"last: who gets a P arms a timer", KEEPER, TRY(2, 1)});
	explore_finds(&(struct explore_test){"last: found when the role is taken after the lock",
					     KEEPER, TRY(2, 1), .omit = "last-keeper-locked"},
		      "t->when");
	return explore_done();
}
