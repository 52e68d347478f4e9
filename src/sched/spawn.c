/*
 * spawn.c - making goroutines, and how they begin and end.
 *
 *   go() -> [spawn] -> next slot -> ... -> execute -> [g_first_run] -> [g_entry] -> fn
 *        -> [g_exit] -> free list
 *
 * SP1  A G gets its stack at its first run and gives it back before anything else runs on that M: a
 *      burst of short goroutines uses a few hot stacks.
 * SP2  Arguments are copied into the G at once, or to the heap when they are larger than
 *      G_INLINE_ARGS, and move to the top of the stack at the first run.
 * SP3  A goroutine that spawns without end is treated as having used its slice after SPILL_LIMIT
 *      halves of a ring, so that its children run and their Gs and stacks are used again while they
 *      are in the caches.
 *
 * Locking: none; the P's free list has one owner. Go: newproc, goexit0 in runtime/proc.go.
 */
#include <errno.h>
#include <string.h>

#include "arch/arch.h"
#include "base/fatal.h"
#include "base/sanitize.h"
#include "goro.h"
#include "os/os.h"
#include "queue/gfree.h"
#include "queue/globq.h"
#include "queue/runq.h"
#include "sched/held.h"
#include "sched/sched.h"

#define ID_BATCH 16u
#define SPILL_LIMIT 8u

static uint64_t id_next(struct p *pp)
{
	if (!pp)
		return add_rlx(&sched.next_g_id, 1); /* relaxed: only unique */
	if (pp->next_id == pp->last_id) {
		pp->next_id = add_rlx(&sched.next_g_id, ID_BATCH); /* relaxed: only unique */
		pp->last_id = pp->next_id + ID_BATCH;
	}
	return pp->next_id++;
}

/* A dead G as spawn() expects it; most of this is so already when a goroutine ends. */
void g_wipe(struct g *gp)
{
	gp->m = NULL;
	store_rlx(&gp->wait_reason, WAIT_NONE); /* relaxed: for reports */
	gp->has_canary = gp->has_own_stack = gp->is_main = gp->is_ending = false;
	gp->stack = (struct stack){0, 0};
	gp->waiter = NULL;
	gp->ctx = NULL;
	gp->locked_m = NULL;
	gp->lock_depth = 0;
	gp->is_pinned = gp->is_stopped = false;
	gp->syscall_depth = 0;
	gp->name = NULL;
	gp->tsan_fiber = gp->asan_fake_stack = NULL;
}

/* Arguments are mostly a few words: no call for those. */
static inline void words_copy(void *to, const void *from, size_t size)
{
	if (size % 8 != 0 || size > G_INLINE_ARGS) {
		memcpy(to, from, size);
		return;
	}
	for (size_t i = 0; i < size; i += 8)
		memcpy((char *)to + i, (const char *)from + i, 8);
}

/* What the request needs of the heap, had before the call begins: SR2 in starter.c. */
struct spawn_heap {
	void *args; /* SP2, or NULL */
	char *name; /* or NULL */
};

static void heap_free(struct spawn_heap *heap)
{
	call_free(heap->args);
	call_free(heap->name);
}

static bool heap_alloc(const struct spawn_request *r, struct spawn_heap *heap)
{
	bool needs_args = r->data && r->size > G_INLINE_ARGS;

	*heap = (struct spawn_heap){NULL, NULL};
	if (likely(!needs_args && !r->name))
		return true;
	if (needs_args)
		heap->args = call_alloc(r->size);
	if (r->name)
		heap->name = call_alloc(NAME_MAX_BYTES);
	if ((needs_args && !heap->args) || (r->name && !heap->name)) {
		heap_free(heap);
		return false;
	}
	return true;
}

static void args_copy(struct g *gp, const struct spawn_request *r, const struct spawn_heap *heap)
{
	void *to = gp->u.bytes;

	if (!r->data) {
		gp->args_size = ARGS_ARE_POINTER;
		gp->u.arg = r->arg;
		return;
	}
	gp->args_size = (uint32_t)r->size;
	if (heap->args)
		to = gp->u.heap = heap->args;
	words_copy(to, r->data, r->size);
}

/*
 * gp is dead: its stack, name, waiter, locked_m and flags are zero (g_wipe). Here the rest of what
 * reports and the first run look at.
 */
