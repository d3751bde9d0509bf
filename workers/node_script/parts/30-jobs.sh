# ---- attempts: each runs once, detached, with its output and exit code in files

first_line() { # FILE DEFAULT
    if [ -r "$1" ]; then IFS= read -r line <"$1" || [ -n "$line" ] || line=$2; else line=$2; fi
    say "$line"
}
boot_id() { first_line "$ROOT/proc/sys/kernel/random/boot_id" unknown; }
highest_fence() { first_line "$STATE/fence" 0; }
prepare_state() {
    mkdir -p "$STATE" || refuse 71 "$STATE cannot be written: check the disk and its mount."
    only_ours "$STATE" d || refuse 78 "$STATE could be changed by others: make root its owner, mode 0755."
    mkdir -p "$JOBS" "$STATE/tmp" || refuse 71 "$STATE cannot be written: check the disk and its mount."
    chmod 0755 "$STATE" "$STATE/tmp"   # apt's own user reads the throw-away lists below
}
write_file() { # PATH CONTENT: whole or not at all, also after a power cut
    printf '%s\n' "$2" >"$1.new" && sync "$1.new" && mv -f "$1.new" "$1"
}
# Not by ":", a special builtin whose failed redirection would end the script before its "||".
can_write() { true >>"$1"; } 2>/dev/null
held() { ! flock -s -n "$1/lock" true 2>/dev/null; }   # shared: two who ask do not disturb each other

# What became of an attempt: ABSENT, RUNNING, DONE n or LOST.
fate() { # JOB-FOLDER
    [ -e "$1/started" ] || { say ABSENT; return; }
    [ -s "$1/rc" ] && { say "DONE $(cat "$1/rc")"; return; }
    [ "$(sed -n 's/^boot //p' "$1/started")" = "$(boot_id)" ] || { say LOST; return; }
    [ -e "$1/lock" ] && held "$1" && { say RUNNING; return; }
    [ -s "$1/rc" ] && { say "DONE $(cat "$1/rc")"; return; }   # it ended between the two looks
    say LOST
}
# A start in hand keeps the gate until its supervisor holds its lock: look again behind the gate before saying LOST.
settled_fate() { # JOB-FOLDER
    seen=$(fate "$1")
    [ "$seen" = LOST ] && [ -e "$STATE/gate" ] && seen=$(flock -w 30 "$STATE/gate" true; fate "$1")
    [ "$seen" != LOST ] || ! goes_down || seen=RUNNING   # said after the boot: nothing can be begun anew before it
    say "$seen"
}

start() { # ID FENCE VERB ARGS…
    id=$1 fence=$2
    shift 2
    prepare_state
    can_write "$STATE/gate" || refuse 71 "$STATE/gate cannot be written: check the disk."
    exec 8>>"$STATE/gate"
    flock -w 60 8 || refuse 71 "Another start on this machine has not finished within 60 s: try again."
    known=$(highest_fence)
    [ "$fence" -ge "$known" ] || { say "FENCED $known"; return; }
    [ "$fence" -eq "$known" ] || write_file "$STATE/fence" "$fence" || refuse 71 "$STATE/fence cannot be written: check the disk."
    job=$JOBS/$id
    seen=$(fate "$job")
    case $seen in
        ABSENT) launch "$job" "$id" "$fence" "$@" ;;
        RUNNING) say ATTACHED ;;
        *) say "$seen" ;;
    esac
}

launch() { # JOB-FOLDER ID FENCE VERB ARGS…
    job=$1 id=$2 fence=$3
    shift 3
    mkdir -p "$job" && can_write "$job/out" && can_write "$job/lock" &&
        write_file "$job/started" "attempt $id
fence $fence
boot $(boot_id)
at $(date +%s)
command $*" || refuse 71 "$job cannot be written: check the disk."
    if [ -d "$ROOT/run/systemd/system" ]; then
        problem=$(systemd-run --unit="lockkeeper-$id" --property=Type=exec --collect -- /bin/sh "$SELF" supervise "$id" 2>&1 8>&-) && problem=
    else
        problem=
        setsid /bin/sh "$SELF" supervise "$id" </dev/null >/dev/null 2>&1 8>&- &
    fi
    if [ -z "$problem" ]; then
        tries=0
        while [ ! -e "$job/running" ] && [ "$tries" -lt 300 ]; do
            sleep 0.05
            tries=$((tries + 1))
        done
    fi
    [ -e "$job/running" ] && { say STARTED; return; }
    # Nothing runs yet. Without "started" a supervisor that comes late does nothing, so the id may be used again.
    (
        flock -n 9 && [ ! -e "$job/running" ] && rm -f "$job/started"
    ) 9>>"$job/lock"
    [ -e "$job/running" ] && { say STARTED; return; }
    ! goes_down || refuse 75 "This machine goes down: nothing is begun before its next boot."   # systemd takes no unit then
    refuse 71 "The attempt $id could not be started: $(say "${problem:-its supervisor did not come up within 15 s}" | one_line)"
}

