/*
 * dns_tap.h - a name server of the test's own, and a machine that asks it.
 *
 *   dns_begin("nameserver 127.0.0.1\n", "127.0.0.1 localhost\n") -> /etc/resolv.conf, hosts and
 *   nsswitch.conf of our own in a mount namespace; 127.0.0.1:53, UDP and TCP, in a network
 *   namespace; and 127.0.0.3:53, which never answers
 *
 * What it answers stands in dns_zone. Names "w1.test", "w2.test", ... are 127.0.2.1, a while later.
 */
#ifndef GORO_TESTS_DNS_TAP_H
#define GORO_TESTS_DNS_TAP_H

#include "inet6_tap.h"
#include "tap.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

enum dns_kind {
	DNS_PLAIN,
	DNS_RCODE,     /* .rcode */
	DNS_SILENT,
	DNS_LOSSY,     /* every second question is lost */
	DNS_TRUNCATED, /* over UDP */
	DNS_TCP_DEAD,  /* and over TCP the connection ends */
	DNS_WRONG_ID,  /* before the right one */
	DNS_GARBAGE,   /* before the right one */
	DNS_OTHER,     /* the question of another name, before the right one */
	DNS_HALF,      /* AAAA fails */
	DNS_CUT,       /* says that it has a record, and ends */
};

static const struct dns_entry {
	const char *name;
	const char *a[8], *aaaa[8];
	const char *cname;
	enum dns_kind kind;
	int rcode;
} dns_zone[] = {
	{"one.test", .a = {"127.0.1.1"}},
	{"six.test", .aaaa = {"fd00::17"}},
	{"both.test", .a = {"127.0.1.2"}, .aaaa = {"::1"}},
	{"ula.test", .a = {"10.1.2.9", "127.0.0.9"}, .aaaa = {"fd00::9", "2001:db8::9", "fd01::1"}},
	{"many.test",
	 .a = {"192.0.2.1", "10.9.9.9", "10.1.2.200", "127.0.0.9", "10.1.2.4", "10.1.2.2"}},
	{"many6.test",
	 .aaaa = {"2002::1", "2001::1", "fe80::1", "fec0::1", "fd00::5:1", "2001:db8::6",
		  "ff02::1", "fd00::4"}},
	{"mapped.test", .a = {"127.0.1.3"}, .aaaa = {"::ffff:10.1.2.4", "::7"}},
	{"alias.test", .cname = "chain1.test"},
	{"chain1.test", .cname = "chain2.test"},
	{"chain2.test", .cname = "chain3.test"},
	{"chain3.test", .cname = "one.test"},
	{"dangling.test", .cname = "nx.test"},
	{"circle.test", .cname = "circle2.test"},
	{"circle2.test", .cname = "circle.test"},
	{.name = "empty.test"},
	{"servfail.test", .kind = DNS_RCODE, .rcode = 2},
	{"notimp.test", .kind = DNS_RCODE, .rcode = 4},
	{"refused.test", .kind = DNS_RCODE, .rcode = 5},
	{"formerr.test", .kind = DNS_RCODE, .rcode = 1},
	{"silent.test", .kind = DNS_SILENT},
	{"lossy.test", .a = {"127.0.1.4"}, .kind = DNS_LOSSY},
	{"large.test", .a = {"10.1.2.1", "10.1.2.2", "10.1.2.3"}, .aaaa = {"fd00::1"},
	 .kind = DNS_TRUNCATED},
	{"dead.test", .a = {"127.0.1.5"}, .kind = DNS_TCP_DEAD},
	{"wrongid.test", .a = {"127.0.1.6"}, .kind = DNS_WRONG_ID},
	{"garbage.test", .a = {"127.0.1.7"}, .kind = DNS_GARBAGE},
	{"other.test", .a = {"127.0.1.8"}, .kind = DNS_OTHER},
	{"half.test", .a = {"127.0.1.9"}, .kind = DNS_HALF},
	{"x.deep.test", .a = {"127.0.3.1"}},
	{"short.near.test", .a = {"127.0.3.2"}},
	{"short.far.test", .a = {"127.0.3.3"}},
	{"second.near.test", .kind = DNS_RCODE, .rcode = 2},
	{"second.far.test", .a = {"127.0.3.7"}},
	{"third.near.test", .kind = DNS_RCODE, .rcode = 5},
	{"crowd.test", .kind = DNS_TRUNCATED},
	{"malformed.test", .kind = DNS_CUT},
	{"with.dot.far.test", .a = {"127.0.3.4"}},
	{"hyphen-ated_1.test", .a = {"127.0.3.5"}},
	{"top", .a = {"127.0.3.6"}},
};

