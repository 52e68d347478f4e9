/*
 * group.c - a group's children and its owner under every schedule.
 *
 *   src/sync/group.c, ctx.c, waitq.c -> the explorer
 *
 * Plain threads play the children: they do what child_end() does in a goroutine. The owner frees
 * the group as soon as its wait has returned (GP1).
 */
#include "model_ctx.h"

#include "sync/group.c"

static goro_group *g;
static goro_ctx *above;
static uint32_t cell[2]; /* plainly written by the children, read by the owner */

void run_deferred(struct g *gp)
{
	(void)gp;
}

bool panic_is_uncaught(const struct g *gp)
{
	(void)gp;
	return false;
}

void deferred_push(struct deferred *d)
{
	(void)d;
}

void deferred_remove(struct deferred *d)
{
	(void)d;
}

bool deferred_is_own(const struct deferred *d)
{
	(void)d;
	return true;
}

void goro_lock_thread(void)
{
}

void goro_unlock_thread(void)
{
}

static void setup_children(int n)
{
	model_ctx_setup_threads();
	above = goro_ctx_with_cancel(NULL);
	g = explore_alloc(sizeof(*g));
	explore_name(g, sizeof(*g), "group");
	explore_name(cell, sizeof(cell), "cell");
	goro_group_init(g);
	group_of(g)->above = goro_ctx_ref(above);
	while (n-- > 0)
		explore_check(group_count_in(group_of(g)) == 0);
}

static void setup_one(void)
{
	setup_children(1);
}

static void setup_two(void)
{
	setup_children(2);
}

static void owner(void)
{
	int error = goro_group_end(g);

	explore_check(error == 0 || error == -EIO);
	explore_seen(error ? 0 : 1);
	explore_check(cell[0] == 1);
	explore_free(g);
}

static void owner_of_two(void)
{
	int error = goro_group_end(g);

	explore_check(error == -EIO);
	explore_check(cell[0] == 1 && cell[1] == 1);
	explore_free(g);
}

static void child_ends(void)
{
	cell[0]++;
	group_count_out(group_of(g));
}

/* GP2 */
static void child_fails(void)
{
	cell[1]++;
	if (MODEL_KEEP("test-fail-first"))
		group_cancel(group_of(g), -EIO);
	group_count_out(group_of(g));
	if (!MODEL_KEEP("test-fail-first"))
		group_cancel(group_of(g), -EIO);
}

/* Its result is the group's, if it is the first; the other one's is the same. */
static void other_child_fails(void)
{
	cell[0]++;
	group_cancel(group_of(g), -EIO);
	group_count_out(group_of(g));
}

static void child_starts_another(void)
{
	if (group_count_in(group_of(g)) == 0) {
		cell[0]++;
		group_count_out(group_of(g));
	} else {
		cell[0]++;
	}
	group_count_out(group_of(g));
}

static void cancel_above(void)
{
	goro_ctx_cancel(above);
}

static void nothing_is_left(void)
{
	goro_ctx_unref(above);
	nothing_is_cancelled();
}

int main(void)
{
#define GROUP(from, a, b, c) .setup = from, .thread = {a, b, c}, .finish = nothing_is_left
	explore_holds(&(struct explore_test){"group: the last child against the wait",
					     GROUP(setup_one, owner, child_ends, NULL), TRY(3, 2),
					     .spurious = 1});
	explore_holds(&(struct explore_test){"group: one child fails, one ends",
					     GROUP(setup_two, owner_of_two, child_ends,
						   child_fails),
					     TRY(2, 1)});
	explore_holds(&(struct explore_test){"group: two children fail",
					     GROUP(setup_two, owner_of_two, other_child_fails,
						   child_fails),
					     TRY(2, 1)});
	explore_holds(&(struct explore_test){"group: a child starts one meanwhile",
					     GROUP(setup_one, owner, child_starts_another,
						   cancel_above),
					     TRY(2, 1)});
	explore_finds(&(struct explore_test){"group: found when one fails after its end",
					     GROUP(setup_two, owner_of_two, child_ends,
						   child_fails),
					     TRY(2, 1), .omit = "test-fail-first"},
		      "");
	explore_finds(&(struct explore_test){"group: found when the last wakes nobody",
					     GROUP(setup_one, owner, child_ends, NULL), TRY(2, 1),
					     .omit = "group-wake"},
		      "deadlock");
	return explore_done();
}
