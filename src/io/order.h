/*
 * order.h - which of a name's addresses comes first.
 *
 *   cares.c -> [addresses_order] -> resolve.c
 */
#ifndef IO_ORDER_H
#define IO_ORDER_H

#include "io/resolve.h"

/* As getaddrinfo() has them where /etc/gai.conf says nothing. Asks the system for routes. */
void addresses_order(struct addresses *all);

#endif
