/*
 * explore_api.c - the calls of explore.h that a model thread makes.
 *
 *   base/atomic.h, os/futex.h, the tests -> [explore_load_at, ...] -> announce() in explore.c
 *
 * XA1  Outside the threads (setup, finish) an operation takes effect at once.
 * XA2  What a negative test takes out is taken out here: orders (.weaken), fences (.unfence), and
 *      what the source guards with MODEL_KEEP (.omit).
 * XA3  An atomic operation on what a test calls plain is none: no scheduling point, no store
 *      buffer, and a data race if it is not ordered with those of the other threads. So nothing is
 *      lost by it, and it costs no schedules.
 *
 * Locking: none, one thing runs at a time.
 * Go: none.
 */
#include "explore_impl.h"

#include <errno.h>
#include <string.h>

static bool is_taken_out(const char *name, const char *func)
{
	if (name == NULL || strcmp(name, func) != 0)
		return false;
	X->has_hit = true;
	return true;
}

static struct op op_at(struct explore_site site, enum op_kind kind, const volatile void *p,
		       size_t size, enum explore_order order)
{
	struct op op = {.kind = kind, .order = order, .size = (uint32_t)size, .site = site};

	if (order != EXPLORE_RLX && is_taken_out(X->test->weaken, site.func))
		op.order = EXPLORE_RLX;
	op.addr = (uintptr_t)p;
	op.deadline = EXPLORE_FOREVER;
	return op;
}

/* XA1; and of what is plain in this test, everywhere: XA3. */
static bool acts_at_once(const volatile void *p, size_t size, bool is_write)
{
	if (X->current == NULL)
		return true;
	for (unsigned i = 0; i < X->n_plain; i++) {
		if ((uintptr_t)p - X->plain[i].addr >= X->plain[i].size)
			continue;
		mem_plain(p, size, is_write);
		return true;
	}
	return false;
}

uint64_t explore_load_at(struct explore_site site, const volatile void *p, size_t size,
			 enum explore_order order)
{
	if (acts_at_once(p, size, false))
		return mem_read((uintptr_t)p, (uint32_t)size);
	announce(op_at(site, OP_LOAD, p, size, order));
	return X->current->op.result;
}

void explore_store_at(struct explore_site site, volatile void *p, size_t size, uint64_t value,
		      enum explore_order order)
{
	struct op op;

	if (acts_at_once(p, size, true)) {
		mem_write((uintptr_t)p, (uint32_t)size, value);
		return;
	}
	op = op_at(site, OP_STORE, p, size, order);
	op.value = value;
	announce(op);
}

uint64_t explore_rmw_at(struct explore_site site, volatile void *p, size_t size,
			enum explore_rmw_op rmw, uint64_t value, enum explore_order order)
{
	struct op op;

	if (acts_at_once(p, size, true)) {
		uint64_t old = mem_read((uintptr_t)p, (uint32_t)size);

		mem_write((uintptr_t)p, (uint32_t)size, rmw == EXPLORE_ADD ? old + value : value);
		return old;
	}
	op = op_at(site, OP_RMW, p, size, order);
	op.value = value;
	op.rmw = rmw;
	announce(op);
	return X->current->op.result;
}

bool explore_cas_at(struct explore_site site, volatile void *p, size_t size, void *expected,
		    uint64_t desired, enum explore_order order)
{
	struct op op = op_at(site, OP_CAS, p, size, order);

	memcpy(&op.expected, expected, size);
	op.value = desired;
	if (acts_at_once(p, size, true)) {
		op.result = mem_read(op.addr, op.size);
		op.is_ok = op.result == op.expected;
		if (op.is_ok)
			mem_write(op.addr, op.size, desired);
	} else {
		announce(op);
		op = X->current->op;
	}
	if (!op.is_ok)
		memcpy(expected, &op.result, size);
	return op.is_ok;
}

/*
 * Fences and unlocks are no scheduling points: to be interrupted just before one differs from
 * being interrupted before the operation in front of it only in what others see of the own stores,
 * and that is chosen where they look.
 */
void explore_fence_at(struct explore_site site)
{
	if (X->current == NULL || is_taken_out(X->test->unfence, site.func))
		return;
	mem_fence(X->current);
	mem_step(X->current);
	trace("     thread %d  fence_seq_cst   %s %s:%d", index_of(X->current), site.func,
	      site.file, site.line);
}

void explore_fence_light_at(struct explore_site site)
{
	if (X->current == NULL || is_taken_out(X->test->unfence, site.func))
		return;
	mem_fence_light(X->current);
	trace("     thread %d  fence_light   %s %s:%d", index_of(X->current), site.func, site.file,
	      site.line);
}

void explore_fence_heavy_at(struct explore_site site)
{
	if (X->current == NULL || is_taken_out(X->test->unfence, site.func))
		return;
	mem_fence_heavy(X->current);
	trace("     thread %d  fence_heavy   %s %s:%d", index_of(X->current), site.func, site.file,
	      site.line);
}

void explore_yield_at(struct explore_site site)
{
	if (X->current != NULL)
		announce(op_at(site, OP_YIELD, NULL, 0, EXPLORE_RLX));
}

