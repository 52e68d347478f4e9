/*
 * chan_select.c - fuzz: random programs of channels and selects against a model of them.
 *
 *   seed -> program: a list of operations, each by one of a few goroutines, at one P
 *        -> after each operation: who must have come back, with what; who must still wait
 *
 * The driver gives an operation to an actor, waits for those that the model says are done, and sees
 * that nobody else is. Where chance decides, the model says which outcomes are possible and goes on
 * from the one that was. Each program runs in a process of its own, so that a crash or a hang is a
 * failure like another; one that fails is made shorter as long as it still fails, then shown.
 * GORO_SEED replays.
 */
#include "goro_tap.h"

enum { ACTORS = 6, CHANNELS = 4, WIDEST = 5, LONGEST = 60, EMPTY = 1000000 };

/* Ways of an operation. A plain one has one case, and is no select. */
enum way { PLAIN, TRY, SELECT, SELECT_POLL, SELECT_SOON, CLOSE, WAYS };

struct op {
	uint8_t actor, way, n;
	uint8_t chan[WIDEST]; /* CHANNELS: nil */
	bool is_send[WIDEST];
};

struct program {
	uint8_t capacity[CHANNELS];
	int length;
	struct op op[LONGEST];
};

/* ---- the model: what is in each channel, who waits there in which order ---- */

struct model_chan {
	int buffer[8], count, capacity;
	bool is_closed;
	int line[ACTORS], n_line; /* actors with a case here, in order of arrival */
};

static struct model_chan model[CHANNELS];

struct actor {
	goro_chan *mailbox;
	struct op op; /* what it does, or did last */
	int value[WIDEST];
	bool ok[WIDEST];
	int result, is_done; /* the index, or an error */
	bool has_panicked, is_waiting; /* the latter: of the model */
};

static struct actor actors[ACTORS];
static goro_chan *channels[CHANNELS];
static char failure[256];

/* The first is kept. */
#define fail(...)                                                                \
	do {                                                                     \
		if (failure[0] == '\0')                                          \
			(void)snprintf(failure, sizeof(failure), __VA_ARGS__);   \
	} while (0)

/* The first in line at c that would do the opposite; -1. */
static int partner_of(int c, bool is_send)
{
	for (int i = 0; i < model[c].n_line; i++) {
		const struct op *op = &actors[model[c].line[i]].op;
		for (int k = 0; k < op->n; k++)
			if (op->chan[k] == c && op->is_send[k] != is_send)
				return model[c].line[i];
	}
	return -1;
}

static bool is_possible(int c, bool is_send)
{
	if (c == CHANNELS)
		return false;
	if (model[c].is_closed || partner_of(c, is_send) >= 0)
		return true;
	return is_send ? model[c].count < model[c].capacity : model[c].count > 0;
}

static void line_leave(int actor)
{
	for (int c = 0; c < CHANNELS; c++) {
		int n = 0;
		for (int i = 0; i < model[c].n_line; i++)
			if (model[c].line[i] != actor)
				model[c].line[n++] = model[c].line[i];
		model[c].n_line = n;
	}
	actors[actor].is_waiting = false;
}

static void line_join(int actor)
{
	for (int k = 0; k < actors[actor].op.n; k++) {
		struct model_chan *m = &model[actors[actor].op.chan[k]];
		if (actors[actor].op.chan[k] != CHANNELS &&
		    (m->n_line == 0 || m->line[m->n_line - 1] != actor))
			m->line[m->n_line++] = actor;
	}
	actors[actor].is_waiting = true;
}

/* ---- the real thing ---- */

