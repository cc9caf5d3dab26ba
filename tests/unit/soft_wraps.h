/* SPDX-License-Identifier: MIT */
/*
 * What stands in place of src/region's soft devices and of guestmemfs-counts, where tests have no
 * such region (fake_soft.c, fake_counts.c, tests/fuzz/scene_devices.c). The linker puts it there:
 * soft_wraps in meson.build is the same list. Each has the type of the function that it replaces.
 */
#ifndef GM_TESTS_SOFT_WRAPS_H
#define GM_TESTS_SOFT_WRAPS_H

#include "counts/counts.h"
#include "region/procscan.h"
#include "region/region.h"
#include "region/soft_device.h"
#include "region/soft_idle.h"
#include "region/soft_user.h"

__typeof__(region_adopt) __real_region_adopt;
__typeof__(region_adopt) __wrap_region_adopt;
__typeof__(procscan_run) __real_procscan_run;
__typeof__(procscan_run) __wrap_procscan_run;
__typeof__(procscan_identify_device) __wrap_procscan_identify_device;

__typeof__(soft_device_list) __wrap_soft_device_list;
__typeof__(soft_device_create) __wrap_soft_device_create;
__typeof__(soft_device_remove) __wrap_soft_device_remove;
__typeof__(soft_device_retire) __wrap_soft_device_retire;
__typeof__(soft_device_open) __wrap_soft_device_open;
__typeof__(soft_device_set_owner) __wrap_soft_device_set_owner;
__typeof__(soft_device_has_lost) __wrap_soft_device_has_lost;
__typeof__(soft_device_check) __wrap_soft_device_check;
__typeof__(soft_device_note_exported) __wrap_soft_device_note_exported;
__typeof__(soft_device_note_window) __wrap_soft_device_note_window;
__typeof__(soft_idle_load) __wrap_soft_idle_load;
__typeof__(soft_idle_store) __wrap_soft_idle_store;
__typeof__(soft_user_load) __wrap_soft_user_load;
__typeof__(soft_user_note) __wrap_soft_user_note;

__typeof__(counts_start) __wrap_counts_start;
__typeof__(counts_stop) __wrap_counts_stop;
__typeof__(counts_get_fd) __wrap_counts_get_fd;
__typeof__(counts_read) __wrap_counts_read;
__typeof__(counts_close) __wrap_counts_close;

#endif
