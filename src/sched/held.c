/*
 * held.c - debug builds: a goroutine that leaves its thread holds no pthread mutex.
 *
 *   pthread_mutex_lock, _trylock, _timedlock, _clocklock, _unlock of the program -> ours -> libc's
 *   switch_to_g0, a G's end -> [held_check] -> fatal
 *
 * HD1  What a thread of ours has locked while it was in a goroutine's own code stands in its M
 *      until it is unlocked there. A mutex that another thread unlocks stays: that is a mistake,
 *      too.
 * HD2  Nothing of it may be left when the goroutine leaves the thread, whether it waits, yields, or
 *      ends: others run there next, or it unlocks on another thread. One that is locked to its
 *      thread may.
 * HD3  pthread_cond_wait() lets its mutex go and takes it again inside libc: it counts as held, and
 *      no call of ours is between.
 *
 * Only libgoro.a of a debug build has these names, weak, and not under ThreadSanitizer, whose own
 * they are. A library that is linked statically with its references bound is not seen, nor is a
 * static program whose libc brings its own. Locking: none; each M is its thread's. Go: none.
 */
#include "sched/held.h"

#if defined(GORO_DEBUG) && !defined(GORO_MODEL)

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>

#include "base/fatal.h"
#include "core/self.h"

#define WRAPPED __attribute__((weak, visibility("default"), noinline))

void held_check(const struct m *mp, const struct g *gp)
{
	if (likely(mp->n_held + mp->n_held_more == 0) || gp->lock_depth)
		return; /* HD2 */
	fatal("a pthread_mutex_t is held over a call that parks or yields, or over the end of its "
	      "goroutine\n[goroutine %lu, mutex %p, locked at pc 0x%lx, %u in all; see "
	      "docs/threads-and-tls.md]",
	      (unsigned long)gp->id, (void *)(uintptr_t)mp->held[0].mutex,
	      (unsigned long)(uintptr_t)mp->held[0].pc, mp->n_held + mp->n_held_more);
}

#ifndef __SANITIZE_THREAD__

void *dlsym(void *handle, const char *name) __attribute__((weak)); /* not in static programs */
int __pthread_mutex_lock(pthread_mutex_t *m) __attribute__((weak)); /* there */
int __pthread_mutex_trylock(pthread_mutex_t *m) __attribute__((weak));
int __pthread_mutex_unlock(pthread_mutex_t *m) __attribute__((weak));

static struct {
	int (*lock)(pthread_mutex_t *);
	int (*trylock)(pthread_mutex_t *);
	int (*unlock)(pthread_mutex_t *);
	int (*timedlock)(pthread_mutex_t *, const struct timespec *);
	int (*clocklock)(pthread_mutex_t *, clockid_t, const struct timespec *);
} libc;

/* Once, before main(), or at the first call of a constructor before ours. */
__attribute__((constructor(101))) static void libc_find(void)
{
	if (dlsym) {
		*(void **)&libc.lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
		*(void **)&libc.trylock = dlsym(RTLD_NEXT, "pthread_mutex_trylock");
		*(void **)&libc.unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
		*(void **)&libc.timedlock = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
		*(void **)&libc.clocklock = dlsym(RTLD_NEXT, "pthread_mutex_clocklock");
	}
	if (!libc.lock) {
		libc.lock = __pthread_mutex_lock;
		libc.trylock = __pthread_mutex_trylock;
		libc.unlock = __pthread_mutex_unlock;
	}
}

/* The M of a thread that is in a goroutine's own code; else NULL: HD1. */
static struct m *holder(void)
{
	struct m *mp = m_self();

	/* relaxed: our own */
	return mp && mp->curg && load_rlx(&mp->at) != AT_RUNTIME ? mp : NULL;
}

static int took(int error, const pthread_mutex_t *m, const void *pc)
{
	struct m *mp = holder();

	/* A robust one may be had with EOWNERDEAD; that is rare enough to be left out. */
	if (error || !mp)
		return error;
	if (mp->n_held == HELD_MAX) {
		mp->n_held_more++;
		return 0;
	}
	mp->held[mp->n_held].mutex = m;
	mp->held[mp->n_held].pc = pc;
	mp->n_held++;
	return 0;
}

WRAPPED int pthread_mutex_lock(pthread_mutex_t *m)
{
	if (!libc.lock)
		libc_find();
	return took(libc.lock(m), m, __builtin_return_address(0));
}

WRAPPED int pthread_mutex_trylock(pthread_mutex_t *m)
{
	if (!libc.trylock)
		libc_find();
	return took(libc.trylock(m), m, __builtin_return_address(0));
}

WRAPPED int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until)
{
	if (!libc.timedlock)
		libc_find();
	return took(libc.timedlock(m, until), m, __builtin_return_address(0));
}

WRAPPED int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock,
				    const struct timespec *until)
{
	if (!libc.clocklock)
		libc_find();
	return took(libc.clocklock(m, clock, until), m, __builtin_return_address(0));
}

/* The latest of that address; or, of those for which there was no room, one. */
static void gave(struct m *mp, const pthread_mutex_t *m)
{
	uint32_t i = mp->n_held;

	while (i > 0 && mp->held[i - 1].mutex != m)
		i--;
	if (i > 0) {
		for (; i < mp->n_held; i++)
			mp->held[i - 1] = mp->held[i];
		mp->n_held--;
	} else if (mp->n_held_more) {
		mp->n_held_more--;
	}
}

WRAPPED int pthread_mutex_unlock(pthread_mutex_t *m)
{
	if (!libc.unlock)
		libc_find();
	int error = libc.unlock(m);
	struct m *mp = holder();
	if (!error && mp)
		gave(mp, m);
	return error;
}

#endif
#endif
