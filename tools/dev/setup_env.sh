#!/usr/bin/env bash
# Set up the development environment: tools/dev/setup_env.sh [FAMILY [demo]]
#
# FAMILY picks the pins, tools/dev/env/FAMILY.txt: onedl (the default),
# openmmlab, or mmcv20 for packages that need mmcv before 2.1. Packages in
# FAMILY-nodeps.txt, if there is one, are installed without their dependencies.
# `demo` installs what the demo needs and mmcv without its operators, which
# takes no compiler; a later run without that word adds the rest.
# VENV=DIR says where to; default .venv, or .venv-FAMILY for another family.
# PYTHON=EXE says with which Python; default python3.
#
# A further run takes no time, and one after an interruption continues where
# the other stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

family=${1:-onedl}
level=${2:-full}
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
  cat tools/dev/setup_env.sh tools/dev/env/"$family"*.txt \
    tools/dev/env/*.py setup.py pyproject.toml
}
ready() {
  local files=("$venv/.ready")
  [ "$level" = full ] || files+=("$venv/.ready-demo")
  cat "${files[@]}" 2>/dev/null | grep -qxF "$(state | cksum)"
}

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
scratch=
trap 'stop_heartbeat; rm -rf "$scratch"' EXIT

[ -f "$pins" ] || die "no pins for \`$family\`: $pins is missing"
case $level in full | demo) ;; *) die "no level \`$level\`: full or demo" ;; esac
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
pip=("$py" -m pip)
install=("${pip[@]}" install -c "$pins")
pin() { grep -E "^(onedl-)?$1==" "$pins"; }
mmcv=$(pin 'mmcv(-lite)?')
scratch=$(mktemp -d)

step 'torch and build tools' \
  "${install[@]}" pip torch 'setuptools<81' wheel ninja psutil

has_mmcv() {
  "$py" - "$mmcv" 2>/dev/null <<'CODE'
import importlib.metadata, sys
name, _, version = sys.argv[1].partition('==')
sys.exit(importlib.metadata.version(name) != version)
CODE
}
# Loaded by itself, since importing mmcv takes what is installed later.
has_operators() {
  case $mmcv in mmcv-lite*) return ;; esac  # it has none to compile
  has_mmcv && "$py" - 2>/dev/null <<'CODE'
import glob, importlib.util, os, torch
folder = os.path.dirname(importlib.util.find_spec('mmcv').origin)
(file,) = glob.glob(os.path.join(folder, '_ext.*.so'))
spec = importlib.util.spec_from_file_location('_ext', file)
importlib.util.module_from_spec(spec)
CODE
}

# Where torch cannot be imported, as in pip's isolated build, mmcv builds
# without operators. That wheel must not get into pip's cache, which does not
# ask how a wheel was built.
without_operators() {
  "${pip[@]}" wheel --no-cache-dir --no-deps --build-constraint "$pins" \
    -w "$scratch" "$mmcv" &&
    "${pip[@]}" install --no-index --no-deps "$scratch"/*.whl
}

# mmcv comes as source, and its build uses the torch that is installed.
# Should a file not take to the precompiled headers, the compiler alone does.
compile() {
  cp tools/dev/env/cxx.sh "$scratch"
  CXX=${CXX:-$scratch/cxx.sh} build || build
}
build() {
  MMCV_WITH_OPS=1 MAX_JOBS=$cores \
    "${install[@]}" -v --no-build-isolation --no-deps --force-reinstall "$mmcv"
}

if [ "$level" = demo ]; then
  has_mmcv || step "$mmcv without operators" without_operators
elif ! has_operators; then
  cores=${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)}
  title="$mmcv compiled: some $((7 / cores + 1)) minutes on $cores cores"
  title+=', once; pip keeps the wheel'
  wheel=${mmcv%%==*}
  wheel=${wheel//-/_}-${mmcv##*==}
  "${pip[@]}" cache list "$wheel*" 2>/dev/null | grep -qF "$wheel" &&
    title="$mmcv from pip's cache"
  step "$title" compile
  if ! has_operators; then  # compiled against another torch
    "${pip[@]}" cache remove "$wheel*" >/dev/null 2>&1 || true
    step "$mmcv compiled again, as pip's cached build does not fit" compile
  fi
fi

if [ "$level" = demo ]; then
  wanted=("$(pin mmengine)" "$mmcv" "$(pin mmpretrain)" torchvision)
  wanted+=(-e '.[demo]')
  check='import torchvision, mmcv, mmpretrain'
else
  wanted=(-r "$pins" -e '.[demo,dev,docs]')
  check='import torchvision, mmcv.ops, mmdet'
  case $family in
    onedl) check+=', mmpretrain, mmseg, mmrotate.datasets' ;;
    openmmlab)
      check+=', mmpretrain, mmseg, mmaction.models, mmagic.models'
      check+=', mmdet3d.models, mmpose.models, mmrotate.models'
      ;;
    mmcv20) check+='.models, mmocr.models, mmyolo.models' ;;
  esac
fi
step 'everything else' "${install[@]}" --no-build-isolation "${wanted[@]}"
nodeps=tools/dev/env/$family-nodeps.txt
if [ "$level" = full ] && [ -f "$nodeps" ]; then
  step 'packages without their dependencies' \
    "${install[@]}" --no-build-isolation --no-deps -r "$nodeps"
fi

# What is missing in packages as they were published.
site=$("$py" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp tools/dev/env/torchvision_cpu.py "$site"
echo 'import torchvision_cpu' >"$site/torchvision_cpu.pth"
case $mmcv in
  mmcv-lite*) cp tools/dev/env/mmcv_lite_ext.py "$site/mmcv/_ext.py" ;;
esac
localizers=$site/mmaction/models/localizers
if [ -d "$localizers" ]; then
  mkdir -p "$localizers/drn"
  cp tools/dev/env/mmaction_drn.py "$localizers/drn/drn.py"
fi

step 'check' "$py" -c "$check"
case $level in full) mark=.ready ;; *) mark=.ready-demo ;; esac
state | cksum >"$venv/$mark"
echo "setup: $venv is ready"
