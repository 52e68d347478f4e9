/*
 * select.c - select. One operation is one select and what makes it possible.
 *
 * SelectReady: one of 2 (or 8) buffered channels has a value; receive it, send it to the next one.
 * SelectBlock: wait on 2 (or 8) unbuffered channels for a goroutine that sends to one after the
 * other. SelectDefault: 1 (or 2) empty channels and a default. SelectSend: the same wait, sending.
 */
#include "bench.h"

enum { MOST = 8 };

static void make_all(goro_chan *c[MOST], goro_case cases[MOST], int n, size_t capacity,
		     int64_t *value)
{
	for (int i = 0; i < n; i++) {
		c[i] = bench_chan(sizeof(int64_t), capacity);
		cases[i] = GORO_RECV(c[i], value);
	}
}

static void ready(const char *name, int n, int64_t count)
{
	goro_chan *c[MOST];
	goro_case cases[MOST];
	int64_t value;

	make_all(c, cases, n, 1, &value);
	goro_put(c[0], (int64_t)0);
	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++) {
		int done = goro_select(cases, (size_t)n, GORO_FOREVER);
		goro_chan_send(c[(done + 1) % n], &value);
	}
	bench_ns(name, count, start, goro_now());
}

static void send_by_turns(goro_chan **c, int n, int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		goro_chan_send(c[i % n], &i);
}

static void receive_by_turns(goro_chan **c, int n, int64_t count)
{
	int64_t value;

	for (int64_t i = 0; i < count; i++)
		goro_chan_recv(c[i % n], &value);
}

static void block(const char *name, int n, int64_t count, bool is_send)
{
	goro_chan *c[MOST];
	goro_case cases[MOST];
	int64_t value = 1;

	make_all(c, cases, n, 0, &value);
	for (int i = 0; i < n && is_send; i++)
		cases[i] = GORO_SEND(c[i], &value);
	go(is_send ? receive_by_turns : send_by_turns, c, n, count);
	int64_t start = goro_now();
	for (int64_t i = 0; i < count; i++)
		goro_select(cases, (size_t)n, GORO_FOREVER);
	bench_ns(name, count, start, goro_now());
}

static void try_one(const char *name, int n, int64_t count)
{
	goro_chan *c[MOST];
	goro_case cases[MOST];
	int64_t value, start;

	make_all(c, cases, n, 1, &value);
	start = goro_now();
	for (int64_t i = 0; i < count; i++)
		goro_select(cases, (size_t)n, GORO_POLL);
	bench_ns(name, count, start, goro_now());
}

int goro_main(int argc, char **argv)
{
	int64_t count = bench_count(argc, argv, 2000000);

	ready("SelectReady2", 2, count);
	ready("SelectReady8", 8, count);
	block("SelectBlock2", 2, count / 2, false);
	block("SelectBlock8", 8, count / 2, false);
	block("SelectSend2", 2, count / 2, true);
	try_one("SelectDefault1", 1, count);
	try_one("SelectDefault2", 2, count);
	return 0;
}
