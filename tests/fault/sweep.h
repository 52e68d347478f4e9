/*
 * sweep.h - a scenario is run once for each call that could fail, each time in a fresh process.
 *
 *   SWEEP(sends) -> cases sends_when_mmap_fails, ..._madvise_..., ..._clone_..., futex, malloc:
 *     for n = 1, 2, ...: fork -> GORO_FAULT=kind:n -> the scenario -> a verdict; until a run ends
 *     without having met the fault. Then the same with kind:n+, where all later calls fail too.
 *
 * SW1  A run ends in one of two ways. It went on: status 0, every count right, no leak, nothing on
 *      standard error but the warning about threads. Or it said why not: status 2 and a fatal error
 *      or a panic whose text names what was short. A hang, a signal, an internal check, another
 *      status or another text is a failure.
 * SW2  One fault only: a call that was refused works when it is made again.
 * SW3  Every n is tried up to DENSE, in a short run (make test) up to half of it; beyond, n grows
 *      by about one in STRIDE, from the seed. The _each cases (slow) try every n.
 *
 * SWEEP_ONLY=mmap:7+ in the environment makes one run and shows what it wrote.
 *
 * Idea: SQLite's out-of-memory tests.
 */
#ifndef GORO_TESTS_SWEEP_H
#define GORO_TESTS_SWEEP_H

#include "goro_tap.h"

#include "debug/symbol.h"
#include "os/os.h"

enum { DENSE = TAP_SANITIZED ? 20 : 40, STRIDE = TAP_SANITIZED ? 3 : 8 };
enum { BAD_RUNS_SHOWN = 4, RUN_TIMEOUT_S = 10, MAIN_VALUE = 7 };

#ifdef GORO_DEBUG
enum { SEAM = true };
#else
enum { SEAM = false };
#define os_fault_hits() 0
#endif

/* ---- for scenarios ---- */

TAP_UNUSED static bool sweep_persists;	    /* kind:n+ */
TAP_UNUSED static bool sweep_is_short;	    /* not a fault but the environment: environment.c */
TAP_UNUSED static bool sweep_sees_no_leaks; /* nor can LeakSanitizer work there */

TAP_UNUSED static int sweep_refusals; /* calls that said that they could not */

TAP_UNUSED static bool fault_was_met(void)
{
	return sweep_is_short || os_fault_hits() > 0;
}

/* The runtime with fn as main. False: -ENOMEM, which only a persistent fault gives twice. */
TAP_UNUSED static bool run_main(int (*fn)(void *), void *arg)
{
	int result = goro_run(fn, arg);
	if (result == -ENOMEM) {
		expect(fault_was_met());
		add(&sweep_refusals, 1);
		if (!sweep_persists)
			result = goro_run(fn, arg);
	}
	if (result == -ENOMEM && sweep_persists)
		return false;
	expect_eq(result, MAIN_VALUE);
	return true;
}

TAP_UNUSED static bool may_be_refused(int result)
{
	if (result != -ENOMEM)
		return false;
	expect(fault_was_met());
	add(&sweep_refusals, 1);
	return true;
}

/* A call that returns 0 or -ENOMEM, made again when it was refused: SW2. Says whether it worked. */
#define is_granted(call)                                        \
	({                                                      \
		int granted = (call);                           \
		if (may_be_refused(granted) && !sweep_persists) \
			granted = (call);                       \
		if (granted != -ENOMEM || !sweep_persists)      \
			expect_eq(granted, 0);                  \
		granted == 0;                                   \
	})

/* NULL only when the fault persists. */
TAP_UNUSED static goro_chan *make_chan(size_t elem_size, size_t capacity)
{
	goro_chan *c = goro_chan_make(elem_size, capacity);
	if (c == NULL) {
		expect(fault_was_met());
		add(&sweep_refusals, 1);
		if (!sweep_persists)
			c = goro_chan_make(elem_size, capacity);
		expect(c != NULL || sweep_persists);
	}
	return c;
}

/* ---- one run ---- */

struct sweep_run {
	int status; /* as of tap_child; -1000: it hung */
	char out[4096], err[65536];
};

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

