/*
 * time.c - the clock and sleeping.
 *
 *   goro_sleep -> park -> timer of this P -> timers_expire -> runnable again
 *
 * TI1  A sleep never ends before its time; INT64_MAX is a timer like any other, due in 292 years.
 *
 * Locking: none of its own. Go: timeSleep in runtime/time.go.
 */
#include <errno.h>

#include "event/timer.h"
#include "goro.h"
#include "os/os.h"
#include "sched/sched.h"
#include "sync/waitq.h"

int64_t goro_now(void)
{
	preempt_check();
	return os_now();
}

static void sleep_fire(struct timer *t, struct glist *ready)
{
	glist_push(ready, t->arg);
}

/* On g0: the timer cannot fire before the G is at rest. */
static bool sleep_commit(struct g *gp, void *arg)
{
	struct timer *t = arg;
	struct m *mp = m_self();
	int64_t when = t->when;

	t->arg = gp;
	if (timer_start(&load_rlx(&mp->p)->timers, t)) /* relaxed: our own */
		timer_was_armed(mp, when);
	return true;
}

void goro_sleep_until(int64_t deadline)
{
	CALL_SCOPE;
	if (unlikely(call_is_canceled()))
		panic_canceled();
	struct m *mp = m_self();
	struct timer timer = {.when = deadline < TIMER_NEVER ? deadline : TIMER_NEVER - 1,
			      .fire = sleep_fire};

	if (deadline <= os_now())
		return;
	if (unlikely(mp && mp->curg && mp->curg->ctx)) {
		if (wait_for_nothing(WAIT_SLEEP, timer.when) == -ECANCELED)
			panic_canceled();
	} else if (mp && mp->curg)
		park(sleep_commit, &timer, WAIT_SLEEP);
	else
		os_sleep_until(deadline);
}

void goro_sleep(int64_t ns)
{
	int64_t deadline;

	if (ns <= 0) {
		if (unlikely(call_is_canceled()))
			panic_canceled();
		return;
	}
	if (__builtin_add_overflow(os_now(), ns, &deadline))
		deadline = INT64_MAX;
	goro_sleep_until(deadline);
}
