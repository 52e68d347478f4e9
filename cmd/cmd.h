/*
 * cmd.h - what the files of the command share.
 *
 *   goro.c (what was asked) -> compile.c (with what) -> child.c (one process, its signals)
 *                           -> env.c (what this machine offers)
 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum {
	STATUS_FAILED = 1,      /* the world said no */
	STATUS_USAGE = 2,       /* the command line said nonsense */
	STATUS_NO_COMPILER = 127, /* what a shell says of a command that it does not find */
	STATUS_SIGNAL = 128,    /* plus the signal's number */
};

/* A growing argument vector, always ended by NULL. */
struct args {
	char **at;
	size_t length;
};
void args_add(struct args *args, const char *text);
void args_add_words(struct args *args, const char *text); /* cut at blanks; NULL adds none */
void args_free(struct args *args);

/* ---- goro.c ---- */

__attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...);

/* ---- child.c ---- */

void child_init(void); /* from here on signals wait until a child is there to take them */
/*
 * Run a program and wait for it; signals that goro gets go to it. The wait status, or -errno if the
 * program could not be started.
 */
int child_run(char *const argv[]);
/* Run a program, keep the first line of what it prints on standard output. False: it failed. */
bool child_first_line(char *const argv[], char *line, size_t size);
int child_interrupted(void); /* the last signal that asked us to end, or 0 */
/* End as the child did or as signo demands; core files are the child's, not ours. */
__attribute__((noreturn)) void child_die_of(int signo);

/* ---- compile.c ---- */

struct kit { /* where the library stands */
	char library[PATH_MAX];
	char headers[PATH_MAX];
};
bool kit_find(struct kit *kit);   /* false: kit holds what is missing as "" */
bool source_is_c(const char *name);
bool source_is_cxx(const char *name);
bool program_find(const char *name, char *path, size_t size); /* on PATH; false: nowhere */
/* Compile sources into output. 0, or the exit status to end with; the reason has been printed. */
int compile(char *const *sources, size_t count, const char *output, char *const *extra);

/* ---- env.c ---- */

void env_print(void);
void version_print(void);

#endif
