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
 * PN5  goro_exit marks every goro_try around as left, and takes each off when what was deferred
 *      inside it has run. A panic among those calls ends in the innermost of them, which stores the
 *      message and goes on exiting instead of returning.
 * PN6  No C++ exception passes a goro_try or a deferred call: what is linked in the frames here
 *      would outlive them.
 * PN7  panic_canceled() in a group's child, with no goro_try around it and no other panic under
 *      way, ends the goroutine quietly, after its deferred calls.
 * PN8  A record that is lent lies on the stack of somebody who takes it back, unless it was called;
 *      drop() stands for it when a run ends around it. On a plain thread it hangs on the innermost
 *      goro_try, or on nothing: then no panic comes back.
 *
 * A plain thread has no goro_defer, but goro_try works there: its frames hang on a key of
 * pthread_setspecific, since no thread-local is a G's. Not in one list for all threads: a
 * thread that ends inside goro_try, by pthread_exit, would leave its frame there, for the next one
 * with its number. Jumps are longjmp: C++ destructors between are not run.
 *
 * Locking: none. Go: gopanic, gorecover, Goexit in runtime/panic.go.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/arch.h"
#include "base/fatal.h"
#include "goro.h"
#include "os/os.h"
#include "sched/cxx.h"
#include "sched/sched.h"

#define MESSAGE_BYTES 1024
#define PANIC_WAIT_NS INT64_C(50000000) /* PN4; Go: so many yields */

struct try_frame {
	struct try_frame *outer;
	struct deferred *mark;      /* PN2 */
	struct panic_frame *panics; /* those under way when it began */
	bool is_left;               /* PN5 */
	uint16_t syscall_depth;     /* of the goroutine when it began, like the next */
	uint16_t nopreempt_depth;
	struct deferred *deferred;  /* a plain thread's: PN8 */
	char *msg;
	size_t msg_size;
	struct cxx_globals cxx;     /* exceptions around it: CE1 */
	jmp_buf back;
};

struct panic_frame {
	struct panic_frame *earlier;
	const char *message;
	char *heap;       /* the message, when it is a long one; freed when the panic is over */
	bool is_uncaught; /* counted: PN4 */
	bool is_canceled; /* panic_canceled */
};

/* A plain thread's innermost try_frame. */
static pthread_key_t foreign_key;
static bool has_foreign_key; /* set once, before main() */

/* *until is read anew each time: what is called may take that record off. */
static void run_deferred_until(struct g *gp, struct deferred *const *until)
{
	while (gp->u.run.deferred != *until) {
		struct deferred *d = gp->u.run.deferred;
		void (*fn)(void *) = d->fn;
		void *arg = d->arg;
		gp->u.run.deferred = d->next; /* PN1 */
		if (!d->is_lent)
			call_free(d);
		ctx_call(fn, arg); /* PN6 */
	}
}

void run_deferred(struct g *gp)
{
	run_deferred_until(gp, &(struct deferred *){NULL});
}

/* The panics from the latest to `until` are over. Their frames still stand. */
static void panics_drop(struct g *gp, struct panic_frame *until)
{
	for (; gp->u.run.panics != until; gp->u.run.panics = gp->u.run.panics->earlier) {
		call_free(gp->u.run.panics->heap);
		gp->u.run.panics->heap = NULL;
	}
}

void deferred_drop_all(struct g *gp)
{
	for (struct deferred *d; (d = gp->u.run.deferred);) {
		gp->u.run.deferred = d->next;
		if (d->drop)
			d->drop(d);
		if (!d->is_lent)
			call_free(d);
	}
	panics_drop(gp, NULL);
}

static void deferred_unlink(struct deferred **at, const struct deferred *d)
{
	while (*at && *at != d) /* the program may have deferred something meanwhile */
		at = &(*at)->next;
	if (*at)
		*at = d->next;
}

static void deferred_take_back(struct g *gp, struct deferred *d)
{
	/* A goro_try inside of which it is taken off, though it was put on outside: PN2. */
	for (struct try_frame *try = gp->u.run.tries; try; try = try->outer)
		if (try->mark == d)
			try->mark = d->next;
	deferred_unlink(&gp->u.run.deferred, d);
}

