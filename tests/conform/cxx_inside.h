/*
 * cxx_inside.h - what cxx.c calls of cxx_inside.cc: goroutines whose frames are C++.
 */
#ifndef GORO_TESTS_CXX_INSIDE_H
#define GORO_TESTS_CXX_INSIDE_H

#include <goro.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cxx_counts {
	int rounds;
	int n_made, n_destroyed; /* guards: objects with destructors */
	int n_caught, n_wrong, n_ended;
	goro_chan *c, *back;
};

/* Functions of goroutines; arg is a struct cxx_counts. */
void cxx_throws_and_catches(void *arg);
void cxx_receives_and_throws(void *arg);
void cxx_catches_for_others(void *arg);
void cxx_panics_inside_guards(void *arg);
void cxx_panics_inside_catch_all(void *arg);
void cxx_exits_inside_guards(void *arg);
/* CE1: parks in handlers, in destructors while an exception is on its way, and in both. */
void cxx_parks_in_handlers(void *arg);
void cxx_parks_in_destructors(void *arg);
void cxx_finds_none(void *arg);
void cxx_exits_in_handler(void *arg);
void cxx_panics_in_handler(void *arg);
int cxx_runs_in_handler(int (*run)(void *), void *arg);
/* Throws, and nobody inside catches. */
void cxx_throws(void *unused);
void cxx_catches_around(void (*fn)(void *), void *arg);
void cxx_go_throwing_lambda(void);

#ifdef __cplusplus
}
#endif

#endif
