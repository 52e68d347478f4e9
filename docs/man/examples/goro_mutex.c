/*
 * goro_mutex.c - a table that several goroutines change.
 */
#include <errno.h>
#include <stdio.h>
#include <goro.h>

static struct {
	goro_mutex lock; /* ready for use when zeroed */
	int balance[2];
} bank;

static void transfer(int from, int to, goro_chan *done)
{
	for (int i = 0; i < 1000; i++) {
		goro_mutex_lock(&bank.lock);
		bank.balance[from]--;
		bank.balance[to]++;
		goro_mutex_unlock(&bank.lock);
	}
	goro_put(done, from);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *done = goro_chan_of(int, 0);

	go(transfer, 0, 1, done);
	go(transfer, 1, 0, done);
	goro_get(done, int);
	goro_get(done, int);
	printf("balance: %d and %d\n", bank.balance[0], bank.balance[1]);

	/* Without waiting, and not for ever. */
	if (goro_mutex_trylock(&bank.lock))
		printf("it was free\n");
	if (goro_mutex_lock_until(&bank.lock, goro_now() + GORO_MS(1)) == -ETIMEDOUT)
		printf("it is locked\n");
	goro_mutex_unlock(&bank.lock);
	goro_chan_unref(done);
	return 0;
}

/*
 * Prints:
 *   balance: 0 and 0
 *   it was free
 *   it is locked
 */
