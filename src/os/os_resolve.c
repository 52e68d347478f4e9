/*
 * os_resolve.c - the system's resolver, with its errors as all others.
 *
 *   io/resolve -> [os_resolve] -> getaddrinfo()
 *
 * Locking: none of ours; it may wait long, and for a lock of libc's.
 */
#include <errno.h>
#include <netdb.h>

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
