/*
 * g.c - the tables of a goroutine's states, and the check of its edges.
 *
 *   spawn, execute, park, ready, exit -> [g_transition] -> reports, gdb
 *
 * GI1 (g.h): every change of state is an edge of G_EDGES; debug builds end the
 *     process at any other.
 *
 * Locking: none; whoever holds the G changes it. Order: label G-STATE. Go: casgstatus in
 * runtime/proc.go; ours is a plain store, since no garbage collector competes for the state.
 */

#include "base/fatal.h"
#include "core/g.h"

const char *g_state_name(enum g_state state)
{
	static const char *const names[] = {
#define G_STATE_NAME(name, text) text,
		G_STATES(G_STATE_NAME)
#undef G_STATE_NAME
	};
	return (unsigned)state < array_length(names) ? names[state] : "?";
}

const char *wait_reason_name(enum wait_reason reason)
{
	static const char *const names[] = {
#define WAIT_REASON_NAME(name, text) text,
		WAIT_REASONS(WAIT_REASON_NAME)
#undef WAIT_REASON_NAME
	};
	return (unsigned)reason < array_length(names) ? names[reason] : "?";
}

bool g_edge_is_legal(enum g_state from, enum g_state to)
{
#define G_EDGE_TEST(a, b, by) (from == G_##a && to == G_##b) ||
	return G_EDGES(G_EDGE_TEST) false;
#undef G_EDGE_TEST
}

noreturn void g_transition_failed(const struct g *gp, enum g_state from, enum g_state to)
{
	fatal("goro: goroutine %lu: illegal change of state %s -> %s (it is %s)",
	      (unsigned long)gp->id, g_state_name(from), g_state_name(to),
	      g_state_name((enum g_state)load_rlx(&gp->state))); /* relaxed: a report */
}
