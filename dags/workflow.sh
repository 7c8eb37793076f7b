#!/bin/bash
# The data products of {{ nodes | map(attribute="subject") | unique | join(", ") }}:  bash workflow.sh
# Submits every node with its dependencies, and a job that collects the products when all nodes have ended.  After a
# failure, run it again; it computes only what is missing.
set -euo pipefail
cd {{ folder | sh }}
exec 9> .lock
flock -n 9 || { echo "another workflow.sh is already submitting" >&2; exit 4; }

# The jobs get a plain environment, without your tokens.
slurm() { env -i PATH="$PATH" HOME="$HOME" USER="${USER:-$(id -un)}" ${SLURM_CONF:+SLURM_CONF="$SLURM_CONF"} "$@"; }
queued() { slurm squeue -h -n "$1" -o %i; }
# summary.json appears a moment before the job that writes it has ended, so wait for that job.
for second in $(seq 30); do [ -z "$(queued {{ job_name }}-end)" ] || [ -n "$(queued {{ job_name }})" ] && break; sleep 1; done
if [ -n "$(queued {{ job_name }},{{ job_name }}-end)" ]; then
    echo "jobs of this workflow are in the queue; wait for them, or: scancel -n {{ job_name }},{{ job_name }}-end" >&2
    exit 4
fi
submitted=
submit() { id=$(slurm sbatch --parsable "$@"); id=${id%%;*}; submitted="$submitted $id"; }
trap '[ -z "$submitted" ] || { echo "cancelled:$submitted" >&2; slurm scancel $submitted; }' ERR

{% for node in nodes %}
submit{% if node.parents %} --kill-on-invalid-dep=yes --dependency=afterok:{% for parent in node.parents %}${{ variables[parent] }}{% if not loop.last %}:{% endif %}{% endfor %}{% endif %} nodes/{{ node.name }}/node.sbatch; {{ variables[node.name] }}=$id
{% endfor %}
submit --dependency=afterany:{% for node in nodes %}${{ variables[node.name] }}{% if not loop.last %}:{% endif %}{% endfor %} collect.sbatch
echo "submitted:$submitted"
