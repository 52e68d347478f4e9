/*
 * stack.c - goroutine stacks: reserved address space, committed page by page, pooled, guarded.
 *
 *   first run of a G -> [stack_take] <- P's cache <- pool: warm slots, then cold ones
 *   exit of a G      -> [stack_give] -> P's cache -> pool: warm
 *                    -> [scavenge] -> cold -> page tables given back
 *
 * ST1 to ST4 stand in stack.h.
 *
 * A slot lies in its arena as [guard | usable]; CHUNK_SLOTS of them make a chunk, whose cold slots
 * are bits of a word. A slot that was never used is cold and bare (not guarded yet); so is every
 * slot of a chunk that has been cold as a whole: its mapping is made anew, since only that frees
 * its page tables (750 bytes a slot, for ever, otherwise: measured with a million).
 *
 * Stacks that all began at the same offset in a page would fight for the same few sets of the
 * caches, so each begins up to 15 lines lower. We do not keep free stacks in a list through their
 * own memory, because a cold slot must hold none.
 *
 * Locking: stack_pool.lock (rank STACK) for the pool; a cache has one owner. Go: stackalloc,
 * stackfree and stackpool in runtime/stack.go; ours has one size class, since a stack never grows.
 */
#include "core/stack.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/sanitize.h"
#include "base/valgrind.h"
#include "core/lock.h"
#include "os/os.h"

#define SLOT_SIZE ((size_t)STACK_SIZE_DEFAULT + STACK_GUARD_SIZE)
#define CHUNK_SLOTS 32u
#define CHUNK_SIZE (CHUNK_SLOTS * SLOT_SIZE)
#define CHUNK_ALL UINT32_MAX
#define PAGE ((size_t)4096)
#define CANARY UINT64_C(0x60726f21636e7279)
#define COLOR_STEP 64u
#define COLORS 16u
#define SCAVENGE_MOST 2048u /* slots in one go: sysmon has other duties */
#define ARENAS_MAX 64u /* each is at least as large as all before it: 2^64 slots */

/*
 * In the lowest bit of a slot's address while it is in a cache or warm: the kernel
 * could not guard it.
 */
#define SLOT_CANARY ((uintptr_t)1)

struct chunk {
	uintptr_t at;                /* set once */
	uint32_t cold, bare;         /* lock: a bit a slot; bare implies cold */
	uint32_t canary, mprotected; /* lock: likewise; how a slot that is not bare is guarded */
	uint32_t watched;            /* lock: likewise; Valgrind knows the slot */
	bool is_listed;              /* lock: in stack_pool.cold */
	struct chunk *next;          /* lock */
};

struct arena {
	uintptr_t at, end;
	struct chunk *chunks;
};

static struct {
	struct lock lock;
	struct arena arena[ARENAS_MAX]; /* lock */
	uint32_t n_arenas;              /* lock */
	struct chunk *cold;             /* lock: chunks with a cold slot */
	uintptr_t *warm;                /* lock: room for every slot */
	size_t n_warm, warm_capacity;   /* lock */
	size_t warm_low;                /* lock: the least n_warm since the last scavenge */
	size_t reserved, promised;      /* lock: slots that exist; that are counted on (ST1) */
	bool is_watched;                /* set once, before the first slot: Valgrind runs us */
} stack_pool = {.lock = LOCK_INIT(LOCK_STACK)};

static size_t page_round(size_t size)
{
	return (size + PAGE - 1) & ~(PAGE - 1);
}

static bool warm_reserve(size_t slots)
{
	if (slots <= stack_pool.warm_capacity)
		return true;
	size_t size = page_round(2 * slots * sizeof(uintptr_t));
	uintptr_t *bigger = os_mem_reserve(size);
	if (!bigger)
		return false;
	if (stack_pool.warm) {
		sanitize_hide(true);
		memcpy(bigger, stack_pool.warm, stack_pool.n_warm * sizeof(uintptr_t));
		sanitize_hide(false);
		os_mem_release(stack_pool.warm, stack_pool.warm_capacity * sizeof(uintptr_t));
	}
	stack_pool.warm = bigger;
	stack_pool.warm_capacity = size / sizeof(uintptr_t);
	return true;
}

static void chunk_list(struct chunk *c)
{
	if (c->is_listed)
		return;
	c->is_listed = true;
	c->next = stack_pool.cold;
	stack_pool.cold = c;
}

