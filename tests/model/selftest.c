/*
 * selftest.c - the explorer finds what it must find, and nothing where there is nothing.
 *
 *   litmus tests and small protocols -> [explore_holds, explore_finds] -> TAP
 *
 * Each wrong program stands beside its right twin, so that neither verdict can come from an
 * explorer that always says the same.
 */
#include "base/atomic.h"

#include <stdio.h>
#include <string.h>

static atomic_of(uint32_t) x, y, flag;
static atomic_of(uint64_t *) pointer;
static uint32_t r[EXPLORE_THREADS];
static uint64_t data;
static char lock_key;

static void name_all(void)
{
	explore_name(&x, sizeof(x), "x");
	explore_name(&y, sizeof(y), "y");
	explore_name(&flag, sizeof(flag), "flag");
	explore_name(&data, sizeof(data), "data");
	explore_name(&pointer, sizeof(pointer), "pointer");
}

/* --- store buffering: both store, then load what the other stored ----------------------------- */

enum { WITHOUT, SEQ_CST, LIGHT, HEAVY };

static void store_then_load(atomic_of(uint32_t) *mine, atomic_of(uint32_t) * other, int fence)
{
	store_rel(mine, 1);
	if (fence == SEQ_CST)
		fence_seq_cst();
	else if (fence == LIGHT)
		fence_light();
	else if (fence == HEAVY)
		fence_heavy();
	r[explore_self()] = load_acq(other);
}

static void sb0_without(void)
{
	store_then_load(&x, &y, WITHOUT);
}
static void sb1_without(void)
{
	store_then_load(&y, &x, WITHOUT);
}
static void sb0_seq_cst(void)
{
	store_then_load(&x, &y, SEQ_CST);
}
static void sb1_seq_cst(void)
{
	store_then_load(&y, &x, SEQ_CST);
}
static void sb0_light(void)
{
	store_then_load(&x, &y, LIGHT);
}
static void sb1_light(void)
{
	store_then_load(&y, &x, LIGHT);
}
static void sb1_heavy(void)
{
	store_then_load(&y, &x, HEAVY);
}

static void one_saw_the_other(void)
{
	explore_seen(r[0] * 2 + r[1]);
	explore_check(r[0] == 1 || r[1] == 1);
}

static void sb0_xchg(void)
{
	xchg_acq_rel(&x, 1);
	r[0] = load_acq(&y);
}

static void sb1_xchg(void)
{
	xchg_acq_rel(&y, 1);
	r[1] = load_acq(&x);
}

/* An RMW of another variable orders nothing but what its name says. */
static void sb0_rmw(void)
{
	store_rlx(&x, 1);
	add_rlx(&flag, 1);
	r[0] = load_rlx(&y);
}

static void sb1_rmw(void)
{
	store_rlx(&y, 1);
	add_rlx(&flag, 1);
	r[1] = load_rlx(&x);
}

static void sb1_heavy_rlx(void)
{
	store_rlx(&y, 1);
	fence_heavy();
	r[1] = load_rlx(&x);
}

static void test_store_buffering(void)
{
#define SB(a, b) .setup = name_all, .thread = {a, b}, .finish = one_saw_the_other
	explore_finds(&(struct explore_test){"store buffering without a fence is found",
					     SB(sb0_without, sb1_without)},
		      "r[0] == 1");
	explore_holds_seen(&(struct explore_test){"store buffering with seq_cst fences holds",
						  SB(sb0_seq_cst, sb1_seq_cst)},
			   0xe);
	explore_finds(&(struct explore_test){"a fence on one side only is found",
					     SB(sb0_seq_cst, sb1_without)},
		      "r[0] == 1");
	explore_holds_seen(
		&(struct explore_test){"light against heavy holds", SB(sb0_light, sb1_heavy)}, 0xe);
	explore_finds(
		&(struct explore_test){"light against light is found", SB(sb0_light, sb1_light)},
		"r[0] == 1");
	explore_finds(&(struct explore_test){"a relaxed RMW is not a fence", SB(sb0_rmw, sb1_rmw)},
		      "r[0] == 1");
	explore_finds(
		&(struct explore_test){"nor is one of the variable itself", SB(sb0_xchg, sb1_xchg)},
		"r[0] == 1");
	explore_finds(&(struct explore_test){"nor when the other side has a fence",
					     SB(sb0_seq_cst, sb1_xchg)},
		      "r[0] == 1");
	explore_finds(
		&(struct explore_test){"heavy without light is found", SB(sb0_without, sb1_heavy)},
		"r[0] == 1");
	explore_holds(&(struct explore_test){"the heavy side's relaxed store needs no release",
					     SB(sb0_light, sb1_heavy_rlx)});
	explore_holds(&(struct explore_test){"without delays the memory is sequentially consistent",
					     SB(sb0_without, sb1_without), .delays = EXPLORE_NONE});
	explore_finds(&(struct explore_test){"a fence that is taken out by its function is found",
					     SB(sb0_seq_cst, sb1_seq_cst),
					     .unfence = "store_then_load"},
		      "r[0] == 1");
}

