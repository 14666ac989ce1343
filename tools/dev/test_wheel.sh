#!/usr/bin/env bash
# Build what is published, check it, and use it: tools/dev/test_wheel.sh
#
# The wheel goes into an environment that has nothing else, with one family of
# OpenMMLab and then the other, and trains a config of its own.
# VENV=DIR: the environment to build with (.venv). PYTHON=EXE: the Python of
# the new environment (python3).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
build=$(cd "${VENV:-.venv}" && pwd)/bin/python
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$build" -m build -o "$folder/dist" .
"$build" -m twine check --strict "$folder"/dist/*

"${PYTHON:-python3}" -m venv "$folder/venv"
cd "$folder"  # where nothing of the checkout can be imported
python=$folder/venv/bin/python
pip=("$python" -m pip --disable-pip-version-check -q)
# As setuptools 81 has no `pkg_resources`, which mmengine 0.10.7 imports.
"${pip[@]}" install dist/*.whl 'setuptools<81' -c "$root/tools/dev/env/onedl.txt"

for family in onedl-mmengine mmengine; do
  "${pip[@]}" install "$family" opencv-python  # which onedl does not declare
  "${pip[@]}" check
  site=$("$python" -c 'import bls_mm; print(bls_mm.__path__[0])')
  case $site in "$folder"/*) ;; *) echo "used $site" >&2; exit 1 ;; esac
  PYTHONPATH=$site/.mim "$python" "$site/.mim/tools/train.py" --work-dir "$family" \
    bls_mm::mmengine/plane-sweep_1xb8-bls-infobatch-12e_rendered.py \
    --cfg-options train_cfg.max_epochs=3 train_dataloader.dataset.size=64 |
    tee log
  grep -q 'BLS: visited' log
  "${pip[@]}" uninstall -y "$family"
done
echo 'The wheel works with onedl-mmengine and with mmengine.'
