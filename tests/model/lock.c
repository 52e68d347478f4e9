/*
 * lock.c - the runtime's lock under every schedule: two and three threads, one spin before the
 * sleep.
 *
 *   src/core/lock.c -> the explorer
 */
#include "model.h"

#include "core/lock.c"

static struct lock *lock;
static uint64_t counter;
static atomic_of(uint32_t) steps;

struct m *m_self(void)
{
	return NULL;
}

static void setup(void)
{
	lock = explore_alloc(sizeof(*lock));
	lock_init(lock, LOCK_LEAF);
	explore_name(&lock->word, 4, "lock.word");
	explore_name(lock_sleepers, sizeof(lock_sleepers), "lock_sleepers");
	explore_name(&counter, 8, "counter");
}

static void user(void)
{
	lock_acquire(lock);
	counter++;
	for (int i = 0; i < 2; i++)
		add_rlx(&steps, 1); /* so that the holder can be met while it holds */
	lock_release(lock);
}

static void user_twice(void)
{
	user();
	user();
}

static void counted_two(void)
{
	explore_check(counter == 2);
}
static void counted_three(void)
{
	explore_check(counter == 3);
}

/* LK1: whoever finds itself the last user under the lock frees what is around it. */
static void last_frees(void)
{
	bool is_last;

	lock_acquire(lock);
	counter++;
	is_last = counter == 2;
	lock_release(lock);
	if (is_last)
		explore_free(lock);
}

int main(void)
{
#define LOCK(a, b, end) .setup = setup, .thread = {a, b}, .finish = end
	explore_holds(&(struct explore_test){"lock: two users", LOCK(user, user, counted_two),
					     TRY(3, 2), .spurious = 1});
	explore_holds(&(struct explore_test){"lock: again and again",
					     LOCK(user_twice, user, counted_three), TRY(3, 1)});
	explore_holds(&(struct explore_test){"lock: three users", LOCK(user, user, counted_three),
					     .thread[2] = user, TRY(2, 1)});
	explore_holds(&(struct explore_test){"lock: the last user frees it",
					     LOCK(last_frees, last_frees, counted_two), TRY(3, 1)});
	explore_finds(&(struct explore_test){"lock: found without the sleeper's fence",
					     LOCK(user, user, counted_two), TRY(3, 2),
					     .omit = "lock-sleep-fence"},
		      "deadlock");
	explore_finds(&(struct explore_test){"lock: found without the releaser's fence",
					     LOCK(user, user, counted_two), TRY(3, 2),
					     .unfence = "lock_release"},
		      "deadlock");
	explore_finds(&(struct explore_test){"lock: found when the release does not wake",
					     LOCK(user, user, counted_two), TRY(3, 2),
					     .omit = "lock-wake"},
		      "deadlock");
	explore_finds(&(struct explore_test){"lock: found when it does not acquire",
					     LOCK(user, user, counted_two),
					     .weaken = "lock_acquire"},
		      "data race");
	explore_finds(&(struct explore_test){"lock: found when it does not release",
					     LOCK(user, user, counted_two),
					     .weaken = "lock_release"},
		      "data race");
	return explore_done();
}
