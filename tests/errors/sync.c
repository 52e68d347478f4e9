/*
 * sync.c - the panic texts and errors of the synchronisation objects; their fatal errors are
 * SYN-02, in tests/conform/syn_mutex.c.
 */
#include "goro_tap.h"

static goro_sem sem;
static goro_mutex mutex;

GORO_CHILD(waitgroup_negative)
{
	goro_waitgroup wg = {0};
	goro_waitgroup_done(&wg);
}

GORO_CHILD(waitgroup_beyond)
{
	goro_waitgroup wg = {0};
	goro_waitgroup_add(&wg, INT32_MAX);
	goro_waitgroup_add(&wg, 1);
}

TAP_CHILD(thread_waitgroup_negative)
{
	goro_waitgroup wg = {0};
	goro_waitgroup_add(&wg, -3);
}

GORO_CHILD(cond_copied)
{
	goro_cond c = {0}, copy;
	goro_cond_signal(&c);
	memcpy(&copy, &c, sizeof(copy));
	goro_cond_broadcast(&copy);
}

GORO_CHILD(once_nil)
{
	goro_once once = {0};
	goro_once_do(&once, NULL, NULL);
}

static void panics(void *unused)
{
	(void)unused;
	goro_panic("of the body");
}

GORO_CHILD(once_body)
{
	goro_once once = {0};
	goro_once_do(&once, panics, NULL);
}

TAP_CHILD(thread_once_body)
{
	goro_once once = {0};
	goro_once_do(&once, panics, NULL);
}

GORO_CHILD(sem_init_negative)
{
	goro_sem_init(&sem, -1);
}

GORO_CHILD(sem_init_beyond)
{
	goro_sem_init(&sem, GORO_SEM_MAX + 1);
}

GORO_CHILD(sem_acquire_negative)
{
	goro_sem_acquire(&sem, -1);
}

GORO_CHILD(sem_acquire_beyond)
{
	goro_sem_acquire(&sem, INT64_MAX);
}

GORO_CHILD(sem_acquire_until_negative)
{
	goro_sem_acquire_until(&sem, INT64_MIN, GORO_POLL);
}

GORO_CHILD(sem_tryacquire_beyond)
{
	goro_sem_tryacquire(&sem, GORO_SEM_MAX + 1);
}

GORO_CHILD(sem_release_negative)
{
	goro_sem_release(&sem, -1);
}

GORO_CHILD(sem_release_too_many)
{
	goro_sem_release(&sem, GORO_SEM_MAX);
	goro_sem_release(&sem, 1);
}

static void waits_for_all(void *unused)
{
	(void)unused;
	goro_sem_acquire(&sem, GORO_SEM_MAX);
	goro_sem_release(&sem, 3);
}

GORO_CHILD(sem_release_too_many_with_a_waiter)
{
	goro_sem_release(&sem, 1);
	goro_spawn(waits_for_all, NULL);
	wait_until_n_parked(1, "semacquire");
	goro_sem_release(&sem, GORO_SEM_MAX);
}

static const struct {
	const char *child, *text;
} texts[] = {
	{"waitgroup_negative",
	 "panic: sync: negative WaitGroup counter\n\ngoroutine 1 [running]:\n"},
	{"waitgroup_beyond", "panic: sync: negative WaitGroup counter\n\ngoroutine 1 [running]:\n"},
	{"thread_waitgroup_negative", "panic: sync: negative WaitGroup counter\n"},
	{"cond_copied", "panic: sync.Cond is copied\n\ngoroutine 1 [running]:\n"},
	{"once_nil", "panic: goro_once_do of nil func value\n\ngoroutine 1 [running]:\n"},
	{"once_body", "panic: of the body\n\ngoroutine 1 [running]:\n"},
	{"thread_once_body", "panic: of the body\n"},
	{"sem_init_negative", "panic: goro_sem_init: number out of range\n\n"},
	{"sem_init_beyond", "panic: goro_sem_init: number out of range\n\n"},
	{"sem_acquire_negative", "panic: goro_sem_acquire: number out of range\n\n"},
	{"sem_acquire_beyond", "panic: goro_sem_acquire: number out of range\n\n"},
	{"sem_acquire_until_negative", "panic: goro_sem_acquire_until: number out of range\n\n"},
	{"sem_tryacquire_beyond", "panic: goro_sem_tryacquire: number out of range\n\n"},
	{"sem_release_negative", "panic: goro_sem_release: number out of range\n\n"},
	{"sem_release_too_many", "panic: goro_sem_release: too many units\n\n"},
	{"sem_release_too_many_with_a_waiter", "panic: goro_sem_release: too many units\n\n"},
};

TAP_CASE(every_misuse_panics_with_its_text_and_status_2, .procs = "1,4")
{
	struct tap_child c;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int before = tap_failures;
		tap_child(&c, texts[i].child);
		expect_child(&c, 2, texts[i].text);
		expect(strncmp(c.err, "panic: ", 7) == 0);
		if (tap_failures != before)
			tap_diag("# in the child %s", texts[i].child);
	}
}

/* ---- -ETIMEDOUT, at a deadline that comes and at one that is past ---- */

static void expect_all_time_out(int64_t deadline)
{
	goro_rwmutex rw = {0};
	goro_cond c = {0};
	goro_waitgroup wg = {0};
	goro_waitgroup_add(&wg, 1);
	goro_mutex_lock(&mutex);
	expect_eq(goro_mutex_lock_until(&mutex, deadline), -ETIMEDOUT);
	expect_eq(goro_cond_wait_until(&c, &mutex, deadline), -ETIMEDOUT);
	goro_mutex_unlock(&mutex);
	goro_rwmutex_wrlock(&rw);
	expect_eq(goro_rwmutex_rdlock_until(&rw, deadline), -ETIMEDOUT);
	expect_eq(goro_rwmutex_wrlock_until(&rw, deadline), -ETIMEDOUT);
	goro_rwmutex_wrunlock(&rw);
	expect_eq(goro_waitgroup_wait_until(&wg, deadline), -ETIMEDOUT);
	expect_eq(goro_sem_acquire_until(&sem, 1, deadline), -ETIMEDOUT);
	/* Nothing of it is left behind. */
	expect_eq(goro_mutex_lock_until(&mutex, GORO_POLL), 0);
	goro_mutex_unlock(&mutex);
	expect_eq(goro_rwmutex_wrlock_until(&rw, GORO_POLL), 0);
	goro_waitgroup_done(&wg);
	expect_eq(goro_waitgroup_wait_until(&wg, GORO_POLL), 0);
	goro_sem_release(&sem, 1);
	expect_eq(goro_sem_acquire_until(&sem, 1, GORO_POLL), 0);
}

GORO_CASE(a_deadline_gives_etimedout)
{
	expect_all_time_out(goro_now() + GORO_MS(3));
	expect_all_time_out(goro_now());
	expect_all_time_out(GORO_POLL);
	expect_all_time_out(-1);
}

TAP_CASE(a_deadline_gives_etimedout_in_a_plain_thread, .procs = "-")
{
	expect_all_time_out(goro_now() + GORO_MS(3));
	expect_all_time_out(GORO_POLL);
}

TAP_MAIN
