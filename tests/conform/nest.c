/*
 * nest.c - PAN-01, 03: defer, panic, try and exit inside each other, in all ways.
 *
 *   a random program of those calls -> run by a goroutine -> trail
 *                                   -> run by the model   -> trail;  both are the same
 *
 * pan.c has each of them alone. The model at the end knows only what goro.h says.
 *
 * Go: test/recover.go, recover3.go; crash_test.go: TestRecoveredPanicAfterGoexit,
 * TestRecoverBeforePanicAfterGoexit, TestGoexitInPanic.
 */
#include "goro_tap.h"

static char trail[64];

static void leaves(void *letter)
{
	strcat(trail, letter);
}

static void panics_with(void *text)
{
	goro_panic("%s", (char *)text);
}

static void exits(void *unused)
{
	(void)unused;
	goro_exit();
}

static void returns(void *unused)
{
	(void)unused;
}

/* ---- panics after panics, uncaught ---- */

static void defers_third_and_panics(void *unused)
{
	(void)unused;
	goro_defer(panics_with, "third");
	goro_panic("second");
}

GORO_CHILD(three_in_a_row)
{
	goro_defer(defers_third_and_panics, NULL);
	goro_panic("first");
}

static void exits_and_panics_later(void *unused)
{
	(void)unused;
	goro_defer(panics_with, "second");
	goro_defer(exits, NULL);
	goro_panic("first");
}

GORO_CHILD(exit_between_two)
{
	goro_spawn(exits_and_panics_later, NULL);
	goro_chan_recv(NULL, NULL);
}

static void exits_and_a_cleanup_panics(void *unused)
{
	(void)unused;
	goro_defer(panics_with, "in the exit");
	goro_exit();
}

GORO_CHILD(exit_before)
{
	goro_spawn(exits_and_a_cleanup_panics, NULL);
	goro_chan_recv(NULL, NULL);
}

static void catches_one(void *unused)
{
	(void)unused;
	if (goro_try(panics_with, "inner", NULL, 0))
		goro_panic("not caught");
}

GORO_CHILD(one_between_is_caught)
{
	goro_defer(panics_with, "second");
	goro_defer(catches_one, NULL);
	goro_panic("first");
}

/* As Go 1.19 prints the same programs. */
TAP_CASE(panics_that_follow_one_another_are_shown_in_order, .id = "PAN-01")
{
	struct tap_child c;
	tap_child(&c, "three_in_a_row");
	expect_child(&c, 2,
		     "panic: first\n\tpanic: second\n\tpanic: third\n\ngoroutine 1 [running]:\n");
	tap_child(&c, "exit_between_two");
	expect_child(&c, 2, "panic: first\n\tpanic: second\n\ngoroutine ");
	tap_child(&c, "exit_before");
	expect_child(&c, 2, "panic: in the exit\n\ngoroutine ");
	expect(strncmp(c.err, "panic: in the exit\n", 19) == 0);
	tap_child(&c, "one_between_is_caught");
	expect_child(&c, 2, "panic: first\n\tpanic: second\n\ngoroutine 1 [running]:\n");
	expect_lacks(c.err, "inner");
}

GORO_CHILD(main_exits_during_a_panic)
{
	goro_defer(exits, NULL);
	goro_panic("forgotten");
}

TAP_CASE(exit_of_main_during_a_panic_forgets_the_panic, .id = "PAN-03")
{
	struct tap_child c;
	if (getenv("TAP_EMULATED"))
		tap_skip("the emulator has threads that could act");
	tap_child(&c, "main_exits_during_a_panic");
	expect_child(&c, 2, "fatal error: no goroutines (main called goro_exit) - deadlock!\n");
	expect_lacks(c.err, "forgotten");
}

/* ---- one inside the other ---- */

static void defers_a_panicking_chain(void *unused)
{
	(void)unused;
	goro_defer(leaves, "e");
	goro_defer(panics_with, "4");
	goro_defer(leaves, "d");
	goro_defer(panics_with, "3");
	goro_defer(panics_with, "2");
	goro_panic("1");
}

GORO_CASE(last_of_several_panics_is_caught_and_every_cleanup_runs, .id = "PAN-03")
{
	goro_defer(leaves, "never, in this test");
	expect_str(panic_of(defers_a_panicking_chain, NULL).text, "4");
	expect_str(trail, "de");
}

static void tries_in_a_cleanup(void *text)
{
	char caught[16];
	expect(!goro_try(panics_with, text, caught, sizeof(caught)));
	expect_str(caught, (char *)text);
	expect(goro_try(returns, NULL, caught, sizeof(caught)));
	leaves(text);
}

