// SPDX-License-Identifier: MIT
/* The list of findings. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "doctor/doctor.h"

void doctor_report_deinit(struct doctor_report *r)
{
	free(r->findings);
	*r = DOCTOR_REPORT_NULL;
}

struct doctor_finding *doctor_report_add(
	struct doctor_report *r, const char *id, enum doctor_level level, const char *format, ...)
{
	struct doctor_finding *more = reallocarray(r->findings, r->count + 1, sizeof(*r->findings));
	struct doctor_finding *f = &r->spare;
	va_list ap;

	if (more) {
		r->findings = more;
		f = &more[r->count++];
	} else {
		r->failed = true;
	}
	*f = (struct doctor_finding){.id = id, .level = level};
	va_start(ap, format);
	(void)vsnprintf(f->text, sizeof(f->text), format, ap);
	va_end(ap);
	return f;
}

void doctor_finding_remedy(struct doctor_finding *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(f->remedy, sizeof(f->remedy), format, ap);
	va_end(ap);
}

enum doctor_level doctor_report_worst(const struct doctor_report *r)
{
	enum doctor_level worst = DOCTOR_OK;

	for (size_t n = 0; n < r->count; n++)
		if (r->findings[n].level > worst)
			worst = r->findings[n].level;
	return worst;
}

const char *doctor_level_name(enum doctor_level level)
{
	static const char *const names[] = {"ok", "warning", "danger"};

	return names[level];
}
