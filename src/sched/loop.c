/*
 * loop.c - the schedule loop: pick a G, run it, come back when it stops.
 *
 *   park, yield, exit, mstart -> [switch_to_g0] -> [schedule] -> find -> [execute] -> the G
 *
 * LO1  schedule() runs on g0 and holds a P; what it returns is the context to resume,
 *      with curg set.
 * LO2  A slice is counted once: a G taken from the next slot goes on with the slice of the G
 *      that put it there, so that two Gs which wake each other share one slice and cannot
 *      shut out the rest.
 * LO3  A G with a thread of its own runs on that M only, and that M nothing else; the same holds
 *      for those that are pinned to one M.
 *
 * Locking: none of its own. Go: schedule, execute in runtime/proc.go; ours returns the context to
 * the switch instead of jumping to it, so that calls and returns stay paired (arch.h, AR2).
 */
#include "arch/arch.h"
#include "base/sanitize.h"
#include "os/os.h"
#include "sched/cxx.h"
#include "sched/held.h"
#include "sched/sched.h"

bool sanitize_is_on;
static int tsan_thread; /* ThreadSanitizer's own thread, or 0 */

/* Early, so that the only thread that can be there beside this one is ThreadSanitizer's. */
__attribute__((constructor(101))) static void sanitize_look(void)
{
	sanitize_is_on = __tsan_switch_to_fiber || __sanitizer_start_switch_fiber ||
			 __lsan_register_root_region;
	if (__tsan_switch_to_fiber)
		tsan_thread = os_thread_hidden();
}

int sanitize_threads(void)
{
	return tsan_thread && os_thread_exists(tsan_thread) ? 1 : 0;
}

/*
 * Each of these stands where the stacks change; the sanitizers must not instrument
 * them (sanitize.h).
 */
SANITIZE_NOTHING static void sanitize_leave_g(struct m *mp, struct g *gp)
{
	if (__sanitizer_start_switch_fiber)
		__sanitizer_start_switch_fiber(gp->is_ending ? NULL : &gp->asan_fake_stack,
					       mp->stack_lo, mp->stack_size);
	if (__tsan_switch_to_fiber)
		__tsan_switch_to_fiber(mp->tsan_fiber, TSAN_SWITCH_FLAGS);
}

SANITIZE_NOTHING static void sanitize_leave_g0(struct m *mp, struct g *gp)
{
	if (__sanitizer_start_switch_fiber)
		__sanitizer_start_switch_fiber(&mp->asan_fake_stack, (void *)gp->stack.lo,
					       gp->stack.hi - gp->stack.lo);
	if (__tsan_switch_to_fiber)
		__tsan_switch_to_fiber(gp->tsan_fiber, TSAN_SWITCH_FLAGS);
}

SANITIZE_NOTHING void sanitize_enter_g(struct g *gp)
{
	if (sanitize_is_on && __sanitizer_finish_switch_fiber)
		__sanitizer_finish_switch_fiber(gp->asan_fake_stack, NULL, NULL);
}

/* fn on g0, between the records of the two switches. */
SANITIZE_NOTHING static void *sanitize_on_g0(void *arg)
{
	struct m *mp = m_self();

	if (__sanitizer_finish_switch_fiber && mp->curg)
		__sanitizer_finish_switch_fiber(mp->asan_fake_stack, NULL, NULL);
	void *sp = mp->g0_fn(arg);
	if (mp->curg)
		sanitize_leave_g0(mp, mp->curg);
	return sp;
}

SANITIZE_NOTHING void switch_to_g0(struct m *mp, struct g *gp, void *(*fn)(void *))
{
	held_check(mp, gp);
	if (likely(!has_more_to_switch)) {
		ctx_switch(&gp->sp, mp->g0_sp, fn, gp);
		return;
	}
	struct cxx_globals cxx = cxx_take(mp->cxx); /* CE1 */
	if (sanitize_is_on) {
		mp->g0_fn = fn;
		sanitize_leave_g(mp, gp);
		ctx_switch(&gp->sp, mp->g0_sp, sanitize_on_g0, gp);
		sanitize_enter_g(gp);
	} else {
		ctx_switch(&gp->sp, mp->g0_sp, fn, gp);
	}
	cxx_put(m_self()->cxx, cxx); /* perhaps on another thread */
}

SANITIZE_NOTHING noreturn void leave_for_g0(struct m *mp, struct g *gp, void *(*fn)(void *))
{
	if (has_more_to_switch)
		(void)cxx_take(mp->cxx); /* what goro_exit() left behind: CE1 */
	if (likely(!sanitize_is_on))
		ctx_leave(mp->g0_sp, fn, gp);
	mp->g0_fn = fn;
	sanitize_leave_g(mp, gp);
	ctx_leave(mp->g0_sp, sanitize_on_g0, gp);
}

/* A new M has no P yet, but for the initial one: WK3. */
static void *first_schedule(void *arg)
{
	struct m *mp = arg;

	if (!load_rlx(&mp->p) && !reacquire_p(mp) && !stop_m(mp)) /* relaxed: our own */
		return mp->g0_sp;
	return schedule(mp);
}

SANITIZE_NOTHING void schedule_until_end(struct m *mp)
{
	mp->g0_fn = first_schedule;
	ctx_switch(&mp->g0_sp, NULL, sanitize_is_on ? sanitize_on_g0 : first_schedule, mp);
}

