/*
 * tsan.c - was a goroutine interrupted outside of ThreadSanitizer?
 *
 *   SIGURG -> preempt.c, in front of ThreadSanitizer's handler -> [is_outside_tsan]
 *
 * TS1  It was if the instruction is code of the module that the goroutine's function is from, which
 *      is not libc's, and is none of ThreadSanitizer's. Then no function of ThreadSanitizer has
 *      been left half done, none of its locks is held, and the handler may call what it intercepts,
 *      as the program might have at that place.
 * TS2  ThreadSanitizer may be in the program itself (clang, and gcc with -static-libtsan). Its
 *      objects lie side by side there, so that its code is what lies between the first and the last
 *      of its functions in the symbol table. In a stripped program nobody knows: then all of the
 *      program counts as inside.
 * TS3  It calls hooks, which a program may define, while it has locks. In such a program all frames
 *      are looked at (LE1): none may be of another module. Where ThreadSanitizer is in the program
 *      itself, all of the program counts as inside then. The names of hooks say nothing of where
 *      ThreadSanitizer lies.
 *
 * In other programs we do not unwind: what ThreadSanitizer calls back (qsort's function, that of
 * pthread_once) it calls without a lock of its own, and a goroutine may be stopped there.
 *
 * When the library is instrumented itself, signals come when ThreadSanitizer gives them: what runs
 * before that decision would have to be free of its calls.
 *
 * Locking: none; in a signal handler. Go: none.
 */
#include <sys/auxv.h>

#include "base/sanitize.h"
#include "debug/symbol.h"
#include "os/os.h"
#include "sched/sched.h"

static struct {
	const void *libc, *program;
	uintptr_t lo, hi;     /* of ThreadSanitizer in the program: TS2 */
	bool calls_program;   /* TS3 */
} tsan;

static bool is_outside_tsan(const struct g *gp, const void *context)
{
	uintptr_t pc = os_context_pc(context);
	struct symbol_module own, at;

	if (!symbol_module_at((uintptr_t)gp->fn, &own) || !symbol_module_at(pc, &at))
		return false;
	return at.start == own.start && at.start != tsan.libc &&
	       (at.start != tsan.program || pc < tsan.lo || pc >= tsan.hi) &&
	       (!tsan.calls_program || (preempt_end_hook && preempt_end_hook(gp, context)));
}

/* Does the program define a hook that is called with locks held? TS3 */
static bool has_hook(void)
{
	const uintptr_t hooks[] = {(uintptr_t)__tsan_on_report, (uintptr_t)__sanitizer_on_print,
				   (uintptr_t)__sanitizer_report_error_summary};
	struct symbol_module in, own;

	if (!symbol_module_at((uintptr_t)__tsan_switch_to_fiber, &own))
		return true;
	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++)
		if (hooks[i] && (!symbol_module_at(hooks[i], &in) || in.start != own.start ||
				 (tsan.hi && (hooks[i] < tsan.lo || hooks[i] >= tsan.hi))))
			return true;
	return false;
}

__attribute__((constructor)) static void tsan_install(void)
{
	/* Names in the runtimes of gcc and clang; more than all of them does no harm: TS2. */
	static const char *const prefixes[] = {
		"!__tsan_on_", "!__sanitizer_on_print", "!__sanitizer_report_error_summary",
		"!__tsan_default_", "!__ubsan_on_",
		"__tsan_", "_ZN6__tsan", "__sanitizer_", "_ZN11__sanitizer", "__interceptor_",
		"___interceptor_", "_ZN14__interception", "__ubsan_", "_ZN7__ubsan", "__asan_",
		"_Znw", "_Zna", "_Zdl", "_Zda",
	};
	struct symbol_module libc, program;

	if (!sanitize_keeps_signals() || !symbol_module_at((uintptr_t)getauxval, &libc) ||
	    !symbol_module_at(getauxval(AT_PHDR), &program))
		return;
	tsan.libc = libc.start;
	tsan.program = program.start;
	program.path = "/proc/self/exe";
	if (!symbol_elf_span(&program, prefixes, sizeof(prefixes) / sizeof(prefixes[0]), &tsan.lo,
			     &tsan.hi))
		tsan.hi = UINTPTR_MAX;
	tsan.calls_program = has_hook();
	if (tsan.calls_program && tsan.hi)
		tsan.lo = 0, tsan.hi = UINTPTR_MAX;
	preempt_direct_hook = is_outside_tsan;
}
