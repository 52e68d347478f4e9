/*
 * symbol.c - names for code addresses; src/debug/symbol.c, symbol_elf.c, symbol_backtrace.c.
 *
 * File and line are expected when the library was built with libbacktrace and this program has
 * debug information; copies of this program without it, and without any symbols, show what is left
 * then.
 */
#include "tap.h"

#include <elf.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "arch/arch.h"
#include "debug/symbol.h"
#include "debug/unwind.h"

#if defined(__clang__)
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif
#define STAY() __asm__ volatile("" ::: "memory")

enum { SHOWN_MAX = 8 };

struct shown {
	struct symbol_frame frames[SHOWN_MAX];
	char functions[SHOWN_MAX][64], files[SHOWN_MAX][256];
	int n;
};

static struct shown shown;
static struct unwind_trace trace;

static void show(const struct symbol_frame *frame, void *arg)
{
	struct shown *s = arg;

	require(s->n < SHOWN_MAX);
	s->frames[s->n] = *frame;
	snprintf(s->functions[s->n], 64, "%s", frame->function ? frame->function : "?");
	snprintf(s->files[s->n], 256, "%s", frame->file ? frame->file : "?");
	s->n++;
}

static void resolve(uintptr_t pc, bool is_exact)
{
	shown.n = 0;
	symbol_resolve(pc, is_exact, show, &shown);
	require_ge(shown.n, 1);
}

/* Does this program's file have a section of that name? */
static bool has_section(const char *name)
{
	char text[8192];
	size_t length = strlen(name) + 1, n;
	bool is_found = false;
	FILE *f = fopen("/proc/self/exe", "re");

	require(f != NULL);
	/* Section names stand near the end of the file. */
	require(fseek(f, -(long)sizeof(text), SEEK_END) == 0);
	n = fread(text, 1, sizeof(text), f);
	for (size_t i = 0; i + length <= n; i++)
		is_found |= memcmp(text + i, name, length) == 0;
	fclose(f);
	return is_found;
}

#ifdef GORO_HAVE_BACKTRACE
static const bool has_backtrace = true;
#else
static const bool has_backtrace = false;
#endif

static bool has_lines(void)
{
	return has_backtrace && has_section(".debug_line");
}

NOINLINE static uintptr_t marked_pc(void)
{
	STAY();
	return (uintptr_t)__builtin_return_address(0);
}

static int marked_line;

NOINLINE static uintptr_t marked(void)
{
	marked_line = __LINE__ + 1;
	uintptr_t pc = marked_pc();
	STAY();
	return pc;
}

TAP_CASE(static_function_has_its_name)
{
	resolve((uintptr_t)marked, true);
	expect_eq(shown.n, 1);
	expect_str(shown.functions[0], "marked");
	expect_eq(shown.frames[0].offset, 0);
	expect(!shown.frames[0].is_inlined);
}

TAP_CASE(return_address_has_its_offset)
{
	uintptr_t pc = marked();

	resolve(pc, false);
	expect_str(shown.functions[shown.n - 1], "marked");
	expect_eq(shown.frames[shown.n - 1].offset, pc - (uintptr_t)marked);
}

TAP_CASE(line_is_that_of_the_call)
{
	resolve(marked(), false);
	if (!has_lines()) {
		expect_str(shown.files[0], "?");
		return;
	}
	expect_contains(shown.files[0], "tests/unit/symbol.c");
	expect_eq(shown.frames[0].line, marked_line);
}

/*
 * The byte before an exact pc belongs to somebody else, that before a return address to the call.
 */
TAP_CASE(exact_pc_is_not_moved)
{
	resolve((uintptr_t)marked, false);
	expect_ne(strcmp(shown.functions[shown.n - 1], "marked"), 0);
}

static inline __attribute__((always_inline)) uintptr_t helper(void)
{
	uintptr_t pc = marked_pc();
	STAY();
	return pc;
}

NOINLINE static uintptr_t around(void)
{
	uintptr_t pc = helper();
	STAY();
	return pc;
}

TAP_CASE(inlined_functions_come_before_the_real_one)
{
	uintptr_t pc = around();

	resolve(pc, false);
	expect_str(shown.functions[shown.n - 1], "around");
	expect(!shown.frames[shown.n - 1].is_inlined);
	expect_eq(shown.frames[shown.n - 1].offset, pc - (uintptr_t)around);
	if (!has_lines())
		return;
	require_eq(shown.n, 2);
	expect_str(shown.functions[0], "helper");
	expect(shown.frames[0].is_inlined);
	expect_lt(shown.frames[0].line, shown.frames[1].line);
}

