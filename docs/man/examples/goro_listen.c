/*
 * goro_listen.c - a server of one goroutine a connection, and three clients.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <goro.h>

static void answer(int fd)
{
	char line[64];
	ssize_t n;

	goro_set_deadline(fd, goro_now() + GORO_SEC(5));
	if ((n = goro_read(fd, line, sizeof(line))) > 0)
		goro_write_all(fd, line, (size_t)n);
	goro_close(fd);
}

static void serve(int listener)
{
	int fd;

	while ((fd = goro_accept(listener, NULL, NULL)) >= 0)
		go(answer, fd);
	printf("no more: %d\n", fd); /* -EBADF: it was closed */
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct sockaddr_in at;
	socklen_t size = sizeof(at);
	char text[64], data[64];

	int listener = goro_listen("tcp", "127.0.0.1:0");
	if (listener < 0 || getsockname(listener, (struct sockaddr *)&at, &size) < 0)
		return 1;
	snprintf(text, sizeof(text), "127.0.0.1:%d", ntohs(at.sin_port));
	go(serve, listener);
	for (int i = 1; i <= 3; i++) {
		int fd = goro_dial("tcp", text, goro_now() + GORO_SEC(5));
		if (fd < 0)
			return 1;
		goro_write_all(fd, &i, sizeof(i));
		if (goro_read_full(fd, data, sizeof(i)) == sizeof(i))
			printf("client %d\n", *(int *)(void *)data);
		goro_close(fd);
	}
	goro_close(listener);
	goro_sleep(GORO_MS(10));
	return 0;
}

/*
 * Prints:
 *   client 1
 *   client 2
 *   client 3
 *   no more: -9
 */
