/*
 * sanitize.h - telling ThreadSanitizer, AddressSanitizer and LeakSanitizer about stacks that change
 * and memory that they did not give.
 *
 * The hooks are weak: a program that is linked with a sanitizer brings them, any other leaves them
 * NULL, so that one release library serves both. They must be called from functions that the
 * sanitizer does not instrument (SANITIZE_NOTHING), since its entry and exit records belong to the
 * stack being left.
 */
#ifndef BASE_SANITIZE_H
#define BASE_SANITIZE_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__clang__)
#define SANITIZE_NOTHING __attribute__((disable_sanitizer_instrumentation, noinline, unused))
#else
#define SANITIZE_NOTHING __attribute__((no_sanitize_thread, no_sanitize_address, noinline, unused))
#endif

#define SANITIZE_HOOK __attribute__((weak, visibility("default")))
SANITIZE_HOOK void *__tsan_get_current_fiber(void);
SANITIZE_HOOK void *__tsan_create_fiber(unsigned flags);
SANITIZE_HOOK void __tsan_destroy_fiber(void *fiber);
SANITIZE_HOOK void __tsan_switch_to_fiber(void *fiber, unsigned flags);
SANITIZE_HOOK void __tsan_acquire(void *addr);
SANITIZE_HOOK void __tsan_release(void *addr);
/* Those that a program may define, and that are called with locks held: TS3. */
SANITIZE_HOOK void __tsan_on_report(void *report);
SANITIZE_HOOK void __sanitizer_on_print(const char *text);
SANITIZE_HOOK void __sanitizer_report_error_summary(const char *text);
SANITIZE_HOOK void AnnotateIgnoreReadsBegin(const char *file, int line);
SANITIZE_HOOK void AnnotateIgnoreReadsEnd(const char *file, int line);
SANITIZE_HOOK void AnnotateIgnoreWritesBegin(const char *file, int line);
SANITIZE_HOOK void AnnotateIgnoreWritesEnd(const char *file, int line);
SANITIZE_HOOK void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
SANITIZE_HOOK void __sanitizer_finish_switch_fiber(void *save, const void **bottom, size_t *size);
SANITIZE_HOOK void __asan_unpoison_memory_region(const volatile void *addr, size_t size);
SANITIZE_HOOK void __lsan_register_root_region(const void *addr, size_t size);
SANITIZE_HOOK void __lsan_unregister_root_region(const void *addr, size_t size);

/*
 * Does a switch order the goroutine before the scheduler on the same thread? When the library
 * itself is instrumented it must, or the M's own fields look like races. Otherwise it must not: two
 * goroutines that happen to run one after the other on a thread are not ordered by that, and their
 * races are to be found.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TSAN_SWITCH_FLAGS 0u
#else
#define TSAN_SWITCH_FLAGS 1u
#endif

/* Set once, by a constructor that runs before the program's: it is linked with one of them. */
extern bool sanitize_is_on;

/* Does ThreadSanitizer keep signals back, while nothing of ours is instrumented? SG4, PR11 */
static inline bool sanitize_keeps_signals(void)
{
#if defined(__SANITIZE_THREAD__)
	return false;
#else
	return __tsan_switch_to_fiber != NULL;
#endif
}

/* What was written before a release of addr happens before what follows an acquire of it. */
SANITIZE_NOTHING static void sanitize_release_slow(void *addr)
{
	if (__tsan_release)
		__tsan_release(addr);
}

SANITIZE_NOTHING static void sanitize_acquire_slow(void *addr)
{
	if (__tsan_acquire)
		__tsan_acquire(addr);
}

SANITIZE_NOTHING static void sanitize_hide_slow(bool is_hidden)
{
	if (!AnnotateIgnoreReadsBegin)
		return;
	if (is_hidden) {
		AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
		AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
	} else {
		AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
		AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	}
}

/* LeakSanitizer: what this memory points to is in use. */
SANITIZE_NOTHING static void sanitize_root_slow(const void *addr, size_t size)
{
	if (__lsan_register_root_region)
		__lsan_register_root_region(addr, size);
}

static inline void sanitize_release(void *addr)
{
	if (__builtin_expect(sanitize_is_on, 0))
		sanitize_release_slow(addr);
}

static inline void sanitize_acquire(void *addr)
{
	if (__builtin_expect(sanitize_is_on, 0))
		sanitize_acquire_slow(addr);
}

/*
 * Round calls of libc that ThreadSanitizer watches (mmap, calloc, memcpy) on the runtime's own
 * memory: it does not see the locks that order them, nor shall it, since they order nothing of the
 * program's. When the library itself is instrumented it sees all, and nothing is hidden.
 */
static inline void sanitize_hide(bool is_hidden)
{
#if !defined(__SANITIZE_THREAD__)
	if (__builtin_expect(sanitize_is_on, 0))
		sanitize_hide_slow(is_hidden);
#else
	(void)is_hidden;
#endif
}

static inline void sanitize_root(const void *addr, size_t size)
{
	if (__builtin_expect(sanitize_is_on, 0))
		sanitize_root_slow(addr, size);
}

#endif
