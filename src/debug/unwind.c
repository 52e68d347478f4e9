/*
 * unwind.c - the calls that lead to a place: of this thread, of a parked goroutine, of a crash.
 *
 *   dump, panic, overflow -> registers -> [unwind_walk] -> debug/cfi.c: rules -> next registers
 *                                                       -> each(frame)
 *
 * UW1  Only words inside the bounds are read, and only at aligned addresses.
 * UW2  The frame address (CFA) grows from frame to frame, so that a walk ends; only a signal frame
 *      may stand anywhere within the bounds, and UNWIND_MOST ends what even so does not end.
 * UW3  What is guessed (no rules for this code) must lead to code that has rules, or the walk ends.
 * UW4  No heap, no lock of ours, no errno, less than 8 KiB of stack: works in a signal handler.
 *
 * Locking: none; whoever asks for another goroutine's stack makes sure that it does not run.
 * Go: runtime/traceback.go; it also has frame pointers, which C code often has not.
 */
#include "debug/unwind.h"

#include "base/check.h"
#include "base/sanitize.h"
#include "debug/cfi.h"

enum {
	UNWIND_MOST = 1 << 24,    /* of the smallest frames: a stack of 256 MiB */
	UNWIND_EXPR_DEPTH = 16
};

struct unwind_state {
	struct unwind_regs regs;
	struct unwind_bounds bounds;
	bool is_first;            /* nothing has been unwound yet */
	bool is_after_signal;     /* the frame was interrupted */
};

struct unwind_expr {
	uintptr_t stack[UNWIND_EXPR_DEPTH];
	unsigned depth;
	bool is_bad;
};

/* ---- memory ---- */

/* The words of a stack are nobody's variables: no sanitizer has a say. */
SANITIZE_NOTHING static uintptr_t unwind_load(uintptr_t at)
{
	return *(const volatile uintptr_t *)at;
}

static bool unwind_read(const struct unwind_state *w, uintptr_t at, uintptr_t *value)
{
	if (at % sizeof(uintptr_t) != 0 || at < w->bounds.lo || at >= w->bounds.hi ||
	    w->bounds.hi - at < sizeof(uintptr_t))
		return false;
	*value = unwind_load(at);
	return true;
}

/* ---- expressions: PLT entries and signal frames have them ---- */

static void expr_push(struct unwind_expr *x, uintptr_t value)
{
	if (x->depth == UNWIND_EXPR_DEPTH)
		x->is_bad = true;
	else
		x->stack[x->depth++] = value;
}

static uintptr_t expr_pop(struct unwind_expr *x)
{
	if (x->depth == 0) {
		x->is_bad = true;
		return 0;
	}
	return x->stack[--x->depth];
}

/* Operations on the two topmost values. */
static void expr_binary(struct unwind_expr *x, uint64_t op)
{
	uintptr_t b = expr_pop(x), a = expr_pop(x);
	intptr_t sa = (intptr_t)a, sb = (intptr_t)b;

	switch (op) {
	case 0x1a: /* and */
		expr_push(x, a & b);
		break;
	case 0x1c: /* minus */
		expr_push(x, a - b);
		break;
	case 0x1e: /* mul */
		expr_push(x, a * b);
		break;
	case 0x21: /* or */
		expr_push(x, a | b);
		break;
	case 0x22: /* plus */
		expr_push(x, a + b);
		break;
	case 0x24: /* shl */
		expr_push(x, b < 64 ? a << b : 0);
		break;
	case 0x25: /* shr */
		expr_push(x, b < 64 ? a >> b : 0);
		break;
	case 0x27: /* xor */
		expr_push(x, a ^ b);
		break;
	case 0x29: /* eq */
		expr_push(x, a == b);
		break;
	case 0x2a: /* ge */
		expr_push(x, sa >= sb);
		break;
	case 0x2b: /* gt */
		expr_push(x, sa > sb);
		break;
	case 0x2c: /* le */
		expr_push(x, sa <= sb);
		break;
	case 0x2d: /* lt */
		expr_push(x, sa < sb);
		break;
	case 0x2e: /* ne */
		expr_push(x, a != b);
		break;
	default: /* CF2: division, branches, calls are in nobody's frames */
		x->is_bad = true;
	}
}

/* A constant of 1, 2, 4 or 8 bytes: 0x08 const1u, 0x09 const1s, ... 0x0f const8s. */
static uintptr_t expr_constant(struct cfi_cursor *c, uint64_t op)
{
	size_t size = (size_t)1 << ((op - 0x08) / 2);
	uint64_t value = cfi_fixed(c, size);
	unsigned unused = 64 - (unsigned)size * 8;

	return op % 2 ? (uintptr_t)((int64_t)(value << unused) >> unused) : (uintptr_t)value;
}

