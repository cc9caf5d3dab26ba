/* SPDX-License-Identifier: MIT */
/* The parts of facts_gather(); each fills its fields. 0 or -ENOMEM. */
#ifndef GM_DOCTOR_FACTS_INTERNAL_H
#define GM_DOCTOR_FACTS_INTERNAL_H

#include "doctor/facts.h"

int facts_read_firmware(struct doctor_facts *f, const char *root);
int facts_read_iomem(struct doctor_facts *f, const char *root);
int facts_read_devices(struct doctor_facts *f, const char *root);
void facts_read_kexec(struct doctor_facts *f, const char *root);

#endif
