/*
 * unwind.c - stacks of parked contexts, of signals, of broken programs; src/debug/unwind.c and
 * cfi.c.
 *
 * Every function that should be found notes its own return address on the way down; the unwinder
 * must come by exactly these.
 */
#include "tap.h"

#include <alloca.h>
#include <setjmp.h>
#include <sys/mman.h>

#include "arch/arch.h"
#include "base/sanitize.h"
#include "debug/cfi.h"
#include "debug/unwind.h"

enum { PAGE = 4096, STACK_PAGES = 64, STACK_SIZE = STACK_PAGES * PAGE, NOTES = 16 };

#define NOINLINE __attribute__((noinline, noclone))
#if defined(__clang__)
#undef NOINLINE
#define NOINLINE __attribute__((noinline))
#endif
/* After a call: keeps the compiler from turning it into a jump. */
#define STAY() __asm__ volatile("" ::: "memory")
#define NOTE() (notes[n_notes++] = (uintptr_t)__builtin_return_address(0))

static uintptr_t notes[NOTES]; /* the innermost last */
static int n_notes;
static void *here_sp, *there_sp;
static char *stack;            /* between two pages that must not be touched */
static uintptr_t park_cfa;     /* the frame address of park: what it saved is below */

static struct unwind_bounds stack_bounds(void)
{
	return (struct unwind_bounds){(uintptr_t)stack, (uintptr_t)stack + STACK_SIZE};
}

static void *resume_here(void *arg)
{
	(void)arg;
	return here_sp;
}

static void *resume_there(void *arg)
{
	(void)arg;
	return there_sp;
}

/* These cases do on purpose what memcheck looks for. */
static void not_under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	if (preload != NULL && strstr(preload, "vgpreload") != NULL)
		tap_skip("valgrind is right about this one");
}

NOINLINE static void park(void)
{
	park_cfa = (uintptr_t)__builtin_dwarf_cfa();
	ctx_switch(&there_sp, NULL, resume_here, NULL);
	STAY();
}

/*
 * Three kinds of frame: plain, of a size known at run time, and aligned beyond what the ABI gives.
 */
NOINLINE static void inner(void (*fn)(void))
{
	NOTE();
	fn();
	STAY();
}

NOINLINE static void middle(void (*fn)(void))
{
	volatile size_t size = 100;
	char *room = alloca(size);

	NOTE();
	room[0] = 1;
	inner(fn);
	__asm__ volatile("" : : "r"(room) : "memory");
}

NOINLINE static void outer(void (*fn)(void))
{
	__attribute__((aligned(128))) char room[256];

	NOTE();
	room[0] = 1;
	__asm__ volatile("" : : "r"(room) : "memory");
	middle(fn);
	__asm__ volatile("" : : "r"(room) : "memory");
}

static struct ctx_leaving *first_frame(void *arg)
{
	NOTE();
	outer((void (*)(void))arg);
	ctx_switch(&there_sp, NULL, resume_here, NULL);
	abort();
}

static void stack_make(void)
{
	size_t size = STACK_SIZE + 2 * PAGE;
	char *memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	require(memory != MAP_FAILED);
	stack = memory + PAGE;
	require(mprotect(stack, STACK_SIZE, PROT_READ | PROT_WRITE) == 0);
}

/* Run fn at the end of the chain of frames on a stack of its own, until it parks. */
static void run_there(void (*fn)(void))
{
	if (stack == NULL)
		stack_make();
	n_notes = 0;
	there_sp = ctx_make(stack + STACK_SIZE, first_frame, (void *)fn);
	ctx_switch(&here_sp, NULL, resume_there, NULL);
}

/* The frames from number `from` on are the noted ones. */
static void expect_notes(const struct unwind_frame *frames, size_t n, size_t from)
{
	require_ge(n, from + (size_t)n_notes);
	for (int i = 0; i < n_notes; i++) {
		expect_eq(frames[from + (size_t)i].pc, notes[n_notes - 1 - i]);
		expect(!frames[from + (size_t)i].is_exact);
	}
}

TAP_CASE(parked_context_unwinds_to_its_end_marker)
{
	struct unwind_regs regs;
	struct unwind_frame frames[20];

	run_there(park);
	expect_eq(n_notes, 4);
	unwind_regs_from_sp(&regs, there_sp);
	size_t n = unwind_collect(&regs, stack_bounds(), frames, 20);
	/*
	 * In park, in inner; then what inner, middle, outer and first_frame return to. The last is
	 * ctx_start.
	 */
	expect_eq(n, 2 + 4);
	expect_notes(frames, n, 2);
}

