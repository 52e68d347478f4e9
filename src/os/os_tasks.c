/*
 * os_tasks.c - how many threads the process has, whoever made them; also where there is no /proc.
 *
 *   deadlock_check -> [os_threads_exceed] -> /proc/self/task, else every thread number is tried
 *
 * TK1  The answer counts what the kernel has: a thread that was made by a raw clone(), or by a
 *      library, counts as well.
 * TK2  Without /proc a signal of number 0 to a thread number tells whether a thread of this process
 *      has it. All numbers take a fraction of a second; so those found last are tried first, and
 *      all only when those are not enough, which is a deadlock or nearly one.
 * TK3  What cannot be counted (seccomp) counts as too many: somebody might still act, and a program
 *      is not ended on a guess.
 *
 * We do not count in pthread_create, which a static library cannot wrap, and which is not the only
 * way to make a thread.
 *
 * Locking: the caller's (sched.lock). Go: checkdead knows all threads, or is told of cgo.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/os.h"

#define TID_LIMIT (4 << 20) /* the kernel's PID_MAX_LIMIT; what is in use is behind /proc, too */
#define FOUND_MAX 256

static struct {
	int tid[FOUND_MAX];
	int n;
} found;

/* 1: a thread of this process; 0: none; -errno: may not ask. */
static int has_task(int pid, int tid)
{
	if (syscall(SYS_tgkill, pid, tid, 0) == 0)
		return 1;
	return errno == ESRCH ? 0 : -errno;
}

/* More than n of the threads found last are still there: their number, at most n + 1. */
static int count_found(int pid, int n)
{
	int left = 0;

	for (int i = 0; i < found.n && left <= n; i++)
		left += has_task(pid, found.tid[i]) == 1;
	return left;
}

/* TK2: upwards from the process's own number, which is that of its first thread, and around. */
static int count_all(int pid, int n)
{
	int count = 0;

	found.n = 0;
	for (int i = 0; i < TID_LIMIT && count <= n; i++) {
		int tid = (pid + i) % TID_LIMIT;
		int has = tid > 0 ? has_task(pid, tid) : 0;
		if (has < 0)
			return has;
		if (has && found.n < FOUND_MAX)
			found.tid[found.n++] = tid;
		count += has;
	}
	return count;
}

int os_threads_of_process(void)
{
	struct stat st;

	/* The link count of the folder is two plus its tasks. */
	if (stat("/proc/self/task", &st) != 0)
		return -errno;
	return (int)st.st_nlink - 2;
}

bool os_threads_exceed(int n)
{
	int count = os_threads_of_process(), pid = (int)getpid();

	if (count < 0)
		count = count_found(pid, n);
	else
		return count > n;
	if (count <= n)
		count = count_all(pid, n);
	return count < 0 || count > n; /* TK3 */
}

static void *leave_id(void *arg)
{
	*(int *)arg = os_thread_id();
	return NULL;
}

int os_thread_hidden(void)
{
	int ended = 0, self = os_thread_id(), other = 0;
	pthread_t thread;

	if (pthread_create(&thread, NULL, leave_id, &ended) == 0)
		pthread_join(thread, NULL);
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;

	if (!tasks)
		return 0;
	while ((entry = readdir(tasks))) {
		int tid = atoi(entry->d_name);
		if (tid <= 0 || tid == self || tid == ended) /* the kernel may still list it */
			continue;
		if (other) {
			other = 0; /* more than one */
			break;
		}
		other = tid;
	}
	closedir(tasks);
	return other;
}

bool os_thread_exists(int tid)
{
	return syscall(SYS_tgkill, getpid(), tid, 0) == 0;
}
