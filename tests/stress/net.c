/*
 * net.c - stress: connections of all kinds, made, talked over, waited for, given deadlines,
 * cancelled and closed by goroutines and plain threads at once, while the number of Ps changes.
 *
 *   a table of connections; each player holds a place, talks on it, and closes it and makes another
 *   -> each byte arrives once, in order, at the peer of its own life; every wait ends
 */
#include "goro_tap.h"

#include <sys/socket.h>

enum { PLACES = 24, TALKERS = 12, MEDDLERS = 4, THREADS_IN = 2 };

struct message {
	uint32_t place, life, number;
};

struct place {
	goro_chan *lock;   /* a token: who may talk, or replace the connection */
	int fd[2];         /* both known to the poller */
	uint32_t life, sent[2];
};

struct game {
	struct place places[PLACES];
	goro_ctx *ctx;     /* cancelled now and then, and another made */
	goro_chan *ctx_lock;
	goro_chan *dump_lock; /* ThreadSanitizer does not see what libbacktrace does for order */
	int is_stopped, n_over, n_wrong, n_messages, n_lives, n_late, n_canceled, n_closed;
};

static void make_pair(int fd[2], uint64_t *state)
{
	int both = tap_random(state) % 4 == 0 ? SOCK_NONBLOCK : 0;
	require_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | both, 0, fd), 0);
	for (int i = 0; i < 2; i++)
		require_eq(goro_fd_add(fd[i]), 0);
}

/* What may come of any call on a place that is one's own: no -EBADF there. */
static bool is_expected(struct game *g, ssize_t n)
{
	add(&g->n_late, n == -ETIMEDOUT);
	add(&g->n_canceled, n == -ECANCELED);
	bool is_fine = n == -ETIMEDOUT || n == -ECANCELED;
	add(&g->n_wrong, !is_fine);
	return is_fine;
}

struct echo {
	struct game *g;
	int fd;
	uint32_t place, life;
};

/* The other end: expects the messages of its life in order, until the end. */
static void echoes(struct echo e)
{
	struct message m;
	uint32_t number = 0;
	for (ssize_t n; (n = goro_read_full(e.fd, &m, sizeof(m))) != 0;) {
		if (n == -ECONNRESET)
			break; /* it was closed before it had read our last echo */
		if (n != sizeof(m) || m.place != e.place || m.life != e.life ||
		    m.number != number++) {
			add(&e.g->n_wrong, 1);
			break;
		}
		if (goro_write_all(e.fd, &m, sizeof(m)) != sizeof(m))
			break; /* the peer was closed meanwhile */
	}
	add(&e.g->n_wrong, goro_close(e.fd) != 0);
	add(&e.g->n_over, 1);
}

static void renew(struct game *g, struct place *p, uint64_t *state)
{
	struct echo e = {g, 0, (uint32_t)(p - g->places), ++p->life};
	make_pair(p->fd, state);
	e.fd = p->fd[1];
	p->sent[0] = 0;
	add(&g->n_lives, 1);
	go(echoes, e);
}

/* One message out, and its echo back; a deadline or a cancellation ends the connection's life. */
static bool talk(struct game *g, struct place *p, uint64_t *state)
{
	struct message m = {(uint32_t)(p - g->places), p->life, p->sent[0]++}, back = {0};
	uint64_t r = tap_random(state);
	int64_t deadline = GORO_FOREVER;
	if (r % 8 == 0)
		deadline = goro_now() + (int64_t)(r >> 8) % 100000;
	if (r % 4 == 0)
		goro_set_read_deadline(p->fd[0], deadline);
	ssize_t n = goro_write_all(p->fd[0], &m, sizeof(m));
	if (n == sizeof(m) && r % 16 < 4) {
		int got = goro_fd_wait(p->fd[0], POLLIN, GORO_FOREVER);
		n = got < 0 ? got : n;
	}
	if (n == sizeof(m))
		n = goro_read_full(p->fd[0], &back, sizeof(back));
	if (n == sizeof(m)) {
		add(&g->n_messages, 1);
		add(&g->n_wrong, memcmp(&m, &back, sizeof(m)) != 0);
		return true;
	}
	if (n < 0)
		(void)is_expected(g, n);
	return false; /* also when it was cut: the life is over */
}

static void use_ctx(struct game *g)
{
	goro_get(g->ctx_lock, int);
	goro_ctx_unref(goro_ctx_use(goro_ctx_ref(g->ctx)));
	goro_put(g->ctx_lock, 1);
}

static void play(struct game *g, uint64_t state)
{
	while (!load(&g->is_stopped)) {
		struct place *p = &g->places[tap_random(&state) % PLACES];
		goro_get(p->lock, int);
		if (goro_id() != 0 && tap_random(&state) % 8 == 0)
			use_ctx(g);
		bool is_good = true;
		for (uint64_t i = tap_random(&state) % 8; is_good && i > 0; i--)
			is_good = talk(g, p, &state);
		goro_ctx *before = goro_id() ? goro_ctx_use(NULL) : NULL;
		goro_ctx_unref(before);
		if (!is_good || tap_random(&state) % 4 == 0) {
			add(&g->n_wrong, goro_close(p->fd[0]) != 0);
			add(&g->n_closed, 1);
			renew(g, p, &state);
		}
		goro_put(p->lock, 1);
		if (goro_id() != 0 && tap_random(&state) % 256 == 0)
			goro_maxprocs((int)(tap_random(&state) % 8) + 1);
	}
	add(&g->n_over, 1);
}

