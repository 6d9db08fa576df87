#!/bin/sh
# Starts one task of sheaf's for an engine (Hadoop Streaming, Spark): run.sh map, or run.sh reduce.
# It lies in HOME/sheaf/; HOME/node/bin/node is what runs the task, HOME/job/ what it is of. HOME may be ".",
# and what lies in it may be links: so it is taken from the name this script was started by.

# The data have descriptors of their own. What user code, and the programs that it starts, print to standard
# output goes to standard error, and nothing is there to be read.
exec 4<&0 3>&1 1>&2 0</dev/null

fail() {
  printf '%s%s%s%s%s\n' 'sheaf-error: {"kind":"failure","code":"PROGRAM_UNUSABLE","message":"' "$1" '","hint":"' "$2" \
    '","name":"SheafError","stack":null,"phase":"load","blame":"system","path":null,"offset":null,"record":null,"key":null,"log":[],"task":""}'
  exit 3
}

home=${0%/sheaf/run.sh}
[ "$0" != sheaf/run.sh ] || home=.
[ "$home" != "$0" ] || fail 'run.sh was not started as HOME/sheaf/run.sh' 'It is for engines: use sheaf run --on.'
node=$home/node/bin/node
system=- machine=- glibc=- heap=- space=-
read -r system machine glibc heap space <"$home/job/start" ||
  fail 'job/start cannot be read on this node' 'The archive of the job did not come whole: submit the job again.'

[ "$system" = "$(uname -s)" ] && [ "$machine" = "$(uname -m)" ] ||
  fail "this node is $(uname -s) $(uname -m), and the Node that came with the job is for $system $machine" \
    'Submit the job from a machine like the nodes, or give --node-bin a Node for them.'
[ -x "$node" ] || fail 'there is no Node to be run in node/bin' 'The archive of Node did not come whole: submit the job again.'

# A Node that needs a newer glibc is ended by the loader, in words of its own.
here=$(getconf GNU_LIBC_VERSION 2>/dev/null)
here=${here#glibc }
if [ "$glibc" != - ] && [ -n "$here" ]; then
  major=${glibc%%.*}
  minor=${glibc#*.}
  minor=${minor%%.*}
  hereMajor=${here%%.*}
  hereMinor=${here#*.}
  hereMinor=${hereMinor%%.*}
  if [ "$hereMajor" -lt "$major" ] || { [ "$hereMajor" -eq "$major" ] && [ "$hereMinor" -lt "$minor" ]; }; then
    fail "this node has glibc $here, and the Node that came with the job needs $glibc" \
      'Give --node-bin a Node for older systems, such as those of unofficial-builds.nodejs.org (glibc-217).'
  fi
fi

unset NODE_OPTIONS NODE_PATH
# The engine's process, as it was when this began: by the time that Node looks it may be gone.
set -- "$home/sheaf/dist/hosted/task-entry.js" "$1" "$home/job" "$PPID"
[ "$heap" = - ] || set -- "--max-old-space-size=$heap" "$@"
# Some clusters count address space, and a WebAssembly memory takes 10 GB of that unless each access is
# checked, which costs time.
[ "$space" = free ] && [ "$(ulimit -v 2>/dev/null)" = unlimited ] || set -- --disable-wasm-trap-handler "$@"
exec "$node" "$@"
