/*
 * world.c - stopping the world while others spawn, look for work and go to sleep.
 *
 *   src/sched/world.c, find.c, wake.c -> the explorer
 *
 * Thread 0 is an M whose G stops the world, writes what running Gs read, and starts it again. The
 * others run Gs, one of which spawns. An execution ends when all Ms sleep; then no G is left.
 */
#define MODEL_WITH_WORLD
#include "model_sched.h"

#define NEAR 500
#define FAR  1000

static struct g stopper = {.id = 100};
static uint32_t epoch; /* written by who stopped the world, read by Gs that run */
static atomic_of(uint32_t) n_run;
static uint32_t n_gs;
static struct timer far_timer, near_timer;
static uint32_t n_fired;

void gfree_each(void (*visit)(struct g *gp, void *arg), void *arg)
{
	(void)visit;
	(void)arg;
}

uint32_t procs_wanted(void)
{
	return 2;
}

static void on_time(struct timer *t, struct glist *ready)
{
	(void)ready;
	explore_check(explore_now() == t->when);
	n_fired++;
}

static void spawn_on(struct p *pp)
{
	put_runnable(pp, &gs[n_gs++], true);
	wake();
}

/* A G that runs: plain reads, which race with the stopper if it does not stop them. */
static void run(struct m *mp, struct g *gp)
{
	store_rel(&mp->at, AT_PROGRAM); /* AT-ENTER: a stop that does not wait lets it run on */
	explore_check(epoch != 1);
	explore_check(gp->args_size == 0);
	gp->args_size = 1;
	add_rlx(&n_run, 1);
	if (gp == &gs[0])
		spawn_on(load_rlx(&mp->p));
	explore_check(epoch != 1);
	store_rlx(&mp->at, AT_RUNTIME); /* relaxed: no P is taken here */
}

static void work(struct m *mp)
{
	struct g *gp;
	bool inherits_slice;

	store_rlx(&mp->at, AT_RUNTIME); /* relaxed: likewise */
	while ((gp = find_runnable(mp, &inherits_slice))) {
		if (mp->is_spinning)
			spinning_end(mp);
		run(mp, gp);
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

static void stop_with(uint32_t n_procs, int64_t deadline)
{
	struct m *mp = &ms[0];
	bool is_stopped;

	store_rlx(&mp->at, AT_RUNTIME); /* relaxed: likewise */
	mp->curg = &stopper;
	is_stopped = world_stop(WAIT_STOP_WORLD, deadline);
	explore_seen(is_stopped);
	if (is_stopped) {
		epoch = 1;
		explore_check(procs_resize(n_procs) == 0);
		epoch = 2;
	}
	world_start();
	mp->curg = NULL;
	work(mp);
}

static void stop_all(void)
{
	stop_with(2, OS_FOREVER);
}

static void shrink(void)
{
	stop_with(1, OS_FOREVER);
}

static void grow(void)
{
	stop_with(3, OS_FOREVER);
}

static void try_to_stop(void)
{
	stop_with(2, explore_now());
}

static void setup(void)
{
	model_sched_setup(2, 2);
	explore_name(&epoch, sizeof(epoch), "epoch");
	explore_name(&n_run, sizeof(n_run), "n_run");
	runq_put_next(&ps[1].runq, &gs[n_gs++]);
}

/* P1 is idle, and what it would run lies in the ring of P0, whose G runs. */
static void setup_idle(void)
{
	model_sched_setup(1, 2);
	explore_name(&epoch, sizeof(epoch), "epoch");
	explore_name(&n_run, sizeof(n_run), "n_run");
	runq_put(&ps[0].runq, &gs[n_gs++]);
}

/* A third P is idle, but no thread can be had for it. */
static void setup_no_thread(void)
{
	model_sched_setup(2, 3);
	explore_name(&epoch, sizeof(epoch), "epoch");
	explore_name(&n_run, sizeof(n_run), "n_run");
	starts_fail = true;
	runq_put_next(&ps[1].runq, &gs[n_gs++]);
}

/* Timers: one far, in the heap of P0; one near, in that of P1, which goes over to P0. */
static void setup_timers(void)
{
	model_sched_setup(2, 2);
	explore_name(&epoch, sizeof(epoch), "epoch");
	far_timer = (struct timer){.when = FAR, .fire = on_time};
	near_timer = (struct timer){.when = NEAR, .fire = on_time};
	timer_start(&ps[0].timers, &far_timer);
	timer_start(&ps[1].timers, &near_timer);
}

static void stop_three(void)
{
	stop_with(3, OS_FOREVER);
}

static void wake_and_try_to_stop(void)
{
	wake();
	try_to_stop();
}

static void all_run(void)
{
	model_sched_check();
	explore_check(load_rlx(&n_run) == n_gs);
	explore_check(!load_rlx(&sched.stop_wanted));
	for (uint32_t i = 0; i < load_rlx(&sched.n_procs); i++)
		explore_check(load_rlx(&sched.p[i]->state) == P_IDLE);
}

static void all_fired(void)
{
	all_run();
	explore_check(n_fired == 2);
}

int main(void)
{
#define WORLD(a)                                                                              \
	.setup = setup, .thread = {a, worker, reserve_worker, reserve_worker}, .asleep = 0xc, \
	.finish = all_run, .may_end_blocked = true
#define TIMERS                                                                                     \
	.setup = setup_timers, .thread = {shrink, worker, reserve_worker, reserve_worker},         \
	.asleep = 0xc, .finish = all_fired, .may_end_blocked = true
	explore_holds(&(struct explore_test){"world: stop against spawn",
					     WORLD(stop_all), TRY(2, 1),
					     .is_slow = true});
	explore_holds(&(struct explore_test){"world: two Ps become one", WORLD(shrink), TRY(2, 1)});
	explore_holds(&(struct explore_test){"world: timers move while an M looks for them",
					     TIMERS, TRY(2, 1)});
	explore_finds(&(struct explore_test){"world: found when nobody tells the keeper", TIMERS,
					     TRY(2, 1), .omit = "moved-timers-tell"},
		      "t->when");
	explore_holds(&(struct explore_test){"world: two Ps become three", WORLD(grow), TRY(1, 1)});
	explore_holds(&(struct explore_test){"world: a stop that does not wait", WORLD(try_to_stop),
					     TRY(1, 1)});
	explore_holds(&(struct explore_test){
		"world: a stop that does not wait for an M that has just been woken",
		.setup = setup_idle,
		.thread = {wake_and_try_to_stop, reserve_worker, reserve_worker, reserve_worker},
		.asleep = 0xe, .finish = all_run, .may_end_blocked = true, TRY(1, 1)});
	explore_holds(&(struct explore_test){"world: stop while no thread is to be had",
					     .setup = setup_no_thread,
					     .thread = {stop_three, worker}, .finish = all_run,
					     .may_end_blocked = true, TRY(2, 1), .is_slow = true});
	explore_finds(
		&(struct explore_test){"world: found when a sleeper does not look at the stop",
				       WORLD(stop_all), TRY(1, 1), .omit = "stop-idle-recheck"},
		"");
	explore_finds(
		&(struct explore_test){"world: found when an M stops after the world has started",
				       WORLD(try_to_stop), TRY(1, 1), .omit = "stop-here-recheck"},
		"");
	return explore_done();
}
