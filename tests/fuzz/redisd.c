/*
 * redisd.c - fuzz: bytes for examples/redisd.c.
 *
 *   see bytes.h; the output must be replies, one after the other, and nothing else
 *
 * When a connection has ended and the keys are gone, all memory that was counted is given back.
 */
#define goro_main redisd_main
#include "../../examples/redisd.c"
#undef goro_main

#include "bytes.h"

static int64_t memory_at_rest;

static void redisd_serve(int fd)
{
	goro_sem_acquire(&slots, 1);
	serve(fd);
}

static void redisd_reset(void)
{
	goro_sem_acquire(&slots, max_connections); /* none is there any more */
	goro_sem_release(&slots, max_connections);
	for (struct shard *shard = shards; shard < shards + SHARDS; shard++)
		for (size_t i = 0; i < shard->n_buckets; i++)
			while (shard->buckets[i])
				entry_remove(shard, &shard->buckets[i]);
	expect_eq(memory, memory_at_rest);
}

static void draw_word(struct bytes *b, uint64_t *state)
{
	static const char *const words[] = {
		"get", "SET", "ping", "echo", "incr", "del", "mget", "mset", "exists", "expire",
		"ttl", "publish", "subscribe", "unsubscribe", "dbsize", "flushall", "command",
		"config", "select", "k", "a", "b", "c", "1", "-1", "9223372036854775807", "1000",
		"EX",
		"NX", "XX", "", "value", "news",
	};
	static char large[20000];

	memset(large, 'x', sizeof(large));
	if (draw_below(state, 40) == 0)
		add(b, large, draw_below(state, sizeof(large)));
	else
		add_text(b, draw_of(state, words));
}

/* A command: mostly of words with their lengths. */
static void draw_command(struct bytes *b, uint64_t *state)
{
	static struct bytes word;
	uint64_t n = 1 + draw_below(state, 5);
	bool is_inline = draw_below(state, 8) == 0;
	char line[32];

	snprintf(line, sizeof(line), "*%d\r\n", (int)n);
	if (!is_inline)
		add_text(b, line);
	for (; n > 0; n--) {
		word.size = 0;
		draw_word(&word, state);
		snprintf(line, sizeof(line), "$%zu\r\n", word.size);
		if (!is_inline)
			add_text(b, line);
		add(b, word.data, word.size);
		add_text(b, is_inline ? " " : "\r\n");
	}
	if (is_inline)
		add_text(b, "\r\n");
}

static void redisd_draw(struct bytes *b, uint64_t *state)
{
	for (uint64_t n = 1 + draw_below(state, 20); n > 0; n--)
		draw_command(b, state);
	if (draw_below(state, 3) > 0)
		damage(b, state);
}

/* The end of a line that begins at p, behind its CR LF; or NULL. */
static const char *line_end(const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	return lf && lf > p && lf[-1] == '\r' ? lf + 1 : NULL;
}

/* Behind the reply at p, or NULL: it is none. */
static const char *reply_end(const char *p, const char *end)
{
	const char *line = p < end ? line_end(p, end) : NULL;
	long long n = line ? strtoll(p + 1, NULL, 10) : 0;

	if (!line || !strchr("+-:$*", *p))
		return NULL;
	if (*p == '$' && n >= 0)
		return end - line < n + 2 || memcmp(line + n, "\r\n", 2) != 0 ? NULL : line + n + 2;
	for (p = *p == '*' ? p : NULL; p && n > 0 && line; n--)
		line = reply_end(line, end);
	return line;
}

static bool redisd_normalise(char *output, size_t *size)
{
	const char *p = output, *end = output + *size;
	while (p && p < end)
		p = reply_end(p, end);
	return p != NULL;
}

static const struct server redisd = {redisd_serve, redisd_reset, redisd_draw, redisd_normalise};

static int run(void *unused)
{
	(void)unused;
	goro_sem_init(&slots, max_connections);
	shards_make();
	memory_at_rest = memory;
	fuzz(&redisd);
	redisd_reset(); /* the last connection is gone, and its memory */
	return 0;
}

TAP_CASE(redisd_answers_the_same_however_its_input_is_cut, .timeout_s = 60)
{
	expect_eq(goro_run(run, NULL), 0);
}

TAP_MAIN
