/*
 * os_signal.c - alternate stacks, handlers, handing on what is not ours; src/os/os_signal.c.
 */
#include "tap.h"

#include <pthread.h>
#include <sys/mman.h>

#include "base/valgrind.h"
#include "os/os.h"

static volatile sig_atomic_t n_ours, n_theirs;
static uintptr_t handler_frame, context_sp, context_pc;

static void ours(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info;
	n_ours++;
	handler_frame = (uintptr_t)__builtin_frame_address(0);
	context_sp = os_context_sp(context);
	context_pc = os_context_pc(context);
}

static void theirs(int signo)
{
	(void)signo;
	n_theirs++;
}

static void theirs_with_info(int signo, siginfo_t *info, void *context)
{
	n_theirs += signo == SIGUSR1 && info->si_signo == SIGUSR1 && context != NULL;
}

/* ---- alternate stacks ---- */

TAP_CASE(handler_runs_on_the_alternate_stack, .procs = "-")
{
	stack_t now;
	void *memory = os_altstack_install();

	require(memory != NULL);
	require(sigaltstack(NULL, &now) == 0);
	expect(now.ss_sp == memory);
	expect_eq(now.ss_flags & SS_DISABLE, 0);
	os_signal_install(SIGUSR1, ours, NULL);
	raise(SIGUSR1);
	expect_eq(n_ours, 1);
	expect_gt(handler_frame, (uintptr_t)memory);
	expect_lt(handler_frame, (uintptr_t)memory + now.ss_size);
	os_altstack_remove(memory);
	require(sigaltstack(NULL, &now) == 0);
	expect_eq(now.ss_flags & SS_DISABLE, SS_DISABLE);
	if (valgrind_is_here()) /* which does not notice that the alternate stack is gone */
		return;
	raise(SIGUSR1); /* on the thread's own, now */
	expect_eq(n_ours, 2);
}

TAP_CASE(sg2_thread_keeps_an_alternate_stack_of_its_own, .procs = "-")
{
	static char memory[1 << 16];
	stack_t own = {.ss_sp = memory, .ss_size = sizeof(memory)}, now;

	require(sigaltstack(&own, NULL) == 0);
	expect(os_altstack_install() == NULL);
	require(sigaltstack(NULL, &now) == 0);
	expect(now.ss_sp == memory);
	os_altstack_remove(NULL);
	require(sigaltstack(NULL, &now) == 0);
	expect(now.ss_sp == memory);
}

/* ---- installing ---- */

static void *handler_of(int signo)
{
	struct sigaction now;

	require(sigaction(signo, NULL, &now) == 0);
	return (void *)(now.sa_flags & SA_SIGINFO ? (uintptr_t)now.sa_sigaction
						  : (uintptr_t)now.sa_handler);
}

TAP_CASE(default_install_takes_what_nobody_handles, .procs = "-")
{
	expect(os_signal_install_default(SIGUSR1, ours));
	expect(handler_of(SIGUSR1) == (void *)(uintptr_t)ours);
	signal(SIGUSR2, SIG_IGN);
	expect(os_signal_install_default(SIGUSR2, ours));
	expect(handler_of(SIGUSR2) == (void *)(uintptr_t)ours);
}

TAP_CASE(default_install_leaves_the_program_its_handler, .procs = "-")
{
	struct sigaction action = {.sa_sigaction = theirs_with_info, .sa_flags = SA_SIGINFO};

	signal(SIGUSR1, theirs);
	expect(!os_signal_install_default(SIGUSR1, ours));
	expect(handler_of(SIGUSR1) == (void *)(uintptr_t)theirs);
	sigaction(SIGUSR2, &action, NULL);
	expect(!os_signal_install_default(SIGUSR2, ours));
	expect(handler_of(SIGUSR2) == (void *)(uintptr_t)theirs_with_info);
}

TAP_CASE(sg1_removing_gives_back_what_was_there, .procs = "-")
{
	struct sigaction old;

	os_signal_install(SIGUSR1, ours, NULL);
	os_signal_remove(SIGUSR1, ours);
	expect(handler_of(SIGUSR1) == (void *)SIG_DFL);
	signal(SIGUSR1, theirs); /* the program's in the meantime */
	os_signal_remove(SIGUSR1, ours);
	expect(handler_of(SIGUSR1) == (void *)(uintptr_t)theirs);
	os_signal_install(SIGUSR1, ours, &old);
	os_signal_restore(SIGUSR1, &old);
	expect(handler_of(SIGUSR1) == (void *)(uintptr_t)theirs);
}

TAP_CASE(context_tells_where_the_signal_struck, .procs = "-")
{
	const void *lo;
	size_t size;

	os_signal_install(SIGUSR1, ours, NULL);
	raise(SIGUSR1);
	os_thread_stack(&lo, &size);
	expect_gt(context_sp, (uintptr_t)lo);
	expect_lt(context_sp, (uintptr_t)lo + size);
	expect_gt(context_sp, handler_frame); /* no alternate stack here: the handler runs below */
	expect_lt(context_sp, (uintptr_t)__builtin_frame_address(0));
	expect_ne(context_pc, 0);
	expect_ne(context_pc, (uintptr_t)ours);
}

