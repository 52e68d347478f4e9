/*
 * codes.c - every (function, -errno) of the interface that is not a matter of missing resources.
 *
 *   goro_run -EBUSY; spawn -EPERM, -EINVAL; try -EAGAIN, -EPIPE; until -ETIMEDOUT, -EPIPE
 *
 * -ENOMEM is shown in fatal.c.
 */
#include "goro_tap.h"

static void nothing(void *unused)
{
	(void)unused;
}

static int returns_seven(void *unused)
{
	(void)unused;
	return 7;
}

TAP_CASE(spawn_without_a_runtime_is_eperm, .procs = "-")
{
	expect_eq(goro_spawn(nothing, NULL), -EPERM);
	expect_eq(goro_spawn_copy(nothing, "a", 1), -EPERM);
	expect_eq(goro_spawn_attr(NULL, nothing, NULL), -EPERM);
	expect_eq(goro_run(returns_seven, NULL), 7);
	expect_eq(goro_spawn(nothing, NULL), -EPERM);
}

GORO_CASE(run_inside_a_run_is_ebusy, .procs = "1,4")
{
	expect_eq(goro_run(returns_seven, NULL), -EBUSY);
}

GORO_CASE(absurd_stack_is_einval, .procs = "1")
{
	struct goro_attr attr = {.stack_size = ((size_t)1 << 30) + 1};
	expect_eq(goro_spawn_attr(&attr, nothing, NULL), -EINVAL);
	expect_eq(goro_count(), 1);
}

/* Each code of the four calls, on an empty, a full, a closed and a nil channel. */
static void check_codes(size_t capacity)
{
	goro_chan *c = goro_chan_of(int, capacity);
	int value = 1;
	int64_t soon = goro_now() + GORO_MS(1);
	expect_eq(goro_chan_tryrecv(c, &value), -EAGAIN);
	expect_eq(goro_chan_recv_until(c, &value, soon), -ETIMEDOUT);
	expect_ge(goro_now(), soon);
	for (size_t i = 0; i < capacity; i++)
		expect_eq(i % 2 == 0 ? goro_chan_trysend(c, &value)
				     : goro_chan_send_until(c, &value, GORO_POLL),
			  0);
	soon = goro_now() + GORO_MS(1);
	expect_eq(goro_chan_trysend(c, &value), -EAGAIN);
	expect_eq(goro_chan_send_until(c, &value, soon), -ETIMEDOUT);
	expect_ge(goro_now(), soon);
	for (size_t i = 0; i < capacity; i++)
		expect_eq(i % 2 == 0 ? goro_chan_tryrecv(c, &value)
				     : goro_chan_recv_until(c, &value, GORO_FOREVER),
			  0);
	goro_chan_close(c);
	expect_eq(goro_chan_tryrecv(c, &value), -EPIPE);
	expect_eq(goro_chan_recv_until(c, &value, GORO_FOREVER), -EPIPE);
	expect_eq(goro_chan_recv_until(c, &value, GORO_POLL), -EPIPE);
	goro_chan_unref(c);
}

static void check_nil(void)
{
	int value = 1;
	expect_eq(goro_chan_trysend(NULL, &value), -EAGAIN);
	expect_eq(goro_chan_tryrecv(NULL, &value), -EAGAIN);
	expect_eq(goro_chan_send_until(NULL, &value, goro_now() + 1000), -ETIMEDOUT);
	expect_eq(goro_chan_recv_until(NULL, &value, goro_now() + 1000), -ETIMEDOUT);
}

GORO_CASE(channel_calls_give_their_codes, .procs = "1,4")
{
	for (size_t capacity = 0; capacity < 4; capacity++)
		check_codes(capacity);
	check_nil();
}

TAP_CASE(channel_calls_give_their_codes_in_a_plain_thread, .procs = "-")
{
	for (size_t capacity = 0; capacity < 4; capacity++)
		check_codes(capacity);
	check_nil();
}

static void wakes_by_close(void *c)
{
	wait_until_parked(1, "chan receive");
	goro_chan_close(c);
}

GORO_CASE(parked_recv_until_is_epipe_when_closed, .procs = "1,4")
{
	goro_chan *c = goro_chan_of(int, 0);
	int value = -1;
	goro_spawn(wakes_by_close, c);
	expect_eq(goro_chan_recv_until(c, &value, goro_now() + GORO_SEC(1000)), -EPIPE);
	expect_eq(value, 0);
}

TAP_MAIN