/* --- message passing -------------------------------------------------------------------------- */

static void post_relaxed(void)
{
	store_rlx(&x, 1);
	store_rlx(&flag, 1);
}
static void post(void)
{
	store_rlx(&x, 1);
	store_rel(&flag, 1);
}
static void post_late(void)
{
	store_rlx(&x, 1);
	add_rel(&flag, 1);
}

static void await_x(void)
{
	while (load_acq(&flag) == 0)
		cpu_relax();
	explore_check(load_rlx(&x) == 1);
}

static void post_data(void)
{
	data = 42;
	store_rel(&flag, 1);
}
static void post_data_relaxed(void)
{
	data = 42;
	store_rlx(&flag, 1);
}

static void post_data_fenced(void)
{
	data = 42;
	fence_seq_cst();
	store_rlx(&flag, 1);
}

static void await_data(void)
{
	while (load_acq(&flag) == 0)
		cpu_relax();
	explore_check(data == 42);
}

static void await_data_relaxed(void)
{
	while (load_rlx(&flag) == 0)
		cpu_relax();
	explore_check(data == 42);
}

static void await_data_fenced(void)
{
	while (load_rlx(&flag) == 0)
		cpu_relax();
	fence_seq_cst();
	explore_check(data == 42);
}

static void pass_on(void)
{
	while (load_acq(&flag) == 0)
		cpu_relax();
	store_rel(&y, 1);
}

static void await_passed_on(void)
{
	while (load_acq(&y) == 0)
		cpu_relax();
	explore_check(data == 42);
}

static void rmw_between(void)
{
	while (load_rlx(&flag) == 0)
		cpu_relax();
	add_rlx(&flag, 1);
}

static void await_two(void)
{
	while (load_acq(&flag) < 2)
		cpu_relax();
	explore_check(data == 42);
}

static void test_message_passing(void)
{
#define MP(a, b) .setup = name_all, .thread = {a, b}
	explore_finds(
		&(struct explore_test){"a relaxed store may overtake", MP(post_relaxed, await_x)},
		"load_rlx(&x) == 1");
	explore_holds(&(struct explore_test){"a release store may not", MP(post, await_x)});
	explore_holds(&(struct explore_test){"a release RMW may not", MP(post_late, await_x)});
	explore_finds(&(struct explore_test){"a weakened release is found", MP(post, await_x),
					     .weaken = "post"},
		      "load_rlx(&x) == 1");
	explore_holds(&(struct explore_test){"plain data behind release and acquire",
					     MP(post_data, await_data)});
	explore_finds(&(struct explore_test){"plain data without the release is a race",
					     MP(post_data_relaxed, await_data)},
		      "data race");
	explore_finds(&(struct explore_test){"plain data without the acquire is a race",
					     MP(post_data, await_data_relaxed)},
		      "data race");
	explore_holds(&(struct explore_test){"plain data behind fences",
					     MP(post_data_fenced, await_data_fenced)});
	explore_holds(&(struct explore_test){"plain data handed on by a third thread",
					     MP(post_data, pass_on), .thread[2] = await_passed_on});
	explore_holds(&(struct explore_test){"an RMW carries on a release sequence",
					     MP(post_data, rmw_between), .thread[2] = await_two});
}

/* --- blocking --------------------------------------------------------------------------------- */

/* The naive sleeper looks, then sleeps; the waker does not see that it is about to. */
static void naive_sleep(void)
{
	while (load_acq(&flag) == 0) {
		store_rel(&x, 1);
		explore_futex_wait(&y, 0);
	}
}

static void naive_wake(void)
{
	store_rel(&flag, 1);
	if (load_acq(&x) == 1)
		explore_futex_wake(&y, 1);
}

static void sound_sleep(void)
{
	while (load_acq(&flag) == 0)
		explore_futex_wait(&flag, 0);
}

static void sound_wake(void)
{
	store_rel(&flag, 1);
	explore_futex_wake(&flag, 1);
}