static void returns_with_tries(void *unused)
{
	(void)unused;
	goro_defer(tries_in_a_cleanup, "b");
	goro_defer(tries_in_a_cleanup, "a");
}

static void panics_with_tries(void *unused)
{
	returns_with_tries(unused);
	goro_panic("outer");
}

static void panics_with_tries_caught(void *unused)
{
	expect(!goro_try(panics_with_tries, unused, NULL, 0));
}

static void exits_with_tries(void *unused)
{
	returns_with_tries(unused);
	goro_exit();
}

GORO_CASE(try_in_a_cleanup_catches_and_changes_nothing_else, .id = "PAN-03")
{
	expect(goro_try(returns_with_tries, NULL, NULL, 0));
	expect_str(trail, "ab");
	expect_str(panic_of(panics_with_tries, NULL).text, "outer");
	expect_str(trail, "abab");
	goro_spawn(exits_with_tries, NULL);
	wait_for(goro_count() == 1);
	expect_str(trail, "ababab");
}

static void panics_while_exiting(void *unused)
{
	(void)unused;
	goro_defer(leaves, "b");
	goro_defer(panics_with, "in the exit");
	goro_defer(leaves, "a");
	goro_exit();
}

static char caught_in_exit[32];

static void tries_an_exit_that_panics(void *unused)
{
	(void)unused;
	goro_defer(leaves, "c");
	goro_try(panics_while_exiting, NULL, caught_in_exit, sizeof(caught_in_exit));
	leaves("not reached");
}

/* As Go's recover() in a function that Goexit leaves: the exit goes on. */
GORO_CASE(panic_during_an_exit_ends_in_the_try_and_the_exit_goes_on, .id = "PAN-03")
{
	goro_spawn(tries_an_exit_that_panics, NULL);
	wait_for(goro_count() == 1);
	expect_str(trail, "abc");
	expect_str(caught_in_exit, "in the exit");
}

static void exits_inside_tries(void *depth)
{
	goro_defer(leaves, "x");
	if (depth)
		goro_try(exits_inside_tries, (char *)depth - 1, NULL, 0);
	else
		goro_exit();
	leaves("not reached");
}

GORO_CASE(exit_leaves_all_tries, .id = "PAN-03")
{
	goro_spawn(exits_inside_tries, (void *)9);
	wait_for(goro_count() == 1);
	expect_str(trail, "xxxxxxxxxx");
}

/* ---- messages ---- */

GORO_CASE(message_is_cut_to_fit_and_nothing_is_written_beyond, .id = "PAN-03")
{
	for (size_t size = 0; size <= 8; size++) {
		char msg[12];
		memset(msg, '#', sizeof(msg));
		expect(!goro_try(panics_with, "abcdef", msg, size));
		if (size)
			expect(strncmp(msg, "abcdef", size - 1) == 0);
		if (size)
			expect_eq(strnlen(msg, sizeof(msg)), size - 1 < 6 ? size - 1 : 6);
		for (size_t i = size < 7 ? size : 7; i < sizeof(msg); i++)
			expect_eq(msg[i], '#');
	}
	expect(!goro_try(panics_with, "abcdef", NULL, 100));
	expect(!goro_try(panics_with, "", trail, sizeof(trail)));
	expect_str(trail, "");
}

/* ---- depth ---- */

enum { DEEP = 10000 };

static int n_caught;

static void tries_deeper(void *arg)
{
	int depth = (int)(intptr_t)arg;
	char msg[8];
	if (depth == 0)
		goro_panic("deepest");
	if (goro_try(tries_deeper, (void *)(intptr_t)(depth - 1), msg, sizeof(msg)))
		return;
	expect_str(msg, "deepest");
	n_caught++;
	goro_panic("deepest");
}

static void tries_at_once(void *arg)
{
	int depth = (int)(intptr_t)arg;
	if (depth == 0)
		goro_panic("deepest");
	n_caught += !goro_try(tries_at_once, (void *)(intptr_t)(depth - 1), NULL, 0);
}

static void goes_deep(void *unused)
{
	(void)unused;
	expect(!goro_try(tries_deeper, (void *)DEEP, NULL, 0));
	expect_eq(n_caught, DEEP);
	n_caught = 0;
	expect(goro_try(tries_at_once, (void *)DEEP, NULL, 0));
	expect_eq(n_caught, 1);
}

