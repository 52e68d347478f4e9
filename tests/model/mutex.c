/*
 * mutex.c - a mutex under every schedule: barging, hand-off, giving up, and freeing it at once.
 *
 *   src/sync/mutex.c, src/sync/waitq.c -> the explorer
 *
 * All mutexes share one slot here. It begins quiet, so that the first to queue meets those that
 * unlock by a store; `calm` is sysmon, which makes it so again.
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

static void setup_crowded(void)
{
	setup_barging();
	store_rlx(&mutex_slots[0].mode, MUTEX_CROWDED);
}

static void setup_locked(void)
{
	setup_barging();
	goro_mutex_lock(m);
}

/* It may stand still behind its last look. */
static void unlock_and_go_on(void)
{
	static atomic_of(uint32_t) other;

	goro_mutex_unlock(m);
	(void)load_rlx(&other);
}

/* As one that has seen it locked all the time. */
static void queue_unlock(void)
{
	(void)mutex_lock_queued(m, GORO_FOREVER, true);
	be_inside();
	goro_mutex_unlock(m);
}

static void calm(void)
{
	mutex_calm(); /* it may have been entered */
	mutex_calm();
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
	explore_check(waitq_is_empty(&mutex_slots[0].present.visits));
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

/* MX5, MX6: who queues turns the slot, those that unlock by a store come to repair. */
static void test_turn(void)
{
	explore_holds(&(struct explore_test){
		"mutex: two queue at once while it is unlocked by a store",
		MUTEX(setup_locked, unlock_and_go_on, queue_unlock, queue_unlock, is_free),
		TRY(3, 2)});
	explore_holds(&(struct explore_test){
		"mutex: two queue at once, and the slot is calmed",
		MUTEX(setup_locked, unlock_and_go_on, queue_unlock, queue_unlock, is_free),
		.thread[3] = calm, TRY(2, 1)});
	explore_holds(&(struct explore_test){
		"mutex: the slot is calmed while they come and go",
		MUTEX(setup_barging, lock_unlock_twice, lock_unlock, calm, three_were_in),
		TRY(3, 2)});
	explore_holds(&(struct explore_test){
		"mutex: the slot is calmed while they come and go, handed over",
		MUTEX(setup_hand_off, lock_unlock_twice, lock_unlock, calm, three_were_in),
		TRY(3, 2)});
	explore_holds(&(struct explore_test){
		"mutex: three in a crowded slot that is calmed",
		MUTEX(setup_crowded, lock_unlock, lock_unlock, lock_unlock, three_were_in),
		.thread[3] = calm, TRY(2, 1)});
	explore_holds(&(struct explore_test){
		"mutex: the last one frees it while the slot is calmed",
		MUTEX(setup_barging, lock_unlock_free, lock_unlock_free, calm, NULL), TRY(3, 2)});
	explore_holds(&(struct explore_test){
		"mutex: one that gave up frees it while the slot is calmed",
		MUTEX(setup_barging, lock_by_deadline_free, lock_unlock_free, calm, NULL),
		TRY(2, 1), .timeouts = 1});
}

#define TURN(...) MUTEX(setup_barging, __VA_ARGS__, NULL)

static void test_turn_negative(void)
{
	explore_finds(&(struct explore_test){"mutex: found when who queues passes no heavy fence",
					     TURN(lock_unlock, lock_unlock, NULL), TRY(2, 1),
					     .omit = "mutex-heavy-fence"},
		      "deadlock");
	explore_finds(&(struct explore_test){"mutex: found when unlocking passes no light fence",
					     TURN(lock_unlock, lock_unlock, NULL), TRY(2, 1),
					     .unfence = "mutex_unlock_fast"},
		      "deadlock");
	explore_finds(&(struct explore_test){"mutex: found when a second one trusts the fence of "
					     "the first",
					     MUTEX(setup_locked, unlock_and_go_on, queue_unlock,
						   queue_unlock, NULL),
					     TRY(3, 1), .omit = "mutex-own-fence"},
		      "deadlock");
	explore_finds(&(struct explore_test){"mutex: found when unlocking does not look again",
					     TURN(lock_unlock, lock_unlock, NULL), TRY(2, 1),
					     .omit = "mutex-second-look"},
		      "deadlock");
	explore_finds(&(struct explore_test){"mutex: found when the repair wakes nobody",
					     TURN(lock_unlock, lock_unlock, NULL), TRY(2, 1),
					     .omit = "mutex-mend-wake"},
		      "deadlock");
	explore_finds(&(struct explore_test){"mutex: found when the repair does not set WAITERS",
					     TURN(lock_unlock, lock_unlock, lock_unlock),
					     TRY(3, 1), .omit = "mutex-mend-mark"},
		      "deadlock");
	explore_finds(&(struct explore_test){"mutex: found when it is repaired without a visit",
					     TURN(lock_by_deadline_free, lock_unlock_free, NULL),
					     TRY(3, 1), .timeouts = 1, .omit = "mutex-present"},
		      "use after free");
	explore_finds(&(struct explore_test){"mutex: found when a slot is calmed with somebody in",
					     TURN(lock_unlock_twice, lock_unlock, calm),
					     TRY(3, 1), .omit = "mutex-calm-empty"},
		      "deadlock");
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
					     TRY(2, 1), .weaken = "mutex_unlock_fast"},
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
	test_turn();
	test_turn_negative();
	test_negative();
	return explore_done();
}