/* The address comes from the library itself: in the program it might be that of a PLT entry. */
static uintptr_t pc_in_library;

static int note_caller(const void *a, const void *b)
{
	pc_in_library = (uintptr_t)__builtin_return_address(0);
	return *(const int *)a - *(const int *)b;
}

TAP_CASE(library_code_has_a_module_at_least)
{
	int numbers[3] = {3, 1, 2};

	qsort(numbers, 3, sizeof(int), note_caller);
	resolve(pc_in_library, false);
	expect(shown.frames[0].module != NULL || shown.frames[0].function != NULL);
}

/* ---- printing ---- */

struct capture {
	int fd;
	char text[65536];
};

static struct capture printed;

static void capture_begin(void)
{
	printed.fd = memfd_create("printed", MFD_CLOEXEC);
	require_ge(printed.fd, 0);
}

static void capture_end(void)
{
	ssize_t n = pread(printed.fd, printed.text, sizeof(printed.text) - 1, 0);

	require_ge(n, 0);
	printed.text[n] = 0;
	close(printed.fd);
}

TAP_CASE(frame_prints_function_and_offset_on_a_line)
{
	char line[64];
	uintptr_t pc = marked();
	struct unwind_frame frame = {pc, false};

	snprintf(line, sizeof(line), "marked+0x%zx\n", (size_t)(pc - (uintptr_t)marked));
	capture_begin();
	symbol_print_frame(printed.fd, &frame);
	capture_end();
	expect(strncmp(printed.text, line, strlen(line)) == 0);
	if (!has_lines()) {
		expect_str(printed.text, line);
		return;
	}
	snprintf(line, sizeof(line), "tests/unit/symbol.c:%d\n", marked_line);
	expect_contains(printed.text, line);
	expect_eq(printed.text[strcspn(printed.text, "\n") + 1], '\t');
}

TAP_CASE(unknown_address_prints_as_a_number)
{
	struct unwind_frame frames[] = {{16, true}, {0, true}, {0, false}, {UINTPTR_MAX, false}};

	capture_begin();
	for (int i = 0; i < 4; i++)
		symbol_print_frame(printed.fd, &frames[i]);
	capture_end();
	expect_str(printed.text, "0x10\n0x0\n0x0\n0xffffffffffffffff\n");
}

static int count(const char *text, const char *part)
{
	int n = 0;

	while ((text = strstr(text, part)) != NULL) {
		text += strlen(part);
		n++;
	}
	return n;
}

TAP_CASE(deep_trace_prints_both_ends)
{
	struct unwind_trace deep = {.total = 100};

	for (size_t i = 0; i < UNWIND_FIRST; i++)
		deep.first[i] = (struct unwind_frame){(uintptr_t)marked, true};
	for (size_t i = 0; i < UNWIND_LAST; i++)
		deep.last[i] = (struct unwind_frame){(uintptr_t)around, true};
	capture_begin();
	symbol_print_trace(printed.fd, &deep);
	capture_end();
	expect_eq(count(printed.text, "marked+0x0\n"), 50);
	expect_eq(count(printed.text, "...40 frames elided...\n"), 1);
	expect_eq(count(printed.text, "around+0x0\n"), 10);
}

TAP_CASE(trace_that_fits_is_whole)
{
	struct unwind_trace flat = {.total = 60};

	for (size_t i = 0; i < UNWIND_FIRST; i++)
		flat.first[i] = (struct unwind_frame){(uintptr_t)marked, true};
	for (size_t i = 0; i < UNWIND_LAST; i++)
		flat.last[i] = (struct unwind_frame){(uintptr_t)around, true};
	capture_begin();
	symbol_print_trace(printed.fd, &flat);
	capture_end();
	expect_eq(count(printed.text, "marked+0x0\n"), 50);
	expect_eq(count(printed.text, "around+0x0\n"), 10);
	expect_lacks(printed.text, "elided");
}

/* ---- whose frames they are: these stand in for the library's ---- */

#define OWN __attribute__((section("goro_text"))) NOINLINE

OWN static void inside(void)
{
	STAY();
}

OWN static void the_call(void)
{
	inside();
	STAY();
}

/* A name that the library has, too. */
NOINLINE static void park(void)
{
	the_call();
	STAY();
}

