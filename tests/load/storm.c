/*
 * storm.c - clients that come all at once, that vanish, and more of them than the server has
 * descriptors for.
 *
 *   connect: and talk | reset at once | close at once | say nothing -> all who talk are answered
 *   reset: while the server reads | while it writes | with half of it read; half-close
 *   a server at the limit of its descriptors -> accept says so at once -> all are served later
 *
 * Each case ends with a server that has no connection and no descriptor more than before.
 */
#include "load_tap.h"

/* All connections are over, and nothing of them is left. */
static void expect_nothing_left(struct server *s, const struct cost *before)
{
	wait_for(load(&s->n_open) == 0);
	expect_eq(files_of(s->pid), before->files);
	expect_eq(s->n_late, 0);
	figure("%d accepted, %d at once; %d ended, %d reset, %d refusals", s->n_accepted,
	       s->most_open, s->n_ended, s->n_reset, s->n_refused);
	server_stop(s);
}

/* The poller's two come with the server's first connection. */
static struct cost cost_at_rest(struct server *s)
{
	char c = 'x';
	int fd = plain_connect(s->port);
	require_eq(write(fd, &c, 1), 1);
	require_eq(read(fd, &c, 1), 1);
	close(fd);
	wait_for(load(&s->n_open) == 0);
	return cost_of(s->pid);
}

/* ---- all at once ---- */

enum storm_kind { TALKS, RESETS, CLOSES, SAYS_NOTHING, STORM_KINDS };
enum { STORM = 6000, STORM_ROUNDS = 2 };

struct storm {
	int port, n_over, n_of[STORM_KINDS], n_silent;
	goro_chan *end; /* closed: those who say nothing go */
};

static void storms(struct storm *s, int who)
{
	enum storm_kind kind = who % STORM_KINDS;
	int fd = client_dial(s->port);
	require_ge(fd, 0);
	add(&s->n_of[kind], 1);
	if (kind == TALKS) {
		expect_eq(client_talks(fd, (uint64_t)who, 0, 100), 1);
	} else if (kind == SAYS_NOTHING) {
		add(&s->n_silent, 1);
		goro_chan_recv(s->end, NULL);
	}
	if (kind == RESETS)
		close_with_reset(fd);
	else
		expect_eq(goro_close(fd), 0);
	add(&s->n_over, 1);
}

struct storm_run {
	struct storm s;
	struct server *server;
	int n_before;
	bool is_asleep; /* the server, at first: its queue is full before it takes one */
};

static int connected_count(const struct storm *s)
{
	int n = 0;
	for (int i = 0; i < STORM_KINDS; i++)
		n += load(&s->n_of[i]);
	return n;
}

/* Those beyond the queue's length try again after a second, as TCP does. */
static void wait_until_queue_is_full(const struct storm *s)
{
	int64_t length = tap_kib("/proc/sys/net/core/somaxconn", "");
	wait_for(connected_count(s) >= (length < STORM ? length : STORM));
}

static int storm_main(void *arg)
{
	struct storm_run *r = arg;
	struct storm *s = &r->s;
	s->end = goro_chan_of(char, 0);
	for (int i = 0; i < STORM; i++)
		go(storms, s, i);
	if (r->is_asleep) {
		wait_until_queue_is_full(s);
		expect_eq(kill(r->server->pid, SIGCONT), 0);
	}
	int n_silent = STORM / STORM_KINDS;
	wait_for(load(&s->n_over) == STORM - n_silent && load(&s->n_silent) == n_silent);
	/* All others are over there as well, and who says nothing is not lost. */
	wait_for(load(&r->server->n_open) == n_silent);
	expect_eq(files_of(r->server->pid), r->n_before + n_silent);
	goro_chan_close(s->end);
	wait_for(load(&s->n_over) == STORM);
	goro_chan_unref(s->end);
	return 0;
}

TAP_CASE(a_storm_of_connections_loses_none, .procs = "1,2,4", .is_alone = true, .timeout_s = 60)
{
	(void)files_raise(STORM + 100);
	struct server *s = server_start(0);
	struct cost before = cost_at_rest(s);
	int own = files_of(getpid());
	for (int i = 0; i < STORM_ROUNDS; i++) {
		struct storm_run r = {.s = {.port = s->port},
				      .server = s,
				      .n_before = before.files,
				      .is_asleep = i % 2};
		expect_eq(kill(s->pid, r.is_asleep ? SIGSTOP : SIGCONT), 0);
		expect_eq(goro_run(storm_main, &r), 0);
		wait_for(load(&s->n_open) == 0);
		expect_le(files_of(getpid()), own + 2); /* the poller's, of the first run on */
	}
	/* One that was reset or closed in the queue may never be seen. */
	expect_le(s->n_accepted, 1 + STORM_ROUNDS * STORM);
	expect_ge(s->n_accepted, 1 + STORM_ROUNDS * STORM / 2);
	expect_gt(s->n_reset, 0);
	expect_nothing_left(s, &before);
}

/* ---- that vanish ---- */

enum vanish_kind { IN_READ, IN_WRITE, HALF_READ, HALF_CLOSE, UNREAD, VANISH_KINDS };
enum { VANISHERS = 1500, MUCH = 200 << 10 };

struct vanish {
	int port, n_over, n_cut;
	goro_sem some;
};

