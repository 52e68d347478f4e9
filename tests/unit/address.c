/*
 * address.c - AD1, AD2: networks, paths, hosts and ports as they are written; src/io/address.c.
 */
#include "tap.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>

#include "io/address.h"

static const struct network any = {AF_UNSPEC, SOCK_STREAM};

TAP_CASE(networks_have_a_family_and_a_type, .procs = "-")
{
	static const struct {
		const char *name;
		int family, type;
	} all[] = {
		{"tcp", AF_UNSPEC, SOCK_STREAM},     {"tcp4", AF_INET, SOCK_STREAM},
		{"tcp6", AF_INET6, SOCK_STREAM},     {"udp", AF_UNSPEC, SOCK_DGRAM},
		{"udp4", AF_INET, SOCK_DGRAM},       {"udp6", AF_INET6, SOCK_DGRAM},
		{"unix", AF_UNIX, SOCK_STREAM},      {"unixgram", AF_UNIX, SOCK_DGRAM},
		{"unixpacket", AF_UNIX, SOCK_SEQPACKET},
	};
	static const char *const bad[] = {"",	  "t",	  "tcp5", "TCP", "tcp ", " tcp",
					  "tcp4x", "ip",  "ip4",  "unixg", "tcp\n"};
	struct network net;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		expect_eq(network_parse(all[i].name, &net), 0);
		expect_eq(net.family, all[i].family);
		expect_eq(net.type, all[i].type);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_eq(network_parse(bad[i], &net), -EINVAL);
	expect_eq(network_parse(NULL, &net), -EINVAL);
}

TAP_CASE(paths_end_with_a_zero_and_abstract_names_begin_with_one, .procs = "-")
{
	struct unix_address a;
	char text[120];

	expect_eq(unix_parse("/tmp/x", &a), 0);
	expect_eq(a.name.sun_family, AF_UNIX);
	expect_str(a.name.sun_path, "/tmp/x");
	expect_eq(a.size, offsetof(struct sockaddr_un, sun_path) + 7);
	expect_eq(unix_parse("@x", &a), 0);
	expect(memcmp(a.name.sun_path, "\0x", 2) == 0);
	expect_eq(a.size, offsetof(struct sockaddr_un, sun_path) + 2);
	expect_eq(unix_parse("", &a), -EINVAL);
	expect_eq(unix_parse(NULL, &a), -EINVAL);
	memset(text, 'x', sizeof(text));
	text[107] = '\0';
	expect_eq(unix_parse(text, &a), 0);
	expect_eq(a.size, sizeof(struct sockaddr_un));
	text[107] = 'x';
	text[108] = '\0';
	expect_eq(unix_parse(text, &a), -EINVAL);
	text[0] = '@';
	expect_eq(unix_parse(text, &a), 0);
	expect_eq(a.size, sizeof(struct sockaddr_un));
	text[108] = 'x';
	text[109] = '\0';
	expect_eq(unix_parse(text, &a), -EINVAL);
}

/* What was read, as text: the address or the name, the scope, the port or the service. */
struct read_text {
	char text[600];
};

static struct read_text read_of(const char *text, int family)
{
	struct read_text r = {"EINVAL"};
	struct network net = {family, SOCK_STREAM};
	struct inet_name name;
	char host[INET6_ADDRSTRLEN + 300] = "";

	int error = inet_parse(text, &net, &name);
	if (error) {
		expect_eq(error, -EINVAL);
		return r;
	}
	const union inet_address *a = &name.literal;
	if (!name.is_literal)
		snprintf(host, sizeof(host), "name(%s)", name.host);
	else if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
	else
		inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
	if (name.is_literal) {
		/* The port lies at the same place in both. */
		expect_eq(a->v4.sin_port, htons(name.port));
		expect_eq(a->v6.sin6_port, htons(name.port));
	}
	if (name.is_literal && a->any.sa_family == AF_INET6 && a->v6.sin6_scope_id)
		snprintf(host + strlen(host), 16, "%%%u", a->v6.sin6_scope_id);
	if (name.service[0])
		snprintf(r.text, sizeof(r.text), "%s service(%s)", host, name.service);
	else
		snprintf(r.text, sizeof(r.text), "%s %u", host, name.port);
	return r;
}

