/*
 * redisd_client.h - of redisd.c: what comes in from a connection, and what goes out to it.
 *
 *   socket -> receive -> in -> parse_some -> calls      reply, put -> out -> flush -> socket
 *                                                                         or -> mailbox
 */
#ifndef REDISD_CLIENT_H
#define REDISD_CLIENT_H

#include <errno.h>
#include <stdio.h>

#include "redisd_table.h"

enum {
	WORDS_MAX = 1024, /* of a command */
	CALLS_MAX = 32,   /* that are parsed before the first is executed */
	IN_MIN = 16384,   /* bytes of commands that need no memory; of a line that is one */
	OUT_MAX = 16384,
};
#define BULK_MAX (INT64_C(64) << 20) /* bytes of a key or a value */

static int64_t idle = GORO_FOREVER, patience = GORO_SEC(30);

/* ---- what goes out ---- */

struct message {
	_Atomic int references;
	size_t size;
	char data[];
};

struct client {
	int fd;
	bool has_ended, has_quit;    /* nothing more goes out; nothing more comes in */
	int64_t now, read_deadline, write_deadline;
	char *in;                    /* small, or allocated */
	size_t in_room, in_at, in_end, out_size;
	const char *mistake;         /* of what came in: nothing after it is understood */
	struct word *words;          /* of the call that is executed */
	int n_words, n_parsed;       /* its; those of all calls that were parsed */
	int n_calls;

	/* Of a subscriber. From its first SUBSCRIBE on, the mailbox gets all that goes out. */
	goro_chan *mail;             /* of struct message * */
	goro_waitgroup delivery;
	_Atomic int64_t queued;      /* bytes in the mailbox */
	_Atomic bool is_dropped;     /* set before the deadlines that tell of it */
	struct subscription *subscriptions;
	int n_subscriptions;

	struct call {
		struct word *words;
		int n_words;
		uint64_t hash;       /* of the key, or of what stands in its place */
	} calls[CALLS_MAX];
	struct word parsed[2 * WORDS_MAX];
	char small[IN_MIN], out[OUT_MAX];
};

static void message_drop(struct message *m)
{
	if (--m->references > 0)
		return;
	give(m, sizeof(*m) + m->size);
}

static struct message *message_make(size_t size)
{
	struct message *m = take(sizeof(*m) + size);
	if (m)
		*m = (struct message){.references = 1, .size = size};
	return m;
}

