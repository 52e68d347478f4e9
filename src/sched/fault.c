/*
 * fault.c - SIGSEGV and SIGBUS: a stack overflow or a wild pointer, named; SIGQUIT: a dump.
 *
 *   kernel -> handler on an alternate stack -> report stack -> report (debug/dump) -> _exit(2)
 *
 * FL1  A fault whose address lies in the guard below the running G's stack, or whose stack pointer
 *      has left the stack, is a stack overflow.
 * FL2  A fault outside of any goroutine, or where the program had a handler before us and it is no
 *      overflow, is handed on.
 * FL3  A handler of ours uses a few hundred bytes of the alternate stack, which may be a small one
 *      of the program's. The report, for which only one thread is admitted (FA1), has a static
 *      stack: there may be no memory left to make one.
 *
 * Locking: none. Go: sighandler, morestack in runtime; there the compiler checks each prologue,
 * here the guard.
 */
#include "base/fatal.h"
#include "base/sanitize.h"
#include "base/valgrind.h"
#include "os/os.h"
#include "sched/sched.h"

#define REPORT_STACK_SIZE (128u << 10)

static struct sigaction old_segv, old_bus;
static _Alignas(16) char report_stack[REPORT_STACK_SIZE]; /* FL3 */

const void *fault_context;

/* What the report tells of the fault, FA1. */
static struct {
	struct g *gp;
	const char *name;
	uintptr_t addr, sp, pc;
	bool is_overflow;
} fault;

static bool is_overflow(const struct g *gp, uintptr_t addr, uintptr_t sp)
{
	uintptr_t lo = gp->stack.lo;

	return (addr < lo && addr >= lo - STACK_GUARD_SIZE) || sp < lo || sp > gp->stack.hi;
}

noreturn void report_stack_enter(void *(*fn)(void *), void *arg)
{
	uintptr_t lo = (uintptr_t)report_stack, here = (uintptr_t)__builtin_frame_address(0);

	if (sanitize_is_on || here - lo < REPORT_STACK_SIZE) { /* a sanitizer knows its stacks */
		fn(arg);
		os_exit_now(2);
	}
	(void)valgrind_stack_add(lo, lo + REPORT_STACK_SIZE);
	ctx_leave(report_stack + REPORT_STACK_SIZE, fn, arg);
}

static void *fault_report(void *arg)
{
	(void)arg;
	if (fault.is_overflow)
		print_to(2,
			 "fatal error: stack overflow\n[goroutine %lu exceeds its stack of %lu "
			 "bytes; address 0x%lx, stack pointer 0x%lx; goro_spawn_attr() "
			 "starts one with more: struct goro_attr.stack_size]\n\n",
			 (unsigned long)fault.gp->id,
			 (unsigned long)(fault.gp->stack.hi - fault.gp->stack.lo),
			 (unsigned long)fault.addr, (unsigned long)fault.sp);
	else
		print_to(2,
			 "fatal error: unexpected signal %s (address 0x%lx, pc 0x%lx) in goroutine "
			 "%lu\n\n",
			 fault.name, (unsigned long)fault.addr, (unsigned long)fault.pc,
			 (unsigned long)fault.gp->id);
	fatal_end();
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
	struct m *mp = m_self();
	struct g *gp = mp ? mp->curg : NULL;
	const struct sigaction *old = signo == SIGSEGV ? &old_segv : &old_bus;
	uintptr_t addr = (uintptr_t)info->si_addr, sp = os_context_sp(context);
	bool has_handler = (old->sa_flags & SA_SIGINFO) ||
			   (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN);

	/* Not in a goroutine, or sent by kill(); or the program's, FL2. */
	if (!gp || info->si_code <= 0 || (has_handler && !is_overflow(gp, addr, sp))) {
		os_signal_forward(signo, info, context, old);
		return;
	}
	store_rlx(&mp->at, AT_RUNTIME); /* relaxed: our own; we do not go back */
	fatal_begin();
	fault_context = context;
	fault.gp = gp;
	fault.name = signo == SIGSEGV ? "SIGSEGV: segmentation violation" : "SIGBUS: bus error";
	fault.addr = addr;
	fault.sp = sp;
	fault.pc = os_context_pc(context);
	fault.is_overflow = is_overflow(gp, addr, sp);
	report_stack_enter(fault_report, NULL);
}

static void on_quit(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
	sysmon_ask_dump();
}

noreturn void stack_overflow_found(struct g *gp)
{
	fatal("stack overflow\n[goroutine %lu wrote below its stack of %lu bytes, "
	      "which has no guard page here; goro_spawn_attr() starts one with more: "
	      "struct goro_attr.stack_size]",
	      (unsigned long)gp->id, (unsigned long)(gp->stack.hi - gp->stack.lo));
}

void faults_install(void)
{
	os_signal_install(SIGSEGV, on_fault, &old_segv);
	os_signal_install(SIGBUS, on_fault, &old_bus);
	(void)os_signal_install_default(SIGQUIT, on_quit);
}

void faults_remove(void)
{
	os_signal_restore_if(SIGSEGV, on_fault, &old_segv);
	os_signal_restore_if(SIGBUS, on_fault, &old_bus);
	os_signal_remove(SIGQUIT, on_quit);
}
