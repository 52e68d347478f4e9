/*
 * tap.h - what every test program is made of: cases, expectations, children.
 *
 *   TAP_CASE(close_wakes_every_receiver, .id = "CHN-06") { ... expect_eq(n, 100); ... }
 *   TAP_CHILD(close_twice) { ... }                 a body that runs only in a process of its own
 *   TAP_MAIN
 *
 *   program                    every case, each in a process of its own, as TAP
 *   program --list             one line a case: name, id, seconds, Ps, flags (for the runner)
 *   program CHN-06             the cases of that id; or a case by its name, in this process
 *   program 10 [case]          stress programs: run for ten seconds (also TAP_SECONDS=10)
 *   program --child name       a child's body
 *
 * The exit status is 0 when all held, 1 when not, 77 when the case could not be tried here.
 * GORO_SEED=n replays; a case that draws numbers prints the seed that it drew from.
 *
 * Everything is in this header, and none of it knows goro, so that unit tests can use it too;
 * what needs the runtime stands in goro_tap.h.
 */
#ifndef GORO_TESTS_TAP_H
#define GORO_TESTS_TAP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAP_UNUSED __attribute__((unused))

enum { TAP_SKIPPED = 77, TAP_TIMEOUT_S = 30, TAP_SHOWN_FAILURES = 20, TAP_TEXT_MAX = 1 << 20 };

/* TAP_SLOWER: how much longer things take under a sanitizer, and how much less is asked there. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TAP_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define TAP_SANITIZED 1
#endif
#endif
#ifdef TAP_SANITIZED
#define TAP_SLOWER 10
#else
#define TAP_SANITIZED 0
#define TAP_SLOWER    1
#endif

struct tap_case {
	const char *name;
	void (*fn)(void);
	const char *id; /* of the list of cases, or NULL */
	const char
		*procs; /* "1,2": at these Ps; "2+": at two and more; "-": once, at the default */
	int timeout_s;	/* 0: TAP_TIMEOUT_S */
	bool is_alone;	/* measures time or takes much memory: nothing else beside it */
	bool is_idle;	/* mostly sleeps: only others that do beside it */
	bool is_slow;	/* only in `make check` */
	bool is_race;	/* also on a single CPU */
	bool is_child;	/* runs by --child only */
	struct tap_case *next;
};

TAP_UNUSED static struct tap_case *tap_first;
TAP_UNUSED static struct tap_case **tap_last = &tap_first;
TAP_UNUSED static int tap_failures;
TAP_UNUSED static int tap_seconds;

#define TAP_REGISTER(name_, fn_, ...)                                                       \
	static struct tap_case tap_of_##name_ = {.name = #name_, .fn = (fn_), __VA_ARGS__}; \
	__attribute__((constructor)) static void tap_register_##name_(void)                 \
	{                                                                                   \
		*tap_last = &tap_of_##name_;                                                \
		tap_last = &tap_of_##name_.next;                                            \
	}

#define TAP_CASE(name_, ...)                    \
	static void name_(void);                \
	TAP_REGISTER(name_, name_, __VA_ARGS__) \
	static void name_(void)

#define TAP_CHILD(name_) TAP_CASE(name_, .is_child = true)

/* ---- expectations ---- */

/* Writes in one piece, so that lines of several threads do not mix. */
__attribute__((format(printf, 1, 2))) TAP_UNUSED static void tap_diag(const char *format, ...)
{
	char line[2048];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	size_t length = (size_t)n < sizeof(line) - 2 ? (size_t)n : sizeof(line) - 2;
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, length) < 0)
		_exit(1);
}

/* Counts a failure; the first ones are shown. */
TAP_UNUSED static bool tap_is_shown(void)
{
	return __atomic_fetch_add(&tap_failures, 1, __ATOMIC_SEQ_CST) < TAP_SHOWN_FAILURES;
}

TAP_UNUSED static void tap_stop(void)
{
	fflush(stdout);
	_exit(1);
}

TAP_UNUSED static const char *tap_number(__int128 value, char text[32])
{
	if (value < 0)
		snprintf(text, 32, "%" PRIdMAX, (intmax_t)value);
	else
		snprintf(text, 32, "%" PRIuMAX, (uintmax_t)value);
	return text;
}

TAP_UNUSED static void tap_fail_compare(const char *where, const char *claim, __int128 a,
					__int128 b)
{
	char text_a[32], text_b[32];
	if (tap_is_shown())
		tap_diag("# %s: expected %s, have %s and %s", where, claim, tap_number(a, text_a),
			 tap_number(b, text_b));
}

