/*
 * httpd.c - an HTTP/1.1 server of static files and uploads: a goroutine for each connection.
 *
 *   usage: httpd [-u] [-c CONNECTIONS] [-i IDLE] [-t SECONDS] [-m MIB] ADDRESS FOLDER
 *
 *     -u    files may be uploaded: PUT /name
 *     -c    how many connections at a time, 10000 if not told; more wait in the kernel's queue
 *     -i    seconds that a connection may be kept between two requests, 60 if not told
 *     -t    seconds for a request's head; and as long again, and a second for each KiB, for its
 *           body, and for the answer to be taken; 10 if not told
 *     -m    MiB that an upload may have, 64 if not told
 *     ADDRESS "127.0.0.1:8080", port 0 takes any free one
 *
 *   cc -std=gnu11 -Iinclude examples/httpd.c build/libgoro.a -lhttp_parser -pthread
 *
 *   socket -> in -> http_parser -> what the request says -> answer -> out -> socket
 *
 * Prints "listening on 127.0.0.1:8080". Answers are gathered in `out`, which goes to the socket
 * before the next read: requests that come together (pipelining) cost one read and one write.
 * Files and their heads are kept open for a second, small ones whole; large ones go out by
 * sendfile. Nothing is allocated for a connection or a request but the goroutine's stack. Names
 * that begin with a dot are not served; links are followed. SIGTERM, or SIGINT: idle connections
 * are closed, the others after their request, in ten seconds at most; a second one ends the program
 * at once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "httpd_files.h"

enum {
	HEAD_MAX = 8192,   /* bytes of a request's head */
	TARGET_MAX = 1024, /* of what it asks for: less than PATH_SIZE by "./index.html" */
	IN_MAX = 8192,
	OUT_MAX = 16384,
	LINGER_MAX = 1 << 18, /* bytes that a client may still send after our last word */
};

static int64_t max_connections = 10000, idle = GORO_SEC(60), patience = GORO_SEC(10);
static int64_t max_upload = INT64_C(64) << 20;
static bool has_uploads;
static _Atomic bool is_stopping;
static goro_sem slots; /* of connections */

/* ---- connections ---- */

enum phase { IDLE, HEAD, BODY };
enum field { OTHER, HOST, EXPECT, SINCE, CODING, PART, FIELDS };
enum stop { NOWHERE, BEFORE_LF, BEHIND_LF, BEHIND_CHUNK };

struct connection {
	struct connection *next, **at; /* connections.lock */
	_Atomic bool is_idle;

	int fd;
	enum phase phase;
	int64_t phase_at, now, read_deadline, write_deadline;
	http_parser parser;
	size_t in_at, in_end, out_size;
	bool has_ended; /* nothing more goes out */

	/* What the parser has found of the request. */
	bool is_head_done, is_done, is_in_value, is_too_long;
	enum stop stop;
	bool is_in_chunk_line, is_host_bad, is_host_over;
	int chunk_lfs; /* of the line that tells a chunk's size */
	char before;   /* what came before in[0] */
	int hosts;
	enum field field;
	size_t target_size, name_size, value_size[FIELDS];
	char target[TARGET_MAX + 1], name[24], value[FIELDS][32];

	/* Where its body goes. */
	int upload; /* or -1: nowhere */
	int upload_error;
	int64_t body_size;

	time_t date_at;
	char date[32];
	char in[IN_MAX], out[OUT_MAX];
};

static struct {
	goro_mutex lock;
	struct connection *first;
} connections;

static void connection_add(struct connection *c)
{
	goro_mutex_lock(&connections.lock);
	c->next = connections.first;
	c->at = &connections.first;
	if (c->next)
		c->next->at = &c->next;
	connections.first = c;
	goro_mutex_unlock(&connections.lock);
}

static void connection_remove(struct connection *c)
{
	goro_mutex_lock(&connections.lock);
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	goro_mutex_unlock(&connections.lock);
}

/* Those that are idle end at once; the others see is_stopping before they are idle. */
static void connections_stop(void)
{
	is_stopping = true;
	goro_mutex_lock(&connections.lock);
	for (struct connection *c = connections.first; c; c = c->next)
		if (c->is_idle)
			goro_set_read_deadline(c->fd, GORO_POLL);
	goro_mutex_unlock(&connections.lock);
}

