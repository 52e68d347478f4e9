/*
 * go_args.c - go() with every shape of function, argument and place, in C.
 *
 *   goro_main -> a function per group -> go() -> what was started CHECKs what it got, RAN()
 *
 * GA1  Each go() is preceded by EXPECT_RUNS, each started function ends in RAN: none is
 *      lost or doubled.
 * GA2  A group returns before its goroutines run (in the fake runtime), so that whatever points
 *      into its frame is caught.
 *
 * Locking: none. Compiled with the fake runtime or the library, together with go_other.c.
 */
#include <complex.h>
#include <stdalign.h>
#include <string.h>

#include "check.h"
#ifdef FAKE
#include "fake_runtime.h"
#endif

int checks_done, checks_failed, runs_expected, runs_seen;

void other_file(void);

/* --- how many arguments ----------------------------------------------------------------------- */

static void n0(void)
{
	RAN();
}

#define N_BODY(claim)                                                                              \
	{                                                                                          \
		CHECK(claim);                                                                      \
		RAN();                                                                             \
	}
/* clang-format off */
static void n1(int a) N_BODY(a == 1)
static void n2(int a, int b) N_BODY(a == 1 && b == 2)
static void n3(int a, int b, int c) N_BODY(a == 1 && b == 2 && c == 3)
static void n4(int a, int b, int c, int d) N_BODY(a == 1 && b == 2 && c == 3 && d == 4)
static void n5(int a, int b, int c, int d, int e)
	N_BODY(a == 1 && b == 2 && c == 3 && d == 4 && e == 5)
static void n6(int a, int b, int c, int d, int e, int f)
	N_BODY(a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6)
static void n7(int a, int b, int c, int d, int e, int f, int g)
	N_BODY(a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7)
static void n8(int a, int b, int c, int d, int e, int f, int g, int h)
	N_BODY(a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8)
/* clang-format on */

static void zero_to_eight_arguments(void)
{
	EXPECT_RUNS(9);
	go(n0);
	go(n1, 1);
	go(n2, 1, 2);
	go(n3, 1, 2, 3);
	go(n4, 1, 2, 3, 4);
	go(n5, 1, 2, 3, 4, 5);
	go(n6, 1, 2, 3, 4, 5, 6);
	go(n7, 1, 2, 3, 4, 5, 6, 7);
	go(n8, 1, 2, 3, 4, 5, 6, 7, 8);
}

/* --- types ------------------------------------------------------------------------------------ */

struct point {
	short x;
	double y;
};
struct large {
	char text[200];
	int last;
};
union either {
	int i;
	float f;
};
enum colour { RED, GREEN = 7 };
typedef float vector __attribute__((vector_size(32)));
struct aligned {
	alignas(64) int i;
	char c;
};
struct bits {
	unsigned int low : 3, high : 5;
};

static void t_point(struct point p, const struct point *q)
{
	CHECK(p.x == 3 && p.y == 0.5 && q->x == 4);
	RAN();
}
static void t_large(int before, struct large l, int after)
{
	CHECK(before == -1 && after == 1 && l.last == 77 && strlen(l.text) == 199);
	RAN();
}
static void t_union(union either e, enum colour c)
{
	CHECK(e.f == 1.5f && c == GREEN);
	RAN();
}
static void t_float(float f, double d, long double l)
{
	CHECK(f == 0.25f && d == 1e300 && l == 1.25L);
	RAN();
}
static void t_complex(double complex z, float complex y)
{
	CHECK(creal(z) == 1 && cimag(z) == -2 && cimagf(y) == 3);
	RAN();
}
__extension__ typedef __int128 int128;
static void t_int128(char c, int128 wide)
{
	CHECK(c == 'c' && wide == ((int128)5 << 100) + 9);
	RAN();
}
static void t_bool(bool yes, bool no, bool from_int, bool from_pointer)
{
	CHECK(yes && !no && from_int == 1 && from_pointer == 1);
	RAN();
}
static void t_text(const char *a, const char *b)
{
	CHECK(strcmp(a, "text") == 0 && b == NULL);
	RAN();
}
static const int *array_sent;
static void t_array(int *a, const char *s, int (*row)[3])
{
	CHECK(a == array_sent && a[2] == 30 && strcmp(s, "local") == 0 && row[1][2] == 60);
	RAN();
}
static void t_vla(int *a, int n)
{
	CHECK(a[n - 1] == n);
	RAN();
}
static void t_vector(char c, vector v, struct aligned a)
{
	CHECK(c == 'v' && v[0] == 1 && v[7] == 8);
	CHECK(a.i == 64 && a.c == 'a' && (uintptr_t)&a % 64 == 0);
	RAN();
}
static void t_bits(unsigned int low, unsigned int high)
{
	CHECK(low == 5 && high == 17);
	RAN();
}
static void t_qualified(int a, int b, int c, const char *const d)
{
	CHECK(a == 1 && b == 2 && c == 3 && d[0] == 'd');
	RAN();
}
static void t_function(void (*fn)(int), int (*compare)(const char *, const char *))
{
	CHECK(compare("a", "a") == 0);
	fn(1);
}