void *execute(struct m *mp, struct g *gp)
{
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */

	GORO_ASSERT(!mp->curg && load_rlx(&pp->m) == mp); /* relaxed: our own */
	g_transition(gp, G_RUNNABLE, G_RUNNING);
	gp->m = mp;
	mp->curg = gp;
	store_rlx(&pp->sched_calls, load_rlx(&pp->sched_calls) + 1); /* relaxed: only we write */
	if (!gp->sp)
		g_first_run(mp, gp);
	return gp->sp;
}

void slice_begin(struct p *pp)
{
	store_rlx(&pp->sched_tick, load_rlx(&pp->sched_tick) + 1); /* relaxed: only we write */
	pp->ticks_without_globq++;
	pp->spills = 0;
	if (unlikely(load_rlx(&pp->preempt))) /* relaxed: seen one slice late at worst */
		preempt_clear(pp);
}

/* What an M runs that is not for every G: LO3. NULL: the run has ended. */
__attribute__((noinline)) static struct g *bound_next(struct m *mp)
{
	if (mp->locked_g == &pinned_mark)
		return pinned_next(mp);
	return locked_m_wait(mp) ? mp->locked_g : NULL;
}

/* gp is not for every M: LO3. */
__attribute__((noinline)) static enum placed place_bound(struct m *mp, struct g *gp)
{
	if (gp->is_pinned && !gp->is_stopped && gp->lock_depth == 0)
		return pinned_place(mp, gp);
	return locked_g_hand_over(mp, gp) ? PLACED_ELSEWHERE : PLACED_RUN_OVER;
}

void *schedule(struct m *mp)
{
	return schedule_picked(mp, NULL);
}

void *schedule_picked(struct m *mp, struct g *gp)
{
	for (;; gp = NULL) {
		bool inherits_slice = false;
		if (unlikely(mp->locked_g)) { /* LO3 */
			if (!(gp = bound_next(mp)))
				return mp->g0_sp;
			/* Always: two locked Gs that wake each other would shut out the rest. */
			slice_begin(load_rlx(&mp->p)); /* relaxed: our own; LO2 */
			return execute(mp, gp);
		}
		if (!gp)
			gp = find_runnable(mp, &inherits_slice);
		if (unlikely(!gp))
			return mp->g0_sp; /* the run has ended: m_run() goes on */
		if (mp->is_spinning)
			spinning_end(mp);
		if (unlikely(mp->armed_timer)) {
			mp->armed_timer = false;
			wake(); /* somebody must keep the new timer while this G runs */
		}
		if (unlikely(gp->locked_m)) { /* LO3 */
			enum placed placed = place_bound(mp, gp);
			if (placed == PLACED_RUN_OVER)
				return mp->g0_sp;
			if (placed == PLACED_ELSEWHERE)
				continue;
		}
		if (!inherits_slice)
			slice_begin(load_rlx(&mp->p)); /* relaxed: our own; LO2 */
		return execute(mp, gp);
	}
}

/* What follows counts as the goroutine's own doing. Of ThreadSanitizer only. */
SANITIZE_NOTHING void *sanitize_as_g(struct g *gp)
{
	if (!__tsan_switch_to_fiber || !gp->tsan_fiber)
		return NULL;
	void *back = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(gp->tsan_fiber, TSAN_SWITCH_FLAGS);
	return back;
}

SANITIZE_NOTHING void sanitize_as_before(void *back)
{
	if (back)
		__tsan_switch_to_fiber(back, TSAN_SWITCH_FLAGS);
}

/*
 * A fresh fiber for a fresh stack; what an earlier owner of the stack left poisoned is ours now,
 * and what it did there was before.
 */
SANITIZE_NOTHING void *sanitize_g_begin(struct g *gp)
{
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region((void *)gp->stack.lo, gp->stack.hi - gp->stack.lo);
	if (__lsan_register_root_region)
		__lsan_register_root_region((void *)gp->stack.lo, gp->stack.hi - gp->stack.lo);
	if (!__tsan_create_fiber)
		return NULL;
	gp->tsan_fiber = __tsan_create_fiber(0);
	void *back = sanitize_as_g(gp);
	__tsan_acquire(gp);
	__tsan_acquire((void *)gp->stack.lo);
	return back;
}

SANITIZE_NOTHING void sanitize_g_end(struct g *gp, void *back)
{
	if (__lsan_unregister_root_region)
		__lsan_unregister_root_region((void *)gp->stack.lo, gp->stack.hi - gp->stack.lo);
	if (!__tsan_destroy_fiber || !gp->tsan_fiber)
		return;
	__tsan_release((void *)gp->stack.lo);
	sanitize_as_before(back);
	__tsan_destroy_fiber(gp->tsan_fiber);
	gp->tsan_fiber = NULL;
}

SANITIZE_NOTHING void sanitize_m_begin(struct m *mp)
{
	if (__tsan_get_current_fiber)
		mp->tsan_fiber = __tsan_get_current_fiber();
	if (sanitize_is_on) {
		sanitize_hide(true);
		os_thread_stack(&mp->stack_lo, &mp->stack_size);
		sanitize_hide(false);
	}
}
