/*
 * os_mem.c - address space, guards, giving memory back; src/os/os_mem.c.
 */
#include "tap.h"

#include <sys/mman.h>

#include "os/os.h"

enum { PAGE = 4096, PAGES = 64, SIZE = PAGES * PAGE };

/* -1: the range is not mapped. */
static int resident_pages(const void *at, size_t size)
{
	unsigned char present[PAGES];
	int n = 0;

	require_le(size, SIZE);
	if (mincore((void *)(uintptr_t)at, size, present) != 0)
		return -1;
	for (size_t i = 0; i < size / PAGE; i++)
		n += present[i] & 1;
	return n;
}

static void expect_zero(const unsigned char *at, size_t size)
{
	for (size_t i = 0; i < size; i++)
		require_eq(at[i], 0);
}

TAP_CASE(reserved_memory_is_zero_and_costs_nothing_yet, .procs = "-")
{
	unsigned char *at = os_mem_reserve(SIZE);

	require(at != NULL);
	expect_eq((uintptr_t)at % PAGE, 0);
	expect_eq(resident_pages(at, SIZE), 0);
	expect_zero(at, SIZE);
	memset(at, 1, SIZE);
	expect_eq(resident_pages(at, SIZE), PAGES);
	os_mem_release(at, SIZE);
	expect_eq(resident_pages(at, SIZE), -1);
}

TAP_CASE(more_than_there_is_cannot_be_reserved, .procs = "-")
{
	expect(os_mem_reserve((size_t)1 << 60) == NULL);
}

TAP_CASE(discarded_memory_is_gone_and_the_range_stays, .procs = "-")
{
	unsigned char *at = os_mem_reserve(SIZE);

	memset(at, 1, SIZE);
	os_mem_discard(at + PAGE, SIZE - 2 * PAGE);
	expect_eq(resident_pages(at, SIZE), 2);
	expect_eq(at[0], 1);
	expect_eq(at[SIZE - 1], 1);
	expect_zero(at + PAGE, SIZE - 2 * PAGE);
	at[PAGE] = 2; /* and can be written */
}

TAP_CASE(populated_memory_is_zero_and_writable, .procs = "-")
{
	unsigned char *at = os_mem_reserve(SIZE);

	at[0] = 7;
	os_mem_populate(at, SIZE);
	expect_eq(at[0], 7);
	expect_zero(at + 1, SIZE - 1);
	memset(at, 1, SIZE);
}

TAP_CASE(renewed_memory_has_neither_contents_nor_guards, .procs = "-")
{
	unsigned char *at = os_mem_reserve(SIZE);

	os_guard_init();
	memset(at, 1, SIZE);
	expect_ne(os_mem_guard(at, PAGE), OS_GUARD_CANARY);
	require(os_mem_renew(at, SIZE));
	expect_eq(resident_pages(at, SIZE), 0);
	expect_zero(at, SIZE);
	memset(at, 1, SIZE);
}

/* ---- guards ---- */

/* A guard of two pages; what is beside it is used and discarded. Then PLACE is touched. */
TAP_CHILD(touch_beside_a_guard)
{
	volatile unsigned char *at = os_mem_reserve(SIZE);

	os_guard_init();
	enum os_guard method = os_mem_guard((void *)(uintptr_t)(at + PAGE), 2 * PAGE);
	printf("%s\n", os_guard_name(method));
	fflush(stdout);
	memset((void *)(uintptr_t)(at + 3 * PAGE), 1, SIZE - 3 * PAGE);
	os_mem_discard((void *)(uintptr_t)(at + 3 * PAGE), SIZE - 3 * PAGE); /* ME2 */
	at[atoi(getenv("PLACE"))] = 1;
}

static void expect_touch(const char *method, int place, bool faults)
{
	struct tap_child c;
	char guard[64], where[32], said[32];

	snprintf(guard, sizeof(guard), "GORO_STACKGUARD=%s", method);
	snprintf(where, sizeof(where), "PLACE=%d", place);
	snprintf(said, sizeof(said), "%s\n", method);
	tap_child(&c, "touch_beside_a_guard", guard, where);
	expect_child(&c, faults ? -SIGSEGV : 0, "");
	expect_str(c.out, said);
}

static void expect_guard(const char *method)
{
	expect_touch(method, PAGE - 1, false);
	expect_touch(method, PAGE, true);
	expect_touch(method, 3 * PAGE - 1, true);
	expect_touch(method, 3 * PAGE, false);
}

TAP_CASE(me2_guard_by_advice_faults_and_survives_a_discard, .procs = "-")
{
	os_guard_init();
	if (os_guard_method() != OS_GUARD_MADVISE)
		tap_skip("this kernel has no MADV_GUARD_INSTALL");
	expect_guard("guard");
}

TAP_CASE(me2_guard_by_mprotect_faults_and_survives_a_discard, .procs = "-")
{
	expect_guard("mprotect");
}

TAP_CASE(canaries_leave_all_to_the_stack, .procs = "-")
{
	expect_touch("canary", PAGE, false);
}

/* Some emulators take every advice, also a wrong one: the probe must not believe them. */
TAP_CASE(method_that_was_probed_works, .procs = "-")
{
	unsetenv("GORO_STACKGUARD");
	os_guard_init();
	expect_ne(os_guard_method(), OS_GUARD_CANARY);
	expect_guard(os_guard_name(os_guard_method()));
}

TAP_CASE(unknown_method_changes_nothing, .procs = "-")
{
	unsetenv("GORO_STACKGUARD");
	os_guard_init();
	enum os_guard probed = os_guard_method();
	setenv("GORO_STACKGUARD", "hope", 1);
	os_guard_init();
	expect_eq(os_guard_method(), probed);
	setenv("GORO_STACKGUARD", "", 1);
	os_guard_init();
	expect_eq(os_guard_method(), probed);
}

TAP_CASE(me1_what_cannot_be_guarded_is_left_to_the_canary, .procs = "-")
{
	os_guard_init();
	/* Nothing is mapped there: every method fails. */
	expect_eq(os_mem_guard((void *)(uintptr_t)PAGE, PAGE), OS_GUARD_CANARY);
}

#ifdef GORO_DEBUG
TAP_CHILD(probe_without_advice)
{
	os_fault_init();
	os_guard_init();
	expect_eq(os_guard_method(), OS_GUARD_MPROTECT);
	_exit(tap_failures != 0);
}

TAP_CASE(kernel_without_guards_gets_mprotect, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "probe_without_advice", "GORO_FAULT=madvise:1", "GORO_STACKGUARD");
	expect_child(&c, 0, "");
}
#endif

TAP_CASE(heap_memory_is_zero, .procs = "-")
{
	for (size_t size = 1; size < 5000; size = size * 2 + 1) {
		unsigned char *at = os_alloc(size);
		require(at != NULL);
		expect_zero(at, size);
		memset(at, 1, size);
		os_free(at);
	}
	expect(os_alloc(SIZE_MAX / 2) == NULL);
}

TAP_MAIN
