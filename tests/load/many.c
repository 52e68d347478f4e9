/*
 * many.c - as many connections as there may be: all that talk at once, and all that are idle.
 *
 *   10 000 clients connect -> wait for one another -> talk, all at once -> every byte is compared
 *   20 000 connect and say one byte -> what each costs the server -> close -> given back
 *
 * Fewer when the limit of descriptors is lower and cannot be raised; it says so.
 */
#include "load_tap.h"

enum { TALKERS = 10000, IDLERS = 20000, STREAM_SIZE = 256 << 10, DIALLING = 512 };

struct crowd {
	int port, n, n_connected, n_done;
	goro_sem dialling; /* fewer at a time than a listener's queue holds */
	goro_chan *start;
};

static void talker(struct crowd *c, int who)
{
	uint64_t state = tap_seed() + (uint64_t)who;
	size_t at = 0;
	goro_sem_acquire(&c->dialling, 1);
	int fd = client_dial(c->port);
	goro_sem_release(&c->dialling, 1);
	require_ge(fd, 0);
	expect_eq(client_talks(fd, (uint64_t)who, 0, 1), 1); /* the server has it */
	add(&c->n_connected, 1);
	goro_chan_recv(c->start, NULL);
	if (who % 50 == 0) {
		ssize_t error = 0;
		expect_eq(client_streams(fd, (uint64_t)who, STREAM_SIZE, &error), STREAM_SIZE);
		expect_eq(error, 0);
	} else {
		for (int i = 0; i < 4; i++) {
			size_t size = 1 + tap_random(&state) % 2000;
			expect_eq(client_talks(fd, (uint64_t)who, at, size), 1);
			at += size;
		}
	}
	expect_eq(goro_close(fd), 0);
	add(&c->n_done, 1);
}

static int talkers(void *arg)
{
	struct crowd *c = arg;
	(void)tap_seed();
	c->start = goro_chan_of(char, 0);
	goro_sem_init(&c->dialling, DIALLING);
	for (int i = 0; i < c->n; i++)
		go(talker, c, i);
	wait_for(load(&c->n_connected) == c->n);
	goro_chan_close(c->start);
	wait_for(load(&c->n_done) == c->n);
	goro_chan_unref(c->start);
	return 0;
}

TAP_CASE(ten_thousand_connections_echo_at_once, .procs = "1,2,4", .is_alone = true, .timeout_s = 60)
{
	struct crowd c = {.n = connections_raise(TALKERS)};
	struct server *s = server_start(0);
	c.port = s->port;
	int64_t start = tap_now();
	expect_eq(goro_run(talkers, &c), 0);
	figure("%d connections at once echoed in %" PRId64 " ms", s->most_open,
	       (tap_now() - start) / 1000000);
	wait_for(load(&s->n_open) == 0);
	expect_eq(s->n_accepted, c.n);
	expect_eq(s->most_open, c.n);
	expect_eq(s->n_ended, c.n);
	server_stop(s);
}

/* ---- idle ones ---- */

/*
 * In bytes: a page of stack, its share of a page table, the record of the goroutine and that of the
 * descriptor, which stay. What is measured stands in the figures that the case prints.
 */
enum { EACH_MAX = 4710, EACH_PTE_MAX = 850, LEFT_MAX = 300, LEFT_PTE_MAX = 50 };
enum { FEW_THREADS = 6 };

/* What the server costs more than before: memory of each connection, and all threads. */
static struct cost cost_each(const struct server *s, const struct cost *before, int n)
{
	struct cost now = cost_of(s->pid);
	return (struct cost){.rss = (now.rss - before->rss) / n,
			     .pte = (now.pte - before->pte) / n,
			     .threads = now.threads - before->threads};
}

/* Threads, too: closing thousands takes some for a while, since each may take its time. */
static bool is_given_back(const struct cost *left)
{
	return left->rss <= LEFT_MAX && left->pte <= LEFT_PTE_MAX && left->threads <= FEW_THREADS;
}

/* The server has answered each, and is idle. */
static void idlers_connect(const struct server *s, int *fds, int n)
{
	char c = 'x';
	for (int i = 0; i < n; i++) {
		fds[i] = plain_connect(s->port);
		require_eq(write(fds[i], &c, 1), 1);
		require_eq(read(fds[i], &c, 1), 1);
	}
	expect_eq(load(&s->n_open), n);
}

TAP_CASE(idle_connections_cost_little_and_give_it_back, .procs = "1,4", .is_alone = true,
	 .timeout_s = 90)
{
	static int fds[IDLERS];
	if (TAP_SANITIZED)
		tap_skip("a sanitizer takes memory of its own");
	int n = connections_raise(IDLERS);
	struct server *s = server_start(0);
	struct cost before = cost_of(s->pid);
	idlers_connect(s, fds, n);
	struct cost with = cost_each(s, &before, n);
	figure("%d idle connections: each %" PRId64 " bytes, and %" PRId64 " of page tables", n,
	       with.rss, with.pte);
	expect_le(with.rss, EACH_MAX);
	expect_le(with.pte, EACH_PTE_MAX);
	expect_le(with.threads, FEW_THREADS);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	wait_for(load(&s->n_open) == 0);
	struct cost left = cost_each(s, &before, n);
	for (int i = 0; i < 10 * PATIENCE_S && !is_given_back(&left); i++) {
		tap_pause(100000000); /* a look holds up whoever needs memory there */
		left = cost_each(s, &before, n);
	}
	figure("when they are closed: %" PRId64 " bytes, and %" PRId64 " of page tables", left.rss,
	       left.pte);
	expect(is_given_back(&left));
	server_stop(s);
}

TAP_MAIN
