#!/usr/bin/env bash
# Tests, checks and times the GPU code, on a machine with a GPU and without Go:
#
#   run.sh [PYTHON]                    # all parts, what says most first
#   PARTS='ours|time' run.sh [PYTHON]  # those whose whole name matches
#
# in the directory that `go run ./bench/gpu build` made. NVRTC and cublasLt come
# from where gpu.Libraries looks, or from AUTORESEARCH_CUDA_LIBRARIES. Each part
# says ok or FAILED and the next one runs; the last lines repeat what failed and
# what could not be tried. A part of tests in which none has run has FAILED.
# Output is kept in $OUT, or out.
set -u
cd "$(dirname "$0")"
python=${1:-python3}
out=${OUT:-$PWD/out}
mkdir -p "$out"
failed=() untried=() began=$SECONDS

if [ -z "${AUTORESEARCH_CUDA_LIBRARIES:-}" ]; then
  # NVIDIA's Python packages, if PyTorch brought them.
  AUTORESEARCH_CUDA_LIBRARIES=$("$python" -c '
import glob, os, site, sysconfig
roots = {sysconfig.get_paths()["purelib"], *site.getsitepackages(), site.getusersitepackages()}
print(":".join(sorted({os.path.dirname(f) for r in roots for n in ("libnvrtc.so*", "libcublasLt.so*")
                       for f in glob.glob(f"{r}/nvidia/**/{n}", recursive=True)})))' 2>/dev/null)
  export AUTORESEARCH_CUDA_LIBRARIES
fi

wanted() { [[ $1 =~ ^(${PARTS:-.*})$ ]]; }

part() { # name, seconds, command...
  local name=$1 limit=$2
  shift 2
  wanted "$name" || return 0
  echo "=== $name ($((SECONDS - began)) s)"
  if timeout -k 10 "$limit" "$@" >"$out/$name.log" 2>&1; then
    tail -n "${lines:-3}" "$out/$name.log"
    echo "ok: $name"
  else
    echo "exit code $?"
    grep -E '^ *--- FAIL|^panic|^fatal' "$out/$name.log" | head -n 20
    tail -n 40 "$out/$name.log"
    failed+=("$name")
    echo "FAILED: $name"
  fi
}

tests() { # binary, arguments...: fails where no test has run
  local log result
  log=$(mktemp)
  "./$1.test" -test.v -test.count 1 "${@:2}" 2>&1 | tee "$log" # seen even if it hangs
  result=${PIPESTATUS[0]}
  echo "$(grep -c '^--- PASS' "$log") tests passed, $(grep -c '^--- FAIL' "$log") failed, $(grep -c '^--- SKIP' "$log") skipped"
  grep -q '^--- PASS' "$log" || result=1
  rm -f "$log"
  return $result
}
benchmarks() { # binary: fails where none has run
  "./$1.test" -test.run '^$' -test.bench . -test.benchtime 20x | tee /dev/stderr | grep -q ' ns/op'
}
export -f tests benchmarks

tested() { part "$1" "$2" bash -c 'tests "$@"' tests "${@:3}"; }

nvidia-smi --query-gpu=name,uuid,driver_version,memory.total,clocks.sm,clocks.max.sm,temperature.gpu --format=csv || true
echo "libraries: ${AUTORESEARCH_CUDA_LIBRARIES:-where the system has them}"
export AUTORESEARCH_TEST_GPU=required # no emulation: the GPU of this machine

tested gpu 120 gpu -test.run 'GPU|ExactProducts'
tested trainer-tensor-cuda 240 trainer-tensor-cuda -test.run . -test.skip 'KernelsCompile|StandAlone|HaveNumbers'
lines=8 part ours 200 ./bench time -dir . -python '' -rounds 3
if "$python" -c 'import torch; assert torch.cuda.is_available()' 2>"$out/torch.log"; then
  lines=20 part time 420 ./bench time -dir . -python "$python"
elif wanted time; then
  untried+=("time: $python has no torch that sees a GPU")
fi
tested trainer-tensor 420 trainer-tensor -test.run 'GPU|CUDA'
lines=60 part kernels 120 bash -c 'benchmarks "$@"' benchmarks trainer-tensor-cuda
if command -v compute-sanitizer >/dev/null; then
  part memcheck 300 env AUTORESEARCH_GPU_APART=1 compute-sanitizer --tool memcheck --error-exitcode 9 ./trainer-tensor-cuda.test -test.run . -test.skip KernelsCompile -test.short -test.count 1
  part racecheck 300 compute-sanitizer --tool racecheck --error-exitcode 9 ./trainer-tensor-cuda.test -test.run 'Attention|Rows|Heads|Losses|Reduce|SortIDs|EmbedGrad|TopK|Transpose' -test.short -test.count 1
elif wanted memcheck || wanted racecheck; then
  untried+=("memcheck, racecheck: there is no compute-sanitizer")
fi
for u in "${untried[@]+"${untried[@]}"}"; do echo "NOT TRIED: $u"; done
[ ${#failed[@]} -eq 0 ] && echo "all parts that were tried passed" || { echo "failed: ${failed[*]}"; exit 1; }
