/*
 * fault.c - SIGSEGV and SIGBUS: a stack overflow or a wild pointer, named; SIGQUIT: a dump.
 *
 *   kernel -> handler on the M's alternate stack -> [fatal] -> report (debug/dump) -> _exit(2)
 *
 * FL1  A fault whose address lies in the guard below the running G's stack, or whose stack pointer
 *      has left the stack, is a stack overflow.
 * FL2  A fault outside of any goroutine, or where the program had a handler before us and it is no
 *      overflow, is handed on.
 *
 * Locking: none. Go: sighandler, morestack in runtime; there the compiler checks each prologue,
 * here the guard.
 */
#include "base/fatal.h"
#include "os/os.h"
#include "sched/sched.h"

static struct sigaction old_segv, old_bus;

const void *fault_context;

static bool is_overflow(const struct g *gp, uintptr_t addr, uintptr_t sp)
{
	uintptr_t lo = gp->stack.lo;

	return (addr < lo && addr >= lo - STACK_GUARD_SIZE) || sp < lo || sp > gp->stack.hi;
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
	struct m *mp = m_self();
	struct g *gp = mp ? mp->curg : NULL;
	const struct sigaction *old = signo == SIGSEGV ? &old_segv : &old_bus;
	const char *name = signo == SIGSEGV ? "SIGSEGV: segmentation violation"
					     : "SIGBUS: bus error";
	uintptr_t addr = (uintptr_t)info->si_addr, sp = os_context_sp(context);

	if (!gp || info->si_code <= 0) { /* not in a goroutine, or sent by kill() */
		os_signal_forward(signo, info, context, old);
		return;
	}
	fault_context = context;
	if (is_overflow(gp, addr, sp))
		fatal("stack overflow\n[goroutine %lu exceeds its stack of %lu bytes; "
		      "address 0x%lx, stack pointer 0x%lx; see struct goro_attr.stack_size]",
		      (unsigned long)gp->id, (unsigned long)(gp->stack.hi - gp->stack.lo),
		      (unsigned long)addr, (unsigned long)sp);
	if ((old->sa_flags & SA_SIGINFO) ||
	    (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)) {
		fault_context = NULL;
		os_signal_forward(signo, info, context, old);
		return;
	}
	fatal("unexpected signal %s (address 0x%lx, pc 0x%lx) in goroutine %lu", name,
	      (unsigned long)addr, (unsigned long)os_context_pc(context), (unsigned long)gp->id);
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
	      "which has no guard page here; see struct goro_attr.stack_size]",
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
