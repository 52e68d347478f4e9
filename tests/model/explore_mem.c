/*
 * explore_mem.c - the memory of the explorer: store buffers, vector clocks, data races.
 *
 *   explore.c, a thread's turn -> [mem_load, mem_store, mem_rmw, mem_cas, mem_fence] -> memory
 *   -fsanitize=thread          -> [__tsan_read*, __tsan_write*]                      -> races
 *
 * XM1  Entries of a buffer are in the order of their seq; of two to one address the older leaves
 *      first.
 * XM2  A release entry leaves after all older entries of its thread.
 * XM3  An entry leaves later than a younger one of another thread to the same address only where
 *      that was chosen, and counted as a delay.
 * XM4  What a light fence does: stores before it have left the compiler, and a heavy fence of
 *      another
 *      thread empties them from the buffer. Younger ones may still stand behind later loads.
 * XM5  The store of an RMW may be seen late by loads, but no other store comes between it and what
 *      the RMW read: it leaves before any younger store to its address.
 * XM6  With .is_x86 every store is a release entry, and an RMW, swapped or not, leaves nothing in
 *      the own buffer. Without, a seq_cst load leaves no release entry there, as arm64's ldar
 *      waits for stlr.
 *
 * Locking: none, one thing runs at a time.
 * Go: none; the buffer is PSO's with release stores kept in order, the race check is that of TSan.
 */
#include "explore_impl.h"

#include <stdlib.h>
#include <string.h>

static bool overlaps(const struct entry *e, uintptr_t addr, uint32_t size)
{
	return e->addr < addr + size && addr < e->addr + e->size;
}

void clock_join(struct clock *to, const struct clock *from)
{
	for (int i = 0; i < EXPLORE_THREADS; i++)
		if (to->at[i] < from->at[i])
			to->at[i] = from->at[i];
}

static struct clock *cell_clock(uintptr_t addr)
{
	unsigned i = (unsigned)((addr >> 2) * 2654435761u) % CELLS_MAX;

	while (X->cell[i].addr != addr) {
		if (X->cell[i].addr == 0) {
			if (X->n_cells == CELLS_MAX / 2)
				fail(NULL, "explorer: too many atomic variables");
			X->cell[i].addr = addr;
			X->cell_used[X->n_cells++] = (uint16_t)i;
			break;
		}
		i = (i + 1) % CELLS_MAX;
	}
	return &X->cell[i].clock;
}

void mem_reset(void)
{
	for (unsigned i = 0; i < X->n_cells; i++)
		memset(&X->cell[X->cell_used[i]], 0, sizeof(struct cell));
	X->n_cells = 0;
}

uint64_t mem_read(uintptr_t addr, uint32_t size)
{
	uint64_t value = 0;

	memcpy(&value, (const void *)addr, size);
	return value;
}

void mem_write(uintptr_t addr, uint32_t size, uint64_t value)
{
	memcpy((void *)addr, &value, size);
}

/* Any access of memory that explore_free() took back is the end. */
static void check_live(uintptr_t addr, size_t size, const struct explore_site *site)
{
	if (addr < (uintptr_t)X->arena || addr >= (uintptr_t)X->arena + X->n_arena)
		return;
	for (unsigned i = 0; i < X->n_blocks; i++)
		if (X->block[i].is_free && X->block[i].addr < addr + size &&
		    addr < X->block[i].addr + X->block[i].size)
			fail(site, "use after free at offset %zu",
			     (size_t)(addr - X->block[i].addr));
}

/* --- data races ------------------------------------------------------------------------------- */

static struct shadow *shadow_of(uintptr_t word)
{
	unsigned i = (unsigned)((word >> 3) * 2654435761u) % SHADOW_MAX;

	for (unsigned tries = 0; tries < SHADOW_MAX / 2; tries++, i = (i + 1) % SHADOW_MAX) {
		struct shadow *s = &X->shadow[i];

		if (s->execution != X->verdict.executions + 1) {
			memset(s, 0, sizeof(*s));
			s->word = word;
			s->execution = X->verdict.executions + 1;
			return s;
		}
		if (s->word == word)
			return s;
	}
	fail(NULL, "explorer: too much memory touched by one execution");
}

static void race(uintptr_t addr, bool is_write, int other, const struct explore_site *site)
{
	char text[128];

	fail(site,
	     "data race: %s of %s by thread %d, unordered with an access of thread %d, at or after "
	     "its step",
	     is_write ? "write" : "read", name_of(addr, text, sizeof(text)), index_of(X->current),
	     other);
}