/* ---- what goes out ---- */

/* A deadline is set anew when it would be sooner, or later by an eighth of its time, than it is. */
static bool is_due(int64_t *deadline, int64_t wanted, int64_t limit)
{
	if (wanted >= *deadline && wanted - *deadline < limit / 8)
		return false;
	*deadline = wanted;
	return true;
}

/* For an answer of which `sent` bytes were taken since `start`. */
static void write_deadline(struct connection *c, int64_t start, int64_t sent)
{
	int64_t wanted = start + patience + GORO_SEC(sent / 1024);
	if (is_due(&c->write_deadline, wanted, patience))
		goro_set_write_deadline(c->fd, wanted);
}

/* All that was put. `flags`: MSG_MORE, when more follows at once. */
static void flush(struct connection *c, int flags)
{
	size_t done = 0;

	if (c->out_size > 0 && !c->has_ended)
		write_deadline(c, c->now, 0);
	while (done < c->out_size && !c->has_ended) {
		ssize_t n = goro_send(c->fd, c->out + done, c->out_size - done, flags);
		if (n < 0)
			c->has_ended = true; /* gone, or too slow: nobody to tell */
		else
			done += (size_t)n;
	}
	c->out_size = 0;
}

static void put(struct connection *c, const void *data, size_t size)
{
	if (size > OUT_MAX - c->out_size)
		flush(c, 0);
	memcpy(c->out + c->out_size, data, size); /* nothing that is put is larger than OUT_MAX */
	c->out_size += size;
}

static void put_text(struct connection *c, const char *text)
{
	put(c, text, strlen(text));
}

/* Status line, Date, Connection. Says whether the connection is kept, and takes note of that. */
static void put_head(struct connection *c, const char *status, bool is_kept)
{
	time_t now = time(NULL);
	if (now != c->date_at) {
		c->date_at = now;
		http_date(c->date, now);
	}
	put_text(c, "HTTP/1.1 ");
	put_text(c, status);
	put_text(c, "\r\nServer: goro\r\nDate: ");
	put_text(c, c->date);
	if (!is_kept)
		put_text(c, "\r\nConnection: close\r\n");
	else if (c->parser.http_minor == 0)
		put_text(c, "\r\nConnection: keep-alive\r\n");
	else
		put_text(c, "\r\n");
}

/* An answer without a file. Returns is_kept. */
static bool answer(struct connection *c, const char *status, const char *field, bool is_kept)
{
	char text[TARGET_MAX + 256];
	int size = (int)strlen(status) + 1;
	snprintf(text, sizeof(text), "%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n",
		 field, size);
	put_head(c, status, is_kept);
	put_text(c, text);
	if (c->parser.method != HTTP_HEAD) {
		put(c, status, (size_t)size - 1);
		put(c, "\n", 1);
	}
	return is_kept;
}

static void send_large(struct connection *c, struct file *f)
{
	int64_t start = goro_now();
	off_t at = 0;

	flush(c, MSG_MORE);
	while (at < f->size && !c->has_ended) {
		write_deadline(c, start, at);
		ssize_t n = goro_sendfile(c->fd, f->fd, &at, (size_t)(f->size - at));
		if (n <= 0) /* 0: the file has become shorter than we said */
			c->has_ended = true;
	}
	c->now = goro_now();
}

/* ---- what comes in ---- */

static int on_begin(http_parser *parser)
{
	struct connection *c = parser->data;
	c->is_in_value = c->is_too_long = false;
	c->is_in_chunk_line = c->is_host_bad = c->is_host_over = false;
	c->hosts = 0;
	c->target_size = c->name_size = 0;
	memset(c->value_size, 0, sizeof(c->value_size));
	return 0;
}

static int on_url(http_parser *parser, const char *data, size_t size)
{
	struct connection *c = parser->data;
	if (size > TARGET_MAX - c->target_size) {
		c->is_too_long = true;
		size = TARGET_MAX - c->target_size;
	}
	memcpy(c->target + c->target_size, data, size);
	c->target_size += size;
	return 0;
}

