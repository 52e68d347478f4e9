/*
 * load_tap.h - what the load tests share: an echo server in a process of its own, which both sides
 * count in; a client's calls; what a process costs.
 *
 *   TAP_CASE: files_raise -> server_start forks -> goro_run(clients) -> server_stop
 *
 * The server is forked before there is any run, so that each process has a runtime of its own, and
 * as many descriptors as a process may have. It ends when its parent says so, when every connection
 * is closed, and its status tells whether all was as it should be there.
 */
#ifndef GORO_TESTS_LOAD_TAP_H
#define GORO_TESTS_LOAD_TAP_H

#include "conform/net_tap.h"

#include <dirent.h>

/* A line that the runner shows even when the case passes. */
#define figure(...) tap_diag("#: " __VA_ARGS__)

/* ---- what a process costs, and may ---- */

struct cost {
	int64_t rss, pte; /* bytes */
	int threads, files;
};

TAP_UNUSED static int files_of(pid_t pid)
{
	char path[64];
	int n = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *folder = opendir(path);
	require(folder != NULL);
	for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
		n += entry->d_name[0] != '.' &&
		     (pid != getpid() || atoi(entry->d_name) != dirfd(folder));
	closedir(folder);
	return n;
}

TAP_UNUSED static struct cost cost_of(pid_t pid)
{
	char rollup[64], status[64];
	snprintf(rollup, sizeof(rollup), "/proc/%d/smaps_rollup", pid);
	snprintf(status, sizeof(status), "/proc/%d/status", pid);
	int64_t rss = tap_kib(rollup, "Rss:");
	return (struct cost){.rss = (rss >= 0 ? rss : tap_kib(status, "VmRSS:")) * 1024,
			     .pte = tap_kib(status, "VmPTE:") * 1024,
			     .threads = (int)tap_kib(status, "Threads:"),
			     .files = files_of(pid)};
}

/* Asks for so many descriptors; how many there may be. */
TAP_UNUSED static int files_raise(int wanted)
{
	struct rlimit limit;
	require_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	rlim_t most = limit.rlim_max;
	if (most < (rlim_t)wanted &&
	    setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)wanted, (rlim_t)wanted}) == 0)
		return wanted;
	limit.rlim_cur = most < (rlim_t)wanted ? most : (rlim_t)wanted;
	require_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return (int)limit.rlim_cur;
}

/* How many connections of so many there can be, with the other descriptors that a process has. */
TAP_UNUSED static int connections_raise(int wanted)
{
	enum { OTHERS = 64 };
	int files = files_raise(wanted + OTHERS);
	if (files < wanted + OTHERS)
		figure("%d descriptors: %d connections, not %d", files, files - OTHERS, wanted);
	return files < wanted + OTHERS ? files - OTHERS : wanted;
}

/* ---- the server ---- */

struct server {
	int64_t patience; /* of each read and write; 0: for ever */
	pid_t pid;
	int stop; /* a pipe: its end that the parent closes when the server shall end */
	int stopped;
	/* Written by the server. */
	int port, n_accepted, n_open, most_open;
	int n_refused;		      /* accepts without a descriptor left */
	int64_t longest_refusal;      /* of those that came right after another */
	int n_ended, n_reset, n_late; /* how connections ended */
};

/* What a test does with the listener before anybody connects. */
TAP_UNUSED static void (*server_prepare)(int listener);

/* All of it, or the error. */
TAP_UNUSED static ssize_t write_whole(int fd, const char *data, size_t size)
{
	ssize_t n = goro_write_all(fd, data, size);
	return n < 0 || (size_t)n == size ? n : goro_write_all(fd, data + n, size - (size_t)n);
}

/* 0, or how the connection ended. */
TAP_UNUSED static ssize_t server_echoes(const struct server *s, int fd)
{
	char data[1024];
	ssize_t n = 1;
	while (n > 0) {
		if (s->patience != 0)
			goro_set_deadline(fd, goro_now() + s->patience);
		n = goro_read(fd, data, sizeof(data));
		if (n > 0)
			n = write_whole(fd, data, (size_t)n);
	}
	return n;
}

TAP_UNUSED static void server_serves(struct server *s, int fd)
{
	ssize_t n = server_echoes(s, fd);
	if (n == 0)
		add(&s->n_ended, 1);
	else if (n == -ETIMEDOUT && s->patience != 0)
		add(&s->n_late, 1);
	else if (n == -ECONNRESET || n == -EPIPE)
		add(&s->n_reset, 1);
	else
		expect_eq(n, 0);
	expect_eq(goro_close(fd), 0);
	add(&s->n_open, -1);
}

TAP_UNUSED static void server_accepts(struct server *s, int listener)
{
	bool was_refused = false;
	for (;;) {
		int64_t start = goro_now();
		int fd = goro_accept(listener, NULL, NULL);
		if (fd >= 0) {
			add(&s->n_accepted, 1);
			int n_open = add(&s->n_open, 1);
			if (n_open > s->most_open)
				store(&s->most_open, n_open);
			go(server_serves, s, fd);
		} else if (fd == -EMFILE) {
			int64_t took = goro_now() - start;
			if (was_refused && took > s->longest_refusal)
				store(&s->longest_refusal, took);
			add(&s->n_refused, 1);
			goro_sleep(GORO_MS(5));
		} else {
			expect_eq(fd, -EBADF);
			return;
		}
		was_refused = fd < 0;
	}
}

