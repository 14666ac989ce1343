#!/usr/bin/env bash
# The C++ compiler, with torch's headers read once and not for each file.
#
# mmcv has 77 files, and reading the headers is most of the work on each. The
# first call precompiles them, with its own flags, next to this script, of
# which set-up makes a copy in a temporary folder. Where that fails, and for
# anything but compiling C++, this is just `c++`. Little optimisation and no
# debug information, which CXXFLAGS would say if setuptools passed it on.
set -euo pipefail
case " $* " in *' -c '*.cpp*) ;; *) exec c++ "$@" ;; esac
set -- "$@" -g0 -O1 -w

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
header=$folder/torch.hpp
exec 9>"$folder/.lock"
! command -v flock >/dev/null || flock 9
if [ ! -e "$header" ]; then
  flags=()
  last=
  for word in "$@"; do
    case $last$word in
      -c* | -o* | -MF* | -MMD) ;;  # what belongs to the one file
      *) flags+=("$word") ;;
    esac
    case $word in -c | -o | -MF) last=$word ;; *) last= ;; esac
  done
  echo '#include <torch/types.h>' >"$header"
  c++ "${flags[@]}" -x c++-header "$header" -o "$header.gch" 9>&- ||
    rm -f "$header.gch"
fi
exec c++ -include "$header" "$@" 9>&-