static void types(void)
{
	static int numbers[3] = {10, 20, 30};
	static const char local[] = "local";
	static int rows[2][3] = {{1, 2, 3}, {4, 5, 60}};
	static struct point q = {4, 0};
	struct point p = {3, 0.5};
	struct large l = {.last = 77};
	union either e = {.f = 1.5f};
	struct bits bits = {5, 17};
	vector v = {1, 2, 3, 4, 5, 6, 7, 8};
	struct aligned a = {64, 'a'};
	const int constant = 1;
	volatile int changing = 2;
	_Atomic int atomic = 3;

	EXPECT_RUNS(13);
	memset(l.text, 'x', sizeof(l.text) - 1);
	go(t_point, p, &q);
	go(t_point, ((struct point){q.x - 1, 0.5}), &q);
	go(t_large, -1, l, 1);
	go(t_union, e, GREEN);
	go(t_float, 0.25f, 1e300, 1.25L);
	go(t_complex, 1 - 2 * I, 3.0f * I);
	go(t_int128, 'c', ((int128)5 << 100) + 9);
	go(t_bool, true, false, 5, &q);
	go(t_text, "text", NULL);
	array_sent = numbers;
	go(t_array, numbers, local, rows);
	go(t_bits, bits.low, bits.high);
	go(t_qualified, constant, changing, atomic, "d");
	go(t_vector, 'v', v, a);
	/* Copied are the arguments, not what they point to. */
	memset(&l, 0, sizeof(l));
	p.x = 0;
	wait_for_runs();
}

static void type_vla(int n)
{
	int numbers[n];

	numbers[n - 1] = n;
	EXPECT_RUNS(2);
	go(t_vla, numbers, n);
	go(t_function, n1, strcmp);
	wait_for_runs();
}

/* --- conversions ------------------------------------------------------------------------------ */

static void c_double(double d, float f)
{
	CHECK(d == 1 && f == 2);
	RAN();
}
static void c_int(int i, char c, uint8_t u)
{
	CHECK(i == 2 && c == 'x' && u == 0xff);
	RAN();
}
static void c_wide(int64_t i, uint64_t u)
{
	CHECK(i == -1 && u == UINT64_MAX);
	RAN();
}
static void c_pointer(const int *p, void *q, char *null)
{
	CHECK(*p == 9 && q == p && null == NULL);
	RAN();
}

static void conversions(void)
{
	static int nine = 9;
	void *any = &nine;
	short minus_one = -1;

	EXPECT_RUNS(4);
	go(c_double, 1, 2L);
	go(c_int, 2.9, (long)'x', minus_one);
	go(c_wide, minus_one, minus_one);
	go(c_pointer, any, &nine, NULL);
}

/* --- what is started -------------------------------------------------------------------------- */

static int f_int(int i)
{
	CHECK(i == 1);
	RAN();
	return 42;
}
static struct large f_large(int i)
{
	struct large l = {.last = i};

	CHECK(i == 1);
	RAN();
	return l;
}
static void f_variadic(const char *types, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, types);
	CHECK(__builtin_va_arg(ap, int) == 5);
	CHECK(__builtin_va_arg(ap, double) == 2.5);
	CHECK(strcmp(__builtin_va_arg(ap, const char *), types) == 0);
	__builtin_va_end(ap);
	RAN();
}
static inline void f_inline(int i)
{
	CHECK(i == 1);
	RAN();
}

