#!/usr/bin/env bash
# All that needs a GPU, in 9 minutes: tools/dev/gpu_check.sh [OPTION...]
#
# In three parts, none of which stops another by failing:
#   tests      every test marked `gpu`
#   benchmark  tools.dev.benchmarks: hook, update and select
#   cifar10    what pruning saves and costs on CIFAR-10, in the time left
#
#   --only PART    only this part; may be given several times
#   --out DIR      for the log, tables and a CSV of all trainings;
#                  defaults to work_dirs/gpu_check
#   --wheels DIR   wheels to install where MMEngine is missing, see
#                  tools/dev/collect_wheels.sh
#   --minutes M    time for all parts; defaults to 9
#   --smoke        all of it in small on the CPU, in about 2 minutes
#   --             what follows goes to tools/dev/gpu_check/cifar10_gpu.py
#
# CIFAR10=PATH says where the data are: a folder or a tar archive of it with
# train/CLASS/NAME.jpg and test/CLASS/NAME.jpg. PYTHON=EXE says with which
# Python; default python3. TESTS_SECONDS and BENCHMARK_SECONDS limit these
# parts; defaults 110 and 190.
#
# On a machine without a network, after the first command elsewhere:
#   tools/dev/collect_wheels.sh wheels
#   CIFAR10=cifar10.tar.xz tools/dev/gpu_check.sh --wheels wheels
#
# The exit status is 1 if a part failed or ran out of time.
set -uo pipefail

python=${PYTHON:-python3}
out=work_dirs/gpu_check wheels='' minutes=9 smoke='' parts=() more=()

usage() { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; }
die() { echo "gpu_check: $*" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    --only | --out | --wheels | --minutes)
      [ $# -gt 1 ] || die "$1 needs a value" ;;
  esac
  case $1 in
    --only) parts+=("$2"); shift ;;
    --out) out=$2; shift ;;
    --wheels) wheels=$2; shift ;;
    --minutes) minutes=$2; shift ;;
    --smoke) smoke=yes ;;
    --) shift; more=("$@"); break ;;
    -h | --help) usage; exit ;;
    *) usage >&2; die "unknown option $1" ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=(tests benchmark cifar10)
for part in "${parts[@]}"; do
  case $part in
    tests | benchmark | cifar10) ;;
    *) die "--only takes tests, benchmark or cifar10, but got $part" ;;
  esac
done

[[ $minutes =~ ^[1-9][0-9]*$ ]] ||
  die "--minutes takes a whole number, but got $minutes"

mkdir -p "$out" && out=$(cd "$out" && pwd) || die "cannot write to $out"
[ -z "$wheels" ] || wheels=$(cd "$wheels" && pwd) || die 'no such --wheels'
[ -z "${CIFAR10:-}" ] || CIFAR10=$(realpath "$CIFAR10")
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
here=tools.dev.gpu_check
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
end=$((60 * minutes))
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
# MMEngine would take any GPU that it sees.
[ -z "$smoke" ] || export CUDA_VISIBLE_DEVICES=''

left() { echo $((end - SECONDS)); }
smaller() { echo $(($1 < $2 ? $1 : $2)); }

install_wheels() {
  "$python" -c 'import mmengine' 2>/dev/null && return
  [ -n "$wheels" ] || { echo 'no MMEngine here: give --wheels'; return 1; }
  "$python" -m pip install -q --no-index --no-deps --no-compile \
    --no-cache-dir --upgrade --target "$tmp/site" "$wheels"/*.whl &&
    export PYTHONPATH=$PYTHONPATH:$tmp/site
}

tests() {
  local files workers=8
  [ -z "$smoke" ] || workers=2
  mapfile -t files < <(grep -rlE 'mark\.gpu' --include='test_*.py' tests)
  # Warnings are shown, but no errors here: each torch brings new ones.
  # Interrupted, pytest still says what failed.
  timeout -s INT -k 10 "$(smaller "${TESTS_SECONDS:-110}" "$(left)")" \
    "$python" -m pytest "${files[@]}" -m gpu -n $workers -q --durations 5 \
    -o filterwarnings=default -p no:cacheprovider -p no:benchmark
}

benchmark() {
  local what=(--only hook update select --device cuda --sizes 1281167
    --repeats 3 --iterations 768)
  [ -z "$smoke" ] || what=(--only update select --device cpu --sizes 20000
    --repeats 1)
  timeout -k 5 "$(smaller "${BENCHMARK_SECONDS:-190}" "$(left)")" \
    "$python" -m tools.dev.benchmarks "${what[@]}" --json "$out/benchmark.json"
}

cifar10() {
  local data=() budget=0 run=("$python" -m $here.cifar10_gpu --out "$out")
  if [ -n "$smoke" ]; then
    run+=(--smoke --device cpu --subset 480)
  else
    [ -n "${CIFAR10:-}" ] || { echo 'set CIFAR10 to the data'; return 1; }
    run+=(--device cuda)
  fi
  if [ -n "${CIFAR10:-}" ]; then
    data=("$tmp/cifar10.npz")
    timeout 120 "$python" -m $here.cifar10_data "$CIFAR10" "${data[0]}" ||
      return
  fi
  # Python has to start, and the last table to be written.
  [ "$(left)" -le 25 ] || budget=$(($(left) - 25))
  printf -v budget '%d.%02d' $((budget / 60)) $((budget % 60 * 100 / 60))
  timeout -k 5 "$(left)" "${run[@]}" "${data[@]}" --minutes "$budget" \
    "${more[@]}"
}

main() {
  local status=0
  install_wheels && "$python" -m $here.environment || return 1
  for part in "${parts[@]}"; do
    local start=$SECONDS code=0
    echo -e "\n== $part"
    if [ "$(left)" -gt 0 ]; then "$part" || code=$?; else code=124; fi
    [ "$code" != 124 ] || echo "$part: ran out of time"
    [ "$code" = 0 ] || status=1
    echo "== $part: exit status $code, $((SECONDS - start)) s"
  done
  echo "== all: exit status $status, $SECONDS s"
  return $status
}

main 2>&1 | tee "$out/gpu_check.log"
