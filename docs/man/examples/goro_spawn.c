/*
 * goro_spawn.c - four ways to start a goroutine.
 */
#include <stdio.h>
#include <goro.h>

struct point {
	int x, y;
};

struct job {
	goro_chan *out;
	int value;
};

static void add(goro_chan *out, struct point p)
{
	goro_put(out, p.x + p.y);
}

static void plain(void *arg)
{
	struct job *job = arg;

	goro_put(job->out, job->value);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct job job = {goro_chan_of(int, 0), 7};

	/* Any types; a compound literal needs parentheses around it. */
	go(add, job.out, ((struct point){1, 2}));
	printf("go: %d\n", goro_get(job.out, int));

	/* The others return an error where go() panics. The pointer must stay good. */
	if (goro_spawn(plain, &job) < 0)
		return 1;
	printf("goro_spawn: %d\n", goro_get(job.out, int));

	/* A copy is the goroutine's own. */
	if (goro_spawn_copy(plain, &job, sizeof(job)) < 0)
		return 1;
	job.value = 8;
	printf("goro_spawn_copy: %d\n", goro_get(job.out, int));

	/* Deep recursion wants more than the 256 KiB of an ordinary stack. */
	struct goro_attr attr = {.stack_size = 8 << 20, .name = "deep"};
	if (goro_spawn_attr(&attr, plain, &job) < 0)
		return 1;
	printf("goro_spawn_attr: %d\n", goro_get(job.out, int));
	goro_chan_unref(job.out);
	return 0;
}

/*
 * Prints:
 *   go: 3
 *   goro_spawn: 7
 *   goro_spawn_copy: 7
 *   goro_spawn_attr: 8
 */