static void expect_calls(int n, void (*const functions[])(void), const char *expected)
{
	struct unwind_trace calls = {.total = (size_t)n};
	char text[1024] = "";

	for (int i = 0; i < n; i++)
		calls.first[i] = (struct unwind_frame){(uintptr_t)functions[i], true};
	capture_begin();
	symbol_print_calls(printed.fd, &calls);
	capture_end();
	for (char *line = printed.text; *line != 0; line += strcspn(line, "\n") + 1) {
		if (*line == '\t')
			continue;
		size_t used = strlen(text), length = strcspn(line, "+\n");
		snprintf(text + used, sizeof(text) - used, "%.*s ", (int)length, line);
	}
	expect_str(text, expected);
}

#define expect_shown(expected, ...)                                         \
	expect_calls(sizeof((void (*[])(void)){__VA_ARGS__}) / sizeof(void *), \
		     (void (*const[])(void)){__VA_ARGS__}, expected)

TAP_CASE(sy4_code_is_told_by_its_address)
{
	expect(symbol_is_own((uintptr_t)inside));
	expect(symbol_is_own((uintptr_t)the_call));
	expect(!symbol_is_own((uintptr_t)park));
	expect(!symbol_is_own(0));
	expect(!symbol_is_own(UINTPTR_MAX));
	park();
}

TAP_CASE(sy4_of_the_library_only_the_call_is_shown)
{
	expect_shown("the_call park ", inside, inside, the_call, park, inside, inside);
	expect_shown("the_call park the_call park ", inside, the_call, park, inside, the_call,
		     park);
	expect_shown("park the_call park ", park, inside, the_call, park, the_call);
	expect_shown("park park ", park, park);
	expect_shown("", inside, inside);
}

/* What a call of the library has called, and is no part of it. */
TAP_CASE(sy4_function_that_the_library_calls_is_shown)
{
	expect_shown("marked the_call park ", (void (*)(void))marked, inside, the_call, park);
}

TAP_CASE(sy4_call_before_frames_that_are_not_kept_is_shown)
{
	struct unwind_trace deep = {.total = 100};

	for (size_t i = 0; i < UNWIND_FIRST; i++)
		deep.first[i] = (struct unwind_frame){(uintptr_t)inside, true};
	for (size_t i = 0; i < UNWIND_LAST; i++)
		deep.last[i] = (struct unwind_frame){(uintptr_t)park, true};
	capture_begin();
	symbol_print_calls(printed.fd, &deep);
	capture_end();
	expect_eq(count(printed.text, "inside+0x0\n"), 1);
	expect_eq(count(printed.text, "...40 frames elided...\n"), 1);
	expect_eq(count(printed.text, "park+0x0\n"), 10);
}

/* ---- copies of this program without debug information, and without symbols ---- */

NOINLINE static void print_own_stack(void)
{
	struct unwind_bounds all = {0, UINTPTR_MAX};

	unwind_trace_self(&trace, all);
	symbol_print_trace(STDOUT_FILENO, &trace);
	STAY();
}

TAP_CHILD(print_stack)
{
	print_own_stack();
	STAY();
}

/* What the copy that `command` makes prints as its stack. */
static void run_copy(const char *command)
{
	char copy[] = "/tmp/goro_symbol_XXXXXX", line[512], self[256];
	size_t n = 0;
	int fd = mkstemp(copy);

	require_ge(fd, 0);
	close(fd);
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	require_ge(length, 1);
	self[length] = 0;
	snprintf(line, sizeof(line), "%s %s %s 2>/dev/null && chmod +x %s", command, self, copy,
		 copy);
	if (system(line) != 0) {
		unlink(copy);
		tap_skip("no objcopy for this program here");
	}
	snprintf(line, sizeof(line), "%s --child print_stack 2>/dev/null", copy);
	FILE *f = popen(line, "re");
	require(f != NULL);
	n = fread(printed.text, 1, sizeof(printed.text) - 1, f);
	printed.text[n] = 0;
	int status = pclose(f);
	unlink(copy);
	if (WIFEXITED(status) && (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127))
		tap_skip("cannot run a copy here");
	expect_eq(status, 0);
}

TAP_CASE(without_debug_information_there_are_names)
{
	run_copy("objcopy --strip-debug");
	expect_contains(printed.text, "print_own_stack+0x");
	expect_contains(printed.text, "print_stack+0x");
	expect_lacks(printed.text, "symbol.c:");
}

TAP_CASE(without_symbols_there_are_places_in_the_file)
{
	run_copy("objcopy --strip-all");
	expect_lacks(printed.text, "print_own_stack");
	expect_contains(printed.text, "0x");
	expect_contains(printed.text, "(program+0x");
}

