/*
 * mutex.c - mutexes whose slot turns from quiet to crowded and back all the time; src/sync/mutex.c.
 * All orders of a few threads are tried in tests/model; here are crowds, and sysmon never rests.
 *
 * The source is included, since what is tried here has no name outside it.
 */
#include "goro_tap.h"

#include "base/fatal.h"
#include "base/limits.h"
#include "base/sanitize.h"
#include "base/valgrind.h"
#include "os/os.h"
#include "queue/runq.h"
#include "sync/mutex.h"
#include "sync/present.h"

/* Between two steps of the protocol: others find it half done, as they rarely would. */
static void dawdle(void)
{
	static uint32_t n;
	uint32_t chance = __atomic_add_fetch(&n, 1, __ATOMIC_RELAXED) * 2654435761u >> 24;

	if (chance < 16)
		os_thread_yield();
	else if (chance < 64)
		for (uint32_t i = 0; i < 8 * chance; i++)
			cpu_relax();
}

static void dawdle_and_fence(void)
{
	dawdle();
	fence_light();
	dawdle();
}

/* What unlocking does by a store: the look, this, the store, the fence, the look. */
#undef store_rel
#define store_rel(p, v) (dawdle(), atomic_store_explicit((p), (v), memory_order_release))
#define fence_light dawdle_and_fence
#include "sync/mutex.c"
#undef fence_light

enum { USERS = 5, THREADS = 2, OBJECTS = 1000 / TAP_SLOWER, ROUNDS = 40 };

struct shared {
	goro_mutex m;
	uint64_t value, twin; /* m */
	int n_left;           /* m */
};

static int n_at_work, n_freed, n_odd;
static bool is_over;

static uint32_t mode_of(goro_mutex *m)
{
	return load_acq(&mutex_slot_of(mutex_of(m))->mode); /* MUTEX-TURN */
}

static void calm(void)
{
	CALL_SCOPE;
	mutex_calm();
}

/* Sysmon, without its rests. */
static void *calms(void *arg)
{
	while (!load(&is_over)) {
		calm();
		tap_pause(20000);
	}
	return arg;
}

static bool use(struct shared *s, uint64_t *state)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (tap_random(state) % 4 ||
		    goro_mutex_lock_until(&s->m, goro_now() + (int64_t)(tap_random(state) % 20000)))
			goro_mutex_lock(&s->m);
		if (s->value++ != s->twin)
			add(&n_odd, 1);
		if (tap_random(state) % 16 == 0 && goro_id() != 0)
			goro_yield();
		s->twin++;
		goro_mutex_unlock(&s->m);
		if (tap_random(state) % 16 == 0)
			goro_sleep((int64_t)(tap_random(state) % 50000)); /* quiet meanwhile */
	}
	goro_mutex_lock(&s->m);
	bool is_last = --s->n_left == 0;
	goro_mutex_unlock(&s->m);
	return is_last;
}

static void uses(struct shared *s, uint64_t seed)
{
	if (use(s, &seed)) {
		memset(s, 0xa5, sizeof(*s)); /* a look at it from now on is too late: MX4 */
		free(s);
		add(&n_freed, 1);
	}
	add(&n_at_work, -1);
}

struct thread_user {
	struct shared *s;
	uint64_t seed;
};

static void *thread_uses(void *arg)
{
	struct thread_user *user = arg;
	uses(user->s, user->seed);
	return NULL;
}

