# ---- images: which ones an upgrade needs, which are here, and which are on offer; nothing is pulled

images() { # VERSION ETCD-TAG COREDNS-TAG PAUSE-TAG; - for one that is not wanted, or not known
    folder=$(throw_away_folder) || exit
    trap 'rm -rf "$folder"' EXIT
    socket=$(cri_socket)
    if write_configuration "$1" "$folder"; then
        images_here >"$folder/here" || say "images-here unknown"
        proxies=$(runtime_proxies)
        hosts_folders=$(folders_of_hosts)
        refused='' known_host=
        needed_images "$@" >"$folder/needed"
        while read -r image; do tell_image "$image"; done <"$folder/needed"
    else say "images-unread $(one_line <"$folder/why")"; fi
    say end images
}
needed_images() { # VERSION ETCD-TAG COREDNS-TAG PAUSE-TAG, as kubeadm names them
    usual=$(declared_repository '')
    say "$usual/kube-proxy:$1"
    [ "$4" = - ] || say "$usual/pause:$4"
    is_control_plane || return 0
    for component in kube-apiserver kube-controller-manager kube-scheduler; do say "$usual/$component:$1"; done
    [ "$2" = - ] || say "$(declared_repository etcd)/etcd:$2"
    [ "$3" != - ] || return 0
    dns=$(declared_repository dns)
    [ "$dns" != registry.k8s.io ] || dns=$dns/coredns   # renamed there, and there alone
    say "$dns/coredns:$3"
}
declared_repository() { # PART of kubeadm-config that may have one of its own
    awk -v part="$1" '
        /^[^ #-]/ { top = $1; sub(/:.*/, "", top) }
        $1 == "imageRepository:" {
            gsub(/["'\'']/, "", $2)
            if (/^imageRepository/) usual = $2
            else if (top == part) own = $2
        }
        END {
            found = own != "" ? own : usual
            sub(/\/+$/, "", found)
            if (found == "" || found == "k8s.gcr.io") found = "registry.k8s.io" # kubeadm itself moves on from that one
            print found
        }' "$folder/declared"
}
images_here() { # by name and tag; fails where no tool tells
    if command -v crictl >/dev/null 2>&1; then
        rows=$(within_look crictl -r "$socket" -i "$socket" images 2>/dev/null) && say "$rows" | awk 'NR > 1 { print $1 ":" $2 }'
    elif command -v ctr >/dev/null 2>&1; then
        within_look ctr -a "${socket#unix://}" -n k8s.io images ls -q 2>/dev/null
    else false; fi
}
tell_image() { # IMAGE
    if grep -qxF -e "$1" "$folder/here"; then say "image present $1"; return; fi
    host=${1%%/*}
    [ "$host" = "$known_host" ] || other=$(asked_instead "$host") known_host=$host
    if ! matches "$1" '[A-Za-z0-9.-]+(:[0-9]+)?/[A-Za-z0-9._/-]+:[A-Za-z0-9._-]+' || ! matches "$host" '.*[.:].*|localhost'; then
        say "image unknown $1 it names no registry to ask"
    elif ! command -v curl >/dev/null 2>&1; then say "image unknown $1 curl is not installed"
    elif [ -z "$other" ]; then ask_registry "$1"
    elif is_in_use "$other"; then ask_hosts "$1" "$other"
    else say "image unknown $1 the runtime may ask another registry for it, by ${other#"$ROOT"}"; fi
}
# What makes the runtime ask somebody else than the registry of the name: hosts.toml, mirrors in its own settings.
asked_instead() { # HOST
    case $socket in
    *containerd*)
        for place in $hosts_folders /etc/containerd/certs.d /etc/docker/certs.d; do
            for name in "$(say "$1" | sed 's/:\([0-9]*\)$/_\1_/')" "$1" _default; do
                [ ! -e "$ROOT$place/$name/hosts.toml" ] || { say "$ROOT$place/$name/hosts.toml"; return; }
            done
        done
        grep -rlE 'registry\.(mirrors|configs)\.' "$ROOT/etc/containerd" 2>/dev/null | sort | head -n 1 ;;
    *) grep -rlE '^[[:space:]]*\[\[registry' "$ROOT/etc/containers/registries.conf" "$ROOT/etc/containers/registries.conf.d" 2>/dev/null | sort | head -n 1 ;;
    esac
}
folders_of_hosts() { # as containerd's settings name them; without one it reads none, or those of its own release
    grep -rhE '^[[:space:]]*config_path[[:space:]]*=' "$ROOT/etc/containerd" 2>/dev/null | sed 's/^[^"'\'']*["'\'']\([^"'\'']*\)["'\''].*/\1/' | tr ':' '\n'
}
is_in_use() { # FILE
    for place in $hosts_folders; do case $1 in "$ROOT$place"/*/hosts.toml) return 0 ;; esac; done
    return 1
}
# Whoever is asked by a hosts.toml, in its order, and the registry itself where it names no other server: BASE CA SKIPS-VERIFICATION.
# One with settings that only the runtime can use (a client's certificate, headers, its own proxy) is left out.
hosts_in() { # FILE HOST
    awk -v usual="https://$2" '
        function value(text) {
            sub(/^[^=]*=[ \t]*/, "", text)
            sub(/[ \t]*(#[^"]*)?$/, "", text)
            gsub(/^["'\'']|["'\'']$/, "", text)
            return text
        }
        function tell(n, base) {
            sub(/\/+$/, "", base)
            if (!own_path[n] && base !~ /^https?:\/\/[^\/]+(\/.*)?\/v2$/) base = base "/v2"
            if (!strange[n]) print base, ca[n] == "" ? "-" : ca[n], skips[n] + 0
        }
        /^[ \t]*(#|$)/ { next }
        /^[ \t]*\[host\.["'\''][^"'\'']*["'\'']\]/ { url[++hosts] = $0; sub(/^[^"'\'']*["'\'']/, "", url[hosts]); sub(/["'\''].*/, "", url[hosts]); next }
        /^[ \t]*\[/ { strange[hosts + 0] = 1; next }
        { key = $0; sub(/[ \t]*=.*/, "", key); sub(/^[ \t]+/, "", key) }
        key == "server" && hosts == 0 { usual = value($0); next }
        key == "capabilities" { if (!/resolve/ || !/pull/) strange[hosts + 0] = 1; next }
        key == "ca" && /=[ \t]*["'\'']/ { ca[hosts + 0] = value($0); next }
        key == "skip_verify" { skips[hosts + 0] = /true/; next }
        key == "override_path" { own_path[hosts + 0] = /true/; next }
        key == "dial_timeout" { next }
        { strange[hosts + 0] = 1 }
        END {
            for (n = 1; n <= hosts; n++) tell(n, url[n])
            tell(0, usual)
        }' "$1"
}
ask_hosts() { # IMAGE FILE: one that has it is enough; that none of them has it proves nothing, as each may be asked otherwise
    image=$1 file=$2 path=${1#*/} said=
    hosts_in "$file" "$host" >"$folder/hosts"
    while read -r base ca skips; do
        url=$base/${path%:*}/manifests/${path##*:}
        [ "$base" = "https://$host/v2" ] || url="$url?ns=$host"
        set --
        case $ca in -) ;; /*) set -- --cacert "$ROOT$ca" ;; *) set -- --cacert "${file%/*}/$ca" ;; esac
        [ "$skips" -eq 0 ] || set -- "$@" -k
        probe "$base" --proto =https,http "$@"
        [ "$code" != 200 ] || { say "image offered $image"; return; }
        said="$said, $base $(why_not)"
    done <"$folder/hosts"
    say "image unknown $image by ${file#"$ROOT"}: ${said#, }"
}
runtime_proxies() { # as its service has them: what it pulls goes that way
    case $socket in *crio*) unit=crio ;; *) unit=containerd ;; esac
    within_look systemctl show "$unit" -p Environment 2>/dev/null | sed 's/^Environment=//' | tr -d '"' | tr ' ' '\n' |
        grep -E '^(HTTPS_PROXY|https_proxy|NO_PROXY|no_proxy)=[^[:space:]]*$'
}
MANIFEST_TYPES='application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json'
ask_registry() { # IMAGE
    path=${1#*/}
    case $host in docker.io) at=registry-1.docker.io ;; *) at=$host ;; esac
    url=https://$at/v2/${path%:*}/manifests/${path##*:}
    probe "$host" --proto =https
    case $code in
        200) say "image offered $1"; return ;;
        404)   # of anybody on the way, unless it says so in a registry's own words
            read_registry --proto =https "$url" >/dev/null
            if grep -Eq '"(MANIFEST_UNKNOWN|NAME_UNKNOWN|NOT_FOUND)"' "$folder/answer"; then say "image absent $1"; return; fi ;;
    esac
    say "image unknown $1 $host $(why_not)"
}
probe() { # WHO OPTIONS…: the code that the url has there; of one that did not answer once nobody waits for the next answer
    who=$1
    shift
    case " $refused " in *" $who "*) code=silent; return ;; esac
    true >"$folder/pass"
    code=$(read_registry -I "$@" "$url")
    [ "$code" != 401 ] || ! fetch_pass "${path%:*}" || code=$(read_registry -I "$@" "$url")
    case $code in 000 | '') refused="$refused $who" ;; esac
}
why_not() { # in words, what its code means
    case $code in
        401 | 403) say "wants a login ($code)" ;;
        000 | '') say "gave no answer ($(one_line <"$folder/curl" | sed 's/^curl: //'))" ;;
        silent) say "gave no answer" ;;
        *) say "answered $code" ;;
    esac
}
read_registry() { # OPTIONS… URL: its code
    true >"$folder/answer" >"$folder/headers"
    # shellcheck disable=SC2086 # words without blanks
    timeout -k 1 10 env $proxies curl -q -sSL --max-time 8 -D "$folder/headers" -o "$folder/answer" -w '%{http_code}' \
        -H "Accept: $MANIFEST_TYPES" -H "@$folder/pass" "$@" 2>"$folder/curl"
}
# Many a registry lets everybody read and wants a pass all the same, which it gives to whoever asks: no login is sent.
fetch_pass() { # NAME of the image there
    wanted=$(tr -d '\r' <"$folder/headers" | grep -i '^www-authenticate: *bearer ' | tail -n 1)
    realm=$(say "$wanted" | sed -n 's/.*realm="\(https:[^"]*\)".*/\1/p')
    service=$(say "$wanted" | sed -n 's/.*service="\([^"]*\)".*/\1/p')
    [ -n "$realm" ] || return
    given=$(read_registry --proto =https -G --data-urlencode "service=$service" --data-urlencode "scope=repository:$1:pull" "$realm")
    [ "$given" = 200 ] || return
    pass=$(sed -n 's/.*"\(access_\)\{0,1\}token" *: *"\([A-Za-z0-9._~+\/=-]*\)".*/\2/p' "$folder/answer" | head -n 1)
    [ -n "$pass" ] && say "Authorization: Bearer $pass" >"$folder/pass"
}
