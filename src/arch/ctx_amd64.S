/*
 * ctx_amd64.S - the context switch for x86-64. Contract: arch.h; frame: ctx_amd64.h.
 *
 *   park, yield, exit -> [ctx_switch] -> fn on the M's g0 stack -> the next context
 */
#include "arch/ctx_amd64.h"

	.text

/*
 * void ctx_switch(void **save_sp, void *stack, void *(*fn)(void *), void *arg)
 *                 rdi             rsi          rdx                  rcx
 * While fn runs, the frames below belong to nobody: the unwinder stops here (undefined rip).
 */
	.globl	ctx_switch
	.hidden	ctx_switch
	.type	ctx_switch, @function
	.p2align 4
ctx_switch:
	.cfi_startproc
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	stmxcsr	CTX_MXCSR(%rsp)
	fnstcw	CTX_X87CW(%rsp)
	movq	%rsp, (%rdi)
	testq	%rsi, %rsi
	cmoveq	%rsp, %rsi
	.cfi_remember_state
	.cfi_undefined rip
	movq	%rsi, %rsp
	andq	$-16, %rsp
	movq	%rcx, %rdi
	callq	*%rdx
.Lresume:
	movq	%rax, %rsp
	.cfi_restore_state
	ldmxcsr	CTX_MXCSR(%rsp)
	fldcw	CTX_X87CW(%rsp)
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	retq
	.cfi_endproc
	.size	ctx_switch, . - ctx_switch

/*
 * void ctx_leave(void *stack, void *(*fn)(void *), void *arg)
 *                rdi          rsi                  rdx
 * ctx_switch without the half that saves: nobody comes back here.
 */
	.globl	ctx_leave
	.hidden	ctx_leave
	.type	ctx_leave, @function
	.p2align 4
ctx_leave:
	.cfi_startproc
	.cfi_undefined rip
	movq	%rdi, %rsp
	andq	$-16, %rsp
	movq	%rdx, %rdi
	callq	*%rsi
	jmp	.Lresume
	.cfi_endproc
	.size	ctx_leave, . - ctx_leave

/*
 * The first instruction of every goroutine: r12 = entry, r13 = its argument, laid down by ctx_make.
 * When entry returns, rax tells what to run on g0 (struct ctx_leaving), as in ctx_leave.
 * The end marker: nobody called this frame.
 *
 * The first call stands in for the one whose return has brought us here (AR2): without it, all
 * returns of the next context would be predicted one frame off, about 20 ns in all.
 */
	.type	ctx_start, @function
	.p2align 4
	.cfi_startproc
	.cfi_undefined rip
	.cfi_undefined rbp
	nop	/* an unwinder looks up the return address minus one: keep that inside */
	.globl	ctx_start
	.hidden	ctx_start
ctx_start:
	callq	1f
	ud2
1:	addq	$8, %rsp
	movq	%r13, %rdi
	callq	*%r12
	movq	CTX_LEAVING_STACK(%rax), %rsp
	andq	$-16, %rsp
	movq	CTX_LEAVING_ARG(%rax), %rdi
	callq	*CTX_LEAVING_FN(%rax)
	jmp	.Lresume
	.cfi_endproc
	.size	ctx_start, . - ctx_start

/*
 * void *ctx_make(void *top, struct ctx_leaving *(*entry)(void *), void *arg)
 *                rdi        rsi                    rdx
 * At ctx_start, rsp is `top`: aligned to 16, as before a call. The control words are those that a
 * program starts with, not those of whoever ran on this thread last.
 */
	.globl	ctx_make
	.hidden	ctx_make
	.type	ctx_make, @function
	.p2align 4
ctx_make:
	.cfi_startproc
	leaq	-CTX_FRAME_SIZE(%rdi), %rax
	movl	$0x1f80, CTX_MXCSR(%rax)
	movl	$0x037f, CTX_X87CW(%rax)
	xorl	%ecx, %ecx
	movq	%rcx, CTX_R15(%rax)
	movq	%rcx, CTX_R14(%rax)
	movq	%rdx, CTX_R13(%rax)
	movq	%rsi, CTX_R12(%rax)
	movq	%rcx, CTX_RBX(%rax)
	movq	%rcx, CTX_RBP(%rax)
	leaq	ctx_start(%rip), %rcx
	movq	%rcx, CTX_PC(%rax)
	retq
	.cfi_endproc
	.size	ctx_make, . - ctx_make

/*
 * void ctx_call(void (*fn)(void *), void *arg)
 *               rdi                 rsi
 */
	.globl	ctx_call
	.hidden	ctx_call
	.type	ctx_call, @function
	.p2align 4
ctx_call:
	.cfi_startproc
	.cfi_personality 0x1b, ctx_personality
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	movq	%rdi, %rax
	movq	%rsi, %rdi
	callq	*%rax
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	retq
	.cfi_endproc
	.size	ctx_call, . - ctx_call

/*
 * What the C++ runtime asks about the frame above; esi: what it is doing. While it looks for a
 * handler (1): an error, 3, which makes it call std::terminate(). While it unwinds without one, for
 * pthread_exit(): go on, 8.
 */
	.type	ctx_personality, @function
	.p2align 4
ctx_personality:
	.cfi_startproc
	movl	$8, %eax
	movl	$3, %ecx
	testb	$1, %sil
	cmovnel	%ecx, %eax
	retq
	.cfi_endproc
	.size	ctx_personality, . - ctx_personality

	.section .note.GNU-stack, "", @progbits
