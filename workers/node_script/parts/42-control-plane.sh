# ---- the control plane: its etcd, its certificates, its manifests against those that kubeadm would write

json_fact() { # KEY SED-SCRIPT COMMAND…: its JSON on one line, picked out from among the warnings that tools mix in
    key=$1 picked=$2
    shift 2
    answer=$(within_look "$@" 2>&1)
    code=$?
    json=$(say "$answer" | sed -n "$picked")
    # shellcheck disable=SC2086 # split on purpose, and no name is expanded
    if [ -n "$json" ]; then long "$key" $json; return; fi
    unreadable "$key" "$(why "$answer" "$code")"
    return 1
}

observe_etcd() { # WHERE-ETCDCTL-IS
    [ -e "$MANIFESTS/etcd.yaml" ] || return 0
    say "etcd-quota $(etcd_flag quota-backend-bytes 0)"
    case $1 in
        container) in_container "$container" ask_etcd '' ;;
        host) ask_etcd "$ROOT" env ETCDCTL_API=3 ;;   # before 3.4 it spoke the old one
        *) read_etcd_metrics ;;
    esac
}
ask_etcd() { # PREFIX RUNNER…: paths are those that the runner sees
    prefix=$1
    shift
    ca=$(etcd_flag trusted-ca-file /etc/kubernetes/pki/etcd/ca.crt)
    user=${ca%/*}/healthcheck-client   # made by kubeadm for just this
    [ -e "$ROOT$user.crt" ] || user=${ca%/*}/server
    endpoint=$(etcd_flag listen-client-urls https://127.0.0.1:2379)
    set -- "$@" etcdctl --endpoints "${endpoint%%,*}" --cacert "$prefix$ca" --cert "$prefix$user.crt" --key "$prefix$user.key" \
        --dial-timeout 2s --command-timeout 2s
    ! json_fact etcd-status '/^\[{"Endpoint"/p' "$@" endpoint status -w json || ask_members "$@"
}
ask_members() { # ETCDCTL with its options
    # Without a quorum neither of these is answered: once is enough to wait for that.
    json_fact etcd-members '/^{"header"/p' "$@" member list -w json || return 0
    if alarms=$(within_look "$@" alarm list 2>&1); then
        say "$alarms" | sed -n 's/^memberID:\([0-9]*\) alarm:\([A-Z]*\).*/etcd-alarm \1 \2/p'
    else unreadable etcd-alarms "$(why "$alarms" "$?")"; fi
}
read_etcd_metrics() { # without etcdctl: what etcd tells at its metrics address, which asks for no certificate
    url=$(etcd_flag listen-metrics-urls http://127.0.0.1:2381)
    url=${url%%,*}
    health=$(read_local "$url/health" | one_line)
    if [ -z "$health" ]; then
        unreadable etcd-status "there is no etcdctl on this machine, and $url/health could not be read"
        return
    fi
    say "etcd-health $health"
    read_local "$url/metrics" |
        grep -E '^etcd_(server_(has_leader|is_leader|is_learner|quota_backend_bytes|version|id)|mvcc_db_total_size_in_(use_in_)?bytes)[ {]' |
        sed 's/^/etcd-metric /'
}
read_local() { # URL of this machine itself
    if command -v curl >/dev/null 2>&1; then within_look curl -q -s --max-time 2 -- "$1"
    elif command -v wget >/dev/null 2>&1; then within_look wget -q -O - -- "$1"; fi 2>/dev/null
}

observe_certificates() {
    if [ -e "$MANIFESTS/kube-apiserver.yaml" ] && command -v kubeadm >/dev/null 2>&1; then
        json_fact certificates '/^{$/,/^}$/p' kubeadm certs check-expiration -o json
    fi
    # kubeadm leaves out the kubelet's own, which renews itself as long as the kubelet runs.
    own=$ROOT/var/lib/kubelet/pki/kubelet-client-current.pem
    [ -e "$own" ] || return 0
    if ! command -v openssl >/dev/null 2>&1; then unreadable kubelet-certificate "openssl is not installed"
    elif answer=$(within_look openssl x509 -noout -dates -in "$own" 2>&1); then
        say "$answer" | sed -n -e 's/^notBefore=/kubelet-certificate since /p' -e 's/^notAfter=/kubelet-certificate until /p'
    else unreadable kubelet-certificate "$(why "$answer" "$?")"; fi
}

# What kubeadm would write otherwise than it is, at the version that the cluster declares. A kubeadm of another minor
# than this control plane writes another text anyway.
observe_drift() {
    version=$kubeadm_says
    minor=$(minor_of "${version:-none}")
    ours=
    for component in kube-apiserver kube-controller-manager; do
        tag=$(image_of "$component")
        [ "$(minor_of "${tag##*:}")" != "$minor" ] || ours=yes
    done
    [ -n "$ours" ] || return 0
    set -- kubeadm upgrade diff
    [ -z "$ADMIN_CONF" ] || set -- "$@" --kubeconfig "$ROOT$ADMIN_CONF"
    answer=$(within_look "$@" 2>&1) || { unreadable drift "$(why "$answer" "$?")"; return; }
    say "drift-by $version"
    # Values of the environment, and logins in addresses, may be secrets.
    say "$answer" | awk '
        /^--- \// { file = $2; sub(/.*\//, "", file); sub(/\.yaml$/, "", file); next }
        /^\+\+\+ / || file == "" || !/^[-+]/ { next }
        {
            gsub(/:\/\/[^\/@ ]*@/, "://***@")
            sub(/value:.*/, "value: ***")
            if (!(file in lines)) order[++files] = file
            if (++lines[file] <= 6) print "drift-line", file, substr($0, 1, 200)
        }
        END { for (i = 1; i <= files; i++) print "drift", order[i], lines[order[i]] }'
}
