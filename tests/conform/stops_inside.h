/*
 * stops_inside.h - what stops.c calls of stops_inside.cc.
 */
#ifndef GORO_TESTS_STOPS_INSIDE_H
#define GORO_TESTS_STOPS_INSIDE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Throws and catches a number; whether it was the one thrown. */
int cxx_catches(int number);

#ifdef __cplusplus
}
#endif

#endif
