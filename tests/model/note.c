/*
 * note.c - a note under every schedule: one sleeps, one wakes, and the sleeper frees the note.
 *
 *   src/core/note.h -> the explorer, whose futex stands behind os_futex_wait and os_futex_wake
 */
#include "model.h"

#include "core/note.h"

static struct note *note;
static atomic_of(uint32_t) turn;
static uint64_t data;

static void setup(void)
{
	note = explore_alloc(sizeof(*note));
	explore_name(&note->word, 4, "note.word");
	explore_name(&data, 8, "data");
	explore_name(&turn, 4, "turn");
}

static void sleeper(void)
{
	note_sleep(note);
	explore_check(data == 1);
	explore_free(note); /* NT2 */
}

static void waker(void)
{
	data = 1;
	note_wake(note);
}

/* Two rounds: the waker learns of the second one from somewhere else, as it does in the runtime. */
static void sleeper_twice(void)
{
	note_sleep(note);
	explore_check(data == 1);
	note_clear(note);
	store_rel(&turn, 1);
	note_sleep(note);
	explore_check(data == 2);
}

static void waker_twice(void)
{
	waker();
	while (load_acq(&turn) == 0)
		cpu_relax();
	data = 2;
	note_wake(note);
}

static void timed_sleeper(void)
{
	bool was_woken = note_sleep_until(note, 1000);

	explore_seen(was_woken);
	if (was_woken)
		explore_check(data == 1);
	else
		explore_check(explore_now() >= 1000);
}

int main(void)
{
#define NOTE(a, b) .setup = setup, .thread = {a, b}
	explore_holds(&(struct explore_test){"note: sleep and wake, and free it at once",
					     NOTE(sleeper, waker), TRY(4, 2), .spurious = 2});
	explore_holds(&(struct explore_test){"note: two rounds", NOTE(sleeper_twice, waker_twice),
					     TRY(4, 2), .spurious = 1});
	explore_holds_seen(&(struct explore_test){"note: a timed sleep ends either way",
						  NOTE(timed_sleeper, waker), TRY(4, 2),
						  .spurious = 1, .timeouts = 1},
			   3);
	explore_finds(&(struct explore_test){"note: found when nobody is woken",
					     NOTE(sleeper, waker), .omit = "note-futex-wake"},
		      "deadlock");
	explore_finds(&(struct explore_test){"note: found when the sleeper does not look again",
					     NOTE(sleeper, waker), .spurious = 1,
					     .omit = "note-recheck"},
		      "data race");
	explore_finds(&(struct explore_test){"note: found when the wake-up is not released",
					     NOTE(sleeper, waker), .weaken = "note_post"},
		      "data race");
	explore_finds(&(struct explore_test){"note: found when the look does not acquire",
					     NOTE(sleeper, waker), .weaken = "note_is_set"},
		      "data race");
	return explore_done();
}
