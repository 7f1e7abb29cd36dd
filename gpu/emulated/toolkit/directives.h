// The file named by AUTORESEARCH_EMULATED_GPUS says which GPUs there are and what
// goes wrong with them (see the Go package's documentation). It is read again when
// it changes.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

typedef std::map<std::string, std::string> Fields;

struct Fault {
  long launch;
  int code;  // 0 hangs
  std::string file;
};

struct Gpu {
  std::string uuid, name;
  std::vector<std::string> mig;
  size_t memory;
  int major, minor;
  bool lost = false;
  size_t oom = SIZE_MAX;
  std::vector<Fault> faults;
  Fields nvml;
  std::vector<std::pair<unsigned, size_t>> processes;  // pid, bytes
};

struct Directives {
  int cuinit = 0, nvml = 0, driver = 12090;
  bool nodriver = false;
  std::string driver_name = "575.57.08";
  unsigned order = 0;
  std::vector<Gpu> gpus;

  Gpu *find(const std::string &uuid) {
    for (Gpu &g : gpus)
      if (g.uuid == uuid) return &g;
    return nullptr;
  }
};

// Splits at spaces; quotes hold a value together.
inline std::vector<std::string> words(const std::string &line) {
  std::vector<std::string> all;
  bool quoted = false, open = false;
  for (char c : line) {
    if (c == '#' && !quoted) break;
    if (c == '"') {
      quoted = !quoted;
    } else if ((c == ' ' || c == '\t' || c == '\r') && !quoted) {
      open = false;
    } else {
      if (!open) all.emplace_back(), open = true;
      all.back() += c;
    }
  }
  return all;
}

inline std::vector<std::string> split(const std::string &s, char at) {
  std::vector<std::string> all;
  for (size_t i = 0; i <= s.size();) {
    size_t j = std::min(s.find(at, i), s.size());
    if (j > i) all.push_back(s.substr(i, j - i));
    i = j + 1;
  }
  return all;
}

// "143771MiB", "8GiB", "4096"
inline size_t bytes(const std::string &s) {
  char *unit;
  double n = strtod(s.c_str(), &unit);
  int shift = *unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : 0;
  return (size_t)(n * ((size_t)1 << shift));
}

inline Gpu make_gpu(Fields f) {
  auto get = [&](const char *key, const char *otherwise) { return f.count(key) ? f[key] : std::string(otherwise); };
  Gpu g;
  g.uuid = get("uuid", "GPU-e0000000-0000-4000-8000-000000000000");
  g.name = get("name", "Emulated H200");
  g.memory = bytes(get("memory", "8GiB"));
  g.mig = split(get("mig", ""), ',');
  sscanf(get("cc", "9.0").c_str(), "%d.%d", &g.major, &g.minor);
  return g;
}

inline unsigned parse_order(const std::string &s) { return s == "reverse" ? 1 : s == "forward" ? 0 : 2 + atoi(s.c_str()); }

inline void read_directive(Directives *d, const std::string &line) {
  std::vector<std::string> w = words(line);
  if (w.empty()) return;
  Fields f;
  for (size_t i = 1; i < w.size(); i++) {
    size_t eq = w[i].find('=');
    if (eq != std::string::npos) f[w[i].substr(0, eq)] = w[i].substr(eq + 1);
  }
  std::string first = w.size() > 1 ? w[1] : "";
  if (w[0] == "gpu") return d->gpus.push_back(make_gpu(f));
  if (w[0] == "cuinit") d->cuinit = atoi(first.c_str());
  if (w[0] == "driver") d->driver = atoi(first.c_str());
  if (w[0] == "nodriver") d->nodriver = true;
  if (w[0] == "nvml" && f.empty()) d->nvml = atoi(first.c_str());
  if (w[0] == "order") d->order = parse_order(first);
  Gpu *g = d->find(f["gpu"]);
  if (!g) return;
  long at = f["at"].compare(0, 7, "launch:") == 0 ? atol(f["at"].c_str() + 7) : 1;
  if (w[0] == "fault") g->faults.push_back({at, atoi(f["code"].c_str()), f["file"]});
  if (w[0] == "hang") g->faults.push_back({at, 0, f["file"]});
  if (w[0] == "oom") g->oom = bytes(f["bytes"]);
  if (w[0] == "lost") g->lost = true;
  if (w[0] == "nvml") {
    for (auto &kv : f) g->nvml[kv.first] = kv.second;
    std::vector<std::string> p = split(f["process"], ':');
    if (p.size() == 2) g->processes.push_back({(unsigned)atol(p[0].c_str()), (size_t)atol(p[1].c_str()) << 20});
  }
}

// directives returns what the file says now.
inline Directives &directives() {
  static Directives *d = nullptr;
  static struct stat seen;
  const char *path = getenv("AUTORESEARCH_EMULATED_GPUS");
  if (path && !*path) path = nullptr;
  struct stat now = {};
  if (path) stat(path, &now);
  bool same = d && now.st_ino == seen.st_ino && now.st_size == seen.st_size && now.st_mtim.tv_sec == seen.st_mtim.tv_sec &&
              now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec;
  if (same) return *d;
  seen = now;
  Directives *fresh = new Directives;  // an old one stays, since pointers into it may be in use
  std::ifstream in(path ? path : "");
  for (std::string line; std::getline(in, line);) read_directive(fresh, line);
  if (fresh->gpus.empty() && !path) fresh->gpus.push_back(make_gpu({}));
  return *(d = fresh);
}

// order is that of threads and blocks: 0 forward, 1 reversed, others are seeds.
inline unsigned order() {
  const char *all = getenv("AUTORESEARCH_EMULATED_ORDER");
  return all && *all ? parse_order(all) : directives().order;
}

// strikes says whether a fault that was hit counts: one with a file does once
// among all processes, which the file's creation decides.
inline bool strikes(const Fault &f) {
  if (f.file.empty()) return true;
  int fd = open(f.file.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0666);
  if (fd < 0) return false;
  close(fd);
  return true;
}

// The bytes of "GPU-00112233-4455-…".
inline void uuid_bytes(const std::string &uuid, unsigned char *out) {
  memset(out, 0, 16);
  size_t n = 0;
  for (size_t i = 4; i < uuid.size() && n < 32; i++) {
    int c = uuid[i], v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (v >= 0) out[n / 2] |= n % 2 ? v : v << 4, n++;
  }
}
