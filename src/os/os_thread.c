/*
 * os_thread.c - threads: started by libc, so that thread-locals of every library work in them.
 *
 *   mstart, sysmon <- [os_thread_start]
 *
 * TH1  A thread that we start is detached, has a small stack (goroutines bring their own) and
 *      inherits the signal mask of its creator.
 * TH2  The thread-locals are counted once, at the first thread: later a goroutine may have been
 *      stopped with the lock that this takes. A library loaded later has its own from malloc.
 *
 * Locking: none. Go: newosproc in runtime/os_linux.go.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fatal.h"
#include "os/os.h"

#define THREAD_STACK_SIZE ((size_t)256 << 10)

static char signal_mark; /* its address tells our signals from those of the program */

/*
 * libc puts the thread-locals of all modules onto each thread's stack: they come on top
 * of what we need.
 */
static int add_thread_locals(struct dl_phdr_info *module, size_t size, void *sum)
{
	(void)size;
	for (int i = 0; i < module->dlpi_phnum; i++)
		if (module->dlpi_phdr[i].p_type == PT_TLS)
			*(size_t *)sum +=
				module->dlpi_phdr[i].p_memsz + module->dlpi_phdr[i].p_align;
	return 0;
}

static size_t thread_stack_size(void)
{
	static size_t thread_locals; /* of the starter's run: TH2 */

	if (!thread_locals)
		(void)dl_iterate_phdr(add_thread_locals, &thread_locals);
	return THREAD_STACK_SIZE + ((thread_locals + 4095) & ~(size_t)4095);
}

int os_thread_start(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (os_fault(OS_FAULT_THREAD))
		return -EAGAIN;
	int error = pthread_attr_init(&attr);
	if (error)
		return -error;
	pthread_attr_setstacksize(&attr, thread_stack_size());
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return -error;
}

void os_fork_watch(void (*in_child)(void))
{
	(void)pthread_atfork(NULL, NULL, in_child);
}

void os_thread_yield(void)
{
	sched_yield();
}

int os_thread_id(void)
{
	return (int)syscall(SYS_gettid);
}

int64_t os_thread_precise_waits(void)
{
	int64_t slack_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);

	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); /* a failure costs 50 us of lateness */
	return slack_ns;
}

void os_thread_usual_waits(int64_t slack_ns)
{
	if (slack_ns > 0) /* 0 is none, of a real-time thread; to set it would mean the default */
		(void)prctl(PR_SET_TIMERSLACK, (unsigned long)slack_ns, 0, 0, 0);
}

void os_thread_signal(int tid, int signo)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = signo;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_ptr = &signal_mark;
	(void)syscall(SYS_rt_tgsigqueueinfo, info.si_pid, tid, signo, &info); /* ESRCH: it ended */
}

bool os_signal_is_own(const siginfo_t *info)
{
	return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &signal_mark;
}

void os_thread_stack(const void **lo, size_t *size)
{
	pthread_attr_t attr;
	void *at = NULL;

	*size = 0;
	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		pthread_attr_getstack(&attr, &at, size);
		pthread_attr_destroy(&attr);
	}
	*lo = at;
}

int64_t os_thread_cpu_ns(int tid)
{
	/* What pthread_getcpuclockid() makes of it: the scheduler's clock of one thread. */
	clockid_t clock = (clockid_t)(~(unsigned)tid << 3 | 6);
	struct timespec at;

	if (clock_gettime(clock, &at) != 0)
		return -1;
	return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

bool os_thread_is_asleep(int tid, bool if_unknown)
{
	char path[64], text[256];

	format_to(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	if (os_read_file(path, text, sizeof(text)) <= 0)
		return if_unknown; /* no /proc */
	/* "12 (name) S ...": the name may have any characters. */
	const char *end = strrchr(text, ')');
	return end && end[1] == ' ' && end[2] != 'R';
}
