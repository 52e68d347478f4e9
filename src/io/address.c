/*
 * address.c - reading networks and addresses.
 *
 *   "tcp6"         -> [network_parse] -> family, type
 *   "@name"        -> [unix_parse]    -> struct sockaddr_un
 *   "[fe80::1%lo]:http" -> [inet_parse] -> host, port, the address itself if it is one
 *
 * AD1  Nothing here waits: a name stays a name, and a service is found only in a table of ours.
 * AD2  What is read is bounded before it is copied.
 *
 * Locking: none. Go: SplitHostPort, parsePort, ParseAddr; the readServices table in net/port.go.
 */
#include "io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"

int network_parse(const char *text, struct network *to)
{
	static const struct {
		const char *name;
		struct network network;
	} networks[] = {
		{"tcp", {AF_UNSPEC, SOCK_STREAM}},     {"tcp4", {AF_INET, SOCK_STREAM}},
		{"tcp6", {AF_INET6, SOCK_STREAM}},     {"udp", {AF_UNSPEC, SOCK_DGRAM}},
		{"udp4", {AF_INET, SOCK_DGRAM}},       {"udp6", {AF_INET6, SOCK_DGRAM}},
		{"unix", {AF_UNIX, SOCK_STREAM}},      {"unixgram", {AF_UNIX, SOCK_DGRAM}},
		{"unixpacket", {AF_UNIX, SOCK_SEQPACKET}},
	};

	for (size_t i = 0; text && i < array_length(networks); i++) {
		if (strcmp(text, networks[i].name) == 0) {
			*to = networks[i].network;
			return 0;
		}
	}
	return -EINVAL;
}

/* A path has its zero at the end; an abstract name, whose '@' stands for one in front, has none. */
int unix_parse(const char *text, struct unix_address *to)
{
	size_t length = text ? strnlen(text, sizeof(to->name.sun_path) + 1) : 0;
	bool is_abstract = length > 0 && text[0] == '@';

	if (length == 0 || length + !is_abstract > sizeof(to->name.sun_path))
		return -EINVAL;
	*to = (struct unix_address){.name.sun_family = AF_UNIX};
	memcpy(to->name.sun_path, text, length);
	if (is_abstract)
		to->name.sun_path[0] = '\0';
	to->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + !is_abstract);
	return 0;
}

/* ---- host and port ---- */

/* Not all systems have an /etc/services, and few programs need more than these. */
static bool service_is_common(const char *name, uint16_t *port)
{
	static const struct {
		const char *name;
		uint16_t port;
	} services[] = {
		{"domain", 53}, {"ftp", 21},    {"ftps", 990}, {"http", 80},  {"https", 443},
		{"imap2", 143}, {"imaps", 993}, {"pop3", 110}, {"pop3s", 995}, {"smtp", 25},
		{"ssh", 22},    {"submission", 587}, {"telnet", 23},
	};

	for (size_t i = 0; i < array_length(services); i++) {
		if (strcmp(name, services[i].name) == 0) {
			*port = services[i].port;
			return true;
		}
	}
	return false;
}

/* 0; 1: no number; -EINVAL: no port has it. */
static int number_parse(const char *text, uint32_t max, uint32_t *to)
{
	uint64_t number = 0;

	if (*text == '+' || *text == '-')
		return -EINVAL;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return 1;
		number = number * 10 + (uint64_t)(*c - '0');
		if (number > max)
			number = (uint64_t)max + 1;
	}
	*to = (uint32_t)number;
	return number > max ? -EINVAL : 0;
}

static int port_parse(const char *text, struct inet_name *to)
{
	uint32_t number = 0;
	int error = number_parse(text, UINT16_MAX, &number);

	to->port = (uint16_t)number;
	to->service[0] = '\0';
	if (error <= 0 || service_is_common(text, &to->port))
		return error < 0 ? error : 0;
	if ((unsigned char)*text <= ' ')
		return -EINVAL; /* libc would read a number behind it */
	size_t length = strlen(text);
	if (length > SERVICE_MAX)
		return -EINVAL;
	memcpy(to->service, text, length + 1); /* AD2 */
	return 0;
}

/* "%eth0" or "%2" */
static int scope_parse(const char *text, uint32_t *to)
{
	int error = *text ? number_parse(text, UINT32_MAX, to) : -EINVAL;

	if (error <= 0)
		return error;
	*to = if_nametoindex(text);
	return *to ? 0 : -EINVAL;
}

/* 1: it is an address; 0: a name. */
static int literal_parse(const char *host, uint16_t port, union inet_address *to)
{
	char bare[INET6_ADDRSTRLEN];
	size_t length = strcspn(host, "%");

	*to = (union inet_address){0};
	if (inet_pton(AF_INET, host, &to->v4.sin_addr) == 1) {
		to->v4.sin_family = AF_INET;
		to->v4.sin_port = htons(port);
		return 1;
	}
	if (length >= sizeof(bare))
		return 0;
	memcpy(bare, host, length);
	bare[length] = '\0';
	if (inet_pton(AF_INET6, bare, &to->v6.sin6_addr) != 1)
		return 0;
	to->v6.sin6_family = AF_INET6;
	to->v6.sin6_port = htons(port);
	int error = host[length] ? scope_parse(host + length + 1, &to->v6.sin6_scope_id) : 0;
	return error ? error : 1;
}

/* "host:port", "[host]:port" -> the host, and where the port begins; NULL: it is neither. */
static const char *host_split(const char *text, const char **host, size_t *length)
{
	bool has_brackets = *text == '[';
	const char *end = strchr(text, has_brackets ? ']' : ':');

	if (!end)
		return NULL;
	*host = text + has_brackets;
	*length = (size_t)(end - *host);
	end += has_brackets;
	if (*end != ':' || strpbrk(end + 1, ":[]"))
		return NULL;
	if (memchr(*host, '[', *length) || (!has_brackets && memchr(*host, ']', *length)))
		return NULL;
	return end + 1;
}

int inet_parse(const char *text, const struct network *net, struct inet_name *to)
{
	const char *host, *port;
	size_t length;

	port = text ? host_split(text, &host, &length) : NULL;
	if (!port || length > HOST_MAX)
		return -EINVAL;
	memcpy(to->host, host, length);
	to->host[length] = '\0';
	int error = port_parse(port, to);
	if (error)
		return error;
	error = length ? literal_parse(to->host, to->port, &to->literal) : 0;
	if (error < 0)
		return error;
	to->is_literal = error;
	/* Only an address has colons, and one that cannot be read is nobody's name. */
	if (!to->is_literal && strpbrk(to->host, ":%"))
		return -EINVAL;
	if (to->is_literal && net->family != AF_UNSPEC &&
	    net->family != to->literal.any.sa_family)
		return -EINVAL;
	GORO_ASSERT(to->is_literal || length == 0 || to->host[0]);
	return 0;
}
