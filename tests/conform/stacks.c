/*
 * stacks.c - which frames a stack shows: the program's own, all of them, whatever their names, and
 * of the library only the call that the program has made.
 *
 *   dump, panic, deadlock -> "goroutine 7 [chan receive]:" -> goro_chan_recv, park, schedule
 *
 * Also in copies of this program without debug information and without any symbols.
 *
 * Go: traceback.go: showframe, which hides the runtime's frames but for the exported ones.
 */
#include "goro_tap.h"

#include <sys/stat.h>

#if defined(__clang__)
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif
/* After a call: keeps the compiler from turning it into a jump. */
#define STAY() __asm__ volatile("" ::: "memory")

/* ---- functions of the program, named as some inside the library ---- */

NOINLINE static void park(void *c)
{
	goro_chan_recv(c, NULL);
	STAY();
}

NOINLINE static void schedule(void *c)
{
	park(c);
	STAY();
}

static void g_entry(void *c)
{
	schedule(c);
	STAY();
}

NOINLINE static void recv_wait(void *c)
{
	goro_try(schedule, c, NULL, 0);
	STAY();
}

static void ctx_start(void *c)
{
	recv_wait(c);
	STAY();
}

static void main_entry(void *c)
{
	goro_chan_send(c, NULL);
	STAY();
}

static void panic_with(void *text)
{
	goro_panic("%s", (const char *)text);
}

static void run_deferred(void *unused)
{
	(void)unused;
	wait_until_n_parked(1, "chan receive (nil chan)"); /* main, wherever it was stopped */
	goro_defer(panic_with, "of a cleanup");
	goro_panic("first");
}

static void start_all(void)
{
	goro_spawn(g_entry, goro_chan_make(0, 0));
	wait_until_n_parked(1, "chan receive");
	goro_spawn(ctx_start, goro_chan_make(0, 0));
	wait_until_n_parked(2, "chan receive");
	goro_spawn(main_entry, goro_chan_make(0, 0));
	wait_until_n_parked(1, "chan send");
}

GORO_CHILD(deadlocks)
{
	start_all();
	goro_chan_recv(NULL, NULL);
	STAY();
}

GORO_CHILD(dumps)
{
	start_all();
	goro_dump(STDERR_FILENO);
	STAY();
}

GORO_CHILD(panics)
{
	goro_spawn(run_deferred, NULL);
	goro_chan_recv(NULL, NULL);
}

/* A fault in the library, or in the memmove that it calls. */
GORO_CHILD(sends_from_nowhere)
{
	goro_chan *c = goro_chan_make(64, 1);
	goro_chan_send(c, (void *)(uintptr_t)16);
	STAY();
}

/* ---- reading them ---- */

/* The lines that name a function, of the goroutine that was started with that one. */
static void calls_of(const char *text, const char *started_with, char *calls, size_t size)
{
	char mark[64];
	snprintf(mark, sizeof(mark), "started with %s", started_with);
	const char *line = strstr(text, mark);
	size_t used = 0;
	calls[0] = '\0';
	while (line != NULL && (line = strchr(line, '\n')) != NULL && line[1] != '\n') {
		line++;
		size_t length = strcspn(line, "+ \n");
		if (*line == '\t' || strncmp(line, "created by", 10) == 0)
			continue;
		used += (size_t)snprintf(calls + used, size - used, "%.*s ", (int)length, line);
		require(used < size);
	}
}

static void expect_calls(const char *text, const char *started_with, const char *expected)
{
	char calls[1024];
	calls_of(text, started_with, calls, sizeof(calls));
	expect_str(calls, expected);
}

static void expect_parked_stacks(const char *text)
{
	expect_calls(text, "g_entry", "goro_chan_recv park schedule g_entry ");
	expect_calls(text, "ctx_start",
		     "goro_chan_recv park schedule goro_try recv_wait ctx_start ");
	expect_calls(text, "main_entry", "goro_chan_send main_entry ");
}

TAP_CASE(dump_shows_the_call_and_the_program, .procs = "1,2")
{
	struct tap_child c;
	tap_child(&c, "dumps");
	expect_child(&c, 0, "");
	expect_parked_stacks(c.err);
	expect_calls(c.err, "dumps_main", "goro_dump dumps dumps_main ");
}

