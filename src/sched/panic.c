/*
 * panic.c - deferred calls, panics, and goro_try, which catches them.
 *
 *   goro_panic -> what is deferred runs -> the innermost goro_try returns false, or it all ends
 *
 * PN1  u.run.deferred is the stack of deferred calls of one goroutine; a record is taken off before
 *      its function is called, so that no deferred call runs twice, whatever it does.
 * PN2  A goro_try remembers the top of that stack; a panic inside it runs what lies
 *      above, and no more.
 * PN3  Deferred calls run on the stack of the panic, above the frames that are left: nothing is
 *      unwound until goro_try jumps. A goro_exit in a deferred call ends the goroutine, and the
 *      panic with it.
 * PN4  A panic that nobody will catch counts in sched.n_uncaught from before its deferred calls; a
 *      goro_exit among them takes it off. Main does not leave while a report is being printed,
 *      and gives those deferred calls some time before it does.
 *
 * A plain thread has no deferred calls, but goro_try works there: its frames lie in one list
 * for all threads, since the only thread-local is the M. Jumps are longjmp: C++ destructors
 * between are not run.
 *
 * Locking: foreign.lock (LEAF) for that list. Go: gopanic, gorecover, Goexit in runtime/panic.go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fatal.h"
#include "goro.h"
#include "os/os.h"
#include "sched/sched.h"

#define MESSAGE_BYTES 1024
#define PANIC_WAIT_NS INT64_C(50000000) /* PN4; Go: so many yields */

struct deferred {
	struct deferred *next;
	void (*fn)(void *);
	void *arg;
};

struct try_frame {
	struct try_frame *outer;
	struct deferred *mark;  /* PN2 */
	int tid;                /* plain threads */
	char *msg;
	size_t msg_size;
	jmp_buf back;
};

struct panic_frame {
	struct panic_frame *earlier;
	const char *message;
	bool is_uncaught; /* counted: PN4 */
	bool is_canceled; /* panic_canceled */
};

static struct {
	struct lock lock;
	struct try_frame *tries;
} foreign = {.lock = LOCK_INIT(LOCK_LEAF)};

static struct g *current(void)
{
	struct m *mp = m_self();

	return mp ? mp->curg : NULL;
}

void run_deferred(struct g *gp, struct deferred *until)
{
	while (gp->u.run.deferred != until) {
		struct deferred *d = gp->u.run.deferred;
		void (*fn)(void *) = d->fn;
		void *arg = d->arg;
		gp->u.run.deferred = d->next; /* PN1 */
		os_free(d);
		fn(arg);
	}
}

void deferred_drop_all(struct g *gp)
{
	for (struct deferred *d; (d = gp->u.run.deferred);) {
		gp->u.run.deferred = d->next;
		os_free(d);
	}
}

void goro_defer(void (*fn)(void *), void *arg)
{
	struct g *gp = current();

	if (!gp)
		panic_at("goro_defer outside a goroutine");
	if (!fn)
		panic_at("goro_defer of nil func value");
	struct deferred *d = os_alloc(sizeof(*d));
	if (!d)
		panic_at("goro_defer: out of memory");
	*d = (struct deferred){gp->u.run.deferred, fn, arg};
	gp->u.run.deferred = d;
}

/* PN4: these panics will not be printed. */
static void panics_end(struct panic_frame *frame)
{
	for (; frame; frame = frame->earlier)
		if (frame->is_uncaught) {
			frame->is_uncaught = false;
			add_rlx(&sched.n_uncaught, -1u); /* relaxed: only counted */
		}
}

void goro_exit(void)
{
	struct g *gp = current();

	if (!gp)
		panic_at("goro_exit outside a goroutine");
	panics_end(gp->u.run.panics);
	gp->u.run.tries = NULL; /* all frames are left: no goro_try among them catches any more */
	run_deferred(gp, NULL);
	if (gp->is_main)
		sched.main_exited = true;
	g_exit(gp);
}

/* The newest goro_try of this plain thread, taken off the list; NULL: none. */
static struct try_frame *foreign_try_pop(const struct try_frame *wanted)
{
	int tid = os_thread_id();
	struct try_frame *found = NULL;