static int picked;

static void (*pick(void))(int)
{
	picked++;
	return n1;
}

static void functions(void)
{
	void (*variable)(int) = n1;
	void (*const constant)(int) = n1;
	void (*several[2])(int) = {n1, n1};
	int (*returns)(int) = f_int;
	int i = 0, j = 0, one = 0;

	EXPECT_RUNS(14);
	go(variable, 1);
	go(*variable, 1);
	go(constant, 1);
	go(&n1, 1);
	go(several[i++], 1);
	CHECK(i == 1);
	go(pick(), 1);
	CHECK(picked == 1);
	go(i ? n1 : variable, 1);
	go((j++, n1), ++one);
	CHECK(j == 1 && one == 1);
	go(f_int, 1);
	go(returns, 1);
	go(f_large, 1);
	go(f_variadic, "%s", 5, 2.5f, "%s");
	go(f_inline, 1);
	go((void (*)(int))variable, 1);
}

/* --- where it stands -------------------------------------------------------------------------- */

static inline void in_static_inline(int i)
{
	go(n1, i);
}
static inline __attribute__((always_inline)) void in_always_inline(int i)
{
	go(n2, i, 2);
	go(n1, i);
}
inline __attribute__((gnu_inline, always_inline)) void in_gnu_inline(int i)
{
	go(n1, i);
}
/* Cloned for its constant arguments, and unrolled. */
static __attribute__((noinline)) void in_cloned(int i, int times)
{
	for (int k = 0; k < times; k++)
		go(n1, i);
}
static void in_recursion(int depth)
{
	go(n1, 1);
	if (depth > 1)
		in_recursion(depth - 1);
}

static void places(int yes)
{
	EXPECT_RUNS(2 + 3 + 1 + 3 + 1 + 2 + 1);
	if (yes)
		go(n1, 1);
	else
		go(n0);
	if (!yes)
		go(n0);
	else if (yes)
		go(n0);
	for (int i = 0; i < 3; i++)
		go(n0);
	switch (yes) {
	case 1:
		go(n0);
		break;
	default:
		go(n1, 0);
	}
	/* clang-format off */
	go(n0); go(n1, 1); go(n2, 1, 2);
	/* clang-format on */
	do
		go(n0);
	while (!yes);
	yes ? go(n0) : (void)0, go(n0);
	/* One within another. */
	EXPECT_RUNS(1);
	go(n1, __extension__({
		   go(n0);
		   1;
	   }));

	EXPECT_RUNS(1 + 4 + 2 + 7 + 3);
	in_static_inline(1);
	in_always_inline(1);
	in_always_inline(1);
	in_gnu_inline(1);
	in_gnu_inline(1);
	in_cloned(1, 4);
	in_cloned(1, 3);
	in_recursion(3);
}

/* --- sizes and misuse ------------------------------------------------------------------------- */

struct bytes128 {
	char b[128];
};
struct bytes129 {
	char b[129];
};
struct bytes1024 {
	char b[1024];
};
struct bytes1025 {
	char b[1025];
};

