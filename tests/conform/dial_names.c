/*
 * dial_names.c - NET-15: dials that take long: names, several addresses, none that answers.
 *
 *   addresses that never answer -> listeners on 127.0.0.0/8 whose backlog is full
 *   names with several addresses -> an /etc/hosts of our own, in a mount namespace
 *   names that are slow -> a name server that is deaf, in a network namespace
 *
 * Go: net/dial_test.go, tcpsock_unix_test.go.
 */
#include "dial_tap.h"
#include "inet6_tap.h"

#include <dlfcn.h>
#include <malloc.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/ioctl.h>

/* ---- addresses that do not answer ---- */

GORO_CASE(a_full_backlog_ends_with_the_deadline_and_no_descriptor, .id = "NET-15", .is_alone = true)
{
	struct deaf deaf;
	char to[64];
	snprintf(to, sizeof(to), "127.0.0.1:%d", deaf_port(&deaf, "127.0.0.1", 0));
	int before = fd_count();
	int64_t least = INT64_MAX;
	for (int i = 0; i < TRIES; i++) {
		int64_t start = goro_now();
		expect_eq(goro_dial("tcp", to, start + GORO_MS(60)), -ETIMEDOUT);
		keep_least(&least, start);
	}
	expect_ge(least, GORO_MS(60));
	expect_lt(least, GORO_MS(70) * TAP_SLOWER);
	expect_eq(fd_count(), before);
	deaf_end(&deaf);
}

GORO_CASE(a_cancelled_context_ends_a_dial, .id = "NET-15")
{
	struct deaf deaf;
	char to[64];
	int result = 1, before = fd_count();
	snprintf(to, sizeof(to), "127.0.0.1:%d", deaf_port(&deaf, "127.0.0.1", 0));
	goro_ctx *ctx = goro_ctx_with_cancel(goro_ctx_background());
	go(dials_in, ctx, "tcp", (const char *)to, &result);
	wait_until_n_parked(1, "IO wait");
	goro_ctx_cancel(ctx);
	wait_for(load(&result) != 1);
	expect_eq(result, -ECANCELED);
	result = 1;
	go(dials_in, ctx, "tcp", (const char *)to, &result);
	wait_for(load(&result) != 1);
	expect_eq(result, -ECANCELED);
	goro_ctx_unref(ctx);
	deaf_end(&deaf);
	wait_for(goro_count() == 1);
	expect_eq(fd_count(), before);
}

static void dials_until_canceled(const char *to, int *result)
{
	store(result, goro_dial("tcp", to, GORO_FOREVER));
}

/* ---- several addresses ---- */

static void expect_dial_between(const char *to, int64_t lo, int64_t hi)
{
	int before = fd_count(), epolls = epoll_count();
	int64_t least = INT64_MAX;
	for (int i = 0; i < TRIES && least >= hi * TAP_SLOWER; i++) {
		int64_t start = goro_now();
		int fd = goro_dial("tcp", to, in_ms(20000));
		keep_least(&least, start);
		require(fd >= 0);
		expect_eq(goro_write(fd, "x", 1), 1);
		expect_eq(fd_count(), before + 1); /* the others are closed */
		expect_eq(epoll_count(), epolls);
		goro_close(fd);
	}
	expect_ge(least, lo);
	expect_lt(least, hi * TAP_SLOWER);
}

