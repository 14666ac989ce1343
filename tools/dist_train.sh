#!/usr/bin/env bash
# Train on several GPUs of this machine: tools/dist_train.sh CONFIG GPUS [ARG...]
#
# ARGs go to tools/train.py. For several machines set NNODES, NODE_RANK,
# MASTER_ADDR and PORT, as torchrun takes them.
# Without a GPU it trains on the CPU, with gloo.
set -euo pipefail
if (($# < 2)); then
  echo 'usage: tools/dist_train.sh CONFIG GPUS [ARG...]' >&2
  exit 2
fi
config=$1
gpus=$2
shift 2
exec python -m torch.distributed.run \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  --nproc_per_node="$gpus" \
  "$(dirname "${BASH_SOURCE[0]}")/train.py" "$config" --launcher pytorch "$@"
