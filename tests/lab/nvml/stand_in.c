/* Copyright (c) 2026 hep.sonic contributors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A stand-in for libnvidia-ml.so.1 (NVML): presents GPUs that are not there to the real device plugin and to GPU Feature
 * Discovery. It is the one part of the lab's GPU software that is not real.
 *
 * It lies in a driver's root, as the real one does, at usr/lib/x86_64-linux-gnu; there, too, is the folder "stand-in":
 *
 *   gpus    a line "key=value" each: count, name, seed (of the UUIDs), memory_mib, major and minor (compute capability),
 *           architecture (NVML's number), driver and cuda (versions); read when NVML is initialised
 *   events  a line "INDEX XID" for each critical error, seen by whoever waits for events already
 *
 * Everything of NVML that is not written here answers NVML_ERROR_NOT_SUPPORTED, as drivers do for what a GPU lacks:
 * `tests.lab.nvml` generates that from NVML's own header.
 */
#define _GNU_SOURCE
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <dlfcn.h>
#include <limits.h>
#include <nvml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { MOST = 64, TEXT = 96, POLL_MS = 50 };

struct nvmlDevice_st { unsigned index; };
struct nvmlEventSet_st { long seen; char watched[MOST]; };

static struct {
  unsigned count, memory_mib, architecture;
  int major, minor, cuda;
  unsigned long seed;
  char name[TEXT], driver[TEXT];
} gpus;
static struct nvmlDevice_st devices[MOST];

/* The path of a file in the folder "stand-in" of the driver's root that this library lies in. */
static const char *control_file(char *path, const char *name)
{
  Dl_info self;
  char library[PATH_MAX];

  if (!dladdr((void *)control_file, &self) || !realpath(self.dli_fname, library))
    return NULL;
  for (int parts = 0; parts < 4; parts++) { /* the file itself, x86_64-linux-gnu, lib, usr */
    char *slash = strrchr(library, '/');
    if (!slash)
      return NULL;
    *slash = '\0';
  }
  snprintf(path, PATH_MAX, "%.*s/stand-in/%s", PATH_MAX - TEXT, library, name);
  return path;
}

static FILE *open_control_file(const char *name)
{
  char path[PATH_MAX];

  return control_file(path, name) ? fopen(path, "r") : NULL;
}

static void set(const char *key, const char *value)
{
  if (!strcmp(key, "count"))
    gpus.count = atoi(value) < MOST ? atoi(value) : MOST;
  else if (!strcmp(key, "name"))
    snprintf(gpus.name, TEXT, "%s", value);
  else if (!strcmp(key, "driver"))
    snprintf(gpus.driver, TEXT, "%s", value);
  else if (!strcmp(key, "seed"))
    gpus.seed = strtoul(value, NULL, 10);
  else if (!strcmp(key, "memory_mib"))
    gpus.memory_mib = atoi(value);
  else if (!strcmp(key, "architecture"))
    gpus.architecture = atoi(value);
  else if (!strcmp(key, "major"))
    gpus.major = atoi(value);
  else if (!strcmp(key, "minor"))
    gpus.minor = atoi(value);
  else if (!strcmp(key, "cuda"))
    gpus.cuda = atoi(value);
}

nvmlReturn_t nvmlInit_v2(void)
{
  char line[2 * TEXT];
  FILE *file = open_control_file("gpus");

  if (!file)
    return NVML_ERROR_DRIVER_NOT_LOADED;
  while (fgets(line, sizeof line, file)) {
    char *value = strchr(line, '=');
    if (!value)
      continue;
    line[strcspn(line, "\n")] = '\0';
    *value = '\0';
    set(line, value + 1);
  }
  fclose(file);
  for (unsigned index = 0; index < MOST; index++)
    devices[index].index = index;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
  (void)flags;
  return nvmlInit_v2();
}

nvmlReturn_t nvmlShutdown(void)
{
  return NVML_SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t result)
{
  switch (result) {
  case NVML_SUCCESS:
    return "Success";
  case NVML_ERROR_NOT_SUPPORTED:
    return "Not Supported";
  case NVML_ERROR_NOT_FOUND:
    return "Not Found";
  case NVML_ERROR_TIMEOUT:
    return "Timeout";
  case NVML_ERROR_DRIVER_NOT_LOADED:
    return "Driver Not Loaded";
  default:
    return "Unknown Error";
  }
}

