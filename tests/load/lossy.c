/*
 * lossy.c - links that lose, delay, cut and break what goes over them: every byte that arrives is
 * right, and who does not get all of them is told.
 *
 *   packets dropped by a filter on every socket -> TCP sends them again -> all arrives
 *   packets dropped and delayed by the kernel's tc, in a network namespace of the test's own
 *   client -> a proxy that cuts, delays, ends and resets -> server
 */
#include "load_tap.h"

#include <linux/filter.h>
#include <net/if.h>
#include <sys/ioctl.h>

enum { LINKS = 200, LINK_SIZE = 96 << 10 };

struct links {
	int port, n_over, n_whole, n_reset, n_short;
	bool has_filter;
};

/* Drops one packet of so many, whatever it is: data, its acknowledgement, a SYN. */
static void drop_some(int fd, uint32_t one_of)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_RANDOM),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, UINT32_MAX / one_of, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	require_eq(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
}

enum { ONE_OF = 50 };

static void drop_some_of_all(int fd)
{
	drop_some(fd, ONE_OF);
}

/* Talks to and fro, where each packet is waited for, and streams both ways at a time. */
static ssize_t uses_connection(int fd, uint64_t who, size_t *size)
{
	ssize_t error = client_talks(fd, who, 0, 5000);
	*size = 0;
	if (error > 0)
		*size = client_streams(fd, who, LINK_SIZE, &error);
	return error;
}

static void uses_link(struct links *l, int who)
{
	size_t size;
	int fd = client_dial(l->port), little = 8192; /* so that many a write is cut */
	require_ge(fd, 0);
	require_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
	if (l->has_filter)
		drop_some(fd, ONE_OF);
	ssize_t error = uses_connection(fd, (uint64_t)who, &size);
	expect_le(size, LINK_SIZE);
	expect(error == 0 || error == -ECONNRESET || error == -EPIPE);
	if (size == LINK_SIZE && error == 0)
		add(&l->n_whole, 1);
	else
		add(error == 0 ? &l->n_short : &l->n_reset, 1);
	expect_eq(goro_close(fd), 0);
	add(&l->n_over, 1);
}

static int links_main(void *arg)
{
	struct links *l = arg;
	for (int i = 0; i < LINKS; i++)
		go(uses_link, l, i);
	wait_for(load(&l->n_over) == LINKS);
	return 0;
}

/* What TCP had to send again, of all that it sent here. */
static int64_t resent_count(void)
{
	char names[4096] = "", values[4096] = "";
	int64_t resent = -1;
	FILE *f = fopen("/proc/net/snmp", "re");
	require(f != NULL);
	while (fgets(names, sizeof(names), f) != NULL && fgets(values, sizeof(values), f) != NULL) {
		char *in_names, *in_values, *name = strtok_r(names, " ", &in_names);
		char *value = strtok_r(values, " ", &in_values);
		if (strcmp(value, "Tcp:") != 0)
			continue;
		for (; name != NULL && value != NULL;
		     name = strtok_r(NULL, " ", &in_names), value = strtok_r(NULL, " ", &in_values))
			if (strcmp(name, "RetransSegs") == 0)
				resent = strtoll(value, NULL, 10);
	}
	fclose(f);
	return resent;
}

static void expect_all_whole(struct server *s, struct links *l)
{
	int64_t before = resent_count(), start = tap_now();
	l->port = s->port;
	expect_eq(goro_run(links_main, l), 0);
	int64_t resent = resent_count() - before;
	figure("%d connections, %" PRId64 " packets sent again, %" PRId64 " ms", LINKS, resent,
	       (tap_now() - start) / 1000000);
	expect_eq(l->n_whole, LINKS);
	expect_gt(resent, LINKS / 2); /* the link was lossy */
	wait_for(load(&s->n_open) == 0);
	expect_eq(s->n_ended, s->n_accepted);
	server_stop(s);
}

TAP_CASE(what_is_dropped_arrives_in_the_end, .procs = "1,2,4", .is_alone = true, .timeout_s = 60)
{
	(void)files_raise(1000);
	server_prepare = drop_some_of_all; /* those that it accepts have the same filter */
	struct server *s = server_start(0);
	struct links l = {.has_filter = true};
	expect_all_whole(s, &l);
}

/* ---- the kernel's own ---- */

static void loopback_up(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_mtu = 1500}; /* packets as on other links */
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	require(fd >= 0);
	require_eq(ioctl(fd, SIOCSIFMTU, &lo), 0);
	lo.ifr_flags = IFF_UP | IFF_RUNNING;
	require_eq(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
}

/* Netem where the kernel has it; else a narrow link that drops what does not fit into its queue. */
static const char *link_spoil(void)
{
	static const char *const ways[] = {"netem delay 1ms 1ms loss 2% duplicate 1% reorder 5%",
					   "tbf rate 300mbit burst 16k limit 32k"};
	char command[128];
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		snprintf(command, sizeof(command), "tc qdisc add dev lo root %s 2>/dev/null",
			 ways[i]);
		if (system(command) == 0)
			return ways[i];
	}
	return NULL;
}

TAP_CASE(over_a_bad_link_all_arrives, .procs = "1,4", .is_alone = true, .timeout_s = 60)
{
	(void)files_raise(1000);
	if (unshare(CLONE_NEWNET) != 0)
		tap_skip("no network namespace of its own: not allowed");
	loopback_up();
	const char *way = link_spoil();
	if (way == NULL)
		tap_skip("tc can make no bad link here");
	figure("tc qdisc: %s", way);
	struct server *s = server_start(0);
	struct links l = {0};
	expect_all_whole(s, &l);
}