enum access { PLAIN_READ, PLAIN_WRITE, ATOMIC_READ, ATOMIC_WRITE };

/* An access of one byte against those of the other threads that did not happen before it. */
static void check_race(uintptr_t addr, enum access how, const struct explore_site *site)
{
	const struct thread *t = X->current;
	const struct shadow *s = shadow_of(addr & ~(uintptr_t)7);
	bool is_write = how == PLAIN_WRITE || how == ATOMIC_WRITE;
	bool is_plain = how == PLAIN_READ || how == PLAIN_WRITE;
	unsigned byte = addr & 7;

	for (int u = 0; u < X->n; u++) {
		uint16_t known = t->now.at[u];

		if (u == index_of(t))
			continue;
		if (s->written[u][byte] > known || (is_write && s->read[u][byte] > known) ||
		    (is_plain && s->atomically_written[u][byte] > known) ||
		    (how == PLAIN_WRITE && s->atomically_read[u][byte] > known))
			race(addr, is_write, u, site);
	}
}

/* The threads' own stacks are watched too: waiter records live there. */
static void note_plain(uintptr_t addr, size_t size, bool is_write, const struct explore_site *site)
{
	int self = index_of(X->current);

	check_live(addr, size, site);
	if (X->test->has_races)
		return;
	for (size_t i = 0; i < size; i++) {
		struct shadow *s = shadow_of((addr + i) & ~(uintptr_t)7);

		check_race(addr + i, is_write ? PLAIN_WRITE : PLAIN_READ, site);
		(is_write ? s->written : s->read)[self][(addr + i) & 7] = X->current->now.at[self];
	}
}

void mem_plain(const volatile void *p, size_t size, bool is_write)
{
	struct explore_site site;

	if (X == NULL || X->current == NULL)
		return;
	site = X->current->op.site;
	note_plain((uintptr_t)p, size, is_write, &site);
}

void mem_check_live(const struct op *op)
{
	check_live(op->addr, op->size, &op->site);
}

/* Freeing writes everything: whoever still uses it, now or then, races with that. */
void mem_free(uintptr_t addr, size_t size, const struct explore_site *site)
{
	if (X->current != NULL)
		note_plain(addr, size, true, site);
}

static void note_atomic(const struct op *op, bool is_write)
{
	int self = index_of(X->current);
	struct shadow *s;

	check_live(op->addr, op->size, &op->site);
	if (X->test->has_races)
		return;
	for (uint32_t i = 0; i < op->size; i++)
		check_race(op->addr + i, is_write ? ATOMIC_WRITE : ATOMIC_READ, &op->site);
	s = shadow_of(op->addr & ~(uintptr_t)7);
	(is_write ? s->atomically_written : s->atomically_read)[self][op->addr & 7] =
		X->current->now.at[self];
}

/* --- store buffers ---------------------------------------------------------------------------- */

static struct entry *entry_find(struct thread *t, uint64_t seq)
{
	for (unsigned i = 0; i < t->n_buffer; i++)
		if (t->buffer[i].seq == seq)
			return &t->buffer[i];
	return NULL;
}

static void settle(const struct thread *except, uintptr_t addr, uint32_t size, uint64_t from,
		   uint64_t before, bool is_load);

/* XM1, XM2 and XM3 for the entry `seq` of t; then it is in memory. */
static void flush(struct thread *t, uint64_t seq)
{
	char text[128];
	struct entry e, *p = entry_find(t, seq);

	if (p == NULL)
		return;
	e = *p;
	for (;;) {
		unsigned i = 0;

		while (t->buffer[i].seq != seq && !e.is_release &&
		       !overlaps(&t->buffer[i], e.addr, e.size))
			i++;
		if (t->buffer[i].seq == seq)
			break;
		flush(t, t->buffer[i].seq);
	}
	if (!e.is_rmw) /* XM5: at the RMW nothing older was left */
		settle(t, e.addr, e.size, 0, seq, false);
	p = entry_find(t, seq);
	if (p == NULL)
		return;
	t->n_buffer--;
	memmove(p, p + 1, sizeof(*p) * (size_t)(&t->buffer[t->n_buffer] - p));
	mem_write(e.addr, e.size, e.value);
	*cell_clock(e.addr) = e.clock;
	trace("        thread %d's store of %s = %#llx reaches memory", index_of(t),
	      name_of(e.addr, text, sizeof(text)), (unsigned long long)e.value);
}

