#!/bin/sh
# Installs Tollkeeper on this machine, upgrades it, or removes it. Needs no network.
# Run it in the unpacked archive; `sh install.sh --help` says the rest.
set -eu
umask 022

program=/usr/local/bin/tollkeeper
share=/usr/local/share/tollkeeper
settings_directory=/etc/tollkeeper
settings=$settings_directory/tollkeeper.toml
log_directory=/var/log/tollkeeper
unit=/etc/systemd/system/tollkeeper.service
drop_in=/etc/systemd/system/tollkeeper.service.d/install.conf
init_script=/etc/init.d/tollkeeper
rotation=/etc/logrotate.d/tollkeeper

usage() {
    cat << 'END'
Installs Tollkeeper on this machine, or upgrades it. Run it as root in the unpacked archive:

  sh install.sh [--port PORT] [--data DIR] [--wait SECONDS] [--no-backup] [--dry-run]
  sh install.sh --uninstall [--purge] [--dry-run]

  --port PORT      HTTPS port [default: 48443]; afterwards `listen` in /etc/tollkeeper/tollkeeper.toml
  --data DIR       data directory [default: /var/lib/tollkeeper]; afterwards `data` there
  --wait SECONDS   how long it may take to become healthy [default: 120, longer for a large database]
  --no-backup      upgrade although the installed version can make no backup: keep a copy of the data
  --dry-run        say what would be done, and change nothing
  --uninstall      stop and remove the program; data, settings and the user stay
  --purge          with --uninstall: remove them too. There is no way back

Run it again whenever you like: what is in order stays as it is. A new version that does not
become healthy is taken back, and its changes to the database too.
END
}

# Also when nobody listens any more: what was begun goes on.
say() {
    printf '%s\n' "$*" || true
}

fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

wrong_use() {
    printf 'install.sh: %s. See: sh install.sh --help\n' "$*" >&2
    exit 2
}

# WHAT COMMAND...: says what is done, and does it unless this is a dry run.
step() {
    if [ "$dry_run" ]; then
        say "would $1"
        return 0
    fi
    say "$1"
    shift
    "$@"
}

problem() { # WHAT: what is missing and what to do about it; all are told together.
    problems="$problems
  - $*"
}

# ---- what is here already

find_manager() {
    if [ -d /run/systemd/system ]; then
        manager=systemd log='journalctl -u tollkeeper'
    elif [ -d /etc/init.d ]; then
        manager=init.d log=$log_directory/tollkeeper.log
    else
        manager=none log=none
    fi
}

