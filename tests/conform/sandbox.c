/*
 * sandbox.c - SYS-01: a program that forbids itself system calls while it runs.
 *
 *   main: seccomp, membarrier fails from now on -> all goes on, by other fences (FE3 in os_fence.c)
 *
 * The filter is put up in one thread, or in all there are at that moment, before others work and in
 * the middle of it. What it forbids fails, as with the filters of containers.
 *
 * Go: none; its runtime needs membarrier for cgo on few systems only.
 */
#include "goro_tap.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void forbid(long first, long second, int error, unsigned flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)first, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)second, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) != 0)
		tap_skip("no seccomp filters here");
	require(syscall(SYS_membarrier, 0, 0, 0) < 0 && errno == error);
}

/* ---- what goes on ---- */

enum { ROUNDS = 300, PAIRS = 4 };

static goro_mutex lock;
static int n_locked, n_slept, n_blocked, n_passed;

static void passes_on(goro_chan *in, goro_chan *out)
{
	for (int i = 0; i < ROUNDS; i++) {
		goro_put(out, goro_get(in, int) + 1);
		goro_mutex_lock(&lock);
		n_locked++;
		goro_mutex_unlock(&lock);
	}
}

static void sleeps(goro_waitgroup *wg)
{
	for (int i = 0; i < 20; i++)
		goro_sleep(1000000);
	add(&n_slept, 1);
	goro_waitgroup_done(wg);
}

static void blocks(goro_waitgroup *wg)
{
	for (int i = 0; i < 5; i++)
		usleep(5000);
	for (int i = 0; i < 20; i++) {
		goro_syscall_enter();
		usleep(200);
		goro_syscall_exit();
	}
	add(&n_blocked, 1);
	goro_waitgroup_done(wg);
}

static void *locks(void *unused)
{
	for (int i = 0; i < ROUNDS; i++) {
		goro_mutex_lock(&lock);
		n_locked++;
		goro_mutex_unlock(&lock);
	}
	return unused;
}

static void goes_round(goro_waitgroup *wg)
{
	goro_chan *a = goro_chan_of(int, 0), *b = goro_chan_of(int, 0);
	go(passes_on, a, b);
	for (int i = 0; i < ROUNDS; i++) {
		goro_put(a, i);
		add(&n_passed, goro_get(b, int) == i + 1);
	}
	goro_chan_unref(a);
	goro_chan_unref(b);
	goro_waitgroup_done(wg);
}

static void start_all(goro_waitgroup *wg)
{
	goro_waitgroup_add(wg, 3 * PAIRS);
	for (int i = 0; i < PAIRS; i++) {
		go(goes_round, wg);
		go(sleeps, wg);
		go(blocks, wg);
	}
}

static void expect_all(goro_waitgroup *wg, int times)
{
	goro_waitgroup_wait(wg);
	expect_eq(n_passed, times * PAIRS * ROUNDS);
	expect_eq(n_slept, times * PAIRS);
	expect_eq(n_blocked, times * PAIRS);
}

static void all_goes_on(void)
{
	goro_waitgroup wg = {0};
	pthread_t thread;
	int n_procs = goro_maxprocs(0);

	start_all(&wg);
	require_eq(pthread_create(&thread, NULL, locks, NULL), 0);
	expect_all(&wg, 1);
	pthread_join(thread, NULL);
	expect_eq(n_locked, ROUNDS * (PAIRS + 1));
	goro_maxprocs(n_procs + 1);
	start_all(&wg);
	expect_all(&wg, 2);
}

/* ---- the filters ---- */

GORO_CASE(membarrier_is_forbidden_in_the_main_thread, .id = "SYS-01")
{
	forbid(SYS_membarrier, -1, EPERM, 0);
	all_goes_on();
}

GORO_CASE(membarrier_is_forbidden_in_all_threads, .id = "SYS-01")
{
	goro_sleep(1000000);
	forbid(SYS_membarrier, -1, ENOSYS, SECCOMP_FILTER_FLAG_TSYNC);
	all_goes_on();
}

GORO_CASE(membarrier_is_forbidden_while_all_are_at_it, .id = "SYS-01")
{
	goro_waitgroup wg = {0};
	start_all(&wg);
	goro_sleep(3000000);
	forbid(SYS_membarrier, -1, EPERM, SECCOMP_FILTER_FLAG_TSYNC);
	expect_all(&wg, 1);
}

static cpu_set_t affinity_of_this_thread(void)
{
	cpu_set_t set;
	require_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	return set;
}

GORO_CASE(affinity_is_what_it_was_after_membarrier_is_gone, .id = "SYS-01")
{
	goro_lock_thread();
	cpu_set_t all = affinity_of_this_thread(), one;
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one), cpu = CPU_SETSIZE;
	require_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	forbid(SYS_membarrier, -1, EPERM, 0);
	goro_sleep(2000000); /* to sleep this thread needs a fence, if no other has */
	all_goes_on();
	cpu_set_t now = affinity_of_this_thread();
	expect(CPU_EQUAL(&now, &one));
}

GORO_CHILD(forbids_both)
{
	forbid(SYS_membarrier, SYS_sched_setaffinity, EPERM, SECCOMP_FILTER_FLAG_TSYNC);
	all_goes_on();
}

TAP_CASE(without_any_fence_that_is_an_error, .id = "SYS-01")
{
	struct tap_child c;
	tap_child(&c, "forbids_both");
	if (c.status == 77)
		tap_skip("no seccomp filters here");
	expect_child(&c, 2, "fatal error: the kernel does not do membarrier any more (error 1), "
			    "nor sched_setaffinity in its place: set GORODEBUG=membarrier=0\n");
}

TAP_CASE(forbidden_both_all_goes_on_if_membarrier_was_not_begun, .id = "SYS-01")
{
	struct tap_child c;
	tap_child(&c, "forbids_both", "GORODEBUG=membarrier=0");
	if (c.status == 77)
		tap_skip("no seccomp filters here");
	expect_eq(c.status, 0);
}

TAP_MAIN
