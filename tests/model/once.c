/*
 * once.c - who comes first, who waits, and nobody back too early, under every schedule.
 *
 *   src/sync/once.c, src/sync/waitq.c -> the explorer
 */
#include "model_sync.h"

#include "sync/once.c"

/* What panics and deferred records do is shown in tests/conform. */
void deferred_push(struct deferred *d)
{
	(void)d;
}

void deferred_remove(struct deferred *d)
{
	(void)d;
}

static goro_once *once;
static uint32_t value;

static void setup(void)
{
	model_sync_setup();
	once = explore_alloc(sizeof(*once));
	explore_name(once, sizeof(*once), "once");
	explore_name(&value, sizeof(value), "value");
}

static void body(void *arg)
{
	explore_check(value++ == 0);
	explore_seen((unsigned)explore_self());
	(void)arg;
}

static void do_it(void)
{
	goro_once_do(once, body, NULL);
	explore_check(value == 1);
}

static void do_it_twice(void)
{
	do_it();
	do_it();
}

/*
 * The other's call may be under way when this one is back; it must not touch the object after that,
 * if it was it that ran the body.
 */
static void do_it_free(void)
{
	do_it();
	if (n_left)
		explore_free(once);
}

static void body_of_first(void *arg)
{
	body(arg);
	n_left = 1;
}

static void do_it_first(void)
{
	goro_once_do(once, body_of_first, NULL);
}

static void is_done(void)
{
	explore_check(value == 1 && load_rlx(&once_of(once)->state) == ONCE_DONE);
	explore_check(waitq_is_empty(&once_of(once)->waiters));
}

#define ONCE(a, b, c, end) .setup = setup, .thread = {a, b, c}, .finish = end

int main(void)
{
	explore_holds_seen(&(struct explore_test){"once: three come",
						  ONCE(do_it, do_it, do_it, is_done), TRY(3, 1)},
			   7);
	explore_holds_seen(&(struct explore_test){"once: each comes twice",
						  ONCE(do_it_twice, do_it_twice, NULL, is_done),
						  TRY(4, 2), .spurious = 1},
			   3);
	explore_holds(&(struct explore_test){"once: who waited frees it",
					     ONCE(do_it_first, do_it_free, NULL, NULL), TRY(4, 2)});
	explore_finds(&(struct explore_test){"once: found when finishing orders nothing",
					     ONCE(do_it, do_it, NULL, NULL), TRY(2, 1),
					     .weaken = "once_finish"},
		      "data race");
	explore_finds(&(struct explore_test){"once: found when the quick look orders nothing",
					     ONCE(do_it, do_it, NULL, NULL), TRY(2, 1),
					     .weaken = "goro_once_do_"},
		      "data race");
	explore_finds(&(struct explore_test){"once: found when waiters are not looked for again",
					     ONCE(do_it, do_it, NULL, NULL), TRY(2, 1),
					     .omit = "once-waiters"},
		      "deadlock");
	return explore_done();
}
