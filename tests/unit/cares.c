/*
 * cares.c - CA1 to CA6: names by c-ares and by getaddrinfo have the same addresses, in the same
 * order, and the same errors; src/io/cares.c, order.c, names.c, resolve.c.
 *
 * dns_tap.h has the name server, and what it says.
 */
#include "dns_tap.h"
#include "goro_tap.h"

#include <ctype.h>
#include <dlfcn.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <sys/resource.h>

#include "base/valgrind.h"
#include "io/cares.h"
#include "io/order.h"
#include "os/os.h"
#include "os/os_io.h"

#define HOSTS_FILE "127.0.0.1 localhost\n::1 localhost ip6-localhost\n10.1.2.7 filed.test filed\n"

static const struct network networks[] = {
	{AF_UNSPEC, SOCK_STREAM}, {AF_INET, SOCK_STREAM}, {AF_INET6, SOCK_STREAM}};

static struct inet_name name_of(const char *host)
{
	struct inet_name name = {.port = 80};
	snprintf(name.host, sizeof(name.host), "%s", host);
	return name;
}

/* What libc says, as resolve() tells it. */
static int ask_libc(const char *host, const struct network *net, struct addresses *to)
{
	struct addrinfo hints = {.ai_family = net->family, .ai_socktype = net->type}, *list = NULL;
	int error = os_resolve(host, "80", &hints, &list);
	to->n = 0;
	for (struct addrinfo *i = error ? NULL : list; i && to->n < ADDRESSES_MAX; i = i->ai_next)
		memcpy(&to->at[to->n++], i->ai_addr, i->ai_addrlen);
	if (!error)
		freeaddrinfo(list);
	return error;
}

static void write_all(char *text, size_t size, int error, const struct addresses *all)
{
	size_t used = (size_t)snprintf(text, size, "%d:", error);
	for (uint32_t i = 0; !error && i < all->n; i++) {
		char one[INET6_ADDRSTRLEN] = "?";
		const union inet_address *a = &all->at[i];
		if (a->any.sa_family == AF_INET)
			inet_ntop(AF_INET, &a->v4.sin_addr, one, sizeof(one));
		else
			inet_ntop(AF_INET6, &a->v6.sin6_addr, one, sizeof(one));
		used += (size_t)snprintf(text + used, size - used, " %s#%d", one,
					 ntohs(a->v4.sin_port));
		if (a->any.sa_family == AF_INET6 && a->v6.sin6_scope_id)
			used += (size_t)snprintf(text + used, size - used, "%%%u",
						 a->v6.sin6_scope_id);
	}
}

/* "tcp one.test 0: 127.0.1.1#80", twice. */
static void expect_same(const char *host, const struct network *net)
{
	char by_libc[1200], by_us[1200], shown[300];
	struct addresses all = {0};
	struct inet_name name = name_of(host);
	int error = ask_libc(host, net, &all);
	write_all(by_libc, sizeof(by_libc), error, &all);
	error = resolve(&name, net, false, GORO_FOREVER, &all);
	write_all(by_us, sizeof(by_us), error, &all);
	snprintf(shown, sizeof(shown), "%s, family %d", host, net->family);
	if (strcmp(by_libc, by_us) != 0)
		tap_diag("# %s", shown);
	expect_str(by_us, by_libc);
}

static void need_cares(void)
{
	if (!cares_is_there())
		tap_skip("no c-ares here, or NO_CARES");
}

static bool is_for_cares(const char *host)
{
	struct names how;
	return names_read(host, &names_files, &how);
}

static int answer_of(const char *host, const struct network *net, struct addresses *all)
{
	struct inet_name name = name_of(host);
	return resolve(&name, net, false, GORO_FOREVER, all);
}

/* ---- the same ---- */

