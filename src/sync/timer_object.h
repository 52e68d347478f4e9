/*
 * timer_object.h - arming a late timer (event/timer.h) from any goroutine and any thread.
 */
#ifndef SYNC_TIMER_OBJECT_H
#define SYNC_TIMER_OBJECT_H

#include "event/timer.h"

/*
 * Put t, whose `when` is set, into a heap. False: no runtime runs. Under the lock of t's owner;
 * when *is_first, timer_was_armed(m_self(), when) must follow, and needs no lock.
 */
bool timer_arm(struct timer *t, bool *is_first);

/* ns from now, or at once; never TIMER_NEVER. */
int64_t timer_when(int64_t ns);

#endif
