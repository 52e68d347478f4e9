/*
 * block.c - SYS-01: a goroutine that blocks its thread does not hold the processor.
 *
 *   usleep, read, poll, flock, waitpid, system, pthread_mutex_lock, fsync, getaddrinfo ...
 *        announced by goro_blocking, or not at all -> main and a ticker go on
 *
 * Each call must return what it returns in a plain thread: never EINTR. sys.c has what belongs to
 * the announcing calls themselves.
 *
 * Go: runtime/proc.go: entersyscall, retake; there an unmarked call of C holds its P for 20 us to
 * 10 ms, too.
 */
#include "sys_tap.h"

#include <netdb.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>

#define wrong_if(b, c) add(&(b)->n_wrong, (c) ? 1 : 0)

/* ---- what blocks ---- */

static void sleeps_200_ms(struct beside *b)
{
	int64_t start = tap_now();
	wrong_if(b, usleep(200000) != 0);
	wrong_if(b, tap_now() - start < GORO_MS(200));
}

static void naps_many_times(struct beside *b)
{
	for (int i = 0; i < 20; i++) {
		struct timespec ts = {.tv_nsec = 7000000};
		wrong_if(b, nanosleep(&ts, NULL) != 0);
	}
}

static void writes_later(struct beside *b)
{
	goro_sleep(GORO_MS(100));
	wrong_if(b, write(b->fd[1], "x", 1) != 1);
}

static void reads_a_pipe(struct beside *b)
{
	char byte = 0;
	require(pipe2(b->fd, O_CLOEXEC) == 0);
	go(writes_later, b);
	wrong_if(b, read(b->fd[0], &byte, 1) != 1);
	wrong_if(b, byte != 'x');
	close(b->fd[0]);
	close(b->fd[1]);
}

static void polls_a_pipe(struct beside *b)
{
	require(pipe2(b->fd, O_CLOEXEC) == 0);
	struct pollfd p = {.fd = b->fd[0], .events = POLLIN};
	wrong_if(b, poll(&p, 1, 50) != 0);
	go(writes_later, b);
	wrong_if(b, poll(&p, 1, -1) != 1);
	close(b->fd[0]);
	close(b->fd[1]);
}

static void selects_and_waits_for_epoll(struct beside *b)
{
	struct timeval tv = {.tv_usec = 60000};
	struct epoll_event event;
	int fd = epoll_create1(EPOLL_CLOEXEC);
	wrong_if(b, select(0, NULL, NULL, NULL, &tv) != 0);
	wrong_if(b, epoll_wait(fd, &event, 1, 60) != 0);
	close(fd);
}

static void unlocks_later(struct beside *b)
{
	goro_sleep(GORO_MS(100));
	wrong_if(b, flock(b->fd[0], LOCK_UN) != 0);
}

static void locks_a_file(struct beside *b)
{
	char path[] = "/tmp/goro-block-XXXXXX";
	b->fd[0] = mkstemp(path);
	require(b->fd[0] >= 0);
	b->fd[1] = open(path, O_RDWR | O_CLOEXEC);
	unlink(path);
	require(b->fd[1] >= 0 && flock(b->fd[0], LOCK_EX) == 0);
	go(unlocks_later, b);
	wrong_if(b, flock(b->fd[1], LOCK_EX) != 0);
	close(b->fd[0]);
	close(b->fd[1]);
}

static void waits_for_a_child(struct beside *b)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		tap_pause(GORO_MS(100));
		_exit(3);
	}
	require(pid > 0);
	wrong_if(b, waitpid(pid, &status, 0) != pid);
	wrong_if(b, !WIFEXITED(status) || WEXITSTATUS(status) != 3);
}

static void calls_the_shell(struct beside *b)
{
	int status = system("sleep 0.1; exit 4");
	wrong_if(b, !WIFEXITED(status) || WEXITSTATUS(status) != 4);
}

struct held {
	pthread_mutex_t mutex;
	int is_held;
};

static void *holds_for_100_ms(void *arg)
{
	struct held *h = arg;
	pthread_mutex_lock(&h->mutex);
	store(&h->is_held, 1);
	tap_pause(GORO_MS(100));
	pthread_mutex_unlock(&h->mutex);
	return NULL;
}

static void locks_what_a_thread_holds(struct beside *b)
{
	struct held h = {.mutex = PTHREAD_MUTEX_INITIALIZER};
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, holds_for_100_ms, &h), 0);
	while (!load(&h.is_held))
		tap_pause(100000);
	wrong_if(b, pthread_mutex_lock(&h.mutex) != 0);
	pthread_mutex_unlock(&h.mutex);
	wrong_if(b, pthread_join(thread, NULL) != 0);
}

struct condition {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	sem_t sem;
	bool is_set;
};

static void signals_later(struct condition *c)
{
	goro_sleep(GORO_MS(60));
	pthread_mutex_lock(&c->mutex);
	c->is_set = true;
	pthread_cond_signal(&c->cond);
	pthread_mutex_unlock(&c->mutex);
	goro_sleep(GORO_MS(60));
	sem_post(&c->sem);
}

static void waits_for_another_goroutine(struct beside *b)
{
	struct condition c = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	sem_init(&c.sem, 0, 0);
	go(signals_later, &c);
	pthread_mutex_lock(&c.mutex);
	while (!c.is_set)
		wrong_if(b, pthread_cond_wait(&c.cond, &c.mutex) != 0);
	pthread_mutex_unlock(&c.mutex);
	wrong_if(b, sem_wait(&c.sem) != 0);
}

