#!/usr/bin/env bash
# Train under Slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [ARG...]
#
# ARGs go to tools/train.py. The environment sets the rest: GPUS (8) is the
# number of processes, GPUS_PER_NODE (8, or GPUS if that is less) those of a
# node, CPUS_PER_TASK (5) the cores of each, and SRUN_ARGS more options of
# srun. MASTER_PORT (29500) is where the processes meet: set another one for
# each job on a node.
set -euo pipefail
if (($# < 3)); then
  echo 'usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [ARG...]' >&2
  exit 2
fi
partition=$1
job=$2
config=$3
shift 3
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
read -ra more <<<"${SRUN_ARGS:-}"
exec srun \
  --partition="$partition" --job-name="$job" \
  --gres="gpu:$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" \
  --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
  ${more[@]+"${more[@]}"} \
  python -u "$(dirname "${BASH_SOURCE[0]}")/train.py" "$config" \
  --launcher slurm "$@"
