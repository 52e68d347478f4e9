/*
 * group.c - conformance: groups, whose children end before the scope does.
 *
 *   results and errors, who is cancelled and when, every way out of the scope, quiet ends
 */
#include "goro_tap.h"

enum { N_CHILDREN = 100 };

/* What the children of a test share. */
struct work {
	goro_chan *c;
	int n_started, n_ended, n_canceled;
	int value;
};

static int counts(void *arg)
{
	struct work *w = arg;
	add(&w->n_started, 1);
	goro_yield();
	add(&w->n_ended, 1);
	return 0;
}

static int waits(void *arg)
{
	struct work *w = arg;
	add(&w->n_started, 1);
	int error = goro_chan_recv_until(w->c, NULL, GORO_FOREVER);
	add(&w->n_canceled, error == -ECANCELED);
	add(&w->n_ended, 1);
	return error;
}

static void counts_the_end(void *arg)
{
	struct work *w = arg;
	add(&w->n_ended, 1);
}

/* Ends by the panic. */
static int receives(void *arg)
{
	struct work *w = arg;
	add(&w->n_started, 1);
	goro_defer(counts_the_end, w);
	(void)goro_chan_recv(w->c, NULL);
	return 0;
}

static int fails(void *arg)
{
	(void)arg;
	return -EIO;
}

static int fails_with_value(void *arg)
{
	struct work *w = arg;
	goro_yield();
	return w->value;
}

/* ---- results ---- */

GORO_CASE(wait_sees_all_children_end, .is_race = true)
{
	struct work w = {0};
	GORO_GROUP(group);
	expect_eq(goro_group_wait(&group), 0);
	for (int round = 1; round <= 20; round++) {
		for (int i = 0; i < N_CHILDREN; i++)
			expect_eq(goro_group_go(&group, counts, &w), 0);
		expect_eq(goro_group_wait(&group), 0);
		expect_eq(load(&w.n_ended), round * N_CHILDREN);
	}
}

static int writes_plainly(void *cell)
{
	goro_yield();
	*(int *)cell += 1;
	return 0;
}

GORO_CASE(what_children_wrote_is_seen_after_the_wait, .is_race = true)
{
	int cell[N_CHILDREN] = {0};
	GORO_GROUP(group);
	for (int round = 1; round <= 20; round++) {
		for (int i = 0; i < N_CHILDREN; i++)
			expect_eq(goro_group_go(&group, writes_plainly, &cell[i]), 0);
		expect_eq(goro_group_wait(&group), 0);
		for (int i = 0; i < N_CHILDREN; i++)
			expect_eq(cell[i], round);
	}
}

GORO_CASE(first_error_cancels_the_rest_and_is_the_result, .is_race = true)
{
	for (int round = 0; round < 30; round++) {
		struct work w = {.c = goro_chan_of(int, 0)};
		GORO_GROUP(group);
		for (int i = 0; i < 10; i++) {
			expect_eq(goro_group_go(&group, waits, &w), 0);
			expect_eq(goro_group_go(&group, receives, &w), 0);
		}
		if (round % 2 == 0)
			wait_until_n_parked(20, "chan receive");
		expect_eq(goro_group_go(&group, fails, NULL), 0);
		expect_eq(goro_group_wait(&group), -EIO);
		expect_eq(w.n_started, w.n_ended);
		goro_chan_unref(w.c);
	}
}

GORO_CASE(only_the_first_error_counts)
{
	struct work w = {.value = 7};
	GORO_GROUP(group);
	expect_eq(goro_group_go(&group, fails, NULL), 0);
	wait_for(goro_ctx_error(goro_group_ctx(&group)) != 0);
	expect_eq(goro_group_wait(&group), -EIO);
	expect_eq(goro_group_go(&group, fails_with_value, &w), 0);
	expect_eq(goro_group_wait(&group), 7); /* any value but 0, and it is as new */
	expect_eq(goro_group_wait(&group), 0);
}

