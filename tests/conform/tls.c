/*
 * tls.c - TLS-01: what docs/threads-and-tls.md says of thread-locals and errno, a case a claim.
 *
 *   a goroutine changes threads only inside a call; what C keeps per thread stays with the thread;
 *   errno goes with the goroutine; its stack does not move
 *
 * The document names each of these. tests/storm has the same at -O3 and with -flto.
 */
#include "sys_tap.h"

#include <alloca.h>
#include <locale.h>
#include <setjmp.h>

static __thread int local;

/* As the document says: in a small function that makes no call of the library. */
__attribute__((noinline)) static int *local_now(void)
{
	int *at = &local;
	__asm__ volatile("" : "+r"(at));
	return at;
}

__attribute__((noinline)) static int errno_now(void)
{
	int value = errno;
	__asm__ volatile("" : "+r"(value));
	return value;
}

__attribute__((noinline)) static void errno_set(int value)
{
	errno = value;
}

static int is_over;

static void loops(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		continue;
}

static void yields(void *unused)
{
	(void)unused;
	while (!load(&is_over))
		goro_yield();
}

/* Others that run, park and are stopped meanwhile. */
static void go_others(void)
{
	store(&is_over, 0);
	for (int i = 0; i < goro_maxprocs(0); i++)
		require_eq(goro_spawn(loops, NULL), 0);
	for (int i = 0; i < 4; i++)
		require_eq(goro_spawn(yields, NULL), 0);
}

static void end_others(void)
{
	store(&is_over, 1);
	wait_for(goro_count() == 1);
}

static void computes(int64_t ns)
{
	for (int64_t end = tap_now() + ns; tap_now() < end;)
		continue;
}

/* ---- when ---- */

static void stays_between_calls(goro_chan *done)
{
	int n_moved = 0, n_foreign = 0;
	for (int i = 0; i < 10; i++) {
		pid_t tid = thread_id();
		int *at = local_now();
		*at = (int)goro_id() * 1000 + i;
		if (i % 2)
			computes(GORO_MS(15)); /* it is stopped */
		else
			usleep(3000); /* its P is taken */
		n_moved += thread_id() != tid || local_now() != at;
		n_foreign += *local_now() != (int)goro_id() * 1000 + i;
		goro_yield();
	}
	expect_eq(n_moved, 0);
	expect_eq(n_foreign, 0);
	goro_put(done, 1);
}

/* And nobody else runs there meanwhile: the thread-local is as it was left. */
GORO_CASE(between_two_calls_a_goroutine_stays_on_its_thread, .id = "TLS-01", .is_race = true,
	  .timeout_s = 60)
{
	goro_chan *done = goro_chan_of(int, 0);
	go_others();
	for (int i = 0; i < 6; i++)
		go(stays_between_calls, done);
	for (int i = 0; i < 6; i++)
		(void)goro_get(done, int);
	end_others();
}

static bool changes_in(void (*call)(void))
{
	for (int i = 0;; i++) { /* as often as it takes, within the time of the case */
		pid_t tid = thread_id();
		/* About a slice: it is asked to yield, and not yet stopped for not doing so. */
		computes(GORO_MS(9) + i % 32 * GORO_US(100));
		call();
		if (thread_id() != tid)
			return true;
	}
}

static void calls_now(void)
{
	goro_now();
}

static void calls_trysend(void)
{
	static goro_chan *c;
	int one = 1;
	if (c == NULL)
		c = goro_chan_of(int, 1);
	goro_chan_trysend(c, &one);
}

static void calls_checkpoint(void)
{
	goro_checkpoint();
}

GORO_CASE(a_call_that_never_waits_may_change_the_thread, .id = "TLS-01", .procs = "2+",
	  .timeout_s = 120)
{
	go_others();
	expect(changes_in(calls_now));
	expect(changes_in(calls_trysend));
	expect(changes_in(calls_checkpoint));
	expect(changes_in(goro_yield));
	end_others();
}

/* ---- what stays with the thread, what goes with the goroutine ---- */

static void sees_the_other(int *seen)
{
	*seen = *local_now();
}

GORO_CASE(a_thread_local_is_shared_with_who_runs_on_the_thread, .id = "TLS-01", .procs = "1")
{
	int seen = -1;
	pid_t tid = thread_id();
	*local_now() = 4711;
	go(sees_the_other, &seen);
	goro_yield();
	wait_for(load(&seen) != -1);
	if (thread_id() == tid) /* it may be that the P was taken */
		expect(seen == 4711 || seen == 0);
}

static void finds_own_local(goro_chan *done)
{
	int n_wrong = 0;
	for (int i = 0; i < tap_share(3000); i++) {
		int value = *local_now(), tid = thread_id();
		n_wrong += value != 0 && value != tid;
		*local_now() = tid;
		goro_yield();
	}
	expect_eq(n_wrong, 0);
	goro_put(done, 1);
}

