/*
 * compile.c - from source files to a program: which compiler, which flags, which library.
 *
 *   goro run, goro build -> [compile] -> CC flags sources libgoro.a -> child_run
 *
 * CO1  CC and CXX name the compiler, else the first of cc, gcc, clang that stands on PATH.
 * CO2  CFLAGS (CXXFLAGS for C++) come after ours, so that they win; LDFLAGS come last but for the
 *      words after "--" of goro build.
 * CO3  The library is looked for beside the command (a build tree), then where it is installed.
 *
 * Locking: none. Go: cmd/go/internal/work.
 */
#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"

#ifndef GORO_SANITIZE_FLAGS
#define GORO_SANITIZE_FLAGS "" /* what a program needs that links an instrumented library */
#endif

void args_add(struct args *args, const char *text)
{
	char **grown = realloc(args->at, (args->length + 2) * sizeof(*grown));
	char *copy = strdup(text);

	if (!grown || !copy) {
		complain("out of memory");
		exit(STATUS_FAILED);
	}
	args->at = grown;
	args->at[args->length++] = copy;
	args->at[args->length] = NULL;
}

void args_add_words(struct args *args, const char *text)
{
	while (text && *text) {
		size_t blanks = strspn(text, " \t\n");
		size_t length = strcspn(text + blanks, " \t\n");
		char *word = strndup(text + blanks, length);
		if (word && length)
			args_add(args, word);
		free(word);
		text += blanks + length;
	}
}

void args_free(struct args *args)
{
	for (size_t i = 0; i < args->length; i++)
		free(args->at[i]);
	free(args->at);
	*args = (struct args){NULL, 0};
}

static bool ends_in_one_of(const char *name, const char *const *suffixes)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	const char *dot = strrchr(base, '.');

	for (; dot && dot != base && *suffixes; suffixes++)
		if (strcmp(dot, *suffixes) == 0)
			return true;
	return false;
}

bool source_is_c(const char *name)
{
	static const char *const suffixes[] = {".c", NULL};

	return ends_in_one_of(name, suffixes);
}

bool source_is_cxx(const char *name)
{
	static const char *const suffixes[] = {".cc", ".cpp", ".cxx", ".C", NULL};

	return ends_in_one_of(name, suffixes);
}

