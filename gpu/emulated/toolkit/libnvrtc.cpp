// libnvrtc.so.12 of the emulated toolkit: compiles CUDA C with g++ behind
// emulation.h into a shared library, which it calls a CUBIN. The compiler is that of
// the environment variable CXX, or g++.
//
// Two passes: the preprocessor alone finds kernels that macros define; the result
// gets dynamic shared memory and the table of its kernels, and is compiled.
// Libraries are kept in kernels/ beside this one, named by a hash of their source.
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

enum { kSuccess = 0, kInvalidInput = 3, kInvalidProgram = 4, kInvalidOption = 5, kCompilation = 6, kInternal = 11 };

struct Program {
  std::string source, name, log, cubin;
};

static const char *const kFlags[] = {
    "-x", "c++", "-std=c++17", "-O1", "-pipe", "-w", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti",
    "-fno-strict-aliasing", "-fwrapv",           // kernels look at bits as they like
    "-ffp-contract=off", "-fno-math-errno",      // the same bits on every machine
    "-fsanitize=alignment,bounds", "-fno-sanitize-recover=all",
#if defined(__GNUC__) && !defined(__clang__)
    "-fno-gnu-unique",
#ifdef __x86_64__
    "-mtls-dialect=gnu2",  // static shared memory at half the cost
#endif
#endif
};

static std::string own_directory() {
  Dl_info info;
  dladdr((void *)own_directory, &info);
  std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/'));
}

static std::string read_file(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), {});
}

static bool write_file(const std::string &path, const std::string &text) {
  std::ofstream out(path, std::ios::binary);
  return (out << text).flush().good();
}

static std::string hash(const std::string &s) {
  uint64_t h[2] = {0xcbf29ce484222325, 0x9ae16a3b2f90404f};
  for (unsigned char c : s)
    for (int i = 0; i < 2; i++) h[i] = (h[i] ^ c) * (i ? 0x100000001b3 : 0x9ddfea08eb382d69) + i;
  char out[40];
  snprintf(out, sizeof out, "%016llx%016llx", (unsigned long long)h[0], (unsigned long long)h[1]);
  return out;
}

// run starts the compiler; what it says goes to a file.
static int run(const std::vector<std::string> &words, const std::string &log) {
  std::vector<char *> argv;
  for (const std::string &w : words) argv.push_back((char *)w.c_str());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0666);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_t pid;
  int rc = posix_spawnp(&pid, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (rc) return write_file(log, std::string(argv[0]) + ": " + strerror(rc) + ": the emulated NVRTC needs a C++ compiler (variable CXX)\n"), rc;
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  return status;
}

// --- Reading a preprocessed source ---

static bool in_name(char c) { return isalnum((unsigned char)c) || c == '_'; }

static size_t skip_spaces(const std::string &s, size_t i) {
  while (i < s.size() && isspace((unsigned char)s[i])) i++;
  return i;
}

static size_t close_bracket(const std::string &s, size_t open) {
  int depth = 0;
  for (size_t i = open; i < s.size(); i++) {
    if (s[i] == '(') depth++;
    if (s[i] == ')' && --depth == 0) return i;
  }
  return s.size();
}

// kernels lists EMU_KERNEL(name, bounds) for each kernel that is no template.
static std::string kernels(const std::string &s) {
  std::string table;
  std::set<std::string> seen;
  const std::string mark = "__global__", bounds = "__launch_bounds__";
  for (size_t at = s.find(mark); at != std::string::npos; at = s.find(mark, at + 1)) {
    size_t statement = s.find_last_of(";}", at);
    if (s.substr(statement + 1, at - statement - 1).find("template") != std::string::npos) continue;
    std::string limits;
    for (size_t i = at + mark.size(); i < s.size();) {
      i = skip_spaces(s, i);
      size_t end = i;
      while (end < s.size() && in_name(s[end])) end++;
      std::string word = s.substr(i, end - i);
      size_t open = skip_spaces(s, end);
      if (open >= s.size() || s[open] == ';') break;
      if (s[open] != '(') {
        i = std::max(end, i + 1);
        continue;
      }
      size_t close = close_bracket(s, open);
      if (word == bounds) limits = ", " + s.substr(open + 1, close - open - 1);
      if (word == bounds || word == "__attribute__" || word == "__align__") {
        i = close + 1;
        continue;
      }
      if (seen.insert(word).second) table += "EMU_KERNEL(" + word + limits + ") ";
      break;
    }
  }
  return table;
}

