// Modules, launches, streams, events and graphs of the emulated driver.
#pragma once
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/syscall.h>

#include "libcuda.h"

// --- Modules: a CUBIN is a shared library that the emulated NVRTC made ---

struct Function;

struct Module {
  void *handle;
  int file;  // stays open, for its name in /proc to stay this library's
  const emu::Library *library;
  size_t tls = 0, tls_before = 0;  // of the thread-local memory: size, and bytes before library->memory()
  std::map<std::string, Function *> functions;
};

struct Function {
  Module *module;
  const emu::Kernel *kernel;
  int shared_limit = 48 << 10;
};

// The bytes of an ELF file end with its section headers.
static size_t elf_size(const void *image) {
  const Elf64_Ehdr *h = (const Elf64_Ehdr *)image;
  if (memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_ident[EI_CLASS] != ELFCLASS64) return 0;
  return h->e_shoff + (size_t)h->e_shnum * h->e_shentsize;
}

// Finds the thread-local memory of a library, which holds static shared memory.
static void measure_tls(Module *m) {
  m->library->memory();  // from now on this thread has it
  dl_iterate_phdr(
      [](dl_phdr_info *info, size_t, void *p) {
        Module *m = (Module *)p;
        char *begin = (char *)info->dlpi_tls_data, *at = m->library->memory();
        for (int i = 0; i < info->dlpi_phnum; i++) {
          size_t size = info->dlpi_phdr[i].p_memsz;
          if (info->dlpi_phdr[i].p_type == PT_TLS && begin && at >= begin && at < begin + size) m->tls = size, m->tls_before = at - begin;
        }
        return 0;
      },
      m);
}

API cuModuleLoadData(void **out, const void *image) {
  Lock held = lock();
  Device *d = current();
  if (int rc = state(d)) return rc;
  size_t size = elf_size(image);
  int file = size ? syscall(SYS_memfd_create, "cubin", 0) : -1;
  if (file < 0 || write(file, image, size) != (ssize_t)size) return kInvalidImage;
  Module *m = new Module{nullptr, file, nullptr};
  m->handle = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (m->handle) m->library = (const emu::Library *)dlsym(m->handle, "emu_library");
  if (!m->library) {
    fprintf(stderr, "emulated GPU: load a module: %s\n", dlerror());
    return close(file), kInvalidImage;
  }
  Gpu *g = d->gpu();
  int arch = g->major * 100 + g->minor * 10;
  if (m->library->arch / 100 != g->major || m->library->arch > arch || (m->library->exact && m->library->arch != arch)) return kNoBinary;
  measure_tls(m);
  *out = m;
  return 0;
}

API cuModuleLoadDataEx(void **out, const void *image, unsigned, void *, void **) { return cuModuleLoadData(out, image); }
API cuModuleLoadFatBinary(void **out, const void *image) { return cuModuleLoadData(out, image); }

API cuModuleLoad(void **out, const char *path) {
  std::ifstream in(path, std::ios::binary);
  std::string image((std::istreambuf_iterator<char>(in)), {});
  return image.size() < sizeof(Elf64_Ehdr) ? 301 : cuModuleLoadData(out, image.data());
}

API cuModuleUnload(void *p) {
  Lock held = lock();
  Device *d = current();
  return wait_for(held, d, [=] {
    drain_all(d);
    Module *m = (Module *)p;
    dlclose(m->handle);
    close(m->file);
  });
}

API cuModuleGetFunction(void **out, void *module, const char *name) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  Module *m = (Module *)module;
  Function *&f = m->functions[name];
  for (const emu::Kernel *k = m->library->kernels; !f && k->name; k++)
    if (!strcmp(k->name, name)) f = new Function{m, k};
  *out = f;
  return f ? 0 : kNotFound;
}

API cuModuleGetGlobal_v2(DevicePtr *, size_t *, void *, const char *) { return kNotFound; }

API cuFuncGetAttribute(int *value, int attribute, void *function) {
  Function *f = (Function *)function;
  int threads = f->kernel->threads ? f->kernel->threads : 1024;
  *value = attribute == 0 ? threads : attribute == 4 ? 32 : attribute == 5 || attribute == 6 ? f->module->library->arch / 10 : attribute == 8 ? f->shared_limit : 0;
  return 0;
}

API cuFuncSetAttribute(void *function, int attribute, int value) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  if (attribute == 8 && (value < 0 || value > shared_limit(current()->gpu()))) return kInvalidValue;
  if (attribute == 8) ((Function *)function)->shared_limit = value;
  return 0;
}

