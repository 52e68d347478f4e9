/*
 * os_file.c - the little that the runtime itself reads and writes.
 *
 *   reports -> [os_write]; CPU quota -> [os_read_file]
 *
 * FI1  os_write may be called from a signal handler.
 *
 * Locking: none.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/os.h"

void os_write(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			/*
			 * A report must come out whole, also into a pipe that somebody
			 * made non-blocking.
			 */
			struct pollfd pfd = {.fd = fd, .events = POLLOUT};
			(void)poll(&pfd, 1, 1000);
		} else if (n == 0 || errno != EINTR) {
			return; /* nobody can be told */
		}
	}
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
