/*
 * giveup.c - stress: waits with short deadlines and in contexts that are cancelled, on objects that
 * others release at the same moment.
 *
 *   goroutines (deadline, context) and plain threads (deadline) -> semaphore, mutex, rwmutex,
 *   channel
 *
 * In the end every unit is back and every lock is free: whoever gave up has taken nothing, and
 * nobody was woken in its place. Each case runs tap_seconds seconds.
 */
#include "goro_tap.h"

enum { GOROUTINES = 8, THREADS = 2, UNITS = 4 };

static struct {
	goro_sem units;
	goro_mutex m;
	goro_rwmutex rw;
	goro_chan *c;
	goro_waitgroup left;
	int64_t end;
	uint64_t seed;
	int n_in, n_writers, n_readers, n_odd;
	int n_sent, n_received;
} all;

static void odd_if(bool is_odd)
{
	if (is_odd)
		add(&all.n_odd, 1);
}

/* Holds what it has got for a while, now and then. */
static void hold(uint64_t *state)
{
	if (tap_random(state) % 4 == 0)
		(void)goro_ctx_sleep(GORO_US(1));
}

static void use_units(uint64_t *state, int64_t deadline)
{
	int n = 1 + (int)(tap_random(state) % 3);
	if (goro_sem_acquire_until(&all.units, n, deadline) == 0) {
		hold(state);
		goro_sem_release(&all.units, n);
	}
}

static void use_mutex(uint64_t *state, int64_t deadline)
{
	if (goro_mutex_lock_until(&all.m, deadline) == 0) {
		odd_if(++all.n_in != 1);
		hold(state);
		all.n_in--;
		goro_mutex_unlock(&all.m);
	}
}

static void use_rwmutex(uint64_t *state, int64_t deadline)
{
	if (tap_random(state) % 3 == 0) {
		if (goro_rwmutex_wrlock_until(&all.rw, deadline) != 0)
			return;
		odd_if(add(&all.n_writers, 1) != 1 || load(&all.n_readers) != 0);
		hold(state);
		add(&all.n_writers, -1);
		goro_rwmutex_wrunlock(&all.rw);
	} else if (goro_rwmutex_rdlock_until(&all.rw, deadline) == 0) {
		add(&all.n_readers, 1);
		odd_if(load(&all.n_writers) != 0);
		hold(state);
		add(&all.n_readers, -1);
		goro_rwmutex_rdunlock(&all.rw);
	}
}

static void use_channel(uint64_t *state, int64_t deadline)
{
	int value = 1;
	if (tap_random(state) % 2 == 0) {
		if (goro_chan_send_until(all.c, &value, deadline) == 0)
			add(&all.n_sent, 1);
	} else if (goro_chan_recv_until(all.c, &value, deadline) == 0) {
		add(&all.n_received, 1);
	}
}

static void use_one(uint64_t *state)
{
	static void (*const uses[])(uint64_t *, int64_t) = {use_units, use_mutex, use_rwmutex,
							    use_channel};
	int64_t deadline = goro_now() + (int64_t)(tap_random(state) % 8000);
	uses[tap_random(state) % 4](state, deadline);
}

static void goroutine(int number)
{
	uint64_t state = all.seed + (uint64_t)number;
	while (goro_now() < all.end) {
		goro_ctx *ctx = goro_ctx_with_deadline(
			NULL, goro_now() + (int64_t)(tap_random(&state) % 9000));
		require(ctx != NULL);
		goro_ctx *before = goro_ctx_use(ctx);
		use_one(&state);
		use_one(&state);
		goro_ctx_unref(goro_ctx_use(before));
		use_one(&state);
	}
	goro_waitgroup_done(&all.left);
}

static void *thread(void *arg)
{
	uint64_t state = all.seed + 1000 + (uint64_t)(uintptr_t)arg;
	while (goro_now() < all.end)
		use_one(&state);
	goro_waitgroup_done(&all.left);
	return NULL;
}

GORO_CASE(who_gives_up_takes_nothing_and_loses_nothing, .timeout_s = 120)
{
	pthread_t threads[THREADS];

	all.seed = tap_seed();
	goro_sem_init(&all.units, UNITS);
	all.c = goro_chan_of(int, 0);
	all.end = goro_now() + GORO_SEC(1) * tap_seconds;
	goro_waitgroup_add(&all.left, GOROUTINES + THREADS);
	for (int i = 0; i < GOROUTINES; i++)
		go(goroutine, i);
	for (uintptr_t i = 0; i < THREADS; i++)
		require_eq(pthread_create(&threads[i], NULL, thread, (void *)i), 0);
	goro_waitgroup_wait(&all.left);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	expect_eq(all.n_odd, 0);
	expect_eq(all.n_sent, all.n_received);
	expect(goro_sem_tryacquire(&all.units, UNITS));
	expect(!goro_sem_tryacquire(&all.units, 1));
	expect(goro_mutex_trylock(&all.m));
	expect(goro_rwmutex_trywrlock(&all.rw));
	goro_chan_unref(all.c);
}

TAP_MAIN