/* ---- a proxy ---- */

enum ill { WELL, FRAGMENTS, DELAYS, GENTLE, CUTS = GENTLE, RESETS, SWALLOWS, ILLS };
enum { FRAGMENTED = 3000 };

/* Two connections, and those who carry over between them. */
struct hop {
	int fd[2], n_left;
	enum ill ill;
	size_t limit[2]; /* bytes that go over before it breaks */
	uint64_t state;
};

struct proxy {
	int listener, server_port, n_left, n_gentle, n_hops;
};

static void hop_break(struct hop *h)
{
	static const struct linger at_once = {.l_onoff = 1};
	for (int i = 0; i < 2; i++) {
		if (h->ill != CUTS)
			require_eq(setsockopt(h->fd[i], SOL_SOCKET, SO_LINGER, &at_once,
					      sizeof(at_once)),
				   0);
		expect_eq(goro_set_deadline(h->fd[i], GORO_POLL), 0);
	}
}

static size_t hop_piece(const struct hop *h, uint64_t *state, size_t n_carried, size_t size)
{
	if (h->ill == FRAGMENTS && n_carried < FRAGMENTED)
		return 1 + tap_random(state) % 3;
	return 1 + tap_random(state) % size;
}

/* Carries over one direction until its end, or until it breaks. */
static void hop_carry(struct hop *h, int way)
{
	char data[2000];
	uint64_t state = h->state + (uint64_t)way;
	size_t n_carried = 0;
	ssize_t n = 1;
	while (n > 0) {
		size_t piece = hop_piece(h, &state, n_carried, sizeof(data));
		n = goro_read(h->fd[way], data, piece);
		if (h->ill == DELAYS && tap_random(&state) % 16 == 0)
			goro_sleep((int64_t)(tap_random(&state) % GORO_MS(10)));
		if (n > 0 && (h->ill < GENTLE || n_carried + (size_t)n < h->limit[way])) {
			n_carried += (size_t)n;
			n = write_whole(h->fd[!way], data, (size_t)n);
		} else if (n > 0) { /* all that follows goes the same way */
			n_carried = h->limit[way];
			n = h->ill == SWALLOWS ? n : -1;
		}
	}
	if (n == 0)
		shutdown(h->fd[!way], SHUT_WR);
	if (n < 0 || (h->ill >= GENTLE && n == 0))
		hop_break(h);
}

static void hop_leave(struct hop *h)
{
	if (add(&h->n_left, -1) == 0) {
		expect_eq(goro_close(h->fd[0]), 0);
		expect_eq(goro_close(h->fd[1]), 0);
		free(h);
	}
}

static void hop_carries(struct hop *h, int way)
{
	hop_carry(h, way);
	hop_leave(h);
}

/* One that swallows what it should carry goes down some time later. */
static void hop_goes_down(struct hop *h)
{
	goro_sleep(GORO_MS(300));
	hop_break(h);
	hop_leave(h);
}

static void proxy_takes(struct proxy *p, uint64_t state)
{
	for (int fd; (fd = goro_accept(p->listener, NULL, NULL)) >= 0;) {
		struct hop *h = malloc(sizeof(*h));
		*h = (struct hop){.fd = {fd, client_dial(p->server_port)},
				  .n_left = 2,
				  .ill = (enum ill)(p->n_hops++ % ILLS)};
		require_ge(h->fd[1], 0);
		for (int i = 0; i < 2; i++)
			h->limit[i] = tap_random(&state) % (h->ill == CUTS ? LINK_SIZE : 9000);
		h->state = tap_random(&state);
		add(&p->n_gentle, h->ill < GENTLE);
		if (h->ill == SWALLOWS) {
			h->n_left++;
			go(hop_goes_down, h);
		}
		go(hop_carries, h, 0);
		go(hop_carries, h, 1);
	}
	add(&p->n_left, -1);
}

struct by_proxy {
	struct links links;
	struct proxy proxy;
};

static int by_proxy_main(void *arg)
{
	struct by_proxy *b = arg;
	struct proxy *p = &b->proxy;
	int before = goro_count();
	p->listener = goro_listen("tcp4", "127.0.0.1:0");
	require_ge(p->listener, 0);
	b->links.port = port_of(p->listener);
	p->n_left = 1;
	go(proxy_takes, p, tap_seed());
	links_main(&b->links);
	expect_eq(goro_close(p->listener), 0);
	wait_for(goro_count() == before);
	return 0;
}

TAP_CASE(behind_a_bad_proxy_it_is_whole_or_an_error, .procs = "1,2,4", .is_alone = true,
	 .timeout_s = 60)
{
	(void)files_raise(2000);
	struct server *s = server_start(0);
	struct by_proxy b = {.proxy = {.server_port = s->port}};
	int before = files_of(getpid());
	expect_eq(goro_run(by_proxy_main, &b), 0);
	figure("%d whole, %d cut short, %d broken", b.links.n_whole, b.links.n_short,
	       b.links.n_reset);
	expect_eq(b.links.n_whole, b.proxy.n_gentle);
	expect_eq(b.proxy.n_hops, LINKS);
	expect_gt(b.links.n_reset, 0);
	expect_le(files_of(getpid()), before + 2);
	wait_for(load(&s->n_open) == 0);
	expect_eq(s->n_accepted, LINKS);
	expect_gt(s->n_reset, 0);
	server_stop(s);
}

TAP_MAIN
