/*
 * handoff.c - the P of a thread that is away: taken, handed on, and missed by who comes back.
 *
 *   src/sched/handoff.c, loop.c, find.c, wake.c, world.c -> the explorer
 *
 * The last thread is sysmon, which has no M. It takes a P without asking whether that is worth
 * while (HO3 to HO5 are heuristics), so that what must hold has to hold at any moment. `work`
 * stands for all that hangs on P 0: plain memory that only its owner touches, so that two of them
 * at a time are a data race.
 */
#define MODEL_CALLS
#define MODEL_WITH_WORLD
#include "model_g.h"

static uint32_t work;
static uint32_t work_of[2]; /* of P 0 and P 1, where there are two */
static uint32_t n_taken;
static uint32_t epoch;

void gfree_each(void (*visit)(struct g *gp, void *arg), void *arg)
{
	(void)visit;
	(void)arg;
}

uint32_t procs_wanted(void)
{
	return 2;
}

static void setup(uint32_t n_m, uint32_t n_p, uint32_t n_threads)
{
	model_sched_setup(n_m, n_p);
	explore_name(&work, sizeof(work), "work");
	explore_name(work_of, sizeof(work_of), "work_of");
	explore_name(&epoch, sizeof(epoch), "epoch");
	for (uint32_t i = n_m; i < n_threads; i++)
		ms[i].id = 0; /* sysmon, or a plain thread */
	n_given = n_threads;
}

/* ---- the handshake: HO1, HO2 ---- */

static void setup_handshake(void)
{
	setup(1, 1, 2);
	store_rlx(&ms[0].at, AT_PROGRAM);
}

static void call(void)
{
	uint32_t was = call_enter();

	explore_check(load_rlx(&ms[0].p) == &ps[0]);
	work++;
	call_leave(was);
}

static void calls(void)
{
	call();
	call();
}

/* What a call does that calls others. */
static void nested_call(void)
{
	uint32_t was = call_enter();

	call();
	work++;
	call_leave(was);
}

/* It is idle at once, so that who comes back finds it. */
static void take_p(void)
{
	lock_acquire(&sched.lock);
	if (p_take(&ps[0])) {
		n_taken++;
		work++;
		idle_put_p(&ps[0]);
	}
	explore_seen(n_taken);
	lock_release(&sched.lock);
}

static void take_twice(void)
{
	take_p();
	take_p();
}

static void both_worked(void)
{
	explore_check(work == 2 + n_taken);
	explore_check(load_rlx(&ms[0].at) == AT_PROGRAM);
}

/* ---- goroutines that call, on Ms with the real loop ---- */

static void use_p(void)
{
	uint32_t was = call_enter();

	work++;
	call_leave(was);
}

static void g_syscall(void *arg)
{
	(void)arg;
	goro_syscall_enter();
	goro_syscall_exit();
	use_p();
}

/* Did somebody else's P become ours? p_of_another(). */
static void g_syscall_looks(void *arg)
{
	(void)arg;
	goro_syscall_enter();
	goro_syscall_exit();
	uint32_t was = call_enter();
	for (uint32_t i = 0; i < EXPLORE_THREADS; i++)
		if (load_rlx(&ms[i].at) == AT_SYSCALL && load_rlx(&ms[i].is_taken))
			explore_seen(2);
	work++;
	call_leave(was);
}

/* No mark in the source: it is away, and then it calls. */
static void g_unannounced(void *arg)
{
	(void)arg;
	use_p();
	use_p();
}

static void g_short(void *arg)
{
	(void)arg;
	use_p();
}

/* HO5: its P is given away at once, for the one that waits. */
static void g_long_syscall(void *arg)
{
	uint32_t was = call_enter();

	load_rlx(&m_self()->p)->syscall_heat = 2;
	call_leave(was);
	g_syscall(arg);
}

/* The same with two Ps, and with nobody who waits: it is offered. HO7 */
static void use_own_p(bool is_long)
{
	uint32_t was = call_enter();
	struct p *pp = load_rlx(&m_self()->p);

	work_of[pp->id]++;
	if (is_long)
		pp->syscall_heat = 2;
	explore_seen(pp->id);
	call_leave(was);
}

