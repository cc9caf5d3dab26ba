// SPDX-License-Identifier: MIT
/* What an order for a kexec has come to, from what systemd and logind say in turn. */
#include <criterion/criterion.h>

#include "cli/kexec_order.h"
#include "util/cleanup.h"

#define SECOND 1000U
#define HOUR   (3600U * SECOND)
#define STEPS  6

enum {
	SILENT = ORDER_SYSTEMD_SILENT,
	GOES_ON = ORDER_SYSTEMD_GOES_ON,
	STOPS = ORDER_SYSTEMD_STOPS,
	NONE = ORDER_LOGIND_SILENT,
	IDLE = ORDER_LOGIND_IDLE,
	PREPARES = ORDER_LOGIND_PREPARES,
};

struct step {
	uint64_t at; /* since the client has ended */
	int systemd, logind;
	bool interrupted;
	enum order_fate fate;
};

struct course {
	const char *what;
	enum order_client client;
	struct step steps[STEPS]; /* the last one's fate is not ORDER_WAITS, or all are taken */
};

static const struct course courses[] = {
	{"systemd stops its units, and its turn for us comes", ORDER_CLIENT_DONE,
		{{0, STOPS, NONE, false, ORDER_WAITS}, {HOUR, STOPS, NONE, false, ORDER_WAITS},
			{HOUR, STOPS, NONE, true, ORDER_GOES}}},
	{"an inhibitor delays it for hours", ORDER_CLIENT_DONE,
		{{0, GOES_ON, PREPARES, false, ORDER_WAITS},
			{24 * HOUR, GOES_ON, PREPARES, false, ORDER_WAITS},
			{24 * HOUR, STOPS, PREPARES, false, ORDER_WAITS},
			{25 * HOUR, SILENT, NONE, false, ORDER_WAITS},
			{25 * HOUR, SILENT, NONE, true, ORDER_GOES}}},
	{"a signal during the delay withdraws nothing", ORDER_CLIENT_DONE,
		{{0, GOES_ON, PREPARES, false, ORDER_WAITS},
			{SECOND, GOES_ON, PREPARES, true, ORDER_GOES}}},
	{"logind drops it after a delay", ORDER_CLIENT_DONE,
		{{0, GOES_ON, PREPARES, false, ORDER_WAITS},
			{HOUR, GOES_ON, IDLE, false, ORDER_DROPPED}}},
	{"the job is cancelled", ORDER_CLIENT_DONE,
		{{0, STOPS, PREPARES, false, ORDER_WAITS},
			{SECOND, GOES_ON, PREPARES, false, ORDER_WAITS},
			{SECOND, GOES_ON, IDLE, false, ORDER_DROPPED}}},
	{"the job is cancelled where there is no logind", ORDER_CLIENT_DONE,
		{{0, STOPS, NONE, false, ORDER_WAITS},
			{SECOND, GOES_ON, NONE, false, ORDER_DROPPED}}},
	{"the job is cancelled, and then a signal comes", ORDER_CLIENT_DONE,
		{{0, STOPS, IDLE, false, ORDER_WAITS},
			{SECOND, GOES_ON, IDLE, true, ORDER_DROPPED}}},
	{"a logind that does not answer for a while has it still", ORDER_CLIENT_DONE,
		{{0, GOES_ON, PREPARES, false, ORDER_WAITS},
			{HOUR, GOES_ON, PREPARES, false, ORDER_WAITS},
			{HOUR + 100 * SECOND, GOES_ON, NONE, false, ORDER_WAITS},
			{HOUR + 101 * SECOND, GOES_ON, PREPARES, false, ORDER_WAITS},
			{2 * HOUR, GOES_ON, NONE, false, ORDER_DROPPED}}},
	{"nobody has ever heard of it", ORDER_CLIENT_DONE,
		{{0, GOES_ON, IDLE, false, ORDER_WAITS},
			{9 * SECOND, GOES_ON, IDLE, false, ORDER_WAITS},
			{11 * SECOND, GOES_ON, IDLE, false, ORDER_DROPPED}}},
	{"who may delay it can't be asked", ORDER_CLIENT_DONE,
		{{0, GOES_ON, NONE, false, ORDER_WAITS},
			{100 * SECOND, GOES_ON, NONE, false, ORDER_WAITS},
			{121 * SECOND, GOES_ON, NONE, false, ORDER_DROPPED}}},
	{"taken, and nobody answers any more", ORDER_CLIENT_DONE,
		{{0, SILENT, NONE, false, ORDER_WAITS},
			{121 * SECOND, SILENT, NONE, false, ORDER_GOES}}},
	{"its client was killed by the order itself", ORDER_CLIENT_KILLED,
		{{0, STOPS, NONE, true, ORDER_GOES}}},
	{"its client was killed before it ordered anything", ORDER_CLIENT_KILLED,
		{{0, GOES_ON, NONE, false, ORDER_WAITS},
			{9 * SECOND, GOES_ON, NONE, true, ORDER_WAITS},
			{11 * SECOND, GOES_ON, NONE, true, ORDER_DROPPED}}},
	{"it is refused", ORDER_CLIENT_REFUSED, {{0, GOES_ON, IDLE, false, ORDER_DROPPED}}},
	{"it is refused, since logind prepares for another one", ORDER_CLIENT_REFUSED,
		{{0, GOES_ON, PREPARES, false, ORDER_DROPPED}}},
	{"it is refused, and nobody answers", ORDER_CLIENT_REFUSED,
		{{0, SILENT, NONE, false, ORDER_DROPPED}}},
	{"only its client's connection was lost", ORDER_CLIENT_REFUSED,
		{{0, STOPS, NONE, false, ORDER_WAITS}, {SECOND, STOPS, NONE, true, ORDER_GOES}}},
};

Test(cli_kexec_order, is_followed_to_its_end)
{
	for (size_t n = 0; n < ARRAY_SIZE(courses); n++) {
		const struct course *c = &courses[n];
		struct order o = {.client = c->client, .began = HOUR};
		enum order_fate fate = ORDER_WAITS;

		for (size_t i = 0; i < STEPS && fate == ORDER_WAITS; i++) {
			const struct step *s = &c->steps[i];
			fate = order_judge(&o, (enum order_systemd)s->systemd,
				(enum order_logind)s->logind, s->interrupted, HOUR + s->at);
			cr_expect_eq(fate, s->fate, "%s, step %zu: %d", c->what, i, (int)fate);
		}
		cr_expect_neq(fate, ORDER_WAITS, "%s", c->what);
	}
}
