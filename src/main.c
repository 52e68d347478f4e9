/*
 * main.c - main() for programs that write goro_main(); a member of the archive of its own, so that
 * a program with its own main() never pulls it in.
 *
 *   libc -> [main] -> goro_run -> goro_main -> exit
 *
 * MA1  The process ends as soon as goro_main has returned and what it deferred has run: no other
 *      goroutine is waited for.
 *
 * MA2  But for a panic or a fatal error that is under way then: its report ends the process. And
 *      not at all when one of those deferred calls leaves by goro_exit: the others go on.
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
};

static int run_main(void *arg)
{
	struct arguments *a = arg;

	return goro_main(a->argc, a->argv);
}

int main(int argc, char **argv)
{
	struct arguments a = {.argc = argc, .argv = argv};
	int error = goro_run_exit_(run_main, &a);
	const char *why = error != -ENOMEM ? strerror(-error)
					    : "no memory for its stacks (ulimit -v), or no thread "
					      "(ulimit -u); \"goro env\" shows the limits";
	fprintf(stderr, "goro: the runtime could not start: %s\n", why);
	return 2;
}