static void g_offers(void *arg)
{
	(void)arg;
	use_own_p(true);
	goro_syscall_enter();
	goro_syscall_exit();
	use_own_p(false);
}

/* It calls in the middle, and goes on without being offered. */
static void g_offers_and_calls(void *arg)
{
	(void)arg;
	use_own_p(true);
	goro_syscall_enter();
	use_own_p(false);
	goro_syscall_exit();
	use_own_p(false);
}

static void m_main(void)
{
	schedule_until_end(&ms[explore_self()]);
}

static void take_and_hand_on(struct p *pp)
{
	lock_acquire(&sched.lock);
	/* relaxed: under the lock */
	bool is_taken = load_rlx(&pp->state) == P_RUNNING && p_take(pp);
	lock_release(&sched.lock);
	if (is_taken)
		handoff(pp);
	explore_seen(is_taken);
}

static void sysmon_0(void)
{
	take_and_hand_on(&ps[0]);
}

/* Who has it, works on it. */
static void sysmon_works(void)
{
	lock_acquire(&sched.lock);
	bool is_taken = load_rlx(&ps[0].state) == P_RUNNING && p_take(&ps[0]);
	lock_release(&sched.lock);
	if (is_taken) {
		work_of[0]++;
		handoff(&ps[0]);
	}
	explore_seen(is_taken);
}

static void sysmon_1(void)
{
	take_and_hand_on(&ps[1]);
}

static void setup_pair(void (*first)(void *), void (*second)(void *))
{
	setup(1, 1, 2);
	model_spawn(&ps[0], first, "stack of G1");
	model_spawn(NULL, second, "stack of G2");
}

static void setup_syscall(void)
{
	setup_pair(g_syscall, g_short);
}

static void setup_two_syscalls(void)
{
	setup_pair(g_syscall_looks, g_syscall);
}

static void setup_unannounced(void)
{
	setup_pair(g_unannounced, g_short);
}

static void setup_long(void)
{
	setup_pair(g_long_syscall, g_short);
}

static void setup_two_long(void)
{
	setup_pair(g_long_syscall, g_syscall);
}

static void setup_offer(void)
{
	setup(1, 1, 2);
	model_spawn(&ps[0], g_offers_and_calls, "stack of G1");
}

static void setup_two_offers(void)
{
	setup(2, 2, 3);
	model_spawn(&ps[0], g_offers, "stack of G1");
	model_spawn(&ps[1], g_offers, "stack of G2");
}

static void all_ended(void)
{
	model_sched_check();
	explore_check(n_ended == n_gs);
	explore_check(load_rlx(&idle.n_p) == load_rlx(&sched.n_procs));
	for (uint32_t i = 0; i < EXPLORE_THREADS; i++)
		explore_check(!load_rlx(&ms[i].is_taken));
}

/* ---- no work is left behind ---- */

static struct g *submitted[2];
static atomic_of(uint32_t) n_run;

static void worker(void)
{
	struct m *mp = model_m_started();
	struct g *gp;
	bool inherits_slice;

	while (mp && (gp = find_runnable(mp, &inherits_slice))) {
		if (mp->is_spinning)
			spinning_end(mp);
		explore_check(gp->args_size == 0);
		gp->args_size = 1;
		add_rlx(&n_run, 1);
	}
}

/* M 0 is away for ever; what M 1, whose G runs for ever, submits must be run by others. */
static void setup_submit(void)
{
	setup(2, 2, 3);
	store_rlx(&ms[0].at, AT_SYSCALL);
	submitted[0] = &gs[0];
}

static void setup_submit_and_ring(void)
{
	setup_submit();
	submitted[1] = &gs[1];
	put_runnable(&ps[0], &gs[1], false);
}

/* M 1 goes idle: no other thread can be had. */
static void setup_no_thread(void)
{
	setup_submit_and_ring();
	starts_fail = true;
}

static void away(void)
{
}

static void submit(void)
{
	put_runnable(&ps[1], &gs[0], false);
	wake();
}

