/*
 * environment.c - the same work where the machine gives little: no membarrier, each kind of guard,
 * little address space, no descriptors, no /proc, no threads.
 *
 *   fork -> the shortage -> does_everything -> all counts right, or a message that names it
 *
 * tests/errors/fatal.c shows single limits; here a limit is raised step by step until the work
 * passes, so that it is met at every point of the work. SW1 of sweep.h is what a run must come to.
 */
#include "sweep.h"

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/uio.h>

#include "queue/gfree.h"
#include "sched/sched.h"

/* ---- the work ---- */

enum { SENDERS = 200, SLEEPERS = 80, PARKED = TAP_SANITIZED ? 300 : 3000 };

static int n_asleep, n_from_outside, dump_fd;

static void sends_one(void *c)
{
	goro_chan_send(c, &(int){1});
}

static void sleeps(void *unused)
{
	(void)unused;
	goro_sleep(GORO_US(300));
	add(&n_asleep, -1);
}

static void *spawns_from_outside(void *c)
{
	int n = 0;
	for (int i = 0; i < 20; i++)
		n += is_granted(goro_spawn(sends_one, c));
	store(&n_from_outside, n);
	return NULL;
}

static int spawn_all(goro_chan *c)
{
	struct goro_attr attr = {.stack_size = 64 << 10, .name = "sender"};
	char bytes[512] = {0};
	int n = 0;
	memcpy(bytes, &(struct role){.c = c}, sizeof(struct role));
	for (int i = 0; i < SENDERS; i++) {
		if (i % 8 == 0)
			n += is_granted(goro_spawn_attr(&attr, sends_one, c));
		else
			n += is_granted(goro_spawn(sends_one, c));
	}
	for (int i = 0; i < SLEEPERS; i++)
		add(&n_asleep, is_granted(goro_spawn_copy(sleeps, bytes, sizeof(bytes))));
	return n;
}

