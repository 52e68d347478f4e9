/*
 * go_args.cpp - go() in C++: templates, lambdas, overload-free conversions, types with constructors.
 *
 *   goro_main -> a function per group -> go() -> what was started CHECKs what it got, RAN()
 *
 * GA1  Each go() is preceded by EXPECT_RUNS, each started function ends in RAN: none is lost or doubled.
 * GA3  Objects with destructors that were passed are destroyed, each once.
 *
 * Locking: none. Compiled with the fake runtime or the library, together with go_other.c.
 */
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "check.h"

int checks_done, checks_failed, runs_expected, runs_seen;

extern "C" void other_file(void);

static void n0() noexcept
{
	RAN();
}
static void n1(int a)
{
	CHECK(a == 1);
	RAN();
}
static int n8(int a, int b, int c, int d, int e, int f, int g, int h)
{
	CHECK(a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8);
	RAN();
	return 42;
}
static void converted(double d, const char *null, bool b, int64_t wide)
{
	CHECK(d == 1 && null == nullptr && b && wide == -1);
	RAN();
}
/* Copied is the pointer, not what it points to. */
static const int *array_sent;
static void arrays(const int *a, const char *s)
{
	CHECK(a == array_sent && a[2] == 30 && std::strcmp(s, "text") == 0);
	RAN();
}
typedef float vector __attribute__((vector_size(32)));
struct alignas(64) aligned {
	int i;
};
static void over_aligned(char c, const vector &v, aligned a)
{
	CHECK(c == 'v' && v[7] == 8 && a.i == 64);
	CHECK(reinterpret_cast<std::uintptr_t>(&a) % 64 == 0);
	RAN();
}

static int alive;

struct counted {
	int value;
	explicit counted(int v) : value(v) { __atomic_add_fetch(&alive, 1, __ATOMIC_RELAXED); }
	counted(const counted &o) : value(o.value) { __atomic_add_fetch(&alive, 1, __ATOMIC_RELAXED); }
	~counted() { __atomic_sub_fetch(&alive, 1, __ATOMIC_RELAXED); }
};

static void objects(const std::string &s, std::vector<int> v, std::string &mine, counted c)
{
	mine += "!";
	CHECK(s == "a string that is too long to be stored in place" && v.size() == 3);
	CHECK(mine == "mine!" && c.value == 5);
	RAN();
}
static void owner(std::unique_ptr<int> p)
{
	CHECK(*p == 6);
	RAN();
}
static void variadic(const char *types, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, types);
	CHECK(__builtin_va_arg(ap, int) == 5);
	CHECK(__builtin_va_arg(ap, double) == 2.5);
	__builtin_va_end(ap);
	RAN();
}

template <class T> static void in_template(T t)
{
	go(n1, t);
	go([](T x) {
		CHECK(x == T(1));
		RAN();
	}, t);
}
inline void in_inline(int i)
{
	go(n1, i);
}
struct host {
	int member = 1;
	host() { go(n1, member); }
	void method() const { go(n1, member); }
};

static void shapes(int yes)
{
	static int numbers[3] = {10, 20, 30};
	void (*variable)(int) = n1;
	void (*const constant)(int) = n1;
	void (*several[2])(int) = {n1, n1};
	int i = 0, k = 5;
	vector v = {1, 2, 3, 4, 5, 6, 7, 8};
	aligned a = {64};
	std::string mine = "mine";

	EXPECT_RUNS(20);
	go(n0);
	go(n1, 1);
	go(n8, 1, 2, 3, 4, 5, 6, 7, 8);
	go(converted, 1, NULL, 5, short(-1));
	go(converted, 1.0f, nullptr, &i, -1);
	array_sent = numbers;
	go(arrays, numbers, "text");
	go(over_aligned, 'v', v, a);
	go(objects, "a string that is too long to be stored in place", std::vector<int>{1, 2, 3}, mine,
	   counted(5));
	go(owner, std::make_unique<int>(6));
	go(variadic, "%d", 5, 2.5f);
	go(variable, 1);
	go(constant, 1);
	go(several[i++], 1);
	CHECK(i == 1);
	go([k](int x) {
		CHECK(k + x == 6);
		RAN();
	}, 1);
	go([mine] {
		CHECK(mine == "mine");
		RAN();
	});
	if (yes)
		go(n0);
	else
		go(n1, 0);
	for (int j = 0; j < 2; j++)
		go(n1, 1);
	go(n0); go(n1, 1);

	EXPECT_RUNS(4 + 2 + 3);
	in_template(1);
	in_template(1.0);
	in_inline(1);
	in_inline(1);
	auto generic = [](auto x) { go(n1, x); };
	generic(1);
	host h;
	h.method();
}

struct bytes1024 {
	char b[1024];
};
struct bytes1025 {
	char b[1025];
};
static void s_1024(bytes1024 s)
{
	CHECK(s.b[1023] == 'z');
	RAN();
}
static void s_1025(bytes1025)
{
	CHECK(!"reached");
}

static bool panics(void (*fn)(void *), const char *text)
{
	char msg[100] = "";

	return !goro_try(fn, nullptr, msg, sizeof(msg)) && std::strcmp(msg, text) == 0;
}

static void misuse()
{
	bytes1024 s = {};

	s.b[1023] = 'z';
	EXPECT_RUNS(1);
	go(s_1024, s);
	CHECK(panics([](void *) { go(s_1025, bytes1025()); },
		     "function arguments too large for new goroutine"));
	CHECK(panics([](void *) { go((void (*)())NULL); }, "go of nil func value"));
	CHECK(panics([](void *) { void (*f)(int) = nullptr; go(f, 1); }, "go of nil func value"));
}

static void put_and_get()
{
	goro_chan *c = goro_chan_of(int64_t, 1);

	goro_put(c, int64_t{5});
	CHECK(goro_get(c, int64_t) == 5);
	goro_chan_unref(c);
}

int goro_main(int argc, char **argv)
{
	(void)argv;
	shapes(argc);
	misuse();
	put_and_get();
	other_file();
	wait_for_runs();
	goro_yield();
	CHECK(runs_seen == runs_expected);
	for (int i = 0; i < 1000 && __atomic_load_n(&alive, __ATOMIC_RELAXED); i++)
		goro_yield();
	CHECK(alive == 0);
	std::printf("# %d runs, %d checks, %d failed\n", runs_seen, checks_done, checks_failed);
	return checks_failed != 0;
}
