# ---- kubeadm, kubelet, etcd

need_control_plane() {
    for component in kube-apiserver kube-controller-manager kube-scheduler; do
        [ -e "$MANIFESTS/$component.yaml" ] ||
            refuse 70 "/etc/kubernetes/manifests/$component.yaml is missing on this control-plane machine: run 'repair' first."
    done
}
need_kubeadm() { # VERSION
    [ "$(kubeadm_version)" = "$1" ] ||
        refuse 70 "The installed kubeadm is '$(kubeadm_version)' and not $1: install that version first."
}
need_upgrade_config() {
    only_ours "$ROOT$UPGRADE_CONFIG" f ||
        refuse 66 "$UPGRADE_CONFIG of the settings is missing, or could be changed by others: without it kubeadm would not do what it says."
    version=$(kubeadm_version)
    minor=${version#v1.}
    [ "${minor%%.*}" -ge 31 ] 2>/dev/null ||
        refuse 70 "kubeadm $version takes no UpgradeConfiguration, as v1.31 and newer do: take UPGRADE_CONFIG out of the settings until then."
    ! config_says forceUpgrade ||
        refuse 70 "$UPGRADE_CONFIG says forceUpgrade: true, which passes over kubeadm's own checks: take that out."
    ! config_says dryRun ||
        refuse 70 "$UPGRADE_CONFIG says dryRun: true, so that kubeadm would change nothing and end well: take that out."
}
config_says() { # SWITCH, that is on
    grep -v '^[[:space:]]*#' "$ROOT$UPGRADE_CONFIG" | grep -Eiq "$1[\"']?[[:space:]]*:[[:space:]]*[\"']?(true|yes|on)"
}
# kubeadm and its flags from the settings: where the administrator's file, the patches and its own configuration are.
upgrade() { # ARGS…
    [ -z "$ADMIN_CONF" ] || set -- "$@" --kubeconfig "$ROOT$ADMIN_CONF"
    if [ -n "$UPGRADE_CONFIG" ]; then
        need_upgrade_config
        set -- "$@" --config "$ROOT$UPGRADE_CONFIG"
    fi
    if [ -n "$PATCHES_DIR" ] && [ "$1" != plan ]; then
        [ -d "$ROOT$PATCHES_DIR" ] || refuse 66 "The patches folder $PATCHES_DIR of the settings is missing: without it every patch would be undone."
        set -- "$@" --patches "$ROOT$PATCHES_DIR"
    fi
    kubeadm upgrade "$@"
}
check_result() { # VERSION: what kubeadm wrote must be what was asked for
    image=$(image_of kube-apiserver)
    case $image in
        *:v[0-9]*)
            [ "${image##*:}" = "$1" ] ||
                refuse 70 "kubeadm ended well, but the API server's manifest says ${image##*:} and not $1: the cluster declares another version in its kubeadm-config." ;;
    esac
}

need_room() { # KIB FOLDER WHAT
    free=$(df -Pk "$(existing_part "$2")" 2>/dev/null | awk 'NR == 2 { print $4 }')
    [ -z "$free" ] || [ "$free" -ge "$1" ] ||
        refuse 70 "$3 needs $(($1 / 1024)) MiB at ${2#"$ROOT"}, where $((free / 1024)) MiB are free: make room there first; nothing was changed."
}
need_room_for_copy() { # kubeadm copies the whole data of its etcd each time, and a full disk in the middle is no place to be
    [ -e "$MANIFESTS/etcd.yaml" ] || return 0
    size=$(du -sk "$ROOT$(etcd_flag data-dir /var/lib/etcd)" 2>/dev/null | cut -f1)
    [ -z "$size" ] || need_room $((size * 11 / 10)) "$KUBE_TMP" "kubeadm's copy of etcd"
}

