/*
 * loops.c - under a sanitizer, loops that make no call are stopped as anywhere.
 *
 *   loops procs | dump | end | notify | chain | work | quit
 *
 * The loops read and write memory, so that ThreadSanitizer has a call in every round, but they make
 * no call that it intercepts and no atomic operation: only then would it give a signal on.
 */
#include <goro.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS 1000000

static unsigned long cells[4][4096];

static void loops(void *at)
{
	unsigned long *cell = at;

	for (volatile long i = 0;; i++)
		cell[i & 4095] += cell[(i * 7) & 4095];
}

static void start_loops(int n)
{
	for (int i = 0; i < n; i++)
		goro_spawn(loops, cells[i]);
	goro_sleep(30 * MS); /* now they run */
}

/* ---- what all there is does, while it is stopped again and again ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long n_locked, n_atomic;

static int up(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void works(goro_chan *done, int round)
{
	int sorted[64];
	int64_t until = goro_now() + 300 * MS;
	int bad = 0;

	for (; goro_now() < until; round++) {
		char *memory = malloc((size_t)(round % 5000 + 1));
		memset(memory, round & 0xff, (size_t)(round % 5000 + 1));
		for (int i = 0; i < 64; i++)
			sorted[i] = (round * 31 + i * 17) % 64;
		qsort(sorted, 64, sizeof(int), up);
		for (int i = 1; i < 64; i++)
			bad += sorted[i - 1] > sorted[i];
		pthread_mutex_lock(&lock);
		n_locked++;
		pthread_mutex_unlock(&lock);
		__atomic_fetch_add(&n_atomic, 1, __ATOMIC_RELAXED);
		bad += (unsigned char)memory[round % 5000] != (round & 0xff);
		free(memory);
	}
	goro_put(done, bad);
}

static int work(void)
{
	goro_chan *done = goro_chan_of(int, 0);
	int bad = 0;

	start_loops(2);
	for (int i = 0; i < 8; i++)
		go(works, done, i * 1000);
	for (int i = 0; i < 8; i++)
		bad += goro_get(done, int);
	goro_chan_unref(done);
	return bad || n_locked != n_atomic;
}

/* ---- signals ---- */

static int notify(void)
{
	goro_chan *c = goro_chan_of(int, 8);
	int bad = goro_signal_notify(c, SIGUSR1);

	for (int i = 0; i < 4; i++) { /* nobody runs meanwhile, then loops do */
		if (i == 2)
			start_loops(2);
		kill(getpid(), SIGUSR1);
		bad += goro_get(c, int) != SIGUSR1;
	}
	bad += goro_signal_stop(c, SIGUSR1);
	goro_chan_unref(c);
	return bad;
}

static struct sigaction chain_old;
static int n_chained, is_sent;

/* It calls the handler from before, which is ours. */
static void on_chained(int signo, siginfo_t *info, void *context)
{
	if (++n_chained > 50)
		_exit(3);
	if (chain_old.sa_flags & SA_SIGINFO)
		chain_old.sa_sigaction(signo, info, context);
}

static void *waits(void *arg)
{
	while (!__atomic_load_n(&is_sent, __ATOMIC_RELAXED))
		; /* the signal is put off until one of these */
	usleep(1000);
	return arg;
}

static int send_chained(void)
{
	pthread_t thread;
	int n = n_chained;

	__atomic_store_n(&is_sent, 0, __ATOMIC_RELAXED);
	pthread_create(&thread, NULL, waits, NULL);
	pthread_kill(thread, SIGURG);
	__atomic_store_n(&is_sent, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return n_chained != n + 1;
}

static int chain(void)
{
	struct sigaction action;
	int bad;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_chained;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigaction(SIGURG, &action, &chain_old);
	pthread_kill(pthread_self(), SIGURG);
	bad = send_chained() || n_chained != 2;
	start_loops(4); /* for which ours is put before it again */
	goro_sleep(30 * MS);
	return bad + send_chained();
}

int goro_main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int bad = 0;

	if (strcmp(what, "work") == 0) {
		bad = work();
	} else if (strcmp(what, "notify") == 0) {
		bad = notify();
	} else if (strcmp(what, "chain") == 0) {
		bad = chain();
	} else {
		start_loops(4);
		if (strcmp(what, "procs") == 0)
			for (int n = 1; n <= 4; n++)
				goro_maxprocs(n);
		else if (strcmp(what, "dump") == 0)
			goro_dump(1);
		else if (strcmp(what, "quit") == 0)
			kill(getpid(), SIGQUIT), goro_sleep(INT64_C(60000) * MS);
	}
	printf("%s\n", bad ? "bad" : "good");
	return bad;
}
