/*
 * os_file.c - the little that the runtime itself reads and writes.
 *
 *   reports, print_to -> [write_out], [os_write]; CPU quota -> [os_read_file]
 *
 * FI1  os_write may be called from a signal handler.
 * FI2  A reader that has gone away raises no SIGPIPE.
 * FI3  A descriptor that is not to block, and takes nothing for STALL_NS, gets from there on only
 *      what it takes at once, until it takes something: the rest is lost, and a report of any
 *      length waits no longer than that. One that blocks is waited for: what it means is its
 *      owner's choice.
 *
 * Locking: none.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fatal.h"
#include "os/os.h"

#define STALL_NS INT64_C(2000000000)

/* The descriptor that took nothing for all of STALL_NS, or -1: FI3. */
static atomic_of(int) stalled_fd = -1;

static bool wait_until_writable(int fd, int64_t *give_up)
{
	int64_t now = os_now();

	if (*give_up == 0)
		*give_up = now + STALL_NS;
	if (now >= *give_up || load_rlx(&stalled_fd) == fd) { /* relaxed: a hint */
		store_rlx(&stalled_fd, fd); /* relaxed: likewise */
		return false;
	}
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	(void)poll(&pfd, 1, (int)((*give_up - now) / 1000000) + 1);
	return true;
}

static int write_all(int fd, const char *at, size_t size)
{
	int64_t give_up = 0;

	while (size > 0) {
		ssize_t n = write(fd, at, size);
		int error = n < 0 ? errno : 0;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
			give_up = 0;
			if (unlikely(load_rlx(&stalled_fd) == fd)) /* relaxed: a hint */
				store_rlx(&stalled_fd, -1);	   /* relaxed: likewise */
		} else if (error == EAGAIN) {
			if (!wait_until_writable(fd, &give_up))
				return -EAGAIN;
		} else if (error != EINTR) {
			return -error; /* nobody can be told */
		}
	}
	return 0;
}

void write_out(int fd, const void *data, size_t size)
{
	const struct timespec at_once = {0};
	sigset_t broken_pipe, before, pending;

	sigemptyset(&broken_pipe);
	sigaddset(&broken_pipe, SIGPIPE);
	sigemptyset(&pending);
	pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
	sigpending(&pending);
	/* FI2: ours is taken off again; one that was pending already is the program's. */
	if (write_all(fd, data, size) == -EPIPE && !sigismember(&pending, SIGPIPE))
		(void)sigtimedwait(&broken_pipe, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void os_write(int fd, const void *data, size_t size)
{
	write_out(fd, data, size);
}

int os_read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;

	if (fd < 0)
		return -errno;
	while (used + 1 < size) {
		ssize_t n = read(fd, buffer + used, size - 1 - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	close(fd);
	buffer[used] = 0;
	return (int)used;
}

noreturn void os_exit_now(int status)
{
	_exit(status);
}

const char *os_env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}