static void expr_register(const struct unwind_state *w, struct unwind_expr *x, uint64_t reg,
			  int64_t offset)
{
	if (reg >= UNWIND_REGS)
		x->is_bad = true;
	else
		expr_push(x, w->regs.r[reg] + (uintptr_t)offset);
}

static void expr_obey(const struct unwind_state *w, struct unwind_expr *x, struct cfi_cursor *c)
{
	uint64_t op = cfi_fixed(c, 1), reg;
	uintptr_t value = 0;

	if (op >= 0x30 && op <= 0x4f) { /* lit0 to lit31 */
		expr_push(x, op - 0x30);
	} else if (op >= 0x70 && op <= 0x8f) { /* breg0 to breg31 */
		expr_register(w, x, op - 0x70, cfi_sleb(c));
	} else if (op == 0x92) { /* bregx */
		reg = cfi_uleb(c);
		expr_register(w, x, reg, cfi_sleb(c));
	} else if (op == 0x06) { /* deref */
		if (!unwind_read(w, expr_pop(x), &value))
			x->is_bad = true;
		expr_push(x, value);
	} else if (op >= 0x08 && op <= 0x0f) {
		expr_push(x, expr_constant(c, op));
	} else if (op == 0x10 || op == 0x11) { /* constu, consts */
		expr_push(x, op == 0x10 ? cfi_uleb(c) : (uintptr_t)cfi_sleb(c));
	} else if (op == 0x12) { /* dup */
		value = expr_pop(x);
		expr_push(x, value);
		expr_push(x, value);
	} else if (op == 0x23) { /* plus_uconst */
		expr_push(x, expr_pop(x) + cfi_uleb(c));
	} else {
		expr_binary(x, op);
	}
}

static bool unwind_eval(const struct unwind_state *w, const uint8_t *expr, const uintptr_t *initial,
			uintptr_t *value)
{
	struct unwind_expr x = {.depth = 0};
	struct cfi_cursor c = {expr, expr + 10, false};
	uint64_t size = cfi_uleb(&c);

	c.end = c.at + size; /* cfi.c has seen that the entry is that long */
	if (initial != NULL)
		expr_push(&x, *initial);
	while (c.at < c.end && !x.is_bad && !c.is_bad)
		expr_obey(w, &x, &c);
	*value = expr_pop(&x);
	return !x.is_bad && !c.is_bad;
}

/* ---- one step ---- */

static bool unwind_cfa(const struct unwind_state *w, const struct cfi_frame *f, uintptr_t *cfa)
{
	if (f->row.cfa.kind == CFI_VAL_EXPR) {
		if (!unwind_eval(w, f->row.cfa.expr, NULL, cfa))
			return false;
	} else if (f->row.cfa.kind == CFI_OFFSET && f->row.cfa_reg < UNWIND_REGS) {
		*cfa = w->regs.r[f->row.cfa_reg] + (uintptr_t)f->row.cfa.number;
	} else {
		return false;
	}
	uintptr_t sp = w->regs.r[UNWIND_SP];
	if (*cfa < w->bounds.lo || *cfa > w->bounds.hi || *cfa % sizeof(uintptr_t) != 0)
		return false;
	/*
	 * A leaf need not have a frame on arm64; any other function has pushed what it returns to.
	 */
	return *cfa > sp || f->is_signal || (*cfa == sp && (w->is_first || w->is_after_signal));
}

static bool unwind_rule(const struct unwind_state *w, const struct cfi_rule *rule, uintptr_t cfa,
			uintptr_t *value)
{
	uintptr_t at;

	switch (rule->kind) {
	case CFI_OFFSET:
		return unwind_read(w, cfa + (uintptr_t)rule->number, value);
	case CFI_VAL_OFFSET:
		*value = cfa + (uintptr_t)rule->number;
		return true;
	case CFI_REGISTER:
		if (rule->number < 0 || rule->number >= UNWIND_REGS)
			return false;
		*value = w->regs.r[rule->number];
		return true;
	case CFI_EXPR:
		return unwind_eval(w, rule->expr, &cfa, &at) && unwind_read(w, at, value);
	case CFI_VAL_EXPR:
		return unwind_eval(w, rule->expr, &cfa, value);
	default: /* CFI_SAME, CFI_UNDEFINED: what is there is as good as anything */
		return true;
	}
}

