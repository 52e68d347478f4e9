/*
 * netturns.c - events beside goroutines that are always runnable: who waits how long, and for whom.
 *
 *   the ring never runs empty: only sysmon asks the poller, and what it brings takes turns with the
 *   rest (NW6, FN6); what is brought to an idle program is run quietly (OW1 to OW5)
 */
#include "net_tap.h"

struct echo {
	struct pair p;
};

static void echoes(void *arg)
{
	const struct echo *e = arg;
	char c;
	while (goro_read(e->p.a, &c, 1) == 1)
		expect_eq(goro_write(e->p.a, &c, 1), 1);
}

static void hands_back(goro_chan *to, goro_chan *from)
{
	while (goro_chan_recv(to, NULL))
		goro_chan_send(from, NULL);
}

static void hands_to_and_fro(goro_chan *to, goro_chan *from, const int *over)
{
	go(hands_back, to, from);
	while (!load(over)) {
		goro_chan_send(to, NULL);
		goro_chan_recv(from, NULL);
	}
	goro_chan_close(to);
	goro_chan_unref(from);
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

enum { MEASURED = 50 };
struct measured {
	int fd, is_over;
	int64_t late_ns[MEASURED];
};

static void *measures(void *arg)
{
	struct measured *m = arg;
	char c = 'x';
	for (int i = 0; i < MEASURED; i++) {
		int64_t start = tap_now();
		expect_eq(write(m->fd, &c, 1), 1);
		expect_eq(read(m->fd, &c, 1), 1);
		m->late_ns[i] = tap_now() - start;
		tap_pause(2000000);
	}
	close(m->fd);
	store(&m->is_over, 1);
	return NULL;
}

/* The ring is never empty, and each pair lives in the next slot. */
GORO_CASE(pairs_that_wake_each_other_do_not_keep_events_waiting, .procs = "1",
	  .is_alone = true)
{
	struct pair p = plain_pair_of(TCP);
	struct measured m = {.fd = p.b};
	struct echo e = {.p = p};
	pthread_t thread;
	require_eq(goro_fd_add(p.a), 0);
	require_eq(goro_spawn(echoes, &e), 0);
	for (int i = 0; i < 20 * goro_maxprocs(0); i++)
		go(hands_to_and_fro, goro_chan_make(0, 0), goro_chan_make(0, 0), &m.is_over);
	require_eq(pthread_create(&thread, NULL, measures, &m), 0);
	wait_for(goro_count() == 1);
	pthread_join(thread, NULL);
	qsort(m.late_ns, MEASURED, sizeof(*m.late_ns), by_size);
	printf("# an echo took %" PRId64 " us, at most but for one %" PRId64 " us\n",
	       m.late_ns[MEASURED / 2] / 1000, m.late_ns[MEASURED - 2] / 1000);
	expect_lt(m.late_ns[MEASURED - 2], GORO_MS(30) * TAP_SLOWER);
	expect_eq(goro_close(p.a), 0);
}

enum { BUSY_ECHOES = 64, TURN_PAIRS = 4 };
struct busy {
	struct pair p[BUSY_ECHOES];
	int is_over, n_rounds[TURN_PAIRS];
	int64_t longest_ns;
};

static void echoes_slowly(int fd)
{
	char c;
	while (goro_read(fd, &c, 1) == 1) {
		for (int64_t end = tap_now() + 50000; tap_now() < end;)
			continue;
		expect_eq(goro_write(fd, &c, 1), 1);
	}
	expect_eq(goro_close(fd), 0);
}

static void counts_rounds(struct busy *b, int i)
{
	goro_chan *to = goro_chan_make(0, 0), *from = goro_chan_make(0, 0);
	go(hands_back, to, from);
	while (!load(&b->is_over)) {
		goro_chan_send(to, NULL);
		goro_chan_recv(from, NULL);
		add(&b->n_rounds[i], 1);
	}
	goro_chan_close(to);
	goro_chan_unref(from);
}

static bool all_go_round(struct busy *b)
{
	for (int i = 0; i < TURN_PAIRS; i++)
		if (load(&b->n_rounds[i]) < 10)
			return false;
	return true;
}

/* Answers at once, so that there are always some that are ready; until all pairs go round. */
static int64_t keeps_busy_once(struct busy *b, struct pollfd *pfd)
{
	int64_t start = tap_now();
	char c;
	for (int i = 0; i < TURN_PAIRS; i++)
		store(&b->n_rounds[i], 0);
	while (!all_go_round(b) && tap_now() - start < GORO_SEC(4) * TAP_SLOWER) {
		expect_ge(poll(pfd, BUSY_ECHOES, 1), 0);
		for (int i = 0; i < BUSY_ECHOES; i++)
			if (pfd[i].revents) {
				expect_eq(read(pfd[i].fd, &c, 1), 1);
				expect_eq(write(pfd[i].fd, &c, 1), 1);
			}
	}
	return tap_now() - start;
}

static void *keeps_busy(void *arg)
{
	struct busy *b = arg;
	struct pollfd pfd[BUSY_ECHOES];
	for (int i = 0; i < BUSY_ECHOES; i++) {
		pfd[i] = (struct pollfd){.fd = b->p[i].b, .events = POLLIN};
		expect_eq(write(b->p[i].b, "x", 1), 1);
	}
	for (int i = 0; i < 8 && b->longest_ns < GORO_SEC(4); i++) {
		int64_t took = keeps_busy_once(b, pfd);
		b->longest_ns = took > b->longest_ns ? took : b->longest_ns;
	}
	store(&b->is_over, 1);
	for (int i = 0; i < BUSY_ECHOES; i++)
		shutdown(b->p[i].b, SHUT_WR);
	return NULL;
}

/* What sysmon brings goes between two of a pair's slices, and must not begin its turn anew. */
GORO_CASE(events_that_never_end_and_a_pair_do_not_shut_out_the_other_pairs, .procs = "1",
	  .is_alone = true)
{
	static struct busy b;
	pthread_t thread;
	for (int i = 0; i < BUSY_ECHOES; i++) {
		b.p[i] = plain_pair_of(UNIX_STREAM);
		require_eq(goro_fd_add(b.p[i].a), 0);
		go(echoes_slowly, b.p[i].a);
	}
	for (int i = 0; i < TURN_PAIRS; i++)
		go(counts_rounds, &b, i);
	require_eq(pthread_create(&thread, NULL, keeps_busy, &b), 0);
	while (!load(&b.is_over)) /* with no timer, which would move the pairs */
		goro_yield();
	pthread_join(thread, NULL);
	wait_for(goro_count() == 1);
	for (int i = 0; i < BUSY_ECHOES; i++)
		close(b.p[i].b);
	printf("# all pairs had had a turn after %" PRId64 " us\n", b.longest_ns / 1000);
	expect_lt(b.longest_ns, GORO_SEC(1) * TAP_SLOWER);
}

enum { LONG_ONES = 60 };
struct paced {
	struct pair p;
	int n_short, n_begun, n_waited;
};

static void is_short(struct paced *x)
{
	add(&x->n_short, 1);
}

static void is_long(struct paced *x)
{
	add(&x->n_begun, 1);
	for (int64_t end = tap_now() + 5000000; tap_now() < end;)
		continue;
}

static void answers_once(struct paced *x)
{
	char c;
	expect_eq(goro_read(x->p.a, &c, 1), 1);
	expect_eq(goro_write(x->p.a, &c, 1), 1);
}

static void *asks_once(void *arg)
{
	struct paced *x = arg;
	char c = 'x';
	while (load(&x->n_begun) < 2)
		tap_pause(100000);
	int before = load(&x->n_begun);
	expect_eq(write(x->p.b, &c, 1), 1);
	expect_eq(read(x->p.b, &c, 1), 1);
	x->n_waited = load(&x->n_begun) - before;
	return NULL;
}

/* Counted. NW6: that the last 64 were short says nothing of those that come now. */
GORO_CASE(an_event_waits_for_few_that_run_long_although_the_last_were_short, .procs = "1",
	  .is_alone = true)
{
	struct paced x = {.p = plain_pair_of(UNIX_STREAM)};
	pthread_t thread;
	require_eq(goro_fd_add(x.p.a), 0);
	go(answers_once, &x);
	wait_until_n_parked(1, "IO wait");
	require_eq(pthread_create(&thread, NULL, asks_once, &x), 0);
	for (int i = 1; i <= 192; i++) {
		go(is_short, &x);
		if (i % 8 == 0)
			goro_yield();
	}
	for (int i = 0; i < LONG_ONES; i++)
		go(is_long, &x);
	wait_for(goro_count() == 1);
	pthread_join(thread, NULL);
	printf("# behind %d long ones\n", x.n_waited);
	expect_lt(x.n_waited, 20);
	expect_eq(goro_close(x.p.a), 0);
	close(x.p.b);
}

enum { QUIET_ROUNDS = 15 };
struct quiet {
	struct pair p;
	int n_asleep;
	int64_t late_ns[QUIET_ROUNDS];
};

static void sleeps_beside(struct quiet *q)
{
	for (int i = 0; i < QUIET_ROUNDS; i++) {
		int64_t until = goro_now() + GORO_MS(30);
		add(&q->n_asleep, 1);
		goro_sleep_until(until);
		q->late_ns[i] = goro_now() - until;
	}
}

/* Many short ones first, as above: OW4. */
static void *sends_beside(void *arg)
{
	struct quiet *q = arg;
	char c = 'x';
	for (int i = 0; i < QUIET_ROUNDS; i++) {
		while (load(&q->n_asleep) == i)
			tap_pause(100000);
		for (int k = 0; k < 100; k++) {
			expect_eq(write(q->p.b, &c, 1), 1);
			expect_eq(read(q->p.b, &c, 1), 1);
		}
		expect_eq(write(q->p.b, "long", 4), 4);
		expect_eq(read(q->p.b, &c, 1), 1);
	}
	shutdown(q->p.b, SHUT_WR);
	return NULL;
}

static void computes_for_some(struct quiet *q)
{
	char data[4];
	for (ssize_t n; (n = goro_read(q->p.a, data, 4)) > 0;) {
		for (int64_t end = tap_now() + 40000000; n == 4 && tap_now() < end;)
			continue;
		expect_eq(goro_write(q->p.a, "x", 1), 1);
	}
}

/* OW5: who was the keeper runs what came, without a call, and nobody keeps the timer. */
GORO_CASE(a_sleeper_wakes_in_time_beside_the_only_event, .procs = "2", .is_alone = true)
{
	struct quiet q = {.p = plain_pair_of(UNIX_STREAM)};
	pthread_t thread;
	require_eq(goro_fd_add(q.p.a), 0);
	require_eq(pthread_create(&thread, NULL, sends_beside, &q), 0);
	go(sleeps_beside, &q);
	computes_for_some(&q);
	pthread_join(thread, NULL);
	wait_for(goro_count() == 1);
	qsort(q.late_ns, QUIET_ROUNDS, sizeof(*q.late_ns), by_size);
	printf("# late by %" PRId64 " us, three of four by less than %" PRId64 " us\n",
	       q.late_ns[QUIET_ROUNDS / 2] / 1000, q.late_ns[QUIET_ROUNDS * 3 / 4] / 1000);
	expect_lt(q.late_ns[QUIET_ROUNDS * 3 / 4], GORO_MS(5) * TAP_SLOWER);
	expect_eq(goro_close(q.p.a), 0);
	close(q.p.b);
}

struct meeting {
	struct pair p[2];
	struct echo short_ones;
	int n_begun, n_over;
	goro_waitgroup done;
	int64_t began[2][MEASURED];
};

/* After many short ones, since what runs long is remembered for a while: OW4. */
static void *calls_both(void *arg)
{
	struct meeting *m = arg;
	for (int i = 0; i < MEASURED; i++) {
		char c = 'x';
		for (int k = 0; k < 100; k++) {
			expect_eq(write(m->short_ones.p.b, &c, 1), 1);
			expect_eq(read(m->short_ones.p.b, &c, 1), 1);
		}
		for (int k = 0; k < 2; k++)
			expect_eq(write(m->p[k].b, "x", 1), 1);
		while (load(&m->n_over) < 2 * (i + 1))
			tap_pause(100000);
	}
	close(m->short_ones.p.b);
	return NULL;
}

/* Each computes until the other one does, too, and makes no call that would let it run. */
static void meets(struct meeting *m, int k)
{
	char c;
	for (int i = 0; i < MEASURED; i++) {
		expect_eq(goro_read(m->p[k].a, &c, 1), 1);
		m->began[k][i] = tap_now();
		add(&m->n_begun, 1);
		while (load(&m->n_begun) < 2 * (i + 1))
			;
		add(&m->n_over, 1);
	}
	goro_waitgroup_done(&m->done);
}

/* OW3: a few that are ready at once stay on one P for a moment only. A slice would be 10 ms. */
GORO_CASE(two_that_are_ready_at_once_run_at_the_same_time, .procs = "2", .is_alone = true)
{
	struct meeting m = {.short_ones.p = plain_pair_of(TCP)};
	int64_t apart[MEASURED];
	pthread_t thread;
	for (int k = 0; k < 2; k++) {
		m.p[k] = plain_pair_of(TCP);
		require_eq(goro_fd_add(m.p[k].a), 0);
		goro_waitgroup_add(&m.done, 1);
		go(meets, &m, k);
	}
	require_eq(goro_fd_add(m.short_ones.p.a), 0);
	require_eq(goro_spawn(echoes, &m.short_ones), 0);
	require_eq(pthread_create(&thread, NULL, calls_both, &m), 0);
	goro_waitgroup_wait(&m.done); /* no timer, for which somebody would look */
	pthread_join(thread, NULL);
	wait_for(goro_count() == 1);
	expect_eq(goro_close(m.short_ones.p.a), 0);
	for (int i = 0; i < MEASURED; i++)
		apart[i] = llabs(m.began[0][i] - m.began[1][i]);
	qsort(apart, MEASURED, sizeof(*apart), by_size);
	printf("# they began %" PRId64 " us apart, nine of ten within %" PRId64 " us\n",
	       apart[MEASURED / 2] / 1000, apart[MEASURED * 9 / 10] / 1000);
	expect_lt(apart[MEASURED * 9 / 10], GORO_MS(8) * TAP_SLOWER);
	for (int k = 0; k < 2; k++) {
		expect_eq(goro_close(m.p[k].a), 0);
		close(m.p[k].b);
	}
}

TAP_MAIN
