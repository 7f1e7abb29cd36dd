// The threads of the CPU that blocks of a grid, and parts of a product, run on.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

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
  // It begins alone: what is done in some microseconds is not worth waking others.
  void each(unsigned count, const std::function<void(unsigned)> &work) {
    using std::chrono::steady_clock;
    auto begin = steady_clock::now();
    unsigned done = 0;
    bool alone = true;
    while (done < count && alone) {
      work(done++);
      auto spent = steady_clock::now() - begin;
      alone = threads_.empty() || spent / done * (count - done) < std::chrono::microseconds(100);
    }
    if (done == count) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      work_ = &work, count_ = count, next_ = done, busy_ = threads_.size(), round_++;
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
