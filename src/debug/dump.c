/*
 * dump.c - what every goroutine is doing: goro_dump, and the report after a fatal error, a
 * panic, SIGQUIT.
 *
 *   goro_dump -> world_stop -> [dump_all] -> world_start    fatal, panic -> [report] -> _exit(2)
 *   SIGQUIT -> sysmon -> [dump_and_exit]
 *
 * DU1  A goroutine's stack is read only while it is at rest (its registers lie on it), by itself,
 *      or by a signal handler on its own thread (capture).
 * DU2  A report must come out of a broken process: it waits for no lock longer than LOCK_WITHIN_NS,
 *      since whoever fails may hold any of them, and for all threads that are asked for their stack
 *      together not much longer than CAPTURE_WITHIN_NS: on a busy machine one may be slow.
 * DU3  What needs more than a few hundred bytes of stack runs on a stack of ours: a signal handler
 *      may be on an alternate stack of the program's, a goroutine at the end of its own. goro_dump
 *      alone is a call like any other and uses the caller's.
 * DU4  Of the library's own frames only the call that the program made is shown (symbol.h), but all
 *      of whoever has failed inside the library.
 * DU5  A running goroutine may end, and its name with it. Only its own thread reads it then, in the
 *      handler that unwinds the stack.
 *
 * The format is Go's: "goroutine 7 [chan receive, 2 minutes]:", the calls, "created by". A line
 * after the header tells the name and the exact wait.
 *
 * Locking: sched.lock, then gfree's lock while the slabs are walked; never the one under the other,
 * which would be against their ranks. Go: traceback.go, goroutineheader.
 */
#include <errno.h>
#include <string.h>

#include "base/fatal.h"
#include "base/sanitize.h"
#include "base/valgrind.h"
#include "debug/symbol.h"
#include "debug/unwind.h"
#include "goro.h"
#include "os/os.h"
#include "queue/gfree.h"
#include "sched/sched.h"

#define STOP_WITHIN_NS 20000000    /* goro_dump waits so long for goroutines that make no call */
#define CAPTURE_WITHIN_NS 2000000000
#define CAPTURE_LEAST_NS 5000000   /* and so long for each */
#define LOCK_WITHIN_NS 50000000
#define CAPTURE_STACK_SIZE (16u << 10) /* twice what UW4 promises */
#define MINUTE_NS INT64_C(60000000000)

struct dump {
	int fd;
	struct g *first;   /* printed already */
	int64_t now;
	uint64_t parent_id; /* of the goroutine being printed */
	bool is_captured;   /* its own thread has left its stack and its name in capture */
	struct running *running; /* its own, since a report may begin beside a dump; or NULL */
	uint32_t n_running, running_size;
};

/*
 * A running goroutine's thread unwinds itself in a signal handler. One that comes late may still be
 * at it when the next is asked: is_taken keeps the two apart, and `done` says whose trace it is.
 */
static struct {
	atomic_of(struct g *) wanted;   /* DUMP-STACK */
	atomic_of(struct g *) done;     /* DUMP-STACK */
	atomic_of(uint32_t) is_taken;   /* DUMP-STACK: by a handler */
	struct unwind_trace trace;      /* whoever took it; then the dump, when it is done */
	struct unwind_regs regs;        /* whoever took it, like the rest */
	char name[NAME_MAX_BYTES];      /* like the trace: DU5 */
	void *handler_sp;
	int64_t left_ns;                /* of CAPTURE_WITHIN_NS, DU2 */
	_Alignas(16) char stack[CAPTURE_STACK_SIZE]; /* DU3 */
} capture;

/* One dump at a time: the world is stopped, or the process ends. */
static struct unwind_trace dump_trace;
static struct unwind_regs culprit_regs;

static struct unwind_bounds bounds_of(const struct g *gp)
{
	return (struct unwind_bounds){gp->stack.lo, gp->stack.hi};
}

/*
 * Looks at what its owner may be changing: a goroutine that did not stop in time, or an M on its
 * way. Any answer is good for a report, and nothing is followed from it, so no sanitizer has a say.
 */
SANITIZE_NOTHING static const struct g *dump_curg(const struct m *mp)
{
	return *(struct g *const volatile *)&mp->curg;
}

SANITIZE_NOTHING static bool dump_is_locked(const struct g *gp)
{
	return *(const volatile uint32_t *)&gp->lock_depth != 0;
}

/* DU5. It may be about to get one. */
static void capture_name(const struct g *gp)
{
	size_t n = 0;

	for (; gp->name && n < sizeof(capture.name) - 1 && gp->name[n]; n++)
		capture.name[n] = gp->name[n];
	capture.name[n] = 0;
}

static void *capture_unwind(void *gp)
{
	unwind_trace(&capture.trace, &capture.regs, bounds_of(gp));
	return capture.handler_sp;
}

