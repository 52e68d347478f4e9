/*
 * cxx_inside.cc - the C++ half of cxx.c.
 */
#include "cxx_inside.h"

#include <exception>
#include <stdexcept>
#include <string>

namespace {

template <class T> int add(T *p, int n)
{
	return __atomic_add_fetch(p, n, __ATOMIC_SEQ_CST);
}

struct guard {
	cxx_counts *counts;

	explicit guard(cxx_counts *c) : counts(c)
	{
		add(&counts->n_made, 1);
	}
	guard(const guard &) = delete;
	guard &operator=(const guard &) = delete;
	~guard()
	{
		add(&counts->n_destroyed, 1);
	}
};

__attribute__((noinline)) void throws_at_depth(cxx_counts *counts, int depth, int number)
{
	guard g(counts);
	if (depth == 0)
		throw std::runtime_error("number " + std::to_string(number));
	goro_yield();
	throws_at_depth(counts, depth - 1, number);
	goro_yield();
}

/* The block of the catch makes no call of the library: what it needs it takes out. */
bool catches_number(cxx_counts *counts, int depth, int number)
{
	std::string what;
	try {
		throws_at_depth(counts, depth, number);
	} catch (const std::runtime_error &e) {
		what = e.what();
	}
	goro_yield();
	return what == "number " + std::to_string(number);
}

} // namespace

void cxx_throws_and_catches(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	for (int i = 0; i < counts->rounds; i++)
		add(catches_number(counts, i % 7, i) ? &counts->n_caught : &counts->n_wrong, 1);
	add(&counts->n_ended, 1);
}

/* What was thrown here goes over the channel, and is thrown again on the other side. */
void cxx_receives_and_throws(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	int number;
	while (goro_chan_recv(counts->c, &number)) {
		std::exception_ptr *e = nullptr;
		try {
			guard g(counts);
			goro_sleep(number % 3 * 1000);
			throws_at_depth(counts, number % 5, number);
		} catch (...) {
			e = new std::exception_ptr(std::current_exception());
		}
		goro_chan_send(counts->back, &e);
	}
	add(&counts->n_ended, 1);
}

void cxx_catches_for_others(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	std::exception_ptr *e;
	while (goro_chan_recv(counts->back, &e)) {
		std::string what;
		try {
			guard g(counts);
			std::exception_ptr copy = *e;
			delete e;
			std::rethrow_exception(copy);
		} catch (const std::runtime_error &error) {
			what = error.what();
		}
		add(what.rfind("number ", 0) == 0 ? &counts->n_caught : &counts->n_wrong, 1);
	}
	add(&counts->n_ended, 1);
}

void cxx_panics_inside_guards(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	guard outer(counts);
	[&]() noexcept {
		guard inner(counts);
		goro_panic("out of %s", "C++");
	}();
}

void cxx_panics_inside_catch_all(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	try {
		cxx_panics_inside_guards(counts);
	} catch (...) {
		add(&counts->n_caught, 1);
	}
}

void cxx_exits_inside_guards(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	guard g(counts);
	try {
		goro_exit();
	} catch (...) {
		add(&counts->n_caught, 1);
	}
}

void cxx_throws(void *)
{
	throw std::runtime_error("nobody's");
}

void cxx_catches_around(void (*fn)(void *), void *arg)
{
	try {
		fn(arg);
	} catch (...) {
	}
}

void cxx_go_throwing_lambda(void)
{
	std::string text = "nobody's";
	go([](const std::string &t) { throw std::runtime_error(t); }, text);
}
