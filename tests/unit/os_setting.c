/*
 * os_setting.c - numbers, GORO_MAXPROCS, GORO_MAXSTOPPED and the list in GORODEBUG;
 * src/os/os_setting.c.
 */
#include "tap.h"

#include <limits.h>

#include "base/limits.h"
#include "os/os.h"

static long number_of(const char *text)
{
	long n = -77;

	return os_number(text, strlen(text), &n) ? n : -77;
}

TAP_CASE(numbers_are_decimal_with_blanks_around_them, .procs = "-")
{
	static const char *const bad[] = {"",	 " ",	"x",   "3x",  "x3", "0x10", "1e3", "3 4",
					  "+-3", "- 3", "3-",  "--3", "+",  "1,2",  "\n3", "3.0"};

	expect_eq(number_of("0"), 0);
	expect_eq(number_of("3"), 3);
	expect_eq(number_of("007"), 7);
	expect_eq(number_of("+3"), 3);
	expect_eq(number_of("-3"), -3);
	expect_eq(number_of(" \t3 \t"), 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (number_of(bad[i]) != -77)
			expect_str(bad[i], "refused");
}

TAP_CASE(numbers_beyond_a_long_are_the_largest, .procs = "-")
{
	char nines[200];

	expect_eq(number_of("99999999999999999999"), LONG_MAX);
	expect_eq(number_of("-99999999999999999999"), LONG_MIN);
	memset(nines, '9', sizeof(nines) - 1);
	nines[sizeof(nines) - 1] = 0;
	expect_eq(number_of(nines), LONG_MAX);
}

TAP_CASE(no_number_leaves_the_result_alone_and_reads_no_further, .procs = "-")
{
	long n = 5;

	expect(!os_number("x", 1, &n));
	expect_eq(n, 5);
	expect(os_number("12,9", 2, &n));
	expect_eq(n, 12);
}

static void expect_procs(const char *first, const char *second, long n, const char *by)
{
	const char *name = NULL;

	setenv("GORO_MAXPROCS", first, 1);
	setenv("GOMAXPROCS", second, 1);
	expect_eq(os_procs_asked(&name), n);
	if (by)
		expect_str(name, by);
}

static void expect_maxstopped(const char *text, uint32_t n, bool must_be_good)
{
	bool is_good;

	setenv("GORO_MAXSTOPPED", text, 1);
	expect_eq(os_maxstopped(&is_good), n);
	expect_eq(is_good, must_be_good);
}

/* OE1 */
TAP_CASE(oe1_what_is_no_number_of_stopped_goroutines_counts_as_not_set, .procs = "-")
{
	expect_maxstopped("", MAXSTOPPED_DEFAULT, true);
	expect_maxstopped("0", 0, true);
	expect_maxstopped(" 7 ", 7, true);
	expect_maxstopped("99999999999999999999", INT32_MAX, true);
	expect_maxstopped("-1", MAXSTOPPED_DEFAULT, false);
	expect_maxstopped("7x", MAXSTOPPED_DEFAULT, false);
	expect_maxstopped("-99999999999999999999", MAXSTOPPED_DEFAULT, false);
}

/* OE1 */
TAP_CASE(oe1_what_is_no_positive_number_counts_as_not_set, .procs = "-")
{
	expect_procs("", "", 0, NULL);
	expect_procs("3", "", 3, "GORO_MAXPROCS");
	expect_procs("3", "4", 3, "GORO_MAXPROCS");
	expect_procs("", "4", 4, "GOMAXPROCS");
	expect_procs("0", "4", 4, "GOMAXPROCS");
	expect_procs("-1", "4", 4, "GOMAXPROCS");
	expect_procs("abc", " 4", 4, "GOMAXPROCS");
	expect_procs("abc", "0", 0, NULL);
	expect_procs("5000", "4", 5000, "GORO_MAXPROCS");
}

static long debug_of(const char *list, enum os_debug which)
{
	setenv("GORODEBUG", list, 1);
	return os_debug(which);
}

TAP_CASE(debug_takes_the_last_good_value_of_a_whole_name, .procs = "-")
{
	expect_eq(debug_of("", OS_DEBUG_SCHEDTRACE), 0);
	expect_eq(debug_of("", OS_DEBUG_MEMBARRIER), 1);
	expect_eq(debug_of("schedtrace=100", OS_DEBUG_SCHEDTRACE), 100);
	expect_eq(debug_of("schedtrace=100,schedtrace=x", OS_DEBUG_SCHEDTRACE), 100);
	expect_eq(debug_of("schedtrace=100,schedtrace=7", OS_DEBUG_SCHEDTRACE), 7);
	expect_eq(debug_of(",,a=1,membarrier=0,", OS_DEBUG_MEMBARRIER), 0);
	expect_eq(debug_of("xmembarrier=0", OS_DEBUG_MEMBARRIER), 1);
	expect_eq(debug_of("membarrier=01", OS_DEBUG_MEMBARRIER), 1);
	expect_eq(debug_of("membarrier=2", OS_DEBUG_MEMBARRIER), 1);
	expect_eq(debug_of("schedtrace=-5", OS_DEBUG_SCHEDTRACE), 0);
	expect_eq(debug_of("schedtrace", OS_DEBUG_SCHEDTRACE), 0);
	expect_eq(debug_of("schedtracer=5", OS_DEBUG_SCHEDTRACE), 0);
	expect_eq(debug_of("schedtrac=5", OS_DEBUG_SCHEDTRACE), 0);
	expect_eq(debug_of("a=schedtrace=5", OS_DEBUG_SCHEDTRACE), 0);
}

/* Each item with what is wrong, a line each. */
static const char *problems_of(const char *list)
{
	static char text[4096];
	struct os_debug_item item;

	setenv("GORODEBUG", list, 1);
	text[0] = 0;
	for (const char *at = list; (at = os_debug_next(at, &item));)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s|%s\n", item.text,
			 item.problem);
	return text;
}

TAP_CASE(oe1_each_item_of_debug_is_told_with_what_is_wrong, .procs = "-")
{
	char longest[300];

	expect_str(problems_of(""), "");
	expect_str(problems_of(",,"), "");
	expect_str(problems_of("schedtrace=5,scheddetail=1,"), "schedtrace=5|\nscheddetail=1|\n");
	expect_str(problems_of("scheddetail=1"),
		   "scheddetail=1|does nothing without schedtrace=N\n");
	expect_str(problems_of("scheddetail=0"), "scheddetail=0|\n");
	expect_str(problems_of("=,x,=3"), "=|is not known\nx|is not known\n=3|is not known\n");
	expect_str(problems_of("membarrier=2,schedtrace"),
		   "membarrier=2|wants 0 or 1\nschedtrace|wants a number of milliseconds\n");
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	const char *cut = problems_of(longest);
	expect_eq(strlen(cut), 63 + strlen("|is not known\n"));
}

TAP_MAIN