API cuFuncSetCacheConfig(void *, int) { return 0; }
API cuFuncSetSharedMemConfig(void *, int) { return 0; }
API cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t shared) {
  int by_shared = (int)((228 << 10) / (shared + 1024));
  *blocks = std::max(0, std::min({32, 2048 / std::max(threads, 1), by_shared}));
  return function ? 0 : kInvalidHandle;
}
API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, void *f, int threads, size_t shared, unsigned) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, f, threads, shared);
}

// --- Launches ---

// What the directives do to this launch: 0, an error, or kHung.
static int strike(Device *d) {
  long n = ++d->launches;
  if (d->struck) return 0;  // nothing runs any more
  for (const Fault &f : d->gpu()->faults)
    if (n >= f.launch && strikes(f)) {
      d->struck = true;
      fprintf(stderr, "emulated GPU: launch %ld %s, as directed\n", n, f.code ? ("fails with " + std::to_string(f.code)).c_str() : "hangs");
      return f.code ? f.code : kHung;
    }
  return 0;
}

static int perform(Function *f, dim3 grid, dim3 block, unsigned shared, std::string &values) {
  void *arguments[64];
  size_t at = 0;
  int n = 0;
  for (const unsigned *s = f->kernel->sizes; *s && n < 64; s++, at += 8) arguments[n++] = &values[at];
  Launch l;
  l.kernel = f->kernel, l.library = f->module->library, l.arguments = arguments;
  l.grid = grid, l.block = block, l.shared = shared, l.order = order();
  l.tls = f->module->tls, l.tls_before = f->module->tls_before;
  int rc = run_grid(&l);
  for (int i = 0; i < n && !rc; i++)
    if (f->kernel->sizes[i] == 8 && !memory().intact(*(uintptr_t *)arguments[i])) {
      rc = emu::IllegalAddress;
      l.message = std::string("kernel ") + f->kernel->name + ": a write before or past the memory of argument " + std::to_string(i);
    }
  if (rc) fprintf(stderr, "emulated GPU: error %d: %s\n", rc, l.message.c_str());
  return rc;
}

API cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *s,
                   void **arguments, void **extra) {
  Lock held = lock();
  Device *d = current();
  if (int rc = state(d)) return rc;
  Function *f = (Function *)function;
  if (!f || !gx || !gy || !gz || !bx || !by || !bz || gx > 0x7fffffff || gy > 65535 || gz > 65535 || extra) return kInvalidValue;
  if ((size_t)bx * by * bz > 1024 || bz > 64 || shared > (unsigned)f->shared_limit) return kInvalidValue;
  if (f->kernel->threads && bx * by * bz > (unsigned)f->kernel->threads) return kTooManyResources;
  std::string values;
  for (const unsigned *size = f->kernel->sizes; *size; size++) {
    values.append((char *)*arguments++, *size);
    values.resize((values.size() + 7) / 8 * 8);
  }
  int struck = strike(d);
  enqueue(stream(s), [=]() mutable {
    d->clock += 0.002 + (double)gx * gy * gz * bx * by * bz * 1e-8;
    return struck ? struck : perform(f, {gx, gy, gz}, {bx, by, bz}, shared, values);
  });
  return 0;
}

// --- Streams ---

API cuStreamCreate(void **out, unsigned flags) {
  Lock held = lock();
  Device *d = current();
  if (int rc = state(d)) return rc;
  Stream *s = new Stream{d, !(flags & 1), {}, nullptr};
  d->streams.insert(s);
  *out = s;
  return 0;
}
API cuStreamCreateWithPriority(void **out, unsigned flags, int) { return cuStreamCreate(out, flags); }
API cuStreamDestroy_v2(void *p) {
  Lock held = lock();
  Stream *s = (Stream *)p;
  drain(s);
  s->device->streams.erase(s);
  return 0;  // s itself stays: events may name it
}
API cuStreamSynchronize(void *p) {
  Lock held = lock();
  Stream *s = stream(p);
  if (!s) return kInvalidContext;
  return wait_for(held, s->device, [=] { drain(s); });
}
API cuStreamQuery(void *p) {
  Lock held = lock();
  Stream *s = stream(p);
  if (!s) return kInvalidContext;
  if (int rc = state(s->device)) return rc;
  drain(s);
  return s->device->hangs ? kNotReady : state(s->device);
}
API cuStreamGetFlags(void *p, unsigned *flags) { return *flags = !((Stream *)p)->blocking, 0; }
API cuStreamGetPriority(void *, int *v) { return *v = 0, 0; }
API cuStreamGetCtx(void *p, void **context) { return *context = stream(p)->device, 0; }

