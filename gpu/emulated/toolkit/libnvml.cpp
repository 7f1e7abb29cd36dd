// libnvidia-ml.so.1 of the emulated toolkit: what the directives say of each GPU.
// It sees all GPUs, whatever CUDA_VISIBLE_DEVICES says, as NVML does.
#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>

#include "directives.h"

#define API extern "C" __attribute__((visibility("default"))) int

enum {
  kSuccess = 0, kUninitialized = 1, kInvalidArgument = 2, kNotSupported = 3, kNotFound = 6, kInsufficientSize = 7, kDriverNotLoaded = 9,
  kTimeout = 10, kLost = 15, kUnknown = 999,
};

typedef unsigned long long u64;

// A GPU, or a part of one (then mig is its UUID). Handles stay valid.
struct Handle {
  std::string uuid, mig;
};

static std::recursive_mutex mutex;
static int initialized;

static Handle *handle(const std::string &uuid, const std::string &mig = "") {
  static std::map<std::string, Handle *> all;
  Handle *&h = all[uuid + " " + mig];
  if (!h) h = new Handle{uuid, mig};
  return h;
}

// with calls f with what the directives say of a GPU, if it is there.
template <class F> static int with(Handle *h, F f) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  if (!initialized) return kUninitialized;
  if (!h) return kInvalidArgument;
  Gpu *g = directives().find(h->uuid);
  if (!g || g->lost) return kLost;
  bool gone = !h->mig.empty() && std::find(g->mig.begin(), g->mig.end(), h->mig) == g->mig.end();
  return gone ? kNotFound : f(*g);
}

static long number(Gpu &g, const char *key, long otherwise) { return g.nvml.count(key) ? atol(g.nvml[key].c_str()) : otherwise; }

static int copy_text(const std::string &s, char *out, unsigned size) {
  if (s.size() >= size) return kInsufficientSize;
  return memcpy(out, s.c_str(), s.size() + 1), kSuccess;
}

// --- The library ---

API nvmlInitWithFlags(unsigned) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  Directives &d = directives();
  if (d.nodriver) return kDriverNotLoaded;
  if (d.nvml) return d.nvml;
  return initialized++, kSuccess;
}
API nvmlInit_v2() { return nvmlInitWithFlags(0); }
API nvmlInit() { return nvmlInitWithFlags(0); }
API nvmlShutdown() {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  return initialized ? initialized--, kSuccess : kUninitialized;
}

extern "C" __attribute__((visibility("default"))) const char *nvmlErrorString(int code) {
  switch (code) {
    case kSuccess: return "Success";
    case kUninitialized: return "Uninitialized";
    case kInvalidArgument: return "Invalid Argument";
    case kNotSupported: return "Not Supported";
    case kNotFound: return "Not Found";
    case kInsufficientSize: return "Insufficient Size";
    case kDriverNotLoaded: return "Driver Not Loaded";
    case kTimeout: return "Timeout";
    case kLost: return "GPU is lost";
    default: return "Unknown Error";
  }
}

API nvmlSystemGetDriverVersion(char *out, unsigned size) { return copy_text(directives().driver_name, out, size); }
API nvmlSystemGetNVMLVersion(char *out, unsigned size) { return copy_text("12." + directives().driver_name, out, size); }
API nvmlSystemGetCudaDriverVersion_v2(int *v) { return *v = directives().driver, kSuccess; }
API nvmlSystemGetCudaDriverVersion(int *v) { return *v = directives().driver, kSuccess; }

// --- Devices ---

API nvmlDeviceGetCount_v2(unsigned *n) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  *n = directives().gpus.size();
  return initialized ? kSuccess : kUninitialized;
}
API nvmlDeviceGetCount(unsigned *n) { return nvmlDeviceGetCount_v2(n); }

API nvmlDeviceGetHandleByIndex_v2(unsigned i, Handle **out) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  if (!initialized) return kUninitialized;
  auto &all = directives().gpus;
  if (i >= all.size()) return kInvalidArgument;
  *out = handle(all[i].uuid);
  return all[i].lost ? kLost : kSuccess;
}
API nvmlDeviceGetHandleByIndex(unsigned i, Handle **out) { return nvmlDeviceGetHandleByIndex_v2(i, out); }

API nvmlDeviceGetHandleByUUID(const char *uuid, Handle **out) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  if (!initialized) return kUninitialized;
  for (Gpu &g : directives().gpus) {
    bool part = std::find(g.mig.begin(), g.mig.end(), uuid) != g.mig.end();
    if (g.uuid != uuid && !part) continue;
    *out = handle(g.uuid, part ? uuid : "");
    return g.lost ? kLost : kSuccess;
  }
  return kNotFound;
}

static unsigned index_of(const Gpu &g) { return &g - directives().gpus.data(); }