GORO_CASE(a_cancelled_group_starts_nothing_and_is_as_new_after_the_wait)
{
	struct work w = {0};
	GORO_GROUP(group);
	goro_group_cancel(&group); /* before there is any child */
	expect_eq(goro_group_go(&group, counts, &w), -ECANCELED);
	expect_eq(goro_ctx_error(goro_group_ctx(&group)), -ECANCELED);
	expect_eq(goro_group_wait(&group), 0); /* no child, no error */
	expect_eq(goro_group_go(&group, counts, &w), 0);
	expect_eq(goro_group_wait(&group), 0);
	expect_eq(w.n_started, 1);
	goro_ctx_cancel(goro_group_ctx(&group));
	expect_eq(goro_group_go(&group, counts, &w), -ECANCELED);
	expect_eq(goro_group_wait(&group), 0);
	expect_eq(goro_group_go(&group, counts, &w), 0);
	expect_eq(goro_group_wait(&group), 0);
	expect_eq(w.n_started, 2);
}

static int exits(void *arg)
{
	struct work *w = arg;
	goro_defer(counts_the_end, w);
	goro_exit();
}

GORO_CASE(a_child_that_exits_has_returned_0)
{
	struct work w = {0};
	GORO_GROUP(group);
	expect_eq(goro_group_go(&group, exits, &w), 0);
	expect_eq(goro_group_wait(&group), 0);
	expect_eq(w.n_ended, 1);
}

/* ---- contexts ---- */

static int shows_its_context(void *cell)
{
	*(goro_ctx **)cell = goro_ctx_current();
	return 0;
}

GORO_CASE(children_use_a_context_under_the_owners)
{
	goro_ctx *mine = goro_ctx_with_cancel(NULL), *of_child = NULL;
	struct work w = {.c = goro_chan_of(int, 0)};
	goro_ctx_use(goro_ctx_ref(mine));
	{
		GORO_GROUP(group);
		goro_ctx *of_group = goro_ctx_ref(goro_group_ctx(&group));
		expect(of_group != NULL && of_group != mine);
		expect_eq(goro_group_go(&group, shows_its_context, &of_child), 0);
		expect_eq(goro_group_wait(&group), 0);
		expect(of_child == of_group);
		expect_eq(goro_group_go(&group, waits, &w), 0);
		wait_for(load(&w.n_started) == 1);
		goro_ctx_cancel_reason(mine, "all of us");
		/* The owner is cancelled too, and waits all the same. */
		expect_eq(goro_group_wait(&group), -ECANCELED);
		expect_eq(w.n_canceled, 1);
		expect_str(goro_ctx_reason(of_group), "all of us");
		expect_eq(goro_group_go(&group, waits, &w), -ECANCELED);
		goro_ctx_unref(of_group);
	}
	goro_ctx_unref(goro_ctx_use(NULL));
	goro_ctx_unref(mine);
	goro_chan_unref(w.c);
}

/* ---- quiet ends ---- */

static int ends_by_its_own_context(void *arg)
{
	goro_ctx *own = goro_ctx_with_cancel(goro_ctx_current());
	(void)arg;
	goro_ctx_unref(goro_ctx_use(own));
	goro_ctx_cancel(own);
	goro_sleep(1);
	return 0;
}

GORO_CASE(a_quiet_end_is_a_cancelled_child)
{
	struct work w = {.c = goro_chan_of(int, 0)};
	GORO_GROUP(group);
	expect_eq(goro_group_go(&group, receives, &w), 0);
	wait_until_n_parked(1, "chan receive");
	goro_group_cancel(&group);
	expect_eq(goro_group_wait(&group), -ECANCELED);
	expect_eq(w.n_ended, 1);
	/* One that was only cancelled itself: the others are told. */
	expect_eq(goro_group_go(&group, receives, &w), 0);
	expect_eq(goro_group_go(&group, ends_by_its_own_context, NULL), 0);
	expect_eq(goro_group_wait(&group), -ECANCELED);
	goro_chan_unref(w.c);
}

