/*
 * syscall.c - system calls: a short one, announced and not; and a thousand goroutines in long ones.
 *
 * Getppid is the call alone, GetppidAnnounced the same between goro_syscall_enter() and
 * goro_syscall_exit(). BlockingCalls: a thousand goroutines make ten announced calls of a
 * millisecond each; the time for all of them together, and the threads that exist when they have
 * ended. BlockingThreads: the same by a thousand plain threads; Go's twin has none.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

enum { SLEEPERS = 1000, CALLS = 10, ROUNDS = 3 };

static void short_calls(int64_t count)
{
	int64_t start = goro_now();

	for (int64_t i = 0; i < count; i++)
		(void)syscall(SYS_getppid);
	bench_ns("Getppid", count, start, goro_now());

	start = goro_now();
	for (int64_t i = 0; i < count; i++) {
		goro_syscall_enter();
		(void)syscall(SYS_getppid);
		goro_syscall_exit();
	}
	bench_ns("GetppidAnnounced", count, start, goro_now());
}

static void sleep_in_kernel(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void calls_long(goro_waitgroup *left)
{
	for (int i = 0; i < CALLS; i++) {
		goro_syscall_enter();
		sleep_in_kernel();
		goro_syscall_exit();
	}
	goro_waitgroup_done(left);
}

static void *calls_long_alone(void *unused)
{
	for (int i = 0; i < CALLS; i++)
		sleep_in_kernel();
	return unused;
}

static void by_goroutines(void)
{
	static goro_waitgroup left;

	goro_waitgroup_add(&left, SLEEPERS);
	for (int i = 0; i < SLEEPERS; i++)
		go(calls_long, &left);
	goro_waitgroup_wait(&left);
}

static void by_threads(void)
{
	static pthread_t threads[SLEEPERS];

	for (int i = 0; i < SLEEPERS; i++)
		if (pthread_create(&threads[i], NULL, calls_long_alone, NULL) != 0)
			goro_panic("no thread");
	for (int i = 0; i < SLEEPERS; i++)
		pthread_join(threads[i], NULL);
}

static double mean_ms(void (*all)(void))
{
	int64_t start = goro_now();

	for (int i = 0; i < ROUNDS; i++)
		all();
	return (double)(goro_now() - start) / ROUNDS / 1e6;
}

static void long_calls(void)
{
	double ms = mean_ms(by_goroutines);

	printf("BenchmarkBlockingCalls-%d\t%d\t%.1f wall-ms\t%" PRId64 " threads\n",
	       goro_maxprocs(0), ROUNDS, ms, bench_status("Threads:"));
	bench_line("BlockingThreads", ROUNDS, mean_ms(by_threads), "wall-ms");
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 1000000);

	short_calls(count);
	long_calls();
	return 0;
}
