/*
 * explore_impl.h - what the parts of the explorer share: explore.c (threads, schedules, reports),
 * explore_api.c (the calls), explore_mem.c (store buffers, clocks, races), explore_state.c (states
 * met).
 *
 * All state is in one mapping outside the globals of the program, since those are put back before
 * each execution.
 */
#ifndef TESTS_MODEL_EXPLORE_IMPL_H
#define TESTS_MODEL_EXPLORE_IMPL_H

#include "explore.h"

#define STACK_BYTES	   (256u << 10)
#define STACK_CLEARED	   4096u /* of it, before each execution */
#define SIGNAL_STACK_BYTES (64u << 10)
#define BUFFER_MAX	   16
#define CHOICES_MAX	   4096
#define CELLS_MAX	   1024	 /* a power of two: addresses with a clock */
#define SHADOW_MAX	   16384 /* a power of two: words that plain code touched */
#define LOCKS_MAX	   16
#define NAMES_MAX	   64
#define PLAIN_MAX	   32
#define BLOCKS_MAX	   64
#define ARENA_MAX	   (1u << 20)
#define SIDE_STACKS_MAX	   (1u << 20)

struct clock {
	uint16_t at[EXPLORE_THREADS];
};

enum op_kind {
	OP_START,
	OP_LOAD,
	OP_STORE,
	OP_RMW,
	OP_CAS,
	OP_YIELD,
	OP_WAIT,
	OP_WOKEN,
	OP_WAKE,
	OP_LOCK,
	OP_TRYLOCK,
	OP_UNLOCK,
	OP_END
};

/* What a thread will do when it is next chosen. */
struct op {
	enum op_kind kind;
	enum explore_order order;
	enum explore_rmw_op rmw;
	uint32_t size;
	uintptr_t addr;
	uint64_t value;
	uint64_t expected;
	int64_t deadline;
	uint64_t result;
	bool is_ok;
	struct explore_site site;
};

struct entry {
	uintptr_t addr;
	uint64_t value;
	uint64_t seq; /* of all stores of this execution */
	uint32_t size;
	bool is_release;
	bool is_issued;	    /* XM4 */
	bool is_rmw;	    /* XM5 */
	bool is_late;	    /* it has been counted as a delay */
	struct clock clock; /* what whoever acquires it learns */
};

enum status { READY, BLOCKED, ENDED, ASLEEP };

struct thread {
	void *sp;
	char *stack;
	void (*fn)(void);
	enum status status;
	struct op op;
	bool has_yielded; /* and nobody else has made a step since */
	bool is_timed_out;
	uint64_t wait_seq; /* order of arrival at a futex */
	struct entry buffer[BUFFER_MAX];
	unsigned n_buffer;
	struct clock now;     /* what happened before this thread's present */
	struct clock pending; /* what its relaxed loads read: joins `now` at a fence */
	struct clock fenced;  /* `now` at its last fence: what its relaxed stores publish */
	/* Fairness of yields (Musuvathi, Qadeer: Fair Stateless Model Checking); sets. */
	uint8_t behind; /* runs only when none of these can */
	uint8_t enabled_since, disabled_since, scheduled_since;
};

struct cell {
	uintptr_t addr;
	struct clock clock;
};

struct shadow {
	uintptr_t word;
	uint64_t execution;
	uint16_t written[EXPLORE_THREADS][8];
	uint16_t read[EXPLORE_THREADS][8];
	uint16_t atomically_written[EXPLORE_THREADS][8]; /* at its first byte only */
	uint16_t atomically_read[EXPLORE_THREADS][8];
};

struct choice {
	uint8_t taken;
	uint8_t count;
};

struct explorer {
	const struct explore_test *test;
	int preemptions, delays, spurious, timeouts, steps; /* the bounds */
	int used_preemptions, used_delays, used_spurious, used_timeouts;
	struct thread thread[EXPLORE_THREADS];
	int n;
	int last;		/* whose step was the last; -1 at first */
	struct thread *current; /* NULL in setup and finish */
	void *sp;		/* the scheduler's */
	bool is_executing;
	bool has_failed;
	bool is_pruned;
	bool is_cycling;
	bool is_tracing;
	bool is_quiet; /* do not show the schedule of a failure */
	bool has_hit;  /* what the test takes out was reached */
	int step;
	int64_t now;
	uint64_t seq;
	struct explore_verdict verdict;
	void *escape[5]; /* from a failure in setup or finish */

	struct choice choice[CHOICES_MAX];
	uint64_t path[CHOICES_MAX]; /* the state at each choice, 0 if not looked at */
	unsigned n_choices;	    /* made so far in this execution */
	unsigned n_prefix;	    /* prescribed */

	struct cell cell[CELLS_MAX];
	uint16_t cell_used[CELLS_MAX];
	unsigned n_cells;
	struct shadow shadow[SHADOW_MAX];

	struct {
		uintptr_t key;
		int owner; /* -1 free */
		struct clock clock;
	} lock[LOCKS_MAX];
	unsigned n_locks;
	struct {
		uintptr_t addr;
		size_t size;
		const char *name;
	} name[NAMES_MAX];
	unsigned n_names;
	struct {
		uintptr_t addr;
		size_t size;
	} plain[PLAIN_MAX]; /* explore_plain() */
	unsigned n_plain;
	struct {
		uintptr_t addr;
		size_t size;
		bool is_free;
	} block[BLOCKS_MAX];
	unsigned n_blocks;

	char *arena;
	size_t n_arena;
	char *side_stacks;
	size_t n_side_stacks;
	char *globals; /* the copy */
	uint64_t *visited;
	size_t visited_size, n_visited;

	unsigned n_tap, n_tap_failed;
};

/* The writable globals of the program, from its linker. */
extern char __data_start[], _end[];

extern struct explorer *explorer;
#define X explorer

/* explore.c */
unsigned choose(unsigned n);
void announce(struct op op);
int lock_index(uintptr_t key);
void *map_zeroed(size_t size);
__attribute__((noreturn)) void fail(const struct explore_site *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *name_of(uintptr_t addr, char *text, size_t size);
static inline int index_of(const struct thread *t)
{
	return (int)(t - X->thread);
}

/* explore_state.c */
void state_reset(void);
void look_at_state(void);

/* explore_mem.c */
void mem_reset(void);
void mem_plain(const volatile void *p, size_t size, bool is_write); /* for the race check */
uint64_t mem_read(uintptr_t addr, uint32_t size);
void mem_write(uintptr_t addr, uint32_t size, uint64_t value);
void mem_step(struct thread *);
void mem_load(struct thread *, struct op *);
void mem_store(struct thread *, struct op *);
void mem_rmw(struct thread *, struct op *);
void mem_cas(struct thread *, struct op *);
void mem_fence(struct thread *);
void mem_fence_light(struct thread *);
void mem_fence_heavy(struct thread *);
void mem_settle_for(struct thread *, uintptr_t addr, uint32_t size);
void mem_flush(struct thread *);
bool mem_flush_all(void);
void mem_check_live(const struct op *);
void mem_free(uintptr_t addr, size_t size, const struct explore_site *site);
void clock_join(struct clock *to, const struct clock *from);

#endif
