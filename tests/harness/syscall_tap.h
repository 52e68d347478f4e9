/*
 * syscall_tap.h - a system call that the library makes through syscall() is the test's first.
 *
 *   os_ -> syscall(), here in place of libc's -> the test's syscall_seen(), which may count it,
 *          change it or what comes of it -> syscall_real(): libc's
 */
#ifndef GORO_TESTS_SYSCALL_TAP_H
#define GORO_TESTS_SYSCALL_TAP_H

#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

static long syscall_seen(long number, long a[6]);

static long syscall_real(long number, const long a[6])
{
	static long (*real)(long, ...);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long syscall(long number, ...)
{
	va_list list;
	long a[6];
	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	return syscall_seen(number, a);
}

#endif