/* A name, or a part of it. */
static int on_field(http_parser *parser, const char *data, size_t size)
{
	struct connection *c = parser->data;
	if (c->is_in_value)
		c->name_size = 0;
	c->is_in_value = false;
	for (size_t i = 0; i < size && c->name_size < sizeof(c->name); i++)
		c->name[c->name_size++] = data[i];
	return memchr(data, ' ', size) != NULL; /* the parser is not strict about that */
}

static bool is_name(const struct connection *c, const char *name)
{
	return strlen(name) == c->name_size && strncasecmp(c->name, name, c->name_size) == 0;
}

/* A host and a port, of which we need neither; blanks may follow. */
static void look_at_host(struct connection *c, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		bool is_blank = data[i] == ' ' || data[i] == '\t';
		bool is_right = isalnum((uint8_t)data[i]) ||
				(data[i] && strchr("-._~%!$&'()*+,;=:[]", data[i]));
		c->is_host_bad |= !is_blank && (c->is_host_over || !is_right);
		c->is_host_over |= is_blank;
	}
}

/* A value, or a part of it; of most nothing is kept, of the others as much as would be right. */
static int on_value(http_parser *parser, const char *data, size_t size)
{
	struct connection *c = parser->data;
	if (!c->is_in_value) {
		c->is_in_value = true;
		c->field = is_name(c, "host")		     ? HOST
			   : is_name(c, "expect")	     ? EXPECT
			   : is_name(c, "if-modified-since") ? SINCE
			   : is_name(c, "transfer-encoding") ? CODING
			   : is_name(c, "content-range")     ? PART
							     : OTHER;
		c->hosts += c->field == HOST;
	}
	if (c->field == OTHER)
		return 0;
	if (c->field == HOST)
		look_at_host(c, data, size);
	size_t *have = &c->value_size[c->field];
	if (size > sizeof(c->value[0]) - *have)
		size = sizeof(c->value[0]) - *have;
	memcpy(c->value[c->field] + *have, data, size);
	*have += size;
	return 0;
}

/* Of a field that came twice, the values stand one behind the other. */
static bool is_value(const struct connection *c, enum field field, const char *text)
{
	size_t size = c->value_size[field];
	while (size > 0 && (c->value[field][size - 1] == ' ' || c->value[field][size - 1] == '\t'))
		size--;
	return size == strlen(text) && strncasecmp(c->value[field], text, size) == 0;
}

/* The parser stops where we have something to do. */
static int stop_at(struct connection *c, enum stop stop)
{
	c->stop = stop;
	http_parser_pause(&c->parser, 1);
	return 0;
}

static int on_head_done(http_parser *parser)
{
	struct connection *c = parser->data;
	c->is_head_done = true;
	parser->upgrade = 0; /* we do not: the request is like any other */
	return stop_at(c, BEFORE_LF);
}

static int on_chunk(http_parser *parser)
{
	return stop_at(parser->data, BEHIND_LF);
}

static int on_chunk_done(http_parser *parser)
{
	return stop_at(parser->data, parser->flags & F_TRAILING ? BEFORE_LF : BEHIND_CHUNK);
}

static int on_body(http_parser *parser, const char *data, size_t size)
{
	struct connection *c = parser->data;
	if (c->body_size + (int64_t)size > max_upload)
		c->upload_error = -EFBIG;
	while (size > 0 && c->upload >= 0 && !c->upload_error) {
		ssize_t n = goro_pwrite(c->upload, data, size, c->body_size);
		if (n < 0) {
			c->upload_error = (int)n;
			break;
		}
		data += n;
		size -= (size_t)n;
		c->body_size += n;
	}
	return c->upload_error != 0;
}

static int on_done(http_parser *parser)
{
	struct connection *c = parser->data;
	c->is_done = true;
	return stop_at(c, NOWHERE);
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_head_done,
	.on_chunk_header = on_chunk,
	.on_body = on_body,
	.on_chunk_complete = on_chunk_done,
	.on_message_complete = on_done,
};

