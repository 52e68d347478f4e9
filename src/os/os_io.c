/*
 * os_io.c - the system calls on descriptors that the calls of goro.h are made of.
 *
 *   io/ -> [os_*] -> the kernel: a result, or -errno; a call that a signal ended is made again,
 *                    here or by OS_AGAIN
 *
 * OI1  No call here raises SIGPIPE for a socket; for a pipe the runtime has a handler in place
 *      (os_sigpipe_quiet).
 * OI2  close() is never made again: the descriptor is gone whatever it returns.
 * OI3  The four that servers live from are no cancellation points of pthreads: libc's bookkeeping
 *      for that was 2 % of an echo server's time. Not with a sanitizer, which has wrappers.
 * OI4  Those four keep nothing across the call, so that they need no room for it: of thousands of
 *      goroutines that read and write each line of a stack is cold.
 *
 * Locking: none.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/sanitize.h"
#include "os/os.h"
#include "os/os_io.h"

/* The result of a call, which is made again when a signal ended it. */
#define RESULT_OF(call)                                                                     \
	__extension__({                                                                     \
		ssize_t result_;                                                            \
		do                                                                          \
			result_ = (call);                                                   \
		while (result_ < 0 && errno == EINTR);                                      \
		result_ < 0 ? -errno : result_;                                             \
	})

/* The result of a call, whatever it is: OI4. */
static inline ssize_t result_once(ssize_t result)
{
	return likely(result >= 0) ? result : -errno;
}

/* OI3: a sanitizer must see what goes through a descriptor. */
ssize_t os_fd_read(int fd, void *data, size_t size)
{
	if (unlikely(sanitize_is_on))
		return result_once(read(fd, data, size));
	return result_once(syscall(SYS_read, fd, data, size));
}

ssize_t os_fd_write(int fd, const void *data, size_t size)
{
	if (unlikely(sanitize_is_on))
		return result_once(write(fd, data, size));
	return result_once(syscall(SYS_write, fd, data, size));
}

ssize_t os_fd_readv(int fd, const struct iovec *parts, int n)
{
	return RESULT_OF(readv(fd, parts, n));
}

ssize_t os_fd_writev(int fd, const struct iovec *parts, int n)
{
	return RESULT_OF(writev(fd, parts, n));
}

ssize_t os_fd_pread(int fd, void *data, size_t size, off_t at)
{
	return RESULT_OF(pread(fd, data, size, at));
}

ssize_t os_fd_pwrite(int fd, const void *data, size_t size, off_t at)
{
	return RESULT_OF(pwrite(fd, data, size, at));
}

int os_fd_fsync(int fd)
{
	return (int)RESULT_OF(fsync(fd));
}

ssize_t os_fd_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from,
		       socklen_t *from_size)
{
	if (unlikely(sanitize_is_on))
		return result_once(recvfrom(fd, data, size, flags, from, from_size));
	return result_once(syscall(SYS_recvfrom, fd, data, size, flags, from, from_size));
}

ssize_t os_fd_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
		     socklen_t to_size)
{
	flags |= MSG_NOSIGNAL;
	if (unlikely(sanitize_is_on))
		return result_once(sendto(fd, data, size, flags, to, to_size));
	return result_once(syscall(SYS_sendto, fd, data, size, flags, to, to_size));
}

ssize_t os_fd_recvmsg(int fd, struct msghdr *message, int flags)
{
	return RESULT_OF(recvmsg(fd, message, flags | MSG_CMSG_CLOEXEC));
}

ssize_t os_fd_sendmsg(int fd, const struct msghdr *message, int flags)
{
	return RESULT_OF(sendmsg(fd, message, flags | MSG_NOSIGNAL));
}

ssize_t os_fd_sendfile(int to, int from, off_t *at, size_t size)
{
	return RESULT_OF(sendfile(to, from, at, size));
}

ssize_t os_fd_splice(int from, off_t *from_at, int to, off_t *to_at, size_t size,
		     unsigned int flags)
{
	loff_t in = from_at ? *from_at : 0, out = to_at ? *to_at : 0;
	ssize_t n = RESULT_OF(
		splice(from, from_at ? &in : NULL, to, to_at ? &out : NULL, size, flags));

	if (from_at)
		*from_at = (off_t)in;
	if (to_at)
		*to_at = (off_t)out;
	return n;
}

