/*
 * child.c - one child process at a time, and the signals that are meant for it.
 *
 *   compile, run -> [child_run] -> fork, exec
 *     sigwaitinfo: a signal for us -> kill(child); SIGCHLD -> its status
 *
 * CH1  The signals of the set are always blocked and taken one by one: no handler, no race.
 * CH2  The child starts with the mask and the dispositions that we were started with.
 * CH3  A signal that the terminal sent (SI_KERNEL) has reached the child and is not sent twice.
 *
 * Signals that were ignored when we started (nohup) stay ignored, for the child too.
 * We do not give the child a process group: it could not read from the terminal then.
 *
 * Locking: none, one thread. Go: cmd/go/internal/base/signal.go.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"

static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM};

static sigset_t taken;        /* what sigwaitinfo takes */
static sigset_t mask_before;  /* the mask that we were started with */
static int interrupted;

void child_init(void)
{
	sigemptyset(&taken);
	sigaddset(&taken, SIGCHLD);
	/* Children of a process that ignores SIGCHLD vanish without a status. */
	signal(SIGCHLD, SIG_DFL);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
		struct sigaction now;
		if (sigaction(forwarded[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(&taken, forwarded[i]);
	}
	sigprocmask(SIG_BLOCK, &taken, &mask_before);
}

int child_interrupted(void)
{
	return interrupted;
}

__attribute__((noreturn)) static void child_exec(char *const argv[], int report, pid_t parent)
{
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
	/* Whoever kills us with SIGKILL means the program, too. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(STATUS_FAILED);
	execvp(argv[0], argv);
	int error = errno;
	if (write(report, &error, sizeof(error)) != sizeof(error))
		_exit(STATUS_NO_COMPILER);
	_exit(STATUS_NO_COMPILER);
}

/* A child in front of its exec has reported nothing yet; the pipe closes when the exec succeeds. */
static pid_t child_start(char *const argv[])
{
	int report[2], error = 0;
	pid_t parent = getpid();

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		child_exec(argv, report[1], parent);
	error = child < 0 ? errno : 0;
	close(report[1]);
	if (child > 0 && read(report[0], &error, sizeof(error)) != sizeof(error))
		error = 0;
	close(report[0]);
	if (error && child > 0)
		waitpid(child, NULL, 0);
	return error ? -error : child;
}

int child_run(char *const argv[])
{
	pid_t child = child_start(argv);
	int status;

	if (child < 0)
		return child;
	for (;;) {
		siginfo_t info;
		int signo = sigwaitinfo(&taken, &info);
		if (signo < 0)
			continue;
		if (signo == SIGCHLD) {
			if (waitpid(child, &status, WNOHANG) == child)
				return status;
			continue;
		}
		if (signo == SIGHUP || signo == SIGINT || signo == SIGQUIT || signo == SIGTERM)
			interrupted = signo;
		if (info.si_code != SI_KERNEL)
			kill(child, signo);
	}
}

bool child_first_line(char *const argv[], char *line, size_t size)
{
	int out[2], status, silent;
	size_t length = 0;

	if (pipe2(out, O_CLOEXEC) < 0)
		return false;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		silent = open("/dev/null", O_RDWR);
		dup2(silent, STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(silent, STDERR_FILENO);
		sigprocmask(SIG_SETMASK, &mask_before, NULL);
		execvp(argv[0], argv);
		_exit(STATUS_NO_COMPILER);
	}
	close(out[1]);
	for (;;) {
		char piece[512];
		ssize_t got = child > 0 ? read(out[0], piece, sizeof(piece)) : 0;
		if (got <= 0)
			break;
		for (ssize_t i = 0; i < got && length + 1 < size; i++)
			line[length++] = piece[i];
	}
	close(out[0]);
	line[length] = 0;
	line[strcspn(line, "\n")] = 0;
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

void child_die_of(int signo)
{
	struct rlimit none = {0, 0};
	sigset_t one;

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	fflush(NULL);
	signal(signo, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, signo);
	raise(signo);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	/* Not reached for a signal whose default is to end the process. */
	_exit(STATUS_SIGNAL + signo);
}
