/*
 * rwmutex.c - readers and writers under every schedule: who excludes whom, hand-over, giving up.
 *
 *   src/sync/rwmutex.c, src/sync/waitq.c -> the explorer
 */
#include "model_sync.h"

#include "sync/rwmutex.c"

static goro_rwmutex *rw;
static atomic_of(uint32_t) n_readers; /* inside; relaxed, so that it orders nothing */
static uint32_t value;                /* written by writers, read by readers */

static void setup(void)
{
	model_sync_setup();
	rw = explore_alloc(sizeof(*rw));
	explore_name(rw, sizeof(*rw), "rwmutex");
	explore_name(&value, sizeof(value), "value");
	n_left = 2;
}

static void setup_read_locked(void)
{
	setup();
	goro_rwmutex_rdlock(rw);
	n_left = 1;
}

static void read_inside(void)
{
	if (add_rlx(&n_readers, 1) != 0)
		explore_seen(5);
	explore_check(n_inside == 0); /* a race, or a writer is here */
	(void)value;
	explore_check(value <= 3);
	add_rlx(&n_readers, (uint32_t)-1);
}

static void rd(void)
{
	goro_rwmutex_rdlock(rw);
	read_inside();
	goro_rwmutex_rdunlock(rw);
}

static void wr(void)
{
	goro_rwmutex_wrlock(rw);
	explore_check(load_rlx(&n_readers) == 0);
	be_inside();
	value++;
	goro_rwmutex_wrunlock(rw);
}

static void rd_wr(void)
{
	rd();
	wr();
}

static void wr_by_deadline(void)
{
	int error = goro_rwmutex_wrlock_until(rw, DEADLINE);

	explore_seen(error ? 0 : 1);
	if (error) {
		explore_check(error == -ETIMEDOUT);
		return;
	}
	be_inside();
	goro_rwmutex_wrunlock(rw);
}

static void rd_by_deadline(void)
{
	int error = goro_rwmutex_rdlock_until(rw, DEADLINE);

	explore_seen(error ? 2 : 3);
	if (error)
		return;
	read_inside();
	goro_rwmutex_rdunlock(rw);
}

/* The reader inside (from the setup) stays until this one is in as well, behind a writer. */
static void rd_then_first_leaves(void)
{
	goro_rwmutex_rdlock(rw);
	read_inside();
	goro_rwmutex_rdunlock(rw);
	goro_rwmutex_rdunlock(rw);
}

static void rd_leaves(void)
{
	goro_rwmutex_rdunlock(rw);
}

static void tries(void)
{
	if (goro_rwmutex_trywrlock(rw)) {
		be_inside();
		goro_rwmutex_wrunlock(rw);
	} else if (goro_rwmutex_tryrdlock(rw)) {
		read_inside();
		goro_rwmutex_rdunlock(rw);
	}
}

/* Whoever is the last frees it: RW4. */
static void wr_free(void)
{
	goro_rwmutex_wrlock(rw);
	bool is_last = --n_left == 0;
	goro_rwmutex_wrunlock(rw);
	if (is_last)
		explore_free(rw);
}

/* The reader is inside already; the writer frees it after it. */
static void rd_leaves_wr_frees(void)
{
	wr_free();
}

/*
 * The reader of the setup leaves as the last, and may come back for the queue when that is empty,
 * and the writer that gave up has found the lock free, and freed it: RW4.
 */
static void wr_gives_up_frees(void)
{
	if (goro_rwmutex_wrlock_until(rw, DEADLINE) != 0) {
		explore_seen(0);
		if (!goro_rwmutex_trywrlock(rw))
			return;
		explore_seen(1);
	}
	goro_rwmutex_wrunlock(rw);
	explore_free(rw);
}

static void is_free(void)
{
	explore_check(load_rlx(&rwmutex_of(rw)->state) == 0);
	explore_check(waitq_is_empty(&rwmutex_of(rw)->waiters));
	explore_check(n_inside == 0);
}

#define RW(from, a, b, c, end) .setup = from, .thread = {a, b, c}, .finish = end