/* Code without rules: a call to nowhere, or a function that keeps a frame pointer. */
static bool unwind_guess(struct unwind_state *w)
{
	uintptr_t fp = w->regs.r[UNWIND_FP], next_fp, pc;

	if (w->is_first && w->regs.is_exact) {
		if (!unwind_undo_call(&w->regs, w->bounds.lo, w->bounds.hi))
			return false;
	} else {
		if (fp < w->regs.r[UNWIND_SP] || !unwind_read(w, fp, &next_fp) ||
		    !unwind_read(w, fp + sizeof(uintptr_t), &pc))
			return false;
		w->regs.r[UNWIND_FP] = next_fp;
		w->regs.r[UNWIND_SP] = fp + 2 * sizeof(uintptr_t);
		w->regs.r[UNWIND_PC] = unwind_strip_code(pc);
	}
	w->regs.is_exact = false;
	w->is_first = false;
	w->is_after_signal = false;
	return cfi_has(w->regs.r[UNWIND_PC] - 1);
}

/* Go to the caller's registers. False: there is no caller, or none that can be found. */
static bool unwind_step(struct unwind_state *w)
{
	struct cfi_frame f;
	uintptr_t cfa;

	if (!cfi_find(w->regs.r[UNWIND_PC] - (w->regs.is_exact ? 0 : 1), &f))
		return unwind_guess(w);
	if (f.row.reg[f.return_reg].kind == CFI_UNDEFINED || !unwind_cfa(w, &f, &cfa))
		return false;
	struct unwind_regs caller = w->regs;
	caller.r[UNWIND_SP] = cfa;
	for (unsigned i = 0; i < UNWIND_REGS; i++)
		if (!unwind_rule(w, &f.row.reg[i], cfa, &caller.r[i]))
			return false;
	caller.r[UNWIND_PC] = unwind_strip_code(caller.r[f.return_reg]);
	caller.is_exact = f.is_signal;
	w->regs = caller;
	w->is_first = false;
	w->is_after_signal = f.is_signal;
	return caller.r[UNWIND_PC] != 0;
}

/* ---- the walk ---- */

size_t unwind_walk(const struct unwind_regs *regs, struct unwind_bounds bounds, unwind_each *each,
		   void *arg)
{
	struct unwind_state w = {.regs = *regs, .bounds = bounds, .is_first = true};
	size_t n = 0;

	do {
		struct unwind_frame frame = {w.regs.r[UNWIND_PC], w.regs.is_exact};
		n++;
		if (!each(&frame, arg))
			break;
	} while (n < UNWIND_MOST && unwind_step(&w));
	return n;
}

struct unwind_list {
	struct unwind_frame *frames;
	size_t n, max;
};

static bool unwind_append(const struct unwind_frame *frame, void *arg)
{
	struct unwind_list *list = arg;

	list->frames[list->n++] = *frame;
	return list->n < list->max;
}

size_t unwind_collect(const struct unwind_regs *regs, struct unwind_bounds bounds,
		      struct unwind_frame *frames, size_t max)
{
	struct unwind_list list = {frames, 0, max};

	return max == 0 ? 0 : unwind_walk(regs, bounds, unwind_append, &list);
}

static bool unwind_keep(const struct unwind_frame *frame, void *arg)
{
	struct unwind_trace *trace = arg;

	if (trace->total < UNWIND_FIRST)
		trace->first[trace->total] = *frame;
	else
		trace->last[trace->total % UNWIND_LAST] = *frame;
	trace->total++;
	return true;
}

void unwind_trace(struct unwind_trace *trace, const struct unwind_regs *regs,
		  struct unwind_bounds bounds)
{
	trace->total = 0;
	unwind_walk(regs, bounds, unwind_keep, trace);
}

/*
 * Not inlined, and not left before unwind_trace returns: its own frame is what the first step
 * leaves.
 */
__attribute__((noinline)) void unwind_trace_self(struct unwind_trace *trace,
						 struct unwind_bounds bounds)
{
	struct unwind_regs regs = {.is_exact = false};
	struct unwind_state w;

	unwind_capture(&regs);
	w = (struct unwind_state){.regs = regs, .bounds = bounds, .is_first = true};
	if (unwind_step(&w))
		regs = w.regs;
	unwind_trace(trace, &regs, bounds);
	__asm__ volatile("" : : "r"(trace) : "memory");
}

const struct unwind_frame *unwind_trace_at(const struct unwind_trace *trace, size_t i)
{
	if (i < UNWIND_FIRST)
		return &trace->first[i];
	return trace->total - i <= UNWIND_LAST ? &trace->last[i % UNWIND_LAST] : NULL;
}
