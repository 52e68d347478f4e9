/*
 * netdeadline.c - NET-02, NET-03, NET-06: deadlines of descriptors; and errors that are kept.
 *
 *   goro_set_deadline -> those that wait, and those to come, until it is set anew
 *
 * Go: net/timeout_test.go, net_test.go.
 */
#include "net_tap.h"

/* ---- NET-02 ---- */

static const int64_t values[] = {1,
				 2,
				 5,
				 50,
				 100,
				 200,
				 500,
				 750,
				 GORO_US(1),
				 GORO_US(5),
				 GORO_US(25),
				 GORO_US(250),
				 GORO_US(500),
				 GORO_MS(1),
				 GORO_MS(5),
				 GORO_MS(25),
				 GORO_MS(100),
				 GORO_MS(500),
				 GORO_SEC(1)};
enum { N_VALUES = sizeof(values) / sizeof(values[0]) };

/* Never early; one that is late may be so because the machine was busy. */
static int64_t elapsed_until_late(int64_t ns)
{
	struct pair p = pair_of(TCP);
	char data[8];
	int64_t start = goro_now();
	expect_eq(goro_set_deadline(p.a, start + ns), 0);
	expect_eq(goro_read(p.a, data, 8), -ETIMEDOUT);
	int64_t took = goro_now() - start;
	expect_ge(took, ns);
	expect_eq(goro_read(p.a, data, 8), -ETIMEDOUT);
	expect_eq(goro_write(p.a, data, 8), -ETIMEDOUT);
	pair_close(p);
	return took;
}

GORO_CASE(deadlines_are_never_early_and_not_much_late, .id = "NET-02", .procs = "1,4",
	  .is_alone = true)
{
	for (int i = 0; i < N_VALUES; i++) {
		int64_t limit = values[i] + values[i] / 10 + GORO_MS(4) * TAP_SLOWER;
		int64_t least = INT64_MAX;
		int runs = values[i] < GORO_MS(500) ? 3 : 1;
		for (int run = 0; run < runs || (least > limit && run < 10); run++) {
			int64_t took = elapsed_until_late(values[i]);
			least = took < least ? took : least;
		}
		expect_le(least, limit);
	}
}

/* ---- NET-03 ---- */

GORO_CASE(a_deadline_set_meanwhile_wakes_its_direction, .id = "NET-03")
{
	for (enum pair_kind kind = TCP; kind <= UNIX_STREAM; kind++) {
		struct pair p = pair_of(kind);
		struct caller reader = {0}, writer = {0}, queued = {0}, any = {0};
		(void)fill(p.a);
		caller_start(&reader, call_read, p.a);
		caller_start(&queued, call_read, p.a);
		caller_start(&writer, call_write_much, p.a);
		caller_start(&any, kind == TCP ? call_wait_out : call_wait_any, p.a);
		expect_eq(goro_set_write_deadline(p.a, 1), 0);
		expect_cut(caller_result(&writer), -ETIMEDOUT);
		expect_eq(caller_result(&any), -ETIMEDOUT);
		goro_sleep(GORO_MS(10));
		expect(!load(&reader.is_over));
		expect_eq(goro_set_read_deadline(p.a, goro_now() - 1), 0);
		expect_eq(caller_result(&reader), -ETIMEDOUT);
		expect_eq(caller_result(&queued), -ETIMEDOUT);
		pair_close(p);
	}
}

GORO_CASE(a_deadline_of_one_direction_is_none_of_the_other, .id = "NET-03")
{
	struct pair p = pair_of(TCP);
	struct caller reader = {0};
	expect_eq(goro_set_deadline(p.a, 1), 0);
	expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
	caller_start(&reader, call_read, p.a);
	goro_sleep(GORO_MS(20));
	expect(!load(&reader.is_over));
	expect_eq(goro_write(p.a, "x", 1), -ETIMEDOUT);
	expect_eq(goro_write(p.b, "x", 1), 1);
	expect_eq(caller_result(&reader), 1);
	pair_close(p);
}

