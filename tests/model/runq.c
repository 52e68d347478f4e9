/*
 * runq.c - the ring under every schedule: its owner against one and two thieves, with four slots.
 *
 *   src/queue/runq.c -> the explorer
 *
 * Each G is given to exactly one taker (RQ3, RQ4), who sees what was written into it before it was
 * put; what nobody took is still there at the end.
 */
#include "model.h"

#include "queue/runq.c"

#define GS 8

static struct runq ring, spoils[2];
static struct g gs[GS];
static struct glist global;
static int put_count;

static void setup(void)
{
	explore_name(&ring.head, 4, "ring.head");
	explore_name(&ring.tail, 4, "ring.tail");
	explore_name(&ring.next, 8, "ring.next");
	explore_name(&ring.slot, sizeof(ring.slot), "ring.slot");
	explore_name(&spoils[0], sizeof(spoils[0]), "spoils[0]");
	explore_name(&spoils[1], sizeof(spoils[1]), "spoils[1]");
	explore_name(gs, sizeof(gs), "gs");
}

/* A ring that is about to wrap around, with two Gs in it. */
static void setup_two(void)
{
	setup();
	store_rlx(&ring.head, UINT32_MAX - 1);
	store_rlx(&ring.tail, UINT32_MAX - 1);
	for (int i = 0; i < 2; i++) {
		gs[i].id = (uint64_t)i + 100;
		runq_put(&ring, &gs[i]);
	}
	put_count = 2;
}

/* Written by the one who puts; the takers read it without any lock. */
static struct g *fresh(int i)
{
	gs[i].id = (uint64_t)i + 100;
	put_count = i + 1;
	return &gs[i];
}

/* Plain accesses on purpose: a second taker, or one that was not told, is a data race. */
static void took(struct g *gp)
{
	if (!gp)
		return;
	explore_check(gp >= gs && gp < gs + GS);
	explore_check(gp->id == (uint64_t)(gp - gs) + 100);
	explore_check(gp->args_size == 0);
	gp->args_size = 1;
}

static void put(int i)
{
	struct g *gp = fresh(i);

	while (!runq_put(&ring, gp)) {
		explore_seen(0);
		if (runq_spill(&ring, gp, &global)) {
			explore_seen(1);
			return;
		}
	}
}

static void kick(int i)
{
	struct g *old = runq_put_next(&ring, fresh(i));

	if (old)
		explore_check(runq_put(&ring, old));
}

static void thief(struct runq *to, bool take_next)
{
	struct g *gp = runq_steal(to, &ring, take_next);

	explore_seen(gp ? 2 : 3);
	took(gp);
	while ((gp = runq_get(to)) != NULL) {
		explore_seen(4);
		took(gp);
	}
}

static void thief_0(void)
{
	thief(&spoils[0], false);
}
static void thief_1(void)
{
	thief(&spoils[1], false);
}
static void next_thief_0(void)
{
	thief(&spoils[0], true);
}
static void next_thief_1(void)
{
	thief(&spoils[1], true);
}

static void owner_gets(void)
{
	took(runq_get(&ring));
	put(2);
	took(runq_get(&ring));
	took(runq_get(&ring));
}

static void owner_fills(void)
{
	for (int i = 2; i < 7; i++)
		put(i);
}

static void owner_fills_and_gets(void)
{
	owner_fills();
	took(runq_get(&ring));
}

static void owner_kicks(void)
{
	kick(1);
	kick(2);
	took(runq_get_next(&ring));
}

static void nothing_is_lost(void)
{
	struct glist rest = {0};
	struct g *gp;

	runq_audit(&ring);
	runq_drain(&ring, &rest);
	glist_append(&rest, &global);
	while ((gp = glist_pop(&rest)))
		took(gp);
	explore_check(runq_is_empty(&spoils[0]) && runq_is_empty(&spoils[1]));
	for (int i = 0; i < put_count; i++)
		explore_check(gs[i].args_size == 1);
}

/* A G lies in the ring or in the next slot all the time: the look of an M that would sleep. */
static void setup_next(void)
{
	setup();
	gs[0].id = 100;
	runq_put_next(&ring, &gs[0]);
	put_count = 1;
}

static void owner_kicks_once(void)
{
	kick(1);
}
static void look(void)
{
	explore_check(!runq_is_empty(&ring));
}

static void owner_puts(void)
{
	put(2);
	put(3);
}

static void greedy_thief(void)
{
	thief_0();
	thief_0();
}

int main(void)
{
#define RING(a, b) .setup = setup_two, .thread = {a, b}, .finish = nothing_is_lost
#define NEXT(a, b) .setup = setup_next, .thread = {a, b}, .finish = nothing_is_lost
	explore_holds_seen(&(struct explore_test){"runq: get, put and grab",
						  RING(owner_gets, thief_0), TRY(3, 2)},
			   0xc);
	explore_holds_seen(&(struct explore_test){"runq: put while a thief grabs twice",
						  RING(owner_puts, greedy_thief), TRY(3, 2)},
			   0x14);
	explore_holds_seen(&(struct explore_test){"runq: a full ring spills while a thief grabs",
						  RING(owner_fills, thief_0), TRY(3, 1)},
			   0x17);
	explore_holds_seen(&(struct explore_test){"runq: two thieves and the owner",
						  RING(owner_fills_and_gets, thief_0),
						  .thread[2] = thief_1, TRY(2, 1)},
			   0x17);
	explore_holds(&(struct explore_test){"runq: the next slot has one taker",
					     NEXT(owner_kicks, next_thief_0), TRY(3, 1)});
	explore_holds(&(struct explore_test){"runq: the next slot and two thieves",
					     NEXT(owner_kicks, next_thief_0),
					     .thread[2] = next_thief_1, TRY(2, 1)});
	explore_holds(&(struct explore_test){"runq: a ring that is kicked is not empty",
					     NEXT(owner_kicks_once, look), TRY(4, 1)});

	explore_finds(&(struct explore_test){"runq: found when the tail is not released",
					     RING(owner_puts, greedy_thief), TRY(3, 2),
					     .weaken = "runq_put"},
		      "data race");
	explore_finds(&(struct explore_test){"runq: found when a thief does not acquire",
					     RING(owner_gets, thief_0), TRY(3, 2),
					     .weaken = "grab"},
		      "data race");
	explore_finds(&(struct explore_test){"runq: found when the next slot is not released",
					     NEXT(owner_kicks, next_thief_0), TRY(3, 1),
					     .weaken = "next_swap"},
		      "data race");
	explore_finds(&(struct explore_test){"runq: found without the owner's fence "
					     "at the next slot",
					     NEXT(owner_kicks, next_thief_0), TRY(3, 1),
					     .omit = "runq-next-owner-fence"},
		      "data race");
	explore_finds(&(struct explore_test){"runq: found without the thief's fence "
					     "at the next slot",
					     NEXT(owner_kicks, next_thief_0), TRY(3, 1),
					     .omit = "runq-next-thief-fence"},
		      "data race");
	return explore_done();
}
