/*
 * cxx.c - whether the C++ runtime is there, and where it keeps a thread's exceptions.
 *
 *   boot -> [cxx_look]; m_run -> [cxx_of_thread]; loop.c, panic.c -> cxx.h
 *
 * CE1 and CE2 stand in cxx.h. A C++ runtime that is loaded during a run (dlopen), or whose names
 * are hidden from the program, is not found: its goroutines lock their thread.
 *
 * Locking: none. Go has no exceptions.
 */
#include "sched/cxx.h"

#include <dlfcn.h>

#include "base/sanitize.h"

void *__cxa_get_globals(void) __attribute__((weak));
void *dlsym(void *handle, const char *name) __attribute__((weak)); /* not in static programs */

bool has_more_to_switch;
static void *(*get_globals)(void);

/* At the start of the program, for its plain threads; and again at that of a run. */
__attribute__((constructor)) void cxx_look(void)
{
	get_globals = __cxa_get_globals;
	/* A program in C that is linked with a library in C++. */
	if (!get_globals && dlsym)
		*(void **)&get_globals = dlsym(RTLD_DEFAULT, "__cxa_get_globals");
	has_more_to_switch = sanitize_is_on || get_globals;
}

struct cxx_globals *cxx_of_thread(void)
{
	return get_globals ? get_globals() : NULL;
}
