# A Debian that is booted in namespaces of its own: processes, network, files, cgroups. What it
# writes is gone with it. Sourced by tests/install/machines, which has a directory $work.
# shellcheck shell=bash disable=SC2154

# NAME ROOT: boots a copy of the root. Sets `init`, the process that everything in it hangs on.
boot() {
    local name=$1 root=$2
    # A cgroup of its own first: its namespace begins where it is.
    cgroups=()
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
        if [[ -e $hierarchy/cgroup.procs ]]; then
            mkdir -p "$hierarchy/tollkeeper-test-$BASHPID"
            cgroups+=("$hierarchy/tollkeeper-test-$BASHPID")
        fi
    done
    (
        for cgroup in "${cgroups[@]}"; do echo 0 > "$cgroup/cgroup.procs"; done
        exec setsid unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
            bash "${BASH_SOURCE[0]}" "$name" "$root" "$work/$name" < /dev/null > "$work/$name.log" 2>&1
    ) &
    unshare_pid=$!
    wait_for 'it does not boot' is_booted
}

is_booted() {
    init=$(pgrep -P "$unshare_pid") || return 1
    case $(cat "/proc/$init/comm") in
        systemd) [[ $(inside systemctl is-system-running 2> /dev/null) == @(running|degraded) ]] ;;
        init) [[ $(inside runlevel) == 'N 2' ]] && ! inside sh -c "cat /proc/[0-9]*/comm 2> /dev/null | grep -qx rc" ;;
        *) return 1 ;;
    esac
}

# COMMAND...: in the machine.
inside() {
    nsenter -t "$init" -a env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"
}

# COMMAND...: a program of this system in the network of the machine.
beside() {
    nsenter -t "$init" -n "$@"
}

halt() {
    # A second signal should not keep it from cleaning up.
    trap '' HUP INT TERM
    [[ -n ${unshare_pid:-} ]] || return 0
    # The rest of the machine dies with its first process.
    kill -KILL "${init:-$unshare_pid}" 2> /dev/null || true
    wait "$unshare_pid" 2> /dev/null || true
    for cgroup in "${cgroups[@]}"; do
        # What died a moment ago may still be in it.
        for ((tries = 0; tries < 50; tries++)); do
            find "$cgroup" -depth -type d -exec rmdir {} + 2> /dev/null && break
            sleep 0.1
        done
    done
    unshare_pid='' init=''
}

# Runs as the first process in the new namespaces, and becomes the machine's init.
become() {
    local name=$1 root=$2 upper=$3
    set -euo pipefail
    mount --make-rprivate /
    mkdir -p "$upper"
    mount -t tmpfs -o mode=0755 tmpfs "$upper"
    mkdir "$upper"/{upper,work,root}
    mount -t overlay -o "lowerdir=$root,upperdir=$upper/upper,workdir=$upper/work" overlay "$upper/root"
    cd "$upper/root"
    mount -t proc proc proc
    # What is there belongs to the whole system.
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount -t sysfs -o ro sysfs sys
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        mount -t cgroup2 cgroup2 sys/fs/cgroup
    else
        mount -t tmpfs -o mode=0755 tmpfs sys/fs/cgroup
        mkdir sys/fs/cgroup/{systemd,unified}
        mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
        mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
    fi
    mount -t tmpfs -o mode=0755 tmpfs dev
    for device in null zero full random urandom tty; do
        touch "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    mount -t tmpfs tmpfs dev/shm
    mount -t tmpfs -o mode=0755 tmpfs run
    hostname "$name"
    ip link set lo up
    mkdir -p .old
    pivot_root . .old
    umount -l /.old
    exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /sbin/init
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || become "$@"
