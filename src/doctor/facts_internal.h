/* SPDX-License-Identifier: MIT */
/* The parts of facts_gather(); each fills its fields. 0 or -ENOMEM; what ran out while they read is
 * noted in the host (read.h). */
#ifndef GM_DOCTOR_FACTS_INTERNAL_H
#define GM_DOCTOR_FACTS_INTERNAL_H

#include "doctor/facts.h"
#include "doctor/read.h"

int facts_read_firmware(struct doctor_facts *f, struct host *h);
int facts_read_iomem(struct doctor_facts *f, struct host *h);
int facts_read_devices(struct doctor_facts *f, struct host *h);
void facts_read_kexec(struct doctor_facts *f, struct host *h);

#endif
