/*
 * goro.h - goroutines and channels for C: the whole public interface.
 *
 *   #include <goro.h>
 *
 *   int goro_main(int argc, char **argv)
 *   {
 *           goro_chan *c = goro_chan_of(int, 0);
 *           go(work, c, 42);
 *           return goro_get(c, int);
 *   }
 *
 *   cc -std=gnu11 -Iinclude prog.c build/libgoro.a -pthread       (clang: add -fblocks)
 *
 * What holds for every call:
 *
 * - A call that can fail returns >= 0, or a negative errno value (-EAGAIN, -ETIMEDOUT, ...). It
 *   never reports through errno: a goroutine may wake on another thread, where a cached &errno is
 *   the wrong one. The names of the errors are those of <errno.h>, which this header does not
 *   include.
 * - Times are int64_t nanoseconds. A deadline is a point on the clock of goro_now(); GORO_FOREVER
 *   never comes; GORO_POLL, like any time that is already past, means "do not wait".
 * - Misuse that Go treats as a panic is a panic here, with Go's wording ("panic" below; see
 *   goro_panic()). A "fatal error" prints its message and the stacks, ends the process with status
 *   2, and cannot be caught. Both end it by _exit(): what stdio still buffers is not written, and
 *   functions of atexit() do not run.
 * - "Blocks" means that the goroutine waits and its thread runs other goroutines. A plain thread
 *   (one that the runtime did not make) may call everything here, and then the thread itself waits,
 *   except for what makes no sense there: goro_yield(), goro_exit(), goro_defer() and
 *   goro_ctx_use() panic.
 * - Nothing here may be called from a signal handler.
 * - A goroutine changes thread only inside a call of this library; between two calls, thread-locals
 *   and errno are those of one thread. Any call may do it, as goro_yield(), when the goroutine has
 *   run for long: "does not block" says that it waits for nothing but its turn.
 * - A call holds what it works on: an object may be freed as soon as the program's own last call on
 *   it has returned.
 * - After fork() the child has one thread, and nothing of the runtime: it may exec, _exit, or exit.
 *   A call of this library in it prints "goro: fatal: a call of the library in a child process,
 *   after fork without exec ..." and ends it with status 2 (but for some that only ask or set
 *   something of the caller's own). A child of a fork() while no runtime runs may start one.
 * - Names that end in an underscore are not for programs.
 */
#ifndef GORO_H
#define GORO_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__cplusplus) && __cplusplus < 201703L
#error "goro.h needs C++17: compile with -std=c++17"
#endif

#ifdef __cplusplus
#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>
#else
#include <stdbool.h>
#endif

#if !defined(__GNUC__)
#error "goro.h needs gcc or clang"
#endif

#define GORO_VERSION "0.1.0"

#define GORO_API __attribute__((__visibility__("default")))

/* Of <netdb.h>, <sys/socket.h>, <sys/uio.h>, whose names (send, recv, ...) a program may want. */
struct addrinfo;
struct iovec;
struct msghdr;
struct sockaddr;
typedef unsigned int goro_socklen_; /* socklen_t */

#ifdef __cplusplus
extern "C" {
#endif

/*
 * goro_version - the version of the library that the program runs with, as "MAJOR.MINOR.PATCH".
 *
 * GORO_VERSION is the version that it was compiled with. Does not block; may be called before
 * goro_run().
 * Go: runtime.Version.
 */
GORO_API const char *goro_version(void);

/* -------------------------------------------------------------------------------------------------
 * Program
 */

/*
 * goro_main - the main goroutine, number 1. You write it; libgoro.a brings the main() that calls
 * it.
 *
 * When it returns, the process exits with its value, as from main(); goroutines that still exist do
 * not run any more, are not waited for, and their deferred calls do not run. A panic or fatal error
 * that is being reported at that moment wins: the status is then 2.
 *
 * Go: func main, except that the value is the exit status.
 */
int goro_main(int argc, char **argv);

/*
 * What libgoro's main() calls: goro_run(), but instead of returning fn's value the process ends by
 * exit(), in the main goroutine, while the others go on. Returns only when it could not start.
 */
GORO_API int goro_run_exit_(int (*fn)(void *), void *arg);

/*
 * goro_run - start the runtime, run fn(arg) as the main goroutine, and return its value.
 *
 * For programs that have their own main(). May be called by a plain thread; a goroutine gets
 * -EBUSY. The main goroutine starts on the thread that calls goro_run(), so that
 * goro_lock_thread() as its first call keeps it there. Blocks the calling thread until fn has
 * returned; other goroutines then do not run any more. Those that run at that moment are waited
 * for until their next call of this library, or until they are seen, after 50 ms, in a loop of the
 * program's own code, where they end. So one that blocks, or is inside another library or libc all
 * the time, keeps goro_run() from returning, as does one that may not be stopped
 * (goro_nopreempt_begin, and with GORODEBUG=preempt=0), and every loop without a call in a static
 * program. Plain threads may be anywhere in this library meanwhile. One run after the other is
 * fine, and ids start again at 1. The number of Ps is GORO_MAXPROCS, else GOMAXPROCS, from the
 * environment, else the number of CPUs that the process may use (affinity mask and cgroup quota
 * counted).
 *
 * Returns fn's value, or
 *   -EBUSY   a runtime runs already (also when called by a goroutine)
 *   -ENOMEM  no memory, or no thread, to start with
 * Panics: "go of nil func value" when fn is NULL.
 * Fatal:  "all goroutines are asleep - deadlock!" when nothing can ever run again, and no thread of
 *         the program's own could change that; "no goroutines (main called goro_exit) - deadlock!"
 *         when fn called goro_exit() and no other goroutine is left.
 * Order: what the caller wrote before is visible to fn; what fn wrote is visible after the return.
 */
GORO_API int goro_run(int (*fn)(void *), void *arg);

/* -------------------------------------------------------------------------------------------------
 * Goroutines
 */

/*
 * goro_spawn - start a goroutine that runs fn(arg).
 *
 * The goroutine ends when fn returns, after its deferred calls. Does not block. May be called by a
 * goroutine and, while a runtime runs, by a plain thread.
 *
 * Returns 0, or
 *   -ENOMEM  no memory for a goroutine
 *   -EPERM   no runtime runs
 * Panics: "go of nil func value" when fn is NULL.
 * Order: the call happens before fn starts. That a goroutine has ended orders nothing by itself:
 * use a channel.
 * Go: go fn(arg).
 */
GORO_API int goro_spawn(void (*fn)(void *), void *arg);

/*
 * goro_spawn_copy - start a goroutine that runs fn on its own copy of size bytes at data.
 *
 * The copy is made before the call returns; fn gets a pointer to it that is aligned to 16 bytes and
 * valid until fn returns. With size 0, data may be NULL, and what fn gets must not be read.
 * Otherwise as goro_spawn().
 *
 * Returns 0, -ENOMEM or -EPERM, as goro_spawn().
 * Panics: "go of nil func value" when fn is NULL;
 *         "goro_spawn_copy of nil data" when data is NULL and size is not 0;
 *         "function arguments too large for new goroutine" when size > 1024.
 */
GORO_API int goro_spawn_copy(void (*fn)(void *), const void *data, size_t size);

/*
 * struct goro_attr - what goro_spawn_attr() may be told. Zeroed members mean the default, so that
 * members which later versions add keep old source meaning what it meant: initialise with
 * designators.
 */
struct goro_attr {
	/*
	 * Bytes of address space for the stack, of which only touched pages cost memory; 0 is the
	 * default of 256 KiB. Rounded up to whole pages; less than 16 KiB counts as 16 KiB.
	 */
	size_t stack_size;
	/* As for goro_set_name(), from the start; NULL is no name. Copied. */
	const char *name;
	/* Begins as if within goro_nopreempt_begin() and goro_nopreempt_end(). */
	bool no_preempt;
	/*
	 * Runs on one thread from its start to its end, so that thread-locals and what a library
	 * keeps per thread are the same after every call. It shares the thread with other pinned
	 * goroutines, and with no others; there are as many such threads as Ps at most. While one
	 * of them blocks its thread in the kernel, loops without a call, or has locked it by
	 * goro_lock_thread(), the others on that thread wait. Each turn costs two thread switches
	 * more. One that ends locked ends the thread only when nobody else is pinned to it.
	 */
	bool pinned;
};

/*
 * goro_spawn_attr - goro_spawn() with attributes. attr may be NULL: the defaults.
 *
 * Returns 0, -ENOMEM or -EPERM, as goro_spawn(), or
 *   -EINVAL  attr->stack_size is more than 1 GiB
 * Panics: "go of nil func value" when fn is NULL.
 */
GORO_API int goro_spawn_attr(const struct goro_attr *attr, void (*fn)(void *), void *arg);

/*
 * goro_yield - let others run: the goroutine goes to the tail of the global queue.
 *
 * Blocks until those that were runnable before it had their turn. Orders no memory.
 * Panics: "goro_yield outside a goroutine" in a plain thread.
 * Go: runtime.Gosched.
 */
GORO_API void goro_yield(void);

/*
 * goro_exit - end the calling goroutine: run its deferred calls, last in first out. Does not
 * return.
 *
 * A goro_try() on the way does not catch it; but it catches the panic of a call that was deferred
 * inside it, and then the exit goes on. In the main goroutine the others go on, until none is left:
 * fatal error "no goroutines (main called goro_exit) - deadlock!".
 * Panics: "goro_exit outside a goroutine" in a plain thread.
 * It is not what pthread_exit() is to a thread: in a goroutine that is a fatal error, "goroutine N
 * has ended its thread by pthread_exit()", since the thread serves others, too.
 * Go: runtime.Goexit.
 */
GORO_API void goro_exit(void) __attribute__((__noreturn__));

/*
 * goro_checkpoint - yield if the scheduler asked for it, else go on: a load and a branch.
 *
 * For long loops that call nothing else of this library. Blocks only as goro_yield() does. Does
 * nothing in a plain thread.
 * Go: the compiler's preemption check in a function's prologue.
 */
GORO_API void goro_checkpoint(void);

/*
 * goro_nopreempt_begin, goro_nopreempt_end - in between, the goroutine is not stopped in the middle
 * of its own code, however long it runs. They nest.
 *
 * It still yields in calls of the library, and loses its P when its thread blocks. Do not block. Do
 * nothing in a plain thread.
 * Panics: "goro_nopreempt_end without goro_nopreempt_begin".
 * Go: none in programs.
 */
GORO_API void goro_nopreempt_begin(void);
GORO_API void goro_nopreempt_end(void);

/*
 * goro_id - the number of the calling goroutine: 1 for main, never used twice in a run; 0 in a
 * plain thread.
 *
 * Does not block. Go: the number that tracebacks show.
 */
GORO_API uint64_t goro_id(void);

/*
 * goro_set_name - name the calling goroutine in dumps and traces.
 *
 * The name is copied and cut at 31 bytes; NULL or "" takes it away. When there is no memory, the
 * goroutine has no name. Does not block. Does nothing in a plain thread. Go: no counterpart (pprof
 * labels come near).
 */
GORO_API void goro_set_name(const char *name);

/*
 * goro_maxprocs - set how many goroutines may run at the same time (the number of Ps), and return
 * the old number. n < 1 only asks; n above 1024 counts as 1024.
 *
 * A change stops the world for a moment: it blocks until every P has stopped. When there is no
 * memory for more Ps, the number stays: ask again to know. When no runtime runs (or, for a plain
 * thread, the run ends meanwhile), nothing is changed and the number with which one would start is
 * returned.
 * Go: runtime.GOMAXPROCS.
 */
GORO_API int goro_maxprocs(int n);

/*
 * goro_count - how many goroutines exist now, main and the caller included, whatever they are
 * doing.
 *
 * Without stopping them, so that the number may be old when it is returned. 0 when no runtime runs.
 * Does not block. Go: runtime.NumGoroutine.
 */
GORO_API int goro_count(void);

/*
 * goro_maxthreads - set how many threads the runtime may make, and return the old number (10 000 at
 * first). n < 1 only asks.
 *
 * Fatal: "program exceeds N-thread limit" when the limit is passed, also at once, when n is less
 * than the number of threads that exist. A loop that is stopped in the middle of its own code keeps
 * its thread; when there may be no more, those that have a thread take turns, and it is fatal when
 * another goroutine has waited for one for a second. Does not block.
 * Go: debug.SetMaxThreads.
 */
GORO_API int goro_maxthreads(int n);

/*
 * goro_lock_thread - keep the calling goroutine on its present thread, and all others off it, until
 * goro_unlock_thread() was called as many times. A goroutine that ends locked ends the thread with
 * it.
 *
 * Does not block. Does nothing in a plain thread. Go: runtime.LockOSThread.
 */
GORO_API void goro_lock_thread(void);

/*
 * goro_unlock_thread - undo one goro_lock_thread(). Without one before, it does nothing.
 *
 * Does not block. Does nothing in a plain thread. Go: runtime.UnlockOSThread.
 */
GORO_API void goro_unlock_thread(void);

/* -------------------------------------------------------------------------------------------------
 * Blocking calls
 *
 * A goroutine may call anything that blocks: a library, a system call, a lock of pthreads. It costs
 * a thread while it lasts, and within a few milliseconds the other goroutines go on without it.
 * When it is announced, they go on within microseconds.
 */

/*
 * goro_syscall_enter, goro_syscall_exit - around code that may block for longer than a few
 * microseconds: others get the right to run that this goroutine has, as soon as they want it.
 *
 *   goro_syscall_enter();
 *   n = read(fd, buffer, size);
 *   saved_errno = errno;
 *   goro_syscall_exit();
 *
 * A few stores when nobody else wants to run. exit blocks until the goroutine has its turn again,
 * and may return on another thread; it leaves errno as it was. They nest; calls of the library in
 * between are allowed, and cost a turn each. Do nothing in a plain thread.
 * Panics: "goro_syscall_exit without goro_syscall_enter".
 * Go: entersyscall and exitsyscall, which the compiler puts around every system call.
 */
GORO_API void goro_syscall_enter(void);
GORO_API void goro_syscall_exit(void);

/*
 * goro_blocking - call fn(arg) between goro_syscall_enter() and goro_syscall_exit(). A panic in fn
 * goes on in the caller; no C++ exception may leave it.
 *
 * Blocks as long as fn does, and then as goro_syscall_exit(). In a plain thread it only calls fn.
 * Panics: "goro_blocking of nil func value".
 */
GORO_API void goro_blocking(void (*fn)(void *), void *arg);

/* -------------------------------------------------------------------------------------------------
 * Descriptors
 *
 * Calls that look as if they blocked. A goroutine that must wait for a socket, pipe, terminal or
 * the like is parked until the poller (epoll) reports it ready, and its thread runs others. What
 * holds for all of them:
 *
 * - They return what the POSIX call of that name returns, or a negative errno value. EINTR and
 *   EAGAIN are dealt with inside (-EAGAIN comes back only for MSG_DONTWAIT and the like, and after
 *   SO_RCVTIMEO or SO_SNDTIMEO of a descriptor that blocks and is unknown to the poller). SIGPIPE
 *   kills nobody: -EPIPE. The runtime puts an empty handler in place unless the program handles
 *   it; programs that are executed find the default again.
 * - The poller knows the descriptors that goro_listen(), goro_accept(), goro_dial() and goro_open()
 *   make, and those that were given to goro_fd_add(). On any other, and on plain files, the call is
 *   made as it is between goro_syscall_enter() and goro_syscall_exit(): it costs a thread while it
 *   blocks, deadlines have no say, and goro_close() does not end it.
 * - Descriptors made here are close-on-exec and do not block; any other library can use them.
 * - A direction of a descriptor is used by one call at a time, in the order of their coming: two
 *   goro_write_all() do not interleave. Reading and writing do not hinder each other.
 * - Errors that any of them may return: -EBADF when the descriptor is closed or being closed, also
 *   while the call waits; -ETIMEDOUT when its deadline (goro_set_deadline()) is past, though a read
 *   of no bytes, and on a stream a write of none, returns 0 all the same; -ECANCELED when the
 *   goroutine's context is cancelled; -ENOMEM. What was closed and is also past its deadline says
 *   -EBADF.
 * - Close with goro_close(). close(2) wakes nobody that waits, and leaves the poller with a number
 *   that it takes for the old descriptor until goro_fd_add() is told of the new one.
 * - Who waits here keeps the report of a deadlock away. A listener that nobody accepts on, or any
 *   other descriptor that is merely open, does not.
 * - A plain thread may call all of them, and then waits itself.
 * - A call that got data sees what the other side did before it sent them, as with any socket;
 *   between goroutines that is all the order there is.
 *
 * Go: package net, os.File; internal/poll.FD.
 */

/*
 * goro_read, goro_write, goro_readv, goro_writev - as the POSIX calls of these names, for whatever
 * kind of descriptor.
 *
 * Return how many bytes, at least one; 0 at the end of the data; or an error: those of all calls on
 * descriptors and those of the system call, negative. A short count is no error. Block until
 * there is something to read, or room to write. A read of no bytes returns 0 at once, and takes no
 * datagram; a write of none is an empty datagram where there are datagrams. Go: net.Conn, os.File:
 * Read, Write; net.Buffers.
 */
GORO_API ssize_t goro_read(int fd, void *data, size_t size);
GORO_API ssize_t goro_write(int fd, const void *data, size_t size);
GORO_API ssize_t goro_readv(int fd, const struct iovec *parts, int n);
GORO_API ssize_t goro_writev(int fd, const struct iovec *parts, int n);

/*
 * goro_recv, goro_send, goro_recvfrom, goro_sendto - as the POSIX calls of these names.
 *
 * Return what goro_read() and goro_write() do; of a datagram 0 bytes are a datagram, and to receive
 * no bytes takes one. With MSG_DONTWAIT, or MSG_ERRQUEUE, -EAGAIN when they would have to wait;
 * MSG_WAITALL does not wait for all, as with any descriptor that does not block: goro_read_full().
 * Block as goro_read() and goro_write(). Where `to`, or msg_name, is a Unix socket whose queue is
 * full, no event tells of room in it: they look again, and come up to 6.4 ms late, at the cost of
 * two or three per cent of a CPU while they wait. A socket that is connected there is told at once.
 * Go: net.UDPConn, net.UnixConn: ReadFrom, WriteTo.
 *
 * goro_recvmsg, goro_sendmsg - as the POSIX calls of these names; descriptors that are received are
 * close-on-exec.
 *
 * Otherwise as goro_recv(). Go: ReadMsgUnix, WriteMsgUnix.
 */
GORO_API ssize_t goro_recv(int fd, void *data, size_t size, int flags);
GORO_API ssize_t goro_send(int fd, const void *data, size_t size, int flags);
GORO_API ssize_t goro_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from,
			       goro_socklen_ *from_size);
