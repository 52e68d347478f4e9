/*
 * names.h - which names are for DNS alone, and whom to ask.
 *
 *   resolve.c -> [names_read] -> cares.c
 */
#ifndef IO_NAMES_H
#define IO_NAMES_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/address.h"

enum { NAMES_SERVERS = 3, NAMES_DOMAINS = 6 }; /* libc takes as many servers */

/* Where the files are. */
struct names_files {
	const char *nsswitch, *resolv, *hosts, *gai;
};
extern const struct names_files names_files;

/* What /etc/resolv.conf says. */
struct names {
	char servers[NAMES_SERVERS][INET6_ADDRSTRLEN];
	char domains[NAMES_DOMAINS][HOST_MAX + 1];
	uint32_t n_servers, n_domains;
	uint32_t n_dots, timeout_s, attempts;
	bool has_rotation;
};

/*
 * True: getaddrinfo() would ask these servers alone for the name. False: it would, or might, look
 * elsewhere. Reads files, so it may wait.
 */
bool names_read(const char *host, const struct names_files *files, struct names *to);

#endif