static void on_capture(const void *context)
{
	struct m *mp = m_self();

	if (xchg_acq(&capture.is_taken, 1)) /* DUMP-STACK */
		return;
	struct g *wanted = load_acq(&capture.wanted); /* DUMP-STACK */
	if (mp && wanted && mp->curg == wanted && wanted->stack.lo) {
		capture_name(wanted);
		unwind_regs_from_signal(&capture.regs, context);
		if (sanitize_is_on) /* which knows of its stacks only */
			(void)capture_unwind(wanted);
		else
			ctx_switch(&capture.handler_sp, capture.stack + CAPTURE_STACK_SIZE,
				   capture_unwind, wanted);
		store_rel(&capture.done, wanted); /* DUMP-STACK */
	}
	store_rel(&capture.is_taken, 0); /* DUMP-STACK */
}

/* Which threads had which goroutines when the dump began: with a P, or in a call that blocks. */
struct running {
	const struct g *gp;
	int tid;
	bool is_in_call;
	int64_t since; /* of the call, or 0 */
};

static struct running running_few[MAXPROCS_LIMIT]; /* where there is no memory for all */

static void running_make(struct dump *d, uint32_t n_m)
{
	d->running = os_mem_reserve(n_m * sizeof(*d->running));
	d->running_size = d->running ? n_m : MAXPROCS_LIMIT;
	if (!d->running)
		d->running = running_few;
}

static void running_drop(struct dump *d)
{
	if (d->running && d->running != running_few)
		os_mem_release(d->running, d->running_size * sizeof(*d->running));
	d->running = NULL;
}

/* Under sched.lock. One that nobody wanted the P of has it still: then the kernel tells. */
static bool is_in_call(const struct m *mp)
{
	uint32_t at = load_rlx(&mp->at); /* relaxed: it may come back meanwhile */

	if (at == AT_RUNTIME && load_rlx(&mp->p)) /* relaxed: likewise */
		return false;
	return at == AT_SYSCALL || !load_rlx(&mp->p) || /* relaxed: likewise */
	       os_thread_is_asleep(mp->tid, false);
}

/*
 * Before the slabs are walked: their lock ranks above that of the Ms. Not waiting for ever: whoever
 * fails may hold it, DU2. Then running goroutines show no stack.
 */
static void running_look(struct dump *d)
{
	capture.left_ns = CAPTURE_WITHIN_NS;
	if (!lock_acquire_within(&sched.lock, LOCK_WITHIN_NS))
		return;
	uint32_t n_m = sched.n_m + MAXPROCS_LIMIT; /* some more may come meanwhile */
	lock_release(&sched.lock);
	running_make(d, n_m);
	if (!lock_acquire_within(&sched.lock, LOCK_WITHIN_NS))
		return;
	for (struct m *mp = sched.all_m; mp && d->n_running < d->running_size; mp = mp->all_link) {
		const struct g *gp = dump_curg(mp);
		if (gp)
			d->running[d->n_running++] = (struct running){
				.gp = gp,
				.tid = mp->tid,
				.is_in_call = is_in_call(mp),
				.since = load_rlx(&mp->away_since)}; /* relaxed: a time */
	}
	lock_release(&sched.lock);
}

/* Whose thread it is, or NULL. It may have gone on meanwhile: on_capture() looks again. */
static const struct running *running_find(const struct dump *d, const struct g *gp)
{
	for (uint32_t i = 0; i < d->n_running; i++)
		if (d->running[i].gp == gp)
			return &d->running[i];
	return NULL;
}

/* The registers of a goroutine that was stopped by a signal, or NULL. */
static const void *stop_context_of(struct g *gp)
{
	if (g_state(gp) != G_RUNNABLE || !gp->is_stopped ||
	    load_acq(&sched.run_state) != RUN_ON) /* RUN-STATE; its M may be gone: PR8 */
		return NULL;
	return gp->locked_m->stop_context;
}

static bool capture_stack(const struct dump *d, struct g *gp)
{
	bool is_done = false;
	const struct running *on = running_find(d, gp);

	if (!on)
		return false;
	store_rlx(&capture.done, NULL); /* relaxed: a late one is not of this goroutine */
	store_rel(&capture.wanted, gp); /* DUMP-STACK */
	preempt_capture(on->tid);
	int64_t start = os_now();
	int64_t most = capture.left_ns > CAPTURE_LEAST_NS ? capture.left_ns : CAPTURE_LEAST_NS;
	/* It may be stopped meanwhile: then its thread answers no signal, DU1. */
	while (!is_done && !stop_context_of(gp) && os_now() - start < most) {
		os_sleep_until(os_now() + 50000);
		is_done = load_acq(&capture.done) == gp; /* DUMP-STACK */
	}
	capture.left_ns -= os_now() - start;
	store_rel(&capture.wanted, NULL); /* DUMP-STACK */
	return is_done;
}

