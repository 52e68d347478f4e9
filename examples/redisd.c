/*
 * redisd.c - a server that speaks Redis's protocol (RESP2): a goroutine for each connection.
 *
 *   usage: redisd [-c CONNECTIONS] [-m MIB] [-i IDLE] [-t SECONDS] ADDRESS
 *
 *     -c    how many connections at a time, 10000 if not told; more wait in the kernel's queue
 *     -m    MiB for keys, values and large commands together, 1024 if not told
 *     -i    seconds after which a connection that says nothing is closed; never, if not told
 *     -t    seconds for the next bytes of a command that has begun, and for the next ones of a
 *           reply to be taken; 30 if not told
 *     ADDRESS "127.0.0.1:6379", port 0 takes any free one
 *
 *   cc -std=gnu11 -Iinclude examples/redisd.c build/libgoro.a -pthread
 *
 *   socket -> in -> calls -> command -> shard -> reply -> out -> socket
 *   PUBLISH -> the mailbox of each subscriber -> a goroutine that writes what comes -> its socket
 *
 * Prints "listening on 127.0.0.1:6379". Knows the commands of the table at the end of this file;
 * what names several keys does one after the other. Replies are gathered in `out`, which goes to
 * the socket before the next read: commands that come together (pipelining) cost one read and one
 * write. A command allocates only what the table keeps. Nothing is saved. A subscriber that does
 * not take its messages is dropped. Commands may be words on a line (inline), without quotes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "redisd_topics.h"

enum { LINGER_MAX = 1 << 18 }; /* bytes that a client may still send after our last word */

static int64_t max_connections = 10000;
static goro_sem slots; /* of connections */

/* ---- commands ---- */

static bool is_word(struct word w, const char *text)
{
	return w.size == strlen(text) && strncasecmp(w.data, text, w.size) == 0;
}

/* As C writes it: no blanks, no leading zeros, within int64_t. */
static bool to_number(struct word w, int64_t *n)
{
	char text[24], again[24], *end;
	if (w.size == 0 || w.size > 20)
		return false;
	memcpy(text, w.data, w.size);
	text[w.size] = '\0';
	*n = strtoll(text, &end, 10);
	snprintf(again, sizeof(again), "%lld", (long long)*n);
	return strlen(again) == w.size && memcmp(again, text, w.size) == 0; /* a zero is no end */
}

/* A time to live, in units, becomes the time when it ends. */
static bool to_deadline(struct client *c, struct word w, int64_t unit, int64_t *deadline)
{
	int64_t n;
	if (!to_number(w, &n)) {
		reply(c, "-ERR value is not an integer or out of range");
		return false;
	}
	if (n > GORO_FOREVER / 4 / unit) {
		reply(c, "-ERR invalid expire time");
		return false;
	}
	*deadline = n > 0 ? c->now + n * unit : c->now; /* over */
	return true;
}

static void do_ping(struct client *c)
{
	if (c->n_subscriptions > 0) {
		put(c, "*2\r\n$4\r\npong\r\n", 14);
		struct word text = c->n_words > 1 ? c->words[1] : (struct word){"", 0};
		reply_word(c, text.data, text.size);
	} else if (c->n_words > 1) {
		reply_word(c, c->words[1].data, c->words[1].size);
	} else {
		put(c, "+PONG\r\n", 7);
	}
}

static void do_echo(struct client *c)
{
	reply_word(c, c->words[1].data, c->words[1].size);
}

/* A small value is copied under the lock; a large one is held, so that the lock need not be. */
static void reply_value(struct client *c, struct word key)
{
	uint64_t hash = hash_of(key);
	struct value *held = NULL;

	room(c, OUT_MAX / 4);
	struct shard *shard = shard_lock(hash);
	struct entry *e = *find(shard, key, hash, c->now);
	if (!e) {
		reply_nothing(c);
	} else if (e->value->size + 32 <= OUT_MAX / 4) {
		reply_word(c, e->value->data, e->value->size);
	} else {
		held = e->value;
		held->references++;
	}
	goro_mutex_unlock(&shard->lock);
	if (held) {
		reply_word(c, held->data, held->size);
		value_drop(held);
	}
}

static void do_get(struct client *c)
{
	for (int i = 1; i < c->n_words; i++)
		reply_value(c, c->words[i]);
}

static void do_mget(struct client *c)
{
	put_number(c, '*', c->n_words - 1);
	do_get(c);
}

enum condition { ALWAYS, IF_NEW, IF_THERE };

