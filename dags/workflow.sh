#!/bin/bash
# The data products of {{ nodes | map(attribute="subject") | unique | join(", ") }}:  bash workflow.sh
# Submits every node with its dependencies; products are collected when all have ended.  Run again after a failure,
# it does only what is missing.
set -euo pipefail
cd {{ folder | sh }}

{% for node in nodes %}
{{ variables[node.name] }}=$(sbatch --parsable
{%- if node.parents %} --kill-on-invalid-dep=yes --dependency=afterok:{% for parent in node.parents %}${{ variables[parent] }}{% if not loop.last %}:{% endif %}{% endfor %}{% endif %} nodes/{{ node.name }}/node.sbatch)
{% endfor %}
collect=$(sbatch --parsable --dependency=afterany:{% for node in nodes %}${{ variables[node.name] }}{% if not loop.last %}:{% endif %}{% endfor %} \
    --job-name=gwbatch-collect --output=collect.log --nodes=1 --ntasks=1 --time=00:10:00
{%- for option, value in placement.items() if value %} --{{ option }}={{ value | sh }}{% endfor %} \
    --wrap={{ (python ~ " -m gwbatch.jobs.workflow collect " ~ folder) | sh }})
echo "submitted: {% for node in nodes %}${{ variables[node.name] }} {% endfor %}$collect"
