/*
 * leftover.c - may a goroutine that a run leaves behind end where it stands?
 *
 *   the run ends -> sysmon -> SIGURG -> preempt.c -> [is_own_code]
 *
 * LE1  Every frame, from the one that was interrupted to the goroutine's first, is known, and is
 *      code of the module that the goroutine's function is from, which is not libc's. So no frame
 *      is in malloc, stdio or the dynamic loader, nor in a library that has a lock of its own.
 *      What the program itself holds stays held, as with a goroutine that is parked.
 *
 * In a static program, where libc is in the same module, and without _dl_find_object, which is the
 * only way to ask without a lock, the answer is no.
 *
 * What libc's module is, is told by a function that no sanitizer replaces by one of its own.
 *
 * Locking: none; in a signal handler. Go: none: there the process ends.
 */
#include <sys/auxv.h>

#include "arch/arch.h"
#include "debug/symbol.h"
#include "debug/unwind.h"
#include "sched/sched.h"

static const void *module_of(uintptr_t pc)
{
	struct symbol_module module;

	return symbol_module_at(pc, &module) ? module.start : NULL;
}

struct walk {
	const void *own;
	bool is_own, is_whole;
};

static bool walk_frame(const struct unwind_frame *frame, void *arg)
{
	struct walk *w = arg;

	w->is_whole = frame->pc >= (uintptr_t)ctx_start && frame->pc < (uintptr_t)ctx_make;
	/* The library's first frames, which may be of a shared one. */
	if (w->is_whole || module_of(frame->pc) == module_of((uintptr_t)ctx_start))
		return true;
	w->is_own = module_of(frame->pc) == w->own;
	return w->is_own;
}

/* LE1 */
static bool is_own_code(const struct g *gp, const void *context)
{
	struct walk w = {.own = module_of((uintptr_t)gp->fn), .is_own = true};
	struct unwind_bounds bounds = {gp->stack.lo, gp->stack.hi};
	struct unwind_regs regs;

	if (!w.own || w.own == module_of((uintptr_t)getauxval))
		return false;
	unwind_regs_from_signal(&regs, context);
	(void)unwind_walk(&regs, bounds, walk_frame, &w);
	return w.is_own && w.is_whole;
}

__attribute__((constructor)) static void leftover_install(void)
{
	preempt_end_hook = is_own_code;
}