static int dials_names(void *unused)
{
	(void)unused;
	struct deaf deaf[2];
	char two[64], three[64], none[64], first[64], refused[64];
	int port = deaf_port(&deaf[0], "127.0.0.2", 0);
	require_eq(deaf_port(&deaf[1], "127.0.0.4", port), port);
	int live = live_beside(port, "127.0.0.3"), last = live_beside(port, "127.0.0.8");
	snprintf(first, sizeof(first), "first.test:%d", port);
	snprintf(two, sizeof(two), "two.test:%d", port);
	snprintf(three, sizeof(three), "three.test:%d", port);
	snprintf(refused, sizeof(refused), "refused.test:%d", port);
	snprintf(none, sizeof(none), "none.test:%d", port);
	expect_dial_between(first, 0, GORO_MS(200));
	expect_dial_between(two, GORO_MS(250), GORO_MS(400));
	expect_dial_between(three, GORO_MS(500), GORO_MS(700));
	expect_dial_between(refused, 0, GORO_MS(200)); /* the next at once */
	int before = fd_count(), epolls = epoll_count();
	int64_t start = goro_now();
	expect_eq(goro_dial("tcp", none, start + GORO_MS(400)), -ETIMEDOUT);
	expect_ge(goro_now() - start, GORO_MS(400));
	expect_eq(goro_dial("tcp", "refused.test:1", in_ms(5000)), -ECONNREFUSED);
	expect_eq(fd_count(), before);
	expect_eq(epoll_count(), epolls);
	goro_close(live);
	goro_close(last);
	deaf_end(&deaf[0]);
	deaf_end(&deaf[1]);
	return 0;
}

TAP_CASE(addresses_are_tried_side_by_side, .id = "NET-15", .is_idle = true)
{
	hosts_are(HOSTS);
	expect_eq(goro_run(dials_names, NULL), 0);
}

static void *dials_names_in_a_thread(void *unused)
{
	(void)dials_names(unused);
	return NULL;
}

static int waits_for_a_thread(void *unused)
{
	pthread_t thread;
	(void)unused;
	require_eq(pthread_create(&thread, NULL, dials_names_in_a_thread, NULL), 0);
	goro_syscall_enter();
	pthread_join(thread, NULL);
	goro_syscall_exit();
	return 0;
}

TAP_CASE(a_plain_thread_dials_with_a_run_and_without, .id = "NET-15", .is_idle = true,
	 .procs = "1,4")
{
	hosts_are(HOSTS);
	(void)dials_names(NULL);
	expect_eq(goro_run(waits_for_a_thread, NULL), 0);
	(void)dials_names(NULL);
}

static int counts_families(void *unused)
{
	(void)unused;
	if (!has_ipv6())
		return 0;
	/* Whichever comes first: the name's other family is the second, and at once. */
	int v6 = goro_listen("tcp6", "[::1]:0");
	require(v6 >= 0);
	char to[64];
	snprintf(to, sizeof(to), "both.test:%d", port_of(v6));
	expect_dial_between(to, 0, GORO_MS(200));
	expect_eq(goro_dial("tcp4", to, in_ms(5000)), -ECONNREFUSED);
	goro_close(v6);
	int v4 = goro_listen("tcp4", "127.0.0.3:0");
	snprintf(to, sizeof(to), "both.test:%d", port_of(v4));
	expect_dial_between(to, 0, GORO_MS(200));
	expect_eq(goro_dial("tcp6", to, in_ms(5000)), -ECONNREFUSED);
	goro_close(v4);
	return 0;
}

TAP_CASE(a_name_of_both_families_is_reached_by_either, .id = "NET-15", .procs = "2")
{
	hosts_are(HOSTS);
	expect_eq(goro_run(counts_families, NULL), 0);
}

static int dials_two_of_each(void *unused)
{
	(void)unused;
	struct deaf deaf[2];
	char to[64];
	int port = deaf_port(&deaf[0], "::1", 0);
	require_eq(deaf_port(&deaf[1], "::2", port), port);
	int live = live_beside(port, "127.0.0.3");
	snprintf(to, sizeof(to), "many.test:%d", port);
	expect_dial_between(to, GORO_MS(250), GORO_MS(400)); /* not after ::1 and ::2 */
	goro_close(live);
	/* Its second address of that family is the fourth. */
	live = live_beside(port, "127.0.0.8");
	expect_dial_between(to, GORO_MS(500), GORO_MS(700));
	goro_close(live);
	deaf_end(&deaf[0]);
	deaf_end(&deaf[1]);
	return 0;
}

/* With ::2 on a loopback interface of our own. */
TAP_CASE(families_take_turns, .id = "NET-15", .is_idle = true, .procs = "1,4")
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	if (unshare(CLONE_NEWNET) != 0)
		tap_skip("no network namespace here");
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_up = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
	close(fd);
	if (!is_up || !inet6_add(1, "::2", 128))
		tap_skip("no IPv6 here");
	hosts_are(HOSTS);
	expect_eq(goro_run(dials_two_of_each, NULL), 0);
}