plan() { # VERSION
    need_control_plane
    need_kubeadm "$1"
    upgrade plan "$1"
}
apply() { # VERSION
    need_control_plane
    need_kubeadm "$1"
    need_room_for_copy
    upgrade apply -y "$1" || exit
    check_result "$1"
}
revert() { # VERSION: the control plane as its own declaration has it, by the kubeadm of that minor
    need_control_plane
    [ "$(minor_of "$(kubeadm_version)")" = "$(minor_of "$1")" ] ||
        refuse 70 "The installed kubeadm is '$(kubeadm_version)', not of the minor of $1: it would upgrade and not put back."
    need_room_for_copy
    upgrade apply -y "$1" || exit
    check_result "$1"
}
upgrade_node() { # ROLE VERSION
    # kubeadm takes a machine without this file for a worker, skips its control plane and exits 0.
    [ "$1" = worker ] || need_control_plane
    if [ "$1" = worker ] && [ -e "$MANIFESTS/kube-apiserver.yaml" ]; then
        refuse 70 "This machine was called a worker but has a control-plane manifest: correct the plan."
    fi
    need_kubeadm "$2"
    need_room_for_copy
    upgrade node || exit
    [ "$1" = worker ] && return 0
    if grep -q 'upgrade/control-plane\] Skipping phase' "$JOB/out"; then
        refuse 70 "kubeadm skipped the control plane of this control-plane machine: run 'repair', then try again."
    fi
    check_result "$2"
}
restart_kubelet() {
    systemctl daemon-reload && systemctl restart kubelet || exit
    [ "$(systemctl is-active kubelet)" = active ] || refuse 70 "The kubelet is not active after its restart: read its log."
    say "The kubelet was restarted."
}

# The target's images need the target's kubeadm, which is fetched but not installed yet: taken out of its package.
target_kubeadm() { # VERSION FOLDER
    if [ "$(kubeadm_version)" = "$1" ]; then command -v kubeadm; return; fi
    package=$(find "$ROOT/var/cache/apt/archives" -maxdepth 1 -name "kubeadm_${1#v}-*.deb" 2>/dev/null | sort | tail -n 1)
    [ -n "$package" ] || refuse 66 "The package of kubeadm $1 is not in apt's archives: run 'fetch' first."
    dpkg-deb -x "$package" "$2" >&2 || refuse 71 "$package could not be opened: run 'fetch' again."
    say "$2/usr/bin/kubeadm"
}
pull_images() { # VERSION
    folder=$(throw_away_folder) || exit
    trap 'rm -rf "$folder"' EXIT
    program=$(target_kubeadm "$1" "$folder") || exit
    socket=$(cri_socket)
    if write_configuration "$1" "$folder" && images=$("$program" config images list --config "$folder/kubeadm.yaml" 2>"$folder/why"); then
        set -- --config "$folder/kubeadm.yaml"   # kubeadm takes the socket from there as well, and no flag beside it
    else
        repository=$(usual_repository)
        say "[lockkeeper] what the cluster declares of its images cannot be used here ($(tail -n 1 "$folder/why" | one_line)): those of ${repository:-the default repository} are pulled"
        set -- --kubernetes-version "$1"
        [ -z "$repository" ] || set -- "$@" --image-repository "$repository"
        images=$("$program" config images list "$@") || exit
        set -- "$@" --cri-socket "$socket"
    fi
    is_control_plane || images=$(say "$images" | grep -E '/(kube-proxy|pause):')
    # Whoever brought them by hand may have no registry to ask, and kubeadm asks it for all of them.
    images=$(say "$images" | grep -vxF -e "$(images_here)")
    [ -n "$images" ] || { say "Every image is here."; return 0; }
    if is_control_plane; then
        "$program" config images pull "$@"
        return
    fi
    for image in $images; do
        pull_one "$image" || refuse 71 "The image $image could not be pulled: see the output above."
    done
}
# kubeadm reads the cluster's own configuration when it upgrades: its repository, and an etcd or a DNS of the owner's choice.
write_configuration() { # VERSION FOLDER
    conf=${ADMIN_CONF:-/etc/kubernetes/admin.conf}
    [ -r "$ROOT$conf" ] || conf=/etc/kubernetes/kubelet.conf   # a node may read this one object
    command -v kubectl >/dev/null 2>&1 || { say "kubectl is not installed" >"$2/why"; return 1; }
    timeout -k 1 20 kubectl --kubeconfig "$ROOT$conf" --cache-dir "$2/cache" --request-timeout 10s -n kube-system \
        get configmap kubeadm-config -o 'jsonpath={.data.ClusterConfiguration}' >"$2/declared" 2>"$2/why" || return 1
    grep -q '^kubernetesVersion:' "$2/declared" || { say "kubeadm-config declares no version" >"$2/why"; return 1; }
    sed "s/^kubernetesVersion:.*/kubernetesVersion: $1/" "$2/declared" >"$2/kubeadm.yaml" &&
        printf '\n---\n%s\nkind: InitConfiguration\nnodeRegistration:\n  criSocket: "%s"\n' \
            "$(grep '^apiVersion:' "$2/declared" | head -n 1)" "$socket" >>"$2/kubeadm.yaml"
}
usual_repository() { # of the settings, else where this machine's own images are from
    found=${IMAGE_REPOSITORY:-$(image_of kube-apiserver | sed -n 's#/kube-apiserver[:@].*##p')}
    [ -n "$found" ] || found=$(images_here | sed -n 's#^\(.*\)/kube-proxy:.*#\1#p' | head -n 1)
    say "$found"
}
pull_one() { # IMAGE
    say "[lockkeeper] pulling $1"
    if command -v crictl >/dev/null 2>&1; then timeout -k 1 1800 crictl -r "$socket" -i "$socket" pull "$1"
    else
        case $socket in *containerd*) ;; *) refuse 69 "crictl is not installed, and only that pulls into the runtime at $socket: install cri-tools." ;; esac
        command -v ctr >/dev/null 2>&1 || refuse 69 "Neither crictl nor ctr is installed: install cri-tools to pull images ahead."
        timeout -k 1 1800 ctr -a "${socket#unix://}" -n k8s.io images pull "$1"
    fi
}