/* More of the request, by the deadline of what we are at. Its size; 0 at the end; or an error. */
static ssize_t receive(struct connection *c)
{
	int64_t wanted = c->phase == IDLE ? c->now + idle : c->phase_at + patience;
	if (c->phase == BODY)
		wanted += GORO_SEC(c->body_size / 1024);
	if (is_due(&c->read_deadline, wanted, c->phase == IDLE ? idle : patience))
		goro_set_read_deadline(c->fd, wanted);
	flush(c, 0);
	if (c->has_ended)
		return 0;
	/* In this order, as connections_stop() has the other. */
	c->is_idle = c->phase == IDLE;
	if (c->is_idle && is_stopping)
		return 0;
	if (c->in_end > 0)
		c->before = c->in[c->in_end - 1];
	ssize_t n = goro_read(c->fd, c->in, IN_MAX);
	c->is_idle = false;
	c->now = goro_now();
	c->in_at = 0;
	c->in_end = n > 0 ? (size_t)n : 0;
	if (n > 0 && c->phase == IDLE) {
		c->phase = HEAD;
		c->phase_at = c->now;
	}
	return n;
}

/*
 * Of what has been parsed, from in[at] on: is all that should be the end of a line one, and nothing
 * else? Debian's parser is not built to be strict: it takes any byte behind a CR for the LF, any
 * two behind a chunk, and an LF within the line before it for nothing. A proxy before us might see
 * the request end elsewhere than we do.
 */
static bool is_framed(struct connection *c, size_t at)
{
	const char *in = c->in, *last = in + c->in_at - 1;
	enum stop stop = c->stop;

	c->stop = NOWHERE;
	for (; c->is_in_chunk_line && at < c->in_at; at++)
		c->chunk_lfs += in[at] == '\n';
	switch (stop) {
	case BEFORE_LF:
		c->is_in_chunk_line = (c->parser.flags & (F_CHUNKED | F_TRAILING)) == F_CHUNKED;
		c->chunk_lfs = -1; /* the head's own comes first */
		return last[1] == '\n';
	case BEHIND_LF:
		c->is_in_chunk_line = false;
		return *last == '\n' && c->chunk_lfs == 1;
	case BEHIND_CHUNK:
		c->is_in_chunk_line = true;
		c->chunk_lfs = 0;
		return *last == '\n' && (last > in ? last[-1] : c->before) == '\r';
	default:
		return true;
	}
}

/* Read and parse until the parser has said so. 1; or 0: the connection is over, all is said. */
static int parse_until(struct connection *c, const bool *is_so)
{
	while (!*is_so) {
		if (c->in_at == c->in_end) {
			ssize_t n = receive(c);
			if (n == -ETIMEDOUT && c->phase != IDLE)
				answer(c, "408 Request Timeout", "", false);
			if (n <= 0)
				return 0;
		}
		if (HTTP_PARSER_ERRNO(&c->parser) == HPE_PAUSED)
			http_parser_pause(&c->parser, 0);
		size_t at = c->in_at;
		c->in_at += http_parser_execute(&c->parser, &settings, c->in + at, c->in_end - at);
		if (!is_framed(c, at))
			return answer(c, "400 Bad Request", "", false);
		switch (HTTP_PARSER_ERRNO(&c->parser)) {
		case HPE_OK:
		case HPE_PAUSED:
		case HPE_CB_body: /* upload_error */
			break;
		case HPE_HEADER_OVERFLOW:
			return answer(c, "431 Request Header Fields Too Large", "", false);
		case HPE_INVALID_TRANSFER_ENCODING:
			return answer(c, "501 Not Implemented", "", false);
		default:
			return answer(c, "400 Bad Request", "", false);
		}
		if (c->upload_error)
			break;
	}
	return 1;
}

/* ---- requests ---- */

static bool answer_error(struct connection *c, int error, bool is_kept)
{
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
	case -ENAMETOOLONG:
		return answer(c, "404 Not Found", "", is_kept);
	case -EACCES:
	case -EPERM:
	case -ELOOP:
	case -EISDIR:
		return answer(c, "403 Forbidden", "", is_kept);
	case -EFBIG:
		return answer(c, "413 Content Too Large", "", is_kept);
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
		return answer(c, "503 Service Unavailable", "", is_kept);
	default:
		warnx("%.*s: %s", (int)c->target_size, c->target, strerror(-error));
		return answer(c, "500 Internal Server Error", "", is_kept);
	}
}

