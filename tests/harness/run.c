/*
 * run.c - runs test programs: a process for each case, in parallel, with a kill timeout.
 *
 *   run [-j jobs] [-p 1,2,4,8] [-s seconds] [-t scale] [-a] [-v] [-1] program [name=value] ...
 *
 *   program --list -> cases -> one job for each case and number of Ps -> those that work, as many
 *   at a time as there are CPUs, then those that mostly sleep, many at a time, then those that want
 *   to be alone -> what failed, its output, how to run it again -> the counts
 *
 * R1  A job is a process group of its own; nothing of it is left when its result is counted.
 * R2  A job that is over its time gets SIGQUIT, so that the runtime shows its goroutines, and
 *     three seconds later SIGKILL.
 * R3  Exit status 0 of a case is a pass, 77 a skip, anything else a failure.
 * R4  The last line is "N passed, N failed, N skipped"; the status is 1 when N failed is not 0
 *     or nothing ran.
 * R5  A line of a job's output that begins with "#: " is a figure: shown when it passes, too.
 * R6  A job has the descriptors 0, 1, 2 and no other, whoever started the runner.
 *
 * A program that knows no --list (a script, a plain program) is one case, run once; -1 says so of
 * all programs after it. -a takes the slow cases too. -s is how long stress programs go on
 * (TAP_SECONDS). GORO_SEED in the environment is passed on, else one is drawn and printed.
 * Needs nothing but the C library. Go: cmd/dist test, and the subprocesses of crash_test.go.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { QUIT_GRACE_S = 3, SKIPPED = 77, JOBS_MAX = 256, SHOWN_BYTES = 48 * 1024 };
enum { DEFAULT_TIMEOUT_S = 60, PS_MAX = 16, PS_AT_PINNED = 4 };
enum { IDLE_AT_ONCE = 8 };

/* What may run beside a job: they run in this order. */
enum beside { BESIDE_ANY, BESIDE_IDLE, BESIDE_NONE };

struct job {
	char *program, *name; /* name is "" when the program is one case */
	int ps;		      /* 0: the default */
	int timeout_s;
	enum beside beside;
	bool is_pinned;
	pid_t pid;
	int output; /* a memfd */
	int64_t start_ns, deadline_ns;
	struct rusage used;
	bool is_quit, is_killed;
};

static struct job *jobs;
static size_t n_jobs, n_slow_left;
static int ps_list[PS_MAX] = {1, 2, 4, 8}, n_ps = 4;
static int n_parallel, time_scale = 1;
static bool with_slow, is_verbose;
static unsigned n_passed, n_failed, n_skipped;

static int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "run: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void add_job(const struct job *j)
{
	if ((n_jobs & (n_jobs - 1)) == 0) {
		jobs = realloc(jobs, (n_jobs != 0 ? 2 * n_jobs : 1) * sizeof(*jobs));
		if (jobs == NULL)
			die("memory");
	}
	jobs[n_jobs++] = *j;
}

/* "all", "-" (once, at the default), "2+" (of the list), or a list of its own. */
static void add_case(const char *program, const char *name, int timeout_s, const char *procs,
		     const char *flags)
{
	struct job j = {.program = strdup(program),
			.name = strdup(name),
			.timeout_s = timeout_s,
			.beside = strstr(flags, "alone,") != NULL  ? BESIDE_NONE
				  : strstr(flags, "idle,") != NULL ? BESIDE_IDLE
								   : BESIDE_ANY};
	if (strstr(flags, "slow,") != NULL && !with_slow) {
		n_slow_left++;
		return;
	}
	if (strcmp(procs, "-") == 0) {
		add_job(&j);
	} else if (strcmp(procs, "all") == 0 || procs[strlen(procs) - 1] == '+') {
		int least = strcmp(procs, "all") == 0 ? 1 : atoi(procs);
		for (int i = 0; i < n_ps; i++)
			if ((j.ps = ps_list[i]) >= least)
				add_job(&j);
	} else {
		for (const char *p = procs; p != NULL && *p != '\0'; p = strchr(p, ',')) {
			p += *p == ',';
			j.ps = atoi(p);
			add_job(&j);
		}
	}
	if (strstr(flags, "race,") != NULL) {
		j.ps = PS_AT_PINNED;
		j.is_pinned = true;
		add_job(&j);
	}
}

