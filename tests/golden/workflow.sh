#!/bin/bash
# The data products of bns:  bash workflow.sh
# Submits every node with its dependencies; products are collected when all have ended.  Run again after a failure,
# it does only what is missing.
set -euo pipefail
cd <folder>

node1=$(sbatch --parsable nodes/bns.localize/node.sbatch)
node2=$(sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.fits-header/node.sbatch)
node3=$(sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.plot-allsky/node.sbatch)
node4=$(sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.flatten/node.sbatch)
node5=$(sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.plot-volume/node.sbatch)
node6=$(sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:$node1 nodes/bns.plot-coherence/node.sbatch)
collect=$(sbatch --parsable --dependency=afterany:$node1:$node2:$node3:$node4:$node5:$node6 \
    --job-name=gwbatch-collect --output=collect.log --nodes=1 --ntasks=1 --time=00:10:00 --account=oz016 \
    --wrap='/opt/gwbatch/bin/python -m gwbatch.jobs.workflow collect <folder>')
echo "submitted: $node1 $node2 $node3 $node4 $node5 $node6 $collect"