API nvmlDeviceGetHandleByPciBusId_v2(const char *id, Handle **out) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  unsigned domain, bus;
  if (sscanf(id, "%x:%x:", &domain, &bus) != 2) return kInvalidArgument;
  return bus >= 1 && bus <= directives().gpus.size() ? nvmlDeviceGetHandleByIndex_v2(bus - 1, out) : kNotFound;
}
API nvmlDeviceGetHandleByPciBusId(const char *id, Handle **out) { return nvmlDeviceGetHandleByPciBusId_v2(id, out); }

struct PciInfo {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char text[32];
};
API nvmlDeviceGetPciInfo_v3(Handle *h, PciInfo *p) {
  return with(h, [=](Gpu &g) {
    *p = {{}, 0, index_of(g) + 1, 0, 0x233510de, 0, {}};
    snprintf(p->legacy, sizeof p->legacy, "0000:%02X:00.0", p->bus);
    snprintf(p->text, sizeof p->text, "00000000:%02X:00.0", p->bus);
    return kSuccess;
  });
}

API nvmlDeviceGetUUID(Handle *h, char *out, unsigned size) {
  return with(h, [=](Gpu &) { return copy_text(h->mig.empty() ? h->uuid : h->mig, out, size); });
}
API nvmlDeviceGetName(Handle *h, char *out, unsigned size) {
  return with(h, [=](Gpu &g) { return copy_text(g.name + (h->mig.empty() ? "" : " MIG 1g.18gb"), out, size); });
}
API nvmlDeviceGetIndex(Handle *h, unsigned *out) {
  return with(h, [=](Gpu &g) { return *out = index_of(g), kSuccess; });
}
API nvmlDeviceGetMinorNumber(Handle *h, unsigned *out) { return nvmlDeviceGetIndex(h, out); }
API nvmlDeviceGetCudaComputeCapability(Handle *h, int *major, int *minor) {
  return with(h, [=](Gpu &g) { return *major = g.major, *minor = g.minor, kSuccess; });
}
API nvmlDeviceGetComputeMode(Handle *h, int *mode) {
  return with(h, [=](Gpu &) { return *mode = 0, kSuccess; });
}
API nvmlDeviceGetPersistenceMode(Handle *h, int *mode) {
  return with(h, [=](Gpu &) { return *mode = 1, kSuccess; });
}

// --- MIG ---

API nvmlDeviceGetMigMode(Handle *h, unsigned *now, unsigned *pending) {
  return with(h, [=](Gpu &g) { return *now = *pending = !g.mig.empty(), kSuccess; });
}
API nvmlDeviceGetMaxMigDeviceCount(Handle *h, unsigned *n) {
  return with(h, [=](Gpu &) { return *n = 7, kSuccess; });
}
API nvmlDeviceGetMigDeviceHandleByIndex(Handle *h, unsigned i, Handle **out) {
  return with(h, [=](Gpu &g) {
    if (i >= g.mig.size()) return (int)kNotFound;
    return *out = handle(g.uuid, g.mig[i]), (int)kSuccess;
  });
}
API nvmlDeviceIsMigDeviceHandle(Handle *h, unsigned *is) {
  return with(h, [=](Gpu &) { return *is = !h->mig.empty(), kSuccess; });
}
API nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Handle *h, Handle **out) {
  return with(h, [=](Gpu &) { return *out = handle(h->uuid), kSuccess; });
}

// --- How it does ---

static size_t used(Gpu &g) {
  size_t n = g.nvml.count("used") ? bytes(g.nvml["used"]) : (size_t)600 << 20;
  for (auto &p : g.processes) n += p.second;
  return std::min(n, g.memory);
}

struct MemoryInfo {
  u64 total, free, used;
};
API nvmlDeviceGetMemoryInfo(Handle *h, MemoryInfo *m) {
  return with(h, [=](Gpu &g) { return *m = {g.memory, g.memory - used(g), used(g)}, kSuccess; });
}
struct MemoryInfo2 {
  unsigned version;
  u64 total, reserved, free, used;
};
API nvmlDeviceGetMemoryInfo_v2(Handle *h, MemoryInfo2 *m) {
  return with(h, [=](Gpu &g) { return *m = {m->version, g.memory, 0, g.memory - used(g), used(g)}, kSuccess; });
}

struct Utilization {
  unsigned gpu, memory;
};
API nvmlDeviceGetUtilizationRates(Handle *h, Utilization *u) {
  return with(h, [=](Gpu &g) { return *u = {(unsigned)number(g, "utilization", 0), 0}, kSuccess; });
}
API nvmlDeviceGetClockInfo(Handle *h, int kind, unsigned *mhz) {
  return with(h, [=](Gpu &g) { return *mhz = kind == 2 ? 3201 : number(g, "clock", 1980), kSuccess; });
}
API nvmlDeviceGetMaxClockInfo(Handle *h, int kind, unsigned *mhz) {
  return with(h, [=](Gpu &) { return *mhz = kind == 2 ? 3201 : 1980, kSuccess; });
}
API nvmlDeviceGetTemperature(Handle *h, int, unsigned *celsius) {
  return with(h, [=](Gpu &g) { return *celsius = number(g, "temp", 45), kSuccess; });
}
API nvmlDeviceGetPowerUsage(Handle *h, unsigned *milliwatts) {
  return with(h, [=](Gpu &g) { return *milliwatts = 1000 * number(g, "watts", 120), kSuccess; });
}
API nvmlDeviceGetEnforcedPowerLimit(Handle *h, unsigned *milliwatts) {
  return with(h, [=](Gpu &) { return *milliwatts = 700000, kSuccess; });
}
API nvmlDeviceGetPowerManagementLimit(Handle *h, unsigned *milliwatts) { return nvmlDeviceGetEnforcedPowerLimit(h, milliwatts); }

