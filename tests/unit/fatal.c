/*
 * fatal.c - formatted output without stdio, and the end of the process; src/base/fatal.c.
 */
#include "tap.h"

#include <limits.h>
#include <pthread.h>

#include "base/atomic.h"
#include "base/check.h"
#include "base/fatal.h"

/* What the C library makes of it must come out, and its length. */
#define EXPECT_AS_LIBC(format, ...)                                               \
	do {                                                                      \
		char mine[256], libc[256];                                        \
		size_t n = format_to(mine, sizeof(mine), format, ##__VA_ARGS__);  \
		int wanted = snprintf(libc, sizeof(libc), format, ##__VA_ARGS__); \
		expect_str(mine, libc);                                           \
		expect_eq(n, wanted);                                             \
	} while (0)

#define EXPECT_WIDTHS(verb, value)                       \
	do {                                             \
		EXPECT_AS_LIBC("%" verb, value);         \
		EXPECT_AS_LIBC("%1" verb, value);        \
		EXPECT_AS_LIBC("%5" verb, value);        \
		EXPECT_AS_LIBC("%05" verb, value);       \
		EXPECT_AS_LIBC("%016" verb, value);      \
		EXPECT_AS_LIBC("%30" verb, value);       \
		EXPECT_AS_LIBC("<%030" verb ">", value); \
	} while (0)

static void numbers_as_libc(int64_t value)
{
	EXPECT_WIDTHS("d", (int)value);
	EXPECT_WIDTHS("u", (unsigned)value);
	EXPECT_WIDTHS("x", (unsigned)value);
	EXPECT_WIDTHS("ld", (long)value);
	EXPECT_WIDTHS("lu", (unsigned long)value);
	EXPECT_WIDTHS("lx", (unsigned long)value);
	EXPECT_WIDTHS("lld", (long long)value);
	EXPECT_WIDTHS("llu", (unsigned long long)value);
	EXPECT_WIDTHS("llx", (unsigned long long)value);
	EXPECT_WIDTHS("zu", (size_t)value);
	if (value != 0) /* the C library writes a word of its own for NULL */
		EXPECT_AS_LIBC("%p", (void *)(uintptr_t)value);
}

TAP_CASE(numbers_come_out_as_from_the_c_library, .procs = "-")
{
	static const int64_t edges[] = {0,	   1,	      -1,	  9,
					10,	   -10,	      99,	  100,
					INT_MAX,   INT_MIN,   UINT_MAX,	  INT64_MAX,
					INT64_MIN, 123456789, -987654321, INT64_C(1) << 32};
	uint64_t state = tap_seed();

	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		numbers_as_libc(edges[i]);
	for (int i = 0; i < 2000; i++)
		numbers_as_libc((int64_t)(tap_random(&state) >> tap_random(&state) % 64));
}

TAP_CASE(text_comes_out_as_from_the_c_library, .procs = "-")
{
	const char *const texts[] = {"", "a", "some text", "100%", "\n\t"};
	const char open[3] = {'a', 'b', 'c'}; /* no end: the precision must stop it */

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		EXPECT_AS_LIBC("%s", texts[i]);
		EXPECT_AS_LIBC("<%s|%s>", texts[i], texts[i]);
		EXPECT_AS_LIBC("%.4s!", texts[i]);
		EXPECT_AS_LIBC("%.0s!", texts[i]);
	}
	EXPECT_AS_LIBC("%.3s", open);
	EXPECT_AS_LIBC("%c%c%c", 'x', '%', 'z');
	EXPECT_AS_LIBC("%%");
	EXPECT_AS_LIBC("a%%b%%%d", 5);
	EXPECT_AS_LIBC("%d:%s:%u:%c:%lx:%s", -3, "mixed", 4u, 'c', 255ul, "end");
}

TAP_CASE(null_text_and_null_pointer_do_no_harm, .procs = "-")
{
	char text[64];
	const char *volatile nothing = NULL;

	format_to(text, sizeof(text), "%s and %p", nothing, (const void *)nothing);
	expect_str(text, "(null) and 0x0");
}

/* Called as a program with a mistake would, which the compiler else would tell. */
static size_t format_unchecked(char *text, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	size_t n = format_v(text, size, format, args);
	va_end(args);
	return n;
}

TAP_CASE(unknown_or_cut_verbs_do_no_harm, .procs = "-")
{
	char text[64];

	expect_eq(format_unchecked(text, sizeof(text), "a%"), 2);
	expect_str(text, "a%");
	format_unchecked(text, sizeof(text), "a%5");
	expect_str(text, "a%");
	format_unchecked(text, sizeof(text), "%yb");
	expect_str(text, "yb");
}

TAP_CASE(what_does_not_fit_is_cut_and_ended, .procs = "-")
{
	const char whole[] = "-42 some text 0x1000 007";

	for (size_t size = 0; size <= sizeof(whole) + 2; size++) {
		char text[64];
		memset(text, '#', sizeof(text));
		size_t n =
			format_to(text, size, "%d %s %p %03u", -42, "some text", (void *)4096, 7u);
		size_t wanted = size == 0		       ? 0
				: size - 1 < sizeof(whole) - 1 ? size - 1
							       : sizeof(whole) - 1;
		expect_eq(n, wanted);
		expect_eq(memcmp(text, whole, wanted), 0);
		if (size > 0)
			expect_eq(text[wanted], 0);
		for (size_t i = size; i < sizeof(text); i++)
			expect_eq(text[i], '#');
	}
}

TAP_CASE(print_writes_the_whole_line_to_the_descriptor, .procs = "-")
{
	char text[4096], longest[2000];
	int fds[2];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	require(pipe(fds) == 0);
	print_to(fds[1], "goroutine %lu [%s]:\n", 17ul, "running");
	print_to(fds[1], "%s", longest);
	close(fds[1]);
	ssize_t n = read(fds[0], text, sizeof(text));
	expect_eq(n, 24 + 1023); /* at most 1024 bytes a call, with the end */
	expect_eq(memcmp(text, "goroutine 17 [running]:\nxxx", 27), 0);
	print_to(-1, "nowhere"); /* nobody can be told, and nothing hangs */
}

/* ---- the end of the process ---- */

TAP_CHILD(fatal_plain)
{
	errno = 5;
	fatal("out of %s: %d", "paper", 3);
}

static void report(void)
{
	expect(fatal_has_begun());
	print_to(2, "the stacks\n");
}

TAP_CHILD(fatal_with_report)
{
	expect(!fatal_has_begun());
	fatal_set_report(report);
	fatal("told");
}

static void failing_report(void)
{
	print_to(2, "begun\n");
	fatal("again");
}

TAP_CHILD(fatal_in_the_report)
{
	fatal_set_report(failing_report);
	fatal("first");
}

static atomic_of(uint32_t) n_ready;

static void *fail_together(void *arg)
{
	add_acq_rel(&n_ready, 1); /* the test's own */
	while (load_acq(&n_ready) < 8)
		;
	fatal("thread %lu", (unsigned long)(uintptr_t)arg);
}

TAP_CHILD(fatal_in_many_threads)
{
	pthread_t thread;

	fatal_set_report(report);
	for (uintptr_t i = 1; i < 8; i++)
		require_eq(pthread_create(&thread, NULL, fail_together, (void *)i), 0);
	fail_together(NULL);
}

TAP_CHILD(check_that_fails)
{
	volatile int two = 2;

	GORO_CHECK(two == 2);
	GORO_CHECK(two == 3);
}

static int count(const char *text, const char *word)
{
	int n = 0;

	for (; (text = strstr(text, word)) != NULL; text++)
		n++;
	return n;
}

TAP_CASE(fatal_says_why_and_ends_with_2, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "fatal_plain");
	expect_eq(c.status, 2);
	expect_str(c.err, "fatal error: out of paper: 3\n\n");
	expect_str(c.out, "");
}

TAP_CASE(fatal_prints_the_report_behind_the_message, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "fatal_with_report");
	expect_eq(c.status, 2);
	expect_str(c.err, "fatal error: told\n\nthe stacks\n");
}

TAP_CASE(fa1_only_one_of_many_threads_prints, .procs = "-")
{
	struct tap_child c;

	for (int i = 0; i < 5; i++) {
		tap_child(&c, "fatal_in_many_threads");
		expect_eq(c.status, 2);
		expect_eq(count(c.err, "fatal error: thread "), 1);
		expect_eq(count(c.err, "the stacks"), 1);
	}
}

TAP_CASE(fa2_failure_in_the_report_ends_at_once, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "fatal_in_the_report");
	expect_eq(c.status, 2);
	expect_str(c.err, "fatal error: first\n\nbegun\n");
}

TAP_CASE(failed_check_names_its_claim_and_place, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "check_that_fails");
	expect_child(&c, 2, "internal check failed: two == 3 (");
	expect_contains(c.err, "tests/unit/fatal.c:");
}

TAP_MAIN
