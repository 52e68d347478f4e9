/*
 * select.c - select under every schedule, against plain operations, close, deadlines and selects.
 *
 *   src/sync/select.c, chan.c, waitq.c -> the explorer
 *
 * Mostly plain threads, as in chan.c of this folder. What needs goroutines is the commit, which
 * unlocks several channels on g0 while the G may run again on another M (SL4): the last tests run
 * the real loop on two Ms, as park.c does.
 */
#include "model_g.h"

#include "sync/waitq.c"

#include "sync/chan.c"

#include "sync/select.c"

static goro_chan *a, *b; /* a has the lower address */
static int result[EXPLORE_THREADS];
static uint32_t value[EXPLORE_THREADS];

static void make_channels(size_t capacity)
{
	a = goro_chan_make(sizeof(uint32_t), capacity);
	b = goro_chan_make(sizeof(uint32_t), capacity);
	if ((uintptr_t)a > (uintptr_t)b) {
		goro_chan *other = a;
		a = b;
		b = other;
	}
	explore_name(a, sizeof(*a), "a");
	explore_name(b, sizeof(*b), "b");
	explore_name(result, sizeof(result), "result");
	explore_name(value, sizeof(value), "value");
	for (int i = 0; i < EXPLORE_THREADS; i++)
		result[i] = -1;
}

static void setup_threads(size_t capacity, uint64_t seed)
{
	model_sched_setup(0, 1);
	for (int i = 0; i < EXPLORE_THREADS; i++)
		ms[i].id = 0; /* plain threads */
	explore_name(&n_selects_outside, sizeof(n_selects_outside), "seed");
	store_rlx(&n_selects_outside, seed);
	make_channels(capacity);
}

/* Two seeds with which a select of two looks at the first, or at the second case first. */
enum { FIRST_FIRST = 0, SECOND_FIRST = 4 };

static void setup_0(void)
{
	setup_threads(0, FIRST_FIRST);
}

static void setup_0_turned(void)
{
	setup_threads(0, SECOND_FIRST);
}

static uint32_t looks_first_at(uint64_t from)
{
	uint64_t seed = rand_seed(from);

	return rand_below(&seed, 2);
}

static void expect_empty(void)
{
	explore_check(waitq_is_empty(&a->senders) && waitq_is_empty(&a->receivers));
	explore_check(waitq_is_empty(&b->senders) && waitq_is_empty(&b->receivers));
	explore_check(a->n_selecting == 0 && b->n_selecting == 0);
}

/* ---- against plain operations ---- */

static int select_recv(goro_chan *first, goro_chan *second, uint32_t *to, int64_t deadline)
{
	uint32_t x = 99, y = 99;
	bool x_ok = true, y_ok = true;
	int done = goro_select_of(deadline, GORO_RECV_OK(first, &x, &x_ok),
				  GORO_RECV_OK(second, &y, &y_ok));

	explore_check(done == 0 || x == 99);
	explore_check(done == 1 || y == 99);
	explore_check(x_ok == (x != 0) && y_ok == (y != 0));
	if (done >= 0)
		*to = done == 0 ? x : y;
	return done;
}

static void select_both(void)
{
	for (int i = 0; i < 2; i++)
		result[i] = select_recv(a, b, &value[i], GORO_FOREVER);
	explore_seen((unsigned)result[0]);
}

static void send_1_to_a(void)
{
	goro_chan_send(a, &(uint32_t){1});
}

static void send_2_to_b(void)
{
	goro_chan_send(b, &(uint32_t){2});
}

static void both_came(void)
{
	expect_empty();
	for (int i = 0; i < 2; i++)
		explore_check(value[i] == (uint32_t)result[i] + 1);
	explore_check(result[0] + result[1] == 1);
}

static void select_sends(void)
{
	uint32_t x = 1, y = 2;

	result[0] = goro_select_of(GORO_FOREVER, GORO_SEND(a, &x), GORO_SEND(b, &y));
	goro_chan_send(result[0] == 0 ? b : a, result[0] == 0 ? &y : &x);
	explore_seen((unsigned)result[0]);
}

static void recv_a(void)
{
	explore_check(goro_chan_recv(a, &value[1]));
}

static void recv_b(void)
{
	explore_check(goro_chan_recv(b, &value[2]));
}

static void both_went(void)
{
	expect_empty();
	explore_check(value[1] == 1 && value[2] == 2);
}

/* ---- against selects ---- */

static void select_send_ab(void)
{
	result[0] = goro_select_of(GORO_FOREVER, GORO_SEND(a, &(uint32_t){1}),
				   GORO_SEND(b, &(uint32_t){2}));
}

