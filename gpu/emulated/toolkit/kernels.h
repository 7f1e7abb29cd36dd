// The table of a library's kernels, as the emulated NVRTC generates it behind the
// source:
//   EMU_LIBRARY(900, true, EMU_KERNEL(rms_norm, 256) EMU_KERNEL(rope))
#pragma once

namespace emu {

template <unsigned... I> struct Indices {};
template <unsigned N, unsigned... I> struct Count : Count<N - 1, N - 1, I...> {};
template <unsigned... I> struct Count<0, I...> { typedef Indices<I...> type; };

template <class F, F *f> struct Runner;
template <class... A, void (*f)(A...)> struct Runner<void(A...), f> {
  static constexpr unsigned sizes[] = {sizeof(A)..., 0};
  template <unsigned... I> static void call(void **arguments, Indices<I...>) { f(*(A *)arguments[I]...); }
  // self may be a register that belongs to the caller.
  static void run(Thread *t, void **arguments) {
    Thread *before = self;
    self = t;
    call(arguments, typename Count<sizeof...(A)>::type());
    self = before;
  }
};

constexpr Kernel kernel(const char *name, void (*run)(Thread *, void **), const unsigned *sizes, int threads = 0, int blocks = 0) {
  return {name, run, sizes, threads, blocks};
}

}  // namespace emu

#define EMU_KERNEL(name, ...) \
  emu::kernel(#name, emu::Runner<decltype(name), name>::run, emu::Runner<decltype(name), name>::sizes, ##__VA_ARGS__),
#define EMU_LIBRARY(arch, exact, kernels)                                   \
  static const emu::Kernel emu_kernels[] = {kernels{nullptr, 0, 0, 0, 0}};  \
  extern "C" __attribute__((visibility("default"))) const emu::Library emu_library = {arch, exact, emu::memory, emu_kernels};
