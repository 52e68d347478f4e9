/*
 * cond.c - two goroutines pass a turn to and fro by one cond and its mutex. One operation is a
 * round trip.
 */
#include "bench.h"

static goro_mutex mutex;
static goro_cond cond;
static int turn;

static void take_turn(int mine)
{
	goro_mutex_lock(&mutex);
	while (turn != mine)
		goro_cond_wait(&cond, &mutex);
	turn = !mine;
	goro_cond_signal(&cond);
	goro_mutex_unlock(&mutex);
}

static void echo(int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		take_turn(1);
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 1000000);

	go(echo, count);
	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++)
		take_turn(0);
	bench_ns("CondPingPong", count, start, goro_now());
	return 0;
}
