/*
 * idle.c - stress: everything goes idle, and somebody submits at that moment, again and again.
 *
 *   two plain threads, by chance and almost at once: spawn, send, arm a timer, write to a
 *   descriptor that is waited for -> goroutines that go on by themselves -> all is idle again
 *   -> the next round begins at once, while the last M gives up its P
 *
 * Who looks for the end of a round does so without the library, and nobody submits meanwhile: a
 * wake-up that is lost in a round is made good by nobody. What lies for LOST_S seconds was lost;
 * the round is then ended by another submission, and the next begins.
 */
#include "goro_tap.h"

#include <sys/socket.h>
#include <unistd.h>

enum { SUBMITTERS = 2, BATCH = 500, LOST_S = 3, PIECE_NS = 10000000 };
enum way { SPAWN, SPAWN_SLEEPER, SEND, ARM, WRITE, WAYS };

struct submitter {
	goro_chan *values;  /* to the one that receives */
	goro_timer *timer;
	int fd[2];          /* the first is for goroutines, the other for the thread */
	int n_done;
	enum way way;
	uint64_t random;
};

struct idle_game {
	struct submitter of[SUBMITTERS];
	goro_chan *quit;    /* closed at the end of a batch */
	int round;
	int n_rounds, n_lost, n_wrong;
	uint64_t random;
};

static void does(void *s)
{
	add(&((struct submitter *)s)->n_done, 1);
}

static void sleeps_and_does(void *s)
{
	goro_sleep(1 + (int64_t)(goro_id() % 16) * 1000);
	does(s);
}

/* To another, by way of which the first Ps become idle while others are woken. */
static void spawns_who_does(void *s)
{
	go(does, s);
}

static void receives(struct submitter *s)
{
	for (int value; goro_chan_recv(s->values, &value);)
		does(s);
}

static void reads(struct submitter *s)
{
	for (char data[16]; goro_read(s->fd[0], data, sizeof(data)) > 0;)
		does(s);
}

static void waits_long(struct idle_game *g)
{
	(void)goro_chan_recv_until(g->quit, NULL, goro_now() + GORO_SEC(3600));
}

static void submits(struct idle_game *g, struct submitter *s)
{
	int value = 1;
	bool is_far = tap_random(&s->random) % 2;

	s->way = tap_random(&s->random) % WAYS;
	switch (s->way) {
	case SPAWN:
		add(&g->n_wrong, goro_spawn(is_far ? spawns_who_does : does, s) < 0);
		break;
	case SPAWN_SLEEPER:
		add(&g->n_wrong, goro_spawn(sleeps_and_does, s) < 0);
		break;
	case SEND:
		goro_chan_send(s->values, &value);
		break;
	case ARM:
		goro_timer_reset(s->timer, is_far ? 20000 : 1);
		break;
	default:
		if (s->fd[1] < 0)
			does(s);
		else
			add(&g->n_wrong, write(s->fd[1], "1", 1) != 1);
	}
}

static void dawdles(uint64_t turns)
{
	for (uint64_t i = turns; i > 0; i--)
		__asm__ volatile("" ::: "memory");
}

static void looks_again(int n)
{
	if (n % 512 == 511)
		sched_yield();
}

static bool all_done(struct idle_game *g, int round)
{
	for (int i = 0; i < SUBMITTERS; i++)
		if (load(&g->of[i].n_done) < round)
			return false;
	return true;
}

/* Says what it was that lies there, and gets it going again. */
static void lost(struct idle_game *g, int round)
{
	struct submitter nobody = {0};

	add(&g->n_lost, 1);
	for (int i = 0; i < SUBMITTERS; i++)
		if (load(&g->of[i].n_done) < round)
			printf("# round %d: lost in way %d of %d\n", round, g->of[i].way, i);
	add(&g->n_wrong, goro_spawn(does, &nobody) < 0);
	while (!load(&nobody.n_done))
		sched_yield();
}