/* Under the lock. */
static bool arena_reserve(size_t slots)
{
	size_t n = (slots + CHUNK_SLOTS - 1) / CHUNK_SLOTS;

	if (stack_pool.n_arenas == ARENAS_MAX ||
	    !warm_reserve(stack_pool.reserved + n * CHUNK_SLOTS))
		return false;
	struct chunk *chunks = os_mem_reserve(page_round(n * sizeof(*chunks)));
	char *at = chunks ? os_mem_reserve(n * CHUNK_SIZE) : NULL;
	if (!at) {
		if (chunks)
			os_mem_release(chunks, page_round(n * sizeof(*chunks)));
		return false;
	}
	if (!stack_pool.n_arenas) /* before any other thread; it does not change */
		stack_pool.is_watched = valgrind_is_here();
	stack_pool.arena[stack_pool.n_arenas++] =
		(struct arena){(uintptr_t)at, (uintptr_t)at + n * CHUNK_SIZE, chunks};
	/* Backwards, so that the lowest chunk is taken first. */
	for (size_t i = n; i-- > 0;) {
		chunks[i] = (struct chunk){.at = (uintptr_t)at + i * CHUNK_SIZE,
					   .cold = CHUNK_ALL,
					   .bare = CHUNK_ALL};
		chunk_list(&chunks[i]);
	}
	stack_pool.reserved += n * CHUNK_SLOTS;
	return true;
}

int stack_pool_grow(uint32_t count)
{
	int result = 0;

	lock_acquire(&stack_pool.lock);
	size_t wanted = stack_pool.promised + count;
	if (wanted > stack_pool.reserved) {
		/*
		 * Double what there is; when the address space is short, ask for no
		 * more than needed.
		 */
		size_t needed = wanted - stack_pool.reserved;
		size_t ample = stack_pool.reserved > needed ? stack_pool.reserved : needed;
		if (!arena_reserve(ample) && !arena_reserve(needed))
			result = -ENOMEM;
	}
	if (result == 0)
		stack_pool.promised = wanted;
	lock_release(&stack_pool.lock);
	return result;
}

void stack_pool_shrink(uint32_t count)
{
	lock_acquire(&stack_pool.lock);
	stack_pool.promised -= count;
	lock_release(&stack_pool.lock);
}

static enum os_guard guard_below(uintptr_t lo)
{
	return os_mem_guard((void *)(lo - STACK_GUARD_SIZE), STACK_GUARD_SIZE);
}

/* Under the lock: a cold slot, guarded (ST3); 0 if there is none. */
static uintptr_t cold_take(void)
{
	struct chunk *c = stack_pool.cold;

	if (!c)
		return 0;
	uint32_t i = (uint32_t)__builtin_ctz(c->cold), bit = 1u << i;
	uintptr_t lo = c->at + i * SLOT_SIZE + STACK_GUARD_SIZE;
	if (c->bare & bit) {
		c->bare &= ~bit;
		enum os_guard guard = guard_below(lo);
		c->canary |= guard == OS_GUARD_CANARY ? bit : 0;
		c->mprotected |= guard == OS_GUARD_MPROTECT ? bit : 0;
		/* Not the arena as one: looking for frames, Valgrind would touch the next guard. */
		if (unlikely(stack_pool.is_watched) && !(c->watched & bit)) {
			c->watched |= bit;
			(void)valgrind_stack_add(lo, lo + STACK_SIZE_DEFAULT);
		}
	}
	c->cold &= ~bit;
	if (!c->cold) {
		stack_pool.cold = c->next;
		c->is_listed = false;
	}
	return lo | (c->canary & bit ? SLOT_CANARY : 0);
}

static struct chunk *chunk_of(uintptr_t lo)
{
	/* The last arena has half of all slots. */
	for (uint32_t i = stack_pool.n_arenas; i-- > 0;) {
		const struct arena *a = &stack_pool.arena[i];
		if (lo >= a->at && lo < a->end)
			return &a->chunks[(lo - a->at) / CHUNK_SIZE];
	}
	check_failed("a stack belongs to an arena", __FILE__, __LINE__);
}

/* Under the lock: its memory is given back already. */
static void cold_give(uintptr_t lo)
{
	struct chunk *c = chunk_of(lo);

	c->cold |= 1u << ((lo - c->at) / SLOT_SIZE);
	chunk_list(c);
	if (c->cold == CHUNK_ALL && c->bare == 0 && os_mem_renew((void *)c->at, CHUNK_SIZE)) {
		os_guard_returned((uint32_t)__builtin_popcount(c->mprotected));
		c->bare = CHUNK_ALL;
		c->canary = c->mprotected = 0;
	}
}

static void cache_refill(struct stack_cache *cache)
{
	uintptr_t slot;

	lock_acquire(&stack_pool.lock);
	/* The last in is the first out: cold ones go below, warm ones on top. */
	uint32_t n_cold = stack_pool.n_warm < STACK_CACHE_BATCH
				  ? STACK_CACHE_BATCH - (uint32_t)stack_pool.n_warm
				  : 0;
	while (cache->count < n_cold && (slot = cold_take()))
		cache->lo[cache->count++] = slot;
	while (cache->count < STACK_CACHE_BATCH && stack_pool.n_warm)
		cache->lo[cache->count++] = stack_pool.warm[--stack_pool.n_warm];
	if (stack_pool.warm_low > stack_pool.n_warm)
		stack_pool.warm_low = stack_pool.n_warm;
	lock_release(&stack_pool.lock);
}

