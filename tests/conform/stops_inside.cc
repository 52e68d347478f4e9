/*
 * stops_inside.cc - the C++ half of stops.c.
 */
#include "stops_inside.h"

#include <stdexcept>
#include <string>
#include <vector>

namespace {

__attribute__((noinline)) void throws_at_depth(int depth, int number)
{
	std::vector<std::string> strings(3, std::string(40, 'x'));
	if (depth == 0)
		throw std::runtime_error("number " + std::to_string(number));
	throws_at_depth(depth - 1, number);
}

} // namespace

int cxx_catches(int number)
{
	try {
		throws_at_depth(5, number);
	} catch (const std::runtime_error &e) {
		return e.what() == "number " + std::to_string(number);
	}
	return 0;
}