/* An emulator's own threads keep the runtime from calling it a deadlock. */
static bool has_foreign_threads(void)
{
	struct stat st;
	return stat("/proc/self/task", &st) == 0 && st.st_nlink > 3;
}

TAP_CASE(deadlock_shows_the_call_and_the_program, .procs = "1,2")
{
	struct tap_child c;
	if (has_foreign_threads())
		tap_skip("the process has threads that neither the test nor the runtime made");
	tap_child(&c, "deadlocks");
	expect_child(&c, 2, "all goroutines are asleep");
	expect_parked_stacks(c.err);
	expect_calls(c.err, "deadlocks_main", "goro_chan_recv deadlocks deadlocks_main ");
}

TAP_CASE(panic_shows_the_call_and_the_program, .procs = "1,2")
{
	struct tap_child c;
	tap_child(&c, "panics");
	expect_child(&c, 2, "panic: first\n\tpanic: of a cleanup\n");
	expect_calls(c.err, "run_deferred", "goro_panic panic_with goro_panic run_deferred ");
	expect_calls(c.err, "panics_main", "goro_chan_recv panics panics_main ");
}

TAP_CASE(fault_inside_the_library_shows_the_call, .procs = "1,2")
{
	struct tap_child c;
	if (TAP_SANITIZED)
		tap_skip("the sanitizer's own handler reports faults");
	tap_child(&c, "sends_from_nowhere");
	expect_child(&c, 2, "SIGSEGV");
	expect_contains(c.err, "\ngoro_chan_send");
	expect_contains(c.err, "\nsends_from_nowhere");
}

/* ---- copies of this program that know less of themselves ---- */

static char copied[1 << 16];

/* What the child of a copy that `command` makes writes. */
static void run_copy(const char *command, const char *child)
{
	char copy[] = "/tmp/goro_stacks_XXXXXX", line[512], self[256];
	int fd = mkstemp(copy);
	require_ge(fd, 0);
	close(fd);
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	require_ge(length, 1);
	self[length] = '\0';
	snprintf(line, sizeof(line), "%s %s %s 2>/dev/null && chmod +x %s", command, self, copy,
		 copy);
	if (system(line) != 0) {
		unlink(copy);
		tap_skip("no objcopy for this program here");
	}
	snprintf(line, sizeof(line), "%s --child %s 2>&1", copy, child);
	FILE *f = popen(line, "re");
	require(f != NULL);
	copied[fread(copied, 1, sizeof(copied) - 1, f)] = '\0';
	int status = pclose(f);
	unlink(copy);
	if (WIFEXITED(status) && (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127))
		tap_skip("cannot run a copy here");
	expect_eq(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

TAP_CASE(without_debug_information_the_same_is_shown, .procs = "2")
{
	run_copy("objcopy --strip-debug", "dumps");
	expect_parked_stacks(copied);
	expect_lacks(copied, "stacks.c:");
}

static int count_lines(const char *text, const char *end, const char *part)
{
	int n = 0;
	while ((text = strstr(text, part)) != NULL && text < end) {
		text += strlen(part);
		n++;
	}
	return n;
}

/* No names: the number of the calls tells, first of all that of g_entry's goroutine. */
TAP_CASE(without_symbols_as_many_frames_are_shown, .procs = "2")
{
	static const int depths[] = {4, 6, 2}; /* as in expect_parked_stacks */
	uint64_t id;
	char state[STATE_MAX];
	int n_seen[3] = {0};
	run_copy("objcopy --strip-all", "dumps");
	for (const char *at = copied; (at = dump_next(at, &id, state)) != NULL;) {
		const char *calls = strchr(strchr(at, '\n') + 1, '\n');
		const char *end = strstr(at, "\ncreated by ");
		int depth = end != NULL ? count_lines(calls, end, "\n0x") : -1;
		for (int i = 0; i < 3; i++)
			n_seen[i] += id != 1 && depth == depths[i];
	}
	for (int i = 0; i < 3; i++)
		expect_eq(n_seen[i], 1);
	if (tap_failures != 0)
		tap_show("the copy's output", copied);
}

TAP_MAIN
