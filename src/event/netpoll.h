/*
 * netpoll.h - descriptors that become ready: the poller, and who waits for which side of which.
 *
 *   io/fd parks -> [polled_publish]; kernel -> epoll -> [netpoll] -> [polled_signal] -> Gs
 *
 * Each number has one struct polled, for good. Each side of it is one word:
 *
 *   PS_NIL      nothing has happened since somebody looked
 *   PS_READY    an event came and nobody waited: the next wait returns at once
 *   a G         that G waits for the side, plainly
 *   a poll_wait | PS_RARE   somebody waits who may give up (deadline, context), or a plain thread
 *
 * PO1  One waiter a side at a time: who waits holds the side's lock in struct fd (io/fd.h).
 * PO2  Whoever swaps a waiter out of the word has its wake, and nobody else: an event, a kick
 *      (close, another deadline), or the waiter itself, which then does not wait.
 * PO3  A plain waiter is published by its commit as the last that touches its stack; what it must
 *      look at after that (closed? another deadline?) lies in the descriptor's record, which stays.
 * PO4  A rare waiter is published, taken out and woken under `lock`, and takes that lock before its
 *      record goes away.
 * PO5  What is looked at after a wait was published (POLL-WAIT: the word, a full fence, the look)
 *      is written before the word is looked at (POLL-KICK: write, full fence, the word): of
 *      the two one sees the other.
 * PO6  An event that belongs to an earlier life of the number carries another generation, and is
 *      dropped. One that slips through wakes somebody for nothing, who looks and waits again.
 *
 * Go: pollDesc, netpollblock, netpollunblock in runtime/netpoll.go.
 */
#ifndef EVENT_NETPOLL_H
#define EVENT_NETPOLL_H

#include "core/g.h"
#include "core/lock.h"
#include "queue/glist.h"

/* ANY: whatever happens, for who waits for both directions at once. */
enum poll_side { POLL_READ, POLL_WRITE, POLL_ANY, POLL_SIDES };

#define PS_NIL   UINT64_C(0)
#define PS_READY UINT64_C(1)
#define PS_RARE  UINT64_C(2) /* a flag of the third kind */

struct poll_wait {
	/* Under the descriptor's lock. True: it ends the wait; a G goes on the list. */
	bool (*end)(struct poll_wait *wait, struct glist *ready);
};

struct polled {
	atomic_of(uint64_t) side[POLL_SIDES]; /* POLL-SIDE */
	atomic_of(uint32_t) generation;       /* who adds and forgets the descriptor; PO6 */
	atomic_of(bool) has_hangup;           /* an end, an error or urgent data was reported */
	atomic_of(bool) has_any;              /* somebody uses POLL_ANY */
	struct lock lock;                     /* PO4; and io/fd's queues */
};

/* ---- netpoll.c: the words ---- */

/* Forget an event that came before; what it told of is looked at after this. */
void polled_reset(struct polled *pd, enum poll_side side);
/*
 * On g0, or by a plain thread: publish the waiter (a G, or a poll_wait | PS_RARE). False: an event
 * was there, and is used up; do not wait.
 */
bool polled_publish(struct polled *pd, enum poll_side side, uint64_t waiter);
/* True: the waiter was still published, and is not any more; nobody will wake it. */
bool polled_withdraw(struct polled *pd, enum poll_side side, uint64_t waiter);
/* An event: wakes who waits, or is kept. */
void polled_signal(struct polled *pd, enum poll_side side, struct glist *ready);
/*
 * Wakes who waits, for another reason than an event. After the reason was written: PO5. Unless
 * takes_plain, only a rare waiter: for a thread that no run keeps its goroutines for.
 */
void polled_kick(struct polled *pd, enum poll_side side, bool takes_plain, struct glist *ready);

/* ---- netpoll_epoll.c: the kernel's side ---- */

extern atomic_of(bool) netpoll_is_on; /* NETPOLL-ON: set once, when the first descriptor comes */

/* At the first use. `at` finds a number's record. 0, or -EMFILE and the like. */
int netpoll_start(struct polled *(*at)(int fd));
/* 0, -EPERM: the kernel has no events for it, -EEXIST, -EBADF, -ENOMEM, -ENOSPC. */
int netpoll_add(int fd, struct polled *pd);
void netpoll_remove(int fd);
/*
 * Ask for events, until `until` (0: without blocking), and append the Gs that became ready. True:
 * there may be more (NP4). Several may ask at a time.
 */
bool netpoll(int64_t until, struct glist *ready);
/* In a child of fork(), which has one thread: the parent's poller is not ours. */
void netpoll_in_child(void);
/* Whoever blocks in netpoll() returns; or who does it next, if nobody did. */
void netpoll_break(void);

#endif
