// Runs the blocks of a grid. Each OS thread (a Worker) runs one block at a time,
// from start to end, and in it one CUDA thread at a time, until that waits for
// others or ends. A thread that never waits costs no switch: the next begins on
// the same stack.
//
// The order is adversarial. A warp runs on until it meets a barrier, before any
// other begins, and a lane until it needs its warp; so a missing barrier shows,
// either in this order or in the reversed one.
#pragma once
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "fiber.h"
#include "pool.h"
#include "thread.h"

// Launch is one kernel launch; error and message say what went wrong in it first.
struct Launch {
  const emu::Kernel *kernel;
  const emu::Library *library;
  void **arguments;
  dim3 grid, block;
  unsigned shared;
  unsigned order;          // 0 forward, 1 reversed, others are seeds
  size_t tls, tls_before;  // of the module
  long number = 0;
  std::atomic<int> error{0};
  std::string message;
  std::mutex mutex;
};

class Worker;
inline thread_local Worker *this_worker;

class Worker {
  // Lanes of a warp that wait for others with the same mask.
  struct Meeting {
    unsigned mask, arrived;
    emu::Complete complete;
  };
  struct Warp {
    void *given[32];
    unsigned live;
    Meeting meeting;              // arrived is 0 where nobody waits
    std::vector<Meeting> others;  // with other masks, while that one is under way
    int first;                    // thread
  };
  struct Copy {
    void *shared;
    const void *src;
    int bytes, valid, group;
  };
  enum State { Fresh, Ready, AtBarrier, InWarp, Done };
  struct Thread : emu::Thread {
    Warp *warp;
    Worker *worker;
    void *sp;      // where it stopped
    Fiber *fiber;  // null before it begins
    State state;
    int groups;
    std::vector<Copy> copies;
  };
  static constexpr int kThreads = 1024;
  static constexpr size_t kShared = 228 << 10, kFence = 256;

  Launch *launch_ = nullptr;
  long number_ = 0;                     // of the launch
  emu::Block block_;
  int count_ = 0;                       // threads of the block
  Thread threads_[kThreads];
  Warp warps_[kThreads / 32];
  int sequence_[kThreads];              // the order in which threads begin
  Thread *ready_[kThreads];             // woken by their warp, last in first out
  int ready_count_ = 0;
  Thread *released_[kThreads];          // by a barrier, first in first out
  int released_count_ = 0, next_released_ = 0;
  int next_fresh_ = 0, live_ = 0, at_barrier_ = 0;
  Thread *current_ = nullptr;
  std::vector<Fiber *> fibers_, idle_;
  void *home_ = nullptr;                // the worker's own stack, while fibers run
  char *shared_ = nullptr;
  sigjmp_buf escape_;
  volatile bool running_ = false;

 public:
  // Runs one block of a launch.
  void run(Launch *l, unsigned number) {
    this_worker = this;
    bool anew = number_ != l->number;
    launch_ = l, number_ = l->number;
    unsigned total = l->grid.x * l->grid.y * l->grid.z;
    begin(l->order ? total - 1 - number : number, anew);
    running_ = true;
    if (sigsetjmp(escape_, 0) == 0) {
      resume(next(), &home_);
      check_shared();
    } else {
      forget_fibers();
    }
    running_ = false;
  }

  bool running() const { return running_; }

  // fail ends the launch: the block is left as it is.
  [[noreturn]] void fail(int code, const char *file, int line, const std::string &what) {
    note(code, file, line, what);
    siglongjmp(escape_, 1);
  }

