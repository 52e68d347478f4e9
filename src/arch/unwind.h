/*
 * unwind.h - the registers that an unwinder starts from, and the three places where they come from.
 *
 *   ctx_switch left them on a stack -> [unwind_regs_from_sp]      -> debug/unwind.c
 *   a signal handler's third argument -> [unwind_regs_from_signal] ->
 *   the caller itself                -> [unwind_capture]          ->
 *
 * UR1  r[] is indexed by DWARF register number; r[UNWIND_PC] is where execution goes on.
 * UR2  is_exact: r[UNWIND_PC] is an instruction that has not been completed (a signal came).
 *      Otherwise it is a return address, and the call that it belongs to ends one byte before it.
 * UR3  At rest only callee-saved registers, the stack pointer and the pc are known; the others are
 *      0, which is right: no call frame information refers to them at a call.
 */
#ifndef ARCH_UNWIND_H
#define ARCH_UNWIND_H

/* Offsets shared with unwind_<isa>.S. */
#if defined(__x86_64__)
#define UNWIND_RBX 3
#define UNWIND_FP 6
#define UNWIND_SP 7
#define UNWIND_R12 12
#define UNWIND_R13 13
#define UNWIND_R14 14
#define UNWIND_R15 15
#define UNWIND_PC 16
#define UNWIND_REGS 17
#elif defined(__aarch64__)
#define UNWIND_X19 19
#define UNWIND_FP 29
#define UNWIND_LR 30
#define UNWIND_SP 31
#define UNWIND_PC 32
#define UNWIND_REGS 33
#endif

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include "arch/arch.h"

struct unwind_regs {
	uintptr_t r[UNWIND_REGS];
	bool is_exact;
};

/* Fill the callee-saved registers, sp and pc as they are when it has returned; the rest stays. */
void unwind_capture(struct unwind_regs *regs);

static inline uintptr_t unwind_saved(const void *saved_sp, unsigned offset)
{
	uintptr_t value;

	memcpy(&value, (const char *)saved_sp + offset, sizeof(value));
	return value;
}

/* The registers of a context at rest, as they will be when ctx_switch returns in it. */
static inline void unwind_regs_from_sp(struct unwind_regs *regs, const void *saved_sp)
{
	*regs = (struct unwind_regs){.is_exact = false};
	regs->r[UNWIND_SP] = (uintptr_t)saved_sp + CTX_FRAME_SIZE;
	regs->r[UNWIND_PC] = unwind_saved(saved_sp, CTX_PC);
#if defined(__x86_64__)
	regs->r[UNWIND_FP] = unwind_saved(saved_sp, CTX_RBP);
	regs->r[UNWIND_RBX] = unwind_saved(saved_sp, CTX_RBX);
	regs->r[UNWIND_R12] = unwind_saved(saved_sp, CTX_R12);
	regs->r[UNWIND_R13] = unwind_saved(saved_sp, CTX_R13);
	regs->r[UNWIND_R14] = unwind_saved(saved_sp, CTX_R14);
	regs->r[UNWIND_R15] = unwind_saved(saved_sp, CTX_R15);
#elif defined(__aarch64__)
	for (unsigned i = 0; i < 10; i++)
		regs->r[UNWIND_X19 + i] = unwind_saved(saved_sp, CTX_X19 + i * 8);
	regs->r[UNWIND_FP] = unwind_saved(saved_sp, CTX_FP);
	regs->r[UNWIND_LR] = regs->r[UNWIND_PC];
#endif
}

/* The registers that a signal interrupted: `context` is the third argument of its handler. */
static inline void unwind_regs_from_signal(struct unwind_regs *regs, const void *context)
{
	const mcontext_t *mc = &((const ucontext_t *)context)->uc_mcontext;

	*regs = (struct unwind_regs){.is_exact = true};
#if defined(__x86_64__)
	/* The kernel's order, in DWARF's: rax rdx rcx rbx rsi rdi rbp rsp r8 to r15 rip. */
	static const uint8_t place[UNWIND_REGS] = {
		REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
		REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
	for (unsigned i = 0; i < UNWIND_REGS; i++)
		regs->r[i] = (uintptr_t)mc->gregs[place[i]];
#elif defined(__aarch64__)
	for (unsigned i = 0; i < 31; i++)
		regs->r[i] = (uintptr_t)mc->regs[i];
	regs->r[UNWIND_SP] = (uintptr_t)mc->sp;
	regs->r[UNWIND_PC] = (uintptr_t)mc->pc;
#endif
}

/* A return address as the processor would jump to it: without its authentication code (arm64). */
static inline uintptr_t unwind_strip_code(uintptr_t pc)
{
#if defined(__aarch64__)
	register uintptr_t lr __asm__("x30") = pc;
	__asm__("hint #7" : "+r"(lr)); /* xpaclri; does nothing on processors that do not sign */
	return lr;
#else
	return pc;
#endif
}

/*
 * Undo a call whose callee has not executed its first instruction: a jump through a bad function
 * pointer. The return address is on the stack, or in lr. False if it is not between lo and hi.
 */
static inline bool unwind_undo_call(struct unwind_regs *regs, uintptr_t lo, uintptr_t hi)
{
#if defined(__x86_64__)
	uintptr_t sp = regs->r[UNWIND_SP];
	if (sp % sizeof(uintptr_t) != 0 || sp < lo || sp >= hi || hi - sp < sizeof(uintptr_t))
		return false;
	regs->r[UNWIND_PC] = unwind_saved((void *)sp, 0);
	regs->r[UNWIND_SP] = sp + sizeof(uintptr_t);
#elif defined(__aarch64__)
	(void)lo, (void)hi;
	regs->r[UNWIND_PC] = unwind_strip_code(regs->r[UNWIND_LR]);
#endif
	regs->is_exact = false;
	return true;
}

#endif /* __ASSEMBLER__ */

#endif
