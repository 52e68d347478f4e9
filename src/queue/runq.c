/*
 * runq.c - a P's ring of runnable Gs and its next slot.
 *
 *   go(), ready() -> [runq_put] -> ring -> [runq_get]   -> schedule loop of the owner
 *                                       -> [runq_steal] -> schedule loop of a thief
 *                 -> [runq_put_next] -> next slot -> owner, or in his last round a thief
 *
 * RQ1  head <= tail <= head + RUNQ_CAP, counted mod 2^32.
 * RQ2  Only the owner P writes tail, and the slots in [tail, head + RUNQ_CAP).
 * RQ3  A slot in [head, tail) is given to exactly one taker: whoever moves head past it.
 * RQ4  The next slot's G is given to exactly one taker: whoever swaps it to NULL.
 *
 * Locking: none. Orders: RQ-PUB (slot -> taker), RQ-FREE (taker -> reuse of the slot), RQ-NEXT.
 * Go: runqput, runqget, runqgrab, runqsteal in runtime/proc.go.
 */
#include "queue/runq.h"

#include "base/check.h"

static struct g *slot_read(struct runq *q, uint32_t i)
{
	/* relaxed: read between an acquire of tail and a CAS of head, which fails if it was reused */
	return load_rlx(&q->slot[i % RUNQ_CAP]);
}

bool runq_put(struct runq *q, struct g *gp)
{
	uint32_t head = load_acq(&q->head); /* RQ-FREE: the taker has read its slots */
	uint32_t tail = load_rlx(&q->tail); /* relaxed: we are the only writer, RQ2 */

	if (tail - head >= RUNQ_CAP)
		return false;
	store_rlx(&q->slot[tail % RUNQ_CAP], gp); /* relaxed: published by tail */
	store_rel(&q->tail, tail + 1);            /* RQ-PUB: the slot is readable by takers */
	return true;
}

struct g *runq_put_next(struct runq *q, struct g *gp)
{
	return xchg_acq_rel(&q->next, gp); /* RQ-NEXT */
}

struct g *runq_get_next(struct runq *q)
{
	if (!load_rlx(&q->next)) /* relaxed: only we fill it */
		return NULL;
	return xchg_acq_rel(&q->next, NULL); /* RQ-NEXT: NULL when a thief was first */
}

struct g *runq_get(struct runq *q)
{
	for (;;) {
		uint32_t head = load_rlx(&q->head); /* relaxed: the CAS checks it */
		uint32_t tail = load_rlx(&q->tail); /* relaxed: we are the only writer, RQ2 */
		if (head == tail)
			return NULL;
		struct g *gp = slot_read(q, head);
		if (cas_acq_rel(&q->head, &head, head + 1)) /* RQ-FREE */
			return gp;
	}
}

bool runq_spill(struct runq *q, struct g *gp, struct glist *out)
{
	struct g *batch[RUNQ_CAP / 2];
	uint32_t head = load_acq(&q->head); /* RQ-FREE */
	uint32_t tail = load_rlx(&q->tail); /* relaxed: RQ2 */
	uint32_t n = RUNQ_CAP / 2;

	if (tail - head < RUNQ_CAP)
		return false;
	for (uint32_t i = 0; i < n; i++)
		batch[i] = slot_read(q, head + i);
	if (!cas_acq_rel(&q->head, &head, head + n)) /* RQ-FREE: now they are ours */
		return false;
	for (uint32_t i = 0; i < n; i++)
		glist_push(out, batch[i]);
	glist_push(out, gp);
	return true;
}

void runq_drain(struct runq *q, struct glist *out)
{
	struct g *gp;

	while ((gp = runq_get(q)))
		glist_push(out, gp);
	gp = runq_get_next(q);
	if (gp)
		glist_push(out, gp);
}

/* Copy half of the victim's ring behind our tail, without publishing it. How many. */
static uint32_t grab(struct runq *to, uint32_t to_tail, struct runq *victim)
{
	for (;;) {
		uint32_t head = load_acq(&victim->head); /* RQ-FREE */
		uint32_t tail = load_acq(&victim->tail); /* RQ-PUB: the slots below it are written */
		uint32_t n = tail - head;
		n -= n / 2;
		if (n == 0)
			return 0;
		if (n > RUNQ_CAP / 2)
			continue; /* head and tail are of different moments: RQ1 does not hold between them */
		for (uint32_t i = 0; i < n; i++)
			store_rlx(&to->slot[(to_tail + i) % RUNQ_CAP], /* relaxed: published by our tail */
				  slot_read(victim, head + i));
		if (cas_acq_rel(&victim->head, &head, head + n)) /* RQ-FREE */
			return n;
	}
}

struct g *runq_steal(struct runq *to, struct runq *victim, bool take_next)
{
	uint32_t tail = load_rlx(&to->tail); /* relaxed: RQ2 */
	uint32_t n = grab(to, tail, victim);

	if (n == 0) {
		if (!take_next || !load_rlx(&victim->next)) /* relaxed: a hint, the exchange decides */
			return NULL;
		return xchg_acq_rel(&victim->next, NULL); /* RQ-NEXT */
	}
	/* The last of them is ours to run; the others are published to further thieves. */
	n--;
	struct g *gp = slot_read(to, tail + n);
	GORO_ASSERT(tail + n - load_rlx(&to->head) < RUNQ_CAP); /* RQ1; relaxed: a check */
	if (n)
		store_rel(&to->tail, tail + n); /* RQ-PUB */
	return gp;
}

bool runq_is_empty(struct runq *q)
{
	/*
	 * Head, tail and next are of different moments. The owner moves a G only from next to the ring
	 * (a kick), so a G that is there all the time is seen, if next is read between two equal tails.
	 */
	for (;;) {
		uint32_t head = load_acq(&q->head);    /* RQ-FREE */
		uint32_t tail = load_acq(&q->tail);    /* RQ-PUB */
		struct g *next = load_rlx(&q->next);   /* relaxed: only compared with NULL */
		if (tail == load_rlx(&q->tail))        /* relaxed: the same word again */
			return head == tail && !next;
	}
}

uint32_t runq_length(struct runq *q)
{
	uint32_t head = load_acq(&q->head); /* RQ-FREE */
	uint32_t tail = load_acq(&q->tail); /* RQ-PUB */
	uint32_t n = tail - head;

	/* relaxed: a hint */
	return (n <= RUNQ_CAP ? n : 0) + (load_rlx(&q->next) ? 1 : 0);
}

void runq_audit(struct runq *q)
{
	GORO_CHECK(load_rlx(&q->tail) - load_rlx(&q->head) <= RUNQ_CAP); /* RQ1; relaxed: the owner asks */
}
