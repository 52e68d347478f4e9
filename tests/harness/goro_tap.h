/*
 * goro_tap.h - tap.h, and what tests that run goroutines share.
 *
 *   GORO_CASE(ring_passes_a_token, .id = "LIM-01") { the body is the main goroutine }
 *   GORO_CHILD(main_receives_for_ever) { likewise, in a process of its own }
 *
 * Waiting is on a condition, never on a time: wait_for(condition) yields until it holds and ends
 * the case, with a dump, when it does not come. "Parked" means really blocked: the wait_until_*
 * calls read it out of goro_dump(), where a goroutine's header is "goroutine 7 [chan receive]:".
 */
#ifndef GORO_TESTS_GORO_TAP_H
#define GORO_TESTS_GORO_TAP_H

#include "tap.h"

#include <goro.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* A registered case whose body runs as the main goroutine. */
#define GORO_BODY_(name_, ...)                              \
	static void name_(void);                            \
	static int name_##_main(void *unused)               \
	{                                                   \
		(void)unused;                               \
		name_();                                    \
		return 0;                                   \
	}                                                   \
	static void name_##_run(void)                       \
	{                                                   \
		expect_eq(goro_run(name_##_main, NULL), 0); \
	}                                                   \
	TAP_REGISTER(name_, name_##_run, __VA_ARGS__)       \
	static void name_(void)

#define GORO_CASE(name_, ...) GORO_BODY_(name_, __VA_ARGS__)
#define GORO_CHILD(name_)     GORO_BODY_(name_, .is_child = true)

enum { STATE_MAX = 96, PATIENCE_S = 20 };

TAP_UNUSED static pid_t thread_id(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/* One round of a waiting loop: lets others run, and after many rounds leaves the CPU to them. */
TAP_UNUSED static void wait_round(int round)
{
	if (goro_id() == 0)
		tap_pause(100000);
	else if (round % 64 != 63)
		goro_yield();
	else
		goro_sleep(GORO_US(50));
}

TAP_UNUSED static void wait_failed(const char *where, const char *what)
{
	tap_diag("# %s: waited in vain for %s", where, what);
	goro_dump(STDERR_FILENO);
	tap_stop();
}

#define wait_for(condition)                                                       \
	do {                                                                      \
		int64_t wait_end = tap_now() + GORO_SEC(PATIENCE_S) * TAP_SLOWER; \
		for (int wait_n = 0; !(condition); wait_n++) {                    \
			wait_round(wait_n);                                       \
			if (wait_n % 64 == 63 && tap_now() > wait_end)            \
				wait_failed(TAP_WHERE, #condition);               \
		}                                                                 \
	} while (0)

#define load(p)	    __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define add(p, v)   __atomic_add_fetch(p, v, __ATOMIC_SEQ_CST)

/* ---- dumps ---- */

/* What goro_dump writes, to be freed. */
TAP_UNUSED static char *dump_text(void)
{
	int fd = memfd_create("dump", MFD_CLOEXEC);
	require(fd >= 0);
	goro_dump(fd);
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);
	require(text != NULL);
	for (off_t have = 0; have < size;) {
		ssize_t n = pread(fd, text + have, (size_t)(size - have), have);
		require(n > 0);
		have += n;
	}
	close(fd);
	return text;
}

/* The next header line after text: its goroutine's number, and what is in the brackets. */
TAP_UNUSED static const char *dump_next(const char *text, uint64_t *id, char state[STATE_MAX])
{
	for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "goroutine %" SCNu64 " [%95[^]]]:", id, state) == 2)
			return line + 1;
	}
	return NULL;
}

/* "chan receive" fits "chan receive, 2 minutes", and not "chan receive (nil chan)". */
TAP_UNUSED static bool state_fits(const char *state, const char *reason)
{
	size_t length = strlen(reason);
	return strncmp(state, reason, length) == 0 &&
	       (state[length] == '\0' || state[length] == ',');
}

/* The state of a goroutine in a dump; false when it is not there. */
TAP_UNUSED static bool state_in(const char *text, uint64_t wanted, char state[STATE_MAX])
{
	uint64_t id;
	for (const char *at = text; (at = dump_next(at, &id, state)) != NULL;)
		if (id == wanted)
			return true;
	state[0] = '\0';
	return false;
}

TAP_UNUSED static int count_in(const char *text, const char *reason)
{
	uint64_t id;
	char state[STATE_MAX];
	int n = 0;
	for (const char *at = text; (at = dump_next(at, &id, state)) != NULL;)
		n += reason == NULL || state_fits(state, reason);
	return n;
}

TAP_UNUSED static bool is_parked(uint64_t id, const char *reason)
{
	char state[STATE_MAX];
	char *text = dump_text();
	bool is_there = state_in(text, id, state);
	free(text);
	return is_there && state_fits(state, reason);
}

/* How many goroutines are in that state; NULL counts all that the dump shows. */
TAP_UNUSED static int parked_count(const char *reason)
{
	char *text = dump_text();
	int n = count_in(text, reason);
	free(text);
	return n;
}

#define wait_until_parked(id, reason)  wait_for(is_parked((id), (reason)))
#define wait_until_n_parked(n, reason) wait_for(parked_count(reason) == (n))

/* Whether a plain thread of this process sleeps in the kernel. */
TAP_UNUSED static bool is_thread_asleep(pid_t tid)
{
	char path[64], line[512];
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[n > 0 ? n : 0] = '\0';
	const char *after_name = strrchr(line, ')');
	return after_name != NULL && strncmp(after_name, ") S", 3) == 0;
}

TAP_UNUSED static int thread_count(void)
{
	return (int)tap_kib("/proc/self/status", "Threads:");
}

/* ---- goroutines that many tests start ---- */

/* Says where it is by its number, so that a test can wait until it is parked. */
struct role {
	goro_chan *c, *done;
	uint64_t id; /* 0 until it runs */
	int value;
	bool ok;
};

TAP_UNUSED static void role_receives(void *arg)
{
	struct role *r = arg;
	store(&r->id, goro_id());
	r->ok = goro_chan_recv(r->c, &r->value);
	if (r->done != NULL)
		goro_chan_send(r->done, &r->value);
}

TAP_UNUSED static void role_sends(void *arg)
{
	struct role *r = arg;
	store(&r->id, goro_id());
	goro_chan_send(r->c, &r->value);
	r->ok = true;
	if (r->done != NULL)
		goro_chan_send(r->done, &r->value);
}

/* Starts it and waits until it is really blocked. */
TAP_UNUSED static void start_parked(void (*fn)(void *), struct role *r, const char *reason)
{
	require_eq(goro_spawn(fn, r), 0);
	wait_for(load(&r->id) != 0);
	wait_until_parked(load(&r->id), reason);
}

/* What a panic of fn(arg) says; "" when there was none. */
struct caught {
	char text[256];
};

TAP_UNUSED static struct caught panic_of(void (*fn)(void *), void *arg)
{
	struct caught caught = {{0}};
	if (goro_try(fn, arg, caught.text, sizeof(caught.text)))
		caught.text[0] = '\0';
	return caught;
}

TAP_UNUSED static void call_close(void *c)
{
	goro_chan_close(c);
}

#endif
