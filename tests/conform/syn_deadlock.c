/*
 * syn_deadlock.c - DIA-01's rows of the synchronisation objects, also locked to a thread.
 *
 *   the last goroutine waits on an object -> "all goroutines are asleep", and on what it waits
 *
 * Go: testprog/deadlock.go.
 */
#include "goro_tap.h"

#include <sys/stat.h>

#define ASLEEP "fatal error: all goroutines are asleep - deadlock!\n"

static void stay_in_the_stack(void)
{
	__asm__ volatile("" ::: "memory");
}

static goro_mutex mutex;
static goro_rwmutex rwmutex;
static goro_cond cond;
static goro_waitgroup waitgroup;
static goro_once once;
static goro_sem sem;

static void waits_mutex(void *unused)
{
	(void)unused;
	(void)goro_mutex_trylock(&mutex);
	goro_mutex_lock(&mutex);
	stay_in_the_stack();
}

static void waits_mutex_until(void *unused)
{
	(void)unused;
	(void)goro_mutex_trylock(&mutex);
	goro_mutex_lock_until(&mutex, GORO_FOREVER);
	stay_in_the_stack();
}

static void waits_rdlock(void *unused)
{
	(void)unused;
	(void)goro_rwmutex_trywrlock(&rwmutex);
	goro_rwmutex_rdlock(&rwmutex);
	stay_in_the_stack();
}

static void waits_wrlock(void *unused)
{
	(void)unused;
	(void)goro_rwmutex_tryrdlock(&rwmutex);
	goro_rwmutex_wrlock(&rwmutex);
	stay_in_the_stack();
}

static void waits_cond(void *unused)
{
	(void)unused;
	goro_mutex_lock(&mutex);
	goro_cond_wait(&cond, &mutex);
	stay_in_the_stack();
}

static void waits_waitgroup(void *unused)
{
	(void)unused;
	goro_waitgroup_add(&waitgroup, 1);
	goro_waitgroup_wait(&waitgroup);
	stay_in_the_stack();
}

static void once_again(void *unused)
{
	(void)unused;
	goro_once_do(&once, once_again, NULL);
	stay_in_the_stack();
}

static void waits_sem(void *unused)
{
	(void)unused;
	goro_sem_acquire(&sem, 1);
	stay_in_the_stack();
}

static void waits_in_a_try(void *unused)
{
	if (!goro_try(waits_mutex, unused, NULL, 0))
		printf("caught");
}

