/*
 * p.c - the names of a P's states.
 *
 *   reports -> [p_state_name]
 *
 * PI1 to PI3 stand in p.h.
 *
 * Locking: none. Go: schedtrace in runtime/proc.go prints numbers.
 */
#include "core/p.h"

const char *p_state_name(enum p_state state)
{
	static const char *const names[] = {
#define P_STATE_NAME(name, text) text,
		P_STATES(P_STATE_NAME)
#undef P_STATE_NAME
	};
	return (unsigned)state < array_length(names) ? names[state] : "?";
}
