#!/usr/bin/env bash
# A real Slurm cluster of two nodes on this machine: one slurmctld and two slurmd, without munge and without a database.
#   cluster.sh start DIR    starts it; clients find it by SLURM_CONF=DIR/slurm.conf
#   cluster.sh node DIR n2  starts the slurmd of one node again, as a node that comes back does
#   cluster.sh lose DIR n2  SIGKILL of that slurmd and of all that runs on its node, as when the power fails
#   cluster.sh steps DIR n2 prints the processes of jobs on that node
#   cluster.sh stop DIR     ends every job, step and daemon of it
# Logs lie in DIR. VALENZA_SLURM_PORT (17010) is the first of three ports on loopback.
set -euo pipefail

usage() {
    echo "usage: cluster.sh start|stop DIR, or cluster.sh lose|node|steps DIR NAME" >&2
    exit 64
}
[[ $# -ge 2 ]] || usage
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
port=${VALENZA_SLURM_PORT:-17010}
export SLURM_CONF=$dir/slurm.conf
PATH=$PATH:/usr/sbin:/sbin

write_configuration() {
    # Both nodes are this host, told apart by port. Slurm counts processors itself and drains a node that claims more than
    # there are; `config_overrides` lets each claim four.
    cat >"$SLURM_CONF" <<CONF
ClusterName=valenza
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=5
MinJobAge=600
ReturnToService=1
RebootProgram=/bin/true
NodeName=n1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=4 State=UNKNOWN
NodeName=n2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=4 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
CONF
}

start_node() {
    mkdir -p "$dir/spool-$1"
    setsid slurmd -D -N "$1" </dev/null >>"$dir/slurmd-$1.out" 2>&1 &
}

# Steps and their processes outlive a slurmd, so they are found by what Slurm left in their environment; the slurmstepd
# of a node, which has less there, by what it has started.
steps() { # [NODE]
    local entry found parent
    for entry in /proc/[0-9]*; do
        found=$(tr '\0' '\n' <"$entry/environ") || continue
        grep -qxF "SLURM_CONF=$SLURM_CONF" <<<"$found" || continue
        grep -q '^SLURM_JOB_ID=' <<<"$found" || continue
        if [[ $# == 0 ]] || grep -qxF "SLURMD_NODENAME=$1" <<<"$found"; then
            echo "${entry#/proc/}"
            parent=$(sed -n 's/^PPid:\t//p' "$entry/status") || continue
            if [[ $(<"/proc/$parent/comm") == slurmstepd ]]; then echo "$parent"; fi
        fi
    done 2>/dev/null | sort -un
}

end() { # PIDS: kill, and wait until they are gone
    [[ $# == 0 ]] && return
    kill -KILL "$@" 2>/dev/null || true
    for _ in $(seq 50); do
        kill -0 "$@" 2>/dev/null || return 0
        sleep 0.1
    done
}

daemon() { cat "$dir/$1.pid" 2>/dev/null || true; }

case $action in
start)
    write_configuration
    mkdir -p "$dir/state"
    setsid slurmctld -D -c </dev/null >>"$dir/slurmctld.out" 2>&1 &
    start_node n1
    start_node n2
    for _ in $(seq 150); do
        if [[ $(sinfo -h -N -o '%t' 2>/dev/null | grep -c '^idle$') == 2 ]]; then
            exit 0
        fi
        sleep 0.2
    done
    echo "the two nodes are not idle after 30 s; see $dir/slurmctld.log" >&2
    sinfo -N >&2 || true
    exit 1
    ;;
node)
    [[ $# == 3 ]] || usage
    start_node "$3"
    ;;
steps)
    [[ $# == 3 ]] || usage
    steps "$3"
    ;;
lose)
    [[ $# == 3 ]] || usage
    mapfile -t lost < <(daemon "slurmd-$3"; steps "$3")
    end "${lost[@]}"
    ;;
stop)
    mapfile -t lost < <(daemon slurmctld; daemon slurmd-n1; daemon slurmd-n2; steps)
    end "${lost[@]}"
    ;;
*) usage ;;
esac
