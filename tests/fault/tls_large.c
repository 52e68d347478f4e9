/*
 * tls_large.c - tls.c with 12 MiB of thread-locals: more than any default stack.
 */
#define TLS_KIB (12 << 10)
#include "tls.c"
