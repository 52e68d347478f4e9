/*
 * pingpong.c - a value to another goroutine and back over two unbuffered channels. One operation is
 * a round trip.
 */
#include "bench.h"

static void echo(goro_chan *ping, goro_chan *pong)
{
	for (;;)
		goro_put(pong, goro_get(ping, int));
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 2000000);
	goro_chan *ping = bench_chan(sizeof(int), 0);
	goro_chan *pong = bench_chan(sizeof(int), 0);

	go(echo, ping, pong);
	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++) {
		goro_put(ping, 1);
		goro_get(pong, int);
	}
	bench_ns("PingPong", count, start, goro_now());
	return 0;
}