static void sleep_once(void)
{
	if (load_acq(&flag) == 0)
		explore_futex_wait(&flag, 0);
	explore_check(load_acq(&flag) == 1);
}

static void sleep_until(void)
{
	int err = 0;

	while (load_acq(&flag) == 0 && err != -110)
		err = explore_futex_wait_until(&flag, 0, 1000);
	explore_seen(err == -110);
	explore_check(err != -110 || explore_now() >= 1000);
}

static void nothing(void)
{
	load_rlx(&x);
}

static void wait_for_x(void)
{
	while (load_acq(&x) == 0)
		cpu_relax();
	store_rel(&y, 1);
}
static void wait_for_y(void)
{
	while (load_acq(&y) == 0)
		cpu_relax();
	store_rel(&x, 1);
}
static void set_x(void)
{
	store_rel(&x, 1);
}

static void lock_both(const void *a, const void *b)
{
	explore_lock(a);
	explore_lock(b);
	explore_unlock(b);
	explore_unlock(a);
}
static void lock_xy(void)
{
	lock_both(&x, &y);
}
static void lock_yx(void)
{
	lock_both(&y, &x);
}

static void test_blocking(void)
{
	explore_finds(
		&(struct explore_test){"a lost wake-up is found", MP(naive_sleep, naive_wake)},
		"deadlock");
	explore_holds(&(struct explore_test){"sleep on the word that is stored",
					     MP(sound_sleep, sound_wake), .spurious = 2});
	explore_holds(&(struct explore_test){"a single wait is enough if no wake-up is spurious",
					     MP(sleep_once, sound_wake)});
	explore_finds(&(struct explore_test){"a spurious wake-up is found",
					     MP(sleep_once, sound_wake), .spurious = 1},
		      "load_acq(&flag) == 1");
	explore_holds_seen(&(struct explore_test){"a timed wait ends either way",
						  MP(sleep_until, sound_wake), .timeouts = 1},
			   3);
	explore_holds_seen(&(struct explore_test){"a timed wait alone ends by its time",
						  MP(sleep_until, nothing)},
			   2);
	explore_finds(&(struct explore_test){"waiting for each other is a livelock",
					     MP(wait_for_x, wait_for_y)},
		      "livelock");
	explore_holds(&(struct explore_test){"spinning for a third thread is not",
					     MP(wait_for_x, wait_for_y), .thread[2] = set_x});
	explore_finds(&(struct explore_test){"locks taken in two orders", MP(lock_xy, lock_yx)},
		      "deadlock");
	explore_holds(&(struct explore_test){"locks taken in one order", MP(lock_xy, lock_xy)});
}

/* --- counters --------------------------------------------------------------------------------- */

static void bump_spinlocked(void)
{
	for (int i = 0; i < 2; i++) {
		uint32_t zero = 0;

		while (MODEL_KEEP("lock") && !cas_acq(&flag, &zero, 1)) {
			zero = 0;
			cpu_relax();
		}
		data = data + 1;
		store_rlx(&x, load_rlx(&x) + 1);
		store_rel(&flag, 0);
	}
}

static void bump_locked(void)
{
	explore_lock(&lock_key);
	store_rlx(&x, load_rlx(&x) + 1);
	explore_unlock(&lock_key);
}

static void bump_trylocked(void)
{
	if (explore_trylock(&lock_key)) {
		store_rlx(&x, load_rlx(&x) + 1);
		explore_unlock(&lock_key);
		explore_seen(0);
	} else {
		explore_seen(1);
		add_rlx(&y, 1);
	}
}

static void bump_atomic(void)
{
	add_rlx(&x, 1);
}
static void counted_four(void)
{
	explore_check(load_rlx(&x) == 4);
}
static void counted_two(void)
{
	explore_check(load_rlx(&x) + load_rlx(&y) == 2);
}

static void test_counters(void)
{
#define CT(a, end) .setup = name_all, .thread = {a, a}, .finish = end
	explore_holds(&(struct explore_test){"a counter under a spinlock",
					     CT(bump_spinlocked, counted_four)});
	explore_finds(&(struct explore_test){"a counter without its lock",
					     CT(bump_spinlocked, counted_four), .omit = "lock"},
		      "data race");
	explore_finds(&(struct explore_test){"a counter without its lock, races not looked for",
					     CT(bump_spinlocked, counted_four), .omit = "lock",
					     .has_races = true},
		      "load_rlx(&x) == 4");
	explore_finds(&(struct explore_test){"a spinlock whose orders are taken out",
					     CT(bump_spinlocked, counted_four),
					     .weaken = "bump_spinlocked"},
		      "data race");
	explore_holds(&(struct explore_test){"a counter under a model lock",
					     CT(bump_locked, counted_two)});
	explore_holds_seen(&(struct explore_test){"a trylock fails where it meets a holder",
						  CT(bump_trylocked, counted_two)},
			   3);
	explore_holds(&(struct explore_test){"an atomic counter of three threads",
					     MP(bump_atomic, bump_atomic)});
}