/* ---- names ---- */

static void ticks(int *n, int *stop)
{
	while (!load(stop)) {
		goro_sleep(GORO_MS(1));
		add(n, 1);
	}
}

/* A name server that never answers, at 127.0.0.1:53 of a network namespace of our own. */
static void name_server_is_deaf(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(53),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	char path[] = "/tmp/goro_resolv_XXXXXX";
	const char *text = "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n";
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0)
		tap_skip("no namespaces here");
	int fd = mkostemp(path, O_CLOEXEC);
	require(write(fd, text, strlen(text)) > 0 && fchmod(fd, 0644) == 0);
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_there = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0 &&
			bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
			mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
	unlink(path);
	if (!is_there)
		tap_skip("no name server of our own here");
}

/* By c-ares in the poller, else for the end of a thread. */
static int waiting_for_names(void)
{
	return parked_count("IO wait") + parked_count("chan receive");
}

static int waits_for_names(void *unused)
{
	(void)unused;
	int n = 0, stop = 0, result = 1;
	go(ticks, &n, &stop);
	int64_t start = goro_now();
	expect_eq(goro_dial("tcp", "slow.test:1", start + GORO_MS(100)), -ETIMEDOUT);
	expect_ge(goro_now() - start, GORO_MS(100));
	expect_lt(goro_now() - start, GORO_MS(1500)); /* the resolver waits for two seconds */
	goro_ctx *ctx = goro_ctx_with_cancel(goro_ctx_background());
	start = goro_now();
	go(dials_in, ctx, "tcp", "slow.test:1", &result);
	wait_for(waiting_for_names() == 1);
	goro_ctx_cancel(ctx);
	wait_for(load(&result) != 1);
	expect_eq(result, -ECANCELED);
	goro_ctx_unref(ctx);
	expect_lt(goro_now() - start, GORO_MS(1500));
	start = goro_now();
	store(&n, 0);
	expect_eq(goro_dial("tcp", "slow.test:1", GORO_FOREVER), -EAGAIN);
	expect_ge(goro_now() - start, GORO_MS(1500));
	expect_gt(load(&n), 100); /* the others went on */
	struct addrinfo *list = NULL;
	expect_eq(goro_getaddrinfo("slow.test", NULL, NULL, &list), EAI_AGAIN);
	store(&stop, 1);
	wait_for(goro_count() == 1);
	return 0;
}

TAP_CASE(a_slow_name_server_stops_nobody_and_ends_with_the_deadline, .id = "NET-15",
	 .is_idle = true)
{
	name_server_is_deaf();
	expect_eq(goro_run(waits_for_names, NULL), 0);
	/* And without a run. */
	int64_t start = goro_now();
	expect_eq(goro_dial("tcp", "slow.test:1", start + GORO_MS(50)), -ETIMEDOUT);
	expect_ge(goro_now() - start, GORO_MS(50));
	expect_lt(goro_now() - start, GORO_MS(1500));
	wait_for(thread_count() <= 2 * goro_maxprocs(0) + 8); /* the lookups end by themselves */
}

static void leaves_a_lookup(void *unused)
{
	(void)unused;
	(void)goro_dial("tcp", "slow.test:1", in_ms(60000));
}

static int leaves_lookups_behind(void *unused)
{
	(void)unused;
	for (int i = 0; i < 10; i++)
		goro_spawn(leaves_a_lookup, NULL);
	wait_for(waiting_for_names() == 10);
	return 0;
}

TAP_CASE(lookups_outlive_a_run, .id = "NET-15", .procs = "2")
{
	name_server_is_deaf();
	for (int i = 0; i < 3; i++)
		expect_eq(goro_run(leaves_lookups_behind, NULL), 0);
}

/* A run that ends while a lookup's thread is being made, in place of which there is ours. */
static struct {
	int is_slow, n_making, is_over;
} making;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	if (load(&making.is_slow) && goro_id() != 0) { /* no thread of the runtime's */
		add(&making.n_making, 1);
		while (!load(&making.is_over))
			usleep(100);
		usleep(5000); /* main is at the end of the run, or will be soon */
	}
	return real(thread, attr, fn, arg);
}

