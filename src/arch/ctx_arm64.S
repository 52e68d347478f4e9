/*
 * ctx_arm64.S - the context switch for arm64. Contract: arch.h; frame: ctx_arm64.h.
 *
 *   park, yield, exit -> [ctx_switch] -> fn on the M's g0 stack -> the next context
 */
#include "arch/ctx_arm64.h"

	.text

/*
 * void ctx_switch(void **save_sp, void *stack, void *(*fn)(void *), void *arg)
 *                 x0              x1           x2                   x3
 * While fn runs, the frames below belong to nobody: the unwinder stops here (undefined lr).
 */
	.globl	ctx_switch
	.hidden	ctx_switch
	.type	ctx_switch, %function
	.p2align 4
ctx_switch:
	.cfi_startproc
	sub	sp, sp, #CTX_FRAME_SIZE
	.cfi_def_cfa_offset CTX_FRAME_SIZE
	stp	x19, x20, [sp, #CTX_X19]
	stp	x21, x22, [sp, #CTX_X21]
	stp	x23, x24, [sp, #CTX_X23]
	stp	x25, x26, [sp, #CTX_X25]
	stp	x27, x28, [sp, #CTX_X27]
	stp	x29, x30, [sp, #CTX_FP]
	stp	d8, d9, [sp, #CTX_D8]
	stp	d10, d11, [sp, #CTX_D10]
	stp	d12, d13, [sp, #CTX_D12]
	stp	d14, d15, [sp, #CTX_D14]
	.cfi_rel_offset x19, CTX_X19
	.cfi_rel_offset x20, CTX_X19 + 8
	.cfi_rel_offset x21, CTX_X21
	.cfi_rel_offset x22, CTX_X21 + 8
	.cfi_rel_offset x23, CTX_X23
	.cfi_rel_offset x24, CTX_X23 + 8
	.cfi_rel_offset x25, CTX_X25
	.cfi_rel_offset x26, CTX_X25 + 8
	.cfi_rel_offset x27, CTX_X27
	.cfi_rel_offset x28, CTX_X27 + 8
	.cfi_rel_offset x29, CTX_FP
	.cfi_rel_offset x30, CTX_PC
	.cfi_rel_offset d8, CTX_D8
	.cfi_rel_offset d9, CTX_D8 + 8
	.cfi_rel_offset d10, CTX_D10
	.cfi_rel_offset d11, CTX_D10 + 8
	.cfi_rel_offset d12, CTX_D12
	.cfi_rel_offset d13, CTX_D12 + 8
	.cfi_rel_offset d14, CTX_D14
	.cfi_rel_offset d15, CTX_D14 + 8
	mrs	x9, fpcr
	str	x9, [sp, #CTX_FPCR]
	mov	x10, sp
	str	x10, [x0]
	cmp	x1, #0
	csel	x1, x10, x1, eq
	.cfi_remember_state
	.cfi_undefined x30
	and	x1, x1, #-16
	mov	sp, x1
	mov	x0, x3
	blr	x2
.Lresume:
	mov	sp, x0
	.cfi_restore_state
	ldr	x9, [sp, #CTX_FPCR]
	mrs	x10, fpcr
	cmp	x9, x10
	b.eq	1f
	msr	fpcr, x9
1:	ldp	x19, x20, [sp, #CTX_X19]
	ldp	x21, x22, [sp, #CTX_X21]
	ldp	x23, x24, [sp, #CTX_X23]
	ldp	x25, x26, [sp, #CTX_X25]
	ldp	x27, x28, [sp, #CTX_X27]
	ldp	x29, x30, [sp, #CTX_FP]
	ldp	d8, d9, [sp, #CTX_D8]
	ldp	d10, d11, [sp, #CTX_D10]
	ldp	d12, d13, [sp, #CTX_D12]
	ldp	d14, d15, [sp, #CTX_D14]
	add	sp, sp, #CTX_FRAME_SIZE
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size	ctx_switch, . - ctx_switch

/*
 * void ctx_leave(void *stack, void *(*fn)(void *), void *arg)
 *                x0           x1                   x2
 * ctx_switch without the half that saves: nobody comes back here.
 */
	.globl	ctx_leave
	.hidden	ctx_leave
	.type	ctx_leave, %function
	.p2align 4
ctx_leave:
	.cfi_startproc
	.cfi_undefined x30
	and	x0, x0, #-16
	mov	sp, x0
	mov	x0, x2
	blr	x1
	b	.Lresume
	.cfi_endproc
	.size	ctx_leave, . - ctx_leave

/*
 * The first instruction of every goroutine: x19 = entry, x20 = its argument, laid down by ctx_make.
 * When entry returns, x0 tells what to run on g0 (struct ctx_leaving), as in ctx_leave.
 * The end marker: nobody called this frame. The first call stands in for the one whose return has
 * brought us here (AR2), for the processor's return predictor.
 */
	.type	ctx_start, %function
	.p2align 4
	.cfi_startproc
	.cfi_undefined x30
	nop	/* an unwinder looks up the return address minus one: keep that inside */
	.globl	ctx_start
	.hidden	ctx_start
ctx_start:
	bl	1f
1:	mov	x0, x20
	blr	x19
	ldr	x9, [x0, #CTX_LEAVING_STACK]
	ldr	x10, [x0, #CTX_LEAVING_FN]
	ldr	x0, [x0, #CTX_LEAVING_ARG]
	and	x9, x9, #-16
	mov	sp, x9
	blr	x10
	b	.Lresume
	.cfi_endproc
	.size	ctx_start, . - ctx_start

/*
 * void *ctx_make(void *top, struct ctx_leaving *(*entry)(void *), void *arg)
 *                x0         x1                     x2
 */
	.globl	ctx_make
	.hidden	ctx_make
	.type	ctx_make, %function
	.p2align 4
ctx_make:
	.cfi_startproc
	sub	x0, x0, #CTX_FRAME_SIZE
	stp	x1, x2, [x0, #CTX_X19]
	stp	xzr, xzr, [x0, #CTX_X21]
	stp	xzr, xzr, [x0, #CTX_X23]
	stp	xzr, xzr, [x0, #CTX_X25]
	stp	xzr, xzr, [x0, #CTX_X27]
	adr	x9, ctx_start
	stp	xzr, x9, [x0, #CTX_FP]
	stp	xzr, xzr, [x0, #CTX_D8]
	stp	xzr, xzr, [x0, #CTX_D10]
	stp	xzr, xzr, [x0, #CTX_D12]
	stp	xzr, xzr, [x0, #CTX_D14]
	str	xzr, [x0, #CTX_FPCR]	/* as a program starts with, not as the last user left it */
	ret
	.cfi_endproc
	.size	ctx_make, . - ctx_make

/*
 * void ctx_call(void (*fn)(void *), void *arg)
 *               x0                  x1
 */
	.globl	ctx_call
	.hidden	ctx_call
	.type	ctx_call, %function
	.p2align 4
ctx_call:
	.cfi_startproc
	.cfi_personality 0x1b, ctx_personality
	stp	x29, x30, [sp, #-16]!
	.cfi_adjust_cfa_offset 16
	.cfi_rel_offset x29, 0
	.cfi_rel_offset x30, 8
	mov	x29, sp
	mov	x9, x0
	mov	x0, x1
	blr	x9
	ldp	x29, x30, [sp], #16
	.cfi_adjust_cfa_offset -16
	.cfi_restore x29
	.cfi_restore x30
	ret
	.cfi_endproc
	.size	ctx_call, . - ctx_call

/*
 * What the C++ runtime asks about the frame above; w1: what it is doing. While it looks for a
 * handler (1): an error, 3, which makes it call std::terminate(). While it unwinds without one, for
 * pthread_exit(): go on, 8.
 */
	.type	ctx_personality, %function
	.p2align 4
ctx_personality:
	.cfi_startproc
	mov	w0, #8
	mov	w2, #3
	tst	w1, #1
	csel	w0, w2, w0, ne
	ret
	.cfi_endproc
	.size	ctx_personality, . - ctx_personality

	.section .note.GNU-stack, "", %progbits
