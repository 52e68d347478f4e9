/*
 * ctx_calls.c - conformance: what the calls of a goroutine do whose context is cancelled, and what
 * goro_ctx_use hands on.
 *
 *   SYN-13's neighbours: every call that may block, at its start and while it waits, by a call, a
 *   plain thread and a deadline; what is not cancelled; inheritance
 */
#include "ctx_tap.h"

/* ---- what a goroutine's calls do ---- */

struct victim {
	goro_ctx *ctx;
	goro_chan *c;
	/* The mutexes are locked for the victim, the group has one to wait for, the sem none. */
	goro_mutex held, free;
	goro_rwmutex rw;
	goro_cond cond;
	goro_waitgroup wg;
	goro_sem sem;
	void (*call)(struct victim *);
	uint64_t id;
	int result, n_done;
	char text[64];
};

static void calls(void *arg)
{
	struct victim *v = arg;
	v->call(v);
}

static void is_victim(void *arg)
{
	struct victim *v = arg;
	goro_ctx_unref(goro_ctx_use(goro_ctx_ref(v->ctx)));
	store(&v->id, goro_id());
	if (!goro_try(calls, v, v->text, sizeof(v->text)))
		v->result = 1;
	expect(goro_ctx_current() == v->ctx);
	add(&v->n_done, 1);
}

static void by_recv(struct victim *v)
{
	(void)goro_chan_recv(v->c, NULL);
}

static void by_send(struct victim *v)
{
	int value = 5;
	goro_chan_send(v->c, &value);
}

static void by_recv_until(struct victim *v)
{
	v->result = goro_chan_recv_until(v->c, NULL, GORO_FOREVER);
}

static void by_recv_with_deadline(struct victim *v)
{
	v->result = goro_chan_recv_until(v->c, NULL, goro_now() + GORO_SEC(1000));
}

static void by_send_until(struct victim *v)
{
	int value = 5;
	v->result = goro_chan_send_until(v->c, &value, goro_now() + GORO_SEC(1000));
}

static void by_sleep(struct victim *v)
{
	(void)v;
	goro_sleep(GORO_SEC(1000));
}

static void by_sleep_until(struct victim *v)
{
	(void)v;
	goro_sleep_until(goro_now() + GORO_SEC(1000));
}

static void by_ctx_sleep(struct victim *v)
{
	v->result = goro_ctx_sleep(GORO_SEC(1000));
}

static void by_ctx_sleep_until(struct victim *v)
{
	v->result = goro_ctx_sleep_until(GORO_FOREVER);
}

static void by_recv_nil(struct victim *v)
{
	(void)v;
	(void)goro_chan_recv(NULL, NULL);
}

static void by_send_nil_until(struct victim *v)
{
	int value = 5;
	v->result = goro_chan_send_until(NULL, &value, GORO_FOREVER);
}

static void by_select(struct victim *v)
{
	v->result = goro_select_of(GORO_FOREVER, GORO_RECV(v->c, NULL), GORO_RECV(NULL, NULL));
}

static void by_select_of_none(struct victim *v)
{
	v->result = goro_select(NULL, 0, GORO_FOREVER);
}

static void by_mutex_until(struct victim *v)
{
	v->result = goro_mutex_lock_until(&v->held, GORO_FOREVER);
}

static void by_rdlock_until(struct victim *v)
{
	v->result = goro_rwmutex_rdlock_until(&v->rw, GORO_FOREVER);
}

static void by_wrlock_until(struct victim *v)
{
	v->result = goro_rwmutex_wrlock_until(&v->rw, goro_now() + GORO_SEC(1000));
}

/* Ended either way with the mutex locked. */
static void unlocks(void *mutex)
{
	expect(!goro_mutex_trylock(mutex));
	goro_mutex_unlock(mutex);
}

static void by_cond(struct victim *v)
{
	goro_mutex_lock(&v->free);
	goro_defer(unlocks, &v->free);
	goro_cond_wait(&v->cond, &v->free);
}

static void by_cond_until(struct victim *v)
{
	goro_mutex_lock(&v->free);
	v->result = goro_cond_wait_until(&v->cond, &v->free, GORO_FOREVER);
	unlocks(&v->free);
}

static void by_waitgroup(struct victim *v)
{
	goro_waitgroup_wait(&v->wg);
}

static void by_waitgroup_until(struct victim *v)
{
	v->result = goro_waitgroup_wait_until(&v->wg, GORO_FOREVER);
}

static void by_sem(struct victim *v)
{
	goro_sem_acquire(&v->sem, 1);
}