static void submit_and_go_idle(void)
{
	struct m *mp = &ms[1];
	struct g *gp;
	bool inherits_slice;

	submit();
	while ((gp = find_runnable(mp, &inherits_slice))) {
		if (mp->is_spinning)
			spinning_end(mp);
		add_rlx(&n_run, 1);
	}
}

/* As sysmon does it: only if somebody waits, until it is taken. */
static void sysmon_until_taken(void)
{
	bool is_taken;

	lock_acquire(&sched.lock);
	is_taken = p_take(&ps[0]);
	lock_release(&sched.lock);
	explore_check(is_taken);
	handoff(&ps[0]);
}

static void all_run(void)
{
	model_sched_check();
	explore_check(load_rlx(&n_run) == 1u + (submitted[1] != NULL));
}

/* ---- while the world stops ---- */

/* G 1 stops the world; G 2 is away. */
static void g_stopper(void *arg)
{
	(void)arg;
	uint32_t was = call_enter();
	explore_check(world_stop(WAIT_STOP_WORLD, OS_FOREVER));
	explore_check(sched.stop_left == 0);
	epoch = 1;
	for (uint32_t i = 0; i < 2; i++)
		explore_check(ps[i].id == load_rlx(&m_self()->p)->id ||
			      load_rlx(&ps[i].state) == P_STOPPED);
	epoch = 2;
	world_start();
	call_leave(was);
}

static void g_reader(void *arg)
{
	(void)arg;
	uint32_t was = call_enter();
	explore_check(epoch != 1);
	call_leave(AT_SYSCALL);
	(void)call_enter();
	explore_check(epoch != 1);
	call_leave(was);
}

/* The same by a call that is known to be long: its P is offered meanwhile. */
static void g_offering_reader(void *arg)
{
	(void)arg;
	uint32_t was = call_enter();
	load_rlx(&m_self()->p)->syscall_heat = 2;
	explore_check(epoch != 1);
	call_leave(was);
	goro_syscall_enter();
	was = call_enter();
	explore_check(epoch != 1);
	call_leave(was);
	goro_syscall_exit();
}

static void setup_world_offered(void)
{
	setup(2, 2, 3);
	model_spawn(&ps[0], g_stopper, "stack of G1");
	model_spawn(&ps[1], g_offering_reader, "stack of G2");
}

static void setup_world(void)
{
	setup(2, 2, 3);
	model_spawn(&ps[0], g_stopper, "stack of G1");
	model_spawn(&ps[1], g_reader, "stack of G2");
}

#define HANDSHAKE(owner, taker)                                                      \
	.setup = setup_handshake, .thread = {owner, taker}, .finish = both_worked
#define CALLS(from)                                                                        \
	.setup = from, .thread = {m_main, sysmon_0, m_main, m_main, m_main}, .asleep = 0x1c, \
	.finish = all_ended, .may_end_blocked = true
#define OFFERS(from, second, third)                                                       \
	.setup = from, .thread = {m_main, second, third, m_main, m_main}, .asleep = 0x18, \
	.finish = all_ended, .may_end_blocked = true
#define SUBMIT(from, submitter)                                                           \
	.setup = from, .thread = {away, submitter, sysmon_until_taken, worker, worker},   \
	.asleep = 0x18, .finish = all_run, .may_end_blocked = true
#define WORLD(from)                                                                       \
	.setup = from, .thread = {m_main, m_main, sysmon_1, m_main, m_main},       \
	.asleep = 0x18, .finish = all_ended, .may_end_blocked = true

