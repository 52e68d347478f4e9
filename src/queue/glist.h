/*
 * glist.h - the currency between the floors: a list of Gs, linked through gp->link, first in first
 * out. Owned by whoever holds it; no locking.
 */
#ifndef QUEUE_GLIST_H
#define QUEUE_GLIST_H

#include "core/g.h"

struct glist {
	struct g *head, *tail;
	uint32_t count;
};

static inline void glist_push(struct glist *list, struct g *gp)
{
	gp->link = NULL;
	if (list->tail)
		list->tail->link = gp;
	else
		list->head = gp;
	list->tail = gp;
	list->count++;
}

static inline struct g *glist_pop(struct glist *list)
{
	struct g *gp = list->head;

	if (gp) {
		list->head = gp->link;
		if (!list->head)
			list->tail = NULL;
		list->count--;
		gp->link = NULL;
	}
	return gp;
}

/* Move all of `from` behind `to`. */
static inline void glist_append(struct glist *to, struct glist *from)
{
	if (!from->head)
		return;
	if (to->tail)
		to->tail->link = from->head;
	else
		to->head = from->head;
	to->tail = from->tail;
	to->count += from->count;
	*from = (struct glist){0};
}

#endif
