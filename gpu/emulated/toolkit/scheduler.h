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
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fiber.h"
#include "thread.h"

// Launch is one kernel launch; error and message say what went wrong in it first.
struct Launch {
  const emu::Kernel *kernel;
  const emu::Library *library;
  void **arguments;
  dim3 grid, block;
  unsigned shared;
  unsigned order;          // 0 forward, 1 reversed, others are seeds
  size_t tls, tls_before;  // the library's thread-local memory: size, and bytes of it before self
  std::atomic<int> error{0};
  std::string message;
  std::mutex mutex;
};

class Worker;
inline thread_local Worker *this_worker;

class Worker {
  // What waits in a warp for lanes that share its mask.
  struct Meeting {
    unsigned mask, arrived;
    emu::Complete complete;
  };
  struct Warp {
    std::vector<Meeting> meetings;
    unsigned live;
    int first;  // thread
  };
  struct Copy {
    void *shared;
    const void *src;
    int bytes, valid, group;
  };
  enum State { Fresh, Ready, AtBarrier, InWarp, Done };
  struct Thread : emu::Thread {
    Warp *warp;
    Fiber *fiber;
    State state;
    void *given;
    int number, groups;
    std::vector<Copy> copies;
  };

  Launch *launch_ = nullptr;
  emu::Block block_;
  emu::Thread **self_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<int> sequence_;      // the order in which threads begin
  std::vector<Thread *> ready_;    // woken by their warp, last in first out
  std::vector<Thread *> released_; // by a barrier
  size_t next_released_ = 0, next_fresh_ = 0;
  int live_ = 0, at_barrier_ = 0;
  Thread *current_ = nullptr;
  std::vector<Fiber *> fibers_, idle_;
  void *home_ = nullptr;  // the worker's own stack, while fibers run
  char *shared_ = nullptr;
  sigjmp_buf escape_;
  volatile bool running_ = false;

  static constexpr size_t kShared = 228 << 10, kFence = 1024;

 public:
  // Runs one block of a launch.
  void run(Launch *l, unsigned number) {
    this_worker = this;
    launch_ = l;
    unsigned total = l->grid.x * l->grid.y * l->grid.z;
    if (l->order) number = total - 1 - number;
    begin(number);
    running_ = true;
    if (sigsetjmp(escape_, 0) == 0) {
      resume(next(), &home_);
      check_shared();
    } else {
      forget_fibers();
    }
    running_ = false;
    *self_ = nullptr;
  }

  bool running() const { return running_; }

  // fail ends the launch: the block is left as it is.
  [[noreturn]] void fail(int code, const char *file, int line, const std::string &what) {
    note(code, file, line, what);
    siglongjmp(escape_, 1);
  }

 private:
  void begin(unsigned number) {
    const Launch &l = *launch_;
    int n = l.block.x * l.block.y * l.block.z;
    if (!shared_) shared_ = (char *)aligned_alloc(1024, kShared + kFence);
    memset(shared_, 0xff, l.shared + kFence);
    self_ = l.library->self();
    poison_static();
    const emu::Scheduler *calls = scheduler();
    block_ = {{number % l.grid.x, number / l.grid.x % l.grid.y, number / l.grid.x / l.grid.y}, l.block, l.grid, shared_, calls};
    prepare(n);
    ready_.clear(), released_.clear();
    next_released_ = next_fresh_ = 0;
    live_ = n, at_barrier_ = 0;
  }

  void prepare(int n) {
    const Launch &l = *launch_;
    if ((int)threads_.size() < n) threads_.resize(n), warps_.resize((n + 31) / 32), sequence_.resize(n);
    for (int i = 0; i < n; i++) {
      Thread &t = threads_[i];
      t.index = {i % l.block.x, i / l.block.x % l.block.y, i / l.block.x / l.block.y};
      t.lane = i % 32, t.number = i, t.block = &block_;
      t.warp = &warps_[i / 32], t.fiber = nullptr, t.state = Fresh, t.groups = 0;
      t.copies.clear();
      sequence_[i] = l.order ? n - 1 - i : i;
    }
    for (int w = 0; w < (n + 31) / 32; w++) {
      int lanes = std::min(32, n - 32 * w);
      warps_[w].meetings.clear();
      warps_[w].live = lanes == 32 ? ~0u : (1u << lanes) - 1, warps_[w].first = 32 * w;
    }
    for (unsigned i = n, x = l.order; l.order > 1 && i > 1; i--) {
      x = x * 1664525 + 1013904223;
      std::swap(sequence_[i - 1], sequence_[(x >> 8) % i]);
    }
  }