/* Until nobody takes more: the server then waits to write, since we read nothing. */
static void fill_up(struct vanish *v, int fd)
{
	static char much[16 << 20];
	expect_eq(goro_set_write_deadline(fd, goro_now() + GORO_MS(50)), 0);
	ssize_t n = goro_write_all(fd, much, sizeof(much));
	expect(n > 0 && n < (ssize_t)sizeof(much));
	expect_eq(goro_write(fd, much, 1), -ETIMEDOUT);
	add(&v->n_cut, 1);
}

static void vanishes(struct vanish *v, int who)
{
	enum vanish_kind kind = who % VANISH_KINDS;
	char data[4096];
	goro_sem_acquire(&v->some, 1);
	int fd = client_dial(v->port);
	require_ge(fd, 0);
	if (kind == HALF_CLOSE) {
		ssize_t error = 0;
		expect_eq(client_streams(fd, (uint64_t)who, MUCH, &error), MUCH);
		expect_eq(error, 0);
		expect_eq(goro_close(fd), 0);
	} else {
		expect_eq(client_talks(fd, (uint64_t)who, 0, 300), 1);
		if (kind == IN_WRITE)
			fill_up(v, fd);
		else if (kind != IN_READ)
			expect_eq(goro_write_all(fd, data, sizeof(data)), sizeof(data));
		if (kind == HALF_READ)
			expect_eq(goro_read_full(fd, data, sizeof(data) / 2), sizeof(data) / 2);
		if (kind == UNREAD)
			expect_eq(goro_close(fd), 0);
		else
			close_with_reset(fd);
	}
	goro_sem_release(&v->some, 1);
	add(&v->n_over, 1);
}

static int vanish_main(void *arg)
{
	struct vanish *v = arg;
	goro_sem_init(&v->some, 100);
	for (int i = 0; i < VANISHERS; i++)
		go(vanishes, v, i);
	wait_for(load(&v->n_over) == VANISHERS);
	return 0;
}

TAP_CASE(peers_that_vanish_leave_nothing_behind, .procs = "1,2,4", .is_alone = true,
	 .timeout_s = 60)
{
	(void)files_raise(1000);
	struct server *s = server_start(0);
	struct cost before = cost_at_rest(s);
	struct vanish v = {.port = s->port};
	expect_eq(goro_run(vanish_main, &v), 0);
	wait_for(load(&s->n_open) == 0);
	expect_eq(s->n_accepted, 1 + VANISHERS);
	/* A half-close ends well; the resets of the first three kinds are seen by each. */
	expect_ge(s->n_ended, 1 + VANISHERS / VANISH_KINDS);
	expect_ge(s->n_reset, 3 * VANISHERS / VANISH_KINDS);
	expect_eq(v.n_cut, VANISHERS / VANISH_KINDS);
	expect_nothing_left(s, &before);
}

/* ---- more than there are descriptors for ---- */

enum { ROOM = 40, GUESTS = 400 };

struct guests {
	struct server *server;
	int n_served, n_let_in, n_before, n_left;
	goro_chan *leave; /* one guest goes for each */
};

static void guest(struct guests *g, int who)
{
	int fd = client_dial(g->server->port);
	require_ge(fd, 0);
	expect_eq(client_talks(fd, (uint64_t)who, 0, 1000), 1);
	add(&g->n_let_in, 1);
	goro_chan_recv(g->leave, NULL);
	expect_eq(client_talks(fd, (uint64_t)who, 0, 1000), 1);
	expect_eq(goro_close(fd), 0);
	add(&g->n_served, 1);
}

/* Refused now and again, while nobody goes. */
static void wait_refused(struct server *s)
{
	int n = load(&s->n_refused);
	wait_for(load(&s->n_refused) >= n + 3);
}

static int guests_main(void *arg)
{
	struct guests *g = arg;
	char c = 0;
	g->leave = goro_chan_of(char, 0);
	for (int i = 0; i < GUESTS; i++)
		go(guest, g, i);
	for (int i = 0; i < 5; i++) { /* who waits takes the place of who goes */
		wait_for(load(&g->n_let_in) == ROOM + i);
		wait_refused(g->server);
		expect_eq(load(&g->n_let_in), ROOM + i);
		expect_eq(files_of(g->server->pid), g->n_before + ROOM);
		goro_chan_send(g->leave, &c);
	}
	goro_chan_close(g->leave); /* all go, and the others come */
	wait_for(load(&g->n_served) == GUESTS);
	goro_chan_unref(g->leave);
	return 0;
}

/* As many more descriptors as that: the numbers below the limit that are free. */
static void leave_room(pid_t pid, int room)
{
	char path[64];
	rlim_t n = 0;
	for (; room > 0; n++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, (int)n);
		room -= access(path, F_OK) != 0 && errno == ENOENT;
	}
	require_eq(prlimit(pid, RLIMIT_NOFILE, &(struct rlimit){n, n}, NULL), 0);
}

TAP_CASE(a_server_without_descriptors_recovers_and_loses_nobody, .procs = "1,2,4", .is_alone = true,
	 .timeout_s = 60)
{
	(void)files_raise(1000);
	struct server *s = server_start(0);
	struct cost before = cost_at_rest(s);
	leave_room(s->pid, ROOM);
	struct guests g = {.server = s, .n_before = before.files};
	expect_eq(goro_run(guests_main, &g), 0);
	wait_for(load(&s->n_open) == 0);
	expect_eq(s->n_accepted, 1 + GUESTS);
	expect_ge(s->n_refused, 15);
	expect_lt(s->longest_refusal, GORO_SEC(1));
	figure("refused %d times, in %" PRId64 " us at the longest", s->n_refused,
	       s->longest_refusal / 1000);
	expect_nothing_left(s, &before);
}

TAP_MAIN