TAP_UNUSED static int server_main(void *arg)
{
	struct server *s = arg;
	char c;
	int listener = goro_listen("tcp4", "127.0.0.1:0");
	require_ge(listener, 0);
	require_eq(goro_fd_add(s->stopped), 0);
	if (server_prepare != NULL)
		server_prepare(listener);
	go(server_accepts, s, listener);
	store(&s->port, port_of(listener));
	expect_eq(goro_read(s->stopped, &c, 1), 0);
	expect_eq(goro_close(listener), 0);
	wait_for(goro_count() == 1);
	expect_eq(load(&s->n_open), 0);
	return 0;
}

/* In the child. What is open when it ends: what was before, and the poller's two. */
__attribute__((noreturn)) TAP_UNUSED static void server_run(struct server *s)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int before = files_of(getpid());
	expect_eq(goro_run(server_main, s), 0);
	expect_le(files_of(getpid()), before + 2);
	fflush(stdout);
	_exit(tap_failures != 0);
}

/* By a plain thread, before any run: its runtime is its own. */
TAP_UNUSED static struct server *server_start(int64_t patience)
{
	int stop[2];
	struct server *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	require(s != MAP_FAILED);
	require_eq(pipe2(stop, O_CLOEXEC), 0);
	s->patience = patience;
	s->stopped = stop[0];
	s->stop = stop[1];
	fflush(stdout);
	pid_t pid = fork();
	require(pid >= 0);
	if (pid == 0) {
		close(stop[1]);
		server_run(s);
	}
	close(stop[0]);
	s->pid = pid;
	wait_for(load(&s->port) != 0);
	return s;
}

TAP_UNUSED static void server_stop(struct server *s)
{
	int status = -1;
	close(s->stop);
	require_eq(waitpid(s->pid, &status, 0), s->pid);
	expect_eq(status, 0);
	munmap(s, sizeof(*s));
}

/* ---- its clients ---- */

/* Byte number `at` and on of connection `who`, each way. */
TAP_UNUSED static void pattern(char *to, size_t size, uint64_t who, uint64_t at)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (char)((who * 1000003 + at + i) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

TAP_UNUSED static bool is_pattern(const char *data, size_t size, uint64_t who, uint64_t at)
{
	char right[256];
	for (size_t n = 0; n < size; n += sizeof(right)) {
		size_t part = size - n < sizeof(right) ? size - n : sizeof(right);
		pattern(right, part, who, at + n);
		if (memcmp(data + n, right, part) != 0)
			return false;
	}
	return true;
}

/* Nothing that a test waits for takes so long. */
TAP_UNUSED static int64_t in_time(void)
{
	return goro_now() + GORO_SEC(PATIENCE_S) * TAP_SLOWER;
}

/* A connection, each of whose calls ends in time; or the error. */
TAP_UNUSED static int client_dial(int port)
{
	char address[32];
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	int fd = goro_dial("tcp4", address, in_time());
	if (fd >= 0)
		expect_eq(goro_set_deadline(fd, in_time()), 0);
	return fd;
}

/* Says so much, and hears the same. 1; or 0: the end; or the error. */
TAP_UNUSED static ssize_t client_talks(int fd, uint64_t who, uint64_t at, size_t size)
{
	char data[1024];
	for (size_t n = 0; n < size;) {
		size_t part = size - n < sizeof(data) ? size - n : sizeof(data);
		pattern(data, part, who, at + n);
		ssize_t got = write_whole(fd, data, part);
		memset(data, 0, sizeof(data));
		if (got > 0)
			got = goro_read_full(fd, data, part);
		if (got <= 0)
			return got;
		expect(is_pattern(data, (size_t)got, who, at + n));
		if ((size_t)got != part)
			return 0;
		n += part;
	}
	return 1;
}

struct stream {
	int fd;
	uint64_t who;
	size_t size;
	ssize_t result; /* of the writer: 1 or the error */
	int is_over;
};

TAP_UNUSED static void stream_writes(void *arg)
{
	struct stream *s = arg;
	char data[16384];
	ssize_t result = 1;
	for (size_t at = 0; at < s->size && result > 0;) {
		size_t part = s->size - at < sizeof(data) ? s->size - at : sizeof(data);
		pattern(data, part, s->who, at);
		result = write_whole(s->fd, data, part);
		at += part;
	}
	if (result > 0)
		shutdown(s->fd, SHUT_WR);
	s->result = result;
	store(&s->is_over, 1);
}

/*
 * Writes and reads at a time, more than fits in between, and ends its own direction first. How many
 * bytes came back, all right; *error is 0 when the end came after them.
 */
TAP_UNUSED static size_t client_streams(int fd, uint64_t who, size_t size, ssize_t *error)
{
	struct stream s = {.fd = fd, .who = who, .size = size};
	char data[2048];
	size_t at = 0;
	ssize_t n;
	require_eq(goro_spawn(stream_writes, &s), 0);
	while ((n = goro_read(fd, data, sizeof(data))) > 0) {
		expect(is_pattern(data, (size_t)n, who, at));
		at += (size_t)n;
	}
	if (n < 0) /* or the writer may wait for ever */
		goro_set_write_deadline(fd, GORO_POLL);
	wait_for(load(&s.is_over));
	*error = n < 0 ? n : s.result < 0 ? s.result : 0;
	return at;
}

#endif