GORO_CASE(ten_thousand_tries_inside_each_other, .id = "PAN-03")
{
	struct goro_attr attr = {.stack_size = 64 << 20};
	require_eq(goro_spawn_attr(&attr, goes_deep, NULL), 0);
	wait_for(goro_count() == 1);
	expect_eq(n_caught, 1);
}

static void defers_a_thousand_panics(void *unused)
{
	(void)unused;
	for (int i = 0; i < 1000; i++)
		goro_defer(panics_with, i == 0 ? "last" : "another");
	goro_panic("first");
}

static void catches_a_thousand(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++)
		expect_str(panic_of(defers_a_thousand_panics, NULL).text, "last");
	n_caught = 1;
}

GORO_CASE(thousand_panics_each_in_a_cleanup_of_the_one_before, .id = "PAN-03")
{
	struct goro_attr attr = {.stack_size = 64 << 20};
	require_eq(goro_spawn_attr(&attr, catches_a_thousand, NULL), 0);
	wait_for(goro_count() == 1);
	expect_eq(n_caught, 1);
}

/* ---- in the function of a timer ---- */

static void says_and_panics(void *text)
{
	goro_defer(panics_with, "and again");
	goro_panic("%s", (char *)text);
}

GORO_CHILD(timer_panics)
{
	goro_defer(leaves, "main's");
	require(goro_timer_func(GORO_MS(1), says_and_panics, "in a timer") != NULL);
	goro_chan_recv(NULL, NULL);
}

TAP_CASE(panic_of_a_timer_ends_the_process, .id = "PAN-01")
{
	struct tap_child c;
	tap_child(&c, "timer_panics");
	expect_child(&c, 2, "panic: in a timer\n\tpanic: and again\n\ngoroutine ");
	expect_contains(c.err, "says_and_panics");
}

/* Its goroutine is one like any other. */
GORO_CASE(timer_catches_defers_and_exits, .id = "PAN-03")
{
	void (*const what[])(void *) = {panics_with_tries_caught, exits_with_tries,
					tries_an_exit_that_panics};
	static const char *const trails[] = {"ab", "ab", "abc"};
	for (int i = 0; i < 3; i++) {
		trail[0] = '\0';
		goro_timer *t = goro_timer_func(GORO_US(100), what[i], NULL);
		require(t != NULL);
		wait_for(strcmp(trail, trails[i]) == 0 && goro_count() == 1);
		goro_timer_free(t);
	}
}

/* ---- nothing is left behind ---- */

static void panics_at_length(void *unused)
{
	(void)unused;
	goro_defer(returns, NULL);
	goro_panic("%5000d", 1);
}

static void exits_during_a_long_panic(void *unused)
{
	(void)unused;
	goro_defer(returns, NULL);
	goro_try(panics_at_length, NULL, NULL, 0);
	goro_defer(exits, NULL);
	goro_panic("%5000d", 2);
}

static void exits_in_many_ways(int n)
{
	for (int i = 0; i < n; i++) {
		goro_spawn(exits_during_a_long_panic, NULL);
		goro_spawn(exits_with_tries, NULL);
		goro_spawn(tries_an_exit_that_panics, NULL);
		wait_for(goro_count() == 1);
		trail[0] = '\0';
	}
}

/* At 5 KB a message, one that stays behind each time is 50 MB. */
GORO_CASE(panics_and_exits_leave_nothing_behind, .id = "PAN-03")
{
	enum { N = 10000 / TAP_SLOWER };
	exits_in_many_ways(N / 10);
	int64_t before_kib = tap_rss_kib();
	exits_in_many_ways(N);
	int64_t after_kib = tap_rss_kib();
	printf("# resident %" PRId64 " KiB, then %" PRId64 " KiB\n", before_kib, after_kib);
	if (!TAP_SANITIZED && !getenv("TAP_EMULATED")) /* whose own memory would be counted */
		expect_le(after_kib, before_kib + before_kib / 20 + 512);
}

/* ---- a plain thread ---- */

static void closes_nil_in_a_try(void *unused)
{
	(void)unused;
	expect_str(panic_of(call_close, NULL).text, "close of nil channel");
	goro_panic("outer");
}

static void *thread_tries(void *unused)
{
	(void)unused;
	for (int i = 0; i < 200; i++) {
		expect_str(panic_of(closes_nil_in_a_try, NULL).text, "outer");
		expect(goro_try(returns, NULL, NULL, 0));
		expect_str(panic_of(exits, NULL).text, "goro_exit outside a goroutine");
		n_caught = 0;
		expect(!goro_try(tries_at_once, (void *)0, NULL, 0));
	}
	return NULL;
}