static void select_recv_ba(void)
{
	result[1] = 1 - select_recv(b, a, &value[1], GORO_FOREVER);
	explore_seen((unsigned)result[1]);
}

static void sides_agree(void)
{
	expect_empty();
	explore_check(result[0] == result[1] && value[1] == (uint32_t)result[0] + 1);
}

/* Case 0 is on a, case 1 on b, in the first of them the other way round in the second. */
static void select_send_a_recv_b(void)
{
	uint32_t got = 0;

	result[0] = goro_select_of(GORO_FOREVER, GORO_SEND(a, &(uint32_t){1}), GORO_RECV(b, &got));
	value[0] = result[0] == 0 ? 1 : got;
}

static void select_send_b_recv_a(void)
{
	uint32_t got = 0;

	result[1] = 1 - goro_select_of(GORO_FOREVER, GORO_SEND(b, &(uint32_t){2}),
				       GORO_RECV(a, &got));
	value[1] = result[1] == 1 ? 2 : got;
	explore_seen((unsigned)result[1]);
}

static void values_agree(void)
{
	expect_empty();
	explore_check(result[0] == result[1]);
	explore_check(value[0] == value[1] && value[0] == (uint32_t)result[0] + 1);
}

/* A send and a receive on one channel. */
static void select_both_ways(void)
{
	int self = explore_self();
	uint32_t got = 0, mine = (uint32_t)self + 1;

	result[self] = goro_select_of(GORO_FOREVER, GORO_SEND(a, &mine), GORO_RECV(a, &got));
	value[self] = result[self] == 0 ? mine : got;
	explore_seen((unsigned)result[self]);
}

static void one_sent(void)
{
	expect_empty();
	explore_check(result[0] + result[1] == 1 && value[0] == value[1]);
	explore_check(value[0] == (result[0] == 0 ? 1 : 2));
}

/* ---- against close and deadlines ---- */

static void select_once(void)
{
	result[0] = select_recv(a, b, &value[0], GORO_FOREVER);
	explore_seen((unsigned)result[0]);
}

static void close_a(void)
{
	goro_chan_close(a);
}

static void trysend_2_to_b(void)
{
	result[2] = goro_chan_trysend(b, &(uint32_t){2});
}

static void closed_or_sent(void)
{
	expect_empty();
	explore_check((result[2] == 0) == (result[0] == 1));
	explore_check(value[0] == (result[0] == 0 ? 0 : 2));
}

/* goro_select without the panic of its last line. */
static void select_send_quietly(void)
{
	uint32_t x = 1, y = 2;
	goro_case cases[] = {GORO_SEND(a, &x), GORO_SEND(b, &y)};
	struct select s = {.cases = cases, .n = 2};

	result[0] = select_few(&s, 2, GORO_FOREVER);
	value[0] = s.is_open;
	explore_seen((unsigned)result[0]);
}

static void tryrecv_b(void)
{
	result[2] = goro_chan_tryrecv(b, &value[2]);
}

static void closed_or_received(void)
{
	expect_empty();
	explore_check((result[2] == 0) == (result[0] == 1));
	explore_check(value[0] == (result[0] == 0 ? 0 : 1));
}

static void select_by_deadline(void)
{
	result[0] = select_recv(a, b, &value[0], 1000);
	explore_check(result[0] >= 0 || result[0] == -ETIMEDOUT);
	explore_check(result[0] >= 0 || explore_now() >= 1000);
	explore_seen(result[0] >= 0 ? (unsigned)result[0] : 2);
}

static void trysend_1_to_a(void)
{
	result[1] = goro_chan_trysend(a, &(uint32_t){1});
}

static void sent_is_received(void)
{
	expect_empty();
	explore_check((result[1] == 0) == (result[0] == 0));
	explore_check(result[2] == -1 || (result[2] == 0) == (result[0] == 1));
	explore_check(result[0] < 0 || value[0] == (uint32_t)result[0] + 1);
}

/* ---- at one instant ---- */

static void setup_moving(void)
{
	setup_threads(1, FIRST_FIRST);
	goro_chan_send(b, &(uint32_t){2});
}

/* There is a value in a or in b, at every moment. */
static void move_b_to_a(void)
{
	goro_chan_send(a, &(uint32_t){1});
	result[1] = goro_chan_tryrecv(b, &value[1]);
}

static void setup_moving_up(void)
{
	setup_threads(1, FIRST_FIRST);
	goro_chan_send(a, &(uint32_t){1});
}