static void looks_up_for_ever(void *unused)
{
	(void)unused;
	(void)goro_dial("tcp", "localhost:1", in_ms(60000));
}

static int leaves_a_lookup_that_begins(void *unused)
{
	(void)unused;
	making.n_making = making.is_over = 0;
	goro_yield(); /* the threads of the run are there */
	store(&making.is_slow, 1);
	goro_spawn(looks_up_for_ever, NULL);
	wait_for(load(&making.n_making) > 0);
	store(&making.is_slow, 0);
	store(&making.is_over, 1);
	return 0;
}

static size_t bytes_in_use(void)
{
	int threads = thread_count();
	for (int i = 0; i < 1000 && threads > 1; i++, threads = thread_count())
		tap_pause(1000000); /* the lookup's thread ends by itself */
	return mallinfo2().uordblks;
}

TAP_CASE(a_lookup_that_begins_at_the_end_of_a_run_is_freed, .id = "NET-15", .procs = "1,2",
	 .timeout_s = 60)
{
	enum { ROUNDS = 20 };
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own malloc");
	hosts_are(HOSTS);
	for (int i = 0; i < 3; i++)
		expect_eq(goro_run(leaves_a_lookup_that_begins, NULL), 0);
	size_t before = bytes_in_use();
	for (int i = 0; i < ROUNDS; i++)
		expect_eq(goro_run(leaves_a_lookup_that_begins, NULL), 0);
	size_t after = bytes_in_use();
	printf("# %zu bytes, then %zu\n", before, after);
	expect_lt(after, before + ROUNDS * 500); /* a lookup has more than 1000 */
}

/* A resolver that takes a millisecond, instead of libc's. */
static int is_resolver_ours;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **result)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!load(&is_resolver_ours))
		return real(node, service, hints, result);
	usleep(1000);
	return EAI_NONAME;
}

static void dials_for_ever(void *unused)
{
	(void)unused;
	for (;;)
		(void)goro_dial("tcp", "nohost.invalid:1", in_ms(100000));
}

/* More than there may be lookups at a time, so that some wait for their turn. */
static int leaves_many_who_wait(void *n)
{
	for (int i = 0; i < 300; i++)
		goro_spawn(dials_for_ever, NULL);
	goro_sleep(GORO_MS(3) + GORO_US(100) * (*(int *)n % 30));
	return 0;
}

static int dials_once(void *unused)
{
	(void)unused;
	return goro_dial("tcp", "nohost.invalid:1", in_ms(10000)) == -ENOENT ? 0 : 1;
}

/* RE4 */
TAP_CASE(no_turn_is_lost_with_who_is_left_behind, .id = "NET-15", .procs = "2", .timeout_s = 60)
{
	if (TAP_SANITIZED)
		tap_skip("hundreds of threads that end in the middle of a run");
	store(&is_resolver_ours, 1);
	setenv("GORODEBUG", "cares=0", 1);
	for (int i = 0; i < tap_share(300); i++)
		expect_eq(goro_run(leaves_many_who_wait, &i), 0);
	expect_eq(goro_run(dials_once, NULL), 0);
}

GORO_CASE(names_and_services_are_looked_up, .id = "NET-15")
{
	int before = fd_count();
	int listener = goro_listen("tcp", "localhost:0");
	require(listener >= 0);
	struct text to = address_of("localhost", listener);
	int fd = goro_dial("tcp", to.text, GORO_FOREVER);
	expect_ge(fd, 0);
	goro_close(fd);
	fd = goro_dial("tcp", to.text, in_ms(10000));
	expect_ge(fd, 0);
	goro_close(fd);
	goro_close(listener);
	expect_eq(goro_dial("tcp", "127.0.0.1:nosuchservice", GORO_FOREVER), -ENOENT);
	expect_eq(goro_listen("tcp", ":nosuchservice"), -ENOENT);
	int error = goro_dial("tcp", "no.such.name.invalid:1", GORO_FOREVER);
	expect(error == -ENOENT || error == -EAGAIN); /* without name servers */
	error = goro_listen("tcp", "no.such.name.invalid:1");
	expect(error == -ENOENT || error == -EAGAIN);
	expect_eq(fd_count(), before);
}

