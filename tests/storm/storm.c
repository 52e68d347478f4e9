/*
 * storm.c - goroutines that change threads all the time, and what must be right after each change.
 *
 *   yield, channels, sleeps, blocking sections, stops -> another thread
 *        -> thread-locals are those of the thread, errno, control words, registers, C++ exceptions
 *           those of the goroutine
 *
 * A program of its own, without the harness, so that run.sh can compile it as a user would: gcc and
 * clang, -O0 to -O3, -flto, for x86-64 and arm64. storm_inside.cc is its half in C++.
 *
 *   storm SECONDS     status 0 when all held; it prints how many changes of threads there were
 */
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "storm.h"

enum { GOROUTINES = 24 };

static __thread pthread_t local_self;
static __thread unsigned char local_block[64];
static int is_over, n_changes, n_wrong;

#define load(p)	    __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define add(p, v)   __atomic_add_fetch(p, v, __ATOMIC_SEQ_CST)

void storm_expect(int is_right, const char *what)
{
	if (!is_right && add(&n_wrong, 1) < 20)
		fprintf(stderr, "storm: wrong: %s\n", what);
}

int storm_is_over(void)
{
	return load(&is_over);
}

/* ---- thread-locals, as docs/threads-and-tls.md says ---- */

__attribute__((noinline)) static pthread_t self_now(void)
{
	__asm__ volatile("");
	return pthread_self();
}

__attribute__((noinline)) static void local_check(void)
{
	pthread_t self = self_now();
	if (local_self == 0) { /* a thread that is new to us */
		local_self = self;
		memset(local_block, (int)((uintptr_t)self >> 12) & 255, sizeof(local_block));
	}
	storm_expect(pthread_equal(local_self, self), "a thread-local is another thread's");
	for (size_t i = 0; i < sizeof(local_block); i++)
		storm_expect(local_block[i] == (((uintptr_t)self >> 12) & 255), "a block is, too");
}

__attribute__((noinline)) static void errno_set(int value)
{
	errno = value;
}

__attribute__((noinline)) static int errno_now(void)
{
	return errno;
}

/* ---- the ways to another thread ---- */

static goro_chan *ring[GOROUTINES];
static goro_mutex mutex;

static void nothing(void *unused)
{
	(void)unused;
}

static void computes(long ns)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	for (long end = ts.tv_sec * 1000000000 + ts.tv_nsec + ns;
	     ts.tv_sec * 1000000000 + ts.tv_nsec < end;)
		clock_gettime(CLOCK_MONOTONIC, &ts);
}

void storm_move(unsigned how)
{
	pthread_t before = self_now();
	int x = 0;
	switch (how % 16) {
	case 0:
		goro_sleep(GORO_US(how % 50));
		break;
	case 1:
		goro_blocking(nothing, NULL);
		break;
	case 2:
		goro_mutex_lock(&mutex);
		goro_yield();
		goro_mutex_unlock(&mutex);
		break;
	case 3:
		(void)goro_chan_recv_until(ring[how % GOROUTINES], &x, goro_now() + GORO_US(50));
		break;
	case 4:
		(void)goro_chan_trysend(ring[how / 16 % GOROUTINES], &x);
		goro_yield();
		break;
	case 5:
		if (how % 256 == 5)
			computes(12000000); /* it is stopped */
		goro_checkpoint();
		break;
	case 6:
		if (how % 64 == 6)
			usleep(200); /* its P is taken */
		goro_yield();
		break;
	default:
		goro_yield();
	}
	if (!pthread_equal(before, self_now()))
		add(&n_changes, 1);
}

/* ---- what goes with the goroutine ---- */

static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

/* Not folded: the rounding is that of the moment. */
__attribute__((noinline)) static double third(double one)
{
	volatile double x = one, y = 3;
	return x / y;
}

#if defined(__x86_64__)
__attribute__((noinline)) static long double long_third(long double one)
{
	volatile long double x = one, y = 3;
	return x / y;
}
#endif

static void keeps_control_words(unsigned number)
{
	int mode = modes[number % 4];
	fesetround(mode);
	double wanted = third(1);
	storm_move(number);
	storm_expect(fegetround() == mode, "the rounding mode has changed");
	storm_expect(third(1) == wanted, "it rounds in another way");
#if defined(__x86_64__)
	long double long_wanted = long_third(1);
	storm_move(number + 1);
	storm_expect(long_third(1) == long_wanted, "the x87 unit rounds in another way");
#endif
	fesetround(FE_TONEAREST);
}

/* More values than there are registers, live over a move. */
static void keeps_registers(unsigned number)
{
	unsigned long a = number, b = a * 3, c = a ^ 5, d = a + 7, e = a * 11, f = a ^ 13;
	unsigned long g = a + 17, h = a * 19, i = a ^ 23, j = a + 29;
	double p = number, q = p * 1.5, r = p + 2.5, s = p - 3.5;
	storm_move(number);
	storm_expect(b == a * 3 && c == (a ^ 5) && d == a + 7 && e == a * 11 && f == (a ^ 13),
		     "a register has changed");
	storm_expect(g == a + 17 && h == a * 19 && i == (a ^ 23) && j == a + 29 && a == number,
		     "a register has changed");
	storm_expect(p == number && q == p * 1.5 && r == p + 2.5 && s == p - 3.5,
		     "a floating-point register has changed");
}

static void storms(int number, goro_chan *done)
{
	for (unsigned i = (unsigned)number * 7; !storm_is_over(); i++) {
		local_check();
		errno_set(number * 100 + (int)(i % 100));
		storm_move(i);
		storm_expect(errno_now() == number * 100 + (int)(i % 100), "errno has changed");
		local_check();
		keeps_control_words(i);
		local_check();
		keeps_registers(i);
		storm_cxx(i);
		local_check();
	}
	goro_put(done, 1);
}

static void finds_default_rounding(goro_chan *done)
{
	storm_expect(fegetround() == FE_TONEAREST, "a new goroutine has another's rounding mode");
	goro_put(done, 1);
}

int goro_main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	goro_chan *done = goro_chan_of(int, 0);
	for (int i = 0; i < GOROUTINES; i++)
		ring[i] = goro_chan_of(int, 1);
	for (int i = 0; i < GOROUTINES; i++)
		go(storms, i, done);
	for (int64_t end = goro_now() + GORO_SEC(seconds); goro_now() < end;) {
		go(finds_default_rounding, done);
		(void)goro_get(done, int);
		goro_sleep(GORO_MS(1));
	}
	store(&is_over, 1);
	for (int i = 0; i < GOROUTINES; i++)
		(void)goro_get(done, int);
	printf("%d changes of threads, %d wrong\n", n_changes, n_wrong);
	return n_wrong != 0 || n_changes < 100;
}