TAP_CASE(context_that_never_ran_has_one_frame)
{
	struct unwind_regs regs;
	struct unwind_frame frames[20];

	stack_make();
	void *sp = ctx_make(stack + STACK_SIZE, first_frame, NULL);
	unwind_regs_from_sp(&regs, sp);
	expect_eq(unwind_collect(&regs, stack_bounds(), frames, 20), 1);
}

TAP_CASE(collect_keeps_to_its_room)
{
	struct unwind_regs regs;
	struct unwind_frame frames[3] = {{0}};

	run_there(park);
	unwind_regs_from_sp(&regs, there_sp);
	expect_eq(unwind_collect(&regs, stack_bounds(), frames, 2), 2);
	expect_eq(frames[2].pc, 0);
	expect_eq(unwind_collect(&regs, stack_bounds(), frames, 0), 0);
}

TAP_CASE(walk_ends_where_the_bounds_end)
{
	struct unwind_regs regs;
	struct unwind_frame frames[20];
	struct unwind_bounds bounds;

	run_there(park);
	bounds = stack_bounds();
	unwind_regs_from_sp(&regs, there_sp);
	bounds.lo = regs.r[UNWIND_SP];
	expect_eq(unwind_collect(&regs, bounds, frames, 20), 6);
	bounds.lo = park_cfa; /* what park has saved is outside, if by a word */
	expect_eq(unwind_collect(&regs, bounds, frames, 20), 1);
	bounds = stack_bounds();
	bounds.hi = regs.r[UNWIND_SP] + 8;
	expect_lt(unwind_collect(&regs, bounds, frames, 20), 3);
	bounds.hi = bounds.lo;
	expect_eq(unwind_collect(&regs, bounds, frames, 20), 1);
}

/* ---- the caller's own stack ---- */

static struct unwind_trace trace;

NOINLINE static void trace_self(void)
{
	NOTE();
	unwind_trace_self(&trace, stack_bounds());
	STAY();
}

TAP_CASE(own_stack_starts_with_the_caller)
{
	run_there(trace_self);
	expect_eq(n_notes, 5);
	expect_eq(trace.total, 1 + 5);
	expect_notes(trace.first, trace.total, 1);
	expect_ge(trace.first[0].pc, (uintptr_t)trace_self);
	expect_lt(trace.first[0].pc, (uintptr_t)trace_self + 2048);
}

TAP_CASE(own_stack_of_a_plain_thread_ends)
{
	struct unwind_bounds all = {0, UINTPTR_MAX};

	unwind_trace_self(&trace, all);
	expect_ge(trace.total, 2);
	expect_lt(trace.total, 40);
}

/* ---- signals ---- */

static struct unwind_regs signal_regs;
static sigjmp_buf signal_back;

static void take_registers(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info;
	unwind_regs_from_signal(&signal_regs, context);
	unwind_trace(&trace, &signal_regs, stack_bounds());
	siglongjmp(signal_back, 1);
}

static void catch_faults(void)
{
	static char memory[1 << 16];
	stack_t alternate = {.ss_sp = memory, .ss_size = sizeof(memory)};
	struct sigaction action = {.sa_sigaction = take_registers,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK};

	require(sigaltstack(&alternate, NULL) == 0);
	require(sigaction(SIGSEGV, &action, NULL) == 0 && sigaction(SIGBUS, &action, NULL) == 0);
}

NOINLINE static void write_nowhere(void)
{
	volatile uintptr_t nowhere = 64;

	NOTE();
	*(volatile int *)nowhere = 1;
}

TAP_CASE(fault_is_the_first_frame_and_exact)
{
	not_under_valgrind();
	catch_faults();
	if (sigsetjmp(signal_back, 1) == 0)
		run_there(write_nowhere);
	expect_eq(n_notes, 5);
	expect_eq(trace.total, 1 + 5);
	expect(trace.first[0].is_exact);
	expect_ge(trace.first[0].pc, (uintptr_t)write_nowhere);
	expect_lt(trace.first[0].pc, (uintptr_t)write_nowhere + 2048);
	expect_notes(trace.first, trace.total, 1);
}

static void (*volatile bad_function)(void);

NOINLINE static void call_nowhere(void)
{
	NOTE();
	bad_function();
	STAY();
}

TAP_CASE(call_of_a_null_pointer_shows_its_caller)
{
	not_under_valgrind();
	catch_faults();
	if (sigsetjmp(signal_back, 1) == 0)
		run_there(call_nowhere);
	expect_eq(trace.total, 2 + 5);
	expect_eq(trace.first[0].pc, 0);
	expect_ge(trace.first[1].pc, (uintptr_t)call_nowhere);
	expect_lt(trace.first[1].pc, (uintptr_t)call_nowhere + 2048);
	expect_notes(trace.first, trace.total, 2);
}