GORO_CASE(getaddrinfo_is_that_of_libc, .id = "NET-15", .procs = "1")
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *list = NULL;
	require_eq(goro_getaddrinfo("127.0.0.1", "80", &hints, &list), 0);
	expect_eq(list->ai_family, AF_INET);
	expect_eq(((struct sockaddr_in *)(void *)list->ai_addr)->sin_port, htons(80));
	freeaddrinfo(list);
	expect_eq(goro_getaddrinfo("localhost", NULL, &hints, &list), EAI_NONAME);
	hints.ai_flags = 0;
	require_eq(goro_getaddrinfo("localhost", "80", &hints, &list), 0);
	freeaddrinfo(list);
	goro_ctx *ctx = goro_ctx_with_cancel(goro_ctx_background());
	goro_ctx *old = goro_ctx_use(ctx);
	goro_ctx_cancel(ctx);
	expect_eq(goro_getaddrinfo("localhost", "80", &hints, &list), EAI_CANCELED);
	goro_ctx_use(old);
	goro_ctx_unref(ctx);
}

/* ---- success is success ---- */

struct storm {
	int listener;
	struct text to;
	int n_left, n_connected, n_wrong, n_slow;
	int rounds, stop;
};

/* Takes connections, and now and then closes the port for a while. */
static void comes_and_goes(struct storm *s)
{
	while (!load(&s->stop)) {
		for (int i = 0; i < 20 && !load(&s->stop); i++) {
			goro_set_read_deadline(s->listener, in_ms(5));
			int fd = goro_accept(s->listener, NULL, NULL);
			if (fd >= 0)
				goro_close(fd);
		}
		goro_close(s->listener);
		do
			s->listener = goro_listen("tcp", s->to.text);
		while (s->listener < 0 && !load(&s->stop));
	}
	if (s->listener >= 0)
		goro_close(s->listener);
	add(&s->n_left, -1);
}

static void dials_on(struct storm *s)
{
	for (int i = 0; i < s->rounds; i++) {
		int64_t start = goro_now();
		int fd = goro_dial("tcp", s->to.text, start + GORO_MS(50));
		if (fd < 0) {
			if (fd != -ECONNREFUSED && fd != -ETIMEDOUT && fd != -ECONNRESET) {
				tap_diag("# dial: %d", fd);
				add(&s->n_wrong, 1);
			}
			continue;
		}
		add(&s->n_connected, 1);
		ssize_t n = goro_write(fd, "x", 1);
		if (n != 1 && n != -ECONNRESET && n != -EPIPE) {
			tap_diag("# write: %zd", n);
			add(&s->n_wrong, 1);
		}
		struct sockaddr_storage own = own_address(fd), peer;
		socklen_t size = sizeof(peer);
		if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
		    memcmp(&own, &peer, size) == 0)
			add(&s->n_wrong, 1); /* connected to itself */
		goro_close(fd);
	}
	add(&s->n_left, -1);
}

GORO_CASE(ten_thousand_dials_of_a_closing_listener, .id = "NET-15", .timeout_s = 60,
	  .is_race = true)
{
	enum { DIALLERS = 8 };
	int before = fd_count();
	struct storm s = {.listener = goro_listen("tcp", "127.0.0.1:0"),
			  .rounds = 10000 / DIALLERS / (TAP_SANITIZED ? 5 : 1),
			  .n_left = DIALLERS};
	require(s.listener >= 0);
	s.to = address_of("127.0.0.1", s.listener);
	for (int i = 0; i < DIALLERS; i++)
		go(dials_on, &s);
	go(comes_and_goes, &s);
	wait_for(load(&s.n_left) == 0);
	s.n_left = 1;
	store(&s.stop, 1);
	wait_for(load(&s.n_left) == 0);
	expect_eq(s.n_wrong, 0);
	expect_gt(s.n_connected, 0);
	expect_eq(fd_count(), before);
}

