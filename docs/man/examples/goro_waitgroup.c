/*
 * goro_waitgroup.c - wait for goroutines that write into places of their own.
 */
#include <stdio.h>
#include <goro.h>

static void square(int *place, goro_waitgroup *wg)
{
	*place *= *place;
	goro_waitgroup_done(wg);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	int numbers[] = {1, 2, 3, 4};
	goro_waitgroup wg = {0};

	for (int i = 0; i < 4; i++) {
		goro_waitgroup_add(&wg, 1); /* before the goroutine starts, not inside it */
		go(square, &numbers[i], &wg);
	}
	goro_waitgroup_wait(&wg); /* what they wrote is visible now */
	printf("%d %d %d %d\n", numbers[0], numbers[1], numbers[2], numbers[3]);
	return 0;
}

/*
 * Prints:
 *   1 4 9 16
 */