/* It was 5 ms, and is pushed on while somebody waits: the wait ends at the last, not before. */
GORO_CASE(a_deadline_is_extended_and_shortened, .id = "NET-03")
{
	struct pair p = pair_of(TCP);
	struct caller reader = {0};
	int64_t start = goro_now(), until = start + GORO_MS(5);
	expect_eq(goro_set_read_deadline(p.a, until), 0);
	reader.fd = p.a;
	reader.call = call_read;
	require_eq(goro_spawn(call_it, &reader), 0);
	for (int i = 0; i < 20; i++) {
		goro_sleep(GORO_MS(1));
		if (load(&reader.is_over))
			break; /* the machine was busy for too long */
		until = goro_now() + GORO_MS(5);
		expect_eq(goro_set_read_deadline(p.a, until), 0);
	}
	expect_eq(caller_result(&reader), -ETIMEDOUT);
	expect_ge(reader.ended_at, start + GORO_MS(5));
	expect_eq(goro_set_read_deadline(p.a, goro_now() + GORO_SEC(3600)), 0);
	caller_start(&reader, call_read, p.a);
	until = goro_now() + GORO_MS(3);
	expect_eq(goro_set_read_deadline(p.a, until), 0);
	expect_eq(caller_result(&reader), -ETIMEDOUT);
	expect_ge(reader.ended_at, until);
	expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
	caller_start(&reader, call_read, p.a);
	expect_eq(goro_write(p.b, "x", 1), 1);
	expect_eq(caller_result(&reader), 1);
	pair_close(p);
}

GORO_CASE(a_wait_has_the_sooner_of_two_deadlines, .id = "NET-03")
{
	struct pair p = pair_of(UNIX_STREAM);
	int64_t start = goro_now();
	expect_eq(goro_set_read_deadline(p.a, start + GORO_MS(3)), 0);
	expect_eq(goro_fd_wait(p.a, POLLIN, start + GORO_SEC(3600)), -ETIMEDOUT);
	expect_ge(goro_now() - start, GORO_MS(3));
	expect_eq(goro_set_read_deadline(p.a, goro_now() + GORO_SEC(3600)), 0);
	start = goro_now();
	expect_eq(goro_fd_wait(p.a, POLLIN, start + GORO_MS(3)), -ETIMEDOUT);
	expect_ge(goro_now() - start, GORO_MS(3));
	pair_close(p);
}

GORO_CASE(accepts_have_deadlines_too, .id = "NET-03")
{
	struct caller c = {0};
	int l = listener(4);
	expect_eq(goro_set_deadline(l, goro_now() + GORO_MS(2)), 0);
	expect_eq(goro_accept(l, NULL, NULL), -ETIMEDOUT);
	expect_eq(goro_set_deadline(l, GORO_FOREVER), 0);
	caller_start(&c, call_accept, l);
	int fd = plain_connect(port_of(l));
	expect_ge(caller_result(&c), 0);
	pair_close((struct pair){fd, (int)c.result});
	expect_eq(goro_close(l), 0);
}

/* ---- NET-06 ---- */

struct churn {
	struct pair p;
	int is_over, n_over, n_wrong, n_late, n_done;
};

static void rearms(void *arg)
{
	struct churn *c = arg;
	while (!load(&c->is_over)) {
		expect_eq(goro_set_deadline(c->p.a, goro_now() + GORO_US(2)), 0);
		expect_eq(goro_set_deadline(c->p.b, goro_now() + GORO_US(2)), 0);
		goro_sleep(GORO_US(2));
	}
	add(&c->n_over, 1);
}

static void count_result(struct churn *c, ssize_t n)
{
	add(&c->n_late, n == -ETIMEDOUT);
	add(&c->n_done, n > 0);
	add(&c->n_wrong, n <= 0 && n != -ETIMEDOUT);
}

static void reads_in_churn(void *arg)
{
	struct churn *c = arg;
	char data[4096];
	for (int i = 0; i < 1000; i++)
		count_result(c, goro_read(c->p.a, data, sizeof(data)));
	add(&c->n_over, 1);
}

static void writes_in_churn(void *arg)
{
	struct churn *c = arg;
	static char data[4096];
	for (int i = 0; i < 1000; i++)
		count_result(c, goro_write(c->p.b, data, sizeof(data)));
	add(&c->n_over, 1);
}

GORO_CASE(deadlines_churn_against_io, .id = "NET-06", .is_race = true)
{
	struct churn c = {.p = pair_of(TCP)};
	require_eq(goro_spawn(rearms, &c), 0);
	for (int i = 0; i < 2; i++) {
		require_eq(goro_spawn(reads_in_churn, &c), 0);
		require_eq(goro_spawn(writes_in_churn, &c), 0);
	}
	wait_for(load(&c.n_over) == 4);
	store(&c.is_over, 1);
	wait_for(load(&c.n_over) == 5);
	printf("# %d were late, %d done\n", c.n_late, c.n_done);
	expect_eq(c.n_wrong, 0);
	expect_eq(c.n_late + c.n_done, 4000);
	pair_close(c.p);
}