static void test_lock(void)
{
	explore_holds_seen(&(struct explore_test){"rwmutex: two readers and a writer",
						  RW(setup, rd, rd, wr, is_free), TRY(3, 1)},
			   1 << 5);
	explore_holds(&(struct explore_test){"rwmutex: a reader and two writers",
					     RW(setup, rd, wr, wr, is_free), TRY(3, 1)});
	explore_holds(&(struct explore_test){"rwmutex: both read, then write",
					     RW(setup, rd_wr, rd_wr, NULL, is_free), TRY(4, 2),
					     .spurious = 1});
	explore_holds(&(struct explore_test){"rwmutex: tries beside them",
					     RW(setup, rd, wr, tries, is_free), TRY(3, 1)});
	explore_holds(&(struct explore_test){"rwmutex: the last writer frees it",
					     RW(setup, wr_free, wr_free, NULL, NULL), TRY(4, 2)});
	explore_holds(&(struct explore_test){
		"rwmutex: a writer frees it after the last reader",
		RW(setup_read_locked, rd_leaves, rd_leaves_wr_frees, NULL, NULL), TRY(4, 2)});
	explore_holds(&(struct explore_test){"rwmutex: readers that are not in yet, and tries",
					     RW(setup, rd, wr, rd, is_free), .thread[3] = tries,
					     TRY(2, 1)});
}

static void test_deadline(void)
{
	explore_holds_seen(&(struct explore_test){"rwmutex: a writer gives up, readers go on",
						  RW(setup, wr_by_deadline, rd, rd, is_free),
						  TRY(2, 1), .timeouts = 1},
			   3 | 1 << 5);
	explore_holds_seen(
		&(struct explore_test){
			"rwmutex: a writer gives up and lets in the reader behind it",
			RW(setup_read_locked, wr_by_deadline, rd_then_first_leaves, NULL, is_free),
			TRY(3, 2), .timeouts = 1},
		1 | 1 << 1);
	explore_holds_seen(&(struct explore_test){"rwmutex: a writer gives up beside another",
						  RW(setup, wr_by_deadline, wr, rd, is_free),
						  TRY(2, 1), .timeouts = 1},
			   3);
	explore_holds_seen(&(struct explore_test){"rwmutex: a reader gives up",
						  RW(setup, rd_by_deadline, wr, wr, is_free),
						  TRY(2, 1), .timeouts = 1},
			   0xc);
}

static void test_come_back(void)
{
	explore_holds_seen(
		&(struct explore_test){"rwmutex: who gave up frees it before the reader is back",
				       RW(setup_read_locked, rd_leaves, wr_gives_up_frees, NULL,
					  NULL),
				       TRY(4, 2), .timeouts = 1},
		3);
	explore_finds(
		&(struct explore_test){"rwmutex: found when it comes back without a waiter",
				       RW(setup_read_locked, rd_leaves, wr_gives_up_frees, NULL,
					  NULL),
				       TRY(4, 2), .timeouts = 1, .omit = "rw-present"},
		"use after free");
	explore_finds(&(struct explore_test){"rwmutex: found when it does not come back",
					     RW(setup, rd, wr, NULL, is_free), TRY(2, 1),
					     .omit = "rw-come-back"},
		      "deadlock");
}

static void test_negative(void)
{
	explore_finds(&(struct explore_test){"rwmutex: found when who queues does not look again",
					     RW(setup, wr, wr, NULL, NULL), TRY(2, 1),
					     .omit = "rw-look-again"},
		      "deadlock");
	explore_finds(
		&(struct explore_test){
			"rwmutex: found when a writer gives up and lets nobody in",
			RW(setup_read_locked, wr_by_deadline, rd_then_first_leaves, NULL, is_free),
			TRY(2, 1), .timeouts = 1, .omit = "rw-leave-lets-in"},
		"deadlock");
	explore_finds(&(struct explore_test){"rwmutex: found when unlocking orders nothing",
					     RW(setup, wr, rd, NULL, NULL), TRY(2, 1),
					     .weaken = "rw_unlock"},
		      "data race");
	explore_finds(&(struct explore_test){"rwmutex: found when locking orders nothing",
					     RW(setup, wr, rd, NULL, NULL), TRY(2, 1),
					     .weaken = "rw_try"},
		      "data race");
}

int main(void)
{
	test_lock();
	test_deadline();
	test_come_back();
	test_negative();
	return explore_done();
}
