/*
 * cxx.h - the C++ exceptions that a goroutine is in the middle of.
 *
 *   switch_to_g0 -> [cxx_take] ... the G is at rest ... [cxx_put], perhaps on another thread
 *   goro_try     -> [cxx_get]  ... a panic leaves the frames ... [cxx_put]
 *
 * CE1  What the C++ runtime keeps per thread (the exceptions whose handlers are active, and how
 *      many are uncaught) belongs to the goroutine that runs there. It goes with it when it leaves
 *      the thread, and a goroutine that begins, or comes back, never finds another one's.
 * CE2  A program without the C++ runtime pays nothing: has_more_to_switch, which is looked at in
 *      any case, is false.
 *
 * The layout is that of the Itanium C++ ABI, in libstdc++ and libc++abi. The stacks need nothing:
 * the unwinder keeps its state there.
 */
#ifndef SCHED_CXX_H
#define SCHED_CXX_H

#include "core/m.h"

struct cxx_globals {
	void *caught;          /* the stack of exceptions that are being handled */
	unsigned int uncaught; /* those that are on their way to a handler */
};

extern bool has_more_to_switch; /* CE2: this, or a sanitizer */

/* When a run begins: is the C++ runtime there? */
void cxx_look(void);
/* Those of the calling thread, or NULL. */
struct cxx_globals *cxx_of_thread(void);

static inline struct cxx_globals cxx_get(const struct cxx_globals *at)
{
	return at ? *at : (struct cxx_globals){NULL, 0};
}

static inline void cxx_put(struct cxx_globals *at, struct cxx_globals with)
{
	if (at)
		*at = with;
}

static inline struct cxx_globals cxx_take(struct cxx_globals *at)
{
	struct cxx_globals own = cxx_get(at);

	cxx_put(at, (struct cxx_globals){NULL, 0});
	return own;
}

#endif
