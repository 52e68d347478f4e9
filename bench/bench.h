/*
 * bench.h - what the benchmarks share: how often to do it, a line in the format of Go's benchmarks.
 *
 * Each program in this folder measures one subject, and bench/go/ has its twin: the same steps in
 * Go, the same lines, so that benchstat compares them. bench/run.sh runs them side by side.
 */
#ifndef BENCH_H
#define BENCH_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "goro.h"

/* The program's only argument, how often, or else the usual number. */
static inline int64_t bench_count(int argc, char **argv, int64_t usual)
{
	char *end = NULL;
	long long count = argc > 1 ? strtoll(argv[1], &end, 10) : usual;

	if (argc > 2 || count < 1 || (end != NULL && *end != '\0')) {
		fprintf(stderr, "usage: %s [COUNT]\n", argv[0]);
		exit(2);
	}
	return count;
}

/* Benchmark<name>-<Ps> <count> <value> <unit> */
static inline void bench_line(const char *name, int64_t count, double value, const char *unit)
{
	printf("Benchmark%s-%d\t%" PRId64 "\t%.1f %s\n", name, goro_maxprocs(0), count, value,
	       unit);
	fflush(stdout);
}

/* The usual line: what each of count operations took. */
static inline void bench_ns(const char *name, int64_t count, int64_t start, int64_t end)
{
	bench_line(name, count, (double)(end - start) / (double)count, "ns/op");
}

static inline int bench_by_value(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

static inline void bench_sort(int64_t *values, int64_t count)
{
	qsort(values, (size_t)count, sizeof(*values), bench_by_value);
}

/* A line of /proc/self/status: a number, or KiB. */
static inline int64_t bench_status(const char *name)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	int64_t value = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoll(line + strlen(name), NULL, 10);
	if (file != NULL)
		fclose(file);
	return value;
}

/* An object that must be there. */
static inline goro_chan *bench_chan(size_t elem_size, size_t capacity)
{
	goro_chan *c = goro_chan_make(elem_size, capacity);

	if (c == NULL)
		goro_panic("out of memory");
	return c;
}

#endif