/* Cleanup that is cancelled itself: a quiet panic in a quiet panic. */
static void waits_in_cleanup(void *arg)
{
	struct work *w = arg;
	add(&w->n_ended, 1);
	(void)goro_chan_recv(w->c, NULL);
	add(&w->n_ended, 100);
}

static int waits_in_each_cleanup(void *arg)
{
	struct work *w = arg;
	for (int i = 0; i < 5; i++)
		goro_defer(waits_in_cleanup, w);
	add(&w->n_started, 1);
	(void)goro_chan_recv(w->c, NULL);
	return 0;
}

GORO_CASE(cleanup_that_is_cancelled_leaves_the_rest_of_it_to_run)
{
	struct work w = {.c = goro_chan_of(int, 0)};
	GORO_GROUP(group);
	expect_eq(goro_group_go(&group, waits_in_each_cleanup, &w), 0);
	wait_for(load(&w.n_started) == 1);
	goro_group_cancel(&group);
	expect_eq(goro_group_wait(&group), -ECANCELED);
	expect_eq(w.n_ended, 5);
	goro_chan_unref(w.c);
}

static void receives_in_try(void *arg)
{
	(void)receives(arg);
}

static int catches_it(void *arg)
{
	char text[64];
	if (goro_try(receives_in_try, arg, text, sizeof(text)))
		return 1;
	expect_str(text, "context canceled");
	return 2;
}

GORO_CASE(a_caught_cancellation_is_no_quiet_end)
{
	struct work w = {.c = goro_chan_of(int, 0)};
	GORO_GROUP(group);
	expect_eq(goro_group_go(&group, catches_it, &w), 0);
	wait_for(load(&w.n_started) == 1);
	goro_group_cancel(&group);
	expect_eq(goro_group_wait(&group), 2);
	goro_chan_unref(w.c);
}

/* ---- ways out of the scope ---- */

static void leaves_by_end(struct work *w)
{
	GORO_GROUP(group);
	for (int i = 0; i < 10; i++)
		expect_eq(goro_group_go(&group, counts, w), 0);
}

static int leaves_by_return(struct work *w)
{
	GORO_GROUP(group);
	for (int i = 0; i < 10; i++)
		expect_eq(goro_group_go(&group, counts, w), 0);
	return load(&w->n_started);
}

GORO_CASE(the_end_of_the_scope_waits_and_cancels_nothing, .is_race = true)
{
	struct work w = {0};
	leaves_by_end(&w);
	expect_eq(w.n_ended, 10);
	(void)leaves_by_return(&w);
	expect_eq(w.n_ended, 20);
	for (int i = 0; i < 10; i++) {
		GORO_GROUP(group);
		expect_eq(goro_group_go(&group, counts, &w), 0);
		if (i == 3)
			continue;
		if (i == 7)
			break;
	}
	expect_eq(w.n_ended, 28);
}

static void panics_in_scope(void *arg)
{
	struct work *w = arg;
	GORO_GROUP(group);
	goro_defer(counts_the_end, w); /* above the group's record */
	for (int i = 0; i < 10; i++)
		expect_eq(goro_group_go(&group, i % 2 != 0 ? waits : receives, w), 0);
	{
		GORO_GROUP(inner);
		expect_eq(goro_group_go(&inner, waits, w), 0);
		goro_panic("out of two scopes");
	}
}

GORO_CASE(a_panic_through_the_scope_cancels_and_waits, .is_race = true)
{
	struct work w = {.c = goro_chan_of(int, 0)};
	for (int i = 1; i <= 20; i++) {
		struct caught caught = panic_of(panics_in_scope, &w);
		expect_str(caught.text, "out of two scopes");
		expect_eq(w.n_started + i, w.n_ended); /* and the deferred call's */
	}
	wait_for(goro_count() == 1);
	goro_chan_unref(w.c);
}