/* As libc is, whose debug information lies in a file of its own. */
TAP_CASE(without_symbols_a_function_of_debug_information_has_no_offset)
{
	run_copy("objcopy --strip-all --keep-section='.debug*'");
	if (!strstr(printed.text, "symbol.c:"))
		tap_skip("no libbacktrace, or no debug information");
	expect_contains(printed.text, "print_own_stack\n");
	expect_lacks(printed.text, "print_own_stack+0x");
}

/* ---- the own reader of symbol tables ---- */

static char *read_self(size_t *size)
{
	struct stat status;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	require(fd >= 0 && fstat(fd, &status) == 0);
	*size = (size_t)status.st_size;
	char *data = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	require(data != MAP_FAILED);
	close(fd);
	return data;
}

/* The bias of this program: where its first byte is. */
static uintptr_t own_bias(void)
{
	resolve((uintptr_t)marked, true);
	return (uintptr_t)marked - shown.frames[0].module_offset;
}

TAP_CASE(own_reader_finds_static_functions)
{
	struct symbol_module self = {.bias = own_bias(), .path = "/proc/self/exe"};
	char name[8];
	uintptr_t start = 0;

	require(symbol_elf_find(&self, marked(), name, sizeof(name), &start));
	expect_str(name, "marked");
	expect_eq(start, (uintptr_t)marked);
	require(symbol_elf_find(&self, (uintptr_t)print_own_stack, name, sizeof(name), &start));
	expect_str(name, "print_o"); /* cut */
	expect(!symbol_elf_find(&self, 1, name, sizeof(name), &start));
}

TAP_CASE(own_reader_finds_where_functions_of_a_prefix_lie)
{
	struct symbol_module self = {.bias = own_bias(), .path = "/proc/self/exe"};
	static const char *const one[] = {"print_own_stack"};
	static const char *const none[] = {"no_such_function", "nor_this"};
	const char *two[] = {"print_own_stack", "own_bias"};
	uintptr_t lo = 1, hi = 1, from, to;

	require(symbol_elf_span(&self, one, 1, &lo, &hi));
	expect_eq(lo, (uintptr_t)print_own_stack);
	expect(hi > lo);
	require(symbol_elf_span(&self, two, 2, &from, &to));
	expect_eq(from, lo < (uintptr_t)own_bias ? lo : (uintptr_t)own_bias);
	expect(to >= hi && to > (uintptr_t)own_bias);
	require(symbol_elf_span(&self, none, 2, &lo, &hi));
	expect_eq(lo, 0);
	expect_eq(hi, 0);
	const char *but[] = {"!own_bi", "print_own_stack", "own_bias"};
	require(symbol_elf_span(&self, one, 1, &lo, &hi));
	require(symbol_elf_span(&self, but, 3, &from, &to));
	expect_eq(from, lo);
	expect_eq(to, hi);
	self.path = "/dev/null";
	expect(!symbol_elf_span(&self, one, 1, &lo, &hi));
}

TAP_CASE(file_that_is_absent_empty_or_no_program_names_nothing)
{
	struct symbol_module module = {.bias = 0, .path = "/nonexistent/program"};
	char name[64];
	uintptr_t start;

	expect(!symbol_elf_find(&module, 4096, name, sizeof(name), &start));
	module.path = "/dev/null";
	expect(!symbol_elf_find(&module, 4096, name, sizeof(name), &start));
	module.path = "/etc/passwd";
	expect(!symbol_elf_find(&module, 4096, name, sizeof(name), &start));
	module.path = "/proc";
	expect(!symbol_elf_find(&module, 4096, name, sizeof(name), &start));
}