GORO_API ssize_t goro_sendto(int fd, const void *data, size_t size, int flags,
			     const struct sockaddr *to, goro_socklen_ to_size);
GORO_API ssize_t goro_recvmsg(int fd, struct msghdr *message, int flags);
GORO_API ssize_t goro_sendmsg(int fd, const struct msghdr *message, int flags);

/*
 * goro_read_full - read until size bytes are there.
 *
 * Returns size; less when the data ended before, or when an error came after some bytes (the next
 * call that reads, whichever it is, returns the error); else the error. Blocks until then.
 * Go: io.ReadFull.
 */
GORO_API ssize_t goro_read_full(int fd, void *data, size_t size);

/*
 * goro_write_all - write all of it, whatever it takes.
 *
 * No other goro_write_all() comes between its parts, whatever descriptor it is; and no other write
 * where the poller knows it. With size 0 it does what goro_write() does.
 * Returns size, or fewer when an error came after some bytes went out (the next write on the
 * descriptor returns the error; on one that the poller does not know, what the kernel says then),
 * or the error. Blocks until then. Go: net.Conn, os.File: Write.
 */
GORO_API ssize_t goro_write_all(int fd, const void *data, size_t size);

/*
 * goro_sendfile, goro_splice - as sendfile(2) and splice(2), for descriptors of which each may be
 * known to the poller or not.
 *
 * flags: SPLICE_F_MOVE, SPLICE_F_MORE; one of the two ends of goro_splice() must be a pipe. Block
 * until some bytes can be copied; for a size of 0 not at all.
 * Return how many bytes, at least one; 0 at the end of `from`; or an error.
 * Go: io.Copy, where the ends allow it.
 */
GORO_API ssize_t goro_sendfile(int to, int from, off_t *at, size_t size);
GORO_API ssize_t goro_splice(int from, off_t *from_at, int to, off_t *to_at, size_t size,
			     unsigned int flags);

/*
 * goro_open - open(2); the P goes to others while the disk works.
 *
 * mode counts with O_CREAT. A FIFO or a device goes to the poller, and then does not wait in the
 * kernel. Returns a descriptor that is close-on-exec, or what open(2) says. Blocks as open(2) does.
 * Go: os.OpenFile.
 *
 * goro_pread, goro_pwrite, goro_fsync - as the POSIX calls; the P goes to others likewise. Block
 * while the disk works. Go: os.File: ReadAt, WriteAt, Sync.
 */
GORO_API int goro_open(const char *path, int flags, ... /* mode_t mode */);
GORO_API ssize_t goro_pread(int fd, void *data, size_t size, off_t at);
GORO_API ssize_t goro_pwrite(int fd, const void *data, size_t size, off_t at);
GORO_API int goro_fsync(int fd);

/*
 * goro_fd_add - give the poller a descriptor that was made elsewhere: sets O_NONBLOCK, which all
 * copies of it share.
 *
 * A TCP socket that gets a protocol on top (TCP_ULP, for kernel TLS) after it is known must be
 * given once more, for the poller then has to look for more after each record.
 *
 * Does not block. Returns 0, also when it is known already, or
 *   -EPERM   a plain file or a directory, which never make anybody wait
 *   -EBADF   there is no such descriptor
 *   -ENOSPC  the limit fs.epoll.max_user_watches
 *   -EMFILE  at the first use: no number for the poller's own two
 *   -ENOMEM  no memory
 * Go: net.FileConn, os.NewFile.
 */
GORO_API int goro_fd_add(int fd);

/*
 * goro_fd_wait - block until a descriptor is ready, to read and write it by other means.
 *
 * events: POLLIN, POLLOUT (and POLLPRI, POLLRDHUP with POLLIN). What is ready stays so until it is
 * used. A descriptor unknown to the poller is waited for in poll(2), at the cost of a thread.
 * Returns those events that are there, with POLLERR and POLLHUP, > 0, or
 *   -ETIMEDOUT  the deadline came first; with GORO_POLL at once
 *   -EINVAL     other events, or none
 * Go: syscall.RawConn.
 */
GORO_API int goro_fd_wait(int fd, int events, int64_t deadline);

/*
 * goro_set_deadline, goro_set_read_deadline, goro_set_write_deadline - when a direction's calls
 * give up, those that wait and those to come, until it is set anew: -ETIMEDOUT.
 *
 * A time that is past ends them at once; GORO_FOREVER: never. Do not block. Return 0; -EBADF;
 * -EPERM when the poller does not know the descriptor. Go: net.Conn: SetDeadline.
 */
GORO_API int goro_set_deadline(int fd, int64_t deadline);
GORO_API int goro_set_read_deadline(int fd, int64_t deadline);
GORO_API int goro_set_write_deadline(int fd, int64_t deadline);

/*
 * goro_close - close a descriptor. Whoever waits on it, and whoever still calls, gets -EBADF.
 *
 * When it returns, none of them works on the descriptor any more, and the number is free. Blocks
 * only while other calls are on their way out; it is not ended by a cancelled context. On a
 * descriptor that the poller does not know a call that blocks in the kernel goes on there, and who
 * queues behind a goro_write_all() gets -EBADF; neither is met again at the number's next life.
 * Returns 0; -EBADF: it was closed already, or is being closed; else what close(2) says, and it is
 * closed all the same. Go: net.Conn, os.File: Close.
 */
GORO_API int goro_close(int fd);

