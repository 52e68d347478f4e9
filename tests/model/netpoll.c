/*
 * netpoll.c - waiting for a descriptor, against all that may end it: its event, another deadline,
 * the time, the close, the next life of its number.
 *
 *   src/event/netpoll.c, netpoll_epoll.c, src/io/fd.c, src/sched/poll.c -> the explorer
 *
 * The kernel is below: one descriptor, how many bytes lie in it, and whether an edge has not been
 * reported yet. Plain threads wait rarely (PO4), with a note; goroutines plainly, on the real loop
 * and two Ms. Who reads counts what it got, so that no byte is lost and none goes to an earlier
 * life's reader.
 */
#define MODEL_POLLER
#include "model_g.h"

#include <sys/epoll.h>

#include "event/netpoll_epoll.c"

#include "sync/waitq.c"

#define FD    1
#define LATER 1000

/* ---- the kernel ---- */

static struct {
	uint32_t n_bytes;
	uint32_t life;               /* of the number: 0: closed */
	bool is_added, has_edge;
	uint64_t data;               /* of epoll_ctl */
	bool is_broken;              /* the eventfd */
	atomic_of(uint32_t) changes; /* who blocks waits for the next */
} kernel;

static void kernel_changed(void)
{
	add_rlx(&kernel.changes, 1);
	explore_futex_wake((void *)&kernel.changes, 10);
}

int os_epoll_create(void)
{
	return 0;
}

void os_epoll_close(int fd)
{
	(void)fd;
}

int os_eventfd(void)
{
	return 0;
}

int os_epoll_add(int epoll, int fd, uint32_t events, uint64_t data)
{
	(void)epoll;
	(void)events;
	if (data == BREAK_DATA)
		return 0;
	explore_check(fd == FD && kernel.life);
	explore_lock(&kernel);
	bool was_added = kernel.is_added;
	if (!was_added) {
		kernel.is_added = true;
		kernel.data = data;
		kernel.has_edge = kernel.n_bytes > 0;
	}
	explore_unlock(&kernel);
	kernel_changed();
	return was_added ? -EEXIST : 0;
}

void os_epoll_remove(int epoll, int fd)
{
	(void)epoll;
	(void)fd;
	explore_lock(&kernel);
	kernel.is_added = kernel.has_edge = false;
	explore_unlock(&kernel);
}

int os_epoll_wait(int epoll, struct epoll_event *events, int n, int64_t until)
{
	int got = 0;

	(void)epoll;
	(void)n;
	for (;;) {
		uint32_t changes = load_rlx(&kernel.changes);
		explore_lock(&kernel);
		if (kernel.has_edge)
			events[got++] = (struct epoll_event){EPOLLIN, {.u64 = kernel.data}};
		kernel.has_edge = false;
		if (kernel.is_broken)
			events[got++] = (struct epoll_event){EPOLLIN, {.u64 = BREAK_DATA}};
		explore_unlock(&kernel);
		if (got || until <= 0)
			return got;
		if (explore_futex_wait_until((void *)&kernel.changes, changes, until) == -110)
			return 0;
	}
}

void os_eventfd_set(int fd)
{
	(void)fd;
	explore_lock(&kernel);
	kernel.is_broken = true;
	explore_unlock(&kernel);
	kernel_changed();
}

void os_eventfd_clear(int fd)
{
	(void)fd;
	explore_lock(&kernel);
	kernel.is_broken = false;
	explore_unlock(&kernel);
}

/* The life whose byte it was; 0: there is none. */
static uint32_t kernel_read(void)
{
	explore_check(kernel.life != 0); /* FD4: no call works on a closed number */
	explore_lock(&kernel);
	uint32_t got = kernel.n_bytes ? kernel.life : 0;
	kernel.n_bytes -= got != 0;
	explore_unlock(&kernel);
	return got;
}

static void kernel_write(void)
{
	explore_lock(&kernel);
	kernel.n_bytes++;
	kernel.has_edge = kernel.is_added;
	explore_unlock(&kernel);
	kernel_changed();
}

/* ---- in place of what fd.c calls ---- */

#define OS_OS_IO_H
int os_fd_close(int fd);
int os_fd_poll(int fd, int events, int64_t deadline);
int os_fd_is_nonblocking(int fd);
int os_fd_set_nonblocking(int fd);
int os_socket_option(int fd, int level, int name);
bool os_socket_has_ulp(int fd);

int os_fd_close(int fd)
{
	explore_check(fd == FD && kernel.life);
	explore_lock(&kernel);
	kernel.life = 0;
	kernel.n_bytes = 0;
	kernel.has_edge = kernel.is_added = false;
	explore_unlock(&kernel);
	return 0;
}

int os_fd_poll(int fd, int events, int64_t deadline)
{
	(void)fd;
	(void)deadline;
	return events;
}

int os_fd_is_nonblocking(int fd)
{
	(void)fd;
	return 1;
}