static void exits_in_scope(struct work *w, int *n_done)
{
	goro_defer(counts_the_end, w); /* runs after the children have ended */
	GORO_GROUP(group);
	for (int i = 0; i < 10; i++)
		expect_eq(goro_group_go(&group, i % 2 != 0 ? waits : receives, w), 0);
	if (n_done != NULL)
		goro_exit();
}

GORO_CASE(an_exit_through_the_scope_cancels_and_waits, .is_race = true)
{
	struct work w = {.c = goro_chan_of(int, 0)};
	int unused;
	go(exits_in_scope, &w, &unused);
	wait_for(goro_count() == 1);
	expect_eq(load(&w.n_started) + 1, load(&w.n_ended));
	goro_chan_unref(w.c);
}

/* It may be cancelled already: then nothing starts. */
static void start_if_in_time(goro_group *group, int (*fn)(void *), struct work *w)
{
	int error = goro_group_go(group, fn, w);
	expect(error == 0 || error == -ECANCELED);
}

/* The owner is itself cancelled, by panic, through its scope. */
static int is_an_owner(void *arg)
{
	struct work *w = arg;
	GORO_GROUP(group);
	for (int i = 0; i < 3; i++)
		start_if_in_time(&group, i % 2 != 0 ? waits : receives, w);
	(void)goro_chan_recv(w->c, NULL);
	return 0;
}

static int nests(void *arg)
{
	struct work *w = arg;
	GORO_GROUP(group);
	for (int i = 0; i < 3; i++)
		start_if_in_time(&group, is_an_owner, w);
	return goro_group_wait(&group);
}

GORO_CASE(groups_nest_and_are_cancelled_from_above, .is_race = true)
{
	struct work w = {.c = goro_chan_of(int, 0)};
	for (int i = 0; i < 10; i++) {
		GORO_GROUP(group);
		expect_eq(goro_group_go(&group, nests, &w), 0);
		expect_eq(goro_group_go(&group, nests, &w), 0);
		if (i % 2 == 0)
			wait_until_n_parked(24, "chan receive");
		goro_group_cancel(&group);
		int error = goro_group_wait(&group);
		expect(error == -ECANCELED || (error == 0 && i % 2 != 0));
		expect_eq(w.n_started, w.n_ended);
	}
	goro_chan_unref(w.c);
}

/* A try inside of the scope catches; the group lives on. */
static void panics_inside(void *arg)
{
	expect_eq(goro_group_go(arg, fails, NULL), 0);
	goro_panic("inside");
}

/* And a group that a try's function ends, though it began outside of it. */
static void ends_the_group(void *arg)
{
	goro_defer(counts_the_end, &((struct work *)arg)[1]);
	expect_eq(goro_group_end((goro_group *)((struct work *)arg)->c), -EIO);
	goro_panic("after the end");
}

GORO_CASE(try_inside_of_the_scope)
{
	struct caught caught;
	struct work w[2] = {{0}};
	{
		GORO_GROUP(group);
		caught = panic_of(panics_inside, &group);
		expect_str(caught.text, "inside");
		expect_eq(goro_group_wait(&group), -EIO);
	}
	goro_group *group = malloc(sizeof(*group));
	expect(goro_group_init(group) == group);
	expect_eq(goro_group_go(group, fails, NULL), 0);
	w[0].c = (goro_chan *)group;
	caught = panic_of(ends_the_group, w);
	expect_str(caught.text, "after the end");
	expect_eq(w[1].n_ended, 1);
	free(group);
}

/* The same in a deferred call: what was deferred before the group is not called by the try. */
static void ends_it(void *arg)
{
	expect_eq(goro_group_end(arg), 0);
}

static void defers_the_end(void *arg)
{
	goro_defer(ends_it, arg);
}