/* Replies +OK, or nothing if the condition does not hold; the reply waits for no lock. */
static bool set(struct client *c, struct word key, struct word data, int64_t expires_at,
		enum condition condition)
{
	uint64_t hash = hash_of(key);
	struct shard *shard = shard_lock(hash);
	struct entry **at = find(shard, key, hash, c->now);
	bool is_wanted = condition == ALWAYS || (condition == IF_THERE) == (*at != NULL);
	bool is_done = is_wanted && store(shard, at, key, hash, data, expires_at);
	goro_mutex_unlock(&shard->lock);
	if (is_wanted && !is_done)
		reply_no_memory(c);
	else if (!is_wanted)
		reply_nothing(c);
	return is_done;
}

static void do_set(struct client *c)
{
	int64_t expires_at = GORO_FOREVER;
	enum condition condition = ALWAYS;

	for (int i = 3; i < c->n_words; i++) {
		struct word option = c->words[i];
		bool is_seconds = is_word(option, "EX");
		if (is_word(option, "NX") && condition == ALWAYS) {
			condition = IF_NEW;
		} else if (is_word(option, "XX") && condition == ALWAYS) {
			condition = IF_THERE;
		} else if ((is_seconds || is_word(option, "PX")) && i + 1 < c->n_words &&
			   expires_at == GORO_FOREVER) {
			if (!to_deadline(c, c->words[++i], is_seconds ? GORO_SEC(1) : GORO_MS(1),
					 &expires_at))
				return;
			if (expires_at <= c->now) {
				reply(c, "-ERR invalid expire time in 'set' command");
				return;
			}
		} else {
			reply(c, "-ERR syntax error");
			return;
		}
	}
	if (set(c, c->words[1], c->words[2], expires_at, condition))
		put(c, "+OK\r\n", 5);
}

static void do_mset(struct client *c)
{
	if (c->n_words % 2 == 0) {
		reply(c, "-ERR wrong number of arguments for 'mset' command");
		return;
	}
	for (int i = 1; i < c->n_words; i += 2)
		if (!set(c, c->words[i], c->words[i + 1], GORO_FOREVER, ALWAYS))
			return;
	put(c, "+OK\r\n", 5);
}

static int count(struct client *c, bool is_to_go)
{
	int n = 0;
	for (int i = 1; i < c->n_words; i++) {
		uint64_t hash = hash_of(c->words[i]);
		struct shard *shard = shard_lock(hash);
		struct entry **at = find(shard, c->words[i], hash, c->now);
		n += *at != NULL;
		if (*at && is_to_go)
			entry_remove(shard, at);
		goro_mutex_unlock(&shard->lock);
	}
	return n;
}

static void do_del(struct client *c)
{
	put_number(c, ':', count(c, true));
}

static void do_exists(struct client *c)
{
	put_number(c, ':', count(c, false));
}

static void do_incr(struct client *c)
{
	struct word key = c->words[1];
	uint64_t hash = hash_of(key);
	const char *error = NULL;
	int64_t n = 0;
	char text[24];

	struct shard *shard = shard_lock(hash);
	struct entry **at = find(shard, key, hash, c->now), *e = *at;
	if (e && !to_number((struct word){e->value->data, e->value->size}, &n)) {
		error = "-ERR value is not an integer or out of range";
	} else if (n == INT64_MAX) {
		error = "-ERR increment or decrement would overflow";
	} else {
		size_t size = number_line(text, ':', ++n) - 3; /* without ":", CR, LF */
		if (!store(shard, at, key, hash, (struct word){text + 1, size},
			   e ? e->expires_at : GORO_FOREVER))
			error = "-OOM command not allowed when used memory > 'maxmemory'.";
	}
	goro_mutex_unlock(&shard->lock);
	if (error)
		reply(c, error);
	else
		put_number(c, ':', n);
}

static void do_expire(struct client *c)
{
	int64_t deadline;
	if (!to_deadline(c, c->words[2], GORO_SEC(1), &deadline))
		return;
	uint64_t hash = hash_of(c->words[1]);
	struct shard *shard = shard_lock(hash);
	struct entry **at = find(shard, c->words[1], hash, c->now);
	bool is_there = *at != NULL;
	if (is_there && deadline <= c->now)
		entry_remove(shard, at);
	else if (is_there)
		(*at)->expires_at = deadline;
	goro_mutex_unlock(&shard->lock);
	put_number(c, ':', is_there);
}

static void do_ttl(struct client *c)
{
	uint64_t hash = hash_of(c->words[1]);
	struct shard *shard = shard_lock(hash);
	struct entry *e = *find(shard, c->words[1], hash, c->now);
	int64_t left = !e ? -2 : e->expires_at == GORO_FOREVER ? -1 : e->expires_at - c->now;
	goro_mutex_unlock(&shard->lock);
	put_number(c, ':', left < 0 ? left : (left + GORO_MS(500)) / GORO_SEC(1));
}

