/*
 * explore.c - the interleaving explorer: threads, schedules, verdicts.
 *
 *   atomic.h, in a model thread -> [announce] -> run_execution() picks -> [perform]
 *   explore_run()               -> execution after execution, each with another list of choices
 *
 * XP1  Between two announcements a thread runs alone; what it announced happens when it is picked.
 * XP2  An execution is a function of its choices: the same list gives the same steps.
 * XP3  A state that was met before is not continued, unless it was met on this very path: then it
 *      is a cycle, and is run on without choices until it ends or is a livelock.
 *
 * Locking: none, one thing runs at a time.
 * Go: none; compare loom (Rust), CHESS, and Relacy, which we do not use: they are not C.
 */
#include "explore_impl.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Of a schedule as long as that of a livelock the beginning and the end are shown. */
#define SHOWN_FIRST 300
#define SHOWN_LAST  30

struct explorer *explorer;

/* --- the switch ------------------------------------------------------------------------------- */

/* Saves the callee-saved registers and the stack pointer in *from, goes on where `to` was saved. */
void explore_switch(void **from, void *to);

#if defined(__x86_64__)
__asm__(".text\n.globl explore_switch\n.type explore_switch,@function\nexplore_switch:\n"
	"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
	".size explore_switch,.-explore_switch\n");
#define FRAME_WORDS 8
#define FRAME_ENTRY 6
#elif defined(__aarch64__)
__asm__(".text\n.globl explore_switch\n.type explore_switch,%function\nexplore_switch:\n"
	"sub sp,sp,#160\nstp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\n"
	"stp x25,x26,[sp,#48]\nstp x27,x28,[sp,#64]\nstp x29,x30,[sp,#80]\n"
	"stp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\nstp d12,d13,[sp,#128]\nstp d14,d15,[sp,#144]\n"
	"mov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
	"ldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\n"
	"ldp x25,x26,[sp,#48]\nldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\n"
	"ldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\nldp d12,d13,[sp,#128]\nldp d14,d15,[sp,#144]\n"
	"add sp,sp,#160\nret\n.size explore_switch,.-explore_switch\n");
#define FRAME_WORDS 20
#define FRAME_ENTRY 11
#else
#error "the explorer has no switch for this machine"
#endif

static void thread_main(void)
{
	X->current->fn();
	announce((struct op){.kind = OP_END});
	__builtin_unreachable();
}

/* --- failures, choices, the schedule ---------------------------------------------------------- */

void fail(const struct explore_site *site, const char *format, ...)
{
	va_list args;
	char *what = X->verdict.what;
	size_t size = sizeof(X->verdict.what);
	int n;

	va_start(args, format);
	n = vsnprintf(what, size, format, args);
	va_end(args);
	if (site != NULL && site->func != NULL && n >= 0 && (size_t)n < size)
		snprintf(what + n, size - (size_t)n, ", in %s (%s:%d)", site->func, site->file,
			 site->line);
	X->has_failed = true;
	trace("=> %s", what);
	__builtin_longjmp(X->escape, 1);
}

/* One of n ways, the same one again while a list of choices is being followed. */
unsigned choose(unsigned n)
{
	struct choice *c = &X->choice[X->n_choices];

	if (n < 2)
		return 0;
	if (X->n_choices == CHOICES_MAX - 1)
		fail(NULL, "explorer: too many choices in one execution");
	if (X->n_choices >= X->n_prefix) {
		*c = (struct choice){0, (uint8_t)n};
		X->path[X->n_choices] = 0;
	} else if (c->count == 0) {
		c->count = (uint8_t)n;
	} else if (c->count != n) {
		fail(NULL, "explorer: the test is not a function of the schedule");
	}
	X->n_choices++;
	return c->taken < n ? c->taken : 0;
}

