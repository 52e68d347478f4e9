/*
 * syn_sem.c - the semaphore: units taken and given in the order of coming.
 *
 *   acquire -> units | queue -> release hands them to the front, while it fits
 *
 * Go: x/sync/semaphore: semaphore_test.go: TestWeighted, TestLargeAcquireDoesntStarve,
 * TestAllocCancelDoesntStarve.
 */
#include "goro_tap.h"

GORO_CASE(units_are_taken_and_given_back)
{
	goro_sem s;
	goro_sem_init(&s, 5);
	goro_sem_acquire(&s, 3);
	expect(goro_sem_tryacquire(&s, 2));
	expect(!goro_sem_tryacquire(&s, 1));
	expect(goro_sem_tryacquire(&s, 0));
	expect_eq(goro_sem_acquire_until(&s, 1, GORO_POLL), -ETIMEDOUT);
	expect_eq(goro_sem_acquire_until(&s, 1, goro_now() + GORO_MS(2)), -ETIMEDOUT);
	goro_sem_release(&s, 4);
	expect(!goro_sem_tryacquire(&s, 5));
	expect_eq(goro_sem_acquire_until(&s, 4, GORO_POLL), 0);
	goro_sem_release(&s, 5);
	goro_sem_acquire(&s, 5);
	goro_sem_acquire(&s, 0);
	goro_sem_release(&s, 0);
	expect(!goro_sem_tryacquire(&s, 1));
}

GORO_CASE(zeroed_it_has_none_and_units_may_be_added)
{
	goro_sem s = {0};
	expect(!goro_sem_tryacquire(&s, 1));
	goro_sem_release(&s, 2);
	expect(goro_sem_tryacquire(&s, 2));
	goro_sem_release(&s, GORO_SEM_MAX);
	expect(goro_sem_tryacquire(&s, GORO_SEM_MAX));
	expect(!goro_sem_tryacquire(&s, 1));
}

struct taker {
	goro_sem *s;
	int64_t need, deadline;
	uint64_t id;
	int place, *at, error, got;
};

static void takes(void *arg)
{
	struct taker *t = arg;
	store(&t->id, goro_id());
	t->error = goro_sem_acquire_until(t->s, t->need, t->deadline);
	t->place = t->error ? -1 : add(t->at, 1);
	store(&t->got, 1);
}

static void queue_up(struct taker *t)
{
	goro_spawn(takes, t);
	wait_for(load(&t->id) != 0);
	wait_until_parked(load(&t->id), "semacquire");
}

GORO_CASE(first_come_first_served_whatever_they_want)
{
	static const int64_t needs[] = {2, 1, 3, 1, 1};
	goro_sem s = {0};
	struct taker t[5];
	int at = 0;
	for (int i = 0; i < 5; i++) {
		t[i] = (struct taker){&s, needs[i], GORO_FOREVER, .at = &at};
		queue_up(&t[i]);
	}
	/* The first wants two: no other is served, and no newcomer. */
	goro_sem_release(&s, 1);
	expect(!goro_sem_tryacquire(&s, 1));
	expect_eq(goro_sem_acquire_until(&s, 0, GORO_POLL), -ETIMEDOUT);
	expect_eq(load(&at), 0);
	goro_sem_release(&s, 1);
	wait_for(load(&t[0].got));
	goro_sem_release(&s, 1);
	wait_for(load(&t[1].got));
	goro_sem_release(&s, 2);
	for (int i = 0; i < 20; i++)
		goro_yield();
	expect_eq(load(&at), 2);
	goro_sem_release(&s, 3); /* for three at once: with one P they run in order, too */
	wait_for(load(&at) == 5);
	for (int i = 0; i < (goro_maxprocs(0) == 1 ? 5 : 2); i++)
		expect_eq(t[i].place, i + 1);
	expect(!goro_sem_tryacquire(&s, 1));
}

GORO_CASE(who_gives_up_lets_those_behind_it_in)
{
	goro_sem s = {0};
	int at = 0;
	goro_sem_init(&s, 2);
	struct taker large = {&s, 3, goro_now() + GORO_SEC(1), .at = &at};
	struct taker one = {&s, 1, GORO_FOREVER, .at = &at};
	struct taker small[2] = {one, one};
	queue_up(&large);
	for (int i = 0; i < 2; i++)
		goro_spawn(takes, &small[i]);
	wait_for(load(&at) == 2);
	wait_for(load(&large.error) == -ETIMEDOUT); /* it may run after those that it lets in */
	expect_ge(goro_now(), large.deadline);
	expect(!goro_sem_tryacquire(&s, 1));
}