static void use_up(uint64_t *state)
{
	struct thread_user users[THREADS];
	pthread_t threads[THREADS];
	struct shared *s = calloc(1, sizeof(*s));

	require(s != NULL);
	/* Where they are few, nobody else sets right what one has missed. */
	int n_users = 1 + (int)(tap_random(state) % USERS);
	int n_threads = 1 + (int)(tap_random(state) % THREADS);
	s->n_left = n_users + n_threads;
	add(&n_at_work, n_users + n_threads);
	for (int i = 0; i < n_users; i++)
		go(uses, s, tap_random(state));
	for (int i = 0; i < n_threads; i++) {
		users[i] = (struct thread_user){s, tap_random(state)};
		require_eq(pthread_create(&threads[i], NULL, thread_uses, &users[i]), 0);
	}
	for (int i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	wait_for(load(&n_at_work) == 0);
}

static void use_many_up(void)
{
	uint64_t state = tap_seed();
	pthread_t thread;

	require_eq(pthread_create(&thread, NULL, calms, NULL), 0);
	for (int i = 0; i < OBJECTS; i++)
		use_up(&state);
	store(&is_over, true);
	pthread_join(thread, NULL);
	expect_eq(n_freed, OBJECTS);
	expect_eq(n_odd, 0);
	for (uint32_t i = 0; i < PRESENT_SLOTS; i++)
		expect(waitq_is_empty(&mutex_slots[i].present.visits));
}

/* A plain thread that was woken may be gone by the time of the call to the kernel. */
static void skip_under_memcheck(void)
{
	if (valgrind_is_here())
		tap_skip("memcheck reads the word that the kernel does not");
}

GORO_CASE(mx6_what_a_store_wiped_out_is_repaired, .procs = "1,2,4,8", .timeout_s = 60,
	  .is_race = true)
{
	skip_under_memcheck();
	use_many_up();
}

GORO_CHILD(uses_many_up)
{
	use_many_up();
}

TAP_CASE(mx6_holds_without_membarrier, .procs = "2,4", .timeout_s = 60)
{
	struct tap_child c;

	skip_under_memcheck();
	tap_child(&c, "uses_many_up", "GORODEBUG=membarrier=0");
	expect_child(&c, 0, "");
}

static void locks(goro_mutex *m)
{
	goro_mutex_lock(m);
	goro_mutex_unlock(m);
}

static uint32_t state_of(goro_mutex *m)
{
	return load_acq(&mutex_of(m)->state); /* MUTEX-HOLD */
}

/* The store of one that looked when it was quiet, and comes when somebody has queued. */
static void wipe_out(goro_mutex *m)
{
	goro_mutex_lock(m);
	go(locks, m);
	wait_until_n_parked(1, "sync.Mutex.Lock");
	expect_eq(state_of(m), MUTEX_LOCKED | MUTEX_WAITERS);
	atomic_store_explicit(&mutex_of(m)->state, 0, memory_order_release); /* MUTEX-HOLD */
	expect_eq(mode_of(m), MUTEX_CROWDED);
}

GORO_CASE(mx6_the_repair_wakes_the_first, .procs = "1,4")
{
	goro_mutex m = {0};

	wipe_out(&m);
	mutex_repair_otherwise(mutex_of(&m));
	wait_for(goro_count() == 1);
	expect_eq(state_of(&m), 0);
}

GORO_CASE(mx6_the_repair_lets_the_next_holder_wake_the_first, .procs = "1,4")
{
	goro_mutex m = {0};

	wipe_out(&m);
	goro_mutex_lock(&m);
	mutex_repair_otherwise(mutex_of(&m));
	expect_eq(state_of(&m), MUTEX_LOCKED | MUTEX_WAITERS);
	goro_mutex_unlock(&m);
	wait_for(goro_count() == 1);
	expect_eq(state_of(&m), 0);
}

GORO_CASE(mx6_the_repair_touches_nothing_where_nobody_is_present, .procs = "1,4")
{
	goro_mutex freed, is_left;

	memset(&freed, 0xa5, sizeof(freed));
	is_left = freed;
	mutex_repair_otherwise(mutex_of(&freed)); /* it would wait for the lock */
	expect(memcmp(&freed, &is_left, sizeof(freed)) == 0);
}

GORO_CASE(mx5_a_slot_is_crowded_from_the_first_that_queues_until_it_was_left_for_a_while,
	  .procs = "1,4")
{
	goro_mutex m = {0};

	locks(&m);
	expect_eq(mode_of(&m), MUTEX_QUIET);
	goro_mutex_lock(&m);
	go(locks, &m);
	wait_until_n_parked(1, "sync.Mutex.Lock");
	expect_eq(mode_of(&m), MUTEX_CROWDED);
	for (int i = 0; i < 3; i++)
		calm();
	expect_eq(mode_of(&m), MUTEX_CROWDED); /* somebody is present */
	goro_mutex_unlock(&m);
	wait_for(goro_count() == 1);
	goro_mutex_lock(&m);
	goro_mutex_unlock(&m); /* by a swap, and it is right as well */
	calm();
	calm();
	expect_eq(mode_of(&m), MUTEX_QUIET);
	locks(&m);
}

GORO_CASE(a_try_and_a_poll_leave_the_slot_quiet, .procs = "1,4")
{
	goro_mutex m = {0};

	goro_mutex_lock(&m);
	expect(!goro_mutex_trylock(&m));
	expect_eq(goro_mutex_lock_until(&m, GORO_POLL), -ETIMEDOUT);
	expect_eq(mode_of(&m), MUTEX_QUIET);
	goro_mutex_unlock(&m);
}

TAP_MAIN
