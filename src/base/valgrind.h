/*
 * valgrind.h - telling Valgrind which memory is a stack.
 *
 * Memcheck follows the stack pointer: what is below it may not be touched. When the stack pointer
 * moves by less than 2 MB between two stacks that nobody told it of, it takes that for one large
 * frame coming or going, and then calls every access wrong.
 *
 * VG1  A range is a known stack from before its first use until its address space is given back.
 * VG2  What an earlier user of a stack left below its stack pointer is free for the next one.
 * VG3  Nor does memcheck see that a goroutine which a signal has stopped goes on, on its own stack
 *      again: the first large frames there count as another change of stacks. They are free, too.
 *
 * Built without Valgrind's headers the library works all the same, but memcheck reports
 * what is not so.
 */
#ifndef BASE_VALGRIND_H
#define BASE_VALGRIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__has_include) && !defined(GORO_MODEL)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif
#endif

#ifdef RUNNING_ON_VALGRIND

/* Asks Valgrind itself: a dozen instructions. The answer never changes. */
static inline bool valgrind_is_here(void)
{
	return RUNNING_ON_VALGRIND != 0;
}

/* VG1. A number for valgrind_stack_remove(). */
static inline uint32_t valgrind_stack_add(uintptr_t lo, uintptr_t hi)
{
	return VALGRIND_STACK_REGISTER(lo, hi - 1);
}

static inline void valgrind_stack_remove(uint32_t number)
{
	VALGRIND_STACK_DEREGISTER(number);
}

/* VG2. The bytes may be written, and are not to be read before. */
static inline void valgrind_forget(uintptr_t lo, uintptr_t hi)
{
	(void)VALGRIND_MAKE_MEM_UNDEFINED(lo, hi - lo);
}

/* The bytes may be read. */
static inline void valgrind_allow(uintptr_t lo, uintptr_t hi)
{
	(void)VALGRIND_MAKE_MEM_DEFINED(lo, hi - lo);
}

#else

static inline bool valgrind_is_here(void)
{
	return false;
}

static inline uint32_t valgrind_stack_add(uintptr_t lo, uintptr_t hi)
{
	return (void)lo, (void)hi, 0;
}

static inline void valgrind_stack_remove(uint32_t number)
{
	(void)number;
}

static inline void valgrind_forget(uintptr_t lo, uintptr_t hi)
{
	(void)lo, (void)hi;
}

static inline void valgrind_allow(uintptr_t lo, uintptr_t hi)
{
	(void)lo, (void)hi;
}

#endif

#endif