enum { DNS_WAIT_MS = 20, DNS_QUEUE = 8192, DNS_PACKET = 4096, DNS_CROWD = 48 };

static struct {
	int udp, tcp;
	int n_questions, n_tcp; /* atomic */
	int wait_ms;            /* atomic: of w1.test */
} dns;

struct dns_late {
	int64_t due_ms;
	struct sockaddr_in to;
	uint8_t data[DNS_PACKET];
	size_t size;
};

TAP_UNUSED static int64_t dns_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- answers ---- */

struct dns_out {
	uint8_t *data;
	size_t used;
	int n;
};

static void dns_put16(struct dns_out *o, unsigned value)
{
	o->data[o->used++] = (uint8_t)(value >> 8);
	o->data[o->used++] = (uint8_t)value;
}

static void dns_put_name(struct dns_out *o, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");
		o->data[o->used++] = (uint8_t)n;
		memcpy(o->data + o->used, name, n);
		o->used += n;
		name += n + (name[n] == '.');
	}
	o->data[o->used++] = 0;
}

static void dns_put_record(struct dns_out *o, const char *owner, int type, const char *value)
{
	uint8_t address[16];
	dns_put_name(o, owner);
	dns_put16(o, (unsigned)type);
	dns_put16(o, 1);
	dns_put16(o, 0);
	dns_put16(o, 60);
	size_t size_at = o->used;
	dns_put16(o, 0);
	if (type == 5) {
		dns_put_name(o, value);
	} else {
		size_t n = type == 1 ? 4 : 16;
		require_eq(inet_pton(type == 1 ? AF_INET : AF_INET6, value, address), 1);
		memcpy(o->data + o->used, address, n);
		o->used += n;
	}
	o->data[size_at + 1] = (uint8_t)(o->used - size_at - 2);
	o->n++;
}

static const struct dns_entry *dns_find(const char *name)
{
	for (size_t i = 0; i < sizeof(dns_zone) / sizeof(dns_zone[0]); i++)
		if (strcasecmp(dns_zone[i].name, name) == 0)
			return &dns_zone[i];
	return NULL;
}

/* The question's name and type; where it ends; 0: none. */
static size_t dns_question(const uint8_t *q, size_t size, char *name, int *type)
{
	size_t at = 12, used = 0;
	while (at < size && q[at] && at + q[at] + 1 < size && used + q[at] + 2 < 256) {
		memcpy(name + used, q + at + 1, q[at]);
		used += q[at];
		name[used++] = '.';
		at += q[at] + 1u;
	}
	name[used ? used - 1 : 0] = '\0';
	if (at + 5 > size || q[at])
		return 0;
	*type = q[at + 1] << 8 | q[at + 2];
	return at + 5;
}

static void dns_records(struct dns_out *o, const char *name, int type)
{
	const struct dns_entry *e = dns_find(name);
	for (int hops = 0; e && e->cname && hops < 6; hops++, e = dns_find(e->cname))
		dns_put_record(o, e->name, 5, e->cname);
	for (int i = 0; e && i < 8; i++) {
		const char *value = type == 1 ? e->a[i] : type == 28 ? e->aaaa[i] : NULL;
		if (value)
			dns_put_record(o, e->name, type, value);
	}
	for (int i = 0; i < DNS_CROWD && strcasecmp(name, "crowd.test") == 0 && type == 1; i++) {
		char value[32];
		snprintf(value, sizeof(value), "%s.%d", i % 2 ? "192.0.2" : "10.1.2", i + 1);
		dns_put_record(o, name, 1, value);
	}
	if (name[0] == 'w' && isdigit((unsigned char)name[1]) && type == 1)
		dns_put_record(o, name, 1, "127.0.2.1");
}