// share makes "extern __shared__ T name[];" a pointer to the block's memory.
static std::string share(std::string s) {
  const std::string mark = "__shared__";
  for (size_t at = s.find(mark); at != std::string::npos; at = s.find(mark, at + 1)) {
    size_t external = s.find_last_not_of(" \t\n", at - 1);
    if (external == std::string::npos || external < 5 || s.compare(external - 5, 6, "extern")) continue;
    size_t end = s.find(';', at), open = s.rfind('[', end), last = s.find_last_not_of(" \t\n", open - 1), first = last;
    while (in_name(s[first - 1])) first--;
    std::string name = s.substr(first, last - first + 1), type = s.substr(at + mark.size(), first - at - mark.size());
    for (const char *attribute : {"__align__", "alignas", "__attribute__"})
      for (size_t i; (i = type.find(attribute)) != std::string::npos;) type.erase(i, close_bracket(type, i) + 1 - i);
    s.replace(external - 5, end - external + 5, type + " *" + name + " = (" + type + " *)emu::dynamic_shared()");
  }
  return s;
}

// --- Options ---

struct Options {
  int arch = 0;
  bool exact = false;
  std::vector<std::string> defines;
};

static bool parse(const std::string &o, Options *out) {
  for (const char *prefix : {"--gpu-architecture=", "-arch="})
    if (o.compare(0, strlen(prefix), prefix) == 0) {
      std::string arch = o.substr(strlen(prefix));
      size_t digits = arch.find_first_of("0123456789");
      if (digits == std::string::npos) return false;
      out->arch = atoi(arch.c_str() + digits) * 10;
      out->exact = arch.back() == 'a' || arch.back() == 'f';
      return out->arch >= 500;
    }
  if (o.compare(0, 2, "-D") == 0) return out->defines.push_back(o), true;
  const std::string define = "--define-macro=";
  if (o.compare(0, define.size(), define) == 0) return out->defines.push_back("-D" + o.substr(define.size())), true;
  for (const char *known : {"--std=", "-std=", "--use_fast_math", "-use_fast_math", "--fmad=", "-fmad=", "--ftz=", "-ftz=", "--prec-div=", "-prec-div=",
                            "--prec-sqrt=", "-prec-sqrt=", "--maxrregcount=", "-maxrregcount=", "--generate-line-info", "-lineinfo", "--device-debug", "-G",
                            "--extra-device-vectorization", "-default-device", "--ptxas-options", "-Xptxas", "--diag-suppress=", "-diag-suppress=",
                            "--disable-warnings", "-w", "--restrict", "-restrict", "--dopt=", "-dopt=", "--split-compile=", "--minimal", "--no-cache"})
    if (o.compare(0, strlen(known), known) == 0) return true;
  return false;
}

// --- Compiling ---

static int compile(Program *p, const Options &options, const std::string &dir, const std::string &here, std::string *library) {
  const char *cxx = getenv("CXX");
  std::vector<std::string> compiler = {cxx && *cxx ? cxx : "g++"};
  std::string source = dir + "/kernel.cu", expanded = dir + "/expanded.cpp", whole = dir + "/whole.cpp", log = dir + "/log";
  std::vector<std::string> first = compiler;
  for (const char *w : {"-x", "c++", "-std=c++17", "-E", "-w", "-D__CUDA_EMULATED__=1", "-D__CUDACC__=1", "-D__CUDACC_RTC__=1"}) first.push_back(w);
  first.push_back("-D__CUDA_ARCH__=" + std::to_string(options.arch));
  first.insert(first.end(), options.defines.begin(), options.defines.end());
  for (const std::string &w : {source, std::string("-o"), expanded}) first.push_back(w);
  if (!write_file(source, "#line 1 \"" + p->name + "\"\n" + p->source)) return kInternal;
  int rc = run(first, log);
  p->log = read_file(log);
  if (rc) return kCompilation;

  std::string text = read_file(expanded);
  text = "#include \"" + here + "/emulation.h\"\n" + share(text) + "\n#line 1 \"emu_library\"\nEMU_LIBRARY(" + std::to_string(options.arch) + ", " +
         (options.exact ? "true" : "false") + ", " + kernels(text) + ")\n";
  if (!write_file(whole, text)) return kInternal;
  std::vector<std::string> second = compiler;
  second.insert(second.end(), std::begin(kFlags), std::end(kFlags));
  for (const std::string &w : {std::string("-o"), dir + "/kernel.so", whole, std::string("-lm")}) second.push_back(w);
  rc = run(second, log);
  p->log += read_file(log);
  if (rc) return kCompilation;
  *library = dir + "/kernel.so";
  p->cubin = read_file(*library);
  return kSuccess;
}

