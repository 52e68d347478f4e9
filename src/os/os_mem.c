/*
 * os_mem.c - address space, guards, and giving memory back.
 *
 *   stacks, slabs of Gs, heaps -> [os_mem_*] -> mmap, madvise, mprotect
 *
 * ME1  os_mem_guard never fails: what cannot be guarded by the kernel is left to the
 *      stack's canary.
 * ME2  A guard survives os_mem_discard of the range above it.
 * ME3  Guards by mprotect leave half of vm.max_map_count to the program.
 *
 * MADV_GUARD_INSTALL (Linux 6.13) guards pages without splitting the mapping; mprotect splits it
 * in two and so stops at vm.max_map_count, about 32 000 stacks. Rejected: one mapping a stack,
 * for that reason.
 *
 * Locking: none. Go: sysReserve, sysUnused, sysFault in runtime/mem_linux.go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fatal.h"
#include "base/sanitize.h"
#include "os/os.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static enum os_guard guard_method = OS_GUARD_MPROTECT;

/*
 * ME3: mprotect guards that exist, and how many may: each costs two mappings, and half of them are
 * the program's.
 */
static atomic_of(int32_t) mprotect_made;
static int32_t mprotect_most; /* boot */

void *os_mem_reserve(size_t size)
{
	if (os_fault(OS_FAULT_MMAP))
		return NULL;
	sanitize_hide(true);
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	sanitize_hide(false);
	return at == MAP_FAILED ? NULL : at;
}

void os_mem_release(void *at, size_t size)
{
	/*
	 * ENOMEM: cutting a mapping in two would exceed vm.max_map_count; then only the
	 * memory goes back.
	 */
	if (munmap(at, size) != 0)
		os_mem_discard(at, size);
}

void *os_mem_resize(void *at, size_t size, size_t new_size)
{
	if (os_fault(OS_FAULT_MMAP))
		return NULL;
	void *to = mremap(at, size, new_size, MREMAP_MAYMOVE);
	return to == MAP_FAILED ? NULL : to;
}

void os_mem_discard(void *at, size_t size)
{
	(void)madvise(at, size, MADV_DONTNEED); /* fails only for locked pages, which stay */
}

bool os_mem_renew(void *at, size_t size)
{
	if (os_fault(OS_FAULT_MMAP))
		return false;
	sanitize_hide(true);
	void *renewed = mmap(at, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	sanitize_hide(false);
	if (renewed == MAP_FAILED)
		fatal("out of memory: the kernel does not map %zu bytes of stacks anew (error %d)",
		      size, errno);
	return true;
}

void os_mem_populate(void *at, size_t size)
{
	(void)madvise(at, size, MADV_POPULATE_WRITE); /* EINVAL before Linux 5.14: they fault in */
}

const char *os_guard_name(enum os_guard method)
{
	static const char *const names[] = {
#define OS_GUARD_NAME(name, text) text,
		OS_GUARDS(OS_GUARD_NAME)
#undef OS_GUARD_NAME
	};
	return names[method];
}

bool os_guard_is_known(const char *name)
{
	for (int i = OS_GUARD_MADVISE; i <= OS_GUARD_CANARY; i++)
		if (strcmp(name, os_guard_name((enum os_guard)i)) == 0)
			return true;
	return false;
}

static bool guard_install_works(void)
{
	if (os_fault(OS_FAULT_MADVISE))
		return false;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return false;
	/*
	 * An emulator may take any advice and do nothing, even one that does not exist: that
	 * guards nothing.
	 */
	bool works = madvise(page, 4096, MADV_GUARD_INSTALL) == 0 && madvise(page, 4096, -1) != 0;
	munmap(page, 4096);
	return works;
}

void os_guard_init(void)
{
	const char *forced = os_env("GORO_STACKGUARD");
	char text[32];

	int mappings = os_read_file("/proc/sys/vm/max_map_count", text, sizeof(text)) > 0
			       ? atoi(text)
			       : 65530;
	mprotect_most = mappings / 4;

	guard_method = guard_install_works() ? OS_GUARD_MADVISE : OS_GUARD_MPROTECT;
	/*
	 * An unknown name changes nothing, and boot says so; a method that the kernel lacks
	 * falls through as always.
	 */
	for (int i = OS_GUARD_MADVISE; forced && i <= OS_GUARD_CANARY; i++)
		if (strcmp(forced, os_guard_name((enum os_guard)i)) == 0)
			guard_method = (enum os_guard)i;
}

enum os_guard os_guard_method(void)
{
	return guard_method;
}

enum os_guard os_mem_guard(void *at, size_t size)
{
	if (guard_method == OS_GUARD_MADVISE && !os_fault(OS_FAULT_MADVISE) &&
	    madvise(at, size, MADV_GUARD_INSTALL) == 0)
		return OS_GUARD_MADVISE;
	if (guard_method == OS_GUARD_CANARY)
		return OS_GUARD_CANARY;
	if (add_rlx(&mprotect_made, 1) < mprotect_most && /* relaxed: only counted */
	    mprotect(at, size, PROT_NONE) == 0)
		return OS_GUARD_MPROTECT;
	add_rlx(&mprotect_made, -1); /* relaxed: only counted */
	return OS_GUARD_CANARY;
}

void os_guard_returned(uint32_t count)
{
	add_rlx(&mprotect_made, -(int32_t)count); /* relaxed: only counted */
}

void *os_alloc(size_t size)
{
	if (os_fault(OS_FAULT_MALLOC))
		return NULL;
	sanitize_hide(true);
	void *at = calloc(1, size);
	sanitize_hide(false);
	return at;
}

void os_free(void *at)
{
	sanitize_hide(true);
	free(at);
	sanitize_hide(false);
}
