/*
 * os_signal.c - alternate stacks, handlers, and handing on what is not ours.
 *
 *   boot, mstart -> [os_signal_install], [os_altstack_install]
 *
 * SG1  A handler of ours that declines a signal leaves the program as if we had never been there.
 * SG2  A thread that brought its own alternate stack keeps it.
 * SG3  Threads that run goroutines have the signal mask of the thread that called goro_run(), but
 *      for SIGURG, which is let through; sysmon and the starter block every signal that may be
 *      sent, so that no handler of the program's runs on them.
 * SG4  What the kernel calls for a signal need not be what sigaction() says: ThreadSanitizer keeps
 *      the handlers and has one of its own called, which puts signals off. os_signal_put_before()
 *      has the kernel call us first; sigaction() then tells of that one, and it counts as the
 *      handler that it stands before. So a handler of the program's may call it as the one from
 *      before: os_signal_is_from_kernel() tells. A handler that does no more than count and
 *      wake is called past it at any time, also in the middle of one of its functions.
 *
 * Locking: none. Order: SIGNAL-UNDER. Go: runtime/signal_unix.go, sigfwdgo.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/sanitize.h"
#include "os/os.h"

#define ALTSTACK_SIZE (128u << 10) /* the overflow report unwinds and names frames on it */

static struct {
	atomic_of(os_signal_handler *) handler, entry; /* SG4: who stands behind, who before */
} before;

void *os_altstack_install(void)
{
	stack_t old;

	if (sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_DISABLE))
		return NULL;
	void *memory = os_mem_reserve(ALTSTACK_SIZE);
	stack_t stack = {.ss_sp = memory, .ss_size = ALTSTACK_SIZE};
	if (!memory)
		return NULL;
	if (sigaltstack(&stack, NULL) != 0) {
		os_mem_release(memory, ALTSTACK_SIZE);
		return NULL;
	}
	return memory;
}

void os_altstack_remove(void *memory)
{
	stack_t off = {.ss_flags = SS_DISABLE, .ss_size = ALTSTACK_SIZE};

	if (!memory)
		return;
	sigaltstack(&off, NULL);
	os_mem_release(memory, ALTSTACK_SIZE);
}

static bool is_in_place(const struct sigaction *now, os_signal_handler *handler)
{
	/* SG4. relaxed, both: the same whenever they are stored */
	return (now->sa_flags & SA_SIGINFO) &&
	       (now->sa_sigaction == handler || (handler == load_rlx(&before.handler) &&
						 now->sa_sigaction == load_rlx(&before.entry)));
}

/* The kernel's own struct; libc's has another order. */
struct kernel_action {
	os_signal_handler *handler;
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

void os_signal_put_before(int signo, os_signal_handler *handler, os_signal_handler *entry,
			  atomic_of(os_signal_handler *) *under)
{
	struct kernel_action action;

	if (handler != entry) {
		store_rlx(&before.handler, handler); /* relaxed: is_in_place, like the next */
		store_rlx(&before.entry, entry);
	}
	if (syscall(SYS_rt_sigaction, signo, NULL, &action, sizeof(action.mask)) != 0 ||
	    action.handler == entry || (uintptr_t)action.handler == (uintptr_t)SIG_DFL ||
	    (uintptr_t)action.handler == (uintptr_t)SIG_IGN) /* the program's, just now */
		return;
	store_rel(under, action.handler); /* SIGNAL-UNDER: the next signal needs it */
	action.handler = entry;
	(void)syscall(SYS_rt_sigaction, signo, &action, NULL, sizeof(action.mask));
}

/* SG4, for a handler that calls nothing that is intercepted, and so may run at any time. */
static void put_past(int signo, os_signal_handler *handler)
{
	atomic_of(os_signal_handler *) under;

	if (sanitize_keeps_signals())
		os_signal_put_before(signo, handler, handler, &under);
}

void os_signal_install(int signo, void (*handler)(int, siginfo_t *, void *), struct sigaction *old)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handler;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigemptyset(&action.sa_mask);
	sigaction(signo, &action, old);
}

int os_signal_catch(int signo, void (*handler)(int, siginfo_t *, void *), struct sigaction *old)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handler;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigfillset(&action.sa_mask);
	if (sigaction(signo, &action, old) != 0)
		return -errno;
	put_past(signo, handler);
	return 0;
}

void os_signals_block(uint64_t but)
{
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&set, own[i]);
	for (int signo = 1; signo < OS_SIGNALS; signo++)
		if (but >> (signo - 1) & 1)
			sigdelset(&set, signo);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

void os_signals_save(sigset_t *mask)
{
	pthread_sigmask(SIG_SETMASK, NULL, mask);
}

