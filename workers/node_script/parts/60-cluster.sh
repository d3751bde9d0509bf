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
# kubeadm and its flags from the settings: where the administrator's file and the patches are.
upgrade() { # ARGS…
    [ -z "$ADMIN_CONF" ] || set -- "$@" --kubeconfig "$ROOT$ADMIN_CONF"
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

plan() { # VERSION
    need_control_plane
    need_kubeadm "$1"
    upgrade plan "$1"
}
apply() { # VERSION
    need_control_plane
    need_kubeadm "$1"
    upgrade apply -y "$1" || exit
    check_result "$1"
}
revert() { # VERSION: the control plane as its own declaration has it, by the kubeadm of that minor
    need_control_plane
    [ "$(minor_of "$(kubeadm_version)")" = "$(minor_of "$1")" ] ||
        refuse 70 "The installed kubeadm is '$(kubeadm_version)', not of the minor of $1: it would upgrade and not put back."
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
    repository=$IMAGE_REPOSITORY
    if [ -z "$repository" ]; then
        repository=$(image_of kube-apiserver)
        repository=${repository%/kube-apiserver*}
    fi
    set -- --kubernetes-version "$1"
    [ -z "$repository" ] || set -- "$@" --image-repository "$repository"
    if is_control_plane; then
        "$program" config images pull "$@"
        return
    fi
    images=$("$program" config images list "$@") || exit
    for image in $images; do
        case $image in */kube-proxy:* | */pause:*) pull_one "$image" || refuse 71 "The image $image could not be pulled: see the output above." ;; esac
    done
}
pull_one() { # IMAGE
    say "[lockkeeper] pulling $1"
    if command -v crictl >/dev/null 2>&1; then crictl pull "$1"
    elif command -v ctr >/dev/null 2>&1; then ctr -n k8s.io images pull "$1"
    else refuse 69 "Neither crictl nor ctr is installed: install cri-tools to pull images ahead."; fi
}

etcd_container() {
    command -v crictl >/dev/null 2>&1 || return 1
    container=$(crictl ps --name '^etcd$' --state Running -q 2>/dev/null | head -n 1)
    [ -n "$container" ] && say "$container"
}
snapshot_etcd() {
    [ -e "$MANIFESTS/etcd.yaml" ] || refuse 69 "This machine runs no etcd of kubeadm: take the snapshot where etcd runs."
    [ ! -s "$ROOT$SNAPSHOT_DIR/etcd-$ATTEMPT.db" ] || { say "The snapshot $SNAPSHOT_DIR/etcd-$ATTEMPT.db is there."; return 0; }
    mkdir -p "$ROOT$SNAPSHOT_DIR" && chmod 0700 "$ROOT$SNAPSHOT_DIR" || refuse 71 "$SNAPSHOT_DIR cannot be written: check the disk."
    data=$(etcd_flag data-dir /var/lib/etcd)
    if container=$(etcd_container) && crictl exec "$container" etcdctl version >/dev/null 2>&1; then
        snapshot_by "$data/lockkeeper-$ATTEMPT.db" '' crictl exec "$container"
    elif command -v etcdctl >/dev/null 2>&1; then
        snapshot_by "$ROOT$data/lockkeeper-$ATTEMPT.db" "$ROOT"
    else
        refuse 69 "There is no etcdctl, neither in the etcd container nor on this machine: install etcd-client, or consent to go on without a snapshot."
    fi
    mv -f "$ROOT$data/lockkeeper-$ATTEMPT.db" "$ROOT$SNAPSHOT_DIR/etcd-$ATTEMPT.db" || refuse 71 "The snapshot could not be moved to $SNAPSHOT_DIR: check the disk."
    say "The snapshot is $SNAPSHOT_DIR/etcd-$ATTEMPT.db, $(wc -c <"$ROOT$SNAPSHOT_DIR/etcd-$ATTEMPT.db") bytes$unverified."
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
    if "$@" etcdutl version >/dev/null 2>&1; then "$@" etcdutl snapshot status "$seen" -w table || return 1
    elif "$@" etcdctl snapshot status --help 2>/dev/null | grep -q 'snapshot status'; then
        "$@" etcdctl snapshot status "$seen" -w table || return 1
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
    for kind in kubeadm-backup-manifests kubeadm-backup-etcd kubeadm-kubelet-config kubeadm-upgraded-manifests; do
        find "$KUBE_TMP" -mindepth 1 -maxdepth 1 -type d -name "$kind*" 2>/dev/null | sort -r | tail -n +4 | remove_each
    done
    find "$KUBE_TMP" -mindepth 1 -maxdepth 1 -type d -name 'kubeadm-upgrade-*dryrun*' 2>/dev/null | remove_each
    find "$ROOT$SNAPSHOT_DIR" -mindepth 1 -maxdepth 1 -name 'etcd-*.db' -printf '%T@ %p\n' 2>/dev/null | sort -rn | tail -n +4 | cut -d' ' -f2- | remove_each
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
restart_machine() {
    if command -v systemctl >/dev/null 2>&1; then systemctl reboot; else reboot; fi
}
