/*
 * arch.h - what an instruction set must offer. One implementation a folder file:
 * ctx_amd64, ctx_arm64.
 *
 * A context at rest is one pointer: the stack pointer below which its registers were pushed.
 * The layout of the pushed frame stands in ctx_<isa>.h and is shared by the assembly, the
 * unwinder and gdb.
 *
 * AR1  A saved frame holds every register that the ABI lets a callee expect back, and the
 *      control words of the floating-point units. Nothing else survives a switch: the compiler
 *      knows that of a call.
 * AR2  Calls and returns stay paired, so that the processor's return predictor stays right:
 *      that is why the switch calls a function that returns the next context, and there is no
 *      bare "jump to".
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#if defined(__x86_64__)
#include "arch/ctx_amd64.h"
#elif defined(__aarch64__)
#include "arch/ctx_arm64.h"
#else
#error "goro runs on x86-64 and arm64"
#endif

/*
 * Save the caller's registers on its stack and their place in *save_sp; go on on the stack below
 * `stack` (NULL: stay on this one), where fn(arg) is called; resume the context that fn returns.
 * Returns when somebody resumes *save_sp.
 */
void ctx_switch(void **save_sp, void *stack, void *(*fn)(void *), void *arg);

/* The same, but the caller's context is given up: does not return. */
noreturn void ctx_leave(void *stack, void *(*fn)(void *), void *arg);

/* What a first frame does when its entry has returned: ctx_leave(stack, fn, arg). */
struct ctx_leaving {
	void *stack;
	void *(*fn)(void *);
	void *arg;
};
_Static_assert(offsetof(struct ctx_leaving, fn) == CTX_LEAVING_FN &&
	       offsetof(struct ctx_leaving, arg) == CTX_LEAVING_ARG,
	       "the assembly knows the layout");

/*
 * Lay a first frame below `top` (16-byte aligned): resumed, it calls entry(arg), then
 * leaves as that says.
 */
void *ctx_make(void *top, struct ctx_leaving *(*entry)(void *), void *arg);
/* The code of every first frame: from here to ctx_make. For who unwinds. */
extern const char ctx_start[];

/*
 * fn(arg), for a function of the program that our own frames must not be left out of by a C++
 * exception: the C++ runtime finds no way past this frame and calls std::terminate(). longjmp(),
 * pthread_exit() and our switches pass.
 */
void ctx_call(void (*fn)(void *), void *arg);

/* The bytes that ctx_make needs below `top`. */
#define CTX_FIRST_FRAME CTX_FRAME_SIZE

#endif