static void by_sem_until(struct victim *v)
{
	v->result = goro_sem_acquire_until(&v->sem, 1, GORO_FOREVER);
}

/* Those that could be done at once. */
static void by_sleep_0(struct victim *v)
{
	(void)v;
	goro_sleep(0);
}

static void by_ctx_sleep_past(struct victim *v)
{
	v->result = goro_ctx_sleep_until(GORO_POLL);
}

static void by_recv_poll(struct victim *v)
{
	v->result = goro_chan_recv_until(v->c, NULL, GORO_POLL);
}

struct way {
	const char *reason; /* where it waits; NULL: it never does */
	void (*call)(struct victim *);
	bool panics;
};

static const struct way ways[] = {
	{"chan receive", by_recv, true},
	{"chan send", by_send, true},
	{"chan receive", by_recv_until, false},
	{"chan receive", by_recv_with_deadline, false},
	{"chan send", by_send_until, false},
	{"sleep", by_sleep, true},
	{"sleep", by_sleep_until, true},
	{"sleep", by_ctx_sleep, false},
	{"sleep", by_ctx_sleep_until, false},
	{"chan receive (nil chan)", by_recv_nil, true},
	{"chan send (nil chan)", by_send_nil_until, false},
	{"select", by_select, false},
	{"select (no cases)", by_select_of_none, false},
	{"sync.Mutex.Lock", by_mutex_until, false},
	{"sync.RWMutex.RLock", by_rdlock_until, false},
	{"sync.RWMutex.Lock", by_wrlock_until, false},
	{"sync.Cond.Wait", by_cond, true},
	{"sync.Cond.Wait", by_cond_until, false},
	{"sync.WaitGroup.Wait", by_waitgroup, true},
	{"sync.WaitGroup.Wait", by_waitgroup_until, false},
	{"semacquire", by_sem, true},
	{"semacquire", by_sem_until, false},
	{NULL, by_sleep_0, true},
	{NULL, by_ctx_sleep_past, false},
	{NULL, by_recv_poll, false},
};
enum { N_WAYS = sizeof(ways) / sizeof(ways[0]) };

/* What it must wait for, or, free, could have at once. */
static void victim_objects(struct victim *v, bool is_free)
{
	goro_sem_init(&v->sem, is_free);
	if (is_free)
		return;
	goro_mutex_lock(&v->held);
	goro_rwmutex_wrlock(&v->rw);
	goro_waitgroup_add(&v->wg, 1);
}

/* Nobody waits there any more, and a wait that was cancelled took nothing. */
static void expect_objects_free(struct victim *v, bool is_free)
{
	if (!is_free) {
		goro_mutex_unlock(&v->held);
		goro_rwmutex_wrunlock(&v->rw);
		goro_waitgroup_done(&v->wg);
		goro_sem_release(&v->sem, 1);
	}
	expect(goro_mutex_trylock(&v->held));
	expect(goro_mutex_trylock(&v->free));
	expect(goro_rwmutex_trywrlock(&v->rw));
	expect(goro_sem_tryacquire(&v->sem, 1));
	goro_cond_signal(&v->cond);
}

static void expect_victim_canceled(struct victim *v, const struct way *way)
{
	wait_for(load(&v->n_done) == 1);
	if (way->panics) {
		expect_eq(v->result, 1);
		expect_str(v->text, "context canceled");
	} else {
		expect_eq(v->result, -ECANCELED);
	}
}

GORO_CASE(every_wait_ends_when_the_context_is_cancelled, .id = "SYN-13", .is_race = true)
{
	for (int i = 0; i < N_WAYS; i++) {
		if (!ways[i].reason)
			continue;
		struct victim v = {.ctx = make_ctx(NULL), .c = goro_chan_of(int, 0),
				   .call = ways[i].call};
		victim_objects(&v, false);
		go(is_victim, &v);
		wait_for(load(&v.id) != 0);
		wait_until_parked(load(&v.id), ways[i].reason);
		goro_ctx_cancel(v.ctx);
		expect_victim_canceled(&v, &ways[i]);
		expect_objects_free(&v, false);
		/* Nobody is left in the channel. */
		int value = 6;
		expect_eq(goro_chan_trysend(v.c, &value), -EAGAIN);
		expect_eq(goro_chan_tryrecv(v.c, &value), -EAGAIN);
		goro_chan_unref(v.c);
		goro_ctx_unref(v.ctx);
	}
}

