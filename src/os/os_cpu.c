/*
 * os_cpu.c - how many CPUs this process may use, and why.
 *
 *   boot, `goro env` -> [os_cpu_count] -> affinity mask, cgroup v2 or v1 quota with ancestors
 *
 * CP1  usable >= 1; a quota is rounded up, is never below 2, and only lowers the number.
 *
 * Locking: none. Go: getproccount and internal/runtime/cgroup (Go 1.25); ours reads the
 * usual mount points.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

#define PATH_BYTES 1024

static int affinity_count(int fallback)
{
	/* The mask of a machine with more CPUs than CPU_SETSIZE needs a larger set. */
	for (int cpus = 1024; cpus <= 1 << 16; cpus *= 4) {
		cpu_set_t *set = CPU_ALLOC((size_t)cpus);
		if (!set)
			return fallback;
		size_t size = CPU_ALLOC_SIZE((size_t)cpus);
		int found = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
		CPU_FREE(set);
		if (found > 0)
			return found;
	}
	return fallback;
}

/* quota/period rounded up, or 0 when there is no limit in this folder. */
static int quota_of(const char *folder, bool is_v2)
{
	char path[PATH_BYTES + 64], text[64];
	long long quota = -1, period = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, is_v2 ? "cpu.max" : "cpu.cfs_quota_us");
	if (os_read_file(path, text, sizeof(text)) <= 0)
		return 0;
	if (is_v2) {
		if (sscanf(text, "%lld %lld", &quota, &period) != 2)
			return 0; /* "max" */
	} else {
		quota = atoll(text);
		snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
		if (os_read_file(path, text, sizeof(text)) <= 0)
			return 0;
		period = atoll(text);
	}
	if (quota <= 0 || period <= 0)
		return 0;
	long long cpus = (quota + period - 1) / period;
	return cpus > 1 << 20 ? 0 : (int)cpus;
}

/* The smallest quota of a cgroup and its ancestors. */
static int quota_upwards(const char *mount, const char *group, bool is_v2)
{
	char folder[PATH_BYTES];
	int smallest = 0;
	int length = snprintf(folder, sizeof(folder), "%s%s", mount, group);

	if (length < 0 || (size_t)length >= sizeof(folder))
		return 0;
	for (;;) {
		int quota = quota_of(folder, is_v2);
		if (quota && (!smallest || quota < smallest))
			smallest = quota;
		char *slash = strrchr(folder, '/');
		if (strlen(folder) <= strlen(mount) || !slash)
			return smallest;
		*slash = 0;
	}
}

static bool names_controller(const char *list, const char *end, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma ? comma : end;
		if ((size_t)(stop - at) == length && memcmp(at, name, length) == 0)
			return true;
		at = stop + 1;
	}
	return false;
}

static int cgroup_quota(void)
{
	char text[4096];
	int smallest = 0;

	if (os_read_file("/proc/self/cgroup", text, sizeof(text)) <= 0)
		return 0;
	/* Lines of "id:controllers:/path"; version 2 is "0::/path". */
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *list = strchr(line, ':');
		char *group = list ? strchr(list + 1, ':') : NULL;
		if (!group)
			continue;
		int quota = 0;
		if (group == list + 1)
			quota = quota_upwards("/sys/fs/cgroup", group + 1, true);
		else if (names_controller(list + 1, group, "cpu"))
			quota = quota_upwards("/sys/fs/cgroup/cpu", group + 1, false);
		if (quota && (!smallest || quota < smallest))
			smallest = quota;
	}
	return smallest;
}

void os_cpu_count(struct os_cpus *cpus)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	cpus->online = online > 0 ? (int)online : 1;
	cpus->in_affinity = affinity_count(cpus->online);
	cpus->quota = cgroup_quota();
	if (cpus->quota == 1)
		cpus->quota = 2;
	cpus->usable = cpus->in_affinity;
	if (cpus->quota && cpus->quota < cpus->usable)
		cpus->usable = cpus->quota;
}