/* Asks the program for its cases; false when it has no list. */
static bool list_cases(const char *program)
{
	char line[512], name[256], id[64], procs[64], flags[64];
	int fds[2], status, timeout_s, n_cases = 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execl(program, program, "--list", (char *)NULL);
		_exit(126);
	}
	close(fds[1]);
	FILE *f = fdopen(fds[0], "r");
	if (f == NULL)
		die("fdopen");
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%255s %63s %d %63s %63s", name, id, &timeout_s, procs, flags) ==
		    5) {
			add_case(program, name, timeout_s, procs, flags);
			n_cases++;
		}
	fclose(f);
	waitpid(pid, &status, 0);
	return n_cases != 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void add_program(const char *program, bool is_single)
{
	size_t length = strlen(program);
	is_single = is_single || (length > 3 && strcmp(program + length - 3, ".sh") == 0);
	if (is_single || !list_cases(program)) {
		struct job j = {.program = strdup(program),
				.name = strdup(""),
				.timeout_s = DEFAULT_TIMEOUT_S};
		add_job(&j);
	}
}

static void pin_to_first_cpu(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		sched_setaffinity(0, sizeof(set), &set);
		return;
	}
}

static void exec_job(const struct job *j, const sigset_t *mask)
{
	char ps[16];
	setpgid(0, 0);
	sigprocmask(SIG_SETMASK, mask, NULL);
	int null = open("/dev/null", O_RDONLY);
	dup2(null, STDIN_FILENO);
	dup2(j->output, STDOUT_FILENO);
	dup2(j->output, STDERR_FILENO);
	/* Before Linux 5.11 that flag is unknown. */
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
		for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (j->ps > 0) {
		snprintf(ps, sizeof(ps), "%d", j->ps);
		setenv("GORO_MAXPROCS", ps, 1);
	} else if (j->name[0] != '\0') {
		unsetenv("GORO_MAXPROCS");
	}
	setenv("TAP_SELF", j->program, 1);
	if (j->is_pinned)
		pin_to_first_cpu();
	execl(j->program, j->program, j->name[0] != '\0' ? j->name : (char *)NULL, (char *)NULL);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", j->program, strerror(errno));
	_exit(126);
}

static void start_job(struct job *j, const sigset_t *mask)
{
	j->output = memfd_create("output", MFD_CLOEXEC);
	/* Appending, since the job's standard output and error are one file. */
	if (j->output < 0 || fcntl(j->output, F_SETFL, O_APPEND) < 0)
		die("memfd");
	fflush(stdout);
	j->pid = fork();
	if (j->pid < 0)
		die("fork");
	if (j->pid == 0)
		exec_job(j, mask);
	setpgid(j->pid, j->pid);
	j->start_ns = now_ns();
	const char *seconds = getenv("TAP_SECONDS");
	int64_t timeout_s =
		(int64_t)j->timeout_s * time_scale + (seconds != NULL ? atoi(seconds) : 0);
	j->deadline_ns = j->start_ns + timeout_s * 1000000000;
}

static void print_job(const struct job *j, const char *result)
{
	const char *path = strstr(j->program, "tests/");
	printf("%s - %s%s%s", result, path != NULL ? path + 6 : j->program,
	       j->name[0] != '\0' ? " " : "", j->name);
	if (j->ps > 0)
		printf(" P=%d%s", j->ps, j->is_pinned ? " on one CPU" : "");
	double cpu_s = (double)(j->used.ru_utime.tv_sec + j->used.ru_stime.tv_sec) +
		       (double)(j->used.ru_utime.tv_usec + j->used.ru_stime.tv_usec) / 1e6;
	printf(" (%.2f s, CPU %.2f s)", (double)(now_ns() - j->start_ns) / 1e9, cpu_s);
}

