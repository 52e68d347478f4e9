/*
 * outside.h - what a process uses, seen from outside: CPU time and memory.
 *
 * The CPU time of the server is its process's CPU clock, in nanoseconds; what /proc/PID/stat says
 * of it comes in ticks of 10 ms. That of the whole machine is in ticks only.
 */
#ifndef OUTSIDE_H
#define OUTSIDE_H

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* In nanoseconds. */
struct cpu {
	int64_t load;
	int64_t server;
	int64_t all; /* the whole machine, and what its host took away */
};

/* user, nice, system, (idle, iowait left out,) irq, softirq, steal of the first line. */
static int64_t cpu_all(void)
{
	int64_t field[8] = {0};
	FILE *f = fopen("/proc/stat", "re");

	if (f == NULL || fscanf(f,
				"cpu %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
				" %" SCNd64 " %" SCNd64 " %" SCNd64,
				&field[0], &field[1], &field[2], &field[3], &field[4], &field[5],
				&field[6], &field[7]) != 8)
		fail("/proc/stat");
	fclose(f);
	int64_t ticks = field[0] + field[1] + field[2] + field[5] + field[6] + field[7];
	return ticks * (SECOND / sysconf(_SC_CLK_TCK));
}

/* A server of 0 is none. */
static struct cpu cpu_of(pid_t server)
{
	struct cpu cpu = {.load = clock_ns(CLOCK_PROCESS_CPUTIME_ID), .all = cpu_all()};
	clockid_t clock;

	if (server == 0)
		return cpu;
	errno = clock_getcpuclockid(server, &clock);
	if (errno != 0)
		fail("the server's CPU clock");
	cpu.server = clock_ns(clock);
	return cpu;
}

static struct cpu cpu_since(struct cpu before, pid_t server)
{
	struct cpu after = cpu_of(server);

	return (struct cpu){after.load - before.load, after.server - before.server,
			    after.all - before.all};
}

/* In bytes. */
struct memory {
	int64_t rss, pss, pte;
};

/* The line "Name:  1234 kB" of a file in /proc/PID, in bytes. */
static int64_t proc_bytes(pid_t pid, const char *file, const char *name)
{
	char path[64], line[256];
	int64_t kib = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	FILE *f = fopen(path, "re");
	while (f != NULL && kib < 0 && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtoll(line + strlen(name), NULL, 10);
	if (f != NULL)
		fclose(f);
	if (kib < 0)
		fail(path);
	return kib * 1024;
}

static struct memory memory_of(pid_t pid)
{
	if (pid == 0)
		return (struct memory){0};
	return (struct memory){proc_bytes(pid, "smaps_rollup", "Rss:"),
			       proc_bytes(pid, "smaps_rollup", "Pss:"),
			       proc_bytes(pid, "status", "VmPTE:")};
}

#endif