static void do_dbsize(struct client *c)
{
	int64_t n = 0;
	for (struct shard *shard = shards; shard < shards + SHARDS; shard++) {
		goro_mutex_lock(&shard->lock);
		n += (int64_t)shard->count;
		goro_mutex_unlock(&shard->lock);
	}
	put_number(c, ':', n);
}

static void do_flushall(struct client *c)
{
	if (c->n_words > 1 && !is_word(c->words[1], "SYNC") && !is_word(c->words[1], "ASYNC")) {
		reply(c, "-ERR syntax error");
		return;
	}
	for (struct shard *shard = shards; shard < shards + SHARDS; shard++) {
		goro_mutex_lock(&shard->lock);
		for (size_t i = 0; i < shard->n_buckets; i++)
			while (shard->buckets[i])
				entry_remove(shard, &shard->buckets[i]);
		goro_mutex_unlock(&shard->lock);
	}
	reply(c, "+OK");
}

/* What redis-cli and redis-benchmark ask for before they begin, and can do without. */
static void do_command(struct client *c)
{
	reply(c, "*0");
}

static void do_config(struct client *c)
{
	if (!is_word(c->words[1], "GET") || c->n_words != 3) {
		reply(c, "-ERR nothing can be configured");
		return;
	}
	reply(c, "*2");
	reply_word(c, c->words[2].data, c->words[2].size);
	reply_word(c, "", 0);
}

static void do_select(struct client *c)
{
	reply(c, is_word(c->words[1], "0") ? "+OK" : "-ERR DB index is out of range");
}

static void do_quit(struct client *c)
{
	reply(c, "+OK");
	c->has_quit = true;
}

static const struct command {
	const char *name;
	int least, most; /* words */
	bool is_for_subscribers;
	void (*fn)(struct client *c);
} commands[] = {
	/* clang-format off */
	{"get", 2, 2, false, do_get},              {"set", 3, 8, false, do_set},
	{"ping", 1, 2, true, do_ping},             {"echo", 2, 2, false, do_echo},
	{"incr", 2, 2, false, do_incr},            {"del", 2, WORDS_MAX, false, do_del},
	{"mget", 2, WORDS_MAX, false, do_mget},    {"mset", 3, WORDS_MAX, false, do_mset},
	{"exists", 2, WORDS_MAX, false, do_exists},
	{"expire", 3, 3, false, do_expire},        {"ttl", 2, 2, false, do_ttl},
	{"publish", 3, 3, false, do_publish},
	{"subscribe", 2, WORDS_MAX, true, do_subscribe},
	{"unsubscribe", 1, WORDS_MAX, true, do_unsubscribe},
	{"dbsize", 1, 1, false, do_dbsize},        {"flushall", 1, 2, false, do_flushall},
	{"command", 1, WORDS_MAX, false, do_command},
	{"config", 2, 3, false, do_config},        {"select", 2, 2, false, do_select},
	{"quit", 1, 1, true, do_quit},
	/* clang-format on */
};

static void refuse(struct client *c, struct word name)
{
	char text[128];

	/* A browser that some page has sent here: first come lines of HTTP, and then commands. */
	c->has_quit = is_word(name, "POST") || is_word(name, "Host:");
	int size = name.size < 40 ? (int)name.size : 40;
	for (int i = 0; i < size; i++) /* no line may end within the reply */
		if (name.data[i] < ' ')
			name.data[i] = '?';
	snprintf(text, sizeof(text), "-ERR unknown command '%.*s'", size, name.data);
	reply(c, text);
}

static void execute(struct client *c)
{
	const struct command *command = commands;
	const struct command *end = command + sizeof(commands) / sizeof(*command);
	char text[128];

	while (command < end && !is_word(c->words[0], command->name))
		command++;
	if (command == end) {
		refuse(c, c->words[0]);
	} else if (c->n_words < command->least || c->n_words > command->most) {
		snprintf(text, sizeof(text), "-ERR wrong number of arguments for '%s' command",
			 command->name);
		reply(c, text);
	} else if (c->n_subscriptions > 0 && !command->is_for_subscribers) {
		snprintf(text, sizeof(text), "-ERR Can't execute '%s': only SUBSCRIBE / "
			 "UNSUBSCRIBE / PING / QUIT are allowed in this context", command->name);
		reply(c, text);
	} else {
		command->fn(c);
	}
}

