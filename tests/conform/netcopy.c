/*
 * netcopy.c - goro_sendfile and goro_splice: of two ends each may be the one that is not ready, and
 * each may be known to the poller or not.
 *
 * Go: net/sendfile_test.go, splice_test.go.
 */
#include "net_tap.h"

static void drains(void *arg)
{
	struct caller *c = arg;
	static char data[1 << 20];
	for (ssize_t n; (n = goro_read(c->fd, data, sizeof(data))) > 0;)
		c->result += n;
	store(&c->is_over, true);
}

enum { FILE_SIZE = 5 << 20, SPLICE_TOTAL = 16 << 20 };

GORO_CASE(sendfile_sends_a_file)
{
	struct pair p = pair_of(TCP);
	struct caller c = {.fd = p.a};
	off_t at = 0;
	ssize_t n, sent = 0;
	int file = memfd_create("file", MFD_CLOEXEC);
	require_eq(ftruncate(file, FILE_SIZE), 0);
	require_eq(goro_spawn(drains, &c), 0);
	while ((n = goro_sendfile(p.b, file, &at, FILE_SIZE)) > 0)
		sent += n;
	expect_eq(n, 0);
	expect_eq(sent, FILE_SIZE);
	expect_eq(at, FILE_SIZE);
	expect_eq(goro_close(p.b), 0);
	expect_eq(caller_result(&c), FILE_SIZE);
	expect_eq(goro_close(p.a), 0);
	expect_eq(goro_close(file), 0);
}

struct splicer {
	int from, to;
	ssize_t n, sent;
	bool is_over;
};

static void splices(void *arg)
{
	struct splicer *s = arg;
	while ((s->n = goro_splice(s->from, NULL, s->to, NULL, 65536, 0)) > 0)
		s->sent += s->n;
	expect_eq(goro_close(s->to), 0);
	store(&s->is_over, true);
}

static void writes_total(void *arg)
{
	struct caller *c = arg;
	static char data[SPLICE_TOTAL];
	expect_eq(goro_write_all(c->fd, data, SPLICE_TOTAL), SPLICE_TOTAL);
	expect_eq(goro_close(c->fd), 0);
	store(&c->is_over, true);
}

/* TCP -> pipe -> TCP; which of the pipe's ends are known, and whether they block. */
static void splice_through(bool is_in_known, bool is_out_known, bool does_not_block)
{
	struct pair p = pair_of(TCP), q = pair_of(TCP), pipe = plain_pair_of(PIPE);
	struct splicer in = {.from = p.a, .to = pipe.b}, out = {.from = pipe.a, .to = q.b};
	struct caller reader = {.fd = q.a}, writer = {.fd = p.b};
	if (does_not_block) {
		require_eq(fcntl(pipe.a, F_SETFL, O_NONBLOCK), 0);
		require_eq(fcntl(pipe.b, F_SETFL, O_NONBLOCK), 0);
	}
	if (is_in_known)
		require_eq(goro_fd_add(pipe.b), 0);
	if (is_out_known)
		require_eq(goro_fd_add(pipe.a), 0);
	require_eq(goro_spawn(splices, &in), 0);
	require_eq(goro_spawn(splices, &out), 0);
	goro_sleep(GORO_MS(1)); /* they wait for data */
	require_eq(goro_spawn(writes_total, &writer), 0);
	goro_sleep(GORO_MS(2)); /* and for room, if all of it is full */
	require_eq(goro_spawn(drains, &reader), 0);
	wait_for(load(&writer.is_over) && load(&in.is_over) && load(&out.is_over));
	expect_eq(in.n, 0);
	expect_eq(in.sent, SPLICE_TOTAL);
	expect_eq(out.n, 0);
	expect_eq(out.sent, SPLICE_TOTAL);
	expect_eq(caller_result(&reader), SPLICE_TOTAL);
	expect_eq(goro_close(p.a), 0);
	expect_eq(goro_close(q.a), 0);
	expect_eq(goro_close(pipe.a), 0);
}

GORO_CASE(splice_waits_for_either_end)
{
	for (int i = 0; i < 8; i++)
		splice_through(i & 1, i & 2, i & 4);
}

static void writes_bytes(void *arg)
{
	const struct pair *p = arg;
	for (int i = 0; i < 2000; i++) {
		expect_eq(goro_write(p->b, "x", 1), 1);
		if (i % 8 == 0)
			goro_yield();
	}
	expect_eq(goro_close(p->b), 0);
}

/* It becomes readable between the try and the look: who then waits for the other end waits long. */
GORO_CASE(splice_does_not_wait_for_the_end_that_is_ready, .is_race = true)
{
	struct pair p = pair_of(TCP), pipe = pair_of(PIPE);
	struct splicer s = {.from = p.a, .to = pipe.b};
	struct caller c = {.fd = pipe.a};
	require_eq(goro_spawn(drains, &c), 0);
	require_eq(goro_spawn(splices, &s), 0);
	writes_bytes(&p);
	expect_eq(caller_result(&c), 2000);
	expect_eq(goro_close(pipe.a), 0);
	expect_eq(goro_close(p.a), 0);
}