void goro_defer(void (*fn)(void *), void *arg)
{
	struct g *gp = g_self();

	if (!gp)
		panic_at("goro_defer outside a goroutine");
	if (!fn)
		panic_at("goro_defer of nil func value");
	struct deferred *d = call_alloc(sizeof(*d));
	if (!d)
		panic_at("goro_defer: out of memory");
	*d = (struct deferred){.next = gp->u.run.deferred, .fn = fn, .arg = arg};
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
	struct g *gp = g_self();

	if (!gp)
		panic_at("goro_exit outside a goroutine");
	panics_end(gp->u.run.panics);
	for (struct try_frame *try = gp->u.run.tries; try; try = try->outer)
		try->is_left = true; /* PN5 */
	for (struct try_frame *try; (try = gp->u.run.tries);) {
		run_deferred_until(gp, &try->mark);
		gp->u.run.tries = try->outer;
	}
	run_deferred(gp);
	panics_drop(gp, NULL);
	if (gp->is_main)
		sched.main_exited = true;
	g_exit(gp);
}

/* Only so that libc clears the slot before other destructors of a thread that ends run. */
static void foreign_forget(void *try)
{
	(void)try;
}

__attribute__((constructor)) static void foreign_install(void)
{
	has_foreign_key = pthread_key_create(&foreign_key, foreign_forget) == 0;
}

/* False: no memory. */
static bool foreign_try_set(struct try_frame *try)
{
	return has_foreign_key && pthread_setspecific(foreign_key, try) == 0;
}

/* The innermost goro_try of this plain thread, or NULL. */
static struct try_frame *foreign_try(void)
{
	return has_foreign_key ? pthread_getspecific(foreign_key) : NULL;
}

void deferred_push(struct deferred *d)
{
	struct g *gp = g_self();
	struct try_frame *try = gp ? NULL : foreign_try();
	struct deferred **list = gp ? &gp->u.run.deferred : try ? &try->deferred : NULL;

	d->is_lent = true;
	if (!list)
		return;
	d->next = *list;
	*list = d;
}

bool deferred_is_own(const struct deferred *d)
{
	struct g *gp = g_self();
	const struct deferred *at = gp ? gp->u.run.deferred : NULL;

	while (at && at != d)
		at = at->next;
	return !gp || at;
}

void deferred_remove(struct deferred *d)
{
	struct g *gp = g_self();
	struct try_frame *try = gp ? NULL : foreign_try();

	if (gp)
		deferred_take_back(gp, d);
	else if (try)
		deferred_unlink(&try->deferred, d);
}

bool panic_is_uncaught(const struct g *gp)
{
	for (const struct panic_frame *frame = gp->u.run.panics; frame; frame = frame->earlier)
		if (frame->is_uncaught)
			return true;
	return false;
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
	(void)call_enter(); /* nobody takes its P, or stops it, any more */
	fatal_begin();
	panic_print(frame);
	print_to(2, "\n");
	fatal_end();
}

noreturn static void foreign_panic(struct panic_frame *frame)
{
	struct try_frame *try = foreign_try();

	if (!try)
		panic_end(frame);
	for (struct deferred *d; (d = try->deferred);) {
		try->deferred = d->next; /* PN1 */
		d->fn(d->arg);
	}
	(void)foreign_try_set(try->outer); /* the slot is there already */
	message_store(try, frame->message);
	call_free(frame->heap);
	longjmp(try->back, 1);
}

/* PN7 */
static bool panic_is_quiet(const struct g *gp, const struct panic_frame *frame)
{
	if (!gp->u.run.canceled_result || gp->u.run.tries)
		return false;
	while (frame && frame->is_canceled)
		frame = frame->earlier;
	return !frame;
}

noreturn static void panic_quiet(struct g *gp)
{
	if (!*gp->u.run.canceled_result)
		*gp->u.run.canceled_result = -ECANCELED;
	run_deferred(gp);
	panics_drop(gp, NULL);
	g_exit(gp);
}