void trace(const char *format, ...)
{
	va_list args;

	if (!X->is_tracing || (X->step > SHOWN_FIRST && X->step < X->steps - SHOWN_LAST))
		return;
	va_start(args, format);
	printf("#   ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

const char *name_of(uintptr_t addr, char *text, size_t size)
{
	for (unsigned i = X->n_names; i-- > 0;) {
		uintptr_t from = X->name[i].addr;

		if (addr < from || addr >= from + X->name[i].size)
			continue;
		if (addr == from)
			snprintf(text, size, "%s", X->name[i].name);
		else
			snprintf(text, size, "%s+%zu", X->name[i].name, (size_t)(addr - from));
		return text;
	}
	for (int i = 0; i < X->n; i++) {
		const char *stack = X->thread[i].stack;

		if (addr >= (uintptr_t)stack && addr < (uintptr_t)stack + STACK_BYTES) {
			snprintf(text, size, "[stack of thread %d]-%zu", i,
				 (size_t)((uintptr_t)stack + STACK_BYTES - addr));
			return text;
		}
	}
	snprintf(text, size, "%#llx", (unsigned long long)addr);
	return text;
}

static void trace_op(const struct thread *t)
{
	static const char *const kinds[] = {
		"starts",   "load",	  "store", "rmw",     "cas",	"yield", "futex_wait",
		"is woken", "futex_wake", "lock",  "trylock", "unlock", "ends"};
	static const char *const orders[] = {"_rlx", "_acq", "_rel", "_acq_rel", "_seq_cst"};
	const struct op *op = &t->op;
	bool has_order = op->kind >= OP_LOAD && op->kind <= OP_CAS;
	char name[128], values[96] = "", place[160] = "";

	if (!X->is_tracing)
		return;
	if (op->kind == OP_LOAD)
		snprintf(values, sizeof(values), " -> %#llx", (unsigned long long)op->result);
	else if (op->kind == OP_STORE)
		snprintf(values, sizeof(values), " = %#llx", (unsigned long long)op->value);
	else if (op->kind == OP_RMW)
		snprintf(values, sizeof(values), " %s %#llx, was %#llx",
			 op->rmw == EXPLORE_ADD ? "+=" : "=", (unsigned long long)op->value,
			 (unsigned long long)op->result);
	else if (op->kind == OP_CAS)
		snprintf(values, sizeof(values), " %#llx -> %#llx, %s %#llx",
			 (unsigned long long)op->expected, (unsigned long long)op->value,
			 op->is_ok ? "swapped" : "failed, is", (unsigned long long)op->result);
	else if (op->kind == OP_WAIT || op->kind == OP_WAKE || op->kind == OP_TRYLOCK)
		snprintf(values, sizeof(values), " -> %s%d", t->status == BLOCKED ? "sleeps " : "",
			 t->status == BLOCKED ? 0 : (int)op->result);
	if (op->site.func != NULL)
		snprintf(place, sizeof(place), "   %s %s:%d", op->site.func, op->site.file,
			 op->site.line);
	trace("%3d  thread %d  %s%s %s%s%s", X->step, index_of(t), kinds[op->kind],
	      has_order ? orders[op->order] : "",
	      op->addr != 0 ? name_of(op->addr, name, sizeof(name)) : "", values, place);
}

/* --- whose turn it is ------------------------------------------------------------------------- */

int lock_index(uintptr_t key)
{
	for (unsigned i = 0; i < X->n_locks; i++)
		if (X->lock[i].key == key)
			return (int)i;
	if (X->n_locks == LOCKS_MAX)
		fail(NULL, "explorer: too many locks");
	X->lock[X->n_locks].key = key;
	X->lock[X->n_locks].owner = -1;
	memset(&X->lock[X->n_locks].clock, 0, sizeof(struct clock));
	return (int)X->n_locks++;
}

static unsigned enabled_threads(void)
{
	unsigned set = 0;

	for (int i = 0; i < X->n; i++) {
		const struct thread *t = &X->thread[i];

		if (t->status != READY)
			continue;
		if (t->op.kind == OP_LOCK && X->lock[lock_index(t->op.addr)].owner >= 0)
			continue;
		set |= 1u << i;
	}
	return set;
}

/* The bookkeeping of fairness: t says that it waits for somebody. */
static void note_yield(struct thread *t)
{
	unsigned since = t->enabled_since | t->disabled_since;

	t->behind |= (uint8_t)(since & ~(unsigned)t->scheduled_since & ~(1u << index_of(t)));
	t->enabled_since = (uint8_t)enabled_threads();
	t->disabled_since = 0;
	t->scheduled_since = 0;
	t->has_yielded = true;
}

static void note_step(struct thread *of, unsigned enabled_before)
{
	unsigned enabled = enabled_threads();

	for (struct thread *t = X->thread; t < X->thread + X->n; t++) {
		t->behind &= (uint8_t) ~(1u << index_of(of));
		t->scheduled_since |= (uint8_t)(1u << index_of(of));
		t->enabled_since &= (uint8_t)enabled;
		if (t == of)
			t->disabled_since |= (uint8_t)(enabled_before & ~enabled);
		else
			t->has_yielded = false;
	}
}

/* Of the enabled threads those that may have the next step. */
static unsigned willing_threads(unsigned enabled)
{
	unsigned fair = 0, eager = 0;

	for (int i = 0; i < X->n; i++) {
		if (!(enabled & (1u << i)) || (X->thread[i].behind & enabled))
			continue;
		fair |= 1u << i;
		if (!X->thread[i].has_yielded)
			eager |= 1u << i;
	}
	if (eager != 0)
		return eager;
	return fair != 0 ? fair : enabled;
}

static void time_out(struct thread *t)
{
	if (X->now < t->op.deadline)
		X->now = t->op.deadline;
	t->status = READY;
	t->is_timed_out = true;
	t->op.kind = OP_WOKEN;
	t->op.result = (uint64_t)-ETIMEDOUT;
}

/* Whose time comes first. */
static unsigned timed_threads(void)
{
	int64_t first = EXPLORE_FOREVER;
	unsigned set = 0;

	for (int i = 0; i < X->n; i++)
		if (X->thread[i].status == BLOCKED && X->thread[i].op.deadline < first)
			first = X->thread[i].op.deadline;
	for (int i = 0; i < X->n && first != EXPLORE_FOREVER; i++)
		if (X->thread[i].status == BLOCKED && X->thread[i].op.deadline == first)
			set |= 1u << i;
	return set;
}

/* NULL when nobody can go on, or this execution need not. */
static struct thread *pick(void)
{
	int option[2 * EXPLORE_THREADS];
	unsigned n = 0, n_ready, way;
	unsigned enabled = enabled_threads(), willing = willing_threads(enabled);
	unsigned timed = timed_threads();
	bool can_go_on = X->last >= 0 && (willing & (1u << X->last));

	if (can_go_on)
		option[n++] = X->last;
	for (int k = 1; k <= X->n; k++) {
		int i = (X->last + k + X->n) % X->n;

		if (!(willing & (1u << i)) || (can_go_on && i == X->last))
			continue;
		if (!can_go_on || X->used_preemptions < X->preemptions)
			option[n++] = i;
	}
	n_ready = n;
	for (int i = 0; i < X->n; i++)
		if ((timed & (1u << i)) && (enabled == 0 || X->used_timeouts < X->timeouts))
			option[n++] = i;
	if (n == 0)
		return NULL;
	if (n > 1 && !X->is_cycling)
		look_at_state();
	if (X->is_pruned)
		return NULL;
	way = X->is_cycling ? 0 : choose(n);
	if (way >= n_ready) {
		X->used_timeouts += enabled != 0;
		time_out(&X->thread[option[way]]);
	} else if (can_go_on && way > 0) {
		X->used_preemptions++;
	}
	return &X->thread[option[way]];
}

/* --- what a step does ------------------------------------------------------------------------- */

static void perform_wait(struct thread *t)
{
	struct op *op = &t->op;

	mem_fence(t);
	mem_settle_for(t, op->addr, op->size);
	mem_check_live(op);
	op->result = 0;
	if (mem_read(op->addr, op->size) != op->value) {
		op->result = (uint64_t)-EAGAIN;
	} else if (op->deadline != EXPLORE_FOREVER && op->deadline <= X->now) {
		op->result = (uint64_t)-ETIMEDOUT;
	} else if (X->used_spurious < X->spurious && !X->is_cycling && choose(2) == 1) {
		X->used_spurious++;
	} else {
		t->status = BLOCKED;
		t->wait_seq = ++X->seq;
	}
}

static void perform_wake(struct thread *t)
{
	struct op *op = &t->op;

	mem_fence(t);
	for (op->result = 0; op->result < op->value; op->result++) {
		struct thread *first = NULL;

		for (struct thread *u = X->thread; u < X->thread + X->n; u++)
			if (u->status == BLOCKED && u->op.addr == op->addr &&
			    (first == NULL || u->wait_seq < first->wait_seq))
				first = u;
		if (first == NULL)
			break;
		first->status = READY;
		first->op.kind = OP_WOKEN;
	}
}

static void perform_lock(struct thread *t)
{
	int i = lock_index(t->op.addr);

	t->op.is_ok = X->lock[i].owner < 0;
	t->op.result = t->op.is_ok;
	if (!t->op.is_ok)
		return;
	X->lock[i].owner = index_of(t);
	clock_join(&t->now, &X->lock[i].clock);
}

static void perform(struct thread *t)
{
	switch (t->op.kind) {
	case OP_START:
	case OP_YIELD:
	case OP_UNLOCK:
	case OP_WOKEN:
		break;
	case OP_LOAD:
		mem_load(t, &t->op);
		break;
	case OP_STORE:
		mem_store(t, &t->op);
		break;
	case OP_RMW:
		mem_rmw(t, &t->op);
		break;
	case OP_CAS:
		mem_cas(t, &t->op);
		break;
	case OP_WAIT:
		perform_wait(t);
		break;
	case OP_WAKE:
		perform_wake(t);
		break;
	case OP_LOCK:
	case OP_TRYLOCK:
		perform_lock(t);
		break;
	case OP_END:
		mem_flush(t);
		t->status = ENDED;
		break;
	}
	trace_op(t);
	mem_step(t);
}

/* In a thread: says what it wants to do, and returns when that is done. */
void announce(struct op op)
{
	if (explore_before_op != NULL)
		explore_before_op(); /* which may announce as well */
	struct thread *t = X->current;
	t->op = op;
	if (op.kind == OP_YIELD)
		note_yield(t);
	explore_switch(&t->sp, X->sp);
}

/* --- one execution ---------------------------------------------------------------------------- */

static void reset(void)
{
	memcpy(__data_start, X->globals, (size_t)(_end - __data_start));
	memset(X->arena, 0, X->n_arena);
	memset(X->side_stacks, 0, X->n_side_stacks);
	X->n_arena = 0;
	X->n_side_stacks = 0;
	X->n_blocks = 0;
	X->n_names = 0;
	X->n_plain = 0;
	X->n_locks = 0;
	X->n_choices = 0;
	X->last = -1;
	X->current = NULL;
	X->has_failed = X->is_pruned = X->is_cycling = false;
	X->used_preemptions = X->used_delays = X->used_spurious = X->used_timeouts = 0;
	X->step = 0;
	X->now = 1;
	X->seq = 0;
	mem_reset();
	for (int i = 0; i < X->n; i++) {
		struct thread *t = &X->thread[i];
		char *stack = t->stack;
		uintptr_t *frame;

		memset(t, 0, offsetof(struct thread, buffer));
		t->n_buffer = 0;
		memset(&t->now, 0, sizeof(*t) - offsetof(struct thread, now));
		memset(stack + STACK_BYTES - STACK_CLEARED, 0, STACK_CLEARED);
		frame = (uintptr_t *)(void *)(stack + STACK_BYTES) - FRAME_WORDS;
		frame[FRAME_ENTRY] = (uintptr_t)thread_main;
		t->stack = stack;
		t->sp = frame;
		t->fn = X->test->thread[i];
		t->op.kind = OP_START;
		t->status = X->test->asleep & (1u << i) ? ASLEEP : READY;
		t->scheduled_since = 0xff;
		t->now.at[i] = 1;
	}
}

/* All ended, or asleep where that is an end. */
static bool check_end(void)
{
	char text[64];
	int blocked = -1;

	if (mem_flush_all())
		return false;
	for (int i = 0; i < X->n; i++)
		if (X->thread[i].status == BLOCKED || X->thread[i].status == READY)
			blocked = i;
	if (blocked >= 0 && !X->test->may_end_blocked)
		fail(&X->thread[blocked].op.site, "deadlock: thread %d waits for %s", blocked,
		     name_of(X->thread[blocked].op.addr, text, sizeof(text)));
	return true;
}

static void run_threads(void)
{
	/* What they do before their first operation is nobody else's business. */
	for (struct thread *t = X->thread; t < X->thread + X->n; t++) {
		if (t->status == ASLEEP)
			continue;
		X->current = t;
		explore_switch(&X->sp, t->sp);
		X->current = NULL;
	}
	for (;;) {
		unsigned enabled = enabled_threads();
		struct thread *t = pick();

		if (X->is_pruned)
			return;
		if (t == NULL) {
			if (check_end())
				return;
			continue;
		}
		if (++X->step > X->steps)
			fail(&t->op.site, "livelock: no end after %d steps", X->steps);
		X->verdict.steps++;
		X->current = t;
		perform(t);
		X->last = index_of(t);
		if (t->status == READY)
			explore_switch(&X->sp, t->sp);
		X->current = NULL;
		note_step(t, enabled);
	}
}

static __attribute__((noinline)) void run_execution(void)
{
	reset();
	if (__builtin_setjmp(X->escape) == 0) {
		X->is_executing = true;
		if (X->test->setup != NULL)
			X->test->setup();
		run_threads();
		if (!X->is_pruned && X->test->finish != NULL)
			X->test->finish();
	}
	X->is_executing = false;
	X->current = NULL;
	X->verdict.executions++;
	X->verdict.pruned += X->is_pruned;
}

/* --- all executions --------------------------------------------------------------------------- */

static void write_replay(void)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	unsigned n = X->n_choices;

	while (n > 0 && X->choice[n - 1].taken == 0)
		n--;
	if (n >= sizeof(X->verdict.replay))
		n = sizeof(X->verdict.replay) - 1;
	for (unsigned i = 0; i < n; i++)
		X->verdict.replay[i] = digits[X->choice[i].taken % 36];
	X->verdict.replay[n] = '\0';
}

static void read_replay(const char *text)
{
	for (X->n_prefix = 0; text[X->n_prefix] != '\0'; X->n_prefix++) {
		int c = text[X->n_prefix];

		X->choice[X->n_prefix].taken = (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
		X->choice[X->n_prefix].count = 0;
	}
}

/* The next list of choices; false when there is none. */
static bool next_choices(void)
{
	unsigned n = X->n_choices;

	while (n > 0 && X->choice[n - 1].taken + 1u >= X->choice[n - 1].count)
		n--;
	if (n == 0)
		return false;
	X->choice[n - 1].taken++;
	X->n_prefix = n;
	return true;
}

static int bound(int given, int normal)
{
	return given == EXPLORE_NONE ? 0 : given != 0 ? given : normal;
}

void *map_zeroed(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("explorer: mmap");
		exit(1);
	}
	return p;
}

/* A crash is a failure like any other, if it happens in an execution. */
static void on_crash(int signo)
{
	if (!X->is_executing) {
		signal(signo, SIG_DFL);
		raise(signo);
		return;
	}
	fail(X->current != NULL ? &X->current->op.site : NULL,
	     "crash: signal %d at or after its step", signo);
}

static void catch_crashes(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	stack_t stack = {.ss_sp = map_zeroed(SIGNAL_STACK_BYTES), .ss_size = SIGNAL_STACK_BYTES};
	struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_NODEFER};

	sigaltstack(&stack, NULL);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

static struct explorer *explorer_of(void)
{
	struct explorer *x = X;

	if (x == NULL) {
		x = map_zeroed(sizeof(*x));
		for (int i = 0; i < EXPLORE_THREADS; i++)
			x->thread[i].stack = map_zeroed(STACK_BYTES);
		x->arena = map_zeroed(ARENA_MAX);
		x->side_stacks = map_zeroed(SIDE_STACKS_MAX);
		x->globals = map_zeroed((size_t)(_end - __data_start));
		catch_crashes();
	}
	return x;
}

static bool is_shortened(const struct explore_test *test)
{
	return test->is_slow && getenv("EXPLORE_QUICK") != NULL;
}

static void prepare(const struct explore_test *test)
{
	size_t size = (size_t)(_end - __data_start);

	X = explorer_of();
	memcpy(X->globals, __data_start, size);
	memset(&X->verdict, 0, sizeof(X->verdict));
	memset(X->shadow, 0, sizeof(X->shadow));
	state_reset();
	X->test = test;
	X->preemptions = bound(test->preemptions, 2);
	X->preemptions -= is_shortened(test);
	X->delays = bound(test->delays, 1);
	X->spurious = bound(test->spurious, 0);
	X->timeouts = bound(test->timeouts, 0);
	X->steps = bound(test->steps, 3000);
	X->has_hit = false;
	X->is_tracing = false;
	X->n_prefix = 0;
	for (X->n = 0; X->n < EXPLORE_THREADS && test->thread[X->n] != NULL;)
		X->n++;
}

/* The failed execution once more, aloud. */
static void show_schedule(void)
{
	struct explore_verdict verdict = X->verdict;

	X->is_tracing = true;
	X->n_prefix = X->n_choices;
	run_execution();
	X->is_tracing = false;
	if (strcmp(X->verdict.what, verdict.what) != 0)
		printf("# the replay failed otherwise: the test is not a function of the "
		       "schedule\n");
	X->verdict = verdict;
}

static bool is_negative(const struct explore_test *test)
{
	return test->omit != NULL || test->weaken != NULL || test->unfence != NULL;
}

struct explore_verdict explore_run(const struct explore_test *test)
{
	struct explore_verdict verdict;
	uint64_t limit = test->executions != 0 ? test->executions : 2000000;

	prepare(test);
	do {
		run_execution();
		if (X->verdict.executions >= limit && !X->has_failed) {
			X->has_failed = true;
			snprintf(X->verdict.what, sizeof(X->verdict.what),
				 "explorer: more than %llu executions", (unsigned long long)limit);
		}
	} while (!X->has_failed && next_choices());
	X->verdict.is_complete = !X->has_failed;
	X->verdict.has_failed = X->has_failed;
	if (X->has_failed) {
		write_replay();
		if ((!X->is_quiet && !is_negative(test)) || getenv("EXPLORE_VERBOSE") != NULL)
			show_schedule();
	}
	if (is_negative(test) && !X->has_hit) {
		X->verdict.has_failed = false;
		snprintf(X->verdict.what, sizeof(X->verdict.what), "nothing was taken out");
	}
	verdict = X->verdict;
	memcpy(__data_start, X->globals, (size_t)(_end - __data_start));
	return verdict;
}

/* EXPLORE_REPLAY=name:choices runs that one execution and nothing else. */
static bool replays(const struct explore_test *test)
{
	const char *text = getenv("EXPLORE_REPLAY");
	size_t n = strlen(test->name);

	if (text == NULL)
		return false;
	if (strncmp(text, test->name, n) == 0 && text[n] == ':') {
		prepare(test);
		read_replay(text + n + 1);
		X->is_tracing = true;
		run_execution();
		printf("# %s: %s\n", test->name, X->has_failed ? X->verdict.what : "no failure");
		memcpy(__data_start, X->globals, (size_t)(_end - __data_start));
	}
	return true;
}

static void tap(const struct explore_test *test, bool is_ok, const struct explore_verdict *v,
		const char *why)
{
	X->n_tap++;
	X->n_tap_failed += !is_ok;
	printf("%sok %u - %s\n", is_ok ? "" : "not ", X->n_tap, test->name);
	printf("# %llu executions, %llu steps, %llu pruned%s%s%s\n",
	       (unsigned long long)v->executions, (unsigned long long)v->steps,
	       (unsigned long long)v->pruned, is_shortened(test) ? ", a preemption less" : "",
	       why[0] ? ": " : "", why);
	/* What can be chosen depends on the bounds. */
	if (v->has_failed)
		printf("# %sEXPLORE_REPLAY='%s:%s'\n", is_shortened(test) ? "EXPLORE_QUICK=1 " : "",
		       test->name, v->replay);
	fflush(stdout);
}

void explore_holds_seen(const struct explore_test *test, uint64_t seen)
{
	struct explore_verdict v;
	char why[64];

	if (replays(test))
		return;
	v = explore_run(test);
	if (!v.has_failed && (v.seen & seen) != seen) {
		snprintf(why, sizeof(why), "marks %#llx were never met",
			 (unsigned long long)(seen & ~v.seen));
		tap(test, false, &v, why);
		return;
	}
	tap(test, !v.has_failed, &v, v.what);
}

void explore_holds(const struct explore_test *test)
{
	explore_holds_seen(test, 0);
}

void explore_finds(const struct explore_test *test, const char *what)
{
	struct explore_verdict v;

	if (replays(test))
		return;
	X = explorer_of();
	X->is_quiet = true;
	v = explore_run(test);
	X->is_quiet = false;
	tap(test, v.has_failed && strstr(v.what, what) != NULL, &v,
	    v.has_failed || v.what[0] != '\0' ? v.what : "the bug was not found");
}

void explore_says(bool is_true, const char *name)
{
	if (getenv("EXPLORE_REPLAY") != NULL)
		return;
	X->n_tap++;
	X->n_tap_failed += !is_true;
	printf("%sok %u - %s\n", is_true ? "" : "not ", X->n_tap, name);
}

int explore_done(void)
{
	if (X == NULL || getenv("EXPLORE_REPLAY") != NULL)
		return 0;
	printf("1..%u\n", X->n_tap);
	return X->n_tap_failed != 0;
}
