/*
 * cond.c - wait, signal and broadcast under every schedule, and giving up beside them.
 *
 *   src/sync/cond.c, src/sync/mutex.c, src/sync/waitq.c -> the explorer
 */
#include "model_sync.h"

#include "sync/mutex.c"

#include "sync/cond.c"

static goro_mutex *m;
static goro_cond *c;
static uint32_t n_ready, n_taken, n_gave_up; /* m */

static void setup(void)
{
	model_sync_setup();
	m = explore_alloc(sizeof(*m));
	c = explore_alloc(sizeof(*c));
	explore_name(m, sizeof(*m), "mutex");
	explore_name(c, sizeof(*c), "cond");
	explore_name(&n_ready, sizeof(n_ready), "n_ready");
}

static void take_1(void)
{
	goro_mutex_lock(m);
	while (n_ready == 0)
		goro_cond_wait(c, m);
	n_ready--;
	n_taken++;
	goro_mutex_unlock(m);
}

static void take_by_deadline(void)
{
	int error = 0;

	goro_mutex_lock(m);
	while (n_ready == 0 && error == 0)
		error = goro_cond_wait_until(c, m, DEADLINE);
	explore_seen(error ? 0 : 1);
	if (n_ready > 0) {
		n_ready--;
		n_taken++;
	} else {
		n_gave_up++;
	}
	be_inside(); /* with the mutex, however it returned: CV4 */
	goro_mutex_unlock(m);
}

static void give_inside(void)
{
	goro_mutex_lock(m);
	n_ready++;
	goro_cond_signal(c);
	goro_mutex_unlock(m);
}

static void give_outside(void)
{
	goro_mutex_lock(m);
	n_ready++;
	goro_mutex_unlock(m);
	goro_cond_signal(c);
}

static void give_two(void)
{
	goro_mutex_lock(m);
	n_ready += 2;
	goro_mutex_unlock(m);
	goro_cond_broadcast(c);
}

static void give_two_singly(void)
{
	give_outside();
	give_outside();
}

/* The waiter frees both as soon as its wait has returned and the giver has unlocked. */
static void take_free(void)
{
	goro_mutex_lock(m);
	while (n_ready == 0)
		goro_cond_wait(c, m);
	goro_mutex_unlock(m);
	explore_free(c);
}

/* Signals with the mutex held, so that the signal counts as ended when the waiter goes on. */
static void give_last(void)
{
	goro_mutex_lock(m);
	n_ready++;
	goro_cond_signal(c);
	goro_mutex_unlock(m);
}

static void both_taken(void)
{
	explore_check(n_ready == 0 && n_taken == 2);
	explore_check(waitq_is_empty(&cond_of(c)->waiters));
	explore_check(load_rlx(&mutex_of(m)->state) == 0);
}

static void one_taken(void)
{
	explore_check(n_ready == 0 && n_taken == 1);
	explore_check(load_rlx(&mutex_of(m)->state) == 0);
}

static void nothing_lost(void)
{
	explore_check(n_taken + n_gave_up == 2 && n_taken + n_ready == 1);
	explore_check(waitq_is_empty(&cond_of(c)->waiters));
	explore_check(load_rlx(&mutex_of(m)->state) == 0);
}

static void taken_or_left(void)
{
	explore_check(n_taken + n_ready == 1 && n_taken + n_gave_up == 1);
	explore_check(load_rlx(&cond_of(c)->has_waiters) == 0);
	explore_check(load_rlx(&mutex_of(m)->state) == 0);
}

#define COND(a, b, d, end) .setup = setup, .thread = {a, b, d}, .finish = end

static void test_wait(void)
{
	explore_holds(&(struct explore_test){"cond: a wait and a signal under the mutex",
					     COND(take_1, give_inside, NULL, one_taken), TRY(4, 2),
					     .spurious = 1});
	explore_holds(&(struct explore_test){"cond: a wait and a signal after it",
					     COND(take_1, give_outside, NULL, one_taken), TRY(4, 2),
					     .spurious = 1});
	explore_holds(&(struct explore_test){"cond: two waits and two signals",
					     COND(take_1, take_1, give_two_singly, both_taken),
					     TRY(2, 1)});
	explore_holds(&(struct explore_test){"cond: two waits and a broadcast",
					     COND(take_1, take_1, give_two, both_taken),
					     TRY(2, 1)});
	explore_holds(&(struct explore_test){"cond: the waiter frees it",
					     COND(take_free, give_last, NULL, NULL), TRY(4, 2)});
}

static void test_deadline(void)
{
	explore_holds_seen(&(struct explore_test){"cond: a wait gives up beside a signal",
						  COND(take_by_deadline, give_outside, NULL,
						       taken_or_left),
						  TRY(3, 2), .timeouts = 1},
			   3);
	explore_holds_seen(&(struct explore_test){"cond: two waits give up beside one signal",
						  COND(take_by_deadline, take_by_deadline,
						       give_inside, nothing_lost),
						  TRY(1, EXPLORE_NONE), .timeouts = 2},
			   3);
}

static void test_negative(void)
{
	explore_finds(&(struct explore_test){"cond: found when a waiter is not announced",
					     COND(take_1, give_outside, NULL, NULL), TRY(2, 1),
					     .omit = "cond-note-waiters"},
		      "deadlock");
}

int main(void)
{
	test_wait();
	test_deadline();
	test_negative();
	return explore_done();
}
