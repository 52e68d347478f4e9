/*
 * sync.c - stress: crowds of goroutines and plain threads on one object, which its last user frees.
 *
 *   users by chance, some giving up -> what the object guards is exact -> the last one frees it
 *
 * Each case runs tap_seconds seconds and can be replayed with GORO_SEED, as far as the program's
 * own choices go. What is touched too late is found by AddressSanitizer, and without it by the
 * pattern that is written over the object before it is freed.
 */
#include "goro_tap.h"

static int64_t end_of_time(void)
{
	return tap_now() + GORO_SEC(1) * tap_seconds;
}

enum { USERS_MAX = 12, THREADS_MAX = 3 };

/* What all users of one object share. It is freed with the object. */
struct shared {
	goro_mutex m;
	goro_rwmutex rw;
	goro_cond c;
	goro_waitgroup wg;
	goro_once once;
	goro_sem s;
	uint64_t value, twin; /* plain: the object under test guards them */
	int n_left, n_rounds, n_users;
	bool is_over;
};

typedef bool user_fn(struct shared *, uint64_t *state, int number);

struct user {
	struct shared *shared;
	user_fn *fn;
	uint64_t state;
	int number;
};

static int n_at_work, n_odd, n_freed;

static void pause_somehow(uint64_t *state)
{
	uint64_t choice = tap_random(state) % 16;
	if (choice == 0 && goro_id() != 0)
		goro_yield();
	else if (choice == 1)
		goro_sleep(GORO_US(1));
}

static int64_t soon(uint64_t *state)
{
	return goro_now() + (int64_t)(tap_random(state) % 30000);
}

static void odd_if(bool is_odd)
{
	if (is_odd)
		add(&n_odd, 1);
}

/* True: the caller was the last user, and nobody else may touch anything of it. */
static void free_if_last(struct shared *shared, bool is_last)
{
	if (!is_last)
		return;
	memset(shared, 0xa5, sizeof(*shared));
	free(shared);
	add(&n_freed, 1);
}

static void uses(struct user u)
{
	free_if_last(u.shared, u.fn(u.shared, &u.state, u.number));
	add(&n_at_work, -1);
}

static void *thread_uses(void *user)
{
	uses(*(struct user *)user);
	return NULL;
}

