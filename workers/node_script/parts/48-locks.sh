# ---- who works with packages now

# The kernel's own table tells who holds apt's locks; to try them would be to hold them for a moment.
observe_package_locks() {
    [ -r "$ROOT/proc/locks" ] || { unreadable package-locks "/proc/locks cannot be read"; return; }
    say package-locks read
    stat -c '%i %n' "$ROOT/var/lib/dpkg/lock-frontend" "$ROOT/var/lib/dpkg/lock" "$ROOT/var/lib/apt/lists/lock" \
        "$ROOT/var/cache/apt/archives/lock" 2>/dev/null | awk '
            NF == 2 { path[$1] = $2; next }
            $2 != "->" { split($6, place, ":"); if (place[3] in path) print $5, path[place[3]] }' - "$ROOT/proc/locks" |
        sort -u | while read -r holder path; do tell_package_lock "$holder" "$path"; done
}
tell_package_lock() { # PID FILE
    process=$ROOT/proc/$1
    # Another disk may have a file of the same number: whoever holds ours has it open.
    if opened=$(ls -l "$process/fd" 2>/dev/null); then
        case $opened in *"-> $2"*) ;; *) return ;; esac
    fi
    age=- name=-
    [ ! -r "$process/comm" ] || name=$(one_line <"$process/comm")
    if [ -r "$process/stat" ] && [ -r "$ROOT/proc/uptime" ]; then
        # Its start follows its name, which may have blanks; the kernel counts in hundredths wherever it tells others.
        age=$(sed 's/.*) //' "$process/stat" | awk 'NR == 1 { start = $20 / 100; next } { print int($1 - start) }' - "$ROOT/proc/uptime")
    fi
    say "package-lock ${2#"$ROOT"} $1 $age $name"
}