/* ---- a crowd ---- */

enum { UNITS = 5 };

struct crowd {
	goro_sem s;
	int n_taken, n_odd, n_done;
	uint64_t seed; /* of the plain threads */
};

static void member(struct crowd *c, uint64_t state, bool is_goroutine)
{
	for (int i = 0; i < 500; i++) {
		int n = (int)(tap_random(&state) % UNITS) + 1;
		uint64_t choice = tap_random(&state) % 4;
		if (choice == 0 && !goro_sem_tryacquire(&c->s, n))
			continue;
		if (choice == 1 &&
		    goro_sem_acquire_until(&c->s, n, goro_now() + GORO_US(20)) != 0)
			continue;
		if (choice > 1)
			goro_sem_acquire(&c->s, n);
		if (add(&c->n_taken, n) > UNITS)
			add(&c->n_odd, 1);
		if (is_goroutine && i % 8 == 0)
			goro_yield();
		add(&c->n_taken, -n);
		goro_sem_release(&c->s, n);
	}
	add(&c->n_done, 1);
}

static void goroutine_member(struct crowd *c, uint64_t state)
{
	member(c, state, true);
}

static void *thread_member(void *c)
{
	member(c, ((struct crowd *)c)->seed, false);
	return NULL;
}

GORO_CASE(a_crowd_never_has_more_than_there_is, .is_race = true, .timeout_s = 60)
{
	struct crowd c = {.seed = tap_seed() + 17};
	uint64_t state = tap_seed();
	pthread_t threads[2];
	goro_sem_init(&c.s, UNITS);
	for (int i = 0; i < 2; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_member, &c), 0);
	for (int i = 0; i < 10; i++)
		go(goroutine_member, &c, tap_random(&state));
	wait_for(load(&c.n_done) == 12);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	expect_eq(c.n_odd, 0);
	expect(goro_sem_tryacquire(&c.s, UNITS));
	expect(!goro_sem_tryacquire(&c.s, 1));
}

/* One that wants all of it gets it, however many small ones come and go. */
static void takes_small(struct crowd *c)
{
	while (!load(&c->n_odd)) {
		goro_sem_acquire(&c->s, 1);
		goro_yield();
		goro_sem_release(&c->s, 1);
	}
	add(&c->n_done, 1);
}

GORO_CASE(a_large_need_is_not_starved)
{
	struct crowd c = {.n_taken = 0};
	goro_sem_init(&c.s, UNITS);
	for (int i = 0; i < 2 * UNITS; i++)
		go(takes_small, &c);
	for (int i = 0; i < 100; i++) {
		goro_sem_acquire(&c.s, UNITS);
		goro_sem_release(&c.s, UNITS);
	}
	store(&c.n_odd, 1);
	wait_for(load(&c.n_done) == 2 * UNITS);
}

TAP_CASE(plain_threads_alone_share_it, .procs = "-")
{
	struct crowd c = {.seed = tap_seed()};
	pthread_t threads[4];
	goro_sem_init(&c.s, UNITS);
	for (int i = 0; i < 4; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_member, &c), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	expect_eq(c.n_odd, 0);
	expect(goro_sem_tryacquire(&c.s, UNITS));
}

/* A run that ends takes its waiters along: nobody waits any more. */
static void wants_two(goro_sem *s)
{
	goro_sem_acquire(s, 2);
}

static int leaves_a_waiter(void *arg)
{
	go(wants_two, arg);
	wait_until_n_parked(1, "semacquire");
	expect(!goro_sem_tryacquire(arg, 1));
	return 0;
}

TAP_CASE(after_a_run_a_try_takes_what_is_free, .procs = "1,2,4")
{
	goro_sem s;
	goro_sem_init(&s, 1);
	expect_eq(goro_run(leaves_a_waiter, &s), 0);
	expect(goro_sem_tryacquire(&s, 1));
	expect(!goro_sem_tryacquire(&s, 1));
	goro_sem_release(&s, 1);
	expect(goro_sem_tryacquire(&s, 1));
}

TAP_MAIN
