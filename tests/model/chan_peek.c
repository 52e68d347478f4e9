/*
 * chan_peek.c - looking at a channel without its lock (CH6), under every schedule, with the real
 * lock.
 *
 *   src/sync/chan.c, src/core/lock.c -> the explorer
 *
 * Each test runs as the explorer's memory is, which is that of arm64, and again as x86's: what
 * makes the look right is not the same on both (CHAN-PEEK in docs/internals/memory-order.md).
 */
#define MODEL_REAL_LOCK
#include "model_sched.h"

/* Ranks are watched in threads of the runtime; none is here. */
bool m_may_lock(struct m *mp)
{
	(void)mp;
	return true;
}

uint32_t *m_held_ranks(struct m *mp)
{
	(void)mp;
	return NULL;
}

#include "core/lock.c"

#include "sync/waitq.c"

#include "sync/chan.c"

static goro_chan *a, *b;
static int result[EXPLORE_THREADS];
static atomic_of(uint32_t) flag;

static void setup(size_t capacity)
{
	model_sched_setup(0, 1);
	for (int i = 0; i < EXPLORE_THREADS; i++)
		ms[i].id = 0; /* plain threads */
	a = goro_chan_make(sizeof(uint32_t), capacity);
	b = goro_chan_make(sizeof(uint32_t), capacity);
	explore_name(a, sizeof(*a), "a");
	explore_name(b, sizeof(*b), "b");
	explore_name(result, sizeof(result), "result");
	explore_name(&flag, sizeof(flag), "flag");
	explore_name(lock_sleepers, sizeof(lock_sleepers), "lock_sleepers");
}

static void setup_0(void)
{
	setup(0);
}

static void setup_1(void)
{
	setup(1);
}

static void send_to(goro_chan *c)
{
	goro_chan_send(c, &(uint32_t){7});
}

static void setup_full(void)
{
	setup(1);
	send_to(a);
	send_to(b);
}

static int recv_from(goro_chan *c)
{
	uint32_t value = 0;
	int error = goro_chan_tryrecv(c, &value);

	explore_check((error == 0) == (value == 7));
	return error;
}

/* ---- each does something, then looks for what the other did: one of them finds it ---- */

static void send_a_look_at_b(void)
{
	send_to(a);
	result[0] = recv_from(b);
}

static void send_b_look_at_a(void)
{
	send_to(b);
	result[1] = recv_from(a);
}

static void empty_a_fill_b(void)
{
	explore_check(goro_chan_recv(a, NULL));
	result[0] = goro_chan_trysend(b, &(uint32_t){7});
}

static void empty_b_fill_a(void)
{
	explore_check(goro_chan_recv(b, NULL));
	result[1] = goro_chan_trysend(a, &(uint32_t){7});
}

static void close_a_look_at_b(void)
{
	goro_chan_close(a);
	result[0] = recv_from(b);
}

static void close_b_look_at_a(void)
{
	goro_chan_close(b);
	result[1] = recv_from(a);
}

/* The same with an atomic of the program's own on the other side. */
static void flag_then_look_at_a(void)
{
	store_rlx(&flag, 1);
	fence_seq_cst();
	result[0] = recv_from(a);
}

static void send_a_look_at_flag(void)
{
	send_to(a);
	result[1] = load_seq_cst(&flag) ? 0 : -EAGAIN;
}

static void one_found_it(void)
{
	explore_check(result[0] != -EAGAIN || result[1] != -EAGAIN);
}

/* ---- what a channel never was ---- */

/* Open with a value, closed with it, closed without. */
static void close_and_empty(void)
{
	goro_chan_close(a);
	result[0] = goro_chan_tryrecv(a, NULL);
}

static void never_open_and_empty(void)
{
	result[1] = recv_from(a);
	explore_check(result[1] == 0 || result[1] == -EPIPE);
	explore_seen(result[1] == 0);
}

static void one_got_it(void)
{
	explore_check((result[0] == 0) != (result[1] == 0));
}

static void send_another(void)
{
	send_to(a);
}

static void recv_one(void)
{
	explore_check(goro_chan_recv(a, NULL));
}

/* Full with a sender behind it, then full with that one's value. */
static void never_empty(void)
{
	lock_acquire(&a->lock);
	bool has_sender = !waitq_is_empty(&a->senders);
	lock_release(&a->lock);
	result[2] = recv_from(a);
	explore_check(!has_sender || result[2] == 0);
	explore_seen(has_sender);
}