/* heap: the message again, when it is ours to free. */
noreturn static void panic_with(const char *message, char *heap, bool is_canceled)
{
	call_abandon();
	struct g *gp = g_self();
	struct panic_frame frame = {.earlier = gp ? gp->u.run.panics : NULL, .message = message,
				    .heap = heap, .is_canceled = is_canceled};

	if (!gp)
		foreign_panic(&frame);
	gp->u.run.panics = &frame;
	if (panic_is_quiet(gp, &frame))
		panic_quiet(gp);
	struct try_frame *try = gp->u.run.tries;
	if (!try) {
		frame.is_uncaught = true;
		add_rlx(&sched.n_uncaught, 1); /* relaxed: only counted */
		run_deferred(gp);
		panic_end(&frame);
	}
	run_deferred_until(gp, &try->mark);
	message_store(try, message);
	gp->u.run.tries = try->outer;
	panics_drop(gp, try->panics);
	gp->nopreempt_depth = try->nopreempt_depth;
	call_resume(gp, try->syscall_depth);
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
	CALL_SCOPE;
	if (fatal_has_begun())
		park(NULL, NULL, WAIT_PANIC); /* FA3 */
}

noreturn void panic_at(const char *text)
{
	panic_with(text, NULL, false);
}

noreturn void panic_canceled(void)
{
	panic_with("context canceled", NULL, true);
}

void goro_panic(const char *fmt, ...)
{
	char message[MESSAGE_BYTES], *heap = NULL;
	va_list args, again;

	if (!fmt)
		panic_at("(null)");
	call_abandon();
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(message, sizeof(message), fmt, args);
	if (n >= MESSAGE_BYTES && (heap = call_alloc((size_t)n + 1))) /* else it is cut */
		vsnprintf(heap, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(args);
	panic_with(n < 0 ? fmt : heap ? heap : message, heap, false);
}

static struct cxx_globals *cxx_here(void)
{
	struct m *mp = m_self();

	if (!has_more_to_switch)
		return NULL;
	return mp ? mp->cxx : cxx_of_thread();
}

/* setjmp stands in a function of its own, whose locals nobody changes after it. */
__attribute__((noinline)) static bool try_call(struct try_frame *try, void (*fn)(void *), void *arg)
{
	try->cxx = cxx_get(cxx_here());
	if (_setjmp(try->back) != 0) {
		cxx_put(cxx_here(), try->cxx); /* those in the frames that were left are over */
		return false;
	}
	ctx_call(fn, arg); /* PN6 */
	return true;
}

static bool try_on_thread(struct try_frame *try, void (*fn)(void *), void *arg)
{
	try->outer = foreign_try();
	if (!foreign_try_set(try))
		panic_at("goro_try: out of memory");
	if (!try_call(try, fn, arg))
		return false;
	(void)foreign_try_set(try->outer); /* the slot is there already */
	return true;
}

static void run_deferred_of_try(void *arg)
{
	struct try_frame *try = arg;

	run_deferred_until(g_self(), &try->mark);
}

bool goro_try(void (*fn)(void *), void *arg, char *msg, size_t msg_size)
{
	struct g *gp = g_self();
	struct try_frame try = {.msg = msg, .msg_size = msg_size};

	if (!fn)
		panic_at("goro_try of nil func value");
	if (!gp)
		return try_on_thread(&try, fn, arg);
	try.panics = gp->u.run.panics;
	try.outer = gp->u.run.tries;
	try.mark = gp->u.run.deferred;
	try.syscall_depth = gp->syscall_depth;
	try.nopreempt_depth = gp->nopreempt_depth;
	gp->u.run.tries = &try;
	/* What fn deferred may still panic: that is inside as well. */
	if (!try_call(&try, fn, arg) || !try_call(&try, run_deferred_of_try, &try)) {
		if (try.is_left)
			goro_exit(); /* PN5 */
		return false;
	}
	gp->u.run.tries = try.outer;
	return true;
}
