/*
 * goro_read.c - a goroutine answers what it reads, on one end of a pair of sockets.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <goro.h>

static void echo(int fd)
{
	char data[512];
	ssize_t n;

	while ((n = goro_read(fd, data, sizeof(data))) > 0)
		if (goro_write_all(fd, data, (size_t)n) < 0)
			break;
	goro_close(fd);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	char answer[6] = "";
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return 1;
	if (goro_fd_add(fd[0]) < 0 || goro_fd_add(fd[1]) < 0)
		return 1;
	go(echo, fd[1]);
	goro_write_all(fd[0], "hello", 5);
	printf("%zd bytes: ", goro_read_full(fd[0], answer, 5));
	puts(answer);
	shutdown(fd[0], SHUT_WR); /* the other side reads the end of the data, and closes */
	printf("then %zd\n", goro_read(fd[0], answer, 5));
	goro_close(fd[0]);
	return 0;
}

/*
 * Prints:
 *   5 bytes: hello
 *   then 0
 */
