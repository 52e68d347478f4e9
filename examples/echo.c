/*
 * echo.c - a TCP server that sends back what it gets: a goroutine for each connection.
 *
 *   usage: echo [ADDRESS]          "127.0.0.1:7007" if not told; port 0 takes any free one
 *   cc -std=gnu11 -Iinclude examples/echo.c build/libgoro.a -pthread
 *
 * Prints "listening on 127.0.0.1:7007". A connection that is silent for a minute, or does not take
 * what it is sent for as long, is closed.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "goro.h"

#define PATIENCE GORO_SEC(60)

/* Until the peer ends, fails, or is too slow. */
static void serve(int fd)
{
	char data[4096];
	ssize_t n = 1;
	while (n > 0 && goro_set_deadline(fd, goro_now() + PATIENCE) == 0) {
		n = goro_read(fd, data, sizeof(data));
		if (n > 0 && goro_write_all(fd, data, (size_t)n) != n)
			break;
	}
	goro_close(fd);
}

int goro_main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "127.0.0.1:7007";
	int listener = argc > 2 ? -EINVAL : goro_listen("tcp4", address);
	if (listener < 0)
		errx(2, "%s: %s (usage: echo [ADDRESS])", address,
		     listener == -ENOENT ? "no such host or service" : strerror(-listener));
	struct sockaddr_in at;
	socklen_t size = sizeof(at);
	if (getsockname(listener, (struct sockaddr *)&at, &size) < 0)
		err(1, "getsockname");
	printf("listening on %s:%d\n", inet_ntoa(at.sin_addr), ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = goro_accept(listener, NULL, NULL);
		if (fd >= 0) {
			go(serve, fd);
			continue;
		}
		/* Out of descriptors or memory: the connection waits in the queue, and so do we. */
		warnx("accept: %s", strerror(-fd));
		goro_sleep(GORO_MS(100));
	}
}
