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

/* ---- CE1 ---- */

namespace {

std::string text_of(const std::exception_ptr &e)
{
	try {
		if (e)
			std::rethrow_exception(e);
	} catch (const std::exception &error) {
		return error.what();
	}
	return "none";
}

bool is_current(const std::string &wanted)
{
	return text_of(std::current_exception()) == wanted;
}

void moves(int i)
{
	switch (i % 4) {
	case 0:
		goro_sleep(1000);
		break;
	case 1:
		goro_syscall_enter();
		goro_syscall_exit();
		break;
	default:
		goro_yield();
	}
}

/* Handlers inside of handlers, each goes on with its own exception after the others are over. */
bool parks_at_depth(int depth, int number)
{
	std::string wanted = "number " + std::to_string(number * 10 + depth);
	bool is_right = true;
	try {
		try {
			throw std::runtime_error(wanted);
		} catch (const std::runtime_error &) {
			moves(number + depth);
			is_right = is_right && is_current(wanted);
			if (depth > 0)
				is_right = parks_at_depth(depth - 1, number) && is_right;
			moves(number);
			is_right = is_right && is_current(wanted);
			is_right = is_right && std::uncaught_exceptions() == 0;
			throw;
		}
	} catch (const std::exception &e) {
		moves(depth);
		is_right = is_right && wanted == e.what() && is_current(wanted);
	}
	moves(depth);
	return is_right;
}

/* Its destructor parks while an exception is on its way, and throws and catches meanwhile. */
struct parks_in_destructor {
	cxx_counts *counts;
	int depth, number;

	~parks_in_destructor()
	{
		bool is_right = std::uncaught_exceptions() == 1;
		moves(number + depth);
		is_right = is_right && std::uncaught_exceptions() == 1;
		is_right = is_right && is_current("none");
		try {
			guard g(counts);
			throw std::runtime_error("inner");
		} catch (const std::runtime_error &) {
			moves(number);
			is_right = is_right && is_current("inner");
			is_right = is_right && std::uncaught_exceptions() == 1;
		}
		moves(depth);
		is_right = is_right && std::uncaught_exceptions() == 1;
		add(is_right ? &counts->n_caught : &counts->n_wrong, 1);
	}
};

void throws_through(cxx_counts *counts, int depth, int number)
{
	parks_in_destructor p = {counts, depth, number};
	if (depth == 0)
		throw std::runtime_error("number " + std::to_string(number));
	throws_through(counts, depth - 1, number);
}

} // namespace

void cxx_parks_in_handlers(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	for (int i = 0; i < counts->rounds; i++)
		add(parks_at_depth(i % 4, i) ? &counts->n_caught : &counts->n_wrong, 1);
	add(is_current("none") ? &counts->n_ended : &counts->n_wrong, 1);
}

void cxx_parks_in_destructors(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	for (int i = 0; i < counts->rounds; i++) {
		try {
			throws_through(counts, i % 3, i);
		} catch (const std::runtime_error &e) {
			std::string wanted = "number " + std::to_string(i);
			moves(i);
			bool is_right = wanted == e.what() && is_current(wanted) &&
					std::uncaught_exceptions() == 0;
			add(is_right ? &counts->n_caught : &counts->n_wrong, 1);
		}
	}
	add(std::uncaught_exceptions() == 0 ? &counts->n_ended : &counts->n_wrong, 1);
}

/* One that begins, or goes on, while others are in the middle of something. */
void cxx_finds_none(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	bool is_right = true;
	for (int i = 0; i < 3; i++) {
		is_right = is_right && is_current("none") && std::uncaught_exceptions() == 0;
		moves(i);
	}
	add(is_right ? &counts->n_ended : &counts->n_wrong, 1);
}

void cxx_exits_in_handler(void *arg)
{
	try {
		throw std::runtime_error("left behind");
	} catch (const std::runtime_error &) {
		cxx_exits_inside_guards(arg);
	}
}

static void panics_in_handlers(void *arg)
{
	try {
		throw std::runtime_error("left behind");
	} catch (const std::runtime_error &) {
		try {
			throw 5;
		} catch (int) {
			cxx_panics_inside_guards(arg);
		}
	}
}

/* goro_try leaves the handlers inside it, and those around it are as they were. */
void cxx_panics_in_handler(void *arg)
{
	auto *counts = static_cast<cxx_counts *>(arg);
	bool is_right = !goro_try(panics_in_handlers, arg, nullptr, 0) && is_current("none");
	try {
		throw std::runtime_error("outer");
	} catch (const std::runtime_error &) {
		is_right = is_right && !goro_try(panics_in_handlers, arg, nullptr, 0);
		is_right = is_right && is_current("outer");
	}
	is_right = is_right && is_current("none");
	add(is_right ? &counts->n_caught : &counts->n_wrong, 1);
}

int cxx_runs_in_handler(int (*run)(void *), void *arg)
{
	int value = -1;
	try {
		try {
			throw std::runtime_error("around the run");
		} catch (const std::runtime_error &) {
			value = goro_run(run, arg);
			if (!is_current("around the run"))
				return -2;
			throw;
		}
	} catch (const std::runtime_error &) {
		return is_current("around the run") ? value : -3;
	}
	return -4;
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
