/*
 * env.c - `goro env`: CPUs found and why, the limits that matter, which guard stacks get.
 *
 *   goro env -> [env_print] -> os_cpu_count, os_guard_method, os_debug, /proc, getrlimit
 *
 * EN1  CPUs, guard and settings come from the runtime's own functions: what is printed is what
 *      happens.
 * EN2  A line that cannot be found out says so; nothing is guessed.
 *
 * Locking: none. Go: cmd/go env, which shows settings only.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/limits.h"
#include "cmd.h"
#include "io/cares.h"
#include "os/os.h"

#ifndef GORO_VERSION_TEXT
#error "the Makefile says which version this is"
#endif

#if defined(__x86_64__)
#define ARCH_NAME "amd64"
#elif defined(__aarch64__)
#define ARCH_NAME "arm64"
#endif

#ifdef GORO_DEBUG
#define KIND "debug"
#else
#define KIND "release"
#endif

#ifdef GORO_HAVE_CARES
#define WHY_NO_CARES "libcares.so.2 is not here"
#else
#define WHY_NO_CARES "compiled without c-ares"
#endif

enum { TEXT_BYTES = 256 };

__attribute__((format(printf, 2, 3))) static void row(const char *name, const char *fmt, ...)
{
	va_list list;

	printf("%-20s", name);
	va_start(list, fmt);
	vprintf(fmt, list);
	va_end(list);
	putchar('\n');
}

/* What a variable holds, in quotes when a blank or worse in it would mislead. */
static const char *shown(const char *value, char *text, size_t size)
{
	bool is_plain = true;

	for (const char *c = value; *c; c++)
		is_plain = is_plain && isgraph((unsigned char)*c);
	if (is_plain)
		return value;
	snprintf(text, size, "\"%s\"", value);
	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	return text;
}

/* The first line of a file, without its end. */
static bool first_line(const char *path, char *text, size_t size)
{
	if (os_read_file(path, text, size) <= 0)
		return false;
	text[strcspn(text, "\n")] = 0;
	return true;
}

/* ---- CPUs ---- */

static void print_maxprocs(const char *counts)
{
	for (int i = 0; i < 2; i++) {
		const char *variable = i ? "GOMAXPROCS" : "GORO_MAXPROCS";
		const char *value = os_env(variable);
		char name[32], text[TEXT_BYTES];
		snprintf(name, sizeof(name), "  %s", variable);
		if (value)
			row(name, "%s%s", shown(value, text, sizeof(text)),
			    counts && strcmp(variable, counts) == 0 ? "" : " (ignored)");
		else
			row(name, "not set");
	}
}

static void print_cpus(void)
{
	struct os_cpus cpus;
	const char *name;
	char text[TEXT_BYTES];

	os_cpu_count(&cpus);
	long asked = os_procs_asked(&name);
	if (asked)
		row("Ps", "%ld, because %s=%s%s", asked > MAXPROCS_LIMIT ? MAXPROCS_LIMIT : asked,
		    name, shown(os_env(name), text, sizeof(text)),
		    asked > MAXPROCS_LIMIT ? " (the most there can be)" : "");
	else if (cpus.quota && cpus.quota < cpus.in_affinity)
		row("Ps", "%d, because the cgroup's CPU quota allows no more", cpus.usable);
	else if (cpus.in_affinity < cpus.online)
		row("Ps", "%d, because the affinity mask allows no more", cpus.usable);
	else
		row("Ps", "%d, because so many CPUs are online", cpus.usable);
	row("  CPUs online", "%d", cpus.online);
	row("  affinity mask", "%d", cpus.in_affinity);
	if (cpus.quota)
		row("  cgroup quota", "%d (rounded up, at least 2)", cpus.quota);
	else
		row("  cgroup quota", "none");
	print_maxprocs(asked ? name : NULL);
}

/* ---- limits ---- */

static void limit_text(rlim_t value, char *text, size_t size)
{
	if (value == RLIM_INFINITY)
		snprintf(text, size, "unlimited");
	else
		snprintf(text, size, "%llu", (unsigned long long)value);
}

