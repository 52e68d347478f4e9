/*
 * park.c - goroutines that park and are made ready, on two Ms with the real loop and the real
 * switch.
 *
 *   src/sched/park.c, loop.c, find.c, wake.c, arch/ctx_*.S -> the explorer
 *
 * A G waits for a flag under a lock, as a channel's receiver does: it links itself, and the commit
 * function unlocks. Whoever sets the flag makes it ready, on whatever M that runs. An execution
 * ends when all Ms sleep; then every G has come to its end.
 */
#include "model_g.h"

static struct lock door;
static struct g *sleeper; /* door */
static uint32_t value;	  /* door */

static bool unlock_door(struct g *gp, void *arg)
{
	(void)gp;
	(void)arg;
	lock_release(&door);
	return true;
}

static bool think_again(struct g *gp, void *arg)
{
	(void)gp;
	(void)arg;
	sleeper = NULL;
	lock_release(&door);
	return false;
}

static void await(void *arg)
{
	(void)arg;
	lock_acquire(&door);
	while (value == 0) {
		sleeper = m_self()->curg;
		if (MODEL_KEEP("test-commit")) {
			park(unlock_door, NULL, WAIT_CHAN_RECV);
		} else {
			lock_release(&door);
			park(NULL, NULL, WAIT_CHAN_RECV);
		}
		lock_acquire(&door);
	}
	lock_release(&door);
}

static void await_undecided(void *arg)
{
	lock_acquire(&door);
	if (value == 0) {
		sleeper = m_self()->curg;
		park(think_again, NULL, WAIT_CHAN_RECV);
	} else {
		lock_release(&door);
	}
	await(arg);
}

static void tell(void *arg)
{
	struct g *gp;

	(void)arg;
	lock_acquire(&door);
	value++;
	gp = sleeper;
	sleeper = NULL;
	lock_release(&door);
	if (gp)
		ready(gp);
}

static void yield(void *arg)
{
	(void)arg;
	yield_global(m_self());
}

static void yield_and_tell(void *arg)
{
	yield(arg);
	tell(arg);
}

static uint32_t n_gs;

static void spawn_on(struct p *pp, void (*entry)(void *))
{
	struct g *gp = &gs[n_gs];
	char *stack = explore_stack(MODEL_STACK);

	gp->id = ++n_gs;
	gp->entry = entry;
	gp->sp = ctx_make(stack + MODEL_STACK, g_main, gp);
	store_rlx(&gp->state, G_RUNNABLE);
	explore_name(stack, MODEL_STACK, n_gs == 1 ? "stack of G1" : "stack of a G");
	put_runnable(pp, gp, false);
}

static void setup(void (*first)(void *), void (*second)(void *), void (*third)(void *))
{
	model_sched_setup(2, 2);
	explore_name(&door, sizeof(door), "door");
	explore_name(&value, sizeof(value), "value");
	explore_name(&sleeper, sizeof(sleeper), "sleeper");
	spawn_on(&ps[0], first);
	spawn_on(&ps[1], second);
	if (third)
		spawn_on(&ps[0], third);
}

static void setup_await(void)
{
	setup(await, tell, NULL);
}

static void setup_undecided(void)
{
	setup(await_undecided, tell, NULL);
}

static void setup_yield(void)
{
	setup(yield, yield, NULL);
}

static void setup_await_yield(void)
{
	setup(await, yield_and_tell, NULL);
}

static void setup_await_three(void)
{
	setup(await, tell, yield);
}

static void m_main(void)
{
	schedule_until_end(&ms[explore_self()]);
}

/* A plain thread tells, through the global queue. */
static void tell_from_outside(void)
{
	tell(NULL);
}

static void setup_outside(void)
{
	model_sched_setup(1, 1);
	ms[1].id = 0;
	n_given = 2;
	spawn_on(&ps[0], await);
}

static void all_ended(void)
{
	model_sched_check();
	explore_check(n_ended == n_gs);
}

int main(void)
{
#define PARK(from)                                                                       \
	.setup = from, .thread = {m_main, m_main, m_main, m_main}, \
	.asleep = 0xc, .finish = all_ended, .may_end_blocked = true
	explore_holds(&(struct explore_test){"park: one G waits, one on another M wakes it",
					     PARK(setup_await), TRY(2, 1), .is_slow = true});
	explore_holds(&(struct explore_test){"park: a G whose commit fails goes on at once",
					     PARK(setup_undecided), TRY(2, 1), .is_slow = true});
	explore_holds(&(struct explore_test){"park: two Gs yield", PARK(setup_yield), TRY(1, 1)});
	explore_holds(&(struct explore_test){"park: one G waits, one yields, then wakes it",
					     PARK(setup_await_yield), TRY(1, 1)});
	explore_holds(&(struct explore_test){"park: one G waits, a second wakes it, a third yields",
					     PARK(setup_await_three), TRY(1, 1)});
	explore_holds(&(struct explore_test){
		"park: a plain thread wakes it", .setup = setup_outside,
		.thread = {m_main, tell_from_outside, m_main, m_main},
		.asleep = 0xc, .finish = all_ended, .may_end_blocked = true, TRY(3, 2)});
	explore_finds(
		&(struct explore_test){"park: found when others see the G before it is at rest",
				       PARK(setup_await), TRY(1, 1), .omit = "test-commit"},
		"data race");
	return explore_done();
}
