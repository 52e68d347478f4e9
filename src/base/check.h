/*
 * check.h - assertions at three prices.
 *
 *   GORO_CHECK(c)   always compiled: what would corrupt memory if it did not hold
 *   GORO_ASSERT(c)  debug builds: pre-conditions, post-conditions, numbered invariants
 *   GORO_AUDIT(x)   debug builds: a walk over a whole structure, x_audit(), now and then
 *
 * They are for our own mistakes. The program's mistakes are panics, the world's failures are
 * return values.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#define likely(c) __builtin_expect(!!(c), 1)
#define unlikely(c) __builtin_expect(!!(c), 0)
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define array_length(a) (sizeof(a) / sizeof((a)[0]))

__attribute__((__noreturn__, __cold__, __noinline__)) void check_failed(const char *what,
								       const char *file, int line);

#define GORO_CHECK(c) ((void)(likely(c) || (check_failed(#c, __FILE__, __LINE__), 0)))

#ifdef GORO_DEBUG
#define GORO_ASSERT(c) GORO_CHECK(c)
#define GORO_AUDIT(call) (call)
#else
#define GORO_ASSERT(c) ((void)sizeof(!(c)))
#define GORO_AUDIT(call) ((void)0)
#endif

#endif