int explore_futex_wait_at(struct explore_site site, const volatile void *p, uint32_t expected,
			  int64_t deadline)
{
	struct op op = op_at(site, OP_WAIT, p, sizeof(uint32_t), EXPLORE_RLX);

	if (X->current == NULL)
		fail(&site, "explorer: a wait outside the threads");
	op.value = expected;
	op.deadline = deadline;
	announce(op);
	X->current->is_timed_out = false;
	return (int)X->current->op.result;
}

int explore_futex_wake_at(struct explore_site site, const volatile void *p, int n)
{
	struct op op = op_at(site, OP_WAKE, p, sizeof(uint32_t), EXPLORE_RLX);

	if (X->current == NULL)
		return 0;
	op.value = n < 0 ? 0 : (uint64_t)n;
	announce(op);
	return (int)X->current->op.result;
}

int64_t explore_now(void)
{
	return X->now;
}

void explore_lock_at(struct explore_site site, const volatile void *key)
{
	if (X->current != NULL)
		announce(op_at(site, OP_LOCK, key, 1, EXPLORE_RLX));
}

bool explore_trylock_at(struct explore_site site, const volatile void *key)
{
	if (X->current == NULL)
		return true;
	announce(op_at(site, OP_TRYLOCK, key, 1, EXPLORE_RLX));
	return X->current->op.is_ok;
}

void explore_unlock_at(struct explore_site site, const volatile void *key)
{
	int i;

	if (X->current == NULL)
		return;
	i = lock_index((uintptr_t)key);
	if (X->lock[i].owner != index_of(X->current))
		fail(&site, "unlock of a lock that thread %d does not hold", index_of(X->current));
	if (X->test->unlock_is_step)
		announce(op_at(site, OP_UNLOCK, key, 1, EXPLORE_RLX));
	mem_flush(X->current);
	X->lock[i].owner = -1;
	X->lock[i].clock = X->current->now;
	mem_step(X->current);
}

void explore_start(int thread)
{
	struct thread *t = &X->thread[thread];

	if (t->status != ASLEEP)
		fail(&X->current->op.site, "thread %d is started twice", thread);
	mem_fence(X->current);
	clock_join(&t->now, &X->current->now);
	mem_step(X->current);
	t->status = READY;
}

bool explore_lock_is_held(const volatile void *key)
{
	return X->current == NULL ||
	       X->lock[lock_index((uintptr_t)key)].owner == index_of(X->current);
}

bool explore_lock_is_taken(const volatile void *key)
{
	return X->current != NULL && X->lock[lock_index((uintptr_t)key)].owner >= 0;
}

void explore_fail(struct explore_site site, const char *what)
{
	fail(&site, "assertion failed: %s", what);
}

int explore_self(void)
{
	return X->current == NULL ? -1 : index_of(X->current);
}

void *explore_alloc(size_t size)
{
	char *p = X->arena + X->n_arena;

	size = (size + 63) & ~(size_t)63; /* objects do not share a word, nor hide an overrun */
	if (X->n_blocks == BLOCKS_MAX || X->n_arena + size > ARENA_MAX)
		fail(NULL, "explorer: too much allocated in one execution");
	X->block[X->n_blocks].addr = (uintptr_t)p;
	X->block[X->n_blocks].size = size;
	X->block[X->n_blocks].is_free = false;
	X->n_blocks++;
	X->n_arena += size;
	return p;
}

void explore_free(void *p)
{
	struct explore_site here = EXPLORE_HERE;

	if (p == NULL)
		return;
	for (unsigned i = 0; i < X->n_blocks; i++) {
		if (X->block[i].addr != (uintptr_t)p)
			continue;
		if (X->block[i].is_free)
			fail(&here, "double free");
		mem_free(X->block[i].addr, X->block[i].size, &here);
		X->block[i].is_free = true;
		return;
	}
	fail(&here, "free of what was not allocated");
}

void *explore_stack(size_t size)
{
	char *p = X->side_stacks + X->n_side_stacks;

	size = (size + 4095) & ~(size_t)4095;
	if (X->n_side_stacks + size > SIDE_STACKS_MAX)
		fail(NULL, "explorer: too many stacks");
	X->n_side_stacks += size;
	return p;
}

void explore_name(const volatile void *p, size_t size, const char *name)
{
	if (X->n_names == NAMES_MAX)
		return;
	X->name[X->n_names].addr = (uintptr_t)p;
	X->name[X->n_names].size = size;
	X->name[X->n_names].name = name;
	X->n_names++;
}

void explore_plain(const volatile void *p, size_t size)
{
	if (X->n_plain == PLAIN_MAX)
		fail(NULL, "explorer: too much is plain");
	X->plain[X->n_plain].addr = (uintptr_t)p;
	X->plain[X->n_plain].size = size;
	X->n_plain++;
}

void explore_seen(unsigned bit)
{
	X->verdict.seen |= (uint64_t)1 << bit;
}

bool explore_omits(const char *name)
{
	return X->current != NULL && is_taken_out(X->test->omit, name);
}

/* What the sources call when an assertion of theirs fails: base/check.h. */
void check_failed(const char *what, const char *file, int line);
void check_failed(const char *what, const char *file, int line)
{
	fail(&(struct explore_site){"GORO_CHECK", file, line}, "assertion failed: %s", what);
}