static void row_rlimit(const char *name, int resource, const char *note)
{
	struct rlimit limit;
	char soft[32], hard[32];

	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0) {
		row(name, "not known: %s", strerror(errno));
		return;
	}
	limit_text(limit.rlim_cur, soft, sizeof(soft));
	limit_text(limit.rlim_max, hard, sizeof(hard));
	row(name, "%s (may be raised to %s)%s%s", soft, hard, *note ? "; " : "", note);
}

static void row_file(const char *name, const char *path, const char *note)
{
	char text[TEXT_BYTES];

	if (first_line(path, text, sizeof(text)))
		row(name, "%s%s%s", text, *note ? "; " : "", note);
	else
		row(name, "not known: cannot read %s", path);
}

/* The smallest pids.max of our cgroup and its ancestors under one mount. */
static bool pids_max_upwards(const char *mount, const char *group, char *found, size_t size)
{
	char folder[PATH_MAX], path[PATH_MAX + 16], text[64];
	long long smallest = INT64_MAX;

	snprintf(folder, sizeof(folder), "%s%s", mount, group);
	while (strlen(folder) > strlen(mount)) {
		snprintf(path, sizeof(path), "%s/pids.max", folder);
		if (first_line(path, text, sizeof(text)) && atoll(text) > 0 &&
		    atoll(text) < smallest) {
			smallest = atoll(text);
			snprintf(found, size, "%lld (%s)", smallest, path);
		}
		*strrchr(folder, '/') = 0;
	}
	return smallest != INT64_MAX;
}

static void print_pids_max(void)
{
	char text[4096], found[PATH_MAX + 64];
	bool is_limited = false;

	if (os_read_file("/proc/self/cgroup", text, sizeof(text)) <= 0) {
		row("  cgroup pids.max", "not known: cannot read /proc/self/cgroup");
		return;
	}
	/* Lines of "id:controllers:/path"; version 2 is "0::/path". */
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line && !is_limited;
	     line = strtok_r(NULL, "\n", &save)) {
		char *group = strchr(line, ':') ? strchr(strchr(line, ':') + 1, ':') : NULL;
		if (strncmp(line, "0::", 3) == 0)
			is_limited = pids_max_upwards("/sys/fs/cgroup", line + 3, found,
						      sizeof(found));
		else if (group && strstr(line, ":pids:"))
			is_limited = pids_max_upwards("/sys/fs/cgroup/pids", group + 1, found,
						      sizeof(found));
	}
	row("  cgroup pids.max", "%s", is_limited ? found : "none");
}

static void print_maxstopped(void)
{
	const char *value = os_env("GORO_MAXSTOPPED");
	char text[TEXT_BYTES];
	bool is_good;
	uint32_t n = os_maxstopped(&is_good);

	row("stopped goroutines", "%u at once, which keep a thread each", n);
	row("  GORO_MAXSTOPPED", "%s%s", value ? shown(value, text, sizeof(text)) : "not set",
	    is_good ? "" : " (ignored)");
}

static void print_limits(void)
{
	row("threads", "%d at once (goro_maxthreads); the system's limits:", MAXTHREADS_DEFAULT);
	row_rlimit("  ulimit -u", RLIMIT_NPROC, geteuid() == 0 ? "not for root" : "per user");
	row_file("  threads-max", "/proc/sys/kernel/threads-max", "of the whole system");
	row_file("  pid_max", "/proc/sys/kernel/pid_max", "");
	print_pids_max();
	print_maxstopped();
	row("memory", "limits on what stacks are made of:");
	row_file("  vm.max_map_count", "/proc/sys/vm/max_map_count",
		 "matters with the guard \"mprotect\": two mappings a stack");
	row_rlimit("  ulimit -v", RLIMIT_AS, "bytes of address space; 256 KiB a stack");
	row_file("  overcommit", "/proc/sys/vm/overcommit_memory",
		 "0 and 1 are fine; 2 counts reserved stacks as used");
	row_rlimit("open files", RLIMIT_NOFILE, "");
}

/* ---- the system ---- */

