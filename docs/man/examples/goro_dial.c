/*
 * goro_dial.c - what goes wrong with addresses, and the addresses of a name.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <goro.h>

static const char *text_of(const char *network, int error)
{
	if (strncmp(network, "unix", 4) == 0)
		return strerror(-error);
	switch (error) {
	case -ENOENT: return "no such host or service";
	case -EAGAIN: return "the name servers do not answer";
	case -EIO: return "the name servers fail";
	default: return strerror(-error);
	}
}

static void try(const char *network, const char *address, int64_t deadline)
{
	int fd = goro_dial(network, address, deadline);

	printf("%s %s: %s\n", network, address, fd < 0 ? text_of(network, fd) : "connected");
	if (fd >= 0)
		goro_close(fd);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
	char host[64];

	int listener = goro_listen("unix", "@goro_dial_example");
	try("unix", "@goro_dial_example", goro_now() + GORO_SEC(1));
	goro_close(listener);
	try("unix", "@goro_dial_example", goro_now() + GORO_SEC(1));
	try("tcp", "127.0.0.1", GORO_FOREVER);
	try("tcp", "127.0.0.1:http", GORO_POLL);
	try("tcp", "127.0.0.1:no-such-service", GORO_FOREVER);
	try("unix", "/no/such/path", GORO_FOREVER);
	if (goro_getaddrinfo("127.0.0.1", "80", &hints, &list) == 0) {
		getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof(host), NULL, 0,
			    NI_NUMERICHOST);
		puts(host);
		freeaddrinfo(list);
	}
	return 0;
}

/*
 * Prints:
 *   unix @goro_dial_example: connected
 *   unix @goro_dial_example: Connection refused
 *   tcp 127.0.0.1: Invalid argument
 *   tcp 127.0.0.1:http: Connection timed out
 *   tcp 127.0.0.1:no-such-service: no such host or service
 *   unix /no/such/path: No such file or directory
 *   127.0.0.1
 */
