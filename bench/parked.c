/*
 * parked.c - a million goroutines that wait on one channel: what creating one takes, what it holds
 * in memory while it waits, what waking it takes, and what is still held a second after all ended.
 *
 * Memory is the process's resident set and its page tables, from /proc/self/status. ParkedMemory is
 * the rise while all wait; ParkedLeft is what remains of it.
 */
#include <stdatomic.h>

#include "bench.h"

static atomic_int_fast64_t started, ended;

static void waiter(goro_chan *gate, goro_chan *news, int64_t count)
{
	if (atomic_fetch_add_explicit(&started, 1, memory_order_acq_rel) == count - 1)
		goro_put(news, 1);
	goro_get(gate, int);
	if (atomic_fetch_add_explicit(&ended, 1, memory_order_acq_rel) == count - 1)
		goro_put(news, 1);
}

static int64_t status_bytes(const char *name)
{
	return bench_status(name) * 1024;
}

static void report_memory(const char *name, int64_t count, int64_t rss, int64_t tables)
{
	double resident = (double)(status_bytes("VmRSS:") - rss) / (double)count;
	double mapped = (double)(status_bytes("VmPTE:") - tables) / (double)count;

	printf("Benchmark%s-%d\t%" PRId64 "\t%.1f rss-B/goroutine\t%.1f pte-B/goroutine\n", name,
	       goro_maxprocs(0), count, resident, mapped);
	fflush(stdout);
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 1000000);
	goro_chan *gate = bench_chan(sizeof(int), 0);
	goro_chan *news = bench_chan(sizeof(int), 1);
	int64_t rss = status_bytes("VmRSS:");
	int64_t tables = status_bytes("VmPTE:");

	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++)
		go(waiter, gate, news, count);
	goro_get(news, int);
	bench_ns("ParkedCreate", count, start, goro_now());

	/* The last ones may be on their way to the channel still. */
	goro_sleep(GORO_MS(50));
	report_memory("ParkedMemory", count, rss, tables);

	start = goro_now();
	goro_chan_close(gate);
	goro_get(news, int);
	bench_ns("ParkedWake", count, start, goro_now());

	goro_sleep(GORO_SEC(1));
	report_memory("ParkedLeft", count, rss, tables);
	return 0;
}