static volatile bool is_endless = true;

/* Its frame is smaller than the guard page, so that it is what faults. */
NOINLINE static void recurse(void)
{
	volatile char room[64];

	room[0] = 1;
	if (is_endless)
		recurse();
	STAY();
	room[1] = room[0];
}

TAP_CASE(overflow_keeps_both_ends)
{
	not_under_valgrind();
	catch_faults();
	if (sigsetjmp(signal_back, 1) == 0)
		run_there(recurse);
	expect_gt(trace.total, 500);
	for (size_t i = 0; i < 4; i++) {
		const struct unwind_frame *frame = unwind_trace_at(&trace, trace.total - 1 - i);
		require(frame != NULL);
		expect_eq(frame->pc, notes[i]);
	}
	expect(unwind_trace_at(&trace, 49) == &trace.first[49]);
	expect(unwind_trace_at(&trace, 50) == NULL);
	expect(unwind_trace_at(&trace, trace.total - 11) == NULL);
	expect(unwind_trace_at(&trace, trace.total - 10) != NULL);
	expect_eq(trace.first[20].pc, trace.first[30].pc);
}

#if defined(__x86_64__)
static void trace_in_handler(int signo)
{
	(void)signo;
	unwind_trace_self(&trace, stack_bounds());
}

NOINLINE static void raise_here(void)
{
	NOTE();
	raise(SIGUSR1);
	STAY();
}

TAP_CASE(handler_on_the_same_stack_is_unwound_through)
{
	signal(SIGUSR1, trace_in_handler);
	run_there(raise_here);
	require_ge(trace.total, 3 + 5);
	expect_notes(trace.first, trace.total, trace.total - 5);
	int n_exact = 0;
	for (size_t i = 0; i < trace.total; i++)
		n_exact += trace.first[i].is_exact;
	expect_eq(n_exact, 1);
}
#endif

/* ---- rules that compilers seldom write ---- */

void odd_frame(void (*fn)(void));       /* CFA and registers by expressions */
void silent_frame(void (*fn)(void));    /* no rules at all, but a frame pointer */
void fp_frame(void);                    /* finds its frame by the frame pointer */
void tail_frame(void (*fn)(void));      /* ends with its call: what follows has other rules */

#if defined(__x86_64__)
__asm__(".text\n"
	".globl odd_frame; .hidden odd_frame; .type odd_frame, @function\n"
	"odd_frame:\n"
	".cfi_startproc\n"
	"	pushq %rbx\n"
	"	.cfi_escape 0x0f, 4, 0x77, 0, 0x40, 0x22\n" /* CFA: rsp + 16 */
	"	.cfi_escape 0x10, 3, 2, 0x40, 0x1c\n"       /* rbx: at CFA - 16 */
	"	.cfi_escape 0x16, 6, 2, 0x76, 0\n"          /* rbp: is rbp */
	"	movq $-1, %rbx\n"
	"	callq *%rdi\n"
	"	popq %rbx\n"
	"	.cfi_def_cfa rsp, 8\n"
	"	retq\n"
	".cfi_endproc\n"
	".size odd_frame, . - odd_frame\n"
	".globl fp_frame; .hidden fp_frame; .type fp_frame, @function\n"
	"fp_frame:\n"
	".cfi_startproc\n"
	"	.cfi_def_cfa rbp, 16\n"
	"	.cfi_offset rbp, -16\n"
	"	nop\n"
	"	ud2\n"
	".cfi_endproc\n"
	".size fp_frame, . - fp_frame\n"
	".globl tail_frame; .hidden tail_frame; .type tail_frame, @function\n"
	"tail_frame:\n"
	".cfi_startproc\n"
	"	pushq %rbp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	callq *%rdi\n"
	".cfi_endproc\n"
	".cfi_startproc\n"
	"	.cfi_undefined rip\n"
	"	popq %rbp\n"
	"	retq\n"
	".cfi_endproc\n"
	".size tail_frame, . - tail_frame\n"
	".globl silent_frame; .hidden silent_frame; .type silent_frame, @function\n"
	"silent_frame:\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	callq *%rdi\n"
	"	popq %rbp\n"
	"	retq\n"
	".size silent_frame, . - silent_frame\n");
