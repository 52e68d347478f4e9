/*
 * mutex.c - a mutex under every schedule: barging, hand-off, giving up, and freeing it at once.
 *
 *   src/sync/mutex.c, src/sync/waitq.c -> the explorer
 *
 * The clock of the model stands still, so whether a waiter has waited long enough for the hand-off
 * is said by each test: always or never.
 */
#include "model_sync.h"

#undef MUTEX_STARVE_NS
#define MUTEX_STARVE_NS starve_ns
static int64_t starve_ns;

#include "sync/mutex.c"

static goro_mutex *m;

static void setup_barging(void)
{
	model_sync_setup();
	starve_ns = INT64_MAX;
	m = explore_alloc(sizeof(*m));
	explore_name(m, sizeof(*m), "mutex");
	n_left = 2;
}

static void setup_hand_off(void)
{
	setup_barging();
	starve_ns = 0;
}

static void lock_unlock(void)
{
	goro_mutex_lock(m);
	be_inside();
	goro_mutex_unlock(m);
}

static void lock_unlock_twice(void)
{
	lock_unlock();
	lock_unlock();
}

static void lock_by_deadline(void)
{
	int error = goro_mutex_lock_until(m, DEADLINE);

	explore_seen(error ? 0 : 1);
	if (error) {
		explore_check(error == -ETIMEDOUT && explore_now() >= DEADLINE);
		return;
	}
	be_inside();
	goro_mutex_unlock(m);
}

static void lock_if_free(void)
{
	if (!goro_mutex_trylock(m))
		return;
	be_inside();
	goro_mutex_unlock(m);
}

static void lock_poll(void)
{
	if (goro_mutex_lock_until(m, 0))
		return;
	be_inside();
	goro_mutex_unlock(m);
}

/* Whoever is the last frees it: MX4. */
static void lock_unlock_free(void)
{
	goro_mutex_lock(m);
	bool is_last = --n_left == 0;
	goro_mutex_unlock(m);
	if (is_last)
		explore_free(m);
}

static void lock_by_deadline_free(void)
{
	if (goro_mutex_lock_until(m, DEADLINE))
		goro_mutex_lock(m);
	bool is_last = --n_left == 0;
	goro_mutex_unlock(m);
	if (is_last)
		explore_free(m);
}

static void is_free(void)
{
	explore_check(load_rlx(&mutex_of(m)->state) == 0);
	explore_check(waitq_is_empty(&mutex_of(m)->waiters));
	explore_check(n_inside == 0);
}

static void three_were_in(void)
{
	is_free();
	explore_check(n_done == 3);
}

#define MUTEX(from, a, b, c, end) .setup = from, .thread = {a, b, c}, .finish = end

static void test_lock(void)
{
	explore_holds(&(struct explore_test){
		"mutex: three lock and unlock",
		MUTEX(setup_barging, lock_unlock, lock_unlock, lock_unlock, three_were_in),
		TRY(3, 1)});
	explore_holds(&(struct explore_test){
		"mutex: three lock and unlock, always handed over",
		MUTEX(setup_hand_off, lock_unlock, lock_unlock, lock_unlock, three_were_in),
		TRY(3, 1)});
	explore_holds(&(struct explore_test){
		"mutex: one locks twice, another once",
		MUTEX(setup_barging, lock_unlock_twice, lock_unlock, NULL, three_were_in),
		TRY(4, 2), .spurious = 1});
	explore_holds(&(struct explore_test){
		"mutex: a try and a poll beside it",
		MUTEX(setup_barging, lock_unlock, lock_if_free, lock_poll, is_free), TRY(3, 1)});
	explore_holds(&(struct explore_test){
		"mutex: the last one frees it",
		MUTEX(setup_barging, lock_unlock_free, lock_unlock_free, NULL, NULL), TRY(4, 2)});
	explore_holds(&(struct explore_test){
		"mutex: the last one frees it, handed over",
		MUTEX(setup_hand_off, lock_unlock_free, lock_unlock_free, NULL, NULL), TRY(4, 2)});
}

static void test_deadline(void)
{
	explore_holds_seen(
		&(struct explore_test){
			"mutex: one gives up while another unlocks",
			MUTEX(setup_barging, lock_by_deadline, lock_unlock, lock_unlock, is_free),
			TRY(2, 1), .timeouts = 1},
		3);
	explore_holds_seen(
		&(struct explore_test){
			"mutex: one gives up while it is handed over",
			MUTEX(setup_hand_off, lock_by_deadline, lock_unlock, lock_unlock, is_free),
			TRY(2, 1), .timeouts = 1},
		3);
	explore_holds_seen(
		&(struct explore_test){"mutex: two give up",
				       MUTEX(setup_barging, lock_by_deadline, lock_by_deadline,
					     lock_unlock, is_free),
				       TRY(2, 1), .timeouts = 2},
		3);
	explore_holds(&(struct explore_test){
		"mutex: one that gave up frees it",
		MUTEX(setup_barging, lock_by_deadline_free, lock_unlock_free, NULL, NULL),
		TRY(3, 2), .timeouts = 1});
}

static void test_negative(void)
{
	explore_finds(
		&(struct explore_test){
			"mutex: found when who queues does not look again",
			MUTEX(setup_barging, lock_unlock, lock_unlock, NULL, NULL),
			TRY(2, 1), .omit = "mutex-look-again"},
		"deadlock");
	explore_finds(
		&(struct explore_test){
			"mutex: found when a woken one that gives up stays the woken one",
			MUTEX(setup_barging, lock_by_deadline, lock_unlock_twice, lock_unlock,
			      NULL),
			TRY(3, 1), .timeouts = 1, .omit = "mutex-late-woken"},
		"deadlock");
	explore_finds(&(struct explore_test){"mutex: found when unlocking orders nothing",
					     MUTEX(setup_barging, lock_unlock, lock_unlock, NULL,
						   NULL),
					     TRY(2, 1), .weaken = "goro_mutex_unlock"},
		      "data race");
	explore_finds(&(struct explore_test){"mutex: found when locking orders nothing",
					     MUTEX(setup_barging, lock_unlock, lock_unlock, NULL,
						   NULL),
					     TRY(2, 1), .weaken = "goro_mutex_lock"},
		      "data race");
}

int main(void)
{
	test_lock();
	test_deadline();
	test_negative();
	return explore_done();
}
