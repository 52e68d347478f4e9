/*
 * group.cpp - GORO_GROUP in C++: its destructor waits at every way out of the scope, and cancels
 * when an exception is on its way.
 */
#include <goro.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>

static int n_checks, n_failed;

static void check(bool is_true, const char *what)
{
	n_checks++;
	if (is_true)
		return;
	n_failed++;
	std::printf("failed: %s\n", what);
}

static std::atomic<int> n_ended, n_destroyed;

struct local {
	~local()
	{
		n_destroyed++;
	}
};

static int counts(void *)
{
	goro_yield();
	n_ended++;
	return 0;
}

static int waits(void *)
{
	local in_child;
	int error = goro_ctx_sleep(GORO_FOREVER);

	n_ended++;
	return error;
}

static int returns(int n)
{
	GORO_GROUP(group);
	for (int i = 0; i < n; i++)
		if (goro_group_go(&group, counts, nullptr) != 0)
			return -1;
	return n;
}

static void throws(int n)
{
	GORO_GROUP(outer);
	local object;
	GORO_GROUP(inner);
	for (int i = 0; i < n; i++)
		goro_group_go(i % 2 ? &outer : &inner, waits, nullptr);
	throw std::runtime_error("thrown");
}

static void panics(void *)
{
	GORO_GROUP(group);
	for (int i = 0; i < 5; i++)
		goro_group_go(&group, waits, nullptr);
	goro_panic("a panic");
}

int goro_main(int, char **)
{
	check(returns(20) == 20 && n_ended == 20, "return waits");
	for (int round = 0; round < 20; round++) {
		bool is_caught = false;
		n_ended = n_destroyed = 0;
		try {
			throws(10);
		} catch (const std::runtime_error &) {
			is_caught = true;
		}
		check(is_caught && n_ended == 10 && n_destroyed == 11,
		      "an exception cancels, waits and goes on");
	}
	char text[32];
	n_ended = 0;
	check(!goro_try(panics, nullptr, text, sizeof(text)) && n_ended == 5,
	      "a panic cancels and waits");
	std::printf("%d checks, %d failed\n", n_checks, n_failed);
	return n_failed != 0;
}
