/*
 * explore_state.c - the state of an execution as a hash, and the set of those met.
 *
 *   explore.c, before a choice of whose turn it is -> [look_at_state] -> is_pruned, is_cycling
 *
 * XS1  The hash covers everything that the rest of an execution depends on: globals, arena,
 *      stacks,
 *      store buffers, clocks, locks, who waits, and the bounds used up.
 * XS2  Nothing enters it that only tells how we got here, such as the number of steps.
 *
 * Two states of one hash (64 bits) would hide schedules; at a million states the chance is 3e-8.
 *
 * Locking: none, one thing runs at a time.
 * Go: none.
 */
#include "explore_impl.h"

#include <string.h>
#include <sys/mman.h>

void state_reset(void)
{
	if (X->visited != NULL)
		munmap(X->visited, X->visited_size * sizeof(uint64_t));
	X->visited = NULL;
	X->visited_size = X->n_visited = 0;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ (h >> 29);
}

static uint64_t hash_bytes(uint64_t h, const void *bytes, size_t size)
{
	const char *p = bytes;
	uint64_t v = 0;

	for (; size >= 8; p += 8, size -= 8) {
		memcpy(&v, p, 8);
		h = mix(h, v);
	}
	v = 0;
	memcpy(&v, p, size);
	return mix(h, v);
}

static uint64_t hash_clock(uint64_t h, const struct clock *c)
{
	return X->test->has_races ? h : hash_bytes(h, c, sizeof(*c));
}

/* Stores as a set in the order of their seq, whose values themselves depend on the way here. */
static unsigned rank_of(uint64_t seq)
{
	unsigned rank = 0;

	for (int i = 0; i < X->n; i++)
		for (unsigned k = 0; k < X->thread[i].n_buffer; k++)
			rank += X->thread[i].buffer[k].seq < seq;
	return rank;
}

static uint64_t hash_thread(uint64_t h, const struct thread *t)
{
	const char *sp = t->sp, *end = t->stack + STACK_BYTES;
	const struct op *op = &t->op;

	h = mix(h, (uint64_t)t->status | (uint64_t)t->has_yielded << 8 |
			   (uint64_t)t->is_timed_out << 9 | (uint64_t)t->behind << 16 |
			   (uint64_t)t->enabled_since << 24 | (uint64_t)t->disabled_since << 32 |
			   (uint64_t)t->scheduled_since << 40 | (uint64_t)t->n_buffer << 48);
	if (t->status == ENDED || t->status == ASLEEP)
		return h;
	h = mix(h, (uint64_t)op->kind | (uint64_t)op->order << 8 | (uint64_t)op->rmw << 16 |
			   (uint64_t)op->size << 24);
	h = mix(mix(mix(h, op->addr), op->value), op->expected);
	if (t->status == BLOCKED)
		for (int i = 0; i < X->n; i++)
			h = mix(h, X->thread[i].status == BLOCKED &&
					   X->thread[i].wait_seq < t->wait_seq);
	for (unsigned i = 0; i < t->n_buffer; i++) {
		const struct entry *e = &t->buffer[i];

		h = mix(mix(mix(h, e->addr), e->value), rank_of(e->seq) << 8 | e->is_release |
								e->is_issued << 1 | e->is_rmw << 2 |
								e->is_late << 3);
		h = hash_clock(h, &e->clock);
	}
	h = hash_clock(hash_clock(hash_clock(h, &t->now), &t->pending), &t->fenced);
	if (sp < t->stack || sp >= end)
		sp = end - STACK_CLEARED;
	return hash_bytes(mix(h, (uintptr_t)t->sp), sp, (size_t)(end - sp));
}

static uint64_t hash_state(void)
{
	uint64_t h = 1;

	h = mix(h, (uint64_t)(X->last + 1) | (uint64_t)X->used_preemptions << 8 |
			   (uint64_t)X->used_delays << 16 | (uint64_t)X->used_spurious << 24 |
			   (uint64_t)X->used_timeouts << 32);
	h = mix(h, (uint64_t)X->now);
	for (unsigned i = 0; i < X->n_locks; i++)
		h = hash_clock(mix(mix(h, X->lock[i].key), (uint64_t)X->lock[i].owner),
			       &X->lock[i].clock);
	for (int i = 0; i < X->n; i++)
		h = hash_thread(h, &X->thread[i]);
	if (!X->test->has_races) {
		uint64_t sum = 0; /* the order in which cells appeared does not matter */

		for (unsigned i = 0; i < X->n_cells; i++) {
			const struct cell *c = &X->cell[X->cell_used[i]];

			sum += hash_clock(mix(7, c->addr), &c->clock);
		}
		h = mix(h, sum);
	}
	h = hash_bytes(h, X->arena, X->n_arena);
	h = hash_bytes(h, X->side_stacks, X->n_side_stacks);
	h = hash_bytes(h, __data_start, (size_t)(_end - __data_start));
	return h != 0 ? h : 1;
}

/* Returns whether h was there. */
static bool visited_add(uint64_t h)
{
	if (X->n_visited >= X->visited_size / 2) {
		uint64_t *old = X->visited;
		size_t size = X->visited_size;

		X->visited_size = size != 0 ? size * 2 : 1u << 16;
		X->visited = map_zeroed(X->visited_size * sizeof(uint64_t));
		X->n_visited = 0;
		for (size_t i = 0; i < size; i++)
			if (old[i] != 0)
				visited_add(old[i]);
		if (old != NULL)
			munmap(old, size * sizeof(uint64_t));
	}
	for (size_t i = h & (X->visited_size - 1);; i = (i + 1) & (X->visited_size - 1)) {
		if (X->visited[i] == h)
			return true;
		if (X->visited[i] == 0) {
			X->visited[i] = h;
			X->n_visited++;
			return false;
		}
	}
}

/* XP3, before a choice of whose turn it is. */
void look_at_state(void)
{
	uint64_t h;

	if (X->n_choices < X->n_prefix || X->is_cycling || X->is_tracing || X->test->enters_again)
		return;
	h = hash_state();
	if (!visited_add(h)) {
		X->path[X->n_choices] = h;
		return;
	}
	for (unsigned i = 0; i < X->n_choices; i++)
		X->is_cycling |= X->path[i] == h;
	X->is_pruned = !X->is_cycling;
}
