#!/usr/bin/env bash
# Runs a Slurm with a node for each port but the first on this machine, as root:
#   nodes.sh FOLDER PORT PORT...
# It prints "ready" once all nodes are idle, and nothing if a daemon ends before. FOLDER/slurm.conf is the
# configuration. It ends all daemons when its input ends, also if the program that started it is killed. All nodes are
# this machine and share its devices and /dev/shm.
set -euo pipefail
dir=$1 ports=("${@:2}")
count=$((${#ports[@]} - 1))
host=$(hostname -s)
export SLURM_CONF=$dir/slurm.conf
mkdir -p "$dir/state" "$dir/munge"
chmod 755 "$dir" "$dir/munge" # munge's clients of all users go through them

children=()
finish() {
    trap - EXIT
    timeout 5 scancel --user=root >"$dir/scancel.log" 2>&1 || true
    timeout 5 scancel --signal=KILL --full --user=root >>"$dir/scancel.log" 2>&1 || true
    kill "${children[@]}" 2>/dev/null || true
    for _ in {1..50}; do
        [[ -n $(jobs -r) ]] || break
        sleep 0.1
    done
    kill -KILL "${children[@]}" 2>/dev/null || true
    wait
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# Starts a daemon as a child of this script, without the script's input.
daemon() {
    local log=$dir/$1.log
    "${@:2}" </dev/null >"$log" 2>&1 &
    children+=($!)
}

conf() {
    cat <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge/socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=1
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1,sched_min_interval=0
PartitionName=all Nodes=n[1-$count] Default=YES OverSubscribe=FORCE:8
CONF
    [[ ! -e $dir/../prolog ]] || printf '%s\n' "Prolog=$dir/../prolog" "Epilog=$dir/../epilog" PrologFlags=Alloc
    for node in $(seq "$count"); do
        echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[$node]} CPUs=8"
    done
}

head -c 1024 /dev/urandom >"$dir/munge/key"
chmod 600 "$dir/munge/key"
daemon munged munged --foreground --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munge/pid" --seed-file="$dir/munge/seed" --log-file="$dir/munge/log"
until munge --socket="$dir/munge/socket" </dev/null >/dev/null 2>&1; do
    kill -0 "${children[0]}" || exit 1
    sleep 0.1
done

conf >"$SLURM_CONF"
daemon slurmctld slurmctld -D -i
for node in $(seq "$count"); do
    mkdir -p "$dir/spool-n$node"
    daemon "n$node" slurmd -D -N "n$node"
done
idle() { timeout 5 sinfo --noheader --states=idle --format=%D 2>/dev/null; }
for _ in {1..200}; do
    [[ $(idle) != "$count" ]] || break
    # A daemon whose port another program has taken ends at once.
    for child in "${children[@]}"; do kill -0 "$child" 2>/dev/null || exit 1; done
    sleep 0.1
done
[[ $(idle) == "$count" ]]
echo ready
cat >/dev/null
