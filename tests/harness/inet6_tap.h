/*
 * inet6_tap.h - an IPv6 address of the test's own, on an interface of its network namespace.
 *
 *   inet6_add(1, "fd00::5", 64) -> SIOCSIFADDR -> waits until a datagram goes from the address to
 *   itself: the kernel lets it be used by a worker of its own, after the ioctl has returned. Until
 *   then it is no source (so that the order of a name's addresses changes under the test), and no
 *   way leads to it
 */
#ifndef GORO_TESTS_INET6_TAP_H
#define GORO_TESTS_INET6_TAP_H

#include "tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static bool inet6_reaches_itself(const struct in6_addr *address)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = *address};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd arrives = {.fd = fd, .events = POLLIN};
	bool is_there = bind(fd, (struct sockaddr *)&at, size) == 0 &&
			getsockname(fd, (struct sockaddr *)&at, &size) == 0 &&
			sendto(fd, "", 1, MSG_DONTWAIT, (struct sockaddr *)&at, size) == 1 &&
			poll(&arrives, 1, 10) == 1;
	close(fd);
	return is_there;
}

/* False: there is no IPv6 here. */
static bool inet6_add(int interface, const char *address, uint32_t prefix)
{
	struct {
		struct in6_addr address;
		uint32_t prefix;
		int interface;
	} one = {.prefix = prefix, .interface = interface};
	require_eq(inet_pton(AF_INET6, address, &one.address), 1);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_added = fd >= 0 && ioctl(fd, SIOCSIFADDR, &one) == 0;
	if (fd >= 0)
		close(fd);
	for (int i = 0; is_added && !inet6_reaches_itself(&one.address); i++) {
		require(i < 10000);
		usleep(1000);
	}
	return is_added;
}

#endif
