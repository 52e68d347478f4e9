/*
 * stack.c - the pool of stacks, their guards, stacks of one's own; src/core/stack.c.
 *
 * What faults runs in a child. GORO_STACKGUARD forces each method of guarding in turn.
 */
#include "tap.h"

#include <sys/mman.h>

#include "base/valgrind.h"
#include "core/stack.h"
#include "os/os.h"

enum { PAGE = 4096, CACHES = 3, TAKEN_MAX = 1500, WORDS = STACK_SIZE_DEFAULT / 8 };

struct taken {
	struct stack stack;
	bool has_canary;
};

static struct stack_cache caches[CACHES];
static struct taken taken[TAKEN_MAX];
static uint32_t n_taken;

static void begin(uint32_t promised)
{
	os_guard_init();
	require_eq(stack_pool_grow(promised), 0);
}

static uint64_t *top_word(struct stack stack)
{
	return (uint64_t *)stack.hi - 1;
}

/* Take one; the mark says that nobody else has it. */
static struct taken *take(struct stack_cache *cache)
{
	require(n_taken < TAKEN_MAX);
	struct taken *t = &taken[n_taken++];
	t->stack = stack_take(cache, &t->has_canary);
	require_eq(t->stack.lo % PAGE, 0);
	require_eq(t->stack.hi - t->stack.lo, STACK_SIZE_DEFAULT);
	/* Memcheck forbids to read what another left; it is just what is looked at here. */
	valgrind_allow(t->stack.hi - sizeof(uint64_t), t->stack.hi);
	require(*top_word(t->stack) == 0 || *top_word(t->stack) == UINT64_MAX);
	*top_word(t->stack) = t->stack.lo;
	return t;
}

static void give(struct stack_cache *cache, uint32_t i)
{
	struct taken t = taken[i];

	require(*top_word(t.stack) == t.stack.lo);
	*top_word(t.stack) = UINT64_MAX;
	taken[i] = taken[--n_taken];
	stack_give(cache, t.stack, t.has_canary);
}

static void give_all(struct stack_cache *cache)
{
	while (n_taken > 0)
		give(cache, n_taken - 1);
}

/* -1: there is no such range any more. */
static int resident_pages(struct stack stack)
{
	static unsigned char present[WORDS * 8 / PAGE];
	int n = 0;

	require_le(stack.hi - stack.lo, WORDS * 8);
	if (mincore((void *)stack.lo, stack.hi - stack.lo, present) != 0)
		return -1;
	for (size_t i = 0; i < (stack.hi - stack.lo) / PAGE; i++)
		n += present[i] & 1;
	return n;
}

static void touch(struct stack stack)
{
	/* The top word says whose it is. */
	memset((void *)stack.lo, 0x77, STACK_SIZE_DEFAULT - sizeof(uint64_t));
}

/* ---- ST1, ST2: promises and places ---- */

TAP_CASE(st1_as_many_can_be_taken_as_were_promised, .procs = "-")
{
	begin(100);
	for (int i = 0; i < 100; i++)
		take(&caches[0]);
	/* Two more caches, each of which may keep as many as it can hold. */
	require_eq(stack_pool_grow(1200 + 2 * STACK_CACHE), 0);
	for (int i = 0; i < 1200; i++)
		take(&caches[i % CACHES]);
}

TAP_CHILD(take_without_a_promise)
{
	begin(1);
	for (int i = 0; i < TAKEN_MAX; i++)
		take(&caches[0]);
}

TAP_CASE(st1_taking_without_a_promise_ends_the_process, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "take_without_a_promise");
	expect_child(&c, 2, "internal check failed");
}

TAP_CASE(promise_taken_back_can_be_given_again, .procs = "-")
{
	begin(5000);
	int64_t before = tap_kib("/proc/self/status", "VmSize:");
	for (int i = 0; i < 20; i++) {
		stack_pool_shrink(2000);
		require_eq(stack_pool_grow(2000), 0);
	}
	expect_lt(tap_kib("/proc/self/status", "VmSize:"),
		  before + 2000);	       /* valgrind's own grows */
	require_eq(stack_pool_grow(50000), 0); /* and one that is not there costs */
	expect_gt(tap_kib("/proc/self/status", "VmSize:"), before + 1000000);
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = ((const struct taken *)a)->stack.lo, y = ((const struct taken *)b)->stack.lo;

	return (x > y) - (x < y);
}