GORO_CASE(every_call_is_refused_at_its_start, .id = "SYN-13")
{
	for (int i = 0; i < N_WAYS; i++) {
		/* With room, and with a value: each could be done at once. */
		struct victim v = {.ctx = make_ctx(NULL), .c = goro_chan_of(int, 2),
				   .call = ways[i].call};
		goro_put(v.c, 7);
		victim_objects(&v, true);
		goro_ctx_cancel(v.ctx);
		go(is_victim, &v);
		expect_victim_canceled(&v, &ways[i]);
		expect_objects_free(&v, true);
		expect_eq(goro_chan_len(v.c), 1);
		expect_eq(goro_get(v.c, int), 7);
		goro_chan_unref(v.c);
		goro_ctx_unref(v.ctx);
	}
}

static int n_cleaned;

static void cleans_up(void *c)
{
	goro_ctx *before = goro_ctx_use(NULL);
	(void)goro_get((goro_chan *)c, int); /* a shielded wait */
	goro_ctx_use(before);
	add(&n_cleaned, 1);
}

static void is_done_once(void *arg)
{
	((struct victim *)arg)->result += 100;
}

/* Not refused: what does not block, locks, and anything behind a shield. */
static void goes_on_in_spite(struct victim *v)
{
	int value = 3;
	expect_eq(goro_chan_trysend(v->c, &value), 0);
	expect_eq(goro_chan_tryrecv(v->c, &value), 0);
	goro_yield();
	goro_checkpoint();
	goro_mutex_lock(&v->free);
	goro_mutex_unlock(&v->free);
	goro_rwmutex_rdlock(&v->rw);
	goro_rwmutex_rdunlock(&v->rw);
	goro_rwmutex_wrlock(&v->rw);
	goro_rwmutex_wrunlock(&v->rw);
	goro_once once = {0};
	goro_once_do(&once, is_done_once, v);
	expect_eq(v->result, 100);
	v->result = 0;
	goro_defer(cleans_up, v->c);
	by_recv(v);
}

GORO_CASE(cleanup_goes_on_in_a_cancelled_goroutine, .id = "SYN-13")
{
	struct victim v = {.ctx = make_ctx(NULL), .c = goro_chan_of(int, 1),
			   .call = goes_on_in_spite};
	goro_ctx_cancel(v.ctx);
	go(is_victim, &v);
	wait_until_n_parked(1, "chan receive");
	goro_put(v.c, 1);
	wait_for(load(&v.n_done) == 1);
	expect_eq(n_cleaned, 1);
	expect_str(v.text, "context canceled");
	goro_chan_unref(v.c);
	goro_ctx_unref(v.ctx);
}

/* A lock that waits goes on waiting, and is had. */
static void locks_and_unlocks(struct victim *v)
{
	goro_mutex_lock(&v->held);
	goro_mutex_unlock(&v->held);
	goro_rwmutex_rdlock(&v->rw);
	goro_rwmutex_rdunlock(&v->rw);
	v->result = 9;
}

GORO_CASE(a_lock_that_waits_is_not_cancelled, .is_race = true)
{
	struct victim v = {.ctx = make_ctx(NULL), .call = locks_and_unlocks};
	victim_objects(&v, false);
	go(is_victim, &v);
	wait_for(load(&v.id) != 0);
	wait_until_parked(load(&v.id), "sync.Mutex.Lock");
	goro_ctx_cancel(v.ctx);
	goro_yield();
	expect(is_parked(load(&v.id), "sync.Mutex.Lock"));
	goro_mutex_unlock(&v.held);
	wait_until_parked(load(&v.id), "sync.RWMutex.RLock");
	goro_rwmutex_wrunlock(&v.rw);
	wait_for(load(&v.n_done) == 1);
	expect_eq(v.result, 9);
	goro_ctx_unref(v.ctx);
}

/* A caught cancellation is one still. */
static void is_cancelled_twice(struct victim *v)
{
	char text[64] = "";
	struct victim inner = {.c = v->c, .call = by_recv};
	expect(!goro_try(calls, &inner, text, sizeof(text)));
	expect_str(text, "context canceled");
	by_send(v);
}

GORO_CASE(catching_the_panic_does_not_undo_the_cancellation)
{
	struct victim v = {.ctx = make_ctx(NULL), .c = goro_chan_of(int, 1),
			   .call = is_cancelled_twice};
	goro_ctx_cancel(v.ctx);
	go(is_victim, &v);
	wait_for(load(&v.n_done) == 1);
	expect_eq(v.result, 1);
	expect_eq(goro_chan_len(v.c), 0);
	goro_chan_unref(v.c);
	goro_ctx_unref(v.ctx);
}

/* ---- use ---- */

static void tells_its_context(goro_chan *c)
{
	goro_put(c, (uintptr_t)goro_ctx_current());
}

