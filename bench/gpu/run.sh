#!/usr/bin/env bash
# Tests, checks and times the GPU code, on a machine with a GPU and without Go:
#
#   run.sh [PYTHON]
#
# in the directory that `go run ./bench/gpu build` made. NVRTC and cublasLt come
# from where gpu.Libraries looks, or from AUTORESEARCH_CUDA_LIBRARIES. Each part
# says ok or FAILED and the next one runs; the last lines repeat what failed.
set -u
cd "$(dirname "$0")"
python=${1:-python3}
out=${OUT:-$PWD/out}
mkdir -p "$out"
failed=()

if [ -z "${AUTORESEARCH_CUDA_LIBRARIES:-}" ]; then
  # NVIDIA's Python packages, if PyTorch brought them.
  AUTORESEARCH_CUDA_LIBRARIES=$("$python" -c '
import glob, os, site, sysconfig
roots = {sysconfig.get_paths()["purelib"], *site.getsitepackages()}
print(":".join(sorted({os.path.dirname(f) for r in roots for n in ("libnvrtc.so*", "libcublasLt.so*")
                       for f in glob.glob(f"{r}/nvidia/**/{n}", recursive=True)})))' 2>/dev/null)
  export AUTORESEARCH_CUDA_LIBRARIES
fi

part() { # name, seconds, command...
  local name=$1 limit=$2
  shift 2
  echo "=== $name"
  if timeout "$limit" "$@" >"$out/$name.log" 2>&1; then
    tail -n "${lines:-3}" "$out/$name.log"
    echo "ok: $name"
  else
    echo "exit code $?"
    tail -n 40 "$out/$name.log"
    failed+=("$name")
    echo "FAILED: $name"
  fi
}

nvidia-smi --query-gpu=name,uuid,driver_version,memory.total,clocks.sm,clocks.max.sm,temperature.gpu --format=csv || true
export AUTORESEARCH_TEST_GPU=required # no emulation: the GPU of this machine
for test in gpu trainer-tensor-cuda trainer-tensor trainer; do
  part "$test" 240 "./$test.test" -test.run 'CUDA|GPU|Gpu|Cuda' -test.count 1
done
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    part "sanitizer-$tool" 300 compute-sanitizer --tool "$tool" --error-exitcode 9 ./trainer-tensor-cuda.test -test.run 'CUDA|Kernel' -test.short -test.count 1
  done
fi
lines=20 part time 420 ./bench time -dir . -python "$python"
[ ${#failed[@]} -eq 0 ] && echo "all parts passed" || { echo "failed: ${failed[*]}"; exit 1; }
