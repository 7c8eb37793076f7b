#!/bin/sh
# Runs on the node, in the job's scratch folder:  job.sh PYTHON
export PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"
here=$PWD
# The home folder may be read-only on a node, so use a sub-folder here.  HTCondor does not send sub-folders back.
mkdir -p .home
export HOME="$here/.home" XDG_CACHE_HOME="$here/.home" XDG_CONFIG_HOME="$here/.home" MPLCONFIGDIR="$here/.home"
export MPLBACKEND=Agg
command -v "$1" > /dev/null || {
    echo "gwbatch: there is no $1 on $(hostname); set scheduler.python in the site profile to its path on the nodes" >&2
    exit 127
}
exec "$1" -P -m gwbatch.jobs.runner "$here"