#else
__asm__(".text\n"
	".globl odd_frame; .hidden odd_frame; .type odd_frame, %function\n"
	"odd_frame:\n"
	".cfi_startproc\n"
	"	stp x29, x30, [sp, #-16]!\n"
	"	.cfi_escape 0x0f, 4, 0x8f, 0, 0x40, 0x22\n" /* CFA: sp + 16 */
	"	.cfi_escape 0x10, 29, 2, 0x40, 0x1c\n"      /* x29: at CFA - 16 */
	"	.cfi_escape 0x10, 30, 2, 0x38, 0x1c\n"      /* x30: at CFA - 8 */
	"	mov x29, #-1\n"
	"	blr x0\n"
	"	ldp x29, x30, [sp], #16\n"
	"	.cfi_def_cfa sp, 0\n"
	"	ret\n"
	".cfi_endproc\n"
	".size odd_frame, . - odd_frame\n"
	".globl fp_frame; .hidden fp_frame; .type fp_frame, %function\n"
	"fp_frame:\n"
	".cfi_startproc\n"
	"	.cfi_def_cfa x29, 16\n"
	"	.cfi_offset x29, -16\n"
	"	.cfi_offset x30, -8\n"
	"	nop\n"
	"	brk #1\n"
	".cfi_endproc\n"
	".size fp_frame, . - fp_frame\n"
	".globl tail_frame; .hidden tail_frame; .type tail_frame, %function\n"
	"tail_frame:\n"
	".cfi_startproc\n"
	"	stp x29, x30, [sp, #-16]!\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset x30, -8\n"
	"	.cfi_remember_state\n"
	"	.cfi_def_cfa_offset 999\n"
	"	.cfi_restore_state\n"
	"	blr x0\n"
	".cfi_endproc\n"
	".cfi_startproc\n"
	"	.cfi_undefined x30\n"
	"	ldp x29, x30, [sp], #16\n"
	"	ret\n"
	".cfi_endproc\n"
	".size tail_frame, . - tail_frame\n"
	".globl silent_frame; .hidden silent_frame; .type silent_frame, %function\n"
	"silent_frame:\n"
	"	stp x29, x30, [sp, #-16]!\n"
	"	mov x29, sp\n"
	"	blr x0\n"
	"	ldp x29, x30, [sp], #16\n"
	"	ret\n"
	".size silent_frame, . - silent_frame\n");
#endif

NOINLINE static void park_behind_odd(void)
{
	NOTE();
	odd_frame(park);
	STAY();
}

TAP_CASE(expressions_are_evaluated)
{
	struct unwind_regs regs;
	struct unwind_frame frames[20];

	run_there(park_behind_odd);
	unwind_regs_from_sp(&regs, there_sp);
	size_t n = unwind_collect(&regs, stack_bounds(), frames, 20);
	expect_eq(n, 3 + 5); /* in park, in odd_frame, in park_behind_odd, and the noted ones */
	expect_notes(frames, n, 3);
}

NOINLINE static void park_behind_tail(void)
{
	NOTE();
	tail_frame(park);
	STAY();
}

TAP_CASE(call_at_the_end_of_a_function_belongs_to_it)
{
	struct unwind_regs regs;
	struct unwind_frame frames[20];

	run_there(park_behind_tail);
	unwind_regs_from_sp(&regs, there_sp);
	size_t n = unwind_collect(&regs, stack_bounds(), frames, 20);
	expect_eq(n, 3 + 5);
	expect_notes(frames, n, 3);
}

NOINLINE static void park_behind_silent(void)
{
	NOTE();
	silent_frame(park);
	STAY();
}

TAP_CASE(frame_pointer_leads_through_code_without_rules)
{
	struct unwind_regs regs;
	struct unwind_frame frames[20];

	run_there(park_behind_silent);
	unwind_regs_from_sp(&regs, there_sp);
	size_t n = unwind_collect(&regs, stack_bounds(), frames, 20);
	expect_eq(n, 3 + 5);
	expect_notes(frames, n, 3);
}

/* ---- broken stacks ---- */

/* AddressSanitizer forbids to touch the gaps between variables, which is what is done here. */
static void unpoison_stack(void)
{
	if (__asan_unpoison_memory_region != NULL)
		__asan_unpoison_memory_region(stack, STACK_SIZE);
}

/* What a wild write or a wrong length leaves: noise, zeros, and words that look right. */
static uintptr_t wrong_word(uint64_t *state)
{
	uintptr_t in_stack = (uintptr_t)stack + tap_random(state) % (STACK_SIZE / 8) * 8;

	switch (tap_random(state) % 6) {
	case 0:
		return 0;
	case 1:
		return in_stack;
	case 2:
		return in_stack + tap_random(state) % 8;
	case 3:
		return notes[tap_random(state) % (uint64_t)n_notes];
	case 4:
		return (uintptr_t)inner + tap_random(state) % 64;
	default:
		return tap_random(state);
	}
}