void os_signals_set(const sigset_t *mask)
{
	pthread_sigmask(SIG_SETMASK, mask, NULL);
}

bool os_signal_let(int signo, bool is_let)
{
	sigset_t set, before;

	sigemptyset(&set);
	sigaddset(&set, signo);
	pthread_sigmask(is_let ? SIG_UNBLOCK : SIG_BLOCK, &set, &before);
	return sigismember(&before, signo) == 0;
}

void os_signals_set_as_after(const void *context)
{
	os_signals_set(&((const ucontext_t *)context)->uc_sigmask);
}

bool os_signal_install_default(int signo, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction old;

	if (sigaction(signo, NULL, &old) != 0 || (old.sa_flags & SA_SIGINFO) ||
	    (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN))
		return false;
	os_signal_install(signo, handler, NULL);
	put_past(signo, handler);
	return true;
}

void os_signal_remove(int signo, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction now, fallback;

	memset(&fallback, 0, sizeof(fallback));
	fallback.sa_handler = SIG_DFL;
	if (sigaction(signo, NULL, &now) == 0 && is_in_place(&now, handler))
		sigaction(signo, &fallback, NULL);
}

void os_signal_restore_if(int signo, void (*handler)(int, siginfo_t *, void *),
			  const struct sigaction *old)
{
	struct sigaction now;

	if (sigaction(signo, NULL, &now) == 0 && is_in_place(&now, handler))
		sigaction(signo, old, NULL);
}

void os_signal_restore(int signo, const struct sigaction *old)
{
	sigaction(signo, old, NULL);
}

void os_signal_forward(int signo, siginfo_t *info, void *context, const struct sigaction *old)
{
	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(signo, info, context);
	} else if (old->sa_handler == SIG_DFL && signo == SIGURG) {
		return; /* the default is to ignore it */
	} else if (old->sa_handler == SIG_DFL ||
		   (old->sa_handler == SIG_IGN && info->si_code > 0)) {
		/* Returning runs the faulting instruction again, now with the default action. */
		struct sigaction fallback;
		memset(&fallback, 0, sizeof(fallback));
		fallback.sa_handler = SIG_DFL;
		sigaction(signo, &fallback, NULL);
		if (info->si_code <= 0)
			raise(signo);
	} else if (old->sa_handler != SIG_IGN) {
		old->sa_handler(signo);
	}
}

void os_signal_insist(int signo, void (*handler)(int, siginfo_t *, void *), struct sigaction *old)
{
	struct sigaction now;

	if (sigaction(signo, NULL, &now) == 0 && !is_in_place(&now, handler)) {
		*old = now;
		os_signal_install(signo, handler, NULL);
	}
}

#if defined(__x86_64__)
/* Those that signal(7) lists as never restarted, and that a goroutine may well be in. */
static bool is_never_restarted(long nr)
{
	return nr == SYS_nanosleep || nr == SYS_clock_nanosleep || nr == SYS_poll ||
	       nr == SYS_ppoll || nr == SYS_select || nr == SYS_pselect6 || nr == SYS_epoll_wait ||
	       nr == SYS_epoll_pwait || nr == SYS_semop || nr == SYS_semtimedop ||
	       nr == SYS_msgrcv || nr == SYS_msgsnd || nr == SYS_io_getevents;
}

/*
 * The instruction before is "syscall", and the one before that loads its number, which is how libc
 * does it; all registers of the call are as they were.
 */
void os_context_repeat_call(void *context)
{
	ucontext_t *uc = context;
	greg_t *reg = uc->uc_mcontext.gregs;
	const unsigned char *pc = (const unsigned char *)(uintptr_t)reg[REG_RIP];
	int32_t nr;

	if (reg[REG_RAX] != -EINTR || pc[-2] != 0x0f || pc[-1] != 0x05 || pc[-7] != 0xb8)
		return;
	memcpy(&nr, pc - 6, sizeof(nr));
	if (!is_never_restarted(nr))
		return;
	reg[REG_RAX] = nr;
	reg[REG_RIP] -= 2;
}
#else
/* The first argument is lost: it was where the result is. */
void os_context_repeat_call(void *context)
{
	(void)context;
}
#endif

uintptr_t os_context_sp(const void *context)
{
	const ucontext_t *uc = context;
#if defined(__x86_64__)
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
#else
	return (uintptr_t)uc->uc_mcontext.sp;
#endif
}

uintptr_t os_context_pc(const void *context)
{
	const ucontext_t *uc = context;
#if defined(__x86_64__)
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#else
	return (uintptr_t)uc->uc_mcontext.pc;
#endif
}
