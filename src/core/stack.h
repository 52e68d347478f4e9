/*
 * stack.h - goroutine stacks: reserved address space, committed page by page, pooled, guarded.
 *
 * ST1  slots reserved >= Gs that exist + what the caches of all Ps can hold: a slab of Gs and a P
 *      each reserve theirs when they are made, so that a G's first run never finds the pool empty.
 * ST2  A slot is in exactly one place: the pool (warm or cold), a P's cache, or a G.
 * ST3  Below each slot lies a guard of STACK_GUARD_SIZE; where neither method of the kernel works,
 *      a canary in the lowest word of the stack stands in for it.
 * ST4  A cold slot holds no memory, and a chunk of cold slots no page tables.
 *
 * A stack never moves: C has pointers into it everywhere.
 */
#ifndef CORE_STACK_H
#define CORE_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

struct stack {
	uintptr_t lo, hi; /* usable bytes: [lo, hi); lo == 0: none */
};

#define STACK_CACHE 64u /* slots that a P keeps */
#define STACK_CACHE_BATCH 32u

/* A P's own slots. Owner P; sysmon when the P is idle, under sched.lock. */
struct stack_cache {
	uint32_t count;
	uintptr_t lo[STACK_CACHE];
};

/* Reserve `count` more slots. 0 or -ENOMEM. Any thread. */
int stack_pool_grow(uint32_t count);
/* Take a promise back; the slots stay. */
void stack_pool_shrink(uint32_t count);
/* Take a slot; never fails, by ST1. */
struct stack stack_take(struct stack_cache *cache, bool *has_canary);
/* Give it back, still warm. */
void stack_give(struct stack_cache *cache, struct stack stack, bool has_canary);
void stack_cache_flush(struct stack_cache *cache);
/*
 * sysmon: turn warm slots that nobody has used for a while cold, a few thousand a call unless all
 * are to go. How many it turned.
 */
uint32_t stack_pool_scavenge(bool everything);
uint32_t stack_pool_warm(void);

/* A stack of its own for one G. 0, -ENOMEM. */
int stack_map(size_t size, struct stack *stack, bool *has_canary);
void stack_unmap(struct stack stack);

/* Canary stacks only: has anything been written below it? */
bool stack_canary_is_intact(struct stack stack);

/* Where the frames begin: a little below hi, not at the same place in every stack (see stack.c). */
uintptr_t stack_top(struct stack stack);

#endif