static void print_guard(void)
{
	static const char *const why[] = {
		[OS_GUARD_MADVISE] = "MADV_GUARD_INSTALL works here: any number of stacks",
		[OS_GUARD_MPROTECT] = "no MADV_GUARD_INSTALL (Linux 6.13) here, or not asked for",
		[OS_GUARD_CANARY] = "no guard pages: an overflow is found when the G next parks",
	};

	os_guard_init();
	enum os_guard method = os_guard_method();
	row("stack guard", "%s; %s", os_guard_name(method), why[method]);
	const char *forced = os_env("GORO_STACKGUARD");
	char text[TEXT_BYTES];
	row("  GORO_STACKGUARD", "%s%s", forced ? shown(forced, text, sizeof(text)) : "not set",
	    forced && !os_guard_is_known(forced) ? " (ignored)" : "");
}

/* Each item in a line of its own: what holds, and what does not. */
static void print_debug(void)
{
	struct os_debug_item item;
	char text[TEXT_BYTES];
	const char *name = "GORODEBUG";

	for (const char *at = os_env("GORODEBUG"); (at = os_debug_next(at, &item)); name = "")
		row(name, "%s%s%s%s", shown(item.text, text, sizeof(text)),
		    item.problem[0] ? " (ignored: it " : "", item.problem,
		    item.problem[0] ? ")" : "");
	if (*name)
		row(name, "not set");
}

static void print_system(void)
{
	struct utsname name;
	const int wanted = MEMBARRIER_CMD_PRIVATE_EXPEDITED;

	if (uname(&name) == 0)
		row("system", "%s %s on %s", name.sysname, name.release, name.machine);
	row("page size", "%ld", sysconf(_SC_PAGESIZE));
	print_guard();
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	bool is_there = commands >= 0 && (commands & wanted);
	row("membarrier", "%s%s", is_there && os_debug(OS_DEBUG_MEMBARRIER) ?
		"yes" : "no: a full fence wherever goroutines enter the runtime",
		is_there && !os_debug(OS_DEBUG_MEMBARRIER) ? "; GORODEBUG=membarrier=0" : "");
}

static void print_names(void)
{
	const char *version = cares_about();

	if (version)
		row("names", "by c-ares %s where only DNS is asked, else by getaddrinfo", version);
	else
		row("names", "by getaddrinfo; %s",
		    os_debug(OS_DEBUG_CARES) ? WHY_NO_CARES : "GORODEBUG=cares=0");
}

static void print_kit(void)
{
	static const char *const compilers[] = {"cc", "gcc", "clang", "c++", "g++", "clang++"};
	static const char *const variables[] = {"CC", "CFLAGS", "CXX", "CXXFLAGS", "LDFLAGS"};
	struct kit kit;
	char path[PATH_MAX];

	kit_find(&kit);
	row("library", "%s", kit.library[0] ? kit.library : "not found");
	row("headers", "%s", kit.headers[0] ? kit.headers : "not found");
	row("compilers", "the first of each kind is used, unless CC or CXX says another:");
	for (size_t i = 0; i < sizeof(compilers) / sizeof(compilers[0]); i++) {
		char line[TEXT_BYTES] = "", shown[32];
		bool is_found = program_find(compilers[i], path, sizeof(path));
		char *ask[] = {path, "--version", NULL};
		if (is_found)
			child_first_line(ask, line, sizeof(line));
		snprintf(shown, sizeof(shown), "  %s", compilers[i]);
		if (is_found)
			row(shown, "%s (%s)", path, *line ? line : "says no version");
		else
			row(shown, "not found");
	}
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		char shown[32];
		snprintf(shown, sizeof(shown), "  %s", variables[i]);
		row(shown, "%s", os_env(variables[i]) ? os_env(variables[i]) : "not set");
	}
}

void version_print(void)
{
	printf("goro %s %s %s, compiled by %s %s\n", GORO_VERSION_TEXT, ARCH_NAME, KIND,
#ifdef __clang__
	       "clang", __clang_version__
#else
	       "gcc", __VERSION__
#endif
	);
}

void env_print(void)
{
	row("goro", "%s, %s, %s", GORO_VERSION_TEXT, ARCH_NAME, KIND);
	print_kit();
	print_system();
	print_names();
	print_cpus();
	print_debug();
	print_limits();
}
