/*
 * goro_dial.c - what goes wrong with addresses, and the addresses of a name.
 */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <goro.h>

static void try(const char *network, const char *address, int64_t deadline)
{
	int fd = goro_dial(network, address, deadline);

	printf("%s %s: %s\n", network, address, fd < 0 ? strerror(-fd) : "connected");
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
 *   127.0.0.1
 */
