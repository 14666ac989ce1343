#!/usr/bin/env bash
# Collect what a bare GPU machine lacks: tools/dev/collect_wheels.sh DIR
#
# Puts wheels into DIR: MMEngine, mmcv without operators, MMPreTrain and what
# they import, in the versions of tools/dev/env/onedl.txt. All are pure Python, so
# they fit any machine. That machine itself should have torch, numpy,
# matplotlib, opencv, scikit-learn, rich, pytest and the like. For
# tools/dev/gpu_check.sh, which installs the wheels without a network.
# PYTHON=EXE says whose pip to use; default python3.
set -euo pipefail

[ $# = 1 ] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
pins=tools/dev/env/onedl.txt
limit_mib=40
names=(
  onedl-mmengine onedl-mmcv onedl-mmpretrain addict yapf platformdirs
  termcolor mat4py modelindex model-index ordered-set importlib-metadata
)

die() { echo "collect_wheels: $*" >&2; exit 1; }

wanted=()
for name in "${names[@]}"; do
  wanted+=("$(grep -E "^$name==" "$pins")") || die "$pins has no $name"
done
rm -f "$to"/*.whl
# In an isolated build torch is not there, and so mmcv leaves its operators
# out. Without pip's cache, which might hold a build with them.
"${PYTHON:-python3}" -m pip wheel -q --no-cache-dir --no-deps -w "$to" \
  "${wanted[@]}"
for wheel in "$to"/*.whl; do
  case $wheel in
    *-none-any.whl) ;;
    *) die "$wheel fits one kind of machine only" ;;
  esac
done
kib=$(du -ck --apparent-size "$to"/*.whl | tail -n 1 | cut -f 1)
echo "${#wanted[@]} wheels, $kib KiB, in $1"
[ "$kib" -le $((limit_mib << 10)) ] || die "more than $limit_mib MiB"
