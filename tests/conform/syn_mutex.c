/*
 * syn_mutex.c - SYN-01, 02: a mutex between goroutines and plain threads; unlocking what is not
 * locked.
 *
 *   lock -> free | waits -> unlock -> the next; after a millisecond it is handed over
 *
 * Go: mutex_test.go: TestMutex, TestMutexMisuse, TestMutexFairness.
 */
#include "goro_tap.h"

enum { WORKERS = 10, ROUNDS = 1000 };

/* ---- SYN-01 ---- */

GORO_CASE(a_locked_mutex_refuses_a_try_and_a_poll, .id = "SYN-01")
{
	goro_mutex m = {0};
	expect(goro_mutex_trylock(&m));
	expect(!goro_mutex_trylock(&m));
	expect_eq(goro_mutex_lock_until(&m, GORO_POLL), -ETIMEDOUT);
	expect_eq(goro_mutex_lock_until(&m, goro_now() + GORO_MS(2)), -ETIMEDOUT);
	goro_mutex_unlock(&m);
	expect_eq(goro_mutex_lock_until(&m, GORO_POLL), 0);
	expect(!goro_mutex_trylock(&m));
	goro_mutex_unlock(&m);
	goro_mutex_lock(&m);
	goro_mutex_unlock(&m);
	expect(goro_mutex_trylock(&m));
	goro_mutex_unlock(&m);
}

struct counter {
	goro_mutex m;
	uint64_t value; /* plain: the mutex guards it */
	int n_inside, n_done;
	bool may_sleep;
};

static void count_once(struct counter *c, int i)
{
	if (i % 4 == 1) {
		if (!goro_mutex_trylock(&c->m))
			goro_mutex_lock(&c->m);
	} else if (i % 4 == 2) {
		if (goro_mutex_lock_until(&c->m, goro_now() + GORO_US(5)) != 0)
			goro_mutex_lock(&c->m);
	} else {
		goro_mutex_lock(&c->m);
	}
	expect_eq(c->n_inside, 0);
	c->n_inside++;
	c->value++;
	if (i % 64 == 0 && goro_id() != 0)
		goro_yield();
	if (i % 256 == 0 && c->may_sleep)
		goro_sleep(GORO_US(10));
	c->n_inside--;
	goro_mutex_unlock(&c->m);
}

static void counts(void *arg)
{
	struct counter *c = arg;
	for (int i = 0; i < ROUNDS; i++)
		count_once(c, i);
	add(&c->n_done, 1);
}

static void *thread_counts(void *c)
{
	counts(c);
	return NULL;
}

GORO_CASE(a_counter_under_it_stays_exact, .id = "SYN-01", .is_race = true)
{
	struct counter c = {.may_sleep = true};
	for (int i = 0; i < WORKERS; i++)
		goro_spawn(counts, &c);
	wait_for(load(&c.n_done) == WORKERS);
	goro_mutex_lock(&c.m);
	expect_eq(c.value, WORKERS * ROUNDS);
	goro_mutex_unlock(&c.m);
}

GORO_CASE(goroutines_and_plain_threads_share_it, .id = "SYN-01", .is_race = true)
{
	struct counter c = {.may_sleep = true};
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_counts, &c), 0);
	for (int i = 0; i < WORKERS; i++)
		goro_spawn(counts, &c);
	wait_for(load(&c.n_done) == WORKERS + 3);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	goro_mutex_lock(&c.m);
	expect_eq(c.value, (WORKERS + 3) * ROUNDS);
	goro_mutex_unlock(&c.m);
}

TAP_CASE(plain_threads_alone_share_it, .id = "SYN-01", .procs = "-")
{
	struct counter c = {{{0}}, 0, 0, 0, false};
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_counts, &c), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	expect_eq(c.value, 4 * ROUNDS);
	expect(goro_mutex_trylock(&c.m));
}

struct locker {
	goro_mutex *m;
	uint64_t id;
	int place, *at, got, error;
	int64_t deadline;
};

static void locks_in_turn(void *arg)
{
	struct locker *l = arg;
	store(&l->id, goro_id());
	goro_mutex_lock(l->m);
	l->place = (*l->at)++;
	goro_mutex_unlock(l->m);
	store(&l->got, 1);
}

static void locks_by_deadline(void *arg)
{
	struct locker *l = arg;
	store(&l->id, goro_id());
	l->error = goro_mutex_lock_until(l->m, l->deadline);
	store(&l->got, 1);
}

static void unlocks(void *m)
{
	goro_mutex_unlock(m);
}

