/*
 * goro_fd_add.c - a pipe of the program's own: deadlines, readiness, and the end of a wait.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <goro.h>

static void closes(int fd)
{
	goro_sleep(GORO_MS(10));
	goro_close(fd);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	char data[8];
	int fd[2];

	if (pipe(fd) < 0 || goro_fd_add(fd[0]) < 0 || goro_fd_add(fd[1]) < 0)
		return 1;
	goro_set_read_deadline(fd[0], goro_now() + GORO_MS(10));
	printf("empty: %s\n", strerror(-(int)goro_read(fd[0], data, sizeof(data))));
	goro_set_read_deadline(fd[0], GORO_FOREVER);
	goro_write_all(fd[1], "x", 1);
	if (goro_fd_wait(fd[0], POLLIN, goro_now() + GORO_SEC(1)) == POLLIN)
		printf("ready: %zd byte\n", read(fd[0], data, sizeof(data)));
	go(closes, fd[0]);
	printf("closed: %s\n", strerror(-(int)goro_read(fd[0], data, sizeof(data))));
	goro_close(fd[1]);
	return 0;
}

/*
 * Prints:
 *   empty: Connection timed out
 *   ready: 1 byte
 *   closed: Bad file descriptor
 */