/* ---- handing on ---- */

static struct sigaction before;

static void decline(int signo, siginfo_t *info, void *context)
{
	n_ours++;
	os_signal_forward(signo, info, context, &before);
}

TAP_CASE(sg1_program_s_handler_gets_what_we_decline, .procs = "-")
{
	struct sigaction action = {.sa_sigaction = theirs_with_info, .sa_flags = SA_SIGINFO};

	signal(SIGUSR1, theirs);
	os_signal_install(SIGUSR1, decline, &before);
	raise(SIGUSR1);
	expect_eq(n_theirs, 1);
	sigaction(SIGUSR1, &action, NULL);
	os_signal_install(SIGUSR1, decline, &before);
	raise(SIGUSR1);
	expect_eq(n_theirs, 2);
	expect_eq(n_ours, 2);
}

TAP_CASE(sg1_ignored_signal_stays_ignored, .procs = "-")
{
	signal(SIGUSR1, SIG_IGN);
	os_signal_install(SIGUSR1, decline, &before);
	raise(SIGUSR1);
	raise(SIGUSR1);
	expect_eq(n_ours, 2); /* and we are still here */
}

static volatile int *volatile nowhere = (int *)8;

/* HOW: "fault", "raise" or "kill"; IGNORE: what was there before was SIG_IGN. */
TAP_CHILD(decline_and_die)
{
	const char *how = getenv("HOW");

	signal(SIGSEGV, getenv("IGNORE") != NULL ? SIG_IGN : SIG_DFL);
	os_signal_install(SIGSEGV, decline, &before);
	if (strcmp(how, "fault") == 0)
		*nowhere = 1;
	else if (strcmp(how, "raise") == 0)
		raise(SIGSEGV);
	else
		kill(getpid(), SIGSEGV);
	tap_pause(1000000);
	printf("alive after %d", (int)n_ours);
}

static void expect_end(const char *how, const char *ignore, int status, const char *out)
{
	char env[32];
	struct tap_child c;

	snprintf(env, sizeof(env), "HOW=%s", how);
	tap_child(&c, "decline_and_die", env, ignore);
	expect_child(&c, status, "");
	expect_str(c.out, out);
}

TAP_CASE(sg1_declined_signal_does_what_it_would_have_done, .procs = "-")
{
	expect_end("fault", "IGNORE", -SIGSEGV, "");
	expect_end("raise", "IGNORE", -SIGSEGV, "");
	expect_end("kill", "IGNORE", -SIGSEGV, "");
	/* One cannot ignore a fault of one's own; one that is sent, yes. */
	expect_end("fault", "IGNORE=1", -SIGSEGV, "");
	expect_end("raise", "IGNORE=1", 0, "alive after 1");
	expect_end("kill", "IGNORE=1", 0, "alive after 1");
}

/* ---- masks ---- */

static bool is_blocked(int signo)
{
	sigset_t now;

	require_eq(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	return sigismember(&now, signo) == 1;
}

TAP_CASE(sg3_all_signals_are_blocked_but_those_named_and_those_of_faults, .procs = "-")
{
	sigset_t before;

	os_signals_save(&before);
	os_signals_block(UINT64_C(1) << (SIGTERM - 1) | UINT64_C(1) << 63);
	for (int signo = 1; signo < OS_SIGNALS; signo++) {
		bool is_open = signo == SIGTERM || signo == 64 || signo == SIGSEGV ||
			       signo == SIGBUS || signo == SIGFPE || signo == SIGILL ||
			       signo == SIGTRAP || signo == SIGSYS || signo == SIGABRT ||
			       signo == SIGKILL || signo == SIGSTOP || signo == 32 || signo == 33;
		if (signo >= 63 && getenv("TAP_EMULATED"))
			continue; /* the emulator keeps them for itself */
		expect_eq(is_blocked(signo), !is_open);
	}
	os_signals_block(0);
	expect(is_blocked(SIGTERM));
	os_signals_set(&before);
	expect(!is_blocked(SIGTERM));
	expect(!is_blocked(SIGHUP));
}

static sigset_t mask_in_handler;

static void looks_at_mask(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info, (void)context;
	os_signals_save(&mask_in_handler);
}

TAP_CASE(handler_that_is_not_interrupted_blocks_every_signal, .procs = "-")
{
	struct sigaction old;

	require_eq(os_signal_catch(SIGUSR1, looks_at_mask, &old), 0);
	raise(SIGUSR1);
	expect(sigismember(&mask_in_handler, SIGUSR2));
	expect(sigismember(&mask_in_handler, SIGURG));
	expect_eq(os_signal_catch(SIGKILL, looks_at_mask, &old), -EINVAL);
}

TAP_MAIN
