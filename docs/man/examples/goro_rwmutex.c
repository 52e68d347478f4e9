/*
 * goro_rwmutex.c - settings that many read and one now and then changes.
 */
#include <stdio.h>
#include <goro.h>

static struct {
	goro_rwmutex lock;
	int width, height;
} settings;

static void reader(goro_waitgroup *readers, goro_chan *wrong)
{
	for (int i = 0; i < 1000; i++) {
		goro_rwmutex_rdlock(&settings.lock); /* beside other readers */
		if (settings.width != settings.height)
			goro_put(wrong, i);
		goro_rwmutex_rdunlock(&settings.lock);
	}
	goro_waitgroup_done(readers);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *wrong = goro_chan_of(int, 4000);
	goro_waitgroup readers = {0};

	goro_waitgroup_add(&readers, 4);
	for (int i = 0; i < 4; i++)
		go(reader, &readers, wrong);
	for (int i = 1; i <= 1000; i++) {
		goro_rwmutex_wrlock(&settings.lock); /* alone */
		settings.width = i;
		settings.height = i;
		goro_rwmutex_wrunlock(&settings.lock);
	}
	goro_waitgroup_wait(&readers);
	printf("%d by %d\n", settings.width, settings.height);
	printf("half-changed settings seen: %zu\n", goro_chan_len(wrong));
	goro_chan_unref(wrong);
	return 0;
}

/*
 * Prints:
 *   1000 by 1000
 *   half-changed settings seen: 0
 */