TAP_CASE(slots_and_their_guards_do_not_overlap, .procs = "-")
{
	begin(1000);
	for (int i = 0; i < 1000; i++)
		take(&caches[0]);
	qsort(taken, n_taken, sizeof(taken[0]), by_address);
	for (uint32_t i = 1; i < n_taken; i++)
		expect_ge(taken[i].stack.lo, taken[i - 1].stack.hi + STACK_GUARD_SIZE);
}

TAP_CASE(last_given_is_first_taken, .procs = "-")
{
	begin(100);
	uintptr_t a = take(&caches[0])->stack.lo, b = take(&caches[0])->stack.lo;
	give(&caches[0], 0);
	give(&caches[0], 0);
	expect_eq(take(&caches[0])->stack.lo, b);
	expect_eq(take(&caches[0])->stack.lo, a);
}

TAP_CASE(full_cache_spills_a_batch_which_stays_warm, .procs = "-")
{
	begin(200);
	for (uint32_t i = 0; i <= STACK_CACHE; i++)
		take(&caches[0]);
	stack_cache_flush(&caches[0]);
	uint32_t before = stack_pool_warm();
	for (uint32_t i = 0; i < STACK_CACHE; i++)
		give(&caches[0], n_taken - 1);
	expect_eq(caches[0].count, STACK_CACHE);
	expect_eq(stack_pool_warm(), before);
	give(&caches[0], 0);
	expect_eq(caches[0].count, STACK_CACHE - STACK_CACHE_BATCH + 1);
	expect_eq(stack_pool_warm(), before + STACK_CACHE_BATCH);
	stack_cache_flush(&caches[0]);
	expect_eq(caches[0].count, 0);
	expect_eq(stack_pool_warm(), before + STACK_CACHE + 1);
}

TAP_CASE(warm_slots_are_taken_before_cold_ones, .procs = "-")
{
	begin(300);
	for (int i = 0; i < 10; i++)
		touch(take(&caches[0])->stack);
	give_all(&caches[0]);
	stack_cache_flush(&caches[0]);
	uint32_t n_touched = 0;
	for (uint32_t i = 0; i < STACK_CACHE_BATCH; i++)
		n_touched += resident_pages(take(&caches[1])->stack) > 1 ? i + 1 : 0;
	expect_eq(n_touched, 10 * 11 / 2); /* the first ten, and no other */
}

TAP_CASE(st2_a_slot_is_never_in_two_places, .procs = "-")
{
	uint64_t state = tap_seed();

	begin(TAKEN_MAX + CACHES * STACK_CACHE);
	for (int step = 0; step < 200000 / TAP_SLOWER; step++) {
		struct stack_cache *cache = &caches[tap_random(&state) % CACHES];
		bool grows = n_taken < TAKEN_MAX && tap_random(&state) % 1000 > n_taken;
		if (grows || n_taken == 0)
			take(cache); /* it or give() finds a mark that is not right */
		else
			give(cache, (uint32_t)(tap_random(&state) % n_taken));
		if (tap_random(&state) % 1000 == 0)
			stack_cache_flush(cache);
		if (tap_random(&state) % 3000 == 0)
			stack_pool_scavenge(tap_random(&state) % 2 == 0);
	}
}

/* ---- ST4: giving memory back ---- */

TAP_CASE(st4_scavenged_slots_hold_no_memory, .procs = "-")
{
	static struct stack given[100];

	begin(200);
	for (int i = 0; i < 100; i++) {
		given[i] = take(&caches[0])->stack;
		touch(given[i]);
		expect_eq(resident_pages(given[i]), STACK_SIZE_DEFAULT / PAGE);
	}
	give_all(&caches[0]);
	stack_cache_flush(&caches[0]);
	uint32_t n_warm = stack_pool_warm();
	expect_ge(n_warm, 100);
	expect_eq(stack_pool_scavenge(true), n_warm);
	expect_eq(stack_pool_warm(), 0);
	for (int i = 0; i < 100; i++)
		expect_eq(resident_pages(given[i]), 0);
}

