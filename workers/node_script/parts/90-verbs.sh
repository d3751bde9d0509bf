# ---- verbs

check_action() { # VERB ARGS…
    verb=$1
    shift
    case $verb in
        hold | unhold | restart-kubelet | snapshot-etcd | repair | prune | reboot) count 0 $# "start ID FENCE $verb" ;;
        fetch | install-kubeadm | install-kubelet | roll-back-kubelet)
            count 1 $# "start ID FENCE $verb PACKAGE-VERSION"
            check_package_version "$1" ;;
        pull-images | plan | apply | revert)
            count 1 $# "start ID FENCE $verb VERSION"
            check_version "$1" ;;
        set-source)
            count 1 $# "start ID FENCE set-source MINOR"
            check_minor "$1" ;;
        hook)
            count 4 $# "start ID FENCE hook NAME MOMENT VERSION SECONDS"
            check_hook "$1"
            check_moment "$2"
            check_version "$3"
            check_number "$4" 'number of seconds' ;;
        upgrade-node)
            count 2 $# "start ID FENCE upgrade-node ROLE VERSION"
            check_role "$1"
            check_version "$2" ;;
        *) refuse 64 "'$verb' is not something that start can do: see the verbs in this script." ;;
    esac
}
act() { # VERB ARGS…
    verb=$1
    shift
    case $verb in
        hold) hold ;;
        unhold) unhold ;;
        fetch) fetch "$1" ;;
        pull-images) pull_images "$1" ;;
        set-source) set_source "$1" ;;
        install-kubeadm) install_kubeadm "$1" ;;
        plan) plan "$1" ;;
        apply) apply "$1" ;;
        upgrade-node) upgrade_node "$1" "$2" ;;
        install-kubelet) install_kubelet "$1" ;;
        restart-kubelet) restart_kubelet ;;
        snapshot-etcd) snapshot_etcd ;;
        repair) repair ;;
        prune) prune ;;
        reboot) restart_machine ;;
        hook) run_hook "$1" "$2" "$3" "$4" ;;
        roll-back-kubelet) roll_back_kubelet "$1" ;;
        revert) revert "$1" ;;
        *) refuse 64 "'$verb' is not something that start can do: see the verbs in this script." ;;
    esac
}
main() {
    [ $# -gt 0 ] || refuse 64 "No verb was given: begin with 'version' or 'observe'."
    verb=$1
    shift
    case $verb in
        version) count 0 $# version; say "lockkeeper-node $PROTOCOL" ;;
        observe)
            [ "$*" = briefly ] || count 0 $# 'observe [briefly]'
            load_settings
            observe "$@" ;;
        offers)
            [ $# -gt 0 ] || refuse 64 "Wrong number of arguments: the usage is 'offers MINOR…'."
            for minor in "$@"; do check_minor "$minor"; done
            load_settings
            offers "$@" ;;
        images)
            count 4 $# 'images VERSION ETCD-TAG COREDNS-TAG PAUSE-TAG'
            check_version "$1"
            for tag in "$2" "$3" "$4"; do check_tag "$tag"; done
            load_settings
            images "$@" ;;
        diff) count 0 $# diff; read_kubeadm upgrade diff ;;
        certs) count 0 $# certs; read_kubeadm certs check-expiration -o json ;;
        logs) count 1 $# 'logs UNIT'; check_unit "$1"; show_log "$1" ;;
        list) count 0 $# list; list ;;
        poll)
            [ $# -eq 3 ] || count 2 $# 'poll ID OFFSET [SECONDS]'
            check_id "$1"
            check_number "$2" offset
            check_number "${3:-0}" 'number of seconds'
            [ "${3:-0}" -le "$LONGEST_POLL" ] || refuse 64 "A poll waits for $LONGEST_POLL s at most: ask again after it."
            poll "$1" "$2" "${3:-0}" ;;
        snapshot)
            count 2 $# 'snapshot ID OFFSET'
            check_id "$1"
            check_number "$2" offset
            load_settings
            read_snapshot "$1" "$2" ;;
        start)
            [ $# -ge 3 ] || refuse 64 "Wrong number of arguments: the usage is 'start ID FENCE VERB ARGS…'."
            check_id "$1"
            check_number "$2" fence
            (shift 2; check_action "$@") || exit
            start "$@" ;;
        supervise) count 1 $# 'supervise ID'; check_id "$1"; supervise "$1" ;;
        *) refuse 64 "'$verb' is not a verb of lockkeeper-node: begin with 'version' or 'observe'." ;;
    esac
}
main "$@"
