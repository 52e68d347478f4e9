/*
 * netclose.c - NET-09 and what goes beyond: the end of a descriptor, and of the calls on it.
 *
 *   goro_close -> whoever waits, or queues, or calls, gets -EBADF; then the number is free
 *   a cancelled context -> -ECANCELED, whatever the call
 *
 * Go: net/error_test.go TestCloseError; internal/poll/fd_mutex_test.go TestMutexClose.
 */
#include "ctx_tap.h"
#include "net_tap.h"

#include <dlfcn.h>

static ssize_t call_read_full(struct caller *c)
{
	return goro_read_full(c->fd, c->data, sizeof(c->data));
}

static ssize_t call_recvmsg(struct caller *c)
{
	struct iovec part = {c->data, sizeof(c->data)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	return goro_recvmsg(c->fd, &message, 0);
}

static ssize_t call_splice_in(struct caller *c)
{
	int fd[2];
	require_eq(pipe2(fd, O_CLOEXEC), 0);
	require_eq(goro_fd_add(fd[1]), 0);
	ssize_t n = goro_splice(c->fd, NULL, fd[1], NULL, 100, 0);
	expect_eq(goro_close(fd[0]), 0);
	expect_eq(goro_close(fd[1]), 0);
	return n;
}

static ssize_t call_sendfile_out(struct caller *c)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	off_t at = 0;
	ssize_t n;
	require_eq(ftruncate(file, 64 << 20), 0);
	while ((n = goro_sendfile(c->fd, file, &at, 64 << 20)) > 0)
		;
	close(file);
	return n;
}

/* The second and third of each queue behind the first. */
static ssize_t (*const readers[])(struct caller *) = {call_read, call_read_full, call_recvmsg,
						      call_splice_in, call_wait_in};
static ssize_t (*const writers[])(struct caller *) = {call_write_much, call_write_much,
						      call_sendfile_out, call_wait_out};
enum { N_READERS = 5, N_WRITERS = 4 };

static void start_all(struct caller *r, struct caller *w, int fd)
{
	(void)fill(fd);
	for (int i = 0; i < N_READERS; i++)
		caller_start(&r[i], readers[i], fd);
	for (int i = 0; i < N_WRITERS; i++)
		caller_start(&w[i], writers[i], fd);
}

GORO_CASE(close_ends_whoever_waits_or_queues, .id = "NET-09")
{
	for (enum pair_kind kind = TCP; kind <= UNIX_STREAM; kind++) {
		struct pair p = pair_of(kind);
		struct caller r[N_READERS] = {0}, w[N_WRITERS] = {0}, any = {0};
		start_all(r, w, p.a);
		caller_start(&any, kind == TCP ? call_wait_in : call_wait_any, p.a);
		expect_eq(goro_close(p.a), 0);
		expect_eq(fcntl(p.a, F_GETFD), -1); /* nobody else opens anything here */
		for (int i = 0; i < N_READERS; i++)
			expect_eq(caller_result(&r[i]), -EBADF);
		for (int i = 0; i < N_WRITERS; i++)
			expect_cut(caller_result(&w[i]), -EBADF);
		expect_eq(caller_result(&any), -EBADF);
		expect_eq(goro_close(p.b), 0);
	}
}

GORO_CASE(close_ends_acceptors, .id = "NET-09")
{
	struct caller c[4] = {{0}};
	int l = listener(10);
	for (int i = 0; i < 4; i++)
		caller_start(&c[i], call_accept, l);
	expect_eq(goro_close(l), 0);
	for (int i = 0; i < 4; i++)
		expect_eq(caller_result(&c[i]), -EBADF);
}

GORO_CASE(closed_is_said_before_late, .id = "NET-09")
{
	struct pair p = pair_of(TCP);
	char data[8];
	expect_eq(goro_set_deadline(p.a, 1), 0);
	expect_eq(goro_read(p.a, data, 8), -ETIMEDOUT);
	expect_eq(goro_write(p.a, data, 8), -ETIMEDOUT);
	expect_eq(goro_recv(p.a, data, 8, MSG_DONTWAIT), -ETIMEDOUT);
	expect_eq(goro_fd_wait(p.a, POLLIN, GORO_FOREVER), -ETIMEDOUT);
	expect_eq(goro_close(p.a), 0);
	expect_eq(goro_read(p.a, data, 8), -EBADF);
	expect_eq(goro_write(p.a, data, 8), -EBADF);
	expect_eq(goro_set_deadline(p.a, GORO_FOREVER), -EBADF);
	expect_eq(goro_set_read_deadline(p.a, 1), -EBADF);
	expect_eq(goro_set_write_deadline(p.a, 1), -EBADF);
	expect_eq(goro_close(p.a), -EBADF);
	expect_eq(goro_close(p.b), 0);
}