/*
 * goro_listen - a socket that takes connections, or datagrams, at an address.
 *
 * network: "tcp", "tcp4", "tcp6", "unix", "unixpacket"; "udp", "udp4", "udp6", "unixgram" for a
 * socket to be read with goro_recvfrom(). address: "127.0.0.1:8080"; "localhost:http", of a name's
 * addresses an IPv4 one if there is any; ":8080", every interface, with "tcp" IPv6 and IPv4 where
 * there is IPv6; "0.0.0.0:8080", IPv4 only; "[::1]:0", any free port: getsockname(2);
 * "[fe80::1%eth0]:80"; for Unix sockets "/path", which is the program's to unlink, or "@abstract".
 *
 * SO_REUSEADDR is set, and for all that it accepts TCP_NODELAY, and keep-alive probes after 15 s of
 * silence and every 15 s; the backlog is the system's (net.core.somaxconn). Blocks only to resolve
 * a name.
 * Returns the descriptor, or
 *   -EINVAL      no such network, or an address that cannot be read or is of another network
 *   -EADDRINUSE  somebody has the address, or the path exists
 * and what else socket, bind and listen say; for a name what goro_dial() does.
 * Go: net.Listen, net.ListenPacket.
 */
GORO_API int goro_listen(const char *network, const char *address);

/*
 * goro_accept - block until there is a connection; it is known to the poller.
 *
 * -EMFILE, -ENFILE, -ENOBUFS and -ENOMEM come back at once, and the connection stays in the queue;
 * one that its peer gave up (ECONNABORTED) is skipped. The read deadline ends it, and so does
 * goro_close() of the listener: -EBADF. On a descriptor that the poller does not know: in
 * accept4(2). address and size may be NULL, else as for accept(2).
 * Returns the descriptor, or an error.
 * Go: net.Listener: Accept.
 */
GORO_API int goro_accept(int fd, struct sockaddr *address, goro_socklen_ *size);

/*
 * goro_connect - connect a socket, and block until it is connected.
 *
 * The write deadline ends it. Not to be called twice at a time on one socket. One that the poller
 * does not know is waited for as well, whether it blocks or not. A Unix socket whose
 * listener has no room waits in the kernel, at the cost of a thread, and meanwhile without
 * O_NONBLOCK.
 *
 * After -ETIMEDOUT or -ECANCELED the kernel goes on connecting, and looks at no other address: a
 * call on that socket returns -EALREADY at once, whatever its address. Close the socket, and take a
 * new one; or wait for the first address with goro_fd_wait() and POLLOUT, and then call again: 0,
 * or why not.
 * Returns 0, or what connect(2) says at once or later.
 */
GORO_API int goro_connect(int fd, const struct sockaddr *address, goro_socklen_ size);

/*
 * goro_dial - a connection to an address, by the deadline.
 *
 * network and address are those of goro_listen(); no host means this machine. Of a name's addresses
 * those of the first one's family and those of the other are tried in turn, each 250 ms after the
 * one before or when that has failed; the first that connects wins (RFC 8305), and the others are
 * closed. TCP_NODELAY is set, and keep-alive as for goro_listen(). Names are resolved as
 * getaddrinfo(3) does: where /etc/nsswitch.conf and resolv.conf(5) send a name to DNS alone, by
 * c-ares, if libcares.so.2 is there and the library was built for it (goro env tells), at the cost
 * of a socket while it lasts; else, and when a server fails, by getaddrinfo(3), at the cost of a
 * thread, and what is still under way there at the deadline goes on in vain. Blocks until there is
 * a connection.
 * Returns the descriptor, or
 *   -ETIMEDOUT     the deadline came first; if it is past, nothing was tried
 *   -EINVAL        no such network, or an address that cannot be read or is of another network
 *   -ENOENT        no such name, service or path
 *   -EAGAIN        the name servers do not answer
 *   -EIO           the name servers fail
 *   -ECONNREFUSED  nobody listens there
 * and what else socket and connect say; of several attempts what the last one said that found a way
 * to its address. strerror(3) speaks of files: for a user, of a host and a port,
 *   ENOENT is not "No such file or directory", but: no such host or service
 *   EAGAIN is not "Resource temporarily unavailable", but: the name servers do not answer
 *   EIO    is not "Input/output error", but: the name servers fail
 * and of any other network and error strerror(3) is right.
 * Go: net.Dialer: DialContext.
 */
GORO_API int goro_dial(const char *network, const char *address, int64_t deadline);

/*
 * goro_getaddrinfo - getaddrinfo(3), its arguments and its result, without stopping other
 * goroutines; never by c-ares.
 *
 * Free the list with freeaddrinfo(3). Blocks until the answer is there, at the cost of a thread
 * where servers are asked. Returns 0 or an EAI_ error: EAI_CANCELED when the goroutine's context is
 * cancelled; EAI_SYSTEM leaves errno undefined. Go: net.Resolver: LookupIPAddr.
 */
GORO_API int goro_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
			      struct addrinfo **result);

/* -------------------------------------------------------------------------------------------------
 * Time
 */

/* A deadline that never comes, and one that is always past. */
#define GORO_FOREVER INT64_MAX
#define GORO_POLL    INT64_C(0)

/* Microseconds, milliseconds and seconds in nanoseconds. n may be a fraction: GORO_MS(0.5). */
/* clang-format off */
#define GORO_US(n)  ((int64_t)((n) * INT64_C(1000)))
#define GORO_MS(n)  ((int64_t)((n) * INT64_C(1000000)))
#define GORO_SEC(n) ((int64_t)((n) * INT64_C(1000000000)))
/* clang-format on */

/*
 * goro_now - nanoseconds on a clock that never goes back (CLOCK_MONOTONIC); always > 0.
 *
 * The clock of all deadlines. Does not block; may be called before goro_run(). Go: the monotonic
 * part of time.Now.
 */
GORO_API int64_t goro_now(void);

/*
 * goro_sleep - block for at least ns nanoseconds; ns <= 0 returns at once.
 *
 * Never ends early, whatever signals arrive. GORO_FOREVER (and anything else that goes past the end
 * of the clock) sleeps for ever, and keeps the report of a deadlock away. Orders no memory. In a
 * plain thread the thread sleeps.
 * Panics: "context canceled"; goro_ctx_sleep() returns an error instead.
 * Go: time.Sleep.
 */
GORO_API void goro_sleep(int64_t ns);

/*
 * goro_sleep_until - block until goro_now() >= deadline; returns at once when it is already.
 *
 * For a steady rhythm: the time that the work took does not add up. Otherwise as goro_sleep().
 * Panics: "context canceled".
 */
GORO_API void goro_sleep_until(int64_t deadline);

/* -------------------------------------------------------------------------------------------------
 * Channels
 *
 * A channel carries elements of one size, in order, between goroutines and plain threads. Waiting
 * senders are served first come first served, and so are waiting receivers. A NULL channel blocks
 * for ever.
 *
 * Order (Go's memory model): a send happens before the receive of that element returns; a close
 * happens before a receive that finds the channel closed returns; the k-th receive from a channel
 * of capacity C happens before the (k+C)-th send returns (C = 0: a receive happens before the send
 * returns).
 */
typedef struct goro_chan goro_chan;

/*
 * goro_chan_make - make a channel for elements of elem_size bytes that buffers up to capacity of
 * them.
 *
 * elem_size 0 is a channel of mere signals; capacity 0 is unbuffered: sender and receiver meet. The
 * caller holds one reference, which goro_chan_unref() gives back. Does not block; may be called
 * before goro_run().
 *
 * Returns NULL when there is no memory.
 * Panics: "makechan: size out of range" when the size in bytes is more than PTRDIFF_MAX.
 * Go: make(chan T, capacity).
 */
GORO_API goro_chan *goro_chan_make(size_t elem_size, size_t capacity);

/* goro_chan_of - goro_chan_make() for elements of type T. */
#define goro_chan_of(T, capacity) goro_chan_make(sizeof(T), (capacity))

/*
 * goro_chan_send - send the element at elem; block until it is in the buffer or a receiver has it.
 *
 * elem may be NULL when the elements have size 0. A NULL channel blocks for ever.
 * Panics: "send on closed channel", also when the channel is closed while the sender waits; the
 *         element is then never received;
 *         "context canceled", for a goroutine whose context is: see goro_ctx.
 * Go: c <- v.
 */
GORO_API void goro_chan_send(goro_chan *c, const void *elem);

/*
 * goro_chan_recv - receive an element into elem; block until there is one or the channel is closed.
 *
 * elem may be NULL: the element is dropped. A NULL channel blocks for ever.
 * Returns true with an element; false when the channel is closed and drained, and then *elem is
 * zeroed.
 * Panics: "context canceled".
 * Go: v, ok := <-c.
 */
GORO_API bool goro_chan_recv(goro_chan *c, void *elem);

/*
 * goro_chan_trysend - send if that is possible without waiting (unbuffered: if a receiver waits
 * already). Does not block.
 *
 * Returns 0, or
 *   -EAGAIN  it is not possible now, or c is NULL
 * Panics: "send on closed channel".
 * Go: select with a send and a default.
 */
GORO_API int goro_chan_trysend(goro_chan *c, const void *elem);

/*
 * goro_chan_tryrecv - receive if that is possible without waiting (unbuffered: if a sender waits
 * already). Does not block.
 *
 * Returns 0, or
 *   -EAGAIN  it is not possible now, or c is NULL; *elem is left alone
 *   -EPIPE   the channel is closed and drained; *elem is zeroed
 * Go: select with a receive and a default.
 */
GORO_API int goro_chan_tryrecv(goro_chan *c, void *elem);

/*
 * goro_chan_send_until - goro_chan_send() that gives up at the deadline (see GORO_FOREVER,
 * GORO_POLL).
 *
 * What is possible at once is done, even if the deadline is past. On a NULL channel it waits all
 * its time.
 * Returns 0, or
 *   -ETIMEDOUT  the deadline came first; nothing was sent
 *   -ECANCELED  the goroutine's context is cancelled; nothing was sent
 * Panics: "send on closed channel", also while it waits.
 */
GORO_API int goro_chan_send_until(goro_chan *c, const void *elem, int64_t deadline);

/*
 * goro_chan_recv_until - goro_chan_recv() that gives up at the deadline (see GORO_FOREVER,
 * GORO_POLL).
 *
 * What is possible at once is done, even if the deadline is past. On a NULL channel it waits all
 * its time.
 * Returns 0, or
 *   -ETIMEDOUT  the deadline came first; *elem is left alone
 *   -ECANCELED  the goroutine's context is cancelled; *elem is left alone
 *   -EPIPE      the channel is closed and drained; *elem is zeroed
 */
GORO_API int goro_chan_recv_until(goro_chan *c, void *elem, int64_t deadline);

/*
 * goro_chan_close - no more sends: receivers drain what is buffered, then get "closed". Does not
 * block.
 *
 * Every waiting receiver is woken, every waiting sender panics. The memory stays until the last
 * goro_chan_unref().
 * Panics: "close of closed channel"; "close of nil channel" when c is NULL.
 * Go: close(c).
 */
GORO_API void goro_chan_close(goro_chan *c);

/*
 * goro_chan_len, goro_chan_cap - the number of buffered elements, and how many fit.
 *
 * Both 0 for an unbuffered and for a NULL channel; waiting senders do not count. The length may be
 * old when it is returned, and orders no memory. Do not block. Go: len(c), cap(c).
 */
GORO_API size_t goro_chan_len(goro_chan *c);
GORO_API size_t goro_chan_cap(goro_chan *c);

/*
 * goro_chan_ref - take one more reference, for another owner; returns c. NULL stays NULL. Does not
 * block.
 *
 * goro_chan_unref - give a reference back; the last one frees the channel, with what is still
 * buffered (elements are bytes: what they point to is the program's). NULL is left alone. Does not
 * close: nobody may wait on the channel when its last reference goes, but calls that have been
 * woken are safe. Does not block.
 *
 * Go: none; the garbage collector does it.
 */
GORO_API goro_chan *goro_chan_ref(goro_chan *c);
GORO_API void goro_chan_unref(goro_chan *c);

