// Streams, events and launches. Work in a stream is not done when it is begun but
// when somebody waits for it: whoever reads a result or reuses a buffer too early
// finds out here as on a GPU.
#pragma once
#include <deque>
#include <functional>
#include <memory>

#include "directives.h"
#include "memory.h"
#include "scheduler.h"

struct Device;

typedef std::function<int()> Work;  // returns a CUresult

struct Graph {
  std::vector<Work> work;
};

struct Stream {
  Device *device;
  bool blocking;  // that is, ordered with the null stream
  std::deque<Work> work;
  Graph *capture = nullptr;
};

struct Event {
  Stream *stream = nullptr;
  int begun = 0, done = 0;
  double time = 0;
};

// Device is a GPU with its primary context. error sticks.
struct Device {
  int ordinal;
  std::string uuid;  // of the GPU
  std::string mig;   // of the part that this is, or empty
  int error = 0;
  long launches = 0;
  double clock = 0;  // milliseconds of work done: a model, the same in every run
  bool hangs = false;
  bool struck = false;  // a directive has hit a launch
  Stream null{this, true, {}, nullptr};
  std::set<Stream *> streams;

  Gpu *gpu() const { return directives().find(uuid); }
};

inline Memory &memory() {
  static Memory *m = new Memory;
  return *m;
}

constexpr int kHung = -1;  // of Work: it never ends

// drain does the work of a stream until nothing is left or enough says so.
template <class Enough> inline void drain(Stream *s, Enough enough) {
  while (!s->work.empty() && !enough()) {
    if (s->device->error || s->device->hangs) return;
    Work w = std::move(s->work.front());
    s->work.pop_front();
    int rc = w();
    if (rc == kHung)
      s->device->hangs = true;
    else if (rc)
      s->device->error = rc;
  }
}

inline void drain(Stream *s) {
  drain(s, [] { return false; });
}

inline void drain_all(Device *d) {
  drain(&d->null);
  for (Stream *s : d->streams) drain(s);
}

// enqueue puts work at a stream's end, behind what must come before it.
inline void enqueue(Stream *s, Work w) {
  if (s->capture) return s->capture->work.push_back(std::move(w));
  if (s == &s->device->null) {
    for (Stream *other : s->device->streams)
      if (other->blocking) drain(other);
  } else if (s->blocking) {
    drain(&s->device->null);
  }
  s->work.push_back(std::move(w));
  if (s->work.size() > 512) drain(s, [s] { return s->work.size() <= 256; });
}