static int asks_for_all(void *unused)
{
	static const char *const hosts[] = {
		"one.test", "ONE.Test", "one.test.", "six.test", "both.test", "ula.test",
		"many.test", "many6.test", "mapped.test", "alias.test", "chain3.test",
		"dangling.test", "empty.test", "nx.test", "large.test", "wrongid.test",
		"other.test", "short", "short.near", "with.dot", "x.deep.test", "x.deep",
		"hyphen-ated_1.test", "top", "top.", "half.test", "circle.test",
		"second", "third", "crowd.test", "malformed.test",
		/* by libc alone */
		"localhost", "LOCALHOST", "filed", "filed.test", "ip6-localhost", "127.1", "0x7f.1",
		"1", "x.local", "-x.test", "a..test", "a b.test", "127.0.0.1", "_x.test", "*.test",
	};
	(void)unused;
	char own[HOST_MAX + 1] = "";
	gethostname(own, sizeof(own) - 1);
	for (size_t n = 0; n < sizeof(networks) / sizeof(networks[0]); n++) {
		for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
			expect_same(hosts[i], &networks[n]);
		expect_same(own, &networks[n]);
	}
	return 0;
}

TAP_CASE(names_have_the_addresses_that_libc_gives_them, .procs = "1,2,4", .timeout_s = 60)
{
	dns_begin("nameserver 127.0.0.1\nsearch near.test far.test\noptions timeout:1 attempts:1\n",
		  HOSTS_FILE);
	need_cares();
	expect(is_for_cares("one.test"));
	expect(is_for_cares("short"));
	expect(!is_for_cares("filed.test"));
	expect(!is_for_cares("localhost"));
	expect_eq(goro_run(asks_for_all, NULL), 0);
	expect_gt(load(&dns.n_tcp), 0);
}

static int asks_for_what_fails(void *unused)
{
	static const char *const hosts[] = {"servfail.test", "notimp.test", "refused.test",
					    "formerr.test", "silent.test", "nx.test",
					    "empty.test", "circle.test"};
	struct addresses all;
	(void)unused;
	for (size_t n = 0; n < sizeof(networks) / sizeof(networks[0]); n++) {
		for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
			expect_same(hosts[i], &networks[n]);
		expect_same("dead.test", &networks[n]);
	}
	/* And here it takes what was not asked for, or nothing any more. */
	expect_eq(answer_of("garbage.test", &networks[0], &all), 0);
	expect_eq(answer_of("garbage.test", &networks[2], &all), -ENOENT);
	return 0;
}

TAP_CASE(servers_that_fail_have_the_errors_of_libc, .procs = "1,2,4", .timeout_s = 60,
	 .is_idle = true)
{
	dns_begin("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", HOSTS_FILE);
	need_cares();
	expect_eq(goro_run(asks_for_what_fails, NULL), 0);
}

static void expect_one(const char *host, const char *address)
{
	char text[1200], wanted[100];
	struct addresses all = {0};
	int error = answer_of(host, &networks[1], &all);
	write_all(text, sizeof(text), error, &all);
	snprintf(wanted, sizeof(wanted), "0: %s#80", address);
	expect_str(text, wanted);
}

static int asks_while_files_change(void *unused)
{
	(void)unused;
	expect_one("short", "127.0.3.2");
	dns_file_becomes("/etc/resolv.conf", "nameserver 127.0.0.1\nsearch far.test\n");
	expect_one("short", "127.0.3.3");
	expect_one("one.test", "127.0.1.1");
	dns_file_becomes("/etc/hosts", "127.0.0.1 localhost\n127.0.9.9 one.test\n");
	expect_one("one.test", "127.0.9.9");
	dns_file_becomes("/etc/hosts", "127.0.0.1 localhost\n");
	expect_one("one.test", "127.0.1.1");
	dns_file_becomes("/etc/nsswitch.conf", "hosts: files\n");
	struct addresses all;
	expect(answer_of("one.test", &networks[1], &all) < 0);
	return 0;
}

/* NA3 */
TAP_CASE(na3_files_that_change_count_at_once, .procs = "2")
{
	dns_begin("nameserver 127.0.0.1\nsearch near.test\n", "127.0.0.1 localhost\n");
	need_cares();
	expect_eq(goro_run(asks_while_files_change, NULL), 0);
}

