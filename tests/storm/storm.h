/*
 * storm.h - what the halves of storm share.
 */
#ifndef GORO_TESTS_STORM_H
#define GORO_TESTS_STORM_H

#include <goro.h>

#ifdef __cplusplus
extern "C" {
#endif

void storm_expect(int is_right, const char *what);
int storm_is_over(void);
/* A call after which the goroutine may be on another thread. */
void storm_move(unsigned how);
/* Exceptions in flight over such calls. */
void storm_cxx(unsigned number);

#ifdef __cplusplus
}
#endif

#endif
