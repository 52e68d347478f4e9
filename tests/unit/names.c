/*
 * names.c - NA1 to NA3: which names are for DNS alone, and what resolv.conf says; src/io/names.c.
 *
 * The files are texts of the test's own.
 */
#include "tap.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "io/names.h"

static char folder[] = "/tmp/goro_names_XXXXXX";
static char nsswitch[64], resolv[64], hosts[64], gai[64];
static const struct names_files files = {nsswitch, resolv, hosts, gai};
static struct names how;

static void write_file(char *path, const char *name, const char *text)
{
	snprintf(path, 64, "%s/%s", folder, name);
	unlink(path);
	if (!text)
		return;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	require(fd >= 0);
	require_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* A machine where DNS is asked. NULL: there is no such file. */
static void begin(void)
{
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
	unsetenv("HOSTALIASES");
	if (!strchr(folder, '/') || strstr(folder, "XXXXXX"))
		require(mkdtemp(folder) != NULL);
	write_file(nsswitch, "nsswitch.conf", "passwd: files\nhosts: files dns\n");
	write_file(resolv, "resolv.conf", "nameserver 192.0.2.1\nsearch a.test\n");
	write_file(hosts, "hosts", "127.0.0.1 localhost\n");
	write_file(gai, "gai.conf", NULL);
	if (access("/var/run/nscd/socket", F_OK) == 0)
		tap_skip("nscd runs here");
}

static void end(void)
{
	unlink(nsswitch);
	unlink(resolv);
	unlink(hosts);
	unlink(gai);
	rmdir(folder);
}

static void expect_plain(const char *host, bool is_plain)
{
	if (names_read(host, &files, &how) != is_plain)
		expect_str(host, is_plain ? "for DNS" : "for libc");
}

/* NA1 */
TAP_CASE(na1_only_plain_names_are_for_dns, .procs = "-")
{
	static const char *const good[] = {"a", "a.test", "A.TEST.", "x-1.a_b.test", "1a.test",
					   "localhost.test", "local.test", "xn--bcher-kva.test"};
	static const char *const bad[] = {
		"", ".", "..", ".a", "a..b", "a..", "127.1", "1", "0x7f000001", "a.1", "a.0x1",
		"-a", "a.-b", "a b", "a\tb", "a%lo", "b\xc3\xbc" "cher.test", "a*", "a/b",
		"x.local", "x.LOCAL.", "local", "localhost", "x.localhost", "x.onion", "_gateway",
		"localhost.localdomain", "x.localhost.localdomain.",
		"a\nb", "a:b"};
	char label[80], name[400];
	begin();
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		expect_plain(good[i], true);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_plain(bad[i], false);
	memset(label, 'a', sizeof(label));
	label[63] = '\0';
	expect_plain(label, true);
	label[63] = 'a';
	label[64] = '\0';
	expect_plain(label, false);
	label[63] = '\0';
	snprintf(name, sizeof(name), "%s.%s.%s.%s", label, label, label, label + 2);
	expect_eq(strlen(name), 253);
	expect_plain(name, true);
	snprintf(name, sizeof(name), "%s.%s.%s.%s", label, label, label, label + 1);
	expect_plain(name, false);
	end();
}

TAP_CASE(na1_sources_that_we_do_not_serve_are_for_libc, .procs = "-")
{
	static const char *const good[] = {
		"hosts: files dns", "hosts:\tfiles   dns # or so",
		"#hosts: nis\n\nhosts: files dns",
		"hosts: files mdns4_minimal [NOTFOUND=return] dns",
		"hosts: files mdns4_minimal [NOTFOUND=return] dns myhostname",
		"hosts: files myhostname mdns6_minimal dns\nnetworks: files",
		"networks: nis\nhosts: files dns"};
	static const char *const bad[] = {
		"", "passwd: files", "hosts:", "hosts: dns", "hosts: files", "hosts: dns files",
		"hosts: files resolve [!UNAVAIL=return] dns", "hosts: files nis dns",
		"hosts: files [NOTFOUND=return] dns", "hosts: files dns [!UNAVAIL=return]",
		"hosts: files mdns dns", "hosts: files mdns4 dns", "hosts: db files dns",
		"hosts: files dns\nhosts: files dns", "hosts:files dns", "hosts : files dns",
		"hosts: files mymachines dns", "hosts: files dns ldap"};
	char own[HOST_MAX + 1] = "";
	begin();
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		write_file(nsswitch, "nsswitch.conf", good[i]);
		if (!names_read("a.test", &files, &how))
			expect_str(good[i], "for DNS");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(nsswitch, "nsswitch.conf", bad[i]);
		if (names_read("a.test", &files, &how))
			expect_str(bad[i], "for libc");
	}
	write_file(nsswitch, "nsswitch.conf", NULL);
	expect_plain("a.test", false);
	write_file(nsswitch, "nsswitch.conf", "hosts: files myhostname dns\n");
	gethostname(own, sizeof(own) - 1);
	expect_plain(own, false);
	end();
}

