/*
 * goro.c - the command: compile and run a program, compile it, say what this machine offers.
 *
 *   goro run prog.c [args...] -> compile() into its own folder -> child_run() -> the folder goes
 *   goro build prog.c -o prog -> compile()
 *   goro env, goro version    -> env.c
 *
 * CM1  The status of "run" is the program's; a program that dies of a signal makes us die of it.
 * CM2  The folder with the program is gone when we end, however we or it end, but for SIGKILL.
 * CM3  Nothing goes through a shell: arguments reach the program as they were given.
 *
 * We do not unlink the program once it runs: debuggers and symbolizers want to find its file.
 *
 * Locking: none. Go: cmd/go run, build, env, version.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"

static const char usage_text[] =
	"usage:\n"
	"  goro run prog.c... [--] [args...]         compile, run, pass the exit status on\n"
	"  goro build prog.c... [-o prog] [-- flags...]   compile; flags go to the compiler\n"
	"  goro env                                  what this machine offers, and why\n"
	"  goro version\n"
	"  goro help\n"
	"\n"
	"Sources end in .c, or in .cc, .cpp, .cxx, .C for C++. The arguments of a program that\n"
	"itself takes names of sources come after \"--\".\n"
	"The compiler gets -std=gnu11 (C++: -std=gnu++17) -O2 -g -pthread, clang -fblocks too,\n"
	"then what the environment says, then what comes after \"--\"; the last of two wins:\n"
	"  goro build prog.c -o prog -- -O3 -lm\n"
	"  CFLAGS=-O3 LDFLAGS=-lm goro run prog.c\n"
	"The environment may name the compiler (CC, CXX), its flags (CFLAGS, CXXFLAGS, LDFLAGS;\n"
	"cut at blanks) and the folder for the program while it runs (TMPDIR).\n";

void complain(const char *fmt, ...)
{
	va_list list;

	fflush(stdout);
	fputs("goro: ", stderr);
	va_start(list, fmt);
	vfprintf(stderr, fmt, list);
	va_end(list);
	fputc('\n', stderr);
}

static int usage_error(const char *what, const char *which)
{
	complain("%s%s%s%s; \"goro help\" says how", what, which ? " '" : "", which ? which : "",
		 which ? "'" : "");
	return STATUS_USAGE;
}

/* Most likely meant for the compiler. */
static int option_error(const char *command, const char *option)
{
	bool is_build = strcmp(command, "build") == 0;

	complain("%s has no option '%s'; flags for the compiler %s; \"goro help\" says how",
		 command, option,
		 is_build ? "come after \"--\", as in: goro build prog.c -- -O3"
			  : "come in CFLAGS and LDFLAGS, as in: CFLAGS=-O3 goro run prog.c");
	return STATUS_USAGE;
}

static bool is_source(const char *name)
{
	return name[0] != '-' && (source_is_c(name) || source_is_cxx(name));
}

/* 0, or the exit status; the message names the file, which the compiler's does not always. */
static int sources_check(char **sources, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct stat st;
		if (source_is_cxx(sources[i]) != source_is_cxx(sources[0]))
			return usage_error("C and C++ sources in one command, as", sources[i]);
		int file = open(sources[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		int error = file < 0 ? errno : 0;
		if (file >= 0 && fstat(file, &st) == 0 && S_ISDIR(st.st_mode))
			error = EISDIR;
		if (file >= 0)
			close(file);
		if (error) {
			complain("cannot read %s: %s", sources[i], strerror(error));
			return STATUS_FAILED;
		}
	}
	return 0;
}

/* The source's name without folder and suffix. */
static void program_name(const char *source, char *name, size_t size)
{
	const char *slash = strrchr(source, '/');

	snprintf(name, size, "%s", slash ? slash + 1 : source);
	*strrchr(name, '.') = 0;
}

static bool folder_make(char *folder, size_t size)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp || !*tmp)
		tmp = "/tmp";
	int length = snprintf(folder, size, "%s/goro-XXXXXX", tmp);
	if (length > 0 && (size_t)length < size && mkdtemp(folder))
		return true;
	complain("cannot make a folder in %s: %s", tmp, strerror(errno));
	return false;
}

