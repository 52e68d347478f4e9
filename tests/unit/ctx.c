/*
 * ctx.c - the context switch; src/arch/ctx_amd64.S, ctx_arm64.S.
 *
 * probe() fills every register that a callee must give back, switches, and writes down what it
 * finds when it is resumed. Both sides do so in turn, each with numbers of its own, so that what
 * one side loses is either the other's or nobody's. The unwinder's view is tested in unwind.c.
 */
#include "tap.h"

#include <sys/mman.h>
#include <unwind.h>

#include "arch/arch.h"
#include "base/valgrind.h"

enum { STACK_SIZE = 64 << 10, REGS_MAX = 24 };

/* From `in` into the registers, ctx_switch(save, NULL, fn, NULL), from the registers to `out`. */
void probe(const uint64_t *in, uint64_t *out, void **save, void *(*fn)(void *));

#if defined(__x86_64__)
/* rbx, rbp, r12 to r15; then MXCSR in the lower and the x87 control word in the upper half. */
enum { N_REGS = 6, CONTROL = 6 };
#define N_WORDS 7
__asm__(".text\n"
	".globl probe; .hidden probe; .type probe, @function\n"
	"probe:\n"
	"	pushq %rbx; pushq %rbp; pushq %r12\n"
	"	pushq %r13; pushq %r14; pushq %r15\n"
	"	subq $24, %rsp\n"
	"	movq %rsi, (%rsp)\n"
	"	stmxcsr 8(%rsp)\n"
	"	fnstcw 12(%rsp)\n"
	"	movq %rdi, %rax\n"
	"	movq %rdx, %rdi\n"
	"	movq %rcx, %rdx\n"
	"	xorl %esi, %esi\n"
	"	xorl %ecx, %ecx\n"
	"	movq 0(%rax), %rbx; movq 8(%rax), %rbp; movq 16(%rax), %r12\n"
	"	movq 24(%rax), %r13; movq 32(%rax), %r14; movq 40(%rax), %r15\n"
	"	ldmxcsr 48(%rax)\n"
	"	fldcw 52(%rax)\n"
	"	callq ctx_switch\n"
	"	movq (%rsp), %rax\n"
	"	movq %rbx, 0(%rax); movq %rbp, 8(%rax); movq %r12, 16(%rax)\n"
	"	movq %r13, 24(%rax); movq %r14, 32(%rax); movq %r15, 40(%rax)\n"
	"	movq $0, 48(%rax)\n"
	"	stmxcsr 48(%rax)\n"
	"	fnstcw 52(%rax)\n"
	"	ldmxcsr 8(%rsp)\n"
	"	fldcw 12(%rsp)\n"
	"	addq $24, %rsp\n"
	"	popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
	"	retq\n"
	".size probe, . - probe\n");

