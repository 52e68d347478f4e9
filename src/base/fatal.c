/*
 * fatal.c - the end of the process, with a message; and formatted output without stdio.
 *
 *   any floor -> [fatal] -> report (debug/dump, a pointer set at boot) -> _exit(2)
 *
 * FA1  Only one thread prints; others that fail meanwhile wait for the end.
 * FA2  A failure inside the report ends the process at once.
 * FA3  Once a report has begun, the library ends the process in no other way: who would leave
 *      waits. An exit() of the program's own is its business.
 * FA4  Once main has left, which fatal_leave() settles as the last of what exit() calls, no report
 *      begins, but for one of the leaving thread itself: it would be cut off.
 * FA5  Who reports, or waits for the end, is stopped by nobody: fatal_begin() calls what
 *      fatal_set_enter() was given, before anything else. It stood in the signal's handler (PR3)
 *      for ever, the world being frozen.
 *
 * Locking: none. Go: throw and fatal in runtime/panic.go, print in runtime/print.go.
 */
#include "base/fatal.h"

#include <stdint.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/check.h"

bool fatal_is_internal;
static void (*fatal_report)(void);
static void (*fatal_enter)(void);
static atomic_of(uint32_t) fatal_owner; /* thread number of whoever prints, or leaves; 0: nobody */
#define LEAVES UINT32_C(0x80000000)

struct sink {
	char *at;
	size_t left; /* bytes that still fit, without the end */
};

static void sink_char(struct sink *s, char c)
{
	if (s->left) {
		*s->at++ = c;
		s->left--;
	}
}

static void sink_number(struct sink *s, uint64_t value, bool is_negative, unsigned base, int width,
			char pad)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (is_negative && pad == '0')
		sink_char(s, '-');
	for (int i = n + (is_negative ? 1 : 0); i < width; i++)
		sink_char(s, pad);
	if (is_negative && pad != '0')
		sink_char(s, '-');
	while (n)
		sink_char(s, digits[--n]);
}

static void sink_string(struct sink *s, const char *text, int precision)
{
	if (!text)
		text = "(null)";
	for (int i = 0; text[i] && (precision < 0 || i < precision); i++)
		sink_char(s, text[i]);
}

struct spec {
	char pad;
	int width, precision, longs; /* longs: number of l, or 2 for z */
	char verb;
};

static const char *parse_spec(const char *p, struct spec *spec)
{
	*spec = (struct spec){.pad = ' ', .precision = -1};
	if (*p == '0')
		spec->pad = '0';
	for (; *p >= '0' && *p <= '9'; p++)
		spec->width = spec->width * 10 + (*p - '0');
	if (*p == '.')
		for (spec->precision = 0, p++; *p >= '0' && *p <= '9'; p++)
			spec->precision = spec->precision * 10 + (*p - '0');
	for (; *p == 'l' || *p == 'z'; p++)
		spec->longs += *p == 'z' ? 2 : 1;
	spec->verb = *p;
	return *p ? p + 1 : p;
}

size_t format_v(char *buffer, size_t size, const char *fmt, va_list args)
{
	struct sink s = {buffer, size ? size - 1 : 0};

	while (*fmt) {
		struct spec spec;
		if (*fmt != '%') {
			sink_char(&s, *fmt++);
			continue;
		}
		fmt = parse_spec(fmt + 1, &spec);
		switch (spec.verb) {
		case 'd': {
			int64_t v = spec.longs ? va_arg(args, long) : va_arg(args, int);
			uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
			sink_number(&s, magnitude, v < 0, 10, spec.width, spec.pad);
			break;
		}
		case 'u':
		case 'x': {
			uint64_t v = spec.longs ? va_arg(args, unsigned long)
						: va_arg(args, unsigned);
			sink_number(&s, v, false, spec.verb == 'x' ? 16 : 10, spec.width, spec.pad);
			break;
		}
		case 'p':
			sink_string(&s, "0x", -1);
			sink_number(&s, (uintptr_t)va_arg(args, void *), false, 16, spec.width,
				    '0');
			break;
		case 's':
			sink_string(&s, va_arg(args, const char *), spec.precision);
			break;
		case 'c':
			sink_char(&s, (char)va_arg(args, int));
			break;
		default:
			sink_char(&s, spec.verb ? spec.verb : '%');
		}
	}
	if (size)
		*s.at = 0;
	return (size_t)(s.at - buffer);
}

size_t format_to(char *buffer, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	size_t n = format_v(buffer, size, fmt, args);
	va_end(args);
	return n;
}

void print_to(int fd, const char *fmt, ...)
{
	char line[1024];
	va_list args;

	va_start(args, fmt);
	size_t n = format_v(line, sizeof(line), fmt, args);
	va_end(args);
	write_out(fd, line, n);
}

void fatal_set_report(void (*report)(void))
{
	fatal_report = report;
}

void fatal_set_enter(void (*enter)(void))
{
	fatal_enter = enter;
}

void fatal_begin(void)
{
	uint32_t owner = 0, self = (uint32_t)gettid();

	if (fatal_enter)
		fatal_enter();
	if (cas_rlx(&fatal_owner, &owner, self)) /* relaxed: only one wins */
		return;
	if (owner == self)
		_exit(2); /* FA2 */
	if (owner == (self | LEAVES)) {
		store_rlx(&fatal_owner, self); /* relaxed: no other thread changes it */
		return;
	}
	fatal_wait(); /* FA1, FA4 */
}

void fatal_leave(void)
{
	uint32_t owner = 0, self = (uint32_t)gettid();

	if (!cas_rlx(&fatal_owner, &owner, self | LEAVES) && owner != self) /* relaxed: so */
		fatal_wait();
}

bool fatal_has_begun(void)
{
	return load_rlx(&fatal_owner) != 0; /* relaxed: who is told late leaves as if just before */
}

noreturn void fatal_wait(void)
{
	for (;;)
		pause();
}

noreturn void fatal_end(void)
{
	if (fatal_report)
		fatal_report();
	_exit(2);
}

noreturn void fatal(const char *fmt, ...)
{
	char message[1024];
	va_list args;

	fatal_begin();
	va_start(args, fmt);
	format_v(message, sizeof(message), fmt, args);
	va_end(args);
	print_to(2, "fatal error: %s\n\n", message);
	fatal_end();
}

noreturn void check_failed(const char *what, const char *file, int line)
{
	fatal_is_internal = true;
	fatal("goro: internal check failed: %s (%s:%d)", what, file, line);
}
