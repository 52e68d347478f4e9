/*
 * symbol.h - names for code addresses, and stacks printed with them.
 *
 * Slow (the first call reads the program's debug information), not for hot paths. Two threads must
 * not be in here at once: the reports, its only callers, hold their lock. Needs 24 KiB of stack, no
 * heap (mappings of its own, which it keeps), and works in a signal handler as far as
 * dl_iterate_phdr does: not while this thread has been interrupted in dlopen.
 */
#ifndef DEBUG_SYMBOL_H
#define DEBUG_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "debug/unwind.h"

/* The strings live until the callback returns. */
struct symbol_frame {
	uintptr_t pc;
	const char *function;    /* NULL: unknown */
	uintptr_t offset;        /* of pc in function, if has_offset */
	bool has_offset;         /* where the function begins is known: by its symbol */
	const char *file;        /* NULL: no debug information here */
	int line;
	bool is_inlined;         /* a function that the next frame's function contains: no offset */
	const char *module;      /* the program or library with the pc; NULL: in none */
	uintptr_t module_offset;
};

typedef void symbol_each(const struct symbol_frame *frame, void *arg);

/*
 * Calls each at least once: for inlined functions first, the innermost first, then for the real
 * one.
 */
void symbol_resolve(uintptr_t pc, bool is_exact, symbol_each *each, void *arg);

/* What takes a lock of libc the first time, done now: SY5. */
void symbol_prepare(void);

/*
 * "worker+0x1d\n", and "\t/path/prog.c:12\n" where debug information is at hand. An inlined
 * function is "helper (inlined)", one without a symbol "worker", unknown code
 * "0x55d0c0de (libx.so+0xde)".
 */
void symbol_print_frame(int fd, const struct unwind_frame *frame);
/* The frames kept, with "...N frames elided..." between. */
void symbol_print_trace(int fd, const struct unwind_trace *trace);
/*
 * The same without the library's inside: of each run of its frames only the one that the program
 * called, as far as the program called it.
 */
void symbol_print_calls(int fd, const struct unwind_trace *trace);
/* Is this the library's own code? Never true where the build does not tell (SY4). */
bool symbol_is_own(uintptr_t pc);

/* ---- where the names come from ---- */

struct symbol_module {
	uintptr_t bias;          /* address in memory minus address in the file */
	const char *path;        /* that can be opened; NULL: the program */
	const void *start;       /* of its addresses: symbol_module_at() */
};

/* Of what module is this code? Takes no lock; false also where that cannot be had without one. */
bool symbol_module_at(uintptr_t pc, struct symbol_module *module);

/*
 * symbol_elf.c: the addresses in the module from the first to the last of its functions whose name
 * begins with one of the prefixes; both are 0 if there is none. The first prefix that fits counts,
 * and "!x" means that names with x are not meant. False: nobody knows where all of
 * them are, since the file is stripped, or no file.
 */
bool symbol_elf_span(const struct symbol_module *module, const char *const *prefixes,
		     size_t n_prefixes, uintptr_t *lo, uintptr_t *hi);

/* symbol_elf.c: the function of the file's .symtab, else .dynsym, that holds pc - bias. */
bool symbol_elf_find(const struct symbol_module *module, uintptr_t pc, char *name, size_t size,
		     uintptr_t *start);

/*
 * symbol_backtrace.c: false if libbacktrace is absent or knows nothing; else each has been called.
 */
bool symbol_backtrace_find(const struct symbol_frame *unnamed, uintptr_t lookup, symbol_each *each,
			   void *arg);

#endif
