# shellcheck shell=bash
# One Garage process: its folder, configuration, start and command line. To be sourced after common.sh.
#
# A node's folder holds `ports` (S3 and RPC), `garage.toml`, `pid`, `log` and the data. Everything listens on loopback only.

# A node that has no Garage: an error or, for people, an installation.
require_garage() {
  [[ ! -x $(garage_binary) ]] || return 0
  [[ -z ${CAIRN_TEST_GARAGE:-} ]] || fail "CAIRN_TEST_GARAGE is $CAIRN_TEST_GARAGE, which is no program: run scripts/test"
  [[ ${1:-} == install ]] || fail "$(garage_binary) is missing: run scripts/test, which installs it"
  "$servers/install-garage" >&2
}

# The folder's secrets: its only key, and what its nodes know each other by.
make_secrets() {
  [[ -f $1/secrets ]] || (
    umask 077
    echo "key_id=GK$(hex 12) secret_key=$(hex 32) rpc_secret=$(hex 32)" >"$1/secrets.new"
    mv "$1/secrets.new" "$1/secrets"
  )
  # shellcheck disable=SC1091
  . "$1/secrets"
}

# configure NODE S3_PORT RPC_PORT REGION REPLICAS
configure() {
  echo "$2 $3" >"$1/ports"
  (
    umask 077
    cat >"$1/garage.toml" <<TOML
# A test server: what it stores need not survive a loss of power.
metadata_dir = "$1/meta"
data_dir = "$1/data"
db_engine = "sqlite"
metadata_fsync = false
data_fsync = false
disable_scrub = true
compression_level = "none"
replication_factor = $5
rpc_secret = "$rpc_secret"
rpc_bind_addr = "127.0.0.1:$3"
rpc_public_addr = "127.0.0.1:$3"
rpc_ping_timeout_msec = 3000
rpc_timeout_msec = 10000

[s3_api]
s3_region = "$4"
api_bind_addr = "127.0.0.1:$2"
root_domain = ".s3.localhost"
TOML
  )
}

# Whether the node's process listens on both ports. Somebody's listening there would not do: it could be another process.
listens() {
  local pid port inode
  read -r pid _ <"$1/pid"
  for port in $(<"$1/ports"); do
    inode=$(awk -v at="$(printf '0100007F:%04X' "$port")" '$2 == at && $4 == "0A" { print $10 }' /proc/net/tcp)
    [[ $inode && $(find "/proc/$pid/fd" -lname "socket:\[$inode\]" 2>/dev/null) ]] || return 1
  done
}
port_was_taken() { grep -qiE 'address (already )?in use|AddrInUse' "$1/log" 2>/dev/null; }
is_decided() { listens "$1" || port_was_taken "$1"; }

# start_node NODE OPTION...: starts the node and waits until it listens. The key and the bucket of a single node are there
# then: it makes them before it listens.
start_node() {
  local node=$1
  shift
  RUST_LOG=garage=info NO_COLOR=1 launch "$node/pid" "$node/log" "$(garage_binary)" -c "$node/garage.toml" server "$@"
  wait_until "$node/pid" is_decided "$node" && listens "$node"
}

# place_node NODE PORT REGION REPLICAS OPTION...: configures and starts a node on PORT, on the ports that it had before (PORT
# is 0), or else on free ones.
place_node() {
  local node=$1 wanted=$2 region=$3 replicas=$4 round s3 rpc
  shift 4
  mkdir -p "$node"
  if is_running "$node/pid"; then fail "Garage runs in $node already; stop it first"; fi
  for ((round = 0; round < 20; round++)); do
    read -r s3 rpc <<<"$(free_ports 2)"
    if ((wanted)); then
      s3=$wanted
    elif [[ -f $node/ports ]]; then
      read -r s3 rpc <"$node/ports"
    fi
    configure "$node" "$s3" "$rpc" "$region" "$replicas"
    if start_node "$node" "$@"; then return 0; fi
    stop "$node/pid" KILL
    port_was_taken "$node" || break
    # Its own process may have chosen the same ports in the same moment; a port that was asked for stays.
    rm -f "$node/ports"
    sleep 0.1
  done
  tail -n 20 "$node/log" >&2
  fail "Garage did not start in $node"
}

# garage_cli NODE ARGUMENT...
garage_cli() {
  local node=$1
  shift
  RUST_LOG=error timeout 60 "$(garage_binary)" -c "$node/garage.toml" "$@"
}

# environment DIR PORT REGION BUCKET: DIR/env, for people and programs to read.
environment() {
  cat >"$1/env" <<ENV
export AWS_ACCESS_KEY_ID=$key_id
export AWS_SECRET_ACCESS_KEY=$secret_key
export CAIRN_TEST_ENDPOINT=http://127.0.0.1:$2
export CAIRN_TEST_REGION=$3
export CAIRN_TEST_BUCKET=$4
ENV
}