static u64 reasons(Gpu &g) {
  static const std::map<std::string, u64> bits = {{"idle", 1}, {"power", 4}, {"hw", 8}, {"thermal", 0x60}, {"brake", 0x80}};
  u64 all = 0;
  for (const std::string &r : split(g.nvml["throttle"], ',')) all |= bits.count(r) ? bits.at(r) : 0;
  return all;
}
API nvmlDeviceGetCurrentClocksThrottleReasons(Handle *h, u64 *out) {
  return with(h, [=](Gpu &g) { return *out = reasons(g), kSuccess; });
}
API nvmlDeviceGetCurrentClocksEventReasons(Handle *h, u64 *out) { return nvmlDeviceGetCurrentClocksThrottleReasons(h, out); }

API nvmlDeviceGetEccMode(Handle *h, int *now, int *pending) {
  return with(h, [=](Gpu &) { return *now = *pending = 1, kSuccess; });
}
API nvmlDeviceGetTotalEccErrors(Handle *h, int kind, int, u64 *n) {
  return with(h, [=](Gpu &g) { return *n = kind == 1 ? number(g, "ecc", 0) : 0, kSuccess; });
}
API nvmlDeviceGetRemappedRows(Handle *h, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
  return with(h, [=](Gpu &g) {
    std::string state = g.nvml["remap"];
    *corrected = 0, *uncorrected = !state.empty();
    return *pending = state == "pending", *failed = state == "failed", kSuccess;
  });
}
API nvmlDeviceGetRetiredPagesPendingStatus(Handle *h, int *pending) {
  return with(h, [=](Gpu &) { return *pending = 0, (int)kNotSupported; });  // since Ampere rows are remapped instead
}

struct Process1 {
  unsigned pid;
  u64 bytes;
};
struct Process2 {
  unsigned pid;
  u64 bytes;
  unsigned instance, compute;
};
template <class P> static int processes(Handle *h, unsigned *n, P *out) {
  return with(h, [=](Gpu &g) {
    unsigned room = *n;
    *n = g.processes.size();
    if (*n > room) return (int)kInsufficientSize;
    for (unsigned i = 0; i < *n; i++) {
      memset(&out[i], 0xff, sizeof out[i]);
      out[i].pid = g.processes[i].first, out[i].bytes = g.processes[i].second;
    }
    return (int)kSuccess;
  });
}
API nvmlDeviceGetComputeRunningProcesses(Handle *h, unsigned *n, Process1 *out) { return processes(h, n, out); }
API nvmlDeviceGetComputeRunningProcesses_v2(Handle *h, unsigned *n, Process2 *out) { return processes(h, n, out); }
API nvmlDeviceGetComputeRunningProcesses_v3(Handle *h, unsigned *n, Process2 *out) { return processes(h, n, out); }

// --- Events: an xid that the directives have, or have anew ---

struct EventSet {
  std::map<Handle *, std::string> seen;  // the last one told of
};
struct EventData {
  Handle *device;
  u64 type, data;
  unsigned instance, compute;
};
constexpr u64 kXid = 8;

API nvmlEventSetCreate(EventSet **out) { return *out = new EventSet, kSuccess; }
API nvmlEventSetFree(EventSet *s) { return delete s, kSuccess; }
API nvmlDeviceGetSupportedEventTypes(Handle *, u64 *types) { return *types = kXid, kSuccess; }
API nvmlDeviceRegisterEvents(Handle *h, u64 types, EventSet *s) {
  return with(h, [=](Gpu &) { return types & kXid ? s->seen[h] = "", (int)kSuccess : (int)kNotSupported; });
}

static bool find_xid(EventSet *s, EventData *out) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  for (auto &last : s->seen) {
    Gpu *g = directives().find(last.first->uuid);
    std::string now = g ? g->nvml["xid"] : "";
    bool fresh = !now.empty() && now != last.second;
    last.second = now;
    if (fresh) return *out = {last.first, kXid, (u64)atoll(now.c_str()), ~0u, ~0u}, true;
  }
  return false;
}

API nvmlEventSetWait_v2(EventSet *s, EventData *out, unsigned milliseconds) {
  auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (!find_xid(s, out)) {
    if (std::chrono::steady_clock::now() >= end) return kTimeout;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return kSuccess;
}
API nvmlEventSetWait(EventSet *s, EventData *out, unsigned milliseconds) { return nvmlEventSetWait_v2(s, out, milliseconds); }
