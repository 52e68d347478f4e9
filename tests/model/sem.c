/*
 * sem.c - units acquired and released under every schedule: none lost, none made, in order.
 *
 *   src/sync/sem.c, src/sync/waitq.c -> the explorer
 */
#include "model_sync.h"

#include "sync/sem.c"

static goro_sem *s;

static void setup_units(int64_t n)
{
	model_sync_setup();
	s = explore_alloc(sizeof(*s));
	explore_name(s, sizeof(*s), "sem");
	goro_sem_init(s, n);
	n_left = 2;
}

static void setup_0(void)
{
	setup_units(0);
}

static void setup_1(void)
{
	setup_units(1);
}

static void setup_2(void)
{
	setup_units(2);
}

static void one(void)
{
	goro_sem_acquire(s, 1);
	be_inside(); /* exclusive where there is one unit */
	goro_sem_release(s, 1);
}

static void one_of_two(void)
{
	goro_sem_acquire(s, 1);
	goro_sem_release(s, 1);
}

static void both(void)
{
	goro_sem_acquire(s, 2);
	be_inside();
	goro_sem_release(s, 2);
}

static void both_by_deadline(void)
{
	int error = goro_sem_acquire_until(s, 2, DEADLINE);

	explore_seen(error ? 0 : 1);
	if (error) {
		explore_check(error == -ETIMEDOUT);
		return;
	}
	goro_sem_release(s, 2);
}

static void one_by_deadline(void)
{
	if (goro_sem_acquire_until(s, 1, DEADLINE) == 0)
		goro_sem_release(s, 1);
}

static void try_one(void)
{
	if (!goro_sem_tryacquire(s, 1))
		return;
	be_inside();
	goro_sem_release(s, 1);
}

/* One unit is there, and stays taken until the other is through: it must not wait behind "both". */
static void one_then_add(void)
{
	goro_sem_acquire(s, 1);
	goro_sem_release(s, 2);
}

static void wait_free(void)
{
	goro_sem_acquire(s, 1);
	explore_check(n_done == 1);
	explore_free(s);
}

static void post(void)
{
	n_done = 1;
	goro_sem_release(s, 1);
}

/* Whoever is the last frees it: SU4. */
static void one_free(void)
{
	goro_sem_acquire(s, 1);
	bool is_last = --n_left == 0;
	goro_sem_release(s, 1);
	if (is_last)
		explore_free(s);
}

static void units_left(uint64_t n)
{
	explore_check(load_rlx(&sem_of(s)->state) == n << SEM_SHIFT);
	explore_check(waitq_is_empty(&sem_of(s)->waiters));
}

static void one_left(void)
{
	units_left(1);
}

static void two_left(void)
{
	units_left(2);
}

#define SEM(from, a, b, c, end) .setup = from, .thread = {a, b, c}, .finish = end

static void test_units(void)
{
	explore_holds(&(struct explore_test){"sem: one unit, three want it",
					     SEM(setup_1, one, one, one, one_left), TRY(3, 1)});
	explore_holds(&(struct explore_test){"sem: two units, one wants both",
					     SEM(setup_2, one_of_two, both, one_of_two, two_left),
					     TRY(3, 1)});
	explore_holds(&(struct explore_test){"sem: one unit, and a try",
					     SEM(setup_1, one, one, try_one, one_left), TRY(3, 1),
					     .spurious = 1});
	explore_holds(&(struct explore_test){"sem: who waited for the release frees it",
					     SEM(setup_0, wait_free, post, NULL, NULL), TRY(4, 2)});
	explore_holds(&(struct explore_test){"sem: the last one frees it",
					     SEM(setup_1, one_free, one_free, NULL, NULL),
					     TRY(4, 2)});
}

static void test_deadline(void)
{
	explore_holds_seen(&(struct explore_test){"sem: one gives up waiting for both",
						  SEM(setup_2, both_by_deadline, one_of_two,
						      one_of_two, two_left),
						  TRY(2, 1), .timeouts = 1},
			   3);
	explore_holds_seen(&(struct explore_test){"sem: who gives up lets in who fits",
						  SEM(setup_1, both_by_deadline, one_then_add, NULL,
						      two_left),
						  TRY(3, 2), .timeouts = 1},
			   3);
	explore_holds(&(struct explore_test){"sem: two give up",
					     SEM(setup_1, one_by_deadline, one_by_deadline, one,
						 one_left),
					     TRY(2, 1), .timeouts = 2});
}

static void test_negative(void)
{
	explore_finds(&(struct explore_test){"sem: found when who queues does not look again",
					     SEM(setup_0, wait_free, post, NULL, NULL), TRY(2, 1),
					     .omit = "sem-look-again"},
		      "deadlock");
	explore_finds(&(struct explore_test){"sem: found when who gives up lets nobody in",
					     SEM(setup_1, both_by_deadline, one_then_add, NULL,
						 NULL),
					     TRY(2, 1), .timeouts = 1, .omit = "sem-leave-gives"},
		      "deadlock");
	explore_finds(&(struct explore_test){"sem: found when releasing orders nothing",
					     SEM(setup_0, wait_free, post, NULL, NULL), TRY(2, 1),
					     .weaken = "goro_sem_release"},
		      "data race");
	explore_finds(&(struct explore_test){"sem: found when acquiring orders nothing",
					     SEM(setup_0, wait_free, post, NULL, NULL), TRY(2, 1),
					     .weaken = "sem_try"},
		      "data race");
}

int main(void)
{
	test_units();
	test_deadline();
	test_negative();
	return explore_done();
}