/* All exceptions masked; rounding, flush of small numbers, precision as `state` says. */
static uint64_t control_word(uint64_t *state)
{
	uint64_t random = tap_random(state);
	uint64_t mxcsr = 0x1f80 | (random & 0x6000), x87 = 0x037f | (random >> 16 & 0x0c00);

	if (!valgrind_is_here()) { /* which knows the rounding only */
		mxcsr |= random & 0x8040;
		x87 &= ~(random >> 32 & 0x0300);
	}
	return mxcsr | x87 << 32;
}
#else
/* x19 to x29, d8 to d15; then FPCR. */
enum { N_REGS = 19, CONTROL = 19 };
#define N_WORDS 20
__asm__(".text\n"
	".globl probe; .hidden probe; .type probe, %function\n"
	"probe:\n"
	"	sub sp, sp, #192\n"
	"	stp x19, x20, [sp]; stp x21, x22, [sp, #16]; stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]; stp x27, x28, [sp, #64]; stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]; stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]; stp d14, d15, [sp, #144]\n"
	"	mrs x9, fpcr\n"
	"	stp x1, x9, [sp, #160]\n"
	"	mov x9, x0\n"
	"	mov x0, x2\n"
	"	mov x2, x3\n"
	"	mov x1, xzr\n"
	"	mov x3, xzr\n"
	"	ldp x19, x20, [x9]; ldp x21, x22, [x9, #16]; ldp x23, x24, [x9, #32]\n"
	"	ldp x25, x26, [x9, #48]; ldp x27, x28, [x9, #64]; ldr x29, [x9, #80]\n"
	"	ldp d8, d9, [x9, #88]; ldp d10, d11, [x9, #104]\n"
	"	ldp d12, d13, [x9, #120]; ldp d14, d15, [x9, #136]\n"
	"	ldr x10, [x9, #152]\n"
	"	msr fpcr, x10\n"
	"	bl ctx_switch\n"
	"	ldp x9, x11, [sp, #160]\n"
	"	stp x19, x20, [x9]; stp x21, x22, [x9, #16]; stp x23, x24, [x9, #32]\n"
	"	stp x25, x26, [x9, #48]; stp x27, x28, [x9, #64]; str x29, [x9, #80]\n"
	"	stp d8, d9, [x9, #88]; stp d10, d11, [x9, #104]\n"
	"	stp d12, d13, [x9, #120]; stp d14, d15, [x9, #136]\n"
	"	mrs x10, fpcr\n"
	"	str x10, [x9, #152]\n"
	"	msr fpcr, x11\n"
	"	ldp x19, x20, [sp]; ldp x21, x22, [sp, #16]; ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]; ldp x27, x28, [sp, #64]; ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]; ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]; ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #192\n"
	"	ret\n"
	".size probe, . - probe\n");

/* The rounding, the flush of small numbers to zero, the default NaN. */
static uint64_t control_word(uint64_t *state)
{
	return tap_random(state) & 0x03c00000;
}
#endif

/* The rounding of this thread, as libm would set it: 2 is up. */
static void rounding_set(unsigned mode)
{
#if defined(__x86_64__)
	__builtin_ia32_ldmxcsr((__builtin_ia32_stmxcsr() & ~0x6000u) | mode << 13);
#else
	uint64_t fpcr = (uint64_t)(mode == 2 ? 1 : 0) << 22;

	__asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
#endif
}

static char *stack;
static void *here_sp, *there_sp;

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

static char *stack_new(void)
{
	char *at =
		mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	require(at != MAP_FAILED);
	valgrind_stack_add((uintptr_t)at, (uintptr_t)at + STACK_SIZE);
	return at;
}

/* Resume entry on a stack of its own until it comes back. */
static void begin(struct ctx_leaving *(*entry)(void *), void *arg)
{
	stack = stack_new();
	there_sp = ctx_make(stack + STACK_SIZE, entry, arg);
	ctx_switch(&here_sp, NULL, resume_there, NULL);
}

/* ---- AR1: what survives ---- */

enum { ROUNDS = 2000 };

static uint64_t random_here, random_there;

static void probe_once(uint64_t *state, void **save, void *(*fn)(void *))
{
	uint64_t in[REGS_MAX], out[REGS_MAX] = {0};

	for (int i = 0; i < N_REGS; i++)
		in[i] = tap_random(state);
	in[CONTROL] = control_word(state);
	probe(in, out, save, fn);
	for (int i = 0; i < N_WORDS; i++)
		require_eq(out[i], in[i]);
}

static struct ctx_leaving *probe_there(void *arg)
{
	(void)arg;
	for (;;)
		probe_once(&random_there, &there_sp, resume_here);
	abort();
}

TAP_CASE(ar1_registers_and_control_words_survive_a_switch, .procs = "-")
{
	random_here = tap_seed();
	random_there = ~random_here;
	begin(probe_there, NULL);
	for (int i = 0; i < ROUNDS; i++)
		probe_once(&random_here, &here_sp, resume_there);
}

/* Does the probe itself find anything? fn returns the context that it left, with a word changed. */
static void *spoil_and_return(void *arg)
{
	(void)arg;
#if defined(__x86_64__)
	((uint64_t *)here_sp)[CTX_R13 / 8] ^= 1;
#else
	((uint64_t *)here_sp)[CTX_X21 / 8] ^= 1;
#endif
	return here_sp;
}