GORO_CASE(another_goroutine_may_unlock_it, .id = "SYN-01")
{
	goro_mutex m = {0};
	goro_mutex_lock(&m);
	goro_spawn(unlocks, &m);
	goro_mutex_lock(&m); /* not recursive: it waits for the other's unlock */
	expect(!goro_mutex_trylock(&m));
	goro_mutex_unlock(&m);
}

static void locks_twice(void *m)
{
	goro_mutex_lock(m);
	goro_mutex_lock(m);
}

GORO_CASE(it_is_not_recursive, .id = "SYN-01")
{
	goro_mutex m = {0};
	goro_spawn(locks_twice, &m);
	wait_until_n_parked(1, "sync.Mutex.Lock");
	goro_mutex_unlock(&m);
	wait_for(goro_count() == 1);
	expect(!goro_mutex_trylock(&m));
}

static void locks_and_panics(void *m)
{
	goro_mutex_lock(m);
	goro_panic("with it locked");
}

GORO_CASE(a_recovered_panic_does_not_unlock_it, .id = "SYN-01")
{
	goro_mutex m = {0};
	expect_str(panic_of(locks_and_panics, &m).text, "with it locked");
	expect(!goro_mutex_trylock(&m));
	goro_mutex_unlock(&m);
	expect(goro_mutex_trylock(&m));
}

GORO_CASE(waiters_get_it_in_the_order_of_coming, .id = "SYN-01")
{
	enum { N = 20 };
	goro_mutex m = {0};
	struct locker l[N];
	int at = 0;
	goro_mutex_lock(&m);
	for (int i = 0; i < N; i++) {
		l[i] = (struct locker){.m = &m, .at = &at};
		goro_spawn(locks_in_turn, &l[i]);
		wait_for(load(&l[i].id) != 0);
		wait_until_parked(load(&l[i].id), "sync.Mutex.Lock");
	}
	goro_mutex_unlock(&m);
	wait_for(goro_count() == 1);
	for (int i = 0; i < N; i++)
		expect_eq(l[i].place, i);
}

GORO_CASE(who_gives_up_is_skipped, .id = "SYN-01")
{
	goro_mutex m = {0};
	struct locker late = {.m = &m, .deadline = goro_now() + GORO_MS(30)};
	struct locker next = {.m = &m, .at = &(int){0}};
	goro_mutex_lock(&m);
	goro_spawn(locks_by_deadline, &late);
	wait_for(load(&late.id) != 0);
	goro_spawn(locks_in_turn, &next);
	wait_for(load(&next.id) != 0);
	wait_until_parked(load(&next.id), "sync.Mutex.Lock");
	wait_for(load(&late.got));
	expect_eq(late.error, -ETIMEDOUT);
	expect_ge(goro_now(), late.deadline);
	goro_mutex_unlock(&m);
	wait_for(load(&next.got));
	expect(goro_mutex_trylock(&m));
}

/* ---- fairness: a hog and one that sleeps between its turns ---- */

struct hog {
	goro_mutex m;
	int is_over, n_turns;
};

static void hogs(void *arg)
{
	struct hog *h = arg;
	while (!load(&h->is_over)) {
		goro_mutex_lock(&h->m);
		for (int64_t end = tap_now() + GORO_US(100); tap_now() < end;)
			;
		goro_mutex_unlock(&h->m);
	}
}

static void takes_ten_turns(void *arg)
{
	struct hog *h = arg;
	for (int i = 0; i < 10; i++) {
		goro_sleep(GORO_US(100));
		goro_mutex_lock(&h->m);
		goro_mutex_unlock(&h->m);
		add(&h->n_turns, 1);
	}
}

GORO_CASE(a_hog_does_not_starve_another, .id = "SYN-01", .timeout_s = 60)
{
	struct hog h = {{{0}}, 0, 0};
	goro_spawn(hogs, &h);
	goro_spawn(takes_ten_turns, &h);
	wait_for(load(&h.n_turns) == 10);
	store(&h.is_over, 1);
	wait_for(goro_count() == 1);
}

/* ---- SYN-02 ---- */

static void misuse_unlock_fresh(void *arg)
{
	goro_mutex_unlock(arg);
}

static void misuse_unlock_twice(void *arg)
{
	goro_mutex_lock(arg);
	goro_mutex_unlock(arg);
	goro_mutex_unlock(arg);
}

/* Somebody has waited for it a moment ago: unlocking goes another way. */
static void misuse_unlock_twice_after_a_wait(void *arg)
{
	goro_mutex_lock(arg);
	require_eq(goro_mutex_lock_until(arg, goro_now() + GORO_US(100)), -ETIMEDOUT);
	goro_mutex_unlock(arg);
	goro_mutex_unlock(arg);
}

