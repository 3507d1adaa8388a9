#!/usr/bin/env bash
# Run a stage as a job on a Ray cluster; everything after the stage's name goes to the stage.
#
#   cluster/submit.sh label --preset demo --out s3://BUCKET/data
#   cluster/submit.sh train --data s3://BUCKET/data --out /shared/runs/train
#
# RAY_API_SERVER_ADDRESS says where the job server is (default http://127.0.0.1:8265), and the token
# comes from ~/.ray/auth_token, $RAY_AUTH_TOKEN_PATH or $RAY_AUTH_TOKEN. Outputs need an absolute
# path that all nodes share, or a URI: the job runs in a copy of this folder that does not last.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
stage="${1:-}"
if [[ ! "$stage" =~ ^[a-z]+$ || ! -x "pipeline/$stage.py" ]]; then
    echo "usage: cluster/submit.sh label|train|tune|evaluate [option...]" >&2
    exit 2
fi
shift

command -v ray >/dev/null || export PATH="$PWD/.venv/bin:$PATH"
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"
export RAY_API_SERVER_ADDRESS="${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}"
exec ray job submit --working-dir . -- python "pipeline/$stage.py" "$@"
