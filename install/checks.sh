# What install.sh asks of the archive and of the machine before it changes anything. Sourced by it.
# shellcheck shell=sh disable=SC2154,SC2034

# PORT: whether somebody listens there.
is_taken() {
    cat /proc/net/tcp /proc/net/tcp6 2> /dev/null |
        awk -v port="$(printf '%04X' "$1")" '$4 == "0A" { count = split($2, part, ":"); if (part[count] == port) found = 1 } END { exit !found }'
}

# DIRECTORY: megabytes that are free where it is or will be.
free_megabytes() {
    directory=$1
    while [ ! -d "$directory" ]; do directory=$(dirname "$directory"); done
    df -Pk "$directory" | awk 'NR == 2 { print int($4 / 1024) }'
}

database_megabytes() {
    if [ -e "$data/tollkeeper.db" ]; then du -mc "$data/tollkeeper.db"* | awk 'END { print $1 }'; else say 0; fi
}

check_data() {
    case $data in
        / | *[!A-Za-z0-9/._-]* | *..* | [!/]*) problem "the data directory '$data' is none: take an absolute path of letters, digits and / . _ -" ;;
        /home/* | /root/* | /run/* | /tmp/* | /var/tmp/*) problem "services do not see $data: take another directory with --data, /srv/tollkeeper for example" ;;
    esac
    needed=512
    if is_data "$data"; then
        needed=0
        cmp -s "$here/tollkeeper" "$program" || needed=$((64 + 3 * $(database_megabytes)))
    elif [ "$(ls -A "$data" 2> /dev/null)" ]; then
        problem "$data holds something that is not Tollkeeper's: take another directory with --data"
    fi
    free=$(free_megabytes "$data")
    [ "$free" -ge "$needed" ] || problem "$data has $free MB free and $needed MB are needed: make room, or take another directory with --data"
}

check_machine() {
    [ "$(id -u)" = 0 ] || fail 'this needs root: sudo sh install.sh'

    for tool in awk chmod chown cmp cp date df du grep id mktemp mv sed sha256sum sort su useradd; do
        command -v "$tool" > /dev/null || problem "the command '$tool' is missing: install it from the system's packages"
    done

    machine=$(uname -m)
    [ "$machine" = "$architecture" ] || problem "this archive is for $architecture processors, this machine is $machine: take the archive for $machine"
    kernel=$(uname -r)
    minor=${kernel#*.}
    minor=${minor%%[!0-9]*}
    [ $((${kernel%%.*} * 1000 + ${minor:-0})) -ge 3017 ] || problem "the kernel is $kernel: Linux 3.17 or newer is needed"

    [ "$(date +%s)" -ge "$made_at" ] ||
        problem "the clock says $(date -u), which is before this version was made: set the clock; licenses and certificates depend on it"

    check_data
    free=$(free_megabytes "$program")
    [ "$free" -ge 64 ] || problem "$(dirname "$program") has $free MB free and 64 MB are needed: make room"

    if ! is_running; then
        for port in $(ports); do
            ! is_taken "$port" || problem "another program listens on port $port: stop it, or $change_port"
        done
    fi
    [ "$manager" != none ] || problem 'there is neither systemd nor /etc/init.d to start services with'
    [ "$manager" != init.d ] || ! has_low_port || command -v setpriv > /dev/null ||
        problem "a port below 1024 needs the command 'setpriv' here: install it (util-linux), or $change_port"
}

# The archive is whole, and so is what is in it.
check_archive() {
    found=$(cd "$here" && sha256sum -c SHA256SUMS 2>&1) ||
        fail "the archive is damaged: unpack it again, or fetch it again. $(printf '%s\n' "$found" | grep -v ': OK$')"
    version=$(sed -n 's/^VERSION=//p' "$here/RELEASE")
    architecture=$(sed -n 's/^ARCHITECTURE=//p' "$here/RELEASE")
    made_at=$(sed -n 's/^MADE_AT=//p' "$here/RELEASE")
}