bool program_find(const char *name, char *path, size_t size)
{
	const char *list = getenv("PATH");

	if (strchr(name, '/')) {
		snprintf(path, size, "%s", name);
		return access(path, X_OK) == 0;
	}
	if (!list)
		list = "/usr/local/bin:/usr/bin:/bin";
	for (;;) {
		size_t length = strcspn(list, ":");
		struct stat st;
		snprintf(path, size, "%.*s%s%s", (int)length, list, length ? "/" : "", name);
		if (access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
			return true;
		if (!list[length])
			return false;
		list += length + 1;
	}
}

/* The first file that a pattern relative to the command's folder names. */
static bool beside_command(const char *folder, const char *pattern, char *found)
{
	char path[PATH_MAX];
	size_t at = 0;
	glob_t matches;

	/* A folder may be called [x]; only our own part is a pattern. */
	for (const char *c = folder; *c && at + 2 < sizeof(path); c++) {
		if (strchr("*?[]\\", *c))
			path[at++] = '\\';
		path[at++] = *c;
	}
	int rest = snprintf(path + at, sizeof(path) - at, "/%s", pattern);
	if (rest < 0 || (size_t)rest >= sizeof(path) - at)
		return false;
	bool is_found = glob(path, 0, NULL, &matches) == 0 && realpath(matches.gl_pathv[0], found);
	globfree(&matches);
	return is_found;
}

bool kit_find(struct kit *kit)
{
	static const char *const libraries[] = {
		"libgoro.a", "../lib/libgoro.a", "../lib64/libgoro.a", "../lib/*/libgoro.a", NULL};
	static const char *const headers[] = {"../include/goro.h", "../../include/goro.h", NULL};
	char folder[PATH_MAX] = "";

	kit->library[0] = kit->headers[0] = 0;
	if (!realpath("/proc/self/exe", folder))
		return false;
	*strrchr(folder, '/') = 0;
	for (int i = 0; libraries[i]; i++)
		if (beside_command(folder, libraries[i], kit->library))
			break;
		else
			kit->library[0] = 0;
	for (int i = 0; headers[i]; i++)
		if (beside_command(folder, headers[i], kit->headers)) {
			*strrchr(kit->headers, '/') = 0;
			break;
		} else {
			kit->headers[0] = 0;
		}
	return kit->library[0] && kit->headers[0];
}

/* clang wants -fblocks; a compiler whose name tells nothing is asked. */
static bool is_clang(const struct args *compiler)
{
	char path[PATH_MAX], real[PATH_MAX], line[256];
	struct args ask = {NULL, 0};

	if (program_find(compiler->at[0], path, sizeof(path)) && realpath(path, real)) {
		const char *base = strrchr(real, '/') + 1;
		if (strstr(base, "clang"))
			return true;
		if (strstr(base, "gcc") || strstr(base, "g++"))
			return false;
	}
	for (size_t i = 0; i < compiler->length; i++)
		args_add(&ask, compiler->at[i]);
	args_add(&ask, "--version");
	bool is_it = child_first_line(ask.at, line, sizeof(line)) && strstr(line, "clang");
	args_free(&ask);
	return is_it;
}

static bool compiler_choose(struct args *args, bool is_cxx)
{
	static const char *const c[] = {"cc", "gcc", "clang", NULL};
	static const char *const cxx[] = {"c++", "g++", "clang++", NULL};
	const char *named = getenv(is_cxx ? "CXX" : "CC");
	char path[PATH_MAX];

	args_add_words(args, named);
	if (args->length)
		return true;
	for (const char *const *name = is_cxx ? cxx : c; *name; name++)
		if (program_find(*name, path, sizeof(path))) {
			args_add(args, *name);
			return true;
		}
	complain("no %s compiler on PATH; install gcc or clang, or set %s",
		 is_cxx ? "C++" : "C", is_cxx ? "CXX" : "CC");
	return false;
}

static int compile_status(const char *compiler, int status)
{
	if (status < 0) {
		complain("cannot run the compiler '%s': %s", compiler, strerror(-status));
		return STATUS_NO_COMPILER;
	}
	if (child_interrupted())
		return STATUS_SIGNAL + child_interrupted();
	if (WIFSIGNALED(status)) {
		complain("the compiler '%s' died of signal %d (%s)", compiler, WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
		return STATUS_SIGNAL + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}

int compile(char *const *sources, size_t count, const char *output, char *const *extra)
{
	bool is_cxx = source_is_cxx(sources[0]);
	struct args args = {NULL, 0};
	struct kit kit;

	if (!kit_find(&kit)) {
		complain("no %s near the folder of this command; run make, or make install",
			 kit.library[0] ? "goro.h" : "libgoro.a");
		return STATUS_FAILED;
	}
	if (!compiler_choose(&args, is_cxx))
		return STATUS_NO_COMPILER;
	if (is_clang(&args))
		args_add(&args, "-fblocks");
	args_add(&args, is_cxx ? "-std=gnu++17" : "-std=gnu11");
	args_add_words(&args, "-O2 -g -pthread " GORO_SANITIZE_FLAGS);
	args_add(&args, "-I");
	args_add(&args, kit.headers);
	args_add_words(&args, getenv(is_cxx ? "CXXFLAGS" : "CFLAGS"));
	for (size_t i = 0; i < count; i++)
		args_add(&args, sources[i]);
	args_add(&args, "-o");
	args_add(&args, output);
	args_add(&args, kit.library);
	args_add_words(&args, getenv("LDFLAGS"));
	for (; extra && *extra; extra++)
		args_add(&args, *extra);
	int status = compile_status(args.at[0], child_run(args.at));
	args_free(&args);
	return status;
}