/* ---- order ---- */

static int n_listings;

/* In place of libc's. */
int getifaddrs(struct ifaddrs **all)
{
	int (*real)(struct ifaddrs **) = NULL;
	*(void **)&real = dlsym(RTLD_NEXT, "getifaddrs");
	add(&n_listings, 1);
	return real(all);
}

static struct addresses many_of(uint32_t n_v4, uint32_t n_v6)
{
	struct addresses all = {0};
	for (uint32_t i = 0; i < n_v4 + n_v6; i++) {
		union inet_address *a = &all.at[all.n++];
		if (i < n_v4)
			a->v4 = (struct sockaddr_in){.sin_family = AF_INET,
						     .sin_addr.s_addr = htonl(0x7f000101 + i)};
		else
			a->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
						      .sin6_addr.s6_addr = {[15] = 1}};
	}
	return all;
}

/* A machine with many containers has many, and a listing of them takes long. */
TAP_CASE(addresses_of_the_machine_are_listed_once, .procs = "-")
{
	struct addresses all = many_of(24, 2);
	addresses_order(&all);
	expect_eq(n_listings, 1);
	all = many_of(1, 2); /* rule 9 has nothing to compare */
	addresses_order(&all);
	expect_eq(n_listings, 1);
}

/* ---- time ---- */