GORO_CASE(a_reset_is_reported_once_and_is_not_temporary, .id = "NET-09")
{
	struct pair p = pair_of(TCP);
	char data[8];
	close_with_reset(p.b);
	expect_eq(goro_read(p.a, data, 8), -ECONNRESET);
	expect_eq(goro_read(p.a, data, 8), 0);
	expect_eq(goro_close(p.a), 0);
}

struct closers {
	int fd, n_ready, n_closed, n_over;
};

static void closes_with_others(void *arg)
{
	struct closers *c = arg;
	add(&c->n_ready, 1);
	while (load(&c->n_ready) < 4)
		goro_yield();
	int result = goro_close(c->fd);
	expect(result == 0 || result == -EBADF);
	add(&c->n_closed, result == 0);
	add(&c->n_over, 1);
}

GORO_CASE(of_several_that_close_one_does, .id = "NET-09", .is_race = true)
{
	skip_where_closing_is_a_race();
	for (int i = 0; i < 300; i++) {
		struct pair p = pair_of(UNIX_STREAM);
		struct closers c = {.fd = p.a};
		struct caller reader = {.fd = p.a, .call = call_read};
		require_eq(goro_spawn(call_it, &reader), 0);
		for (int j = 0; j < 4; j++)
			require_eq(goro_spawn(closes_with_others, &c), 0);
		wait_for(load(&c.n_over) == 4);
		expect_eq(c.n_closed, 1);
		expect_eq(caller_result(&reader), -EBADF);
		expect_eq(goro_close(p.b), 0);
	}
}

/* close(2) of slow.fd takes until another closes it as well, or nobody has for a while. */
static struct {
	int fd, n, is_over;
} slow = {.fd = -1};

int close(int fd)
{
	static int (*real)(int);
	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "close");
	if (fd == load(&slow.fd)) {
		add(&slow.n, 1);
		while (load(&slow.n) < 2 && !load(&slow.is_over))
			usleep(100);
	}
	return real(fd);
}

static void closes_slowly(void *arg)
{
	*(int *)arg = goro_close(slow.fd);
	add(&slow.is_over, 1);
}

/* Of two close(2) the second may end what has got the number meanwhile. */
GORO_CASE(who_closes_what_is_being_closed_does_not_close, .id = "NET-09")
{
	struct pair p = pair_of(UNIX_STREAM);
	int first = 1, second = 1;
	slow.n = slow.is_over = 0;
	store(&slow.fd, p.a);
	require_eq(goro_spawn(closes_slowly, &first), 0);
	wait_for(load(&slow.n) == 1);
	require_eq(goro_spawn(closes_slowly, &second), 0);
	goro_sleep(GORO_MS(20)); /* it is in goro_close() now, or has been */
	add(&slow.is_over, 1);
	wait_for(load(&slow.is_over) == 3);
	expect_eq(first, 0);
	expect_eq(second, -EBADF);
	store(&slow.fd, -1);
	expect_eq(goro_close(p.b), 0);
}

static struct sockaddr_in connects_to;

static ssize_t call_connect(struct caller *c)
{
	return goro_connect(c->fd, (struct sockaddr *)&connects_to, sizeof(connects_to));
}

static ssize_t call_splice_from(struct caller *c)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	ssize_t n = goro_splice(c->fd, NULL, file, NULL, 10, 0);
	close(file);
	return n;
}

/* A thread that waits in the kernel is not told of a close. */
static void meet_a_slow_close(int fd, ssize_t (*call)(struct caller *), int64_t deadline)
{
	struct caller c = {.fd = fd, .call = call, .deadline = deadline};
	int closed = 1;
	slow.n = slow.is_over = 0;
	store(&slow.fd, fd);
	require_eq(goro_spawn(closes_slowly, &closed), 0);
	wait_for(load(&slow.n) == 1);
	require_eq(goro_spawn(call_it, &c), 0);
	goro_sleep(GORO_MS(5)); /* it is in its call now, or has been */
	add(&slow.is_over, 1);
	expect_eq(caller_result(&c), -EBADF);
	wait_for(load(&slow.is_over) == 2);
	expect_eq(closed, 0);
	store(&slow.fd, -1);
}

