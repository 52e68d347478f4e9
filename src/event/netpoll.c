/*
 * netpoll.c - the words that a waiter and an event meet in.
 *
 *   io/fd: try, -EAGAIN -> park -> [polled_publish]      kernel -> netpoll -> [polled_signal]
 *
 * PS1  A side's word changes by one compare-and-swap only: NIL <-> READY, NIL <-> waiter. An event
 *      that takes a waiter out leaves NIL: the woken one looks again, which uses it up.
 * PS2  An event that comes between a try that found nothing and the wait makes the word READY, so
 *      that the wait returns at once: none is lost.
 * PS3  An event that finds the word READY leaves it so. Between what it tells of and that look
 *      stands a full fence (netpoll_epoll.c), and another between the swap of who uses READY up and
 *      its look at the descriptor, so that it sees what the event tells of.
 *
 * Locking: polled.lock for rare waiters (PO4). Orders: POLL-SIDE, POLL-WAIT, POLL-KICK. Go:
 * netpollblock and netpollunblock in runtime/netpoll.go, with a state more (the G that is about to
 * park), since there the word is taken before the G is at rest.
 */
#include "event/netpoll.h"

void polled_reset(struct polled *pd, enum poll_side side)
{
	uint64_t ready = PS_READY;

	if (load_rlx(&pd->side[side]) != PS_READY) /* relaxed: an event that comes now stays */
		return;
	(void)cas_acq_rel(&pd->side[side], &ready, PS_NIL); /* POLL-SIDE */
	fence_after_swap(); /* POLL-WAIT: before the system call that looks */
}

bool polled_publish(struct polled *pd, enum poll_side side, uint64_t waiter)
{
	uint64_t old = PS_NIL;

	while (!cas_acq_rel(&pd->side[side], &old, waiter)) { /* POLL-SIDE */
		if (cas_acq_rel(&pd->side[side], &old, PS_NIL)) /* POLL-SIDE: it was READY, PO1 */
			return false;
		old = PS_NIL;
	}
	if (MODEL_KEEP("poll-wait-fence"))
		fence_after_swap(); /* POLL-WAIT: the waiter, then what may end the wait */
	return true;
}

bool polled_withdraw(struct polled *pd, enum poll_side side, uint64_t waiter)
{
	return cas_acq_rel(&pd->side[side], &waiter, PS_NIL); /* POLL-SIDE */
}

/* PO4. True: it was ended by us. Not inlined: that it is rare is all that the others pay. */
__attribute__((noinline)) static bool end_rare(struct polled *pd, enum poll_side side,
					       struct glist *ready)
{
	bool is_ended = false;

	lock_acquire(&pd->lock);
	uint64_t old = load_rlx(&pd->side[side]); /* relaxed: the swap decides */
	if ((old & PS_RARE) && cas_acq_rel(&pd->side[side], &old, PS_NIL)) { /* POLL-SIDE */
		struct poll_wait *wait = (struct poll_wait *)(uintptr_t)(old & ~PS_RARE);
		is_ended = wait->end(wait, ready);
	}
	lock_release(&pd->lock);
	return is_ended;
}

/* PS1, PS3 */
static void side_end_wait(struct polled *pd, enum poll_side side, bool is_event, bool takes_plain,
			  struct glist *ready)
{
	uint64_t old = load_rlx(&pd->side[side]); /* relaxed: the swap decides; PS3 */

	for (;;) {
		if (old & PS_RARE) {
			if (end_rare(pd, side, ready))
				return;
			old = load_rlx(&pd->side[side]); /* relaxed: as above */
			continue;
		}
		if (old == PS_READY || (old == PS_NIL ? !is_event : !takes_plain) ||
		    !(old || MODEL_KEEP("poll-ready")))
			return;
		if (cas_acq_rel(&pd->side[side], &old, old ? PS_NIL : PS_READY)) { /* POLL-SIDE */
			if (old)
				glist_push(ready, (struct g *)(uintptr_t)old);
			return;
		}
	}
}

void polled_signal(struct polled *pd, enum poll_side side, struct glist *ready)
{
	side_end_wait(pd, side, true, true, ready);
}

void polled_kick(struct polled *pd, enum poll_side side, bool takes_plain, struct glist *ready)
{
	if (MODEL_KEEP("poll-kick-fence"))
		fence_seq_cst(); /* POLL-KICK: the reason, then who waits */
	side_end_wait(pd, side, false, takes_plain, ready);
}
