/*
 * deaf.c - a client that says what it is told to, and never listens.
 *
 *   usage: deaf PORT <what-to-say
 *
 * Ends when its input does.
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)atoi(argc > 1 ? argv[1] : "0"))};
	int fd = socket(AF_INET, SOCK_STREAM, 0), small = 4096;
	char data[4096];
	ssize_t n;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) < 0 ||
	    connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		err(1, "connect");
	while ((n = read(0, data, sizeof(data))) > 0)
		if (send(fd, data, (size_t)n, MSG_NOSIGNAL) != n)
			return 0;
	return 0;
}