	lock_acquire(&foreign.lock);
	for (struct try_frame **at = &foreign.tries; *at; at = &(*at)->outer) {
		if ((*at)->tid == tid && (!wanted || *at == wanted)) {
			found = *at;
			*at = found->outer;
			break;
		}
	}
	lock_release(&foreign.lock);
	return found;
}

static void foreign_try_push(struct try_frame *try)
{
	try->tid = os_thread_id();
	lock_acquire(&foreign.lock);
	try->outer = foreign.tries;
	foreign.tries = try;
	lock_release(&foreign.lock);
}

static void message_store(struct try_frame *try, const char *message)
{
	if (try->msg && try->msg_size)
		snprintf(try->msg, try->msg_size, "%s", message);
}

static void panic_print(const struct panic_frame *frame)
{
	if (frame->earlier) {
		panic_print(frame->earlier);
		print_to(2, "\t");
	}
	print_to(2, "panic: ");
	os_write(2, frame->message, strlen(frame->message));
	print_to(2, "\n");
}

/* Nobody catches it. */
noreturn static void panic_end(const struct panic_frame *frame)
{
	fatal_begin();
	panic_print(frame);
	print_to(2, "\n");
	fatal_end();
}

noreturn static void panic_with(const char *message, bool is_canceled)
{
	struct g *gp = current();
	struct panic_frame frame = {.earlier = gp ? gp->u.run.panics : NULL, .message = message,
				    .is_canceled = is_canceled};

	if (!gp) {
		struct try_frame *try = foreign_try_pop(NULL);
		if (!try)
			panic_end(&frame);
		message_store(try, message);
		longjmp(try->back, 1);
	}
	gp->u.run.panics = &frame;
	struct try_frame *try = gp->u.run.tries;
	if (!try) {
		frame.is_uncaught = true;
		add_rlx(&sched.n_uncaught, 1); /* relaxed: only counted */
	}
	run_deferred(gp, try ? try->mark : NULL);
	if (!try)
		panic_end(&frame);
	message_store(try, message);
	gp->u.run.tries = try->outer;
	longjmp(try->back, 1);
}

void panic_wait(void)
{
	int64_t until = 0;

	/* relaxed: as a panic that begins later */
	while (load_rlx(&sched.n_uncaught) && !fatal_has_begun()) {
		int64_t now = os_now();
		if (!until)
			until = now + PANIC_WAIT_NS;
		if (now >= until)
			break;
		goro_yield();
	}
	if (fatal_has_begun())
		park(NULL, NULL, WAIT_PANIC); /* FA3 */
}

noreturn void panic_at(const char *text)
{
	panic_with(text, false);
}

noreturn void panic_canceled(void)
{
	panic_with("context canceled", true);
}

void goro_panic(const char *fmt, ...)
{
	char message[MESSAGE_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	panic_with(message, false);
}

/* setjmp stands in a function of its own, whose locals nobody changes after it. */
__attribute__((noinline)) static bool try_call(struct try_frame *try, void (*fn)(void *), void *arg)
{
	if (_setjmp(try->back) != 0)
		return false;
	fn(arg);
	return true;
}

static bool foreign_try(struct try_frame *try, void (*fn)(void *), void *arg)
{
	foreign_try_push(try);
	if (!try_call(try, fn, arg))
		return false;
	(void)foreign_try_pop(try);
	return true;
}

static void run_deferred_of_try(void *arg)
{
	struct try_frame *try = arg;

	run_deferred(current(), try->mark);
}

bool goro_try(void (*fn)(void *), void *arg, char *msg, size_t msg_size)
{
	struct g *gp = current();
	struct try_frame try = {.msg = msg, .msg_size = msg_size};

	if (!fn)
		panic_at("goro_try of nil func value");
	if (!gp)
		return foreign_try(&try, fn, arg);
	struct panic_frame *panics = gp->u.run.panics;
	try.outer = gp->u.run.tries;
	try.mark = gp->u.run.deferred;
	gp->u.run.tries = &try;
	if (!try_call(&try, fn, arg)) {
		gp->u.run.panics = panics; /* those inside are over */
		return false;
	}
	/* What fn deferred may still panic: that is inside as well. */
	if (!try_call(&try, run_deferred_of_try, &try)) {
		gp->u.run.panics = panics;
		return false;
	}
	gp->u.run.tries = try.outer;
	return true;
}