  // Static shared memory is the library's thread-local memory.
  void poison_static() {
    if (launch_->tls <= sizeof(void *)) return;
    memset((char *)self_ - launch_->tls_before, 0xff, launch_->tls);
    *self_ = nullptr;
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
    if (!ready_.empty()) {
      Thread *t = ready_.back();
      ready_.pop_back();
      return t;
    }
    if (next_released_ == released_.size() && at_barrier_ > 0 && at_barrier_ == live_) release();
    if (next_released_ < released_.size()) return released_[next_released_++];
    int n = launch_->block.x * launch_->block.y * launch_->block.z;
    if ((int)next_fresh_ < n) return &threads_[sequence_[next_fresh_++]];
    if (live_) fail(emu::LaunchFailed, "", 0, stuck());
    return nullptr;
  }

  void release() {
    int n = launch_->block.x * launch_->block.y * launch_->block.z;
    released_.clear(), next_released_ = 0, at_barrier_ = 0;
    for (int i = 0; i < n; i++) {
      Thread *t = &threads_[sequence_[i]];
      if (t->state == AtBarrier) t->state = Ready, released_.push_back(t);
    }
  }

  std::string stuck() {
    int n = launch_->block.x * launch_->block.y * launch_->block.z;
    for (int i = 0; i < n; i++)
      if (threads_[i].state == InWarp) {
        current_ = &threads_[i];
        return "waits for lanes of its warp that wait elsewhere: on a GPU the launch would hang";
      }
    return "no thread can go on";
  }

  // wait stops the current thread until its state changes.
  void wait(State s) {
    Thread *me = current_;
    me->state = s;
    Thread *t = next();
    if (t != me)
      resume(t, &me->fiber->sp);
    else
      me->state = Ready;
  }

