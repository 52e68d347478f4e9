/*
 * goro_blocking.c - a goroutine in a system call that blocks, and one in a library's function that does.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <goro.h>

static void reader(int fd, goro_chan *out)
{
	char text[16];

	goro_syscall_enter();
	ssize_t n = read(fd, text, sizeof(text)); /* others have our turn meanwhile */
	int saved_errno = errno;
	goro_syscall_exit(); /* perhaps on another thread, which has an errno of its own */

	if (n < 0)
		printf("read: %s\n", strerror(saved_errno));
	goro_put(out, (int)n);
}

/* Stands for a library's function that takes its time. */
static void slow_library(void *arg)
{
	int *result = arg;

	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	*result = 42;
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *out = goro_chan_of(int, 0);
	int fds[2], result = 0;

	if (pipe(fds) != 0)
		return 1;
	go(reader, fds[0], out);
	goro_yield(); /* into its read, perhaps */
	printf("it may wait: we run\n");
	if (write(fds[1], "hello", 5) != 5)
		return 1;
	printf("%d bytes\n", goro_get(out, int));

	goro_blocking(slow_library, &result);
	printf("result: %d\n", result);
	goro_chan_unref(out);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/*
 * Prints:
 *   it may wait: we run
 *   5 bytes
 *   result: 42
 */