TAP_CASE(hosts_and_ports_are_split, .procs = "-")
{
	static const char *const good[][2] = {
		{"127.0.0.1:8080", "127.0.0.1 8080"},
		{"0.0.0.0:0", "0.0.0.0 0"},
		{"[127.0.0.1]:8080", "127.0.0.1 8080"},
		{"[::1]:65535", "::1 65535"},
		{"[::]:0", ":: 0"},
		{"[2001:db8::a]:1", "2001:db8::a 1"},
		{"[::ffff:1.2.3.4]:5", "::ffff:1.2.3.4 5"},
		{":8080", "name() 8080"},
		{"[]:8080", "name() 8080"},
		{":", "name() 0"},
		{"127.0.0.1:", "127.0.0.1 0"},
		{"127.0.0.1:000080", "127.0.0.1 80"},
		{"localhost:1", "name(localhost) 1"},
		{"[localhost]:1", "name(localhost) 1"},
		{"localhost:http", "name(localhost) 80"},
		{"localhost:https", "name(localhost) 443"},
		{"localhost:x11", "name(localhost) service(x11)"},
		{"127.0.0.1:domain", "127.0.0.1 53"},
		{"127.1:1", "name(127.1) 1"},
		{"1.2.3.4.5:1", "name(1.2.3.4.5) 1"},
		{"256.0.0.1:1", "name(256.0.0.1) 1"},
		{":80a", "name() service(80a)"},
	};
	static const char *const bad[] = {
		"", "127.0.0.1", "localhost", "::1", "::1:80", "[::1]", "[::1]80", "[::1:80",
		"::1]:80", "[[::1]]:80", "[::1]:80]", "[::1]]:80", "a:b:c", "[a]:b:c", ":65536",
		": 80", ":\t80",
		":-1", ":+1", ":99999999999999999999", ":4294967376", "[::g]:1", "[1:2:3]:4",
		"a%b:1", "127.0.0.1%lo:1", "[::1%]:1", "[::1%nosuch0]:1", "[::1%-1]:1",
		"[::1%4294967296]:1", "[:1", "]:1", "[1:2:3:4:5:6:7:8:9]:1",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		expect_str(read_of(good[i][0], AF_UNSPEC).text, good[i][1]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (strcmp(read_of(bad[i], AF_UNSPEC).text, "EINVAL") != 0)
			expect_str(bad[i], "refused");
	struct inet_name name;
	expect_eq(inet_parse(NULL, &any, &name), -EINVAL);
}

TAP_CASE(scopes_are_names_or_numbers_of_interfaces, .procs = "-")
{
	char want[64];

	snprintf(want, sizeof(want), "fe80::1%%%u 80", if_nametoindex("lo"));
	expect_str(read_of("[fe80::1%lo]:80", AF_UNSPEC).text, want);
	expect_str(read_of("[fe80::1%lo]:http", AF_INET6).text, want);
	expect_str(read_of("[fe80::1%7]:80", AF_UNSPEC).text, "fe80::1%7 80");
	expect_str(read_of("[fe80::1%4294967295]:80", AF_UNSPEC).text, "fe80::1%4294967295 80");
}

TAP_CASE(an_address_must_be_of_its_network, .procs = "-")
{
	expect_str(read_of("127.0.0.1:1", AF_INET).text, "127.0.0.1 1");
	expect_str(read_of("127.0.0.1:1", AF_INET6).text, "EINVAL");
	expect_str(read_of("[::1]:1", AF_INET).text, "EINVAL");
	expect_str(read_of("[::1]:1", AF_INET6).text, "::1 1");
	expect_str(read_of(":1", AF_INET6).text, "name() 1");
}

TAP_CASE(long_texts_are_refused, .procs = "-")
{
	char text[2000];
	struct inet_name name;

	for (size_t length = 1; length < 1500; length++) {
		memset(text, 'h', length);
		memcpy(text + length, ":1", 3);
		expect_eq(inet_parse(text, &any, &name), length <= HOST_MAX ? 0 : -EINVAL);
		text[0] = ':';
		memset(text + 1, 's', length);
		text[length + 1] = '\0';
		expect_eq(inet_parse(text, &any, &name), length <= SERVICE_MAX ? 0 : -EINVAL);
		memcpy(text, "[::1%", 5);
		memset(text + 5, '7', length);
		memcpy(text + 5 + length, "]:1", 4);
		expect_eq(inet_parse(text, &any, &name), length <= 9 ? 0 : -EINVAL);
		memcpy(text, "[::1%", 5);
		memset(text + 5, ':', length);
		memcpy(text + 5 + length, "]:1", 4);
		expect_eq(inet_parse(text, &any, &name), -EINVAL);
	}
}

/* AD2: whatever comes in, under the sanitizers. */
TAP_CASE(noise_is_read_or_refused, .procs = "-")
{
	static const char letters[] = "[]:%.0123456789abcfhlopt@/-+ \n\x80\xff";
	uint64_t state = tap_seed();
	struct inet_name name;
	struct unix_address path;

	for (int i = 0; i < 200000; i++) {
		char text[48];
		size_t length = tap_random(&state) % sizeof(text);
		for (size_t j = 0; j < length; j++)
			text[j] = letters[tap_random(&state) % (sizeof(letters) - 1)];
		text[length] = '\0';
		int error = inet_parse(text, &any, &name);
		expect(error == 0 || error == -EINVAL);
		if (!error && !name.is_literal)
			expect(strlen(name.host) <= length);
		expect_eq(unix_parse(text, &path), text[0] ? 0 : -EINVAL);
	}
}

TAP_MAIN