etcd_container() { # that of the static pod, and not an etcd of somebody's application
    socket=$(cri_socket)
    if command -v crictl >/dev/null 2>&1; then
        container=$(within_look crictl -r "$socket" ps --name '^etcd$' --label io.kubernetes.pod.namespace=kube-system \
            --state Running -q 2>/dev/null | head -n 1)
    else container=$(etcd_of_containerd); fi
    [ -n "$container" ] && say "$container"
}
etcd_of_containerd() { # no package of Kubernetes brings crictl any more, and ctr comes with containerd
    command -v ctr >/dev/null 2>&1 || return 1
    case $socket in *containerd*) ;; *) return 1 ;; esac
    runs=$(within_look ctr -a "${socket#unix://}" -n k8s.io tasks list 2>/dev/null | awk '$3 == "RUNNING" { print $1 }')
    within_look ctr -a "${socket#unix://}" -n k8s.io containers list -q \
        'labels."io.kubernetes.container.name"==etcd,labels."io.kubernetes.pod.namespace"==kube-system' 2>/dev/null |
        grep -Fx -e "$runs" | head -n 1
}
in_container() { # CONTAINER WORDS…: followed by what runs a command in that container
    container=$1
    shift
    if command -v crictl >/dev/null 2>&1; then "$@" crictl -r "$(cri_socket)" exec "$container"
    else
        socket=$(cri_socket)
        "$@" ctr -a "${socket#unix://}" -n k8s.io tasks exec --exec-id "lockkeeper-$$" "$container"
    fi
}
has_etcdctl() { within_look "$@" etcdctl version >/dev/null 2>&1; } # RUNNER…
etcdctl_is_in() { in_container "$1" has_etcdctl; } # CONTAINER
snapshot_etcd() {
    [ -e "$MANIFESTS/etcd.yaml" ] || refuse 69 "This machine runs no etcd of kubeadm: take the snapshot where etcd runs."
    kept=$ROOT$SNAPSHOT_DIR/etcd-$ATTEMPT.db
    [ ! -s "$kept" ] || { tell_sum; say "The snapshot $SNAPSHOT_DIR/etcd-$ATTEMPT.db is there."; return 0; }
    # A folder that is there may be everybody's (/var/backups, say): it stays as it is, and the snapshot is private by itself.
    (umask 077 && mkdir -p "$ROOT$SNAPSHOT_DIR") || refuse 71 "$SNAPSHOT_DIR cannot be made: check the disk."
    data=$(etcd_flag data-dir /var/lib/etcd)
    drop_unfinished_snapshots
    size=$(kib_of "$ROOT$data/member/snap/db")
    size=${size:-0}
    # etcdctl in the container sees no other folder of the machine, and etcd goes on writing beside it meanwhile.
    need_room $((size * 3 / 2)) "$ROOT$data" "The snapshot, written beside etcd's data first,"
    need_room "$size" "$ROOT$SNAPSHOT_DIR" "The snapshot"
    if container=$(etcd_container) && etcdctl_is_in "$container"; then
        in_container "$container" snapshot_by "$data/lockkeeper-$ATTEMPT.db" '' timeout -k 1 1800
    elif command -v etcdctl >/dev/null 2>&1; then
        snapshot_by "$ROOT$data/lockkeeper-$ATTEMPT.db" "$ROOT" timeout -k 1 1800 env ETCDCTL_API=3   # before 3.4 it spoke the old one
    else
        refuse 69 "There is no etcdctl, neither in the etcd container nor on this machine: install etcd-client, or consent to go on without a snapshot."
    fi
    # Another disk makes a copy of this move: under its name there is a whole one only.
    mv -f "$ROOT$data/lockkeeper-$ATTEMPT.db" "$kept.part" && chmod 0600 "$kept.part" && sync "$kept.part" && mv -f "$kept.part" "$kept" ||
        refuse 71 "The snapshot could not be moved to $SNAPSHOT_DIR: check the disk."
    tell_sum
    say "The snapshot is $SNAPSHOT_DIR/etcd-$ATTEMPT.db, $(wc -c <"$kept") bytes$unverified."
}
tell_sum() { # by which it is recognized wherever it is copied to
    sum=$(sha256sum <"$kept") || refuse 71 "The snapshot cannot be read again: check the disk."
    say "[lockkeeper] snapshot of $(($(wc -c <"$kept"))) bytes, SHA-256 ${sum%% *}"
}
read_snapshot() { # ATTEMPT OFFSET: a piece of a finished snapshot; no path is ever given, and no link is followed
    [ "$SNAPSHOT_EXPORT" = yes ] || refuse 70 "SNAPSHOT_EXPORT=$SNAPSHOT_EXPORT in $CONF keeps snapshots on this machine: set it to yes there, or configure no store for them."
    kept=$ROOT$SNAPSHOT_DIR/etcd-$1.db
    only_ours "$kept" f || refuse 66 "There is no snapshot of the attempt $1 on this machine: take it with 'start'."
    size=$(($(wc -c <"$kept")))
    length=$((size - $2))
    [ "$length" -ge 0 ] || length=0
    [ "$length" -le 8388608 ] || length=8388608
    say "SNAPSHOT $size $length"
    [ "$length" -eq 0 ] || timeout -k 1 25 tail -c "+$(($2 + 1))" "$kept" 2>/dev/null | head -c "$length"
}
drop_unfinished_snapshots() { # of attempts that were killed: they lie in etcd's own data, and kubeadm would copy them
    find "$ROOT$data" -mindepth 1 -maxdepth 1 -type f -name 'lockkeeper-*.db*' 2>/dev/null | remove_each
    find "$ROOT$SNAPSHOT_DIR" -mindepth 1 -maxdepth 1 -type f -name 'etcd-op-*.db.part' 2>/dev/null | remove_each
}
snapshot_by() { # FILE PREFIX RUNNER…: paths are those that the runner sees
    file=$1 prefix=$2
    shift 2
    endpoint=$(etcd_flag listen-client-urls https://127.0.0.1:2379)
    "$@" etcdctl --endpoints "${endpoint%%,*}" --cacert "$prefix$(etcd_flag trusted-ca-file /etc/kubernetes/pki/etcd/ca.crt)" \
        --cert "$prefix$(etcd_flag cert-file /etc/kubernetes/pki/etcd/server.crt)" \
        --key "$prefix$(etcd_flag key-file /etc/kubernetes/pki/etcd/server.key)" snapshot save "$file" ||
        refuse 70 "The etcd snapshot failed: see the output above; nothing was changed."
    unverified=
    verify_snapshot "$file" "$@"
    case $? in
    0) return 0 ;;
    2) verify_snapshot "$ROOT$data/lockkeeper-$ATTEMPT.db" ;; # an image without etcdutl: this machine may have it
    *) false ;;
    esac
    case $? in
    0) ;;
    2) unverified=', not verified since there is no etcdutl; etcdctl found it whole while it came' ;;
    *)
        rm -f "$ROOT$data/lockkeeper-$ATTEMPT.db"
        refuse 70 "The etcd snapshot cannot be verified: see the output above; nothing was changed."
        ;;
    esac
}
verify_snapshot() { # FILE RUNNER…: 2 where there is no tool; etcdctl lost "snapshot status" in 3.6, etcdutl has it since 3.5
    seen=$1
    shift
    if "$@" etcdutl version >/dev/null 2>&1; then "$@" etcdutl snapshot status "$seen" -w json || return 1
    elif "$@" etcdctl snapshot status --help 2>/dev/null | grep -q 'snapshot status'; then
        "$@" etcdctl snapshot status "$seen" -w json || return 1
    else return 2; fi
}

