/*
 * address.h - the two texts that name an end of a connection: "tcp", "[::1]:8080".
 *
 *   goro_listen, goro_dial -> [network_parse] -> [unix_parse] or [inet_parse] -> resolve.h, dial.c
 */
#ifndef IO_ADDRESS_H
#define IO_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct network {
	int family; /* AF_UNSPEC: of both kinds, AF_INET, AF_INET6, AF_UNIX */
	int type;   /* SOCK_STREAM, ... */
};

struct unix_address {
	struct sockaddr_un name;
	socklen_t size;
};

union inet_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline socklen_t inet_size(const union inet_address *a)
{
	return a->any.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

enum { HOST_MAX = 255, SERVICE_MAX = 63 };

/* A host and a port as they were written. */
struct inet_name {
	char host[HOST_MAX + 1];       /* "": none */
	char service[SERVICE_MAX + 1]; /* "": `port` is known */
	uint16_t port;
	bool is_literal;               /* the host is an address: */
	union inet_address literal;    /* with the port, once that is known */
};

/* All of them: 0, or -EINVAL and *to is undefined. */
int network_parse(const char *text, struct network *to);
int unix_parse(const char *text, struct unix_address *to);
/* Also -EINVAL: an address of another family than the network's. */
int inet_parse(const char *text, const struct network *net, struct inet_name *to);

#endif