/*
 * goro_put - goro_chan_send() by value. c and value are evaluated once.
 *
 *   goro_put(c, 1);                      on a channel of int
 *   goro_put(c, (int64_t)1);             on a channel of int64_t: a plain 1 is an int, which panics
 *   goro_put(c, (int)'x');               on a channel of int: in C++ 'x' is a char
 *   goro_put(c, (struct point){1, 2});
 *
 * The value has its own type (an array is a pointer to its first element, as for a function's
 * argument); the macro does not know the channel's, so nothing is converted, and only the sizes are
 * compared.
 * Panics: "goro_put: value of N bytes on a channel of M-byte elements"; "send on closed channel";
 *         "context canceled".
 */

/*
 * goro_get - goro_chan_recv() by value. c is evaluated once.
 *
 *   int n = goro_get(c, int);
 *
 * Returns the element, a T; one of zero bytes only when the channel is closed and drained.
 * Panics: "goro_get: value of N bytes on a channel of M-byte elements"; "context canceled".
 */
/* clang-format off */
#ifdef __cplusplus
#define GORO_V_(v, ...) const auto v = (__VA_ARGS__)
#define GORO_BYTES_(T)                                                                     \
	static_assert(::std::is_trivially_copyable<T>::value, "channels copy bytes only")
#else
#define GORO_V_(v, ...) __typeof__((void)0, (__VA_ARGS__)) v = (__VA_ARGS__)
#define GORO_BYTES_(T) _Static_assert(1, "")
#endif
/* Each use has names of its own: one in another's argument shadows nothing (-Wshadow). */
#define GORO_NAMED_(macro, n, ...) macro(goro_c_##n, goro_v_##n, __VA_ARGS__)
#define GORO_NUMBERED_(macro, n, ...) GORO_NAMED_(macro, n, __VA_ARGS__)
#define goro_put(c, ...) GORO_NUMBERED_(GORO_PUT_, __COUNTER__, c, __VA_ARGS__)
#define GORO_PUT_(chan_, v_, c, ...)                                                       \
	__extension__({                                                                    \
		goro_chan *chan_ = (c);                                                    \
		GORO_V_(v_, __VA_ARGS__);                                                  \
		GORO_BYTES_(decltype(v_));                                                 \
		goro_put_(chan_, (const void *)&v_, sizeof(v_));                           \
	})
#define goro_get(c, T) GORO_NUMBERED_(GORO_GET_, __COUNTER__, c, T)
#define GORO_GET_(chan_, v_, c, T)                                                         \
	__extension__({                                                                    \
		goro_chan *chan_ = (c);                                                    \
		T v_;                                                                      \
		GORO_BYTES_(T);                                                            \
		goro_get_(chan_, &v_, sizeof(v_));                                         \
		v_;                                                                        \
	})
/* clang-format on */

GORO_API void goro_put_(goro_chan *c, const void *value, size_t size);
GORO_API void goro_get_(goro_chan *c, void *value, size_t size);

/* -------------------------------------------------------------------------------------------------
 * Select
 *
 * Wait for whichever of several sends and receives is possible first, and do that one.
 *
 *   switch (goro_select_of(goro_now() + GORO_MS(100), GORO_RECV(jobs, &job),
 *                          GORO_SEND(results, &result), GORO_RECV(quit, NULL))) {
 *   case 0: ...                                  job was received
 *   case 1: ...                                  result was sent
 *   case 2: ...                                  quit was closed, or somebody sent on it
 *   case -ETIMEDOUT: ...                         none, for 100 ms
 *   }
 */

/* One case of a select: made by GORO_RECV() and the like. Zeroed, it is never chosen. */
typedef struct goro_case {
	goro_chan *chan; /* NULL: never chosen */
	void *elem;	 /* where the element goes to, or comes from; NULL: as for recv and send */
	bool *ok;	 /* GORO_RECV_OK, or NULL */
	bool is_send;
} goro_case;

/*
 * GORO_RECV, GORO_RECV_OK, GORO_SEND - a goro_case: receive into *ptr; the same, and *okptr becomes
 * what goro_chan_recv() would return; send what is at ptr.
 *
 *   goro_case cases[2] = {GORO_RECV(a, &x), GORO_SEND(b, &y)};
 *   cases[0] = GORO_RECV_OK(c, &x, &ok);
 *
 * ptr may be NULL for a receive (the element is dropped), and for a send of elements of size 0.
 * Only the case that is chosen is written to.
 */
/* clang-format off */
#ifdef __cplusplus
#define GORO_CASE_(...)     (goro_case{__VA_ARGS__})
#else
#define GORO_CASE_(...)     ((goro_case){__VA_ARGS__})
#endif
#define GORO_RECV(c, ptr)           GORO_CASE_((c), (ptr), NULL, false)
#define GORO_RECV_OK(c, ptr, okptr) GORO_CASE_((c), (ptr), (okptr), false)
#define GORO_SEND(c, ptr)                                                                  \
	GORO_CASE_((c), (void *)(uintptr_t)(const void *)(ptr), NULL, true)
/* clang-format on */

/*
 * goro_select - do one of n cases, as soon as one is possible; the index of the case done.
 *
 * If several are possible, each is as likely to be chosen as any other. What is possible at once is
 * done, even if the deadline is past; with GORO_POLL, -ETIMEDOUT says that no case was possible,
 * all of them at one and the same moment: Go's default. With GORO_FOREVER it blocks until one is.
 * Cases on NULL channels are left out; if that leaves none, it waits all its time. A receive from a
 * closed and drained channel is possible: *ptr is zeroed and *okptr false. A channel may stand in
 * several cases, as sender too: a select never meets itself. The order of waiting senders and
 * receivers counts selects in.
 *
 * Up to 16 cases need no memory. The array must stay as it is until the call returns. A plain
 * thread may call it.
 *
 * Returns the index, or
 *   -ETIMEDOUT  the deadline came first; nothing was sent, received or written
 *   -ECANCELED  the goroutine's context is cancelled; likewise
 *   -ENOMEM     more than 16 cases, and no memory for them; likewise
 * Panics: "send on closed channel" when it chooses a send on a channel that is closed, also while
 *         it waits; "goro_select: too many cases" when n > INT_MAX.
 * Order: that of the operation that was done.
 * Go: select; reflect.Select for a number of cases that is not fixed.
 */
GORO_API int goro_select(goro_case *cases, size_t n, int64_t deadline);

/*
 * goro_select_of - goro_select() with the cases written in place: any number of them.
 *
 *   goro_select_of(GORO_POLL, GORO_RECV(a, &x), GORO_SEND(b, &y))
 *
 * deadline is evaluated once, after the cases.
 */
/* clang-format off */
#define goro_select_of(deadline, ...)                                                      \
	GORO_NUMBERED_(GORO_SELECT_OF_, __COUNTER__, deadline, __VA_ARGS__)
#define GORO_SELECT_OF_(cases_, v_, deadline, ...)                                         \
	__extension__({                                                                    \
		goro_case cases_[] = {__VA_ARGS__};                                        \
		goro_select(cases_, sizeof(cases_) / sizeof(goro_case), (deadline));       \
	})
/* clang-format on */

/* -------------------------------------------------------------------------------------------------
 * Timers
 *
 * All of these calls may be made from any goroutine and any plain thread, for the same timer too,
 * and never block for long. They need a runtime: when a run ends its timers stop, without a trace
 * of it; they can be freed, or reset in the next run. A time past the end of the clock never comes.
 *
 * A timer that waits for its time keeps the report of a deadlock away, however long it is; one that
 * was stopped, or has fired, does not.
 */
typedef struct goro_timer goro_timer;

/*
 * goro_timer_func - call fn(arg) in a goroutine of its own when ns nanoseconds have passed; at once
 * if ns <= 0.
 *
 * fn may block, stop and free the timer, and use everything else. What was done before this call
 * (or goro_timer_reset) happens before fn is called.
 *
 * Returns NULL when there is no memory or no runtime is running.
 * Panics: "go of nil func value" when fn is NULL.
 * Fatal: "out of memory: no goroutine for the function of a timer" when it has come so far.
 * Go: time.AfterFunc.
 */
GORO_API goro_timer *goro_timer_func(int64_t ns, void (*fn)(void *), void *arg);

/*
 * goro_timer_chan - send the time, an int64_t as of goro_now(), on the timer's own channel when ns
 * nanoseconds have passed; at once if ns <= 0.
 *
 * The value waits there until it is received, or withdrawn by goro_timer_stop(), goro_timer_reset()
 * or goro_timer_free(): one value goes to one receiver.
 *
 * Returns NULL when there is no memory or no runtime is running.
 * Go: time.NewTimer.
 */
GORO_API goro_timer *goro_timer_chan(int64_t ns);

/*
 * goro_ticker - send the time on the timer's own channel every period nanoseconds, until it is
 * stopped.
 *
 * A tick that comes while the one before still lies there is dropped; those that follow keep to the
 * rhythm. Freed by goro_timer_free(), as all timers.
 *
 * Returns NULL when there is no memory or no runtime is running.
 * Panics: "non-positive interval for NewTicker" when period <= 0.
 * Go: time.NewTicker.
 */
GORO_API goro_timer *goro_ticker(int64_t period);

/*
 * goro_timer_c - the channel of a timer or ticker, which carries int64_t; NULL for
 * goro_timer_func().
 *
 * It belongs to the timer: whoever receives from it after goro_timer_free() has returned, or still
 * waits then, needs a reference of its own (goro_chan_ref). goro_chan_len() and goro_chan_cap() of
 * it are 0. Only receive from it.
 *
 * Panics: "time: C of uninitialized Timer" when t is NULL.
 * Go: Timer.C, Ticker.C.
 */
GORO_API goro_chan *goro_timer_c(goro_timer *t);

/*
 * goro_timer_stop - do not fire.
 *
 * Returns true when the timer was to fire: no value was received and fn was not started, and
 * neither will be. A value that was sent and not received is withdrawn, which counts as stopped:
 * every receive that begins after the return waits. False when it was too late, or the timer was
 * stopped already; fn may then still run.
 * Panics: "time: Stop called on uninitialized Timer" when t is NULL, or (found mostly) was freed.
 * Go: Timer.Stop, Ticker.Stop, as of Go 1.23.
 */
GORO_API bool goro_timer_stop(goro_timer *t);

/*
 * goro_timer_reset - stop, and fire ns nanoseconds from now (at once if ns <= 0); a ticker then
 * ticks with period ns.
 *
 * May be called in any state of the timer. A receive that begins after the return gets no value of
 * the earlier setting. When no runtime is running the timer is only stopped.
 *
 * Returns what goro_timer_stop() would have returned.
 * Panics: "time: Reset called on uninitialized Timer" as goro_timer_stop(); "non-positive interval
 *         for Ticker.Reset" for a ticker and ns <= 0.
 * Fatal: "out of memory: no room for N timers", as every call that arms a timer.
 * Go: Timer.Reset, Ticker.Reset, as of Go 1.23.
 */
GORO_API bool goro_timer_reset(goro_timer *t, int64_t ns);

/*
 * goro_timer_free - stop the timer and give its memory back; NULL does nothing.
 *
 * Also while it fires, and in its own fn. The last call for this timer.
 * Panics: "time: Free called on uninitialized Timer" when it was freed before (found mostly).
 * Go: the garbage collector.
 */
GORO_API void goro_timer_free(goro_timer *t);

/* -------------------------------------------------------------------------------------------------
 * Synchronisation
 *
 * Objects of the program's own: in a structure, on a stack, anywhere. All of them are ready for use
 * when zeroed, need no destroying, and may be freed as soon as the program's last call on them has
 * returned (a wait that returned counts for the unlock, signal, done or release that ended it).
 * They work between goroutines and plain threads alike. They must not be copied or moved after
 * their first use. What is inside is not for programs.
 *
 * The calls that end in _until give up at a deadline (GORO_FOREVER, GORO_POLL): what is possible at
 * once is done, even if it is past. They return
 *   0
 *   -ETIMEDOUT  the deadline came first
 *   -ECANCELED  the goroutine's context is cancelled, or was while it waited
 * and what they did not do leaves no trace. A lock without a deadline is had whatever the context
 * says, so that code which cleans up can lock.
 */