int os_fd_open(const char *path, int flags, unsigned int mode)
{
	return (int)RESULT_OF(open(path, flags | O_CLOEXEC, (mode_t)mode));
}

int os_fd_close(int fd)
{
	return close(fd) < 0 && errno != EINTR ? -errno : 0; /* OI2 */
}

int os_fd_poll(int fd, int events, int64_t deadline)
{
	struct pollfd pfd = {.fd = fd, .events = (short)events};
	struct timespec left;
	int n;

	if (fd < 0)
		return -EBADF; /* poll(2) passes it over */
	do {
		int64_t ns = deadline <= 0 ? 0 : deadline - os_now();
		if (ns < 0)
			ns = 0;
		left = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
		n = ppoll(&pfd, 1, deadline == OS_FOREVER ? NULL : &left, NULL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	return pfd.revents & POLLNVAL ? -EBADF : pfd.revents;
}

int os_fd_is_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -errno : (flags & O_NONBLOCK) != 0;
}

int os_fd_set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/* ---- sockets ---- */

int os_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	return fd < 0 ? -errno : fd;
}

int os_socket_option(int fd, int level, int name)
{
	int value;
	socklen_t size = sizeof(value);

	return getsockopt(fd, level, name, &value, &size) < 0 ? -errno : value;
}

int os_socket_set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

int os_socket_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	return bind(fd, address, size) < 0 ? -errno : 0;
}

int os_socket_listen(int fd, int backlog)
{
	return listen(fd, backlog) < 0 ? -errno : 0;
}

int os_socket_accept(int fd, struct sockaddr *address, socklen_t *size)
{
	return (int)RESULT_OF(accept4(fd, address, size, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

int os_socket_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	return connect(fd, address, size) < 0 ? -errno : 0; /* -EINTR: it goes on by itself */
}

int os_socket_connect_blocking(int fd, const struct sockaddr *address, socklen_t size, int64_t ns)
{
	const struct timeval limit = {.tv_sec = ns / 1000000000,
				      .tv_usec = (ns % 1000000000 + 999) / 1000};
	struct timeval old;
	socklen_t old_size = sizeof(old);
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &old, &old_size) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	int error = os_socket_connect(fd, address, size);
	(void)fcntl(fd, F_SETFL, flags);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &old, sizeof(old));
	return error;
}

int os_socket_name(int fd, struct sockaddr *address, socklen_t *size)
{
	return getsockname(fd, address, size) < 0 ? -errno : 0;
}

bool os_socket_has_limit(int fd, int name)
{
	struct timeval limit = {0};
	socklen_t size = sizeof(limit);

	return getsockopt(fd, SOL_SOCKET, name, &limit, &size) == 0 &&
	       (limit.tv_sec || limit.tv_usec);
}

bool os_socket_is_loop(int fd)
{
	struct sockaddr_storage ends[2] = {0};
	socklen_t sizes[2] = {sizeof(ends[0]), sizeof(ends[1])};

	return getsockname(fd, (struct sockaddr *)&ends[0], &sizes[0]) == 0 &&
	       getpeername(fd, (struct sockaddr *)&ends[1], &sizes[1]) == 0 &&
	       sizes[0] == sizes[1] && memcmp(&ends[0], &ends[1], sizes[0]) == 0;
}

bool os_socket_has_ulp(int fd)
{
	char name[16]; /* TCP_ULP_NAME_MAX */
	socklen_t size = sizeof(name);

	return getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &size) == 0 && size > 0;
}

/* ---- SIGPIPE ---- */

static void on_sigpipe(int signo)
{
	(void)signo;
}

void os_sigpipe_quiet(void)
{
	struct sigaction now, ours = {.sa_handler = on_sigpipe};
	static atomic_of(uint32_t) is_done;

	if (load_rlx(&is_done)) /* relaxed: done twice, it does no harm */
		return;
	store_rlx(&is_done, 1); /* relaxed: likewise */
	/* A handler, not SIG_IGN: what the program executes starts with the default again. */
	ours.sa_flags = SA_RESTART | SA_ONSTACK; /* a goroutine's stack may have no room for it */
	sigemptyset(&ours.sa_mask);
	if (sigaction(SIGPIPE, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
	    now.sa_handler == SIG_DFL)
		(void)sigaction(SIGPIPE, &ours, NULL);
}