/* Main; main locked to its thread; main exits and another is left, locked. */
#define WAITS(name)                                  \
	GORO_CHILD(main_##name)                      \
	{                                            \
		name(NULL);                          \
	}                                            \
	GORO_CHILD(locked_main_##name)               \
	{                                            \
		goro_lock_thread();                  \
		name(NULL);                          \
	}                                            \
	static void locks_and_##name(void *unused)   \
	{                                            \
		goro_lock_thread();                  \
		name(unused);                        \
		stay_in_the_stack();                 \
	}                                            \
	GORO_CHILD(locked_other_##name)              \
	{                                            \
		goro_spawn(locks_and_##name, NULL);  \
		goro_chan_recv(NULL, NULL);          \
	}
WAITS(waits_mutex)
WAITS(waits_mutex_until)
WAITS(waits_rdlock)
WAITS(waits_wrlock)
WAITS(waits_cond)
WAITS(waits_waitgroup)
WAITS(once_again)
WAITS(waits_sem)
WAITS(waits_in_a_try)

static const struct {
	const char *child, *reason;
} waits[] = {
	{"waits_mutex", "sync.Mutex.Lock"},
	{"waits_mutex_until", "sync.Mutex.Lock"},
	{"waits_rdlock", "sync.RWMutex.RLock"},
	{"waits_wrlock", "sync.RWMutex.Lock"},
	{"waits_cond", "sync.Cond.Wait"},
	{"waits_waitgroup", "sync.WaitGroup.Wait"},
	{"once_again", "sync.Mutex.Lock"},
	{"waits_sem", "semacquire"},
	{"waits_in_a_try", "sync.Mutex.Lock"},
};

static void skip_beside_foreign_threads(void)
{
	struct stat st;
	if (stat("/proc/self/task", &st) == 0 && st.st_nlink > 3)
		tap_skip("the process has threads that neither the test nor the runtime made");
}

static void expect_deadlock(const char *prefix, int i, const char *header)
{
	struct tap_child c;
	char name[64], wanted[128];
	int before = tap_failures;
	snprintf(name, sizeof(name), "%s_%s", prefix, waits[i].child);
	snprintf(wanted, sizeof(wanted), header, waits[i].reason);
	tap_child(&c, name);
	expect_child(&c, 2, ASLEEP);
	expect(strncmp(c.err, ASLEEP, strlen(ASLEEP)) == 0);
	expect_contains(c.err, wanted);
	expect_str(c.out, "");
	if (tap_failures != before)
		tap_diag("# in the child %s", name);
}

enum { N_WAITS = sizeof(waits) / sizeof(waits[0]) };

TAP_CASE(deadlock_of_main_is_reported_with_its_reason, .id = "DIA-01")
{
	skip_beside_foreign_threads();
	for (int i = 0; i < N_WAITS; i++)
		expect_deadlock("main", i, "\ngoroutine 1 [%s]:\n");
}

TAP_CASE(deadlock_of_locked_main_likewise, .id = "DIA-01")
{
	skip_beside_foreign_threads();
	for (int i = 0; i < N_WAITS; i++)
		expect_deadlock("locked_main", i, "\ngoroutine 1 [%s, locked to thread]:\n");
}

TAP_CASE(deadlock_of_a_locked_goroutine_likewise, .id = "DIA-01")
{
	skip_beside_foreign_threads();
	for (int i = 0; i < N_WAITS; i++)
		expect_deadlock("locked_other", i, " [%s, locked to thread]:\n");
}

/* ---- plain threads that wait on an object are counted; one that could act is not ---- */

static void *thread_waits_cond(void *unused)
{
	waits_cond(unused);
	return NULL;
}

static void *thread_waits_sem(void *unused)
{
	waits_sem(unused);
	return NULL;
}

static void *thread_waits_mutex(void *unused)
{
	goro_mutex_lock(&mutex);
	return unused;
}

GORO_CHILD(threads_wait_as_well)
{
	pthread_t thread;
	void *(*const fns[])(void *) = {thread_waits_cond, thread_waits_sem, thread_waits_mutex};
	for (int i = 0; i < 3; i++) {
		if (i == 2)
			wait_for(goro_mutex_trylock(&mutex));
		require_eq(pthread_create(&thread, NULL, fns[i], NULL), 0);
	}
	goro_waitgroup_add(&waitgroup, 1);
	goro_waitgroup_wait(&waitgroup);
	stay_in_the_stack();
}

TAP_CASE(plain_threads_that_wait_do_not_hide_it, .id = "DIA-01", .timeout_s = 60)
{
	struct tap_child c;
	skip_beside_foreign_threads();
	tap_child(&c, "threads_wait_as_well");
	expect_child(&c, 2, ASLEEP);
	expect_contains(c.err, "\ngoroutine 1 [sync.WaitGroup.Wait]:\n");
}

static void *acts_later(void *unused)
{
	tap_pause(GORO_MS(200));
	goro_mutex_unlock(&mutex);
	goro_sem_acquire(&sem, 1);
	return unused;
}

GORO_CASE(a_plain_thread_that_may_act_is_no_deadlock, .id = "DIA-01")
{
	pthread_t thread;
	goro_mutex_lock(&mutex);
	require_eq(pthread_create(&thread, NULL, acts_later, NULL), 0);
	goro_mutex_lock(&mutex);
	goro_sem_release(&sem, 1);
	pthread_join(thread, NULL);
}

GORO_CASE(a_wait_with_a_deadline_is_no_deadlock, .id = "DIA-01")
{
	goro_mutex_lock(&mutex);
	expect_eq(goro_mutex_lock_until(&mutex, goro_now() + GORO_MS(20)), -ETIMEDOUT);
	expect_eq(goro_cond_wait_until(&cond, &mutex, goro_now() + GORO_MS(20)), -ETIMEDOUT);
	goro_waitgroup_add(&waitgroup, 1);
	expect_eq(goro_waitgroup_wait_until(&waitgroup, goro_now() + GORO_MS(20)), -ETIMEDOUT);
	expect_eq(goro_sem_acquire_until(&sem, 1, goro_now() + GORO_MS(20)), -ETIMEDOUT);
	goro_rwmutex_wrlock(&rwmutex);
	expect_eq(goro_rwmutex_rdlock_until(&rwmutex, goro_now() + GORO_MS(20)), -ETIMEDOUT);
}

TAP_MAIN
