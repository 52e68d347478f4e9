/*
 * unwind_arm64.S - the registers of the caller, for an unwinder on arm64. Contract: unwind.h.
 */
#include "arch/unwind.h"

	.text

/*
 * void unwind_capture(struct unwind_regs *regs)
 *                     x0
 * Takes what a callee must preserve, and sp and pc as they are after the return.
 */
	.globl	unwind_capture
	.hidden	unwind_capture
	.type	unwind_capture, %function
	.p2align 4
unwind_capture:
	.cfi_startproc
	add	x9, x0, #8 * UNWIND_X19
	stp	x19, x20, [x9]
	stp	x21, x22, [x9, #16]
	stp	x23, x24, [x9, #32]
	stp	x25, x26, [x9, #48]
	stp	x27, x28, [x9, #64]
	stp	x29, x30, [x9, #80]
	mov	x10, sp
	str	x10, [x0, #8 * UNWIND_SP]
	str	x30, [x0, #8 * UNWIND_PC]
	ret
	.cfi_endproc
	.size	unwind_capture, . - unwind_capture

	.section .note.GNU-stack, "", %progbits