static nvmlReturn_t copy(char *target, unsigned length, const char *text)
{
  return (unsigned)snprintf(target, length, "%s", text) < length ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length)
{
  return copy(version, length, gpus.driver);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
  return copy(version, length, gpus.driver);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
  *version = gpus.cuda;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
  return nvmlSystemGetCudaDriverVersion_v2(version);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count)
{
  *count = gpus.count;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
  if (index >= gpus.count)
    return NVML_ERROR_INVALID_ARGUMENT;
  *device = &devices[index];
  return NVML_SUCCESS;
}

static void pci_of(unsigned index, nvmlPciInfo_t *pci)
{
  memset(pci, 0, sizeof *pci);
  pci->bus = index + 1;
  pci->pciDeviceId = 0x10de; /* NVIDIA, and no device of theirs */
  snprintf(pci->busId, sizeof pci->busId, "00000000:%02X:00.0", pci->bus);
  snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "0000:%02X:00.0", pci->bus);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length)
{
  char text[TEXT];

  snprintf(text, TEXT, "GPU-%08lx-0000-4000-8000-%012x", gpus.seed & 0xffffffff, device->index);
  return copy(uuid, length, text);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
  char text[TEXT];

  for (unsigned index = 0; index < gpus.count; index++) {
    nvmlDeviceGetUUID(&devices[index], text, TEXT);
    if (!strcmp(uuid, text))
      return nvmlDeviceGetHandleByIndex_v2(index, device);
  }
  return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus, nvmlDevice_t *device)
{
  nvmlPciInfo_t pci;

  for (unsigned index = 0; index < gpus.count; index++) {
    pci_of(index, &pci);
    if (!strcasecmp(bus, pci.busId) || !strcasecmp(bus, pci.busIdLegacy))
      return nvmlDeviceGetHandleByIndex_v2(index, device);
  }
  return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
  pci_of(device->index, pci);
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length)
{
  (void)device;
  return copy(name, length, gpus.name);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index)
{
  *index = device->index;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned *number)
{
  *number = device->index;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t *brand)
{
  (void)device;
  *brand = NVML_BRAND_NVIDIA;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t *architecture)
{
  (void)device;
  *architecture = gpus.architecture;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
  (void)device;
  *major = gpus.major;
  *minor = gpus.minor;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
  (void)device;
  memory->total = memory->free = (unsigned long long)gpus.memory_mib << 20;
  memory->used = 0;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
  (void)device;
  memory->total = memory->free = (unsigned long long)gpus.memory_mib << 20;
  memory->used = memory->reserved = 0;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *count)
{
  (void)device;
  *count = 0;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *is_mig)
{
  (void)device;
  *is_mig = 0;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t one, nvmlDevice_t other, nvmlGpuTopologyLevel_t *level)
{
  (void)one;
  (void)other;
  *level = NVML_TOPOLOGY_SYSTEM;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, nvmlEnableState_t *state)
{
  (void)device;
  (void)link;
  *state = NVML_FEATURE_DISABLED;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types)
{
  (void)device;
  *types = nvmlEventTypeXidCriticalError;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
  FILE *file = open_control_file("events");

  *set = calloc(1, sizeof **set);
  if (!*set)
    return NVML_ERROR_MEMORY;
  if (file) {
    fseek(file, 0, SEEK_END);
    (*set)->seen = ftell(file);
    fclose(file);
  }
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set)
{
  if (types & nvmlEventTypeXidCriticalError)
    set->watched[device->index] = 1;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
  free(set);
  return NVML_SUCCESS;
}

/* Whether there is an event that the set has not seen; if so, it is seen now. */
static int next_event(nvmlEventSet_t set, nvmlEventData_t *data)
{
  char line[TEXT];
  unsigned index;
  unsigned long long xid;
  int found = 0;
  FILE *file = open_control_file("events");

  if (!file)
    return 0;
  fseek(file, set->seen, SEEK_SET);
  while (!found && fgets(line, sizeof line, file) && strchr(line, '\n')) {
    set->seen = ftell(file);
    if (sscanf(line, "%u %llu", &index, &xid) == 2 && index < gpus.count && set->watched[index]) {
      memset(data, 0, sizeof *data);
      data->device = &devices[index];
      data->eventType = nvmlEventTypeXidCriticalError;
      data->eventData = xid;
      data->gpuInstanceId = data->computeInstanceId = UINT_MAX; /* of the whole GPU */
      found = 1;
    }
  }
  fclose(file);
  return found;
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout_ms)
{
  const struct timespec pause = {0, POLL_MS * 1000000L};

  for (unsigned waited = 0;; waited += POLL_MS) {
    if (next_event(set, data))
      return NVML_SUCCESS;
    if (waited >= timeout_ms)
      return NVML_ERROR_TIMEOUT;
    nanosleep(&pause, NULL);
  }
}
