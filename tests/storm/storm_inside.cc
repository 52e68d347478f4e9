/*
 * storm_inside.cc - the half of storm.c in C++: exceptions in flight.
 */
#include "storm.h"

#include <exception>
#include <stdexcept>
#include <string>

namespace {

struct moves_at_end {
	unsigned number;

	~moves_at_end()
	{
		storm_expect(std::uncaught_exceptions() == 1, "uncaught exceptions before a move");
		storm_move(number);
		storm_expect(std::uncaught_exceptions() == 1, "uncaught exceptions after a move");
		try {
			throw number;
		} catch (unsigned n) {
			storm_move(number + 1);
			storm_expect(n == number, "the exception of a destructor");
		}
	}
};

void throws(unsigned number)
{
	moves_at_end m = {number};
	throw std::runtime_error(std::to_string(number));
}

} // namespace

void storm_cxx(unsigned number)
{
	std::string wanted = std::to_string(number);
	try {
		try {
			throws(number);
		} catch (const std::runtime_error &e) {
			std::exception_ptr here = std::current_exception();
			storm_move(number + 2);
			storm_expect(here == std::current_exception(), "the current exception");
			storm_expect(wanted == e.what(), "the exception that was caught");
			storm_expect(std::uncaught_exceptions() == 0, "uncaught in a handler");
			throw;
		}
	} catch (const std::exception &e) {
		storm_move(number + 3);
		storm_expect(wanted == e.what(), "the exception that was thrown again");
	}
	storm_expect(!std::current_exception(), "none is left");
}