/* Damage the header, the section table, or cut the file: never a fault, at most no name. */
TAP_CASE(damaged_file_does_no_harm, .timeout_s = 60)
{
	size_t size;
	char *data = read_self(&size), path[64];
	int fd = memfd_create("damaged", MFD_CLOEXEC);
	uint64_t state = tap_seed();
	Elf64_Ehdr header;
	int n_found = 0;

	require_ge(fd, 0);
	memcpy(&header, data, sizeof(header));
	require_eq(write(fd, data, size), (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct symbol_module module = {.bias = own_bias(), .path = path};
	for (int round = 0; round < 3000; round++) {
		char name[64];
		uintptr_t start, at = round % 2 ? header.e_shoff : 0;
		size_t n_bytes = (size_t)header.e_shnum * header.e_shentsize;
		size_t room = round % 2 ? n_bytes : sizeof(header);
		at += tap_random(&state) % room;
		uint64_t noise = tap_random(&state);
		noise = round % 3 ? noise : UINT64_MAX >> noise % 64;
		size_t width = (size_t)1 << tap_random(&state) % 4;
		width = at + width <= size ? width : 1;
		if (round % 16 == 15)
			require(ftruncate(fd, (off_t)(tap_random(&state) % size)) == 0);
		else
			require_eq(pwrite(fd, &noise, width, (off_t)at), (ssize_t)width);
		n_found += symbol_elf_find(&module, (uintptr_t)marked, name, sizeof(name), &start);
		if (round % 16 == 15)
			require_eq(pwrite(fd, data, size, 0), (ssize_t)size);
		else
			require_eq(pwrite(fd, data + at, width, (off_t)at), (ssize_t)width);
	}
	expect_gt(n_found, 0);
	expect_lt(n_found, 3000);
}

TAP_CASE(names_outside_their_table_are_none)
{
	size_t size;
	char *data = read_self(&size), name[64], path[64];
	uintptr_t start;
	int fd = memfd_create("damaged", MFD_CLOEXEC);
	Elf64_Ehdr *header = (Elf64_Ehdr *)data;
	Elf64_Shdr *sections = (Elf64_Shdr *)(data + header->e_shoff);

	require_ge(fd, 0);
	for (int i = 0; i < header->e_shnum; i++) {
		uint32_t type = sections[i].sh_type;
		bool is_table = type == SHT_SYMTAB || type == SHT_DYNSYM;
		size_t n = is_table ? sections[i].sh_size / sizeof(Elf64_Sym) : 0;
		Elf64_Sym *symbols = (Elf64_Sym *)(data + sections[i].sh_offset);
		for (size_t k = 0; k < n; k++)
			symbols[k].st_name = UINT32_MAX - 1;
	}
	require_eq(write(fd, data, size), (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct symbol_module module = {.bias = own_bias(), .path = path};
	expect(!symbol_elf_find(&module, (uintptr_t)marked, name, sizeof(name), &start));
}

/* ---- what it needs ---- */

TAP_CASE(names_are_found_without_the_heap)
{
	if (TAP_SANITIZED)
		tap_skip("a sanitizer has its own heap");
	struct unwind_frame frame = {marked(), false};
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct mallinfo2 before = mallinfo2();
	symbol_print_frame(fd, &frame);
	struct mallinfo2 after = mallinfo2();
	expect_eq(before.uordblks, after.uordblks);
	expect_eq(before.hblks, after.hblks);
	close(fd);
}

static void *here_sp, *there_sp;
static struct unwind_frame measured;

static void *resume_here(void *arg)
{
	(void)arg;
	return here_sp;
}

static void *resume_there(void *arg)
{
	(void)arg;
	return there_sp;
}

static struct ctx_leaving *print_measured(void *arg)
{
	struct unwind_bounds all = {0, UINTPTR_MAX};

	unwind_trace_self(&trace, all);
	symbol_print_frame(*(int *)arg, &measured);
	ctx_switch(&there_sp, NULL, resume_here, NULL);
	abort();
}

/*
 * symbol.h promises it; alternate signal stacks are sized by it. The stack is looked at through a
 * second mapping, since valgrind minds a look below the stack pointer.
 */
TAP_CASE(stack_needed_is_below_24_kib)
{
	enum { SIZE = 256 << 10 };
	if (TAP_SANITIZED)
		tap_skip("a sanitizer makes frames larger");
	int memory = memfd_create("stack", MFD_CLOEXEC);
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	require(memory >= 0 && ftruncate(memory, SIZE) == 0);
	char *stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	char *view = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	size_t untouched = 0;

	require(stack != MAP_FAILED && view != MAP_FAILED);
	memset(view, 0xa5, SIZE);
	measured = (struct unwind_frame){marked(), false};
	there_sp = ctx_make(stack + SIZE, print_measured, &fd);
	ctx_switch(&here_sp, NULL, resume_there, NULL);
	while (untouched < SIZE && (unsigned char)view[untouched] == 0xa5)
		untouched++;
	printf("# %zu bytes of stack\n", SIZE - untouched);
	expect_lt(SIZE - untouched, 24 << 10);
	expect_gt(SIZE - untouched, 1 << 10);
	close(fd);
}

TAP_MAIN