static void misuse_wrunlock_fresh(void *arg)
{
	goro_rwmutex_wrunlock(arg);
}

static void misuse_wrunlock_read_locked(void *arg)
{
	goro_rwmutex_rdlock(arg);
	goro_rwmutex_wrunlock(arg);
}

static void misuse_wrunlock_twice(void *arg)
{
	goro_rwmutex_wrlock(arg);
	goro_rwmutex_wrunlock(arg);
	goro_rwmutex_wrunlock(arg);
}

static void misuse_rdunlock_fresh(void *arg)
{
	goro_rwmutex_rdunlock(arg);
}

static void misuse_rdunlock_write_locked(void *arg)
{
	goro_rwmutex_wrlock(arg);
	goro_rwmutex_rdunlock(arg);
}

static void misuse_rdunlock_twice(void *arg)
{
	goro_rwmutex_rdlock(arg);
	goro_rwmutex_rdunlock(arg);
	goro_rwmutex_rdunlock(arg);
}

static void misuse_wait_unlocked(void *arg)
{
	goro_cond c = {0};
	goro_cond_wait(&c, arg);
}

static void misuse_wait_until_unlocked(void *arg)
{
	goro_cond c = {0};
	goro_cond_wait_until(&c, arg, GORO_POLL);
}

static void commit_misuse(void (*misuse)(void *))
{
	static uint64_t zeroes[8];
	goro_try(misuse, zeroes, NULL, 0);
	printf("caught");
}

#define MISUSE(name)                             \
	GORO_CHILD(name)                         \
	{                                        \
		commit_misuse(misuse_##name);    \
	}                                        \
	TAP_CHILD(thread_##name)                 \
	{                                        \
		commit_misuse(misuse_##name);    \
	}
MISUSE(unlock_fresh)
MISUSE(unlock_twice)
MISUSE(unlock_twice_after_a_wait)
MISUSE(wrunlock_fresh)
MISUSE(wrunlock_read_locked)
MISUSE(wrunlock_twice)
MISUSE(rdunlock_fresh)
MISUSE(rdunlock_write_locked)
MISUSE(rdunlock_twice)
MISUSE(wait_unlocked)
MISUSE(wait_until_unlocked)

#define MUTEX_TEXT "fatal error: sync: unlock of unlocked mutex\n"
#define WR_TEXT	   "fatal error: sync: Unlock of unlocked RWMutex\n"
#define RD_TEXT	   "fatal error: sync: RUnlock of unlocked RWMutex\n"
static const struct {
	const char *child, *text;
} misuses[] = {
	{"unlock_fresh", MUTEX_TEXT},
	{"unlock_twice", MUTEX_TEXT},
	{"unlock_twice_after_a_wait", MUTEX_TEXT},
	{"wrunlock_fresh", WR_TEXT},
	{"wrunlock_read_locked", WR_TEXT},
	{"wrunlock_twice", WR_TEXT},
	{"rdunlock_fresh", RD_TEXT},
	{"rdunlock_write_locked", RD_TEXT},
	{"rdunlock_twice", RD_TEXT},
	{"wait_unlocked", MUTEX_TEXT},
	{"wait_until_unlocked", MUTEX_TEXT},
};

TAP_CASE(unlocking_what_is_not_locked_is_fatal, .id = "SYN-02")
{
	struct tap_child c;
	for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
		char thread_child[64];
		tap_child(&c, misuses[i].child);
		expect_child(&c, 2, misuses[i].text);
		expect_contains(c.err, "goroutine 1 [running]:\n");
		expect_str(c.out, "");
		snprintf(thread_child, sizeof(thread_child), "thread_%s", misuses[i].child);
		tap_child(&c, thread_child);
		expect_child(&c, 2, misuses[i].text);
		expect_str(c.out, "");
	}
}

/* ---- the thread of a locked goroutine ---- */

static void locked_counts(void *c)
{
	goro_lock_thread();
	pid_t tid = thread_id();
	counts(c);
	expect_eq(thread_id(), tid);
}

GORO_CASE(locked_goroutines_share_it, .id = "SYN-01", .is_race = true)
{
	struct counter c = {.may_sleep = true};
	for (int i = 0; i < 4; i++)
		goro_spawn(i % 2 ? counts : locked_counts, &c);
	wait_for(load(&c.n_done) == 4);
	goro_mutex_lock(&c.m);
	expect_eq(c.value, 4 * ROUNDS);
	goro_mutex_unlock(&c.m);
}

TAP_MAIN
