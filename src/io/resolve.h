/*
 * resolve.h - names become addresses.
 *
 *   goro_listen, goro_dial -> [resolve] -> at once; c-ares or getaddrinfo() while others run
 */
#ifndef IO_RESOLVE_H
#define IO_RESOLVE_H

#include "io/address.h"

/* More of a name's addresses than anybody would wait for. */
enum { ADDRESSES_MAX = 32 };

struct addresses {
	uint32_t n;
	union inet_address at[ADDRESSES_MAX];
};

/*
 * At least one address, as the system orders them (RFC 6724), with the port; of no host that of
 * this machine: to listen on (is_passive), or to be dialled. 0; -ENOENT: no such name or service;
 * -EAGAIN: the name servers do not answer; -EIO: they fail; -ENOMEM, -EMFILE, ...; -ETIMEDOUT,
 * -ECANCELED: the lookup goes on without us.
 */
int resolve(const struct inet_name *name, const struct network *net, bool is_passive,
	    int64_t deadline, struct addresses *to);

#endif