/* Indented, so that a line of a test's output is not taken for a result of ours. */
static void print_output(const struct job *j)
{
	static char text[SHOWN_BYTES + 1];
	off_t size = lseek(j->output, 0, SEEK_END);
	ssize_t n = pread(j->output, text, SHOWN_BYTES, 0);
	bool is_line_start = true;
	for (ssize_t i = 0; i < n; i++) {
		if (is_line_start)
			fputs("    ", stdout);
		putchar(text[i]);
		is_line_start = text[i] == '\n';
	}
	if (!is_line_start)
		putchar('\n');
	if (size > SHOWN_BYTES)
		printf("    ... %lld bytes more\n", (long long)(size - SHOWN_BYTES));
}

/* Of one that passed, what it has measured: its lines that begin with "#: ". */
static void print_figures(const struct job *j)
{
	static char text[SHOWN_BYTES + 1];
	ssize_t n = pread(j->output, text, SHOWN_BYTES, 0);
	text[n > 0 ? n : 0] = '\0';
	for (char *rest, *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "#: ", 3) != 0)
			continue;
		print_job(j, "#");
		printf(": %s\n", line + 3);
	}
}

static void print_skip_reason(const struct job *j)
{
	char text[4096];
	ssize_t n = pread(j->output, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	char *reason = strstr(text, "# SKIP ");
	if (reason != NULL) {
		reason[strcspn(reason, "\n")] = '\0';
		printf(" %s", reason);
	}
	putchar('\n');
}

static void end_job(struct job *j, int status)
{
	kill(-j->pid, SIGKILL);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !j->is_quit) {
		n_passed++;
		if (is_verbose) {
			print_job(j, "ok");
			putchar('\n');
		}
		print_figures(j);
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED && !j->is_quit) {
		n_skipped++;
		print_job(j, "ok");
		print_skip_reason(j);
	} else {
		n_failed++;
		print_job(j, "not ok");
		if (j->is_quit)
			printf(" time is over%s\n", j->is_killed ? "" : ", SIGQUIT ended it");
		else if (WIFSIGNALED(status))
			printf(" signal %d\n", WTERMSIG(status));
		else
			printf(" status %d\n", WEXITSTATUS(status));
		print_output(j);
		printf("    again: GORO_SEED=%s ", getenv("GORO_SEED"));
		if (j->ps > 0)
			printf("GORO_MAXPROCS=%d ", j->ps);
		printf("%s%s %s\n", j->is_pinned ? "taskset -c 0 " : "", j->program, j->name);
	}
	fflush(stdout);
	close(j->output);
	j->pid = 0;
}

static struct job *job_of(pid_t pid, struct job *running[], int n_running, int *slot)
{
	for (*slot = 0; *slot < n_running; (*slot)++)
		if (running[*slot]->pid == pid)
			return running[*slot];
	return NULL;
}

/* R2; returns when something may have changed: a child's end or a deadline. */
static void wait_a_while(struct job *running[], int n_running, const sigset_t *child_signal)
{
	int64_t next = INT64_MAX;
	for (int i = 0; i < n_running; i++) {
		struct job *j = running[i];
		if (now_ns() >= j->deadline_ns) {
			kill(j->is_quit ? -j->pid : j->pid, j->is_quit ? SIGKILL : SIGQUIT);
			j->is_killed = j->is_quit;
			j->is_quit = true;
			j->deadline_ns = now_ns() + (int64_t)QUIT_GRACE_S * 1000000000;
		}
		next = j->deadline_ns < next ? j->deadline_ns : next;
	}
	int64_t left = next - now_ns();
	left = left > 0 ? left : 0;
	struct timespec ts = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
	sigtimedwait(child_signal, NULL, &ts);
}