static void test_handshake(void)
{
	explore_holds_seen(&(struct explore_test){"handoff: take against enter",
						  HANDSHAKE(calls, take_twice), TRY(4, 3)},
			   7);
	explore_holds_seen(&(struct explore_test){"handoff: take against calls in a call",
						  HANDSHAKE(nested_call, take_p), TRY(4, 3)},
			   3);
	explore_finds(&(struct explore_test){"handoff: found without the taker's fence",
					     HANDSHAKE(calls, take_p), TRY(4, 3),
					     .omit = "take-fence"},
		      "");
	explore_finds(&(struct explore_test){"handoff: found without the fence of who enters",
					     HANDSHAKE(calls, take_p), TRY(4, 3),
					     .omit = "enter-fence"},
		      "");
	explore_finds(&(struct explore_test){"handoff: found when the taker does not look",
					     HANDSHAKE(calls, take_p), TRY(4, 3),
					     .omit = "take-look"},
		      "");
	explore_finds(&(struct explore_test){"handoff: found when who leaves does not release",
					     HANDSHAKE(calls, take_p), TRY(4, 3),
					     .weaken = "call_leave"},
		      "data race");
	explore_finds(&(struct explore_test){"handoff: found when the taker does not acquire",
					     HANDSHAKE(calls, take_p), TRY(4, 3),
					     .weaken = "p_take"},
		      "data race");
}

static void test_calls(void)
{
	explore_holds_seen(&(struct explore_test){"handoff: a system call, one other waits",
						  CALLS(setup_syscall), TRY(2, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"handoff: a call that nobody announced",
						  CALLS(setup_unannounced), TRY(2, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"handoff: two come back for one P",
						  CALLS(setup_two_syscalls), TRY(2, 1)},
			   7);
	explore_holds(&(struct explore_test){"handoff: given away, against coming back",
					     CALLS(setup_long), TRY(2, 1), .is_slow = true});
	explore_holds(&(struct explore_test){"handoff: given away, and taken from another",
					     CALLS(setup_two_long), TRY(1, 1)});
}

static void test_offers(void)
{
	explore_holds_seen(&(struct explore_test){"handoff: offered, and taken by sysmon",
						  OFFERS(setup_offer, sysmon_works, away),
						  TRY(2, 2)},
			   3);
	explore_holds_seen(&(struct explore_test){"handoff: two that offer, and sysmon",
						  OFFERS(setup_two_offers, m_main, sysmon_works),
						  TRY(1, 1)},
			   3);
	explore_finds(&(struct explore_test){"handoff: found when an offer does not release",
					     OFFERS(setup_offer, sysmon_works, away), TRY(2, 2),
					     .weaken = "give_away"},
		      "data race");
	explore_finds(&(struct explore_test){"handoff: found when its taker does not acquire",
					     OFFERS(setup_offer, sysmon_works, away), TRY(2, 2),
					     .weaken = "offer_take"},
		      "data race");
	explore_finds(&(struct explore_test){"handoff: found when an offer is taken twice",
					     OFFERS(setup_offer, sysmon_works, away), TRY(2, 2),
					     .omit = "offer-take"},
		      "");
	explore_finds(&(struct explore_test){"handoff: found when who offered ignores a look",
					     OFFERS(setup_offer, sysmon_works, away), TRY(3, 2),
					     .omit = "offer-look"},
		      "");
}

static void test_work(void)
{
	explore_holds(&(struct explore_test){"handoff: of an empty P against a submitter",
					     SUBMIT(setup_submit, submit), TRY(2, 2)});
	explore_holds(&(struct explore_test){"handoff: of a P with work against a submitter",
					     SUBMIT(setup_submit_and_ring, submit), TRY(2, 1),
					     .is_slow = true});
	explore_holds(&(struct explore_test){"handoff: no thread can be had for the P",
					     .setup = setup_no_thread,
					     .thread = {away, submit_and_go_idle,
							sysmon_until_taken},
					     .finish = all_run, .may_end_blocked = true,
					     TRY(2, 2), .is_slow = true});
	explore_finds(&(struct explore_test){"handoff: found without its fence",
					     SUBMIT(setup_submit, submit), TRY(2, 2),
					     .unfence = "handoff"},
		      "n_run");
}

static void test_world(void)
{
	explore_holds_seen(&(struct explore_test){"handoff: taken while the world stops",
						  WORLD(setup_world), TRY(1, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"handoff: offered while the world stops",
						  WORLD(setup_world_offered), TRY(1, 1)},
			   3);
}

int main(void)
{
	test_handshake();
	test_calls();
	test_offers();
	test_work();
	test_world();
	return explore_done();
}
