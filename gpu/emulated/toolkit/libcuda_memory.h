// Memory and copies of the emulated driver.
#pragma once
#include "libcuda.h"

typedef unsigned long long DevicePtr;

static size_t capacity(Device *d) {
  Gpu *g = d->gpu();
  size_t taken = g->nvml.count("used") ? bytes(g->nvml["used"]) : 0;
  return std::min(g->oom, g->memory - std::min(g->memory, taken));
}

API cuMemAlloc_v2(DevicePtr *out, size_t size) {
  Lock held = lock();
  Device *d = current();
  if (int rc = state(d)) return rc;
  if (!size) return kInvalidValue;
  *out = memory().allocate(d->ordinal, size, capacity(d));
  return *out ? 0 : kOutOfMemory;
}

API cuMemFree_v2(DevicePtr p) {
  Lock held = lock();
  Device *d = current();
  if (!p) return 0;
  return wait_for(held, d, [=] {
    drain_all(d);
    if (!d->hangs && !d->error && !memory().release(p)) d->error = kInvalidValue;
  });
}

API cuMemGetInfo_v2(size_t *free, size_t *total) {
  Lock held = lock();
  Device *d = current();
  if (int rc = state(d)) return rc;
  *total = d->gpu()->memory;
  *free = capacity(d) - std::min(capacity(d), memory().used(d->ordinal));
  return 0;
}

API cuMemGetAddressRange_v2(DevicePtr *base, size_t *size, DevicePtr p) {
  Lock held = lock();
  auto a = memory().find(p);
  if (!a) return kInvalidValue;
  if (base) *base = a->first;
  if (size) *size = a->second.size;
  return 0;
}

// --- Stream-ordered allocation, from the one pool there is ---

API cuMemAllocAsync(DevicePtr *out, size_t size, void *) { return cuMemAlloc_v2(out, size); }
API cuMemFreeAsync(DevicePtr p, void *s) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  enqueue(stream(s), [=] { return memory().release(p) ? 0 : kInvalidValue; });
  return 0;
}
API cuDeviceGetDefaultMemPool(void **pool, int i) { return *pool = (void *)(uintptr_t)(i + 1), 0; }
API cuDeviceGetMemPool(void **pool, int i) { return *pool = (void *)(uintptr_t)(i + 1), 0; }
API cuMemPoolSetAttribute(void *, int, void *) { return 0; }
API cuMemPoolGetAttribute(void *pool, int attribute, void *value) {
  *(unsigned long long *)value = attribute >= 5 ? memory().used((int)(uintptr_t)pool - 1) : 0;
  return 0;
}
API cuMemPoolTrimTo(void *, size_t) { return 0; }

// --- Host memory ---

API cuMemHostAlloc(void **out, size_t size, unsigned) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  *out = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
  if (!*out) return kOutOfMemory;
  memset(*out, 0xff, size);
  Driver::get().pinned[*out] = size;
  return 0;
}
API cuMemAllocHost_v2(void **out, size_t size) { return cuMemHostAlloc(out, size, 0); }
API cuMemFreeHost(void *p) {
  Lock held = lock();
  if (current()) drain_all(current());
  if (!Driver::get().pinned.erase(p)) return kInvalidValue;
  return free(p), 0;
}
API cuMemHostRegister_v2(void *p, size_t size, unsigned) { return Driver::get().pinned[p] = size, 0; }
API cuMemHostUnregister(void *p) { return Driver::get().pinned.erase(p) ? 0 : kInvalidValue; }

static bool pinned(const void *p) {
  auto &all = Driver::get().pinned;
  auto a = all.upper_bound((void *)p);
  return a != all.begin() && (--a, (const char *)p < (const char *)a->first + a->second);
}

// --- Copies. Host memory that is not pinned is read when the call is made. ---

static int copy_later(void *s, DevicePtr to, DevicePtr from, size_t size, bool to_device, bool from_device) {
  if (int rc = state(current())) return rc;
  if ((to_device && !memory().holds(to, size)) || (from_device && !memory().holds(from, size))) return size ? kInvalidValue : 0;
  if (!from_device && !pinned((void *)from)) {
    auto staged = std::make_shared<std::string>((char *)from, size);
    enqueue(stream(s), [=] { return memcpy((void *)to, staged->data(), size), 0; });
  } else {
    enqueue(stream(s), [=] { return memmove((void *)to, (void *)from, size), 0; });
  }
  return 0;
}

static int copy_now(DevicePtr to, DevicePtr from, size_t size, bool to_device, bool from_device) {
  Lock held = lock();
  Device *d = current();
  if (int rc = copy_later(nullptr, to, from, size, to_device, from_device)) return rc;
  return wait_for(held, d, [=] { drain(&d->null); });
}

API cuMemcpyHtoD_v2(DevicePtr to, const void *from, size_t n) { return copy_now(to, (DevicePtr)from, n, true, false); }
API cuMemcpyDtoH_v2(void *to, DevicePtr from, size_t n) { return copy_now((DevicePtr)to, from, n, false, true); }
API cuMemcpyDtoD_v2(DevicePtr to, DevicePtr from, size_t n) { return copy_now(to, from, n, true, true); }
API cuMemcpy(DevicePtr to, DevicePtr from, size_t n) { return copy_now(to, from, n, memory().find(to), memory().find(from)); }

API cuMemcpyHtoDAsync_v2(DevicePtr to, const void *from, size_t n, void *s) {
  Lock held = lock();
  return copy_later(s, to, (DevicePtr)from, n, true, false);
}
API cuMemcpyDtoHAsync_v2(void *to, DevicePtr from, size_t n, void *s) {
  Lock held = lock();
  int rc = copy_later(s, (DevicePtr)to, from, n, false, true);
  if (!rc && !pinned(to) && !stream(s)->capture) drain(stream(s));  // pageable memory: done when the call returns
  return rc;
}
API cuMemcpyDtoDAsync_v2(DevicePtr to, DevicePtr from, size_t n, void *s) {
  Lock held = lock();
  return copy_later(s, to, from, n, true, true);
}
API cuMemcpyAsync(DevicePtr to, DevicePtr from, size_t n, void *s) {
  Lock held = lock();
  return copy_later(s, to, from, n, memory().find(to), memory().find(from));
}

template <class T> static int set_later(void *s, DevicePtr to, T v, size_t n) {
  if (int rc = state(current())) return rc;
  if (n && (to % sizeof(T) || !memory().holds(to, n * sizeof(T)))) return kInvalidValue;
  enqueue(stream(s), [=] { return std::fill_n((T *)to, n, v), 0; });
  return 0;
}

#define EMU_MEMSET(name, type)                                        \
  API name##Async(DevicePtr to, type v, size_t n, void *s) {          \
    Lock held = lock();                                               \
    return set_later<type>(s, to, v, n);                              \
  }                                                                   \
  API name##_v2(DevicePtr to, type v, size_t n) {                     \
    Lock held = lock();                                               \
    Device *d = current();                                            \
    if (int rc = set_later<type>(nullptr, to, v, n)) return rc;       \
    return wait_for(held, d, [=] { drain(&d->null); });               \
  }
EMU_MEMSET(cuMemsetD8, unsigned char)
EMU_MEMSET(cuMemsetD16, unsigned short)
EMU_MEMSET(cuMemsetD32, unsigned)
#undef EMU_MEMSET