/* ---- ends that the poller does not know ---- */

static int copies_to;

static ssize_t call_splice(struct caller *c)
{
	return goro_splice(c->fd, NULL, copies_to, NULL, 10, 0);
}

static void set_flags(struct pair p, int flags)
{
	require_eq(fcntl(p.a, F_SETFL, flags), 0);
	require_eq(fcntl(p.b, F_SETFL, flags), 0);
}

/* It waits, asleep, until `from` has something. */
static void expect_a_copy(struct pair from, int to)
{
	struct caller c = {.fd = from.a, .call = call_splice};
	struct timespec before, after;
	copies_to = to;
	require_eq(goro_spawn(call_it, &c), 0);
	wait_for(load(&c.id) != 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	goro_sleep(GORO_MS(50));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	int64_t ns = GORO_SEC(after.tv_sec - before.tv_sec) + after.tv_nsec - before.tv_nsec;
	expect_lt(ns, GORO_MS(25) * TAP_SLOWER);
	expect(!load(&c.is_over));
	expect_eq(write(from.b, "abc", 3), 3);
	expect_eq(caller_result(&c), 3);
}

GORO_CASE(a_copy_of_unknown_ends_waits_for_the_one_that_is_not_ready, .is_idle = true)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	for (int i = 0; i < 4; i++) {
		struct pair from = plain_pair_of(PIPE), to = plain_pair_of(UNIX_STREAM);
		set_flags(from, i & 1 ? O_NONBLOCK : 0);
		set_flags(to, i & 2 ? O_NONBLOCK : 0);
		expect_a_copy(from, to.b);
		expect_a_copy(from, file);
		pair_close(from);
		pair_close(to);
	}
	close(file);
}

