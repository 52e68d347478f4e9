/*
 * timer.c - stopping a timer while its heap expires it or gives it away.
 *
 *   src/event/timer.c -> the explorer
 *
 * Either timer_stop says true and it does not fire, or it has fired when timer_stop returns (TM3);
 * in both cases the stopper frees it at once, as it does when it lies on its stack.
 */
#include "model_lock.h"

#include "model.h"

#include "event/timer.c"

static struct timers heap[2];
static struct timer *timer[2];
static uint32_t fired[2];

void *os_mem_reserve(size_t size)
{
	return explore_alloc(size);
}

void os_mem_release(void *at, size_t size)
{
	(void)size;
	explore_free(at);
}

void *os_mem_resize(void *at, size_t size, size_t new_size)
{
	void *to = explore_alloc(new_size);

	memcpy(to, at, size < new_size ? size : new_size);
	explore_free(at);
	return to;
}

static void fire(struct timer *t, struct glist *ready)
{
	(void)ready;
	fired[(uintptr_t)t->arg]++;
}

static void setup(void)
{
	explore_name(heap, sizeof(heap), "heap");
	explore_name(fired, sizeof(fired), "fired");
	for (uintptr_t i = 0; i < 2; i++) {
		timers_init(&heap[i]);
		timer[i] = explore_alloc(sizeof(*timer[i]));
		timer[i]->when = 10 + (int64_t)i;
		timer[i]->fire = fire;
		timer[i]->arg = (void *)i;
		explore_name(&timer[i]->home, 8, i ? "timer[1].home" : "timer[0].home");
		timer_start(&heap[0], timer[i]);
	}
}

static void stop(int i)
{
	bool was_stopped = timer_stop(timer[i]);

	explore_seen(was_stopped);
	explore_check(fired[i] == !was_stopped);
	explore_free(timer[i]);
}

static void stopper_0(void)
{
	stop(0);
}

static void stopper_1(void)
{
	stop(1);
}

static void expirer(void)
{
	struct glist ready = {0};

	timers_expire(&heap[0], 20, &ready);
	timers_expire(&heap[1], 20, &ready);
}

static void mover(void)
{
	timers_move(&heap[0], &heap[1]);
}

static void mover_and_expirer(void)
{
	mover();
	expirer();
}

/*
 * A run ends and the next begins while plain threads stop timers: they may have the heap's lock at
 * any time.
 */
static void stop_outside_0(void)
{
	explore_seen(timer_stop(timer[0]));
}

static void stop_outside_1(void)
{
	explore_seen(2 + timer_stop(timer[1]));
}

static void next_run(void)
{
	timers_close(&heap[0]);
	timers_open(&heap[0]);
	timer_start(&heap[0], timer[1]);
	expirer();
}

static void heaps_agree(void)
{
	for (int i = 0; i < 2; i++) {
		timers_audit(&heap[i]);
		explore_check(load_rlx(&heap[i].first_when) ==
			      (heap[i].count ? heap[i].entry[0].when : TIMER_NEVER));
	}
}

int main(void)
{
#define TIMERS(a, b) .setup = setup, .thread = {a, b}, .finish = heaps_agree
	explore_holds_seen(&(struct explore_test){"timer: stop against expire",
						  TIMERS(stopper_0, expirer), TRY(4, 2)},
			   3);
	explore_holds_seen(&(struct explore_test){"timer: two stops against expire",
						  TIMERS(stopper_0, expirer),
						  .thread[2] = stopper_1, TRY(3, 2)},
			   3);
	explore_holds_seen(&(struct explore_test){"timer: stop while the heap moves and expires",
						  TIMERS(stopper_0, mover_and_expirer),
						  .thread[2] = stopper_1, TRY(3, 2)},
			   3);
	explore_holds_seen(&(struct explore_test){"timer: stop while the next run opens the heap",
						  TIMERS(stop_outside_0, next_run),
						  .thread[2] = stop_outside_1, TRY(3, 2)},
			   4);
	explore_finds(&(struct explore_test){"timer: found when stop does not look again",
					     TIMERS(stopper_0, mover), TRY(3, 2),
					     .omit = "timer-home-recheck"},
		      "");
	explore_finds(&(struct explore_test){"timer: found when stop does not acquire",
					     TIMERS(stopper_0, expirer), TRY(3, 2),
					     .weaken = "home_lock"},
		      "data race");
	explore_finds(&(struct explore_test){"timer: found when expire does not release",
					     TIMERS(stopper_0, expirer), TRY(3, 2),
					     .weaken = "expire_until"},
		      "data race");
	return explore_done();
}
