/*
 * os_io.h - the system calls on descriptors; part of the contract in os.h, for who needs sockets.
 *
 * Each returns what the call of that name does, or -errno, and is made again when a signal ended
 * it, but for the four that servers live from: OI4. Descriptors that they make are close-on-exec.
 */
#ifndef OS_OS_IO_H
#define OS_OS_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* OI4: -EINTR comes out of these, for OS_AGAIN at the caller, which has the arguments in memory. */
ssize_t os_fd_read(int fd, void *data, size_t size);
ssize_t os_fd_write(int fd, const void *data, size_t size);
ssize_t os_fd_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from,
		       socklen_t *from_size);
ssize_t os_fd_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
		     socklen_t to_size);

#define OS_AGAIN(call)                              \
	__extension__({                             \
		ssize_t again_;                     \
		do                                  \
			again_ = (call);            \
		while (unlikely(again_ == -EINTR)); \
		again_;                             \
	})

ssize_t os_fd_readv(int fd, const struct iovec *parts, int n);
ssize_t os_fd_writev(int fd, const struct iovec *parts, int n);
ssize_t os_fd_pread(int fd, void *data, size_t size, off_t at);
ssize_t os_fd_pwrite(int fd, const void *data, size_t size, off_t at);
int os_fd_fsync(int fd);
ssize_t os_fd_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t os_fd_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t os_fd_sendfile(int to, int from, off_t *at, size_t size);
ssize_t os_fd_splice(int from, off_t *from_at, int to, off_t *to_at, size_t size,
		     unsigned int flags);
int os_fd_open(const char *path, int flags, unsigned int mode);
int os_fd_close(int fd);
/* The events that are there (POLLIN and so on), 0: none before the deadline. */
int os_fd_poll(int fd, int events, int64_t deadline);
int os_fd_is_nonblocking(int fd);
int os_fd_set_nonblocking(int fd);

int os_socket(int family, int type, int protocol); /* does not block */
int os_socket_option(int fd, int level, int name);
int os_socket_set_option(int fd, int level, int name, int value);
int os_socket_bind(int fd, const struct sockaddr *address, socklen_t size);
int os_socket_listen(int fd, int backlog);
int os_socket_accept(int fd, struct sockaddr *address, socklen_t *size); /* it does not block */
int os_socket_connect(int fd, const struct sockaddr *address, socklen_t size);
/*
 * The same, waiting up to `ns` for a Unix socket's listener to have room: -EAGAIN when it has none.
 * Meanwhile the descriptor blocks, for whoever uses it.
 */
int os_socket_connect_blocking(int fd, const struct sockaddr *address, socklen_t size, int64_t ns);
/* A socket's own address. 0, -errno. */
int os_socket_name(int fd, struct sockaddr *address, socklen_t *size);
bool os_socket_has_limit(int fd, int name); /* SO_RCVTIMEO or SO_SNDTIMEO is set */
bool os_socket_is_loop(int fd); /* both of its ends are the same */
bool os_socket_has_ulp(int fd);  /* of TCP: a protocol on top of it, as kernel TLS */

/*
 * getaddrinfo(), which may wait long. 0; -ENOENT: no such name, or service; -EAGAIN: the name
 * servers do not answer; -EIO: they fail; -ENOMEM and what else the system says.
 */
struct addrinfo;
int os_resolve(const char *node, const char *service, const struct addrinfo *hints,
	       struct addrinfo **list);

/* This machine's; 0 or the error. */
int os_host_name(char *to, size_t size);

/* By the environment, or by a cache: getaddrinfo() does not go by its files alone. */
bool os_resolver_is_told(void);

/*
 * How many bits say which network each of these IPv4 addresses of ours, in network order, is in; 0:
 * none. All at once, as the kernel lists every address of the machine for it.
 */
void os_network_bits(const uint32_t *addresses, uint32_t *bits, uint32_t n);

/* What libc would return in place of a result of ours: -1, and the error where callers look. */
ssize_t os_as_libc(ssize_t result);

/* From here on SIGPIPE does nothing, unless the program handles it. */
void os_sigpipe_quiet(void);

#endif