static void run_jobs(enum beside beside, int parallel, const sigset_t *child_signal,
		     const sigset_t *mask)
{
	struct job *running[JOBS_MAX];
	int n_running = 0, status, slot;
	size_t next = 0;
	pid_t pid;
	struct rusage used;
	for (;;) {
		while (next < n_jobs && n_running < parallel) {
			struct job *j = &jobs[next++];
			if (j->beside != beside)
				continue;
			start_job(j, mask);
			running[n_running++] = j;
		}
		if (n_running == 0 && next == n_jobs)
			return;
		while ((pid = wait4(-1, &status, WNOHANG, &used)) > 0) {
			struct job *j = job_of(pid, running, n_running, &slot);
			if (j == NULL)
				continue;
			j->used = used;
			end_job(j, status);
			running[slot] = running[--n_running];
		}
		if (n_running > 0 && (n_running == parallel || next == n_jobs))
			wait_a_while(running, n_running, child_signal);
	}
}

static void read_ps(const char *text)
{
	n_ps = 0;
	for (const char *p = text; p != NULL && *p != '\0' && n_ps < PS_MAX; p = strchr(p, ',')) {
		p += *p == ',';
		ps_list[n_ps++] = atoi(p);
	}
}

static void read_arguments(int argc, char **argv)
{
	bool is_single = false;
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "-a") == 0) {
			with_slow = true;
		} else if (strcmp(argv[i], "-v") == 0) {
			is_verbose = true;
		} else if (strcmp(argv[i], "-1") == 0) {
			is_single = true;
		} else if (argv[i][0] == '-' && strchr("jpst", argv[i][1]) != NULL) {
			if (argv[i][1] == 'j')
				n_parallel = atoi(value);
			else if (argv[i][1] == 'p')
				read_ps(value);
			else if (argv[i][1] == 's')
				setenv("TAP_SECONDS", value, 1);
			else
				time_scale = atoi(value);
			i++;
		} else if (argv[i][0] == '-') {
			fprintf(stderr, "usage: run [-j jobs] [-p 1,2,4,8] [-s seconds] [-t scale] "
					"[-a] [-v] [-1] program [name=value] ...\n");
			exit(1);
		} else if (strchr(argv[i], '=') != NULL) {
			putenv(argv[i]);
		} else {
			add_program(argv[i], is_single);
		}
	}
}

int main(int argc, char **argv)
{
	sigset_t child_signal, mask;
	char seed[32];
	setvbuf(stdout, NULL, _IOLBF, 0);
	read_arguments(argc, argv);
	if (getenv("GORO_SEED") == NULL) {
		snprintf(seed, sizeof(seed), "%" PRIu64, (uint64_t)now_ns() % 1000000007);
		setenv("GORO_SEED", seed, 1);
	}
	printf("# GORO_SEED=%s, %zu cases\n", getenv("GORO_SEED"), n_jobs);
	if (n_parallel <= 0)
		n_parallel = (int)sysconf(_SC_NPROCESSORS_ONLN);
	n_parallel = n_parallel < JOBS_MAX ? n_parallel : JOBS_MAX;
	sigemptyset(&child_signal);
	sigaddset(&child_signal, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child_signal, &mask);
	run_jobs(BESIDE_ANY, n_parallel, &child_signal, &mask);
	run_jobs(BESIDE_IDLE, n_parallel > 1 ? IDLE_AT_ONCE : 1, &child_signal, &mask);
	run_jobs(BESIDE_NONE, 1, &child_signal, &mask);
	if (n_slow_left != 0)
		printf("# %zu slow cases are left to make check\n", n_slow_left);
	printf("%u passed, %u failed, %u skipped\n", n_passed, n_failed, n_skipped);
	return n_failed != 0 || n_passed + n_skipped == 0 ? 1 : 0;
}
