/*
 * order.c - which of a name's addresses comes first.
 *
 *   cares.c -> [addresses_order] -> for each the address that we would have (a UDP socket is
 *              connected: nothing is sent) -> compared by the rules of RFC 6724, section 6
 *
 * OR1  The tables are those that libc has built in, which gai.conf(5) shows, and so is rule 9 for
 *      IPv4: among addresses in the network of our own. Go and c-ares have newer tables and leave
 *      that out, so that they would give another address first than the rest of the machine sees.
 * OR2  Rules 3, 4 and 7 (addresses that are going out of use, mobility, tunnels) are left out: they
 *      tell between our own addresses, which the kernel has chosen.
 *
 * Locking: none. Go: addrselect.go in package net.
 */
#include "io/order.h"

#include <stdlib.h>
#include <string.h>

#include "os/os.h"
#include "os/os_io.h"

/* One address, and what the rules look at. */
struct ranked {
	union inet_address to;
	bool has_source;            /* rule 1: there is a way */
	uint32_t scope, source_scope;
	uint32_t label, source_label;
	uint32_t precedence;
	uint32_t at;                /* rule 10: where it was */
	uint32_t shared;            /* rule 9, IPv4: bits; 0 in another network */
	struct in6_addr v6, source; /* an IPv4 address as ::ffff:a.b.c.d */
};

static struct in6_addr as_v6(const union inet_address *a)
{
	struct in6_addr v6 = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (a->any.sa_family == AF_INET6)
		return a->v6.sin6_addr;
	memcpy(&v6.s6_addr[12], &a->v4.sin_addr, 4);
	return v6;
}

/* How many bits from the first on are the same. */
static uint32_t bits_shared(const struct in6_addr *a, const struct in6_addr *b)
{
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t differ = (uint32_t)(a->s6_addr[i] ^ b->s6_addr[i]);
		if (differ)
			return 8 * i + (uint32_t)__builtin_clz(differ) - 24;
	}
	return 128;
}

/* Link-local 2, site-local 5, global 14; of multicast what the address says. */
static uint32_t scope_of(const struct in6_addr *a)
{
	if (IN6_IS_ADDR_V4MAPPED(a))
		return a->s6_addr[12] == 127 || (a->s6_addr[12] == 169 && a->s6_addr[13] == 254)
			       ? 2
			       : 14;
	if (IN6_IS_ADDR_MULTICAST(a))
		return a->s6_addr[1] & 15;
	if (IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_LOOPBACK(a))
		return 2;
	return IN6_IS_ADDR_SITELOCAL(a) ? 5 : 14;
}

/* OR1: the first that matches; longest first. */
static const struct policy {
	struct in6_addr prefix;
	uint32_t bits, label, precedence;
} policies[] = {
	{{{{[15] = 1}}}, 128, 0, 50},
	{{{{[10] = 0xff, [11] = 0xff}}}, 96, 4, 10},
	{{{{0}}}, 96, 3, 20},
	{{{{0x20, 0x01}}}, 32, 7, 40},
	{{{{0x20, 0x02}}}, 16, 2, 30},
	{{{{0xfe, 0xc0}}}, 10, 5, 40},
	{{{{0xfc}}}, 7, 6, 40},
	{{{{0}}}, 0, 1, 40},
};

static const struct policy *policy_of(const struct in6_addr *a)
{
	const struct policy *p = policies;

	while (bits_shared(a, &p->prefix) < p->bits)
		p++;
	return p;
}

/* What our own address would be for a connection to it. */
static bool source_find(const union inet_address *to, union inet_address *source)
{
	socklen_t size = sizeof(*source);
	int fd = os_socket(to->any.sa_family, SOCK_DGRAM, 0);

	if (fd < 0)
		return false;
	bool is_found = os_socket_connect(fd, &to->any, inet_size(to)) == 0 &&
			os_socket_name(fd, &source->any, &size) == 0;
	(void)os_fd_close(fd);
	return is_found;
}

static void rank(struct ranked *r, const union inet_address *to, uint32_t at)
{
	union inet_address source;

	*r = (struct ranked){.to = *to, .at = at, .v6 = as_v6(to)};
	r->scope = scope_of(&r->v6);
	r->label = policy_of(&r->v6)->label;
	r->precedence = policy_of(&r->v6)->precedence;
	r->has_source = source_find(to, &source);
	if (!r->has_source)
		return;
	r->source = as_v6(&source);
	r->source_scope = scope_of(&r->source);
	r->source_label = policy_of(&r->source)->label;
}

/* For rule 9, which tells between two at least. */
static void networks_look(struct ranked *all, uint32_t n)
{
	uint32_t sources[ADDRESSES_MAX], bits[ADDRESSES_MAX], n_v4 = 0;
	struct ranked *v4[ADDRESSES_MAX];

	for (uint32_t i = 0; i < n; i++) {
		if (!all[i].has_source || all[i].to.any.sa_family != AF_INET)
			continue;
		memcpy(&sources[n_v4], &all[i].source.s6_addr[12], 4);
		v4[n_v4++] = &all[i];
	}
	if (n_v4 < 2)
		return;
	os_network_bits(sources, bits, n_v4);
	for (uint32_t i = 0; i < n_v4; i++) {
		uint32_t shared = bits_shared(&v4[i]->v6, &v4[i]->source) - 96;
		v4[i]->shared = shared >= bits[i] ? shared : 0;
	}
}

/* Rule 9, of two of one family. */
static int prefix_compare(const struct ranked *a, const struct ranked *b)
{
	uint32_t in_a = a->shared, in_b = b->shared;

	if (a->to.any.sa_family == AF_INET6) {
		in_a = bits_shared(&a->v6, &a->source);
		in_b = bits_shared(&b->v6, &b->source);
	}
	return (in_a < in_b) - (in_a > in_b);
}

/* < 0: a comes first. */
static int ranked_compare(const void *first, const void *second)
{
	const struct ranked *a = first, *b = second;
	bool fits_a, fits_b;

	if (a->has_source != b->has_source) /* 1 */
		return b->has_source - a->has_source;
	fits_a = a->has_source && a->scope == a->source_scope;
	fits_b = b->has_source && b->scope == b->source_scope;
	if (fits_a != fits_b) /* 2 */
		return fits_b - fits_a;
	fits_a = a->has_source && a->label == a->source_label;
	fits_b = b->has_source && b->label == b->source_label;
	if (fits_a != fits_b) /* 5 */
		return fits_b - fits_a;
	if (a->precedence != b->precedence) /* 6 */
		return (int)b->precedence - (int)a->precedence;
	if (a->scope != b->scope) /* 8 */
		return (int)a->scope - (int)b->scope;
	int by_prefix = 0;
	if (a->has_source && a->to.any.sa_family == b->to.any.sa_family)
		by_prefix = prefix_compare(a, b);
	return by_prefix ? by_prefix : (int)a->at - (int)b->at; /* 10 */
}

void addresses_order(struct addresses *all)
{
	struct ranked ranked[ADDRESSES_MAX];

	if (all->n < 2)
		return;
	for (uint32_t i = 0; i < all->n; i++)
		rank(&ranked[i], &all->at[i], i);
	networks_look(ranked, all->n);
	qsort(ranked, all->n, sizeof(ranked[0]), ranked_compare);
	for (uint32_t i = 0; i < all->n; i++)
		all->at[i] = ranked[i].to;
}