/* All that came together. Of many, the keys are looked for side by side: see fetch(). */
static void execute_all(struct client *c)
{
	for (int i = 0; i < c->n_calls && c->n_calls > 1; i++) {
		bool has_key = c->calls[i].n_words > 1 && c->calls[i].words[1].size <= 256;
		c->calls[i].hash = has_key ? hash_of(c->calls[i].words[1]) : 0;
		fetch(c->calls[i].hash, FETCH_BUCKET);
	}
	for (enum fetch what = FETCH_ENTRY; what <= FETCH_VALUE && c->n_calls > 1; what++)
		for (int i = 0; i < c->n_calls; i++)
			fetch(c->calls[i].hash, what);
	for (int i = 0; i < c->n_calls && !c->has_ended && !c->has_quit; i++) {
		c->words = c->calls[i].words;
		c->n_words = c->calls[i].n_words;
		execute(c);
	}
}

/*
 * The client shall read our last word: were there bytes of its that we did not read, the kernel
 * would reset the connection, and the word would be lost.
 */
static void linger(struct client *c)
{
	shutdown(c->fd, SHUT_WR);
	goro_set_read_deadline(c->fd, goro_now() + GORO_SEC(2));
	for (ssize_t n = 1, all = 0; n > 0 && all < LINGER_MAX; all += n)
		n = goro_read(c->fd, c->in, c->in_room);
}

static void serve(int fd)
{
	struct client c;
	enum parsed parsed;

	/* Not all of it: what is not touched costs no memory. */
	memset(&c, 0, offsetof(struct client, calls));
	c.fd = fd;
	c.now = goro_now();
	c.read_deadline = GORO_FOREVER;
	c.in = c.small;
	c.in_room = IN_MIN;
	do {
		parsed = parse_some(&c);
		execute_all(&c);
		if (c.has_ended || c.has_quit)
			break;
		if (parsed == BAD) {
			put(&c, "-ERR Protocol error: ", 21);
			reply(&c, c.mistake);
		}
	} while (parsed == WHOLE || (parsed == MORE && receive(&c)));
	flush(&c);
	goro_mutex_lock(&topics_lock);
	while (c.subscriptions)
		unsubscribe(&c, &c.subscriptions);
	goro_mutex_unlock(&topics_lock);
	if (c.mail) {
		goro_chan_close(c.mail);
		goro_waitgroup_wait(&c.delivery);
		goro_chan_unref(c.mail);
	}
	if (!c.has_ended && !c.is_dropped)
		linger(&c);
	in_reset(&c);
	goro_close(fd);
	goro_sem_release(&slots, 1);
}

/* ---- the program ---- */

static int64_t number(const char *text, int64_t most)
{
	char *end;
	long long n = strtoll(text, &end, 10);
	if (*end != '\0' || n < 1 || n > most)
		errx(2, "%s: not a number from 1 to %lld", text, (long long)most);
	return n;
}

static void options(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "c:m:i:t:")) != -1;) {
		switch (option) {
		case 'c':
			max_connections = number(optarg, 1000000);
			break;
		case 'm':
			max_memory = number(optarg, 1 << 20) << 20;
			break;
		case 'i':
			idle = GORO_SEC(number(optarg, 1000000));
			break;
		case 't':
			patience = GORO_SEC(number(optarg, 1000000));
			break;
		default:
			optind = argc;
		}
	}
	if (argc - optind != 1)
		errx(2, "usage: redisd [-c CONNECTIONS] [-m MIB] [-i IDLE] [-t SECONDS] ADDRESS");
}

static int listen_at(const char *address)
{
	int listener = goro_listen("tcp4", address);
	struct sockaddr_in at;
	socklen_t size = sizeof(at);

	if (listener < 0)
		errx(2, "%s: %s", address,
		     listener == -ENOENT ? "no such host or service" : strerror(-listener));
	if (getsockname(listener, (struct sockaddr *)&at, &size) < 0)
		err(1, "getsockname");
	printf("listening on %s:%d\n", inet_ntoa(at.sin_addr), ntohs(at.sin_port));
	fflush(stdout);
	return listener;
}

/* As many descriptors as there may be: each client has one. */
static void descriptors_raise(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		err(1, "getrlimit");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		err(1, "setrlimit");
}

int goro_main(int argc, char **argv)
{
	options(argc, argv);
	descriptors_raise();
	goro_sem_init(&slots, max_connections);
	shards_make();
	int listener = listen_at(argv[optind]);
	go(sweep);
	for (;;) {
		goro_sem_acquire(&slots, 1);
		int fd = goro_accept(listener, NULL, NULL);
		if (fd >= 0) {
			go(serve, fd);
			continue;
		}
		/* Out of descriptors or memory: others end some time. */
		goro_sem_release(&slots, 1);
		warnx("accept: %s", strerror(-fd));
		goro_sleep(GORO_MS(100));
	}
}