static void *thread_plays(void *g)
{
	play(g, tap_seed() + 1000);
	return NULL;
}

struct waiter {
	int fd, kind;
	uint64_t id;
	ssize_t result;
	int n_over;
};

static void waits(void *arg)
{
	struct waiter *w = arg;
	char data[64];
	ssize_t n;
	store(&w->id, goro_id());
	if (w->kind % 3 == 0)
		n = goro_read(w->fd, data, sizeof(data));
	else if (w->kind % 3 == 1)
		n = goro_fd_wait(w->fd, POLLIN, GORO_FOREVER);
	else
		n = goro_fd_wait(w->fd, POLLIN, goro_now() + GORO_SEC(3600));
	store(&w->result, n);
	add(&w->n_over, 1);
}

/* Connections that are closed while others wait on them; nobody ever writes. */
static void meddle(struct game *g, uint64_t state)
{
	while (!load(&g->is_stopped)) {
		struct waiter w[3];
		int fd[2];
		make_pair(fd, &state);
		for (int i = 0; i < 3; i++) {
			w[i] = (struct waiter){.fd = fd[0], .kind = (int)(tap_random(&state) % 3)};
			require_eq(goro_spawn(waits, &w[i]), 0);
		}
		for (uint64_t i = tap_random(&state) % 4; i > 0; i--)
			goro_set_deadline(fd[0], goro_now() + GORO_SEC(100));
		goro_sleep((int64_t)(tap_random(&state) % 200000));
		bool is_late = tap_random(&state) % 8 != 0;
		if (is_late)
			goro_set_deadline(fd[0], 1);
		for (int i = 0; is_late && i < 3; i++)
			wait_for(load(&w[i].n_over));
		for (int i = 0; !is_late && i < 3; i++) { /* or the number may be another's */
			wait_for(load(&w[i].id) != 0);
			goro_get(g->dump_lock, int);
			wait_until_parked(load(&w[i].id), "IO wait");
			goro_put(g->dump_lock, 1);
		}
		add(&g->n_wrong, goro_close(fd[0]) != 0);
		for (int i = 0; i < 3; i++) {
			wait_for(load(&w[i].n_over));
			ssize_t n = load(&w[i].result);
			add(&g->n_wrong, n != (is_late ? -ETIMEDOUT : -EBADF));
		}
		add(&g->n_wrong, goro_close(fd[1]) != 0);
	}
	add(&g->n_over, 1);
}

static void cancel_now_and_then(struct game *g)
{
	while (!load(&g->is_stopped)) {
		goro_sleep(GORO_MS(2));
		goro_get(g->ctx_lock, int);
		goro_ctx *old = g->ctx;
		g->ctx = goro_ctx_with_cancel(goro_ctx_background());
		goro_put(g->ctx_lock, 1);
		goro_ctx_cancel(old);
		goro_ctx_unref(old);
	}
	add(&g->n_over, 1);
}

static void end(struct game *g)
{
	for (int i = 0; i < PLACES; i++) {
		expect_eq(goro_close(g->places[i].fd[0]), 0);
		goro_chan_unref(g->places[i].lock);
	}
	wait_for(goro_count() == 1);
	goro_ctx_unref(g->ctx);
	goro_chan_unref(g->ctx_lock);
	goro_chan_unref(g->dump_lock);
	printf("# %d messages, %d lives, %d late, %d cancelled\n", load(&g->n_messages),
	       load(&g->n_lives), load(&g->n_late), load(&g->n_canceled));
	expect_eq(load(&g->n_wrong), 0);
	expect_gt(load(&g->n_messages), 0);
}

GORO_CASE(connections_live_and_die_in_order, .timeout_s = 60)
{
	static struct game g;
	pthread_t threads[THREADS_IN];
	uint64_t state = tap_seed();
	int n_procs = goro_maxprocs(0);
	g.ctx = goro_ctx_with_cancel(goro_ctx_background());
	g.ctx_lock = goro_chan_of(int, 1);
	goro_put(g.ctx_lock, 1);
	g.dump_lock = goro_chan_of(int, 1);
	goro_put(g.dump_lock, 1);
	for (int i = 0; i < PLACES; i++) {
		g.places[i].lock = goro_chan_of(int, 1);
		renew(&g, &g.places[i], &state);
		goro_put(g.places[i].lock, 1);
	}
	for (int i = 0; i < TALKERS; i++)
		go(play, &g, tap_random(&state));
	for (int i = 0; i < MEDDLERS; i++)
		go(meddle, &g, tap_random(&state));
	go(cancel_now_and_then, &g);
	for (int i = 0; i < THREADS_IN; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_plays, &g), 0);
	goro_sleep(GORO_SEC(1) * tap_seconds);
	store(&g.is_stopped, 1);
	for (int i = 0; i < THREADS_IN; i++) {
		wait_for(load(&g.n_over) >=
			 TALKERS + MEDDLERS + 1 + THREADS_IN + load(&g.n_closed));
		pthread_join(threads[i], NULL);
	}
	end(&g);
	goro_maxprocs(n_procs);
}

TAP_MAIN
