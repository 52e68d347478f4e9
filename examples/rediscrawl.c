/*
 * rediscrawl.c - many goroutines walk the keys of a Redis server and measure what they hold.
 *
 *   usage: rediscrawl HOST PORT [PATTERN]      the keys that match the pattern, "*" if not told
 *   cc -std=gnu11 -Iinclude examples/rediscrawl.c build/libgoro.a -lhiredis -pthread
 *
 *   main: SCAN -> keys -> 50 walkers, a connection each: MEMORY USAGE -> sizes -> main
 *
 * Prints "1000 keys, 48000 bytes". hiredis waits for each answer in read(2), as in any program;
 * meanwhile the other goroutines go on. Exact while nobody writes: what SCAN shows twice counts
 * twice, and a key that goes away during the walk has no bytes.
 */
#include <err.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "goro.h"

enum { WALKERS = 50 };

static char **server; /* host, port */

static redisContext *dial(void)
{
	redisContext *redis = redisConnect(server[0], atoi(server[1]));
	if (redis == NULL || redis->err)
		errx(1, "%s:%s: %s", server[0], server[1], redis ? redis->errstr : "no memory");
	return redis;
}

/* What the server answers, unless that is an error. */
static redisReply *must(redisContext *redis, redisReply *reply)
{
	if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
		errx(1, "%s:%s: %s", server[0], server[1], reply ? reply->str : redis->errstr);
	return reply;
}

/* What all its keys hold goes to main when there are no more. */
static void walker(goro_chan *keys, goro_chan *sizes)
{
	redisContext *redis = dial();
	long long size = 0;
	for (char *key; goro_chan_recv(keys, &key); free(key)) {
		redisReply *reply = must(redis, redisCommand(redis, "MEMORY USAGE %s", key));
		size += reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
		freeReplyObject(reply);
	}
	goro_put(sizes, size);
	redisFree(redis);
}

int goro_main(int argc, char **argv)
{
	if (argc < 3 || argc > 4)
		errx(2, "usage: rediscrawl HOST PORT [PATTERN]");
	server = argv + 1;
	redisContext *redis = dial();
	goro_chan *keys = goro_chan_of(char *, WALKERS), *sizes = goro_chan_of(long long, 0);
	for (int i = 0; i < WALKERS; i++)
		go(walker, keys, sizes);

	long long n_keys = 0, total = 0;
	const char *pattern = argc > 3 ? argv[3] : "*";
	char cursor[24] = "0";
	do {
		redisReply *page = redisCommand(redis, "SCAN %s MATCH %s", cursor, pattern);
		redisReply *found = must(redis, page)->element[1];
		snprintf(cursor, sizeof(cursor), "%s", page->element[0]->str);
		for (size_t i = 0; i < found->elements; i++, n_keys++)
			goro_put(keys, strdup(found->element[i]->str));
		freeReplyObject(page);
	} while (strcmp(cursor, "0") != 0);
	goro_chan_close(keys);
	for (int i = 0; i < WALKERS; i++)
		total += goro_get(sizes, long long);
	printf("%lld keys, %lld bytes\n", n_keys, total);
	return 0;
}
