/*
 * symbol_backtrace.c - file, line and inlined functions through libbacktrace, which comes with gcc.
 *
 *   symbol_resolve -> [symbol_backtrace_find] -> libbacktrace -> the program's DWARF
 *
 * SB1  The real function is shown last; which call of libbacktrace that is, is known from a first
 *      pass.
 * SB2  It takes its memory from mmap, as gcc builds it for Linux, so that it works when the heap is
 *      broken or its lock is held; tests/unit/symbol.c watches the heap.
 *
 * Without GORO_HAVE_BACKTRACE there are names only. Locking: none; libbacktrace is told that there
 * are threads, since the report of one thread may be cut short by another's crash.
 *
 * Its header stands among gcc's own; to name that folder to clang makes clang's <stdatomic.h> step
 * aside for gcc's, which it cannot read. So its three functions are declared here.
 */
#include "debug/symbol.h"

#include "base/atomic.h"

#ifdef GORO_HAVE_BACKTRACE

struct backtrace_state;
typedef void backtrace_failed(void *data, const char *message, int number);
typedef int backtrace_line(void *data, uintptr_t pc, const char *file, int line,
			   const char *function);
typedef void backtrace_symbol(void *data, uintptr_t pc, const char *name, uintptr_t start,
			      uintptr_t size);
struct backtrace_state *backtrace_create_state(const char *path, int is_threaded,
					       backtrace_failed *failed, void *data);
int backtrace_pcinfo(struct backtrace_state *state, uintptr_t pc, backtrace_line *line,
		     backtrace_failed *failed, void *data);
int backtrace_syminfo(struct backtrace_state *state, uintptr_t pc, backtrace_symbol *symbol,
		      backtrace_failed *failed, void *data);

/* Made by the first report, never freed; SYMBOL-STATE */
static atomic_of(struct backtrace_state *) backtrace_state;

struct backtrace_pass {
	const struct symbol_frame *unnamed;
	symbol_each *each;   /* NULL: only count */
	void *arg;
	int n, n_all;        /* calls so far, and of the first pass */
	const char *symbol;  /* of the symbol table; NULL: none */
	uintptr_t start;
};

/* No debug information, no symbols: not errors here. */
static void backtrace_ignore(void *data, const char *message, int number)
{
	(void)data, (void)message, (void)number;
}

static int backtrace_visit_line(void *data, uintptr_t pc, const char *file, int line,
				const char *function)
{
	struct backtrace_pass *pass = data;
	struct symbol_frame frame = *pass->unnamed;

	(void)pc;
	if (function == NULL && file == NULL)
		return 0;
	pass->n++;
	if (pass->each == NULL)
		return 0;
	frame.is_inlined = pass->n < pass->n_all;
	frame.file = file;
	frame.line = line;
	frame.function = function;
	if (!frame.is_inlined) {
		frame.function = function != NULL ? function : pass->symbol;
		frame.offset = pass->symbol != NULL ? frame.pc - pass->start : 0;
		frame.has_offset = pass->symbol != NULL;
	}
	pass->each(&frame, pass->arg);
	return 0;
}

static void backtrace_visit_symbol(void *data, uintptr_t pc, const char *name, uintptr_t start,
				   uintptr_t size)
{
	struct backtrace_pass *pass = data;

	(void)pc, (void)size;
	pass->symbol = name;
	pass->start = start;
}

/* Of two that report for the first time at once, the slower one's is of no use. */
static struct backtrace_state *backtrace_state_get(void)
{
	struct backtrace_state *state = load_acq(&backtrace_state); /* SYMBOL-STATE */
	struct backtrace_state *mine;

	if (state != NULL)
		return state;
	mine = backtrace_create_state("/proc/self/exe", 1, backtrace_ignore, NULL);
	if (cas_acq_rel(&backtrace_state, &state, mine)) /* SYMBOL-STATE */
		return mine;
	return load_acq(&backtrace_state); /* SYMBOL-STATE */
}

bool symbol_backtrace_find(const struct symbol_frame *unnamed, uintptr_t lookup, symbol_each *each,
			   void *arg)
{
	struct backtrace_pass pass = {.unnamed = unnamed, .arg = arg};
	struct backtrace_state *state = backtrace_state_get();

	if (state == NULL)
		return false;
	backtrace_syminfo(state, lookup, backtrace_visit_symbol, backtrace_ignore, &pass);
	backtrace_pcinfo(state, lookup, backtrace_visit_line, backtrace_ignore, &pass);
	pass.n_all = pass.n;
	pass.n = 0;
	pass.each = each;
	if (pass.n_all != 0) {
		backtrace_pcinfo(state, lookup, backtrace_visit_line, backtrace_ignore, &pass);
		return true;
	}
	if (pass.symbol == NULL)
		return false;
	struct symbol_frame frame = *unnamed;
	frame.function = pass.symbol;
	frame.offset = frame.pc - pass.start;
	frame.has_offset = true;
	each(&frame, arg);
	return true;
}

#else

bool symbol_backtrace_find(const struct symbol_frame *unnamed, uintptr_t lookup, symbol_each *each,
			   void *arg)
{
	(void)unnamed, (void)lookup, (void)each, (void)arg;
	return false;
}

#endif
