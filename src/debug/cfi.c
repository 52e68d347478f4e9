/*
 * cfi.c - where a function's caller finds its registers again: the rows of .eh_frame.
 *
 *   [cfi_find] -> _Unwind_Find_FDE (libgcc) -> the function's entry -> its program -> a row
 *
 * CF1  Nothing is read outside the entry's own bytes, and nothing of the stack is read here.
 * CF2  What we do not understand ends the search with false; no rule is guessed.
 *
 * We do not use _Unwind_Backtrace: it reads the stack where the rules point without asking whether
 * that is memory, and a crash report is wanted most when the stack is broken. Only its lookup of
 * the entry is taken, which takes no lock with the C library of 2022 and later, and works in static
 * programs.
 *
 * Locking: none of ours. Go: pclntab in runtime/symtab.go, which its compiler writes; C has DWARF.
 */
#include "debug/cfi.h"

enum { CFI_REMEMBERED = 4 }; /* compilers nest one or two */

/* In libgcc, next to _Unwind_Backtrace; its types are part of the ABI but of no header. */
struct cfi_bases {
	void *text, *data, *function;
};
const void *_Unwind_Find_FDE(void *pc, struct cfi_bases *bases);

struct cfi_common {
	uint64_t code_align;
	int64_t data_align;
	unsigned return_reg;
	uint8_t pointer_encoding;
	bool is_signal, is_augmented;
	struct cfi_cursor program;
};

struct cfi_machine {
	const struct cfi_common *common;
	struct cfi_row *row;
	struct cfi_row initial;               /* after the common program: for `restore` */
	struct cfi_row remembered[CFI_REMEMBERED];
	unsigned depth;
	uintptr_t at, pc;                     /* instructions for `at` and below have been obeyed */
};

/* ---- reading ---- */

uint64_t cfi_fixed(struct cfi_cursor *c, size_t size)
{
	uint64_t value = 0;

	if (c->is_bad || (size_t)(c->end - c->at) < size) {
		c->is_bad = true;
		return 0;
	}
	memcpy(&value, c->at, size); /* both architectures are little endian */
	c->at += size;
	return value;
}

static uint64_t cfi_leb(struct cfi_cursor *c, bool is_signed)
{
	uint64_t value = 0, byte;
	unsigned shift = 0;

	do {
		byte = cfi_fixed(c, 1);
		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) != 0);
	if (is_signed && (byte & 0x40) != 0 && shift < 64)
		value |= UINT64_MAX << shift;
	return value;
}

uint64_t cfi_uleb(struct cfi_cursor *c)
{
	return cfi_leb(c, false);
}

int64_t cfi_sleb(struct cfi_cursor *c)
{
	return (int64_t)cfi_leb(c, true);
}

static void cfi_skip(struct cfi_cursor *c, uint64_t size)
{
	if (c->is_bad || size > (uint64_t)(c->end - c->at))
		c->is_bad = true;
	else
		c->at += size;
}

/* Pointers in the entries are of several sizes (DW_EH_PE_*); we need none of their values. */
static void cfi_skip_pointer(struct cfi_cursor *c, uint8_t encoding)
{
	switch (encoding & 0x0f) {
	case 0x00:
	case 0x04:
	case 0x0c:
		cfi_skip(c, 8);
		break;
	case 0x02:
	case 0x0a:
		cfi_skip(c, 2);
		break;
	case 0x03:
	case 0x0b:
		cfi_skip(c, 4);
		break;
	case 0x01:
	case 0x09:
		cfi_uleb(c);
		break;
	default:
		c->is_bad = true;
	}
	if (encoding == 0x50) /* aligned: in no table of these architectures */
		c->is_bad = true;
}

/* A cursor over the entry at `entry`, after its length. */
static struct cfi_cursor cfi_open(const uint8_t *entry)
{
	struct cfi_cursor c = {entry, entry + 4, false};
	uint32_t size = (uint32_t)cfi_fixed(&c, 4);

	/* The end of the table; a 64-bit entry, which nobody writes. */
	if (size == 0 || size == UINT32_MAX)
		c.is_bad = true;
	else
		c.end = c.at + size;
	return c;
}