// --- Events ---

API cuEventCreate(void **out, unsigned) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  *out = new Event;
  return 0;
}
API cuEventDestroy_v2(void *) { return 0; }  // work in a stream may still name it

API cuEventRecord(void *p, void *s) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  Event *e = (Event *)p;
  e->stream = stream(s);
  int number = ++e->begun;
  enqueue(e->stream, [=] {
    e->done = number;
    e->time = e->stream->device->clock;
    return 0;
  });
  return 0;
}
API cuEventRecordWithFlags(void *p, void *s, unsigned) { return cuEventRecord(p, s); }

static void drain_to(Event *e, int number) {
  if (e->stream) drain(e->stream, [=] { return e->done >= number; });
}

API cuEventSynchronize(void *p) {
  Lock held = lock();
  Event *e = (Event *)p;
  return wait_for(held, current(), [=] { drain_to(e, e->begun); });
}
API cuEventQuery(void *p) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  Event *e = (Event *)p;
  drain_to(e, e->begun);
  return e->done < e->begun ? kNotReady : state(current());
}
API cuEventElapsedTime(float *ms, void *from, void *to) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  Event *a = (Event *)from, *b = (Event *)to;
  if (!a->begun || !b->begun) return kInvalidHandle;
  if (a->done < a->begun || b->done < b->begun) return kNotReady;
  *ms = (float)(b->time - a->time);
  return 0;
}
API cuEventElapsedTime_v2(float *ms, void *from, void *to) { return cuEventElapsedTime(ms, from, to); }
API cuStreamWaitEvent(void *p, void *event, unsigned) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  Event *e = (Event *)event;
  int number = e->begun;
  if (e->stream && e->stream != stream(p)) enqueue(stream(p), [=] { return drain_to(e, number), 0; });
  return 0;
}
API cuLaunchHostFunc(void *p, void (*f)(void *), void *data) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  enqueue(stream(p), [=] { return f(data), 0; });
  return 0;
}

// --- Graphs: what a stream captured, put into a stream again ---

API cuStreamBeginCapture_v2(void *p, int) {
  Lock held = lock();
  Stream *s = stream(p);
  if (s == &s->device->null || s->capture) return 900;  // CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
  s->capture = new Graph;
  return 0;
}
API cuStreamEndCapture(void *p, void **graph) {
  Lock held = lock();
  Stream *s = stream(p);
  if (!s->capture) return 901;
  *graph = s->capture;
  s->capture = nullptr;
  return 0;
}
API cuStreamIsCapturing(void *p, int *status) { return *status = stream(p)->capture ? 1 : 0, 0; }
API cuGraphInstantiateWithFlags(void **out, void *graph, unsigned long long) { return *out = new Graph(*(Graph *)graph), 0; }
API cuGraphInstantiate_v2(void **out, void *graph, void *, char *, size_t) { return *out = new Graph(*(Graph *)graph), 0; }
API cuGraphLaunch(void *graph, void *p) {
  Lock held = lock();
  if (int rc = state(current())) return rc;
  for (const Work &w : ((Graph *)graph)->work) enqueue(stream(p), w);
  return 0;
}
API cuGraphUpload(void *, void *) { return 0; }
API cuGraphExecDestroy(void *graph) { return delete (Graph *)graph, 0; }
API cuGraphDestroy(void *graph) { return delete (Graph *)graph, 0; }

// --- For the other libraries of the toolkit ---

API cuGetProcAddress_v2(const char *name, void **out, int, uint64_t, int *status) {
  for (const char *version : {"_v2", ""})
    if ((*out = dlsym(RTLD_DEFAULT, (std::string(name) + version).c_str()))) break;
  if (status) *status = *out ? 0 : 1;
  return *out ? 0 : kNotFound;
}

// Puts work into a stream, that takes so many milliseconds: libcublasLt computes here.
// A product is a launch like any other, which may fail or hang.
API emu_enqueue(void *s, double ms, const Work &w) {
  Lock held = lock();
  Device *d = current();
  if (int rc = state(d)) return rc;
  int struck = strike(d);
  enqueue(stream(s), [=] { return d->clock += ms, struck ? struck : w(); });
  return 0;
}

// Whether an array lies within an allocation.
API emu_holds(const void *p, size_t size) {
  Lock held = lock();
  return memory().holds((uintptr_t)p, size);
}

API emu_each(unsigned count, const std::function<void(unsigned)> &work) { return Pool::get().each(count, work), 0; }