static void actor_does(void *arg)
{
	struct actor *a = arg;
	const struct op *op = &a->op;
	goro_case cases[WIDEST];
	goro_chan *c = op->chan[0] < CHANNELS ? channels[op->chan[0]] : NULL;
	for (int k = 0; k < op->n; k++) {
		goro_chan *ck = op->chan[k] < CHANNELS ? channels[op->chan[k]] : NULL;
		if (op->is_send[k])
			cases[k] = GORO_SEND(ck, &a->value[k]);
		else
			cases[k] = GORO_RECV_OK(ck, &a->value[k], &a->ok[k]);
	}
	switch ((enum way)op->way) {
	case PLAIN:
		a->result = 0;
		if (op->is_send[0])
			goro_chan_send(c, &a->value[0]);
		else
			a->ok[0] = goro_chan_recv(c, &a->value[0]);
		break;
	case TRY:
		a->result = op->is_send[0] ? goro_chan_trysend(c, &a->value[0])
					   : goro_chan_tryrecv(c, &a->value[0]);
		a->ok[0] = a->result == 0;
		a->result = a->result == -EPIPE ? 0 : a->result == -EAGAIN ? -ETIMEDOUT : a->result;
		break;
	case CLOSE:
		goro_chan_close(c);
		a->result = 0;
		break;
	default:
		a->result = goro_select(cases, op->n,
					op->way == SELECT	 ? GORO_FOREVER
					: op->way == SELECT_POLL ? GORO_POLL
								 : goro_now() + GORO_US(20));
	}
}

static void actor_lives(void *arg)
{
	struct actor *a = arg;
	while (goro_chan_recv(a->mailbox, NULL)) {
		a->has_panicked = !goro_try(actor_does, a, NULL, 0);
		store(&a->is_done, 1);
	}
}

/* ---- comparing ---- */

static void let_run(void)
{
	for (int i = 0; i < 3; i++)
		goro_yield();
}

/* It has come back, and its index k is a case on c in that direction. */
static int came_back(int actor, int c, bool is_send)
{
	struct actor *a = &actors[actor];
	wait_for(load(&a->is_done));
	line_leave(actor);
	if (a->has_panicked)
		return -1;
	if (a->result < 0 || a->result >= a->op.n || a->op.chan[a->result] != c ||
	    a->op.is_send[a->result] != is_send) {
		fail("actor %d came back with %d", actor, a->result);
		return -1;
	}
	for (int k = 0; k < a->op.n; k++)
		if (k != a->result && !a->op.is_send[k] && a->value[k] != EMPTY)
			fail("actor %d: case %d was written to", actor, k);
	return a->result;
}

static void check_received(int actor, int k, int value, bool ok)
{
	if (k >= 0 && (actors[actor].value[k] != value || actors[actor].ok[k] != ok))
		fail("actor %d: received %d, %d, expected %d, %d", actor, actors[actor].value[k],
		     actors[actor].ok[k], value, ok);
}

/* A waiting sender at c has been served; its value, or -1. */
static int take_sender(int c)
{
	int sender = partner_of(c, false);
	int k = sender < 0 ? -1 : came_back(sender, c, true);
	if (sender >= 0 && k < 0)
		fail("actor %d: its send was not done", sender);
	return k < 0 ? -1 : actors[sender].value[k];
}

/* The actor has done case k: what follows from it. */
static void step_done(int actor, int k)
{
	int c = actors[actor].op.chan[k], value = actors[actor].value[k];
	struct model_chan *m = &model[c];
	if (actors[actor].op.is_send[k]) {
		int receiver = partner_of(c, true);
		if (m->is_closed)
			fail("actor %d sent on a closed channel", actor);
		if (receiver >= 0)
			check_received(receiver, came_back(receiver, c, false), value, true);
		else
			m->buffer[m->count++] = value;
	} else if (m->count > 0) {
		check_received(actor, k, m->buffer[0], true);
		m->count--;
		memmove(m->buffer, m->buffer + 1, sizeof(m->buffer) - sizeof(m->buffer[0]));
		int moved = take_sender(c);
		if (moved >= 0)
			m->buffer[m->count++] = moved;
	} else if (partner_of(c, false) >= 0) {
		check_received(actor, k, take_sender(c), true);
	} else {
		check_received(actor, k, 0, false);
	}
}