int os_fd_set_nonblocking(int fd)
{
	(void)fd;
	return 0;
}

int os_socket_option(int fd, int level, int name)
{
	(void)fd;
	(void)level;
	(void)name;
	return -1;
}

bool os_socket_has_ulp(int fd)
{
	(void)fd;
	return false;
}

void deferred_push(struct deferred *d)
{
	(void)d;
}

void deferred_remove(struct deferred *d)
{
	(void)d;
}

void (*fork_fds_hook)(void);

int poll_wait_begins_outside(void)
{
	add_rlx(&poll_n_outside, 1);
	timer_was_armed(NULL, TIMER_NEVER);
	return 0;
}

#include "io/fd.c"
#include "io/native.c"

/* ---- who waits ---- */

static uint32_t n_got[4], n_refused, n_late; /* bytes by life; reads that ended with an error */
static struct lock counts;
static int64_t own_deadline;

static void tally(uint32_t *n)
{
	explore_lock(&counts);
	++*n;
	explore_unlock(&counts);
}

/* The rest of goro_read() of one byte, in a begun call: the life that it came from, or an error. */
static int read_begun(struct io *io)
{
	uint32_t got;
	int error = 0;

	polled_reset(&io->fd->polled, POLL_READ);
	while ((got = kernel_read()) == 0 && (error = io_wait(io)) == 0)
		;
	io_end(io);
	if (got)
		tally(&n_got[got]);
	return got ? (int)got : error;
}

static int read_byte(void)
{
	struct fd *f = fd_known(FD);
	struct io io;
	int got = f ? io_begin_until(&io, f, FD, POLL_READ, own_deadline) : -EBADF;

	if (!got)
		got = read_begun(&io);
	if (got < 0)
		tally(got == -ETIMEDOUT ? &n_late : &n_refused);
	return got;
}

static void reader(void)
{
	(void)read_byte();
}

/* Its call began when nobody else was there yet. */
static struct io first;

static void first_reader(void)
{
	int got = read_begun(&first);

	explore_check(got == 1 || got == -EBADF);
	explore_seen(got == 1 ? 0 : 1);
}

static void ask_once(void)
{
	struct glist ready = {0};

	netpoll(0, &ready);
	ready_list(&ready);
}

/* A peer writes, and somebody asks the poller after that. */
static void writer(void)
{
	kernel_write();
	ask_once();
}

/* Into the first life, if it still is that: its event may be dispatched in the next. */
static void writes_first(void)
{
	struct glist ready = {0};

	explore_lock(&kernel);
	if (kernel.life == 1) {
		kernel.n_bytes++;
		kernel.has_edge = kernel.is_added;
	}
	explore_unlock(&kernel);
	netpoll(0, &ready);
	ready_list(&ready);
}

static void setter(void)
{
	explore_check(goro_set_read_deadline(FD, 1) == 0);
}

static void closer(void)
{
	explore_check(goro_close(FD) == 0);
}

static void open_again(void)
{
	explore_lock(&kernel);
	kernel.life = 2;
	explore_unlock(&kernel);
	explore_check(fd_add(FD, FD_OTHER) == 0);
}

/* The number is closed, and at once another's, into which a byte is written. */
static void closes_and_opens(void)
{
	closer();
	open_again();
	kernel_write();
	ask_once();
	explore_check(read_byte() == 2);
}

static void setup(uint32_t n_m, uint32_t n_p)
{
	model_sched_setup(n_m, n_p);
	explore_name(&kernel, sizeof(kernel), "kernel");
	explore_plain(&netpoll_is_on, sizeof(netpoll_is_on));
	explore_plain(&has_table, sizeof(has_table));
	own_deadline = OS_FOREVER;
	kernel.life = 1;
	explore_check(fd_add(FD, FD_OTHER) == 0);
	explore_plain(table, sizeof(*table));
	explore_name(fd_at(FD), sizeof(struct fd), "fd");
}

static void setup_threads(void)
{
	setup(0, 1);
	for (int i = 0; i < EXPLORE_THREADS; i++)
		ms[i].id = 0; /* plain threads, and nobody else */
	starts_fail = true;
	store_rlx(&sched.run_state, RUN_NONE);
}

static void setup_first(void)
{
	setup_threads();
	explore_check(io_begin(&first, fd_at(FD), FD, POLL_READ) == 0);
}

static void setup_late(void)
{
	setup_threads();
	own_deadline = LATER;
}

static void read_one(void)
{
	explore_check(n_got[1] == 1 && n_refused == 0);
}

static void read_or_late(void)
{
	explore_check(n_got[1] + n_late == 1 && n_refused == 0);
	explore_seen(n_late);
}

static void was_late(void)
{
	explore_check(n_late == 1 && n_refused == 0);
}

static void all_returned(void)
{
	explore_check(load_rlx(&fd_at(FD)->word) / FD_REF == 0);
}

/* ---- goroutines ---- */

static void g_reads(void *arg)
{
	(void)arg;
	reader();
}

