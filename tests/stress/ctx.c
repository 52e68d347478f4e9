/*
 * ctx.c - stress: random trees of contexts, cancelled, timed out, left and freed from everywhere,
 * with goroutines that wait in them.
 *
 *   planters, cancellers, waiters, plain threads on a board of contexts -> every function of
 *   goro_ctx_after() ran or was stopped, every wait ended, nothing is left
 */
#include "goro_tap.h"

enum { N_SLOTS = 64 };

/* Each slot holds a reference; who takes one out under the lock gets it. */
struct board {
	goro_mutex lock;
	goro_ctx *slot[N_SLOTS];
	goro_chan *c;
	int n_registered, n_called, n_stopped, n_waits, n_canceled, n_got;
	int n_at_work, is_stopped;
};

/* A reference to one of them, or NULL. */
static goro_ctx *board_pick(struct board *b, uint64_t choice)
{
	goro_mutex_lock(&b->lock);
	goro_ctx *ctx = goro_ctx_ref(b->slot[choice % N_SLOTS]);
	goro_mutex_unlock(&b->lock);
	return ctx;
}

static void board_put(struct board *b, uint64_t choice, goro_ctx *ctx)
{
	goro_mutex_lock(&b->lock);
	goro_ctx *old = b->slot[choice % N_SLOTS];
	b->slot[choice % N_SLOTS] = ctx;
	goro_mutex_unlock(&b->lock);
	goro_ctx_unref(old);
}

static void is_called(void *arg)
{
	struct board *b = arg;
	add(&b->n_called, 1);
}

/*
 * A cancelled parent's child is cancelled, at birth, or in a moment by who cancels the parent; a
 * child's error is its parent's or its own.
 */
static void check_pair(goro_ctx *parent, goro_ctx *child)
{
	int above = goro_ctx_error(parent);
	if (above != 0) {
		expect(!goro_chan_recv(goro_ctx_done(child), NULL));
		expect(goro_ctx_error(child) != 0);
	}
	if (goro_ctx_error(child) != 0)
		expect(goro_ctx_reason(child) != NULL);
}

static void plant(struct board *b, uint64_t *state)
{
	goro_ctx *parent = board_pick(b, tap_random(state));
	uint64_t choice = tap_random(state);
	goro_ctx *child = choice % 3 == 0
				  ? goro_ctx_with_deadline(parent, goro_now() +
								   (int64_t)(choice >> 8) % 300000)
				  : goro_ctx_with_cancel(parent);
	require(child != NULL);
	check_pair(parent, child);
	if (choice % 5 == 0)
		(void)goro_chan_tryrecv(goro_ctx_done(child), NULL);
	goro_ctx_unref(parent);
	board_put(b, tap_random(state), child);
}

static void cancel_one(struct board *b, uint64_t *state)
{
	goro_ctx *ctx = board_pick(b, tap_random(state));
	if (ctx == NULL)
		return;
	goro_ctx_cancel_reason(ctx, tap_random(state) % 2 == 0 ? "by chance" : NULL);
	expect(goro_ctx_error(ctx) != 0);
	expect(!goro_chan_recv(goro_ctx_done(ctx), NULL)); /* by somebody, in a moment */
	goro_ctx_unref(ctx);
}

static void register_and_stop(struct board *b, uint64_t *state)
{
	goro_ctx *ctx = board_pick(b, tap_random(state));
	goro_after *after = goro_ctx_after(ctx, is_called, b);
	require(after != NULL);
	add(&b->n_registered, 1);
	if (tap_random(state) % 2 == 0)
		cancel_one(b, state);
	if (tap_random(state) % 4 == 0 && goro_id() != 0)
		goro_yield();
	goro_ctx_unref(ctx);
	add(&b->n_stopped, goro_ctx_after_stop(after));
}

static void works_on(struct board *b, uint64_t state)
{
	while (!load(&b->is_stopped)) {
		switch (tap_random(&state) % 4) {
		case 0:
			cancel_one(b, &state);
			break;
		case 1:
			register_and_stop(b, &state);
			break;
		default:
			plant(b, &state);
		}
		if (tap_random(&state) % 8 == 0 && goro_id() != 0)
			goro_yield();
	}
	add(&b->n_at_work, -1);
}

/* Waits in a context of the board, in one way or another; only -ECANCELED may say that. */
static void wait_in(struct board *b, uint64_t *state)
{
	goro_ctx *ctx = board_pick(b, tap_random(state)), *before = goro_ctx_use(ctx);
	uint64_t choice = tap_random(state);
	int64_t soon = goro_now() + (int64_t)(choice >> 8) % 200000;
	int value = 1, result;
	switch (choice % 4) {
	case 0:
		result = goro_chan_recv_until(b->c, &value, soon);
		break;
	case 1:
		result = goro_chan_send_until(b->c, &value, soon);
		break;
	case 2:
		result = goro_ctx_sleep_until(soon);
		break;
	default:
		result = goro_select_of(soon, GORO_RECV(b->c, &value), GORO_SEND(b->c, &value),
					GORO_RECV(NULL, NULL));
	}
	add(&b->n_waits, 1);
	if (result == -ECANCELED) {
		add(&b->n_canceled, 1);
		expect(goro_ctx_error(ctx) != 0);
	} else if (result >= 0) {
		add(&b->n_got, 1);
	} else {
		expect_eq(result, -ETIMEDOUT);
	}
	expect_eq(value, 1);
	expect(goro_ctx_use(before) == ctx);
	goro_ctx_unref(ctx);
}

static void waits_on(struct board *b, uint64_t state)
{
	while (!load(&b->is_stopped))
		wait_in(b, &state);
	add(&b->n_at_work, -1);
}

static void *thread_works_on(void *arg)
{
	works_on(arg, tap_seed() + 99);
	return NULL;
}

static void run_board(uint64_t *state)
{
	struct board b = {.c = goro_chan_of(int, tap_random(state) % 2)};
	int n_workers = (int)(tap_random(state) % 4) + 1;
	int n_waiters = (int)(tap_random(state) % 20) + 2;
	pthread_t thread;
	b.n_at_work = n_workers + n_waiters + 1;
	for (int i = 0; i < n_workers; i++)
		go(works_on, &b, tap_random(state));
	for (int i = 0; i < n_waiters; i++)
		go(waits_on, &b, tap_random(state));
	require_eq(pthread_create(&thread, NULL, thread_works_on, &b), 0);
	goro_sleep(GORO_MS(50));
	store(&b.is_stopped, 1);
	wait_for(load(&b.n_at_work) == 0);
	pthread_join(thread, NULL);
	for (uint64_t i = 0; i < N_SLOTS; i++)
		board_put(&b, i, NULL);
	wait_for(goro_count() == 1);
	expect_eq(load(&b.n_called) + load(&b.n_stopped), b.n_registered);
	goro_chan_unref(b.c);
	printf("# %d functions, %d waits, %d cancelled, %d got through\n", b.n_registered,
	       b.n_waits, b.n_canceled, b.n_got);
}

GORO_CASE(random_trees_are_cancelled_and_freed_from_everywhere, .timeout_s = 60)
{
	uint64_t state = tap_seed();
	int64_t end = tap_now() + GORO_SEC(1) * tap_seconds;
	while (tap_now() < end)
		run_board(&state);
}

TAP_MAIN
