/*
 * slow.c - clients that hold on to what they got: they say nothing, or a byte now and then, or do
 * not take what they are sent.
 *
 *   an echo server with deadlines, examples/httpd with its limits of time
 *   -> the slow ones are thrown out, not too soon -> meanwhile all others are served
 *
 * What is late is allowed seconds, since the machine may be busy; what is early is a mistake.
 */
#include "load_tap.h"

#include <limits.h>
#include <sys/stat.h>

enum { SLOW_MAX_S = 12, FAST_MAX_S = 5 };

/* Those who are served meanwhile. */
struct others {
	int port, n_over, n_rounds, is_enough;
	int64_t longest;
};

static void keep_most(int64_t *most, int64_t value)
{
	int64_t old = load(most);
	while ((value > old || old == 0) &&
	       !__atomic_compare_exchange_n(most, &old, value, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		continue;
}

static void others_done(struct others *o, int64_t start)
{
	keep_most(&o->longest, goro_now() - start);
	add(&o->n_rounds, 1);
}

static void others_end(struct others *o, int n)
{
	int n_rounds = load(&o->n_rounds);
	wait_for(load(&o->n_rounds) >= n_rounds + 10 * n); /* the server goes on as before */
	store(&o->is_enough, 1);
	wait_for(load(&o->n_over) == n);
	expect_lt(o->longest, GORO_SEC(FAST_MAX_S));
}

/* Until the other side ends it, reading what comes; false: the time is over. */
static bool wait_for_end(int fd, char *data, size_t size)
{
	size_t have = 0;
	ssize_t n;
	expect_eq(goro_set_read_deadline(fd, in_time()), 0);
	while ((n = goro_read(fd, data + have, size - 1 - have)) > 0)
		have += (size_t)n < size - 1 - have ? (size_t)n
						    : 0; /* more than fits is no matter */
	data[have] = '\0';
	return n == 0 || n == -ECONNRESET;
}

/* ---- an echo server that has no patience ---- */

enum { SLOW_ECHOES = 200, FAST_ECHOES = 20, PATIENCE_MS = 2000 };

struct slow_echo {
	int port, n_over, n_left;
};

/* One that says nothing any more, or one that does not read what comes back. */
static void slow_echo(struct slow_echo *s, int who)
{
	static char much[16 << 20];
	char data[256];
	int64_t start = goro_now(); /* before the server's deadline is set */
	int fd = client_dial(s->port), little = 8192;
	require_ge(fd, 0);
	require_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
	require_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
	expect_eq(client_talks(fd, (uint64_t)who, 0, 100), 1);
	if (who % 2 == 0) {
		expect(wait_for_end(fd, data, sizeof(data)));
	} else {
		ssize_t n = goro_write_all(fd, much, sizeof(much)); /* until it is thrown out */
		expect(n > 0 || n == -ECONNRESET || n == -EPIPE);
		expect_lt(n, (ssize_t)sizeof(much));
	}
	expect_ge(goro_now() - start, GORO_MS(PATIENCE_MS));
	expect_lt(goro_now() - start, GORO_SEC(SLOW_MAX_S));
	expect_eq(goro_close(fd), 0);
	add(&s->n_over, 1);
}

/* Slow, but not too slow: a byte in a sixth of the time that it has. */
static void patient_echo(struct slow_echo *s, int who)
{
	int fd = client_dial(s->port);
	require_ge(fd, 0);
	for (int i = 0; i < 10; i++) {
		expect_eq(client_talks(fd, (uint64_t)who, (uint64_t)i, 1), 1);
		goro_sleep(GORO_MS(PATIENCE_MS) / 6);
	}
	expect_eq(goro_close(fd), 0);
	add(&s->n_left, 1);
}

static void fast_echo(struct others *o, int who)
{
	while (!load(&o->is_enough)) {
		int64_t start = goro_now();
		int fd = client_dial(o->port);
		require_ge(fd, 0);
		expect_eq(client_talks(fd, (uint64_t)who, 0, 1000), 1);
		expect_eq(goro_close(fd), 0);
		others_done(o, start);
		goro_sleep(GORO_MS(5));
	}
	add(&o->n_over, 1);
}

static int slow_echo_main(void *arg)
{
	struct slow_echo *s = arg;
	struct others o = {.port = s->port};
	for (int i = 0; i < SLOW_ECHOES; i++)
		go(slow_echo, s, i);
	for (int i = 0; i < FAST_ECHOES; i++) {
		go(fast_echo, &o, i);
		go(patient_echo, s, i);
	}
	wait_for(load(&s->n_over) == SLOW_ECHOES && load(&s->n_left) == FAST_ECHOES);
	others_end(&o, FAST_ECHOES);
	figure("others were served %d times meanwhile, in %" PRId64 " ms at the longest",
	       o.n_rounds, o.longest / 1000000);
	return 0;
}

TAP_CASE(deadlines_throw_slow_clients_out_and_nobody_else, .procs = "1,2,4", .is_alone = true,
	 .timeout_s = 60)
{
	(void)files_raise(1000);
	struct server *s = server_start(GORO_MS(PATIENCE_MS));
	struct slow_echo slow = {.port = s->port};
	expect_eq(goro_run(slow_echo_main, &slow), 0);
	wait_for(load(&s->n_open) == 0);
	expect_eq(s->n_late, SLOW_ECHOES);
	expect_eq(s->n_reset, 0);
	server_stop(s);
}

/* ---- httpd ---- */

struct httpd {
	pid_t pid;
	int port;
	char folder[64];
};

#define PAGE "<p>a page of some length, of which many answers do not fit into a socket</p>\n"

/* With its requests' time of a second, and two between them. */
static struct httpd httpd_start(const char *connections)
{
#ifdef __SANITIZE_THREAD__
	tap_skip("ThreadSanitizer: the signal that ends httpd comes late, or never");
#endif
	struct httpd h = {.folder = "/tmp/goro-load.XXXXXX"};
	char path[PATH_MAX], line[128];
	int out[2];
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 32);
	require(size > 0);
	path[size] = '\0';
	for (int i = 0; i < 3; i++) /* the program, its suite, "tests" */
		*strrchr(path, '/') = '\0';
	strcat(path, "/examples/httpd");
	if (access(path, X_OK) != 0)
		tap_skip("examples/httpd was not built: its library is not installed");
	require(mkdtemp(h.folder) != NULL);
	snprintf(line, sizeof(line), "%s/index.html", h.folder);
	FILE *page = fopen(line, "we");
	require(page != NULL && fputs(PAGE, page) >= 0 && fclose(page) == 0);
	require_eq(pipe2(out, O_CLOEXEC), 0);
	h.pid = fork();
	require(h.pid >= 0);
	if (h.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		execl(path, "httpd", "-u", "-t", "1", "-i", "2", "-c", connections, "127.0.0.1:0",
		      h.folder, (char *)NULL);
		_exit(126);
	}
	close(out[1]);
	FILE *said = fdopen(out[0], "r");
	require(said != NULL && fgets(line, sizeof(line), said) != NULL);
	require_eq(sscanf(line, "listening on 127.0.0.1:%d", &h.port), 1);
	fclose(said);
	return h;
}

static void httpd_stop(const struct httpd *h)
{
	char path[80];
	int status;
	expect_eq(kill(h->pid, SIGTERM), 0);
	require_eq(waitpid(h->pid, &status, 0), h->pid);
	expect_eq(status, 0);
	snprintf(path, sizeof(path), "%s/index.html", h->folder);
	expect_eq(unlink(path), 0);
	expect_eq(rmdir(h->folder), 0); /* no upload is left of those that failed */
}

enum slow_kind { HEAD, BODY, NOTHING, TAKES_NOTHING, SLOW_KINDS };
enum { SLOW_CLIENTS = 240, FAST_CLIENTS = 10, DRIBBLE_MS = 50 };

static const char get[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
static const char *const beginnings[SLOW_KINDS] = {
	[HEAD] = "GET / HTTP/1.1\r\nHost: x\r\nA: ",
	[BODY] = "PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
	[NOTHING] = "",
	[TAKES_NOTHING] = "",
};

struct slow_clients {
	int port, n_over, n;
	int64_t first_end; /* its time, negative: the largest is the first */
};

/* A byte now and then, until the other side has enough. */
static void dribbles(int fd)
{
	while (goro_write(fd, "a", 1) == 1)
		if (goro_fd_wait(fd, POLLIN, goro_now() + GORO_MS(DRIBBLE_MS)) != -ETIMEDOUT)
			return;
}

/* Asks and asks, and reads no answer. */
static void asks_only(int fd)
{
	char many[sizeof(get) * 100] = "";
	for (int i = 0; i < 100; i++)
		memcpy(many + i * (sizeof(get) - 1), get, sizeof(get) - 1);
	while (goro_write_all(fd, many, 100 * (sizeof(get) - 1)) > 0)
		continue;
}

static void slow_client(struct slow_clients *s, int who)
{
	enum slow_kind kind = who % SLOW_KINDS;
	char data[512];
	int64_t start = goro_now();
	int fd = client_dial(s->port);
	require_ge(fd, 0);
	size_t size = strlen(beginnings[kind]);
	expect_eq(goro_write_all(fd, beginnings[kind], size), size);
	if (kind == HEAD || kind == BODY)
		dribbles(fd);
	if (kind == TAKES_NOTHING)
		asks_only(fd);
	bool has_ended = wait_for_end(fd, data, sizeof(data));
	int64_t took = goro_now() - start;
	keep_most(&s->first_end, -goro_now());
	expect(has_ended);
	if (kind == HEAD || kind == BODY)
		expect_contains(data, "HTTP/1.1 408 ");
	if (kind == NOTHING)
		expect_eq(data[0], '\0');
	expect_ge(took, kind == NOTHING ? GORO_SEC(2) : GORO_SEC(1));
	expect_lt(took, GORO_SEC(SLOW_MAX_S));
	expect_eq(goro_close(fd), 0);
	add(&s->n_over, 1);
}

static void gets_page(int port)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	char data[1024];
	int fd = client_dial(port);
	require_ge(fd, 0);
	expect_eq(goro_write_all(fd, request, sizeof(request) - 1), sizeof(request) - 1);
	expect(wait_for_end(fd, data, sizeof(data)));
	expect_contains(data, "HTTP/1.1 200 OK\r\n");
	expect_contains(data, "\r\n\r\n" PAGE);
	expect_eq(goro_close(fd), 0);
}

static void fast_client(struct others *o)
{
	while (!load(&o->is_enough)) {
		int64_t start = goro_now();
		gets_page(o->port);
		others_done(o, start);
		goro_sleep(GORO_MS(5));
	}
	add(&o->n_over, 1);
}

static int slow_clients_main(void *arg)
{
	struct slow_clients *s = arg;
	struct others o = {.port = s->port};
	for (int i = 0; i < s->n; i++)
		go(slow_client, s, i);
	for (int i = 0; i < FAST_CLIENTS; i++)
		go(fast_client, &o);
	wait_for(load(&s->n_over) == s->n);
	others_end(&o, FAST_CLIENTS);
	figure("others were served %d times meanwhile, in %" PRId64 " ms at the longest",
	       o.n_rounds, o.longest / 1000000);
	return 0;
}

TAP_CASE(httpd_throws_slow_clients_out_and_nobody_else, .procs = "1,4", .is_alone = true,
	 .timeout_s = 60)
{
	struct httpd h = httpd_start("1000");
	struct slow_clients s = {.port = h.port, .n = SLOW_CLIENTS};
	int before = files_of(h.pid);
	expect_eq(goro_run(slow_clients_main, &s), 0);
	wait_for(files_of(h.pid) <= before + 3); /* the poller's, and a file that is kept open */
	httpd_stop(&h);
}

/* As many slow ones as it takes connections: who comes then waits for their end, and no longer. */
static int full_main(void *arg)
{
	struct slow_clients *s = arg;
	for (int i = 0; i < s->n; i++)
		go(slow_client, s, SLOW_KINDS * i + HEAD);
	wait_until_n_parked(s->n, "IO wait");
	int64_t start = goro_now();
	gets_page(s->port);
	int64_t end = goro_now();
	expect_lt(end - start, GORO_SEC(SLOW_MAX_S));
	wait_for(load(&s->n_over) == s->n);
	expect_gt(end, -s->first_end);
	return 0;
}

TAP_CASE(httpd_full_of_slow_clients_comes_to_the_next, .procs = "1,4", .is_alone = true,
	 .timeout_s = 60)
{
	struct httpd h = httpd_start("40");
	struct slow_clients s = {.port = h.port, .n = 40};
	expect_eq(goro_run(full_main, &s), 0);
	httpd_stop(&h);
}

TAP_MAIN