/* Each slot by itself, not only where all around it are given back at once. */
TAP_CASE(st4_scavenged_slots_between_used_ones_hold_no_memory, .procs = "-")
{
	static struct stack given[100];

	begin(200);
	for (int i = 0; i < 100; i++) {
		given[i] = take(&caches[0])->stack;
		touch(given[i]);
	}
	for (uint32_t i = 100; i-- > 0;)
		if (i % 8 != 0)
			give(&caches[0], i);
	stack_cache_flush(&caches[0]);
	stack_pool_scavenge(true);
	for (int i = 0; i < 100; i++)
		expect_eq(resident_pages(given[i]), i % 8 != 0 ? 0 : STACK_SIZE_DEFAULT / PAGE);
}

TAP_CASE(st4_page_tables_go_back_too, .procs = "-", .is_alone = true)
{
	begin(TAKEN_MAX);
	for (int i = 0; i < 1400; i++)
		take(&caches[0]);
	int64_t in_use = tap_kib("/proc/self/status", "VmPTE:");
	give_all(&caches[0]);
	stack_cache_flush(&caches[0]);
	stack_pool_scavenge(true);
	/* A table of 4 KiB covers 2 MB, which is five stacks. */
	if (in_use < 1400 / 6 * 4)
		tap_skip("page tables are not counted here");
	expect_lt(tap_kib("/proc/self/status", "VmPTE:"), in_use / 2);
}

TAP_CASE(scavenging_spares_what_was_used_lately, .procs = "-")
{
	begin(200);
	for (int i = 0; i < 100; i++)
		take(&caches[0]);
	give_all(&caches[0]);
	stack_cache_flush(&caches[0]);
	uint32_t n_warm = stack_pool_warm();
	stack_pool_scavenge(false); /* from here on the least number counts */
	n_warm = stack_pool_warm() < n_warm ? stack_pool_warm() : n_warm;
	require_ge(n_warm, 2 * STACK_CACHE_BATCH + 1);
	take(&caches[0]);	       /* takes a batch off, */
	stack_cache_flush(&caches[0]); /* and all but one come back */
	expect_eq(stack_pool_scavenge(false), n_warm - STACK_CACHE_BATCH);
	expect_eq(stack_pool_warm(), STACK_CACHE_BATCH - 1);
	expect_eq(stack_pool_scavenge(false), STACK_CACHE_BATCH - 1);
	expect_eq(stack_pool_scavenge(false), 0);
}

/* ---- ST3: guards ---- */

/* WHERE is the byte: in the "guard", its lowest ("far"), in the "stack", in an "own" guard. */
TAP_CHILD(write_somewhere)
{
	const char *where = getenv("WHERE");
	struct stack stack;
	bool has_canary;

	begin(40);
	stack = take(&caches[0])->stack;
	if (getenv("AGAIN") != NULL) { /* through the pool once: cold, and guarded anew */
		give_all(&caches[0]);
		stack_cache_flush(&caches[0]);
		stack_pool_scavenge(true);
		stack = take(&caches[0])->stack;
	}
	if (strcmp(where, "own") == 0)
		require_eq(stack_map(20000, &stack, &has_canary), 0);
	volatile char *at = (char *)stack.lo;
	if (strcmp(where, "far") == 0)
		at[-(long)STACK_GUARD_SIZE] = 1;
	else if (strcmp(where, "stack") == 0)
		at[0] = 1;
	else
		at[-1] = 1;
}

static void expect_write(const char *method, const char *where, const char *again, int status)
{
	struct tap_child c;
	char guard[64], place[64];

	snprintf(guard, sizeof(guard), "GORO_STACKGUARD=%s", method);
	snprintf(place, sizeof(place), "WHERE=%s", where);
	tap_child(&c, "write_somewhere", guard, place, again);
	if (c.status != status)
		tap_diag("# a write to %s, guards by %s %s:", where, method, again);
	expect_child(&c, status, "");
}

