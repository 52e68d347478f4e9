/*
 * linger.c - when an M asks the poller for a moment more: LG1 to LG3; src/sched/linger.c.
 */
#include "goro_tap.h"

#include <fcntl.h>
#include <unistd.h>

#include "os/os.h"
#include "sched/sched.h"

enum { SHORT = 10000, LONG = 1000000, FIRST = 16, MOST = 512 };

static int pipe_fds[2];

static void reads_one(void *unused)
{
	(void)unused;
	char c;
	(void)goro_read(pipe_fds[0], &c, 1);
}

static struct p *our_p(void)
{
	return load_rlx(&m_self()->p); /* relaxed: our own */
}

static bool lingers(struct moment *m)
{
	*m = (struct moment){0};
	return linger_goes_on(our_p(), m);
}

static void let_it_end(struct moment *m)
{
	while (linger_goes_on(our_p(), m))
		continue;
	expect_eq(m->until, 0);
}

/* How many short sleeps it takes until it lingers. */
static int sleeps_until(struct moment *m)
{
	int n = 0;
	for (; !lingers(m) && n < 2 * MOST; n++)
		linger_slept(SHORT, true);
	return n;
}

/* It looks, in vain; then the pipe has something. */
static void finds_something_late(struct moment *m)
{
	do {
		let_it_end(m);
		(void)sleeps_until(m);
	} while (!linger_goes_on(our_p(), m)); /* again: the CPU was lost in between */
	expect(linger_ask(our_p(), m) == NULL);
	expect_eq(write(pipe_fds[1], "x", 1), 1);
	m->looked_at = os_now(); /* a write takes long for a round */
	struct g *gp = linger_ask(our_p(), m);
	require(gp != NULL);
	put_runnable(our_p(), gp, false);
}

static int lingers_after_short_sleeps(void *unused)
{
	struct moment m;
	(void)unused;
	require_eq(pipe(pipe_fds), 0);
	require_eq(goro_fd_add(pipe_fds[0]), 0);
	goro_spawn(reads_one, NULL);
	wait_until_n_parked(1, "IO wait");

	/* LG3 */
	expect_eq(sleeps_until(&m), FIRST);
	let_it_end(&m);
	for (int price = 2; price <= MOST; price *= 2) {
		expect_eq(sleeps_until(&m), price);
		let_it_end(&m);
	}
	expect_eq(sleeps_until(&m), MOST); /* and no more */
	let_it_end(&m);

	/* Long ones, and those that a timer ended, count on the other side. */
	expect_eq(sleeps_until(&m), MOST);
	for (int i = 0; i < 3 * FIRST; i++)
		linger_slept(i % 2 ? LONG : SHORT, i % 2);
	expect_eq(sleeps_until(&m), FIRST);

	/* LG1: another one keeps; LG2: a timer is near */
	store_rlx(&sched.keeper_taken, 1); /* relaxed: only we run */
	expect(!lingers(&m));
	store_rlx(&sched.keeper_taken, 0); /* relaxed: likewise */
	goro_timer *near = goro_timer_chan(GORO_US(10));
	expect(!lingers(&m));
	goro_timer_free(near);
	expect(lingers(&m));

	finds_something_late(&m);
	expect(!lingers(&m)); /* somebody waits in the ring, nobody for a descriptor */
	wait_for(goro_count() == 1);
	expect(!lingers(&m));

	goro_spawn(reads_one, NULL);
	wait_until_n_parked(1, "IO wait");
	(void)sleeps_until(&m);
	let_it_end(&m);
	expect_eq(sleeps_until(&m), MOST / 2); /* what was found has made it cheaper */
	let_it_end(&m);
	expect_eq(goro_close(pipe_fds[0]), 0);
	close(pipe_fds[1]);
	return 0;
}

TAP_CASE(it_lingers_while_that_helps, .procs = "1")
{
	expect_eq(goro_run(lingers_after_short_sleeps, NULL), 0);
}

TAP_MAIN