/* What the goroutine was started with: a tail call may have taken it off the stack. */
static void print_function(const struct symbol_frame *frame, void *arg)
{
	const struct dump *d = arg;

	if (!frame->is_inlined)
		print_to(d->fd, "started with %s",
			 frame->function ? frame->function : "an unnamed function");
}

/* NULL: it has none, or nobody can tell. */
static const char *name_of(const struct dump *d, const struct g *gp, enum g_state state)
{
	if (d->is_captured)
		return capture.name;
	return state != G_RUNNING || gp == d->first ? gp->name : NULL; /* DU5 */
}

static void print_header(const struct dump *d, struct g *gp, enum g_state state)
{
	const struct running *on = gp == d->first ? NULL : running_find(d, gp);
	bool is_away = on && on->is_in_call && state == G_RUNNING;
	/* relaxed, here and below: a G that did not stop in time may park meanwhile */
	int64_t since = is_away ? on->since : load_rlx(&gp->wait_since);
	int64_t waited = d->now > since ? d->now - since : 0; /* the coarse clock may be behind */
	uint8_t reason = load_rlx(&gp->wait_reason); /* relaxed: as above */
	bool is_waiting = state == G_WAITING || (is_away && since);
	const char *name = name_of(d, gp, state);

	print_to(d->fd, "goroutine %lu [%s", (unsigned long)gp->id,
		 is_away	      ? "syscall"
		 : state == G_WAITING ? wait_reason_name((enum wait_reason)reason)
				      : g_state_name(state));
	if (is_waiting && waited >= MINUTE_NS)
		print_to(d->fd, ", %ld minutes", (long)(waited / MINUTE_NS));
	if (dump_is_locked(gp))
		print_to(d->fd, ", locked to thread");
	print_to(d->fd, "]:\n");
	print_to(d->fd, "\t");
	if (gp->is_main && symbol_is_own((uintptr_t)gp->fn)) /* that of libgoro's main() */
		print_to(d->fd, "started with goro_main");
	else
		symbol_resolve((uintptr_t)gp->fn, true, print_function, (void *)(uintptr_t)d);
	if (name && name[0])
		print_to(d->fd, ", name \"%s\"", name);
	if (is_waiting)
		print_to(d->fd, ", waiting for %ld.%03ld s", (long)(waited / 1000000000),
			 (long)(waited / 1000000 % 1000));
	print_to(d->fd, "\n");
}

static void print_creator_frame(const struct symbol_frame *frame, void *arg)
{
	const struct dump *d = arg;

	if (frame->is_inlined)
		return;
	print_to(d->fd, "%s+0x%lx", frame->function ? frame->function : "?",
		 (unsigned long)frame->offset);
	if (d->parent_id)
		print_to(d->fd, " in goroutine %lu", (unsigned long)d->parent_id);
	print_to(d->fd, "\n");
	if (frame->file)
		print_to(d->fd, "\t%s:%d\n", frame->file, frame->line);
}

static void print_creator(struct dump *d, const struct g *gp)
{
	if (gp->id == 1)
		return;
	print_to(d->fd, "created by ");
	if (gp->site) {
		print_to(d->fd, "%s", gp->site->func);
		if (gp->parent_id)
			print_to(d->fd, " in goroutine %lu", (unsigned long)gp->parent_id);
		print_to(d->fd, "\n\t%s:%d\n", gp->site->file, gp->site->line);
		return;
	}
	d->parent_id = gp->parent_id;
	symbol_resolve((uintptr_t)gp->spawn_pc, false, print_creator_frame, d);
}

/* A goroutine that has not run yet: only its function is known. */
static void print_not_started(const struct dump *d, const struct g *gp)
{
	struct unwind_frame frame = {(uintptr_t)gp->fn, true};

	symbol_print_frame(d->fd, &frame);
}

static void print_stack(struct dump *d, struct g *gp, enum g_state state)
{
	struct unwind_regs regs;
	struct m *mp = m_self();

	if (mp && gp == mp->curg) {
		unwind_trace_self(&dump_trace, bounds_of(gp));
		symbol_print_calls(d->fd, &dump_trace);
		return;
	}
	if (d->is_captured) {
		symbol_print_calls(d->fd, &capture.trace);
		return;
	}
	const void *stop_context = stop_context_of(gp);
	if (stop_context) {
		unwind_regs_from_signal(&regs, stop_context);
		unwind_trace(&dump_trace, &regs, bounds_of(gp));
		symbol_print_calls(d->fd, &dump_trace);
	} else if (state == G_RUNNING) {
		print_to(d->fd, "\trunning on another thread; its stack cannot be read\n");
	} else if (!gp->sp) {
		print_not_started(d, gp);
	} else {
		unwind_regs_from_sp(&regs, gp->sp);
		unwind_trace(&dump_trace, &regs, bounds_of(gp));
		symbol_print_calls(d->fd, &dump_trace);
	}
}