static bool cfi_read_common(const uint8_t *entry, struct cfi_common *common)
{
	struct cfi_cursor c = cfi_open(entry);
	const char *augmentation;

	*common = (struct cfi_common){0};
	if (cfi_fixed(&c, 4) != 0)
		return false;
	uint64_t version = cfi_fixed(&c, 1);
	if (version != 1 && version != 3)
		return false;
	augmentation = (const char *)c.at;
	while (cfi_fixed(&c, 1) != 0)
		continue;
	common->code_align = cfi_uleb(&c);
	common->data_align = cfi_sleb(&c);
	common->return_reg = (unsigned)(version == 1 ? cfi_fixed(&c, 1) : cfi_uleb(&c));
	if (c.is_bad || common->return_reg >= UNWIND_REGS)
		return false;
	if (*augmentation == 'z') {
		struct cfi_cursor data = c;
		uint64_t size = cfi_uleb(&c);
		cfi_uleb(&data);
		cfi_skip(&c, size);
		common->is_augmented = true;
		while (*++augmentation != 0) {
			if (*augmentation == 'R')
				common->pointer_encoding = (uint8_t)cfi_fixed(&data, 1);
			else if (*augmentation == 'L')
				cfi_skip(&data, 1);
			else if (*augmentation == 'P')
				cfi_skip_pointer(&data, (uint8_t)cfi_fixed(&data, 1));
			else if (*augmentation == 'S')
				common->is_signal = true;
			else if (*augmentation != 'B' && *augmentation != 'G') /* arm64 */
				return false;
		}
		c.is_bad |= data.is_bad;
	} else if (*augmentation != 0) {
		return false;
	}
	common->program = c;
	return !c.is_bad;
}

/* ---- the program of an entry ---- */

/* Registers that no rule of ours needs (vectors) are let go. */
static void cfi_set(struct cfi_machine *m, uint64_t reg, enum cfi_kind kind, int64_t number)
{
	if (reg < UNWIND_REGS)
		m->row->reg[reg] = (struct cfi_rule){.kind = kind, .number = number};
}

static void cfi_restore(struct cfi_machine *m, uint64_t reg)
{
	if (reg < UNWIND_REGS)
		m->row->reg[reg] = m->initial.reg[reg];
}

/* The expression stays where it is; the cursor goes behind it. */
static const uint8_t *cfi_expr(struct cfi_cursor *c)
{
	const uint8_t *expr = c->at;

	cfi_skip(c, cfi_uleb(c));
	return expr;
}

static void cfi_set_expr(struct cfi_machine *m, struct cfi_cursor *c, enum cfi_kind kind)
{
	uint64_t reg = cfi_uleb(c);
	const uint8_t *expr = cfi_expr(c);

	if (reg < UNWIND_REGS)
		m->row->reg[reg] = (struct cfi_rule){.kind = kind, .expr = expr};
}

static void cfi_set_cfa(struct cfi_machine *m, uint64_t reg, int64_t number)
{
	m->row->cfa = (struct cfi_rule){.kind = CFI_OFFSET, .number = number};
	m->row->cfa_reg = (unsigned)reg;
}

/* Operations that say where the frame is. False: it is none of them. */
static bool cfi_obey_cfa(struct cfi_machine *m, struct cfi_cursor *c, uint64_t op)
{
	int64_t align = m->common->data_align;
	uint64_t reg = m->row->cfa_reg;

	switch (op) {
	case 0x0c: /* def_cfa */
		reg = cfi_uleb(c);
		cfi_set_cfa(m, reg, (int64_t)cfi_uleb(c));
		return true;
	case 0x0d: /* def_cfa_register */
		cfi_set_cfa(m, cfi_uleb(c), m->row->cfa.number);
		return true;
	case 0x0e: /* def_cfa_offset */
		cfi_set_cfa(m, reg, (int64_t)cfi_uleb(c));
		return true;
	case 0x0f: /* def_cfa_expression */
		m->row->cfa = (struct cfi_rule){.kind = CFI_VAL_EXPR, .expr = cfi_expr(c)};
		return true;
	case 0x12: /* def_cfa_sf */
		reg = cfi_uleb(c);
		cfi_set_cfa(m, reg, cfi_sleb(c) * align);
		return true;
	case 0x13: /* def_cfa_offset_sf */
		cfi_set_cfa(m, reg, cfi_sleb(c) * align);
		return true;
	default:
		return false;
	}
}