/* --- memory ----------------------------------------------------------------------------------- */

static void publish_pointer(void)
{
	uint64_t *p = explore_alloc(sizeof(*p));

	*p = 7;
	store_rel(&pointer, p);
}

static void free_pointer(void)
{
	uint64_t *p = xchg_acq_rel(&pointer, NULL);

	if (p != NULL) {
		explore_check(*p == 7);
		explore_free(p);
	}
}

static void peek_pointer(void)
{
	uint64_t *p = load_acq(&pointer);

	if (p != NULL)
		explore_check(*p == 7);
}

static void hold_pointer(void)
{
	uint64_t *p = load_acq(&pointer);

	if (load_acq(&flag) == 0 && p != NULL)
		explore_check(*p == 7);
}

static void crash(void)
{
	volatile uint64_t *nowhere = NULL;

	if (load_acq(&flag) == 1)
		*nowhere = 1;
}

static void test_memory(void)
{
	explore_finds(&(struct explore_test){"a crash is found", MP(post, crash)}, "crash");
	explore_holds(&(struct explore_test){"a pointer is taken and freed by one",
					     MP(publish_pointer, free_pointer),
					     .thread[2] = free_pointer});
	explore_finds(&(struct explore_test){"use after free is found",
					     MP(publish_pointer, free_pointer),
					     .thread[2] = peek_pointer},
		      "use after free");
	explore_finds(&(struct explore_test){"use after free is found without looking for races",
					     MP(publish_pointer, free_pointer),
					     .thread[2] = hold_pointer, .has_races = true},
		      "use after free");
}

/* Three threads over two variables with all kinds of operations; what they saw is the mark. */
static void mixed_0(void)
{
	store_rlx(&x, 1);
	r[0] = load_acq(&y);
	store_rel(&y, 2);
}

static void mixed_1(void)
{
	uint32_t seen = 1;

	store_rlx(&y, 1);
	cas_acq_rel(&x, &seen, 3);
	r[1] = seen + load_rlx(&y);
}

static void mixed_2(void)
{
	r[2] = add_rlx(&x, 1);
	store_rlx(&x, 0);
	fence_seq_cst();
	r[2] += load_rlx(&y);
}

static void mixed_end(void)
{
	explore_seen((r[0] * 16 + r[1] * 5 + r[2] * 3 + load_rlx(&x)) % 64);
}

static void test_states(void)
{
	for (int preemptions = 2; preemptions <= 4; preemptions++) {
		struct explore_test test = {"states",
					    MP(mixed_0, mixed_1),
					    .thread[2] = mixed_2,
					    .finish = mixed_end,
					    .preemptions = preemptions,
					    .delays = 2,
					    .has_races = true};
		struct explore_verdict v = explore_run(&test), w;

		test.enters_again = true;
		w = explore_run(&test);
		printf("# %d preemptions: %llu executions, %llu with every state entered again\n",
		       preemptions, (unsigned long long)v.executions,
		       (unsigned long long)w.executions);
		explore_says(!v.has_failed && !w.has_failed && v.seen == w.seen &&
				     v.executions < w.executions,
			     "states that were seen hide no outcome");
	}
}

/* The explorer's own promises: a failure replays, and taking nothing out is no success. */
static void test_explorer(void)
{
	struct explore_verdict v = explore_run(
		&(struct explore_test){"taking out what is not there is no success",
				       SB(sb0_without, sb1_without), .omit = "no such name"});
	struct explore_verdict w = explore_run(&(struct explore_test){
		"loads and rmws of two threads", MP(bump_spinlocked, bump_spinlocked)});

	explore_holds(&(struct explore_test){"an empty test holds", .thread = {nothing}});
	explore_says(!v.has_failed && strcmp(v.what, "nothing was taken out") == 0,
		     "taking out what is never reached is no success");
	explore_says(!w.has_failed && w.is_complete && w.executions > 10,
		     "more than ten schedules of two spinlockers");
}

int main(void)
{
	test_store_buffering();
	test_message_passing();
	test_blocking();
	test_counters();
	test_memory();
	test_states();
	test_explorer();
	return explore_done();
}