static void move_a_to_b(void)
{
	goro_chan_send(b, &(uint32_t){2});
	result[1] = goro_chan_tryrecv(a, &value[1]);
}

/* b has a value or a free place, at every moment. */
static void poll_both_ways(void)
{
	uint32_t x = 99, y = 3;

	result[0] = goro_select_of(GORO_POLL, GORO_RECV(a, &x), GORO_RECV(b, &x), GORO_SEND(b, &y));
	explore_check(result[0] > 0);
	explore_seen((unsigned)result[0] - 1);
}

static void empty_and_fill_b(void)
{
	(void)goro_chan_tryrecv(b, &value[1]);
	(void)goro_chan_trysend(b, &(uint32_t){2});
}

static void poll_for_it(void)
{
	result[0] = select_recv(a, b, &value[0], GORO_POLL);
	explore_check(result[0] >= 0);
	explore_seen((unsigned)result[0]);
}

/* ---- references, CH5 ---- */

static void send_and_drop_both(void)
{
	goro_chan_send(a, &(uint32_t){1});
	goro_chan_unref(a);
	goro_chan_unref(b);
}

/* Who is not sure that the other's call has come to wait must not drop what it uses. */
static void close_and_drop_both(void)
{
	lock_acquire(&b->lock);
	bool does_wait = b->n_selecting > 0;
	lock_release(&b->lock);
	goro_chan_close(b);
	explore_seen(does_wait);
	if (!does_wait)
		return;
	goro_chan_unref(b);
	goro_chan_unref(a);
}

static void select_same_twice(void)
{
	result[0] = goro_select_of(GORO_FOREVER, GORO_RECV(a, &value[0]), GORO_RECV(a, &value[0]),
				   GORO_RECV(b, &value[0]));
}

static void select_one_of_both(void)
{
	result[0] = select_recv(a, b, &value[0], GORO_FOREVER);
}

static void got_from_a(void)
{
	explore_check((result[0] == 0 || result[0] == 1) && value[0] == 1);
}

static void got_the_close(void)
{
	explore_check(result[0] == 1 && value[0] == 0);
}

/* ---- goroutines ---- */

static uint32_t n_gs;

static void spawn_on(struct p *pp, void (*entry)(void *))
{
	struct g *gp = &gs[n_gs];
	char *stack = explore_stack(MODEL_STACK);

	gp->id = ++n_gs;
	gp->entry = entry;
	gp->sp = ctx_make(stack + MODEL_STACK, g_main, gp);
	store_rlx(&gp->state, G_RUNNABLE);
	explore_name(stack, MODEL_STACK, n_gs == 1 ? "stack of G1" : "stack of G2");
	put_runnable(pp, gp, false);
}

static void g_select(void *arg)
{
	(void)arg;
	result[0] = select_recv(a, b, &value[0], GORO_FOREVER);
}

static void setup_g(void)
{
	model_sched_setup(2, 2);
	ms[2].id = 0; /* a plain thread */
	n_given = 3;
	make_channels(0);
	spawn_on(&ps[0], g_select);
}

static void m_main(void)
{
	schedule_until_end(&ms[explore_self()]);
}

static void g_ended(void)
{
	model_sched_check();
	explore_check(n_ended == n_gs && result[0] == 1 && value[0] == 2);
	expect_empty();
}

/* The Ms, whoever sends, and the reserve. */
#define SELECT_G                                                                                   \
	.setup = setup_g,                                                                          \
	.thread = {m_main, m_main, send_2_to_b, m_main, m_main},             \
	.finish = g_ended, .asleep = 0x18, .may_end_blocked = true

#define SELECT(from, x, y, end) .setup = from, .thread = {x, y}, .finish = end

