/*
 * symbol.c - names for code addresses, and stacks printed with them.
 *
 *   dump, panic, overflow -> [symbol_print_trace] -> [symbol_resolve]
 *                                                   -> symbol_backtrace.c: file:line
 *                                                   -> symbol_elf.c: names
 *
 * SY1  A frame is always printed, if only as a number.
 * SY2  A return address is looked up one byte before: the call may be the last thing of its
 *      function.
 * SY3  The text "function+0xoffset" stands on one line, file:line on the next.
 * SY4  Whose code it is, is told by its address: the build puts the library's into the section
 *      goro_text. A function of the program is never hidden, whatever its name, and the library's
 *      inside is, also in a program without symbols.
 * SY5  Goroutines that were stopped may hold any lock of libc, and the world is stopped while a
 *      dump is printed: nothing here waits for one, but for what libbacktrace does once, which
 *      goro_dump lets it do before (symbol_prepare).
 *
 * We do not go by names: a program may have a park() of its own, and a stripped one has none.
 *
 * Locking: none; the caller holds the report's lock. Go: printing of runtime/traceback.go.
 */
#include "debug/symbol.h"

#include <dlfcn.h>
#include <link.h>

#include "base/check.h"
#include "base/fatal.h"
#include "os/os.h"

#define SYMBOL_NAME_MAX 256 /* C++ names longer than this are cut */
#define SYMBOL_SELF "/proc/self/exe"

struct symbol_search {
	uintptr_t pc;
	struct symbol_module module;
};

static bool symbol_is_inside(const struct dl_phdr_info *info, uintptr_t pc)
{
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *segment = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + segment->p_vaddr;
		if (segment->p_type == PT_LOAD && pc >= start && pc - start < segment->p_memsz)
			return true;
	}
	return false;
}

static int symbol_visit_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct symbol_search *search = arg;

	(void)size;
	if (!symbol_is_inside(info, search->pc))
		return 0;
	search->module.bias = info->dlpi_addr;
	if (info->dlpi_name != NULL && info->dlpi_name[0] != 0) /* the program itself has no name */
		search->module.path = info->dlpi_name;
	return 1;
}

#ifdef DLFO_STRUCT_HAS_EH_DBASE /* glibc 2.35 and later */
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

/* Without the lock of the list of modules, which a stopped goroutine may hold: SY5. */
bool symbol_module_at(uintptr_t pc, struct symbol_module *module)
{
	struct dl_find_object found;

	if (!_dl_find_object || _dl_find_object((void *)pc, &found) != 0 || !found.dlfo_link_map)
		return false;
	const char *name = found.dlfo_link_map->l_name;
	module->start = found.dlfo_map_start;
	module->bias = found.dlfo_link_map->l_addr;
	module->path = name && name[0] ? name : NULL;
	return true;
}

static bool symbol_find_module(struct symbol_search *search)
{
	if (!_dl_find_object)
		return dl_iterate_phdr(symbol_visit_module, search) != 0;
	return symbol_module_at(search->pc, &search->module);
}
#else
bool symbol_module_at(uintptr_t pc, struct symbol_module *module)
{
	(void)pc;
	(void)module;
	return false;
}

static bool symbol_find_module(struct symbol_search *search)
{
	return dl_iterate_phdr(symbol_visit_module, search) != 0;
}
#endif

static const char *symbol_base_name(const char *path)
{
	const char *base = path;

	for (; *path != 0; path++)
		if (*path == '/')
			base = path + 1;
	return base;
}

static void symbol_drop(const struct symbol_frame *frame, void *arg)
{
	(void)frame;
	(void)arg;
}

void symbol_prepare(void)
{
	symbol_resolve((uintptr_t)symbol_prepare, true, symbol_drop, NULL);
}

