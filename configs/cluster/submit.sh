#!/bin/sh
# A study on Slurm: an array of all pretrainings, then an array whose tasks share the cells, then the table and the page.
#   sh configs/cluster/submit.sh CONFIG OUT [TASKS]
# The sbatch files beside this say what a task gets; what sbatch reads from the environment (SBATCH_PARTITION, SBATCH_ACCOUNT) holds, too.
set -eu
STUDY=$1 OUT=$2 TASKS=${3:-16}
HERE=$(dirname "$0")
: "${DATA_ROOT:=.}" "${WGSLAB:=wgslab}"
export STUDY OUT DATA_ROOT WGSLAB
mkdir -p "$OUT/cluster"
indices=$("$WGSLAB" study list "$STUDY" --data-root "$DATA_ROOT" --json | grep -o '"pretraining_index": *[0-9]*' | grep -o '[0-9]*$' | sort -n | uniq)
after=
if [ -n "$indices" ]; then
    last=$(echo "$indices" | tail -n 1)
    first=$(sbatch --parsable --array="0-$last%$TASKS" --output="$OUT/cluster/%x-%A-%a.log" "$HERE/pretraining.sbatch")
    # A pretraining that fails fails its own cells, which are told by it; the cells of the others run.
    after="--dependency=afterany:$first"
fi
# shellcheck disable=SC2086 # no dependency is no word
cells=$(sbatch --parsable $after --array="1-$TASKS" --output="$OUT/cluster/%x-%A-%a.log" "$HERE/cells.sbatch")
sbatch --parsable --dependency="afterany:$cells" --output="$OUT/cluster/%x-%j.log" --job-name=wgslab-report --time=0:30:00 \
    --wrap="\"$WGSLAB\" study report \"$OUT\""