static bool get(struct connection *c, const char *path, bool is_kept)
{
	struct file *f;
	int error = file_get(&f, path, c->now);

	if (error == -EISDIR) {
		const char *query = memchr(c->target, '?', c->target_size);
		char field[TARGET_MAX + 32];
		int size = query ? (int)(query - c->target) : (int)c->target_size;
		snprintf(field, sizeof(field), "Location: %.*s/\r\n", size, c->target);
		return answer(c, "301 Moved Permanently", field, is_kept);
	}
	if (error)
		return answer_error(c, error, is_kept);
	if (is_value(c, SINCE, f->modified)) {
		put_head(c, "304 Not Modified", is_kept);
		put(c, "\r\n", 2);
	} else {
		put_head(c, "200 OK", is_kept);
		put(c, f->head, f->head_size);
		if (c->parser.method == HTTP_GET && f->fd < 0)
			put(c, f->small, (size_t)f->size);
		else if (c->parser.method == HTTP_GET)
			send_large(c, f);
	}
	file_drop(f);
	return is_kept;
}

static bool is_kept(const struct connection *c)
{
	return http_should_keep_alive(&c->parser) && !is_stopping;
}

/* The body goes to a file that nobody sees, which takes its name when it is whole. */
static bool put_file(struct connection *c, const char *path)
{
	static _Atomic unsigned int uploads;
	char hidden[64];

	do { /* there is one already: of a server that had our id, and was killed */
		snprintf(hidden, sizeof(hidden), "./.upload-%d-%u", (int)getpid(), uploads++);
		c->upload = goro_open(hidden, O_WRONLY | O_CREAT | O_EXCL, 0644);
	} while (c->upload == -EEXIST);
	if (c->upload < 0)
		return answer_error(c, c->upload, false);
	bool is_whole = parse_until(c, &c->is_done) && !c->upload_error;
	int error = c->upload_error, closed = goro_close(c->upload);
	c->upload = -1;
	if (is_whole && !closed && rename(hidden, path) == 0) {
		file_forget(path);
		return answer(c, "201 Created", "", is_kept(c));
	}
	if (is_whole)
		error = closed ? closed : -errno;
	if (unlink(hidden) < 0)
		warn("%s", hidden);
	return error ? answer_error(c, error, false) : false;
}

static bool upload(struct connection *c, const char *path)
{
	if (!has_uploads)
		return answer(c, "403 Forbidden", "", false);
	if (c->value_size[PART]) /* in place of the whole file it would be lost */
		return answer(c, "400 Bad Request", "", false);
	if (c->parser.flags & F_CONTENTLENGTH && c->parser.content_length > (uint64_t)max_upload)
		return answer(c, "413 Content Too Large", "", false);
	c->phase = BODY;
	c->phase_at = c->now;
	c->body_size = 0;
	c->upload_error = 0;
	if (c->value_size[EXPECT] && c->parser.http_minor > 0) { /* HTTP/1.0 knows no 100 */
		if (!is_value(c, EXPECT, "100-continue"))
			return answer(c, "417 Expectation Failed", "", false);
		put_text(c, "HTTP/1.1 100 Continue\r\n\r\n");
	}
	return put_file(c, path);
}

/* One request and its answer. False: it was the last. */
static bool request(struct connection *c)
{
	char path[PATH_SIZE];

	c->is_head_done = c->is_done = false;
	if (!parse_until(c, &c->is_head_done))
		return false;
	if (c->parser.http_major != 1 || c->parser.http_minor > 1)
		return answer(c, "505 HTTP Version Not Supported", "", false);
	if (c->hosts > 1 || c->is_host_bad || (c->hosts == 0 && c->parser.http_minor == 1))
		return answer(c, "400 Bad Request", "", false);
	if (c->is_too_long)
		return answer(c, "414 URI Too Long", "", false);
	if (c->value_size[CODING] && c->parser.http_minor == 0) /* it does not know of that */
		return answer(c, "400 Bad Request", "", false);
	if (c->value_size[CODING] && !is_value(c, CODING, "chunked"))
		return answer(c, "501 Not Implemented", "", false);
	bool is_read = c->parser.method == HTTP_GET || c->parser.method == HTTP_HEAD;
	if (!is_read && c->parser.method != HTTP_PUT)
		return answer(c, "405 Method Not Allowed", "Allow: GET, HEAD, PUT\r\n", false);
	if (is_read && ((c->parser.flags & F_CHUNKED) ||
			((c->parser.flags & F_CONTENTLENGTH) && c->parser.content_length)))
		return answer(c, "413 Content Too Large", "", false);
	bool is_ours = path_of(c->target, c->target_size, path);
	if (!is_read)
		return is_ours ? upload(c, path) : answer(c, "404 Not Found", "", false);
	if (!parse_until(c, &c->is_done))
		return false;
	return is_ours ? get(c, path, is_kept(c)) : answer(c, "404 Not Found", "", is_kept(c));
}