/*
 * A mutex. Who comes while it is free gets it; waiters are woken first come first served, and one
 * that has waited for a millisecond in all is handed it, so that none starves. Not recursive. It
 * belongs to no goroutine: another may unlock it. It stays locked when its holder panics or ends.
 *
 * Order: an unlock happens before the lock that follows it returns. Go: sync.Mutex.
 */
typedef struct goro_mutex {
	uint64_t goro_[4];
} goro_mutex;

/*
 * goro_mutex_lock - lock it; block until that is possible.
 *
 * Go: Mutex.Lock.
 */
GORO_API void goro_mutex_lock(goro_mutex *m);

/*
 * goro_mutex_lock_until - goro_mutex_lock() that gives up at the deadline.
 *
 * Returns 0, -ETIMEDOUT or -ECANCELED.
 */
GORO_API int goro_mutex_lock_until(goro_mutex *m, int64_t deadline);

/*
 * goro_mutex_trylock - lock it if it is free. Does not block.
 *
 * Returns true when it was. Go: Mutex.TryLock.
 */
GORO_API bool goro_mutex_trylock(goro_mutex *m);

/*
 * goro_mutex_unlock - unlock it. Does not block.
 *
 * Fatal: "sync: unlock of unlocked mutex".
 * Go: Mutex.Unlock.
 */
GORO_API void goro_mutex_unlock(goro_mutex *m);

/*
 * A lock for any number of readers or one writer, strictly first come first served: a waiting
 * writer stops readers that come later (so a reader that locks twice may wait for itself), and they
 * get in together when it is through.
 *
 * Order: an unlock of the writer happens before the locks that follow it return; the unlocks of
 * readers happen before the next writer's lock returns. Go: sync.RWMutex.
 */
typedef struct goro_rwmutex {
	uint64_t goro_[4];
} goro_rwmutex;

/* goro_rwmutex_rdlock - lock it as a reader; block until that is possible. Go: RWMutex.RLock. */
GORO_API void goro_rwmutex_rdlock(goro_rwmutex *rw);

/* goro_rwmutex_wrlock - lock it as the writer; block until that is possible. Go: RWMutex.Lock. */
GORO_API void goro_rwmutex_wrlock(goro_rwmutex *rw);

/*
 * goro_rwmutex_rdlock_until, goro_rwmutex_wrlock_until - goro_rwmutex_rdlock() and
 * goro_rwmutex_wrlock() that give up at the deadline.
 *
 * A writer that gives up lets in the readers that waited behind it.
 * Return 0, -ETIMEDOUT or -ECANCELED.
 */
GORO_API int goro_rwmutex_rdlock_until(goro_rwmutex *rw, int64_t deadline);
GORO_API int goro_rwmutex_wrlock_until(goro_rwmutex *rw, int64_t deadline);

/*
 * goro_rwmutex_tryrdlock, goro_rwmutex_trywrlock - lock it if that is possible at once, and nobody
 * waits. Do not block.
 *
 * Return true when it is locked. Go: RWMutex.TryRLock, RWMutex.TryLock.
 */
GORO_API bool goro_rwmutex_tryrdlock(goro_rwmutex *rw);
GORO_API bool goro_rwmutex_trywrlock(goro_rwmutex *rw);

/*
 * goro_rwmutex_rdunlock - undo one goro_rwmutex_rdlock(). Does not block.
 *
 * Fatal: "sync: RUnlock of unlocked RWMutex" when no reader has it locked.
 * Go: RWMutex.RUnlock.
 */
GORO_API void goro_rwmutex_rdunlock(goro_rwmutex *rw);

/*
 * goro_rwmutex_wrunlock - undo goro_rwmutex_wrlock(). Does not block.
 *
 * Fatal: "sync: Unlock of unlocked RWMutex" when no writer has it locked.
 * Go: RWMutex.Unlock.
 */
GORO_API void goro_rwmutex_wrunlock(goro_rwmutex *rw);

/*
 * A condition variable: wait, with a mutex locked, until another says that something has changed.
 *
 *   goro_mutex_lock(&m);
 *   while (!ready)
 *           goro_cond_wait(&c, &m);
 *
 * Order: a signal happens before the wait that it ended returns. Go: sync.Cond, whose L is the
 * mutex.
 */
typedef struct goro_cond {
	uint64_t goro_[5];
} goro_cond;

/*
 * goro_cond_wait - unlock m, block until woken, lock m again.
 *
 * m is unlocked only when the waiter is in the queue: who locks m after it and then signals, wakes
 * it. It returns only when woken, but others may have been there in between: look again. m must be
 * locked; it is so again when the call returns, and when it panics.
 * Panics: "context canceled"; "sync.Cond is copied" when c was used at another address before.
 * Fatal: "sync: unlock of unlocked mutex".
 * Go: Cond.Wait.
 */
GORO_API void goro_cond_wait(goro_cond *c, goro_mutex *m);

/*
 * goro_cond_wait_until - goro_cond_wait() that gives up at the deadline.
 *
 * m is locked again, whatever it returns. With a deadline that is past already, m stays locked.
 * Returns 0 (woken), -ETIMEDOUT or -ECANCELED.
 * Panics: "sync.Cond is copied". Fatal: "sync: unlock of unlocked mutex".
 */
GORO_API int goro_cond_wait_until(goro_cond *c, goro_mutex *m, int64_t deadline);

/*
 * goro_cond_signal - wake the one that has waited longest; it is not remembered when nobody waits.
 * Does not block. m may be locked or not.
 *
 * Panics: "sync.Cond is copied".
 * Go: Cond.Signal.
 */
GORO_API void goro_cond_signal(goro_cond *c);

/*
 * goro_cond_broadcast - wake all that wait now. Does not block. m may be locked or not.
 *
 * Panics: "sync.Cond is copied".
 * Go: Cond.Broadcast.
 */
GORO_API void goro_cond_broadcast(goro_cond *c);

/*
 * A wait group: a counter of things to be done, and waiting until it is 0.
 *
 * Order: a done happens before the wait that it ended, or that found 0, returns. Go:
 * sync.WaitGroup.
 */
typedef struct goro_waitgroup {
	uint64_t goro_[4];
} goro_waitgroup;

/*
 * goro_waitgroup_add - add n, which may be negative, to the counter. At 0 all that wait are woken.
 *
 * Add before the goroutine is started, not inside it: a wait that finds 0 returns. The next round
 * may begin as soon as one wait has returned. Does not block.
 * Panics: "sync: negative WaitGroup counter", also when it would exceed INT32_MAX; the counter is
 *         then as before.
 * Go: WaitGroup.Add.
 */
GORO_API void goro_waitgroup_add(goro_waitgroup *wg, int n);

/* goro_waitgroup_done - goro_waitgroup_add(wg, -1). Go: WaitGroup.Done. */
GORO_API void goro_waitgroup_done(goro_waitgroup *wg);

/*
 * goro_waitgroup_wait - block until the counter is 0; return at once when it is.
 *
 * Panics: "context canceled".
 * Go: WaitGroup.Wait.
 */
GORO_API void goro_waitgroup_wait(goro_waitgroup *wg);

/*
 * goro_waitgroup_wait_until - goro_waitgroup_wait() that gives up at the deadline.
 *
 * Returns 0, -ETIMEDOUT or -ECANCELED.
 */
GORO_API int goro_waitgroup_wait_until(goro_waitgroup *wg, int64_t deadline);

/* Something to be done exactly once. Go: sync.Once. */
typedef struct goro_once {
	uint64_t goro_[4];
} goro_once;

/*
 * goro_once_do - call fn(arg) if this is the first call for that object; else, block until the
 * first one's fn is over.
 *
 * fn is over when it returns, panics or calls goro_exit(): it is not called again. A panic goes on
 * in whoever made the first call; the others return normally. fn must not call goro_once_do() for
 * the same object: it would wait for itself. Not ended by a cancelled context. When fn is over, a
 * call may be no more than a look at one word, in which the goroutine does not yield.
 * Panics: "goro_once_do of nil func value" when fn is NULL and was to be called.
 * Order: what fn did happens before any call returns.
 * Go: Once.Do.
 */
GORO_API void goro_once_do(goro_once *once, void (*fn)(void *), void *arg);
GORO_API void goro_once_do_(goro_once *once, void (*fn)(void *), void *arg);

/*
 * Where fn is over already, which the first word says, a compiler that optimizes needs no call. The
 * function is in the library all the same: for its address, and for everything else. Not where
 * ThreadSanitizer is to be told of the order.
 */
#if defined(__SANITIZE_THREAD__)
#define GORO_TSAN_
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GORO_TSAN_
#endif
#endif
#if defined(__OPTIMIZE__) && !defined(GORO_TSAN_)
typedef uint32_t __attribute__((__may_alias__)) goro_word_;
#define GORO_ONCE_DONE_ 4u
extern __inline__ __attribute__((__gnu_inline__, __always_inline__)) void
goro_once_do(goro_once *once, void (*fn)(void *), void *arg)
{
	const goro_word_ *state = (const goro_word_ *)(const void *)once;

	if (__builtin_expect(__atomic_load_n(state, __ATOMIC_ACQUIRE) != GORO_ONCE_DONE_, 0))
		goro_once_do_(once, fn, arg);
}
#endif

/*
 * A semaphore: a number of units, acquired and released several at a time, strictly first come
 * first served: one that wants many is not overtaken by those that want few. There may be up to
 * GORO_SEM_MAX units; zeroed, it has none. Units that were never acquired may be released.
 *
 * Order: a release happens before the acquire of those units returns. Go:
 * golang.org/x/sync/semaphore, which has a fixed size.
 */
typedef struct goro_sem {
	uint64_t goro_[4];
} goro_sem;

#define GORO_SEM_MAX (INT64_MAX / 4)

/*
 * goro_sem_init - give it n units, whatever it was before. Nobody may be using it. Does not block.
 *
 * Panics: "goro_sem_init: number out of range" when n < 0 or n > GORO_SEM_MAX.
 */
GORO_API void goro_sem_init(goro_sem *s, int64_t n);

/*
 * goro_sem_acquire - take n units; block until they are free and all who came before have theirs.
 *
 * Panics: "context canceled"; "goro_sem_acquire: number out of range" when n < 0 or
 *         n > GORO_SEM_MAX.
 * Go: Weighted.Acquire.
 */
GORO_API void goro_sem_acquire(goro_sem *s, int64_t n);

/*
 * goro_sem_acquire_until - goro_sem_acquire() that gives up at the deadline.
 *
 * Who gives up lets in those behind it, if they fit.
 * Returns 0, -ETIMEDOUT or -ECANCELED.
 * Panics: "goro_sem_acquire_until: number out of range".
 */
GORO_API int goro_sem_acquire_until(goro_sem *s, int64_t n, int64_t deadline);

/*
 * goro_sem_tryacquire - take n units if they are free and nobody waits. Does not block.
 *
 * Returns true when they were taken.
 * Panics: "goro_sem_tryacquire: number out of range".
 * Go: Weighted.TryAcquire.
 */
GORO_API bool goro_sem_tryacquire(goro_sem *s, int64_t n);

/*
 * goro_sem_release - give n units back, or add new ones. Does not block.
 *
 * Panics: "goro_sem_release: number out of range" when n < 0 or n > GORO_SEM_MAX;
 *         "goro_sem_release: too many units" when there would be more than GORO_SEM_MAX.
 * Go: Weighted.Release.
 */
GORO_API void goro_sem_release(goro_sem *s, int64_t n);