static void defers_the_end_and_panics(void *arg)
{
	goro_defer(ends_it, arg);
	goro_panic("the end is deferred");
}

static void tries_two_ends(void *arg)
{
	struct work *w = arg;
	goro_group group;
	goro_defer(counts_the_end, w);
	goro_group_init(&group);
	expect_str(panic_of(defers_the_end, &group).text, "");
	expect_eq(w->n_ended, 0);
	goro_group_init(&group);
	expect_str(panic_of(defers_the_end_and_panics, &group).text, "the end is deferred");
	expect_eq(w->n_ended, 0);
}

GORO_CASE(deferred_calls_of_a_try_end_the_group)
{
	struct work w = {0};
	goro_spawn(tries_two_ends, &w);
	wait_for(load(&w.n_ended) == 1);
}

/* ---- who calls ---- */

static int starts_more(void *arg)
{
	void **both = arg;
	struct work *w = both[1];
	if (add(&w->value, 1) < 50) {
		expect_eq(goro_group_go(both[0], starts_more, both), 0);
		expect_eq(goro_group_go(both[0], counts, w), 0);
	}
	return 0;
}

GORO_CASE(children_start_children_of_the_same_group, .is_race = true)
{
	struct work w = {0};
	GORO_GROUP(group);
	void *both[2] = {&group, &w};
	expect_eq(goro_group_go(&group, starts_more, both), 0);
	expect_eq(goro_group_wait(&group), 0);
	expect_eq(w.value, 50);
	expect_eq(w.n_ended, 49);
}

static void panics_in_a_thread(void *arg)
{
	struct work *w = arg;
	GORO_GROUP(group);
	for (int i = 0; i < 5; i++)
		expect_eq(goro_group_go(&group, waits, w), 0);
	goro_panic("in a thread");
}

static void *owns_in_a_thread(void *arg)
{
	struct work *w = arg;
	for (int i = 0; i < 20; i++) {
		GORO_GROUP(group);
		for (int n = 0; n < 10; n++)
			expect_eq(goro_group_go(&group, counts, w), 0);
		if (i % 2 == 0)
			expect_eq(goro_group_wait(&group), 0);
	}
	expect_eq(w->n_ended, 200);
	struct caught caught = panic_of(panics_in_a_thread, w);
	expect_str(caught.text, "in a thread");
	expect_eq(w->n_ended, 200 + w->n_started - 200);
	store(&w->value, 1);
	return NULL;
}

GORO_CASE(a_plain_thread_owns_a_group, .is_race = true)
{
	struct work w = {.c = goro_chan_of(int, 0)};
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, owns_in_a_thread, &w), 0);
	wait_for(load(&w.value) == 1);
	pthread_join(thread, NULL);
	goro_chan_unref(w.c);
}

TAP_CASE(without_a_runtime_nothing_starts, .procs = "-")
{
	GORO_GROUP(group);
	expect_eq(goro_group_go(&group, fails, NULL), -EPERM);
	expect_eq(goro_group_wait(&group), 0);
}

/* The owner's wait is seen as such, and a run may end around all of it. */
static struct work left_work;

static void owns_for_ever(void *unused)
{
	(void)unused;
	GORO_GROUP(group);
	goro_group_go(&group, waits, &left_work);
	goro_group_go(&group, receives, &left_work);
}

static int leaves_an_owner(void *unused)
{
	(void)unused;
	goro_spawn(owns_for_ever, NULL);
	wait_until_n_parked(1, "group wait");
	wait_until_n_parked(2, "chan receive");
	return 0;
}

TAP_CASE(a_run_ends_around_a_group)
{
	left_work.c = goro_chan_of(int, 0);
	for (int i = 0; i < 3; i++)
		expect_eq(goro_run(leaves_an_owner, NULL), 0);
	expect_eq(left_work.n_started, 6);
	expect_eq(left_work.n_ended, 0);
	goro_chan_unref(left_work.c);
}

TAP_MAIN
