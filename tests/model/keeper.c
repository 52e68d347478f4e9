/*
 * keeper.c - a timer that is armed while the last keeper leaves its post: somebody must keep it.
 *
 *   src/sched/find.c, src/sched/wake.c -> the explorer
 *
 * Thread 0 arms the timer on g0, as a sleep does, and goes to sleep; thread 1 is an M that finds
 * nothing to do at that moment.
 */
#include "model_sched.h"

#define NEAR 500

static struct timer near_timer;
static uint32_t n_fired;

static void on_time(struct timer *t, struct glist *ready)
{
	(void)t;
	(void)ready;
	n_fired++;
}

static void setup(void)
{
	model_sched_setup(2, 2);
}

static void look_for_work(struct m *mp)
{
	bool inherits_slice;

	while (find_runnable(mp, &inherits_slice))
		if (mp->is_spinning)
			spinning_end(mp);
}

static void arms_and_sleeps(void)
{
	near_timer = (struct timer){.when = NEAR, .fire = on_time};
	if (timer_start(&ps[0].timers, &near_timer))
		timer_was_armed(&ms[0], NEAR);
	look_for_work(&ms[0]);
}

static void leaves(void)
{
	look_for_work(&ms[explore_self()]);
}

static void reserve(void)
{
	struct m *mp = model_m_started();

	if (mp)
		look_for_work(mp);
}

static void has_fired(void)
{
	explore_check(n_fired == 1);
}

#define LEAVING                                                                                    \
	.setup = setup, .thread = {arms_and_sleeps, leaves, reserve, reserve},                     \
	.finish = has_fired,                                                                       \
	.may_end_blocked = true, .asleep = 0xc, TRY(2, 1)

int main(void)
{
	explore_holds(&(struct explore_test){"keeper: armed while the last one leaves", LEAVING});
	explore_finds(&(struct explore_test){"keeper: found when the leaving one "
					     "does not look again",
					     LEAVING, .omit = "keeper-leave-look"},
		      "n_fired");
	return explore_done();
}
