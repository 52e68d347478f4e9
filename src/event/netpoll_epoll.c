/*
 * netpoll_epoll.c - asking the kernel which descriptors have become ready.
 *
 *   find, the keeper, sysmon -> [netpoll] -> epoll -> polled_signal -> Gs
 *   a new timer, the end of a run -> [netpoll_break] -> whoever blocks in it
 *
 * NP1  One registration for the life of a descriptor, edge triggered, for both directions.
 * NP2  The break-in descriptor is level triggered, and only who blocks clears it: who asks without
 *      blocking must not use up what was meant for another.
 * NP3  is_breaking is set before the break-in descriptor is written, and swapped back after it was
 *      read: who finds it set relies on the one who swaps it back, who then looks at the timers.
 * NP4  A few events at a time. What the dispatch touches (the record, the G, its stack) is then
 *      still in the cache when the goroutine runs: with a thousand connections the kernel's work
 *      for those before it would have driven it out. The kernel puts what it did not hand out
 *      before what comes later, so that nobody waits longer than one round.
 *
 * Locking: start_lock for the first use. Orders: NETPOLL-ON, NETPOLL-BREAK. Go:
 * runtime/netpoll_epoll.go.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "event/netpoll.h"
#include "os/os.h"

#define EVENTS_AT_ONCE COLD_BATCH /* NP4 */
#define BREAK_DATA UINT64_MAX
#define WANTED (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET) /* and EPOLLERR, EPOLLHUP */
#define HANGUP (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)

atomic_of(bool) netpoll_is_on;

static struct {
	struct lock start_lock;
	int epoll, break_fd;
	atomic_of(uint32_t) is_breaking; /* NP3 */
	struct polled *(*at)(int fd);
} poller = {.start_lock = LOCK_INIT(LOCK_LEAF)};

/* Under start_lock. */
static int start(struct polled *(*at)(int fd))
{
	int epoll = os_epoll_create();
	int break_fd = epoll < 0 ? epoll : os_eventfd();
	int error = break_fd < 0 ? break_fd : os_epoll_add(epoll, break_fd, EPOLLIN, BREAK_DATA);

	if (error < 0) {
		if (break_fd >= 0)
			os_epoll_close(break_fd);
		if (epoll >= 0)
			os_epoll_close(epoll);
		return error;
	}
	poller.epoll = epoll;
	poller.break_fd = break_fd;
	poller.at = at;
	store_rel(&netpoll_is_on, true); /* NETPOLL-ON: the descriptors */
	return 0;
}

int netpoll_start(struct polled *(*at)(int fd))
{
	int error = 0;

	if (load_acq(&netpoll_is_on)) /* NETPOLL-ON */
		return 0;
	lock_acquire(&poller.start_lock);
	if (!load_rlx(&netpoll_is_on)) /* relaxed: under the lock */
		error = start(at);
	lock_release(&poller.start_lock);
	return error;
}

int netpoll_add(int fd, struct polled *pd)
{
	uint32_t generation = load_rlx(&pd->generation); /* relaxed: the caller's; PO6 */

	return os_epoll_add(poller.epoll, fd, WANTED, (uint64_t)generation << 32 | (uint32_t)fd);
}

void netpoll_remove(int fd)
{
	os_epoll_remove(poller.epoll, fd);
}

/* The records of thousands of descriptors are cold. */
static void look_ahead(const struct epoll_event *event)
{
	if (event->data.u64 != BREAK_DATA)
		__builtin_prefetch(poller.at((int)(uint32_t)event->data.u64), 1);
}

static void dispatch(const struct epoll_event *event, struct glist *ready)
{
	struct polled *pd = poller.at((int)(uint32_t)event->data.u64);
	uint32_t what = event->events;

	if (load_acq(&pd->generation) != event->data.u64 >> 32) /* POLL-LIFE; PO6 */
		return;
	if ((what & HANGUP) && !load_rlx(&pd->has_hangup)) /* relaxed: ordered by the words */
		store_rlx(&pd->has_hangup, true);          /* relaxed: likewise */
	if (what & (EPOLLIN | HANGUP))
		polled_signal(pd, POLL_READ, ready);
	if (what & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		polled_signal(pd, POLL_WRITE, ready);
	if (load_rlx(&pd->has_any)) /* relaxed: PS3's fences order it, too */
		polled_signal(pd, POLL_ANY, ready);
}

/* NP2, NP3 */
static void break_end(void)
{
	os_eventfd_clear(poller.break_fd);
	(void)xchg_acq_rel(&poller.is_breaking, 0); /* NETPOLL-BREAK: the timer that it was about */
}

bool netpoll(int64_t until, struct glist *ready)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int n = os_epoll_wait(poller.epoll, events, EVENTS_AT_ONCE, until);

	if (n <= 0)
		return false; /* -EINTR, too: the caller looks at everything again */
	fence_seq_cst(); /* POLL-KICK: the events, then the words; PS3 */
	for (int i = 0; i < n; i++)
		look_ahead(&events[i]);
	for (int i = 0; i < n; i++) {
		if (events[i].data.u64 != BREAK_DATA)
			dispatch(&events[i], ready);
		else if (until > 0)
			break_end();
	}
	return n == EVENTS_AT_ONCE;
}

void netpoll_in_child(void)
{
	if (!load_rlx(&netpoll_is_on)) /* relaxed, like all here: no other thread is left */
		return;
	os_epoll_close(poller.epoll);
	os_epoll_close(poller.break_fd);
	store_rlx(&poller.is_breaking, 0); /* relaxed: as above */
	store_rlx(&netpoll_is_on, false);  /* relaxed: as above */
}

void netpoll_break(void)
{
	if (xchg_acq_rel(&poller.is_breaking, 1) == 0) /* NETPOLL-BREAK */
		os_eventfd_set(poller.break_fd);
}