/* Its size; 0: no answer. */
static size_t dns_answer(const uint8_t *q, size_t size, uint8_t *data, bool is_tcp, char *name)
{
	int type = 0;
	size_t end = size < 12 ? 0 : dns_question(q, size, name, &type);
	const struct dns_entry *e = end ? dns_find(name) : NULL;
	bool is_late = end && name[0] == 'w' && isdigit((unsigned char)name[1]);
	struct dns_out o = {.data = data, .used = end};
	int rcode = e ? e->rcode : is_late ? 0 : 3;
	if (!end)
		return 0;
	if (e && e->kind == DNS_HALF && type == 28)
		rcode = 2;
	const struct dns_entry *last = e;
	for (int hops = 0; last && last->cname && hops < 9; hops++)
		last = dns_find(last->cname);
	if (e && !last)
		rcode = 3;
	memcpy(data, q, end);
	memset(data + 2, 0, 10);
	bool is_cut = e && (e->kind == DNS_TRUNCATED || e->kind == DNS_TCP_DEAD) && !is_tcp;
	data[2] = (uint8_t)(0x81 | (is_cut ? 2 : 0));
	data[3] = (uint8_t)(0x80 | rcode);
	data[5] = 1;
	if (!is_cut && (rcode == 0 || rcode == 3))
		dns_records(&o, name, type);
	data[7] = (uint8_t)(o.n + (e && e->kind == DNS_CUT));
	return o.used;
}

/* ---- UDP ---- */

static void dns_misbehave(const struct dns_entry *e, const uint8_t *data, size_t size,
			  const struct sockaddr_in *to)
{
	uint8_t wrong[DNS_PACKET];
	memcpy(wrong, data, size);
	if (e->kind == DNS_WRONG_ID)
		wrong[0] ^= 0x55;
	else if (e->kind == DNS_OTHER)
		wrong[13] ^= 1;
	else if (e->kind == DNS_GARBAGE)
		memset(wrong + 2, 0xc0, size - 2);
	else
		return;
	(void)sendto(dns.udp, wrong, size, 0, (const struct sockaddr *)to, sizeof(*to));
	if (e->kind == DNS_GARBAGE)
		(void)sendto(dns.udp, wrong, 5, 0, (const struct sockaddr *)to, sizeof(*to));
}

/* One question; an answer that comes late is left in *late. True: it is. */
static bool dns_udp_one(struct dns_late *late)
{
	uint8_t q[DNS_PACKET];
	char name[260] = "";
	socklen_t size = sizeof(late->to);
	ssize_t n = recvfrom(dns.udp, q, sizeof(q), 0, (struct sockaddr *)&late->to, &size);
	if (n <= 0)
		return false;
	int number = __atomic_add_fetch(&dns.n_questions, 1, __ATOMIC_SEQ_CST);
	late->size = dns_answer(q, (size_t)n, late->data, false, name);
	const struct dns_entry *e = dns_find(name);
	if (late->size == 0 || (e && e->kind == DNS_SILENT))
		return false;
	if (e && e->kind == DNS_LOSSY && number % 3 != 0)
		return false;
	if (e)
		dns_misbehave(e, late->data, late->size, &late->to);
	int wait = __atomic_load_n(&dns.wait_ms, __ATOMIC_SEQ_CST);
	if (!e && name[0] == 'w' && wait) {
		late->due_ms = dns_now_ms() + wait;
		return true;
	}
	(void)sendto(dns.udp, late->data, late->size, 0, (struct sockaddr *)&late->to, size);
	return false;
}

static void *dns_udp_thread(void *unused)
{
	struct dns_late *queue = calloc(DNS_QUEUE, sizeof(*queue)); /* a ring: in order of due_ms */
	unsigned head = 0, tail = 0;
	(void)unused;
	for (;;) {
		struct pollfd pfd = {.fd = dns.udp, .events = POLLIN};
		int64_t left = head == tail ? 1000 : queue[head % DNS_QUEUE].due_ms - dns_now_ms();
		if (tail - head < DNS_QUEUE && poll(&pfd, 1, left < 0 ? 0 : (int)left) > 0 &&
		    dns_udp_one(&queue[tail % DNS_QUEUE]))
			tail++;
		while (head != tail && queue[head % DNS_QUEUE].due_ms <= dns_now_ms()) {
			struct dns_late *l = &queue[head++ % DNS_QUEUE];
			(void)sendto(dns.udp, l->data, l->size, 0, (struct sockaddr *)&l->to,
				     sizeof(l->to));
		}
	}
	return NULL;
}

/* ---- TCP ---- */