static void s_1024(struct bytes1024 s)
{
	CHECK(s.b[0] == 'a' && s.b[1023] == 'z');
	RAN();
}
static void s_8x128(struct bytes128 a, struct bytes128 b, struct bytes128 c, struct bytes128 d,
		    struct bytes128 e, struct bytes128 f, struct bytes128 g, struct bytes128 h)
{
	CHECK(a.b[0] == 'a' && h.b[127] == 'a');
	(void)b, (void)c, (void)d, (void)e, (void)f, (void)g;
	RAN();
}
static void s_1025(struct bytes1025 s)
{
	CHECK(!"reached" && s.b[0]);
}
static void s_8x129(struct bytes129 a, struct bytes129 b, struct bytes129 c, struct bytes129 d,
		    struct bytes129 e, struct bytes129 f, struct bytes129 g, struct bytes129 h)
{
	(void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
	CHECK(!"reached");
}

static void go_1025(void *arg)
{
	struct bytes1025 s = {{0}};

	(void)arg;
	go(s_1025, s);
}
static void go_8x129(void *arg)
{
	struct bytes129 s = {{0}};

	(void)arg;
	go(s_8x129, s, s, s, s, s, s, s, s);
}
static void go_null_variable(void *arg)
{
	void (*null)(int, double) = NULL;

	(void)arg;
	go(null, 1, 2);
}
static void go_null_literal(void *arg)
{
	(void)arg;
	go((void (*)(void))NULL);
}
static void put_wrong_size(void *arg)
{
	goro_put((goro_chan *)arg, 1);
}
static void get_wrong_size(void *arg)
{
	(void)goro_get((goro_chan *)arg, char);
}

static bool panics(void (*fn)(void *), void *arg, const char *text)
{
	char msg[100] = "";

	if (goro_try(fn, arg, msg, sizeof(msg)))
		return false;
	if (strcmp(msg, text) != 0)
		printf("# panic: %s\n", msg);
	return strcmp(msg, text) == 0;
}

static void sizes(void)
{
	static const char too_large[] = "function arguments too large for new goroutine";
	struct bytes1024 s = {.b[0] = 'a', .b[1023] = 'z'};
	struct bytes128 t;

	memset(&t, 'a', sizeof(t));
	EXPECT_RUNS(2);
	go(s_1024, s);
	go(s_8x128, t, t, t, t, t, t, t, t);
	CHECK(panics(go_1025, NULL, too_large));
	CHECK(panics(go_8x129, NULL, too_large));
	CHECK(panics(go_null_variable, NULL, "go of nil func value"));
	CHECK(panics(go_null_literal, NULL, "go of nil func value"));
}

static void put_and_get(void)
{
	goro_chan *c = goro_chan_of(int64_t, 1);
	goro_chan *points = goro_chan_of(struct point, 1);
	goro_chan *texts = goro_chan_of(char *, 1);
	const int64_t constant = 6;
	goro_chan *several[2] = {c, NULL};
	int i = 0;

	goro_put(c, (int64_t)5);
	CHECK(goro_get(c, int64_t) == 5);
	goro_put(several[i++], constant);
	CHECK(i == 1);
	if (i)
		goro_put(c, goro_get(c, int64_t) + 1);
	else
		goro_put(c, (int64_t)0);
	CHECK(goro_get(several[--i], int64_t) == 7 && i == 0);
	goro_put(points, (struct point){1, 2});
	CHECK(goro_get(points, struct point).y == 2);
	goro_put(texts, "text");
	CHECK(strcmp(goro_get(texts, char *), "text") == 0);
	CHECK(panics(put_wrong_size, c,
		     "goro_put: value of 4 bytes on a channel of 8-byte elements"));
	CHECK(panics(get_wrong_size, c,
		     "goro_get: value of 1 bytes on a channel of 8-byte elements"));
	goro_chan_unref(c);
	goro_chan_unref(points);
	goro_chan_unref(texts);
}

static void site(void)
{
	int line = __LINE__ + 3;

	EXPECT_RUNS(1);
	go(n2, 1, 2);
#ifdef FAKE
	CHECK(strcmp(fake_last_site.func, "site") == 0);
	CHECK(strcmp(fake_last_site.file, __FILE__) == 0);
	CHECK(strcmp(fake_last_site.fn, "n2") == 0);
	CHECK(fake_last_site.line == line);
	CHECK(fake_last_site.args_size == 8);
#endif
	(void)line;
}

int goro_main(int argc, char **argv)
{
	(void)argv;
	zero_to_eight_arguments();
	types();
	type_vla(argc + 5);
	conversions();
	functions();
	places(argc);
	sizes();
	put_and_get();
	site();
	other_file();
	wait_for_runs();
	goro_yield();
	CHECK(runs_seen == runs_expected);
	CHECK(GORO_MS(0.5) == 500000 && GORO_SEC(3) == 3000000000 && GORO_US(2) == 2000);
	printf("# %d runs, %d checks, %d failed\n", runs_seen, checks_done, checks_failed);
	return checks_failed != 0;
}