static int dials_itself(void *port)
{
	char to[64];
	snprintf(to, sizeof(to), "127.0.0.1:%d", *(int *)port);
	expect_eq(goro_dial("tcp", to, in_ms(2000)), -ECONNREFUSED);
	return 0;
}

/* One ephemeral port, which is dialled: the kernel connects the socket with itself. */
TAP_CASE(nobody_is_connected_with_itself, .id = "NET-15", .procs = "1")
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int port = 40000;
	if (unshare(CLONE_NEWNET) != 0)
		tap_skip("no network namespace here");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "we");
	if (f == NULL || ioctl(fd, SIOCSIFFLAGS, &lo) != 0)
		tap_skip("no network of our own here");
	fprintf(f, "%d %d\n", port, port);
	if (fclose(f) != 0)
		tap_skip("no network of our own here");
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	expect_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0); /* so it is */
	struct linger at_once = {.l_onoff = 1};
	expect_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(fd); /* and the port is free again */
	expect_eq(goro_run(dials_itself, &port), 0);
}

/* The limit that leaves so many numbers free: who started the process may have left it some. */
static rlim_t limit_with_free(int wanted)
{
	int number = 0;
	for (int n_free = 0; n_free < wanted; number++)
		n_free += fcntl(number, F_GETFD) < 0;
	return (rlim_t)number;
}

/* Three addresses that do not answer, and no number for the epoll descriptor: one by one. */
static int dials_with_few_numbers(void *unused)
{
	(void)unused;
	struct deaf deaf;
	char to[64];
	int port = deaf_port(&deaf, "127.0.0.2", 0);
	int live = live_beside(port, "127.0.0.3");
	struct rlimit was, now;
	snprintf(to, sizeof(to), "two.test:%d", port);
	require(getrlimit(RLIMIT_NOFILE, &was) == 0);
	int epolls = epoll_count(), before = fd_count();
	for (int more = 1; more <= 3; more++) {
		now = (struct rlimit){limit_with_free(more), was.rlim_max};
		require(setrlimit(RLIMIT_NOFILE, &now) == 0);
		int fd = goro_dial("tcp", to, in_ms(600));
		require(setrlimit(RLIMIT_NOFILE, &was) == 0);
		if (more < 3)
			expect_eq(fd, -ETIMEDOUT);
		else
			expect_ge(fd, 0);
		if (fd >= 0)
			goro_close(fd);
		expect_eq(fd_count(), before);
		expect_eq(epoll_count(), epolls);
	}
	goro_close(live);
	deaf_end(&deaf);
	return 0;
}

TAP_CASE(few_numbers_mean_one_attempt_at_a_time, .id = "NET-15", .procs = "1", .is_idle = true)
{
	hosts_are(HOSTS);
	expect_eq(goro_run(dials_with_few_numbers, NULL), 0);
}

static int leaves_dials_behind(void *to)
{
	int result = 0;
	for (int i = 0; i < 10; i++)
		go(dials_until_canceled, (const char *)to, &result);
	wait_until_n_parked(10, "IO wait");
	goro_sleep(GORO_MS(300)); /* so that those of two addresses have both under way */
	wait_until_n_parked(10, "IO wait");
	return 0;
}

TAP_CASE(the_end_of_a_run_closes_what_was_under_way, .id = "NET-15", .procs = "1,4",
	 .is_idle = true)
{
	struct deaf deaf[2];
	char to[64];
	hosts_are(HOSTS);
	int port = deaf_port(&deaf[0], "127.0.0.2", 0);
	require_eq(deaf_port(&deaf[1], "127.0.0.4", port), port);
	snprintf(to, sizeof(to), "none.test:%d", port);
	int before = fd_count();
	for (int i = 0; i < 3; i++) {
		expect_eq(goro_run(leaves_dials_behind, to), 0);
		expect_eq(fd_count(), before);
		expect_eq(epoll_count(), 1);
	}
	deaf_end(&deaf[0]);
	deaf_end(&deaf[1]);
}

TAP_MAIN