/* Nobody takes a waiting receiver's mark away. */
static void send_if_awaited(void)
{
	lock_acquire(&a->lock);
	bool is_awaited = !waitq_is_empty(&a->receivers);
	lock_release(&a->lock);
	result[1] = goro_chan_trysend(a, &(uint32_t){7});
	explore_check(!is_awaited || result[1] == 0);
	explore_seen(is_awaited);
}

static void look(void)
{
	explore_check(recv_from(a) == -EAGAIN);
}

#define PEEK(from, x, y, end) .setup = from, .thread = {x, y}, .finish = end

static void test_both(bool is_x86)
{
	explore_holds(&(struct explore_test){is_x86 ? "chan_peek: x86: two send, then look"
						    : "chan_peek: two send, then look",
					     PEEK(setup_1, send_a_look_at_b, send_b_look_at_a,
						  one_found_it),
					     TRY(2, 3), .is_x86 = is_x86});
	explore_holds(&(struct explore_test){is_x86 ? "chan_peek: x86: two make room, then look"
						    : "chan_peek: two make room, then look",
					     PEEK(setup_full, empty_a_fill_b, empty_b_fill_a,
						  one_found_it),
					     TRY(2, 3), .is_x86 = is_x86});
	explore_holds(&(struct explore_test){is_x86 ? "chan_peek: x86: two close, then look"
						    : "chan_peek: two close, then look",
					     PEEK(setup_1, close_a_look_at_b, close_b_look_at_a,
						  one_found_it),
					     TRY(2, 3), .is_x86 = is_x86});
	explore_holds(&(struct explore_test){is_x86 ? "chan_peek: x86: a flag against a send"
						    : "chan_peek: a flag against a send",
					     PEEK(setup_1, flag_then_look_at_a, send_a_look_at_flag,
						  one_found_it),
					     TRY(2, 3), .is_x86 = is_x86});
	explore_holds_seen(
		&(struct explore_test){is_x86 ? "chan_peek: x86: closed, then emptied"
					      : "chan_peek: closed, then emptied",
				       PEEK(setup_full, close_and_empty, never_open_and_empty,
					    one_got_it),
				       TRY(3, 2), .is_x86 = is_x86},
		3);
	explore_holds_seen(
		&(struct explore_test){is_x86 ? "chan_peek: x86: a sender moves up"
					      : "chan_peek: a sender moves up",
				       PEEK(setup_full, send_another, recv_one, NULL),
				       .thread[2] = never_empty, TRY(2, 1), .is_x86 = is_x86,
				       .may_end_blocked = true},
		3);
	explore_holds_seen(
		&(struct explore_test){is_x86 ? "chan_peek: x86: a receiver's mark stays"
					      : "chan_peek: a receiver's mark stays",
				       PEEK(setup_0, recv_one, send_if_awaited, NULL),
				       .thread[2] = look, TRY(2, 1), .is_x86 = is_x86,
				       .may_end_blocked = true},
		3);
}

static void test_negative(void)
{
	explore_finds(&(struct explore_test){"chan_peek: found when the lock's word is not read",
					     PEEK(setup_1, send_a_look_at_b, send_b_look_at_a,
						  one_found_it),
					     TRY(2, 3), .is_x86 = true, .omit = "chan-peek-lock"},
		      "result[0] != -EAGAIN");
	explore_finds(&(struct explore_test){"chan_peek: found when the look may come early",
					     PEEK(setup_1, send_a_look_at_b, send_b_look_at_a,
						  one_found_it),
					     TRY(2, 3), .weaken = "lock_is_free"},
		      "result[0] != -EAGAIN");
	explore_finds(&(struct explore_test){"chan_peek: found when closed is looked at first",
					     PEEK(setup_full, close_and_empty,
						  never_open_and_empty, one_got_it),
					     TRY(3, 2), .omit = "chan-peek-order"},
		      "-EPIPE");
	explore_finds(&(struct explore_test){"chan_peek: found when one out and one in are two",
					     PEEK(setup_full, send_another, recv_one, NULL),
					     .thread[2] = never_empty, TRY(2, 1),
					     .omit = "chan-exchange", .may_end_blocked = true},
		      "has_sender");
}

int main(void)
{
	test_both(false);
	test_both(true);
	test_negative();
	return explore_done();
}
