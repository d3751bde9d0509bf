# ---- reading: one fact a line; what cannot be read is said, never left out

TELLS=4   # which facts: a reader that knows of more says what this script leaves out
COMPONENTS='etcd kube-apiserver kube-controller-manager kube-scheduler'
PACKAGES='kubeadm kubelet kubectl'

unreadable() { say "unreadable $1 $(say "${2:-no reason given}" | one_line)"; } # KEY REASON
fact() { # KEY COMMAND…: the first line of its output, or why there is none
    key=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        unreadable "$key" "$1 is not installed"
        return
    fi
    answer=$(within_look "$@" 2>&1)
    code=$?
    if [ "$code" -eq 0 ] && [ -n "$answer" ]; then
        # shellcheck disable=SC2086 # split on purpose, and no name is expanded
        flat "$key" ${answer%%"$NL"*}
    else
        unreadable "$key" "'$*' failed: $(why "$answer" "$code")"
    fi
}
file_fact() { # KEY FILE
    # shellcheck disable=SC2046 # split on purpose, and no name is expanded
    if [ -r "$2" ]; then flat "$1" $(first_line "$2" ''); else unreadable "$1" "${2#"$ROOT"} cannot be read"; fi
}
# That manifest may be away for the moment. The administrator's kubeconfig lies on many a worker, the controller manager's on none.
is_control_plane() { [ -e "$MANIFESTS/kube-apiserver.yaml" ] || [ -e "$ROOT/etc/kubernetes/controller-manager.conf" ]; }
image_of() { # COMPONENT
    sed -n '/^[[:space:]]*-\{0,1\}[[:space:]]*image:[[:space:]]*["'\'']\{0,1\}\([^"'\''[:space:]]*\).*/{
        s//\1/p
        q
    }' "$MANIFESTS/$1.yaml" 2>/dev/null
}
flag_of() { # COMPONENT FLAG: its value in the component's manifest
    sed -n "/^[[:space:]]*-[[:space:]]*--$2=/{
        s///p
        q
    }" "$MANIFESTS/$1.yaml" 2>/dev/null
}
etcd_is_elsewhere() { # kubeadm's own is always asked at this very machine
    case $(flag_of kube-apiserver etcd-servers) in
    *127.0.0.1* | *localhost* | *'[::1]'*) return 1 ;;
    '') [ ! -d "$ROOT$(etcd_flag data-dir /var/lib/etcd)/member" ] ;; # no manifest tells: the data does
    esac
}
etcd_flag() { # FLAG DEFAULT
    value=$(flag_of etcd "$1")
    say "${value:-$2}"
}
kubeadm_version() { timeout -k 1 25 kubeadm version -o short 2>/dev/null; }
installed_version() { # PACKAGE: empty unless it is wholly installed
    dpkg-query -W -f='${Version} ${db:Status-Abbrev}\n' "$1" 2>/dev/null | sed -n 's/^\([^ ]*\) .i *$/\1/p'
}
# An audit also names packages whose makers left out the list of checksums, or gave them a foreign architecture: nothing
# was interrupted there, and nothing that dpkg could finish would end it.
troubles_of_dpkg() {
    awk 'BEGIN { RS = "" } { split($0, part, "\n ") } part[1] !~ /missing the (list|md5sums) control file|architecture/'
}
dpkg_problem() { # nothing when apt can work; fails, with the reason, where that cannot be told
    found=$(within_look dpkg --audit 2>&1)
    code=$?
    [ "$code" -lt 124 ] || { say "'dpkg --audit' failed: $(why "$found" "$code")"; return 1; }
    [ -z "$found" ] || say "$found" | troubles_of_dpkg
    [ "$code" -eq 0 ] || say "'dpkg --audit' failed"
    # dpkg's journal, left by one that was killed: the audit does not mention it, and apt refuses to work.
    [ -z "$(find "$ROOT/var/lib/dpkg/updates" -name '[0-9]*' 2>/dev/null)" ] || say "dpkg was interrupted: its journal is not merged yet."
    return 0
}

