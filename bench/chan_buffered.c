/*
 * chan_buffered.c - a buffered channel. One operation is one value sent and received.
 *
 * ChanFree: one goroutine sends and receives, nobody ever waits. Chan4x4: four goroutines send and
 * four receive over one channel with room for 128.
 */
#include "bench.h"

enum { SIDES = 4, ROOM = 128 };

static void send_many(goro_chan *c, int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		goro_put(c, i);
}

static void receive_many(goro_chan *c, int64_t count, goro_chan *done)
{
	for (int64_t i = 0; i < count; i++)
		goro_get(c, int64_t);
	goro_put(done, 1);
}

static void free_channel(int64_t count)
{
	goro_chan *c = bench_chan(sizeof(int64_t), ROOM);
	int64_t start = goro_now();

	for (int64_t i = 0; i < count; i++) {
		goro_put(c, i);
		goro_get(c, int64_t);
	}
	bench_ns("ChanFree", count, start, goro_now());
}

static void four_by_four(int64_t count)
{
	goro_chan *c = bench_chan(sizeof(int64_t), ROOM);
	goro_chan *done = bench_chan(sizeof(int), 0);
	int64_t start = goro_now();

	for (int i = 0; i < SIDES; i++) {
		go(send_many, c, count / SIDES);
		go(receive_many, c, count / SIDES, done);
	}
	for (int i = 0; i < SIDES; i++)
		goro_get(done, int);
	bench_ns("Chan4x4", count, start, goro_now());
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 4000000);

	free_channel(count);
	four_by_four(count);
	return 0;
}