static void print_goroutine(struct dump *d, struct g *gp)
{
	enum g_state state = g_state(gp);

	d->is_captured = state == G_RUNNING && gp != d->first && capture_stack(d, gp);
	print_header(d, gp, state);
	print_stack(d, gp, state);
	print_creator(d, gp);
	print_to(d->fd, "\n");
}

static void visit(struct g *gp, void *arg)
{
	struct dump *d = arg;

	if (gp != d->first && g_state(gp) != G_IDLE)
		print_goroutine(d, gp);
}

/* In a process that ends: DU2. */
static void report_others(struct dump *d)
{
	running_look(d);
	gfree_each_within(visit, d, LOCK_WITHIN_NS);
}

static void dump(int fd)
{
	struct dump d = {.fd = fd};

	symbol_prepare();
	if (!world_stop(WAIT_STOP_WORLD, os_now() + STOP_WITHIN_NS) &&
	    load_acq(&sched.run_state) != RUN_ON) /* RUN-STATE */
		return; /* a plain thread, and the run ends */
	struct m *mp = m_self(); /* waiting for the world may have moved us */
	d.first = mp ? mp->curg : NULL;
	d.now = os_now();
	if (d.first)
		print_goroutine(&d, d.first);
	running_look(&d);
	gfree_each(visit, &d);
	running_drop(&d);
	world_start();
	/* Sysmon sees a stopped P all the time: it asks nobody who dumps in a loop to yield. */
	if (d.first)
		yield_global(m_self());
}

void goro_dump(int fd)
{
	preempt_check(); /* also how the caller leaves when the run ends */
	CALL_SCOPE;
	bool is_plain = !m_self();
	if (is_plain && !outside_enter())
		return;
	dump(fd);
	if (is_plain)
		outside_leave();
	__asm__ volatile("" ::: "memory"); /* no tail call: the stack shown begins with us */
}

static void print_culprit(struct dump *d)
{
	bool is_inside = fatal_is_internal ||
			 (fault_context && symbol_is_own(culprit_regs.r[UNWIND_PC]));

	if (d->first)
		print_header(d, d->first, G_RUNNING);
	else
		print_to(d->fd, "thread %d (not one of the runtime):\n", os_thread_id());
	unwind_trace(&dump_trace, &culprit_regs,
		     d->first ? bounds_of(d->first) : (struct unwind_bounds){0, UINTPTR_MAX});
	if (is_inside) /* DU4 */
		symbol_print_trace(d->fd, &dump_trace);
	else
		symbol_print_calls(d->fd, &dump_trace);
	if (d->first)
		print_creator(d, d->first);
	print_to(d->fd, "\n");
}

static void *report_and_exit(void *arg)
{
	struct m *mp = m_self();
	struct dump d = {.fd = 2,
			 .first = mp ? mp->curg : NULL,
			 .now = os_now()};

	(void)arg;
	if (d.first || (!mp && !sysmon_is_self()))
		print_culprit(&d);
	/* A plain thread does not leave again: the run cannot end any more. */
	if (!mp && !sysmon_is_self() && !outside_enter())
		os_exit_now(2);
	world_freeze();
	report_others(&d);
	os_exit_now(2);
}

/* After "fatal error:" or "panic:" has been printed. */
static void report(void)
{
	if (fault_context)
		unwind_regs_from_signal(&culprit_regs, fault_context);
	else
		unwind_capture(&culprit_regs);
	report_stack_enter(report_and_exit, NULL); /* DU3 */
}

/* FA5. The failing call may have begun without call_enter(). */
static void stay_inside(void)
{
	struct m *mp = m_self();

	if (mp)
		store_rlx(&mp->at, AT_RUNTIME); /* relaxed: our own; we do not go back */
}

/* On sysmon's thread. */
static void dump_and_exit(void)
{
	struct dump d = {.fd = 2};

	fatal_begin();
	print_to(2, "SIGQUIT: quit\n\n");
	world_freeze();
	d.now = os_now();
	report_others(&d);
	os_exit_now(2);
}

__attribute__((constructor)) static void dump_install(void)
{
	(void)valgrind_stack_add((uintptr_t)capture.stack,
				 (uintptr_t)capture.stack + sizeof(capture.stack));
	fatal_set_report(report);
	fatal_set_enter(stay_inside);
	preempt_capture_hook = on_capture;
	sysmon_dump_hook = dump_and_exit;
}
