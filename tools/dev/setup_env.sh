#!/usr/bin/env bash
# Set up the development environment: tools/dev/setup_env.sh [FAMILY]
#
# FAMILY picks the pins, tools/dev/env/FAMILY.txt. Default: onedl.
# VENV=DIR says where to; default .venv, or .venv-FAMILY for another family.
# PYTHON=EXE says with which Python; default python3.
#
# The first run compiles mmcv (some 10 minutes on 2 cores). A further run takes
# no time, and one after an interruption continues where the other stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

family=${1:-onedl}
pins=tools/dev/env/$family.txt
case $family in onedl) venv=.venv ;; *) venv=.venv-$family ;; esac
venv=${VENV:-$venv}
python=${PYTHON:-python3}
py=$venv/bin/python
log=$venv/setup.log
export PIP_DISABLE_PIP_VERSION_CHECK=1

die() { echo "setup: $*" >&2; exit 1; }

# The environment is good for this state of these files in this place (the
# package is installed from here, not copied).
state() {
  pwd
  cat tools/dev/setup_env.sh "$pins" tools/dev/env/*.py setup.py pyproject.toml
}
ready() { [ "$(cat "$venv/.ready" 2>/dev/null)" = "$(state | cksum)" ]; }

# step TITLE COMMAND...: run quietly, with a sign of life every 20 s (and how
# far a compilation got); on failure show the end of the output.
step() {
  local title=$1 start=$SECONDS status=0
  shift
  echo "setup: $title"
  while sleep 20 >/dev/null 2>&1; do
    echo "  ... $((SECONDS - start)) s" \
      "$(grep -oE '\[[0-9]+/[0-9]+\]' "$log" | tail -n 1)"
  done 9>&- &
  heartbeat=$!
  "$@" >"$log" 2>&1 || status=$?
  stop_heartbeat
  [ "$status" = 0 ] && return
  tail -n 40 "$log" >&2
  die "$title: failed; the whole output is in $log"
}
stop_heartbeat() {
  [ -z "$heartbeat" ] && return
  { kill "$heartbeat" && wait "$heartbeat"; } 2>/dev/null || true
  heartbeat=
}
heartbeat=
trap stop_heartbeat EXIT

[ -f "$pins" ] || die "no pins for \`$family\`: $pins is missing"
ready && exit
mkdir -p "$venv"
exec 9>"$venv/.lock"
if command -v flock >/dev/null; then
  flock 9  # one set-up at a time; the next finds the work done
  ready && exit
fi

if ! "$py" -m pip --version >/dev/null 2>&1; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "the pins need Python 3.11 or newer: set PYTHON to one"
  step "new environment in $venv" "$python" -m venv "$venv"
fi
pip_install=("$py" -m pip install -c "$pins")

step 'torch and build tools' \
  "${pip_install[@]}" pip torch 'setuptools<81' wheel ninja psutil

# mmcv comes as source, and its build uses the torch that is installed. Little
# optimisation and no debug information, since compiling is most of the wait.
mmcv=$(grep -E '^(onedl-)?mmcv==' "$pins")
export MMCV_WITH_OPS=1 CXXFLAGS="${CXXFLAGS:--g0 -O1 -w}"
export MAX_JOBS="${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)}"
compile=("${pip_install[@]}" -v --no-build-isolation)
step "$mmcv (compiled once, then cached by pip)" "${compile[@]}" "$mmcv"
# pip's cache does not ask how a wheel was built: without operators, say, or
# against another torch.
"$py" -c 'import torch, mmcv._ext' 2>/dev/null ||
  step "$mmcv again, as the cached build does not fit" \
    "${compile[@]}" --no-cache-dir --force-reinstall --no-deps "$mmcv"

step 'everything else' \
  "${pip_install[@]}" --no-build-isolation -r "$pins" -e '.[demo,dev,docs]'

site=$("$py" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp tools/dev/env/torchvision_cpu.py "$site"
echo 'import torchvision_cpu' >"$site/torchvision_cpu.pth"

step 'check' "$py" -c 'import torchvision, mmcv.ops, mmdet, mmpretrain, mmseg'
state | cksum >"$venv/.ready"
echo "setup: $venv is ready"
