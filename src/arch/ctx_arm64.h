/*
 * ctx_arm64.h - the frame that a context at rest has pushed, as offsets from its saved
 * stack pointer.
 *
 * AAPCS64 lets a callee expect back x19 to x28, the frame pointer, the low halves of v8 to
 * v15, and the control bits of FPCR. Not saved: everything else is dead at a call; TPIDR
 * belongs to the thread.
 */
#ifndef ARCH_CTX_ARM64_H
#define ARCH_CTX_ARM64_H

#define CTX_X19 0
#define CTX_X21 16
#define CTX_X23 32
#define CTX_X25 48
#define CTX_X27 64
#define CTX_FP 80
#define CTX_PC 88
#define CTX_D8 96
#define CTX_D10 112
#define CTX_D12 128
#define CTX_D14 144
#define CTX_FPCR 160
#define CTX_FRAME_SIZE 176

/* struct ctx_leaving (arch.h) */
#define CTX_LEAVING_STACK 0
#define CTX_LEAVING_FN 8
#define CTX_LEAVING_ARG 16

#endif
