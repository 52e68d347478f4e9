/*
 * netagain.c - calls that are made again: EAGAIN that no event explains, and EINTR.
 *
 *   read() says EAGAIN; then the number is another's, by close(2), or somebody lets it block
 *
 * That is played by a read() and a splice() that change the descriptor before they return, and by
 * another reader who is faster; a signal by a call that says EINTR and does nothing.
 */
#include "net_tap.h"
#include "syscall_tap.h"

#include <dlfcn.h>
#include <poll.h>
#include <sys/mman.h>

/* ---- another descriptor ---- */

static int changes = -1; /* the descriptor whose next EAGAIN is followed by this: */
static int becomes = -1; /* it is closed, and is a copy of that one; -1: it blocks */

static ssize_t change(int fd, ssize_t n)
{
	if (n >= 0 || errno != EAGAIN || fd != load(&changes))
		return n;
	store(&changes, -1);
	if (becomes >= 0)
		require_eq(dup2(becomes, fd), fd);
	else
		require_eq(fcntl(fd, F_SETFL, 0), 0);
	errno = EAGAIN;
	return n;
}

/* ---- a signal ---- */

static int interrupts; /* so many calls of the four are ended by one before they begin */

static bool is_interrupted(long number)
{
	bool is_one = number == SYS_read || number == SYS_write || number == SYS_recvfrom ||
		      number == SYS_sendto;
	if (!is_one || load(&interrupts) == 0)
		return false;
	interrupts--;
	errno = EINTR;
	return true;
}

/* ---- another reader ---- */

static int robbed = -1; /* what another reads first, a few times, */
static int feeds = -1;  /* while there is more each time */
static int n_left, n_rests;

static void rob(int fd)
{
	char c;
	if (fd != load(&robbed) || n_left == 0)
		return;
	long a[6] = {fd, (long)&c, 1};
	require_eq(syscall_real(SYS_read, a), 1);
	n_left--;
}

static void feed(int fd)
{
	if (fd == load(&robbed))
		require_eq(write(feeds, "f", 1), 1);
}

static long syscall_seen(long number, long a[6])
{
	if (is_interrupted(number))
		return -1;
	if (number == SYS_read)
		rob((int)a[0]);
	long n = syscall_real(number, a);
	if (number == SYS_read && n < 0 && errno == EAGAIN) {
		feed((int)a[0]);
		errno = EAGAIN;
	}
	return number == SYS_read ? change((int)a[0], n) : n;
}

/* Whoever asks for no event only rests. */
int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *left, const sigset_t *mask)
{
	static int (*real)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "ppoll");
	if (n == 1 && fds[0].fd == load(&robbed) && fds[0].events == 0)
		n_rests++;
	return real(fds, n, left, mask);
}

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned int flags)
{
	static ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned int);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "splice");
	return change(from, real(from, from_at, to, to_at, size, flags));
}

static int file_of(const char *text)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	require_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	require_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static struct pair pipe_that_does_not_block(void)
{
	struct pair p = plain_pair_of(PIPE);
	require_eq(fcntl(p.a, F_SETFL, O_NONBLOCK), 0);
	return p;
}

GORO_CASE(a_number_that_becomes_a_files_is_read_again)
{
	if (TAP_SANITIZED)
		tap_skip("read() is not the system call");
	struct pair p = pipe_that_does_not_block();
	char data[8] = {0};
	becomes = file_of("file");
	store(&changes, p.a);
	expect_eq(goro_read(p.a, data, sizeof(data)), 4);
	expect_eq(load(&changes), -1);
	expect_str(data, "file");
	close(becomes);
	pair_close(p);
}

GORO_CASE(a_number_that_becomes_a_files_is_copied_again)
{
	if (TAP_SANITIZED)
		tap_skip("splice() is not the system call");
	struct pair p = pipe_that_does_not_block(), to = plain_pair_of(PIPE);
	char data[8] = {0};
	becomes = file_of("file");
	store(&changes, p.a);
	expect_eq(goro_splice(p.a, NULL, to.b, NULL, 4, 0), 4);
	expect_eq(load(&changes), -1);
	expect_eq(goro_read(to.a, data, sizeof(data)), 4);
	expect_str(data, "file");
	close(becomes);
	pair_close(p);
	pair_close(to);
}

static void writes_later(void *arg)
{
	goro_sleep(GORO_MS(5));
	expect_eq(goro_write(*(int *)arg, "late", 4), 4);
}

/* As a terminal that several programs share. */
GORO_CASE(a_descriptor_that_begins_to_block_is_waited_for)
{
	if (TAP_SANITIZED)
		tap_skip("read() is not the system call");
	struct pair p = pipe_that_does_not_block();
	char data[8] = {0};
	becomes = -1;
	store(&changes, p.a);
	require_eq(goro_spawn(writes_later, &p.b), 0);
	expect_eq(goro_read(p.a, data, sizeof(data)), 4);
	expect_eq(load(&changes), -1);
	expect_str(data, "late");
	pair_close(p);
}

/* As servers that share a descriptor: who comes late is ready for the next all the same. */
GORO_CASE(who_finds_that_another_was_faster_does_not_rest)
{
	if (TAP_SANITIZED)
		tap_skip("read() is not the system call");
	struct pair p = pipe_that_does_not_block();
	char data[8] = {0};
	n_left = 10;
	feeds = p.b;
	require_eq(write(p.b, "f", 1), 1);
	store(&robbed, p.a);
	expect_eq(goro_read(p.a, data, 1), 1);
	store(&robbed, -1);
	expect_eq(n_left, 0);
	expect_eq(n_rests, 0);
	expect_str(data, "f");
	pair_close(p);
}

static void expect_made_again(struct pair p)
{
	char data[8] = {0};
	store(&interrupts, 2);
	expect_eq(goro_write(p.b, "abc", 3), 3);
	expect_eq(load(&interrupts), 0);
	store(&interrupts, 2);
	expect_eq(goro_read(p.a, data, sizeof(data)), 3);
	expect_eq(load(&interrupts), 0);
	expect_str(data, "abc");
	pair_close(p);
}

GORO_CASE(what_a_signal_ended_is_made_again)
{
	if (TAP_SANITIZED)
		tap_skip("they are not the system calls");
	expect_made_again(pair_of(PIPE));
	expect_made_again(pair_of(TCP));
	expect_made_again(plain_pair_of(PIPE));
	expect_made_again(plain_pair_of(TCP));
}

TAP_MAIN
