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
 * RQ5  The owner changes next by a plain load and store only while next_busy == 1 and it has then
 *      seen next_thieves == 0; a thief touches next only after it has counted itself in
 *      next_thieves, passed a heavy fence, and then seen next_busy == 0. Else the owner swaps, and
 *      the thief goes away. So nobody waits for anybody, and the hot side pays no read-modify-write
 *      (5 ns, twice in each hand-over).
 *
 * Locking: none. Orders: RQ-PUB (slot -> taker), RQ-FREE (taker -> reuse of the slot),
 * RQ-NEXT (G -> taker of next), RQ-THIEF (owner and thieves of next; the light and heavy
 * fence pair of RQ5).
 * Go: runqput, runqget, runqgrab, runqsteal in runtime/proc.go.
 */
#include "queue/runq.h"

#include "base/check.h"

static struct g *slot_read(struct runq *q, uint32_t i)
{
	/*
	 * relaxed: read between an acquire of tail and a CAS of head, which fails if it was reused
	 */
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

/* The owner exchanges next; RQ5. */
static inline struct g *next_swap(struct runq *q, struct g *gp)
{
	struct g *old;

	store_rlx(&q->next_busy, 1); /* relaxed: ordered by the fence */
	if (MODEL_KEEP("runq-next-owner-fence"))
		fence_light();       /* RQ-THIEF: we are busy, then the look at the thieves */
	if (likely(load_acq(&q->next_thieves) == 0)) { /* RQ-THIEF: earlier ones are off next */
		old = load_rlx(&q->next); /* relaxed: only we put, and no thief touches it now */
		store_rel(&q->next, gp);  /* RQ-NEXT */
	} else {
		old = xchg_acq_rel(&q->next, gp); /* RQ-NEXT */
	}
	store_rel(&q->next_busy, 0); /* RQ-THIEF: our change of next comes before */
	return old;
}

struct g *runq_put_next(struct runq *q, struct g *gp)
{
	return next_swap(q, gp);
}

struct g *runq_get_next(struct runq *q)
{
	if (!load_rlx(&q->next)) /* relaxed: only we fill it */
		return NULL;
	return next_swap(q, NULL); /* NULL when a thief was first */
}

/* A thief takes next; RQ5. */
static struct g *next_steal(struct runq *q)
{
	struct g *gp = NULL;

	if (!load_rlx(&q->next)) /* relaxed: a hint */
		return NULL;
	add_acq_rel(&q->next_thieves, 1); /* RQ-THIEF */
	if (MODEL_KEEP("runq-next-thief-fence"))
		fence_heavy();            /* RQ-THIEF: we are counted, then the look at the owner */
	if (load_acq(&q->next_busy) == 0) /* RQ-THIEF: what it changed is done */
		gp = xchg_acq_rel(&q->next, NULL); /* RQ-NEXT */
	else
		cpu_relax(); /* it is there for a few instructions only */
	add_acq_rel(&q->next_thieves, (uint32_t)-1); /* RQ-THIEF: our change of next comes before */
	return gp;
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
		uint32_t tail = load_acq(&victim->tail); /* RQ-PUB: the slots below are written */
		uint32_t n = tail - head;
		n -= n / 2;
		if (n == 0)
			return 0;
		if (n > RUNQ_CAP / 2)
			continue; /* head and tail are of different moments: no RQ1 between them */
		for (uint32_t i = 0; i < n; i++)
			store_rlx(&to->slot[(to_tail + i) % RUNQ_CAP],
				  slot_read(victim, head + i)); /* relaxed: published by our tail */
		if (cas_acq_rel(&victim->head, &head, head + n)) /* RQ-FREE */
			return n;
	}
}

struct g *runq_steal(struct runq *to, struct runq *victim, bool take_next)
{
	uint32_t tail = load_rlx(&to->tail); /* relaxed: RQ2 */
	uint32_t n = grab(to, tail, victim);

	if (n == 0) {
		return take_next ? next_steal(victim) : NULL;
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
	 * Head, tail and next are of different moments. The owner moves a G only from next to
	 * the ring (a kick), so a G that is there all the time is seen, if next is read between
	 * two equal tails.
	 */
	for (;;) {
		uint32_t head = load_acq(&q->head);    /* RQ-FREE */
		uint32_t tail = load_acq(&q->tail);    /* RQ-PUB */
		struct g *next = load_acq(&q->next);   /* RQ-NEXT: before the second look at tail */
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
	/* RQ1; relaxed: the owner asks */
	GORO_CHECK(load_rlx(&q->tail) - load_rlx(&q->head) <= RUNQ_CAP);
}
