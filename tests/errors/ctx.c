/*
 * ctx.c - errors of contexts and groups: panics with their texts, and what ends quietly instead.
 *
 * The codes (-ECANCELED, -ETIMEDOUT, -EPERM) are shown in tests/conform, -ENOMEM in tests/fault.
 */
#include "goro_tap.h"

static int returns_0(void *unused)
{
	(void)unused;
	return 0;
}

static goro_ctx *cancelled(void)
{
	goro_ctx *ctx = goro_ctx_with_cancel(NULL);
	goro_ctx_cancel(ctx);
	return ctx;
}

/* ---- misuse ---- */

TAP_CHILD(use_in_a_thread)
{
	goro_ctx_use(NULL);
}

GORO_CHILD(after_nil)
{
	goro_ctx_after(goro_ctx_with_cancel(NULL), NULL, NULL);
}

GORO_CHILD(group_go_nil)
{
	GORO_GROUP(group);
	goro_group_go(&group, NULL, NULL);
}

static void ends_it(goro_group *group)
{
	goro_group_end(group);
}

GORO_CHILD(group_end_by_another)
{
	GORO_GROUP(group);
	go(ends_it, &group);
	goro_sleep(GORO_FOREVER);
}

/* ---- cancelled without a group ---- */

GORO_CHILD(cancelled_recv)
{
	goro_ctx_use(cancelled());
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(cancelled_send)
{
	goro_ctx_use(cancelled());
	goro_chan_send(NULL, NULL);
}

GORO_CHILD(cancelled_put)
{
	goro_chan *c = goro_chan_of(int, 1);
	goro_ctx_use(cancelled());
	goro_put(c, 1);
}

GORO_CHILD(cancelled_get)
{
	goro_chan *c = goro_chan_of(int, 1);
	goro_put(c, 1);
	goro_ctx_use(cancelled());
	goro_get(c, int);
}

GORO_CHILD(cancelled_sleep)
{
	goro_ctx_use(cancelled());
	goro_sleep(1);
}

GORO_CHILD(cancelled_sleep_until)
{
	goro_ctx_use(cancelled());
	goro_sleep_until(0);
}

/* The child is a goroutine like any other that inherits its context. */
static void sleeps(void *unused)
{
	(void)unused;
	goro_sleep(GORO_SEC(100));
}

GORO_CHILD(cancelled_plain_goroutine)
{
	goro_ctx *ctx = goro_ctx_with_deadline(NULL, goro_now() + GORO_MS(1));
	goro_ctx_use(goro_ctx_ref(ctx));
	go(sleeps, NULL);
	goro_ctx_unref(goro_ctx_use(NULL));
	goro_sleep(GORO_FOREVER);
}

struct row {
	const char *child, *text;
};

static const struct row rows[] = {
	{"use_in_a_thread", "panic: goro_ctx_use outside a goroutine\n"},
	{"after_nil", "panic: go of nil func value\n\ngoroutine 1 [running]:\n"},
	{"group_go_nil", "panic: go of nil func value\n\ngoroutine 1 [running]:\n"},
	{"group_end_by_another", "panic: goro_group_end by another goroutine than its owner\n\n"},
	{"cancelled_recv", "panic: context canceled\n\ngoroutine 1 [running]:\n"},
	{"cancelled_send", "panic: context canceled\n\ngoroutine 1 [running]:\n"},
	{"cancelled_put", "panic: context canceled\n\ngoroutine 1 [running]:\n"},
	{"cancelled_get", "panic: context canceled\n\ngoroutine 1 [running]:\n"},
	{"cancelled_sleep", "panic: context canceled\n\ngoroutine 1 [running]:\n"},
	{"cancelled_sleep_until", "panic: context canceled\n\ngoroutine 1 [running]:\n"},
	{"cancelled_plain_goroutine", "panic: context canceled\n\ngoroutine 2 [running]:\n"},
};

TAP_CASE(every_misuse_panics_with_its_text, .procs = "1,4")
{
	struct tap_child c;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int before = tap_failures;
		tap_child(&c, rows[i].child);
		expect_child(&c, 2, rows[i].text);
		expect(strncmp(c.err, "panic: ", 7) == 0);
		if (tap_failures != before)
			tap_diag("# in the child %s", rows[i].child);
	}
}

/* ---- panics of a group's children ---- */

static int volatile does_panic = 1;

static void __attribute__((noinline)) panics_deep_below(int depth)
{
	if (depth > 0)
		panics_deep_below(depth - 1);
	else if (does_panic)
		goro_panic("of a child");
	__asm__ volatile(""); /* no tail call: it stands in the stack */
}

