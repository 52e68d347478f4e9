/*
 * group.c - stress: groups in groups, whose children fail, panic quietly, exit and go on by chance.
 *
 *   a tree of groups -> at every wait, as many have ended as were started below it
 */
#include "goro_tap.h"

/* One group's share of the tree: on its owner's stack. */
struct family {
	struct family *above;
	uint64_t state;
	int depth;
	int n_started, n_ended; /* children, not grandchildren */
};

static goro_chan *never, *sometimes;

static int lives(void *arg);

static void ends(void *arg)
{
	struct family *f = arg;
	add(&f->above->n_ended, 1);
	free(f);
}

/* The children of one round. What the wait returns is one of theirs. */
static int raise_children(struct family *f)
{
	GORO_GROUP(group);
	for (int i = (int)(tap_random(&f->state) % 5) + 1; i > 0; i--) {
		struct family *child = calloc(1, sizeof(*child));
		require(child != NULL);
		child->above = f;
		child->state = tap_random(&f->state);
		child->depth = f->depth + 1;
		int error = goro_group_go(&group, lives, child);
		if (error == 0)
			f->n_started++;
		else
			free(child);
		expect(error == 0 || error == -ECANCELED);
	}
	uint64_t choice = tap_random(&f->state) % 8;
	if (choice == 0)
		goro_group_cancel(&group);
	if (choice == 1 && f->depth > 0)
		(void)goro_chan_recv(sometimes, NULL); /* the panic, if cancelled: not in main */
	if (choice == 2 && f->depth > 0)
		goro_exit();
	int error = choice == 3 ? 0 : goro_group_wait(&group);
	if (choice != 3)
		expect_eq(load(&f->n_ended), f->n_started);
	return error;
}

/* Deferred before the groups of the goroutine, so it runs after they have been left. */
static void all_have_ended(void *arg)
{
	struct family *f = arg;
	expect_eq(load(&f->n_ended), f->n_started);
	ends(f);
}

static int lives(void *arg)
{
	struct family *f = arg;
	goro_defer(all_have_ended, f);
	switch (tap_random(&f->state) % (f->depth < 4 ? 8 : 4)) {
	case 0:
		return goro_chan_recv_until(never, NULL,
					    goro_now() + (int64_t)(f->state % 200000)) == -ECANCELED
			       ? -ECANCELED
			       : 0;
	case 1:
		return f->state % 4 == 0 ? -EIO : 0;
	case 2:
		goro_sleep((int64_t)(tap_random(&f->state) % 100000));
		return 0;
	case 3:
		(void)goro_chan_recv(sometimes, NULL);
		return 0;
	default:
		return raise_children(f);
	}
}

GORO_CASE(groups_in_groups_leave_nobody_behind, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	int64_t end = tap_now() + GORO_SEC(1) * tap_seconds;
	int n_rounds = 0, n_failed = 0;
	never = goro_chan_of(int, 0);
	sometimes = goro_chan_of(int, 0);
	goro_chan_close(sometimes);
	for (; tap_now() < end; n_rounds++) {
		struct family root = {.state = tap_random(&state)};
		int error = raise_children(&root);
		expect(error == 0 || error == -EIO || error == -ECANCELED);
		expect_eq(root.n_ended, root.n_started);
		n_failed += error != 0;
	}
	wait_for(goro_count() == 1);
	goro_chan_unref(never);
	goro_chan_unref(sometimes);
	printf("# %d rounds, %d failed\n", n_rounds, n_failed);
}

TAP_MAIN
