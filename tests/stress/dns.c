/*
 * dns.c - names by c-ares, or by getaddrinfo, from many goroutines and plain threads, with
 * deadlines, cancelled contexts and runs that end meanwhile; src/io/cares.c, resolve.c.
 *
 * dns_tap.h has the name server. A name that is found ends in a connection that is refused.
 */
#include "dns_tap.h"
#include "goro_tap.h"

static const struct {
	const char *to;
	int error; /* when nothing came between */
} asked[] = {
	{"one.test:1", -ECONNREFUSED},     {"both.test:1", -ECONNREFUSED},
	{"alias.test:1", -ECONNREFUSED},   {"large.test:1", 1},
	{"wrongid.test:1", -ECONNREFUSED}, {"silent.test:1", -EAGAIN},
	{"other.test:1", -ECONNREFUSED},   {"servfail.test:1", -EAGAIN},
	{"localhost:1", -ECONNREFUSED},    {"empty.test:1", -ENOENT},
	{"w1.test:1", -ECONNREFUSED},      {"nx.test:1", -ENOENT},
	{"dead.test:1", 1},
};

static int n_wrong, n_asked, n_ended, n_left;

static void asks_once(uint64_t draw)
{
	size_t which = draw % (sizeof(asked) / sizeof(asked[0]));
	int64_t deadline = draw & 64 ? goro_now() + GORO_US(draw >> 8 & 0x3fff) : GORO_FOREVER;
	if (strncmp(asked[which].to, "silent", 6) == 0 && deadline == GORO_FOREVER)
		return;
	int error = goro_dial("tcp", asked[which].to, deadline);
	add(&n_asked, 1);
	if (error >= 0) {
		goro_close(error); /* to itself */
	} else if (error == -ETIMEDOUT || error == -ECANCELED) {
		add(&n_ended, 1);
	} else if (error != asked[which].error && asked[which].error != 1) {
		tap_diag("# %s: %d", asked[which].to, error);
		add(&n_wrong, 1);
	}
}

static void asks_often(goro_ctx *ctx, uint64_t seed, int n)
{
	goro_ctx_use(ctx);
	for (int i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		asks_once(seed >> 20);
	}
	goro_ctx_use(NULL);
	add(&n_left, -1);
}

static void *asks_in_a_thread(void *seed)
{
	for (uint64_t i = 0; i < 5; i++)
		asks_once(*(uint64_t *)seed + i * 977);
	return NULL;
}

static int one_round(void *seed)
{
	enum { CROWD = 40 };
	pthread_t thread;
	goro_ctx *ctx = goro_ctx_with_cancel(goro_ctx_background());
	bool is_left = *(uint64_t *)seed % 3 == 0;
	require_eq(pthread_create(&thread, NULL, asks_in_a_thread, seed), 0);
	store(&n_left, CROWD);
	/* Who is left behind has no context: it is gone by then. */
	for (uint64_t i = 0; i < CROWD; i++)
		go(asks_often, i % 2 && !is_left ? ctx : NULL, *(uint64_t *)seed + i, 4);
	goro_sleep(GORO_US(*(uint64_t *)seed % 20000));
	goro_ctx_cancel(ctx);
	if (!is_left)
		wait_for(load(&n_left) == 0);
	goro_ctx_unref(ctx);
	goro_syscall_enter();
	pthread_join(thread, NULL);
	goro_syscall_exit();
	return 0;
}

TAP_CASE(names_are_asked_for_from_everywhere, .timeout_s = 120)
{
	int64_t until = tap_now() + GORO_SEC(1) * tap_seconds;
	uint64_t seed = tap_seed();
	dns_begin("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", "127.0.0.1 localhost\n");
	do {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		uint64_t drawn = seed >> 20;
		expect_eq(goro_run(one_round, &drawn), 0);
	} while (tap_now() < until);
	printf("# %d asked, %d of them in vain\n", n_asked, n_ended);
	expect_eq(n_wrong, 0);
}

TAP_MAIN