static int g_fill(struct g *gp, const struct spawn_request *r, const struct spawn_heap *heap)
{
	if (r->stack_size) {
		if (stack_map(r->stack_size, &gp->stack, &gp->has_canary) < 0)
			return -ENOMEM;
		gp->has_own_stack = true;
	}
	gp->sp = NULL;
	gp->site = r->site;
	gp->spawn_pc = r->pc;
	gp->entry = r->entry;
	gp->fn = r->fn;
	gp->name = heap->name;
	gp->nopreempt_depth = r->no_preempt;
	args_copy(gp, r, heap);
	if (unlikely(r->is_pinned))
		pinned_make(gp);
	if (unlikely(r->name != NULL))
		format_to(gp->name, NAME_MAX_BYTES, "%s", r->name);
	return 0;
}

/* By a plain thread, inside (outside.c). */
static int spawn_outside(const struct spawn_request *r, const struct spawn_heap *heap)
{
	struct g *gp = gfree_take_global();
	if (!gp)
		return -ENOMEM;
	if (g_fill(gp, r, heap) < 0) {
		gfree_give_global(gp);
		return -ENOMEM;
	}
	gp->id = id_next(NULL);
	gp->parent_id = 0;
	gp->ctx = r->has_ctx ? ctx_hold(r->ctx) : NULL;
	g_transition(gp, G_DEAD, G_IDLE);
	g_transition(gp, G_IDLE, G_RUNNABLE);
	add_rlx(&sched.n_spawned_outside, 1); /* relaxed: a statistic */
	sanitize_release(gp);
	globq_put(gp);
	wake_outside();
	return 0;
}

/* By an M. */
static int spawn_inside(const struct spawn_request *r, const struct spawn_heap *heap)
{
	CALL_SCOPE;
	struct m *mp = m_self();
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
	struct g *gp = gfree_take(&pp->gfree);

	if (unlikely(!gp))
		return -ENOMEM;
	if (unlikely(g_fill(gp, r, heap) < 0)) {
		gfree_give(&pp->gfree, gp);
		return -ENOMEM;
	}
	gp->id = id_next(pp);
	gp->parent_id = mp->curg ? mp->curg->id : 0;
	if (unlikely(r->has_ctx))
		gp->ctx = ctx_hold(r->ctx);
	else
		gp->ctx = mp->curg ? ctx_hold(mp->curg->ctx) : NULL;
	g_transition(gp, G_DEAD, G_IDLE);
	g_transition(gp, G_IDLE, G_RUNNABLE);
	store_rlx(&pp->n_spawned, load_rlx(&pp->n_spawned) + 1); /* relaxed: only we write */
	sanitize_release(gp);
	put_runnable(pp, gp, !r->goes_behind);
	wake();
	if (unlikely(pp->spills >= SPILL_LIMIT) && mp->curg)
		yield_global(mp); /* SP3 */
	else
		preempt_check();
	return 0;
}

int spawn(const struct spawn_request *r)
{
	struct spawn_heap heap;
	int error = -EPERM;

	if (unlikely(!heap_alloc(r, &heap)))
		return -ENOMEM;
	if (likely(m_self() != NULL)) {
		error = spawn_inside(r, &heap);
	} else if (outside_enter()) {
		error = spawn_outside(r, &heap);
		outside_leave();
	}
	if (unlikely(error))
		heap_free(&heap);
	return error;
}

static void *args_place(struct stack stack, uint32_t size)
{
	return (void *)((stack_top(stack) - size) & ~(uintptr_t)15);
}

static void *exit_on_g0(void *arg);

/*
 * The G's own first frame. Returns, so that the processor's return predictor stays right
 * (arch.h, AR2).
 */
static struct ctx_leaving *g_entry(void *arg)
{
	struct g *gp = arg;

	sanitize_enter_g(gp);
	store_rel(&gp->m->at, AT_PROGRAM); /* AT-ENTER: what we did with the P */
	if (gp->args_size == ARGS_ARE_POINTER)
		gp->entry(gp->u.run.start_arg);
	else
		gp->entry(args_place(gp->stack, gp->args_size));
	if (gp->u.run.deferred)
		run_deferred(gp);
	if (unlikely(sanitize_is_on))
		g_exit(gp);
	(void)call_enter();
	held_check(gp->m, gp);
	gp->is_ending = true;
	/* Another M than at the start may run us by now. */
	gp->m->leaving = (struct ctx_leaving){gp->m->g0_sp, exit_on_g0, gp};
	return &gp->m->leaving;
}