static uintptr_t context_of_a_child(goro_chan *c)
{
	go(tells_its_context, c);
	return goro_get(c, uintptr_t);
}

GORO_CASE(use_is_inherited_and_exchanged)
{
	goro_chan *c = goro_chan_of(uintptr_t, 0);
	goro_ctx *a = make_ctx(NULL), *b = make_ctx(a);
	expect(goro_ctx_current() == NULL);
	expect_eq(context_of_a_child(c), 0);
	expect(goro_ctx_use(a) == NULL);
	expect(goro_ctx_current() == a);
	expect_eq(context_of_a_child(c), (uintptr_t)a);
	expect(goro_ctx_use(b) == a);
	expect_eq(context_of_a_child(c), (uintptr_t)b);
	expect(goro_ctx_use(NULL) == b);
	expect_eq(context_of_a_child(c), 0);
	expect(goro_ctx_use(goro_ctx_background()) == NULL);
	expect(goro_ctx_current() == NULL);
	goro_ctx_unref(b);
	goro_ctx_unref(a);
	goro_chan_unref(c);
}

/* The goroutine that made it has given its reference back: the users keep it. */
static void waits_in_its_context(goro_chan *c, int *n_canceled)
{
	if (goro_chan_recv_until(c, NULL, GORO_FOREVER) == -ECANCELED)
		add(n_canceled, 1);
}

GORO_CASE(all_that_inherited_are_cancelled)
{
	enum { N = 100 };
	int n_canceled = 0;
	goro_chan *c = goro_chan_of(int, 0);
	goro_ctx *top = make_ctx(NULL), *used = make_ctx(top);
	goro_ctx_use(used);
	for (int i = 0; i < N; i++)
		go(waits_in_its_context, c, &n_canceled);
	goro_ctx_unref(goro_ctx_use(NULL));
	wait_until_n_parked(N, "chan receive");
	goro_ctx_cancel(top);
	wait_for(load(&n_canceled) == N);
	wait_for(goro_count() == 1);
	goro_ctx_unref(top);
	goro_chan_unref(c);
}

static void *cancels_from_outside(void *ctx)
{
	expect(goro_ctx_current() == NULL);
	goro_ctx_cancel_reason(ctx, "from outside");
	return NULL;
}

GORO_CASE(a_plain_thread_cancels, .is_race = true)
{
	for (int i = 0; i < 20; i++) {
		pthread_t thread;
		struct victim v = {.ctx = make_ctx(NULL), .c = goro_chan_of(int, 0),
				   .call = by_recv_until};
		go(is_victim, &v);
		if (i % 2 == 0) {
			wait_for(load(&v.id) != 0);
			wait_until_parked(load(&v.id), "chan receive");
		}
		require_eq(pthread_create(&thread, NULL, cancels_from_outside, v.ctx), 0);
		wait_for(load(&v.n_done) == 1);
		expect_eq(v.result, -ECANCELED);
		pthread_join(thread, NULL);
		expect_canceled(v.ctx, -ECANCELED, "from outside");
		goro_chan_unref(v.c);
		goro_ctx_unref(v.ctx);
	}
}

/* ---- deadlines ---- */

GORO_CASE(a_deadline_ends_every_wait_and_never_early, .id = "SYN-13", .is_race = true)
{
	for (int i = 0; i < N_WAYS; i++) {
		if (!ways[i].reason)
			continue;
		int64_t deadline = goro_now() + GORO_MS(3);
		struct victim v = {.ctx = make_deadline(NULL, deadline), .c = goro_chan_of(int, 0),
				   .call = ways[i].call};
		victim_objects(&v, false);
		go(is_victim, &v);
		expect_victim_canceled(&v, &ways[i]); /* -ECANCELED: not the call's own deadline */
		expect_ge(goro_now(), deadline);
		expect_eq(goro_ctx_error(v.ctx), -ETIMEDOUT);
		goro_chan_unref(v.c);
		goro_ctx_unref(v.ctx);
	}
}

static void *makes_deadlines(void *arg)
{
	goro_ctx **slot = arg;
	*slot = make_deadline(NULL, goro_now() + GORO_MS(10));
	return NULL;
}

GORO_CASE(a_plain_thread_makes_a_deadline)
{
	pthread_t thread;
	struct victim v = {.c = goro_chan_of(int, 0), .call = by_recv_until};
	require_eq(pthread_create(&thread, NULL, makes_deadlines, &v.ctx), 0);
	pthread_join(thread, NULL);
	go(is_victim, &v);
	expect_victim_canceled(&v, &ways[2]);
	goro_chan_unref(v.c);
	goro_ctx_unref(v.ctx);
}

TAP_MAIN