 private:
  void begin(unsigned number, bool anew) {
    const Launch &l = *launch_;
    block_ = {{number % l.grid.x, number / l.grid.x % l.grid.y, number / l.grid.x / l.grid.y}, l.block, l.grid, shared_memory(), scheduler()};
    if (anew) prepare();
    for (int i = 0; i < count_; i++) {
      Thread &t = threads_[i];
      t.fiber = nullptr, t.state = Fresh, t.groups = 0;
      if (!t.copies.empty()) t.copies.clear();
    }
    for (int w = 0; w < (count_ + 31) / 32; w++) {
      int lanes = std::min(32, count_ - 32 * w);
      warps_[w].live = lanes == 32 ? ~0u : (1u << lanes) - 1;
      warps_[w].meeting.arrived = 0, warps_[w].others.clear();
    }
    ready_count_ = released_count_ = next_released_ = next_fresh_ = at_barrier_ = 0;
    live_ = count_;
  }

  // Shared memory is full of NaN. The static one is the library's thread-local memory.
  char *shared_memory() {
    const Launch &l = *launch_;
    if (!shared_) shared_ = (char *)aligned_alloc(1024, kShared + kFence);
    memset(shared_, 0xff, l.shared + kFence);
    memset(l.library->memory() - l.tls_before, 0xff, l.tls);
    return shared_;
  }

  // prepare sets what is the same for all blocks of a launch.
  void prepare() {
    const Launch &l = *launch_;
    count_ = l.block.x * l.block.y * l.block.z;
    for (int i = 0; i < count_; i++) {
      Thread &t = threads_[i];
      t.index = {i % l.block.x, i / l.block.x % l.block.y, i / l.block.x / l.block.y};
      t.lane = i % 32, t.block = &block_, t.worker = this, t.warp = &warps_[i / 32];
      warps_[i / 32].first = i / 32 * 32;
      sequence_[i] = l.order ? count_ - 1 - i : i;
    }
    for (unsigned i = count_, x = l.order; l.order > 1 && i > 1; i--) {
      x = x * 1664525 + 1013904223;
      std::swap(sequence_[i - 1], sequence_[(x >> 8) % i]);
    }
  }

  void check_shared() {
    for (size_t i = launch_->shared; i < launch_->shared + kFence; i++)
      if (shared_[i] != (char)0xff) {
        note(emu::IllegalAddress, "", 0, "a write " + std::to_string(i - launch_->shared) + " bytes past the dynamic shared memory");
        return;
      }
  }

  // next chooses who runs now; null when the block is done.
  Thread *next() {
    if (ready_count_) return ready_[--ready_count_];
    if (next_released_ < released_count_) return released_[next_released_++];
    if (next_fresh_ < count_) return &threads_[sequence_[next_fresh_++]];
    if (!live_) return nullptr;
    if (at_barrier_ != live_) fail(emu::LaunchFailed, "", 0, stuck());
    release();
    return released_[next_released_++];
  }

  void release() {
    released_count_ = next_released_ = at_barrier_ = 0;
    for (int i = 0; i < count_; i++) {
      Thread *t = &threads_[sequence_[i]];
      if (t->state == AtBarrier) released_[released_count_++] = t;
    }
  }

  std::string stuck() {
    for (int i = 0; i < count_; i++)
      if (threads_[i].state == InWarp) current_ = &threads_[i];
    return "waits for lanes of its warp that wait elsewhere: on a GPU the launch would hang";
  }

  // go_on lets the next thread run, until this one is the next.
  void go_on(Thread *me) {
    Thread *t = next();
    if (t != me)
      resume(t, &me->sp);
    else
      me->state = Ready;
  }

  void resume(Thread *t, void **save) {
    if (!t->fiber) begin_on(t, fresh_fiber());
    t->state = Ready;
    current_ = t;
    emu_switch(save, t->sp);
  }

  void begin_on(Thread *t, Fiber *f) { t->fiber = f, t->sp = f->sp; }

  Fiber *fresh_fiber() {
    if (!idle_.empty()) {
      Fiber *f = idle_.back();
      idle_.pop_back();
      return f;
    }
    Fiber *f = new Fiber;
    if (!fiber_start(f, fibers_.size(), fiber_main)) fail(emu::LaunchFailed, "", 0, "no memory for a stack");
    fibers_.push_back(f);
    return f;
  }

