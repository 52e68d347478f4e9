/*
 * os_fault.c - fail the n-th call, for tests (debug builds only).
 *
 *   os_* -> [os_fault] -> does this call have to fail?        tests -> [os_fault_hits]
 *
 * GORO_FAULT=kind:n[,kind:n...] fails the n-th call of a kind; kind:n+ fails it and all after it.
 * FT1  Without GORO_FAULT nothing ever fails here.
 *
 * Locking: none; the counters are atomic. Idea: SQLite's test VFS, Argobots.
 */
#include "os/os.h"

#ifdef GORO_DEBUG

#include <stdlib.h>
#include <string.h>

static struct {
	atomic_of(uint32_t) calls;
	uint32_t fails_at; /* 0: never */
	bool and_after;
} faults[OS_FAULT_COUNT];

static atomic_of(uint32_t) hits;

static const char *const fault_names[] = {
#define OS_FAULT_NAME(name, text) text,
	OS_FAULTS(OS_FAULT_NAME)
#undef OS_FAULT_NAME
};

void os_fault_init(void)
{
	const char *at = getenv("GORO_FAULT");

	for (; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		const char *colon = strchr(at, ':');
		if (!colon)
			return;
		for (int i = 0; i < OS_FAULT_COUNT; i++) {
			size_t length = strlen(fault_names[i]);
			if (length != (size_t)(colon - at) ||
			    memcmp(at, fault_names[i], length) != 0)
				continue;
			char *end;
			faults[i].fails_at = (uint32_t)strtoul(colon + 1, &end, 10);
			faults[i].and_after = *end == '+';
		}
	}
}

bool os_fault(enum os_fault kind)
{
	if (!faults[kind].fails_at)
		return false;
	uint32_t call = add_rlx(&faults[kind].calls, 1) + 1; /* relaxed: only counted */
	if (call != faults[kind].fails_at &&
	    (call < faults[kind].fails_at || !faults[kind].and_after))
		return false;
	add_rlx(&hits, 1); /* relaxed: only counted */
	return true;
}

uint32_t os_fault_hits(void)
{
	return load_rlx(&hits); /* relaxed: only counted */
}

#endif
