/*
 * cfi.h - where a function's caller finds its registers again: the rows of .eh_frame.
 */
#ifndef DEBUG_CFI_H
#define DEBUG_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/unwind.h"

enum cfi_kind {
	CFI_SAME,       /* unchanged; also: nothing is said about it */
	CFI_UNDEFINED,  /* lost; for the return address: there is no caller */
	CFI_OFFSET,     /* in memory, at CFA + number */
	CFI_VAL_OFFSET, /* is CFA + number */
	CFI_REGISTER,   /* is in the register `number` */
	CFI_EXPR,       /* in memory, where the expression says */
	CFI_VAL_EXPR    /* is what the expression says */
};

struct cfi_rule {
	enum cfi_kind kind;
	union {
		int64_t number;
		const uint8_t *expr; /* its length in LEB128, then its operations */
	};
};

/* What holds at one pc. */
struct cfi_row {
	struct cfi_rule cfa;  /* CFI_OFFSET: cfa_reg + number; or CFI_VAL_EXPR */
	unsigned cfa_reg;
	struct cfi_rule reg[UNWIND_REGS];
};

struct cfi_frame {
	struct cfi_row row;
	unsigned return_reg;  /* the column that holds the return address */
	bool is_signal;       /* its caller was interrupted, not calling */
};

struct cfi_cursor {
	const uint8_t *at, *end;
	bool is_bad;          /* ran over the end, or met what we do not know: gives 0 now */
};

/*
 * The row for `pc`, which lies inside an instruction of the function (for a return address: one
 * less). False: no call frame information, or some that we do not understand.
 */
bool cfi_find(uintptr_t pc, struct cfi_frame *frame);
bool cfi_has(uintptr_t pc);

uint64_t cfi_fixed(struct cfi_cursor *c, size_t size); /* little endian, size <= 8 */
uint64_t cfi_uleb(struct cfi_cursor *c);
int64_t cfi_sleb(struct cfi_cursor *c);

#endif