/* -------------------------------------------------------------------------------------------------
 * Cancellation
 *
 * A context is cancelled once, by a call or by its deadline, and with it all contexts that were
 * made under it. A goroutine may use one; what it spawns inherits it. While the context that a
 * goroutine uses is cancelled, each of its calls that may block returns -ECANCELED: one that waits
 * already, and any later one at its start, even if it could be done at once. Those that return no
 * error panic "context canceled": goro_chan_send(), goro_chan_recv(), goro_put(), goro_get(),
 * goro_sleep(), goro_sleep_until(), goro_cond_wait(), goro_sem_acquire(), goro_waitgroup_wait().
 * Uncaught, this panic ends the process like any other; only a child of a group ends quietly by it,
 * not a goroutine that such a child starts with go(). The forms with _until return instead, also
 * with GORO_FOREVER; so does goro_ctx_sleep(). Not cancelled are goro_mutex_lock(), the locks of a
 * goro_rwmutex, goro_once_do(), goro_group_wait(), and whatever does not block.
 *
 * A plain thread uses no context, but may make, cancel and ask them. Wherever a context is taken,
 * NULL stands for the background, which is never cancelled. A context may be used by several
 * goroutines and live longer than a run.
 *
 * References: the calls that make a context give the caller one. goro_ctx_use() exchanges one for
 * another. Whatever else takes a context leaves the caller's reference alone.
 *
 *   goro_ctx *ctx = goro_ctx_with_deadline(goro_ctx_current(), goro_now() + GORO_SEC(2));
 *   goro_ctx *before = goro_ctx_use(ctx);
 *   int n = fetch(url);                          no call in it, nor in what it spawns, waits longer
 *   goro_ctx_unref(goro_ctx_use(before));
 */
typedef struct goro_ctx goro_ctx;
typedef struct goro_after goro_after;

/* Bytes of a reason, its end included; what is longer is cut. */
#define GORO_CTX_REASON_MAX 128

/*
 * goro_ctx_background - the context above all others: never cancelled, without a deadline.
 *
 * It has no references to be counted: goro_ctx_unref() leaves it alone. A goroutine that is made to
 * use it uses none. Does not block. Go: context.Background.
 */
GORO_API goro_ctx *goro_ctx_background(void);

/*
 * goro_ctx_with_cancel - make a context under parent, to be cancelled by goro_ctx_cancel().
 *
 * Under a cancelled parent it is cancelled at birth. It need not be cancelled before its last
 * reference is given back. The caller holds one reference. Does not block; may be called before
 * goro_run().
 * Returns NULL when there is no memory.
 * Go: context.WithCancelCause.
 */
GORO_API goro_ctx *goro_ctx_with_cancel(goro_ctx *parent);

/*
 * goro_ctx_with_deadline - goro_ctx_with_cancel(), and it is cancelled when the deadline comes.
 *
 * The parent's deadline holds too, when it is earlier. One that is past already cancels at birth;
 * with GORO_FOREVER there is none. While no runtime runs nobody watches the clock: then
 * goro_ctx_error() does, for the context that it is asked about.
 * Go: context.WithDeadline.
 */
GORO_API goro_ctx *goro_ctx_with_deadline(goro_ctx *parent, int64_t deadline);

/*
 * goro_ctx_ref - take one more reference, for another owner; returns ctx. Does not block.
 *
 * goro_ctx_unref - give a reference back; the last one frees the context, without cancelling it.
 * NULL is left alone. Does not block.
 */
GORO_API goro_ctx *goro_ctx_ref(goro_ctx *ctx);
GORO_API void goro_ctx_unref(goro_ctx *ctx);

/*
 * goro_ctx_cancel - cancel ctx and all contexts under it: a parent before its children, children in
 * the order in which they were made.
 *
 * For each of them: waits of goroutines that use it end, its done channel is closed, the functions
 * of goro_ctx_after() start. When the call returns, all of them are cancelled, also if somebody
 * else cancels at the same time (who then may be a moment late with the channels and functions of
 * those that he was first at). What is cancelled already stays as it is; the background cannot be
 * cancelled. Does not block. Any thread may call it.
 *
 * goro_ctx_cancel_reason - the same, and goro_ctx_reason() gives the text from then on; copied, cut
 * at GORO_CTX_REASON_MAX - 1 bytes. NULL, or out of memory, is the usual text. Does not block.
 *
 * Order: what the caller wrote before is visible to whoever sees the cancellation.
 * Go: the CancelFunc, the CancelCauseFunc.
 */
GORO_API void goro_ctx_cancel(goro_ctx *ctx);
GORO_API void goro_ctx_cancel_reason(goro_ctx *ctx, const char *reason);

/*
 * goro_ctx_error - 0; or why it was cancelled:
 *   -ECANCELED  by a call
 *   -ETIMEDOUT  by its deadline, or that of a context above
 *
 * For loops that make no call that blocks. Does not block. Go: ctx.Err.
 */
GORO_API int goro_ctx_error(goro_ctx *ctx);

/*
 * goro_ctx_reason - "context canceled", "context deadline exceeded", or the reason that was given,
 * to this context or to the one above by which it was cancelled; NULL when it is not cancelled.
 *
 * The text lives as long as the context. Does not block. Go: context.Cause.
 */
GORO_API const char *goro_ctx_reason(goro_ctx *ctx);

/*
 * goro_ctx_deadline - the earliest deadline of the context and those above; GORO_FOREVER: none.
 *
 * Does not block. Go: ctx.Deadline.
 */
GORO_API int64_t goro_ctx_deadline(goro_ctx *ctx);

/*
 * goro_ctx_done - a channel without elements that is closed when the context is cancelled: for
 * select.
 *
 * Made at the first call, always the same then, and borrowed: it lives as long as the context.
 * NULL for the background. Receiving from it in a goroutine that uses the cancelled context itself
 * is cancelled like any other receive. Does not block.
 * Panics: "goro_ctx_done: out of memory".
 * Go: ctx.Done.
 */
GORO_API goro_chan *goro_ctx_done(goro_ctx *ctx);

/*
 * goro_ctx_use - make ctx the calling goroutine's own, and return the one that it used before.
 *
 * The goroutine takes over the caller's reference to ctx, and the caller gets the goroutine's to
 * the one before (NULL: it used none). So
 *   goro_ctx_unref(goro_ctx_use(goro_ctx_ref(ctx)));     uses ctx for good
 *   before = goro_ctx_use(NULL); ...; goro_ctx_use(before);     shields what is between
 * A goroutine that ends gives its reference back. A jump out of the code between (goro_panic(),
 * goro_exit()) leaves the context as it is. Does not block.
 * Panics: "goro_ctx_use outside a goroutine" in a plain thread.
 * Go: none; there the context is a parameter.
 */
GORO_API goro_ctx *goro_ctx_use(goro_ctx *ctx);

/*
 * goro_ctx_current - the context that the calling goroutine uses, borrowed; NULL: none, as in every
 * plain thread. Does not block.
 */
GORO_API goro_ctx *goro_ctx_current(void);

/*
 * goro_ctx_after - when ctx is cancelled, run fn(arg) once, in a goroutine of its own that uses no
 * context. At once when it is cancelled already.
 *
 * Functions of one context start in the order in which they were given. When no runtime runs, fn is
 * called by the thread that cancels. What is returned must be given to goro_ctx_after_stop() once,
 * whether fn has run or not. Does not block.
 *
 * Returns NULL when there is no memory; then fn will not run.
 * Panics: "go of nil func value" when fn is NULL.
 * Fatal: "out of memory: ..." when there is no memory for the goroutine, later.
 * Go: context.AfterFunc.
 *
 * goro_ctx_after_stop - true: fn has not started and will not; false: it has started, or will in a
 * moment (it is not waited for). `after` is not valid any more. NULL: false. Does not block.
 */
GORO_API goro_after *goro_ctx_after(goro_ctx *ctx, void (*fn)(void *), void *arg);
GORO_API bool goro_ctx_after_stop(goro_after *after);

/*
 * goro_ctx_sleep, goro_ctx_sleep_until - goro_sleep(), goro_sleep_until(), which return when they
 * are cancelled.
 *
 * Returns 0 when the time has passed, or
 *   -ECANCELED  the context that the calling goroutine uses is cancelled
 */
GORO_API int goro_ctx_sleep(int64_t ns);
GORO_API int goro_ctx_sleep_until(int64_t deadline);

/* -------------------------------------------------------------------------------------------------
 * Groups
 *
 * A group starts goroutines and waits for them: none of them outlives the scope in which the group
 * stands.
 *
 *   GORO_GROUP(group);
 *   for (int i = 0; i < n; i++)
 *           goro_group_go(&group, fetch, &pages[i]);     int fetch(void *)
 *   int error = goro_group_wait(&group);                 the first that is not 0
 *
 * The children use a context of the group's, under the one that the goroutine used when it made the
 * group. The first child that returns an error cancels it, and so the others. A child that ends by
 * the panic "context canceled" of the library, which nobody caught, ends quietly, as if it had
 * returned -ECANCELED; any other panic is as in every goroutine. A child that calls goro_exit()
 * returned 0. Of a child that has ended nothing is kept, so that a server may run all its
 * connections in one group.
 *
 * Whoever makes a group, waits for it and ends it is its owner: one goroutine or plain thread.
 * Children may call goro_group_go(), goro_group_cancel() and goro_group_ctx() of their own group,
 * but must not wait for it. Groups nest. Go: errgroup.WithContext; ours is bound to a scope.
 */
typedef struct goro_group {
	void *goro_reserved_[16];
} goro_group;

/*
 * GORO_GROUP - declare a group that ends with the scope: a declaration, where one may stand.
 *
 * Leaving the scope by its end, return, break, continue or goto waits for the children (as
 * goro_group_end(), whose result is lost: wait before). Leaving it by goro_panic() or goro_exit(),
 * in C++ also by an exception, cancels them first. longjmp() out of it is not allowed.
 */
#ifdef __cplusplus
#define GORO_GROUP(name) ::goro_cxx_::group name
#else
#define GORO_GROUP(name)                                                                   \
	goro_group name;                                                                   \
	goro_group *name##_goro_                                                           \
		__attribute__((__cleanup__(goro_group_cleanup_), __unused__)) =            \
			goro_group_init(&name)
#endif

/*
 * goro_group_init - make a group by hand; returns g. goro_group_end() must follow in the same
 * function. Does not block, and needs no memory.
 *
 * goro_group_end - wait as goro_group_wait(), which see for the result, and be done with the group.
 * Panics: "goro_group_end by another goroutine than its owner".
 */
GORO_API goro_group *goro_group_init(goro_group *g);
GORO_API int goro_group_end(goro_group *g);

/*
 * goro_group_go - start a child that runs fn(arg); what it returns is 0 or an error.
 *
 * Does not block. Order: the call happens before fn starts; the end of fn, and of what it deferred,
 * happens before goro_group_wait() returns.
 *
 * Returns 0, or, and then nothing was started,
 *   -ECANCELED  the group is cancelled
 *   -ENOMEM     no memory
 *   -EPERM      no runtime runs
 * Panics: "go of nil func value" when fn is NULL.
 */
GORO_API int goro_group_go(goro_group *g, int (*fn)(void *), void *arg);

/*
 * goro_group_wait - block until all children have ended.
 *
 * Is not cancelled: the children are, through the context above them. Then the group is as new.
 * Returns the error of the child that was first to fail, -ECANCELED for one that ended quietly
 * (goro_ctx_error() of the context above tells why, a deadline for example); 0 when all returned 0,
 * or there were none. goro_group_cancel() alone is no error.
 */
GORO_API int goro_group_wait(goro_group *g);

/*
 * goro_group_cancel - cancel the children's context. Until the next wait, no new child starts.
 *
 * Does not block. May be called by whoever knows that the group still stands.
 */
GORO_API void goro_group_cancel(goro_group *g);

/*
 * goro_group_ctx - the children's context, borrowed: until the group is waited for. Does not block.
 * Returns NULL when there is no memory.
 */
GORO_API goro_ctx *goro_group_ctx(goro_group *g);

/* For the end of a scope with GORO_GROUP; abandon: in C++, with an exception on its way. */
GORO_API int goro_group_abandon_(goro_group *g);
#ifndef __cplusplus
static inline void goro_group_cleanup_(goro_group **g)
{
	(void)goro_group_end(*g);
}
#endif

/* -------------------------------------------------------------------------------------------------
 * Panic, defer
 */

/*
 * goro_panic - give up: run the goroutine's deferred calls, last in first out, then end the
 * process.
 *
 * The message is made as by printf. A goro_try() around catches it, the library's own panics
 * likewise. When nobody does: "panic: MESSAGE", an empty line, "goroutine N [running]:" and the
 * stack on standard error, and _exit(2): what stdio still buffers is not written, and functions of
 * atexit() do not run. In a plain thread there are no deferred calls. Does not return.
 * Go: panic.
 */
