/*
 * ctx_amd64.h - the frame that a context at rest has pushed, as offsets from its saved
 * stack pointer.
 *
 * The System V ABI lets a callee expect back rbx, rbp, r12 to r15, the control bits of MXCSR
 * and the x87 control word. Not saved: the caller-saved registers and vectors (dead at a
 * call), the segment bases (they belong to the thread), the status bits of MXCSR come along
 * with its control bits.
 */
#ifndef ARCH_CTX_AMD64_H
#define ARCH_CTX_AMD64_H

#define CTX_MXCSR 0
#define CTX_X87CW 4
#define CTX_R15 8
#define CTX_R14 16
#define CTX_R13 24
#define CTX_R12 32
#define CTX_RBX 40
#define CTX_RBP 48
#define CTX_PC 56
#define CTX_FRAME_SIZE 64

/* struct ctx_leaving (arch.h) */
#define CTX_LEAVING_STACK 0
#define CTX_LEAVING_FN 8
#define CTX_LEAVING_ARG 16

#endif