__attribute__((__noreturn__)) TAP_UNUSED static void
sweep_child(void (*scenario)(void), const char *fault, int out, int err)
{
	struct rlimit no_core = {0, 0};
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	if (fault != NULL)
		setenv("GORO_FAULT", fault, 1);
	sweep_persists = fault != NULL && strchr(fault, '+') != NULL;
	tap_failures = 0; /* the sweep's */
	scenario();
	if (__lsan_do_recoverable_leak_check && !sweep_sees_no_leaks)
		expect_eq(__lsan_do_recoverable_leak_check(), 0);
	bool is_met = sweep_is_short ? sweep_refusals > 0 : fault_was_met();
	printf("%s", is_met ? "met" : "unmet");
	fflush(stdout);
	_exit(tap_failures == 0 ? 0 : 1);
}

TAP_UNUSED static void sweep_read(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
}

/* Waits for the end; a run that hangs is asked for its goroutines first. */
TAP_UNUSED static int sweep_wait(pid_t pid)
{
	int64_t start = tap_now(), limit = GORO_SEC(RUN_TIMEOUT_S) * (TAP_SANITIZED ? 3 : 1);
	bool is_asked = false;
	int status;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		int64_t passed = tap_now() - start;
		if (passed > limit && !is_asked) {
			kill(pid, SIGQUIT);
			is_asked = true;
		}
		if (passed > limit + GORO_SEC(2)) {
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			break;
		}
		tap_pause(passed < GORO_MS(5) ? 50000 : 500000);
	}
	if (is_asked)
		return -1000;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* The scenario in a process of its own, with fault as GORO_FAULT (NULL: none). */
TAP_UNUSED static void sweep_run(struct sweep_run *r, void (*scenario)(void), const char *fault)
{
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	require(out >= 0 && err >= 0);
	fflush(stdout);
	pid_t pid = fork();
	require(pid >= 0);
	if (pid == 0)
		sweep_child(scenario, fault, out, err);
	r->status = sweep_wait(pid);
	sweep_read(out, r->out, sizeof(r->out));
	sweep_read(err, r->err, sizeof(r->err));
}

/* ---- the verdict: SW1 ---- */

/* What a fatal error or a panic may name as short, by the kind of call that failed. */
TAP_UNUSED static bool reason_fits(const char *kind, const char *err)
{
	bool is_memory = strstr(err, "out of memory") != NULL;
	bool is_thread = strstr(err, "cannot create a thread") != NULL;
	if (strcmp(kind, "mmap") == 0)
		return is_memory;
	if (strcmp(kind, "clone") == 0)
		return is_thread;
	return strcmp(kind, "malloc") == 0 && (is_memory || is_thread);
}

/* After the one warning that a run that goes on may give. */
TAP_UNUSED static const char *after_warning(const char *err)
{
	static const char warning[] = "goro: cannot create a thread (error ";
	if (strncmp(err, warning, sizeof(warning) - 1) != 0)
		return err;
	return err + strcspn(err, "\n") + 1;
}

enum verdict { UNMET, WENT_ON, SAID_WHY, BAD };

TAP_UNUSED static enum verdict verdict_of(const struct sweep_run *r, const char *kind)
{
	const char *err = after_warning(r->err);
	bool is_said = strncmp(err, "fatal error: ", 13) == 0 || strncmp(err, "panic: ", 7) == 0;
	if (r->status == 0 && *err == '\0')
		return strcmp(r->out, "met") == 0 ? WENT_ON : UNMET;
	if (r->status == 2 && is_said && reason_fits(kind, err) &&
	    strstr(err, "internal check") == NULL && strstr(err, "Sanitizer") == NULL)
		return SAID_WHY;
	return BAD;
}

/* ---- the sweep ---- */

struct sweep {
	const char *kind, *suffix; /* "" or "+" */
	void (*scenario)(void);
	bool each;
	int count[BAD + 1];
};

