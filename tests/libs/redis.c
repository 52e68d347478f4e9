/*
 * redis.c - hiredis from a crowd of goroutines, a connection each.
 *
 *   redis plain|announced unix PATH
 *   redis plain|announced tcp ADDRESS PORT
 *
 * Half of the crowd waits in BLPOP, within read(2), until a partner of the other half pushes: a P
 * that stayed with who waits would keep the partner away. All count on one key, write and read keys
 * of their own, and send ten commands before they read the first answer.
 */
#include "crowd.h"

#include <hiredis/hiredis.h>

enum { ROUNDS = 5, PIPELINE = 10 };

static char **address; /* what stands behind the variant */

/* ---- calls of hiredis ---- */

struct connecting {
	redisContext *redis;
};

static void connecting_run(void *arg)
{
	struct connecting *c = arg;

	c->redis = strcmp(address[0], "unix") == 0 ? redisConnectUnix(address[1])
						   : redisConnect(address[1], atoi(address[2]));
	if (c->redis == NULL || c->redis->err)
		fail("connect: %s", c->redis ? c->redis->errstr : "no memory");
}

static redisContext *connect_redis(void)
{
	struct connecting c = {NULL};

	call(connecting_run, &c);
	return c.redis;
}

struct command {
	redisContext *redis;
	const char *text; /* with up to two %d and nothing else */
	int a, b;
	redisReply *reply;
};

static void command_run(void *arg)
{
	struct command *c = arg;

	c->reply = redisCommand(c->redis, c->text, c->a, c->b);
	if (c->reply == NULL || c->reply->type == REDIS_REPLY_ERROR)
		fail("%s: %s", c->text, c->reply ? c->reply->str : c->redis->errstr);
}

/* An integer, or the last string of the answer as one. */
static long long number_of(const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_INTEGER)
		return reply->integer;
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements)
		return number_of(reply->element[reply->elements - 1]);
	return reply->type == REDIS_REPLY_STRING ? atoll(reply->str) : -1;
}

static long long command(redisContext *redis, const char *text, int a, int b)
{
	struct command c = {.redis = redis, .text = text, .a = a, .b = b};

	call(command_run, &c);
	long long number = number_of(c.reply);
	freeReplyObject(c.reply);
	return number;
}

static void pipeline_run(void *arg)
{
	struct command *c = arg;

	for (int i = 0; i < PIPELINE; i++)
		redisAppendCommand(c->redis, "INCR own:%d", c->a);
	for (int i = 1; i <= PIPELINE; i++) {
		redisReply *reply = NULL;
		if (redisGetReply(c->redis, (void **)&reply) != REDIS_OK)
			fail("pipeline: %s", c->redis->errstr);
		if (number_of(reply) != c->b * PIPELINE + i)
			fail("answer %d of a pipeline is %lld", i, number_of(reply));
		freeReplyObject(reply);
	}
}

/* ---- the crowd ---- */

static void prepare(void)
{
	redisContext *redis = connect_redis();

	command(redis, "FLUSHALL", 0, 0);
	redisFree(redis);
}

static void work(int id)
{
	redisContext *redis = connect_redis();

	for (int round = 0; round < ROUNDS; round++) {
		struct command pipeline = {.redis = redis, .a = id, .b = round};
		int value = id * ROUNDS + round;
		command(redis, "INCR total", 0, 0);
		command(redis, "SET key:%d %d", id, value);
		goro_yield();
		if (command(redis, "GET key:%d", id, 0) != value)
			fail("key:%d has not what was set", id);
		call(pipeline_run, &pipeline);
		if (id % 2 == 0) {
			if (command(redis, "BLPOP queue:%d 60", id, 0) != value + ROUNDS)
				fail("queue:%d gave something else", id);
		} else {
			goro_sleep(GORO_MS(5)); /* so that the other waits */
			command(redis, "RPUSH queue:%d %d", id - 1, value);
		}
	}
	redisFree(redis);
}

static void verify(void)
{
	redisContext *redis = connect_redis();
	long long total = command(redis, "GET total", 0, 0);
	long long keys = command(redis, "DBSIZE", 0, 0);

	if (total != CROWD * ROUNDS || keys != 2 * CROWD + 1)
		fail("total %lld, %lld keys", total, keys);
	for (int id = 0; id < CROWD; id++)
		if (command(redis, "GET own:%d", id, 0) != ROUNDS * PIPELINE)
			fail("own:%d is %lld", id, command(redis, "GET own:%d", id, 0));
	redisFree(redis);
}

int goro_main(int argc, char **argv)
{
	struct crowd crowd = {.prepare = prepare, .work = work, .verify = verify};

	if (argc < 4)
		fail("usage: redis plain|announced unix PATH | tcp ADDRESS PORT");
	announced = strcmp(argv[1], "announced") == 0;
	address = argv + 2;
	return crowd_run(&crowd);
}