/* Never another thread's: its address is computed anew. */
GORO_CASE(a_thread_local_read_in_a_small_function_is_that_of_the_thread, .id = "TLS-01",
	  .is_race = true)
{
	goro_chan *done = goro_chan_of(int, 0);
	for (int i = 0; i < 16; i++)
		go(finds_own_local, done);
	for (int i = 0; i < 16; i++)
		(void)goro_get(done, int);
}

static void keeps_errno(int number, goro_chan *c, goro_chan *done)
{
	int n_wrong = 0, x;
	for (int i = 0; i < tap_share(1000); i++) {
		errno_set(number * 1000 + i);
		if (i % 3 == 0)
			goro_yield();
		else if (i % 3 == 1)
			(void)goro_chan_recv_until(c, &x, goro_now() + GORO_US(20));
		else
			goro_sleep(GORO_US(1));
		n_wrong += errno_now() != number * 1000 + i;
	}
	expect_eq(n_wrong, 0);
	goro_put(done, 1);
}

GORO_CASE(errno_goes_with_the_goroutine, .id = "TLS-01", .is_race = true)
{
	goro_chan *c = goro_chan_of(int, 0), *done = goro_chan_of(int, 0);
	for (int i = 1; i <= 16; i++)
		go(keeps_errno, i, c, done);
	for (int i = 0; i < 16; i++)
		(void)goro_get(done, int);
}

static void sees_locale(locale_t other, int *seen)
{
	*seen = uselocale((locale_t)0) == other;
}

/* As an example of what libc keeps per thread. */
GORO_CASE(what_libc_keeps_per_thread_stays_there, .id = "TLS-01", .procs = "1")
{
	int seen = -1;
	locale_t own = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	require(own != (locale_t)0);
	pid_t tid = thread_id();
	uselocale(own);
	go(sees_locale, own, &seen);
	wait_for(load(&seen) != -1);
	expect(seen == 1 || thread_id() != tid); /* the other goroutine got it, too */
	uselocale(LC_GLOBAL_LOCALE);
}

/* ---- pthread mutexes ---- */

static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void tries_recursive(int *result)
{
	*result = pthread_mutex_trylock(&recursive);
}

static int main_of_recursive(void *unused)
{
	int result = -1;
	(void)unused;
	pthread_mutex_lock(&recursive);
	go(tries_recursive, &result);
	while (load(&result) == -1)
		goro_yield();
	return result == 0 ? 40 : 41;
}

TAP_CHILD(recursive_mutex_over_a_yield)
{
	_exit(goro_run(main_of_recursive, NULL));
}

/* Another goroutine is let in; or, in a debug build of the library, the program is told. */
TAP_CASE(a_recursive_mutex_lets_other_goroutines_of_the_thread_in, .id = "TLS-01", .procs = "1")
{
	struct tap_child c;
	tap_child(&c, "recursive_mutex_over_a_yield");
	if (c.status == 2)
		expect_contains(c.err, "fatal error: a pthread_mutex_t is held over a call");
	else
		expect_eq(c.status, 40);
}

static void locks_and_unlocks(pthread_mutex_t *m, int *n, goro_chan *done)
{
	for (int i = 0; i < tap_share(1000); i++) {
		pthread_mutex_lock(m);
		++*n;
		if (i % 50 == 0)
			computes(100000);
		pthread_mutex_unlock(m);
		goro_yield();
	}
	goro_put(done, 1);
}

GORO_CASE(a_pthread_mutex_between_calls_is_as_in_threads, .id = "TLS-01", .is_race = true)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	int n = 0, each = tap_share(1000);
	goro_chan *done = goro_chan_of(int, 0);
	go_others();
	for (int i = 0; i < 8; i++)
		go(locks_and_unlocks, &m, &n, done);
	for (int i = 0; i < 8; i++)
		(void)goro_get(done, int);
	expect_eq(n, 8 * each);
	end_others();
}

/* ---- stacks ---- */

static void keeps_addresses(goro_chan *done)
{
	int variable = 5, *at = &variable;
	volatile int n_wrong = 0;
	char *text = alloca(100);
	jmp_buf back;
	volatile int n_jumps = 0;
	strcpy(text, "on the stack");
	for (int i = 0; i < 200; i++) {
		goro_yield();
		if (at != &variable || *at != 5 || strcmp(text, "on the stack") != 0)
			n_wrong++;
	}
	if (setjmp(back) < 50) {
		n_jumps++;
		goro_yield(); /* it jumps back on another thread, perhaps */
		if (n_jumps < 50)
			longjmp(back, n_jumps);
	}
	expect_eq(n_jumps, 50);
	expect_eq(n_wrong, 0);
	goro_put(done, 1);
}

GORO_CASE(stack_addresses_alloca_and_setjmp_work_as_always, .id = "TLS-01", .is_race = true)
{
	goro_chan *done = goro_chan_of(int, 0);
	for (int i = 0; i < 16; i++)
		go(keeps_addresses, done);
	for (int i = 0; i < 16; i++)
		(void)goro_get(done, int);
}

TAP_MAIN