static void writes_to_disk(struct beside *b)
{
	static char block[65536];
	char path[] = "/tmp/goro-block-XXXXXX";
	int fd = mkstemp(path);
	require(fd >= 0);
	unlink(path);
	for (int i = 0; i < 20; i++) {
		wrong_if(b, write(fd, block, sizeof(block)) != (ssize_t)sizeof(block));
		wrong_if(b, fsync(fd) != 0);
	}
	close(fd);
}

static void resolves_names(struct beside *b)
{
	for (int i = 0; i < 50; i++) {
		struct addrinfo *found = NULL;
		int error = getaddrinfo("localhost", "80", NULL, &found);
		wrong_if(b, error != 0 || found == NULL);
		if (error == 0)
			freeaddrinfo(found);
	}
}

static const struct {
	void (*fn)(struct beside *);
	const char *name;
} calls[] = {
	{sleeps_200_ms, "usleep"},
	{naps_many_times, "nanosleep"},
	{reads_a_pipe, "read"},
	{polls_a_pipe, "poll"},
	{selects_and_waits_for_epoll, "select, epoll_wait"},
	{locks_a_file, "flock"},
	{waits_for_a_child, "waitpid"},
	{calls_the_shell, "system"},
	{locks_what_a_thread_holds, "pthread_mutex_lock"},
	{waits_for_another_goroutine, "pthread_cond_wait, sem_wait"},
	{writes_to_disk, "fsync"},
	{resolves_names, "getaddrinfo"},
};

static void try_all(bool is_announced)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		expect_others_go_on(
			(struct beside){.fn = calls[i].fn, .is_announced = is_announced},
			calls[i].name);
}

/* ---- SYS-01 ---- */

/* The first figure of the case: 150 ticks in 200 ms. */
GORO_CASE(announced_sleep_leaves_150_of_200_ticks_to_others, .id = "SYS-01", .is_alone = true)
{
	struct beside b = {.fn = sleeps_200_ms, .is_announced = true};
	expect_others_go_on(b, "usleep");
}

GORO_CASE(unannounced_sleep_leaves_150_of_200_ticks_to_others, .id = "SYS-01", .is_alone = true)
{
	struct beside b = {.fn = sleeps_200_ms};
	expect_others_go_on(b, "usleep");
}

GORO_CASE(announced_calls_let_others_go_on, .id = "SYS-01", .is_idle = true, .timeout_s = 60)
{
	try_all(true);
}

GORO_CASE(unannounced_calls_let_others_go_on, .id = "SYS-01", .is_idle = true, .timeout_s = 60)
{
	try_all(false);
}

GORO_CHILD(all_calls_unannounced)
{
	try_all(false);
	try_all(true);
	if (tap_failures > 0)
		exit(1);
}

/* The fences are then real ones on both sides. */
TAP_CASE(calls_let_others_go_on_without_membarrier, .id = "SYS-01", .is_idle = true,
	 .timeout_s = 90)
{
	struct tap_child c;
	tap_child(&c, "all_calls_unannounced", "GORODEBUG=membarrier=0");
	expect_child(&c, 0, "");
	expect_str(c.err, "");
}

/* ---- many at once ---- */

struct crowd {
	int fd[2], n_in, n_out, n_wrong;
	int64_t id_sum;
};

static void reads_one(struct crowd *c)
{
	char byte;
	uint64_t id = goro_id();
	add(&c->n_in, 1);
	int64_t n = read(c->fd[0], &byte, 1);
	add(&c->n_wrong, n != 1 || goro_id() != id);
	goro_yield();
	add(&c->n_wrong, goro_id() != id);
	add(&c->n_out, 1);
}

/* Each comes back without a P, and queues. */
GORO_CASE(many_blocked_in_unannounced_reads_all_come_back, .id = "SYS-01", .is_race = true)
{
	enum { N = 40 };
	struct crowd c = {0};
	static char bytes[N];
	require(pipe2(c.fd, O_CLOEXEC) == 0);
	for (int i = 0; i < N; i++)
		go(reads_one, &c);
	wait_for(load(&c.n_in) == N);
	require(write(c.fd[1], bytes, N) == N);
	wait_for(load(&c.n_out) == N && goro_count() == 1);
	expect_eq(c.n_wrong, 0);
}


struct shared {
	pthread_mutex_t mutex;
	int64_t plain, rounds;
	int n_ended;
};

static void adds_under_the_lock(struct shared *s)
{
	for (int64_t i = 0; i < s->rounds; i++) {
		pthread_mutex_lock(&s->mutex);
		int64_t seen = s->plain;
		if (i % 50 == 0)
			usleep(200); /* others wait for the lock meanwhile, each with its thread */
		s->plain = seen + 1;
		pthread_mutex_unlock(&s->mutex);
		if (i % 10 == 0)
			goro_yield();
	}
	add(&s->n_ended, 1);
}

GORO_CASE(goroutines_that_share_a_pthread_mutex_get_on, .id = "SYS-01", .is_race = true)
{
	struct shared s = {.mutex = PTHREAD_MUTEX_INITIALIZER, .rounds = 1000 / TAP_SLOWER};
	for (int i = 0; i < 20; i++)
		go(adds_under_the_lock, &s);
	wait_for(load(&s.n_ended) == 20);
	expect_eq(s.plain, 20 * s.rounds);
}

TAP_MAIN
