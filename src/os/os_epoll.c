/*
 * os_epoll.c - epoll and the descriptor that breaks its wait.
 *
 *   event/netpoll_epoll -> [os_epoll_*]
 *
 * EP1  A wait has nanoseconds: epoll_pwait2, and where the kernel has none, ppoll on the epoll
 *      descriptor followed by an epoll_wait that does not block.
 *
 * ThreadSanitizer takes the making of a descriptor for a write, and each use of it for a read. What
 * orders the two for the runtime's own (NETPOLL-ON) it does not see, so their uses are hidden.
 *
 * Locking: none.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/sanitize.h"
#include "os/os.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

static atomic_of(uint32_t) has_no_pwait2;

int os_epoll_create(void)
{
	if (os_fault(OS_FAULT_EPOLL))
		return -EMFILE;
	int fd = epoll_create1(EPOLL_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void os_epoll_close(int fd)
{
	close(fd);
}

int os_epoll_add(int epoll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};

	if (os_fault(OS_FAULT_EPOLL))
		return -ENOSPC;
	sanitize_hide(true);
	int error = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
	sanitize_hide(false);
	return error;
}

void os_epoll_remove(int epoll, int fd)
{
	sanitize_hide(true);
	(void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &(struct epoll_event){0});
	sanitize_hide(false);
}

/* What is left until a deadline; NULL: for ever. */
static struct timespec *time_left(int64_t until, struct timespec *left)
{
	int64_t ns = until;

	if (until == OS_FOREVER)
		return NULL;
	if (until > 0)
		ns = until - os_now();
	if (ns < 0)
		ns = 0;
	*left = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	return left;
}

/* What is there now. */
static int epoll_look(int epoll, struct epoll_event *events, int n)
{
	sanitize_hide(true);
	int got = epoll_wait(epoll, events, n, 0);
	int result = got < 0 ? -errno : got;
	sanitize_hide(false);
	return result;
}

static int wait_without_pwait2(int epoll, struct epoll_event *events, int n, int64_t until)
{
	struct timespec left, *timeout = time_left(until, &left);
	struct pollfd pfd = {.fd = epoll, .events = POLLIN};

	sanitize_hide(true);
	int error = until > 0 && ppoll(&pfd, 1, timeout, NULL) < 0 ? -errno : 0;
	sanitize_hide(false);
	return error < 0 ? error : epoll_look(epoll, events, n);
}

int os_epoll_wait(int epoll, struct epoll_event *events, int n, int64_t until)
{
	struct timespec left;
	long got;

	if (until <= 0)
		return epoll_look(epoll, events, n);
	if (!load_rlx(&has_no_pwait2)) { /* relaxed: seen late, it is found out again */
		got = syscall(SYS_epoll_pwait2, epoll, events, n, time_left(until, &left), NULL,
			      (size_t)0);
		if (got >= 0)
			return (int)got;
		int error = errno;
		if (error != ENOSYS && error != EPERM)
			return -error;
		store_rlx(&has_no_pwait2, 1); /* relaxed: likewise */
	}
	return wait_without_pwait2(epoll, events, n, until);
}

int os_eventfd(void)
{
	if (os_fault(OS_FAULT_EPOLL))
		return -EMFILE;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void os_eventfd_set(int fd)
{
	uint64_t one = 1;

	sanitize_hide(true);
	(void)!write(fd, &one, sizeof(one));
	sanitize_hide(false);
}

void os_eventfd_clear(int fd)
{
	uint64_t count;

	sanitize_hide(true);
	(void)!read(fd, &count, sizeof(count));
	sanitize_hide(false);
}