repair() {
    if [ -n "$(dpkg_problem)" ]; then
        say "[lockkeeper] finishing the interrupted package work"
        patiently dpkg --configure -a --force-confdef --force-confold || exit
    fi
    is_control_plane || { say "Nothing else to repair."; return 0; }
    for component in $COMPONENTS; do
        [ -e "$MANIFESTS/$component.yaml" ] || restore_manifest "$component" || exit
    done
    say "Every manifest is in its place."
}
restore_manifest() { # COMPONENT
    if [ "$1" = etcd ] && etcd_is_elsewhere; then return 0; fi
    newest=$(find "$KUBE_TMP" -mindepth 2 -maxdepth 2 -path '*/kubeadm-backup-manifests-*' -name "$1.yaml" 2>/dev/null | sort | tail -n 1)
    [ -n "$newest" ] || refuse 66 "$1.yaml is missing and no kubeadm-backup-manifests folder has it: restore it by hand from another control plane."
    say "[lockkeeper] putting ${newest#"$ROOT"} back"
    # Copied beside, moved in: the kubelet must never see half a file, nor a second copy.
    cp -p "$newest" "$KUBE_TMP/.lockkeeper-$1.yaml" && mv -f "$KUBE_TMP/.lockkeeper-$1.yaml" "$MANIFESTS/$1.yaml" ||
        refuse 71 "$MANIFESTS/$1.yaml cannot be written: check the disk."
}
prune() { # the newest three of each kind stay
    data=$(etcd_flag data-dir /var/lib/etcd)
    drop_unfinished_snapshots
    for kind in kubeadm-backup-manifests kubeadm-backup-etcd kubeadm-kubelet-config kubeadm-upgraded-manifests; do
        find "$KUBE_TMP" -mindepth 1 -maxdepth 1 -type d -name "$kind*" -printf '%T@ %p\n' 2>/dev/null | newest_stay
    done
    find "$KUBE_TMP" -mindepth 1 -maxdepth 1 -type d -name 'kubeadm-upgrade-*dryrun*' 2>/dev/null | remove_each
    find "$ROOT$SNAPSHOT_DIR" -mindepth 1 -maxdepth 1 -name 'etcd-op-*.db' -printf '%T@ %p\n' 2>/dev/null | newest_stay
    tidy
}
newest_stay() { sort -rn | tail -n +4 | cut -d' ' -f2- | remove_each; } # by age: not every name has its time in it
tidy() { # what the attempts themselves left
    find "$STATE/tmp" -mindepth 1 -maxdepth 1 -mtime +1 2>/dev/null | remove_each
    # An attempt's record is what makes it run only once: it stays for a month.
    find "$JOBS" -mindepth 2 -maxdepth 2 -name rc -mtime +30 2>/dev/null | sed 's#/rc$##' | remove_each
}
remove_each() {
    while read -r path; do
        say "[lockkeeper] removing ${path#"$ROOT"}"
        rm -rf -- "$path"
    done
}
restart_machine() { # its end is another boot than the one that is told here
    before=$(boot_id)
    [ "$before" != unknown ] || refuse 66 "The boot id of this machine cannot be read, so that nobody could tell when it is back."
    say "[lockkeeper] rebooting from boot $before"
    sync "$JOB/out"
    trap '' TERM   # everything gets it when the machine goes down, and this would end as if it had failed
    if command -v systemctl >/dev/null 2>&1; then systemctl reboot; else reboot; fi
}