GORO_CASE(a_copy_of_unknown_ends_that_block_says_what_the_kernel_says)
{
	struct pair from = plain_pair_of(UNIX_STREAM), pipe = plain_pair_of(PIPE);
	struct timeval limit = {.tv_usec = 20000};
	require_eq(setsockopt(from.a, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	expect_eq(goro_splice(from.a, NULL, pipe.b, NULL, 10, 0), -EAGAIN);
	expect_eq(goro_splice(pipe.a, NULL, from.b, NULL, 10, SPLICE_F_NONBLOCK), -EAGAIN);
	pair_close(from);
	pair_close(pipe);
}

GORO_CASE(a_copy_of_nothing_is_done_at_once)
{
	struct pair p = pair_of(TCP), pipe = pair_of(PIPE);
	struct caller reader = {0};
	int file = memfd_create("file", MFD_CLOEXEC);
	off_t at = 0;
	caller_start(&reader, call_read, p.a); /* it has the side */
	for (int i = 0; i < 2; i++) {
		expect_eq(goro_splice(p.a, NULL, pipe.b, NULL, 0, 0), 0);
		expect_eq(goro_splice(pipe.a, NULL, p.b, NULL, 0, 0), 0);
		expect_eq(goro_sendfile(p.b, file, &at, 0), 0);
		expect_eq(goro_set_deadline(p.b, GORO_POLL), 0);
		expect_eq(goro_set_deadline(pipe.a, GORO_POLL), 0);
	}
	expect_eq(goro_sendfile(-1, file, &at, 0), -EBADF);
	expect_eq(goro_close(p.a), 0);
	expect_eq(caller_result(&reader), -EBADF);
	expect_eq(goro_close(p.b), 0);
	pair_close(pipe);
	close(file);
}

/* ---- what ends a copy that waits for the other end ---- */

enum ending { CLOSED, LATE, LATE_BEFORE, ENDINGS };

static void set_late(int fd, bool is_from, int64_t in)
{
	int64_t when = goro_now() + in;
	expect_eq(is_from ? goro_set_read_deadline(fd, when) : goro_set_write_deadline(fd, when),
		  0);
}

/* It waits for one end; the end that is_from says is closed, or its time runs out. */
static void end_a_copy(bool waits_for_to, bool is_from, enum ending how, bool in_thread)
{
	static char much[1 << 20];
	struct pair from = pair_of(TCP), to = pair_of(PIPE);
	struct caller c = {0};
	pthread_t thread = 0;
	if (waits_for_to) {
		goro_set_write_deadline(to.b, goro_now() + GORO_MS(20));
		while (goro_write_all(to.b, much, sizeof(much)) > 0)
			continue;
		goro_set_write_deadline(to.b, GORO_FOREVER);
		expect_eq(goro_write(from.b, "a", 1), 1);
	}
	copies_to = to.b;
	int end = is_from ? from.a : to.b;
	if (how == LATE_BEFORE) { /* it may be over before anybody sees it wait */
		set_late(end, is_from, GORO_MS(20));
		c = (struct caller){.call = call_splice, .fd = from.a};
		if (in_thread)
			require_eq(pthread_create(&thread, NULL, call_it_in_thread, &c), 0);
		else
			require_eq(goro_spawn(call_it, &c), 0);
	} else if (in_thread) {
		thread = caller_start_thread(&c, call_splice, from.a);
	} else {
		caller_start(&c, call_splice, from.a);
	}
	if (how == CLOSED)
		expect_eq(goro_close(end), 0);
	else if (how == LATE)
		set_late(end, is_from, GORO_MS(1));
	expect_eq(caller_result(&c), how == CLOSED ? -EBADF : -ETIMEDOUT);
	if (in_thread)
		expect_eq(pthread_join(thread, NULL), 0);
	if (how != CLOSED || !is_from)
		expect_eq(goro_close(from.a), 0);
	if (how != CLOSED || is_from)
		expect_eq(goro_close(to.b), 0);
	goro_close(from.b);
	goro_close(to.a);
}

/* FD9 */
GORO_CASE(either_end_ends_a_copy_that_waits_for_one, .id = "NET-07")
{
	for (int i = 0; i < 8; i++)
		for (enum ending how = CLOSED; how < ENDINGS; how++)
			end_a_copy(i & 1, i & 2, how, i & 4);
}

/* Another uses one end, for which the copy queues; the other end is closed, or is late. */
static void end_a_copy_that_queues(bool queues_for_to, enum ending how)
{
	struct pair from = pair_of(TCP), to = pair_of(PIPE);
	struct caller other = {0}, copy = {0};
	copies_to = to.b;
	if (queues_for_to)
		caller_start(&other, call_write_much, to.b);
	else
		caller_start(&other, call_read, from.a);
	caller_start(&copy, call_splice, from.a);
	if (how == LATE)
		set_late(queues_for_to ? from.a : to.b, queues_for_to, GORO_MS(1));
	else
		expect_eq(goro_close(queues_for_to ? from.a : to.b), 0);
	expect_eq(caller_result(&copy), how == CLOSED ? -EBADF : -ETIMEDOUT);
	expect(!load(&other.is_over));
	if (how == LATE || !queues_for_to)
		expect_eq(goro_close(from.a), 0);
	if (how == LATE || queues_for_to)
		expect_eq(goro_close(to.b), 0);
	wait_for(load(&other.is_over));
	goro_close(from.b);
	goro_close(to.a);
}

GORO_CASE(either_end_ends_a_copy_that_queues_for_the_other, .id = "NET-07")
{
	for (int i = 0; i < 4; i++)
		end_a_copy_that_queues(i & 1, i & 2 ? LATE : CLOSED);
}

/* It waits for a pipe that the poller does not know, and has the other end meanwhile. */
static void end_a_copy_with_an_unknown_pipe(bool is_pipe_from, bool does_not_block,
					    enum ending how)
{
	struct pair known = pair_of(TCP), pipe = plain_pair_of(PIPE);
	struct caller copy = {.call = call_splice, .fd = is_pipe_from ? pipe.a : known.a};
	copies_to = is_pipe_from ? known.a : pipe.b;
	set_flags(pipe, does_not_block ? O_NONBLOCK : 0);
	if (!is_pipe_from) {
		(void)fill(pipe.b);
		expect_eq(goro_write(known.b, "ab", 2), 2);
	}
	require_eq(goro_spawn(call_it, &copy), 0);
	goro_sleep(GORO_MS(5)); /* it waits now, or will in vain */
	if (how == LATE)
		set_late(known.a, !is_pipe_from, GORO_MS(1));
	else
		expect_eq(goro_close(known.a), 0);
	expect_eq(caller_result(&copy), how == CLOSED ? -EBADF : -ETIMEDOUT);
	if (how == LATE)
		expect_eq(goro_close(known.a), 0);
	expect_eq(goro_close(known.b), 0);
	pair_close(pipe);
}

GORO_CASE(the_known_end_ends_a_copy_that_waits_for_an_unknown_pipe, .id = "NET-07")
{
	for (int i = 0; i < 8; i++)
		end_a_copy_with_an_unknown_pipe(i & 1, i & 2, i & 4 ? LATE : CLOSED);
}

/* While it queues for one end, the number of the other becomes another's. */
GORO_CASE(a_copy_that_queues_copies_nothing_to_the_next_life_of_a_number, .id = "NET-07")
{
	struct pair from = pair_of(TCP), to = pair_of(PIPE), next = pair_of(PIPE);
	struct caller other = {0}, copy = {0};
	char data[4];
	copies_to = to.b;
	caller_start(&other, call_read, from.a);
	caller_start(&copy, call_splice, from.a);
	expect_eq(goro_close(to.b), 0);
	require_eq(dup3(next.b, copies_to, O_CLOEXEC), copies_to);
	require_eq(goro_fd_add(copies_to), 0);
	expect_eq(goro_write(from.b, "ab", 2), 2);
	expect_eq(caller_result(&other), 2);
	expect_eq(goro_write(from.b, "cd", 2), 2);
	expect_eq(caller_result(&copy), -EBADF);
	expect_eq(goro_read(from.a, data, sizeof(data)), 2);
	expect_eq(goro_set_read_deadline(next.a, goro_now() + GORO_MS(1)), 0);
	expect_eq(goro_read(next.a, data, sizeof(data)), -ETIMEDOUT);
	expect_eq(goro_close(copies_to), 0);
	expect_eq(goro_close(to.a), 0);
	pair_close(next);
	pair_close(from);
}

TAP_MAIN
