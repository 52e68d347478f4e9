/*
 * select.c - selects with more cases than the stack takes, while the n-th call fails.
 *
 *   goro_select of 17 and more -> -ENOMEM and nothing done, or the right case; no memory is lost
 *
 * sweep.h tells what a run must come to.
 */
#include "sweep.h"

enum { MANY = 40, SELECTORS = 6 };

static int n_selectors;

/* -ENOMEM leaves all as it was, so that the same call again is the next try. */
static int select_granted(goro_case *cases, size_t n, int64_t deadline)
{
	int result;
	while ((result = goro_select(cases, n, deadline)) == -ENOMEM) {
		expect(may_be_refused(result));
		expect(n > 16);
		if (sweep_persists)
			break;
	}
	return result;
}

struct selector {
	goro_chan *const *c;
	int first; /* of how many it selects on; the others are nil */
};

static void selects(void *arg)
{
	struct selector *s = arg;
	goro_case cases[MANY];
	int value = -1;
	for (int i = 0; i < MANY; i++)
		cases[i] = GORO_RECV(i >= s->first ? s->c[i] : NULL, &value);
	int result = select_granted(cases, MANY, GORO_FOREVER);
	if (result >= 0)
		expect_eq(value, result);
	else
		expect_eq(value, -1);
	add(&n_selectors, -1);
}

static bool make_all(goro_chan *c[MANY])
{
	for (int i = 0; i < MANY; i++) {
		c[i] = make_chan(sizeof(int), 0);
		if (c[i] == NULL) {
			while (i-- > 0)
				goro_chan_unref(c[i]);
			return false;
		}
	}
	return true;
}

static int meets_selects(void *unused)
{
	static goro_chan *c[MANY];
	(void)unused;
	store(&n_selectors, 0);
	if (!make_all(c))
		return MAIN_VALUE;
	for (int i = 0; i < SELECTORS; i++) {
		struct selector s = {c, i * 5};
		if (is_granted(goro_spawn_copy(selects, &s, sizeof(s))))
			add(&n_selectors, 1);
	}
	for (int at = MANY - 1; load(&n_selectors) > 0; at = at > MANY - 10 ? at - 1 : MANY - 1) {
		goro_chan_send_until(c[at], &at, goro_now() + GORO_US(200));
		goro_yield();
	}
	wait_for(goro_count() == 1);
	goro_case cases[MANY];
	for (int i = 0; i < MANY; i++)
		cases[i] = GORO_RECV(c[i], NULL);
	int result = select_granted(cases, MANY, GORO_POLL);
	expect(result == -ETIMEDOUT || (result == -ENOMEM && sweep_persists));
	result = select_granted(cases, MANY, goro_now() + GORO_US(100));
	expect(result == -ETIMEDOUT || (result == -ENOMEM && sweep_persists));
	expect_eq(select_granted(cases, 16, GORO_POLL), -ETIMEDOUT);
	for (int i = 0; i < MANY; i++)
		goro_chan_unref(c[i]);
	return MAIN_VALUE;
}

static void many_cases(void)
{
	run_main(meets_selects, NULL);
}

SWEEP(many_cases, .procs = "2")

/* ---- a run that ends while selects wait: their memory is given back, and the channels' ---- */

static goro_chan *left[MANY];

static int leaves_selects(void *unused)
{
	(void)unused;
	store(&n_selectors, 0);
	for (int i = 0; i < SELECTORS; i++) {
		struct selector s = {left, i * 5};
		if (is_granted(goro_spawn_copy(selects, &s, sizeof(s))))
			add(&n_selectors, 1);
	}
	/* Those that had no memory leave; wait until the others wait. */
	wait_for(parked_count("select") == load(&n_selectors));
	return MAIN_VALUE;
}

static void left_behind(void)
{
	if (!make_all(left))
		return;
	run_main(leaves_selects, NULL);
	for (int i = 0; i < MANY; i++) {
		expect_eq(goro_chan_trysend(left[i], &i), -EAGAIN);
		goro_chan_unref(left[i]);
	}
}

SWEEP_KIND(left_behind, malloc, .procs = "2")

/* ---- woken, and not back from its call: the channel that woke it is gone ---- */

static int wakes_and_drops(void *unused)
{
	static goro_chan *c[MANY];
	struct selector s = {c, 0};
	(void)unused;
	store(&n_selectors, 0);
	if (!make_all(c))
		return MAIN_VALUE;
	if (is_granted(goro_spawn_copy(selects, &s, sizeof(s)))) {
		add(&n_selectors, 1);
		wait_for(parked_count("select") == load(&n_selectors));
		int error = goro_chan_trysend(c[7], &(int){7});
		expect(error == 0 || (error == -EAGAIN && load(&n_selectors) == 0));
	}
	for (int i = 0; i < MANY; i++)
		goro_chan_unref(c[i]);
	return MAIN_VALUE;
}

static void woken_and_left(void)
{
	run_main(wakes_and_drops, NULL);
}

SWEEP(woken_and_left, .procs = "1")

TAP_MAIN