/*
 * Somebody touches [addr, size). For each entry of the other threads to it, of those with from <=
 * seq < before: has it reached memory? Normally yes; that it has not is a choice. Each store that
 * is late for somebody is one delay, however often it is.
 */
static void settle(const struct thread *except, uintptr_t addr, uint32_t size, uint64_t from,
		   uint64_t before, bool is_load)
{
	uint8_t kept = 0;

	for (;;) {
		struct thread *of = NULL;
		struct entry *first = NULL;

		for (struct thread *t = X->thread; t < X->thread + X->n; t++) {
			if (t == except || (kept & (1u << index_of(t))))
				continue;
			for (struct entry *e = t->buffer; e < t->buffer + t->n_buffer; e++) {
				if (!overlaps(e, addr, size) || e->seq < from || e->seq >= before)
					continue;
				if (first == NULL || e->seq < first->seq) {
					first = e;
					of = t;
				}
				break;
			}
		}
		if (first == NULL)
			return;
		if (first->addr == addr && first->size == size && !X->is_cycling &&
		    (is_load || !first->is_rmw) && (first->is_late || X->used_delays < X->delays) &&
		    choose(2) == 1) {
			X->used_delays += !first->is_late;
			first->is_late = true;
			kept |= (uint8_t)(1u << index_of(of));
			continue;
		}
		flush(of, first->seq);
	}
}

void mem_settle_for(struct thread *t, uintptr_t addr, uint32_t size)
{
	settle(t, addr, size, 0, UINT64_MAX, true);
}

void mem_flush(struct thread *t)
{
	while (t->n_buffer > 0)
		flush(t, t->buffer[t->n_buffer - 1].is_release ? t->buffer[t->n_buffer - 1].seq
							       : t->buffer[0].seq);
}

bool mem_flush_all(void)
{
	bool has_flushed = false;

	for (struct thread *t = X->thread; t < X->thread + X->n; t++) {
		has_flushed |= t->n_buffer > 0;
		mem_flush(t);
	}
	return has_flushed;
}

static void flush_overlapping(struct thread *t, uintptr_t addr, uint32_t size)
{
	for (unsigned i = 0; i < t->n_buffer;) {
		if (overlaps(&t->buffer[i], addr, size)) {
			flush(t, t->buffer[i].seq);
			i = 0;
		} else {
			i++;
		}
	}
}

/* --- operations ------------------------------------------------------------------------------- */

static bool is_acquire(enum explore_order o)
{
	return o == EXPLORE_ACQ || o == EXPLORE_ACQ_REL || o == EXPLORE_SEQ_CST;
}

static bool is_release(enum explore_order o)
{
	return o == EXPLORE_REL || o == EXPLORE_ACQ_REL;
}

/* A thread's time goes on with each of its steps. */
void mem_step(struct thread *t)
{
	t->now.at[index_of(t)]++;
}

static void acquire(struct thread *t, const struct clock *c, enum explore_order order)
{
	clock_join(is_acquire(order) ? &t->now : &t->pending, c);
}

/* What t sees at addr: its own youngest store, else memory. */
static uint64_t look(struct thread *t, const struct op *op, struct clock *clock)
{
	struct entry *own = NULL;

	for (unsigned i = 0; i < t->n_buffer; i++) {
		if (!overlaps(&t->buffer[i], op->addr, op->size))
			continue;
		if (t->buffer[i].addr != op->addr || t->buffer[i].size != op->size) {
			flush_overlapping(t, op->addr, op->size);
			own = NULL;
			break;
		}
		own = &t->buffer[i];
	}
	if (own == NULL) {
		settle(t, op->addr, op->size, 0, UINT64_MAX, true);
	} else {
		uint64_t seq = own->seq;

		settle(t, op->addr, op->size, seq + 1, UINT64_MAX, true);
		own = entry_find(t, seq);
	}
	*clock = own != NULL ? own->clock : *cell_clock(op->addr);
	return own != NULL ? own->value : mem_read(op->addr, op->size);
}

void mem_load(struct thread *t, struct op *op)
{
	struct clock clock;

	if (op->order == EXPLORE_SEQ_CST && !X->test->is_x86) /* XM6 */
		for (unsigned i = t->n_buffer; i-- > 0;)
			if (t->buffer[i].is_release) {
				flush(t, t->buffer[i].seq);
				break;
			}
	op->result = look(t, op, &clock);
	acquire(t, &clock, op->order);
	note_atomic(op, false);
}

