// The memory of the emulated GPUs: the host's, between pages that cannot be
// touched, so that an access past an allocation's end faults. The bytes between
// the end and the next multiple of 256, and 256 bytes before the beginning, are
// red zones that are looked at when a launch is over. Fresh memory is full of NaN.
#pragma once
#include <sys/mman.h>

#include <cstring>
#include <map>

#include "directives.h"

struct Allocation {
  size_t size;
  char *mapping;
  size_t mapped;
  int device;
};

class Memory {
  std::map<uintptr_t, Allocation> all_;
  std::map<int, size_t> used_;
  static constexpr size_t kPage = 64 << 10, kZone = 256;  // the largest page size there is
  static constexpr unsigned char kFresh = 0xff, kRed = 0xa5;

 public:
  size_t used(int device) { return used_[device]; }

  // Returns 0 where there is no room.
  uintptr_t allocate(int device, size_t size, size_t limit) {
    size_t rounded = (size + 255) / 256 * 256;
    if (!size || used_[device] + rounded > limit) return 0;
    size_t inner = (rounded + kZone + kPage - 1) / kPage * kPage;
    void *m = mmap(nullptr, inner + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return 0;
    char *first = (char *)m + kPage, *p = first + inner - rounded;
    if (mprotect(first, inner, PROT_READ | PROT_WRITE)) return munmap(m, inner + 2 * kPage), 0;
    memset(p - kZone, kRed, kZone);
    memset(p, kFresh, size);
    memset(p + size, kRed, rounded - size);
    all_[(uintptr_t)p] = {size, (char *)m, inner + 2 * kPage, device};
    used_[device] += rounded;
    return (uintptr_t)p;
  }

  bool release(uintptr_t p) {
    auto a = all_.find(p);
    if (a == all_.end()) return false;
    used_[a->second.device] -= (a->second.size + 255) / 256 * 256;
    munmap(a->second.mapping, a->second.mapped);
    all_.erase(a);
    return true;
  }

  // The allocation that p points into.
  const std::pair<const uintptr_t, Allocation> *find(uintptr_t p) {
    auto a = all_.upper_bound(p);
    if (a == all_.begin()) return nullptr;
    --a;
    return p < a->first + std::max<size_t>(a->second.size, 1) ? &*a : nullptr;
  }

  bool holds(uintptr_t p, size_t size) {
    auto a = find(p);
    return a && p + size <= a->first + a->second.size;
  }

  // Whether the red zones around the allocation of p are as they were.
  bool intact(uintptr_t p) {
    auto a = find(p);
    if (!a) return true;
    const unsigned char *begin = (const unsigned char *)a->first, *end = begin + a->second.size;
    for (const unsigned char *q = begin - kZone; q < begin; q++)
      if (*q != kRed) return false;
    for (const unsigned char *q = end; (uintptr_t)q % 256; q++)
      if (*q != kRed) return false;
    return true;
  }
};