static int panics(void *unused)
{
	(void)unused;
	panics_deep_below(2);
	return 0;
}

static int waits(void *unused)
{
	(void)unused;
	return goro_ctx_sleep(GORO_FOREVER);
}

static void says_it(void *text)
{
	fputs(text, stdout);
	fflush(stdout);
}

/* The owner must not go on, nor what it deferred, while the process dies of its child. */
GORO_CHILD(child_panics)
{
	goro_defer(says_it, "the owner went on");
	GORO_GROUP(group);
	goro_group_go(&group, waits, NULL);
	goro_group_go(&group, panics, NULL);
	goro_group_wait(&group);
	says_it("the wait returned");
}

TAP_CASE(a_childs_panic_ends_the_process_and_shows_where, .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "child_panics");
	expect_child(&c, 2, "panic: of a child\n\ngoroutine 3 [running]:\n");
	expect_contains(c.err, "panics_deep_below");
	expect_contains(c.err, "created by child_panics");
	expect_contains(c.err, "group wait");
	expect_str(c.out, "");
}

static int pretends(void *unused)
{
	(void)unused;
	goro_panic("context canceled");
}

GORO_CHILD(child_pretends)
{
	GORO_GROUP(group);
	goro_group_go(&group, pretends, NULL);
	goro_group_cancel(&group);
}

static void sleeps_in_cleanup(void *unused)
{
	(void)unused;
	goro_sleep(GORO_FOREVER);
}

static int panics_and_is_cancelled(void *group)
{
	goro_defer(sleeps_in_cleanup, NULL);
	goro_group_cancel(group);
	goro_panic("the first");
}

/* The cancellation of a cleanup must not hide the panic that it belongs to. */
GORO_CHILD(child_panics_and_is_cancelled)
{
	GORO_GROUP(group);
	goro_group_go(&group, panics_and_is_cancelled, &group);
}

static void panics_in_cleanup(void *unused)
{
	(void)unused;
	goro_panic("the second");
}

static int is_cancelled_and_panics(void *group)
{
	goro_defer(panics_in_cleanup, NULL);
	goro_group_cancel(group);
	goro_sleep(GORO_FOREVER);
	return 0;
}

GORO_CHILD(child_is_cancelled_and_panics)
{
	GORO_GROUP(group);
	goro_group_go(&group, is_cancelled_and_panics, &group);
}

TAP_CASE(only_the_cancellations_own_panic_is_quiet, .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "child_pretends");
	expect_child(&c, 2, "panic: context canceled\n\ngoroutine 2 [running]:\n");
	tap_child(&c, "child_panics_and_is_cancelled");
	expect_child(&c, 2, "panic: the first\n\tpanic: context canceled\n");
	tap_child(&c, "child_is_cancelled_and_panics");
	expect_child(&c, 2, "panic: context canceled\n\tpanic: the second\n");
}

/* ---- the owner's panic ---- */

static int cleans_up_slowly(void *unused)
{
	(void)unused;
	(void)goro_ctx_sleep(GORO_FOREVER);
	goro_ctx_unref(goro_ctx_use(NULL));
	goro_sleep(GORO_MS(5));
	says_it("cleaned up; ");
	return 0;
}

GORO_CHILD(owner_panics)
{
	goro_defer(says_it, "deferred before");
	GORO_GROUP(group);
	goro_group_go(&group, cleans_up_slowly, NULL);
	goro_panic("of the owner");
}

TAP_CASE(an_owners_uncaught_panic_waits_for_the_children, .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "owner_panics");
	expect_child(&c, 2, "panic: of the owner\n\ngoroutine 1 [running]:\n");
	expect_str(c.out, "cleaned up; deferred before");
}

/* ---- a deadlock names who waits for whom ---- */

static int waits_for_ever(void *unused)
{
	(void)unused;
	goro_chan_recv(NULL, NULL);
	return 0;
}

GORO_CHILD(group_deadlock)
{
	GORO_GROUP(group);
	goro_group_go(&group, returns_0, NULL);
	goro_group_go(&group, waits_for_ever, NULL);
}

TAP_CASE(a_group_that_waits_for_ever_is_a_deadlock, .procs = "1,4")
{
	struct tap_child c;
	tap_child(&c, "group_deadlock");
	expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!");
	expect_contains(c.err, "goroutine 1 [group wait]:");
	expect_contains(c.err, "[chan receive (nil chan)]:");
}

TAP_MAIN
