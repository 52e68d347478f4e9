/*
 * fake_runtime.h - what the tests may see of the fake runtime, beyond goro.h.
 */
#ifndef FAKE_RUNTIME_H
#define FAKE_RUNTIME_H

#include "goro.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The site that the last go() passed. */
extern struct goro_site_ fake_last_site;

#ifdef __cplusplus
}
#endif

#endif /* FAKE_RUNTIME_H */