static void test_plain(void)
{
	explore_holds_seen(&(struct explore_test){"select: two, against a send on each channel",
						  SELECT(setup_0, select_both, send_1_to_a,
							 both_came),
						  .thread[2] = send_2_to_b, TRY(2, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"select: the same, looking in the other order",
						  SELECT(setup_0_turned, select_both, send_1_to_a,
							 both_came),
						  .thread[2] = send_2_to_b, TRY(2, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"select: sends, against a receive on each",
						  SELECT(setup_0, select_sends, recv_a, both_went),
						  .thread[2] = recv_b, TRY(2, 1)},
			   3);
}

static void test_selects(void)
{
	explore_holds_seen(&(struct explore_test){"select: sends against receives, turned",
						  SELECT(setup_0, select_send_ab, select_recv_ba,
							 sides_agree),
						  TRY(3, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"select: each sends or receives",
						  SELECT(setup_0, select_send_a_recv_b,
							 select_send_b_recv_a, values_agree),
						  TRY(3, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"select: a send and a receive on one channel",
						  SELECT(setup_0, select_both_ways,
							 select_both_ways, one_sent),
						  TRY(3, 1)},
			   3);
}

static void test_ends(void)
{
	explore_holds_seen(&(struct explore_test){"select: close of one, a send to the other",
						  SELECT(setup_0, select_once, close_a,
							 closed_or_sent),
						  .thread[2] = trysend_2_to_b, TRY(2, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"select: sends, close of one, a receive",
						  SELECT(setup_0, select_send_quietly, close_a,
							 closed_or_received),
						  .thread[2] = tryrecv_b, TRY(2, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"select: gives up while one sends",
						  SELECT(setup_0, select_by_deadline,
							 trysend_1_to_a, sent_is_received),
						  TRY(3, 1), .timeouts = 1, .spurious = 1},
			   5);
	explore_holds_seen(&(struct explore_test){"select: gives up while two send",
						  SELECT(setup_0, select_by_deadline,
							 trysend_1_to_a, sent_is_received),
						  .thread[2] = trysend_2_to_b, TRY(2, 1),
						  .timeouts = 1},
			   7);
	explore_holds_seen(&(struct explore_test){"select: a default is judged at one instant",
						  SELECT(setup_moving, poll_for_it, move_b_to_a,
							 NULL),
						  TRY(3, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"select: the same with what goes up",
						  SELECT(setup_moving_up, poll_for_it, move_a_to_b,
							 NULL),
						  TRY(3, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"select: a default, two cases on one channel",
						  SELECT(setup_moving, poll_both_ways,
							 empty_and_fill_b, NULL),
						  TRY(3, 1)},
			   3);
	explore_holds(&(struct explore_test){"select: who woke it drops the last references",
					     SELECT(setup_0, select_same_twice, send_and_drop_both,
						    got_from_a),
					     TRY(3, 1)});
	explore_holds_seen(&(struct explore_test){"select: who closed drops the last references",
						  SELECT(setup_0, select_one_of_both,
							 close_and_drop_both, got_the_close),
						  TRY(3, 1)},
			   3);
	explore_holds(&(struct explore_test){"select: a G that is woken while it still unlocks",
					     SELECT_G, TRY(1, 0), .unlock_is_step = true});
}

static void test_negative(void)
{
	explore_finds(&(struct explore_test){"select: found when it does not look again",
					     SELECT(setup_0, select_both, send_1_to_a, both_came),
					     .thread[2] = send_2_to_b, TRY(2, 1),
					     .omit = "select-look-again"},
		      "deadlock");
	explore_finds(&(struct explore_test){"select: found when two ends do not race",
					     SELECT(setup_0, select_once, close_a, closed_or_sent),
					     .thread[2] = trysend_2_to_b, TRY(2, 1),
					     .omit = "wait-race"},
		      "");
	explore_finds(&(struct explore_test){"select: found when locks are taken in any order",
					     SELECT(setup_0, select_send_ab, select_recv_ba,
						    sides_agree),
					     TRY(2, 1), .omit = "select-order"},
		      "deadlock");
	explore_finds(&(struct explore_test){"select: found when losers stay in their queues",
					     SELECT(setup_0, select_both, send_1_to_a, both_came),
					     .thread[2] = send_2_to_b, TRY(2, 1),
					     .omit = "select-dequeue"},
		      "");
	explore_finds(&(struct explore_test){"select: found when a default looks one by one",
					     SELECT(setup_moving, poll_for_it, move_b_to_a, NULL),
					     TRY(2, 1), .omit = "select-one-instant"},
		      "result[0] >= 0");
	explore_finds(&(struct explore_test){"select: found when it comes back to the winner",
					     SELECT(setup_0, select_one_of_both,
						    close_and_drop_both, got_the_close),
					     TRY(2, 1), .omit = "select-winner-gone"},
		      "use after free");
	explore_finds(&(struct explore_test){"select: found when the last reference frees at once",
					     SELECT(setup_0, select_one_of_both,
						    close_and_drop_both, got_the_close),
					     TRY(2, 1), .omit = "chan-orphan"},
		      "");
}

int main(void)
{
	test_plain();
	test_selects();
	test_ends();
	test_negative();
	explore_says(looks_first_at(FIRST_FIRST) == 0 && looks_first_at(SECOND_FIRST) == 1,
		     "select: the seeds are what they are called");
	return explore_done();
}
