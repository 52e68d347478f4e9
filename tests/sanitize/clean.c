/*
 * clean.c - a correct program that uses all there is: no sanitizer may have a say.
 *
 * What it allocates it frees, but for what goroutines still hold when main returns: that is in use,
 * and LeakSanitizer must not call it a leak. Each step is a way to use a stack, a record or an
 * argument again, or to free it elsewhere than where it was made.
 */
#include <goro.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static goro_chan *done;

__attribute__((noinline)) static void touch(char *at, int n)
{
	for (int i = 0; i < n; i++)
		at[i] = (char)i;
}

/* ---- stacks that are used again ---- */

static void uses_its_stack(goro_chan *c)
{
	char bytes[256];

	touch(bytes, 256);
	goro_put(c, 1);
	touch(bytes, 256);
}

static void leaves_frames(void *c)
{
	char bytes[256];

	touch(bytes, 256);
	goro_chan_send(c, &(int){1});
	goro_exit();
}

static void stacks(void)
{
	struct goro_attr own = {.stack_size = 64 << 10, .name = "own"};

	for (int i = 0; i < 100; i++) {
		go(uses_its_stack, done);
		go(uses_its_stack, done);
		goro_spawn(leaves_frames, done);
		goro_spawn_attr(&own, leaves_frames, done);
		for (int k = 0; k < 4; k++)
			(void)goro_get(done, int);
	}
}

/* ---- arguments of every size: in the G, and on the heap ---- */

static void sums(void *arg)
{
	const unsigned char *bytes = arg;
	int sum = 0;

	for (int i = 1; i < bytes[0]; i++)
		sum += bytes[i];
	goro_put(done, sum);
}

static void arguments(void)
{
	unsigned char bytes[255];

	for (int round = 0; round < 2; round++)
		for (int size = 1; size < 255; size += 3) {
			memset(bytes, 1, sizeof(bytes));
			bytes[0] = (unsigned char)size;
			goro_spawn_copy(sums, bytes, (size_t)size);
			memset(bytes, 2, sizeof(bytes)); /* the copy is made before the return */
			if (goro_get(done, int) != size - 1)
				abort();
		}
}

/* ---- names, deferred calls, panics that are caught, ids ---- */

static void frees(void *at)
{
	free(at);
}

static void fails(void *arg)
{
	goro_panic("%s", (char *)arg);
}

static void has_everything(int n)
{
	char *text = malloc(16), msg[16];

	strcpy(text, "text");
	goro_defer(frees, text);
	goro_set_name("a name");
	if (n % 2)
		goro_set_name("another");
	if (goro_try(fails, text, msg, sizeof(msg)) || strcmp(msg, text) != 0)
		abort();
	goro_yield();
	goro_put(done, n);
	if (n % 3 == 0)
		goro_exit();
}

static void records(void)
{
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 10; i++)
			go(has_everything, i);
		for (int i = 0; i < 10; i++)
			(void)goro_get(done, int);
	}
}

/* ---- channels that whoever comes last frees; odd sizes; closing ---- */

struct odd {
	char bytes[37];
};

static void last_one_frees(goro_chan *c, goro_chan *back)
{
	struct odd odd;

	goro_chan_recv(c, &odd);
	odd.bytes[3]++;
	goro_chan_send(back, &odd);
	goro_chan_unref(back);
	goro_chan_unref(c);
}

static void channels(void)
{
	for (int i = 0; i < 80; i++) {
		goro_chan *c = goro_chan_of(struct odd, i % 3);
		goro_chan *back = goro_chan_of(struct odd, i % 2);
		struct odd odd = {{0}};

		goro_chan_ref(c);
		goro_chan_ref(back);
		go(last_one_frees, c, back);
		goro_chan_send(c, &odd);
		goro_chan_recv(back, &odd);
		if (odd.bytes[3] != 1)
			abort();
		goro_chan_unref(c);
		goro_chan_unref(back);
	}
}

/* ---- a channel that its sender frees while the one that it woke has not yet run ---- */

struct two {
	goro_chan *gone, *other;
};

static void takes(struct two c, bool is_select)
{
	int *value = NULL, *none = NULL;
	goro_case cases[] = {{.chan = c.gone, .elem = &value}, {.chan = c.other, .elem = &none}};

	if (is_select)
		goro_select(cases, 2, GORO_FOREVER);
	else
		goro_chan_recv(c.gone, &value);
	if (*value != 5)
		abort();
	*value = 6;
	goro_put(c.other, value);
}

static void gone_meanwhile(void)
{
	for (int i = 0; i < 40; i++) {
		struct two c = {goro_chan_of(int *, 0), goro_chan_of(int *, 0)};
		go(takes, c, i % 2);
		goro_sleep(GORO_MS(1));
		int *value = malloc(sizeof(*value));
		*value = 5;
		goro_put(c.gone, value);
		goro_chan_unref(c.gone);
		value = goro_get(c.other, int *);
		if (*value != 6)
			abort();
		free(value);
		goro_chan_unref(c.other);
	}
}

static void until_closed(goro_chan *c)
{
	struct odd odd;

	while (goro_chan_recv(c, &odd))
		odd.bytes[0]++;
	goro_put(done, 1);
}

