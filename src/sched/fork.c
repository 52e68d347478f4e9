/*
 * fork.c - a child that fork() made has none of the runtime's threads.
 *
 *   fork() in the program -> [in_child], in the child
 *   any call in the child -> call_enter, attention_slow, outside_enter, goro_run -> [fork_fatal]
 *
 * FK1  What the child may do is exec, _exit, or exit: there is one thread, and whatever another one
 *      had locked stays locked. So every call of the library that could wait, or work on what the
 *      others had, ends the process with a message. It costs nothing until then: the words that
 *      calls look at anyway are set.
 * FK2  The child has the program's own signal handlers, as if the run had ended.
 * FK3  A fork() while no runtime runs concerns nobody: the child may start one. It has its own
 *      poller, which knows no descriptor yet: the parent's would be shared.
 *
 * What vfork() and posix_spawn() make shares our memory until it execs, and runs no handler of
 * fork's.
 *
 * Locking: none; the one thread that is left. Go has no fork: syscall.forkExec.
 */
#include "base/fatal.h"
#include "event/netpoll.h"
#include "os/os.h"
#include "sched/sched.h"

bool fork_is_child;
void (*fork_signals_hook)(void);
void (*fork_fds_hook)(void);

noreturn void fork_fatal(void)
{
	print_to(2, "goro: fatal: a call of the library in a child process, after fork without "
		    "exec: no goroutine and no thread of the runtime exists here\n"
		    "[call exec or _exit in the child, use posix_spawn, or fork while no runtime "
		    "runs]\n");
	os_exit_now(2);
}

/* Only what a signal handler may do. */
static void in_child(void)
{
	struct m *mp = m_self();

	/* relaxed: no other thread is left */
	if (load_rlx(&sched.run_state) == RUN_NONE) {
		netpoll_in_child(); /* FK3 */
		poll_outside_in_child();
		if (fork_fds_hook)
			fork_fds_hook();
		return;
	}
	fork_is_child = true;
	store_rlx(&sched.run_state, RUN_ENDING); /* relaxed, like all here: as above */
	add_rlx(&attention, ATTENTION_CANCELED); /* relaxed: every call looks closer */
	if (mp)
		store_rlx(&mp->is_taken, 1); /* relaxed: likewise */
	if (fork_signals_hook)
		fork_signals_hook(); /* FK2, and these in the order of a run's end */
	preempt_remove();
	faults_remove();
}

__attribute__((constructor)) static void fork_init(void)
{
	os_fork_watch(in_child);
}