static int does_it_all(void *thread_fn)
{
	void *(*fn)(void *) = *(void *(**)(void *))thread_fn;
	pthread_t thread;
	goro_chan *c = make_chan(sizeof(int), 0);
	if (c == NULL)
		return MAIN_VALUE;
	int n = spawn_all(c), n_received = 0;
	goro_maxprocs(goro_maxprocs(0) + 2);
	bool is_joinable = fn != NULL && pthread_create(&thread, NULL, fn, c) == 0;
	if (is_joinable) {
		wait_for(load(&n_from_outside) >= 0);
		n += n_from_outside;
	}
	goro_dump(dump_fd);
	while (n_received < n)
		n_received += goro_get(c, int);
	goro_maxprocs(1);
	wait_for(goro_count() == 1);
	if (is_joinable)
		pthread_join(thread, NULL);
	expect_eq(n_asleep, 0);
	expect_eq(goro_chan_tryrecv(c, NULL), -EAGAIN);
	expect(lseek(dump_fd, 0, SEEK_END) > 0);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void does_everything(bool has_threads)
{
	void *(*fn)(void *) = has_threads ? spawns_from_outside : NULL;
	store(&n_from_outside, -1);
	dump_fd = dump_fd > 0 ? dump_fd : memfd_create("dump", MFD_CLOEXEC);
	if (run_main(does_it_all, &fn))
		run_main(does_it_all, &(void *(*)(void *)){NULL});
}

static void expect_run(void (*scenario)(void), const char *what)
{
	static struct sweep_run r;
	sweep_run(&r, scenario, NULL);
	expect_eq(r.status, 0);
	expect_str(r.err, "");
	if (strncmp(r.out, "skip ", 5) == 0)
		tap_skip(r.out + 5);
	if (tap_failures != 0)
		tap_diag("# %s", what);
}

/* In the child: this machine cannot show it. */
static void skip(const char *why)
{
	printf("skip %s", why);
	fflush(stdout);
	_exit(0);
}

/* ---- no membarrier: each fence is a real one ---- */

static void without_membarrier(void)
{
	setenv("GORODEBUG", "membarrier=0", 1);
	os_fence_init(); /* the library's own call was before main */
	for (int i = 0; i < 5; i++)
		does_everything(true);
	expect(!fence_is_asymmetric);
}

TAP_CASE(all_goes_on_without_membarrier, .procs = "1,4")
{
	expect_run(without_membarrier, "GORODEBUG=membarrier=0");
}

/* ---- each kind of guard ---- */

struct guards {
	int n_stacks, n_open; /* with a byte below the stack that can be read */
};

/* The kernel looks, so that a guard is an error and not a fault. */
static void look_below(struct g *gp, void *arg)
{
	struct guards *guards = arg;
	char byte;
	struct iovec to = {&byte, 1}, from = {(char *)gp->stack.lo - 1, 1};
	if (gp->stack.lo == 0)
		return;
	guards->n_stacks++;
	guards->n_open += process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

static void parks_for_guards(void *c)
{
	add(&n_asleep, 1);
	goro_chan_recv(c, NULL);
}

static void look_at_all(struct guards *guards)
{
	CALL_SCOPE;

	gfree_each(look_below, guards);
}

static int parks_twice(void *method)
{
	struct goro_attr attr = {.stack_size = 64 << 10};
	expect_eq(os_guard_method(), (intptr_t)method);
	for (int round = 0; round < 2; round++) {
		goro_chan *c = goro_chan_make(0, 0);
		struct guards guards = {0};
		store(&n_asleep, 0);
		for (int i = 0; i < PARKED; i++)
			require_eq(goro_spawn_attr(i % 10 == 0 ? &attr : NULL, parks_for_guards, c),
				   0);
		wait_for(load(&n_asleep) == PARKED);
		look_at_all(&guards);
		expect_eq(guards.n_stacks, PARKED + 1);
		if ((intptr_t)method == OS_GUARD_CANARY)
			expect_eq(guards.n_open, guards.n_stacks);
		else
			expect_eq(guards.n_open, 0);
		goro_chan_close(c);
		wait_for(goro_count() == 1);
		goro_chan_unref(c);
		/* The stacks' memory is given back meanwhile; their guards must survive it. */
		goro_sleep(GORO_MS(250));
	}
	return MAIN_VALUE;
}

static void with_guard_regions(void)
{
	setenv("GORO_STACKGUARD", "guard", 1);
	run_main(parks_twice, (void *)(intptr_t)OS_GUARD_MADVISE);
}

static void with_mprotect(void)
{
	setenv("GORO_STACKGUARD", "mprotect", 1);
	run_main(parks_twice, (void *)(intptr_t)OS_GUARD_MPROTECT);
}

static void with_canaries(void)
{
	setenv("GORO_STACKGUARD", "canary", 1);
	run_main(parks_twice, (void *)(intptr_t)OS_GUARD_CANARY);
}

/* Where the kernel has no guard regions, that method must come to mprotect: also closed. */
TAP_CASE(parked_stacks_are_guarded_also_when_used_again, .procs = "2")
{
	expect_run(with_guard_regions, "GORO_STACKGUARD=guard");
	expect_run(with_mprotect, "GORO_STACKGUARD=mprotect");
	expect_run(with_canaries, "GORO_STACKGUARD=canary");
}

/* ---- limits, raised until the work passes ---- */

static rlim_t the_limit;

/* A warning that a thread was missing counts as met. */
static enum verdict try_limit(void (*scenario)(void), const char *kind)
{
	static struct sweep_run r;
	sweep_run(&r, scenario, NULL);
	if (strncmp(r.out, "skip ", 5) == 0)
		tap_skip(r.out + 5);
	enum verdict v = verdict_of(&r, kind);
	if (v == BAD) {
		tap_diag("# limit %llu: status %d", (unsigned long long)the_limit, r.status);
		tap_show("output", r.out);
		tap_show("errors", r.err);
	}
	return v == UNMET && r.err[0] != '\0' ? WENT_ON : v;
}

static void raise_until_it_passes(void (*scenario)(void), const char *kind, rlim_t first,
				  rlim_t step)
{
	int count[BAD + 1] = {0};
	for (the_limit = first; count[UNMET] == 0 && count[BAD] < BAD_RUNS_SHOWN; the_limit += step)
		count[try_limit(scenario, kind)]++;
	printf("# %d went on with less, %d said why not, %d failed; %llu was enough\n",
	       count[WENT_ON], count[SAID_WHY], count[BAD], (unsigned long long)(the_limit - step));
	expect_eq(count[BAD], 0);
	expect(count[WENT_ON] + count[SAID_WHY] > 0);
}

static void set_limit(int resource, rlim_t value)
{
	struct rlimit limit = {value, value};
	require(setrlimit(resource, &limit) == 0);
	sweep_is_short = sweep_persists = true;
}

/* In KiB more than there is. Also malloc, threads' stacks and what reports need must do with it. */
static void with_little_memory(void)
{
	dump_fd = memfd_create("dump", MFD_CLOEXEC);
	rlim_t now = (rlim_t)tap_kib("/proc/self/status", "VmSize:");
	set_limit(RLIMIT_AS, (now + the_limit) << 10);
	does_everything(true);
}

static int returns_seven(void *unused)
{
	(void)unused;
	return MAIN_VALUE;
}

static void boots_with_little_memory(void)
{
	set_limit(RLIMIT_AS, ((rlim_t)tap_kib("/proc/self/status", "VmSize:") + the_limit) << 10);
	run_main(returns_seven, NULL);
}

/* The least with which an empty main runs, in KiB. */
static rlim_t least_to_boot(void)
{
	rlim_t low = 0, high = 16 << 20;
	while (high - low > 16) {
		the_limit = low + (high - low) / 2;
		enum verdict v = try_limit(boots_with_little_memory, "malloc");
		require(v != BAD);
		if (v == UNMET)
			high = the_limit;
		else
			low = the_limit;
	}
	return high;
}

TAP_CASE(little_address_space_is_said_or_survived, .procs = "2", .timeout_s = 60)
{
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's shadow needs all the address space");
	read_symbols(without_membarrier);
	rlim_t least = least_to_boot();
	printf("# an empty main needs %llu KiB of address space\n", (unsigned long long)least);
	raise_until_it_passes(with_little_memory, "malloc", least, 128);
}

/* An odd user that nobody else is: the limit counts all threads of a user, but root's never. */
static void with_few_threads(void)
{
	uid_t uid = 100000 + (uid_t)getpid() % 100000;
	dump_fd = memfd_create("dump", MFD_CLOEXEC);
	if (geteuid() != 0 || setgroups(0, NULL) != 0 || setgid(uid) != 0 || setuid(uid) != 0)
		skip("may not change the user, which RLIMIT_NPROC needs");
	set_limit(RLIMIT_NPROC, the_limit);
	sweep_sees_no_leaks = true; /* the search for leaks starts a thread */
	does_everything(true);
}

TAP_CASE(few_threads_are_said_or_survived, .procs = "4")
{
	raise_until_it_passes(with_few_threads, "malloc", 1, 1);
}

/* ---- no descriptors ---- */

static void with_few_descriptors(void)
{
	struct rlimit limit = {the_limit, the_limit};
	dump_fd = dup2(memfd_create("dump", 0), 3);
	require(dump_fd == 3 && close_range(4, ~0u, 0) == 0);
	require(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	sweep_sees_no_leaks = true; /* the search for leaks reads files */
	does_everything(true);
}

TAP_CASE(no_descriptor_is_needed, .procs = "2")
{
	if (TAP_SANITIZED)
		tap_skip("the sanitizer finds the first thread's stack in /proc");
	for (the_limit = 3; the_limit <= 5; the_limit++)
		expect_run(with_few_descriptors, "RLIMIT_NOFILE");
}

/* ---- no /proc ---- */

static void take_proc_away(void)
{
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", "/proc", "tmpfs", 0, NULL) != 0)
		skip("may not take /proc away");
	require(access("/proc/self", F_OK) != 0);
}

static void without_proc(void)
{
	dump_fd = memfd_create("dump", MFD_CLOEXEC);
	take_proc_away();
	sweep_sees_no_leaks = true; /* the search for leaks reads /proc */
	does_everything(true);
}

TAP_CASE(all_goes_on_without_proc, .procs = "2")
{
	if (TAP_SANITIZED)
		tap_skip("the sanitizer finds the first thread's stack in /proc");
	expect_run(without_proc, "no /proc");
}

/* A deadlock is one all the same; a thread of the program's own that will act is none. */

static int parks_for_ever(void *unused)
{
	(void)unused;
	goro_spawn(sends_one, goro_chan_make(sizeof(int), 0));
	goro_chan_recv(NULL, NULL);
	return 0;
}

TAP_CHILD(deadlocks_without_proc)
{
	take_proc_away();
	goro_run(parks_for_ever, NULL);
}

static void *sends_later(void *c)
{
	tap_pause(GORO_MS(300) * TAP_SLOWER);
	goro_chan_send(c, &(int){3});
	return NULL;
}

static int receives_from_a_thread(void *unused)
{
	goro_chan *c = goro_chan_make(sizeof(int), 0);
	pthread_t thread;
	(void)unused;
	require_eq(pthread_create(&thread, NULL, sends_later, c), 0);
	int value = goro_get(c, int);
	pthread_join(thread, NULL);
	return value;
}

TAP_CHILD(waits_for_a_thread_without_proc)
{
	take_proc_away();
	_exit(goro_run(receives_from_a_thread, NULL));
}

TAP_CASE(deadlock_is_reported_without_proc, .procs = "1,2", .timeout_s = 60)
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer needs /proc");
	tap_child(&c, "deadlocks_without_proc");
	if (c.status == 0)
		tap_skip("may not take /proc away");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	tap_child(&c, "waits_for_a_thread_without_proc");
	expect_child(&c, 3, "");
	expect_str(c.err, "");
}

TAP_MAIN
