/*
 * leave.c - a program with its own main() leaves goro_run() while somebody's last report is being
 * printed: the report wins. leaving.h tells how; main.c does the same under the library's main().
 *
 * Go: proc.go, main (panicking, runningPanicDefers).
 */
#include "leaving.h"

#define LEAVE_CHILD(name_, call_)                  \
	static int name_##_main(void *unused)      \
	{                                          \
		(void)unused;                      \
		return call_;                      \
	}                                          \
	TAP_CHILD(name_)                           \
	{                                          \
		exit(goro_run(name_##_main, NULL)); \
	}
LEAVE_CHILDREN

TAP_MAIN