/* Operations that say where a register is. False: it is none of them. */
static bool cfi_obey_reg(struct cfi_machine *m, struct cfi_cursor *c, uint64_t op)
{
	int64_t align = m->common->data_align;

	if (op < 0x05 || op == 0x0a || op == 0x0b || op > 0x2f)
		return false;
	if (op == 0x10 || op == 0x16) { /* expression, val_expression */
		cfi_set_expr(m, c, op == 0x10 ? CFI_EXPR : CFI_VAL_EXPR);
		return true;
	}
	if (op == 0x2d) /* arm64: the return address is signed from here on; we strip it always */
		return true;
	uint64_t reg = cfi_uleb(c); /* of 0x2e it is a size, of no interest here */
	switch (op) {
	case 0x05: /* offset_extended */
		cfi_set(m, reg, CFI_OFFSET, (int64_t)cfi_uleb(c) * align);
		return true;
	case 0x06: /* restore_extended */
		cfi_restore(m, reg);
		return true;
	case 0x07: /* undefined */
		cfi_set(m, reg, CFI_UNDEFINED, 0);
		return true;
	case 0x08: /* same_value */
		cfi_set(m, reg, CFI_SAME, 0);
		return true;
	case 0x09: /* register */
		cfi_set(m, reg, CFI_REGISTER, (int64_t)cfi_uleb(c));
		return true;
	case 0x11: /* offset_extended_sf */
		cfi_set(m, reg, CFI_OFFSET, cfi_sleb(c) * align);
		return true;
	case 0x14: /* val_offset */
		cfi_set(m, reg, CFI_VAL_OFFSET, (int64_t)cfi_uleb(c) * align);
		return true;
	case 0x15: /* val_offset_sf */
		cfi_set(m, reg, CFI_VAL_OFFSET, cfi_sleb(c) * align);
		return true;
	case 0x2e: /* GNU_args_size */
		return true;
	case 0x2f: /* GNU_negative_offset_extended */
		cfi_set(m, reg, CFI_OFFSET, -(int64_t)cfi_uleb(c) * align);
		return true;
	default:
		return false;
	}
}

/* Operations that move on in the code, or keep and bring back a row. False: it is none of them. */
static bool cfi_obey_flow(struct cfi_machine *m, struct cfi_cursor *c, uint64_t op)
{
	switch (op) {
	case 0x00: /* nop */
		return true;
	case 0x02: /* advance_loc1, 2, 4 */
	case 0x03:
	case 0x04:
		m->at += cfi_fixed(c, (size_t)1 << (op - 2)) * m->common->code_align;
		return true;
	case 0x0a: /* remember_state */
		if (m->depth == CFI_REMEMBERED)
			return false;
		m->remembered[m->depth++] = *m->row;
		return true;
	case 0x0b: /* restore_state */
		if (m->depth == 0)
			return false;
		*m->row = m->remembered[--m->depth];
		return true;
	default:
		return false;
	}
}

/* Obey until the program ends or speaks of code beyond pc. */
static bool cfi_run(struct cfi_machine *m, struct cfi_cursor *c)
{
	while (c->at < c->end && m->at <= m->pc && !c->is_bad) {
		uint64_t op = cfi_fixed(c, 1), low = op & 0x3f;
		switch (op & 0xc0) {
		case 0x40: /* advance_loc */
			m->at += low * m->common->code_align;
			break;
		case 0x80: /* offset */
			cfi_set(m, low, CFI_OFFSET, (int64_t)cfi_uleb(c) * m->common->data_align);
			break;
		case 0xc0: /* restore */
			cfi_restore(m, low);
			break;
		default:
			if (!cfi_obey_flow(m, c, op) && !cfi_obey_cfa(m, c, op) &&
			    !cfi_obey_reg(m, c, op))
				return false;
		}
	}
	return !c->is_bad;
}

static const uint8_t *cfi_entry(uintptr_t pc, uintptr_t *function)
{
	struct cfi_bases bases = {0};
	const uint8_t *entry = _Unwind_Find_FDE((void *)pc, &bases);

	*function = (uintptr_t)bases.function;
	return entry;
}

bool cfi_has(uintptr_t pc)
{
	uintptr_t function;

	return cfi_entry(pc, &function) != NULL;
}

bool cfi_find(uintptr_t pc, struct cfi_frame *frame)
{
	struct cfi_common common;
	uintptr_t function;
	const uint8_t *entry = cfi_entry(pc, &function);

	if (entry == NULL)
		return false;
	struct cfi_cursor c = cfi_open(entry);
	const uint8_t *here = c.at;
	uint64_t back = cfi_fixed(&c, 4);
	if (c.is_bad || !cfi_read_common(here - back, &common))
		return false;
	cfi_skip_pointer(&c, common.pointer_encoding);
	cfi_skip_pointer(&c, common.pointer_encoding & 0x0f);
	if (common.is_augmented)
		cfi_skip(&c, cfi_uleb(&c));

	*frame = (struct cfi_frame){.return_reg = common.return_reg, .is_signal = common.is_signal};
	struct cfi_machine m = {.common = &common, .row = &frame->row, .at = 0, .pc = 0};
	if (!cfi_run(&m, &common.program))
		return false;
	m.initial = frame->row;
	m.at = function;
	m.pc = pc;
	return cfi_run(&m, &c);
}