static uint64_t truncated(uint64_t value, uint32_t size)
{
	return size < 8 ? value & (((uint64_t)1 << (size * 8)) - 1) : value;
}

static struct entry *entry_add(struct thread *t, const struct op *op, uint64_t value)
{
	struct entry *e;

	if (t->n_buffer == BUFFER_MAX)
		flush(t, t->buffer[0].seq);
	e = &t->buffer[t->n_buffer++];
	*e = (struct entry){.addr = op->addr, .size = op->size};
	e->value = truncated(value, op->size);
	e->seq = ++X->seq;
	e->is_release = is_release(op->order) || X->test->is_x86; /* XM6 */
	e->clock = is_release(op->order) ? t->now : t->fenced;
	return e;
}

void mem_store(struct thread *t, struct op *op)
{
	note_atomic(op, true);
	for (unsigned i = 0; i < t->n_buffer; i++) {
		struct entry *e = &t->buffer[i];

		if (overlaps(e, op->addr, op->size) &&
		    (e->addr != op->addr || e->size != op->size)) {
			flush_overlapping(t, op->addr, op->size);
			break;
		}
	}
	entry_add(t, op, op->value);
}

static bool is_pending_elsewhere(const struct thread *self, uintptr_t addr, uint32_t size)
{
	for (struct thread *t = X->thread; t < X->thread + X->n; t++)
		for (unsigned i = 0; i < t->n_buffer; i++)
			if (t != self && overlaps(&t->buffer[i], addr, size))
				return true;
	return false;
}

/* The reading half of an RMW. */
static void take(struct thread *t, struct op *op)
{
	flush_overlapping(t, op->addr, op->size);
	settle(t, op->addr, op->size, 0, UINT64_MAX, false);
	op->result = mem_read(op->addr, op->size);
}

/*
 * The writing half: it carries on the release sequence of what it replaces. An older store of
 * another thread that was left in its buffer comes after both halves, so then there is no delay
 * for this one.
 */
static void replace(struct thread *t, struct op *op, uint64_t value)
{
	struct entry *e;

	if (is_pending_elsewhere(t, op->addr, op->size)) {
		if (is_release(op->order))
			mem_flush(t);
		clock_join(cell_clock(op->addr), is_release(op->order) ? &t->now : &t->fenced);
		mem_write(op->addr, op->size, value);
		return;
	}
	e = entry_add(t, op, value);
	clock_join(&e->clock, cell_clock(op->addr));
	e->is_rmw = true;
}

void mem_rmw(struct thread *t, struct op *op)
{
	if (X->test->is_x86)
		mem_flush(t); /* XM6 */
	take(t, op);
	acquire(t, cell_clock(op->addr), op->order);
	note_atomic(op, true);
	replace(t, op, op->rmw == EXPLORE_ADD ? op->result + op->value : op->value);
	if (X->test->is_x86)
		mem_flush(t); /* XM6 */
}

void mem_cas(struct thread *t, struct op *op)
{
	struct clock clock;

	if (X->test->is_x86)
		mem_flush(t); /* XM6 */
	op->result = look(t, op, &clock);
	op->is_ok = op->result == op->expected;
	if (!op->is_ok) {
		acquire(t, &clock, EXPLORE_RLX);
		note_atomic(op, false);
		return;
	}
	/* To swap it must have read the latest value, which may be another one. */
	take(t, op);
	op->is_ok = op->result == op->expected;
	acquire(t, cell_clock(op->addr), op->is_ok ? op->order : EXPLORE_RLX);
	note_atomic(op, op->is_ok);
	if (op->is_ok)
		replace(t, op, op->value);
	if (X->test->is_x86)
		mem_flush(t); /* XM6 */
}

void mem_fence(struct thread *t)
{
	mem_flush(t);
	clock_join(&t->now, &t->pending);
	t->fenced = t->now;
}

void mem_fence_light(struct thread *t)
{
	for (unsigned i = 0; i < t->n_buffer; i++)
		t->buffer[i].is_issued = true;
}

