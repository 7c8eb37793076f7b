#!/bin/bash
# The data products of bns:  bash workflow.sh
# Submits every node with its dependencies, and a job that collects the products when all nodes have ended.  After a
# failure, run it again; it computes only what is missing.
set -euo pipefail
cd <folder>
exec 9> .lock
flock -n 9 || { echo "another workflow.sh is already submitting" >&2; exit 4; }

# The jobs get a plain environment, without your tokens.
slurm() { env -i PATH="$PATH" HOME="$HOME" USER="${USER:-$(id -un)}" ${SLURM_CONF:+SLURM_CONF="$SLURM_CONF"} "$@"; }
queued() { slurm squeue -h -n "$1" -o %i; }
# summary.json appears a moment before the job that writes it has ended, so wait for that job.
for second in $(seq 30); do [ -z "$(queued gwbatch-NAME-end)" ] || [ -n "$(queued gwbatch-NAME)" ] && break; sleep 1; done
if [ -n "$(queued gwbatch-NAME,gwbatch-NAME-end)" ]; then
    echo "jobs of this workflow are in the queue; wait for them, or: scancel -n gwbatch-NAME,gwbatch-NAME-end" >&2
    exit 4
fi
submitted=
submit() { id=$(slurm sbatch --parsable "$@"); id=${id%%;*}; submitted="$submitted $id"; }
trap '[ -z "$submitted" ] || { echo "cancelled:$submitted" >&2; slurm scancel $submitted; }' ERR

submit nodes/bns.localize/node.sbatch; node1=$id
submit nodes/bns.em-bright/node.sbatch; node2=$id
submit --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.mchirp-source/node.sbatch; node3=$id
submit --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.fits-header/node.sbatch; node4=$id
submit --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.plot-allsky/node.sbatch; node5=$id
submit --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.flatten/node.sbatch; node6=$id
submit --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.plot-volume/node.sbatch; node7=$id
submit --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.plot-coherence/node.sbatch; node8=$id
submit --kill-on-invalid-dep=yes --dependency=afterok:$node2 nodes/bns.plot-em-bright/node.sbatch; node9=$id
submit --dependency=afterany:$node1:$node2:$node3:$node4:$node5:$node6:$node7:$node8:$node9 collect.sbatch
echo "submitted:$submitted"