TAP_CASE(na1_the_environment_and_other_files_send_names_to_libc, .procs = "-")
{
	static const char *const variables[] = {"LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES"};
	begin();
	for (size_t i = 0; i < 3; i++) {
		setenv(variables[i], "", 1);
		expect_plain("a.test", false);
		unsetenv(variables[i]);
		expect_plain("a.test", true);
	}
	write_file(gai, "gai.conf", "# precedence ::1/128 50\n\n#label\n");
	expect_plain("a.test", true);
	write_file(gai, "gai.conf", "#\n precedence ::ffff:0:0/96 100\n");
	expect_plain("a.test", false);
	end();
}

/* NA2 */
TAP_CASE(na2_names_in_hosts_are_for_libc, .procs = "-")
{
	char large[20000];
	begin();
	write_file(hosts, "hosts",
		   "#10.0.0.1 no.test\n10.0.0.2 one.test two.test#no.test\n"
		   "\n  10.0.0.3\tthree.test # no.test\n10.0.0.4\nno.test\n"
		   "10.0.0.5 last.test");
	expect_plain("one.test", false);
	expect_plain("ONE.test", false);
	expect_plain("two.test", false);
	expect_plain("three.test", false);
	expect_plain("last.test", false);
	expect_plain("no.test", true);
	expect_plain("one.test.", true); /* libc does not find that there */
	memset(large, 'x', sizeof(large) - 1);
	memcpy(large, "10.0.0.1 ", 9);
	strcpy(large + sizeof(large) - 12, " one.test\n");
	write_file(hosts, "hosts", large);
	expect_plain("one.test", false);
	expect_plain("xxx", true);
	write_file(hosts, "hosts", NULL);
	expect_plain("two.test", false);
	static char huge[300000]; /* too long to read */
	for (size_t i = 0; i + 16 < sizeof(huge); i += 16)
		memcpy(huge + i, "10.0.0.1 x.test\n", 16);
	write_file(hosts, "hosts", huge);
	expect_plain("two.test", false);
	huge[100000] = '\0';
	write_file(hosts, "hosts", huge);
	expect_plain("two.test", true);
	end();
}

TAP_CASE(resolv_conf_is_read_as_libc_reads_it, .procs = "-")
{
	begin();
	expect_plain("a.test", true);
	expect_eq(how.n_servers, 1);
	expect_str(how.servers[0], "192.0.2.1");
	expect_eq(how.n_domains, 1);
	expect_str(how.domains[0], "a.test");
	expect_eq(how.n_dots, 1);
	expect_eq(how.timeout_s, 5);
	expect_eq(how.attempts, 2);
	write_file(resolv, "resolv.conf",
		   "; one\n# two\nsearch x.test\n\noptions ndots:99 timeout:99\noptions attempts:9 "
		   "edns0 trust-ad rotate\nnameserver ::1\nnameserver 192.0.2.1\n"
		   "nameserver 192.0.2.2 \n"
		   "nameserver 192.0.2.3\ndomain y.test\nsearch a.test b.test.");
	expect_plain("a.test", true);
	expect_eq(how.n_servers, 3);
	expect_str(how.servers[0], "::1");
	expect_str(how.servers[2], "192.0.2.2");
	expect_eq(how.n_domains, 2);
	expect_str(how.domains[1], "b.test.");
	expect_eq(how.n_dots, 15);
	expect_eq(how.timeout_s, 30);
	expect_eq(how.attempts, 5);
	expect(how.has_rotation);
	write_file(resolv, "resolv.conf", "search a.test\n");
	expect_plain("a.test", true);
	expect_str(how.servers[0], "127.0.0.1");
	end();
}

TAP_CASE(na1_what_resolv_conf_may_mean_otherwise_is_for_libc, .procs = "-")
{
	static const char *const bad[] = {
		"nameserver", "nameserver x", "nameserver fe80::1%lo",
		"nameserver 192.0.2.1 192.0.2.2", "nameserver 0.0.0.0", "nameserver ::",
		"nameserver 192.0.2.1#53", " nameserver 192.0.2.1", "search", "search .",
		"search a.test # b", "domain a.test b.test", "search a b c d e f g",
		"options ndots:x",
		"options ndots:", "options timeout:0", "options attempts:0", "options use-vc",
		"options single-request", "options single-request-reopen", "options no-aaaa",
		"options inet6", "options whatever", "sortlist 10.0.0.0", "lookup file bind", "x",
		"options ndots:-1"};
	begin();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(resolv, "resolv.conf", bad[i]);
		if (names_read("a.test", &files, &how))
			expect_str(bad[i], "for libc");
	}
	write_file(resolv, "resolv.conf", NULL);
	expect_plain("a.test", false);
	end();
}

TAP_MAIN
