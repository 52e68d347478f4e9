/*
 * unwind_amd64.S - the registers of the caller, for an unwinder on x86-64. Contract: unwind.h.
 */
#include "arch/unwind.h"

	.text

/*
 * void unwind_capture(struct unwind_regs *regs)
 *                     rdi
 * Takes what a callee must preserve, and rsp and rip as they are after the return.
 */
	.globl	unwind_capture
	.hidden	unwind_capture
	.type	unwind_capture, @function
	.p2align 4
unwind_capture:
	.cfi_startproc
	movq	%rbx, 8 * UNWIND_RBX(%rdi)
	movq	%rbp, 8 * UNWIND_FP(%rdi)
	movq	%r12, 8 * UNWIND_R12(%rdi)
	movq	%r13, 8 * UNWIND_R13(%rdi)
	movq	%r14, 8 * UNWIND_R14(%rdi)
	movq	%r15, 8 * UNWIND_R15(%rdi)
	leaq	8(%rsp), %rax
	movq	%rax, 8 * UNWIND_SP(%rdi)
	movq	(%rsp), %rax
	movq	%rax, 8 * UNWIND_PC(%rdi)
	retq
	.cfi_endproc
	.size	unwind_capture, . - unwind_capture

	.section .note.GNU-stack, "", @progbits
