/*
 * bytes.h - fuzz: what a server of examples/ does with bytes that no client sends.
 *
 *   seed -> words of the protocol, whole requests, some of them damaged -> input
 *        -> a connection that gets it at once, and one that gets it in pieces -> two outputs
 *
 * However a server's input is cut, it answers the same: that is what is claimed, besides what the
 * sanitizer finds, what the answer's own grammar says, and that the connection ends. An input that
 * fails is made shorter as long as it still fails, then shown.
 */
#ifndef FUZZ_BYTES_H
#define FUZZ_BYTES_H

#include <ctype.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tap.h"

#include <goro.h>

enum { INPUT_MAX = 60000, OUTPUT_MAX = 4 << 20, SHOWN_MAX = 1000 };

struct bytes {
	size_t size;
	char data[INPUT_MAX];
};

/* What a fuzz program says of its server. */
struct server {
	void (*serve)(int fd); /* a connection, to its end */
	void (*reset)(void);   /* as if nothing had been said to it */
	void (*draw)(struct bytes *input, uint64_t *state);
	/* Of an output: brings it to what does not depend on the time. False: it is no answer. */
	bool (*normalise)(char *output, size_t *size);
};

static uint64_t draw_below(uint64_t *state, uint64_t n)
{
	return tap_random(state) % n;
}

static void add(struct bytes *b, const void *data, size_t size)
{
	if (size > INPUT_MAX - b->size)
		size = INPUT_MAX - b->size;
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

static void add_text(struct bytes *b, const char *text)
{
	add(b, text, strlen(text));
}

/* One of them. */
#define draw_of(state, words) ((words)[draw_below((state), sizeof(words) / sizeof((words)[0]))])

/* Bytes changed, taken away, put in, doubled. */
static void damage(struct bytes *b, uint64_t *state)
{
	for (uint64_t n = 1 + draw_below(state, 4); n > 0 && b->size > 0; n--) {
		size_t at = draw_below(state, b->size), left = b->size - at;
		size_t size = 1 + draw_below(state, left < 20 ? left : 20);
		char byte = (char)tap_random(state);
		switch (draw_below(state, 4)) {
		case 0:
			b->data[at] = byte;
			break;
		case 1:
			b->data[at] ^= (char)(1 << draw_below(state, 8));
			break;
		case 2:
			memmove(b->data + at, b->data + at + size, left - size);
			b->size -= size;
			break;
		default:
			if (size > INPUT_MAX - b->size)
				break;
			memmove(b->data + at + size, b->data + at, left);
			b->size += size;
		}
	}
}

/* ---- a connection ---- */

struct saying {
	int fd;
	const struct bytes *input;
	uint64_t cuts; /* 0: all at once */
	goro_waitgroup done;
};

static void say(struct saying *s)
{
	const struct bytes *b = s->input;
	uint64_t state = s->cuts;
	size_t size = b->size;

	for (size_t at = 0; at < b->size; at += size) {
		size = b->size - at;
		if (s->cuts) {
			uint64_t most = draw_below(&state, 4) ? 8 : 2000;
			uint64_t cut = 1 + draw_below(&state, most);
			size = cut < size ? cut : size;
		}
		if (goro_write_all(s->fd, b->data + at, size) != (ssize_t)size)
			break;
		/* Until the piece was read, so that it comes alone; or nobody reads any more. */
		for (int i = 0, left = 1; s->cuts && left > 0 && i < 1000; i++) {
			require(ioctl(s->fd, SIOCOUTQ, &left) == 0);
			goro_yield();
		}
	}
	shutdown(s->fd, SHUT_WR);
	goro_waitgroup_done(&s->done);
}

static char outputs[2][OUTPUT_MAX];

/* What the server answers, normalised. False: it does not end, or it is no answer. */
static bool converse(const struct server *server, const struct bytes *input, uint64_t cuts,
		     char *output, size_t *size)
{
	int ends[2];
	struct saying saying = {.input = input, .cuts = cuts};
	ssize_t n = 1;

	server->reset();
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	require(goro_fd_add(ends[0]) == 0 && goro_fd_add(ends[1]) == 0);
	saying.fd = ends[0];
	goro_set_read_deadline(ends[0], goro_now() + GORO_SEC(20));
	goro_waitgroup_add(&saying.done, 1);
	go(server->serve, ends[1]);
	go(say, &saying);
	for (*size = 0; n > 0 && *size < OUTPUT_MAX; *size += n > 0 ? (size_t)n : 0)
		n = goro_read(ends[0], output + *size, OUTPUT_MAX - *size);
	goro_waitgroup_wait(&saying.done);
	goro_close(ends[0]);
	return (n == 0 || n == -ECONNRESET) && server->normalise(output, size);
}

static bool does_fail(const struct server *server, const struct bytes *input, uint64_t cuts)
{
	size_t whole, cut;

	return !converse(server, input, 0, outputs[0], &whole) ||
	       !converse(server, input, cuts, outputs[1], &cut) || whole != cut ||
	       memcmp(outputs[0], outputs[1], whole) != 0;
}

/* ---- what fails ---- */

static void shrink(const struct server *server, struct bytes *input, uint64_t cuts)
{
	static struct bytes tried;

	for (size_t size = input->size / 2; size > 0; size /= 2) {
		for (size_t at = 0; at + size <= input->size;) {
			tried.size = 0;
			add(&tried, input->data, at);
			add(&tried, input->data + at + size, input->size - at - size);
			if (does_fail(server, &tried, cuts))
				*input = tried;
			else
				at += size;
		}
	}
}

static void show(const char *what, const char *data, size_t size)
{
	printf("# %s, %zu bytes:\n#   ", what, size);
	for (size_t i = 0; i < size && i < SHOWN_MAX; i++) {
		if (data[i] == '\n')
			printf("\\n\n#   ");
		else if (isprint((unsigned char)data[i]))
			putchar(data[i]);
		else
			printf("\\x%02x", (unsigned char)data[i]);
	}
	printf("\n");
}

/* As many inputs as there is time for. */
static void fuzz(const struct server *server)
{
	static struct bytes input;
	uint64_t state = tap_seed();
	int n_inputs = 0;
	size_t n_bytes = 0;

	for (int64_t end = tap_now() + GORO_SEC(1) * tap_seconds; tap_now() < end; n_inputs++) {
		input.size = 0;
		server->draw(&input, &state);
		uint64_t cuts = tap_random(&state) | 1;
		n_bytes += input.size;
		if (!does_fail(server, &input, cuts))
			continue;
		printf("# input %d fails\n", n_inputs);
		shrink(server, &input, cuts);
		size_t whole = 0, cut = 0;
		bool is_good = converse(server, &input, 0, outputs[0], &whole);
		is_good &= converse(server, &input, cuts, outputs[1], &cut);
		show("input", input.data, input.size);
		if (!is_good)
			printf("# one of them is no answer, or does not end\n");
		show("at once", outputs[0], whole);
		show("in pieces", outputs[1], cut);
		expect(false);
		break;
	}
	printf("# %d inputs, %zu bytes, each twice\n", n_inputs, n_bytes);
}

#endif