  void forget_fibers() {
    idle_.clear();
    for (size_t i = 0; i < fibers_.size(); i++) {
      fiber_start(fibers_[i], i, fiber_main);
      idle_.push_back(fibers_[i]);
    }
  }

  static void fiber_main() {
    for (Worker *w = this_worker;;) w->live();
  }

  // live runs the current thread to its end, on its fiber, then the next.
  void live() {
    Thread *me = current_;
    launch_->kernel->run(me, launch_->arguments);
    Fiber *f = me->fiber;
    me->state = Done, live_--;
    for (const Copy &c : me->copies) perform(c);
    leave_warp(me);
    Thread *t = next();
    if (t && !t->fiber) {
      begin_on(t, f);
      t->state = Ready, current_ = t;
      return;
    }
    idle_.push_back(f);
    if (t)
      resume(t, &f->sp);
    else
      emu_switch(&f->sp, home_);
  }

  // --- What a thread calls ---

  static Thread *mine(emu::Thread *t) { return static_cast<Thread *>(t); }

  static void barrier(emu::Thread *t) {
    Thread *me = mine(t);
    me->worker->at_barrier_++;
    me->state = AtBarrier;
    me->worker->go_on(me);
  }

  static void collective(emu::Thread *t, unsigned mask, emu::Complete complete, void *given) {
    Thread *me = mine(t);
    Warp *w = me->warp;
    unsigned bit = 1u << me->lane;
    if (!(mask & bit)) me->worker->fail(emu::LaunchFailed, "", 0, "calls a function of its warp with a mask that leaves itself out");
    w->given[me->lane] = given;
    Meeting *m = meeting(w, mask);
    if (!m->arrived)
      *m = {mask, bit, complete};
    else if (m->complete != complete)
      me->worker->fail(emu::LaunchFailed, "", 0, "is at another function of its warp than a lane that waits for it");
    m->arrived |= bit;
    me->state = InWarp;
    if ((m->arrived & w->live) == (mask & w->live)) me->worker->meet(w, m);
    me->worker->go_on(me);
  }

  // meeting finds where lanes with this mask wait, or may.
  static Meeting *meeting(Warp *w, unsigned mask) {
    if (w->others.empty() && (!w->meeting.arrived || w->meeting.mask == mask)) return &w->meeting;
    if (w->meeting.arrived && w->meeting.mask == mask) return &w->meeting;
    for (Meeting &m : w->others)
      if (m.arrived && m.mask == mask) return &m;
    w->others.push_back({mask, 0, nullptr});
    return &w->others.back();
  }

  // meet completes what all lanes of a meeting have come for, and wakes them.
  void meet(Warp *w, Meeting *m) {
    Meeting now = *m;
    m->arrived = 0;
    while (!w->others.empty() && !w->others.back().arrived) w->others.pop_back();
    void *some[32], **lanes = w->given;
    if (now.arrived != ~0u) {
      lanes = some;
      for (int i = 0; i < 32; i++) some[i] = now.arrived >> i & 1 ? w->given[i] : nullptr;
    }
    now.complete(lanes);
    for (int k = 0; k < 32; k++) {  // the first in order goes on top
      int i = launch_->order ? k : 31 - k;
      if (now.arrived >> i & 1) ready_[ready_count_++] = &threads_[w->first + i];
    }
  }

  // leave_warp completes what waited for a lane that has ended.
  void leave_warp(Thread *t) {
    Warp *w = t->warp;
    w->live &= ~(1u << t->lane);
    if (complete(w, w->meeting)) meet(w, &w->meeting);
    for (size_t i = 0; i < w->others.size(); i++)
      if (complete(w, w->others[i])) meet(w, &w->others[i]);
  }

  static bool complete(Warp *w, const Meeting &m) { return m.arrived && (m.arrived & w->live) == (m.mask & w->live); }