# The attempt itself; only "start" calls this. Its lock is inherited on purpose: as long as anything of it
# lives, the attempt is RUNNING, even when this shell alone was killed.
supervise() { # ID
    ATTEMPT=$1
    JOB=$JOBS/$1
    [ -d "$JOB" ] || refuse 66 "There is no attempt $1 on this machine: use 'start'."
    exec 9>>"$JOB/lock"
    flock -w 30 9 || refuse 70 "The attempt $1 runs already: use 'poll'."
    [ -e "$JOB/started" ] && [ ! -e "$JOB/running" ] || refuse 70 "The attempt $1 is not waiting to be started: use 'poll'."
    can_write "$JOB/running" || refuse 71 "$JOB cannot be written: check the disk."
    trap '' HUP PIPE
    trap : TERM INT   # at shutdown the command gets the signal too, and its exit code is worth keeping
    LOCKKEEPER_ATTEMPT=$ATTEMPT
    export LOCKKEEPER_ATTEMPT
    # shellcheck disable=SC2046 # checked words without blanks, written by start
    set -- $(sed -n 's/^command //p' "$JOB/started")
    (
        umask 022   # maintainer scripts and kubeadm expect the usual one
        check_action "$@"
        load_settings
        hook before "$1" || refuse 70 "The hook before $1 ended with an error: see its output above; nothing was changed."
        act "$@"
    ) >>"$JOB/out" 2>&1 </dev/null
    code=$?
    # Ended because the machine goes down, and not by itself: lost, so that it is mended and tried again after the boot.
    [ "$code" -lt 128 ] || ! goes_down || return 0
    write_file "$JOB/rc" "$code"
}
goes_down() { [ -d "$ROOT/run/systemd/system" ] && [ "$(within_look systemctl is-system-running 2>/dev/null)" = stopping ]; }
hook() { # MOMENT VERB
    [ -n "$HOOKS" ] && [ -x "$ROOT$HOOKS/$1-$2" ] || return 0
    only_ours "$ROOT$HOOKS" d && only_ours "$ROOT$HOOKS/$1-$2" f ||
        refuse 78 "The hook $HOOKS/$1-$2 or its folder could be changed by others: make root their owner, mode 0755."
    say "[lockkeeper] running the hook $HOOKS/$1-$2"
    "$ROOT$HOOKS/$1-$2"
}
# What root put into the folder is all that may be named: no path, no argument of the caller's choice, no shell.
run_hook() { # NAME MOMENT VERSION SECONDS
    [ -n "$HOOKS" ] || refuse 66 "HOOKS in $CONF names no folder, so that no hook may be asked for on this machine."
    [ -x "$ROOT$HOOKS/$1" ] || refuse 66 "The hook $HOOKS/$1 is not there, or not executable: put it there as root, mode 0755."
    is_our_hook "$1" ||
        refuse 78 "The hook $HOOKS/$1 or its folder could be changed by others: make root their owner, mode 0755."
    say "[lockkeeper] running the hook $HOOKS/$1 $2 $3"
    timeout -k 10 "$4" "$ROOT$HOOKS/$1" "$2" "$3"
    code=$?
    [ "$code" -ne 124 ] && [ "$code" -ne 137 ] || refuse 70 "The hook $HOOKS/$1 did not end within $4 s, and was ended."
    return "$code"
}
is_our_hook() { only_ours "$ROOT$HOOKS" d && only_ours "$ROOT$HOOKS/$1" f; } # NAME
observe_hooks() {
    say "hooks ${HOOKS:-none}"
    [ -n "$HOOKS" ] && [ -d "$ROOT$HOOKS" ] || return 0
    set +f
    for file in "$ROOT$HOOKS"/*; do
        [ -x "$file" ] && is_our_hook "${file##*/}" && (check_hook "${file##*/}") 2>/dev/null && say "hook ${file##*/}"
    done
    set -f
}

LONGEST_POLL=60   # seconds
poll() { # ID OFFSET SECONDS
    job=$JOBS/$1
    # No look in between: its lock is free as soon as nothing of it lives any more.
    [ "$3" -eq 0 ] || [ -s "$job/rc" ] || [ ! -e "$job/lock" ] || flock -s -w "$3" "$job/lock" true 2>/dev/null
    seen=$(settled_fate "$job")
    size=0
    [ -e "$job/out" ] && size=$(wc -c <"$job/out")
    size=$((size))
    length=$((size - $2))
    [ "$length" -ge 0 ] || length=0
    [ "$length" -le 65536 ] || length=65536
    say "$seen $size $(boot_id) $length"
    [ "$length" -eq 0 ] || tail -c "+$(($2 + 1))" "$job/out" | head -c "$length"
}
list() {
    [ -d "$JOBS" ] || return 0
    set +f
    for job in "$JOBS"/*; do
        [ -e "$job/started" ] || continue
        say "job ${job##*/} $(sed -n 's/^fence //p' "$job/started") $(sed -n 's/^at //p' "$job/started") $(settled_fate "$job" | tr ' ' ':') $(sed -n 's/^command //p' "$job/started")"
    done
    set -f
    say end list
}