/* Written, however long it takes a client that goes on taking it. */
static bool write_out(struct client *c, const char *data, size_t size)
{
	while (size > 0) {
		int64_t now = goro_now();
		if (now + patience / 2 > c->write_deadline) {
			c->write_deadline = now + patience;
			goro_set_write_deadline(c->fd, c->write_deadline);
		}
		ssize_t n = c->is_dropped ? -ECANCELED : goro_write(c->fd, data, size);
		if (n < 0)
			return false;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

static void send_out(struct client *c, const void *data, size_t size)
{
	if (c->has_ended || size == 0)
		return;
	if (!c->mail) {
		c->has_ended = !write_out(c, data, size);
		return;
	}
	struct message *m = message_make(size);
	if (!m) {
		c->has_ended = true;
		return;
	}
	memcpy(m->data, data, size);
	c->queued += (int64_t)size;
	goro_chan_send(c->mail, &m);
}

static void flush(struct client *c)
{
	send_out(c, c->out, c->out_size);
	c->out_size = 0;
}

/* Room for `size` bytes in `out`. */
static char *room(struct client *c, size_t size)
{
	if (OUT_MAX - c->out_size < size)
		flush(c);
	return c->out + c->out_size;
}

static void put(struct client *c, const void *data, size_t size)
{
	if (size > OUT_MAX / 2) {
		flush(c);
		send_out(c, data, size);
		return;
	}
	memcpy(room(c, size), data, size);
	c->out_size += size;
}

/* "$12\r\n" and the like: at most 24 bytes. */
static size_t number_line(char *to, char type, int64_t n)
{
	char digits[24], *p = digits + sizeof(digits);
	uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
	*--p = '\n';
	*--p = '\r';
	do
		*--p = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (n < 0)
		*--p = '-';
	*--p = type;
	size_t size = (size_t)(digits + sizeof(digits) - p);
	memcpy(to, p, size);
	return size;
}

static void put_number(struct client *c, char type, int64_t n)
{
	c->out_size += number_line(room(c, 24), type, n);
}

static void reply(struct client *c, const char *line)
{
	put(c, line, strlen(line));
	put(c, "\r\n", 2);
}

static void reply_word(struct client *c, const void *data, size_t size)
{
	put_number(c, '$', (int64_t)size);
	put(c, data, size);
	put(c, "\r\n", 2);
}

static void reply_nothing(struct client *c)
{
	put(c, "$-1\r\n", 5);
}

static void reply_no_memory(struct client *c)
{
	reply(c, "-OOM command not allowed when used memory > 'maxmemory'.");
}

/* ---- what comes in ---- */

/* More room behind what is there of a command, if it may have more. */
static bool in_make_room(struct client *c)
{
	if (c->in_at > 0) {
		memmove(c->in, c->in + c->in_at, c->in_end - c->in_at);
		c->in_end -= c->in_at;
		c->in_at = 0;
	}
	if (c->in_end < c->in_room)
		return true;
	char *in = take(c->in_room * 2);
	if (!in) {
		reply_no_memory(c);
		return false;
	}
	memcpy(in, c->in, c->in_end);
	if (c->in != c->small)
		give(c->in, c->in_room);
	c->in = in;
	c->in_room *= 2;
	return true;
}

static void in_reset(struct client *c)
{
	if (c->in != c->small)
		give(c->in, c->in_room);
	c->in = c->small;
	c->in_room = IN_MIN;
	c->in_at = c->in_end = 0;
}

/* More of the next command; false at the end. All that is to go out goes out before. */
static bool receive(struct client *c)
{
	bool is_begun = c->in_at < c->in_end;
	if (!is_begun)
		in_reset(c);
	if (!in_make_room(c))
		return false;
	flush(c);
	int64_t limit = is_begun ? patience : idle;
	int64_t wanted = limit == GORO_FOREVER ? limit : c->now + limit;
	if (wanted < c->read_deadline || wanted - c->read_deadline > limit / 8) {
		c->read_deadline = wanted;
		goro_set_read_deadline(c->fd, wanted);
	}
	if (c->has_ended || c->is_dropped)
		return false;
	ssize_t n = goro_read(c->fd, c->in + c->in_end, c->in_room - c->in_end);
	if (n <= 0)
		return false;
	c->in_end += (size_t)n;
	c->now = goro_now();
	return true;
}

enum parsed { BAD = -1, MORE, WHOLE };

/* The number of a line, behind its first byte; moves `at` behind the line. */
static enum parsed parse_number(struct client *c, size_t *at, int64_t *number)
{
	size_t p = *at;
	bool is_negative = p < c->in_end && c->in[p] == '-';
	int64_t n = 0;

	for (p += is_negative; p < c->in_end && c->in[p] >= '0' && c->in[p] <= '9'; p++) {
		if (p - *at > 16)
			return BAD;
		n = n * 10 + (c->in[p] - '0');
	}
	if (p < c->in_end && (c->in[p] != '\r' || p == *at + is_negative))
		return BAD;
	if (c->in_end - p < 2)
		return MORE;
	if (c->in[p + 1] != '\n')
		return BAD;
	*number = is_negative ? -n : n;
	*at = p + 2;
	return WHOLE;
}

static enum parsed bad(struct client *c, const char *what)
{
	c->mistake = what;
	return BAD;
}

/* Words with blanks between them, on one line. What quotes would mean, Redis says: none here. */
static enum parsed parse_inline(struct client *c)
{
	char *p = c->in + c->in_at;
	char *end = memchr(p, '\n', c->in_end - c->in_at);

	if ((size_t)((end ? end : c->in + c->in_end) - p) >= IN_MIN)
		return bad(c, "too big inline request");
	if (!end)
		return MORE;
	c->in_at = (size_t)(end + 1 - c->in);
	if (end > p && end[-1] == '\r')
		end--;
	while (p < end) {
		char *begin = p;
		for (; p < end && *p != ' ' && *p != '\t'; p++)
			if (*p == '"' || *p == '\'')
				return bad(c, "quotes in inline request");
		if (p > begin && c->n_words == WORDS_MAX)
			return bad(c, "too many words");
		if (p > begin)
			c->words[c->n_words++] = (struct word){begin, (size_t)(p - begin)};
		p += p < end;
	}
	return WHOLE;
}

/* The next command: words that point into `in`. No word: it was an empty line. */
static enum parsed parse(struct client *c)
{
	size_t at = c->in_at + 1;
	int64_t n, size;

	c->n_words = 0;
	if (c->in_at == c->in_end)
		return MORE;
	if (c->in[c->in_at] != '*')
		return parse_inline(c);
	enum parsed parsed = parse_number(c, &at, &n);
	if (parsed == BAD || (parsed == WHOLE && n > WORDS_MAX))
		return bad(c, "invalid multibulk length");
	while (parsed == WHOLE && c->n_words < n) {
		if (at == c->in_end)
			return MORE;
		if (c->in[at] != '$')
			return bad(c, "expected '$'");
		at++;
		parsed = parse_number(c, &at, &size);
		if (parsed == BAD || (parsed == WHOLE && (size < 0 || size > BULK_MAX)))
			return bad(c, "invalid bulk length");
		if (parsed == MORE || c->in_end - at < (size_t)size + 2)
			return MORE;
		c->words[c->n_words++] = (struct word){c->in + at, (size_t)size};
		at += (size_t)size;
		if (c->in[at] != '\r' || c->in[at + 1] != '\n')
			return bad(c, "invalid bulk length");
		at += 2;
	}
	if (parsed == WHOLE)
		c->in_at = at;
	return parsed;
}

/* The commands that came together: calls[], in_at behind them. What comes after, if not WHOLE. */
static enum parsed parse_some(struct client *c)
{
	enum parsed parsed = WHOLE;

	c->n_calls = c->n_parsed = 0;
	while (c->n_calls < CALLS_MAX && c->n_parsed < WORDS_MAX) {
		c->words = c->parsed + c->n_parsed;
		parsed = parse(c);
		if (parsed != WHOLE)
			break;
		if (c->n_words > 0)
			c->calls[c->n_calls++] = (struct call){c->words, c->n_words, 0};
		c->n_parsed += c->n_words;
	}
	return parsed;
}

#endif
