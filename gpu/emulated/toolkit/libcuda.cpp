// libcuda.so.1 of the emulated toolkit: the part of the driver that initializes,
// describes devices and keeps contexts. One file is compiled; it takes in the rest.
#include "libcuda.h"

API cuInit(unsigned) {
  Lock held = lock();
  return Driver::get().initialize();
}

API cuDriverGetVersion(int *v) {
  *v = directives().driver;
  return 0;
}

static Device *device(int ordinal) {
  auto &all = Driver::get().devices;
  return ordinal >= 0 && ordinal < (int)all.size() ? all[ordinal] : nullptr;
}

API cuDeviceGetCount(int *n) {
  *n = Driver::get().devices.size();
  return Driver::get().initialized ? 0 : kNotInitialized;
}

API cuDeviceGet(int *d, int ordinal) {
  if (!Driver::get().initialized) return kNotInitialized;
  *d = ordinal;
  return device(ordinal) ? 0 : kInvalidDevice;
}

// About device i: its directives, or an error.
static int about(int i, Device **d, Gpu **g) {
  if (!Driver::get().initialized) return kNotInitialized;
  if (!(*d = device(i))) return kInvalidDevice;
  return (*g = (*d)->gpu()) ? 0 : emu::LaunchFailed;
}

API cuDeviceGetName(char *out, int size, int i) {
  Lock held = lock();
  Device *d;
  Gpu *g;
  if (int rc = about(i, &d, &g)) return rc;
  std::string name = g->name + (d->mig.empty() ? "" : " MIG 1g.18gb");
  snprintf(out, size, "%s", name.c_str());
  return 0;
}

API cuDeviceGetUuid_v2(unsigned char *out, int i) {
  Lock held = lock();
  Device *d;
  Gpu *g;
  if (int rc = about(i, &d, &g)) return rc;
  uuid_bytes(d->mig.empty() ? d->uuid : d->mig, out);
  return 0;
}

API cuDeviceGetUuid(unsigned char *out, int i) {
  Lock held = lock();
  Device *d;
  Gpu *g;
  if (int rc = about(i, &d, &g)) return rc;
  uuid_bytes(d->uuid, out);
  return 0;
}

API cuDeviceTotalMem_v2(size_t *n, int i) {
  Lock held = lock();
  Device *d;
  Gpu *g;
  if (int rc = about(i, &d, &g)) return rc;
  *n = g->memory;
  return 0;
}

static int shared_limit(const Gpu *g) {
  int cc = g->major * 10 + g->minor;
  return (cc == 80 || cc == 87 ? 163 : cc == 90 || cc == 100 || cc == 103 ? 227 : 99) << 10;
}

static int bus(const std::string &uuid) {
  auto &all = directives().gpus;
  for (size_t i = 0; i < all.size(); i++)
    if (all[i].uuid == uuid) return i + 1;
  return 0;
}

API cuDeviceGetAttribute(int *value, int attribute, int i) {
  Lock held = lock();
  Device *d;
  Gpu *g;
  if (int rc = about(i, &d, &g)) return rc;
  static const std::map<int, int> same = {
      {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, 0x7fffffff}, {6, 65535}, {7, 65535}, {8, 48 << 10}, {9, 64 << 10}, {10, 32},
      {12, 65536}, {13, 1980000}, {15, 1}, {16, 132}, {19, 1}, {31, 1}, {32, 1}, {36, 3201000}, {37, 6144}, {38, 50 << 20}, {39, 2048},
      {40, 3}, {41, 1}, {78, 1}, {79, 1}, {80, 1}, {82, 65536}, {83, 1}, {106, 32}, {111, 1024}, {115, 1}};
  auto a = same.find(attribute);
  *value = attribute == 75   ? g->major
           : attribute == 76 ? g->minor
           : attribute == 33 ? bus(d->uuid)
           : attribute == 97 ? shared_limit(g)
           : attribute == 81 ? shared_limit(g) + 1024
           : a != same.end() ? a->second
                             : 0;
  return 0;
}

API cuDeviceComputeCapability(int *major, int *minor, int i) {
  cuDeviceGetAttribute(major, 75, i);
  return cuDeviceGetAttribute(minor, 76, i);
}

