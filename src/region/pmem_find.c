// SPDX-License-Identifier: MIT
#include "region/pmem_find.h"

#include <errno.h>
#include <linux/ndctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/reserve.h"

void pmem_place_deinit(struct pmem_place *p)
{
	if (p->ctx)
		(void)ndctl_unref(p->ctx);
	free(p->reserve);
	*p = PMEM_PLACE_NULL;
}

bool pmem_is_reserved_ram(const struct pmem_place *p)
{
	const char *provider = ndctl_bus_get_provider(p->bus);

	return provider && strcmp(provider, "e820") == 0;
}

bool pmem_is_raw(const struct pmem_place *p)
{
	return !ndctl_namespace_get_dax(p->ns) && !ndctl_namespace_get_pfn(p->ns) &&
	       !ndctl_namespace_get_btt(p->ns);
}

static int new_context(struct ndctl_ctx **ret, struct problem *why)
{
	int r = ndctl_new(ret);

	if (r < 0)
		return problem_errno(why, -r, "starting libndctl");
	/* What it would say on stderr comes back as an error too, and then in a sentence. */
	ndctl_set_log_priority(*ret, LOG_EMERG);
	return 0;
}

static struct daxctl_dev *device_of(struct ndctl_namespace *ns)
{
	struct ndctl_dax *dax = ndctl_namespace_get_dax(ns);
	struct daxctl_region *region = dax ? ndctl_dax_get_daxctl_region(dax) : NULL;

	return region ? daxctl_dev_get_first(region) : NULL;
}

struct search {
	const char *name;
	struct pmem_place devdax, raw, named; /* the last one of each that was seen */
	unsigned devdax_count, raw_count;
	char devdax_list[256], raw_list[256];
};

static void list_add(char list[256], const char *what)
{
	size_t n = strlen(list);

	(void)snprintf(list + n, 256 - n, "%s%s", n ? ", " : "", what);
}

static void look_at(struct search *s, const struct pmem_place *p)
{
	const char *ns_name = ndctl_namespace_get_devname(p->ns);
	char text[96];

	if (p->dev) {
		(void)snprintf(text, sizeof(text), "/dev/%s", daxctl_dev_get_devname(p->dev));
		if (strcmp(s->name, text) == 0)
			s->named = *p;
		list_add(s->devdax_list, text);
		s->devdax = *p;
		s->devdax_count++;
	} else if (pmem_is_raw(p)) {
		list_add(s->raw_list, ns_name);
		s->raw = *p;
		s->raw_count++;
	}
	if (strcmp(s->name, ns_name) == 0)
		s->named = *p;
}

static void look_through(struct search *s, struct ndctl_ctx *ctx)
{
	struct pmem_place p = {.ctx = ctx};

	ndctl_bus_foreach(ctx, p.bus)
	{
		ndctl_region_foreach(p.bus, p.region)
		{
			if (ndctl_region_get_type(p.region) != ND_DEVICE_REGION_PMEM)
				continue;
			ndctl_namespace_foreach(p.region, p.ns)
			{
				/* Without a size: room for a namespace, not one. */
				if (ndctl_namespace_get_size(p.ns) == 0)
					continue;
				p.dev = device_of(p.ns);
				look_at(s, &p);
			}
		}
	}
}

static int several(const char *what, const char *list, struct problem *why)
{
	return problem(why, EINVAL,
		"there are several %s: name those to be used, each with a --region of its own (%s)",
		what, list);
}

static int choose_auto(const struct search *s, struct pmem_place *ret, struct problem *why)
{
	if (s->devdax_count > 1)
		return several("devdax namespaces", s->devdax_list, why);
	if (s->devdax_count == 0 && s->raw_count > 1)
		return several("raw namespaces", s->raw_list, why);
	if (s->devdax_count + s->raw_count == 0)
		return problem(why, ENODEV,
			"there is no pmem namespace to be used on this host: it takes "
			"memmap=SIZE!START on the kernel's command line and the modules nd_e820, "
			"nd_pmem, dax_pmem and device_dax (docs/boot.md)");
	*ret = s->devdax_count ? s->devdax : s->raw;
	return 0;
}

static int choose(const struct search *s, struct pmem_place *ret, struct problem *why)
{
	if (strcmp(s->name, "auto") == 0)
		return choose_auto(s, ret, why);
	if (s->named.ns) {
		*ret = s->named;
		return 0;
	}
	return problem(why, ENODEV, "there is no pmem namespace %s; there is: %s%s%s", s->name,
		s->devdax_list, s->devdax_count && s->raw_count ? ", " : "",
		s->devdax_count + s->raw_count ? s->raw_list : "none");
}

/* *library has what the places that were found live in. */
static int search_all(struct search *s, struct pmem_place *library, struct problem *why)
{
	int r;

	if (geteuid() != 0)
		return problem(why, EACCES, "only root can use pmem regions");
	library->reserve = reserve_memory();
	if (!library->reserve)
		return problem_errno(why, ENOMEM, "starting libndctl");
	r = new_context(&library->ctx, why);
	if (r == 0)
		look_through(s, library->ctx);
	return r;
}

int pmem_find(struct pmem_place *ret, const char *name, struct problem *why)
{
	_cleanup_(pmem_place_deinit) struct pmem_place library = PMEM_PLACE_NULL;
	struct search s = {.name = name};
	int r = search_all(&s, &library, why);

	if (r == 0)
		r = choose(&s, ret, why);
	if (r < 0)
		return r;
	ret->reserve = library.reserve;
	library = PMEM_PLACE_NULL;
	return 0;
}

int pmem_count(struct problem *why)
{
	_cleanup_(pmem_place_deinit) struct pmem_place library = PMEM_PLACE_NULL;
	struct search s = {.name = "auto"};
	int r = search_all(&s, &library, why);

	return r < 0 ? r : (int)(s.devdax_count + s.raw_count);
}