static void expect_guards_by(const char *method)
{
	static const char *const again[] = {"AGAIN", "AGAIN=1"};

	for (int i = 0; i < 2; i++) {
		expect_write(method, "stack", again[i], 0);
		expect_write(method, "guard", again[i], -SIGSEGV);
		expect_write(method, "far", again[i], -SIGSEGV);
	}
	expect_write(method, "own", "AGAIN", -SIGSEGV);
}

TAP_CASE(st3_guards_of_the_kernel_fault, .procs = "-")
{
	unsetenv("GORO_STACKGUARD");
	os_guard_init();
	if (os_guard_method() != OS_GUARD_MADVISE)
		tap_skip("this kernel has no MADV_GUARD_INSTALL");
	expect_guards_by("guard");
}

TAP_CASE(st3_guards_by_mprotect_fault, .procs = "-")
{
	expect_guards_by("mprotect");
}

TAP_CASE(st3_canary_tells_what_was_overwritten, .procs = "-")
{
	setenv("GORO_STACKGUARD", "canary", 1);
	begin(40);
	struct taken *t = take(&caches[0]);
	expect(t->has_canary);
	expect(stack_canary_is_intact(t->stack));
	((volatile char *)t->stack.lo)[-1] =
		1; /* nothing stops this, and the canary is beside it */
	expect(stack_canary_is_intact(t->stack));
	((volatile char *)t->stack.lo)[7] ^= 1;
	expect(!stack_canary_is_intact(t->stack));
	/* It is whole again for the next user, also after the slot was cold. */
	give(&caches[0], 0);
	expect(stack_canary_is_intact(take(&caches[0])->stack));
	give_all(&caches[0]);
	stack_cache_flush(&caches[0]);
	stack_pool_scavenge(true);
	for (int i = 0; i < 40; i++)
		expect(take(&caches[0])->has_canary && stack_canary_is_intact(taken[i].stack));
}

