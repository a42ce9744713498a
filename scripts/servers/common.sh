# shellcheck shell=bash
# What the scripts beside this one share: where test servers are installed, free ports, and processes that are known by a
# file with their id. To be sourced; by itself it does nothing.

garage_version=2.5.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-test
servers=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Where things are when they are installed; the variables name other places.
garage_binary() { echo "${CAIRN_TEST_GARAGE:-$cache/garage-$garage_version/bin/garage}"; }
moto_folder() {
  echo "${CAIRN_TEST_MOTO:-$cache/moto-$(sha256sum "$servers/moto-requirements.txt" | cut -c 1-12)}"
}

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# need COMMAND WHAT: ends with an error that names what is missing.
need() { command -v "$1" >/dev/null || fail "$1 is missing; please install $2"; }

# One installation at a time. `scripts/test` holds the lock already and says so.
with_lock() {
  [[ -z ${CAIRN_TEST_LOCKED:-} ]] || return 0
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock --nonblock 9 || {
    echo "waiting for another installation into $cache" >&2
    flock 9
  }
}

# hex N: N random bytes.
hex() { od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }

# free_ports N: so many different ports on which nobody listens, below those that the kernel hands out by itself. Another
# process may be faster: whoever uses them tries again with others.
free_ports() {
  local ports=' ' port
  while (($(wc -w <<<"$ports") < $1)); do
    port=$((10000 + SRANDOM % 20000))
    [[ $ports != *" $port "* ]] || continue
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || ports+="$port "
  done
  echo "$ports"
}

# When a process began, in the kernel's ticks: with the id it names one process for ever. Nothing for one that has ended,
# with all its threads: while one is left, so are its sockets.
began() {
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  read -ra stat <<<"${stat##*) }"
  [[ ${stat[0]} != [ZX] || ${stat[17]} -gt 1 ]] && echo "${stat[19]}"
}

# launch FILE LOG COMMAND...: starts a process in the background and notes it in FILE. With CAIRN_SERVERS_DETACH it outlives the
# shell and its terminal.
launch() {
  local file=$1 log=$2 pid
  shift 2
  ${CAIRN_SERVERS_DETACH:+setsid} "$@" >"$log" 2>&1 </dev/null 9>&- &
  pid=$!
  # Whoever ends it knows; the shell need not say so.
  disown "$pid"
  echo "$pid $(began "$pid" || echo ended)" >"$file"
}

# is_running FILE: whether the process of that file still runs.
is_running() {
  local pid since
  [[ -f $1 ]] && read -r pid since <"$1" && [[ $(began "$pid") == "$since" ]]
}

# stop FILE [SIGNAL]: ends the process of that file, and nothing else that may have got its id since. A second signal, which
# nothing can ignore, follows after ten seconds.
stop() {
  local pid since
  [[ -f $1 ]] || return 0
  read -r pid since <"$1"
  if is_running "$1"; then kill "-${2:-TERM}" "$pid" 2>/dev/null || true; fi
  for ((round = 0; round < 200; round++)); do
    is_running "$1" || break
    sleep 0.05
  done
  if is_running "$1"; then kill -KILL "$pid" 2>/dev/null || true; fi
  while is_running "$1"; do sleep 0.05; done
  rm -f "$1"
}

# wait_until FILE CONDITION...: until the condition holds. Fails when the process of FILE ends first, or after two minutes.
wait_until() {
  local file=$1 round
  shift
  for ((round = 0; round < 2400; round++)); do
    if "$@"; then return 0; fi
    is_running "$file" || return 1
    sleep 0.05
  done
  return 1
}

# until_input_ends: for `run`. Says that all is ready and waits until whoever started this script closes its input or ends.
# What is to be done then is the script's EXIT trap.
until_input_ends() {
  trap 'exit 0' TERM INT HUP
  echo ready
  while read -r _; do :; done
}
