/*
 * wordcount.c - a whole program: examples/wordcount on a folder, from its start to its end.
 *
 *   usage: wordcount PROGRAM FOLDER
 *
 * The program runs as a process of its own with the same number of Ps. One operation is one run.
 */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "bench.h"

extern char **environ;

int goro_main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s PROGRAM FOLDER\n", argv[0]);
		return 2;
	}

	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);

	int64_t start = goro_now();
	pid_t pid;
	int status = 0;
	int error = posix_spawn(&pid, argv[1], &actions, NULL, argv + 1, environ);
	if (error != 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "%s: it does not run, or fails\n", argv[1]);
		return 1;
	}
	bench_ns("Wordcount", 1, start, goro_now());
	return 0;
}
