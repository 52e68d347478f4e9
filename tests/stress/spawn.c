/*
 * spawn.c - stress: goroutines come and go in trees, bursts and chains, on changing numbers of Ps.
 *
 *   seed -> shapes of trees -> every node counts itself once -> counts, sums, goro_count() == 1
 *
 * Each case runs tap_seconds seconds and can be replayed with GORO_SEED, as far as the program's
 * own choices go.
 */
#include "goro_tap.h"

static int64_t end_of_time(void)
{
	return tap_now() + GORO_SEC(1) * tap_seconds;
}

/* ---- trees ---- */

struct tree {
	goro_chan *sums; /* of uint64_t */
	uint64_t seed;
	int depth;
};

/* Sends up 1 + the sums of its children; yields, sleeps and exits early by chance. */
static void grows(struct tree t)
{
	uint64_t sum = 1, state = t.seed;
	int n = t.depth > 0 ? (int)(tap_random(&state) % 6) : 0;
	goro_chan *below = n > 0 ? goro_chan_of(uint64_t, tap_random(&state) % 3) : NULL;
	for (int i = 0; i < n; i++) {
		struct tree branch = {below, tap_random(&state), t.depth - 1};
		go(grows, branch);
		if (tap_random(&state) % 8 == 0)
			goro_yield();
	}
	for (int i = 0; i < n; i++)
		sum += goro_get(below, uint64_t);
	if (below != NULL)
		goro_chan_unref(below);
	if (tap_random(&state) % 64 == 0)
		goro_sleep((int64_t)(tap_random(&state) % 100000));
	goro_put(t.sums, sum);
	if (tap_random(&state) % 4 == 0)
		goro_exit();
}

/* The same choices, made by one plain function. */
static uint64_t count_tree(uint64_t seed, int depth)
{
	uint64_t sum = 1, state = seed;
	int n = depth > 0 ? (int)(tap_random(&state) % 6) : 0;
	if (n > 0)
		tap_random(&state);
	for (int i = 0; i < n; i++) {
		sum += count_tree(tap_random(&state), depth - 1);
		tap_random(&state);
	}
	return sum;
}

GORO_CASE(trees_add_up, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	goro_chan *sums = goro_chan_of(uint64_t, 0);
	for (int64_t end = end_of_time(); tap_now() < end;) {
		struct tree t = {sums, tap_random(&state), TAP_SANITIZED ? 4 : 7};
		go(grows, t);
		expect_eq(goro_get(sums, uint64_t), count_tree(t.seed, t.depth));
		wait_for(goro_count() == 1);
	}
	goro_chan_unref(sums);
}

/* ---- bursts on changing numbers of Ps ---- */

static int is_stopped;

static void changes_maxprocs(uint64_t state)
{
	int before = goro_maxprocs(0);
	while (!load(&is_stopped)) {
		goro_maxprocs((int)(tap_random(&state) % 8) + 1);
		goro_sleep((int64_t)(tap_random(&state) % 300000));
	}
	goro_maxprocs(before);
}

static void counts(int *n, uint64_t choice)
{
	if (choice % 4 == 0)
		goro_yield();
	if (choice % 32 == 1)
		goro_sleep((int64_t)(choice >> 8) % 50000);
	add(n, 1);
}

static void *thread_spawns_bursts(void *arg)
{
	int *totals = arg;
	uint64_t state = tap_seed() + 99;
	while (!load(&is_stopped)) {
		go(counts, &totals[0], tap_random(&state));
		/* Not faster than they run. */
		for (int n = add(&totals[1], 1); n - load(&totals[0]) > 500 && !load(&is_stopped);)
			tap_pause(100000);
	}
	return NULL;
}

/* A plain thread joins in; waiting for it is the test's own affair and done without blocking. */
GORO_CASE(bursts_while_the_number_of_ps_changes, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	int from_thread[2] = {0, 0};
	pthread_t thread;
	go(changes_maxprocs, tap_random(&state));
	require_eq(pthread_create(&thread, NULL, thread_spawns_bursts, from_thread), 0);
	for (int64_t end = end_of_time(); tap_now() < end;) {
		int n = 0, size = (int)(tap_random(&state) % (2000 / TAP_SLOWER)) + 1;
		for (int i = 0; i < size; i++)
			go(counts, &n, tap_random(&state));
		wait_for(load(&n) == size);
	}
	store(&is_stopped, 1);
	pthread_join(thread, NULL);
	wait_for(goro_count() == 1);
	expect_eq(load(&from_thread[0]), load(&from_thread[1]));
}

/* ---- stacks: deep use, then exit, panic or return ---- */

__attribute__((noinline)) static int deep(int depth, uint64_t state)
{
	unsigned char volatile frame[256];
	unsigned char mark = (unsigned char)state;
	for (size_t i = 0; i < sizeof(frame); i += 16)
		frame[i] = mark;
	if (depth == 0 && state % 5 == 0)
		goro_exit();
	if (depth == 0 && state % 5 == 1)
		goro_panic("deep %d", (int)(state % 1000));
	if (depth == 0 || depth % 16 == 0)
		goro_yield();
	int wrong = depth > 0 ? deep(depth - 1, state) : 0;
	for (size_t i = 0; i < sizeof(frame); i += 16)
		wrong += frame[i] != mark;
	return wrong;
}

struct dive {
	uint64_t state;
	int *n_wrong, *n_ended;
	int wrong;
	goro_chan *room; /* one element for each that is under way */
};

static void dives(void *arg)
{
	struct dive *d = arg;
	d->wrong = deep((int)(d->state % (TAP_SANITIZED ? 50 : 400)), d->state);
}

static void surfaces(void *arg)
{
	struct dive *d = arg;
	int *n_ended = d->n_ended;
	add(d->n_wrong, d->wrong);
	goro_chan_recv(d->room, NULL);
	free(d);
	add(n_ended, 1);
}

static void dives_and_surfaces(void *arg)
{
	struct dive *d = arg;
	char text[64], wanted[64];
	goro_defer(surfaces, d);
	snprintf(wanted, sizeof(wanted), "deep %d", (int)(d->state % 1000));
	if (!goro_try(dives, d, text, sizeof(text)))
		d->wrong += strcmp(text, wanted) != 0 || d->state % 5 != 1;
	else
		d->wrong += d->state % 5 <= 1;
}

/* Stacks of two sizes are used deeply and left in each of the three ways. */
GORO_CASE(deep_stacks_are_left_by_return_exit_and_panic, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	struct goro_attr attr = {.stack_size = 1 << 20};
	goro_chan *room = goro_chan_make(0, 100);
	int n_wrong = 0, n_ended = 0, n = 0;
	for (int64_t end = end_of_time(); tap_now() < end; n++) {
		struct dive *d = calloc(1, sizeof(*d));
		require(d != NULL);
		*d = (struct dive){.state = tap_random(&state),
				   .n_wrong = &n_wrong,
				   .n_ended = &n_ended,
				   .room = room};
		goro_chan_send(room, NULL);
		require_eq(goro_spawn_attr(n % 3 == 0 ? &attr : NULL, dives_and_surfaces, d), 0);
	}
	wait_for(load(&n_ended) == n && goro_count() == 1);
	expect_eq(load(&n_wrong), 0);
	goro_chan_unref(room);
	printf("# %d dives\n", n);
}

TAP_MAIN
