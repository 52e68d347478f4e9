/*
 * fake_runtime.c - as much of a runtime as the tests of go(), goro_put() and goro_get() need.
 *
 *   go() -> [goro_go_] -> queue -> [goro_yield] -> unpack -> the test's function
 *
 * FR1  What go() passed is copied at once, to an address that is aligned to 16 bytes
 *      and to no more.
 * FR2  It runs later, in goro_yield(), when the caller's frame may be gone; the copy is poisoned
 *      afterwards.
 *
 * Locking: none, there is one thread. Go: none. The header is tested without the library, so that a
 * failure says which of the two is wrong.
 */
#include "fake_runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_CAP 4096

static struct job {
	void (*unpack)(void *);
	void *memory;
	void *data;
	size_t size;
} queue[QUEUE_CAP];
static size_t queue_head, queue_tail;

static jmp_buf *catcher;
static char panic_text[200];

struct goro_site_ fake_last_site;

void goro_panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(panic_text, sizeof(panic_text), fmt, ap);
	va_end(ap);
	if (catcher)
		longjmp(*catcher, 1);
	fprintf(stderr, "panic: %s\n", panic_text);
	exit(2);
}

bool goro_try(void (*fn)(void *), void *arg, char *msg, size_t msg_size)
{
	jmp_buf here;
	jmp_buf *outer = catcher;

	if (setjmp(here)) {
		catcher = outer;
		if (msg && msg_size)
			snprintf(msg, msg_size, "%s", panic_text);
		return false;
	}
	catcher = &here;
	fn(arg);
	catcher = outer;
	return true;
}

void goro_go_(void (*unpack)(void *), const void *data, size_t size, void (*fn)(void),
	      const struct goro_site_ *site)
{
	struct job *job = &queue[queue_tail++ % QUEUE_CAP];

	fake_last_site = *site;
	if (!fn || site->args_size > 1024) {
		queue_tail--;
		goro_panic(fn ? "function arguments too large for new goroutine"
			      : "go of nil func value");
	}
	job->unpack = unpack;
	job->size = size;
	job->memory = aligned_alloc(64, 64 + (size + 16 + 63) / 64 * 64);
	job->data = (char *)job->memory + 16; /* FR1 */
	memcpy(job->data, data, size);
}

void goro_yield(void)
{
	while (queue_head != queue_tail) {
		struct job *job = &queue[queue_head++ % QUEUE_CAP];

		job->unpack(job->data);
		memset(job->data, 0xaa, job->size); /* FR2 */
		free(job->memory);
	}
}

/* A channel of one element, as much as goro_put() and goro_get() touch. */
struct goro_chan {
	size_t elem_size;
	unsigned char elem[64];
};

goro_chan *goro_chan_make(size_t elem_size, size_t capacity)
{
	goro_chan *c = calloc(1, sizeof(*c));

	(void)capacity;
	c->elem_size = elem_size;
	return c;
}

void goro_chan_unref(goro_chan *c)
{
	free(c);
}

void goro_put_(goro_chan *c, const void *value, size_t size)
{
	if (size != c->elem_size)
		goro_panic("goro_put: value of %zu bytes on a channel of %zu-byte elements", size,
			   c->elem_size);
	memcpy(c->elem, value, size);
}

void goro_get_(goro_chan *c, void *value, size_t size)
{
	if (size != c->elem_size)
		goro_panic("goro_get: value of %zu bytes on a channel of %zu-byte elements", size,
			   c->elem_size);
	memcpy(value, c->elem, size);
	memset(c->elem, 0, size);
}

int main(int argc, char **argv)
{
	return goro_main(argc, argv);
}
