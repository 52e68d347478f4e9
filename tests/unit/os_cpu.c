/*
 * os_cpu.c - how many CPUs there are for us; src/os/os_cpu.c.
 *
 * A quota is shown to a child through a file system of its own (a mount namespace, for which it
 * must be root): files over /proc/self/cgroup and below /sys/fs/cgroup.
 */
#include "tap.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "os/os.h"

static struct os_cpus cpus;

TAP_CASE(count_is_what_the_system_says, .procs = "-")
{
	cpu_set_t set;

	os_cpu_count(&cpus);
	require(sched_getaffinity(0, sizeof(set), &set) == 0);
	expect_eq(cpus.online, sysconf(_SC_NPROCESSORS_ONLN));
	expect_eq(cpus.in_affinity, CPU_COUNT(&set));
	expect_ge(cpus.usable, 1); /* CP1 */
	expect_le(cpus.usable, cpus.in_affinity);
}

TAP_CASE(affinity_lowers_the_number, .procs = "-")
{
	cpu_set_t all, one;

	require(sched_getaffinity(0, sizeof(all), &all) == 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		require(sched_setaffinity(0, sizeof(one), &one) == 0);
		os_cpu_count(&cpus);
		expect_eq(cpus.in_affinity, 1);
		expect_eq(cpus.usable, 1);
	}
}

/* ---- quotas ---- */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(TAP_SKIPPED);
	close(fd);
}

/* The folders of the path, as mkdir -p makes them. */
static void make_folders(const char *path)
{
	char part[256];

	for (size_t i = 1; i <= strlen(path); i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		mkdir(part, 0755);
	}
}

/*
 * CGROUP is the text of /proc/self/cgroup ("|" ends a line); FILES is "path=text;path=text", below
 * /sys/fs/cgroup. Prints the quota and how many CPUs count.
 */
TAP_CHILD(count_with_a_quota)
{
	char listed[] = "/tmp/goro-cgroup-XXXXXX";
	char *cgroup = strdup(getenv("CGROUP")), *files = strdup(getenv("FILES"));

	for (char *bar; (bar = strchr(cgroup, '|')) != NULL;)
		*bar = '\n';
	if (unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 || mkstemp(listed) < 0)
		_exit(TAP_SKIPPED);
	write_file(listed, cgroup);
	int status = mount(listed, "/proc/self/cgroup", "none", MS_BIND, NULL);
	if (status == 0)
		status = mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL);
	unlink(listed);
	if (status != 0)
		_exit(TAP_SKIPPED);
	for (char *save = NULL, *file = strtok_r(files, ";", &save); file != NULL;
	     file = strtok_r(NULL, ";", &save)) {
		char path[256], *equal = strchr(file, '=');
		*equal = '\0';
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s", file);
		*strrchr(path, '/') = '\0';
		make_folders(path);
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s", file);
		write_file(path, equal + 1);
	}
	os_cpu_count(&cpus);
	printf("%d %d", cpus.quota, cpus.usable);
}

static void expect_quota(const char *cgroup, const char *files, int quota)
{
	char env_cgroup[256], env_files[512], wanted[64];
	struct tap_child c;

	os_cpu_count(&cpus);
	int usable = quota != 0 && quota < cpus.in_affinity ? quota : cpus.in_affinity;
	snprintf(env_cgroup, sizeof(env_cgroup), "CGROUP=%s", cgroup);
	snprintf(env_files, sizeof(env_files), "FILES=%s", files);
	snprintf(wanted, sizeof(wanted), "%d %d", quota, usable);
	tap_child(&c, "count_with_a_quota", env_cgroup, env_files);
	if (c.status == TAP_SKIPPED)
		tap_skip("a file system of one's own needs root");
	expect_child(&c, 0, "");
	expect_str(c.out, wanted);
}

TAP_CASE(cp1_version_2_quota_is_rounded_up_and_at_least_2, .procs = "-")
{
	expect_quota("0::/a|", "/a/cpu.max=max 100000\n", 0);
	expect_quota("0::/a|", "/a/cpu.max=100000 100000\n", 2);
	expect_quota("0::/a|", "/a/cpu.max=10000 100000\n", 2);
	expect_quota("0::/a|", "/a/cpu.max=200000 100000\n", 2);
	expect_quota("0::/a|", "/a/cpu.max=200001 100000\n", 3);
	expect_quota("0::/a|", "/a/cpu.max=6400000 100000\n", 64);
}

TAP_CASE(smallest_quota_of_all_ancestors_counts, .procs = "-")
{
	expect_quota("0::/a/b/c|", "/a/b/c/cpu.max=max 100000;/a/b/cpu.max=900000 100000", 9);
	expect_quota("0::/a/b/c|", "/a/cpu.max=300000 100000;/a/b/c/cpu.max=500000 100000", 3);
	expect_quota("0::/a/b/c|", "/a/cpu.max=500000 100000;/a/b/c/cpu.max=300000 100000", 3);
	expect_quota("0::/|", "/cpu.max=400000 100000", 4);
	expect_quota("0::/a|", "/cpu.max=400000 100000", 4);
	expect_quota("0::/a|", "/ab/cpu.max=400000 100000", 0); /* a neighbour's */
}

TAP_CASE(version_1_quota_is_that_of_the_cpu_controller, .procs = "-")
{
	expect_quota("3:cpu,cpuacct:/x|2:memory:/y|",
		     "/cpu/x/cpu.cfs_quota_us=350000\n;/cpu/x/cpu.cfs_period_us=100000\n", 4);
	expect_quota("3:cpuacct,cpu:/x|",
		     "/cpu/x/cpu.cfs_quota_us=-1\n;/cpu/x/cpu.cfs_period_us=100000\n", 0);
	expect_quota("3:cpuset:/x|",
		     "/cpu/x/cpu.cfs_quota_us=350000\n;/cpu/x/cpu.cfs_period_us=100000\n", 0);
	expect_quota("3:cpu:/x/y|0::/z|",
		     "/cpu/x/cpu.cfs_quota_us=250000;/cpu/x/cpu.cfs_period_us=50000;"
		     "/z/cpu.max=700000 100000",
		     5);
}

TAP_CASE(senseless_files_set_no_quota, .procs = "-")
{
	expect_quota("0::/a|", "/a/cpu.max=", 0);
	expect_quota("0::/a|", "/a/cpu.max=lots 100000", 0);
	expect_quota("0::/a|", "/a/cpu.max=100000", 0);
	expect_quota("0::/a|", "/a/cpu.max=-5 100000", 0);
	expect_quota("0::/a|", "/a/cpu.max=100000 0", 0);
	expect_quota("no colon at all|1:cpu|", "/a/cpu.max=100000 100000", 0);
	expect_quota("", "/cpu.max=100000 100000", 0);
	expect_quota("3:cpu:/x|", "/cpu/x/cpu.cfs_quota_us=350000", 0);
}

TAP_MAIN
