/*
 * g.c - the states of a goroutine; src/core/g.c, g.h.
 *
 * The edges stand here once more, written down from the description of the states, since a test
 * that read them from G_EDGES would agree with any table.
 */
#include "tap.h"

#include "core/g.h"

enum { STATES = G_DEAD + 1 };

static const bool is_legal[STATES][STATES] = {
	[G_IDLE][G_RUNNABLE] = true,	/* spawn */
	[G_RUNNABLE][G_RUNNING] = true, /* execute */
	[G_RUNNING][G_WAITING] = true,	/* park */
	[G_RUNNING][G_RUNNABLE] = true, /* yield */
	[G_RUNNING][G_DEAD] = true,	/* exit */
	[G_WAITING][G_RUNNABLE] = true, /* ready */
	[G_WAITING][G_RUNNING] = true,	/* the commit of a park says no */
	[G_DEAD][G_IDLE] = true,	/* reuse */
};

static const char *const names[] = {"idle", "runnable", "running", "waiting", "dead"};

TAP_CASE(gi1_legal_edges_are_these, .procs = "-")
{
	for (int from = 0; from < STATES; from++)
		for (int to = 0; to < STATES; to++)
			expect_eq(g_edge_is_legal((enum g_state)from, (enum g_state)to),
				  is_legal[from][to]);
	expect(!g_edge_is_legal((enum g_state)STATES, G_IDLE));
}

TAP_CASE(gi1_legal_edges_change_the_state, .procs = "-")
{
	static struct g g;

	for (int from = 0; from < STATES; from++) {
		for (int to = 0; to < STATES; to++) {
			if (!is_legal[from][to])
				continue;
			store_rlx(&g.state, (uint32_t)from); /* relaxed: one thread */
			g_transition(&g, (enum g_state)from, (enum g_state)to);
			expect_eq(g_state(&g), to);
		}
	}
}

#ifdef GORO_DEBUG
/* EDGE is "state from to": what the G is in, and what is asked for. */
TAP_CHILD(make_the_edge)
{
	static struct g g = {.id = 77};
	unsigned state, from, to;

	require_eq(sscanf(getenv("EDGE"), "%u %u %u", &state, &from, &to), 3);
	store_rlx(&g.state, state); /* relaxed: one thread */
	g_transition(&g, (enum g_state)from, (enum g_state)to);
}

static void expect_edge(int state, int from, int to)
{
	struct tap_child c;
	char env[64], text[128];

	snprintf(env, sizeof(env), "EDGE=%d %d %d", state, from, to);
	snprintf(text, sizeof(text), "goroutine 77: illegal change of state %s -> %s (it is %s)",
		 names[from], names[to], names[state]);
	tap_child(&c, "make_the_edge", env);
	if (state == from && is_legal[from][to])
		expect_child(&c, 0, "");
	else
		expect_child(&c, 2, text);
}

TAP_CASE(gi1_any_other_edge_ends_the_process, .procs = "-")
{
	for (int from = 0; from < STATES; from++)
		for (int to = 0; to < STATES; to++)
			expect_edge(from, from, to);
}

TAP_CASE(gi1_edge_from_another_state_ends_the_process, .procs = "-")
{
	expect_edge(G_WAITING, G_RUNNING, G_DEAD);
	expect_edge(G_DEAD, G_RUNNABLE, G_RUNNING);
	expect_edge(G_RUNNABLE, G_WAITING, G_RUNNABLE); /* ready() twice */
}
#endif

TAP_CASE(states_and_reasons_have_go_s_names, .procs = "-")
{
	for (int i = 0; i < STATES; i++)
		expect_str(g_state_name((enum g_state)i), names[i]);
	expect_str(g_state_name((enum g_state)STATES), "?");
	expect_str(wait_reason_name(WAIT_NONE), "");
	expect_str(wait_reason_name(WAIT_CHAN_RECV), "chan receive");
	expect_str(wait_reason_name(WAIT_CHAN_SEND_NIL), "chan send (nil chan)");
	expect_str(wait_reason_name(WAIT_SLEEP), "sleep");
	expect_str(wait_reason_name((enum wait_reason)255), "?");
}

TAP_CASE(gi4_a_g_is_small, .procs = "-")
{
	expect_le(sizeof(struct g), 240);
	expect_ge(sizeof(((struct g *)NULL)->u.bytes), 8 * sizeof(void *));
}

TAP_MAIN