# KEY [TABLE]: the texts of a setting, one a line.
setting() {
    awk -v key="$1" -v wanted="[${2-}]" -v table="[]" '
        !inside && /^[ \t]*\[/ { table = $1; next }
        table != wanted { next }
        inside || $0 ~ "^[ \t]*" key "[ \t]*=" {
            if (!inside) sub(/^[^=]*=/, "")
            while (match($0, /"[^"]*"|\047[^\047]*\047|#|\[|\]/)) {
                token = substr($0, RSTART, RLENGTH)
                $0 = substr($0, RSTART + RLENGTH)
                if (token == "#") break
                else if (token == "[") inside = 1
                else if (token == "]") exit
                else print substr(token, 2, length(token) - 2)
            }
            if (!inside) exit
        }' "$settings"
}

# What is set: in the settings that are there, else what was asked for.
find_settings() {
    data=${wanted_data:-/var/lib/tollkeeper} addresses=0.0.0.0:${wanted_port:-48443} scheme=https
    backups=$data/backups change_port='take another with --port'
    [ -e "$settings" ] || return 0
    data=$(setting data) addresses=$(setting listen) backups=$(setting directory backup)
    change_port="change it in $settings"
    if [ -z "$addresses" ]; then
        addresses=$(setting http)
        if [ "$addresses" ]; then scheme=http; else addresses=0.0.0.0:48443; fi
    fi
    case $data in
        /*) ;;
        '') problem "$settings has no data = \"…\" before its first [table]: write which directory the data is in" ;;
        *) data=$settings_directory/$data ;;
    esac
    case $backups in
        /*) ;;
        '') backups=$data/backups ;;
        *) backups=$settings_directory/$backups ;;
    esac
    [ -z "$wanted_data" ] || [ "$wanted_data" = "$data" ] ||
        problem "--data $wanted_data, but $settings says $data: move the data and change it there, or leave --data out"
    [ -z "$wanted_port" ] || printf '%s\n' "$addresses" | grep -q ":$wanted_port\$" ||
        problem "--port $wanted_port, but $settings says listen = $(printf '%s' "$addresses" | tr '\n' ' '): change it there, or leave --port out"
}

# DIRECTORY: whether a server's data is in it.
is_data() {
    [ -e "$1/tollkeeper.db" ] || [ -e "$1/lock" ]
}

ports() {
    {
        printf '%s\n' "$addresses"
        [ ! -e "$settings" ] || { setting http && setting listen metrics; }
    } | sed 's/.*://' | sort -u
}

has_low_port() {
    for port in $(ports); do
        [ "$port" -ge 1024 ] || return 0
    done
    return 1
}

# ---- the service

property() { # NAME: of the unit.
    systemctl show -p "$1" tollkeeper.service 2> /dev/null | sed 's/^[^=]*=//'
}

is_running() {
    case $manager in
        systemd) case $(property ActiveState) in active | activating | reloading) ;; *) return 1 ;; esac ;;
        init.d) [ -x "$init_script" ] && "$init_script" status > /dev/null 2>&1 ;;
        *) return 1 ;;
    esac
}

# HOW HOW: as update-rc.d and as chkconfig call it.
at_boot() {
    if command -v update-rc.d > /dev/null; then
        update-rc.d tollkeeper "$1"
    elif command -v chkconfig > /dev/null; then
        chkconfig "$2" tollkeeper
    else
        say "Nothing here is known to start $init_script at boot: look after that by hand"
    fi
}

start_service() {
    case $manager in
        systemd)
            systemctl daemon-reload
            systemctl enable --quiet tollkeeper.service
            systemctl reset-failed tollkeeper.service 2> /dev/null || true
            systemctl start --no-block tollkeeper.service
            ;;
        init.d)
            at_boot defaults --add
            "$init_script" start
            ;;
    esac
}

stop_service() {
    case $manager in
        systemd) [ ! -e "$unit" ] || systemctl stop tollkeeper.service ;;
        init.d) [ ! -x "$init_script" ] || "$init_script" stop ;;
    esac
}

# What the server says of itself: ready, failing (it answers, but something is wrong) or silent. The
# certificate is not looked at: this is the same machine, and it may have any name.
health() {
    address=$(printf '%s\n' "$addresses" | sed -n 's/^0\.0\.0\.0:/127.0.0.1:/;s/^\[::\]:/[::1]:/;1p')
    url=$scheme://$address/health
    if command -v curl > /dev/null; then
        case $(curl --insecure --noproxy '*' --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "$url") in
            200) say ready ;; 503) say failing ;; *) say silent ;;
        esac
    elif command -v wget > /dev/null; then
        answered=0
        wget --no-check-certificate --no-proxy -q -T 10 -t 1 -O /dev/null "$url" 2> /dev/null || answered=$?
        case $answered in 0) say ready ;; 8) say failing ;; *) say silent ;; esac
    elif told=$(as_user "$program health --data $data" 2> /dev/null); then
        say ready
    else
        # It says which part fails, and nothing when there is nobody to ask.
        if [ "$told" ]; then say failing; else say silent; fi
    fi
}

# Until it is as healthy as it was before, or there is no hope.
wait_for_health() {
    end=$(($(date +%s) + ${patience:-$((120 + $(database_megabytes) / 5))}))
    ended=0
    while :; do
        found=$(health)
        [ "$found" != "$goal" ] && [ "$found" != ready ] || return 0
        if is_running; then ended=0; else ended=$((ended + 1)); fi
        if [ "$interrupted" ]; then
            why='this was interrupted'
        elif [ "$ended" -ge 5 ]; then
            why='it ended'
        elif [ "$manager" = systemd ] && [ "$(property NRestarts)" -ge 2 ]; then
            why='it ends again and again'
        elif [ "$(date +%s)" -ge "$end" ]; then
            why="it was $found until now"
        else
            sleep 1
            continue
        fi
        return 1
    done
}

last_words() {
    case $manager in
        systemd) journalctl --unit tollkeeper.service --lines 8 --no-pager --output cat 2> /dev/null || true ;;
        init.d) tail -n 8 "$log_directory/tollkeeper.log" 2> /dev/null || true ;;
    esac
}

# ---- the steps

# COMMAND: as the user of the service, so that what it writes belongs to the service.
as_user() {
    su -s /bin/sh tollkeeper -c "$1"
}

add_user() {
    shell=/usr/sbin/nologin
    [ -x "$shell" ] || shell=/sbin/nologin
    grep -q '^tollkeeper:' /etc/group || groupadd --system tollkeeper
    useradd --system --gid tollkeeper --home-dir "$data" --no-create-home --shell "$shell" tollkeeper
}

# DIRECTORY MODE OWNER
make_directory() {
    mkdir -p "$1"
    chown "$3" "$1"
    chmod "$2" "$1"
}

# What commands wrote that were run by root belongs to the service again.
own_data() {
    make_directory "$data" 0700 tollkeeper:tollkeeper
    chown -R tollkeeper:tollkeeper "$data"
}

# Only root writes them, and the service reads them.
own_settings() {
    chown root:tollkeeper "$1"
    chmod 0640 "$1"
}

write_settings() {
    sed -e "s|^data = .*|data = \"$data\"|" -e "s|^listen = .*|listen = [\"$addresses\"]|" "$here/tollkeeper.toml" > "$settings.new"
    own_settings "$settings.new"
    mv "$settings.new" "$settings"
}

# Which file goes where, with which mode; - is a file that should not be there.
plan() {
    say "$here/tollkeeper|$program|0755"
    case $manager in
        systemd)
            say "$here/systemd/tollkeeper.service|$unit|0644"
            {
                [ "$data" = /var/lib/tollkeeper ] || say "ReadWritePaths=$data"
                [ "$backups" = "$data/backups" ] || say "ReadWritePaths=$backups"
                # In a user namespace of its own the process could not have the right.
                ! has_low_port || printf '%s\n' AmbientCapabilities=CAP_NET_BIND_SERVICE CapabilityBoundingSet=CAP_NET_BIND_SERVICE PrivateUsers=no
            } > "$work/lines"
            if [ -s "$work/lines" ]; then
                {
                    say "# Written by install.sh, as $settings needs it."
                    say '[Service]'
                    cat "$work/lines"
                } > "$work/drop-in"
                say "$work/drop-in|$drop_in|0644"
            else
                say "-|$drop_in|"
            fi
            ;;
        init.d)
            if has_low_port; then low_port=yes; else low_port=no; fi
            sed "s/^low_port=.*/low_port=$low_port/" "$here/init.d/tollkeeper" > "$work/init-script"
            say "$work/init-script|$init_script|0755"
            [ ! -d /etc/logrotate.d ] || say "$here/tollkeeper.logrotate|$rotation|0644"
            ;;
    esac
}

# Of the plan, what is not as it should be.
changes() {
    while IFS='|' read -r source place mode; do
        if [ "$source" = - ]; then
            [ ! -e "$place" ] || say "$source|$place|$mode"
        else
            cmp -s "$source" "$place" || say "$source|$place|$mode"
        fi
    done < "$work/plan"
}

# SOURCE PLACE MODE: at no moment is there half a file, also while the old one runs.
put_file() {
    mkdir -p "$(dirname "$2")" && cp "$1" "$2.new" && chmod "$3" "$2.new" && mv "$2.new" "$2"
}

# NUMBER PLACE: what is there now, to put it back.
keep_file() {
    [ ! -e "$2" ] || cp -p "$2" "$work/old-$1"
}

# NUMBER PLACE: as it was. One that fails does not keep the others.
put_file_back() {
    if [ ! -e "$work/old-$1" ]; then
        rm -f "$2"
    elif ! cmp -s "$work/old-$1" "$2"; then
        cp -p "$work/old-$1" "$2.new" && mv "$2.new" "$2"
    fi || say "$2 could not be put back"
}

# COMMAND: for each change, with its number and place.
each_change() {
    count=0
    while IFS='|' read -r source place mode; do
        count=$((count + 1))
        "$1" "$count" "$place" || return 1
    done < "$work/changes"
}

put_files() {
    if [ "$is_upgrade" ]; then step "keep the old program as $program.previous" cp -p "$program" "$program.previous" || return 1; fi
    while IFS='|' read -r source place mode; do
        if [ "$source" = - ]; then
            step "remove $place" rm -f "$place" || return 1
        else
            step "write $place" put_file "$source" "$place" "$mode" || return 1
        fi
    done < "$work/changes"
}

# What belongs to the program, and the way to remove it when the archive is gone.
put_papers() {
    mkdir -p "$share"
    for name in install.sh CHANGELOG.md LICENSES.txt sbom.cdx.json tollkeeper.toml prometheus grafana sdk; do
        [ ! -e "$here/$name" ] || cp -R "$here/$name" "$share/"
    done
}

back_up() {
    copy=$(as_user "$program backup now --data $data" 2>&1) ||
        fail "the installed version can make no backup, so nothing was changed: $copy. Mend that; or stop it, keep a copy of $data, and give --no-backup"
    copy=$(printf '%s\n' "$copy" | tail -n 1)
    say "    $copy"
}

# The backups that a newer program makes before it changes the tables.
upgrade_backups() {
    for file in "$backups"/*-before-upgrade.db; do
        [ ! -e "$file" ] || say "$file"
    done
}

roll_back() {
    failed_words=$(last_words)
    say "Version $version does not become healthy: $why. Taking it back. The log ends with:"
    printf '%s\n' "$failed_words" | sed 's/^/    /'
    stop_service || true
    each_change put_file_back
    # The first: later starts may have copied what was changed in part. Then there is the copy of before.
    first=$(upgrade_backups | grep -v -x -F -f "$work/upgrade-backups" | head -n 1)
    if [ "$first" ]; then
        say "It had changed the database: putting back what it was before, $first"
        own_data
        as_user "$program backup restore $first --data $data" || as_user "$program backup restore ${copy:-none} --data $data" ||
            fail "the database could not be put back. The service is stopped, version $old_version is in place. See $log, and restore one by hand: $program backup restore FILE --data $data"
    fi
    [ "$manager" != systemd ] || systemctl daemon-reload
    interrupted='' failure=$why
    start_service || true
    wait_for_health || fail "and version $old_version, which is in place again, does not become healthy either: $why. See: $log. The backup of before is ${copy:-none}"
    fail "version $version was taken back, because $failure. Version $old_version runs again, healthy as before"
}

install_it() {
    [ -r "$here/SHA256SUMS" ] || fail 'SHA256SUMS is not beside this script: run it in the unpacked archive'
    # shellcheck source=checks.sh
    . "$here/checks.sh"
    check_archive
    find_settings
    check_machine
    old_version=$("$program" --version 2> /dev/null | sed 's/^tollkeeper //')
    [ -z "$problems" ] || fail "this machine is not ready for version $version. Nothing was changed. What to do:$problems"
    say "The archive is whole: version $version for $architecture. This machine has what it needs ($manager)."

    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    plan > "$work/plan"
    changes > "$work/changes"
    is_upgrade='' was_running='' needs_start=yes
    ! grep -q "|$program|" "$work/changes" || [ ! -e "$program" ] || is_upgrade=yes
    ! is_running || was_running=yes

    id tollkeeper > /dev/null 2>&1 || step 'make the system user and group tollkeeper' add_user
    step "make $data, which only tollkeeper can open" own_data
    step "make $settings_directory" make_directory "$settings_directory" 0750 root:tollkeeper
    [ "$backups" = "$data/backups" ] || [ -d "$backups" ] || step "make $backups" make_directory "$backups" 0700 tollkeeper:tollkeeper
    if [ -e "$settings" ]; then
        step "leave $settings as it is, readable for the service" own_settings "$settings"
    else
        step "write $settings" write_settings
    fi
    [ "$manager" != init.d ] || step "make $log_directory" make_directory "$log_directory" 0750 tollkeeper:tollkeeper

    goal=ready copy=''
    if [ "$was_running" ]; then
        goal=$(health)
        [ "$goal" = ready ] || say "The server that runs is $goal. See: $log"
        # One that says nothing may be one that ends again and again.
        if [ "$goal" = silent ]; then goal=ready; else needs_start=''; fi
        [ ! -s "$work/changes" ] || needs_start=yes
    fi
    if [ "$is_upgrade" ] && [ -e "$data/tollkeeper.db" ] && [ -z "$no_backup" ]; then
        step "make a backup with version ${old_version:-unknown}" back_up
    fi
    { say none && upgrade_backups; } > "$work/upgrade-backups"
    # A closed terminal must not leave it between two versions.
    trap 'interrupted=yes' HUP INT TERM
    trap '' PIPE
    trouble=''
    [ "$dry_run" ] || each_change keep_file
    [ -z "$needs_start" ] || [ -z "$was_running" ] || step 'stop the server' stop_service
    put_files || trouble='its files could not be written'
    [ -z "$needs_start" ] || [ "$trouble" ] || step 'start the server, now and at every boot' start_service || true
    if [ "$dry_run" ]; then
        say 'would wait until it is healthy, and take a new version back if it does not become so'
    elif [ "$trouble" ] || ! wait_for_health; then
        why=${trouble:-$why}
        [ -z "$is_upgrade" ] || roll_back
        last_words | sed 's/^/    /'
        fail "it is installed, but does not become healthy: $why. See: $log; then run this again"
    fi
    step "write $share, with the licenses and this script" put_papers
    [ -z "$dry_run" ] || return 0

    port=$(printf '%s\n' "$addresses" | sed -n 's/.*://;1p')
    if [ "$is_upgrade" ]; then
        say "Version $version runs and is $(health). Before it was ${old_version:-unknown}, kept as $program.previous; the backup is ${copy:-none}."
    else
        say "Version $version runs and is $(health)."
        say "Open $scheme://$(uname -n):$port/admin/ in a browser: the first visit sets the administrator's password."
        say "Its certificate is signed by $data/tls/ca.pem. Devices come to port $port: open it in the firewall, if there is one."
    fi
}

# ---- the way back

remove_data() {
    # Never a directory that merely stands in a file by mistake.
    if is_data "$data"; then
        step "remove $data, with every backup in it" rm -rf "$data"
    else
        say "$data does not look like data of Tollkeeper: it stays"
    fi
}

remove_user() {
    userdel tollkeeper
    ! grep -q '^tollkeeper:' /etc/group || groupdel tollkeeper
}

uninstall_it() {
    [ "$(id -u)" = 0 ] || fail 'this needs root: sudo sh install.sh --uninstall'
    find_settings
    [ -z "$problems" ] || fail "cannot remove Tollkeeper. What to do:$problems"
    ! is_running || step 'stop the server' stop_service
    if [ "$manager" = systemd ] && [ -e "$unit" ]; then
        step 'start it no more at boot' systemctl disable --quiet tollkeeper.service
    fi
    for path in "$unit" "$(dirname "$drop_in")" "$init_script" "$rotation" "$program" "$program.previous" "$share"; do
        [ ! -e "$path" ] || step "remove $path" rm -rf "$path"
    done
    case $manager in
        systemd) step 'have systemd read its units anew' systemctl daemon-reload ;;
        init.d) step 'start it no more at boot' at_boot remove --del ;;
    esac
    if [ "$purge" ]; then
        [ ! -e "$data" ] || remove_data
        for path in "$settings_directory" "$log_directory"; do
            [ ! -e "$path" ] || step "remove $path" rm -rf "$path"
        done
        ! id tollkeeper > /dev/null 2>&1 || step 'remove the user and group tollkeeper' remove_user
        [ "$backups" = "$data/backups" ] || say "Backups outside of the data stay: $backups"
        [ "$dry_run" ] || say 'Tollkeeper is removed, with its data and settings.'
    else
        [ "$dry_run" ] || say "Tollkeeper is removed. Kept: the data in $data, $settings_directory, and the user tollkeeper. Installed again, it goes on where it was."
    fi
}

main() {
    wanted_port='' wanted_data='' patience='' no_backup='' dry_run='' uninstall='' purge='' problems='' interrupted='' why=''
    while [ $# -gt 0 ]; do
        case $1 in
            --port | --data | --wait)
                [ "${2-}" ] || wrong_use "$1 needs a value"
                case $1 in --port) wanted_port=$2 ;; --data) wanted_data=$2 ;; *) patience=$2 ;; esac
                shift
                ;;
            --no-backup) no_backup=yes ;;
            --dry-run) dry_run=yes ;;
            --uninstall) uninstall=yes ;;
            --purge) purge=yes ;;
            -h | --help) usage && exit 0 ;;
            *) wrong_use "unknown option '$1'" ;;
        esac
        shift
    done
    case ${wanted_port:-1} in 0* | *[!0-9]* | ??????*) wrong_use "--port is '$wanted_port', but it must be a number from 1 to 65535" ;; esac
    [ "${wanted_port:-1}" -le 65535 ] || wrong_use "--port is $wanted_port, but it must be a number from 1 to 65535"
    case $patience in *[!0-9]*) wrong_use "--wait is '$patience', but it must be a number of seconds" ;; esac
    [ -z "$purge" ] || [ "$uninstall" ] || wrong_use '--purge goes with --uninstall'

    here=$(cd "$(dirname "$0")" && pwd)
    # Nowhere where the program would find settings or data of somebody else.
    cd /
    find_manager
    if [ "$uninstall" ]; then uninstall_it; else install_it; fi
}

main "$@"