/* The folder holds the program and what the compiler leaves beside it; no folders. */
static void folder_remove(const char *folder)
{
	DIR *dir = opendir(folder);

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(folder);
}

static int run_program(char *path, int argc, char **argv)
{
	struct args args = {NULL, 0};

	args_add(&args, path);
	for (int i = 0; i < argc; i++)
		args_add(&args, argv[i]);
	int status = child_run(args.at);
	args_free(&args);
	if (status < 0)
		complain("cannot run %s: %s", path, strerror(-status));
	return status;
}

static int command_run(int argc, char **argv)
{
	char folder[PATH_MAX], path[PATH_MAX + NAME_MAX + 2], name[PATH_MAX];
	int count = 0;

	while (count < argc && is_source(argv[count]))
		count++;
	if (argc == 0)
		return usage_error("run what? A source file is missing", NULL);
	if (count == 0 && argv[0][0] == '-')
		return option_error("run", argv[0]);
	if (count == 0)
		return usage_error("not the name of a C or C++ source:", argv[0]);
	int status = sources_check(argv, (size_t)count);
	if (status)
		return status;
	if (!folder_make(folder, sizeof(folder)))
		return STATUS_FAILED;
	program_name(argv[0], name, sizeof(name));
	snprintf(path, sizeof(path), "%s/%.*s", folder, NAME_MAX, name);
	status = compile(argv, (size_t)count, path, NULL);
	if (status) {
		folder_remove(folder);
		if (child_interrupted())
			child_die_of(child_interrupted());
		return status;
	}
	int first = count < argc && strcmp(argv[count], "--") == 0 ? count + 1 : count;
	status = run_program(path, argc - first, argv + first);
	folder_remove(folder);
	if (status < 0)
		return STATUS_FAILED;
	if (WIFSIGNALED(status))
		child_die_of(WTERMSIG(status));
	return WEXITSTATUS(status);
}

static int command_build(int argc, char **argv)
{
	char name[PATH_MAX];
	const char *output = NULL;
	struct args sources = {NULL, 0};
	int i = 0;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
			output = argv[++i];
		else if (strcmp(argv[i], "-o") == 0)
			return usage_error("-o wants the name of the program", NULL);
		else if (argv[i][0] == '-')
			return option_error("build", argv[i]);
		else if (!is_source(argv[i]))
			return usage_error("not the name of a C or C++ source:", argv[i]);
		else
			args_add(&sources, argv[i]);
	}
	if (sources.length == 0)
		return usage_error("build what? A source file is missing", NULL);
	int status = sources_check(sources.at, sources.length);
	if (status)
		return status;
	if (!output) {
		program_name(sources.at[0], name, sizeof(name));
		output = name;
	}
	status = compile(sources.at, sources.length, output, i < argc ? argv + i + 1 : NULL);
	if (child_interrupted())
		child_die_of(child_interrupted());
	args_free(&sources);
	return status;
}

static int printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	complain("cannot write: %s", strerror(errno));
	return STATUS_FAILED;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	child_init();
	if (argc > 2 && (strcmp(argv[2], "-h") == 0 || strcmp(argv[2], "--help") == 0))
		command = "help";
	if (strcmp(command, "run") == 0)
		return command_run(argc - 2, argv + 2);
	if (strcmp(command, "build") == 0)
		return command_build(argc - 2, argv + 2);
	if (strcmp(command, "help") == 0 || strcmp(command, "-h") == 0 ||
	    strcmp(command, "--help") == 0) {
		fputs(usage_text, stdout);
		return printed();
	}
	bool is_env = strcmp(command, "env") == 0;
	if (is_env || strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
		if (argc > 2)
			return usage_error("no argument is wanted, but there is", argv[2]);
		if (is_env)
			env_print();
		else
			version_print();
		return printed();
	}
	if (!*command) {
		fputs(usage_text, stderr);
		return STATUS_USAGE;
	}
	return usage_error("no command", command);
}