GORO_CASE(no_call_waits_for_what_is_being_closed, .id = "NET-09")
{
	skip_where_closing_is_a_race();
	struct pair p[] = {pair_of(TCP), pair_of(TCP), pair_of(UNIX_STREAM), pair_of(PIPE)};
	meet_a_slow_close(p[0].a, call_read, 0);
	meet_a_slow_close(p[1].a, call_wait_in, 0);
	meet_a_slow_close(p[2].a, call_wait_in, goro_now() + GORO_SEC(60));
	meet_a_slow_close(p[3].a, call_splice_from, 0);
	for (int i = 0; i < 4; i++)
		expect_eq(goro_close(p[i].b), 0);

	struct pair full = pair_of(TCP); /* only for its numbers */
	int l = listener(0), queue[3];
	connects_to = loopback(port_of(l));
	for (int i = 0; i < 3; i++) {
		queue[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(queue[i], (struct sockaddr *)&connects_to, sizeof(connects_to));
	}
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require_eq(goro_fd_add(fd), 0);
	meet_a_slow_close(fd, call_connect, 0);
	for (int i = 0; i < 3; i++)
		close(queue[i]);
	expect_eq(goro_close(l), 0);
	pair_close(full);
}

GORO_CASE(what_is_being_closed_gets_no_deadline, .id = "NET-09")
{
	skip_where_closing_is_a_race();
	struct pair p = pair_of(TCP);
	int closed = 1;
	slow.n = slow.is_over = 0;
	store(&slow.fd, p.a);
	require_eq(goro_spawn(closes_slowly, &closed), 0);
	wait_for(load(&slow.n) == 1);
	expect_eq(goro_set_deadline(p.a, GORO_FOREVER), -EBADF);
	expect_eq(goro_set_read_deadline(p.a, GORO_POLL), -EBADF);
	expect_eq(goro_set_write_deadline(p.a, GORO_POLL), -EBADF);
	add(&slow.is_over, 1);
	wait_for(load(&slow.is_over) == 2);
	store(&slow.fd, -1);
	expect_eq(closed, 0);
	expect_eq(goro_set_deadline(p.a, GORO_FOREVER), -EBADF);
	expect_eq(goro_close(p.b), 0);
}

/* Whoever begins a call while it is closed must not wait for a descriptor that is nearly gone. */
static void calls_until_closed(void *arg)
{
	struct caller *c = arg;
	store(&c->id, goro_id());
	do
		c->result = goro_read(c->fd, c->data, 1);
	while (c->result > 0);
	store(&c->is_over, true);
}

GORO_CASE(a_call_that_meets_the_close_ends, .id = "NET-09", .is_race = true)
{
	uint64_t seed = tap_seed();
	skip_where_closing_is_a_race();
	for (int i = 0; i < 2000; i++) {
		struct pair p = pair_of(i % 2 ? UNIX_STREAM : TCP);
		struct caller c[2] = {{.fd = p.a}, {.fd = p.a}};
		expect_eq(goro_write(p.b, "abcdefgh", 8), 8);
		for (int j = 0; j < 2; j++)
			require_eq(goro_spawn(calls_until_closed, &c[j]), 0);
		for (uint64_t n = tap_random(&seed) % 4; n > 0; n--)
			goro_yield();
		expect_eq(goro_close(p.a), 0);
		for (int j = 0; j < 2; j++)
			expect_eq(caller_result(&c[j]), -EBADF);
		expect_eq(goro_close(p.b), 0);
	}
}

/* ---- the number's next life ---- */

struct churn {
	int is_over, n_lives;
};

/* Opens what gets the numbers that are free, and talks over it at once. */
static void opens_and_closes(void *arg)
{
	struct churn *c = arg;
	char data[8];
	while (!load(&c->is_over)) {
		struct pair q = pair_of(UNIX_STREAM);
		expect_eq(goro_write(q.b, "NEW", 3), 3);
		expect_eq(goro_write(q.a, "NEW", 3), 3);
		goro_yield();
		expect_eq(goro_read(q.a, data, 8), 3);
		expect_eq(goro_read(q.b, data, 8), 3);
		pair_close(q);
		add(&c->n_lives, 1);
		goro_yield();
	}
	add(&c->is_over, 1);
}

GORO_CASE(nothing_of_a_new_connection_goes_to_the_old_reader, .is_race = true)
{
	struct churn churn = {0};
	for (int i = 0; i < 3; i++)
		require_eq(goro_spawn(opens_and_closes, &churn), 0);
	for (int i = 0; i < 300; i++) {
		struct pair p = pair_of(i % 2 ? UNIX_STREAM : TCP);
		struct caller c[3] = {{0}};
		int64_t deadline = goro_now() + GORO_SEC(60);
		for (int j = 0; j < 3; j++) {
			c[j].deadline = j == 2 ? deadline : 0;
			caller_start(&c[j], j == 2 ? call_wait_in : call_read, p.a);
		}
		if (i % 3 == 0)
			expect_eq(goro_set_deadline(p.a, deadline), 0);
		expect_eq(goro_close(p.a), 0);
		for (int j = 0; j < 3; j++)
			expect_eq(caller_result(&c[j]), -EBADF);
		expect_eq(goro_close(p.b), 0);
	}
	store(&churn.is_over, 1);
	wait_for(load(&churn.is_over) == 4);
	expect_gt(churn.n_lives, 0);
}

/*
 * A number that the poller does not know: one writer blocks in the kernel, two queue behind it.
 * Their descriptor is closed, and the number is another's at once.
 */
static void start_unknown_writers(struct caller c[3], int fd)
{
	for (int i = 0; i < 3; i++) {
		c[i] = (struct caller){.call = call_write_much, .fd = fd};
		require_eq(goro_spawn(call_it, &c[i]), 0);
		wait_for(load(&c[i].id) != 0);
		if (i > 0)
			wait_until_parked(load(&c[i].id), "IO wait");
		else
			wait_for(is_thread_asleep(load(&c[i].tid)));
	}
}

static void drain(int fd)
{
	static char data[65536];
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	while (poll(&pfd, 1, 0) > 0 && read(fd, data, sizeof(data)) > 0)
		;
}

static ssize_t call_write_one(struct caller *c)
{
	return goro_write_all(c->fd, "x", 1);
}

static void expect_next_life_is_free(int number, int read_end, bool becomes_known)
{
	struct caller c = {.call = call_write_one, .fd = number};
	char data[8];
	if (becomes_known)
		require_eq(goro_fd_add(number), 0);
	require_eq(goro_spawn(call_it, &c), 0);
	expect_eq(caller_result(&c), 1);
	expect_eq(goro_read(read_end, data, 8), 1);
}

static void unknown_is_closed(enum pair_kind kind, bool does_not_block, bool becomes_known)
{
	struct pair old = plain_pair_of(kind), new = plain_pair_of(PIPE);
	struct caller c[3];
	(void)fill(old.b);
	if (does_not_block)
		require_eq(fcntl(old.b, F_SETFL, O_NONBLOCK), 0);
	start_unknown_writers(c, old.b);
	expect_eq(goro_close(old.b), 0);
	for (int i = 1; i < 3; i++)
		expect_eq(caller_result(&c[i]), -EBADF);
	require_eq(dup3(new.b, old.b, O_CLOEXEC), old.b);
	expect_next_life_is_free(old.b, new.a, becomes_known);
	while (!load(&c[0].is_over)) {
		drain(old.a);
		goro_sleep(GORO_US(100));
	}
	expect(c[0].result == -EBADF || c[0].result > 0);
	drain(old.a);
	expect_next_life_is_free(old.b, new.a, becomes_known); /* and nothing but what it wrote */
	expect_eq(goro_close(old.b), 0);
	pair_close(new);
	expect_eq(goro_close(old.a), 0);
}

GORO_CASE(the_next_life_of_an_unknown_number_is_free, .id = "NET-09", .is_idle = true)
{
	skip_where_closing_is_a_race();
	if (getenv("TAP_EMULATED"))
		tap_skip("who is asleep may be so in the emulator, on the way to the call");
	for (int i = 0; i < 8; i++)
		unknown_is_closed(i & 1 ? UNIX_STREAM : PIPE, i & 2, i & 4);
}

/* ---- contexts ---- */

struct canceled {
	struct caller caller;
	goro_ctx *ctx;
};

static void calls_with_ctx(void *arg)
{
	struct canceled *c = arg;
	goro_ctx_unref(goro_ctx_use(goro_ctx_ref(c->ctx)));
	call_it(&c->caller);
}

static void start_canceled(struct canceled *c, goro_ctx *ctx, ssize_t (*call)(struct caller *),
			   int fd)
{
	*c = (struct canceled){.caller = {.call = call, .fd = fd}, .ctx = ctx};
	require_eq(goro_spawn(calls_with_ctx, c), 0);
	wait_for(load(&c->caller.id) != 0);
	wait_until_parked(load(&c->caller.id), "IO wait");
}

GORO_CASE(a_cancelled_context_ends_whatever_waits)
{
	struct pair p = pair_of(UNIX_STREAM);
	struct canceled r[N_READERS], w[N_WRITERS], any, acceptor;
	goro_ctx *ctx = make_ctx(goro_ctx_background());
	int l = listener(1);
	(void)fill(p.a);
	for (int i = 0; i < N_READERS; i++)
		start_canceled(&r[i], ctx, readers[i], p.a);
	for (int i = 0; i < N_WRITERS; i++)
		start_canceled(&w[i], ctx, writers[i], p.a);
	start_canceled(&any, ctx, call_wait_any, p.a);
	start_canceled(&acceptor, ctx, call_accept, l);
	goro_ctx_cancel(ctx);
	for (int i = 0; i < N_READERS; i++)
		expect_eq(caller_result(&r[i].caller), -ECANCELED);
	for (int i = 0; i < N_WRITERS; i++)
		expect_cut(caller_result(&w[i].caller), -ECANCELED);
	expect_eq(caller_result(&any.caller), -ECANCELED);
	expect_eq(caller_result(&acceptor.caller), -ECANCELED);
	goro_ctx_unref(ctx);
	struct caller again = {0}; /* the descriptor is as good as before */
	caller_start(&again, call_read, p.a);
	expect_eq(goro_write(p.b, "abc", 3), 3);
	expect_eq(caller_result(&again), 3);
	expect_eq(goro_close(l), 0);
	pair_close(p);
}

GORO_CASE(no_call_begins_under_a_cancelled_context)
{
	struct pair p = pair_of(TCP);
	struct pair q = plain_pair_of(UNIX_STREAM);
	goro_ctx *ctx = make_ctx(goro_ctx_background());
	char data[8] = {0};
	struct iovec part = {data, 8};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	expect_eq(goro_write(p.b, "abcdefgh", 8), 8);
	expect_eq(goro_write(q.b, "abcdefgh", 8), 8);
	goro_ctx_cancel(ctx);
	goro_ctx *before = goro_ctx_use(ctx);
	for (int i = 0; i < 2; i++) {
		int fd = i ? p.a : q.a;
		expect_eq(goro_read(fd, data, 8), -ECANCELED);
		expect_eq(goro_read_full(fd, data, 8), -ECANCELED);
		expect_eq(goro_readv(fd, &part, 1), -ECANCELED);
		expect_eq(goro_recv(fd, data, 8, 0), -ECANCELED);
		expect_eq(goro_recv(fd, data, 8, MSG_DONTWAIT), -ECANCELED);
		expect_eq(goro_recvmsg(fd, &message, 0), -ECANCELED);
		expect_eq(goro_write(fd, data, 8), -ECANCELED);
		expect_eq(goro_write_all(fd, data, 8), -ECANCELED);
		expect_eq(goro_writev(fd, &part, 1), -ECANCELED);
		expect_eq(goro_send(fd, data, 8, 0), -ECANCELED);
		expect_eq(goro_sendmsg(fd, &message, 0), -ECANCELED);
		expect_eq(goro_fd_wait(fd, POLLIN, GORO_FOREVER), -ECANCELED);
		expect_eq(goro_accept(fd, NULL, NULL), -ECANCELED);
		expect_eq(goro_splice(fd, NULL, fd, NULL, 8, 0), -ECANCELED);
		expect_eq(goro_sendfile(fd, fd, NULL, 8), -ECANCELED);
		expect_eq(goro_pread(fd, data, 8, 0), -ECANCELED);
		expect_eq(goro_pwrite(fd, data, 8, 0), -ECANCELED);
		expect_eq(goro_fsync(fd), -ECANCELED);
	}
	expect_eq(goro_open("/", O_RDONLY), -ECANCELED);
	pair_close(p); /* closing is had all the same */
	pair_close(q);
	goro_ctx_use(before);
	goro_ctx_unref(ctx);
}

TAP_MAIN
