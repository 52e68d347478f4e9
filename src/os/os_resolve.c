/*
 * os_resolve.c - the system's resolver, with its errors as all others, and what io/cares.c needs.
 *
 *   io/resolve -> [os_resolve] -> getaddrinfo()
 *   io/names   -> [os_host_name], [os_resolver_is_told]
 *   io/order   -> [os_network_bits] -> the addresses of this machine
 *   io/cares   -> [os_as_libc], on its way back to c-ares
 *
 * Locking: none of ours; it may wait long, and for a lock of libc's. Go: cgo_unix.go in net.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/os_io.h"

static int error_of_resolver(int error)
{
	switch (error) {
	case 0: return 0;
	case EAI_SYSTEM: return errno > 0 ? -errno : -EIO;
	case EAI_AGAIN: return -EAGAIN;
	case EAI_MEMORY: return -ENOMEM;
	case EAI_FAIL: return -EIO;
	default: return -ENOENT;
	}
}

int os_resolve(const char *node, const char *service, const struct addrinfo *hints,
	       struct addrinfo **list)
{
	return error_of_resolver(getaddrinfo(node, service, hints, list));
}

int os_host_name(char *to, size_t size)
{
	return gethostname(to, size) == 0 ? 0 : -errno;
}

bool os_resolver_is_told(void)
{
	return getenv("LOCALDOMAIN") || getenv("RES_OPTIONS") || getenv("HOSTALIASES") ||
	       access("/var/run/nscd/socket", F_OK) == 0;
}

static uint32_t v4_of(const struct sockaddr *address)
{
	return ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr;
}

void os_network_bits(const uint32_t *addresses, uint32_t *bits, uint32_t n)
{
	struct ifaddrs *all = NULL;

	for (uint32_t i = 0; i < n; i++)
		bits[i] = 0;
	if (getifaddrs(&all) != 0)
		return;
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		if (!a->ifa_addr || !a->ifa_netmask || a->ifa_addr->sa_family != AF_INET)
			continue;
		for (uint32_t i = 0; i < n; i++)
			if (!bits[i] && v4_of(a->ifa_addr) == addresses[i])
				bits[i] = (uint32_t)__builtin_popcount(v4_of(a->ifa_netmask));
	}
	freeifaddrs(all);
}

ssize_t os_as_libc(ssize_t result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}
