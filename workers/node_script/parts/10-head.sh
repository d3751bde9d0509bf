#!/bin/sh
# lockkeeper-node: everything that lockkeeper may do on a machine, as a short list of verbs.
# Root-owned, and the only line in sudoers: each argument is checked here, whatever the caller says.
ROOT='@ROOT@'     # empty in production; a laptop's lab renders a folder
TOOLS='@TOOLS@'   # the whole PATH
PROTOCOL=1

# Nothing of the caller's environment may steer a tool (PATH, LD_*, APT_CONFIG, KUBECONFIG, …).
PATH=$TOOLS
export PATH
for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
    case $name in
        PATH | PWD | OLDPWD | PPID | UID | EUID | SHELLOPTS | BASHOPTS | ROOT | TOOLS | PROTOCOL) ;;
        *) unset "$name" ;;
    esac
done
unset IFS KUBECONFIG
LC_ALL=C LANG=C HOME=/root DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
export LC_ALL LANG HOME DEBIAN_FRONTEND NEEDRESTART_MODE
set -uf   # no file name expansion except where a line asks for it
umask 077
case $0 in
    /*) SELF=$0 ;;
    */*) SELF=$PWD/$0 ;;
    *) SELF=$(command -v -- "$0") || SELF=$0 ;;
esac
cd / || exit 71

STATE=$ROOT/var/lib/lockkeeper
JOBS=$STATE/jobs
MANIFESTS=$ROOT/etc/kubernetes/manifests
KUBE_TMP=$ROOT/etc/kubernetes/tmp
CONF=$ROOT/etc/lockkeeper-node.conf
JOB=           # the folder of the attempt that this process carries out
ATTEMPT=

# Exit codes, beside those of the tools: 64 wrong argument, 66 something is missing on the machine,
# 69 no tool for it, 70 a guard refused or a result is not what was asked, 71 the system refused, 75 ask again after the
# next boot, 78 settings.
refuse() { # CODE SENTENCE
    printf 'lockkeeper-node: %s\n' "$2" >&2
    exit "$1"
}
say() { printf '%s\n' "$*"; }
NL='
'
# Thousands of machines are asked, each at every look: what the shell can do itself starts no program.
flat() { printf '%.400s\n' "$*"; }     # WORDS, as they are split: on one line
long() { printf '%.65536s\n' "$*"; }
one_line() { tr -s '\n\t\r ' ' ' | sed 's/^ //; s/ $//' | cut -c1-400; }
long_line() { tr -s '\n\t\r ' ' ' | sed 's/^ //; s/ $//' | cut -c1-4000; }
LOOK=4   # seconds for any one tool that only looks: thousands of machines are asked, and some of them are ill
within_look() { timeout -k 1 "$LOOK" "$@"; } # COMMAND…: it is ended where it hangs
why() { # OUTPUT EXIT-CODE: the line that says best why a tool failed
    case $2 in 124 | 137) say "it did not answer within $LOOK s"; return ;; esac
    line=$(say "$1" | grep -Ei '^(error|failed|fatal)' | head -n 1)
    say "${line:-$(say "$1" | tail -n 1)}"
}