TAP_UNUSED static enum verdict sweep_once(struct sweep *s, uint32_t n)
{
	static struct sweep_run r;
	char fault[64];
	snprintf(fault, sizeof(fault), "%s:%u%s", s->kind, n, s->suffix);
	sweep_run(&r, s->scenario, fault);
	enum verdict v = verdict_of(&r, s->kind);
	s->count[v]++;
	if (v == BAD && s->count[BAD] <= BAD_RUNS_SHOWN) {
		tap_diag("# with GORO_FAULT=%s: status %d", fault, r.status);
		tap_show("output", r.out);
		tap_show("errors", r.err);
	}
	return v;
}

TAP_UNUSED static void ignore_frame(const struct symbol_frame *frame, void *arg)
{
	(void)frame;
	(void)arg;
}

/* Debug information is read here once, or else by every run that dumps. */
TAP_UNUSED static void read_symbols(void (*scenario)(void))
{
	void (*const known[])(void) = {scenario, goro_yield, goro_exit};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		symbol_resolve((uintptr_t)known[i], true, ignore_frame, NULL);
}

/*
 * Which calls a futex fault meets depends on the threads: the end is believed the third time, and
 * fewer n will do; a thread that never gets to sleep takes a whole CPU.
 */
TAP_UNUSED static void sweep(struct sweep *s)
{
	uint64_t state = tap_seed();
	bool is_futex = strcmp(s->kind, "futex") == 0;
	uint32_t dense = is_futex ? DENSE / 4 : DENSE, stride = is_futex ? 2 : STRIDE;
	dense /= tap_seconds < TAP_THOROUGH_S ? 2 : 1;
	int ends = is_futex ? 3 : 1;
	for (uint32_t n = 1; s->count[UNMET] < ends && s->count[BAD] < BAD_RUNS_SHOWN; n++) {
		(void)sweep_once(s, n);
		if (n > dense && !s->each)
			n += (uint32_t)(tap_random(&state) % (2 * n / stride + 1));
	}
	printf("# %s:n%s: %d went on, %d said why not, %d failed\n", s->kind, s->suffix,
	       s->count[WENT_ON], s->count[SAID_WHY], s->count[BAD]);
	expect_eq(s->count[BAD], 0);
	expect(s->count[WENT_ON] + s->count[SAID_WHY] > 0 || is_futex);
}

TAP_UNUSED static void sweep_only(void (*scenario)(void), const char *fault)
{
	static struct sweep_run r;
	sweep_run(&r, scenario, fault);
	printf("# %s: status %d\n%s\n%s\n", fault, r.status, r.out, r.err);
}

TAP_UNUSED static void sweep_both(const char *kind, void (*scenario)(void), bool each)
{
	const char *only = getenv("SWEEP_ONLY");
	struct sweep once = {.kind = kind, .suffix = "", .scenario = scenario, .each = each};
	struct sweep for_good = {.kind = kind, .suffix = "+", .scenario = scenario, .each = each};
	if (!SEAM)
		tap_skip("only the debug library can make calls fail");
	if (only != NULL) {
		sweep_only(scenario, only);
		return;
	}
	read_symbols(scenario);
	sweep(&once);
	sweep(&for_good);
}

#define SWEEP_KIND(scenario_, kind_, ...)                                           \
	TAP_CASE(scenario_##_when_##kind_##_fails, .timeout_s = 120, ##__VA_ARGS__) \
	{                                                                           \
		sweep_both(#kind_, scenario_, false);                               \
	}

#define SWEEP_EACH(scenario_, kind_, ...)                                                  \
	TAP_CASE(scenario_##_when_each_##kind_##_fails, .timeout_s = 600, .is_slow = true, \
		 ##__VA_ARGS__)                                                            \
	{                                                                                  \
		sweep_both(#kind_, scenario_, true);                                       \
	}

#define SWEEP(scenario_, ...)                       \
	SWEEP_KIND(scenario_, mmap, __VA_ARGS__)    \
	SWEEP_KIND(scenario_, madvise, __VA_ARGS__) \
	SWEEP_KIND(scenario_, clone, __VA_ARGS__)   \
	SWEEP_KIND(scenario_, futex, __VA_ARGS__)   \
	SWEEP_KIND(scenario_, malloc, __VA_ARGS__)

#endif