TAP_CASE(probe_finds_one_wrong_bit, .procs = "-")
{
	uint64_t in[REGS_MAX] = {0}, out[REGS_MAX], state = 1;
	int n_different = 0;

	in[CONTROL] = control_word(&state);
	probe(in, out, &here_sp, spoil_and_return);
	for (int i = 0; i < N_WORDS; i++)
		n_different += in[i] != out[i];
	expect_eq(n_different, 1);
}

static volatile double one = 1, three = 3;

static struct ctx_leaving *divide_there(void *arg)
{
	volatile double *result = arg;

	for (;;) {
		*result = one / three;
		ctx_switch(&there_sp, NULL, resume_here, NULL);
	}
	abort();
}

TAP_CASE(rounding_belongs_to_the_context, .procs = "-")
{
	volatile double there = 0;

	double nearest = one / three;
	rounding_set(2);
	double up = one / three;
	if (valgrind_is_here())
		tap_skip("valgrind does not round as it is told");
	require(nearest < up);
	begin(divide_there, (void *)&there); /* a new context has what a program starts with */
	expect(there == nearest);
	expect(one / three == up);
	ctx_switch(&here_sp, NULL, resume_there, NULL);
	expect(there == nearest);
	expect(one / three == up);
}

/* ---- stacks ---- */

static uintptr_t entry_frame;
static void *entry_arg;
static char entry_text[64];

__attribute__((noinline)) static void note_frame(void *arg)
{
	/* The C library uses aligned vector stores here: a wrong stack pointer faults. */
	snprintf(entry_text, sizeof(entry_text), "%.3f %p %.1Lf", 1.5, arg, 2.5L);
	entry_frame = (uintptr_t)__builtin_frame_address(0);
	entry_arg = arg;
}

static struct ctx_leaving *note_entry(void *arg)
{
	note_frame(arg);
	for (;;)
		ctx_switch(&there_sp, NULL, resume_here, NULL);
	abort();
}

TAP_CASE(first_frame_gets_its_argument_on_an_aligned_stack, .procs = "-")
{
	begin(note_entry, &here_sp);
	expect(entry_arg == &here_sp);
	expect_eq(entry_frame % 16, 0);
	expect_gt(entry_frame, (uintptr_t)stack);
	expect_lt(entry_frame, (uintptr_t)stack + STACK_SIZE);
}

TAP_CASE(first_frame_fits_into_what_it_says, .procs = "-")
{
	stack = stack_new();
	memset(stack, 0x55, STACK_SIZE);
	char *top = stack + STACK_SIZE / 2;
	void *sp = ctx_make(top, note_entry, NULL);
	expect_ge((uintptr_t)sp, (uintptr_t)(top - CTX_FIRST_FRAME));
	for (size_t i = 0; i < STACK_SIZE; i++)
		if (stack + i < top - CTX_FIRST_FRAME || stack + i >= top)
			require_eq(stack[i], 0x55);
}

static void *scheduler_stack;

static void *note_scheduler(void *arg)
{
	note_frame(arg);
	return here_sp;
}

TAP_CASE(function_between_runs_on_the_stack_that_was_named, .procs = "-")
{
	scheduler_stack = stack_new();
	for (uintptr_t skew = 0; skew < 32;
	     skew++) { /* whatever the saved pointer is, it is aligned */
		uintptr_t top = (uintptr_t)scheduler_stack + STACK_SIZE - skew;
		ctx_switch(&here_sp, (void *)top, note_scheduler, &skew);
		expect(entry_arg == &skew);
		expect_eq(entry_frame % 16, 0);
		expect_lt(entry_frame, top);
		expect_gt(entry_frame, top - 512);
	}
	/* NULL: below the frame that was left. */
	ctx_switch(&here_sp, NULL, note_scheduler, NULL);
	expect_lt(entry_frame, (uintptr_t)here_sp);
	expect_gt(entry_frame, (uintptr_t)here_sp - 512);
}

