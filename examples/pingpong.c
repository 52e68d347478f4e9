/*
 * pingpong.c - two goroutines hand a ball to and fro, and main says how long a round trip takes.
 *
 *   usage: pingpong [ROUNDS]        a million round trips if not told
 *
 * The channels have no room: every send waits until the other side takes the ball.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "goro.h"

static void player(goro_chan *ping, goro_chan *pong)
{
	int64_t ball;

	/* goro_chan_recv is false once ping is closed; closing pong then tells main. */
	while (goro_chan_recv(ping, &ball))
		goro_put(pong, ball + 1);
	goro_chan_close(pong);
}

int goro_main(int argc, char **argv)
{
	char *end = "";
	long rounds = argc > 1 ? strtol(argv[1], &end, 10) : 1000000;
	if (argc > 2 || *end != '\0' || rounds < 1 || rounds > 1000000000) {
		fprintf(stderr, "usage: pingpong [ROUNDS]    ROUNDS is 1 to 1000000000\n");
		return 2;
	}

	goro_chan *ping = goro_chan_of(int64_t, 0);
	goro_chan *pong = goro_chan_of(int64_t, 0);
	go(player, ping, pong);

	int64_t ball = 0;
	int64_t start = goro_now();
	for (long round = 0; round < rounds; round++) {
		goro_put(ping, ball);
		ball = goro_get(pong, int64_t);
	}
	int64_t elapsed = goro_now() - start;
	printf("%" PRId64 " round trips, %.1f ns each\n", ball, (double)elapsed / (double)rounds);

	goro_chan_close(ping);
	goro_get(pong, int64_t);
	return 0;
}