GORO_API void goro_panic(const char *fmt, ...)
	__attribute__((__noreturn__, __format__(__printf__, 1, 2)));

/*
 * goro_defer - call fn(arg) when the goroutine returns, exits or panics; last in, first out.
 *
 * Inside goro_try(), when that ends. Other than in Go, a plain function's return runs nothing. Does
 * not block; fn may. A goro_exit() or panic inside fn goes on with the deferred calls that are
 * left.
 * Panics: "goro_defer outside a goroutine" in a plain thread; "goro_defer of nil func value" when
 *         fn is NULL;
 *         "goro_defer: out of memory".
 * Go: defer.
 */
GORO_API void goro_defer(void (*fn)(void *), void *arg);

/*
 * goro_try - call fn(arg), and catch its panic. What fn deferred runs before goro_try returns,
 * either way.
 *
 * A goro_exit() inside is not caught. Blocks as long as fn does. The frames of fn are left as by
 * longjmp(): a lock that they held is still held, and C++ destructors do not run. A C++ exception
 * that leaves fn, or a deferred call, ends the process by std::terminate().
 *
 * Returns true when fn returned; false when it panicked, with the message in msg (up to msg_size
 * bytes with the ending NUL, cut to fit; msg may be NULL).
 * Panics: "goro_try of nil func value" when fn is NULL.
 * Go: a deferred function that calls recover.
 */
GORO_API bool goro_try(void (*fn)(void *), void *arg, char *msg, size_t msg_size);

/* -------------------------------------------------------------------------------------------------
 * Signals
 *
 * A signal that the kernel sends to the process, or to one of its threads, as an int on a channel.
 *
 *   goro_chan *c = goro_chan_of(int, 1);
 *   goro_signal_notify(c, SIGTERM);
 *   int signo = goro_get(c, int);
 */

/*
 * goro_signal_notify - from now on, send signo over the channel c, whose elements are ints, each
 * time that the signal arrives.
 *
 * The send does not wait: a signal for which the channel has neither room nor a receiver is dropped
 * there, so give it a buffer of one place, or more when each of many counts; what is closed gets
 * nothing. Standard signals of one number that come while one waits in the kernel are one for it.
 * Any number of channels may be notified of a signal, and each gets it; the same channel again
 * changes nothing. The runtime keeps a reference to c until goro_signal_stop() or the end of the
 * run.
 *
 * A handler of the library's takes the place of the program's, or of what the system does by
 * default, until the last channel of the signal is stopped; a handler that the program installs
 * meanwhile takes its place in turn, and c gets nothing. It runs with SA_RESTART; calls that this
 * does not restart return EINTR. It does not matter which threads block the signal: one of the
 * runtime's own has it unblocked. While a signal is notified, no deadlock is reported. Of SIGURG
 * those come that the program sends, not those with which the library stops goroutines. After
 * execve() the signal does what it does by default; in a child of fork() it is as before the call.
 *
 * Does not block. May be called by a plain thread while a runtime runs.
 * Returns 0, or
 *   -EINVAL  signo is no signal, or one that cannot be had: SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,
 *            SIGFPE, SIGILL, and those that libc keeps; or the elements of c are no ints
 *   -ENOMEM  no memory
 *   -EPERM   no runtime runs
 * Panics: "os/signal: Notify using nil channel" when c is NULL.
 * Order: what happened before the signal was sent by a thread of this process is not ordered by it.
 * Go: signal.Notify; there SIGSEGV and the like are accepted when another process sends them.
 */
GORO_API int goro_signal_notify(goro_chan *c, int signo);

/*
 * goro_signal_stop - do not send signo over c any more.
 *
 * When it returns, what arrived before the call has been sent (or dropped), and nothing more comes.
 * If c was the last channel, the handler that was there before the first goro_signal_notify() of
 * the signal is there again, unless the program has put up another one.
 *
 * Does not block. May be called by a plain thread.
 * Returns 0, or
 *   -ENOENT  c is not notified of signo, or no runtime runs
 * Go: signal.Stop, signal.Reset.
 */
GORO_API int goro_signal_stop(goro_chan *c, int signo);

/* -------------------------------------------------------------------------------------------------
 * Looking inside
 */

/*
 * goro_dump - write every goroutine to the descriptor fd: number, name, state and for how long,
 * where it was made, stack.
 *
 * Blocks while it looks: the world is stopped. Write errors are ignored, and a broken pipe raises
 * no SIGPIPE; a descriptor with O_NONBLOCK that takes nothing for 2 seconds loses what it does not
 * take at once. In a plain thread it works as well; when no runtime runs, it writes nothing.
 * SIGQUIT does the same to standard error and ends the process with status 2.
 * Go: runtime.Stack with all = true.
 */
GORO_API void goro_dump(int fd);

/* -------------------------------------------------------------------------------------------------
 * The go statement
 */

/*
 * go - start a goroutine that calls fn(args...), with 0 to 8 arguments of any types. A statement.
 *
 *   go(serve, fd, "name", 2.5, ((struct point){1, 2}));
 *
 * The parentheses round the last argument are needed in C: the preprocessor splits at commas
 * between braces.
 *
 * fn and the arguments are evaluated once, by the caller, in no fixed order. fn may be a function
 * or any expression of pointer-to-function type; what it returns is dropped. The arguments are
 * copied, arrays as pointers to their first element; the usual conversions of a C call apply (go(f,
 * 1) calls a void f(double) with 1.0), but in C a 0 is an int, no null pointer: write NULL. In C++,
 * fn may also be a function object, and arguments with constructors are moved into the goroutine
 * and destroyed when the call returns (not when it leaves by goro_exit() or a panic).
 *
 * Does not block. May be called by a goroutine and, while a runtime runs, by a plain thread.
 * Panics: "go of nil func value" when fn is NULL (a literal NULL does not compile);
 *         "function arguments too large for new goroutine" when they have more than 1024 bytes
 *         altogether;
 *         "go: out of memory"; "go: no runtime is running".
 * Order: the call happens before fn starts.
 * Go: go fn(args...).
 *
 * How it works, and what was tried: docs/internals/go-macro.md.
 */

/* Where a goroutine was made; the runtime keeps the pointer. */
struct goro_site_ {
	const char *func; /* the function that says go() */
	const char *file;
	int line;
	unsigned int args_size; /* of all arguments, without padding (C++: only if > 1024) */
	const char *fn;		/* the text of the first argument */
};

/*
 * goro_go_ - what go() comes down to: a goroutine that calls unpack with a copy of size bytes at
 * data.
 *
 * The copy is made before the return, aligned to 16 bytes, and lives until unpack returns. size is
 * greater than site->args_size: it counts fn, padding, and clang's block header, so that the limit
 * of 1024 is for site->args_size. fn is the user's function, for the check for NULL and for dumps.
 */
GORO_API void goro_go_(void (*unpack)(void *), const void *data, size_t size, void (*fn)(void),
		       const struct goro_site_ *site);

#ifdef __cplusplus
} /* extern "C" */
#endif

/* The rest is macros, blocks and C++. */
/* clang-format off */

#ifndef __cplusplus

/* go(fn, a, b) is GORO_GO_2_(fn, a, b). */
#define go(...)                                                                            \
	GORO_GO_PICK_(__VA_ARGS__, MANY_, MANY_, MANY_, MANY_, MANY_, MANY_, MANY_, MANY_, MANY_,  \
		      MANY_, MANY_, MANY_, MANY_, MANY_, MANY_, MANY_, MANY_, MANY_, MANY_, MANY_, \
		      MANY_, MANY_, MANY_, MANY_, 8_, 7_, 6_, 5_, 4_, 3_, 2_, 1_, 0_, )(__VA_ARGS__)
#define GORO_GO_PICK_(fn, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, a2, b2, c2, d2, e2, f2,  \
		      g2, h2, i2, j2, k2, l2, m2, n2, o2, p2, N, ...)                              \
	GORO_GO_##N
#define GORO_GO_MANY_(...)                                                                 \
	__extension__({ _Static_assert(0, "go() takes at most 8 arguments"); })

/* The type of x as a function's argument: arrays and functions become pointers, qualifiers go. */
#define GORO_T_(x) __typeof__((void)0, (x))

/*
 * For an argument x: its type by name (clang takes a compound literal inside a struct's declaration
 * for a constant), a member m of the struct that carries it, and its share of the size.
 */
#define GORO_D_(x, m) typedef GORO_T_(x) goro_##m##_;
#define GORO_M_(m) goro_##m##_ m;
#define GORO_S_(m) +(unsigned int)sizeof(goro_##m##_)

#define GORO_GO_0_(f_)                                                                     \
	GORO_GO_DO_(f_, , , , (), )
#define GORO_GO_1_(f_, a)                                                                  \
	GORO_GO_DO_(f_,                                                                    \
		    GORO_D_(a, a0),                                                        \
		    GORO_M_(a0),                                                           \
		    GORO_S_(a0),                                                           \
		    (goro_l_.a0),                                                          \
		    (a))
#define GORO_GO_2_(f_, a, b)                                                               \
	GORO_GO_DO_(f_,                                                                    \
		    GORO_D_(a, a0) GORO_D_(b, a1),                                         \
		    GORO_M_(a0) GORO_M_(a1),                                               \
		    GORO_S_(a0) GORO_S_(a1),                                               \
		    (goro_l_.a0, goro_l_.a1),                                              \
		    (a), (b))
#define GORO_GO_3_(f_, a, b, c)                                                            \
	GORO_GO_DO_(f_,                                                                    \
		    GORO_D_(a, a0) GORO_D_(b, a1) GORO_D_(c, a2),                          \
		    GORO_M_(a0) GORO_M_(a1) GORO_M_(a2),                                   \
		    GORO_S_(a0) GORO_S_(a1) GORO_S_(a2),                                   \
		    (goro_l_.a0, goro_l_.a1, goro_l_.a2),                                  \
		    (a), (b), (c))
#define GORO_GO_4_(f_, a, b, c, d)                                                         \
	GORO_GO_DO_(f_,                                                                    \
		    GORO_D_(a, a0) GORO_D_(b, a1) GORO_D_(c, a2) GORO_D_(d, a3),           \
		    GORO_M_(a0) GORO_M_(a1) GORO_M_(a2) GORO_M_(a3),                       \
		    GORO_S_(a0) GORO_S_(a1) GORO_S_(a2) GORO_S_(a3),                       \
		    (goro_l_.a0, goro_l_.a1, goro_l_.a2, goro_l_.a3),                      \
		    (a), (b), (c), (d))
#define GORO_GO_5_(f_, a, b, c, d, e)                                                      \
	GORO_GO_DO_(f_,                                                                    \
		    GORO_D_(a, a0) GORO_D_(b, a1) GORO_D_(c, a2) GORO_D_(d, a3)            \
		    GORO_D_(e, a4),                                                        \
		    GORO_M_(a0) GORO_M_(a1) GORO_M_(a2) GORO_M_(a3) GORO_M_(a4),           \
		    GORO_S_(a0) GORO_S_(a1) GORO_S_(a2) GORO_S_(a3) GORO_S_(a4),           \
		    (goro_l_.a0, goro_l_.a1, goro_l_.a2, goro_l_.a3, goro_l_.a4),          \
		    (a), (b), (c), (d), (e))
#define GORO_GO_6_(f_, a, b, c, d, e, f)                                                   \
	GORO_GO_DO_(f_,                                                                    \
		    GORO_D_(a, a0) GORO_D_(b, a1) GORO_D_(c, a2) GORO_D_(d, a3)            \
		    GORO_D_(e, a4) GORO_D_(f, a5),                                         \
		    GORO_M_(a0) GORO_M_(a1) GORO_M_(a2) GORO_M_(a3) GORO_M_(a4)            \
		    GORO_M_(a5),                                                           \
		    GORO_S_(a0) GORO_S_(a1) GORO_S_(a2) GORO_S_(a3) GORO_S_(a4)            \
		    GORO_S_(a5),                                                           \
		    (goro_l_.a0, goro_l_.a1, goro_l_.a2, goro_l_.a3, goro_l_.a4,           \
		    goro_l_.a5),                                                           \
		    (a), (b), (c), (d), (e), (f))
