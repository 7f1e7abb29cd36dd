// Fibers: stacks that a thread of the CPU switches between.
#pragma once
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#if defined(EMU_PLAIN) || (!defined(__x86_64__) && !defined(__aarch64__))
#define EMU_UCONTEXT  // slower; EMU_PLAIN is for trying it elsewhere
#include <ucontext.h>
#endif

struct Fiber {
  static constexpr size_t kStack = 128 << 10, kGuard = 64 << 10;
  char *memory = nullptr;
  void *sp = nullptr;  // where it stopped
};

#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
extern "C" void emu_switch(void **save, void *to);
// Saves what a called function must preserve, and goes on where the other stopped.
__asm__(R"(
.text
.type emu_switch,@function
emu_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp,(%rdi)
  mov %rsi,%rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size emu_switch,.-emu_switch
)");
inline void *fiber_stack(char *top, void (*run)()) {
  void **p = (void **)top;
  *--p = nullptr;  // so that the stack is aligned as after a call
  *--p = (void *)run;
  return p - 6;
}
#elif defined(__aarch64__) && !defined(EMU_UCONTEXT)
extern "C" void emu_switch(void **save, void *to);
__asm__(R"(
.text
.type emu_switch,%function
emu_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size emu_switch,.-emu_switch
)");
inline void *fiber_stack(char *top, void (*run)()) {
  void **p = (void **)top - 20;
  for (int i = 0; i < 20; i++) p[i] = nullptr;
  p[11] = (void *)run;  // x30
  return p;
}
#else
inline void emu_switch(void **save, void *to) {
  ucontext_t here;
  *save = &here;
  swapcontext(&here, (ucontext_t *)to);
}
inline void *fiber_stack(char *top, void (*run)()) {
  static_assert(sizeof(ucontext_t) < 8192, "a context fits above the stack");
  ucontext_t *c = (ucontext_t *)(((uintptr_t)top - 8192) & ~uintptr_t(63));
  getcontext(c);
  c->uc_stack.ss_sp = top - Fiber::kStack / 2, c->uc_stack.ss_size = (char *)c - (top - Fiber::kStack / 2);
  makecontext(c, run, 0);
  return c;
}
#endif

// fiber_start lets a fiber begin (again) with run, which never returns. Stacks
// begin at different places of their pages: otherwise all of them would want the
// same few lines of the CPU's caches.
inline bool fiber_start(Fiber *f, int number, void (*run)()) {
  if (!f->memory) {
    void *m = mmap(nullptr, Fiber::kStack + Fiber::kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return false;
    mprotect(m, Fiber::kGuard, PROT_NONE);
    f->memory = (char *)m;
  }
  f->sp = fiber_stack(f->memory + Fiber::kGuard + Fiber::kStack - number % 31 * 192, run);
  return true;
}
