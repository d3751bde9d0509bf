# ---- packages (apt): the one seam to the package manager

# Every enabled Kubernetes source in a file of apt's: FILE BASE MINOR KEYRING, or with a minor the source itself,
# options, inline key and all, as it would be for that minor. A source is a line of a .list, a paragraph of a .sources.
read_sources() { # PATH [MINOR]
    awk -v file="${1#"$ROOT"}" -v own="$PACKAGE_BASE_URL" -v minor="${2-}" '
        BEGIN { if (file ~ /\.sources$/) RS = "" }
        {
            text = ""
            lines = split($0, line, "\n")
            for (l = 1; l <= lines; l++) if (line[l] !~ /^[[:space:]]*#/) text = text line[l] "\n"
            $0 = text
            key = "-"
            if (RS == "") {
                low = tolower("\n" text)
                if (low ~ /\nenabled:[[:space:]]*(no|false|off|without|disable|0)[[:space:]]*\n/) next
                if (match(low, /\nsigned-by:[ \t]*\//)) { key = substr(text, RSTART + RLENGTH - 2); sub(/[ \t\n].*/, "", key) }
            } else if ($1 != "deb") next
            else if (match(text, /signed-by=[^] ]*/)) key = substr(text, RSTART + 10, RLENGTH - 10)
            ours = 0
            for (i = 1; i <= NF; i++) if ($i ~ /^https?:.*\/v[0-9]+\.[0-9]+\/deb\/?$/) {
                uri = $i; sub(/\/deb\/?$/, "", uri)
                release = uri; sub(/.*\//, "", release)
                sub(/\/v[0-9.]*$/, "", uri)
                # The same host also serves add-ons (CRI-O) by minor; those are not ours.
                if (uri != own && uri !~ /core:\/stable:$/) continue
                ours = 1
                if (minor == "") print file, uri, release, key
            }
            if (ours && minor != "") {
                gsub(/\/v[0-9]+\.[0-9]+\/deb/, "/" minor "/deb", text)
                print text
            }
        }' "$1"
}
kube_sources() {
    [ -d "$ROOT/etc/apt" ] || return 0
    find "$ROOT/etc/apt/sources.list" "$ROOT/etc/apt/sources.list.d" -maxdepth 1 -type f \
        \( -name '*.list' -o -name '*.sources' \) 2>/dev/null | sort | while read -r path; do read_sources "$path"; done
}
base_url() {
    found=$(kube_sources | head -n 1 | cut -d' ' -f2)
    found=${found:-$DEFAULT_BASE_URL}
    say "${PACKAGE_BASE_URL:-$found}"
}
keyring() {
    found=$(kube_sources | head -n 1 | cut -d' ' -f4)
    case $found in /*) ;; *) found=$DEFAULT_KEYRING ;; esac
    say "${KEYRING:-$found}"
}

# A mirror that fails for a moment is asked again, by apt itself and by a new apt: one that was refused once does not
# try that address any more as long as it lives.
AGAIN='-o Acquire::Retries=1'
PAUSE=2   # seconds between two tries, whatever is waited for; twice that before the last one at a mirror
persistently() { # LOG COMMAND…: what the command writes anew each time, or the output of the whole attempt
    log=$1
    shift
    try=1 began=$(date +%s)
    while :; do
        mark=0
        [ "$log" != "$JOB/out" ] || mark=$(wc -c <"$log")
        "$@"
        ended=$?
        tail -c "+$((mark + 1))" "$log" | grep -q 'Failed to fetch' || return "$ended"
        [ "$try" -lt 3 ] && [ $(($(date +%s) - began)) -lt 25 ] || return "$ended"
        say "[lockkeeper] a mirror could not be reached, and is asked again: $(tail -c "+$((mark + 1))" "$log" | grep 'Failed to fetch' | head -n 1 | one_line)" >&2
        sleep "$((try * PAUSE))"
        try=$((try + 1))
    done
}

# apt-get or apt-cache with a throw-away package list of one minor: no source of the machine is touched.
private_apt() { # FOLDER TOOL ARGS…
    folder=$1 tool=$2
    shift 2
    list=$folder/kubernetes.list
    [ -e "$list" ] || list=$folder/kubernetes.sources
    others=/dev/null
    [ ! -d "$folder/parts" ] || others=$folder/parts
    [ ! -e "$folder/status" ] || set -- "$@" -o "Dir::State::status=$folder/status"
    "$tool" "$@" -o "Dir::Etc::SourceList=$list" -o "Dir::Etc::SourceParts=$others" \
        -o "Dir::State::Lists=$folder/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
}
private_list() { # FOLDER MINOR
    mkdir -p "$1/lists/partial" && chmod 0755 "$1" "$1/lists" || return
    chown _apt "$1/lists/partial" 2>/dev/null   # the user that apt downloads as; without it, it goes on as root
    if fresh=$(fresh_key "$1" "$2"); then
        (umask 077 && say "deb [signed-by=$fresh] $(base_url)/$2/deb/ /" >"$1/kubernetes.list")
        return
    fi
    own=$(kube_sources | head -n 1)
    case "$own " in
        *" $(base_url) "*)
            # The machine's own source, so that it is trusted as much as it is there, and no more.
            if [ -z "$KEYRING" ]; then
                file=${own%% *}
                list=$1/kubernetes.${file##*.}
                (umask 077 && read_sources "$ROOT$file" "$2" >"$list")
                return
            fi ;;
    esac
    (umask 077 && say "deb [signed-by=$ROOT$(keyring)] $(base_url)/$2/deb/ /" >"$1/kubernetes.list")
}
# A key that has expired on the machine is no reason to see nothing where the settings say who has the new one.
fresh_key() { # FOLDER MINOR: the file with the key of KEY_URL; fails where none is configured or to be had
    [ -n "$KEY_URL" ] && download "$(key_url "$2")" "$1/key" "$LOOK" >&2 2>/dev/null || return
    kind=$(kind_of_key "$1/key")
    [ -n "$kind" ] && mv -f "$1/key" "$1/fresh.$kind" && chmod 0644 "$1/fresh.$kind" && say "$1/fresh.$kind"
}
key_url() { # MINOR: old minors publish the key as it was when they ended
    newest=$({ say "$1"; kube_sources | cut -d' ' -f3; } | sort -V | tail -n 1)
    say "$KEY_URL" | sed "s/MINOR/$newest/"
}
kind_of_key() { # FILE: the ending that apt wants for it, and nothing for what is no key
    case $(head -c 40 "$1" | od -An -tx1 | tr -d ' \n') in
        2d2d2d2d2d424547494e20504750205055*) say asc ;;   # -----BEGIN PGP PU…
        9[89a]* | c6*) say gpg ;;   # the first byte of a key that is not armoured
    esac
}
throw_away_folder() {
    prepare_state
    # Who was killed, or whose caller went away before the answer, has left one.
    find "$STATE/tmp" -mindepth 1 -maxdepth 1 -mtime +1 -exec rm -rf -- {} + 2>/dev/null
    mktemp -d "$STATE/tmp/XXXXXXXX" || refuse 71 "$STATE/tmp cannot be written: check the disk."
}
# Why an update did not give the list: expired-key, unsigned, absent, unreachable, or nothing when it did.
# apt-get exits 0 with mere warnings when a repository cannot be reached, so its words count and not its code.
update_problem() { # EXIT-CODE LOG
    if grep -Eq 'EXPKEYSIG|/sqv .*([Ee]xpired|not (a)?live)' "$2"; then kind=expired-key
    elif grep -Eq "NO_PUBKEY|is not signed|couldn't be verified|OpenPGP signature verification failed|Missing key" "$2"; then kind=unsigned
    elif grep -q 'does not have a Release file' "$2"; then kind=absent
    elif grep -q 'Failed to fetch' "$2" || [ "$1" -ne 0 ]; then kind=unreachable
    else return 0; fi
    reason=$(grep -E '^(W|E):' "$2" | grep -v unsandboxed | head -n 1 | one_line)
    say "$kind ${reason:-apt-get update ended with $1}"
}
fill_private_list() { # FOLDER
    # shellcheck disable=SC2086 # two words
    private_apt "$1" timeout -k 1 25 apt-get update $AGAIN -o Acquire::http::Timeout=12 -o Acquire::https::Timeout=12 >"$1/log" 2>&1
}
update_private() { # FOLDER MINOR: prints the problem, if any
    private_list "$1" "$2" || { say "unreachable $1 cannot be written"; return; }
    persistently "$1/log" fill_private_list "$1"
    update_problem "$?" "$1/log"
}

offers() { # MINOR…
    for minor in "$@"; do
        folder=$(throw_away_folder) || exit
        problem=$(update_private "$folder" "$minor")
        if [ -n "$problem" ]; then
            say "${problem%% *} $minor ${problem#* }"
        else
            # shellcheck disable=SC2086 # three words
            rows=$(private_apt "$folder" timeout -k 1 25 apt-cache madison $PACKAGES 2>/dev/null)
            [ "$?" -lt 124 ] || say "unreachable $minor apt-cache did not answer within 25 s"
            say "$rows" | awk -F'|' -v minor="$minor" 'NF > 1 { gsub(/ /, "", $1); gsub(/ /, "", $2); print "offer", minor, $1, $2 }' | sort -u
        fi
        rm -rf "$folder"
    done
    say end offers
}

# Try again for five minutes while another package manager (unattended-upgrades, say) is at work: apt's own option
# for that waits for dpkg alone, not for the folders of lists and archives, and apt-mark does not wait at all.
patiently() { # COMMAND…
    deadline=$(($(date +%s) + 300))
    told=
    while :; do
        from=$(wc -c <"$JOB/out")
        "$@"
        code=$?
        [ "$code" -ne 0 ] && [ "$(date +%s)" -lt "$deadline" ] &&
            tail -c "+$((from + 1))" "$JOB/out" | grep -Eq 'Could not get lock|locked by another process' || return "$code"
        [ -n "$told" ] || say "[lockkeeper] another package manager is at work: waiting for it" >&2
        told=yes
        sleep "$PAUSE"
    done
}
install_packages() { # apt-get arguments …
    # shellcheck disable=SC2086 # two words
    persistently "$JOB/out" patiently apt-get install -y --no-install-recommends --no-remove --allow-change-held-packages $AGAIN \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}
is_installed() { [ "$(installed_version "$1")" = "$2" ]; } # PACKAGE VERSION
is_there() { # PACKAGE: in any state but removed; one that is half installed must be named to be installed again
    dpkg-query -W -f='${Version} ${db:Status-Abbrev}\n' "$1" 2>/dev/null | grep -Eq ' .[^nc].? *$'
}
wanted_with() { # VERSION PACKAGE…: those that are there at all, with the exact version
    version=$1
    shift
    for package in "$@"; do ! is_there "$package" || printf '%s=%s ' "$package" "$version"; done
}
# Whatever happens below, what is held now is held afterwards: apt-get drops the hold of what it installs.
keep_holds() {
    HELD=$(apt-mark showhold) || refuse 71 "'apt-mark showhold' failed: see its output above."
    # In an operation ours count in any case: an installation that was killed has lost them.
    [ ! -e "$STATE/holds" ] || HELD="$HELD $(present)"
    trap hold_again EXIT
    trap 'exit 143' TERM INT   # so that the line above also counts at shutdown
}
hold_again() {
    # shellcheck disable=SC2086 # names
    [ -z "$HELD" ] || patiently apt-mark hold $HELD >/dev/null
}

present() { # kubectl is optional on a node
    for package in $PACKAGES; do ! is_there "$package" || printf '%s ' "$package"; done
}
hold() {
    prepare_state
    # The first record of an operation counts: a second attempt would take our own holds for the owner's.
    if [ ! -e "$STATE/holds" ]; then
        before=$(apt-mark showhold) || refuse 71 "'apt-mark showhold' failed: see its output above."
        write_file "$STATE/holds" "$before" || refuse 71 "$STATE/holds cannot be written: check the disk."
    fi
    # shellcheck disable=SC2046 # words made here
    patiently apt-mark hold $(present)
}
unhold() {
    [ -e "$STATE/holds" ] || { say "There are no holds to restore."; return 0; }
    for package in $(present); do
        if grep -qx "$package" "$STATE/holds"; then patiently apt-mark hold "$package"; else patiently apt-mark unhold "$package"; fi ||
            refuse 71 "The hold of $package could not be restored: see the output above."
    done
    rm -f "$STATE/holds"
    tidy
}

fetch() { # PACKAGE-VERSION
    folder=$(throw_away_folder) || exit
    trap 'rm -rf "$folder"' EXIT
    problem=$(update_private "$folder" "$(minor_of "$1")")
    [ -z "$problem" ] || refuse 69 "The packages of $(minor_of "$1") cannot be listed (${problem%% *}): ${problem#* }"
    # apt refuses even to fetch where dpkg was interrupted, which is mended when the machine's turn has come; a copy has no journal.
    [ -z "$(dpkg_problem)" ] || cp "$ROOT/var/lib/dpkg/status" "$folder/status" || rm -f "$folder/status"
    download_packages "$folder" "$1" && return
    say "[lockkeeper] once more, with the machine's other sources: a new release may depend on a package from there"
    add_machine_sources "$folder"
    download_packages "$folder" "$1"
}
download_packages() { # FOLDER PACKAGE-VERSION
    # shellcheck disable=SC2046,SC2086 # words made here
    persistently "$JOB/out" private_apt "$1" patiently apt-get install --download-only -y --no-install-recommends --allow-change-held-packages --allow-downgrades \
        $AGAIN -o DPkg::Lock::Timeout=300 $(wanted_with "$2" $PACKAGES)
}
add_machine_sources() { # FOLDER: what is not of Kubernetes, and the lists as they were fetched last
    mkdir -p "$1/parts" && chmod 0755 "$1/parts" || return
    [ ! -e "$ROOT/etc/apt/sources.list" ] || ln -s "$ROOT/etc/apt/sources.list" "$1/parts/machine.list"
    find "$ROOT/etc/apt/sources.list.d" -maxdepth 1 \( -name '*.list' -o -name '*.sources' \) -exec ln -s -t "$1/parts" {} + 2>/dev/null
    # Of Kubernetes there is one already: where another key is named for the same address, apt reads no source at all.
    kube_sources | cut -d' ' -f1 | sort -u | while read -r file; do
        case $file in */sources.list) copy=$1/parts/machine.list ;; *) copy=$1/parts/${file##*/} ;; esac
        rm -f "$copy"
        (umask 077 && awk 'BEGIN { if (ARGV[1] ~ /\.sources$/) { RS = ""; ORS = "\n\n" } } !/\/v[0-9]+\.[0-9]+\/deb/' "$ROOT$file" >"$copy")
    done
    find "$ROOT/var/lib/apt/lists" -maxdepth 1 -type f ! -name lock -exec ln -s -t "$1/lists" {} + 2>/dev/null
}

set_source() { # MINOR
    rows=$(kube_sources)
    [ -n "$rows" ] || refuse 66 "No Kubernetes package source was found under /etc/apt: add one like 'deb [signed-by=$(keyring)] $(base_url)/$1/deb/ /' first."
    prepare_state
    mkdir -p "$STATE/sources" || refuse 71 "$STATE/sources cannot be written: check the disk."
    refresh_key "$1"
    say "$rows" | cut -d' ' -f1 | sort -u | while read -r file; do switch_file "$file" "$1" || exit; done || {
        code=$?
        put_key_back
        exit "$code"
    }
}
switch_file() { # FILE MINOR
    path=$ROOT$1
    kept=$STATE/sources/$(say "${1#/}" | tr / _)
    own=$(say "${PACKAGE_BASE_URL:-$DEFAULT_BASE_URL}" | sed 's/[].[*^$\\#]/\\&/g')
    cp -p "$path" "$kept" || refuse 71 "$kept cannot be written: check the disk."
    # In the same folder, so that the move is one step; apt reads neither hidden files nor other endings.
    staged=$(dirname "$path")/.lockkeeper-$(basename "$path")
    cp -p "$path" "$staged" &&   # with its owner and mode: it may hold a login
        sed -e "/^[[:space:]]*#/!s#\($own\)/v[0-9][0-9]*\.[0-9][0-9]*/deb#\1/$2/deb#g" \
            -e "/^[[:space:]]*#/!s#\(core:/stable:\)/v[0-9][0-9]*\.[0-9][0-9]*/deb#\1/$2/deb#g" "$path" >"$staged" &&
        mv -f "$staged" "$path" || { rm -f "$staged"; refuse 71 "$path cannot be written: check the disk."; }
    # Of the file our source alone: another repository that is broken is no reason to stop here.
    list=$STATE/sources/update.${path##*.}
    (umask 077 && rm -f "$list" && read_sources "$path" "$2" >"$list") || refuse 71 "$list cannot be written: check the disk."
    log=$STATE/sources/update.log
    persistently "$log" patiently update_list "$list" "$log"
    problem=$(update_problem "$?" "$log")
    [ -n "$problem" ] || return 0
    cp -p "$kept" "$staged" && mv -f "$staged" "$path"
    refuse 69 "The package source of $2 cannot be used (${problem%% *}), $1 is as it was: ${problem#* }"
}
update_list() { # LIST LOG
    # shellcheck disable=SC2086 # two words
    apt-get update $AGAIN -o "Dir::Etc::SourceList=$1" -o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=0 \
        -o DPkg::Lock::Timeout=300 >"$2" 2>&1
    updated=$?
    cat "$2"
    return "$updated"
}
refresh_key() { # MINOR
    [ -n "$KEY_URL" ] || return 0
    case $KEYRING$(kube_sources | head -n 1 | cut -d' ' -f4) in
        /*) ;;
        *) say "[lockkeeper] the package source names no key file, so the key of $(key_url "$1") is not fetched"; return 0 ;;
    esac
    url=$(key_url "$1")
    download "$url" "$STATE/key" || refuse 69 "The signing key could not be fetched from $url: check the address and the network."
    ring=$ROOT$(keyring)
    mkdir -p "${ring%/*}" || refuse 71 "$ring cannot be written: check the disk."
    case $ring:$(kind_of_key "$STATE/key") in
        *.asc:asc) cp "$STATE/key" "$ring.new" ;;
        *.asc:*) false ;;
        *:asc) gpg --batch --yes --dearmor -o "$ring.new" "$STATE/key" ;;
        *:gpg) cp "$STATE/key" "$ring.new" ;;
        *) false ;;
    esac || refuse 69 "What $url gave cannot be used as ${ring#"$ROOT"}: it must be an OpenPGP key, armoured for a file .asc; for others gnupg must be installed."
    [ ! -e "$ring" ] || cp -p "$ring" "$STATE/sources/keyring" || refuse 71 "$STATE/sources cannot be written: check the disk."
    chmod 0644 "$ring.new" && mv -f "$ring.new" "$ring" && rm -f "$STATE/key"
}
put_key_back() {
    [ -n "$KEY_URL" ] && [ -e "$STATE/sources/keyring" ] || return 0
    cp -p "$STATE/sources/keyring" "$ROOT$(keyring)"
}
download() { # URL FILE [SECONDS]
    if command -v curl >/dev/null 2>&1; then curl -fsSL --proto =https --max-time "${3:-60}" -o "$2" -- "$1"
    elif command -v wget >/dev/null 2>&1; then wget -q -t 2 -T "${3:-60}" -O "$2" -- "$1"
    else false; fi || timeout -k 1 "${3:-60}" "$ROOT/usr/lib/apt/apt-helper" download-file "$1" "$2"   # by apt's own proxy
}

install_kubeadm() { # PACKAGE-VERSION
    keep_holds
    if is_installed kubeadm "$1"; then say "kubeadm $1 is installed."; else
        install_packages "kubeadm=$1" || exit
    fi
    [ "$(kubeadm_version)" = "$(release_of "$1")" ] ||
        refuse 70 "kubeadm says it is '$(kubeadm_version)' and not $(release_of "$1") after its package $1: look for another kubeadm on the PATH."
}
install_kubelet() { # PACKAGE-VERSION
    keep_holds
    if is_installed kubelet "$1" && { ! is_there kubectl || is_installed kubectl "$1"; }; then
        say "kubelet $1 is installed."
        return 0
    fi
    # shellcheck disable=SC2046 # words made here
    install_packages $(wanted_with "$1" kubelet kubectl) || exit
    is_installed kubelet "$1" || refuse 70 "The package kubelet is $(installed_version kubelet) and not $1: see the output above."
}
roll_back_kubelet() { # PACKAGE-VERSION: from a throw-away list, since the machine's source is a minor ahead by now
    folder=$(throw_away_folder) || exit
    keep_holds
    trap 'rm -rf "$folder"; hold_again' EXIT
    problem=$(update_private "$folder" "$(minor_of "$1")")
    [ -z "$problem" ] || refuse 69 "The packages of $(minor_of "$1") cannot be listed (${problem%% *}): ${problem#* }"
    # shellcheck disable=SC2046 # words made here
    private_apt "$folder" install_packages --allow-downgrades $(wanted_with "$1" kubelet kubectl) || exit
    is_installed kubelet "$1" || refuse 70 "The package kubelet is $(installed_version kubelet) and not $1: see the output above."
    restart_kubelet
}
