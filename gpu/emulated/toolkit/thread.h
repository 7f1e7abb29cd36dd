// What the code of a kernel and the scheduler that runs it (in libcuda.so.1) know
// of each other. A kernel's library is compiled from emulation.h, the kernel's
// source and generated wrappers; the scheduler hands it this interface.
#pragma once

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace emu {

struct Thread;

// The collective functions of a warp end in a call of this: lanes[i] is what lane
// i gave, null for lanes that do not take part. It may read and write all that.
typedef void (*Complete)(void **lanes);

// What the scheduler does for a thread of a kernel.
struct Scheduler {
  void (*barrier)(Thread *);                                                    // __syncthreads
  void (*collective)(Thread *, unsigned mask, Complete, void *given);           // of the lanes in mask
  void (*copy)(Thread *, void *shared, const void *src, int bytes, int valid);  // begins a copy
  void (*commit)(Thread *);                                                     // closes a group of copies
  void (*wait)(Thread *, int groups);                                           // for all but the newest groups
  void (*fail)(int code, const char *file, int line, const char *what);  // does not return
};

struct Block {
  uint3 index;
  dim3 dim, grid;
  char *shared;  // dynamic
  const Scheduler *scheduler;
};

struct Thread {
  uint3 index;
  int lane;
  Block *block;
};

// The CUresult codes of what a kernel can do wrong.
enum { IllegalAddress = 700, MisalignedAddress = 716, Trap = 710, LaunchFailed = 719 };

// A kernel of a library, as the generated table emu_kernels lists it.
struct Kernel {
  const char *name;
  void (*run)(Thread *, void **arguments);
  const unsigned *sizes;          // of the arguments, ended by 0
  int threads, blocks;            // __launch_bounds__, 0 where not given
};

// What a kernel's library exports: emu_library.
struct Library {
  int arch;           // 900 for sm_90
  bool exact;         // sm_90a: runs on that architecture alone
  char *(*memory)();  // an address in the library's thread-local memory: static shared memory
  const Kernel *kernels;
};

}  // namespace emu