API cuDeviceGetPCIBusId(char *out, int size, int i) {
  Lock held = lock();
  Device *d;
  Gpu *g;
  if (int rc = about(i, &d, &g)) return rc;
  snprintf(out, size, "0000:%02X:00.0", bus(d->uuid));
  return 0;
}

// --- Contexts: the primary one is all there is ---

API cuDevicePrimaryCtxRetain(void **context, int i) {
  Lock held = lock();
  *context = device(i);
  return device(i) ? state(device(i)) : kInvalidDevice;
}
API cuDevicePrimaryCtxRelease_v2(int) { return 0; }
API cuDevicePrimaryCtxRelease(int) { return 0; }
API cuDevicePrimaryCtxReset_v2(int) { return 0; }
API cuDevicePrimaryCtxSetFlags_v2(int, unsigned) { return 0; }
API cuDevicePrimaryCtxSetFlags(int, unsigned) { return 0; }
API cuDevicePrimaryCtxGetState(int, unsigned *flags, int *active) { return *flags = 0, *active = 1, 0; }
API cuCtxCreate_v2(void **context, unsigned, int i) {
  Lock held = lock();
  if (!device(i)) return kInvalidDevice;
  contexts.push_back(device(i));
  *context = device(i);
  return state(device(i));
}
API cuCtxDestroy_v2(void *) { return 0; }
API cuCtxSetCurrent(void *context) {
  if (!contexts.empty()) contexts.pop_back();
  if (context) contexts.push_back((Device *)context);
  return 0;
}
API cuCtxGetCurrent(void **context) { return *context = current(), 0; }
API cuCtxPushCurrent_v2(void *context) { return contexts.push_back((Device *)context), 0; }
API cuCtxPopCurrent_v2(void **context) {
  if (!current()) return kInvalidContext;
  if (context) *context = current();
  return contexts.pop_back(), 0;
}
API cuCtxGetDevice(int *i) {
  if (!current()) return kInvalidContext;
  return *i = current()->ordinal, 0;
}
API cuCtxGetFlags(unsigned *flags) { return *flags = 0, 0; }
API cuCtxGetApiVersion(void *, unsigned *v) { return *v = 3020, 0; }
API cuCtxGetStreamPriorityRange(int *least, int *greatest) { return *least = 0, *greatest = -5, 0; }
API cuCtxSetLimit(int, size_t) { return 0; }
API cuCtxGetLimit(size_t *v, int) { return *v = 0, 0; }
API cuCtxSynchronize() {
  Lock held = lock();
  Device *d = current();
  return wait_for(held, d, [=] { drain_all(d); });
}

// --- Errors ---

static const char *const *error_texts(int code) {
  static const std::map<int, std::vector<const char *>> texts = {
      {0, {"CUDA_SUCCESS", "no error"}},
      {1, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
      {2, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
      {3, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
      {4, {"CUDA_ERROR_DEINITIALIZED", "driver shutting down"}},
      {100, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
      {101, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
      {200, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
      {201, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
      {209, {"CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"}},
      {214, {"CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"}},
      {304, {"CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"}},
      {400, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
      {500, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
      {600, {"CUDA_ERROR_NOT_READY", "device not ready"}},
      {700, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
      {701, {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"}},
      {702, {"CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"}},
      {710, {"CUDA_ERROR_ASSERT", "device-side assert triggered"}},
      {715, {"CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"}},
      {716, {"CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"}},
      {719, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
      {801, {"CUDA_ERROR_NOT_SUPPORTED", "operation not supported"}},
      {802, {"CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"}},
      {803, {"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"}},
      {999, {"CUDA_ERROR_UNKNOWN", "unknown error"}},
  };
  auto t = texts.find(code);
  return t == texts.end() ? nullptr : t->second.data();
}

API cuGetErrorName(int code, const char **out) {
  auto t = error_texts(code);
  *out = t ? t[0] : nullptr;
  return t ? 0 : kInvalidValue;
}
API cuGetErrorString(int code, const char **out) {
  auto t = error_texts(code);
  *out = t ? t[1] : nullptr;
  return t ? 0 : kInvalidValue;
}

#include "libcuda_memory.h"
#include "libcuda_launch.h"