/* One object, used up. */
static void run_object(user_fn *fn, uint64_t *state)
{
	pthread_t threads[THREADS_MAX];
	struct user users[THREADS_MAX];
	int n_threads = (int)(tap_random(state) % (THREADS_MAX + 1));
	int n_users = n_threads + 1 + (int)(tap_random(state) % (USERS_MAX - THREADS_MAX));
	struct shared *shared = calloc(1, sizeof(*shared));
	require(shared != NULL);
	shared->n_left = shared->n_users = n_users;
	shared->n_rounds = 1 + (int)(tap_random(state) % 20);
	goro_waitgroup_add(&shared->wg, n_users);
	goro_sem_init(&shared->s, 1);
	add(&n_at_work, n_users);
	for (int i = 0; i < n_users; i++) {
		struct user u = {shared, fn, tap_random(state), i};
		if (i >= n_threads) {
			go(uses, u);
			continue;
		}
		users[i] = u;
		require_eq(pthread_create(&threads[i], NULL, thread_uses, &users[i]), 0);
	}
	wait_for(load(&n_at_work) == 0);
	for (int i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	wait_for(goro_count() == 1);
}

static void run_objects(user_fn *fn)
{
	uint64_t state = tap_seed();
	int n = 0;
	for (int64_t end = end_of_time(); tap_now() < end; n++)
		run_object(fn, &state);
	expect_eq(n_odd, 0);
	expect_eq(n_freed, n);
	printf("# %d objects\n", n);
}

/* ---- mutex ---- */

static void lock_somehow(struct shared *shared, uint64_t *state)
{
	switch (tap_random(state) % 4) {
	case 0:
		if (goro_mutex_lock_until(&shared->m, soon(state)) == 0)
			return;
		break;
	case 1:
		if (goro_mutex_trylock(&shared->m))
			return;
		break;
	}
	goro_mutex_lock(&shared->m);
}

static void change_guarded(struct shared *shared, uint64_t *state)
{
	odd_if(shared->value != shared->twin);
	shared->value++;
	pause_somehow(state);
	shared->twin++;
}

static bool uses_mutex(struct shared *shared, uint64_t *state, int number)
{
	(void)number;
	for (int i = shared->n_rounds; i > 0; i--) {
		lock_somehow(shared, state);
		change_guarded(shared, state);
		goro_mutex_unlock(&shared->m);
		pause_somehow(state);
	}
	lock_somehow(shared, state);
	bool is_last = --shared->n_left == 0;
	odd_if(is_last && shared->value != (uint64_t)(shared->n_users * shared->n_rounds));
	goro_mutex_unlock(&shared->m);
	return is_last;
}

GORO_CASE(a_mutex_is_freed_by_its_last_user, .timeout_s = 60)
{
	run_objects(uses_mutex);
}

/*
 * One alone has it all the time, and the others come when sysmon may have found it quiet, or not
 * yet: unlocking by a store meets those that queue.
 */
static bool uses_mutex_by_turns(struct shared *shared, uint64_t *state, int number)
{
	enum { LONGEST = 25000 }; /* us: two rounds of sysmon's, and more */
	int64_t from = goro_now() + GORO_US((int64_t)(tap_random(state) % LONGEST));

	if (number == 0) {
		while (goro_now() < from) {
			goro_mutex_lock(&shared->m);
			odd_if(shared->value++ != shared->twin++);
			goro_mutex_unlock(&shared->m);
		}
	} else {
		goro_sleep(from - goro_now());
	}
	for (int i = shared->n_rounds; i > 0; i--) {
		lock_somehow(shared, state);
		change_guarded(shared, state);
		goro_mutex_unlock(&shared->m);
	}
	lock_somehow(shared, state);
	bool is_last = --shared->n_left == 0;
	goro_mutex_unlock(&shared->m);
	return is_last;
}

GORO_CASE(a_mutex_is_quiet_and_crowded_by_turns, .timeout_s = 60)
{
	run_objects(uses_mutex_by_turns);
}

/* ---- rwmutex ---- */

static void wrlock_somehow(struct shared *shared, uint64_t *state)
{
	if (tap_random(state) % 3 == 0 && goro_rwmutex_wrlock_until(&shared->rw, soon(state)) == 0)
		return;
	goro_rwmutex_wrlock(&shared->rw);
}

static void reads_guarded(struct shared *shared, uint64_t *state)
{
	if (tap_random(state) % 3 != 0)
		goro_rwmutex_rdlock(&shared->rw);
	else if (goro_rwmutex_rdlock_until(&shared->rw, soon(state)) != 0)
		return;
	odd_if(shared->value != shared->twin);
	pause_somehow(state);
	odd_if(shared->value != shared->twin);
	goro_rwmutex_rdunlock(&shared->rw);
}

static bool uses_rwmutex(struct shared *shared, uint64_t *state, int number)
{
	(void)number;
	for (int i = shared->n_rounds; i > 0; i--) {
		for (uint64_t k = tap_random(state) % 3; k > 0; k--)
			reads_guarded(shared, state);
		wrlock_somehow(shared, state);
		change_guarded(shared, state);
		goro_rwmutex_wrunlock(&shared->rw);
	}
	wrlock_somehow(shared, state);
	bool is_last = --shared->n_left == 0;
	odd_if(is_last && shared->value != (uint64_t)(shared->n_users * shared->n_rounds));
	goro_rwmutex_wrunlock(&shared->rw);
	return is_last;
}

GORO_CASE(a_rwmutex_is_freed_by_its_last_user, .timeout_s = 60)
{
	run_objects(uses_rwmutex);
}

/* ---- wait group: everybody is done, one waits (and gives up now and then) and frees ---- */

static bool uses_waitgroup(struct shared *shared, uint64_t *state, int number)
{
	if (number != 0) {
		pause_somehow(state);
		add(&shared->n_left, -1);
		if (tap_random(state) % 2)
			goro_waitgroup_add(&shared->wg, 1), goro_waitgroup_done(&shared->wg);
		goro_waitgroup_done(&shared->wg);
		return false;
	}
	goro_waitgroup_done(&shared->wg);
	if (tap_random(state) % 2 == 0 && goro_waitgroup_wait_until(&shared->wg, soon(state)) == 0)
		return true;
	goro_waitgroup_wait(&shared->wg);
	odd_if(load(&shared->n_left) != 1);
	return true;
}

GORO_CASE(a_waitgroup_is_freed_by_who_waited, .timeout_s = 60)
{
	run_objects(uses_waitgroup);
}

/* All are done and all wait, round after round; the group is used again at once. */
static bool uses_waitgroup_as_barrier(struct shared *shared, uint64_t *state, int number)
{
	(void)number;
	pause_somehow(state);
	goro_waitgroup_done(&shared->wg);
	goro_waitgroup_wait(&shared->wg);
	return add(&shared->n_left, -1) == 0;
}

GORO_CASE(a_waitgroup_many_wait_for_is_freed_by_the_last, .timeout_s = 60)
{
	run_objects(uses_waitgroup_as_barrier);
}

/* ---- once ---- */

static void body(void *arg)
{
	struct shared *shared = arg;
	shared->value++;
	if (shared->n_rounds % 2)
		goro_sleep(GORO_US(20));
	shared->twin++;
	if (shared->n_rounds % 5 == 0)
		goro_panic("in the body");
}

static void calls_once(void *arg)
{
	struct shared *shared = arg;
	goro_once_do(&shared->once, body, shared);
}

static bool uses_once(struct shared *shared, uint64_t *state, int number)
{
	(void)number;
	pause_somehow(state);
	if (shared->n_rounds % 5 == 0)
		(void)panic_of(calls_once, shared);
	else
		calls_once(shared);
	odd_if(shared->value != 1 || shared->twin != 1);
	return add(&shared->n_left, -1) == 0;
}

GORO_CASE(a_once_is_freed_by_its_last_user, .timeout_s = 60)
{
	run_objects(uses_once);
}

/* ---- semaphore ---- */

static void acquire_somehow(struct shared *shared, uint64_t *state)
{
	switch (tap_random(state) % 4) {
	case 0:
		if (goro_sem_acquire_until(&shared->s, 1, soon(state)) == 0)
			return;
		break;
	case 1:
		if (goro_sem_tryacquire(&shared->s, 1))
			return;
		break;
	}
	goro_sem_acquire(&shared->s, 1);
}

static bool uses_sem(struct shared *shared, uint64_t *state, int number)
{
	(void)number;
	for (int i = shared->n_rounds; i > 0; i--) {
		acquire_somehow(shared, state);
		change_guarded(shared, state);
		goro_sem_release(&shared->s, 1);
		/* A large need gives up, and must let the others go on. */
		if (tap_random(state) % 8 == 0)
			odd_if(goro_sem_acquire_until(&shared->s, 2, soon(state)) != -ETIMEDOUT);
	}
	acquire_somehow(shared, state);
	bool is_last = --shared->n_left == 0;
	odd_if(is_last && shared->value != (uint64_t)(shared->n_users * shared->n_rounds));
	goro_sem_release(&shared->s, 1);
	return is_last;
}

GORO_CASE(a_semaphore_is_freed_by_its_last_user, .timeout_s = 60)
{
	run_objects(uses_sem);
}

/* ---- cond: as many gifts as takers; the last to have taken frees both objects ---- */

static bool uses_cond(struct shared *shared, uint64_t *state, int number)
{
	for (int i = shared->n_rounds; i > 0; i--) {
		goro_mutex_lock(&shared->m);
		shared->value++;
		bool is_inside = tap_random(state) % 2;
		bool is_for_all = tap_random(state) % 4 == 0;
		if (!is_inside)
			goro_mutex_unlock(&shared->m);
		if (is_for_all)
			goro_cond_broadcast(&shared->c);
		else
			goro_cond_signal(&shared->c);
		if (is_inside)
			goro_mutex_unlock(&shared->m);
		pause_somehow(state);
		goro_mutex_lock(&shared->m);
		while (shared->value == 0)
			if (tap_random(state) % 3 == 0)
				(void)goro_cond_wait_until(&shared->c, &shared->m, soon(state));
			else
				goro_cond_wait(&shared->c, &shared->m);
		shared->value--;
		goro_mutex_unlock(&shared->m);
	}
	(void)number;
	goro_mutex_lock(&shared->m);
	bool is_last = --shared->n_left == 0;
	odd_if(is_last && shared->value != 0);
	goro_mutex_unlock(&shared->m);
	return is_last;
}

GORO_CASE(gifts_and_takers_agree_by_a_cond, .timeout_s = 60)
{
	run_objects(uses_cond);
}

/* The first waits for the others, and frees cond and mutex when they have said that they came. */
static bool ends_with_cond(struct shared *shared, uint64_t *state, int number)
{
	pause_somehow(state);
	goro_mutex_lock(&shared->m);
	shared->n_left--;
	if (number != 0) {
		goro_cond_signal(&shared->c);
		goro_mutex_unlock(&shared->m);
		return false;
	}
	while (shared->n_left != 0)
		goro_cond_wait(&shared->c, &shared->m);
	goro_mutex_unlock(&shared->m);
	return true;
}

GORO_CASE(a_cond_and_its_mutex_are_freed_by_the_waiter, .timeout_s = 60)
{
	run_objects(ends_with_cond);
}

TAP_MAIN
