# ---- an etcd that is not kubeadm's own: each endpoint by itself, asked as this machine's API server asks it

observe_outside_etcd() {
    [ -e "$MANIFESTS/kube-apiserver.yaml" ] && [ ! -e "$MANIFESTS/etcd.yaml" ] && etcd_is_elsewhere || return 0
    servers=$(flag_of kube-apiserver etcd-servers)
    [ -n "$servers" ] || return 0
    say "etcd-servers $servers"
    set --
    for pair in cacert:etcd-cafile cert:etcd-certfile key:etcd-keyfile; do
        file=$(flag_of kube-apiserver "${pair#*:}")
        [ -z "$file" ] || set -- "$@" "--${pair%%:*}" "$ROOT$file"
    done
    if command -v etcdctl >/dev/null 2>&1; then ask_outside_by_etcdctl "$@"
    elif command -v curl >/dev/null 2>&1; then ask_outside_by_curl "$@"
    else for endpoint in $(say "$servers" | tr ',' ' '); do unreadable "outside-etcd $endpoint" "neither etcdctl nor curl is installed"; done; fi
}
ask_outside_by_etcdctl() { # OPTIONS of its TLS
    set -- env ETCDCTL_API=3 etcdctl "$@" --dial-timeout 2s --command-timeout 2s   # before 3.4 it spoke the old one
    answered=
    for endpoint in $(say "$servers" | tr ',' ' '); do
        json_fact "outside-etcd $endpoint" '/^\[{"Endpoint"/p' "$@" --endpoints "$endpoint" endpoint status -w json && answered=$endpoint
    done
    [ -z "$answered" ] || ask_members "$@" --endpoints "$answered"
}
ask_outside_by_curl() { # OPTIONS of its TLS: its own gateway speaks JSON
    set -- curl -q -sS -f --max-time 3 "$@"
    answered=
    for endpoint in $(say "$servers" | tr ',' ' '); do
        json_fact "outside-etcd $endpoint" '/^{"header"/p' "$@" -d '{}' "$endpoint/v3/maintenance/status" && answered=$endpoint
    done
    [ -n "$answered" ] || return 0
    json_fact etcd-members '/^{"header"/p' "$@" -d '{}' "$answered/v3/cluster/member/list" || return 0
    if alarms=$(within_look "$@" -d '{"action":"GET"}' "$answered/v3/maintenance/alarm" 2>&1); then
        say "$alarms" | tr '{' '\n' | sed -n 's/^"memberID":"\([0-9]*\)","alarm":"\([A-Z]*\)".*/etcd-alarm \1 \2/p'
    else unreadable etcd-alarms "$(why "$alarms" "$?")"; fi
}