static int compile_in_temporary(Program *p, const Options &options, const std::string &here, const std::string &kept) {
  const char *tmp = getenv("TMPDIR");
  mkdir((here + "/kernels").c_str(), 0777);
  std::string dir;
  for (const std::string &base : {here + "/kernels", std::string(tmp ? tmp : "/tmp")}) {
    dir = base + "/build-XXXXXX";
    if (mkdtemp(&dir[0])) break;
    dir.clear();
  }
  if (dir.empty()) return p->log = "no directory to compile in: neither beside the emulated libraries nor TMPDIR can be written\n", kInternal;
  std::string library;
  int rc = compile(p, options, dir, here, &library);
  if (!rc) rename(library.c_str(), kept.c_str());  // what another process put there is the same
  for (const char *f : {"kernel.cu", "expanded.cpp", "whole.cpp", "log", "kernel.so"}) unlink((dir + "/" + f).c_str());
  rmdir(dir.c_str());
  return rc;
}

API nvrtcCompileProgram(Program *p, int n, const char *const *given) {
  if (!p) return kInvalidProgram;
  Options options;
  std::string key = p->name + '\0' + p->source;
  for (int i = 0; i < n; i++) {
    key += '\0' + std::string(given[i]);
    if (!parse(given[i], &options)) return p->log = std::string("nvrtc: error: invalid value for option or unknown option: ") + given[i] + "\n", kInvalidOption;
  }
  if (!options.arch) options.arch = 750;
  std::string here = own_directory(), kept = here + "/kernels/" + hash(key) + ".so";
  p->cubin = read_file(kept);
  if (!p->cubin.empty()) return p->log.clear(), kSuccess;
  return compile_in_temporary(p, options, here, kept);
}

API nvrtcVersion(int *major, int *minor) { return *major = 12, *minor = 9, kSuccess; }

API nvrtcCreateProgram(Program **out, const char *source, const char *name, int, const char *const *, const char *const *) {
  if (!source) return kInvalidInput;
  *out = new Program{source, name ? name : "default_program", "", ""};
  return kSuccess;
}
API nvrtcDestroyProgram(Program **p) {
  if (!p || !*p) return kInvalidProgram;
  delete *p;
  *p = nullptr;
  return kSuccess;
}
API nvrtcGetProgramLogSize(Program *p, size_t *n) { return *n = p->log.size() + 1, kSuccess; }
API nvrtcGetProgramLog(Program *p, char *out) { return memcpy(out, p->log.c_str(), p->log.size() + 1), kSuccess; }
API nvrtcGetCUBINSize(Program *p, size_t *n) { return *n = p->cubin.size(), kSuccess; }
API nvrtcGetCUBIN(Program *p, char *out) { return memcpy(out, p->cubin.data(), p->cubin.size()), kSuccess; }

extern "C" __attribute__((visibility("default"))) const char *nvrtcGetErrorString(int code) {
  switch (code) {
    case kSuccess: return "NVRTC_SUCCESS";
    case kInvalidInput: return "NVRTC_ERROR_INVALID_INPUT";
    case kInvalidProgram: return "NVRTC_ERROR_INVALID_PROGRAM";
    case kInvalidOption: return "NVRTC_ERROR_INVALID_OPTION";
    case kCompilation: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR_INTERNAL_ERROR";
  }
}