void g_first_run(struct m *mp, struct g *gp)
{
	void *top, *start_arg = NULL, *sanitize_back = NULL;

	if (!gp->has_own_stack)
		gp->stack = stack_take(&load_rlx(&mp->p)->stacks, /* relaxed: our own */
				       &gp->has_canary);
	if (unlikely(sanitize_is_on))
		sanitize_back = sanitize_g_begin(gp);
	if (gp->args_size == ARGS_ARE_POINTER) {
		start_arg = gp->u.arg;
		top = (void *)(stack_top(gp->stack) & ~(uintptr_t)15);
	} else {
		bool is_inline = gp->args_size <= G_INLINE_ARGS;
		top = args_place(gp->stack, gp->args_size);
		words_copy(top, is_inline ? gp->u.bytes : gp->u.heap, gp->args_size);
		if (!is_inline)
			call_free(gp->u.heap);
	}
	gp->u.run.deferred = NULL;
	gp->u.run.tries = NULL;
	gp->u.run.panics = NULL;
	gp->u.run.start_arg = start_arg;
	gp->u.run.canceled_result = NULL;
	gp->sp = ctx_make(top, g_entry, gp);
	if (unlikely(sanitize_is_on))
		sanitize_as_before(sanitize_back);
}

static void *exit_on_g0(void *arg)
{
	struct g *gp = arg;
	struct m *mp = gp->m;
	struct p *pp = load_rlx(&mp->p); /* relaxed: our own */
	bool ends_run = gp->is_main && !sched.main_exited;

	if (unlikely(gp->has_canary) && !stack_canary_is_intact(gp->stack))
		stack_overflow_found(gp);
	void *sanitize_back = unlikely(sanitize_is_on) ? sanitize_as_g(gp) : NULL;
	mp->curg = NULL;
	g_transition(gp, G_RUNNING, G_DEAD);
	if (unlikely(gp->name != NULL))
		call_free(gp->name);
	bool was_locked = gp->locked_m != NULL;
	if (unlikely(gp->ctx != NULL))
		ctx_drop(gp->ctx);
	if (unlikely(ends_run))
		sched.main_stack = gp->stack;
	if (unlikely(sanitize_is_on))
		sanitize_g_end(gp, sanitize_back);
	if (likely(!gp->has_own_stack))
		stack_give(&pp->stacks, gp->stack, gp->has_canary);
	else
		stack_unmap(gp->stack);
	if (unlikely(gp->name || gp->ctx || was_locked || gp->has_own_stack || gp->has_canary ||
		     gp->is_main || gp->syscall_depth || sanitize_is_on))
		g_wipe(gp);
	gp->m = NULL;
	gp->is_ending = false;
	gp->stack = (struct stack){0, 0};
	gfree_give(&pp->gfree, gp);
	store_rlx(&pp->n_ended, load_rlx(&pp->n_ended) + 1); /* relaxed: we write, others add up */
	if (unlikely(ends_run))
		run_end();
	if (unlikely(was_locked))
		return locked_m_end(mp);
	return schedule(mp);
}

noreturn void g_exit(struct g *gp)
{
	if (gp->u.run.deferred)
		run_deferred(gp);
	(void)call_enter();
	held_check(gp->m, gp);
	gp->is_ending = true;
	leave_for_g0(gp->m, gp, exit_on_g0);
}

static uint64_t sum_of(bool is_of_ended)
{
	uint32_t n = load_acq(&sched.n_made); /* PROCS-SET */
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += load_rlx(is_of_ended ? &sched.p[i]->n_ended : /* relaxed: a snapshot */
					      &sched.p[i]->n_spawned);
	return sum;
}

int count_goroutines(void)
{
	/* Ends first: a G that ends meanwhile is counted as still there, never as minus one. */
	uint64_t ended = sum_of(true);
	uint64_t outside = load_rlx(&sched.n_spawned_outside); /* relaxed: a snapshot */

	uint64_t spawned = outside + sum_of(false);
	return spawned > ended ? (int)(spawned - ended) : 0; /* read one after the other */
}