void symbol_resolve(uintptr_t pc, bool is_exact, symbol_each *each, void *arg)
{
	struct symbol_search search = {.pc = pc};
	struct symbol_frame frame = {.pc = pc};
	uintptr_t lookup = pc - (is_exact || pc == 0 ? 0 : 1);
	char name[SYMBOL_NAME_MAX];
	uintptr_t start;

	if (symbol_find_module(&search)) {
		const char *path = search.module.path;
		frame.module = path != NULL ? symbol_base_name(path) : "program";
		frame.module_offset = pc - search.module.bias;
		if (symbol_backtrace_find(&frame, lookup, each, arg))
			return;
		search.module.path = path != NULL ? path : SYMBOL_SELF;
		if (symbol_elf_find(&search.module, lookup, name, sizeof(name), &start)) {
			frame.function = name;
			frame.offset = pc - start;
			frame.has_offset = true;
		}
	}
	each(&frame, arg);
}

/* Composed in one buffer and written at once, so that lines of several writers stay whole. */
static void symbol_print_one(const struct symbol_frame *frame, void *arg)
{
	int fd = *(int *)arg;
	char text[2048];
	size_t n;

	if (frame->function == NULL && frame->module == NULL)
		n = format_to(text, sizeof(text), "0x%lx\n", frame->pc);
	else if (frame->function == NULL)
		n = format_to(text, sizeof(text), "0x%lx (%.255s+0x%lx)\n", frame->pc,
			      frame->module, frame->module_offset);
	else if (frame->is_inlined)
		n = format_to(text, sizeof(text), "%.255s (inlined)\n", frame->function);
	else if (!frame->has_offset)
		n = format_to(text, sizeof(text), "%.255s\n", frame->function);
	else
		n = format_to(text, sizeof(text), "%.255s+0x%lx\n", frame->function, frame->offset);
	if (frame->file != NULL)
		n += format_to(text + n, sizeof(text) - n, "\t%.1500s:%d\n", frame->file,
			       frame->line);
	os_write(fd, text, n);
}

void symbol_print_frame(int fd, const struct unwind_frame *frame)
{
	symbol_resolve(frame->pc, frame->is_exact, symbol_print_one, &fd);
}

/* The linker's; absent where the library's sources were compiled into a program by other means. */
extern const char __start_goro_text[] __attribute__((weak, visibility("hidden")));
extern const char __stop_goro_text[] __attribute__((weak, visibility("hidden")));

bool symbol_is_own(uintptr_t pc)
{
	uintptr_t start = (uintptr_t)__start_goro_text, stop = (uintptr_t)__stop_goro_text;

	return pc >= start && pc < stop;
}

/* SY2: the call is what counts. */
static bool symbol_is_own_frame(const struct unwind_frame *frame)
{
	return symbol_is_own(frame->pc - (frame->is_exact ? 0 : 1));
}

/*
 * Of frame i the caller is the program, which is so of a call of the interface. The outermost frame
 * of all has no caller.
 */
static bool symbol_is_called(const struct unwind_trace *trace, size_t i)
{
	if (i + 1 >= trace->total)
		return false;
	const struct unwind_frame *caller = unwind_trace_at(trace, i + 1);
	return caller == NULL || !symbol_is_own_frame(caller);
}

/* Of what is inlined into a call of the interface nothing is told. */
static void symbol_print_call(const struct symbol_frame *frame, void *arg)
{
	if (!frame->is_inlined)
		symbol_print_one(frame, arg);
}

static void symbol_print_some(int fd, const struct unwind_trace *trace, bool hides)
{
	for (size_t i = 0; i < trace->total; i++) {
		const struct unwind_frame *frame = unwind_trace_at(trace, i);
		if (frame == NULL) {
			size_t elided = trace->total - UNWIND_LAST - UNWIND_FIRST;
			print_to(fd, "...%zu frames elided...\n", elided);
			i += elided - 1;
		} else if (!hides || !symbol_is_own_frame(frame)) {
			symbol_print_frame(fd, frame);
		} else if (symbol_is_called(trace, i)) {
			symbol_resolve(frame->pc, frame->is_exact, symbol_print_call, &fd);
		}
	}
}

void symbol_print_trace(int fd, const struct unwind_trace *trace)
{
	symbol_print_some(fd, trace, false);
}

void symbol_print_calls(int fd, const struct unwind_trace *trace)
{
	symbol_print_some(fd, trace, true);
}