/*
 * The client shall read our last word: were there bytes of its that we did not read, the kernel
 * would reset the connection, and the word would be lost.
 */
static void linger(struct connection *c)
{
	shutdown(c->fd, SHUT_WR);
	goro_set_read_deadline(c->fd, goro_now() + GORO_SEC(2));
	for (ssize_t n = 1, all = 0; n > 0 && all < LINGER_MAX; all += n)
		n = goro_read(c->fd, c->in, IN_MAX);
}

static void serve(int fd)
{
	struct connection c;

	/* Not all of it: what is not touched costs no memory. */
	memset(&c, 0, offsetof(struct connection, in));
	c.fd = fd;
	c.upload = -1;
	c.now = goro_now();
	http_parser_init(&c.parser, HTTP_REQUEST);
	c.parser.data = &c;
	connection_add(&c);
	while (request(&c) && !c.has_ended) {
		c.phase = c.in_at == c.in_end ? IDLE : HEAD;
		c.phase_at = c.now;
	}
	flush(&c, 0);
	if (c.phase != IDLE && !c.has_ended)
		linger(&c);
	connection_remove(&c);
	goro_close(fd);
	goro_sem_release(&slots, 1);
}

/* ---- the program ---- */

/* Takes connections, as many at a time as there are slots, until the listener's deadline. */
static void take(int listener)
{
	int fd;

	do {
		goro_sem_acquire(&slots, 1);
		fd = goro_accept(listener, NULL, NULL);
		if (fd >= 0) {
			go(serve, fd);
			continue;
		}
		goro_sem_release(&slots, 1);
		if (fd != -ETIMEDOUT) { /* out of descriptors or memory: others end some time */
			warnx("accept: %s", strerror(-fd));
			goro_sleep(GORO_MS(100));
		}
	} while (fd != -ETIMEDOUT);
	goro_close(listener);
}

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
	for (int option; (option = getopt(argc, argv, "uc:i:t:m:")) != -1;) {
		switch (option) {
		case 'u':
			has_uploads = true;
			break;
		case 'c':
			max_connections = number(optarg, 1000000);
			break;
		case 'i':
			idle = GORO_SEC(number(optarg, 1000000));
			break;
		case 't':
			patience = GORO_SEC(number(optarg, 1000000));
			break;
		case 'm':
			max_upload = number(optarg, 1 << 20) << 20;
			break;
		default:
			optind = argc;
		}
	}
	if (argc - optind != 2)
		errx(2, "usage: httpd [-u] [-c CONNECTIONS] [-i IDLE] [-t SECONDS] [-m MIB] "
			"ADDRESS FOLDER");
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

/* As many descriptors as there may be: who only waits would take those of the files else. */
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
	http_parser_set_max_header_size(HEAD_MAX);
	goro_sem_init(&slots, max_connections);
	goro_chan *signals = goro_chan_of(int, 1);
	if (!signals || goro_signal_notify(signals, SIGTERM) < 0 ||
	    goro_signal_notify(signals, SIGINT) < 0)
		errx(1, "no memory");
	if (chdir(argv[optind + 1]) < 0)
		err(2, "%s", argv[optind + 1]);
	int listener = listen_at(argv[optind]), signo;
	go(take, listener);
	go(files_sweep);

	goro_chan_recv(signals, &signo);
	goro_set_deadline(listener, GORO_POLL);
	goro_signal_stop(signals, SIGTERM);
	goro_signal_stop(signals, SIGINT);
	connections_stop();
	goro_chan_unref(signals);
	/* All slots are free when no connection is left. */
	if (goro_sem_acquire_until(&slots, max_connections, goro_now() + GORO_SEC(10)) < 0)
		warnx("connections are left");
	return 0;
}
