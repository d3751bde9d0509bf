# ---- where the installed packages come from, what would replace them, and the keys that they are checked with

observe_origins() {
    # shellcheck disable=SC2086 # three words
    if rows=$(within_look apt-cache policy $PACKAGES 2>/dev/null); then
        # A version's line is followed by those of the sources that have it; *** marks the installed one.
        say "$rows" | awk '
            /^[^ ].*:$/ { name = $1; sub(/:$/, "", name); installed = 0; next }
            $1 == "Candidate:" { print "candidate", name, $2; next }
            $1 == "***" { installed = 1; next }
            $1 !~ /^-?[0-9]+$/ { installed = 0; next }
            installed && $2 !~ /\/var\/lib\/dpkg\/status$/ { print "origin", name, $2 }'
    else unreadable origins "$(why "$rows" "$?")"; fi
    observe_old_sources
    observe_pins
    kube_sources | cut -d' ' -f4 | sort -u | while read -r ring; do observe_keys "$ring"; done
}
apt_files() { # FOLDER NAME…: apt's files of one kind, each by its path here
    folder=$ROOT/etc/apt/$1
    shift
    find "$folder" "$folder.d" -maxdepth 1 -type f "$@" 2>/dev/null | sort
}
observe_old_sources() { # given up in 2023 for one repository a minor
    apt_files sources.list \( -name '*.list' -o -name '*.sources' \) | while read -r path; do
        awk -v file="${path#"$ROOT"}" '
            BEGIN { if (file ~ /\.sources$/) RS = "" }
            RS == "" && tolower("\n" $0 "\n") ~ /\nenabled:[ \t]*(no|false|off|without|disable|0)[ \t]*\n/ { next }
            RS != "" && $1 != "deb" { next }
            {
                for (i = 1; i <= NF; i++)
                    if ($i ~ /^https?:\/\/(apt\.kubernetes\.io|packages\.cloud\.google\.com\/apt)/) print "old-source", file, $i
            }' "$path"
    done
}
observe_pins() {
    apt_files preferences ! -name '.*' | while read -r path; do
        awk -v file="${path#"$ROOT"}" '
            BEGIN { RS = ""; FS = "\n" }
            {
                packages = rule = priority = ""
                for (i = 1; i <= NF; i++) {
                    value = $i
                    sub(/^[^:]*:[ \t]*/, "", value)
                    if ($i ~ /^Package:/) packages = value
                    else if ($i ~ /^Pin:/) rule = value
                    else if ($i ~ /^Pin-Priority:/) priority = value + 0
                }
                gsub(/[ \t]+/, ",", packages)
                if (packages ~ /kube|cri-tools/ && rule != "") print "pin-rule", file, priority, packages, rule
            }' "$path"
    done
}
observe_keys() { # KEYRING, or - when the source names none
    case $1 in /*) ;; *) say "key-unchecked - the package source names no key file"; return ;; esac
    if [ ! -r "$ROOT$1" ]; then unreadable key "$1, the key file of the package source, cannot be read"
    elif ! command -v gpg >/dev/null 2>&1; then say "key-unchecked $1 gpg is not installed"
    # Told to need no keyring and no lock, gpg leaves no trace in the folder that it insists on.
    elif rows=$(within_look gpg --homedir / --batch --no-options --no-keyring --lock-never --no-auto-check-trustdb \
        --trust-model always --show-keys --with-colons "$ROOT$1" 2>/dev/null); then
        say "$rows" | awk -F: -v file="$1" '$1 == "pub" { print "key", file, $5, ($7 == "" ? "never" : $7) }'
    else unreadable key "gpg cannot read $1"; fi
}