  static void copy(emu::Thread *t, void *shared, const void *src, int bytes, int valid) {
    if ((uintptr_t)shared % bytes || (uintptr_t)src % bytes)
      this_worker->fail(emu::MisalignedAddress, "", 0, "cp.async between addresses that are not aligned to " + std::to_string(bytes) + " bytes");
    if (valid < 0 || valid > bytes) this_worker->fail(emu::LaunchFailed, "", 0, "cp.async of " + std::to_string(valid) + " bytes");
    memset(shared, 0xff, bytes);  // from now on nobody may look
    mine(t)->copies.push_back({shared, src, bytes, valid, mine(t)->groups});
  }

  static void commit(emu::Thread *t) { mine(t)->groups++; }

  static void await(emu::Thread *t, int groups) {
    Thread *me = mine(t);
    size_t kept = 0;
    for (const Copy &c : me->copies)
      if (c.group < me->groups - groups)
        perform(c);
      else
        me->copies[kept++] = c;
    me->copies.resize(kept);
  }

  static void perform(const Copy &c) {
    memset(c.shared, 0, c.bytes);
    memcpy(c.shared, c.src, c.valid);
  }

  [[noreturn]] static void fail_here(int code, const char *file, int line, const char *what) { this_worker->fail(code, file, line, what); }

  static const emu::Scheduler *scheduler() {
    static const emu::Scheduler s = {barrier, collective, copy, commit, await, fail_here};
    return &s;
  }

  void note(int code, const char *file, int line, const std::string &what) {
    std::lock_guard<std::mutex> lock(launch_->mutex);
    if (launch_->error) return;
    char where[300], at[100] = "";
    if (line) snprintf(at, sizeof at, " at %.80s:%d", file, line);
    uint3 t = current_ ? current_->index : uint3{0, 0, 0};
    snprintf(where, sizeof where, "kernel %.100s%s: thread (%u,%u,%u) of block (%u,%u,%u): ", launch_->kernel->name, at, t.x, t.y, t.z,
             block_.index.x, block_.index.y, block_.index.z);
    launch_->message = where + what;
    launch_->error = code;
  }
};

// A wild address in a kernel is an error of the launch, not the end of the process.
inline void catch_wild_addresses() {
  static struct sigaction before[2];
  struct sigaction a = {};
  a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  a.sa_sigaction = [](int sig, siginfo_t *info, void *context) {
    if (this_worker && this_worker->running()) {
#ifdef __clang__
      // Its sanitizer does not look at copies of structs: the CPU refuses those that
      // are not aligned, and gives no address.
      if (info->si_code == SI_KERNEL) this_worker->fail(emu::MisalignedAddress, "", 0, "an address that is not aligned for its type, or is none");
#endif
      char what[80];
      snprintf(what, sizeof what, "an access to %p, which is not memory of the GPU", info->si_addr);
      this_worker->fail(emu::IllegalAddress, "", 0, what);
    }
    struct sigaction &old = before[sig == SIGBUS];
    if (old.sa_flags & SA_SIGINFO)
      old.sa_sigaction(sig, info, context);
    else if (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN)
      signal(sig, SIG_DFL);  // and happens again
    else
      old.sa_handler(sig);
  };
  sigaction(SIGSEGV, &a, &before[0]);
  sigaction(SIGBUS, &a, &before[1]);
}

// run_grid runs all blocks of a launch and returns its error, 0 for none.
inline int run_grid(Launch *l) {
  static std::once_flag once;
  std::call_once(once, catch_wild_addresses);
  unsigned blocks = l->grid.x * l->grid.y * l->grid.z;
  static std::atomic<long> launches{0};
  l->number = ++launches;
  Pool::get().each(blocks, [l](unsigned i) {
    static thread_local Worker *w = new Worker;
    if (!l->error) w->run(l, i);
  });
  return l->error;
}