observe() { # [briefly]: only what the steps of a run ask for, at a third of the cost
    say "protocol $PROTOCOL"
    say "tells $TELLS"
    observe_host
    observe_packages
    observe_kubernetes
    [ "${1:-}" = briefly ] || observe_whole
    say end observe
}
observe_whole() { # what a plan asks for beside it
    observe_package_locks
    observe_origins
    observe_kubelet_arguments
    observe_kubelet_config
    observe_runtime
    observe_tools
    observe_hooks
    observe_control_plane
    observe_room
}
reboot_is_required() { [ -e "$ROOT/run/reboot-required" ] || [ -e "$ROOT/var/run/reboot-required" ]; } # Debian's own sign
observe_host() {
    if [ -r "$ROOT/proc/sys/kernel/hostname" ]; then file_fact hostname "$ROOT/proc/sys/kernel/hostname"; else file_fact hostname "$ROOT/etc/hostname"; fi
    say "time $(date +%s)"
    say "boot-id $(boot_id)"
    say "fence $(highest_fence)"
    if [ -r "$ROOT/etc/os-release" ]; then
        awk -F= '{ gsub(/"/, "", $2) } $1 == "ID" { name = $2 } $1 == "VERSION_ID" { version = $2 } END { print "os", name, version }' "$ROOT/etc/os-release"
    else
        unreadable os "/etc/os-release cannot be read"
    fi
    file_fact kernel "$ROOT/proc/sys/kernel/osrelease"
    fact arch dpkg --print-architecture
    if [ -e "$ROOT/sys/fs/cgroup/cgroup.controllers" ]; then say cgroup v2
    elif [ -d "$ROOT/sys/fs/cgroup" ]; then say cgroup v1
    else unreadable cgroup "/sys/fs/cgroup cannot be read"; fi
    if [ ! -r "$ROOT/proc/swaps" ]; then unreadable swap "/proc/swaps cannot be read"
    elif { read -r line && read -r line; } <"$ROOT/proc/swaps"; then say swap on
    else say swap off; fi
    if reboot_is_required; then say reboot-required yes; else say reboot-required no; fi
}
observe_packages() {
    # shellcheck disable=SC2016 # dpkg's own placeholders
    # A package that is not installed makes dpkg-query exit 1 and still print the others.
    rows=$(within_look dpkg-query -W -f='${db:Status-Abbrev} ${Package} ${Version}\n' kubeadm kubelet kubectl cri-tools kubernetes-cni containerd containerd.io 2>&1)
    code=$?
    if [ "$code" -gt 1 ]; then unreadable packages "$(why "$rows" "$code")"; else
        say "$rows" | sed -n 's/^\([a-zA-Z]\{2,3\}\) *\([a-z0-9][a-z0-9.+-]*\) \([^ ][^ ]*\)$/package \2 \3 \1/p'
    fi
    if holds=$(within_look apt-mark showhold 2>&1); then [ -z "$holds" ] || say "$holds" | sed 's/^/hold /'; else unreadable holds "$(why "$holds" "$?")"; fi
    if ! audit=$(dpkg_problem); then unreadable dpkg "$audit"
    elif [ -z "$audit" ]; then say dpkg clean; else say "dpkg interrupted $(say "$audit" | long_line)"; fi
    kube_sources | sed -e 's#://[^/@ ]*@#://#' -e 's/^/source /'   # a login in the address is nobody's business
    if [ -d "$ROOT/etc/apt/preferences.d" ]; then
        grep -rlE '^Package:.*(kube|cri-tools)' "$ROOT/etc/apt/preferences.d" "$ROOT/etc/apt/preferences" 2>/dev/null | sed "s#^$ROOT#pin #"
    fi
    # Any file there may set it; its value is a number of days.
    if grep -rhEq '^[^/#]*Unattended-Upgrade[" ]+(0*[1-9]|always)' "$ROOT/etc/apt/apt.conf.d" 2>/dev/null; then say unattended-upgrades on
    else say unattended-upgrades off; fi
}
observe_kubernetes() {
    if is_control_plane; then say control-plane yes; else say control-plane no; fi
    answer=
    fact kubeadm kubeadm version -o short
    kubeadm_says=${answer%%"$NL"*}
    fact kubelet kubelet --version
    if ! command -v kubectl >/dev/null 2>&1; then say kubectl none
    elif answer=$(within_look kubectl version --client -o json 2>&1); then
        say "kubectl $(say "$answer" | sed -n 's/.*"gitVersion": *"\([^"]*\)".*/\1/p' | head -n 1)"
    else unreadable kubectl "$(why "$answer" "$?")"; fi
    if unit=$(within_look systemctl show kubelet -p LoadState,ActiveState,SubState,NRestarts,ExecMainStartTimestamp 2>&1); then
        say "$unit" | sed -n 's/^\([A-Za-z]*\)=/kubelet-unit \1 /p'
    else unreadable kubelet-unit "$(why "$unit" "$?")"; fi
    for component in $COMPONENTS; do
        if [ -e "$MANIFESTS/$component.yaml" ]; then
            sum=$(sha256sum <"$MANIFESTS/$component.yaml")
            say "manifest $component $(image_of "$component") ${sum%% *}"
        elif is_control_plane && ! { [ "$component" = etcd ] && etcd_is_elsewhere; }; then say "missing-manifest $component"; fi
    done
    if [ -d "$MANIFESTS" ]; then
        find "$MANIFESTS" -mindepth 1 -maxdepth 1 ! -name '.*' | while read -r path; do
            name=${path##*/}
            case " $COMPONENTS " in *" ${name%.yaml} "*) ;; *) say "stray-manifest ${path##*/}" ;; esac
        done
    fi
    flags=$ROOT/var/lib/kubelet/kubeadm-flags.env
    # shellcheck disable=SC2046 # split on purpose, and no name is expanded
    if [ -r "$flags" ]; then long kubelet-flags $(value_in "$flags" KUBELET_KUBEADM_ARGS)
    else unreadable kubelet-flags "/var/lib/kubelet/kubeadm-flags.env cannot be read"; fi
    # shellcheck disable=SC2046 # as above
    long kubelet-extra-args $(value_in "$ROOT/etc/default/kubelet" KUBELET_EXTRA_ARGS)
    if [ -n "$UPGRADE_CONFIG" ]; then
        if [ -f "$ROOT$UPGRADE_CONFIG" ]; then
            say "upgrade-config present $UPGRADE_CONFIG"
            observe_passed_over
        else say "upgrade-config missing $UPGRADE_CONFIG"; fi
    fi
    patches=$(patches_folder)
    if [ -n "$patches" ]; then
        if [ -d "$ROOT$patches" ]; then say "patches present $patches"; else say "patches missing $patches"; fi
    elif [ -n "$(ls -A "$ROOT/etc/kubernetes/patches" 2>/dev/null)" ]; then say "patches unused /etc/kubernetes/patches"
    else say "patches none"; fi
}
observe_passed_over() { # which checks and phases of its own kubeadm leaves out by that file
    awk '
        function tell(names) { gsub(/["'\'' \t]/, "", names); if (names != "" && !(key " " names in told)) { told[key " " names]; print "passed-over", key, names } }
        /^[ \t]*#/ { next }
        { sub(/[ \t]#.*/, "") }
        block && /^[ \t]*-[ \t]/ { key = block; sub(/^[ \t]*-/, ""); tell($0); next }
        { block = "" }
        {
            while (match($0, /(ignorePreflightErrors|skipPhases)["'\'']?[ \t]*:[ \t]*/)) {
                key = substr($0, RSTART, RLENGTH)
                sub(/[^A-Za-z].*/, "", key)
                $0 = substr($0, RSTART + RLENGTH)
                if (/^\[/) { names = substr($0, 2); sub(/\].*/, "", names); tell(names) }
                else if ($0 == "") block = key
            }
        }' "$ROOT$UPGRADE_CONFIG"
}
patches_folder() { # of the settings, or the first one that kubeadm's configuration names and that is not there, else its first
    [ -z "$PATCHES_DIR" ] || { say "$PATCHES_DIR"; return; }
    [ -f "$ROOT$UPGRADE_CONFIG" ] || return 0
    named=$(sed -n "s/.*directory: *[\"']\{0,1\}\(\/[^\"'}, ]*\).*/\1/p" "$ROOT$UPGRADE_CONFIG")
    for one in $named; do [ -d "$ROOT$one" ] || { say "$one"; return; }; done
    say "$named" | head -n 1
}
value_in() { # FILE NAME: of an environment file, without its quotes
    sed -n "/^$2=/{
        s///
        s/\"//g
        p
    }" "$1" 2>/dev/null
}
observe_tools() {
    for tool in containerd crictl ctr; do
        if command -v "$tool" >/dev/null 2>&1; then say "tool $tool yes"; else say "tool $tool no"; fi
    done
    if [ ! -e "$MANIFESTS/etcd.yaml" ]; then etcdctl=none
    elif container=$(etcd_container) && etcdctl_is_in "$container"; then etcdctl=container
    elif command -v etcdctl >/dev/null 2>&1; then etcdctl=host
    else etcdctl=none; fi
    say "etcdctl $etcdctl"
}
observe_control_plane() {
    observe_etcd "$etcdctl"
    observe_outside_etcd
    observe_certificates
    [ ! -e "$MANIFESTS/kube-apiserver.yaml" ] || observe_drift
}
observe_room() {
    etcd_data=$(etcd_flag data-dir /var/lib/etcd)
    set --
    for place in "$etcd_data" /etc/kubernetes /var/lib/kubelet /var/lib/containerd /var/cache/apt/archives; do
        [ ! -d "$ROOT$place" ] || set -- "$@" "$ROOT$place"
    done
    tell_rooms "$@"
    [ -d "$ROOT$etcd_data" ] || return 0
    say "etcd-data $etcd_data"
    size=$(kib_of "$ROOT$etcd_data")
    if [ -n "$size" ]; then say "etcd-size $size"; else unreadable etcd-size "du failed for $etcd_data, or did not answer within $LOOK s"; fi
    tell_room snapshots "$SNAPSHOT_DIR" "$(existing_part "$ROOT$SNAPSHOT_DIR")"
    say "snapshot-export $SNAPSHOT_EXPORT"
}
tell_rooms() { # FOLDER…: all by one look, and one by one where that fails, so that a disk that hangs hides no other
    rooms=$(within_look df -Pk "$@" 2>/dev/null | awk 'NR > 1 { print $2, $4, $NF }')
    if [ -z "$rooms" ] || [ "$(say "$rooms" | wc -l)" -ne $# ]; then
        for folder in "$@"; do tell_room disk "${folder#"$ROOT"}" "$folder"; done
        return
    fi
    for folder in "$@"; do
        say "disk ${folder#"$ROOT"} ${rooms%%"$NL"*}"
        rooms=${rooms#*"$NL"}
    done
}
tell_room() { # KEY PLACE FOLDER: its KiB in all, those that are free, and which file system it is on
    room=$(within_look df -Pk "$3" 2>/dev/null | awk 'NR == 2 { print $2, $4, $NF }')
    if [ -n "$room" ]; then say "$1 $2 $room"; else unreadable disk "df failed for $2, or did not answer within $LOOK s"; fi
}
kib_of() { within_look du -sk "$1" 2>/dev/null | cut -f1; }
existing_part() { # PATH, or what of it is there already
    part=$1
    while [ -n "$part" ] && [ ! -d "$part" ]; do part=${part%/*}; done
    say "${part:-/}"
}

read_kubeadm() { # what a reading verb of kubeadm prints, whole
    command -v kubeadm >/dev/null 2>&1 || refuse 69 "kubeadm is not installed on this machine: install it first."
    within kubeadm "$@"
}
within() { # COMMAND…: a reading verb of its own may take longer than one question of many
    timeout -k 1 25 "$@"
    code=$?
    [ "$code" -ne 124 ] || refuse 70 "'$1' did not answer within 25 s: look at the machine."
    return "$code"
}
show_log() { # UNIT
    command -v journalctl >/dev/null 2>&1 || refuse 69 "journalctl is not installed on this machine: read its log another way."
    within journalctl -u "$1" -n 200 -o short-iso --no-pager
}