static bool dns_tcp_one(int fd)
{
	uint8_t q[DNS_PACKET], data[2 + DNS_PACKET], length[2];
	char name[260] = "";
	if (recv(fd, length, 2, MSG_WAITALL) != 2)
		return false;
	size_t n = (size_t)(length[0] << 8 | length[1]);
	if (n > sizeof(q) || recv(fd, q, n, MSG_WAITALL) != (ssize_t)n)
		return false;
	size_t size = dns_answer(q, n, data + 2, true, name);
	const struct dns_entry *e = dns_find(name);
	if (size == 0 || (e && e->kind == DNS_TCP_DEAD))
		return false;
	data[0] = (uint8_t)(size >> 8);
	data[1] = (uint8_t)size;
	/* In pieces, the first of them half of the length. */
	(void)send(fd, data, 1, MSG_NOSIGNAL);
	usleep(1000);
	(void)send(fd, data + 1, size / 2, MSG_NOSIGNAL);
	usleep(1000);
	return send(fd, data + 1 + size / 2, size + 1 - size / 2, MSG_NOSIGNAL) > 0;
}

static void *dns_tcp_thread(void *unused)
{
	(void)unused;
	for (;;) {
		int fd = accept4(dns.tcp, NULL, NULL, SOCK_CLOEXEC);
		struct timeval patience = {.tv_sec = 2};
		if (fd < 0)
			continue;
		__atomic_add_fetch(&dns.n_tcp, 1, __ATOMIC_SEQ_CST);
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		while (dns_tcp_one(fd))
			;
		close(fd);
	}
	return NULL;
}

/* ---- the machine ---- */

/* From here on that is what `path` holds, for this process. */
TAP_UNUSED static void dns_file_is(const char *path, const char *text)
{
	char at[] = "/tmp/goro_dns_XXXXXX";
	int fd = mkostemp(at, O_CLOEXEC);
	require(fd >= 0);
	require(write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, 0644) == 0);
	close(fd);
	bool is_there = mount(at, path, "none", MS_BIND, NULL) == 0;
	unlink(at);
	if (!is_there)
		tap_skip("no file of our own in its place");
}

static void dns_namespaces(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) != 0)
		tap_skip("no namespaces here");
	if (mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0)
		tap_skip("no mounts of our own here");
}

/* The loopback interface, with addresses in a few networks, so that there are ways to some. */
static void dns_interfaces(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	struct ifreq more = {.ifr_name = "lo:1"};
	struct sockaddr_in *a = (struct sockaddr_in *)(void *)&more.ifr_addr;
	int four = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = inet_addr("10.1.2.3");
	if (ioctl(four, SIOCSIFFLAGS, &lo) != 0 || ioctl(four, SIOCSIFADDR, &more) != 0)
		tap_skip("no interface of our own here");
	a->sin_addr.s_addr = inet_addr("255.255.255.0");
	(void)ioctl(four, SIOCSIFNETMASK, &more);
	close(four);
	if (inet6_add(1, "fd00::5", 64)) /* without IPv6 there is no way to them */
		(void)inet6_add(1, "2001:db8::5", 64);
}

static int dns_bind(const char *address, int type)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(53),
				 .sin_addr.s_addr = inet_addr(address)};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), size = 4 << 20;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		tap_skip("no port 53 of our own here");
	return fd;
}

/* The file that dns_begin() has put there holds that from now on. */
TAP_UNUSED static void dns_file_becomes(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	require(fd >= 0);
	require(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* Skips where it is not permitted. */
TAP_UNUSED static void dns_begin(const char *resolv, const char *hosts)
{
	pthread_t thread;
	dns_namespaces();
	dns_interfaces();
	dns_file_is("/etc/resolv.conf", resolv);
	dns_file_is("/etc/hosts", hosts);
	dns_file_is("/etc/nsswitch.conf", "passwd: files\nservices: files\nhosts: files dns\n");
	dns.udp = dns_bind("127.0.0.1", SOCK_DGRAM);
	dns.tcp = dns_bind("127.0.0.1", SOCK_STREAM);
	(void)dns_bind("127.0.0.3", SOCK_DGRAM);
	dns.wait_ms = DNS_WAIT_MS;
	require_eq(listen(dns.tcp, 64), 0);
	require_eq(pthread_create(&thread, NULL, dns_udp_thread, NULL), 0);
	require_eq(pthread_create(&thread, NULL, dns_tcp_thread, NULL), 0);
}

#endif