/* Time is counted in short pieces: a machine that stands still for long is one of them. */
static void waits_for_all(struct idle_game *g, int round)
{
	int64_t next = 0;

	for (int n = 0, n_pieces = 0; !all_done(g, round); n++) {
		looks_again(n);
		if (n % 4096 != 4095 || tap_now() < next)
			continue;
		next = tap_now() + PIECE_NS;
		if (++n_pieces % (LOST_S * TAP_SLOWER * (GORO_SEC(1) / PIECE_NS)) == 0)
			lost(g, round);
	}
}

static void *thread_submits_too(void *arg)
{
	struct idle_game *g = arg;

	for (int round = 1; round <= BATCH; round++) {
		for (int n = 0; load(&g->round) < round; n++)
			looks_again(n);
		dawdles(tap_random(&g->of[1].random) % 4096);
		submits(g, &g->of[1]);
	}
	return NULL;
}

static void *thread_submits(void *arg)
{
	struct idle_game *g = arg;

	for (int round = 1; round <= BATCH; round++) {
		store(&g->round, round);
		dawdles(tap_random(&g->of[0].random) % 4096);
		submits(g, &g->of[0]);
		waits_for_all(g, round);
	}
	goro_chan_close(g->quit);
	return NULL;
}

static void begin(struct idle_game *g, bool has_descriptors)
{
	*g = (struct idle_game){.quit = goro_chan_make(0, 0), .n_rounds = g->n_rounds,
				.n_lost = g->n_lost, .random = g->random};
	for (int i = 0; i < SUBMITTERS; i++) {
		struct submitter *s = &g->of[i];
		*s = (struct submitter){.values = goro_chan_of(int, i), .fd = {-1, -1},
					.random = tap_random(&g->random)};
		s->timer = goro_timer_func(GORO_SEC(3600), does, s);
		goro_timer_stop(s->timer);
		go(receives, s);
		if (!has_descriptors)
			continue;
		require_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->fd), 0);
		require_eq(goro_fd_add(s->fd[0]), 0);
		go(reads, s);
	}
}

static void end(struct idle_game *g)
{
	for (int i = 0; i < SUBMITTERS; i++) {
		struct submitter *s = &g->of[i];
		goro_chan_close(s->values);
		if (s->fd[1] >= 0)
			close(s->fd[1]);
	}
	wait_for(goro_count() == 1);
	for (int i = 0; i < SUBMITTERS; i++) {
		struct submitter *s = &g->of[i];
		goro_timer_free(s->timer);
		goro_chan_unref(s->values);
		if (s->fd[0] >= 0)
			goro_close(s->fd[0]);
	}
	goro_chan_unref(g->quit);
}

static void plays_a_batch(struct idle_game *g, bool has_descriptors, bool has_far_timer)
{
	pthread_t threads[SUBMITTERS];

	begin(g, has_descriptors);
	if (has_far_timer)
		go(waits_long, g);
	require_eq(pthread_create(&threads[0], NULL, thread_submits, g), 0);
	require_eq(pthread_create(&threads[1], NULL, thread_submits_too, g), 0);
	(void)goro_chan_recv(g->quit, NULL);
	for (int i = 0; i < SUBMITTERS; i++)
		pthread_join(threads[i], NULL);
	end(g);
	require_eq(g->n_wrong, 0);
	g->n_rounds += BATCH;
}

static void plays(bool has_descriptors)
{
	struct idle_game g = {.random = tap_seed()};

	int64_t end = tap_now() + GORO_SEC(1) * tap_seconds;
	for (int i = 0; i == 0 || tap_now() < end; i++)
		plays_a_batch(&g, has_descriptors, i % 2);
	expect_eq(g.n_lost, 0);
	printf("# %d rounds\n", g.n_rounds);
}

GORO_CASE(who_submits_while_all_goes_idle_is_heard, .timeout_s = 60)
{
	plays(false);
}

GORO_CASE(who_submits_while_all_waits_for_descriptors_is_heard, .timeout_s = 60)
{
	plays(true);
}

TAP_MAIN