/* ---- leaving for good ---- */

static struct ctx_leaving leaving;

/* On the stack that was named for it; the registers of whoever is resumed must be as they were. */
static void *left_behind(void *arg)
{
	note_frame(arg);
	return here_sp;
}

static struct ctx_leaving *return_at_once(void *arg)
{
	(void)arg;
	return &leaving;
}

static struct ctx_leaving *leave_in_the_middle(void *arg)
{
	(void)arg;
	ctx_leave(leaving.stack, leaving.fn, leaving.arg);
}

static void expect_leaves_by(struct ctx_leaving *(*entry)(void *))
{
	scheduler_stack = stack_new();
	uintptr_t top = (uintptr_t)scheduler_stack + STACK_SIZE;
	leaving = (struct ctx_leaving){(void *)top, left_behind, &here_sp};
	stack = stack_new();
	random_here = tap_seed();
	for (uintptr_t skew = 0; skew < 100; skew++) {
		leaving.stack = (void *)(top - skew); /* it is aligned there */
		entry_arg = NULL;
		there_sp = ctx_make(stack + STACK_SIZE, entry, NULL);
		probe_once(&random_here, &here_sp, resume_there);
		expect(entry_arg == &here_sp);
		expect_eq(entry_frame % 16, 0);
		expect_le(entry_frame, top - skew);
		expect_gt(entry_frame, top - skew - 512);
	}
}

TAP_CASE(entry_that_returns_runs_what_it_named_on_the_other_stack, .procs = "-")
{
	expect_leaves_by(return_at_once);
}

TAP_CASE(context_can_leave_in_the_middle, .procs = "-")
{
	expect_leaves_by(leave_in_the_middle);
}

/* ---- the end markers, for the unwinder of C++ exceptions and of the C library ---- */

static int n_frames, end_code;

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg)
{
	(void)context, (void)arg;
	return ++n_frames < 50 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static void unwind_here(void)
{
	n_frames = 0;
	end_code = (int)_Unwind_Backtrace(count_frame, NULL);
}

static struct ctx_leaving *unwind_there(void *arg)
{
	(void)arg;
	for (;;) {
		unwind_here();
		ctx_switch(&there_sp, NULL, resume_here, NULL);
	}
	abort();
}

TAP_CASE(stack_of_a_context_ends_at_its_first_frame, .procs = "-")
{
	begin(unwind_there, NULL);
	expect_eq(end_code, _URC_END_OF_STACK);
	expect_ge(n_frames, 2);
	expect_le(n_frames, 4); /* perhaps unwind_here; unwind_there, ctx_start */
}

static void *unwind_between(void *arg)
{
	(void)arg;
	unwind_here();
	return here_sp;
}

TAP_CASE(stack_between_two_contexts_ends_at_the_switch, .procs = "-")
{
	scheduler_stack = stack_new();
	ctx_switch(&here_sp, (char *)scheduler_stack + STACK_SIZE, unwind_between, NULL);
	expect_eq(end_code, _URC_END_OF_STACK);
	expect_ge(n_frames, 2);
	expect_le(n_frames, 4);
}

/* ---- many contexts ---- */

enum { CONTEXTS = 100 };

static void *many_sp[CONTEXTS];
static int order[CONTEXTS * 3], n_order;

static struct ctx_leaving *run_many(void *arg)
{
	int number = (int)(intptr_t)arg;

	for (int round = 0;; round++) {
		order[n_order++] = number * 10 + round;
		ctx_switch(&many_sp[number], NULL, resume_here, NULL);
	}
	abort();
}

TAP_CASE(contexts_go_on_where_they_stopped, .procs = "-")
{
	for (int i = 0; i < CONTEXTS; i++)
		many_sp[i] = ctx_make(stack_new() + STACK_SIZE, run_many, (void *)(intptr_t)i);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < CONTEXTS; i++) {
			there_sp = many_sp[i];
			ctx_switch(&here_sp, NULL, resume_there, NULL);
			require_eq(order[n_order - 1], i * 10 + round);
		}
	}
}

TAP_MAIN
