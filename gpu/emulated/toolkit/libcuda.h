// What the parts of the emulated driver share: which devices there are, and how
// every call begins.
#pragma once
#include "streams.h"

#define API extern "C" __attribute__((visibility("default"))) int

// CUresult codes.
enum {
  kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNotInitialized = 3, kNoDevice = 100, kInvalidDevice = 101,
  kInvalidImage = 200, kInvalidContext = 201, kNoBinary = 209, kInvalidHandle = 400, kNotFound = 500, kNotReady = 600,
  kTooManyResources = 701, kNotSupported = 801,
};

struct Driver {
  std::recursive_mutex mutex;
  bool initialized = false;
  std::vector<Device *> devices;  // those that CUDA_VISIBLE_DEVICES leaves
  std::map<void *, size_t> pinned;

  static Driver &get() {
    static Driver *d = new Driver;
    return *d;
  }

  int initialize() {
    Directives &d = directives();
    if (d.cuinit) return d.cuinit;
    if (d.nodriver) return kNoDevice;
    if (!initialized) find_devices(d);
    if (devices.empty()) return kNoDevice;
    initialized = true;
    return 0;
  }

 private:
  // Every GPU has a name; a GPU in MIG mode is its first part unless one is named.
  void find_devices(Directives &d) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (!visible) {
      for (Gpu &g : d.gpus) add(g, g.mig.empty() ? "" : g.mig[0]);
      return;
    }
    for (const std::string &want : split(visible, ','))
      if (!add_named(d, want)) return;  // what follows an unknown name is not seen
  }

  bool add_named(Directives &d, const std::string &want) {
    for (size_t i = 0; i < d.gpus.size(); i++) {
      Gpu &g = d.gpus[i];
      if (want == std::to_string(i) || (want.size() > 4 && g.uuid.compare(0, want.size(), want) == 0)) return add(g, g.mig.empty() ? "" : g.mig[0]), true;
      for (const std::string &m : g.mig)
        if (want.size() > 4 && m.compare(0, want.size(), want) == 0) return add(g, m), true;
    }
    return false;
  }

  void add(Gpu &g, const std::string &mig) {
    Device *dev = new Device;
    dev->ordinal = devices.size(), dev->uuid = g.uuid, dev->mig = mig;
    devices.push_back(dev);
  }
};

inline thread_local std::vector<Device *> contexts;  // of this thread, the current one last

inline Device *current() { return contexts.empty() ? nullptr : contexts.back(); }

typedef std::unique_lock<std::recursive_mutex> Lock;
inline Lock lock() { return Lock(Driver::get().mutex); }

// state is the error that every call of a device returns, if there is one.
inline int state(Device *d) {
  if (!Driver::get().initialized) return kNotInitialized;
  if (!d) return kInvalidContext;
  Gpu *g = d->gpu();
  if (!g || g->lost) d->error = emu::LaunchFailed;
  return d->error;
}

// wait_for does what is in the way of a condition, as a blocking call does.
template <class Do> inline int wait_for(Lock &held, Device *d, Do work) {
  if (int rc = state(d)) return rc;
  work();
  if (d->hangs) {
    held.unlock();
    for (;;) pause();
  }
  return state(d);
}

inline Stream *stream(void *handle) {
  if ((uintptr_t)handle > 2) return (Stream *)handle;
  return current() ? &current()->null : nullptr;
}