TAP_CASE(broken_stack_neither_faults_nor_loops)
{
	static char copy[STACK_SIZE];
	struct unwind_regs regs;
	uint64_t state = tap_seed();

	not_under_valgrind();
	run_there(park_behind_silent);
	size_t used = (uintptr_t)stack + STACK_SIZE - (uintptr_t)there_sp;
	unpoison_stack();
	memcpy(copy, there_sp, used);
	for (int round = 0; round < 20000; round++) {
		size_t n_words = 1 + tap_random(&state) % 8;
		for (size_t i = 0; i < n_words; i++) {
			uintptr_t word = wrong_word(&state);
			memcpy((char *)there_sp + tap_random(&state) % (used / 8) * 8, &word, 8);
		}
		unwind_regs_from_sp(&regs, there_sp);
		if (round % 4 == 0)
			regs.r[tap_random(&state) % UNWIND_REGS] = wrong_word(&state);
		if (round % 8 == 0)
			regs.is_exact = true;
		unwind_trace(&trace, &regs, stack_bounds());
		require_ge(trace.total, 1);
		require_le(trace.total, used / 8 + 2);
		memcpy(there_sp, copy, used);
	}
}

/* Above all the saved frame pointers, each of which can be made to lead back to any frame. */
TAP_CASE(any_word_may_point_anywhere_in_the_stack)
{
	struct unwind_regs regs;

	not_under_valgrind();
	run_there(park_behind_silent);
	size_t n_words = ((uintptr_t)stack + STACK_SIZE - (uintptr_t)there_sp) / 8;
	volatile uintptr_t *words = there_sp;
	unpoison_stack();
	n_words = n_words < 400 ? n_words : 400;
	for (size_t i = 0; i < n_words; i++) {
		uintptr_t kept = words[i];
		for (size_t k = 0; k < n_words; k++) {
			words[i] = (uintptr_t)&words[k];
			unwind_regs_from_sp(&regs, there_sp);
			unwind_trace(&trace, &regs, stack_bounds());
			require_le(trace.total, 20);
		}
		words[i] = kept;
	}
}

TAP_CASE(frame_that_is_its_own_caller_ends)
{
	struct unwind_regs regs = {.is_exact = false};

	stack_make();
	uintptr_t *frame = (uintptr_t *)(stack + STACK_SIZE / 2);
	uintptr_t inside = (uintptr_t)fp_frame + 1;
	regs.r[UNWIND_PC] = inside;
	regs.r[UNWIND_SP] = (uintptr_t)(frame - 2);
	regs.r[UNWIND_FP] = (uintptr_t)frame;
	frame[0] = (uintptr_t)frame;
	frame[1] = inside;
	unwind_trace(&trace, &regs, stack_bounds());
	expect_eq(trace.total, 2);
	frame[0] = (uintptr_t)(frame + 10); /* one that lies above may be */
	frame[10] = 0;
	frame[11] = inside;
	unwind_trace(&trace, &regs, stack_bounds());
	expect_eq(trace.total, 3);
}

TAP_CASE(guess_must_lead_to_code_with_rules)
{
	struct unwind_regs regs = {.is_exact = false};

	stack_make();
	uintptr_t *frame = (uintptr_t *)(stack + STACK_SIZE / 2);
	regs.r[UNWIND_PC] = 4096; /* nobody's code */
	regs.r[UNWIND_SP] = (uintptr_t)(frame - 2);
	regs.r[UNWIND_FP] = (uintptr_t)frame;
	frame[1] = 8192; /* nor this */
	unwind_trace(&trace, &regs, stack_bounds());
	expect_eq(trace.total, 1);
	frame[1] = (uintptr_t)inner + 1;
	unwind_trace(&trace, &regs, stack_bounds());
	expect_ge(trace.total, 2);
	/* A frame pointer below the stack pointer is none. */
	regs.r[UNWIND_SP] = (uintptr_t)(frame + 2);
	unwind_trace(&trace, &regs, stack_bounds());
	expect_eq(trace.total, 1);
}

TAP_CASE(registers_of_nowhere_end_at_once)
{
	struct unwind_regs regs = {.is_exact = true};

	stack_make();
	for (unsigned i = 0; i < UNWIND_REGS; i++)
		regs.r[i] = 0xdeadbeef00000000u + i;
	unwind_trace(&trace, &regs, stack_bounds());
	expect_eq(trace.total, 1);
	expect(!cfi_has(regs.r[UNWIND_PC]));
	expect(cfi_has((uintptr_t)inner));
}

TAP_MAIN
