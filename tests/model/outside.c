/*
 * outside.c - a run ends while plain threads are in a call.
 *
 *   src/sched/outside.c, world.c, park.c, src/sync/waitq.c -> the explorer
 *
 * Thread 0 is the thread of goro_run whose last M has left. What run_clear() would free is
 * `memory`: a plain write of it at the end races with, or is seen by, whoever is not kept out.
 */
#define MODEL_WITH_WORLD
#include "model_sched.h"

#include "sync/waitq.c"

#define MEMORY 1
#define GONE   2

static uint32_t memory; /* MEMORY while the run is there */
static struct lock door;
static struct waitq queue;
static struct waiter records[2]; /* on the stacks of gs[0] and gs[1] */
static atomic_of(uint32_t) n_steps;

void gfree_each(void (*visit)(struct g *gp, void *arg), void *arg)
{
	for (int i = 0; i < 2; i++)
		if (load_rlx(&gs[i].state) != G_DEAD)
			visit(&gs[i], arg);
}

uint32_t procs_wanted(void)
{
	return 1;
}

static void setup(void)
{
	model_sched_setup(0, 1);
	explore_name(&memory, sizeof(memory), "memory");
	explore_name(&outside, sizeof(outside), "outside");
	explore_name(&queue, sizeof(queue), "queue");
	explore_name(records, sizeof(records), "records");
	for (int i = 0; i < EXPLORE_THREADS; i++)
		ms[i].id = 0; /* plain threads */
	for (int i = 0; i < MODEL_GS; i++)
		store_rlx(&gs[i].state, G_DEAD);
	starts_fail = true; /* the Ms have left */
	sched.n_m = 1;
	lock_init(&door, LOCK_CHAN);
	g_waiter_bury = waiter_bury;
	memory = MEMORY;
}

/* Two goroutines wait, the first of them with nothing but its place in the queue. */
static void setup_waiting(void)
{
	static struct wait wait;

	setup();
	wait.gp = &gs[1];
	for (int i = 0; i < 2; i++) {
		store_rlx(&gs[i].state, G_WAITING);
		gs[i].waiter = &records[i];
		records[i].gp = &gs[i];
		records[i].lock = &door;
		records[i].wait = i ? &wait : NULL;
		waitq_push(&queue, &records[i]);
	}
}

/* What run_end() and goro_run() do. */
static void end(void)
{
	lock_acquire(&sched.lock);
	store_rel(&sched.run_state, RUN_ENDING);
	lock_release(&sched.lock);
	world_end();
	outside_end();
	memory = GONE;
}

static void end_of_waits(void)
{
	end();
	for (int i = 0; i < 2; i++) {
		explore_check(!queue.first);
		records[i] = (struct waiter){0}; /* the stack is somebody else's */
		gs[i].link = NULL;
		store_rlx(&gs[i].state, G_DEAD);
	}
}

static void call(void)
{
	if (outside_enter()) {
		add_rlx(&n_steps, 1); /* the end may come before the look */
		explore_check(memory == MEMORY);
		explore_seen(0);
		outside_leave();
	} else {
		explore_seen(1);
	}
}

static void call_twice(void)
{
	call();
	call();
}

/* As a send or an unlock does. */
static void wake_one(void)
{
	lock_acquire(&door);
	struct waiter *w = waitq_pop(&queue);
	lock_release(&door);
	if (w) {
		add_rlx(&n_steps, 1); /* likewise */
		explore_check(w->gp);
		waiter_wake(w);
	}
}

/* It stops the world, which has no M left, or is told that there is nothing to stop any more. */
static void stop_all(void)
{
	if (!outside_enter())
		return;
	if (world_stop(WAIT_STOP_WORLD, OS_FOREVER)) {
		explore_check(memory == MEMORY);
		world_start();
		explore_seen(0);
	} else {
		explore_seen(1);
	}
	outside_leave();
}

static void is_over(void)
{
	explore_check(memory == GONE);
	explore_check(load_rlx(&outside.n_inside) == 0);
}

#define CALLS .setup = setup, .thread = {end, call, call_twice}, .finish = is_over
#define ONE_CALL .setup = setup, .thread = {end, call}, .finish = is_over
#define WAITS .setup = setup_waiting, .thread = {end_of_waits, wake_one, wake_one}, \
	      .finish = is_over

int main(void)
{
	explore_holds_seen(&(struct explore_test){"outside: calls against the end", CALLS,
						  TRY(2, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"outside: a call against the end", ONE_CALL,
						  TRY(4, 3), .spurious = 1},
			   3);
	explore_holds(&(struct explore_test){"outside: goroutines woken against the end", WAITS,
					     TRY(2, 1)});
	explore_holds_seen(&(struct explore_test){"outside: stops of the world against the end",
						  .setup = setup,
						  .thread = {end, stop_all, stop_all},
						  .finish = is_over, TRY(2, 1)},
			   3);
	explore_finds(&(struct explore_test){"outside: found when who enters does not fence",
					     ONE_CALL, TRY(4, 3), .omit = "outside-enter-fence"},
		      "memory");
	explore_finds(&(struct explore_test){"outside: found when who ends does not fence",
					     ONE_CALL, TRY(4, 3), .unfence = "outside_end"},
		      "");
	explore_finds(&(struct explore_test){"outside: found when who leaves wakes nobody",
					     ONE_CALL, TRY(4, 3), .omit = "outside-leave-wake"},
		      "");
	explore_finds(&(struct explore_test){"outside: found when ended waits are not waited for",
					     WAITS, TRY(2, 1), .omit = "outside-late-wait"},
		      "");
	explore_finds(&(struct explore_test){"outside: found when who queues to stop is not told",
					     .setup = setup, .thread = {end, stop_all, stop_all},
					     .finish = is_over, TRY(2, 1), .omit = "world-end"},
		      "");
	return explore_done();
}