/* Receivers come first, so that who would send and receive there has received. */
static void step_close(int c)
{
	int other;
	model[c].is_closed = true;
	while ((other = partner_of(c, true)) >= 0)
		check_received(other, came_back(other, c, false), 0, false);
	while ((other = partner_of(c, false)) >= 0) {
		(void)came_back(other, c, true);
		if (!actors[other].has_panicked)
			fail("actor %d: its send survived the close", other);
	}
}

static void step_possible(int actor)
{
	struct actor *a = &actors[actor];
	const struct op *op = &a->op;
	bool may_panic = false;
	wait_for(load(&a->is_done));
	for (int k = 0; k < op->n; k++)
		may_panic |= op->is_send[k] && op->chan[k] < CHANNELS &&
			     model[op->chan[k]].is_closed;
	if (a->has_panicked) {
		if (!may_panic)
			fail("actor %d panicked", actor);
		return;
	}
	int k = a->result;
	if (k < 0 || k >= op->n || !is_possible(op->chan[k], op->is_send[k]))
		fail("actor %d did case %d", actor, k);
	else if (came_back(actor, op->chan[k], op->is_send[k]) == k)
		step_done(actor, k);
}

static void step(int actor)
{
	struct actor *a = &actors[actor];
	const struct op *op = &a->op;
	bool can_any = false;
	for (int k = 0; k < op->n && op->way != CLOSE; k++)
		can_any |= is_possible(op->chan[k], op->is_send[k]);
	if (op->way == CLOSE) {
		wait_for(load(&a->is_done));
		if (a->has_panicked != model[op->chan[0]].is_closed)
			fail("close by actor %d: panic %d", actor, a->has_panicked);
		if (!model[op->chan[0]].is_closed)
			step_close(op->chan[0]);
	} else if (can_any) {
		step_possible(actor);
	} else if (op->way == PLAIN || op->way == SELECT) {
		line_join(actor);
	} else {
		wait_for(load(&a->is_done));
		if (a->has_panicked || a->result != -ETIMEDOUT)
			fail("actor %d: %d where nothing is possible", actor, a->result);
	}
}

static void check_all(void)
{
	let_run();
	for (int i = 0; i < ACTORS; i++)
		if (load(&actors[i].is_done) == actors[i].is_waiting)
			fail("actor %d: waits %d, expected %d", i, !actors[i].is_done,
			     actors[i].is_waiting);
	for (int c = 0; c < CHANNELS; c++)
		if ((int)goro_chan_len(channels[c]) != model[c].count)
			fail("channel %d: len %zu, expected %d", c, goro_chan_len(channels[c]),
			     model[c].count);
}

static int drives(void *arg)
{
	const struct program *program = arg;
	static int next_value = 1;
	for (int i = 0; i < ACTORS; i++) {
		actors[i] = (struct actor){.mailbox = goro_chan_make(0, 1), .is_done = 1};
		goro_spawn(actor_lives, &actors[i]);
	}
	for (int c = 0; c < CHANNELS; c++) {
		channels[c] = goro_chan_of(int, program->capacity[c]);
		model[c] = (struct model_chan){.capacity = program->capacity[c]};
	}
	for (int i = 0; i < program->length && failure[0] == '\0'; i++) {
		struct actor *a = &actors[program->op[i].actor];
		if (a->is_waiting)
			continue;
		a->op = program->op[i];
		for (int k = 0; k < WIDEST; k++)
			a->value[k] = k < a->op.n && a->op.is_send[k] ? next_value++ : EMPTY;
		store(&a->is_done, 0);
		goro_chan_send(a->mailbox, NULL);
		let_run();
		step(program->op[i].actor);
		check_all();
		if (failure[0] != '\0')
			printf("# at operation %d: %s\n", i, failure);
	}
	return failure[0] != '\0';
}

/* Who still waits at the end of the run is taken out by it: the channels must be free to go. */
static int run_here(struct program *program)
{
	int status = goro_run(drives, program);
	for (int c = 0; c < CHANNELS; c++) {
		int value = 1;
		bool is_closed = model[c].is_closed;
		if (status == 0 && !is_closed && model[c].count == model[c].capacity &&
		    goro_chan_trysend(channels[c], &value) != -EAGAIN)
			status = 1;
		goro_chan_unref(channels[c]);
	}
	return status;
}