TAP_CASE(tries_nest_in_plain_threads, .id = "PAN-03", .is_race = true)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		require_eq(pthread_create(&threads[i], NULL, thread_tries, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void *thread_panics(void *text)
{
	goro_try(returns, NULL, NULL, 0);
	panics_with(text);
	return NULL;
}

GORO_CHILD(plain_thread_panics)
{
	pthread_t thread;
	goro_defer(leaves, "main's");
	require_eq(pthread_create(&thread, NULL, thread_panics, "boom"), 0);
	goro_chan_recv(NULL, NULL);
}

TAP_CHILD(plain_thread_panics_without_a_runtime)
{
	thread_panics("boom");
}

TAP_CASE(uncaught_panic_of_a_plain_thread_ends_the_process, .id = "PAN-01")
{
	struct tap_child c;
	tap_child(&c, "plain_thread_panics");
	expect_child(&c, 2, "panic: boom\n\n");
	expect_contains(c.err, "panics_with");
	tap_child(&c, "plain_thread_panics_without_a_runtime");
	expect_child(&c, 2, "panic: boom\n\n");
}

/* ---- random programs against a model ---- */

/*
 * A program is a tree of functions, and a function a list of steps. `trail` is what a run leaves:
 * the numbers of the steps passed, of the panics caught, and marks.
 */
enum step_kind { STEP_LOG, STEP_DEFER, STEP_TRY, STEP_CALL, STEP_PANIC, STEP_EXIT, STEP_YIELD };
enum { STEPS = 5, NODES = 40, TRAIL = 1000, RETURNED = 100001, CAUGHT = 200000 };

struct step {
	enum step_kind kind;
	struct node *node;
	int number;
};

struct node {
	struct step step[STEPS];
	int n_steps;
	struct program *program;
};

struct program {
	struct node node[NODES];
	int n_nodes, next_number;
	uint64_t random;
	int trail[TRAIL], n_trail;         /* of the goroutine */
	int expected[TRAIL], n_expected;   /* of the model */
	struct node *deferred[TRAIL];      /* the model's stack */
	int n_deferred;
	int *n_done;
};

/* Children are made before their parents need them, so that the tree ends. */
static struct node *random_node(struct program *p, int depth)
{
	static const enum step_kind kinds[] = {STEP_LOG,  STEP_DEFER, STEP_DEFER, STEP_TRY,
					       STEP_CALL, STEP_PANIC, STEP_EXIT,  STEP_YIELD};
	if (depth == 0 || p->n_nodes == NODES)
		return NULL;
	struct node *node = &p->node[p->n_nodes++];
	node->program = p;
	node->n_steps = 1 + (int)(tap_random(&p->random) % STEPS);
	for (int i = 0; i < node->n_steps; i++) {
		struct step *s = &node->step[i];
		s->kind = kinds[tap_random(&p->random) % 8];
		/* Else hardly any program comes to its end. */
		if (s->kind == STEP_EXIT && tap_random(&p->random) % 4 != 0)
			s->kind = STEP_TRY;
		s->number = ++p->next_number;
		if (s->kind == STEP_DEFER || s->kind == STEP_TRY || s->kind == STEP_CALL)
			s->node = random_node(p, depth - 1);
		if (!s->node && s->kind != STEP_PANIC && s->kind != STEP_EXIT)
			s->kind = s->kind == STEP_YIELD ? STEP_YIELD : STEP_LOG;
	}
	return node;
}

/* The real thing. */
static void passes(struct program *p, int number)
{
	require(p->n_trail < TRAIL);
	p->trail[p->n_trail++] = number;
}

static void run_node(void *arg)
{
	struct node *node = arg;
	struct program *p = node->program;
	char msg[16];
	for (int i = 0; i < node->n_steps; i++) {
		struct step *s = &node->step[i];
		passes(p, s->number);
		switch (s->kind) {
		case STEP_LOG:
			break;
		case STEP_DEFER:
			goro_defer(run_node, s->node);
			break;
		case STEP_TRY:
			passes(p, goro_try(run_node, s->node, msg, sizeof(msg))
					  ? RETURNED
					  : CAUGHT + atoi(msg));
			break;
		case STEP_CALL:
			run_node(s->node);
			break;
		case STEP_PANIC:
			goro_panic("%d", s->number);
		case STEP_EXIT:
			goro_exit();
		case STEP_YIELD:
			goro_yield();
		}
	}
}

/*
 * The model. A panic number, or one of these; a panic during an exit is both, and ends as the exit
 * that it interrupted wherever it is caught.
 */
enum { OVER_RETURN = 0, OVER_EXIT = -1 };

struct over {
	int how;       /* OVER_*, or the number of the panic */
	bool is_exit;  /* a panic while exiting */
};

static struct over model_node(struct program *p, struct node *node);

static struct over model_unwind(struct program *p, int mark, struct over over)
{
	while (p->n_deferred > mark) {
		struct over its = model_node(p, p->deferred[--p->n_deferred]);
		bool is_exiting = over.how == OVER_EXIT || over.is_exit;
		if (its.how == OVER_EXIT || its.is_exit)
			over = its;
		else if (its.how > 0)
			over = (struct over){its.how, is_exiting};
	}
	return over;
}

static void model_passes(struct program *p, int number)
{
	require(p->n_expected < TRAIL);
	p->expected[p->n_expected++] = number;
}

static struct over model_try(struct program *p, struct node *node)
{
	int mark = p->n_deferred;
	struct over over = model_unwind(p, mark, model_node(p, node));
	if (over.how == OVER_EXIT || over.is_exit)
		return (struct over){OVER_EXIT, false};
	model_passes(p, over.how == OVER_RETURN ? RETURNED : CAUGHT + over.how);
	return (struct over){OVER_RETURN, false};
}

static struct over model_node(struct program *p, struct node *node)
{
	for (int i = 0; i < node->n_steps; i++) {
		struct step *s = &node->step[i];
		struct over over = {OVER_RETURN, false};
		model_passes(p, s->number);
		if (s->kind == STEP_DEFER)
			p->deferred[p->n_deferred++] = s->node;
		else if (s->kind == STEP_TRY)
			over = model_try(p, s->node);
		else if (s->kind == STEP_CALL)
			over = model_node(p, s->node);
		else if (s->kind == STEP_PANIC)
			over.how = s->number;
		else if (s->kind == STEP_EXIT)
			over.how = OVER_EXIT;
		if (over.how != OVER_RETURN)
			return over;
	}
	return (struct over){OVER_RETURN, false};
}

static void counts_itself(void *n)
{
	add((int *)n, 1);
}

/* The program in a try, so that none of its panics ends the process. */
static void run_program(void *arg)
{
	struct program *p = arg;
	char msg[16];
	goro_defer(counts_itself, p->n_done);
	bool is_ok = goro_try(run_node, &p->node[0], msg, sizeof(msg));
	passes(p, is_ok ? RETURNED : CAUGHT + atoi(msg));
}

static void check_program(struct program *p, uint64_t seed)
{
	(void)model_try(p, &p->node[0]);
	bool is_same = p->n_trail == p->n_expected;
	for (int i = 0; is_same && i < p->n_trail; i++)
		is_same = p->trail[i] == p->expected[i];
	expect(is_same);
	if (is_same || !tap_is_shown())
		return;
	tap_diag("# program of seed %" PRIu64, seed);
	for (int i = 0; i < p->n_trail || i < p->n_expected; i++)
		tap_diag("#   %d, expected %d", i < p->n_trail ? p->trail[i] : 0,
			 i < p->n_expected ? p->expected[i] : 0);
}

GORO_CASE(random_programs_do_as_the_model_does, .id = "PAN-03", .is_race = true)
{
	enum { ROUNDS = 300 / TAP_SLOWER, AT_ONCE = 16 };
	struct program *programs = calloc(AT_ONCE, sizeof(*programs));
	uint64_t state = tap_seed(), seeds[AT_ONCE];
	int n_steps = 0;
	require(programs != NULL);
	for (int round = 0; round < ROUNDS; round++) {
		int n_done = 0;
		for (int i = 0; i < AT_ONCE; i++) {
			struct program *p = &programs[i];
			memset(p, 0, sizeof(*p));
			seeds[i] = p->random = tap_random(&state);
			p->n_done = &n_done;
			require(random_node(p, 6) != NULL);
			require_eq(goro_spawn(run_program, p), 0);
		}
		wait_for(load(&n_done) == AT_ONCE && goro_count() == 1);
		for (int i = 0; i < AT_ONCE; i++) {
			check_program(&programs[i], seeds[i]);
			n_steps += programs[i].n_trail;
		}
	}
	printf("# %d steps\n", n_steps);
	free(programs);
}

TAP_MAIN
