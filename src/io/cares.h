/*
 * cares.h - names asked of DNS by c-ares, over our own poller.
 *
 *   resolve.c -> [cares_is_there], names_read -> [cares_look_up]
 */
#ifndef IO_CARES_H
#define IO_CARES_H

#include <errno.h>

#include "io/names.h"
#include "io/resolve.h"

/* At its first call it looks for the library, so it may wait. */
bool cares_is_there(void);
/* Its version, or NULL: not there, or not wanted; for `goro env`. Likewise. */
const char *cares_about(void);

/*
 * The addresses of name->host, of the network's family, with name->port; in order. As resolve(),
 * but that nothing goes on after -ETIMEDOUT and -ECANCELED. Also -EMFILE and what else sockets say,
 * and CARES_LIBC_KNOWS: getaddrinfo() must be asked (CA7).
 */
enum { CARES_LIBC_KNOWS = -EREMOTE };
int cares_look_up(const struct inet_name *name, const struct network *net,
		  const struct names *how, int64_t deadline, struct addresses *to);

#endif
