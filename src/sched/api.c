/*
 * api.c - the spawning calls of goro.h.
 *
 *   go(), goro_spawn* -> [spawn_request] -> spawn.c
 *
 * AP1  Every request is checked here; spawn() believes it.
 *
 * Locking: none.
 */
#include <errno.h>

#include "goro.h"
#include "sched/sched.h"

#define STACK_SIZE_LEAST (16u << 10)

__attribute__((noinline)) int goro_spawn(void (*fn)(void *), void *arg)
{
	if (unlikely(!fn))
		panic_at("go of nil func value");
	return spawn(&(struct spawn_request){.entry = fn,
					     .arg = arg,
					     .pc = __builtin_return_address(0),
					     .fn = (void (*)(void))fn});
}

__attribute__((noinline)) int goro_spawn_copy(void (*fn)(void *), const void *data, size_t size)
{
	static const char nothing;

	if (unlikely(!fn))
		panic_at("go of nil func value");
	if (unlikely(size > ARGS_MAX))
		panic_at("function arguments too large for new goroutine");
	if (unlikely(!data && size))
		panic_at("goro_spawn_copy of nil data");
	return spawn(&(struct spawn_request){.entry = fn,
					     .data = size ? data : &nothing,
					     .size = size,
					     .pc = __builtin_return_address(0),
					     .fn = (void (*)(void))fn});
}

__attribute__((noinline)) int goro_spawn_attr(const struct goro_attr *attr, void (*fn)(void *),
					      void *arg)
{
	struct spawn_request request = {.entry = fn,
					.arg = arg,
					.pc = __builtin_return_address(0),
					.fn = (void (*)(void))fn};

	if (unlikely(!fn))
		panic_at("go of nil func value");
	if (attr && attr->stack_size > STACK_SIZE_MAX)
		return -EINVAL;
	if (attr) {
		request.name = attr->name;
		request.stack_size = attr->stack_size;
		request.no_preempt = attr->no_preempt;
		request.is_pinned = attr->pinned;
		if (request.stack_size && request.stack_size < STACK_SIZE_LEAST)
			request.stack_size = STACK_SIZE_LEAST;
	}
	return spawn(&request);
}

void goro_go_(void (*unpack)(void *), const void *data, size_t size, void (*fn)(void),
	      const struct goro_site_ *site)
{
	if (unlikely(!fn))
		panic_at("go of nil func value");
	if (unlikely(site->args_size > ARGS_MAX))
		panic_at("function arguments too large for new goroutine");
	int error = spawn(&(struct spawn_request){
		.entry = unpack, .data = data, .size = size, .fn = fn, .site = site});
	if (unlikely(error))
		panic_at(error == -EPERM ? "go: no runtime is running" : "go: out of memory");
}

const char *goro_version(void)
{
	return GORO_VERSION;
}