static void closing(void)
{
	for (int i = 0; i < 50; i++) {
		goro_chan *c = goro_chan_of(struct odd, 2);
		for (int k = 0; k < 4; k++)
			go(until_closed, c);
		for (int k = 0; k < 20; k++)
			goro_chan_send(c, &(struct odd){{0}});
		goro_chan_close(c);
		for (int k = 0; k < 4; k++)
			(void)goro_get(done, int);
		goro_chan_unref(c);
	}
}

/* ---- sleeping, deadlines, the number of Ps ---- */

static void sleeps(int n)
{
	goro_chan *never = goro_chan_of(int, 0);
	int value;

	goro_sleep(GORO_US(100) * (n % 7));
	if (goro_chan_recv_until(never, &value, goro_now() + GORO_US(50)) != -ETIMEDOUT)
		abort();
	goro_chan_unref(never);
	goro_put(done, 1);
}

static void timers(void)
{
	int n = goro_maxprocs(0);

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 80; i++)
			go(sleeps, i);
		goro_maxprocs(round % 2 ? n : n + 1);
		for (int i = 0; i < 80; i++)
			(void)goro_get(done, int);
	}
}

/* ---- threads: plain ones, and goroutines with one of their own ---- */

static void answers(int n)
{
	goro_lock_thread();
	goro_put(done, n);
	if (n % 2)
		goro_unlock_thread();
}

static void *from_outside(void *arg)
{
	char bytes[100];

	touch(bytes, 100);
	for (int i = 0; i < 20; i++) {
		goro_spawn_copy(sums, &(unsigned char[5]){5, 1, 1, 1, 1}, 5);
		goro_put(done, 1);
	}
	return arg;
}

static void threads(void)
{
	pthread_t thread;

	for (int i = 0; i < 20; i++)
		go(answers, i);
	if (pthread_create(&thread, NULL, from_outside, NULL))
		abort();
	for (int i = 0; i < 60; i++)
		(void)goro_get(done, int);
	pthread_join(thread, NULL);
}

/* ---- sockets: whoever asks the poller did not make it ---- */

static void echoes(int fd)
{
	char bytes[64];
	ssize_t n;

	while ((n = goro_read(fd, bytes, sizeof(bytes))) > 0)
		if (goro_write_all(fd, bytes, (size_t)n) != n)
			abort();
	goro_close(fd);
	goro_put(done, 1);
}

static void accepts(int listener)
{
	int fd;

	while ((fd = goro_accept(listener, NULL, NULL)) >= 0)
		go(echoes, fd);
	goro_put(done, 1);
}

static void asks(const char *address, int n)
{
	int fd = goro_dial("unix", address, GORO_FOREVER);
	char bytes[64] = {0};

	for (int i = 0; i < 50; i++) {
		if (goro_write_all(fd, bytes, sizeof(bytes)) != sizeof(bytes) ||
		    goro_read_full(fd, bytes, sizeof(bytes)) != sizeof(bytes))
			abort();
		goro_sleep(GORO_US(50) * (i % (n + 1)));
	}
	goro_close(fd);
	goro_put(done, 1);
}

static void sockets(void)
{
	char address[64];

	snprintf(address, sizeof(address), "@goro-clean-%d", (int)getpid());
	int listener = goro_listen("unix", address);
	go(accepts, listener);
	for (int i = 0; i < 8; i++)
		go(asks, address, i);
	for (int i = 0; i < 16; i++)
		(void)goro_get(done, int);
	goro_close(listener);
	(void)goro_get(done, int);
}

/* ---- what goroutines hold when main returns is in use ---- */

static void holds(goro_chan *never)
{
	char *volatile mine = malloc(100);

	touch(mine, 100);
	goro_put(done, 1);
	(void)goro_get(never, int);
	free(mine);
}

static void has_not_run(void *arg)
{
	free(*(void **)arg);
}

/* ---- a value that nobody receives, in a channel that its sender does not free ---- */

static void sends_and_leaves(goro_chan *c)
{
	struct odd odd = {{0}};

	goro_chan_send(c, &odd);
	goro_chan_unref(c);
}

static void unread(void)
{
	for (int i = 0; i < 60; i++) {
		goro_chan *c = goro_chan_of(struct odd, 2);
		goro_chan_ref(c);
		go(sends_and_leaves, c);
		goro_yield();
		goro_chan_unref(c);
	}
}

static void main_job(void)
{
	done = goro_chan_of(int, 0);
	stacks();
	arguments();
	records();
	channels();
	gone_meanwhile();
	closing();
	unread();
	timers();
	threads();
	sockets();
}

#ifdef MAIN
/* Several runs in one process: each leaves goroutines behind, whose stacks the next one uses. */
static int run(void *arg)
{
	goro_chan *never = goro_chan_of(int, 0);

	main_job();
	for (int i = 0; i < 10; i++)
		goro_spawn(leaves_frames, never);
	goro_yield();
	goro_sleep(GORO_MS(1));
	return *(int *)arg;
}

int main(void)
{
	for (int i = 0; i < 3; i++)
		if (goro_run(run, &i) != i)
			return 1;
	puts("clean");
	return 0;
}
#else
int goro_main(int argc, char **argv)
{
	goro_chan *never = goro_chan_of(int, 0);

	(void)argc;
	(void)argv;
	main_job();
	for (int i = 0; i < 20; i++)
		go(holds, never);
	for (int i = 0; i < 20; i++)
		(void)goro_get(done, int);
	goro_spawn_copy(has_not_run, &(void *){malloc(100)}, sizeof(void *));
	dprintf(1, "clean\n");
	return 0;
}
#endif