struct earlier {
	const struct pair *pairs;
	int64_t start;
	int *n_over;
};

static void moves_earlier(void *arg)
{
	const struct earlier *e = arg;
	for (int i = 0; i < 100; i++)
		for (int j = 0; j < 10; j++)
			expect_eq(goro_set_deadline(e->pairs[j].a,
						    e->start + GORO_MS(200) - i * GORO_MS(1)),
				  0);
	add(e->n_over, 1);
}

GORO_CASE(deadlines_move_earlier_from_many_sides, .id = "NET-06", .is_race = true)
{
	struct pair pairs[10];
	struct caller c[10] = {{0}};
	int n_over = 0;
	struct earlier e = {pairs, goro_now(), &n_over};
	for (int i = 0; i < 10; i++) {
		pairs[i] = pair_of(i % 2 ? TCP : UNIX_STREAM);
		caller_start(&c[i], call_read, pairs[i].a);
	}
	for (int i = 0; i < 8; i++)
		require_eq(goro_spawn(moves_earlier, &e), 0);
	wait_for(load(&n_over) == 8);
	for (int i = 0; i < 10; i++) {
		expect_eq(caller_result(&c[i]), -ETIMEDOUT);
		pair_close(pairs[i]);
	}
}

static void times_out_again_and_again(void *arg)
{
	struct churn *c = arg;
	char data[8];
	for (int i = 0; i < 20; i++) {
		count_result(c, goro_read(c->p.a, data, 8));
		expect_eq(goro_set_read_deadline(c->p.a, goro_now() + GORO_MS(1)), 0);
	}
	add(&c->n_over, 1);
}

GORO_CASE(ten_readers_rearm_one_deadline, .id = "NET-06", .is_race = true)
{
	struct churn c = {.p = pair_of(TCP)};
	expect_eq(goro_set_read_deadline(c.p.a, goro_now() + GORO_MS(1)), 0);
	for (int i = 0; i < 10; i++)
		require_eq(goro_spawn(times_out_again_and_again, &c), 0);
	wait_for(load(&c.n_over) == 10);
	expect_eq(c.n_late, 200);
	pair_close(c.p);
}

/* ---- errors that are kept ---- */

static ssize_t call_write_all_and_again(struct caller *c)
{
	ssize_t n = call_write_much(c);
	c->size = (size_t)-goro_write(c->fd, "x", 1);
	return n;
}

GORO_CASE(a_write_that_was_cut_says_how_much_and_then_why)
{
	struct pair p = pair_of(UNIX_STREAM);
	struct caller writer = {0};
	char data[8];
	caller_start(&writer, call_write_all_and_again, p.a);
	expect_eq(goro_read(p.b, data, 8), 8);
	expect_eq(goro_close(p.b), 0);
	expect_gt(caller_result(&writer), 0);
	expect_lt(writer.result, 4 << 20);
	expect(writer.size == EPIPE || writer.size == ECONNRESET);
	expect_eq(goro_close(p.a), 0);
}

GORO_CASE(a_deadline_after_some_bytes_is_not_kept)
{
	struct pair p = pair_of(TCP);
	char data[100];
	expect_eq(goro_write(p.b, "abc", 3), 3);
	expect_eq(goro_set_read_deadline(p.a, goro_now() + GORO_MS(5)), 0);
	expect_eq(goro_read_full(p.a, data, 100), 3);
	expect_eq(goro_read(p.a, data, 8), -ETIMEDOUT); /* by itself, again */
	expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
	expect_eq(goro_write(p.b, "de", 2), 2);
	expect_eq(goro_read(p.a, data, 8), 2);
	pair_close(p);
}

static ssize_t call_read_full_and_again(struct caller *c)
{
	char much[100];
	ssize_t n = goro_read_full(c->fd, much, 100);
	c->size = (size_t)-goro_read(c->fd, much, 100);
	return n;
}

GORO_CASE(an_error_of_a_read_is_kept_and_said_once)
{
	struct pair p = pair_of(TCP);
	struct caller reader = {0};
	char data[8];
	expect_eq(goro_write(p.b, "abc", 3), 3);
	caller_start(&reader, call_read_full_and_again, p.a);
	close_with_reset(p.b);
	expect_eq(caller_result(&reader), 3);
	expect_eq(reader.size, ECONNRESET);
	expect_eq(goro_read(p.a, data, 8), 0);
	expect_eq(goro_close(p.a), 0);
}

