/*
 * netpoll.c - the word of a side, step by step: events and kicks against a rare waiter that has
 * ended already, and against one that has not; src/event/netpoll.c.
 */
#include "tap.h"

#include "event/netpoll.h"

static struct g sleeper;

/* It waits until its end() says that it has been ended: by us, or long ago by another. */
struct rare {
	struct poll_wait poll;
	int n_asked;
	bool is_over;
};

static bool rare_end(struct poll_wait *poll, struct glist *ready)
{
	struct rare *rare = container_of(poll, struct rare, poll);

	rare->n_asked++;
	if (rare->is_over)
		return false;
	glist_push(ready, &sleeper);
	return true;
}

static struct polled polled_with(struct rare *rare)
{
	struct polled pd = {0};

	lock_init(&pd.lock, LOCK_OBJECT);
	expect(polled_publish(&pd, POLL_READ, (uint64_t)(uintptr_t)&rare->poll | PS_RARE));
	return pd;
}

TAP_CASE(an_event_ends_a_rare_wait_and_is_used_up, .procs = "-")
{
	struct rare rare = {.poll.end = rare_end};
	struct polled pd = polled_with(&rare);
	struct glist ready = {0};

	polled_signal(&pd, POLL_READ, &ready);
	expect_eq(rare.n_asked, 1);
	expect_eq(ready.count, 1);
	expect_eq(load_rlx(&pd.side[POLL_READ]), PS_NIL); /* PS1 */
}

TAP_CASE(an_event_that_meets_a_wait_that_is_over_is_kept, .procs = "-")
{
	struct rare rare = {.poll.end = rare_end, .is_over = true};
	struct polled pd = polled_with(&rare);
	struct glist ready = {0};

	polled_signal(&pd, POLL_READ, &ready);
	expect_eq(rare.n_asked, 1);
	expect_eq(ready.count, 0);
	expect_eq(load_rlx(&pd.side[POLL_READ]), PS_READY); /* PS2 */
}

TAP_CASE(a_kick_ends_a_rare_wait_once_and_leaves_nothing, .procs = "-")
{
	for (int is_over = 0; is_over < 2; is_over++) {
		struct rare rare = {.poll.end = rare_end, .is_over = is_over};
		struct polled pd = polled_with(&rare);
		struct glist ready = {0};

		polled_kick(&pd, POLL_READ, true, &ready);
		polled_kick(&pd, POLL_READ, true, &ready);
		expect_eq(rare.n_asked, 1);
		expect_eq(ready.count, is_over ? 0 : 1);
		expect_eq(load_rlx(&pd.side[POLL_READ]), PS_NIL);
	}
}

TAP_CASE(a_kick_that_spares_plain_waiters_ends_rare_ones, .procs = "-")
{
	struct rare rare = {.poll.end = rare_end};
	struct polled pd = polled_with(&rare), plain = {0};
	struct glist ready = {0};

	lock_init(&plain.lock, LOCK_OBJECT);
	polled_kick(&pd, POLL_READ, false, &ready);
	expect_eq(ready.count, 1);
	expect(polled_publish(&plain, POLL_READ, (uint64_t)(uintptr_t)&sleeper));
	polled_kick(&plain, POLL_READ, false, &ready);
	expect_eq(ready.count, 1);
	expect_eq(load_rlx(&plain.side[POLL_READ]), (uint64_t)(uintptr_t)&sleeper);
}

TAP_MAIN
