# ---- the kubelet's settings and the container runtime below it

KUBELET_CONFIG=$ROOT/var/lib/kubelet/config.yaml

# Every other place that gives the kubelet arguments: drop-ins of the owner, and the files that any drop-in or unit reads.
observe_kubelet_arguments() {
    units=$ROOT/etc/systemd/system/kubelet.service.d
    find "$units" -maxdepth 1 -name '*.conf' 2>/dev/null | sort | while read -r path; do arguments_in "$path"; done
    find "$units" "$ROOT/etc/systemd/system/kubelet.service" "$ROOT/usr/lib/systemd/system/kubelet.service" "$ROOT/lib/systemd/system/kubelet.service" \
        "$ROOT/usr/lib/systemd/system/kubelet.service.d" "$ROOT/lib/systemd/system/kubelet.service.d" -type f 2>/dev/null |
        while read -r path; do sed -n 's/^EnvironmentFile=-\{0,1\}\(\/[^[:space:]]*\)[[:space:]]*$/\1/p' "$path"; done | sort -u |
        while read -r file; do
            case $file in /var/lib/kubelet/kubeadm-flags.env | /etc/default/kubelet) ;; *) [ ! -r "$ROOT$file" ] || arguments_in "$ROOT$file" ;; esac
        done
}
arguments_in() { # FILE: what looks like a flag there, comments left out
    found=$(grep -v '^[[:space:]]*[#;]' "$1" 2>/dev/null | tr -s "\"'[:space:]" '\n' | sed -n 's/^[A-Za-z_=]*=\(--\)/\1/; /^--[a-z]/p')
    [ -z "$found" ] || say "kubelet-arguments ${1#"$ROOT"} $(say "$found" | whole_line)"
}
observe_kubelet_config() {
    [ -r "$KUBELET_CONFIG" ] || { unreadable kubelet-config "/var/lib/kubelet/config.yaml cannot be read"; return; }
    say kubelet-config read
    awk '
        { sub(/[ \t]#.*/, "") }
        /^featureGates:/ {
            inside = 1
            sub(/^featureGates:[ \t]*/, "")
            gsub(/[{}" \t]/, "")
            count = split($0, gates, ",")
            for (i = 1; i <= count; i++) if (sub(/:/, "=", gates[i])) print "feature-gate", gates[i]
            next
        }
        /^[^ \t#]/ { inside = 0 }
        /^[A-Za-z][A-Za-z0-9]*:[ \t]+[^ \t|>&*{[]/ { # of one word; lists and sections are left out
            name = $1
            sub(/:.*/, "", name)
            sub(/^[^:]*:[ \t]+/, "")
            sub(/[ \t]+$/, "")
            gsub(/^["'\'']|["'\'']$/, "")
            print "kubelet-setting", name "=" $0
            next
        }
        inside && /:/ { gsub(/[" \t]/, ""); sub(/:/, "="); print "feature-gate", $0 }' "$KUBELET_CONFIG"
}
# Where the kubelet is told its runtime: flags win over the configuration, and the owner's come last.
runtime_endpoint() {
    found=$(sed -n 's/^[A-Z_]*=.*--container-runtime-endpoint[= ]\([^"'\''[:space:]]*\).*/\1/p' \
        "$ROOT/var/lib/kubelet/kubeadm-flags.env" "$ROOT/etc/default/kubelet" 2>/dev/null | tail -n 1)
    for file in "$KUBELET_CONFIG" "$ROOT/var/lib/kubelet/instance-config.yaml"; do
        [ -n "$found" ] || found=$(sed -n 's/^containerRuntimeEndpoint:[[:space:]]*["'\'']\{0,1\}\([^"'\''[:space:]]*\).*/\1/p' "$file" 2>/dev/null)
    done
    say "$found"
}
# The runtime that the kubelet uses, for those who would guess among several: the kubelet's own default where it is told none.
cri_socket() {
    endpoint=$(runtime_endpoint)
    case ${endpoint:=unix:///run/containerd/containerd.sock} in
        /*) say "unix://$endpoint" ;;
        *) say "$endpoint" ;;
    esac
}
observe_runtime() {
    say "runtime-endpoint $(runtime_endpoint)"
    if command -v crictl >/dev/null 2>&1 && answer=$(within_look crictl -r "$(cri_socket)" version 2>/dev/null) && [ -n "$answer" ]; then
        say "$answer" | awk '$1 == "RuntimeName:" { name = $2 } $1 == "RuntimeVersion:" { print "runtime", name, $2 }'
    elif command -v containerd >/dev/null 2>&1 && answer=$(within_look containerd --version 2>/dev/null); then
        say "$answer" | awk 'NR == 1 { print "runtime containerd", $3 }'
    elif command -v crio >/dev/null 2>&1 && answer=$(within_look crio --version 2>/dev/null); then
        say "$answer" | awk '/^crio version/ { print "runtime cri-o", $3 }'
    else unreadable runtime "neither crictl, containerd nor crio told its version"; fi
    sed -n 's/^[[:space:]]*sandbox\(_image\)\{0,1\}[[:space:]]*=[[:space:]]*["'\'']\([^"'\'']*\)["'\''].*/sandbox-image \2/p' \
        "$ROOT/etc/containerd/config.toml" 2>/dev/null | head -n 1
}