static bool does_fail(struct program *program, bool is_loud)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	require(pid >= 0);
	if (pid == 0) {
		int fd = is_loud ? STDOUT_FILENO : open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		alarm(10 * TAP_SLOWER);
		status = run_here(program);
		fflush(stdout);
		_exit(status);
	}
	while (waitpid(pid, &status, 0) < 0)
		require(errno == EINTR);
	return status != 0;
}

/* ---- programs ---- */

static unsigned draw(uint64_t *state, unsigned n)
{
	return (unsigned)(tap_random(state) % n);
}

static void draw_program(struct program *program, uint64_t *state)
{
	*program = (struct program){.length = (int)draw(state, LONGEST) + 1};
	unsigned n_channels = draw(state, CHANNELS) + 1, selects = draw(state, 4);
	for (int c = 0; c < CHANNELS; c++)
		program->capacity[c] = (uint8_t)(draw(state, 2) ? 0 : draw(state, 4));
	for (int i = 0; i < program->length; i++) {
		struct op *op = &program->op[i];
		op->actor = (uint8_t)draw(state, ACTORS);
		op->way = (uint8_t)(draw(state, 4) < selects ? SELECT : draw(state, CLOSE));
		if (draw(state, 40) == 0)
			op->way = CLOSE;
		op->n = (uint8_t)(op->way < SELECT || op->way == CLOSE ? 1
								       : draw(state, WIDEST) + 1);
		for (int k = 0; k < op->n; k++) {
			op->chan[k] = (uint8_t)draw(state, n_channels);
			op->is_send[k] = draw(state, 2);
			if (op->n > 1 && draw(state, 8) == 0)
				op->chan[k] = CHANNELS;
		}
	}
}

static void show_program(const struct program *program)
{
	static const char *const ways[] = {"plain", "try", "select", "select or default",
					   "select for 20 us", "close"};
	printf("# capacities");
	for (int c = 0; c < CHANNELS; c++)
		printf(" %d", program->capacity[c]);
	printf("\n");
	for (int i = 0; i < program->length; i++) {
		const struct op *op = &program->op[i];
		printf("# %2d: actor %d: %s", i, op->actor, ways[op->way]);
		for (int k = 0; k < op->n; k++)
			printf(" %s%c%c",
			       op->way == CLOSE	 ? ""
			       : op->is_send[k] ? "send to "
						: "receive from ",
			       op->chan[k] < CHANNELS ? 'a' + op->chan[k] : '-',
			       k + 1 < op->n ? ',' : '\n');
	}
}

static bool fails_again(struct program *program)
{
	for (int i = 0; i < 5; i++) /* chance is part of a select */
		if (does_fail(program, false))
			return true;
	return false;
}

/* Leaves out runs of operations, ever shorter ones, while what is left fails. */
static void shrink(struct program *program)
{
	for (int size = program->length / 2; size > 0; size /= 2)
		for (int at = 0; at + size <= program->length;) {
			struct program shorter = *program;
			memmove(&shorter.op[at], &shorter.op[at + size],
				(size_t)(shorter.length - at - size) * sizeof(shorter.op[0]));
			shorter.length -= size;
			if (fails_again(&shorter))
				*program = shorter;
			else
				at += size;
		}
}

TAP_CASE(random_programs_do_what_the_model_says, .procs = "1", .timeout_s = 60)
{
	uint64_t state = tap_seed();
	struct program program;
	int n_programs = 0, n_operations = 0;
	for (int64_t end = tap_now() + GORO_SEC(1) * tap_seconds; tap_now() < end; n_programs++) {
		draw_program(&program, &state);
		n_operations += program.length;
		if (!does_fail(&program, false))
			continue;
		printf("# program %d fails\n", n_programs);
		shrink(&program);
		show_program(&program);
		for (int i = 0; i < 20 && !does_fail(&program, true); i++)
			continue;
		expect(false);
		break;
	}
	printf("# %d programs, %d operations\n", n_programs, n_operations);
}

TAP_MAIN
