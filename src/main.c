/*
 * main.c - main() for programs that write goro_main(); a member of the archive of its own, so that
 * a program with its own main() never pulls it in.
 *
 *   libc -> [main] -> goro_run -> goro_main -> exit
 *
 * MA1  The process ends as soon as goro_main has returned and what it deferred has run: no other
 *      goroutine is waited for.
 *
 * MA2  But for a panic or a fatal error that is under way then: its report ends the process.
 *
 * Locking: none. Go: main in runtime/proc.go.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "goro.h"

struct arguments {
	int argc;
	char **argv;
	int status;
	bool has_returned;
};

/* Deferred first, so it runs last, after those of goro_main. Not when that panics or exits. */
static void leave(void *arg)
{
	struct arguments *a = arg;

	if (a->has_returned)
		goro_leave_(a->status);
}

static int run_main(void *arg)
{
	struct arguments *a = arg;

	goro_defer(leave, a);
	a->status = goro_main(a->argc, a->argv);
	a->has_returned = true;
	return a->status;
}

int main(int argc, char **argv)
{
	struct arguments a = {.argc = argc, .argv = argv};
	int error = goro_run(run_main, &a);

	/* Only when it could not start: goro_main's return ends the process in leave(). */
	const char *why = error != -ENOMEM ? strerror(-error)
					    : "no memory for its stacks (ulimit -v), or no thread "
					      "(ulimit -u); \"goro env\" shows the limits";
	fprintf(stderr, "goro: the runtime could not start: %s\n", why);
	return 2;
}