#define TAP_LINE_(line) #line
#define TAP_LINE(line)	TAP_LINE_(line)
#define TAP_WHERE	__FILE__ ":" TAP_LINE(__LINE__)

#define tap_compare(a, op, b, otherwise)                                              \
	do {                                                                          \
		__int128 tap_a = (a), tap_b = (b);                                    \
		if (!(tap_a op tap_b)) {                                              \
			tap_fail_compare(TAP_WHERE, #a " " #op " " #b, tap_a, tap_b); \
			otherwise;                                                    \
		}                                                                     \
	} while (0)

/* expect goes on after a failure, require ends the process. Integers of any type. */
#define expect_eq(a, b)	 tap_compare(a, ==, b, (void)0)
#define expect_ne(a, b)	 tap_compare(a, !=, b, (void)0)
#define expect_lt(a, b)	 tap_compare(a, <, b, (void)0)
#define expect_le(a, b)	 tap_compare(a, <=, b, (void)0)
#define expect_gt(a, b)	 tap_compare(a, >, b, (void)0)
#define expect_ge(a, b)	 tap_compare(a, >=, b, (void)0)
#define require_eq(a, b) tap_compare(a, ==, b, tap_stop())
#define require_ge(a, b) tap_compare(a, >=, b, tap_stop())
#define require_le(a, b) tap_compare(a, <=, b, tap_stop())

#define tap_claim(c, otherwise)                                               \
	do {                                                                  \
		if (!(c)) {                                                   \
			if (tap_is_shown())                                   \
				tap_diag("# %s: expected %s", TAP_WHERE, #c); \
			otherwise;                                            \
		}                                                             \
	} while (0)

#define expect(c)  tap_claim(c, (void)0)
#define require(c) tap_claim(c, tap_stop())

enum tap_relation { TAP_IS, TAP_CONTAINS, TAP_LACKS };

TAP_UNUSED static void tap_compare_text(const char *where, const char *name, const char *text,
					const char *other, enum tap_relation relation)
{
	static const char *const words[] = {"to be", "to contain", "to lack"};
	bool is_so = relation == TAP_IS
			     ? strcmp(text, other) == 0
			     : (strstr(text, other) != NULL) == (relation == TAP_CONTAINS);
	if (!is_so && tap_is_shown() && text != NULL)
		tap_diag("# %s: expected %s %s \"%s\", have:\n%s", where, name, words[relation],
			 other, text);
}

#define expect_str(a, b)      tap_compare_text(TAP_WHERE, #a, a, b, TAP_IS)
#define expect_contains(a, b) tap_compare_text(TAP_WHERE, #a, a, b, TAP_CONTAINS)
#define expect_lacks(a, b)    tap_compare_text(TAP_WHERE, #a, a, b, TAP_LACKS)

/* Ends the process: this case says nothing on this machine. */
__attribute__((noreturn)) TAP_UNUSED static void tap_skip(const char *why)
{
	printf("ok 1 # SKIP %s\n", why);
	fflush(stdout);
	_exit(TAP_SKIPPED);
}

/* ---- time, random numbers, the environment ---- */

TAP_UNUSED static int64_t tap_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

TAP_UNUSED static int64_t tap_cpu_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* For polling by threads outside the runtime; never what a test relies on. */
TAP_UNUSED static void tap_pause(int64_t ns)
{
	struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	nanosleep(&ts, NULL);
}

TAP_UNUSED static uint64_t tap_seed(void)
{
	static uint64_t seed;
	if (seed == 0) {
		const char *text = getenv("GORO_SEED");
		seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)tap_now();
		seed = seed != 0 ? seed : 1;
		printf("# GORO_SEED=%" PRIu64 "\n", seed);
		fflush(stdout);
	}
	return seed;
}

/* The splitmix64 generator: any state will do, also neighbouring ones. */
TAP_UNUSED static uint64_t tap_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/*
 * How many of the rounds that a thorough run makes (-s 5, make check) are made in fewer seconds
 * (-s 1, make test): for cases whose chance of finding something grows with their rounds.
 */
enum { TAP_THOROUGH_S = 5 };

TAP_UNUSED static int tap_share(int rounds)
{
	int seconds = tap_seconds < TAP_THOROUGH_S ? tap_seconds : TAP_THOROUGH_S;
	int share = rounds * seconds / TAP_THOROUGH_S;
	return share > 1 ? share : 1;
}

/* A figure of /proc/self/status in KiB, or of /proc/meminfo. */
TAP_UNUSED static int64_t tap_kib(const char *file, const char *field)
{
	char line[256];
	int64_t value = -1;
	FILE *f = fopen(file, "re");
	if (f == NULL)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtoll(line + strlen(field), NULL, 10);
	fclose(f);
	return value;
}

/* Counted page by page: what status says of it may be 128 KiB a CPU off since Linux 6.2. */
TAP_UNUSED static int64_t tap_rss_kib(void)
{
	int64_t exact_kib = tap_kib("/proc/self/smaps_rollup", "Rss:");
	return exact_kib >= 0 ? exact_kib : tap_kib("/proc/self/status", "VmRSS:");
}

/* ---- children: panics, fatal errors, whole programs ---- */

struct tap_child {
	int status; /* exit status, or -signal, or -1000 when it had to be killed */
	int64_t wall_ns;
	char *out, *err; /* what it wrote, NUL-terminated; kept until the process ends */
};

struct tap_capture {
	int fd;
	char *text;
	size_t length;
};

/* Reads what is there; closes at the end of the stream. */
TAP_UNUSED static void tap_capture_more(struct tap_capture *c)
{
	char sink[4096];
	bool is_full = c->length >= TAP_TEXT_MAX - 1;
	ssize_t n = is_full ? read(c->fd, sink, sizeof(sink))
			    : read(c->fd, c->text + c->length, TAP_TEXT_MAX - 1 - c->length);
	if (n > 0 && !is_full)
		c->length += (size_t)n;
	if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return;
	close(c->fd);
	c->fd = -1;
}

TAP_UNUSED static void tap_child_exec(const char *name, const char *const env[], int out, int err)
{
	struct rlimit no_core = {0, 0};
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	for (size_t i = 0; env[i] != NULL; i++) {
		if (strchr(env[i], '=') != NULL)
			putenv((char *)(uintptr_t)env[i]);
		else
			unsetenv(env[i]);
	}
	/* The runner names the program: it may be a script that runs it under an emulator. */
	const char *self = getenv("TAP_SELF");
	execl(self != NULL ? self : "/proc/self/exe", "child", "--child", name, (char *)NULL);
	_exit(126);
}

/*
 * Runs a TAP_CHILD body in a fresh process. The pairs of the environment are "NAME=value" to set
 * and "NAME" to take away. Call it from a plain thread while no runtime runs.
 */
TAP_UNUSED static void tap_child_run(struct tap_child *c, const char *name, const char *const env[])
{
	int out[2], err[2], status = 0;
	require(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
	fflush(stdout);
	int64_t start = tap_now();
	int64_t deadline = start + (int64_t)20 * TAP_SLOWER * 1000000000;
	pid_t pid = fork();
	require(pid >= 0);
	if (pid == 0)
		tap_child_exec(name, env, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	struct tap_capture captures[2] = {{.fd = out[0], .text = calloc(1, TAP_TEXT_MAX)},
					  {.fd = err[0], .text = calloc(1, TAP_TEXT_MAX)}};
	bool is_killed = false;
	while (captures[0].fd >= 0 || captures[1].fd >= 0) {
		struct pollfd fds[2] = {{.fd = captures[0].fd, .events = POLLIN},
					{.fd = captures[1].fd, .events = POLLIN}};
		int64_t left_ms = (deadline - tap_now()) / 1000000;
		if (left_ms <= 0) {
			is_killed = true;
			break;
		}
		poll(fds, 2, (int)left_ms);
		for (int i = 0; i < 2; i++)
			if (fds[i].revents != 0)
				tap_capture_more(&captures[i]);
	}
	if (is_killed)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	c->wall_ns = tap_now() - start;
	c->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	c->status = is_killed ? -1000 : c->status;
	c->out = captures[0].text;
	c->err = captures[1].text;
}

#define tap_child(c, name, ...) \
	tap_child_run((c), (name), &((const char *const[]){NULL, ##__VA_ARGS__, NULL})[1])

/* The beginning of a long text, each line marked. */
TAP_UNUSED static void tap_show(const char *title, const char *text)
{
	enum { SHOWN_LINES = 80 };
	tap_diag("# %s:", title);
	for (int n = 0; *text != '\0' && n < SHOWN_LINES; n++) {
		int length = (int)strcspn(text, "\n");
		tap_diag("#   %.*s", length, text);
		text += length + (text[length] == '\n');
	}
	if (*text != '\0')
		tap_diag("#   ... %zu bytes more", strlen(text));
}

/* A child must end with that status and say that text on standard error. */
#define expect_child(c, status_, text)                            \
	do {                                                      \
		int tap_before = tap_failures;                    \
		expect_eq((c)->status, status_);                  \
		expect_contains((c)->err, text);                  \
		if (tap_failures != tap_before) {                 \
			tap_show("the child's output", (c)->out); \
			tap_show("its errors", (c)->err);         \
		}                                                 \
	} while (0)

/* ---- the program ---- */

TAP_UNUSED static int tap_run_here(const struct tap_case *c)
{
	c->fn();
	bool is_ok = __atomic_load_n(&tap_failures, __ATOMIC_SEQ_CST) == 0;
	printf("%s 1 - %s\n", is_ok ? "ok" : "not ok", c->name);
	fflush(stdout);
	return is_ok ? 0 : 1;
}

TAP_UNUSED static int tap_timeout_s(const struct tap_case *c)
{
	int timeout_s = c->timeout_s != 0 ? c->timeout_s : TAP_TIMEOUT_S;
	return timeout_s * (TAP_SANITIZED ? 4 : 1);
}

/* Runs a case in a process of its own and kills it when its time is over. */
TAP_UNUSED static int tap_run_apart(const struct tap_case *c)
{
	int status;
	int64_t deadline = tap_now() + (int64_t)(tap_timeout_s(c) + tap_seconds) * 1000000000;
	fflush(stdout);
	pid_t pid = fork();
	require(pid >= 0);
	if (pid == 0)
		exit(tap_run_here(c));
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (tap_now() > deadline) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			printf("not ok 1 - %s # time is over\n", c->name);
			return 1;
		}
		tap_pause(1000000);
	}
	if (!WIFEXITED(status))
		printf("not ok 1 - %s # signal %d\n", c->name, WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

TAP_UNUSED static void tap_list(void)
{
	for (struct tap_case *c = tap_first; c != NULL; c = c->next)
		if (!c->is_child)
			printf("%s %s %d %s %s%s%s%s.\n", c->name, c->id != NULL ? c->id : "-",
			       tap_timeout_s(c), c->procs != NULL ? c->procs : "all",
			       c->is_alone ? "alone," : "", c->is_idle ? "idle," : "",
			       c->is_slow ? "slow," : "", c->is_race ? "race," : "");
}

TAP_UNUSED static int tap_run_named(const char *wanted)
{
	int n_run = 0, n_bad = 0, status = TAP_SKIPPED;
	for (struct tap_case *c = tap_first; c != NULL; c = c->next) {
		if (c->is_child)
			continue;
		if (wanted != NULL && strcmp(wanted, c->name) == 0)
			return tap_run_here(c);
		if (wanted != NULL && (c->id == NULL || strcmp(wanted, c->id) != 0))
			continue;
		n_run++;
		int one = tap_run_apart(c);
		n_bad += one != 0 && one != TAP_SKIPPED;
		status = one == 0 ? 0 : status;
	}
	if (n_run == 0) {
		fprintf(stderr, "no case %s here\n", wanted != NULL ? wanted : "");
		return 1;
	}
	return n_bad != 0 ? 1 : status;
}

TAP_UNUSED static int tap_main(int argc, char **argv)
{
	const char *seconds = getenv("TAP_SECONDS");
	tap_seconds = seconds != NULL ? atoi(seconds) : 2;
	if (argc > 1 && strcmp(argv[1], "--list") == 0) {
		tap_list();
		return 0;
	}
	if (argc > 2 && strcmp(argv[1], "--child") == 0) {
		for (struct tap_case *c = tap_first; c != NULL; c = c->next)
			if (c->is_child && strcmp(c->name, argv[2]) == 0) {
				c->fn();
				return 0;
			}
		return 126;
	}
	if (argc > 1 && argv[1][0] >= '0' && argv[1][0] <= '9') {
		tap_seconds = atoi(argv[1]);
		argv++;
		argc--;
	}
	int status = 0;
	for (int i = 1; i < argc || i == 1; i++) {
		int one = tap_run_named(i < argc ? argv[i] : NULL);
		status = one == 1 || status == 0 ? one : status;
	}
	return status;
}

#define TAP_MAIN                             \
	int main(int argc, char **argv)      \
	{                                    \
		return tap_main(argc, argv); \
	}

#endif
