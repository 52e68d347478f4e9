/*
 * echo.c - sends back what it reads, a goroutine for each connection; its twin is go/echo.go.
 *
 *   echo PORT        on 127.0.0.1
 */
#include <stdio.h>
#include <string.h>

#include "goro.h"

static void serve(int fd)
{
	char buffer[1024]; /* with the frames above it: one page of stack */
	ssize_t n;

	while ((n = goro_read(fd, buffer, sizeof(buffer))) > 0)
		if (goro_write_all(fd, buffer, (size_t)n) != n)
			break;
	goro_close(fd);
}

static int fail(const char *what, int error)
{
	fprintf(stderr, "echo: %s: %s\n", what, strerror(-error));
	return 1;
}

int goro_main(int argc, char **argv)
{
	char address[64];

	if (argc != 2) {
		fprintf(stderr, "usage: %s PORT\n", argv[0]);
		return 2;
	}
	snprintf(address, sizeof(address), "127.0.0.1:%s", argv[1]);
	int listener = goro_listen("tcp", address);
	if (listener < 0)
		return fail(address, listener);
	for (;;) {
		int fd = goro_accept(listener, NULL, NULL);
		if (fd < 0)
			return fail("accept", fd);
		go(serve, fd);
	}
}