/* The processor of t passes a full fence; what the compiler holds back may stay: XM4. */
static void fence_from_outside(struct thread *t)
{
	bool may_stay = X->used_delays < X->delays;

	for (unsigned i = 0; i < t->n_buffer;) {
		if (t->buffer[i].is_issued) {
			flush(t, t->buffer[i].seq);
			i = 0;
		} else {
			i++;
		}
	}
	for (unsigned i = 0; i < t->n_buffer; i++)
		may_stay |= t->buffer[i].is_late;
	if (t->n_buffer > 0 && (X->is_cycling || !may_stay || choose(2) == 0))
		mem_flush(t);
	clock_join(&t->now, &t->pending);
}

/* Everybody passes a full fence between the beginning and the end of this call. */
void mem_fence_heavy(struct thread *self)
{
	struct clock all = {{0}};

	mem_fence(self);
	for (struct thread *t = X->thread; t < X->thread + X->n; t++) {
		if (t != self)
			fence_from_outside(t);
		clock_join(&all, &t->now);
	}
	for (struct thread *t = X->thread; t < X->thread + X->n; t++) {
		if (t->status == ENDED)
			continue;
		t->now = all;
		t->fenced = all;
		mem_step(t);
	}
}

/* --- the entry points of -fsanitize=thread ---------------------------------------------------- */

#define TSAN(size)                                  \
	void __tsan_read##size(void *p);            \
	void __tsan_write##size(void *p);           \
	void __tsan_unaligned_read##size(void *p);  \
	void __tsan_unaligned_write##size(void *p); \
	void __tsan_volatile_read##size(void *p);   \
	void __tsan_volatile_write##size(void *p);  \
	void __tsan_read##size(void *p)             \
	{                                           \
		mem_plain(p, size, false);              \
	}                                           \
	void __tsan_write##size(void *p)            \
	{                                           \
		mem_plain(p, size, true);               \
	}                                           \
	void __tsan_unaligned_read##size(void *p)   \
	{                                           \
		mem_plain(p, size, false);              \
	}                                           \
	void __tsan_unaligned_write##size(void *p)  \
	{                                           \
		mem_plain(p, size, true);               \
	}                                           \
	void __tsan_volatile_read##size(void *p)    \
	{                                           \
		mem_plain(p, size, false);              \
	}                                           \
	void __tsan_volatile_write##size(void *p)   \
	{                                           \
		mem_plain(p, size, true);               \
	}
TSAN(1)
TSAN(2)
TSAN(4)
TSAN(8)
TSAN(16)

/* An atomic variable that is used without base/atomic.h: no order that we know of. */
#define TSAN_ATOMIC(bits)                                                                       \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile void *p, int order);           \
	void __tsan_atomic##bits##_store(volatile void *p, uint##bits##_t value, int order);    \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile void *p, int order)            \
	{                                                                                       \
		(void)p;                                                                        \
		(void)order;                                                                    \
		fail(X->current != NULL ? &X->current->op.site : NULL, "a naked atomic load");  \
	}                                                                                       \
	void __tsan_atomic##bits##_store(volatile void *p, uint##bits##_t value, int order)     \
	{                                                                                       \
		(void)p;                                                                        \
		(void)value;                                                                    \
		(void)order;                                                                    \
		fail(X->current != NULL ? &X->current->op.site : NULL, "a naked atomic store"); \
	}
TSAN_ATOMIC(8)
TSAN_ATOMIC(16)
TSAN_ATOMIC(32)
TSAN_ATOMIC(64)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(void *p, unsigned long size);
void __tsan_write_range(void *p, unsigned long size);
void *__tsan_memcpy(void *to, const void *from, size_t size);
void *__tsan_memset(void *to, int byte, size_t size);
void *__tsan_memmove(void *to, const void *from, size_t size);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
	(void)caller;
}

void __tsan_func_exit(void)
{
}

void __tsan_read_range(void *p, unsigned long size)
{
	mem_plain(p, size, false);
}

void __tsan_write_range(void *p, unsigned long size)
{
	mem_plain(p, size, true);
}

/* The clients are compiled with -Dmemcpy=__tsan_memcpy and so on, for want of an interceptor. */
void *__tsan_memcpy(void *to, const void *from, size_t size)
{
	mem_plain(from, size, false);
	mem_plain(to, size, true);
	return memmove(to, from, size);
}

void *__tsan_memmove(void *to, const void *from, size_t size)
{
	return __tsan_memcpy(to, from, size);
}

void *__tsan_memset(void *to, int byte, size_t size)
{
	mem_plain(to, size, true);
	return memset(to, byte, size);
}
