/*
 * os_library.c - a shared library that is used when it is there.
 *
 *   io/cares -> [os_library_open], [os_library_symbol] -> dlopen, dlsym
 *
 * OL1  A static program has no dynamic linker, and one that dlopen() makes for it brings a second
 *      libc: there nothing is ever opened, whoever else has linked dlopen into it.
 *
 * The reference to dlsym is weak, and dlopen is asked of it: the linker of a static program, which
 * gets dlopen by getaddrinfo, warns of whoever names it, and where both are in a library of their
 * own (glibc before 2.34) a program may be linked without it.
 *
 * Locking: none of ours; dlopen has a lock, and may run constructors and wait for files. Go: cgo,
 * where the linker does it.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include "os/os.h"

void *dlsym(void *handle, const char *name) __attribute__((weak));

/* OL1: whoever is linked dynamically names the linker. */
static bool is_dynamic_program(void)
{
	const ElfW(Phdr) *header = (const void *)(uintptr_t)getauxval(AT_PHDR);
	unsigned long n = getauxval(AT_PHNUM);

	for (unsigned long i = 0; header && i < n; i++)
		if (header[i].p_type == PT_INTERP)
			return true;
	return false;
}

void *os_library_open(const char *name)
{
	void *(*open)(const char *, int) = NULL;

	if (dlsym && is_dynamic_program())
		*(void **)&open = dlsym(RTLD_DEFAULT, "dlopen");
	return open ? open(name, RTLD_NOW | RTLD_LOCAL) : NULL;
}

void *os_library_symbol(void *library, const char *name)
{
	return dlsym(library, name);
}