#define GORO_GO_7_(f_, a, b, c, d, e, f, g)                                                \
	GORO_GO_DO_(f_,                                                                    \
		    GORO_D_(a, a0) GORO_D_(b, a1) GORO_D_(c, a2) GORO_D_(d, a3)            \
		    GORO_D_(e, a4) GORO_D_(f, a5) GORO_D_(g, a6),                          \
		    GORO_M_(a0) GORO_M_(a1) GORO_M_(a2) GORO_M_(a3) GORO_M_(a4)            \
		    GORO_M_(a5) GORO_M_(a6),                                               \
		    GORO_S_(a0) GORO_S_(a1) GORO_S_(a2) GORO_S_(a3) GORO_S_(a4)            \
		    GORO_S_(a5) GORO_S_(a6),                                               \
		    (goro_l_.a0, goro_l_.a1, goro_l_.a2, goro_l_.a3, goro_l_.a4,           \
		    goro_l_.a5, goro_l_.a6),                                               \
		    (a), (b), (c), (d), (e), (f), (g))
#define GORO_GO_8_(f_, a, b, c, d, e, f, g, h)                                             \
	GORO_GO_DO_(f_,                                                                    \
		    GORO_D_(a, a0) GORO_D_(b, a1) GORO_D_(c, a2) GORO_D_(d, a3)            \
		    GORO_D_(e, a4) GORO_D_(f, a5) GORO_D_(g, a6) GORO_D_(h, a7),           \
		    GORO_M_(a0) GORO_M_(a1) GORO_M_(a2) GORO_M_(a3) GORO_M_(a4)            \
		    GORO_M_(a5) GORO_M_(a6) GORO_M_(a7),                                   \
		    GORO_S_(a0) GORO_S_(a1) GORO_S_(a2) GORO_S_(a3) GORO_S_(a4)            \
		    GORO_S_(a5) GORO_S_(a6) GORO_S_(a7),                                   \
		    (goro_l_.a0, goro_l_.a1, goro_l_.a2, goro_l_.a3, goro_l_.a4,           \
		    goro_l_.a5, goro_l_.a6, goro_l_.a7),                                   \
		    (a), (b), (c), (d), (e), (f), (g), (h))

/* What all of them share: a struct args with fn and the arguments, and where we are. */
#define GORO_GO_ARGS_(f_, types, fields, args_sz, ...)                                     \
	typedef GORO_T_(f_) goro_fn_;                                                      \
	types                                                                              \
	struct goro_args_ {                                                                \
		goro_fn_ fn_;                                                              \
		fields                                                                     \
	};                                                                                 \
	static const struct goro_site_ goro_site_v_ = {__func__, __FILE__, __LINE__,       \
						       0 args_sz, #f_};                    \
	struct goro_args_ goro_a_ = {(f_), __VA_ARGS__};

#if defined(__clang__)
#if defined(__BLOCKS__)

/*
 * clang: a block whose only capture is the struct, as bytes, so that the copy needs no alignment
 * beyond the 16 that the runtime gives. A block literal is plain memory (the Block ABI): this
 * header, then the capture; calling invoke with a copy of it calls the block.
 */
struct goro_block_ {
	void *isa;
	int flags;
	int reserved;
	void (*invoke)(void *);
	const struct goro_block_size_ {
		unsigned long reserved;
		unsigned long size;
	} *descriptor;
} __attribute__((__may_alias__));

/* The compiler writes its address into isa, where nobody looks: no blocks runtime is needed. */
__attribute__((__weak__, __visibility__("hidden"))) void *_NSConcreteStackBlock[32] = {0};

#define GORO_GO_DO_(f_, types, fields, args_sz, call, ...)                                 \
	__extension__({                                                                    \
		GORO_GO_ARGS_(f_, types, fields, args_sz, __VA_ARGS__)                     \
		struct goro_raw_ {                                                         \
			unsigned char bytes[sizeof(struct goro_args_)];                    \
		} goro_r_;                                                                 \
		__builtin_memcpy(&goro_r_, (const void *)&goro_a_, sizeof(goro_r_));       \
		void (^goro_k_)(void) = ^{                                                 \
			struct goro_args_ goro_l_;                                         \
			__builtin_memcpy((void *)&goro_l_, &goro_r_, sizeof(goro_l_));     \
			(void)goro_l_.fn_ call;                                            \
		};                                                                         \
		struct goro_block_ *goro_b_ = (struct goro_block_ *)(void *)goro_k_;       \
		goro_go_(goro_b_->invoke, goro_b_, goro_b_->descriptor->size,              \
			 (void (*)(void))goro_a_.fn_, &goro_site_v_);                      \
	})
#else
#define GORO_GO_DO_(...)                                                                   \
	__extension__({ _Static_assert(0, "go() needs -fblocks with clang"); })
#endif

#else /* gcc */

/*
 * gcc: a nested function. It uses nothing of the function around it, so that with optimisation its
 * address is a plain one. Without, gcc always makes a trampoline for it, on a stack that must then
 * be executable, unless it is only called and its address never taken: see
 * goro_called_().
 */
#define GORO_GO_UNPACK_(call)                                                              \
	struct goro_args_ goro_l_;                                                         \
	__builtin_memcpy((void *)&goro_l_, goro_p_, sizeof(goro_l_));                      \
	(void)goro_l_.fn_ call

#if defined(__OPTIMIZE__)
#define GORO_GO_DO_(f_, types, fields, args_sz, call, ...)                                 \
	__extension__({                                                                    \
		GORO_GO_ARGS_(f_, types, fields, args_sz, __VA_ARGS__)                     \
		void goro_unpack_(void *goro_p_)                                           \
		{                                                                          \
			GORO_GO_UNPACK_(call);                                             \
		}                                                                          \
		goro_go_(goro_unpack_, (const void *)&goro_a_, sizeof(goro_a_),            \
			 (void (*)(void))goro_a_.fn_, &goro_site_v_);                      \
	})
#elif defined(__code_model_large__)
#define GORO_GO_DO_(...)                                                                   \
	__extension__({ _Static_assert(0, "go() at -O0 with -mcmodel=large: use -O1"); })
#else
/*
 * Where the call instruction that ends at ret goes to. Called with NULL, the nested function
 * returns the address that it would return to, and at -O0 the instruction before that is a direct
 * call of it.
 */
__attribute__((__unused__)) static inline void (*goro_called_(const void *ret))(void *)
{
	uintptr_t to = (uintptr_t)ret;
	int32_t offset;

#if defined(__x86_64__)
	if (((const unsigned char *)ret)[-5] != 0xe8) /* call rel32 */
		__builtin_trap();
	__builtin_memcpy(&offset, (const char *)ret - 4, sizeof(offset));
	to += (uintptr_t)(intptr_t)offset;
#elif defined(__aarch64__)
	uint32_t insn;

	__builtin_memcpy(&insn, (const char *)ret - 4, sizeof(insn));
	if (insn >> 26 != 0x25) /* bl imm26 */
		__builtin_trap();
	offset = (int32_t)(insn << 6) >> 4;
	to += (uintptr_t)(intptr_t)offset - 4;
#else
#error "go() with gcc at -O0: teach goro_called_() the call instruction, or compile with -O1"
#endif
	return (void (*)(void *))to;
}

#define GORO_GO_DO_(f_, types, fields, args_sz, call, ...)                                 \
	__extension__({                                                                    \
		GORO_GO_ARGS_(f_, types, fields, args_sz, __VA_ARGS__)                     \
		__attribute__((__noinline__)) void *goro_unpack_(void *goro_p_)            \
		{                                                                          \
			if (!goro_p_)                                                      \
				return __builtin_return_address(0);                        \
			GORO_GO_UNPACK_(call);                                             \
			return NULL;                                                       \
		}                                                                          \
		goro_go_(goro_called_(goro_unpack_(NULL)), (const void *)&goro_a_,         \
			 sizeof(goro_a_), (void (*)(void))goro_a_.fn_, &goro_site_v_);     \
	})
#endif
#endif

#else /* C++ */

#define go(...)                                                                            \
	__extension__({                                                                    \
		static const struct goro_site_ goro_site_v_ = {__func__, __FILE__, __LINE__, 0, \
							       GORO_GO_TEXT_(__VA_ARGS__, )}; \
		::goro_cxx_::spawn(&goro_site_v_, __VA_ARGS__);                            \
	})
#define GORO_GO_TEXT_(fn, ...) #fn

namespace goro_cxx_ {

/*
 * What the goroutine gets: what to call and with what. P are the types with which fn is called; of
 * what it takes by reference, the goroutine has its own copy.
 */
template <class F, class... P> struct pack {
	F fn;
	std::tuple<std::decay_t<P>...> args;

	static void call(pack &p)
	{
		std::apply([&p](std::decay_t<P> &...a) { (void)p.fn(static_cast<P &&>(a)...); },
			   p.args);
	}

	/* The runtime copied the bytes, as in C; they may need more alignment than they got. */
	static void unpack(void *data)
	{
		alignas(pack) unsigned char bytes[sizeof(pack)];

		__builtin_memcpy(bytes, data, sizeof(pack));
		call(*reinterpret_cast<pack *>(bytes));
	}

	/* What has constructors came over the heap. */
	static void unpack_heap(void *data)
	{
		pack *heap;

		__builtin_memcpy(&heap, data, sizeof(heap));
		pack local(std::move(*heap));
		delete heap;
		call(local);
	}

	static void start(const goro_site_ *site, void (*code)(void), F &&f,
			  std::decay_t<P> &&...a)
	{
		constexpr std::size_t size = (std::size_t{0} + ... + sizeof(std::decay_t<P>));
		goro_site_ sized = *site;

		static_assert(sizeof...(P) <= 8, "go() takes at most 8 arguments");
		/* Too much of it panics, so that the runtime does not keep this address. */
		if constexpr (size > 1024) {
			sized.args_size = static_cast<unsigned int>(size);
			site = &sized;
		}
		if constexpr (std::is_trivially_copyable_v<F> &&
			      (std::is_trivially_copyable_v<std::decay_t<P>> && ...)) {
			pack p{f, {a...}};
			goro_go_(unpack, static_cast<const void *>(&p), sizeof(p), code, site);
		} else {
			pack *p = new pack{std::move(f), {std::move(a)...}};
			goro_go_(unpack_heap, &p, sizeof(p), code, site);
		}
	}
};

template <class F> struct is_function : std::false_type {};
template <class R, class... P> struct is_function<R (*)(P...)> : std::true_type {};
template <class R, class... P> struct is_function<R (*)(P...) noexcept> : std::true_type {};

/* Functions: the caller converts the arguments, as in a call, so that NULL becomes a pointer. */
template <class R, class... P>
void spawn(const goro_site_ *site, R (*fn)(P...), std::decay_t<P>... a)
{
	pack<R (*)(P...), P...>::start(site, reinterpret_cast<void (*)(void)>(fn), std::move(fn),
				       std::move(a)...);
}

/* Function objects, lambdas, functions with "...": the arguments have their own types. */
template <class F, class... A, class = std::enable_if_t<!is_function<std::decay_t<F>>::value>>
void spawn(const goro_site_ *site, F &&fn, A... a)
{
	using callable = std::decay_t<F>;
	callable f(std::forward<F>(fn));
	void (*code)(void);

	if constexpr (std::is_pointer_v<callable>)
		code = reinterpret_cast<void (*)(void)>(f);
	else
		code = reinterpret_cast<void (*)(void)>(&pack<callable, A...>::unpack);
	pack<callable, A...>::start(site, code, std::move(f), std::move(a)...);
}

/* GORO_GROUP: waits in its destructor; when an exception is on its way, it cancels first. */
class group : public goro_group {
	int exceptions = std::uncaught_exceptions();

public:
	group()
	{
		goro_group_init(this);
	}
	group(const group &) = delete;
	group &operator=(const group &) = delete;
	~group()
	{
		if (std::uncaught_exceptions() > exceptions)
			goro_group_abandon_(this);
		else
			goro_group_end(this);
	}
};

} /* namespace goro_cxx_ */

#endif /* C++ */

#endif /* GORO_H */