  void resume(Thread *t, void **save) {
    if (!t->fiber) t->fiber = fresh_fiber();
    t->state = Ready;
    *self_ = current_ = t;
    emu_switch(save, t->fiber->sp);
  }

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
    for (;;) this_worker->live();
  }

  // live runs the current thread to its end, on its fiber, then the next.
  void live() {
    Thread *me = current_;
    launch_->kernel->run(launch_->arguments);
    Fiber *f = me->fiber;
    me->fiber = nullptr, me->state = Done, live_--;
    for (const Copy &c : me->copies) perform(c);
    leave_warp(me);
    Thread *t = next();
    if (t && !t->fiber) {
      t->fiber = f, t->state = Ready;
      *self_ = current_ = t;
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

  static void barrier(emu::Thread *) {
    Worker *w = this_worker;
    w->at_barrier_++;
    w->wait(AtBarrier);
  }

  static void collective(emu::Thread *t, unsigned mask, emu::Complete complete, void *given) {
    this_worker->meet(mine(t), mask, complete, given);
  }

  void meet(Thread *me, unsigned mask, emu::Complete complete, void *given) {
    unsigned bit = 1u << me->lane;
    if (!(mask & bit)) fail(emu::LaunchFailed, "", 0, "calls a function of its warp with a mask that leaves itself out");
    me->given = given;
    for (Meeting &m : me->warp->meetings) {
      if (m.mask != mask) continue;
      if (m.complete != complete) fail(emu::LaunchFailed, "", 0, "is at another function of its warp than a lane that waits for it");
      m.arrived |= bit;
      if ((m.arrived & me->warp->live) != (mask & me->warp->live)) return wait(InWarp);
      return finish(me->warp, &m, me);
    }
    if ((mask & me->warp->live) == bit) {
      void *lanes[32] = {};
      lanes[me->lane] = given;
      return complete(lanes);
    }
    me->warp->meetings.push_back({mask, bit, complete});
    wait(InWarp);
  }

  // finish completes a meeting and wakes its lanes, the first in order on top.
  void finish(Warp *w, Meeting *m, Thread *last) {
    Meeting now = *m;
    *m = w->meetings.back();
    w->meetings.pop_back();
    void *lanes[32];
    for (int i = 0; i < 32; i++) lanes[i] = now.arrived >> i & 1 ? threads_[w->first + i].given : nullptr;
    now.complete(lanes);
    for (int k = 0; k < 32; k++) {
      int i = launch_->order ? k : 31 - k;
      Thread *t = &threads_[w->first + (now.arrived >> i & 1 ? i : 0)];
      if (now.arrived >> i & 1 && t != last) t->state = Ready, ready_.push_back(t);
    }
  }

  // leave_warp completes what waited for a lane that has ended.
  void leave_warp(Thread *t) {
    Warp *w = t->warp;
    w->live &= ~(1u << t->lane);
    for (size_t i = 0; i < w->meetings.size();) {
      Meeting &m = w->meetings[i];
      if ((m.arrived & w->live) == (m.mask & w->live))
        finish(w, &m, nullptr);
      else
        i++;
    }
  }

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

  static void fail_here(int code, const char *file, int line, const char *what) { this_worker->fail(code, file, line, what); }

  static const emu::Scheduler *scheduler() {
    static const emu::Scheduler s = {barrier, collective, copy, commit, await, (void (*)(int, const char *, int, const char *))fail_here};
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

// Pool runs work on all of its threads and the caller's.
class Pool {
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(unsigned)> *work_ = nullptr;
  std::atomic<unsigned> next_{0};
  unsigned count_ = 0, busy_ = 0, round_ = 0;

 public:
  static Pool &get() {
    static Pool *p = new Pool;  // never destroyed: its threads may outlive main
    return *p;
  }

  // each calls work(0) to work(count-1), from one thread at a time or from several.
  void each(unsigned count, const std::function<void(unsigned)> &work) {
    if (count < 2 || threads_.empty()) {
      for (unsigned i = 0; i < count; i++) work(i);
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      work_ = &work, count_ = count, next_ = 0, busy_ = threads_.size(), round_++;
    }
    wake_.notify_all();
    share(work, count);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return busy_ == 0; });
  }

 private:
  Pool() {
    unsigned n = std::min(4u, std::max(1u, std::thread::hardware_concurrency()));
    if (const char *s = getenv("AUTORESEARCH_EMULATED_THREADS")) n = std::max(1, atoi(s));
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV), sigdelset(&all, SIGBUS), sigdelset(&all, SIGFPE), sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_BLOCK, &all, &old);  // the program's signals are none of their business
    for (unsigned i = 1; i < n; i++) threads_.emplace_back([this] { serve(); });
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    for (auto &t : threads_) t.detach();
  }

  void share(const std::function<void(unsigned)> &work, unsigned count) {
    for (unsigned i; (i = next_++) < count;) work(i);
  }

  void serve() {
    static thread_local char stack[64 << 10];
    stack_t alternate = {};
    alternate.ss_sp = stack, alternate.ss_size = sizeof stack;
    sigaltstack(&alternate, nullptr);
    unsigned round = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return round_ != round; });
      round = round_;
      auto work = work_;
      unsigned count = count_;
      lock.unlock();
      share(*work, count);
      lock.lock();
      if (--busy_ == 0) done_.notify_all();
    }
  }
};

// A wild address in a kernel is an error of the launch, not the end of the process.
inline void catch_wild_addresses() {
  static struct sigaction before[2];
  struct sigaction a = {};
  a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  a.sa_sigaction = [](int sig, siginfo_t *info, void *context) {
    if (this_worker && this_worker->running()) {
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
  Pool::get().each(blocks, [l](unsigned i) {
    static thread_local Worker *w = new Worker;
    if (!l->error) w->run(l, i);
  });
  return l->error;
}
