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
    # shellcheck disable=SC2086 # split on purpose, and no name is expanded
    [ -z "$found" ] || long kubelet-arguments "${1#"$ROOT"}" $found
}
observe_kubelet_config() {
    [ -r "$KUBELET_CONFIG" ] || { unreadable kubelet-config "/var/lib/kubelet/config.yaml cannot be read"; return; }
    say kubelet-config read
    awk "$BY_PATH" "$KUBELET_CONFIG"
}
# Every word of a configuration by its path: `evictionHard.memory.available`; what a list holds by its number. Texts of
# several lines, anchors, and brackets within brackets are left out; so are headers, which may hold a password.
BY_PATH='
    function unquoted(text) { gsub(/^["'\'']|["'\'']$/, "", text); return text }
    function trimmed(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
    function place(  i, all) { for (i = 1; i <= depth; i++) all = all (i > 1 ? "." : "") name[i]; return all }
    function told(path, value) {
        if (value == "null" || value == "~" || path ~ /^staticPodURLHeader\./) return
        if (sub(/^featureGates\./, "", path)) print "feature-gate", path "=" unquoted(value)
        else print "kubelet-setting", path "=" unquoted(value)
    }
    function within(path, text,  list, count, parts, i, colon) { # [a, b] or {a: 1, b: 2} in one line
        list = text ~ /^\[/
        text = substr(text, 2, length(text) - 2)
        if (text ~ /[][{}]/) return
        count = split(text, parts, ",")
        for (i = 1; i <= count; i++) {
            parts[i] = trimmed(parts[i])
            colon = index(parts[i], ":")
            if (parts[i] == "") continue
            if (list) told(path "." i - 1, parts[i])
            else if (colon) told(path "." unquoted(trimmed(substr(parts[i], 1, colon - 1))), trimmed(substr(parts[i], colon + 1)))
        }
    }
    { sub(/[ \t]#.*/, ""); sub(/[ \t]+$/, "") }
    /^[ \t]*(#|$)/ || /^---/ || /^\t/ { next }
    {
        indent = match($0, /[^ ]/) - 1
        text = substr($0, indent + 1)
        if (is_text && indent > text_at) next
        is_text = 0
        while (text == "-" || text ~ /^- /) {
            while (depth && (at[depth] > indent || (at[depth] == indent && is_item[depth]))) depth--
            number = seen[place()]++
            depth++; at[depth] = indent; name[depth] = number; is_item[depth] = 1
            text = substr(text, 2)
            indent += match(text, /[^ ]/)
            text = trimmed(text)
        }
        if (text == "") next
        if (text ~ /^[&*!|>]/) next
        if (text !~ /^("[^"]*"|'\''[^'\'']*'\''|[^] "{}[]+):( |$)/) {
            if (depth && is_item[depth]) { if (text ~ /^[[{]/) within(place(), text); else told(place(), text) }
            next
        }
        while (depth && at[depth] >= indent) depth--
        match(text, /:( |$)/)
        value = trimmed(substr(text, RSTART + 1))
        depth++; at[depth] = indent; name[depth] = unquoted(substr(text, 1, RSTART - 1)); is_item[depth] = 0
        if (value ~ /^[|>]/) { is_text = 1; text_at = indent }
        else if (value ~ /^[[{]/) within(place(), value)
        else if (value != "" && value !~ /^[&*!]/) told(place(), value)
    }'
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
    endpoint=${KNOWN_ENDPOINT-$(runtime_endpoint)}
    case ${endpoint:=unix:///run/containerd/containerd.sock} in
        /*) say "unix://$endpoint" ;;
        *) say "$endpoint" ;;
    esac
}
observe_runtime() {
    KNOWN_ENDPOINT=$(runtime_endpoint)
    say "runtime-endpoint $KNOWN_ENDPOINT"
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
