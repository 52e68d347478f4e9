/*
 * fatal.h - the end of the process, with a message; and formatted output without stdio.
 *
 * print_to() and friends use no lock and no heap: they work in a signal handler and
 * after any damage.
 */
#ifndef BASE_FATAL_H
#define BASE_FATAL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdnoreturn.h>

/*
 * Print "fatal error: " and the message on standard error, then what fatal_set_report() was given
 * prints (the stacks), and end the process with status 2. Cannot be caught.
 */
noreturn void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

/* The two halves of fatal(), for whoever prints a message of its own between them. */
extern bool fatal_is_internal; /* it is one of our own checks that has failed */
void fatal_begin(void); /* one thread gets through */
noreturn void fatal_end(void);

/* FA3: whether somebody's last report is under way; whoever would leave then waits for the end. */
bool fatal_has_begun(void);
noreturn void fatal_wait(void);
/* FA4: the process ends, unless a report is under way: then this waits. */
void fatal_leave(void);

/* Boot: how to print the stacks after a fatal error. Runs at most once, on the failing thread. */
void fatal_set_report(void (*report)(void));

/* Boot: what a thread does first, FA5. */
void fatal_set_enter(void (*enter)(void));

/* Understands %d %u %ld %lu %lld %llu %zu %x %lx %llx %p %s %c %% and a width with 0. */
size_t format_v(char *buffer, size_t size, const char *fmt, va_list args);
size_t format_to(char *buffer, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* In os/os_file.c, which tells what it does with a descriptor that takes nothing. */
void write_out(int fd, const void *data, size_t size);
/* At most 1024 bytes a call. */
void print_to(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