/* Each of these is the next call after one that was cut. */
static ssize_t read_again(int fd)
{
	char data[8];
	return goro_read(fd, data, 8);
}

static ssize_t recv_again_at_once(int fd)
{
	char data[8];
	return goro_recv(fd, data, 8, MSG_DONTWAIT);
}

static ssize_t recvmsg_again_at_once(int fd)
{
	char data[8];
	struct iovec part = {data, 8};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	return goro_recvmsg(fd, &message, MSG_DONTWAIT);
}

static ssize_t splice_again_from(int fd)
{
	struct pair pipe = pair_of(PIPE);
	ssize_t n = goro_splice(fd, NULL, pipe.b, NULL, 8, 0);
	pair_close(pipe);
	return n;
}

static ssize_t write_again(int fd)
{
	return goro_write(fd, "x", 1);
}

static ssize_t send_again_at_once(int fd)
{
	return goro_send(fd, "x", 1, MSG_DONTWAIT);
}

static ssize_t sendmsg_again_at_once(int fd)
{
	struct iovec part = {"x", 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	return goro_sendmsg(fd, &message, MSG_DONTWAIT);
}

static ssize_t sendfile_again(int fd)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	off_t at = 0;
	require_eq(ftruncate(file, 100), 0);
	ssize_t n = goro_sendfile(fd, file, &at, 100);
	close(file);
	return n;
}

static ssize_t splice_again_to(int fd)
{
	struct pair pipe = pair_of(PIPE);
	expect_eq(goro_write(pipe.b, "x", 1), 1);
	ssize_t n = goro_splice(pipe.a, NULL, fd, NULL, 8, 0);
	pair_close(pipe);
	return n;
}

static ssize_t call_read_full_much(struct caller *c)
{
	char much[100];
	return goro_read_full(c->fd, much, 100);
}

/* More than the kernel's buffers hold, however they grow. */
static ssize_t call_write_more(struct caller *c)
{
	static char more[64 << 20];
	return goro_write_all(c->fd, more, sizeof(more));
}

/* After a reset the kernel has said all: what it says from then on is the end, and EPIPE. */
GORO_CASE(an_error_that_is_kept_is_any_next_calls)
{
	static ssize_t (*const reads[])(int) = {read_again, recv_again_at_once,
						recvmsg_again_at_once, splice_again_from};
	static ssize_t (*const writes[])(int) = {write_again, send_again_at_once,
						 sendmsg_again_at_once, sendfile_again,
						 splice_again_to};
	for (int i = 0; i < 9; i++) {
		struct pair p = pair_of(TCP);
		struct caller c = {0};
		expect_eq(goro_write(p.b, "abc", 3), 3);
		caller_start(&c, i < 4 ? call_read_full_much : call_write_more, p.a);
		close_with_reset(p.b);
		expect_gt(caller_result(&c), 0);
		ssize_t n = i < 4 ? reads[i](p.a) : writes[i - 4](p.a);
		expect_eq(n, -ECONNRESET);
		n = i < 4 ? reads[i](p.a) : writes[i - 4](p.a);
		expect_eq(n, i < 4 ? 0 : -EPIPE);
		expect_eq(goro_close(p.a), 0);
	}
}

/* One of the other direction is none of theirs, nor is it lost when a deadline comes between. */
GORO_CASE(an_error_that_is_kept_stays_until_it_is_said)
{
	struct pair p = pair_of(TCP);
	struct caller c = {0};
	expect_eq(goro_write(p.b, "abc", 3), 3);
	caller_start(&c, call_read_full_much, p.a);
	close_with_reset(p.b);
	expect_eq(caller_result(&c), 3);
	expect_eq(send_again_at_once(p.a), -EPIPE);
	expect_eq(goro_set_read_deadline(p.a, 1), 0);
	expect_eq(recv_again_at_once(p.a), -ETIMEDOUT);
	expect_eq(splice_again_from(p.a), -ETIMEDOUT);
	expect_eq(goro_set_read_deadline(p.a, GORO_FOREVER), 0);
	expect_eq(recv_again_at_once(p.a), -ECONNRESET);
	expect_eq(recv_again_at_once(p.a), 0);
	expect_eq(goro_close(p.a), 0);
}

TAP_MAIN