static void g_closes(void *arg)
{
	(void)arg;
	closer();
}

static void g_sets(void *arg)
{
	(void)arg;
	setter();
}

static void g_writes(void *arg)
{
	(void)arg;
	kernel_write(); /* somebody asks */
}

static void setup_gs(void (*first)(void *), void (*second)(void *))
{
	void (*const entry[])(void *) = {first, second};

	setup(2, 2);
	for (int i = 0; i < 2; i++) {
		struct g *gp = &gs[i];
		char *stack = explore_stack(MODEL_STACK);
		gp->id = (uint64_t)i + 1;
		gp->entry = entry[i];
		gp->sp = ctx_make(stack + MODEL_STACK, g_main, gp);
		store_rlx(&gp->state, G_RUNNABLE);
		explore_name(stack, MODEL_STACK, i ? "stack of G2" : "stack of G1");
		put_runnable(&ps[i], gp, false);
	}
}

static void setup_g_event(void)
{
	setup_gs(g_reads, g_writes);
}

static void setup_g_close(void)
{
	setup_gs(g_reads, g_closes);
}

static void setup_g_deadline(void)
{
	setup_gs(g_reads, g_sets);
}

static void run_m(void)
{
	schedule_until_end(&ms[explore_self()]);
}

static void reserve_m(void)
{
	struct m *mp = model_m_started();

	if (mp)
		schedule_until_end(mp);
}

static void both_ended(void)
{
	explore_check(n_ended == 2);
	explore_check(n_got[1] + n_refused + n_late == 1);
}

#define THREADS(from, a, b, end) .setup = from, .thread = {a, b}, .finish = end
#define GS(from) \
	.setup = from, .thread = {run_m, run_m, reserve_m}, .finish = both_ended, \
	.may_end_blocked = true, .asleep = 0x4

static void test_threads(void)
{
	explore_holds(&(struct explore_test){"netpoll: a thread's wait against its event",
					     THREADS(setup_threads, reader, writer, read_one),
					     TRY(3, 2)});
	explore_holds_seen(&(struct explore_test){"netpoll: against its event and the time",
						  THREADS(setup_late, reader, writer,
							  read_or_late),
						  TRY(3, 1), .timeouts = 1},
			   3);
	explore_holds(&(struct explore_test){"netpoll: against another deadline",
					     THREADS(setup_threads, reader, setter, was_late),
					     TRY(3, 2)});
	explore_holds_seen(&(struct explore_test){"netpoll: against close and an event",
						  THREADS(setup_first, first_reader, closer,
							  all_returned),
						  .thread[2] = writes_first, TRY(2, 1)},
			   3);
	explore_holds_seen(&(struct explore_test){"netpoll: against the number's next life",
						  THREADS(setup_first, first_reader,
							  closes_and_opens, all_returned),
						  .thread[2] = writes_first, TRY(2, 1),
						  .is_slow = true},
			   3);
}

static void test_gs(void)
{
	explore_holds(&(struct explore_test){"netpoll: a goroutine's wait against its event",
					     GS(setup_g_event), TRY(2, 1), .is_slow = true});
	explore_holds(&(struct explore_test){"netpoll: a goroutine's against another deadline",
					     GS(setup_g_deadline), TRY(2, 1), .is_slow = true});
	explore_holds(&(struct explore_test){"netpoll: a goroutine's against close",
					     GS(setup_g_close), TRY(2, 1), .is_slow = true});
}

static void test_negatives(void)
{
	explore_finds(&(struct explore_test){"netpoll: found when an event is not kept",
					     THREADS(setup_threads, reader, writer, read_one),
					     TRY(2, 1), .omit = "poll-ready"},
		      "deadlock");
	explore_finds(&(struct explore_test){"netpoll: found when a rare wait leaves unlocked",
					     THREADS(setup_late, reader, writer, read_or_late),
					     TRY(3, 1), .timeouts = 1, .omit = "poll-rare-lock"},
		      "");
	explore_finds(&(struct explore_test){"netpoll: found when close does not wait",
					     THREADS(setup_first, first_reader, closer,
						     all_returned),
					     TRY(2, 1), .omit = "close-wait"},
		      "");
	explore_finds(&(struct explore_test){"netpoll: found when the next life begins too soon",
					     THREADS(setup_first, first_reader, closes_and_opens,
						     all_returned),
					     TRY(2, 1), .omit = "close-wait"},
		      "");
	explore_finds(&(struct explore_test){"netpoll: found when the waiter does not fence",
					     GS(setup_g_close), TRY(1, 2),
					     .omit = "poll-wait-fence"},
		      "n_ended");
	explore_finds(&(struct explore_test){"netpoll: found when who kicks does not fence",
					     GS(setup_g_deadline), TRY(1, 2),
					     .omit = "poll-kick-fence"},
		      "n_ended");
}

int main(void)
{
	test_threads();
	test_negatives();
	test_gs();
	return explore_done();
}