static int open_count(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int gives_up(void *unused)
{
	struct inet_name name = name_of("silent.test");
	struct addresses all;
	(void)unused;
	(void)answer_of("one.test", &networks[0], &all); /* the poller has what it wants */
	int before = open_count();
	int64_t start = goro_now();
	expect_eq(resolve(&name, &networks[0], false, start + GORO_MS(50), &all), -ETIMEDOUT);
	expect_ge(goro_now() - start, GORO_MS(50));
	expect_lt(goro_now() - start, GORO_MS(1500));
	expect_eq(open_count(), before);
	/* libc waits twice a second. */
	start = goro_now();
	expect_eq(answer_of("silent.test", &networks[0], &all), -EAGAIN);
	expect_ge(goro_now() - start, GORO_MS(1900));
	expect_lt(goro_now() - start, GORO_MS(2000) + GORO_MS(800) * TAP_SLOWER);
	expect_eq(open_count(), before);
	return 0;
}

TAP_CASE(a_deadline_ends_a_lookup_and_so_do_its_attempts, .procs = "1,2", .timeout_s = 30,
	 .is_idle = true)
{
	dns_begin("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n", HOSTS_FILE);
	need_cares();
	expect_eq(goro_run(gives_up, NULL), 0);
}

static void asks_until_canceled(goro_ctx *ctx, int *result)
{
	struct addresses all;
	goro_ctx_use(ctx);
	store(result, answer_of("silent.test", &networks[0], &all));
	goro_ctx_use(NULL);
}

static int cancels(void *unused)
{
	struct addresses all;
	int result = 1;
	(void)unused;
	(void)answer_of("one.test", &networks[0], &all);
	int before = open_count();
	goro_ctx *ctx = goro_ctx_with_cancel(goro_ctx_background());
	go(asks_until_canceled, ctx, &result);
	wait_until_n_parked(1, "IO wait");
	goro_ctx_cancel(ctx);
	wait_for(load(&result) != 1);
	expect_eq(result, -ECANCELED);
	goro_ctx_unref(ctx);
	wait_for(goro_count() == 1);
	expect_eq(open_count(), before);
	return 0;
}

TAP_CASE(a_cancelled_context_ends_a_lookup, .procs = "1,2,4")
{
	dns_begin("nameserver 127.0.0.1\n", HOSTS_FILE);
	need_cares();
	expect_eq(goro_run(cancels, NULL), 0);
}

/* ---- servers ---- */

static int asks_the_next(void *unused)
{
	struct addresses all;
	(void)unused;
	(void)answer_of("one.test", &networks[0], &all);
	int before = open_count();
	for (int i = 0; i < 2; i++) {
		expect_one("one.test", "127.0.1.1");
		expect_one("lossy.test", "127.0.1.4");
		expect_eq(answer_of("large.test", &networks[0], &all), 0);
		expect_eq(all.n, 4);
		expect_eq(answer_of("nx.test", &networks[0], &all), -ENOENT);
	}
	wait_for(open_count() == before); /* the server's end of TCP is ours, too */
	return 0;
}

/* CA4: the first does not answer, nor say that it will not; the second is asked beside it. */
TAP_CASE(ca4_a_server_that_is_deaf_is_passed_over, .procs = "1,2,4", .timeout_s = 60,
	 .is_idle = true)
{
	dns_begin("nameserver 127.0.0.3\nnameserver 127.0.0.1\noptions timeout:1 attempts:3\n",
		  HOSTS_FILE);
	need_cares();
	expect_eq(goro_run(asks_the_next, NULL), 0);
}

/* Nobody listens on ::1; the family of 2001:db8::53 may not be there. */
TAP_CASE(a_server_that_is_away_is_passed_over, .procs = "2", .timeout_s = 60, .is_idle = true)
{
	dns_begin("nameserver 2001:db8::53\nnameserver ::1\nnameserver 127.0.0.1\n"
		  "options timeout:1 attempts:3 rotate\n",
		  HOSTS_FILE);
	need_cares();
	expect_eq(goro_run(asks_the_next, NULL), 0);
}

/* ---- many ---- */

enum { MANY = 1000 };

static struct {
	int n_left, n_right, n_threads_most;
} crowd;

static void asks_in_a_crowd(int number)
{
	char host[40], text[200];
	struct addresses all;
	snprintf(host, sizeof(host), "w%d.test", number);
	int error = answer_of(host, &networks[0], &all);
	write_all(text, sizeof(text), error, &all);
	if (strcmp(text, "0: 127.0.2.1#80") == 0)
		add(&crowd.n_right, 1);
	else
		tap_diag("# %s: %s", host, text);
	add(&crowd.n_left, -1);
}

static int asks_a_thousand(void *unused)
{
	(void)unused;
	int64_t start = goro_now();
	store(&crowd.n_left, MANY);
	for (int i = 0; i < MANY; i++)
		go(asks_in_a_crowd, i);
	while (load(&crowd.n_left) > 0) {
		int n = thread_count();
		if (n > crowd.n_threads_most)
			crowd.n_threads_most = n;
		goro_sleep(GORO_MS(1));
	}
	printf("# %d lookups: %d ms, %d threads\n", MANY, (int)((goro_now() - start) / GORO_MS(1)),
	       crowd.n_threads_most);
	return 0;
}

TAP_CASE(a_thousand_lookups_have_no_thread_each, .procs = "1,2,4", .timeout_s = 60)
{
	dns_begin("nameserver 127.0.0.1\n", HOSTS_FILE);
	need_cares();
	store(&dns.wait_ms, 50);
	expect_eq(goro_run(asks_a_thousand, NULL), 0);
	expect_eq(crowd.n_right, MANY);
	/* Ours, the server's two, sysmon, the starter, those that slept in the kernel just now. */
	if (!TAP_SANITIZED)
		expect_lt(crowd.n_threads_most, 100);
}

TAP_CASE(without_cares_they_have, .procs = "2", .timeout_s = 60)
{
	if (TAP_SANITIZED || valgrind_is_here())
		tap_skip("hundreds of threads");
	dns_begin("nameserver 127.0.0.1\n", HOSTS_FILE);
	need_cares();
	setenv("GORODEBUG", "cares=0", 1);
	expect(!cares_is_there());
	store(&dns.wait_ms, 50);
	expect_eq(goro_run(asks_a_thousand, NULL), 0);
	expect_eq(crowd.n_right, MANY);
	expect_gt(crowd.n_threads_most, 100);
}

static int asks_for_one(void *unused)
{
	(void)unused;
	expect_one("one.test", "127.0.1.1");
	return 0;
}

/* CA6: an empty file stands where the library was. */
TAP_CASE(ca6_without_the_library_names_are_asked_of_libc, .procs = "1,2")
{
	static const char *const paths[] = {
		"/usr/lib/x86_64-linux-gnu/libcares.so.2",
		"/usr/lib/aarch64-linux-gnu/libcares.so.2",
		"/usr/lib64/libcares.so.2", "/usr/lib/libcares.so.2",
		"/usr/local/lib/libcares.so.2"};
	dns_begin("nameserver 127.0.0.1\n", HOSTS_FILE);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (access(paths[i], F_OK) == 0)
			dns_file_is(paths[i], "");
	expect_eq(goro_run(asks_for_one, NULL), 0);
	expect(!cares_is_there());
	expect_eq(goro_run(asks_for_one, NULL), 0);
}

/* ---- runs, threads, limits ---- */

static void asks_for_ever(void *unused)
{
	struct addresses all;
	(void)unused;
	(void)answer_of("silent.test", &networks[0], &all);
}

static int leaves_lookups(void *unused)
{
	(void)unused;
	for (int i = 0; i < 300; i++) /* more than RE2 lets begin */
		goro_spawn(asks_for_ever, NULL);
	wait_until_n_parked(300, "IO wait");
	return 0;
}

/* CA5 */
TAP_CASE(ca5_lookups_end_with_their_run, .procs = "1,2,4", .timeout_s = 60)
{
	dns_begin("nameserver 127.0.0.1\noptions timeout:30\n", HOSTS_FILE);
	need_cares();
	expect_eq(goro_run(leaves_lookups, NULL), 0);
	int before = open_count();
	for (int i = 0; i < 5; i++)
		expect_eq(goro_run(leaves_lookups, NULL), 0);
	expect_eq(open_count(), before);
	expect_one("one.test", "127.0.1.1"); /* none of RE2 is lost */
}

static void *asks_in_a_thread(void *unused)
{
	struct addresses all;
	struct inet_name name = name_of("silent.test");
	(void)unused;
	expect_one("one.test", "127.0.1.1");
	expect_eq(answer_of("nx.test", &networks[0], &all), -ENOENT);
	expect_eq(resolve(&name, &networks[0], false, goro_now() + GORO_MS(30), &all), -ETIMEDOUT);
	return NULL;
}

static int waits_for_threads(void *unused)
{
	pthread_t threads[4];
	(void)unused;
	for (int i = 0; i < 4; i++)
		require_eq(pthread_create(&threads[i], NULL, asks_in_a_thread, NULL), 0);
	goro_syscall_enter();
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	goro_syscall_exit();
	return 0;
}

TAP_CASE(plain_threads_ask_with_a_run_and_without, .procs = "1,4")
{
	dns_begin("nameserver 127.0.0.1\n", HOSTS_FILE);
	need_cares();
	(void)asks_in_a_thread(NULL);
	expect_eq(goro_run(waits_for_threads, NULL), 0);
	(void)waits_for_threads(NULL);
}

static int asks_at_the_limit(void *unused)
{
	struct addresses all;
	struct rlimit old, few;
	(void)unused;
	(void)answer_of("one.test", &networks[0], &all);
	int before = open_count(), n_failed = 0;
	require_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (int more = 0; more < 5; more++) {
		few.rlim_cur = (rlim_t)(before + more);
		few.rlim_max = old.rlim_max;
		require_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
		int error = answer_of("large.test", &networks[0], &all);
		require_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
		n_failed += error != 0;
		expect(error == 0 || error == -EMFILE || error == -EAGAIN || error == -ENOENT ||
		       error == -EIO);
		wait_for(open_count() == before); /* the server's end of TCP is ours, too */
	}
	expect_gt(n_failed, 0);
	expect_one("one.test", "127.0.1.1");
	return 0;
}

TAP_CASE(a_process_without_descriptors_is_told_so, .procs = "1,2")
{
	dns_begin("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", HOSTS_FILE);
	need_cares();
	expect_eq(goro_run(asks_at_the_limit, NULL), 0);
}

TAP_MAIN
