/*
 * linger.c - a server does not sleep for a request that comes at once, and sleeps for one that
 * does not (LG3), counted at the system calls that ask the poller.
 */
#include "net_tap.h"
#include "syscall_tap.h"

#include <dlfcn.h>
#include <sched.h>
#include <sys/epoll.h>

static struct {
	int n_looks, n_sleeps;
} asked;

/* In place of libc's. */
int epoll_wait(int epoll, struct epoll_event *events, int n, int timeout)
{
	static int (*real)(int, struct epoll_event *, int, int);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "epoll_wait");
	add(&asked.n_looks, 1);
	return real(epoll, events, n, timeout);
}

static long syscall_seen(long number, long a[6])
{
	if (number == SYS_epoll_pwait2)
		add(&asked.n_sleeps, 1);
	return syscall_real(number, a);
}

struct paced {
	struct pair p;
	int64_t pause_ns;
	int n_rounds, looks, sleeps;
	bool is_disturbed; /* somebody else wants the CPUs */
};

static void echoes(int fd)
{
	char c;
	while (goro_read(fd, &c, 1) == 1)
		expect_eq(goro_write(fd, &c, 1), 1);
	expect_eq(goro_close(fd), 0);
}

static void rounds(struct paced *x, int n)
{
	char c = 0;
	for (int i = 0; i < n; i++) {
		require_eq(write(x->p.b, &c, 1), 1);
		while (recv(x->p.b, &c, 1, MSG_DONTWAIT) != 1)
			continue;
		for (int64_t end = tap_now() + x->pause_ns; tap_now() < end;)
			continue;
	}
}

static int64_t thread_cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * GORO_SEC(1) + t.tv_nsec;
}

/* A client that does not sleep either. */
static void *asks(void *arg)
{
	struct paced *x = arg;
	rounds(x, 200);
	int64_t cpu = thread_cpu_ns(), start = tap_now();
	int n_looks = load(&asked.n_looks), n_sleeps = load(&asked.n_sleeps);
	rounds(x, x->n_rounds);
	x->looks = load(&asked.n_looks) - n_looks;
	x->sleeps = load(&asked.n_sleeps) - n_sleeps;
	x->is_disturbed = thread_cpu_ns() - cpu < (tap_now() - start) / 4 * 3;
	close(x->p.b);
	return NULL;
}

static int serves(void *arg)
{
	struct paced *x = arg;
	pthread_t thread;
	x->p = pair_tcp();
	require_eq(goro_fd_add(x->p.a), 0);
	go(echoes, x->p.a);
	require_eq(pthread_create(&thread, NULL, asks, x), 0);
	while (goro_count() > 1)
		goro_sleep(GORO_MS(10));
	require_eq(pthread_join(thread, NULL), 0);
	printf("# a pause of %d us, %d rounds: %d looks, %d sleeps\n", (int)(x->pause_ns / 1000),
	       x->n_rounds, x->looks, x->sleeps);
	return 0;
}

static void need_cpus(int n)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) < n)
		tap_skip("one CPU for a client and a server");
	if (TAP_SANITIZED)
		tap_skip("slow");
}

/* A sleep a round, without. */
TAP_CASE(what_comes_soon_is_not_slept_for, .procs = "1,2,4", .is_alone = true)
{
	need_cpus(2);
	struct paced x = {.pause_ns = GORO_US(5), .n_rounds = 20000};
	expect_eq(goro_run(serves, &x), 0);
	if (x.is_disturbed)
		tap_skip("the CPUs are wanted by others");
	expect_lt(x.sleeps, x.n_rounds / 2);
}

/* A moment of 20 us has some thirty looks. */
TAP_CASE(what_comes_late_is_slept_for, .procs = "1,2,4", .is_alone = true)
{
	need_cpus(2);
	struct paced x = {.pause_ns = GORO_MS(1), .n_rounds = 500};
	expect_eq(goro_run(serves, &x), 0);
	expect_lt(x.looks, 3 * x.n_rounds);
	expect_ge(x.sleeps, x.n_rounds / 2);
}

TAP_MAIN
