/*
 * goro_sem.c - at most three downloads at a time; a big one counts for two.
 */
#include <errno.h>
#include <stdio.h>
#include <goro.h>

static goro_sem slots;
static goro_waitgroup all;
static goro_mutex lock;
static int used, most;

static void download(int size)
{
	goro_sem_acquire(&slots, size);
	goro_mutex_lock(&lock);
	used += size;
	if (used > most)
		most = used;
	goro_mutex_unlock(&lock);
	goro_sleep(GORO_MS(1)); /* here it would download */
	goro_mutex_lock(&lock);
	used -= size;
	goro_mutex_unlock(&lock);
	goro_sem_release(&slots, size);
	goro_waitgroup_done(&all);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_sem_init(&slots, 3);
	goro_waitgroup_add(&all, 12);
	for (int i = 0; i < 12; i++)
		go(download, 1 + i % 2);
	goro_waitgroup_wait(&all);
	printf("never more than three: %s\n", most <= 3 ? "yes" : "no");

	if (goro_sem_tryacquire(&slots, 3))
		printf("all three are free\n");
	if (goro_sem_acquire_until(&slots, 1, goro_now() + GORO_MS(1)) == -ETIMEDOUT)
		printf("now none is\n");
	return 0;
}

/*
 * Prints:
 *   never more than three: yes
 *   all three are free
 *   now none is
 */