struct stack stack_take(struct stack_cache *cache, bool *has_canary)
{
	if (unlikely(cache->count == 0))
		cache_refill(cache);
	GORO_CHECK(cache->count > 0); /* ST1 */
	uintptr_t slot = cache->lo[--cache->count], lo = slot & ~SLOT_CANARY;
	*has_canary = slot & SLOT_CANARY;
	if (unlikely(stack_pool.is_watched))
		valgrind_forget(lo, lo + STACK_SIZE_DEFAULT);
	if (unlikely(*has_canary))
		*(uint64_t *)lo = CANARY;
	return (struct stack){lo, lo + STACK_SIZE_DEFAULT};
}

static void cache_spill(struct stack_cache *cache, uint32_t keep)
{
	lock_acquire(&stack_pool.lock);
	while (cache->count > keep)
		stack_pool.warm[stack_pool.n_warm++] = cache->lo[--cache->count];
	lock_release(&stack_pool.lock);
}

void stack_give(struct stack_cache *cache, struct stack stack, bool has_canary)
{
	if (unlikely(cache->count == STACK_CACHE))
		cache_spill(cache, STACK_CACHE - STACK_CACHE_BATCH);
	cache->lo[cache->count++] = stack.lo | (has_canary ? SLOT_CANARY : 0);
}

void stack_cache_flush(struct stack_cache *cache)
{
	cache_spill(cache, 0);
}

uint32_t stack_pool_scavenge(bool everything)
{
	uint32_t turned = 0;

	while (everything || turned < SCAVENGE_MOST) {
		/* One at a time: the pool stays usable while the kernel works. */
		lock_acquire(&stack_pool.lock);
		bool is_done = stack_pool.n_warm == 0 ||
			       (!everything && stack_pool.warm_low == 0);
		uintptr_t lo = is_done ? 0 : stack_pool.warm[--stack_pool.n_warm] & ~SLOT_CANARY;
		if (is_done)
			stack_pool.warm_low = stack_pool.n_warm;
		else if (stack_pool.warm_low)
			stack_pool.warm_low--;
		lock_release(&stack_pool.lock);
		if (is_done)
			break;
		os_mem_discard((void *)lo, STACK_SIZE_DEFAULT);
		lock_acquire(&stack_pool.lock);
		cold_give(lo);
		lock_release(&stack_pool.lock);
		turned++;
	}
	return turned;
}

uint32_t stack_pool_warm(void)
{
	lock_acquire(&stack_pool.lock);
	uint32_t warm = (uint32_t)stack_pool.n_warm;
	lock_release(&stack_pool.lock);
	return warm;
}

/*
 * What is to be known of a stack of its own when it goes; in its mapping, right above hi, so that
 * no frame comes there.
 */
struct own_stack {
	enum os_guard guard;
	uint32_t watch_number; /* Valgrind's */
} __attribute__((aligned(64)));

static struct own_stack *own_stack(struct stack stack)
{
	return (struct own_stack *)stack.hi;
}

int stack_map(size_t size, struct stack *stack, bool *has_canary)
{
	size_t above_guard = page_round(size);
	char *at = os_mem_reserve(above_guard + STACK_GUARD_SIZE);

	if (!at)
		return -ENOMEM;
	stack->lo = (uintptr_t)at + STACK_GUARD_SIZE;
	stack->hi = stack->lo + above_guard - sizeof(struct own_stack);
	own_stack(*stack)->guard = guard_below(stack->lo);
	*has_canary = own_stack(*stack)->guard == OS_GUARD_CANARY;
	if (*has_canary)
		*(uint64_t *)stack->lo = CANARY;
	if (unlikely(valgrind_is_here()))
		own_stack(*stack)->watch_number = valgrind_stack_add(stack->lo, stack->hi);
	return 0;
}

void stack_unmap(struct stack stack)
{
	/*
	 * A goroutine that a run's end cut short leaves its frames marked, and the addresses may be
	 * anybody's next.
	 */
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region((void *)stack.lo, stack.hi - stack.lo);
	if (unlikely(valgrind_is_here())) {
		/* It may lie below what was the stack pointer, as the canary may. */
		valgrind_allow(stack.lo, stack.lo + sizeof(uint64_t));
		valgrind_stack_remove(own_stack(stack)->watch_number);
	}
	uint32_t n_mprotected = own_stack(stack)->guard == OS_GUARD_MPROTECT;
	os_mem_release((void *)(stack.lo - STACK_GUARD_SIZE),
		       stack.hi - stack.lo + sizeof(struct own_stack) + STACK_GUARD_SIZE);
	os_guard_returned(n_mprotected);
}

bool stack_canary_is_intact(struct stack stack)
{
	if (unlikely(stack_pool.is_watched))
		valgrind_allow(stack.lo, stack.lo + sizeof(uint64_t));
	return *(const uint64_t *)stack.lo == CANARY;
}

uintptr_t stack_top(struct stack stack)
{
	uintptr_t color = (stack.lo / SLOT_SIZE) % COLORS;

	if (stack.hi - stack.lo < STACK_SIZE_DEFAULT)
		color = 0;
	return stack.hi - color * COLOR_STEP;
}
