# ---- arguments and settings: nothing else ever reaches a command line

check_id() {
    case $1 in
        '' | -* | *[!A-Za-z0-9-]*) refuse 64 "'$1' is not an attempt id: use 1 to 80 letters, digits and hyphens, beginning with a letter or digit." ;;
    esac
    [ "${#1}" -le 80 ] || refuse 64 "The attempt id is longer than 80 characters: shorten it."
}
check_number() { # VALUE NAME
    case $1 in
        '' | *[!0-9]*) refuse 64 "'$1' is not a $2: give a whole number." ;;
        0?*) refuse 64 "'$1' is not a $2: leave out leading zeros." ;;
    esac
    [ "${#1}" -le 15 ] || refuse 64 "'$1' is too large for a $2: give at most 15 digits."
}
matches() { # VALUE EXTENDED-REGEX
    case $1 in *'
'*) return 1 ;; esac
    printf '%s\n' "$1" | grep -Eq "^($2)\$"
}
check_minor() {
    matches "$1" 'v[1-9][0-9]{0,2}\.(0|[1-9][0-9]{0,2})' || refuse 64 "'$1' is not a minor release: write it like v1.35."
}
check_version() {
    matches "$1" 'v[1-9][0-9]{0,2}\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})' ||
        refuse 64 "'$1' is not a Kubernetes version: write it like v1.35.4."
}
check_package_version() {
    matches "$1" '[1-9][0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}-[0-9A-Za-z][0-9A-Za-z.+~]{0,39}' ||
        refuse 64 "'$1' is not a package version: write it like 1.35.4-1.1, as 'offers' prints it."
}
check_tag() {
    matches "$1" '-|[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}' || refuse 64 "'$1' is not an image's tag: write it like 3.6.6-0, or - for none."
}
check_unit() {
    case $1 in
        kubelet | containerd | crio | lockkeeper-*) ;;
        *) refuse 64 "'$1' is not a unit whose log is shown: name kubelet, containerd, crio or lockkeeper-ATTEMPT." ;;
    esac
    matches "$1" '[A-Za-z0-9-]{1,100}' || refuse 64 "'$1' is not a unit name: use letters, digits and hyphens."
}
check_role() {
    case $1 in
        control-plane | worker) ;;
        *) refuse 64 "'$1' is not a role: write control-plane or worker." ;;
    esac
}
check_hook() {
    case $1 in before-*) refuse 64 "'$1' runs by itself before its verb: name another hook." ;; esac
    matches "$1" '[a-z0-9][a-z0-9-]{0,39}' || refuse 64 "'$1' is not a hook's name: use 1 to 40 small letters, digits and hyphens."
}
check_moment() {
    case $1 in
        pre-run | pre-drain | post-upgrade | post-run) ;;
        *) refuse 64 "'$1' is not a moment: write pre-run, pre-drain, post-upgrade or post-run." ;;
    esac
}
count() { # WANTED GOT USAGE
    [ "$1" -eq "$2" ] || refuse 64 "Wrong number of arguments: the usage is '$3'."
}

minor_of() { # 1.35.4-1.1 or v1.35.4 → v1.35
    set -- "${1#v}"
    set -- "${1%%-*}"
    say "v${1%.*}"
}
release_of() { say "v${1%%-*}"; }   # 1.35.4-1.1 → v1.35.4

PACKAGE_BASE_URL=
KEYRING=
KEY_URL=
IMAGE_REPOSITORY=
PATCHES_DIR=
UPGRADE_CONFIG=
HOOKS=
ADMIN_CONF=
SNAPSHOT_DIR=/var/lib/lockkeeper/snapshots
SNAPSHOT_EXPORT=yes
DEFAULT_BASE_URL=https://pkgs.k8s.io/core:/stable:
DEFAULT_KEYRING=/etc/apt/keyrings/kubernetes-apt-keyring.gpg

# Nobody but root may have written what root reads or runs; a symbolic link is not looked through.
only_ours() { # PATH TYPE
    [ -n "$(find "$1" -prune -type "$2" -user "$(id -u)" ! -perm /022 2>/dev/null)" ]
}
# The settings are data: parsed, checked and assigned one by one, never sourced.
load_settings() {
    [ -e "$CONF" ] || return 0
    [ -r "$CONF" ] || refuse 78 "The settings $CONF cannot be read: make root their owner, mode 0644."
    only_ours "$CONF" f ||
        refuse 78 "The settings $CONF could be changed by others: make root their owner, mode 0644."
    while IFS='=' read -r key value || [ -n "$key" ]; do
        case $key in '' | '#'*) continue ;; esac
        setting "$key" "$value"
    done <"$CONF"
    [ -z "$PATCHES_DIR" ] || [ -z "$UPGRADE_CONFIG" ] ||
        refuse 78 "$CONF has both PATCHES_DIR and UPGRADE_CONFIG, which kubeadm does not take together: name the folder in that file instead."
}
setting() { # KEY VALUE
    case $2 in *[!A-Za-z0-9:/._~%+@=,-]*) refuse 78 "The value of $1 in $CONF has a character that is not allowed: use letters, digits and :/._~%+@=,-." ;; esac
    case $2 in *..*) refuse 78 "The value of $1 in $CONF contains '..': write the plain path." ;; esac
    case $1 in
        PACKAGE_BASE_URL)   # what comes from there is signed, so plain http will do
            case $2 in '' | http://* | https://*) ;; *) refuse 78 "$1 in $CONF is not a web address: begin it with https://." ;; esac ;;
        KEY_URL)            # what comes from there is what signatures are checked with
            case $2 in '' | https://*) ;; *) refuse 78 "$1 in $CONF does not begin with https://: anybody on the way could give us another key." ;; esac ;;
        KEYRING | PATCHES_DIR | UPGRADE_CONFIG | HOOKS | ADMIN_CONF | SNAPSHOT_DIR)
            case $2 in '' | /*) ;; *) refuse 78 "$1 in $CONF is not an absolute path: begin it with /." ;; esac ;;
    esac
    case $1 in
        PACKAGE_BASE_URL) PACKAGE_BASE_URL=${2%/} ;;
        KEYRING) KEYRING=$2 ;;
        KEY_URL) KEY_URL=$2 ;;
        IMAGE_REPOSITORY) IMAGE_REPOSITORY=${2%/} ;;
        PATCHES_DIR) PATCHES_DIR=$2 ;;
        UPGRADE_CONFIG) UPGRADE_CONFIG=$2 ;;
        HOOKS) HOOKS=${2%/} ;;
        ADMIN_CONF) ADMIN_CONF=$2 ;;
        SNAPSHOT_EXPORT)
            case $2 in yes | no) SNAPSHOT_EXPORT=$2 ;; *) refuse 78 "SNAPSHOT_EXPORT in $CONF is neither yes nor no: write one of them." ;; esac ;;
        SNAPSHOT_DIR) SNAPSHOT_DIR=${2:-$SNAPSHOT_DIR} ;;
        *) refuse 78 "$CONF has the unknown setting '$1': remove it or correct its name." ;;
    esac
}