/* ME3: what mprotect may cut into pieces is limited; from there on canaries stand in. */
TAP_CASE(st3_mprotect_gives_way_to_canaries, .procs = "-")
{
	char text[32];
	uint32_t n_guarded = 0, n_stacks = 40000;
	static struct stack_cache cache;

	if (valgrind_is_here())
		tap_skip("valgrind has no room for so many mappings");
	require(os_read_file("/proc/sys/vm/max_map_count", text, sizeof(text)) > 0);
	if (atoi(text) > 80000)
		tap_skip("vm.max_map_count is larger than this case is made for");
	setenv("GORO_STACKGUARD", "mprotect", 1);
	begin(n_stacks);
	for (uint32_t i = 0; i < n_stacks; i++) {
		bool has_canary;
		struct stack stack = stack_take(&cache, &has_canary);
		n_guarded += !has_canary;
		expect(!has_canary || stack_canary_is_intact(stack));
	}
	expect_le(n_guarded, atoi(text) / 4);
	expect_ge(n_guarded, atoi(text) / 4 - 64);
	/* The program can still map what it likes. */
	expect(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

/* ME3: what is given back counts no more, whichever way and however often. */
TAP_CASE(st3_guards_that_went_may_be_made_again, .procs = "-")
{
	struct stack stack;
	bool has_canary = false;
	char text[32];

	require(os_read_file("/proc/sys/vm/max_map_count", text, sizeof(text)) > 0);
	if (atoi(text) > 80000 || valgrind_is_here())
		tap_skip("too many guards for a test");
	setenv("GORO_STACKGUARD", "mprotect", 1);
	os_guard_init();
	for (int i = 0; i < atoi(text) / 4 + 1000 && !has_canary; i++) {
		require_eq(stack_map(16384, &stack, &has_canary), 0);
		stack_unmap(stack);
	}
	expect(!has_canary);
	/* One that was made by another method gives back nothing. */
	setenv("GORO_STACKGUARD", "canary", 1);
	os_guard_init();
	static struct stack many[1000];
	for (int i = 0; i < 1000; i++)
		require_eq(stack_map(16384, &many[i], &has_canary), 0);
	setenv("GORO_STACKGUARD", "mprotect", 1);
	os_guard_init();
	for (int i = 0; i < 1000; i++)
		stack_unmap(many[i]);
	int n_guarded = 0;
	for (int i = 0; i < atoi(text) / 4 + 500; i++) {
		require_eq(stack_map(16384, &stack, &has_canary), 0);
		n_guarded += !has_canary;
	}
	expect_eq(n_guarded, atoi(text) / 4);
}

/* ---- stacks of one's own, colours ---- */

TAP_CASE(own_stack_has_whole_pages_and_goes_away, .procs = "-")
{
	static const size_t sizes[] = {STACK_SIZE_MIN, 5000, 16384, 65536, 200001, 256 << 10};

	os_guard_init();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct stack stack = {0};
		bool has_canary;
		require_eq(stack_map(sizes[i], &stack, &has_canary), 0);
		/* But for 64 bytes of the library's own at the top. */
		expect_ge(stack.hi - stack.lo + 64, sizes[i]);
		expect_lt(stack.hi - stack.lo + 64, sizes[i] + PAGE);
		expect_eq(stack.lo % PAGE, 0);
		memset((void *)(stack.lo + 16), 1, stack.hi - stack.lo - 16);
		if (stack.hi - stack.lo < STACK_SIZE_DEFAULT)
			expect_eq(stack_top(stack), stack.hi);
		stack_unmap(stack);
		expect_eq(resident_pages(stack), -1);
	}
}

TAP_CASE(own_stack_has_a_canary_when_it_must, .procs = "-")
{
	struct stack stack;
	bool has_canary = false;

	setenv("GORO_STACKGUARD", "canary", 1);
	os_guard_init();
	require_eq(stack_map(16384, &stack, &has_canary), 0);
	expect(has_canary);
	expect(stack_canary_is_intact(stack));
	((volatile char *)stack.lo)[0] ^= 1;
	expect(!stack_canary_is_intact(stack));
	stack_unmap(stack);
}

TAP_CASE(tops_have_16_colours, .procs = "-")
{
	uint32_t n_of[16] = {0};

	begin(320);
	for (int i = 0; i < 320; i++) {
		struct stack stack = take(&caches[0])->stack;
		uintptr_t below = stack.hi - stack_top(stack);
		require_eq(below % 64, 0);
		require_le(below, 15 * 64);
		n_of[below / 64]++;
	}
	for (int i = 0; i < 16; i++) {
		expect_ge(n_of[i], 19);
		expect_le(n_of[i], 21);
	}
}

#ifdef GORO_DEBUG
TAP_CHILD(grow_without_memory)
{
	struct stack stack = {1, 2};
	bool has_canary;

	os_fault_init();
	expect_eq(stack_pool_grow(100), -ENOMEM);
	expect_eq(stack_map(16384, &stack, &has_canary), -ENOMEM);
	expect_eq(stack.lo, 1); /* written on success only */
	_exit(tap_failures != 0);
}

TAP_CASE(no_address_space_is_told, .procs = "-")
{
	struct tap_child c;

	tap_child(&c, "grow_without_memory", "GORO_FAULT=mmap:1+");
	expect_child(&c, 0, "");
}

/* The n-th mapping fails: what was promised before is still there, and the next call works. */
TAP_CHILD(grow_again)
{
	begin(10);
	os_fault_init();
	int first = stack_pool_grow(1000);
	expect(first == 0 || first == -ENOMEM);
	expect_eq(stack_pool_grow(100), 0);
	for (int i = 0; i < 110 + (first == 0 ? 1000 : 0); i++)
		take(&caches[0]);
	_exit(tap_failures != 0);
}

TAP_CASE(failed_growth_leaves_the_pool_whole, .procs = "-")
{
	struct tap_child c;
	char fault[32];

	for (int n = 1; n <= 6; n++) {
		snprintf(fault, sizeof(fault), "GORO_FAULT=mmap:%d", n);
		tap_child(&c, "grow_again", fault);
		expect_child(&c, 0, "");
	}
}
#endif

TAP_MAIN
